// Snapshots uploaded and loaded: pieces in any order, checks before anything changes, what comes back and what does not.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import * as types from '../candid_types.mjs';
import { install } from '../demo.mjs';
import { sha256 } from '../hash.mjs';
import { startNetwork } from '../network.mjs';
import { buildFixture, rejects, words } from './engine_fixture.mjs';
import { assemble, callFunction, globalGet, globalSet, i32, i64, store64 } from './engine_wasm.mjs';
import { decode, encode, hex, makeManager, principal, readBlob } from './snapshot_fixture.mjs';

const OWNER = Uint8Array.of(9, 8, 7, 2);
const OTHER = Uint8Array.of(5, 5, 2);
const EMPTY = new Uint8Array(0);
const PAGE = 65536;
const MIB = 2 ** 20;

const probe = buildFixture('probe', 'wasm32');
const probe64 = buildFixture('probe', 'wasm64');
const net = await startNetwork();
after(() => net.stop());
const manager = makeManager(net, OWNER);

const create = (controllers = [OWNER]) => net.createCanister({ controllers });
const change = (id) => net.callAs(OWNER, id, 'change', EMPTY);
const stateOf = async (id) => hex(await net.callAs(OWNER, id, 'state', EMPTY));
const at = (part, offset) => ({ [part]: { offset: BigInt(offset) } });
const PARTS = { wasm_module: 'wasm_module_size', wasm_memory: 'wasm_memory_size', stable_memory: 'stable_memory_size' };

/** What a snapshot holds, as a client downloads it. */
async function download(id, snapshot) {
  const metadata = await manager.metadata(id, snapshot);
  const content = { metadata, chunks: [] };
  for (const [part, size] of Object.entries(PARTS)) content[part] = await readBlob(manager, id, snapshot, part, metadata[size]);
  for (const { hash } of metadata.wasm_chunk_store) content.chunks.push(await manager.read(id, snapshot, { wasm_chunk: { hash } }));
  return content;
}

/** As a client uploads it: the last piece first, and each one twice. */
async function upload(id, content, changes = {}, options = {}) {
  const snapshot = await manager.declare(id, { ...content.metadata, ...changes }, options);
  for (const part of Object.keys(PARTS)) {
    const piece = Math.ceil(content[part].length / 3 / 4096) * 4096 + 1;
    for (let offset = 2 * piece; offset >= 0; offset -= piece) {
      const bytes = new Uint8Array(content[part].subarray(offset, offset + piece));
      if (bytes.length === 0) continue;
      for (const _time of [1, 2]) await manager.upload(id, snapshot, at(part, offset), bytes);
    }
  }
  for (const chunk of content.chunks) await manager.upload(id, snapshot, { wasm_chunk: null }, chunk);
  return snapshot;
}

async function takenProbe(module = probe) {
  const id = await install(net, OWNER, module);
  for (let i = 0; i < 5; i++) await change(id);
  net.canisters.get(id).chunks.add(words(8));
  const { id: snapshot } = await manager.take(id);
  return { id, snapshot, content: await download(id, snapshot) };
}

for (const [target, module] of [['wasm32', probe], ['wasm64', probe64]]) {
  test(`${target}: downloaded, uploaded to another canister, read back, loaded`, async () => {
    const { id, content } = await takenProbe(module);
    const expected = await stateOf(id);
    const copy = await create();
    const snapshot = await upload(copy, content);
    const back = await download(copy, snapshot);
    const { source, taken_at_timestamp, canister_version } = back.metadata;
    assert.deepEqual([source, canister_version], [{ metadata_upload: null }, 0n]);
    assert.deepEqual(back.metadata, { ...content.metadata, source, taken_at_timestamp, canister_version });
    for (const part of [...Object.keys(PARTS), 'chunks']) assert.deepEqual(back[part], content[part], part);
    await manager.load(copy, snapshot);
    assert.equal(await stateOf(copy), expected);
    assert.equal((await manager.status(copy)).version, 1n);
    assert.deepEqual(net.canisters.get(copy).engine.certifiedData, Uint8Array.from(content.metadata.certified_data));
    assert.deepEqual(net.canisters.get(copy).chunks.hashes.map(hex), [hex(sha256(words(8)))]);
  });
}

