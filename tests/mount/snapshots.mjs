// Snapshots made, deleted and declared on some network, through the official client; and what `icp` saves of them.
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { Actor } from '@icp-sdk/core/agent';
import { IDL } from '@icp-sdk/core/candid';
import { Principal } from '@icp-sdk/core/principal';

const Blob = IDL.Vec(IDL.Nat8);
const Canister = { canister_id: IDL.Principal };
const Snapshot = { ...Canister, snapshot_id: Blob };
const Global = IDL.Variant({ i32: IDL.Int32, i64: IDL.Int64, f32: IDL.Float32, f64: IDL.Float64, v128: IDL.Nat });
const Timer = IDL.Variant({ inactive: IDL.Null, active: IDL.Nat64 });
const Hook = IDL.Variant({ condition_not_satisfied: IDL.Null, ready: IDL.Null, executed: IDL.Null });
const Visibility = IDL.Variant({ controllers: IDL.Null, public: IDL.Null, allowed_viewers: IDL.Vec(IDL.Principal) });
// What nobody may change of a snapshot.
const Metadata = IDL.Record({
  taken_at_timestamp: IDL.Nat64,
  wasm_module_size: IDL.Nat64,
  wasm_memory_size: IDL.Nat64,
  stable_memory_size: IDL.Nat64,
  canister_version: IDL.Nat64,
  certified_data: Blob,
  globals: IDL.Vec(Global),
  wasm_chunk_store: IDL.Vec(IDL.Record({ hash: Blob })),
});
const Range = IDL.Record({ offset: IDL.Nat64, size: IDL.Nat64 });
const Kind = IDL.Variant({ wasm_module: Range, wasm_memory: Range, stable_memory: Range, wasm_chunk: IDL.Record({ hash: Blob }) });
const update = (arg, ...results) => IDL.Func([IDL.Record(arg)], results, []);
const Management = () =>
  IDL.Service({
    stop_canister: update(Canister),
    start_canister: update(Canister),
    upload_chunk: update({ ...Canister, chunk: Blob }, IDL.Record({ hash: Blob })),
    take_canister_snapshot: update(Canister, IDL.Record({ id: Blob, total_size: IDL.Nat64 })),
    delete_canister_snapshot: update(Snapshot),
    load_canister_snapshot: update(Snapshot),
    read_canister_snapshot_metadata: update(Snapshot, Metadata),
    read_canister_snapshot_data: update({ ...Snapshot, kind: Kind }, IDL.Record({ chunk: Blob })),
    list_canister_snapshots: update(Canister, IDL.Vec(IDL.Record({ id: Blob }))),
    upload_canister_snapshot_metadata: update(
      {
        ...Canister,
        wasm_module_size: IDL.Nat64,
        globals: IDL.Vec(Global),
        wasm_memory_size: IDL.Nat64,
        stable_memory_size: IDL.Nat64,
        certified_data: Blob,
        global_timer: IDL.Opt(Timer),
        on_low_wasm_memory_hook_status: IDL.Opt(Hook),
      },
      IDL.Record({ snapshot_id: Blob }),
    ),
    upload_canister_snapshot_data: update({
      ...Snapshot,
      kind: IDL.Variant({ stable_memory: IDL.Record({ offset: IDL.Nat64 }), wasm_chunk: IDL.Null }),
      chunk: Blob,
    }),
    update_settings: update({ ...Canister, settings: IDL.Record({ snapshot_visibility: IDL.Opt(Visibility) }) }),
  });

const hex = (bytes) => Buffer.from(bytes).toString('hex');

// The management canister for one canister that the client's identity controls. Ids are hexadecimal.
export function snapshotsOf(client, canister) {
  const id = Principal.fromText(canister);
  const canisterId = Principal.managementCanister();
  const ic = Actor.createActor(Management, { agent: client.agent, canisterId, effectiveCanisterId: id });
  const arg = (snapshot) => ({ canister_id: id, snapshot_id: Buffer.from(snapshot, 'hex') });
  return {
    stop: () => ic.stop_canister({ canister_id: id }),
    start: () => ic.start_canister({ canister_id: id }),
    take: async () => hex((await ic.take_canister_snapshot({ canister_id: id })).id),
    delete: (snapshot) => ic.delete_canister_snapshot(arg(snapshot)),
    load: (snapshot) => ic.load_canister_snapshot(arg(snapshot)),
    list: async () => (await ic.list_canister_snapshots({ canister_id: id })).map((snapshot) => hex(snapshot.id)),
    metadata: (snapshot) => ic.read_canister_snapshot_metadata(arg(snapshot)),
    // The bytes of a small snapshot, by what they are of.
    async content(snapshot) {
      const metadata = await this.metadata(snapshot);
      const read = async (kind) => Buffer.from((await ic.read_canister_snapshot_data({ ...arg(snapshot), kind })).chunk);
      const content = {};
      for (const name of ['wasm_module', 'wasm_memory', 'stable_memory']) {
        const size = metadata[`${name}_size`];
        content[name] = size > 0n ? await read({ [name]: { offset: 0n, size } }) : Buffer.alloc(0);
      }
      for (const { hash } of metadata.wasm_chunk_store) content[hex(hash)] = await read({ wasm_chunk: { hash } });
      return content;
    },
    putChunk: async (chunk) => hex((await ic.upload_chunk({ canister_id: id, chunk })).hash),
    // One that nobody took: of an empty module and what is given.
    declare: async (metadata) =>
      hex(
        (
          await ic.upload_canister_snapshot_metadata({
            canister_id: id,
            wasm_module_size: 8n,
            globals: [],
            wasm_memory_size: 0n,
            stable_memory_size: 0n,
            certified_data: [],
            global_timer: [],
            on_low_wasm_memory_hook_status: [],
            ...metadata,
          })
        ).snapshot_id,
      ),
    write: (snapshot, offset, chunk) =>
      ic.upload_canister_snapshot_data({ ...arg(snapshot), kind: { stable_memory: { offset } }, chunk }),
    writeChunk: (snapshot, chunk) =>
      ic.upload_canister_snapshot_data({ ...arg(snapshot), kind: { wasm_chunk: null }, chunk }),
    show: (visibility) =>
      ic.update_settings({ canister_id: id, settings: { snapshot_visibility: [visibility] } }),
  };
}

const require = createRequire(import.meta.url);
const binary = join(dirname(require.resolve('@icp-sdk/icp-cli-linux-x64/package.json')), 'bin', 'icp');

// The `icp` command with a home of its own, as the identity in a PEM file. Resolves to what it printed; `started` is told
// the process id of each.
export function icpIn(dir, network, started = () => {}) {
  const home = join(dir, 'icp-home');
  mkdirSync(home, { recursive: true });
  const pem = join(home, 'key.pem');
  writeFileSync(pem, readFileSync(network.identity), { mode: 0o600 });
  const env = { PATH: process.env.PATH, HOME: home, ICP_HOME: join(home, 'icp'), DO_NOT_TRACK: '1', NO_COLOR: '1' };
  const run = (...args) =>
    new Promise((resolve, reject) => {
      const child = execFile(binary, args, { env, cwd: home, timeout: 300_000 }, (error, out, err) => {
        if (error) reject(new Error(`icp ${args.join(' ')}: ${err}`));
        else resolve(out);
      });
      started(child.pid);
    });
  const imported = run('identity', 'import', 'owner', '--from-pem', pem, '--storage', 'plaintext');
  return async (...args) => {
    await imported;
    return run(...args, '-n', network.url, '-k', network.root_key, '--identity', 'owner');
  };
}
