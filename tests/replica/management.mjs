// The management canister: methods that create and control canisters, called by users and by canisters.
// Rules: IC interface spec, "The IC management canister"; refusals as the execution environment words them.

import { randomBytes } from 'node:crypto';
import { IDL } from '@icp-sdk/core/candid';
import { Principal } from '@icp-sdk/core/principal';
import * as types from './candid_types.mjs';
import { toBytes } from './candid_types.mjs';
import { DEFAULT_CYCLES } from './canister.mjs';
import { RejectError } from './engine/reject.mjs';
import { equal } from './principal.mjs';
import { DEFAULTS, readSettings, showSettings } from './settings.mjs';
import { SNAPSHOT_METHODS } from './snapshot_methods.mjs';

const CREATION_FEE = 500_000_000_000n;
const MAX_CHANGES = 20;

const encode = (type, value) => new Uint8Array(IDL.encode(type === null ? [] : [type], type === null ? [] : [value]));
const bytesOf = (principal) => principal.toUint8Array();
const principalOf = (bytes) => Principal.fromUint8Array(bytes);

const rejected = (text) => new RejectError(4, 'IC0406', text);

/**
 * Methods. argument and result: Candid types, null for none. control: a controller must call. sees: a visibility that lets
 * others call too. query: a query may. from: 'canister' when users may not call. target: the argument's field that names
 * the canister. run({ canisters, canister, caller, call, origin }, argument) changes call.cycles when it takes some. encode: of
 * what run() returns, instead of the result's type.
 */
const METHODS = {
  __proto__: null,

  provisional_create_canister_with_cycles: {
    argument: types.ProvisionalCreate,
    result: types.CanisterId,
    run: ({ canisters, caller, origin }, { amount: [cycles = DEFAULT_CYCLES], settings: [settings], specified_id: [id] }) =>
      create(canisters, { caller, origin, settings, cycles, id: id ? bytesOf(id) : null }),
  },

  provisional_top_up_canister: {
    argument: types.ProvisionalTopUp,
    result: null,
    run({ canister }, { amount }) {
      canister.cycles += amount;
    },
  },

  create_canister: {
    argument: types.CreateCanister,
    result: types.CanisterId,
    from: 'canister',
    run({ canisters, caller, call, origin }, { settings: [settings] }) {
      if (call.cycles < CREATION_FEE) {
        const fee = `Creating a canister requires a fee of ${CREATION_FEE} that is deducted from the canister's initial balance`;
        throw new RejectError(4, 'IC0403', `${fee} but only ${call.cycles} cycles were received with the create_canister request.`);
      }
      const created = create(canisters, { caller, origin, settings, cycles: call.cycles - CREATION_FEE });
      call.cycles = 0n;
      return created;
    },
  },

  update_settings: {
    argument: types.UpdateSettings,
    result: null,
    control: true,
    run: ({ canister, origin }, { settings }) => canister.updateSettings(readSettings(settings), origin),
  },

  install_code: {
    argument: types.InstallCode,
    result: null,
    control: true,
    run({ canister, caller, origin }, { mode, wasm_module: module, arg }) {
      canister.install({ ...installMode(mode), module: toBytes(module), arg: toBytes(arg), caller }, origin);
    },
  },

  upload_chunk: {
    argument: types.UploadChunk,
    result: types.ChunkHash,
    control: true,
    isControlledBy: (canister, caller) => equal(canister.id, caller),
    run: ({ canister }, { chunk }) => ({ hash: canister.chunks.add(toBytes(chunk)) }),
  },

  stored_chunks: {
    argument: types.CanisterId,
    result: types.ChunkHashes,
    control: true,
    isControlledBy: (canister, caller) => equal(canister.id, caller),
    run: ({ canister }) => canister.chunks.hashes.map((hash) => ({ hash })),
  },

  clear_chunk_store: {
    argument: types.CanisterId,
    result: null,
    control: true,
    isControlledBy: (canister, caller) => equal(canister.id, caller),
    run: ({ canister }) => canister.chunks.clear(),
  },

  install_chunked_code: {
    argument: types.InstallChunkedCode,
    result: null,
    control: true,
    target: 'target_canister',
    run({ canisters, canister, caller, origin }, { mode, store_canister: [storeId], arg, ...given }) {
      const store = storeId ? canisters.get(bytesOf(storeId)) : canister;
      if (!equal(store.id, caller)) store.requireController(caller);
      const hashes = given.chunk_hashes_list.map(({ hash }) => toBytes(hash));
      const module = store.chunks.assemble(hashes, toBytes(given.wasm_module_hash));
      canister.install({ ...installMode(mode), module, arg: toBytes(arg), caller }, origin);
    },
  },

  uninstall_code: {
    argument: types.CanisterIdVersion,
    result: null,
    control: true,
    run: ({ canister, origin }) => canister.uninstall(origin),
  },

  start_canister: {
    argument: types.CanisterId,
    result: null,
    control: true,
    run: ({ canister }) => canister.start(),
  },

  stop_canister: {
    argument: types.CanisterId,
    result: null,
    control: true,
    run: ({ canister }) => canister.stop(),
  },

  delete_canister: {
    argument: types.CanisterId,
    result: null,
    control: true,
    run({ canisters, canister, caller }) {
      if (equal(canister.id, caller)) {
        throw new RejectError(5, 'IC0512', `Canister ${canister.name} cannot delete itself.`);
      }
      if (canister.status !== 'stopped') {
        throw new RejectError(5, 'IC0510', `Canister ${canister.name} must be stopped before it is deleted.`);
      }
      canisters.delete(canister);
    },
  },

  deposit_cycles: {
    argument: types.CanisterId,
    result: null,
    from: 'canister',
    run({ canister, call }) {
      canister.cycles += call.cycles;
      call.cycles = 0n;
    },
  },

  canister_status: {
    argument: types.CanisterId,
    result: types.CanisterStatus,
    control: true,
    isControlledBy: (canister, caller) => equal(canister.id, caller),
    sees: 'status_visibility',
    query: true,
    run: ({ canister }) => statusOf(canister),
  },

  canister_info: {
    argument: types.CanisterInfoArgs,
    result: types.CanisterInfo,
    from: 'canister',
    run: ({ canister }, { num_requested_changes: [wanted = 0n] }) => infoOf(canister, Number(wanted)),
  },

  canister_metadata: {
    argument: types.CanisterMetadataArgs,
    result: types.CanisterMetadata,
    from: 'canister',
    run({ canister, caller }, { name }) {
      const section = canister.engine.metadata.get(name);
      if (section === undefined) throw rejected(`The canister ${canister.name} has no metadata section with the name ${name}.`);
      if (section.visibility === 'private') canister.requireController(caller);
      return { value: section.content };
    },
  },

  raw_rand: {
    argument: null,
    result: types.Blob,
    from: 'canister',
    run: () => new Uint8Array(randomBytes(32)),
  },

  ...SNAPSHOT_METHODS,
};

