// A canister with code: installs modules and executes messages on them, each one atomically.
//
// A query's changes always vanish, an update's vanish when it traps; both run on the same instance, which
// machine.mjs and stable.mjs put back. Execution is synchronous and ends when its instructions are used up.
//
// A message that makes calls hands them back in its outcome; who delivers them comes back with resume(). Call
// contexts, status, controllers, cycles and settings are the network's business, not known here.

import { noMethod, noModule, faultToReject, outOfInstructions, trapped, CanisterFault, RejectError } from './reject.mjs';
import { importType, makeImports } from './ic0.mjs';
import { CanisterModule } from './module.mjs';
import { Machine } from './machine.mjs';
import { Message, ReplyBuffer } from './message.mjs';
import { PAGE, StableMemory } from './stable.mjs';
import { readState, writeState } from './state.mjs';

export { RejectError };

const GIB = 2 ** 30;

/** What one message may do: stable memory it may read, and may write, and instructions (IC interface spec and resource limits). */
const INSTALL = { access: 8 * GIB, instructions: 300e9 };
const UPDATE = { access: 2 * GIB, instructions: 40e9 };
const QUERY = { access: GIB, instructions: 5e9 };
const LIMITS = {
  ...{ S: INSTALL, I: INSTALL, G: INSTALL },
  ...{ U: UPDATE, RQ: { ...QUERY, instructions: 40e9 }, Ry: UPDATE, Rt: UPDATE, C: UPDATE, T: UPDATE },
  ...{ NRQ: QUERY, CQ: QUERY, CRy: QUERY, CRt: QUERY, CC: QUERY, F: { ...QUERY, instructions: 200e6 } },
};
/** What remains of a heap without the setting wasm_memory_limit is counted from here. */
const MAX_HEAP = 4 * GIB;

/** Modes whose changes are kept. */
const KEPT = new Set(['U', 'Ry', 'Rt', 'C', 'T']);
/** Modes in which the setting wasm_memory_limit ends a message that grows the heap beyond it. */
const MEMORY_LIMITED = new Set(['I', 'U', 'T']);

const EMPTY = new Uint8Array(0);
const NEW_SYSTEM = { certifiedData: EMPTY, globalTimer: 0n, memoryHook: 'condition_not_satisfied' };

/**
 * What a message came to.
 * @typedef {object} Outcome
 * @property {null|{reply: Uint8Array}|{error: RejectError}} response  reply is a view, valid until the next message of
 *           this engine; an error is the canister's own rejection. null: no answer yet
 * @property {object[]} calls        made with call_perform: callee, method, arg, cycles, timeoutS, callbacks
 * @property {bigint} accepted       cycles taken from the call
 * @property {bigint} gained         how the canister's balance changes
 * @property {number} instructions
 * @property {boolean} isAccepted    by canister_inspect_message
 * @property {Fork|null} fork        of a composite query that made calls: its state, for resume()
 */

export class CanisterEngine {
  #id;
  #env;
  #code = null; // { module, machine, stable }, null without a module
  #system = { version: 0n, ...NEW_SYSTEM };
  #reply = new ReplyBuffer();
  #message = null;

  /**
   * @param {object} given
   * @param {Uint8Array} given.id
   * @param {object} given.env  time(), isController(principal), rootKey, dataCertificate(), subnetId, status(),
   *                            cycles(), variables(), wasmMemoryLimit(), wasmMemoryThreshold(),
   *                            instructionPercent(), log(text)
   */
  constructor({ id, env }) {
    this.#id = id;
    this.#env = env;
  }

