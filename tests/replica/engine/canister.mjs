// A canister with code: installs modules and executes messages on them, each one atomically.
//
// A query's changes always vanish, an update's vanish when it traps; both run on the same instance, which
// machine.mjs and stable.mjs put back. Execution is synchronous. There is no instruction metering, and
// synchronous Wasm cannot be interrupted from its own thread: a canister that loops for ever hangs the network.
//
// Status, controllers and settings are the network's business, not known here.

import { noMethod, noModule, didNotReply, faultToReject, trapped, CanisterFault, RejectError } from './reject.mjs';
import { importType, makeImports } from './ic0.mjs';
import { CanisterModule } from './module.mjs';
import { Machine } from './machine.mjs';
import { Message, ReplyBuffer } from './message.mjs';
import { PAGE, StableMemory } from './stable.mjs';
import { readState, writeState } from './state.mjs';

export { RejectError };

/** Stable memory a message may read, and may write (execution environment, stable memory access limits). */
const GIB = 2 ** 30;
const ACCESS_LIMIT = { S: 8 * GIB, I: 8 * GIB, G: 8 * GIB, U: 2 * GIB, RQ: GIB, NRQ: GIB, CQ: GIB };

const EMPTY = new Uint8Array(0);
const NEW_SYSTEM = { certifiedData: new Uint8Array(0), globalTimer: 0n };

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
   *                            cycles(), log(text)
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
   * @throws {RejectError} IC0505 not a canister module, IC0538 not empty, or what canister_init ended in
   */
  install({ mode, module: bytes, arg, caller }) {
    this.#attempt(() => {
      if (mode !== 'install' && mode !== 'reinstall') throw new TypeError(`install mode '${mode}'`);
      if (mode === 'install' && this.#code !== null) {
        throw new CanisterFault('IC0538', "the canister is not empty. Try installing with mode='reinstall' instead.");
      }
      const code = this.#load(new CanisterModule(bytes, importType), new StableMemory());
      this.#begin(code, 'canister_init', { arg, caller, system: { ...this.#system, ...NEW_SYSTEM } });
    });
  }

  /**
   * Replaces the code and keeps stable memory and certified data: canister_pre_upgrade of the old code, then the start
   * function and canister_post_upgrade of the new. Nothing changes when any of them fails.
   * @param {object} given
   * @param {Uint8Array} given.module  raw or gzip; kept
   * @param {boolean} [given.skipPreUpgrade]
   * @param {'keep'|'replace'|null} [given.memory]  what becomes of the heap; see mayKeepHeap()
   * @throws {RejectError} IC0505, IC0537 no code yet, IC0504 for the wrong `memory`, or what a hook ended in
   */
  upgrade({ module: bytes, arg, caller, skipPreUpgrade = false, memory = null }) {
    this.#attempt(() => {
      const old = this.#installed();
      const module = new CanisterModule(bytes, importType);
      const keepsHeap = mayKeepHeap(old.module, module, memory);
      try {
        let system = this.#system;
        const hook = skipPreUpgrade ? undefined : old.module.methods.get('canister_pre_upgrade');
        if (hook !== undefined) ({ system } = this.#run(old, { mode: 'G', arg: EMPTY, caller, system }, hook));
        const code = this.#load(module, old.stable);
        if (keepsHeap) code.machine.adoptHeap(old.machine.settledHeap);
        this.#begin(code, 'canister_post_upgrade', { arg, caller, system: { ...system, globalTimer: 0n } });
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
   * Runs a query method (or a composite one) without leaving a trace.
   * @returns {Promise<{reply: Uint8Array}>} the reply is a view, valid until the next call into this engine
   * @throws {RejectError}
   */
  async query({ method, arg, caller }) {
    return this.#attempt(() => {
      const { methods } = this.#installed().module;
      const plain = methods.get(`query ${method}`);
      const composite = methods.get(`composite_query ${method}`);
      if (plain === undefined && composite === undefined) throw noMethod('query', method);
      return this.#answer({ mode: plain ? 'NRQ' : 'CQ', arg, caller }, plain ?? composite);
    });
  }

  /**
   * Runs an update method, or a query method as a replicated query.
   * @returns {Promise<{reply: Uint8Array}>} as of query
   * @throws {RejectError}
   */
  async update({ method, arg, caller }) {
    return this.#attempt(() => {
      const { methods } = this.#installed().module;
      const update = methods.get(`update ${method}`);
      const query = methods.get(`query ${method}`);
      if (methods.has(`composite_query ${method}`)) {
        throw new CanisterFault('IC0527', 'Composite query cannot be called in replicated mode');
      }
      if (update === undefined && query === undefined) throw noMethod('update', method);
      return this.#answer({ mode: update ? 'U' : 'RQ', arg, caller }, update ?? query);
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
  }

  /** Runs a method and settles the changes: an update's are kept, whether it replied or rejected. */
  #answer(given, exported) {
    const code = this.#code;
    let kept = false;
    try {
      const message = this.#run(code, { ...given, system: this.#system }, exported);
      if (message.response === null) throw didNotReply();
      if (given.mode === 'U') {
        code.machine.commit();
        code.stable.commit();
        this.#system = { ...message.system, version: this.#system.version + 1n };
        kept = true;
      }
      if (message.response !== 'reply') throw new RejectError(4, 'IC0406', message.response.reject);
      return { reply: this.#reply.view() };
    } finally {
      if (!kept) {
        code.machine.discard();
        code.stable.rollback();
      }
    }
  }

  /** Executes one export, without settling its changes. An absent export does nothing. */
  #run(code, { mode, arg, caller, system }, exported) {
    const { machine, stable } = code;
    const message = new Message({
      mode,
      arg,
      caller,
      system,
      machine,
      stable,
      env: this.#env,
      self: this.#id,
      reply: this.#reply,
    });
    if (exported === undefined) return message;
    stable.begin(ACCESS_LIMIT[mode]);
    this.#message = message;
    try {
      machine.run(exported);
    } catch (error) {
      throw asFault(message.fault ?? error);
    } finally {
      this.#message = null;
    }
    if (message.fault !== null) throw message.fault;
    return message;
  }

  #attempt(action) {
    try {
      return action();
    } catch (error) {
      throw error instanceof CanisterFault ? faultToReject(error, this.#id) : error;
    }
  }
}

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