test('load goes back, again and again; neither side changes the other', async () => {
  const { id, snapshot, content } = await takenProbe();
  const expected = await stateOf(id);
  const certified = hex(net.canisters.get(id).engine.certifiedData);
  for (let i = 0; i < 2; i++) {
    await change(id);
    await net.callAs(OWNER, id, 'grow_heap_and_keep', EMPTY);
    net.canisters.get(id).chunks.clear();
    assert.notEqual(await stateOf(id), expected);
    assert.deepEqual(await download(id, snapshot), content);
    const { version } = await manager.status(id);
    await manager.load(id, snapshot);
    assert.equal((await manager.status(id)).version, version + 1n);
    assert.equal(hex(net.canisters.get(id).engine.certifiedData), certified);
    assert.equal(net.canisters.get(id).chunks.hashes.length, 1);
    assert.equal(await stateOf(id), expected);
  }
  // Running code may be loaded over; an uploaded snapshot may be written to after that.
  const uploaded = await upload(id, content);
  await manager.load(id, uploaded);
  await manager.upload(id, uploaded, at('wasm_module', 0), new Uint8Array(100));
  await manager.upload(id, uploaded, at('stable_memory', 0), new Uint8Array(PAGE));
  await change(id);
  assert.deepEqual((await manager.status(id)).module_hash.map(hex), [hex(sha256(probe))]);
  await rejects(manager.load(id, uploaded), 'IC0505', /^Error from Canister .* not valid/);
});

test('load on another canister: a controller of both, after the next checkpoint', async () => {
  const { id, snapshot } = await takenProbe();
  const expected = await stateOf(id);
  const [mine, theirs] = [await create(), await create([OTHER])];
  await rejects(manager.load(theirs, snapshot), 'IC0512', /^Only the controllers/);
  await rejects(manager.load(theirs, snapshot, OTHER), 'IC0406', /^Only a controller of the canister that snapshot [\da-f]{36} belongs to can load it/);
  net.setOptions({ checkpointMs: 3_600_000 });
  await rejects(manager.load(mine, snapshot), 'IC0406', /^Snapshot [\da-f]{36} is not currently loadable on the specified canister .* \(usually ten minutes\)\.$/);
  await manager.load(id, snapshot); // its own at any time
  net.setOptions({ skewMs: 3_600_000 });
  await manager.load(mine, snapshot);
  net.setOptions({ skewMs: 0, checkpointMs: 0 });
  assert.equal(await stateOf(mine), expected);
});

test('metadata that declares what cannot be is refused', async () => {
  const id = await create();
  const good = {
    wasm_module_size: 8n,
    globals: [],
    wasm_memory_size: 0n,
    stable_memory_size: 0n,
    certified_data: EMPTY,
    global_timer: [],
    on_low_wasm_memory_hook_status: [],
  };
  for (const [changes, why] of [
    [{ wasm_module_size: 0n }, 'WasmModuleEmpty'],
    [{ wasm_module_size: 100n * 2n ** 20n + 1n }, 'WasmModuleTooLarge'],
    [{ wasm_memory_size: 65_537n }, 'WasmMemoryNotPageAligned'],
    [{ wasm_memory_size: 2n ** 32n + 65_536n }, 'WasmMemoryTooLarge'],
    [{ stable_memory_size: 1n }, 'StableMemoryNotPageAligned'],
    [{ stable_memory_size: 500n * 2n ** 30n + 65_536n }, 'StableMemoryTooLarge'],
    [{ stable_memory_size: 2n ** 64n - 65_536n }, 'StableMemoryTooLarge'],
    [{ globals: Array(1001).fill({ i32: 1 }) }, 'ExportedGlobalsTooLarge'],
    [{ certified_data: new Uint8Array(33) }, 'CertifiedDataTooLarge'],
  ]) {
    await rejects(manager.declare(id, { ...good, ...changes }), 'IC0408', new RegExp(`^Snapshot Metadata contains invalid data: ${why}$`));
  }
  assert.deepEqual(await manager.list(id), []);
  const largest = { ...good, wasm_memory_size: 2n ** 32n, stable_memory_size: 500n * 2n ** 30n, certified_data: new Uint8Array(32) };
  const snapshot = await manager.declare(id, largest);
  const metadata = await manager.metadata(id, snapshot);
  assert.equal(metadata.stable_memory_size, 500n * 2n ** 30n);
  assert.deepEqual([metadata.global_timer, metadata.on_low_wasm_memory_hook_status], [[], []]);
  const tail = { stable_memory: { offset: 500n * 2n ** 30n - 4n, size: 4n } };
  await manager.upload(id, snapshot, at('stable_memory', 500 * 2 ** 30 - 4), Uint8Array.of(1, 2, 3, 4));
  assert.deepEqual(await manager.read(id, snapshot, tail), Uint8Array.of(1, 2, 3, 4));
});

