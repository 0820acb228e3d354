// The System API: every function of module "ic0" (IC interface spec, "Overview of imports"), as a table of
// name, type, the execution contexts that may call it, and what it does with the current message.
//
// Types are written with I for the pointer type: i32, or i64 when the canister's memory is 64-bit. Arguments of
// type I arrive as unsigned Numbers, i64 as BigInt, i32 as Number.
//
// Linked but not supported yet (they trap and say so): inter-canister calls (call_*) and the cost_* functions.
// Functions for contexts the engine does not run yet (reply and reject callbacks, inspect_message) are refused
// for their context. There is no cycle accounting: balances come from the network, nothing is ever transferred.

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

function defineUnsupported(name, type, modes, only32 = false) {
  define(
    name,
    type,
    modes,
    () => {
      throw trapped(`ic0.${name} is not supported yet by this local network`);
    },
    only32,
  );
}

// --- the call ---

defineBytes('msg_arg_data', ARGUMENT, (m) => m.arg);
defineBytes('msg_caller', ALL, (m) => m.caller);
defineBytes('msg_caller_info_data', CALLER_INFO, () => EMPTY);
defineBytes('msg_caller_info_signer', CALLER_INFO, () => EMPTY);
defineBytes('msg_reject_msg', 'Rt CRt', () => EMPTY);
defineBytes('msg_method_name', 'F', () => EMPTY);
define('msg_reject_code', '-> i32', 'Ry Rt CRy CRt C', () => 0);
define('msg_deadline', '-> i64', 'U RQ NRQ CQ Ry Rt CRy CRt', () => 0n);
define('accept_message', '->', 'F', () => {});

define('msg_reply_data_append', 'I I ->', ANSWER, (m, src, size) => m.appendReply(src, size));
define('msg_reply', '->', ANSWER, (m) => {
  m.assertOpen('msg_reply');
  m.response = 'reply';
});
define('msg_reject', 'I I ->', ANSWER, (m, src, size) => {
  const text = m.text(src, size);
  m.assertOpen('msg_reject');
  m.assertPayload('msg_reject', size);
  m.response = { reject: text };
});

define('debug_print', 'I I ->', WITH_START, (m, src, size) => m.env.log(m.text(src, size)));
define('trap', 'I I ->', WITH_START, (m, src, size) => {
  throw calledTrap(m.text(src, size));
});

// --- cycles: 128-bit numbers, little endian ---

const zero128 = (m, dst) => m.view(dst, 16).fill(0);
const balance128 = (m, dst) => {
  const target = m.view(dst, 16);
  const view = new DataView(target.buffer, target.byteOffset, 16);
  view.setBigUint64(0, BigInt.asUintN(64, m.env.cycles()), true);
  view.setBigUint64(8, m.env.cycles() >> 64n, true);
};
define('canister_cycle_balance128', 'I ->', ALL, balance128);
define('canister_liquid_cycle_balance128', 'I ->', ALL, balance128);
define(
  'canister_cycle_balance',
  '-> i64',
  ALL,
  (m) => {
    if (m.env.cycles() >> 64n !== 0n) throw trapped('cycle balance does not fit 64 bits');
    return m.env.cycles();
  },
  true,
);
define('msg_cycles_available128', 'I ->', 'U RQ Rt Ry', zero128);
define('msg_cycles_available', '-> i64', 'U RQ Rt Ry', () => 0n, true);
define('msg_cycles_refunded128', 'I ->', 'Rt Ry', zero128);
define('msg_cycles_refunded', '-> i64', 'Rt Ry', () => 0n, true);
define('msg_cycles_accept128', 'i64 i64 I ->', 'U RQ Rt Ry', (m, _high, _low, dst) => zero128(m, dst));
define('msg_cycles_accept', 'i64 -> i64', 'U RQ Rt Ry', () => 0n, true);
define('cycles_burn128', 'i64 i64 I ->', 'I G U RQ Ry Rt C T', (m, _high, _low, dst) => zero128(m, dst));

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
  // Instructions are not counted; nanoseconds grow the same way.
  if (kind !== 0 && kind !== 1) throw trapped(`ic0.performance_counter: no counter ${kind}`);
  return process.hrtime.bigint() - m.startedNs;
});
define('global_timer_set', 'i64 -> i64', 'I G U Ry Rt C T', (m, time) => {
  // Kept and returned; nothing fires it yet.
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

define('env_var_count', '-> I', ALL, () => 0);
define('env_var_name_exists', 'I I -> i32', ALL, (m, src, size) => (m.view(src, size), 0));
const noVariable = () => {
  throw trapped('ic0.env_var: there is no such environment variable');
};
define('env_var_name_size', 'I -> I', ALL, noVariable);
define('env_var_name_copy', 'I I I I ->', ALL, noVariable);
define('env_var_value_size', 'I I -> I', ALL, noVariable);
define('env_var_value_copy', 'I I I I I ->', ALL, noVariable);

// --- stable memory: offsets and sizes of the 64-bit calls are i64 with either pointer type ---

const unsigned = (i64) => Number(BigInt.asUintN(64, i64));
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

// --- not supported yet ---

defineUnsupported('call_new', 'I I I I I I I I ->', CALL);
defineUnsupported('call_on_cleanup', 'I I ->', CALL);
defineUnsupported('call_data_append', 'I I ->', CALL);
defineUnsupported('call_with_best_effort_response', 'i32 ->', CALL);
defineUnsupported('call_cycles_add128', 'i64 i64 ->', 'U Ry Rt T');
defineUnsupported('call_cycles_add', 'i64 ->', 'U Ry Rt T', true);
defineUnsupported('call_perform', '-> i32', CALL);
defineUnsupported('cost_call', 'i64 i64 I ->', ALL);
defineUnsupported('cost_create_canister', 'I ->', ALL);
defineUnsupported('cost_http_request', 'i64 i64 I ->', ALL);
for (const name of ['cost_sign_with_ecdsa', 'cost_sign_with_schnorr', 'cost_vetkd_derive_key']) {
  defineUnsupported(name, 'I I i32 I -> i32', ALL);
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
      for (const i of pointers) args[i] = incoming(args[i]);
      return outgoing(run(message, ...args));
    } catch (error) {
      message.fault ??= error;
      throw error;
    }
  };
}
