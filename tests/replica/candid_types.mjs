// Candid types of the management canister (IC interface spec, ic.did), as far as this network serves them.

import { IDL } from '@icp-sdk/core/candid';

const { Bool, Nat, Nat64, Null, Opt, Principal, Record, Text, Variant, Vec, Nat8 } = IDL;
const blob = Vec(Nat8);

const visibility = Variant({ controllers: Null, public: Null, allowed_viewers: Vec(Principal) });
const environment = Vec(Record({ name: Text, value: Text }));

const settingTypes = {
  controllers: Vec(Principal),
  compute_allocation: Nat,
  memory_allocation: Nat,
  freezing_threshold: Nat,
  reserved_cycles_limit: Nat,
  minimum_incoming_canister_call_cycles: Nat,
  wasm_memory_limit: Nat,
  wasm_memory_threshold: Nat,
  log_memory_limit: Nat, // not in ic.did, yet `icp` sends and requires it
  log_visibility: visibility,
  snapshot_visibility: visibility,
  status_visibility: visibility,
  environment_variables: environment,
};
const optional = (types) => Object.fromEntries(Object.entries(types).map(([name, type]) => [name, Opt(type)]));
const nats = (...names) => Record(Object.fromEntries(names.map((name) => [name, Nat])));

export const CanisterId = Record({ canister_id: Principal });

export const ProvisionalCreate = Record({
  amount: Opt(Nat),
  settings: Opt(Record(optional(settingTypes))),
  specified_id: Opt(Principal),
  sender_canister_version: Opt(Nat64),
});

export const InstallCode = Record({
  mode: Variant({
    install: Null,
    reinstall: Null,
    upgrade: Opt(
      Record({
        skip_pre_upgrade: Opt(Bool),
        wasm_memory_persistence: Opt(Variant({ keep: Null, replace: Null })),
      }),
    ),
  }),
  canister_id: Principal,
  wasm_module: blob,
  arg: blob,
  sender_canister_version: Opt(Nat64),
});

export const CanisterStatus = Record({
  status: Variant({ running: Null, stopping: Null, stopped: Null }),
  ready_for_migration: Bool,
  version: Nat64,
  settings: Record(settingTypes),
  module_hash: Opt(blob),
  memory_size: Nat,
  memory_metrics: nats(
    'wasm_memory_size',
    'stable_memory_size',
    'global_memory_size',
    'wasm_binary_size',
    'custom_sections_size',
    'canister_history_size',
    'wasm_chunk_store_size',
    'snapshots_size',
    'log_memory_store_size', // as log_memory_limit
  ),
  cycles: Nat,
  reserved_cycles: Nat,
  idle_cycles_burned_per_day: Nat,
  query_stats: nats(
    'num_calls_total',
    'num_instructions_total',
    'request_payload_bytes_total',
    'response_payload_bytes_total',
  ),
});
