// The management canister: methods that create and control canisters.
// Rules: IC interface spec, "The IC management canister".

import { IDL } from '@icp-sdk/core/candid';
import { Principal } from '@icp-sdk/core/principal';
import { CanisterId, CanisterStatus, InstallCode, ProvisionalCreate } from './candid_types.mjs';
import { RejectError } from './engine/reject.mjs';

const MAX_CONTROLLERS = 10;
const THIRTY_DAYS_S = 2_592_000n;

const encode = (types, values) => new Uint8Array(IDL.encode(types, values));
const NOTHING = encode([], []);

const bytesOf = (principal) => principal.toUint8Array();

/** Methods: argument type, whether a controller must call, whether a query may, and what it does. */
const METHODS = {
  provisional_create_canister_with_cycles: {
    type: ProvisionalCreate,
    run({ canisters, caller }, { amount: [cycles], settings: [settings], specified_id: [id] }) {
      const controllers = settings?.controllers[0]?.map(bytesOf) ?? [caller];
      if (controllers.length > MAX_CONTROLLERS) {
        throw new RejectError(4, 'IC0408', `Invalid settings: more than ${MAX_CONTROLLERS} controllers`);
      }
      const canister = canisters.create({ controllers, cycles, id: id ? bytesOf(id) : null });
      return encode([CanisterId], [{ canister_id: Principal.fromUint8Array(canister.id) }]);
    },
  },
  install_code: {
    type: InstallCode,
    control: true,
    async run({ canister, caller }, { mode, wasm_module: module, arg }) {
      await canister.install({ ...installMode(mode), module: toBytes(module), arg: toBytes(arg), caller });
      return NOTHING;
    },
  },
  canister_status: {
    type: CanisterId,
    control: true,
    query: true,
    run: ({ canister }) => encode([CanisterStatus], [statusOf(canister)]),
  },
  start_canister: {
    type: CanisterId,
    control: true,
    run({ canister }) {
      canister.setStatus('running');
      return NOTHING;
    },
  },
  // Calls of this network never wait for other calls, so a canister that stops has stopped.
  stop_canister: {
    type: CanisterId,
    control: true,
    run({ canister }) {
      canister.setStatus('stopped');
      return NOTHING;
    },
  },
};

function installMode(mode) {
  if (!('upgrade' in mode)) return { mode: Object.keys(mode)[0] };
  const { skip_pre_upgrade: [skipPreUpgrade = false] = [], wasm_memory_persistence: [memory] = [] } = mode.upgrade[0] ?? {};
  return { mode: 'upgrade', skipPreUpgrade, memory: memory ? Object.keys(memory)[0] : null };
}

/** Argument and result are blobs; Candid may give arrays of numbers. */
const toBytes = (blob) => (blob instanceof Uint8Array ? blob : Uint8Array.from(blob));

/** IDL.decode reads a view's buffer from its beginning: give it bytes that are a buffer of their own. */
const whole = (view) => new Uint8Array(view);

const find = (name) => (Object.hasOwn(METHODS, name) ? METHODS[name] : null);

function decode({ type }, name, arg) {
  try {
    return IDL.decode([type], whole(arg))[0];
  } catch (error) {
    throw new RejectError(4, 'IC0408', `Error decoding the argument of ${name}: ${error.message}`);
  }
}

/**
 * Everything that can be refused without changing anything, in the network's order.
 * @returns {object} the prepared call, for run()
 * @throws {RejectError}
 */
function prepare(canisters, { method, arg, caller }, query) {
  const entry = find(method);
  if (query && !entry?.query) throw new RejectError(5, 'IC0536', `Query method ${method} not found.`);
  if (entry === null) throw new RejectError(4, 'IC0407', `Management canister has no method '${method}'`);
  const values = decode(entry, method, arg);
  const canister = values.canister_id ? canisters.get(bytesOf(values.canister_id)) : null;
  if (entry.control) canister.requireController(caller);
  return () => entry.run({ canisters, canister, caller }, values);
}

/** @throws {RejectError} when the call is refused before it is executed */
export function checkManagementCall(canisters, message) {
  prepare(canisters, message, false);
}

/** @returns {Promise<Uint8Array>} */
export async function callManagement(canisters, message) {
  return prepare(canisters, message, false)();
}

/** @returns {Promise<Uint8Array>} */
export async function queryManagement(canisters, message) {
  return prepare(canisters, message, true)();
}

/**
 * The canister a management call is about, which must be the effective canister id.
 * @returns {Uint8Array|null} null when any canister id of the subnet will do, or the argument cannot be read
 */
export function effectiveCanister({ method, arg }) {
  const entry = find(method);
  if (entry === null) return null;
  try {
    const id = IDL.decode([entry.type], whole(arg))[0].canister_id;
    return id ? bytesOf(id) : null;
  } catch {
    return null;
  }
}

function statusOf(canister) {
  const { engine } = canister;
  const memory = engine.memoryMetrics;
  const metrics = {
    wasm_memory_size: memory.wasmMemory,
    stable_memory_size: memory.stableMemory,
    global_memory_size: memory.globals,
    wasm_binary_size: memory.wasmBinary,
    custom_sections_size: memory.customSections,
    canister_history_size: 0,
    wasm_chunk_store_size: 0,
    snapshots_size: 0,
    log_memory_store_size: 0,
  };
  const hash = engine.moduleHash;
  return {
    status: { [canister.status]: null },
    ready_for_migration: false,
    version: engine.version,
    settings: settingsOf(canister),
    module_hash: hash ? [hash] : [],
    memory_size: Object.values(metrics).reduce((sum, size) => sum + size, 0),
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

/** Only controllers can be chosen; the rest are the platform's defaults. */
function settingsOf(canister) {
  return {
    controllers: canister.controllers.map((bytes) => Principal.fromUint8Array(bytes)),
    compute_allocation: 0n,
    memory_allocation: 0n,
    freezing_threshold: THIRTY_DAYS_S,
    reserved_cycles_limit: 5_000_000_000_000n,
    minimum_incoming_canister_call_cycles: 0n,
    wasm_memory_limit: 3n * 2n ** 30n,
    wasm_memory_threshold: 0n,
    log_memory_limit: 4096n,
    log_visibility: { controllers: null },
    snapshot_visibility: { controllers: null },
    status_visibility: { controllers: null },
    environment_variables: [],
  };
}