function create(canisters, { caller, origin, settings: given, cycles, id = null }) {
  const { controllers = [caller], settings } = readSettings(given);
  const facts = { controllers, cycles, settings: { ...DEFAULTS, ...settings }, id };
  return { canister_id: principalOf(canisters.create(facts, origin).id) };
}

function installMode(mode) {
  if (!('upgrade' in mode)) return { mode: Object.keys(mode)[0] };
  const { skip_pre_upgrade: [skipPreUpgrade = false] = [], wasm_memory_persistence: [memory] = [] } = mode.upgrade[0] ?? {};
  return { mode: 'upgrade', skipPreUpgrade, memory: memory ? Object.keys(memory)[0] : null };
}

const targetOf = ({ target = 'canister_id' }, values) => values[target] ?? null;

export class Management {
  #canisters;
  #decoded = new WeakMap(); // bytes of an argument -> { entry, values }: an upload of 2 MB is looked at thrice

  constructor(canisters) {
    this.#canisters = canisters;
  }

  /** @throws {RejectError} when the call is refused before it is executed */
  check(message) {
    this.#prepare(message, false);
  }

  /** @param {object} call  its cycles become what is left of them @returns {Promise<Uint8Array>} the reply */
  async call(call) {
    return this.#prepare(call, false)();
  }

  /** @returns {Promise<Uint8Array>} */
  async query(message) {
    return this.#prepare(message, true)();
  }

