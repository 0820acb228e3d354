// What the tests of snapshots share: calls of the management canister in the form of its Candid types, and state to keep.

import { IDL } from '@icp-sdk/core/candid';
import { Principal } from '@icp-sdk/core/principal';
import * as types from '../candid_types.mjs';
import { fullSettings } from '../system_canisters.mjs';

const MANAGEMENT = new Uint8Array(0);

export const hex = (bytes) => Buffer.from(bytes).toString('hex');
export const principal = (bytes) => Principal.fromUint8Array(bytes);
export const encode = (type, value) => new Uint8Array(IDL.encode([type], [value]));
export const decode = (type, bytes) => IDL.decode([type], new Uint8Array(bytes))[0];
export const nat64s = (...numbers) => new Uint8Array(IDL.encode(numbers.map(() => IDL.Nat64), numbers.map(BigInt)));

/** The management canister's methods on a network, as `owner` unless another caller is given. */
export function makeManager(net, owner) {
  const call = async (method, type, id, value = {}, caller = owner) =>
    net.callAs(caller, MANAGEMENT, method, encode(type, { canister_id: principal(id), ...value }));
  return {
    call,
    async take(id, { replace, uninstall, version } = {}, caller) {
      const value = {
        replace_snapshot: replace === undefined ? [] : [replace],
        uninstall_code: uninstall === undefined ? [] : [uninstall],
        sender_canister_version: version === undefined ? [] : [version],
      };
      return decode(types.Snapshot, await call('take_canister_snapshot', types.TakeSnapshot, id, value, caller));
    },
    list: async (id, caller) =>
      decode(types.SnapshotList, await call('list_canister_snapshots', types.CanisterId, id, {}, caller)),
    delete: (id, snapshot, caller) =>
      call('delete_canister_snapshot', types.SnapshotArgs, id, { snapshot_id: snapshot }, caller),
    load: (id, snapshot, caller) =>
      call('load_canister_snapshot', types.LoadSnapshot, id, { snapshot_id: snapshot, sender_canister_version: [] }, caller),
    async metadata(id, snapshot, caller) {
      const value = { snapshot_id: snapshot };
      const reply = await call('read_canister_snapshot_metadata', types.SnapshotArgs, id, value, caller);
      return decode(types.SnapshotMetadata, reply);
    },
    async read(id, snapshot, kind, caller) {
      const value = { snapshot_id: snapshot, kind };
      const reply = await call('read_canister_snapshot_data', types.ReadSnapshotData, id, value, caller);
      return decode(types.SnapshotData, reply).chunk;
    },
    async declare(id, metadata, { replace } = {}, caller) {
      const value = { ...metadata, replace_snapshot: replace === undefined ? [] : [replace] };
      const reply = await call('upload_canister_snapshot_metadata', types.UploadSnapshotMetadata, id, value, caller);
      return decode(types.SnapshotId, reply).snapshot_id;
    },
    upload: (id, snapshot, kind, chunk, caller) =>
      call('upload_canister_snapshot_data', types.UploadSnapshotData, id, { snapshot_id: snapshot, kind, chunk }, caller),
    status: async (id, caller) =>
      decode(types.CanisterStatus, await call('canister_status', types.CanisterId, id, {}, caller)),
    set: (id, settings) =>
      call('update_settings', types.UpdateSettings, id, { settings: fullSettings(settings), sender_canister_version: [] }),
  };
}

const SLICE = 2_000_000n;

/** All of a memory or module, in slices of at most `slice` bytes. */
export async function readBlob(manager, id, snapshot, name, size, slice = SLICE) {
  const parts = [];
  for (let offset = 0n; offset < size; offset += slice) {
    const kind = { [name]: { offset, size: size - offset < slice ? size - offset : slice } };
    parts.push(await manager.read(id, snapshot, kind));
  }
  return Buffer.concat(parts);
}
