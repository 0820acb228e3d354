// Snapshots with the published clients: DFINITY's `icp` command, and @icp-sdk/core with an interface of the tests' own.

import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Actor, HttpAgent } from '@icp-sdk/core/agent';
import { Ed25519KeyIdentity } from '@icp-sdk/core/identity';
import { install } from '../demo.mjs';
import { buildCanisters } from './engine_fixture.mjs';
import { makeIcp } from './icp_fixture.mjs';
import { hex, IDL, makeIdentity, nat64s, network, Principal, sha256, vector } from './wire_fixture.mjs';

const net = await network();
const build = buildCanisters();
const owner = makeIdentity();
const { icp, good, target, home, addIdentity } = makeIcp(net);
await addIdentity('owner', owner);

const text = (id) => Principal.fromUint8Array(id).toText();
const snapshots = (action, id, ...more) => ['canister', 'snapshot', action, text(id), ...more, ...target('owner')];
const call = (id, method, arg, ...more) => good('canister', 'call', text(id), method, arg, ...more, ...target('owner'));
const stop = (id) => good('canister', 'stop', text(id), ...target('owner'));
const start = (id) => good('canister', 'start', text(id), ...target('owner'));
const read = async (id) => (await call(id, 'stable_read', '(65_530, 12)', '--query')).trim();
const listed = async (id) => (await good(...snapshots('list', id, '--quiet'))).match(/^[\da-f]{36}$/gm);

/** Bytes of the files below a directory, by name. */
function tree(dir, below = '') {
  return readdirSync(join(dir, below)).sort().flatMap((name) => {
    const path = join(below, name);
    if (name.startsWith('.')) return [];
    return statSync(join(dir, path)).isDirectory() ? tree(dir, path) : [[path, readFileSync(join(dir, path))]];
  });
}

async function download(id, snapshot, name) {
  const dir = join(home, name);
  await good(...snapshots('download', id, snapshot, '--output', dir));
  return dir;
}

for (const name of ['sample', 'motoko']) {
  test(`icp, ${name}: create, list, download, upload, restore, delete`, async () => {
    const module = build(name);
    const id = await install(net, owner.sender, module);
    net.canisters.get(id).chunks.add(new Uint8Array(Buffer.from('a chunk')));
    await call(id, 'stable_write', '(65_530, blob "before\\00\\ff\\00123")');
    const before = await read(id);
    const running = await icp(...snapshots('create', id));
    assert.notEqual(running.code, 0);
    assert.match(running.err, /stop/);
    await stop(id);
    const [, first] = /([\da-f]{36})/.exec(await good(...snapshots('create', id, '--quiet')));
    assert.deepEqual(await listed(id), [first]);

    const dir = await download(id, first, `${name}-first`);
    assert.deepEqual(readFileSync(join(dir, 'wasm_module.bin')), Buffer.from(module));
    const metadata = JSON.parse(readFileSync(join(dir, 'metadata.json'), 'utf8'));
    for (const part of ['wasm_module', 'wasm_memory', 'stable_memory']) {
      assert.equal(statSync(join(dir, `${part}.bin`)).size, metadata[`${part}_size`]);
    }
    const chunk = hex(sha256(Buffer.from('a chunk')));
    assert.equal(readFileSync(join(dir, 'wasm_chunk_store', `${chunk}.bin`), 'utf8'), 'a chunk');

    const [, second] = /([\da-f]{36})/.exec(await good(...snapshots('upload', id, '--input', dir, '--quiet')));
    assert.deepEqual(await listed(id), [first, second]);
    const again = await download(id, second, `${name}-second`);
    assert.deepEqual(tree(again).filter(([file]) => file !== 'metadata.json'), tree(dir).filter(([file]) => file !== 'metadata.json'));
    const { source, taken_at_timestamp, canister_version, ...same } = JSON.parse(readFileSync(join(again, 'metadata.json'), 'utf8'));
    assert.deepEqual({ ...metadata, ...same }, metadata);
    assert.deepEqual(source, { metadata_upload: null });
    assert.ok(taken_at_timestamp > metadata.taken_at_timestamp && canister_version >= metadata.canister_version);

    for (const snapshot of [first, second]) {
      await start(id);
      await call(id, 'stable_write', '(65_530, blob "overwritten!")');
      assert.notEqual(await read(id), before);
      const refused = await icp(...snapshots('restore', id, snapshot));
      assert.notEqual(refused.code, 0); // running
      await stop(id);
      await good(...snapshots('restore', id, snapshot));
      await start(id);
      assert.equal(await read(id), before);
      await stop(id);
    }
    await good(...snapshots('delete', id, first));
    assert.deepEqual(await listed(id), [second]);
    const gone = await icp(...snapshots('restore', id, first));
    assert.notEqual(gone.code, 0);
    assert.match(gone.err, /Could not find the snapshot ID/);
  });
}

