// What the network knows of a canister around its engine: status, controllers, settings, cycles, history, chunks, and
// the calls it is answering. Execution is synchronous: each message runs as a whole when it is handed over.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Calls } from './calls.mjs';
import { ChunkStore } from './chunk_store.mjs';
import { finishComposite } from './composite_query.mjs';
import { CanisterEngine } from './engine/canister.mjs';
import { didNotReply, faultToReject, RejectError } from './engine/reject.mjs';
import { equal, hexOf, MANAGEMENT, textOf } from './principal.mjs';
import { DEFAULTS, isVisibleTo, settingsFromJson, settingsToJson } from './settings.mjs';
import { Snapshots } from './snapshots.mjs';

export const DEFAULT_CYCLES = 100_000_000_000_000n;

/** ic0.canister_status */
const STATUS_NUMBER = { running: 1, stopping: 2, stopped: 3 };
const STOP_TIMEOUT_MS = 300_000;
const MAX_HISTORY = 20;

export class Canister {
  #world;
  #calls;
  #stopping = null; // { cancel } while a stop waits

  /**
   * @param {object} facts  id and controllers; the rest has defaults
   * @param {object} world  what the network is to all its canisters: time(), rootKey, subnetId, options, log(),
   *                        dataCertificate(id), deliver(call), find(id), watch(canister), changed()
   * @param {string|null} [stateDir]  where a former network left the canister's state
   */
  constructor(facts, world, stateDir = null) {
    const fresh = { cycles: DEFAULT_CYCLES, status: 'running', settings: { ...DEFAULTS }, history: [], changes: 0 };
    Object.assign(this, fresh, facts);
    this.name = textOf(this.id);
    this.chunks = stateDir === null ? new ChunkStore() : ChunkStore.load(join(stateDir, 'chunks'));
    this.snapshots = new Snapshots(this);
    if (stateDir !== null) this.snapshots.load(join(stateDir, 'snapshots'));
    this.subtree = null; // of the state tree, until the next change
    this.#world = world;
    this.#calls = new Calls(this, (call) => world.deliver(call));
    const given = { id: this.id, env: this.#environment() };
    this.engine = stateDir === null ? new CanisterEngine(given) : CanisterEngine.loadState(stateDir, given);
  }

  #environment() {
    const world = this.#world;
    return {
      time: world.time,
      rootKey: world.rootKey,
      subnetId: world.subnetId,
      isController: (principal) => this.isController(principal),
      dataCertificate: () => world.dataCertificate(this.id),
      status: () => STATUS_NUMBER[this.status],
      cycles: () => this.cycles,
      variables: () => this.settings.environment_variables,
      wasmMemoryLimit: () => Number(this.settings.wasm_memory_limit),
      wasmMemoryThreshold: () => Number(this.settings.wasm_memory_threshold),
      instructionPercent: () => world.options.instructionPercent,
      log: (text) => world.log(`[${this.name}] ${text}`),
    };
  }

  // --- who may ---

  isController(principal) {
    return this.controllers.some((controller) => equal(controller, principal));
  }

  requireController(principal) {
    if (this.isController(principal)) return;
    throw new RejectError(
      5,
      'IC0512',
      `Only the controllers of the canister ${this.name} can control it.\n` +
        `Canister's controllers: ${this.controllers.map(textOf).join(' ')}\n` +
        `Sender's ID: ${textOf(principal)}`,
    );
  }

  /** @param {string} setting  a visibility */
  requireSight(principal, setting) {
    if (!isVisibleTo(this.settings[setting], principal)) this.requireController(principal);
  }

  requireRunning() {
    if (this.status === 'running') return;
    const code = this.status === 'stopped' ? 'IC0508' : 'IC0509';
    throw new RejectError(5, code, `Canister ${this.name} is ${this.status}`);
  }

  // --- messages ---

  /** Refuses an ingress message that canister_inspect_message does not accept. @throws {RejectError} */
  inspect(message) {
    if (this.status !== 'running' || this.engine.moduleHash === null) return; // refused when it is executed
    if (!this.engine.inspect(message)) throw new RejectError(4, 'IC0406', 'Canister rejected the message');
  }

