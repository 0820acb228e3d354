// The application that is backed up through stable memory: what an upgrade writes, how a backup is read, and how it is
// restored into another canister; what is refused.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IDL } from '@icp-sdk/core/candid';
import { buildCanisters, callCandid, CONTROLLER, makeEngine, PAGE, rejects, STRANGER } from './engine_fixture.mjs';

const module = buildCanisters()('distrikt');
const EMPTY = new Uint8Array(0);
const { Nat64, Int64, Text, Vec, Nat8, Opt, Record } = IDL;
const types = {
  post: [[Text], [Nat64]],
  post_count: [[], [Nat64]],
  get_post: [[Nat64], [Opt(Record({ author: IDL.Principal, time_ns: Nat64, text: Text }))]],
  stable64_read: [[Nat64, Nat64], [Vec(Nat8)]],
  stable64_size: [[], [Nat64]],
  stable64_grow: [[Nat64], [Int64]],
  stable64_write: [[Nat64, Vec(Nat8)], []],
};
const queries = new Set(['post_count', 'get_post', 'stable64_read', 'stable64_size']);
const use = (engine, caller = CONTROLLER) =>
  Object.fromEntries(
    Object.entries(types).map(([name, type]) => [
      name,
      async (...values) => (await callCandid(engine, queries.has(name) ? 'query' : 'update', name, type, values, caller))[0],
    ]),
  );
const upgrade = (engine, given = {}) => engine.upgrade({ module, arg: EMPTY, caller: CONTROLLER, ...given });

async function posts(app) {
  const all = [];
  for (let i = 0n; i < (await app.post_count()); i++) {
    const [{ author, time_ns: time, text }] = await app.get_post(i);
    all.push([author.toText(), time, text]);
  }
  return all;
}

/** MessagePack of the posts, made here: maps, texts and times in the long forms, as the canister writes them. */
function expected(all) {
  const head = (code, n, size) => {
    const bytes = Buffer.alloc(9);
    bytes.writeBigUInt64BE(BigInt(n), 1);
    return Buffer.concat([Buffer.from([code]), bytes.subarray(9 - size)]);
  };
  const key = (text) => Buffer.concat([Buffer.from([0xa0 + text.length]), Buffer.from(text)]);
  const fields = ({ author, time, text }) => [
    Buffer.from([0x83]),
    ...[key('author'), head(0xc4, author.length, 1), author],
    ...[key('time_ns'), head(0xcf, time, 8)],
    ...[key('text'), head(0xdb, Buffer.byteLength(text), 4), Buffer.from(text)],
  ];
  const body = Buffer.concat([head(0xdd, all.length, 4), ...all.flatMap(fields)]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(body.length));
  return Buffer.concat([length, body]);
}

test('the heap survives upgrades, through stable memory', async () => {
  const engine = makeEngine(module);
  const app = use(engine);
  assert.equal(await app.stable64_size(), 0n);
  assert.equal(await app.post('one'), 0n);
  assert.equal(await use(engine, STRANGER).post('zwei, ä'), 1n);
  const long = 'x'.repeat(3000);
  for (let i = 0; i < 200; i++) await app.post(`${i} ${long}`);
  const before = await posts(app);
  assert.equal(before.length, 202);
  assert.deepEqual(await app.get_post(202n), []);
  upgrade(engine);
  assert.deepEqual(await posts(app), before);
  await app.post('more');
  upgrade(engine);
  upgrade(engine);
  assert.deepEqual((await posts(app)).slice(0, -1), before);
});

test('what stable memory holds: length, then MessagePack', async () => {
  const engine = makeEngine(module);
  const app = use(engine);
  await app.post('one');
  await use(engine, STRANGER).post('zwei, ä');
  const [[, first], [, second]] = await posts(app);
  upgrade(engine);
  assert.equal(await app.stable64_size(), 1n);
  const bytes = Buffer.from(await app.stable64_read(0n, BigInt(PAGE)));
  const wanted = expected([
    { author: CONTROLLER, time: first, text: 'one' },
    { author: STRANGER, time: second, text: 'zwei, ä' },
  ]);
  assert.deepEqual(bytes.subarray(0, wanted.length), wanted);
  assert.ok(bytes.subarray(wanted.length).every((byte) => byte === 0));
});

test('backup, and restore into another canister', async () => {
  const [from, to] = [makeEngine(module), makeEngine(module)];
  for (let i = 0; i < 50; i++) await use(from).post(`${i} `.repeat(1000));
  upgrade(from);
  const size = (await use(from).stable64_size()) * BigInt(PAGE);
  await use(to).post('will be replaced');
  assert.equal(await use(to).stable64_grow(size / BigInt(PAGE)), 0n);
  for (let at = 0n; at < size; at += 50_000n) {
    const length = size - at < 50_000n ? size - at : 50_000n;
    await use(to).stable64_write(at, await use(from).stable64_read(at, length));
  }
  upgrade(to, { skipPreUpgrade: true });
  assert.deepEqual(await posts(use(to)), await posts(use(from)));
});

test('short forms of MessagePack are read, too', async () => {
  const engine = makeEngine(module);
  const app = use(engine);
  const text = Buffer.concat([Buffer.from([0xa2]), Buffer.from('hi')]);
  const body = Buffer.concat([
    Buffer.from([0x91, 0x83]),
    ...[Buffer.from('\xa6author\xc5\x00\x01\x04', 'latin1'), Buffer.from('\xa7time_ns\x07\xa4text', 'latin1'), text],
  ]);
  await app.stable64_grow(1n);
  await app.stable64_write(0n, Buffer.concat([Buffer.from([body.length, 0, 0, 0, 0, 0, 0, 0]), body]));
  upgrade(engine, { skipPreUpgrade: true });
  assert.deepEqual(await posts(app), [['2vxsx-fae', 7n, 'hi']]);
});

test('damaged stable memory: the upgrade fails and changes nothing', async () => {
  const engine = makeEngine(module);
  const app = use(engine);
  await app.post('kept');
  upgrade(engine);
  const before = await posts(app);
  const good = Buffer.from(await app.stable64_read(0n, 80n));
  const length = good.readUInt32LE(0);
  for (let i = 0; i < 8 + length; i++) {
    const bad = Buffer.from(good);
    bad[i] ^= 0x80;
    await app.stable64_write(0n, bad);
    let outcome = 'accepted';
    try {
      upgrade(engine, { skipPreUpgrade: true });
    } catch (error) {
      outcome = error.errorCode;
      assert.match(error.message, /stable memory holds no posts of this format$/);
    }
    // Damage within author, time or text cannot be noticed; everything else is.
    if (outcome === 'accepted') assert.equal((await posts(app)).length, 1, `byte ${i}`);
    else assert.deepEqual([outcome, (await posts(app)).length], ['IC0503', 1], `byte ${i}`);
    await app.stable64_write(0n, good);
    upgrade(engine, { skipPreUpgrade: true });
    assert.deepEqual(await posts(app), before);
  }
});

test('stable memory is for controllers alone', async () => {
  const engine = makeEngine(module);
  const app = use(engine, STRANGER);
  for (const refused of [app.stable64_size(), app.stable64_read(0n, 0n), app.stable64_grow(1n), app.stable64_write(0n, [])]) {
    await rejects(refused, 'IC0406', /^denied: only a controller/);
  }
  await rejects(use(engine).stable64_read(0n, 1n), 'IC0503', /not within the size/);
  await rejects(use(engine).stable64_write(0n, [1]), 'IC0502', /stable memory out of bounds/);
});