/** A value's form: keys in their order, and the types of what they hold. */
function form(value) {
  if (Array.isArray(value)) return 'array';
  if (value === null || typeof value !== 'object') return typeof value;
  return Object.entries(value).map(([key, item]) => [key, form(item)]);
}

test('metadata.json has the form of the vector, and all that it can say is kept', async () => {
  const sample = vector('snapshot_dir/metadata.json');
  const id = await install(net, owner.sender, build('sample'));
  const dir = join(home, 'vector');
  mkdirSync(join(dir, 'wasm_chunk_store'), { recursive: true });
  // Sizes that are whole pages, as the network demands; the vector's mock did not. JSON.parse would round the timer.
  const metadata = {
    ...sample,
    wasm_module_size: 10,
    wasm_memory_size: 65536,
    on_low_wasm_memory_hook_status: 'executed',
    global_timer: { active: 1_800_000_000_000 },
    wasm_chunk_store: [],
  };
  writeFileSync(join(dir, 'metadata.json'), JSON.stringify(metadata));
  writeFileSync(join(dir, 'wasm_module.bin'), '0123456789');
  writeFileSync(join(dir, 'wasm_memory.bin'), Buffer.alloc(65536, 1));
  writeFileSync(join(dir, 'stable_memory.bin'), Buffer.alloc(65536, 2));
  const [, snapshot] = /([\da-f]{36})/.exec(await good(...snapshots('upload', id, '--input', dir, '--quiet')));
  const back = JSON.parse(readFileSync(join(await download(id, snapshot, 'vector-back'), 'metadata.json'), 'utf8'));
  assert.deepEqual(form({ ...back, source: sample.source }), form(sample));
  const { source, taken_at_timestamp, canister_version } = back;
  assert.deepEqual(back, { ...metadata, source, taken_at_timestamp, canister_version });
});

test('@icp-sdk/core: certified replies of 2,000,000 bytes, 20 at once', async () => {
  const identity = Ed25519KeyIdentity.generate(new Uint8Array(32).fill(6));
  const controller = identity.getPrincipal().toUint8Array();
  const id = await install(net, controller, build('sample'));
  const SIZE = 20 * 2_000_000;
  await net.callAs(controller, id, 'seed', nat64s(SIZE, 3));
  const blob = IDL.Vec(IDL.Nat8);
  const slice = IDL.Record({ offset: IDL.Nat64, size: IDL.Nat64 });
  const named = { canister_id: IDL.Principal, snapshot_id: blob };
  const Snapshot = IDL.Record({ id: blob, taken_at_timestamp: IDL.Nat64, total_size: IDL.Nat64 });
  const service = () =>
    IDL.Service({
      take_canister_snapshot: IDL.Func([IDL.Record({ canister_id: IDL.Principal })], [Snapshot], []),
      list_canister_snapshots: IDL.Func([IDL.Record({ canister_id: IDL.Principal })], [IDL.Vec(Snapshot)], []),
      read_canister_snapshot_data: IDL.Func(
        [IDL.Record({ ...named, kind: IDL.Variant({ stable_memory: slice }) })],
        [IDL.Record({ chunk: blob })],
        [],
      ),
      delete_canister_snapshot: IDL.Func([IDL.Record(named)], [], []),
    });
  const agent = await HttpAgent.create({ host: net.url, identity, rootKey: net.rootKeyDer, shouldFetchRootKey: false });
  const canister = Principal.fromUint8Array(id);
  const effective = () => ({ effectiveCanisterId: canister });
  const actor = Actor.createActor(service, { agent, canisterId: Principal.managementCanister(), callTransform: effective });
  const { id: snapshot } = await actor.take_canister_snapshot({ canister_id: canister });
  const of = { canister_id: canister, snapshot_id: snapshot };
  const parts = await Promise.all(
    Array.from({ length: SIZE / 2_000_000 }, (_, i) =>
      actor.read_canister_snapshot_data({ ...of, kind: { stable_memory: { offset: BigInt(i * 2_000_000), size: 2_000_000n } } }),
    ),
  );
  for (const [i, { chunk }] of parts.entries()) {
    const reply = await net.callAs(controller, id, 'stable_read', nat64s(i * 2_000_000, 2_000_000));
    assert.equal(hex(sha256(chunk)), hex(sha256(IDL.decode([blob], reply)[0])));
  }
  await actor.delete_canister_snapshot(of);
  assert.deepEqual(await actor.list_canister_snapshots({ canister_id: canister }), []);
});