  /**
   * Runs a query and gives its reply to use(), at once: it is a view that the canister's next message overwrites.
   * @returns what use() returns, or a promise of it when the query calls others
   */
  query(message, use) {
    this.requireRunning();
    const outcome = this.engine.query(message);
    if (outcome.fork !== null) return finishComposite(this, message, outcome, this.#world).then(use);
    if (outcome.response === null) throw faultToReject(didNotReply(), this.id);
    if (outcome.response.error) throw outcome.response.error;
    return use(outcome.response.reply);
  }

  /** Runs an update; begin() is called, and may throw, when its turn comes. @returns {Promise<Uint8Array>} the reply */
  async update(message, begin = () => {}) {
    begin();
    const { reply, error } = await this.receive(message);
    if (error) throw error;
    return reply;
  }

  /**
   * Takes a call: a user's, or a canister's with cycles and perhaps a deadline.
   * @returns {Promise<{reply: Uint8Array, refund: bigint}|{error: RejectError, refund: bigint}>}
   */
  async receive({ method, arg, caller, cycles = 0n, deadline = 0n }) {
    try {
      this.requireRunning();
    } catch (error) {
      return { error, refund: cycles };
    }
    return this.#calls.take({ caller, cycles, deadline }, (call) => this.engine.update({ method, arg, caller, call }));
  }

  /** Runs a task of the system, if the canister can. */
  async runTask(name) {
    if (this.status !== 'running' || !this.engine.hasTask(name)) return;
    const { error } = await this.#calls.take({ caller: MANAGEMENT }, (call) => this.engine.task(name, call));
    if (error.errorCode !== 'IC0506') this.#world.log(`[${this.name}] ${name}: ${error.message}`); // no task replies
  }

  onLowMemory() {
    if (this.engine.isMemoryLow) this.runTask('on_low_wasm_memory');
  }

  /** A message has been executed. */
  executed() {
    this.changed();
    this.#world.watch(this);
  }

  /** What the state tree says of this canister may be different now. */
  changed() {
    this.subtree = null;
    this.#world.changed();
  }

  // --- management ---

  /** @param {object} code of the engine's install() or upgrade() @param {object} origin of a change */
  install({ mode, ...code }, origin) {
    try {
      const { gained } = mode === 'upgrade' ? this.engine.upgrade(code) : this.engine.install({ mode, ...code });
      this.cycles += gained;
      const deployment = { mode: { [mode]: null }, module_hash: this.engine.moduleHash };
      this.record(origin, { code_deployment: deployment });
    } finally {
      this.executed();
    }
  }

  uninstall(origin) {
    this.engine.uninstall();
    this.chunks.clear();
    this.#calls.abandon();
    this.record(origin, { code_uninstall: null });
    this.executed();
  }

  /** @param {object} change  of readSettings() */
  updateSettings({ controllers, settings }, origin) {
    Object.assign(this.settings, settings);
    if (controllers !== undefined) {
      this.controllers = controllers;
      this.record(origin, { controllers_change: { controllers } });
    }
    this.engine.bumpVersion();
    this.engine.checkMemory();
    this.executed();
  }

  start() {
    this.#stopping?.cancel();
    this.#setStatus('running');
  }

  /** Stops when all calls the canister is answering are over. @throws {RejectError} IC0206, IC0511 */
  async stop() {
    if (this.status === 'stopped') return;
    this.#setStatus('stopping');
    await this.#untilIdle();
    if (this.status === 'stopping') this.#setStatus('stopped');
  }

  #untilIdle() {
    return new Promise((resolve, reject) => {
      const refuse = (kind, code, text) => () => reject(new RejectError(kind, code, text));
      const late = refuse(2, 'IC0206', 'Stop canister request timed out');
      const timer = setTimeout(late, STOP_TIMEOUT_MS);
      timer.unref();
      const former = this.#stopping;
      const cancel = refuse(5, 'IC0511', `Canister ${this.name}'s stop request was cancelled`);
      this.#stopping = { cancel: () => (former?.cancel(), cancel()) };
      this.#calls.whenIdle().then(() => (clearTimeout(timer), resolve()));
    });
  }