test('uploads: within the parts declared, chunks of 1 MiB, never into a snapshot taken', async () => {
  const { id, snapshot: taken, content } = await takenProbe();
  const snapshot = await manager.declare(id, content.metadata);
  const sizes = content.metadata;
  for (const [part, name] of Object.entries(PARTS)) {
    const size = Number(sizes[name]);
    await manager.upload(id, snapshot, at(part, size - 1), Uint8Array.of(7));
    await rejects(manager.upload(id, snapshot, at(part, size), Uint8Array.of(7)), 'IC0408', /^Invalid subslice .* size: 1$/);
    await rejects(manager.upload(id, snapshot, at(part, 2n ** 64n - 1n), Uint8Array.of(7)), 'IC0408', /^Invalid subslice/);
    const read = await readBlob(manager, id, snapshot, part, sizes[name]);
    assert.ok(read.subarray(0, -1).every((byte) => byte === 0) && read.at(-1) === 7, part);
    await rejects(manager.upload(id, taken, at(part, 0), Uint8Array.of(7)), 'IC0409', /^Only canister snapshots created by metadata upload/);
  }
  await rejects(manager.upload(id, taken, { wasm_chunk: null }, EMPTY), 'IC0409', /./);
  assert.deepEqual(await download(id, taken), content);
  const storing = (chunk) => manager.upload(id, snapshot, { wasm_chunk: null }, chunk);
  const { total_size: before } = (await manager.list(id)).at(-1);
  await storing(new Uint8Array(MIB));
  await storing(new Uint8Array(MIB)); // once more: nothing new
  await rejects(storing(new Uint8Array(MIB + 1)), 'IC0504', /^Error from Wasm chunk store: Wasm chunk size/);
  assert.equal((await manager.list(id)).at(-1).total_size, before + BigInt(MIB));
  for (let i = 1; i < 100; i++) await storing(words(i));
  await rejects(storing(words(100)), 'IC0504', /already reached maximum capacity/);
});

test('an upload that replaces deletes the old one at once', async () => {
  const { id, snapshot, content } = await takenProbe();
  const next = await manager.declare(id, content.metadata, { replace: snapshot });
  assert.deepEqual((await manager.list(id)).map((s) => hex(s.id)), [hex(next)]);
  await rejects(manager.load(id, snapshot), 'IC0305', /./);
});

