// Snapshots: what they hold, who may see them, limits, and the codes of what is refused.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { IDL } from '@icp-sdk/core/candid';
import * as types from '../candid_types.mjs';
import { install } from '../demo.mjs';
import { sha256 } from '../hash.mjs';
import { startNetwork } from '../network.mjs';
import { buildCanisters, buildFixture, rejects, scratch, words } from './engine_fixture.mjs';
import { assemble, globalSet, i32, i64 } from './engine_wasm.mjs';
import { encode, hex, makeManager, nat64s, principal, readBlob } from './snapshot_fixture.mjs';
import { call, makeIdentity, outcome } from './wire_fixture.mjs';

const OWNER = Uint8Array.of(9, 8, 7, 2);
const STRANGER = Uint8Array.of(6, 6, 2);
const ANONYMOUS = Uint8Array.of(4);
const EMPTY = new Uint8Array(0);
const PAGE = 65536;
const GIB = 2n ** 30n;

const build = buildCanisters();
const probe = buildFixture('probe', 'wasm32');
const net = await startNetwork();
after(() => net.stop());
const manager = makeManager(net, OWNER);

const create = () => net.createCanister({ controllers: [OWNER] });
const slice = (offset, size) => ({ offset: BigInt(offset), size: BigInt(size) });
const stable = (offset, size) => ({ stable_memory: slice(offset, size) });
const change = async (id, times) => {
  for (let i = 0; i < times; i++) await net.callAs(OWNER, id, 'change', EMPTY);
};
/** The counter, and the eight words in stable memory. */
const stateOf = async (id, on = net) => [...new BigUint64Array((await on.callAs(OWNER, id, 'state', EMPTY)).slice().buffer)].slice(0, 9);

const writeArg = (offset, bytes) => new Uint8Array(IDL.encode([IDL.Nat64, types.Blob], [offset, new Uint8Array(bytes)]));

/** The probe: each change counts up a word in its heap, writes it to stable memory, and certifies it. */
const makeProbe = () => install(net, OWNER, probe);

test('take, list, delete: ids are a number and the canister, 10 at most, replaced at once', async () => {
  const id = await makeProbe();
  assert.deepEqual(await manager.list(id), []);
  const before = await manager.status(id);
  const taken = [];
  for (let i = 0; i < 10; i++) taken.push(await manager.take(id));
  taken.forEach(({ id: snapshot }, i) => assert.equal(hex(snapshot), `${i.toString(16).padStart(16, '0')}${hex(id)}`));
  assert.deepEqual(await manager.list(id), taken);
  assert.ok(taken[9].taken_at_timestamp >= taken[0].taken_at_timestamp);
  await rejects(manager.take(id), 'IC0406', /has reached the maximum number of snapshots allowed: 10\./);
  const swapped = await manager.take(id, { replace: taken[3].id });
  assert.equal(hex(swapped.id).slice(0, 16), '000000000000000a');
  assert.deepEqual((await manager.list(id)).map((s) => hex(s.id)), [...taken.filter((_, i) => i !== 3), swapped].map((s) => hex(s.id)));
  await rejects(manager.take(id, { replace: taken[3].id }), 'IC0305', /Could not find the snapshot ID/);
  await manager.delete(id, taken[0].id);
  await rejects(manager.delete(id, taken[0].id), 'IC0305', /Could not find the snapshot ID 0{16}/);
  assert.equal((await manager.list(id)).length, 9);
  const { version, memory_metrics: memory, memory_size: size } = await manager.status(id);
  assert.equal(version, before.version);
  assert.equal(memory.snapshots_size, 9n * taken[0].total_size);
  assert.equal(size, before.memory_size + memory.snapshots_size);
});