  #setStatus(status) {
    if (status !== 'stopping') this.#stopping = null;
    if (this.status === status) return;
    this.status = status;
    this.engine.bumpVersion();
    this.executed();
  }

  /** Remembers a change for canister_info. origin: { user: principal } or { canister: principal } */
  record(origin, details) {
    const change = { at: this.#world.time(), version: this.engine.version, origin, details };
    this.changes++;
    this.history = [...this.history, change].slice(-MAX_HISTORY);
  }

  /** What of memory canister_status reports, in bytes, by its names there. */
  get memoryMetrics() {
    const memory = this.engine.memoryMetrics;
    return {
      wasm_memory_size: memory.wasmMemory,
      stable_memory_size: memory.stableMemory,
      global_memory_size: memory.globals,
      wasm_binary_size: memory.wasmBinary,
      custom_sections_size: memory.customSections,
      canister_history_size: 0,
      wasm_chunk_store_size: this.chunks.size,
      snapshots_size: this.snapshots.size,
      log_memory_store_size: 0,
    };
  }

  get memorySize() {
    return Object.values(this.memoryMetrics).reduce((sum, size) => sum + size, 0);
  }

  now() {
    return this.#world.time();
  }

  /** Whether a checkpoint has come after that time. */
  isCheckpointed(time) {
    const interval = BigInt(this.#world.options.checkpointMs) * 1_000_000n;
    return interval === 0n || this.now() / interval > time / interval;
  }

  /** @throws {RejectError} IC0101 the subnet has no room for so many bytes more */
  requireMemory(bytes) {
    this.#world.requireMemory(bytes);
  }

  /** Becomes what a snapshot holds, of this canister or of another. @throws {RejectError} IC0408, IC0505, IC0101 */
  loadSnapshot(snapshot, owner, origin) {
    const { source, isUploaded, module, heapBytes, stableBytes, chunks } = snapshot;
    const memory = this.engine.memoryMetrics;
    const before = memory.wasmMemory + memory.stableMemory + memory.wasmBinary + this.chunks.size;
    this.requireMemory(module.length + heapBytes + stableBytes + chunks.size - before);
    // Timer and hook come back from uploaded snapshots alone; and those can still be written to, so that the module is copied.
    const content = isUploaded
      ? { ...snapshot, module: module.slice() }
      : { ...snapshot, globalTimer: undefined, memoryHook: undefined };
    this.engine.restore(content);
    this.chunks = chunks.copy();
    this.record(origin, {
      load_snapshot: {
        canister_version: snapshot.version,
        snapshot_id: snapshot.id,
        taken_at_timestamp: snapshot.takenAt,
        source: { [source]: null },
        from_canister_id: owner === this ? null : owner.id,
      },
    });
    this.executed();
  }

  // --- saving ---

  /** Writes the state into dir; calls that are still open are not kept. @returns {object} the facts, for JSON */
  save(dir) {
    mkdirSync(dir, { recursive: true });
    this.engine.saveState(dir);
    this.chunks.save(join(dir, 'chunks'));
    this.snapshots.save(join(dir, 'snapshots'));
    return {
      id: hexOf(this.id),
      controllers: this.controllers.map(hexOf),
      cycles: String(this.cycles),
      status: this.status === 'stopping' ? 'stopped' : this.status,
      settings: settingsToJson(this.settings),
      changes: this.changes,
    };
  }

  static restore({ id, controllers, cycles, settings, ...saved }, world, dirOf) {
    const bytes = (hex) => new Uint8Array(Buffer.from(hex, 'hex'));
    const facts = { ...saved, id: bytes(id), controllers: controllers.map(bytes), cycles: BigInt(cycles) };
    const canister = new Canister({ ...facts, settings: settingsFromJson(settings) }, world, dirOf(textOf(facts.id)));
    world.watch(canister);
    return canister;
  }
}
