// The System API: every function of module "ic0" (IC interface spec, "Overview of imports"), as a table of
// name, type, the execution contexts that may call it, and what it does with the current message.
//
// Types are written with I for the pointer type: i32, or i64 when the canister's memory is 64-bit. Arguments of
// type I arrive as unsigned Numbers, i64 as BigInt, i32 as Number.
//
// Cycles move between canisters, and nothing is charged for execution or storage.

import { calledTrap, contractViolation, trapped } from './reject.mjs';
import { MAX_PRINCIPAL_BYTES, MODE_NAMES } from './message.mjs';

const ALL = 'I G U RQ NRQ TQ CQ Ry Rt CRy CRt C CC F T'; // everywhere but start
const WITH_START = `${ALL} S`;
const ARGUMENT = 'I U RQ NRQ TQ CQ Ry CRy F';
const ANSWER = 'U RQ NRQ TQ CQ Ry Rt CRy CRt';
const CALL = 'U CQ Ry Rt CRy CRt T';
const CALLER_INFO = 'U RQ NRQ CQ Ry Rt CRy CRt C CC F';

const EMPTY = new Uint8Array(0);

/** name -> { type, modes, only32?, run(message, ...arguments) } */
const FUNCTIONS = new Map();

function define(name, type, modes, run, only32 = false) {
  FUNCTIONS.set(name, { type, modes: new Set(modes.split(' ')), run, only32 });
}

/** NAME_size and NAME_copy over bytes of the message. */
function defineBytes(name, modes, bytes) {
  define(`${name}_size`, '-> I', modes, (m) => bytes(m).length);
  define(`${name}_copy`, 'I I I ->', modes, (m, dst, offset, size) =>
    m.copyOut(`${name}_copy`, bytes(m), dst, offset, size),
  );
}

// --- the call ---

defineBytes('msg_arg_data', ARGUMENT, (m) => m.arg);
defineBytes('msg_caller', ALL, (m) => m.caller);
defineBytes('msg_caller_info_data', CALLER_INFO, () => EMPTY);
defineBytes('msg_caller_info_signer', CALLER_INFO, () => EMPTY);
defineBytes('msg_reject_msg', 'Rt CRt', (m) => Buffer.from(m.rejection.message));
defineBytes('msg_method_name', 'F', (m) => Buffer.from(m.method));
define('msg_reject_code', '-> i32', 'Ry Rt CRy CRt C', (m) => m.rejection.code);
define('msg_deadline', '-> i64', 'U RQ NRQ CQ Ry Rt CRy CRt', (m) => m.call.deadline);
define('accept_message', '->', 'F', (m) => {
  if (m.isAccepted) throw contractViolation('ic0.accept_message: the message has already been accepted');
  m.isAccepted = true;
});

define('msg_reply_data_append', 'I I ->', ANSWER, (m, src, size) => m.appendReply(src, size));
define('msg_reply', '->', ANSWER, (m) => {
  m.assertOpen('msg_reply');
  m.response = 'reply';
});
define('msg_reject', 'I I ->', ANSWER, (m, src, size) => m.reject(src, size));

define('debug_print', 'I I ->', WITH_START, (m, src, size) => m.env.log(m.text(src, size)));
define('trap', 'I I ->', WITH_START, (m, src, size) => {
  throw calledTrap(m.text(src, size));
});

// --- cycles: 128-bit numbers, little endian ---

const unsigned = (i64) => Number(BigInt.asUintN(64, i64));
const wide = (high, low) => (BigInt.asUintN(64, high) << 64n) | BigInt.asUintN(64, low);
const put128 = (m, dst, amount) => {
  const target = m.view(dst, 16);
  const view = new DataView(target.buffer, target.byteOffset, 16);
  view.setBigUint64(0, BigInt.asUintN(64, amount), true);
  view.setBigUint64(8, amount >> 64n, true);
};
const fits64 = (amount) => {
  if (amount >> 64n !== 0n) throw trapped('an amount of cycles does not fit 64 bits');
  return amount;
};
/** NAME128, which writes an amount to the heap, and NAME, which returns it, for 32-bit modules only. */
function defineAmount(name, modes, amount) {
  define(`${name}128`, 'I ->', modes, (m, dst) => put128(m, dst, amount(m)));
  define(name, '-> i64', modes, (m) => fits64(amount(m)), true);
}