test('load checks module, globals, sizes and hook, and changes nothing when they do not fit', async () => {
  const { id, content } = await takenProbe();
  const before = [await stateOf(id), (await manager.status(id)).module_hash];
  const { metadata } = content;
  const broken = { ...content, wasm_module: Buffer.from(content.wasm_module) };
  broken.wasm_module[8] = 0x7f; // the first section's id
  for (const [changes, code, why, given = content] of [
    [{ globals: [] }, 'IC0408', /^Wasm exported globals of canister module and snapshot metadata do not match\.$/],
    [{ globals: [...metadata.globals, { i32: 1 }] }, 'IC0408', /^Wasm exported globals/],
    [{ globals: [{ i64: 65_536n }] }, 'IC0408', /^Wasm exported globals/],
    [{ wasm_memory_size: 0n }, 'IC0408', /^Wasm memory of 0 pages/, { ...content, wasm_memory: Buffer.alloc(0) }],
    [{ on_low_wasm_memory_hook_status: [{ ready: null }] }, 'IC0408', /^Hook status \(ready\) of uploaded snapshot is inconsistent/],
    [{}, 'IC0505', /not valid/, broken],
    [{}, 'IC0505', /not valid/, { ...content, wasm_module: Buffer.alloc(0) }], // nothing uploaded: zeros
  ]) {
    const snapshot = await upload(id, given, changes);
    const { version } = await manager.status(id);
    await rejects(manager.load(id, snapshot), code, why);
    const status = await manager.status(id);
    assert.equal(status.version, version);
    assert.deepEqual([await stateOf(id), status.module_hash], before);
    await manager.delete(id, snapshot);
  }
});

test('timer and hook come back from uploaded snapshots alone, and only when they are said', async () => {
  const { id, snapshot, content } = await takenProbe();
  const { engine } = net.canisters.get(id);
  const loaded = async (changes) => {
    const uploaded = await upload(id, content, changes);
    await manager.load(id, uploaded);
    await manager.delete(id, uploaded);
    return engine.globalTimer;
  };
  assert.equal(await loaded({ global_timer: [{ active: 1_900_000_000_000_000_000n }] }), 1_900_000_000_000_000_000n);
  assert.equal(await loaded({ global_timer: [] }), 1_900_000_000_000_000_000n);
  const { id: taken } = await manager.take(id);
  assert.deepEqual((await manager.metadata(id, taken)).global_timer, [{ active: 1_900_000_000_000_000_000n }]);
  await manager.load(id, snapshot);
  assert.equal(engine.globalTimer, 1_900_000_000_000_000_000n);
  assert.equal(await loaded({ global_timer: [{ inactive: null }] }), 0n);
  await manager.load(id, taken);
  assert.equal(engine.globalTimer, 0n);
  await manager.set(id, { wasm_memory_threshold: [2n ** 40n] });
  await loaded({ on_low_wasm_memory_hook_status: [{ executed: null }] });
  const { id: low } = await manager.take(id);
  assert.deepEqual((await manager.metadata(id, low)).on_low_wasm_memory_hook_status, [{ executed: null }]);
});

test('globals of every type come back', async () => {
  const f32 = (value) => [0x43, ...new Uint8Array(new Float32Array([value]).buffer)];
  const f64 = (value) => [0x44, ...new Uint8Array(new Float64Array([value]).buffer)];
  const module = assemble({
    imports: [['msg_reply_data_append', ['i32', 'i32'], []], ['msg_reply', [], []]],
    functions: [
      {
        code: [
          ...i32(0), ...globalGet(0), ...store64, ...i32(8), ...globalGet(1), 0x36, 2, 0,
          ...i32(12), ...globalGet(2), 0x38, 2, 0, ...i32(16), ...globalGet(3), 0x39, 3, 0,
          ...i32(0), ...i32(24), ...callFunction(0), ...callFunction(1),
        ],
        export: 'canister_update get',
      },
      { code: [...i64(99), ...globalSet(0), ...callFunction(1)], export: 'canister_update change' },
    ],
    memories: [[0, 1]],
    globals: [['i64', i64(-6)], ['i32', i32(-5)], ['f32', f32(1.5)], ['f64', f64(-0)]],
  });
  const id = await install(net, OWNER, module);
  const get = async () => hex(await net.callAs(OWNER, id, 'get', EMPTY));
  const before = await get();
  const { id: snapshot } = await manager.take(id);
  const content = await download(id, snapshot);
  assert.deepEqual(content.metadata.globals, [{ i64: -6n }, { i32: -5 }, { f32: 1.5 }, { f64: -0 }]);
  await net.callAs(OWNER, id, 'change', EMPTY);
  assert.notEqual(await get(), before);
  const uploaded = await upload(id, content);
  await manager.load(id, uploaded);
  assert.equal(await get(), before);
});

