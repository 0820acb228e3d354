// The local network: one application subnet below a root, its canisters, and their HTTP front.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { IDL } from '@icp-sdk/core/candid';
import { Principal } from '@icp-sdk/core/principal';
import { CanisterId } from './candid_types.mjs';
import { Canisters, RANGES } from './canisters.mjs';
import { Certifier, Delegations } from './certificate.mjs';
import { IngressHistory } from './ingress.mjs';
import { makeKeys, makeSecret } from './keys.mjs';
import { callManagement, checkManagementCall, queryManagement } from './management.mjs';
import { ANONYMOUS, hexOf, MANAGEMENT } from './principal.mjs';
import { QuerySigner } from './query_reply.mjs';
import { Server } from './server.mjs';
import { stateTree, subnetTrees } from './state.mjs';

/**
 * Starts a network on 127.0.0.1.
 * @param {object} [options]
 * @param {number} [options.port]           0 for a free one
 * @param {string|null} [options.stateDir]  read at start when it holds a network, written by save()
 * @param {number} [options.queryMs]        latency of each query and of each update
 * @param {number} [options.updateMs]
 * @param {number} [options.maxConcurrent]  more requests at once get HTTP 429; 0 = no limit
 * @param {object|null} [options.faults]    see faults.mjs
 * @param {string|null} [options.seed]      makes the keys; random without
 * @returns {Promise<Network>}
 */
export async function startNetwork({
  port = 0,
  stateDir = null,
  queryMs = 0,
  updateMs = 0,
  maxConcurrent = 0,
  faults = null,
  seed = null,
} = {}) {
  const network = new Network({ stateDir, seed, options: { queryMs, updateMs, maxConcurrent } });
  network.server = new Server(network, faults);
  network.url = await network.server.listen(port);
  return network;
}

/** What createCanister() says of provisional_create_canister_with_cycles's argument; all the rest is optional. */
const CreateArgs = IDL.Record({
  settings: IDL.Opt(IDL.Record({ controllers: IDL.Opt(IDL.Vec(IDL.Principal)) })),
});

const now = () => BigInt(Date.now()) * 1_000_000n;

class Network {
  #stateDir;
  #secret;

  constructor({ stateDir, seed, options }) {
    this.options = options;
    this.log = [];
    this.testEndpoint = null;
    this.now = now;
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
  }

  #open(keys) {
    const { subnets, ranges } = subnetTrees(keys, RANGES);
    const changed = () => this.certifier.changed();
    this.ingress = new IngressHistory({ now, changed });
    this.canisters = new Canisters({
      time: now,
      rootKey: keys.root.der,
      subnetId: keys.subnet.id,
      log: (text) => process.stderr.write(`${text}\n`),
      dataCertificate: (id) =>
        this.certifier.certify([['canister', id, 'certified_data']], this.delegations.find('sharded', id)),
      changed,
    });
    this.delegations = new Delegations(keys, RANGES, now());
    this.certifier = new Certifier({
      keys,
      build: (time) => stateTree({ time, subnets, ranges, canisters: this.canisters, ingress: this.ingress }),
      now,
    });
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
    if (canisterId.length === 0) checkManagementCall(this.canisters, message);
    else this.canisters.get(canisterId);
  }

  /** Executes an update call after its latency. */
  async update(canisterId, message, begin) {
    if (this.options.updateMs > 0) await delay(this.options.updateMs);
    return this.execute(canisterId, message, begin);
  }

  async execute(canisterId, message, begin = () => {}) {
    if (canisterId.length === 0) {
      begin();
      return callManagement(this.canisters, message);
    }
    return this.canisters.get(canisterId).update(message, begin);
  }

  /**
   * Executes a query after its latency, and gives the reply to use() at once.
   * @throws {RejectError}
   */
  async query(canisterId, message, use) {
    if (this.options.queryMs > 0) await delay(this.options.queryMs);
    if (canisterId.length === 0) return use(await queryManagement(this.canisters, message));
    return this.canisters.get(canisterId).query(message, use);
  }

  async save() {
    if (this.#stateDir === null) throw new Error('the network has no state directory');
    const dir = canistersDir(this.#stateDir);
    mkdirSync(dir, { recursive: true });
    const saved = { secret: hexOf(this.#secret), canisters: this.canisters.save(dir) };
    writeFileSync(networkFile(this.#stateDir), JSON.stringify(saved), { mode: 0o600 });
  }

  async stop() {
    await this.server.close();
  }
}

const networkFile = (dir) => join(dir, 'network.json');
const canistersDir = (dir) => join(dir, 'canisters');

function loadNetwork(dir) {
  if (dir === null || !existsSync(networkFile(dir))) return null;
  return JSON.parse(readFileSync(networkFile(dir), 'utf8'));
}