test('an empty canister, unknown ids, another canister’s snapshot, methods as queries', async () => {
  const [empty, id] = [await create(), await makeProbe()];
  await rejects(manager.take(empty), 'IC0406', /^Failed to create snapshot for empty canister/);
  const { id: snapshot } = await manager.take(id);
  await rejects(manager.metadata(id, Uint8Array.of(1, 2, 3)), 'IC0305', /./);
  await rejects(manager.metadata(id, EMPTY), 'IC0305', /./);
  for (const action of ['delete', 'metadata']) {
    await rejects(manager[action](empty, snapshot), 'IC0406', /^The snapshot [\da-f]{36} does not belong to canister/);
  }
  await rejects(manager.take(empty, { replace: snapshot }), 'IC0406', /does not belong to canister/);
  await rejects(manager.read(empty, snapshot, stable(0, 0)), 'IC0406', /does not belong to canister/);
  const arg = encode(types.CanisterId, { canister_id: principal(id) });
  const query = { method: 'list_canister_snapshots', arg, caller: OWNER };
  await rejects(net.query(EMPTY, query, () => {}), 'IC0536', /^Query method list_canister_snapshots not found/);
});

test('who may: controllers, and viewers to list and read', async () => {
  const id = await makeProbe();
  const { id: snapshot } = await manager.take(id);
  const seeing = (caller) => [
    () => manager.list(id, caller),
    () => manager.metadata(id, snapshot, caller),
    () => manager.read(id, snapshot, stable(0, 0), caller),
  ];
  const changing = (caller) => [
    () => manager.take(id, {}, caller),
    () => manager.delete(id, snapshot, caller),
    () => manager.load(id, snapshot, caller),
    () => manager.upload(id, snapshot, { wasm_chunk: null }, EMPTY, caller),
  ];
  const allRefused = async (calls) => {
    for (const call of calls) await rejects(call(), 'IC0512', /^Only the controllers/);
  };
  await allRefused([...seeing(STRANGER), ...changing(STRANGER)]);
  await manager.set(id, { snapshot_visibility: [{ allowed_viewers: [principal(STRANGER)] }] });
  for (const call of seeing(STRANGER)) await call();
  await allRefused([...changing(STRANGER), ...seeing(ANONYMOUS)]);
  await manager.set(id, { snapshot_visibility: [{ public: null }] });
  for (const call of seeing(ANONYMOUS)) await call();
  await allRefused(changing(ANONYMOUS));
});

test('a viewer’s call is accepted, a stranger’s refused before it is one', async () => {
  const id = await makeProbe();
  const arg = encode(types.CanisterId, { canister_id: principal(id) });
  const list = (identity) =>
    call(net, { canister: EMPTY, method: 'list_canister_snapshots', arg, identity }, { effective: id });
  const [viewer, stranger] = [makeIdentity(), makeIdentity()];
  await manager.set(id, { snapshot_visibility: [{ allowed_viewers: [principal(viewer.sender)] }] });
  assert.deepEqual(IDL.decode([types.SnapshotList], new Uint8Array(outcome(await list(viewer), net.rootKeyDer).reply)), [[]]);
  const { body } = await list(stranger);
  assert.deepEqual([body.status, body.error_code], ['non_replicated_rejection', 'IC0512']);
});