test('a subnet without room: nothing is taken, declared or stored', async () => {
  const { id, snapshot, content } = await takenProbe();
  const uploaded = await manager.declare(id, content.metadata);
  const used = [...net.canisters].reduce((sum, { memorySize }) => sum + memorySize, 0);
  net.setOptions({ subnetMemory: used + 1000 });
  try {
    const text = /^Canister requested \d+ B of memory but only 1000 B are available in the subnet\.$/;
    await rejects(manager.take(id), 'IC0101', text);
    await rejects(manager.declare(id, content.metadata), 'IC0101', text);
    await rejects(manager.upload(id, uploaded, { wasm_chunk: null }, words(1)), 'IC0101', text);
    await rejects(manager.load(await create(), snapshot), 'IC0101', text);
    assert.equal((await manager.list(id)).length, 2);
    await manager.take(id, { replace: snapshot });
    await manager.load(id, uploaded).catch((error) => assert.equal(error.errorCode, 'IC0505')); // room is not what it lacks
  } finally {
    net.setOptions({ subnetMemory: 2 ** 41 });
  }
});

// What a canister calls: fixture/caller.c.
const counted = (bytes) => Buffer.concat([Buffer.from([bytes.length]), bytes]);
const step = (method, arg) =>
  new Uint8Array(Buffer.concat([Buffer.from('c'), counted(EMPTY), counted(Buffer.from(method)), counted(Buffer.from(arg)), words(0)]));

test('canisters call these methods too; the history tells of a load', async () => {
  const caller = await install(net, OWNER, buildFixture('caller', 'wasm32'));
  const { id, snapshot } = await takenProbe();
  const run = async (method, type, value) => {
    const answer = Buffer.from(await net.callAs(OWNER, caller, 'run', step(method, encode(type, value))));
    return { text: answer.toString(), bytes: answer.subarray(1) };
  };
  const args = { canister_id: principal(id), snapshot_id: snapshot, sender_canister_version: [42n] };
  assert.match((await run('load_canister_snapshot', types.LoadSnapshot, args)).text, /^-5IC0512: Only the controllers/);
  await manager.set(id, { controllers: [[principal(OWNER), principal(caller)]] });
  const { taken_at_timestamp: at } = (await manager.list(id))[0];
  const { canister_version: version } = await manager.metadata(id, snapshot);
  assert.equal((await run('load_canister_snapshot', types.LoadSnapshot, args)).text[0], '+');
  const wanted = { canister_id: principal(id), num_requested_changes: [1n] };
  const info = decode(types.CanisterInfo, (await run('canister_info', types.CanisterInfoArgs, wanted)).bytes);
  const [{ origin, details, canister_version: after }] = info.recent_changes;
  assert.equal(origin.from_canister.canister_id.toText(), principal(caller).toText());
  assert.deepEqual(origin.from_canister.canister_version, [42n]);
  assert.equal(after, (await manager.status(id)).version);
  const { snapshot_id: loaded, ...load } = details.load_snapshot;
  assert.equal(hex(loaded), hex(snapshot));
  assert.deepEqual(load, { canister_version: version, taken_at_timestamp: at, source: { taken_from_canister: null }, from_canister_id: [] });
  const copy = await create();
  await manager.load(copy, snapshot);
  const other = { canister_id: principal(copy), num_requested_changes: [1n] };
  const [change] = decode(types.CanisterInfo, (await run('canister_info', types.CanisterInfoArgs, other)).bytes).recent_changes;
  assert.equal(change.details.load_snapshot.from_canister_id[0].toText(), principal(id).toText());
});