  /**
   * Installs code and runs its start function and canister_init; nothing changes when either fails.
   * @param {object} given
   * @param {'install'|'reinstall'} given.mode
   * @param {Uint8Array} given.module  raw or gzip; kept
   * @returns {{gained: bigint}} how the canister's balance of cycles changes
   * @throws {RejectError} IC0505 not a canister module, IC0538 not empty, or what canister_init ended in
   */
  install({ mode, module: bytes, arg, caller }) {
    return this.#attempt(() => {
      if (mode !== 'install' && mode !== 'reinstall') throw new TypeError(`install mode '${mode}'`);
      if (mode === 'install' && this.#code !== null) {
        throw new CanisterFault('IC0538', "the canister is not empty. Try installing with mode='reinstall' instead.");
      }
      const code = this.#load(new CanisterModule(bytes, importType), new StableMemory());
      return this.#begin(code, 'canister_init', { arg, caller, system: { ...this.#system, ...NEW_SYSTEM } });
    });
  }

  /**
   * Replaces the code and keeps stable memory and certified data: canister_pre_upgrade of the old code, then the start
   * function and canister_post_upgrade of the new. Nothing changes when any of them fails.
   * @param {object} given
   * @param {Uint8Array} given.module  raw or gzip; kept
   * @param {boolean} [given.skipPreUpgrade]
   * @param {'keep'|'replace'|null} [given.memory]  what becomes of the heap; see mayKeepHeap()
   * @returns {{gained: bigint}}
   * @throws {RejectError} IC0505, IC0537 no code yet, IC0504 for the wrong `memory`, or what a hook ended in
   */
  upgrade({ module: bytes, arg, caller, skipPreUpgrade = false, memory = null }) {
    return this.#attempt(() => {
      const old = this.#installed();
      const module = new CanisterModule(bytes, importType);
      const keepsHeap = mayKeepHeap(old.module, module, memory);
      try {
        let system = this.#system;
        const hook = skipPreUpgrade ? undefined : old.module.methods.get('canister_pre_upgrade');
        if (hook !== undefined) ({ system } = this.#run(old, { mode: 'G', arg: EMPTY, caller, system }, hook));
        const code = this.#load(module, old.stable);
        if (keepsHeap) code.machine.adoptHeap(old.machine.settledHeap);
        return this.#begin(code, 'canister_post_upgrade', { arg, caller, system: { ...system, globalTimer: 0n } });
      } finally {
        old.machine.discard();
        old.stable.rollback(); // nothing is left to undo when all went well
      }
    });
  }

  uninstall() {
    this.#code = null;
    this.#system = { ...NEW_SYSTEM, version: this.#system.version + 1n };
  }

  /** sha256 of the module as it was given, or null. */
  get moduleHash() {
    return this.#code?.module.hash ?? null;
  }

  /** Map of metadata name to { visibility: 'public'|'private', content }. */
  get metadata() {
    return this.#code?.module.metadata ?? new Map();
  }

  get memoryMetrics() {
    const { module, machine, stable } = this.#code ?? {};
    return {
      wasmMemory: machine?.image.heap.length ?? 0,
      stableMemory: (stable?.pages ?? 0) * PAGE,
      wasmBinary: module?.bytes.length ?? 0,
      customSections: module?.customSectionBytes ?? 0,
      globals: 8 * (module?.globals.length ?? 0),
    };
  }

  /** Of memory addresses. */
  get pointer() {
    return this.#code?.module.pointer ?? 'i32';
  }

  get version() {
    return this.#system.version;
  }

  /** For changes the network makes itself: settings, start, stop. */
  bumpVersion() {
    this.#system = { ...this.#system, version: this.#system.version + 1n };
  }

  get certifiedData() {
    return this.#system.certifiedData;
  }

  /**
   * Runs a query method without leaving a trace. A composite one may make calls.
   * @param {object} message
   * @param {number} [message.limit]  of instructions, below the platform's
   * @returns {Outcome}
   * @throws {RejectError} so do all that follow
   */
  query({ method, arg, caller, call, limit }) {
    return this.#attempt(() => {
      const { methods } = this.#installed().module;
      const plain = methods.get(`query ${method}`);
      const composite = methods.get(`composite_query ${method}`);
      if (plain === undefined && composite === undefined) throw noMethod('query', method);
      return this.#answer({ mode: plain ? 'NRQ' : 'CQ', arg, caller, call, limit }, plain ?? composite);
    });
  }

  /** Runs an update method, or a query method as a replicated query. @returns {Outcome} */
  update({ method, arg, caller, call }) {
    return this.#attempt(() => {
      const { methods } = this.#installed().module;
      const update = methods.get(`update ${method}`);
      const query = methods.get(`query ${method}`);
      if (methods.has(`composite_query ${method}`)) {
        throw new CanisterFault('IC0527', 'Composite query cannot be called in replicated mode');
      }
      if (update === undefined && query === undefined) throw noMethod('update', method);
      return this.#answer({ mode: update ? 'U' : 'RQ', arg, caller, call }, update ?? query);
    });
  }

  /**
   * Runs a callback of a call that has been answered.
   * @param {object} given
   * @param {{fun: number, environment: number}} given.callback  as the call named it
   * @param {'reply'|'reject'|'cleanup'} given.kind
   * @param {object} given.rest  caller and call of the message that made the call; arg: the reply, or rejection; refunded;
   *        fork: of a composite query
   * @returns {Outcome}
   */
  resume({ callback, kind, fork = null, ...given }) {
    const mode = { reply: 'Ry', reject: 'Rt', cleanup: 'C' }[kind];
    return this.#attempt(() => {
      if (fork === null) this.#installed();
      return this.#answer({ ...given, mode: fork === null ? mode : COMPOSITE[mode], fork }, callback);
    });
  }

  /** Asks canister_inspect_message. @returns {boolean} whether the message is accepted; true without such a function */
  inspect({ method, arg, caller }) {
    return this.#attempt(() => {
      const hook = this.#installed().module.methods.get('canister_inspect_message');
      return hook === undefined || this.#answer({ mode: 'F', arg, caller, method }, hook).isAccepted;
    });
  }

  /** Runs canister_heartbeat, canister_global_timer or canister_on_low_wasm_memory. @returns {Outcome} */
  task(name, call) {
    return this.#attempt(() => {
      const entry = this.#installed().module.methods.get(`canister_${name}`);
      if (entry === undefined) throw noMethod('system task', name);
      if (name === 'on_low_wasm_memory') this.#system = { ...this.#system, memoryHook: 'executed' };
      return this.#answer({ mode: 'T', arg: EMPTY, caller: MANAGEMENT, call }, entry);
    });
  }

  /** Whether the module exports such a task. */
  hasTask(name) {
    return this.#code?.module.methods.has(`canister_${name}`) ?? false;
  }

  isComposite(method) {
    return this.#code?.module.methods.has(`composite_query ${method}`) ?? false;
  }

  /** Whether canister_on_low_wasm_memory is due. */
  get isMemoryLow() {
    return this.#system.memoryHook === 'ready' && this.hasTask('on_low_wasm_memory');
  }

  /**
   * Sees whether less memory is left than the setting wasm_memory_threshold says. The hook is due once each time this
   * becomes so (IC interface spec, "On low Wasm memory").
   */
  checkMemory() {
    const isLow = this.#isLow(this.memoryMetrics.wasmMemory);
    const { memoryHook } = this.#system;
    if (isLow === (memoryHook !== 'condition_not_satisfied')) return;
    this.#system = { ...this.#system, memoryHook: isLow ? 'ready' : 'condition_not_satisfied' };
  }

  #isLow(heapBytes) {
    const [limit, threshold] = [this.#env.wasmMemoryLimit() || MAX_HEAP, this.#env.wasmMemoryThreshold()];
    return threshold > 0 && limit - heapBytes < threshold;
  }

  get globalTimer() {
    return this.#system.globalTimer;
  }

  /** The timer has gone off. */
  clearTimer() {
    this.#system = { ...this.#system, globalTimer: 0n };
  }

  /**
   * What a snapshot takes of the canister, its own for good: module, globals [{ type, value }], heap and stable as
   * StableMemory, version, certifiedData, globalTimer, memoryHook. Null without code.
   */
  capture() {
    if (this.#code === null) return null;
    const { module, machine, stable } = this.#code;
    const memories = { heap: StableMemory.copyOf(machine.image.heap), stable: stable.fork() };
    return { module: module.bytes, globals: machine.exportedGlobals, ...memories, ...this.#system };
  }

  /**
   * Makes the canister what a snapshot holds, but for its version; nothing changes when the parts do not fit together.
   * @param {object} given  as of capture(), borrowed; globalTimer or memoryHook undefined: as it is
   * @throws {RejectError} IC0505 not a canister module, IC0408
   */
  restore({ module: bytes, globals, heap, stable, certifiedData, globalTimer, memoryHook }) {
    this.#attempt(() => {
      const module = new CanisterModule(bytes, importType);
      const values = module.mutableValues(globals);
      if (values === null) throw unfit('Wasm exported globals of canister module and snapshot metadata do not match.');
      const { min, max } = module.heapPages;
      if (heap.pages < min || heap.pages > max) {
        throw unfit(`Wasm memory of ${heap.pages} pages in the snapshot: the canister module declares ${min} to ${max}.`);
      }
      const isLow = this.#isLow(heap.pages * PAGE);
      if (memoryHook !== undefined && isLow !== (memoryHook !== 'condition_not_satisfied')) {
        throw unfit(
          `Hook status (${memoryHook}) of uploaded snapshot is inconsistent with the canister's state ` +
            `(hook condition satisfied: ${isLow}).`,
        );
      }
      const code = this.#load(module, stable.fork(), { heap: heap.toBytes(), globals: values });
      this.#code = code;
      this.#system = {
        version: this.#system.version + 1n,
        certifiedData,
        globalTimer: globalTimer ?? this.#system.globalTimer,
        memoryHook: memoryHook ?? this.#system.memoryHook,
      };
      this.checkMemory();
    });
  }

  /** Writes everything needed to go on later into dir. */
  saveState(dir) {
    const { module, machine, stable } = this.#code ?? {};
    writeState(dir, { system: this.#system, module, image: machine?.image, stable });
  }

  static loadState(dir, { id, env }) {
    const engine = new CanisterEngine({ id, env });
    const { system, code } = readState(dir);
    engine.#system = system;
    if (code !== null) {
      const module = new CanisterModule(code.module, importType);
      engine.#code = engine.#load(module, StableMemory.from(code.stable.pages, code.stable.entries), code.image);
    }
    return engine;
  }

  #installed() {
    if (this.#code === null) throw noModule();
    return this.#code;
  }

  #load(module, stable, image) {
    const imports = makeImports(module.pointer, () => this.#message);
    try {
      return { module, stable, machine: new Machine(module, imports, image) };
    } catch (error) {
      throw asFault(error); // a data or element segment outside its memory or table
    }
  }

  /** Runs the code's start function and first entry point, and makes it the canister's code. */
  #begin(code, entry, { arg, caller, system }) {
    let message = this.#run(code, { mode: 'S', arg, caller, system }, code.module.startExport);
    message = this.#run(code, { mode: 'I', arg, caller, system: message.system }, code.module.methods.get(entry));
    code.machine.commit();
    code.stable.commit();
    this.#code = code;
    this.#system = { ...message.system, version: this.#system.version + 1n };
    this.checkMemory();
    return { gained: message.cyclesGained };
  }

  /** Runs an export or a callback and settles the changes: an update's are kept, whether it replied or rejected. */
  #answer(given, entry) {
    const code = given.fork ?? this.#code;
    let kept = false;
    try {
      const message = this.#run(code, { ...given, system: this.#system }, entry);
      const outcome = this.#outcome(message);
      if (KEPT.has(given.mode)) {
        code.machine.commit();
        code.stable.commit();
        this.#system = { ...message.system, version: this.#system.version + 1n };
        this.checkMemory();
        kept = true;
      } else if (given.fork) {
        given.fork.update();
        outcome.fork = given.fork;
      } else if (message.calls.length > 0) {
        outcome.fork = new Fork(code);
      }
      return outcome;
    } finally {
      if (!kept) {
        code.machine.discard();
        code.stable.rollback();
      }
    }
  }

  #outcome(message) {
    const { response, calls, accepted, cyclesGained: gained, instructions, isAccepted } = message;
    const outcome = { response: null, calls, accepted, gained, instructions, isAccepted, fork: null };
    if (response === 'reply') outcome.response = { reply: this.#reply.view() };
    else if (response !== null) outcome.response = { error: new RejectError(4, 'IC0406', response.reject) };
    return outcome;
  }

  /** Executes an export or a callback, without settling its changes. An absent one does nothing. */
  #run(code, { mode, fork = null, limit = Infinity, ...given }, entry) {
    const { machine, stable } = code;
    const allowed = Math.min(limit, Math.floor((LIMITS[mode].instructions * this.#env.instructionPercent()) / 100));
    const facts = { mode, machine, stable, env: this.#env, self: this.#id, reply: this.#reply, limit: allowed };
    const message = new Message({ ...given, ...facts });
    if (entry === undefined) return message;
    const heapBefore = machine.image?.heap.length ?? 0;
    stable.begin(LIMITS[mode].access);
    this.#message = message;
    try {
      if (fork !== null) machine.adopt(fork.snapshot);
      machine.fuel = allowed;
      if (typeof entry === 'string') machine.run(entry);
      else machine.runCallback(entry.fun, entry.environment);
      message.finish();
      if (MEMORY_LIMITED.has(mode)) this.#checkHeap(machine.heap.length, heapBefore);
    } catch (error) {
      throw machine.fuel < 0 ? outOfInstructions() : asFault(message.fault ?? error);
    } finally {
      this.#message = null;
    }
    if (message.fault !== null) throw message.fault;
    return message;
  }

  #checkHeap(size, before) {
    const limit = this.#env.wasmMemoryLimit();
    if (limit === 0 || size <= limit || size <= before) return;
    throw new CanisterFault(
      'IC0539',
      `Canister exceeded its current Wasm memory limit of ${limit} bytes. The peak Wasm memory usage was ${size} bytes.`,
    );
  }

  #attempt(action) {
    try {
      return action();
    } catch (error) {
      throw error instanceof CanisterFault ? faultToReject(error, this.#id) : error;
    }
  }
}

/** The state of a composite query between its calls: apart from the canister's, and gone with the query. */
class Fork {
  constructor({ module, machine, stable }) {
    Object.assign(this, { module, machine, stable: stable.fork(), snapshot: machine.snapshot() });
  }

  /** Takes over what a callback changed. */
  update() {
    this.snapshot = this.machine.snapshot();
    this.stable.commit();
  }
}

/** The parts of a snapshot contradict each other. */
const unfit = (why) => new RejectError(4, 'IC0408', why);

const COMPOSITE = { Ry: 'CRy', Rt: 'CRt', C: 'CC' };
const MANAGEMENT = EMPTY;

/** Says that a module keeps its state in the heap across upgrades (Motoko's "enhanced orthogonal persistence"). */
const HEAP_PERSISTENCE = 'enhanced-orthogonal-persistence';

/**
 * Whether an upgrade keeps the heap, by `wasm_memory_persistence` (IC interface spec, "IC method install_code"): a
 * module that relies on its heap must be asked for explicitly what becomes of it, and only such a one may keep it.
 */
function mayKeepHeap(oldModule, newModule, memory) {
  if (memory === null && oldModule.metadata.has(HEAP_PERSISTENCE)) {
    const text = 'Enhanced orthogonal persistence requires the `wasm_memory_persistence` upgrade option.';
    throw new RejectError(5, 'IC0504', `Missing upgrade option: ${text}`);
  }
  if (memory === 'keep' && !newModule.metadata.has(HEAP_PERSISTENCE)) {
    const text = 'The `wasm_memory_persistence: opt Keep` upgrade option requires that the new canister module supports';
    throw new RejectError(5, 'IC0504', `Invalid upgrade option: ${text} enhanced orthogonal persistence.`);
  }
  return memory === 'keep';
}

/** What V8 throws when code traps, in the execution environment's words where they differ. */
const TRAPS = [
  [/memory access out of bounds/, 'heap out of bounds'],
  [/unreachable/, 'unreachable'],
  [/divide by zero|remainder by zero/, 'integer division by 0'],
  [/table index is out of bounds|table access out of bounds/, 'undefined table element'],
  [/null function or function signature mismatch/, 'indirect call type mismatch'],
];

function asFault(error) {
  if (error instanceof WebAssembly.RuntimeError) {
    return trapped(TRAPS.find(([pattern]) => pattern.test(error.message))?.[1] ?? error.message);
  }
  if (error instanceof RangeError && /call stack/.test(error.message)) return trapped('stack overflow');
  return error;
}
