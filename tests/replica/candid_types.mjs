// Candid types of the management canister (IC interface spec, ic.did), as far as this network serves them.

import { IDL } from '@icp-sdk/core/candid';

const { Bool, Nat, Nat64, Null, Opt, Principal, Record, Reserved, Text, Variant, Vec, Nat8 } = IDL;
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
const senderVersion = { sender_canister_version: Opt(Nat64) };

/** What a creating or changing call says of settings. */
export const Settings = Record(optional(settingTypes));

export const CanisterId = Record({ canister_id: Principal });
export const CanisterIdVersion = Record({ canister_id: Principal, ...senderVersion });

export const ProvisionalCreate = Record({
  amount: Opt(Nat),
  settings: Opt(Settings),
  specified_id: Opt(Principal),
  ...senderVersion,
});

export const ProvisionalTopUp = Record({ canister_id: Principal, amount: Nat });

export const CreateCanister = Record({ settings: Opt(Settings), ...senderVersion });

export const UpdateSettings = Record({ canister_id: Principal, settings: Settings, ...senderVersion });

const installMode = Variant({
  install: Null,
  reinstall: Null,
  upgrade: Opt(
    Record({
      skip_pre_upgrade: Opt(Bool),
      wasm_memory_persistence: Opt(Variant({ keep: Null, replace: Null })),
    }),
  ),
});

export const InstallCode = Record({
  mode: installMode,
  canister_id: Principal,
  wasm_module: blob,
  arg: blob,
  ...senderVersion,
});

export const ChunkHash = Record({ hash: blob });
export const ChunkHashes = Vec(ChunkHash);

export const UploadChunk = Record({ canister_id: Principal, chunk: blob });

export const InstallChunkedCode = Record({
  mode: installMode,
  target_canister: Principal,
  store_canister: Opt(Principal),
  chunk_hashes_list: ChunkHashes,
  wasm_module_hash: blob,
  arg: blob,
  ...senderVersion,
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

const snapshotSource = Variant({ taken_from_canister: Reserved, metadata_upload: Reserved });

export const CanisterInfoArgs = Record({ canister_id: Principal, num_requested_changes: Opt(Nat64) });

export const CanisterInfo = Record({
  total_num_changes: Nat64,
  recent_changes: Vec(
    Record({
      timestamp_nanos: Nat64,
      canister_version: Nat64,
      origin: Variant({
        from_user: Record({ user_id: Principal }),
        from_canister: Record({ canister_id: Principal, canister_version: Opt(Nat64) }),
      }),
      details: Variant({
        creation: Record({ controllers: Vec(Principal), environment_variables_hash: Opt(blob) }),
        code_uninstall: Null,
        code_deployment: Record({
          mode: Variant({ install: Null, reinstall: Null, upgrade: Null }),
          module_hash: blob,
        }),
        controllers_change: Record({ controllers: Vec(Principal) }),
        load_snapshot: Record({
          canister_version: Nat64,
          snapshot_id: blob,
          taken_at_timestamp: Nat64,
          source: snapshotSource,
          from_canister_id: Opt(Principal),
        }),
      }),
    }),
  ),
  module_hash: Opt(blob),
  controllers: Vec(Principal),
});

export const CanisterMetadataArgs = Record({ canister_id: Principal, name: Text });
export const CanisterMetadata = Record({ value: blob });

const snapshotOfCanister = { canister_id: Principal, snapshot_id: blob };

export const Snapshot = Record({ id: blob, taken_at_timestamp: Nat64, total_size: Nat64 });
export const SnapshotList = Vec(Snapshot);
export const SnapshotArgs = Record(snapshotOfCanister);

export const TakeSnapshot = Record({
  canister_id: Principal,
  replace_snapshot: Opt(blob),
  uninstall_code: Opt(Bool),
  ...senderVersion,
});

export const LoadSnapshot = Record({ ...snapshotOfCanister, ...senderVersion });

/** What both the metadata read and the metadata uploaded say. */
const snapshotMetadata = {
  wasm_module_size: Nat64,
  globals: Vec(Variant({ i32: IDL.Int32, i64: IDL.Int64, f32: IDL.Float32, f64: IDL.Float64, v128: Nat })),
  wasm_memory_size: Nat64,
  stable_memory_size: Nat64,
  certified_data: blob,
  global_timer: Opt(Variant({ inactive: Null, active: Nat64 })),
  on_low_wasm_memory_hook_status: Opt(Variant({ condition_not_satisfied: Null, ready: Null, executed: Null })),
};

export const SnapshotMetadata = Record({
  ...snapshotMetadata,
  source: snapshotSource,
  taken_at_timestamp: Nat64,
  canister_version: Nat64,
  wasm_chunk_store: Vec(Record({ hash: blob })),
});

export const UploadSnapshotMetadata = Record({
  ...snapshotMetadata,
  canister_id: Principal,
  replace_snapshot: Opt(blob),
});
export const SnapshotId = Record({ snapshot_id: blob });

const slice = Record({ offset: Nat64, size: Nat64 });
const place = Record({ offset: Nat64 });

export const ReadSnapshotData = Record({
  ...snapshotOfCanister,
  kind: Variant({ wasm_module: slice, wasm_memory: slice, stable_memory: slice, wasm_chunk: Record({ hash: blob }) }),
});
export const SnapshotData = Record({ chunk: blob });

export const UploadSnapshotData = Record({
  ...snapshotOfCanister,
  kind: Variant({ wasm_module: place, wasm_memory: place, stable_memory: place, wasm_chunk: Null }),
  chunk: blob,
});

export const Blob = blob;

/** Blobs in arguments and results; Candid may give arrays of numbers. */
export const toBytes = (value) => (value instanceof Uint8Array ? value : Uint8Array.from(value));

/** Of the cycles ledger and the cycles minting canister. */
export const Account = Record({ owner: Principal, subaccount: Opt(blob) });

export const LedgerCreateArgs = Record({
  from_subaccount: Opt(blob),
  created_at_time: Opt(Nat64),
  amount: Nat,
  creation_args: Opt(
    Record({
      subnet_selection: Opt(Variant({ Subnet: Record({ subnet: Principal }), Filter: Reserved })),
      settings: Opt(Settings),
    }),
  ),
});

export const LedgerCreateResult = Variant({
  Ok: Record({ block_id: Nat, canister_id: Principal }),
  Err: Variant({
    InsufficientFunds: Record({ balance: Nat }),
    TooOld: Null,
    CreatedInFuture: Record({ ledger_time: Nat64 }),
    Duplicate: Record({ duplicate_of: Nat, canister_id: Opt(Principal) }),
    FailedToCreate: Record({ fee_block: Opt(Nat), refund_block: Opt(Nat), error: Text }),
    TemporarilyUnavailable: Null,
    GenericError: Record({ message: Text, error_code: Nat }),
  }),
});

export const LedgerDepositArgs = Record({ to: Account, memo: Opt(blob) });
export const LedgerDepositResult = Record({ block_index: Nat, balance: Nat });

export const LedgerWithdrawArgs = Record({
  amount: Nat,
  from_subaccount: Opt(blob),
  to: Principal,
  created_at_time: Opt(Nat64),
});

export const LedgerWithdrawResult = Variant({
  Ok: Nat,
  Err: Variant({
    InsufficientFunds: Record({ balance: Nat }),
    InvalidReceiver: Record({ receiver: Principal }),
    GenericError: Record({ message: Text, error_code: Nat }),
  }),
});