  /**
   * The canister a management call is about, which must be the effective canister id.
   * @returns {Uint8Array|null} null when any canister id of the subnet will do, or the argument cannot be read
   */
  effectiveCanister({ method, arg }) {
    const entry = METHODS[method];
    if (!entry?.argument) return null;
    try {
      const id = targetOf(entry, this.#decode(entry, arg));
      return id ? bytesOf(id) : null;
    } catch {
      return null;
    }
  }

  /** @throws {Error} of the Candid library */
  #decode(entry, arg) {
    if (entry.argument === null) return {};
    const known = this.#decoded.get(arg);
    if (known?.entry === entry) return known.values;
    // IDL.decode reads a view's buffer from its beginning: it gets bytes that are a buffer of their own.
    const [values] = IDL.decode([entry.argument], new Uint8Array(arg));
    this.#decoded.set(arg, { entry, values });
    return values;
  }

  /**
   * Everything that can be refused without changing anything, in the network's order.
   * @param {object} call { method, arg, caller, cycles? } and isCanister when a canister calls
   * @returns {() => object} runs the prepared call: result or a promise of it
   * @throws {RejectError}
   */
  #prepare(call, isQuery) {
    const { method, caller, isCanister = false } = call;
    const entry = METHODS[method];
    if (isQuery && !entry?.query) throw new RejectError(5, 'IC0536', `Query method ${method} not found.`);
    if (entry === undefined) throw new RejectError(4, 'IC0407', `Management canister has no method '${method}'`);
    if (entry.from === 'canister' && !isCanister) throw rejected(`${method} cannot be called by a user.`);
    const values = this.#argument(entry, call);
    const id = targetOf(entry, values);
    const canister = id === null ? null : this.#canisters.get(bytesOf(id));
    if (entry.control && !entry.isControlledBy?.(canister, caller)) {
      if (entry.sees) canister.requireSight(caller, entry.sees);
      else canister.requireController(caller);
    }
    const origin = isCanister ? { canister: caller, version: values.sender_canister_version } : { user: caller };
    const encoded = entry.encode ?? ((value) => encode(entry.result, value));
    const context = { canisters: this.#canisters, canister, caller, call, origin };
    return async () => encoded(await entry.run(context, values));
  }

  #argument(entry, { method, arg }) {
    try {
      return this.#decode(entry, arg);
    } catch (error) {
      throw new RejectError(4, 'IC0408', `Error decoding the argument of ${method}: ${error.message}`);
    }
  }
}

function statusOf(canister) {
  const { engine, memoryMetrics: metrics } = canister;
  const hash = engine.moduleHash;
  return {
    status: { [canister.status]: null },
    ready_for_migration: false,
    version: engine.version,
    settings: showSettings(canister),
    module_hash: hash ? [hash] : [],
    memory_size: canister.memorySize,
    memory_metrics: metrics,
    cycles: canister.cycles,
    reserved_cycles: 0n,
    idle_cycles_burned_per_day: 0n,
    query_stats: {
      num_calls_total: 0n,
      num_instructions_total: 0n,
      request_payload_bytes_total: 0n,
      response_payload_bytes_total: 0n,
    },
  };
}

function infoOf(canister, wanted) {
  const recent = canister.history.slice(canister.history.length - Math.min(wanted, MAX_CHANGES, canister.history.length));
  const hash = canister.engine.moduleHash;
  return {
    total_num_changes: BigInt(canister.changes),
    recent_changes: recent.map(({ at, version, origin, details }) => ({
      timestamp_nanos: at,
      canister_version: version,
      origin: origin.canister
        ? { from_canister: { canister_id: principalOf(origin.canister), canister_version: origin.version ?? [] } }
        : { from_user: { user_id: principalOf(origin.user) } },
      details: showDetails(details),
    })),
    module_hash: hash ? [hash] : [],
    controllers: canister.controllers.map(principalOf),
  };
}

function showDetails({ creation, controllers_change: change, load_snapshot: load, ...others }) {
  if (load) {
    const from = load.from_canister_id;
    return { load_snapshot: { ...load, from_canister_id: from === null ? [] : [principalOf(from)] } };
  }
  if (creation) {
    return { creation: { controllers: creation.controllers.map(principalOf), environment_variables_hash: [] } };
  }
  return change ? { controllers_change: { controllers: change.controllers.map(principalOf) } } : others;
}