defineAmount('canister_cycle_balance', ALL, (m) => m.balance);
define('canister_liquid_cycle_balance128', 'I ->', ALL, (m, dst) => put128(m, dst, m.balance));
defineAmount('msg_cycles_available', 'U RQ Rt Ry', (m) => m.available);
defineAmount('msg_cycles_refunded', 'Rt Ry', (m) => m.refunded);
define('msg_cycles_accept128', 'i64 i64 I ->', 'U RQ Rt Ry', (m, high, low, dst) => {
  m.view(dst, 16); // before anything is taken
  put128(m, dst, m.acceptCycles(wide(high, low)));
});
define('msg_cycles_accept', 'i64 -> i64', 'U RQ Rt Ry', (m, most) => m.acceptCycles(wide(0n, most)), true);
define('cycles_burn128', 'i64 i64 I ->', 'I G U RQ Ry Rt C T', (m, high, low, dst) => {
  m.view(dst, 16);
  put128(m, dst, m.burnCycles(wide(high, low)));
});

// --- calls to other canisters ---

define('call_new', 'I I I I I I I I ->', CALL, (m, callee, calleeSize, name, nameSize, reply, replyEnv, reject, rejectEnv) =>
  m.newCall(
    [callee, calleeSize],
    [name, nameSize],
    { fun: reply, environment: replyEnv },
    { fun: reject, environment: rejectEnv },
  ),
);
define('call_on_cleanup', 'I I ->', CALL, (m, fun, environment) => m.onCleanup(fun, environment));
define('call_data_append', 'I I ->', CALL, (m, src, size) => m.appendCallData(src, size));
define('call_with_best_effort_response', 'i32 ->', CALL, (m, seconds) => m.waitAtMost(seconds >>> 0));
define('call_cycles_add128', 'i64 i64 ->', 'U Ry Rt T', (m, high, low) => m.addCycles(wide(high, low)));
define('call_cycles_add', 'i64 ->', 'U Ry Rt T', (m, amount) => m.addCycles(wide(0n, amount)), true);
define('call_perform', '-> i32', CALL, (m) => {
  m.performCall();
  return 0; // queues are never full here
});

// --- the canister and its network ---

defineBytes('canister_self', ALL, (m) => m.self);
defineBytes('subnet_self', ALL, (m) => m.env.subnetId);
defineBytes('root_key', 'I G U RQ Ry Rt C T', (m) => m.env.rootKey);
define('canister_status', '-> i32', ALL, (m) => m.env.status());
define('canister_version', '-> i64', ALL, (m) => m.system.version);
define('time', '-> i64', ALL, (m) => m.time);
define('in_replicated_execution', '-> i32', WITH_START, (m) => Number(m.replicated));
define('is_controller', 'I I -> i32', WITH_START, (m, src, size) => {
  if (size > MAX_PRINCIPAL_BYTES) throw trapped(`ic0.is_controller: a principal of ${size} bytes`);
  return Number(m.env.isController(m.view(src, size).slice()));
});
define('performance_counter', 'i32 -> i64', WITH_START, (m, kind) => {
  if (kind !== 0 && kind !== 1) throw trapped(`ic0.performance_counter: no counter ${kind}`);
  return BigInt(m.instructions + (kind === 1 ? m.call.instructions : 0));
});
define('global_timer_set', 'i64 -> i64', 'I G U Ry Rt C T', (m, time) => {
  const before = m.system.globalTimer;
  m.system.globalTimer = BigInt.asUintN(64, time);
  return before;
});

define('certified_data_set', 'I I ->', 'I G U Ry Rt T', (m, src, size) => {
  const bytes = m.view(src, size);
  if (size > 32) throw contractViolation(`ic0.certified_data_set: ${size} bytes, at most 32`);
  m.system.certifiedData = bytes.slice();
});
defineBytes('data_certificate', 'NRQ CQ', (m) => {
  if (m.dataCertificate === null) throw contractViolation('ic0.data_certificate: there is no certificate');
  return m.dataCertificate;
});
define('data_certificate_present', '-> i32', ALL, (m) => Number(!m.replicated && m.dataCertificate !== null));

define('env_var_count', '-> I', ALL, (m) => m.env.variables().length);
define('env_var_name_exists', 'I I -> i32', ALL, (m, src, size) => Number(variableNamed(m, src, size) !== undefined));
define('env_var_name_size', 'I -> I', ALL, (m, index) => variableAt(m, index).length);
define('env_var_name_copy', 'I I I I ->', ALL, (m, index, dst, offset, size) =>
  m.copyOut('env_var_name_copy', variableAt(m, index), dst, offset, size),
);
define('env_var_value_size', 'I I -> I', ALL, (m, src, size) => valueOf(m, src, size).length);
define('env_var_value_copy', 'I I I I I ->', ALL, (m, src, size, dst, offset, length) =>
  m.copyOut('env_var_value_copy', valueOf(m, src, size), dst, offset, length),
);

const noVariable = () => trapped('ic0.env_var: there is no such environment variable');

function variableAt(m, index) {
  const variable = m.env.variables()[index];
  if (variable === undefined) throw noVariable();
  return Buffer.from(variable.name);
}

function variableNamed(m, src, size) {
  const name = m.text(src, size);
  return m.env.variables().find((variable) => variable.name === name);
}

