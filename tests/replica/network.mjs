// The local network: one application subnet below a root, its canisters, and their HTTP front.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises';
import { IDL } from '@icp-sdk/core/candid';
import { Principal } from '@icp-sdk/core/principal';
import { Blocks } from './blocks.mjs';
import { CanisterId } from './candid_types.mjs';
import { Canisters, RANGES } from './canisters.mjs';
import { Certifier, Delegations } from './certificate.mjs';
import { RejectError } from './engine/reject.mjs';
import { IngressHistory } from './ingress.mjs';
import { makeKeys, makeNodes, makeOtherKeys, makeSecret } from './keys.mjs';
import { Management } from './management.mjs';
import { ANONYMOUS, canisterId, hexOf, MANAGEMENT } from './principal.mjs';
import { QuerySigner } from './query_reply.mjs';
import { RateLimit } from './rate_limit.mjs';
import { Scheduler } from './scheduler.mjs';
import { Server } from './server.mjs';
import { stateTree, subnetTrees } from './state.mjs';
import { SystemCanisters } from './system_canisters.mjs';

/** What may be changed while the network runs, by its own name here and at the endpoint for tests. */
export const OPTIONS = {
  queryMs: 0, // latency of each query and of each update
  updateMs: 0,
  blockMs: 0, // a block every so often, of at most so many bytes; see blocks.mjs
  blockBytes: 4 * 2 ** 20,
  queueBytes: 64 * 2 ** 20, // update calls that wait beyond this get HTTP 503
  historyBytes: 256 * 2 ** 20, // replies kept for read_state; beyond them the oldest become `done`
  callTimeoutMs: 10_000, // a synchronous call that takes longer is answered with 202
  maxConcurrent: 0, // more requests at once get HTTP 429; 0 = no limit
  rateLimit: 0, // requests per second of one client address, beyond them HTTP 429; 0 = no limit
  bandwidth: 0, // bytes per second of all answers together; 0 = no limit
  skewMs: 0, // how far the network's clock is ahead
  instructionPercent: 100, // instruction limits, as a percentage of the real ones
  subnetMemory: 2 * 2 ** 40, // bytes that the canisters together may come to have by snapshots
  checkpointMs: 0, // a snapshot is loadable on other canisters from the next checkpoint on, one every so often; 0: at once
  flatRanges: 0, // 1: every endpoint delegates canister ranges in the older, flat form
};

/**
 * Starts a network on 127.0.0.1. All of OPTIONS may be given, and:
 * @param {object} [given]
 * @param {number} [given.port]           0 for a free one
 * @param {boolean} [given.http2]         HTTP/2 and HTTP/1.1 over TLS, instead of HTTP/1.1 in the clear
 * @param {string|null} [given.stateDir]  read at start when it holds a network, written by save()
 * @param {object|null} [given.faults]    see faults.mjs
 * @param {string|null} [given.seed]      makes the keys; random without
 * @returns {Promise<Network>}
 */
export async function startNetwork({ port = 0, http2 = false, stateDir = null, faults = null, seed = null, ...options } = {}) {
  const network = new Network({ stateDir, seed, options });
  network.server = new Server(network, { faults, http2 });
  network.ca = network.server.ca;
  network.url = await network.server.listen(port);
  return network;
}

/** Canister ids of the other subnet, for faults. */
const OTHER_RANGES = [[canisterId(0x0300_0000n), canisterId(0x030f_ffffn)]];

/** What createCanister() says of provisional_create_canister_with_cycles's argument; all the rest is optional. */
const CreateArgs = IDL.Record({
  settings: IDL.Opt(IDL.Record({ controllers: IDL.Opt(IDL.Vec(IDL.Principal)) })),
});

class Network {
  #stateDir;
  #secret;
  #keys;
  #subnets;
  #rotations = 0;
  #other = null;