test('what is read is the canister as it was', async () => {
  const id = await makeProbe();
  await change(id, 11);
  const [counter] = await stateOf(id);
  const chunk = words(1, 2, 3);
  net.canisters.get(id).chunks.add(chunk);
  const version = (await manager.status(id)).version;
  const { id: snapshot, taken_at_timestamp: at, total_size: total } = await manager.take(id);
  await change(id, 3);
  net.canisters.get(id).chunks.clear();
  const metadata = await manager.metadata(id, snapshot);
  assert.deepEqual(metadata.source, { taken_from_canister: null });
  assert.equal(metadata.taken_at_timestamp, at);
  assert.equal(metadata.canister_version, version);
  assert.equal(Buffer.from(metadata.certified_data).readBigUInt64LE(), counter);
  assert.deepEqual(metadata.wasm_chunk_store.map(({ hash }) => hex(hash)), [hex(sha256(chunk))]);
  assert.deepEqual(metadata.global_timer, [{ inactive: null }]);
  assert.deepEqual(metadata.on_low_wasm_memory_hook_status, [{ condition_not_satisfied: null }]);
  assert.deepEqual(metadata.globals, [{ i32: PAGE }]); // clang's stack pointer, which nothing exports
  assert.equal(metadata.stable_memory_size, BigInt(PAGE));
  const module = await readBlob(manager, id, snapshot, 'wasm_module', metadata.wasm_module_size, 1000n);
  assert.deepEqual(new Uint8Array(module), probe);
  const memory = await readBlob(manager, id, snapshot, 'stable_memory', metadata.stable_memory_size);
  assert.equal(memory.readBigUInt64LE(8 * Number(counter % 8n)), counter);
  const heap = await readBlob(manager, id, snapshot, 'wasm_memory', metadata.wasm_memory_size);
  assert.ok(BigInt(heap.length) === metadata.wasm_memory_size && heap.includes(words(counter)));
  assert.deepEqual(await manager.read(id, snapshot, { wasm_chunk: { hash: sha256(chunk) } }), chunk);
  const sizes = metadata.wasm_module_size + metadata.wasm_memory_size + metadata.stable_memory_size;
  assert.equal(total, sizes + 2n ** 20n + 8n + 32n);
  await rejects(manager.read(id, snapshot, { wasm_chunk: { hash: sha256(EMPTY) } }), 'IC0504', /not found/);
  await rejects(manager.read(id, snapshot, { wasm_chunk: { hash: EMPTY } }), 'IC0504', /not a valid WasmChunkHash/);
});

test('slices: 2,000,000 bytes at most, and within the part', async () => {
  const id = await install(net, OWNER, build('sample'));
  await net.callAs(OWNER, id, 'stable_grow', nat64s(32));
  const { id: snapshot } = await manager.take(id);
  const size = 32 * PAGE;
  assert.equal((await manager.read(id, snapshot, stable(size - 2_000_000, 2_000_000))).length, 2_000_000);
  await rejects(manager.read(id, snapshot, stable(0, 2_000_001)), 'IC0408', /^Requested slice too large: 2000001 > 2000000$/);
  assert.equal((await manager.read(id, snapshot, stable(size, 0))).length, 0);
  for (const kind of ['stable_memory', 'wasm_memory', 'wasm_module']) {
    const beyond = { [kind]: { offset: 2n ** 64n - 1n, size: 1_000_000n } };
    await rejects(manager.read(id, snapshot, beyond), 'IC0408', /^Invalid subslice .*: offset: 18446744073709551615, size: 1000000$/);
  }
  await rejects(manager.read(id, snapshot, stable(size - 1, 2)), 'IC0408', /^Invalid subslice/);
});

test('100 GiB of stable memory with a few pages: taken and read at no cost', async () => {
  const id = await install(net, OWNER, build('sample'));
  const pages = 100n * 16384n;
  await net.callAs(OWNER, id, 'stable_grow', nat64s(pages));
  await net.callAs(OWNER, id, 'stable_write', writeArg(50n * GIB - 2n, Buffer.from('middle')));
  const began = performance.now();
  const rss = process.memoryUsage().rss;
  const { id: snapshot, total_size: total } = await manager.take(id);
  assert.ok(total > 100n * GIB);
  assert.equal(Buffer.from(await manager.read(id, snapshot, stable(50n * GIB - 2n, 6))).toString(), 'middle');
  await manager.load(id, snapshot);
  assert.ok(performance.now() - began < 5000);
  assert.ok(process.memoryUsage().rss - rss < 64 * 2 ** 20);
  assert.equal((await manager.status(id)).memory_metrics.snapshots_size, total);
  await manager.delete(id, snapshot);
});

