// The management canister's methods for snapshots; the form of an entry is told in management.mjs.
// Rules: IC interface spec, "IC method take_canister_snapshot" and those after it; refusals as the execution environment
// words them. Viewers whom the setting snapshot_visibility allows may list and read, and nothing else.

import { IDL } from '@icp-sdk/core/candid';
import * as types from './candid_types.mjs';
import { toBytes } from './candid_types.mjs';
import { RejectError } from './engine/reject.mjs';
import { leb128 } from './hash.mjs';
import { hexOf, textOf } from './principal.mjs';
import { ownerOf, refused } from './snapshots.mjs';

/** Names in Candid to those of a snapshot's parts. */
const PARTS = { wasm_module: 'module', wasm_memory: 'heap', stable_memory: 'stable', wasm_chunk: 'chunk' };

export const SNAPSHOT_METHODS = {
  take_canister_snapshot: {
    argument: types.TakeSnapshot,
    result: types.Snapshot,
    control: true,
    run(context, { replace_snapshot: replaced, uninstall_code: [uninstall = false] }) {
      const { canister, origin } = context;
      const snapshot = canister.snapshots.take(toReplace(context, replaced));
      if (uninstall) canister.uninstall(origin);
      return shown(snapshot);
    },
  },

  list_canister_snapshots: {
    argument: types.CanisterId,
    result: types.SnapshotList,
    control: true,
    sees: 'snapshot_visibility',
    run: ({ canister }) => [...canister.snapshots].map(shown),
  },

  delete_canister_snapshot: {
    argument: types.SnapshotArgs,
    result: null,
    control: true,
    run: (context, { snapshot_id: id }) => context.canister.snapshots.delete(own(context, id)),
  },

  load_canister_snapshot: {
    argument: types.LoadSnapshot,
    result: null,
    control: true,
    run(context, { snapshot_id: id }) {
      const { canister, caller, origin } = context;
      const { snapshot, owner } = find(context, id);
      if (owner !== canister) requireLoadable(snapshot, owner, canister, caller);
      canister.loadSnapshot(snapshot, owner, origin);
    },
  },

  read_canister_snapshot_metadata: {
    argument: types.SnapshotArgs,
    result: types.SnapshotMetadata,
    control: true,
    sees: 'snapshot_visibility',
    run: (context, { snapshot_id: id }) => metadataOf(own(context, id)),
  },

  read_canister_snapshot_data: {
    argument: types.ReadSnapshotData,
    result: types.SnapshotData,
    encode: encodeChunk,
    control: true,
    sees: 'snapshot_visibility',
    run(context, { snapshot_id: id, kind }) {
      const snapshot = own(context, id);
      const [[name, { hash, offset, size }]] = Object.entries(kind);
      const part = PARTS[name];
      return part === 'chunk' ? snapshot.readChunk(toBytes(hash)) : snapshot.read(part, offset, size);
    },
  },

  upload_canister_snapshot_metadata: {
    argument: types.UploadSnapshotMetadata,
    result: types.SnapshotId,
    control: true,
    run(context, { replace_snapshot: replaced, ...metadata }) {
      const snapshot = context.canister.snapshots.declare(declared(metadata), toReplace(context, replaced));
      return { snapshot_id: snapshot.id };
    },
  },

  upload_canister_snapshot_data: {
    argument: types.UploadSnapshotData,
    result: null,
    control: true,
    run(context, { snapshot_id: id, kind, chunk }) {
      const snapshot = own(context, id);
      const [[name, place]] = Object.entries(kind);
      context.canister.snapshots.upload(snapshot, PARTS[name], place?.offset, toBytes(chunk));
    },
  },
};

/** @throws {RejectError} IC0305 */
function find({ canisters, canister }, blob) {
  const id = toBytes(blob);
  const owner = canisters.find(ownerOf(id));
  const snapshot = owner?.snapshots.find(id) ?? null;
  if (snapshot === null) {
    throw new RejectError(3, 'IC0305', `Could not find the snapshot ID ${hexOf(id)} for canister ${canister.name}.`);
  }
  return { snapshot, owner };
}

/** A snapshot of the very canister. @throws {RejectError} IC0305, IC0406 */
function own(context, blob) {
  const { snapshot, owner } = find(context, blob);
  if (owner === context.canister) return snapshot;
  throw refused(`The snapshot ${hexOf(snapshot.id)} does not belong to canister ${context.canister.name}.`);
}

const toReplace = (context, [id]) => (id === undefined ? null : own(context, id));

/** May a snapshot of another canister be loaded, and already? @throws {RejectError} IC0406 */
function requireLoadable(snapshot, owner, canister, caller) {
  const id = hexOf(snapshot.id);
  if (!owner.isController(caller)) {
    const who = `Only a controller of the canister that snapshot ${id} belongs to can load it on canister ${canister.name}.`;
    throw refused(`${who} Sender: ${textOf(caller)}.`);
  }
  if (canister.isCheckpointed(snapshot.changedAt)) return;
  const when = 'Try again later. The call should succeed if you wait sufficiently long (usually ten minutes).';
  throw refused(`Snapshot ${id} is not currently loadable on the specified canister ${canister.name}. ${when}`);
}

/** A reply of SnapshotData without the copies that IDL.encode makes: its bytes with no chunk end in the chunk's length. */
const NO_CHUNK = new Uint8Array(IDL.encode([types.SnapshotData], [{ chunk: [] }]));

function encodeChunk(chunk) {
  return Buffer.concat([NO_CHUNK.subarray(0, -1), leb128(chunk.length), chunk]);
}

const shown = ({ id, takenAt, size }) => ({ id, taken_at_timestamp: takenAt, total_size: size });

const optional = (value, form) => (value === undefined ? [] : [form(value)]);

function metadataOf(snapshot) {
  return {
    source: { [snapshot.source]: null },
    taken_at_timestamp: snapshot.takenAt,
    wasm_module_size: snapshot.module.length,
    globals: snapshot.globals.map(({ type, value }) => ({ [type]: value })),
    wasm_memory_size: snapshot.heapBytes,
    stable_memory_size: snapshot.stableBytes,
    wasm_chunk_store: snapshot.chunks.hashes.map((hash) => ({ hash })),
    canister_version: snapshot.version,
    certified_data: snapshot.certifiedData,
    global_timer: optional(snapshot.globalTimer, (time) => (time === 0n ? { inactive: null } : { active: time })),
    on_low_wasm_memory_hook_status: optional(snapshot.memoryHook, (status) => ({ [status]: null })),
  };
}

/** What an upload says beforehand, as Snapshots.declare() takes it. */
function declared({ globals, certified_data: certifiedData, global_timer: [timer], ...metadata }) {
  const { on_low_wasm_memory_hook_status: [hook] } = metadata;
  return {
    moduleSize: metadata.wasm_module_size,
    heapSize: metadata.wasm_memory_size,
    stableSize: metadata.stable_memory_size,
    globals: globals.map((global) => {
      const [[type, value]] = Object.entries(global);
      return { type, value };
    }),
    certifiedData: toBytes(certifiedData),
    globalTimer: timer && (timer.active ?? 0n),
    memoryHook: hook && Object.keys(hook)[0],
  };
}