  constructor({ stateDir, seed, options }) {
    this.options = { ...OPTIONS };
    this.setOptions(options);
    this.blocks = new Blocks(this.options);
    this.rateLimit = new RateLimit(this.options);
    this.log = [];
    this.testEndpoint = null;
    this.now = () => BigInt(Date.now() + this.options.skewMs) * 1_000_000n;
    const saved = loadNetwork(stateDir);
    this.#stateDir = stateDir;
    this.#secret = saved ? Buffer.from(saved.secret, 'hex') : makeSecret(seed);
    const keys = makeKeys(this.#secret);
    this.rootKeyDer = keys.root.der;
    this.rootId = keys.root.id;
    this.subnetId = keys.subnet.id;
    this.signer = new QuerySigner(keys.nodes);
    this.#open(keys);
    if (saved) this.canisters.restore(canistersDir(stateDir), saved.canisters);
    if (saved) this.system.restore(saved.system);
  }

  #open(keys) {
    const { now } = this;
    this.#keys = keys;
    this.#subnets = subnetTrees(keys, RANGES);
    const changed = () => this.certifier.changed();
    this.ingress = new IngressHistory({ now, changed, options: this.options });
    this.scheduler = new Scheduler(this);
    this.canisters = new Canisters(this.#world(keys, changed));
    this.management = new Management(this.canisters);
    this.system = new SystemCanisters(this);
    this.delegations = new Delegations(keys, RANGES, now());
    this.certifier = new Certifier({
      keys,
      build: (time, wrong) =>
        stateTree({ time, ...this.#subnets, canisters: this.canisters, requests: this.ingress.tree(wrong) }),
      now,
    });
  }

  /** What the network is to its canisters. */
  #world(keys, changed) {
    return {
      time: this.now,
      rootKey: keys.root.der,
      subnetId: keys.subnet.id,
      options: this.options,
      log: (text) => process.stderr.write(`${text}\n`),
      dataCertificate: (id) =>
        this.certifier.certify([['canister', id, 'certified_data']], this.delegations.find('sharded', id)).toBytes(),
      deliver: (call) => this.#deliver(call),
      find: (id) => this.canisters.find(id),
      requireMemory: (bytes) => this.#requireMemory(bytes),
      isSystem: (id) => this.system.find(id) !== null,
      watch: (canister) => this.scheduler.watch(canister),
      forget: (canister) => this.scheduler.forget(canister),
      changed,
    };
  }

  #requireMemory(bytes) {
    const used = [...this.canisters].reduce((sum, { memorySize }) => sum + memorySize, 0);
    const available = Math.max(this.options.subnetMemory - used, 0);
    if (bytes <= 0 || bytes <= available) return;
    const text = `Canister requested ${bytes} B of memory but only ${available} B are available in the subnet.`;
    throw new RejectError(1, 'IC0101', text);
  }

  /** @throws {RejectError} IC0301 */
  #find(canisterId) {
    return this.system.find(canisterId) ?? this.canisters.get(canisterId);
  }

  /**
   * Brings a canister's call to its callee. One that does not wait for ever (timeoutS) is told so when its time is over;
   * cycles that come back later are lost.
   * @returns {Promise<object>} the answer: { reply or error, refund }
   */
  async #deliver({ callee, timeoutS, ...call }) {
    await turn(); // calls must not keep the network from serving
    if (timeoutS === null) return this.#callCanister(callee, call);
    const deadline = this.now() + BigInt(timeoutS) * 1_000_000_000n;
    const stop = new AbortController();
    const expired = delay(timeoutS * 1000, undefined, { signal: stop.signal, ref: false }).then(
      () => ({ error: new RejectError(6, 'IC0601', 'Call deadline has expired.'), refund: 0n }),
      () => new Promise(() => {}),
    );
    const answer = await Promise.race([this.#callCanister(callee, { ...call, deadline }), expired]);
    stop.abort();
    return answer;
  }

  async #callCanister(callee, call) {
    try {
      if (callee.length > 0) return await this.#find(callee).receive(call);
      call.isCanister = true;
      return { reply: await this.management.call(call), refund: call.cycles };
    } catch (error) {
      return { error, refund: call.cycles };
    }
  }