test('globals: exported ones in the order of exports, then the other mutable ones', async () => {
  const vector = [0xfd, 0x0c, ...Array.from({ length: 16 }, (_, i) => i + 1)];
  const f64 = (value) => [0x44, ...new Uint8Array(new Float64Array([value]).buffer)];
  const module = assemble({
    functions: [{ code: [...i32(-5), ...globalSet(1)], export: 'canister_update set' }],
    memories: [[0, 1]],
    globals: [['i64', i64(-6)], ['i32', i32(0)], ['f64', f64(0.1)]],
    constants: [['i32', i32(77)], ['v128', vector]],
    exportedGlobals: [['v', 4], ['b', 2], ['c', 3]],
  });
  const id = await install(net, OWNER, module);
  await rejects(net.callAs(OWNER, id, 'set', EMPTY), 'IC0506', /did not reply/); // its changes are kept all the same
  const { id: snapshot } = await manager.take(id);
  const little = 0x100f0e0d0c0b0a090807060504030201n;
  assert.deepEqual((await manager.metadata(id, snapshot)).globals, [
    { v128: little }, { f64: 0.1 }, { i32: 77 }, { i64: -6n }, { i32: -5 },
  ]);
});

test('uninstall_code takes the snapshot, then the code; snapshots stay, and go with the canister', async () => {
  const id = await makeProbe();
  await change(id, 5);
  const before = await stateOf(id);
  const { id: snapshot } = await manager.take(id, { uninstall: true });
  const { module_hash: hash, memory_metrics: memory } = await manager.status(id);
  assert.deepEqual([hash, memory.stable_memory_size], [[], 0n]);
  await manager.load(id, snapshot);
  assert.deepEqual(await stateOf(id), before);
  await manager.call('stop_canister', types.CanisterId, id);
  await manager.call('delete_canister', types.CanisterId, id);
  await rejects(manager.metadata(id, snapshot), 'IC0301', /not found/);
  const other = await makeProbe();
  await rejects(manager.load(other, snapshot), 'IC0305', /./);
});

test('snapshots survive a restart', async () => {
  const stateDir = scratch();
  const first = await startNetwork({ stateDir });
  const id = await install(first, OWNER, probe);
  await first.callAs(OWNER, id, 'change', EMPTY);
  first.canisters.get(id).chunks.add(words(4));
  const one = makeManager(first, OWNER);
  const [gone, { id: snapshot }] = [await one.take(id), await one.take(id)];
  await one.delete(id, gone.id);
  const declared = await one.declare(id, {
    wasm_module_size: 3n,
    globals: [{ f64: -0 }, { f32: NaN }, { v128: 2n ** 127n + 1n }, { i64: -(2n ** 63n) }, { i32: -5 }],
    wasm_memory_size: 65_536n,
    stable_memory_size: 2n ** 40n / 4n,
    certified_data: Uint8Array.of(1, 2, 255),
    global_timer: [],
    on_low_wasm_memory_hook_status: [{ executed: null }],
  });
  await one.upload(id, declared, { wasm_memory: { offset: 65_530n } }, Uint8Array.of(1, 2, 3));
  const heapEnd = { wasm_memory: slice(65_528, 8) };
  const before = [
    ...[await one.metadata(id, snapshot), await one.metadata(id, declared), await one.read(id, declared, heapEnd)],
    ...[await one.list(id), await stateOf(id, first)],
  ];
  await first.callAs(OWNER, id, 'change', EMPTY);
  await first.save();
  await first.stop();
  const second = await startNetwork({ stateDir });
  try {
    const two = makeManager(second, OWNER);
    const after = [await two.metadata(id, snapshot), await two.metadata(id, declared), await two.read(id, declared, heapEnd)];
    assert.deepEqual([...after, await two.list(id)], before.slice(0, -1));
    await two.upload(id, declared, { wasm_memory: { offset: 65_535n } }, Uint8Array.of(9));
    assert.deepEqual([...(await two.read(id, declared, heapEnd))], [0, 0, 1, 2, 3, 0, 0, 9]);
    assert.deepEqual(await two.read(id, snapshot, { wasm_chunk: { hash: sha256(words(4)) } }), words(4));
    assert.equal(hex((await two.take(id)).id).slice(0, 16), '0000000000000003');
    await two.load(id, snapshot);
    assert.deepEqual(await stateOf(id, second), before.at(-1));
  } finally {
    await second.stop();
  }
});