function valueOf(m, src, size) {
  const variable = variableNamed(m, src, size);
  if (variable === undefined) throw noVariable();
  return Buffer.from(variable.value);
}

// --- stable memory: offsets and sizes of the 64-bit calls are i64 with either pointer type ---

define('stable64_size', '-> i64', WITH_START, (m) => BigInt(m.stable.pages));
define('stable64_grow', 'i64 -> i64', WITH_START, (m, pages) => BigInt(m.stable.grow(unsigned(pages))));
define('stable64_read', 'i64 i64 i64 ->', WITH_START, (m, dst, offset, size) => {
  m.stable.read(unsigned(offset), m.view(unsigned(dst), unsigned(size)));
});
define('stable64_write', 'i64 i64 i64 ->', WITH_START, (m, offset, src, size) => {
  m.stable.write(unsigned(offset), m.view(unsigned(src), unsigned(size)));
});
define('stable_size', '-> i32', WITH_START, (m) => (m.stable.assert32bit(), m.stable.pages), true);
define('stable_grow', 'i32 -> i32', WITH_START, (m, pages) => m.stable.grow32(pages >>> 0), true);
define(
  'stable_read',
  'i32 i32 i32 ->',
  WITH_START,
  (m, dst, offset, size) => {
    m.stable.assert32bit();
    m.stable.read(offset >>> 0, m.view(dst >>> 0, size >>> 0));
  },
  true,
);
define(
  'stable_write',
  'i32 i32 i32 ->',
  WITH_START,
  (m, offset, src, size) => {
    m.stable.assert32bit();
    m.stable.write(offset >>> 0, m.view(src >>> 0, size >>> 0));
  },
  true,
);

// --- what things would cost: cycles on a subnet of 13 nodes (cycle cost tables of the developer documentation) ---

const COST = {
  call: 260_000n,
  callByte: 1_000n,
  createCanister: 500_000_000_000n,
  httpRequest: 49_140_000n,
  httpRequestByte: 5_200n,
  httpResponseByte: 10_400n,
  signature: 26_153_846_153n,
};
const CURVES = { cost_sign_with_ecdsa: 1, cost_sign_with_schnorr: 2, cost_vetkd_derive_key: 1 };
const KEYS = ['key_1', 'test_key_1', 'dfx_test_key'];

define('cost_call', 'i64 i64 I ->', WITH_START, (m, name, payload, dst) =>
  put128(m, dst, COST.call + COST.callByte * (wide(0n, name) + wide(0n, payload))),
);
define('cost_create_canister', 'I ->', WITH_START, (m, dst) => put128(m, dst, COST.createCanister));
define('cost_http_request', 'i64 i64 I ->', WITH_START, (m, request, response, dst) =>
  put128(
    m,
    dst,
    COST.httpRequest + COST.httpRequestByte * wide(0n, request) + COST.httpResponseByte * wide(0n, response),
  ),
);
for (const [name, curves] of Object.entries(CURVES)) {
  // 1: no such curve or algorithm, 2: no such key
  define(name, 'I I i32 I -> i32', WITH_START, (m, src, size, curve, dst) => {
    const key = m.text(src, size);
    if (curve >>> 0 >= curves) return 1;
    if (!KEYS.includes(key)) return 2;
    put128(m, dst, COST.signature);
    return 0;
  });
}

/** The Wasm type of an ic0 function, or undefined when a module with this pointer type cannot import it. */
export function importType(name, pointer) {
  const entry = FUNCTIONS.get(name);
  if (entry === undefined || (entry.only32 && pointer !== 'i32')) return undefined;
  return entry.type.replaceAll('I', pointer);
}

/**
 * The import object for a module.
 * @param {'i32'|'i64'} pointer
 * @param {() => import('./message.mjs').Message} current  the message being executed
 */
export function makeImports(pointer, current) {
  const imports = {};
  for (const [name, entry] of FUNCTIONS) {
    if (!entry.only32 || pointer === 'i32') imports[name] = link(name, entry, pointer, current);
  }
  return imports;
}

function link(name, { type, modes, run }, pointer, current) {
  const [params, results] = type.split('->').map((side) => side.trim().split(' ').filter(Boolean));
  const pointers = params.flatMap((param, i) => (param === 'I' ? [i] : []));
  const incoming = pointer === 'i64' ? unsigned : (value) => value >>> 0;
  const outgoing = results[0] === 'I' && pointer === 'i64' ? BigInt : (value) => value;
  return (...args) => {
    const message = current();
    try {
      if (!modes.has(message.mode)) {
        throw contractViolation(`"ic0_${name}" cannot be executed in ${MODE_NAMES[message.mode]} mode`);
      }
      message.charge(0);
      for (const i of pointers) args[i] = incoming(args[i]);
      return outgoing(run(message, ...args));
    } catch (error) {
      message.fault ??= error;
      throw error;
    }
  };
}