  /** Changes options while the network runs. @throws {Error} for unknown ones, and values that are no numbers */
  setOptions(given) {
    for (const [name, value] of Object.entries(given)) {
      if (!Object.hasOwn(OPTIONS, name)) throw new Error(`there is no option '${name}'`);
      const isNumber = name === 'instructionPercent' ? Number.isFinite(value) : Number.isSafeInteger(value);
      if (!isNumber) throw new Error(`option '${name}' is a whole number`);
    }
    Object.assign(this.options, given);
    this.certifier?.changed(); // its time may be another
  }

  /** All nodes of the subnet are replaced by others. */
  rotateNodes() {
    this.#keys.nodes = makeNodes(this.#secret, `node of rotation ${++this.#rotations}`);
    this.signer = new QuerySigner(this.#keys.nodes);
    this.#subnets = subnetTrees(this.#keys, RANGES);
    this.certifier.changed();
  }

  /** Another subnet below the same root, for faults: { key, delegations, signer }. */
  get other() {
    if (this.#other === null) {
      const keys = makeOtherKeys(this.#secret, this.#keys.root);
      const delegations = new Delegations(keys, OTHER_RANGES, this.now());
      this.#other = { key: keys.subnet, delegations, signer: new QuerySigner(keys.nodes) };
    }
    return this.#other;
  }

  /**
   * A canister without code, made by the management canister.
   * @param {object} given
   * @param {Uint8Array[]} given.controllers
   * @returns {Promise<Uint8Array>} its id
   */
  async createCanister({ controllers }) {
    const principals = controllers.map((bytes) => Principal.fromUint8Array(bytes));
    const arg = IDL.encode([CreateArgs], [{ settings: [{ controllers: [principals] }] }]);
    const method = 'provisional_create_canister_with_cycles';
    const reply = await this.callAs(controllers[0] ?? ANONYMOUS, MANAGEMENT, method, new Uint8Array(arg));
    return IDL.decode([CanisterId], reply)[0].canister_id.toUint8Array();
  }

  /**
   * An update call of an authenticated sender; canisterId empty = management canister.
   * @returns {Promise<Uint8Array>} the reply
   * @throws {RejectError}
   */
  async callAs(sender, canisterId, method, arg) {
    const message = { caller: sender, method, arg };
    this.accept(canisterId, message);
    return this.execute(canisterId, message);
  }

  /** Refuses what never becomes an ingress message. @throws {RejectError} */
  accept(canisterId, message) {
    if (canisterId.length === 0) this.management.check(message);
    else this.#find(canisterId).inspect(message);
  }

  /** Executes an update call of `size` bytes in its block. @returns {Promise<Uint8Array|null>} null: it expired before */
  async update(canisterId, message, size, { include, begin }) {
    if (!(await this.blocks.turn(size, include))) return null;
    return this.execute(canisterId, message, begin);
  }

  async execute(canisterId, message, begin = () => {}) {
    if (canisterId.length === 0) {
      begin();
      return this.management.call(message);
    }
    return this.#find(canisterId).update(message, begin);
  }

  /**
   * Executes a query after its latency, and gives the reply to use() at once.
   * @throws {RejectError}
   */
  async query(canisterId, message, use) {
    if (this.options.queryMs > 0) await delay(this.options.queryMs);
    if (canisterId.length === 0) return use(await this.management.query(message));
    return this.#find(canisterId).query(message, use);
  }

  async save() {
    if (this.#stateDir === null) throw new Error('the network has no state directory');
    const dir = canistersDir(this.#stateDir);
    mkdirSync(dir, { recursive: true });
    const saved = { secret: hexOf(this.#secret), canisters: this.canisters.save(dir), system: this.system.save() };
    writeFileSync(networkFile(this.#stateDir), JSON.stringify(saved), { mode: 0o600 });
  }

  async stop() {
    this.blocks.stop();
    this.scheduler.stop();
    await this.server.close();
  }
}

const networkFile = (dir) => join(dir, 'network.json');
const canistersDir = (dir) => join(dir, 'canisters');

function loadNetwork(dir) {
  if (dir === null || !existsSync(networkFile(dir))) return null;
  return JSON.parse(readFileSync(networkFile(dir), 'utf8'));
}
