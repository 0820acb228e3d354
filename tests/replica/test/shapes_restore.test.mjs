// The write sides of tests/canisters/shapes, by @icp-sdk/core: each restores what it had, and is asked by its own methods.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { Actor, HttpAgent } from '@icp-sdk/core/agent';
import { IDL } from '@icp-sdk/core/candid';
import { Ed25519KeyIdentity } from '@icp-sdk/core/identity';
import { seedBytes } from '../../mount/harness.mjs';
import { createCanister, installCode, moduleOf, upgradeCode } from '../../mount/install.mjs';
import { configure, Items } from '../../mount/items.mjs';
import { factlandProfile, N_PROFILES, powerEqualizerChunk, ShapedCanister, shapeModule, TAGGR_PAGE } from '../../mount/shapes.mjs';
import { network } from './wire_fixture.mjs';

const PAGE = 65536;
const SIZE = 3 * PAGE + 1234;
const SEED = 77n;
const PIECE = 200_000; // bytes in a call

const DENIED = /denied: .*\n.*IC0406/;
const NOT_A_CONTROLLER = /the caller is not a controller of this canister\n.*IC0503/;
const OUT_OF_MEMORY = /stable memory out of bounds\n.*IC0502/;

const net = await network();
const agentOf = (identity) =>
  HttpAgent.create({ host: net.url, identity, rootKey: net.rootKeyDer, verifyQuerySignatures: true, retryTimes: 0 });
const owner = await agentOf(Ed25519KeyIdentity.generate(new Uint8Array(32).fill(9)));
const anonymous = await agentOf(undefined);
const canister = await ShapedCanister.install(owner, 'live');

async function install(name, options = {}) {
  await canister.reinstall(name, { size: SIZE, seed: SEED, controllersOnly: false, ...options });
  return { actor: canister.actor, stranger: canister.actorOf(anonymous) };
}

const digest = (bytes) => createHash('sha256').update(bytes).digest('hex');
const same = (got, want) => assert.deepEqual([got.length, digest(got)], [want.length, digest(want)]);

/** Reads `size` bytes by (offset, length). */
async function readAll(read, size) {
  const parts = [];
  for (let at = 0; at < size; at += PIECE) parts.push(Buffer.from(await read(at, Math.min(PIECE, size - at))));
  return Buffer.concat(parts);
}

/** Writes them by (offset, bytes), the last piece first. */
async function writeAll(write, bytes) {
  const starts = Array.from({ length: Math.ceil(bytes.length / PIECE) }, (_, i) => i * PIECE).reverse();
  for (const at of starts) await write(at, new Uint8Array(bytes.subarray(at, at + PIECE)));
}

const big = (method, ...first) => (offset, more) => method(...first, BigInt(offset), typeof more === 'number' ? BigInt(more) : more);

describe('memory that is written back into an empty canister', () => {
  const cases = {
    factland: { read: (a) => big(a.stable_read), write: (a) => big(a.stable_write), beyond: null },
    cdk32: {
      read: (a) => a.stable_read,
      write: (a) => a.stable_write,
      grow: async (a, pages) => a.stable_grow(pages),
      grown: (before) => ({ Ok: before }),
      full: [2 ** 32 - 1, { Err: { OutOfMemory: null } }],
    },
    stable64: {
      read: (a) => big(a.stable64_read),
      write: (a) => big(a.stable64_write),
      grow: async (a, pages) => a.stable64_grow(BigInt(pages)),
      grown: (before) => ({ ok: BigInt(before) }),
      full: [2 ** 40, { err: { OutOfMemory: null } }],
      written: true,
    },
    storage: { read: (a) => big(a.read), write: (a) => big(a.write), grow: (a, pages) => a.stablegrow(BigInt(pages)), grown: BigInt },
  };
  for (const [name, { read, write, grow, grown, full, written = [] }] of Object.entries(cases)) {
    test(name, async () => {
      const old = await install(name);
      const size = 4 * PAGE;
      const saved = await readAll(read(old.stranger), size);
      same(saved, seedBytes(SEED, 0, size));
      const { actor, stranger } = await install(name, { size: 0 });
      await assert.rejects(write(stranger)(0, [1]), DENIED);
      if (grow) {
        await assert.rejects(grow(stranger, 1), DENIED);
        await assert.rejects(write(actor)(0, [1]), OUT_OF_MEMORY);
        assert.deepEqual(await grow(actor, 3), grown(0));
        assert.deepEqual(await grow(actor, 1), grown(3));
        if (full) assert.deepEqual(await grow(actor, full[0]), full[1]);
        await assert.rejects(write(actor)(size - 1, [1, 2]), OUT_OF_MEMORY);
      }
      await writeAll(write(actor), saved);
      same(await readAll(read(stranger), size), saved);
      await assert.rejects(read(stranger)(size, 1), OUT_OF_MEMORY);
      const empty = await write(actor)(0, []);
      assert.deepEqual(empty ?? [], written);
    });
  }

  test('canister_tools: each memory by its id, also new ones', async () => {
    const old = await install('canister_tools');
    const sizes = { 0: 4 * PAGE, 1: 2 * PAGE, 252: PAGE };
    const saved = {};
    for (const [id, size] of Object.entries(sizes)) saved[id] = await readAll(big(old.stranger.controller_stable_memory_read, Number(id)), size);
    const { actor, stranger } = await install('canister_tools', { size: 0 });
    await assert.rejects(stranger.controller_stable_memory_write(0, 0n, [1]), NOT_A_CONTROLLER);
    await assert.rejects(stranger.controller_stable_memory_grow(0, 1n), NOT_A_CONTROLLER);
    await assert.rejects(actor.controller_stable_memory_write(0, 0n, [1]), /out of bounds/);
    // In turns, so that no memory lies in one piece.
    for (let i = 0n; i < 4n; i++) for (const id of [0, 7]) assert.equal(await actor.controller_stable_memory_grow(id, 1n), i);
    assert.equal(await actor.controller_stable_memory_grow(1, 2n), 0n);
    assert.equal(await actor.controller_stable_memory_grow(1, 0n), 2n);
    assert.equal(await actor.controller_stable_memory_grow(252, 1n), 0n);
    assert.equal(await actor.controller_stable_memory_grow(0, 2n ** 40n), -1n);
    for (const [id, bytes] of Object.entries(saved)) await writeAll(big(actor.controller_stable_memory_write, Number(id)), bytes);
    await writeAll(big(actor.controller_stable_memory_write, 7), seedBytes(5n, 0, 4 * PAGE));
    for (const [id, bytes] of Object.entries(saved)) {
      assert.equal(await stranger.controller_stable_memory_size(Number(id)), BigInt(bytes.length / PAGE));
      same(await readAll(big(stranger.controller_stable_memory_read, Number(id)), bytes.length), bytes);
      await assert.rejects(actor.controller_stable_memory_write(Number(id), BigInt(bytes.length - 1), [1, 2]), /out of bounds/);
    }
    same(await readAll(big(stranger.controller_stable_memory_read, 7), 4 * PAGE), seedBytes(5n, 0, 4 * PAGE));
  });

  test('icml', async () => {
    const old = await install('icml');
    const saved = Buffer.from(await old.stranger.db_download(0n));
    const { actor, stranger } = await install('icml', { size: 0 });
    await assert.rejects(stranger.db_upload(0n, [1]), DENIED);
    await writeAll(big(actor.db_upload), saved);
    same(await stranger.db_download(0n), saved);
  });
});

describe('a dump that becomes the state', () => {
  const stateOf = (actor, size) => readAll(big(actor.read_state), size);

  test('taggr: pages, then stable_to_heap', async () => {
    const size = TAGGR_PAGE + 999;
    const old = await install('taggr', { size });
    const state = await stateOf(old.stranger, size - 16);
    same(state, seedBytes(SEED, 16, size - 16));
    const pages = [await old.stranger.stable_mem_read(0n), await old.stranger.stable_mem_read(1n)];
    const { actor, stranger } = await install('taggr', { size: 0 });
    for (const refused of [stranger.stable_mem_write(pages[0]), stranger.stable_to_heap()]) await assert.rejects(refused, DENIED);
    await assert.rejects(actor.stable_to_heap(), OUT_OF_MEMORY);
    await actor.stable_mem_write([]);
    await actor.stable_mem_write([[5n, []]]);
    await assert.rejects(stranger.stable_mem_read(0n), OUT_OF_MEMORY, 'nothing was written');
    for (const page of pages.toReversed()) await actor.stable_mem_write(page);
    assert.deepEqual((await stateOf(stranger, 0)).length, 0);
    await assert.rejects(stranger.read_state(0n, 1n), /IC0503/, 'the heap is as it was');
    await actor.stable_to_heap();
    same(await stateOf(stranger, size - 16), state);
    await actor.backup();
    assert.deepEqual([await stranger.stable_mem_read(0n), await stranger.stable_mem_read(1n)], pages);
    await actor.stable_mem_write([[0n, [255, 255, 255, 255, 255, 255, 255, 255]]]);
    await assert.rejects(actor.stable_to_heap(), /stable memory holds no dump\n.*IC0503/);
    same(await stateOf(stranger, size - 16), state);
  });

  test('hotornot: a snapshot in pieces, then load_snapshot', async () => {
    const old = await install('hotornot');
    assert.equal(await old.actor.save_snapshot_json(), SIZE);
    const saved = await readAll(big(old.stranger.download_snapshot), SIZE);
    const { actor, stranger } = await install('hotornot', { size: PAGE, seed: 5n });
    for (const refused of [stranger.receive_and_save_snaphot(0n, [1]), stranger.load_snapshot()]) await assert.rejects(refused, DENIED);
    await actor.save_snapshot_json();
    await actor.clear_snapshot();
    await actor.receive_and_save_snaphot(9n, [7]);
    assert.deepEqual([...(await stranger.download_snapshot(0n, 10n))], [0, 0, 0, 0, 0, 0, 0, 0, 0, 7], 'what was there before is gone');
    await writeAll(big(actor.receive_and_save_snaphot), saved);
    same(await stateOf(stranger, PAGE), seedBytes(5n, 0, PAGE));
    await actor.load_snapshot();
    same(await stateOf(stranger, SIZE), saved);
    await actor.clear_snapshot();
    assert.equal(await actor.save_snapshot_json(), SIZE);
    same(await readAll(big(stranger.download_snapshot), SIZE), saved);
  });

  test('metamagic: init, pieces, the flag, then an upgrade', async () => {
    const upgrade = () => upgradeCode(owner, canister.principal, shapeModule('metamagic', 'public'));
    const old = await install('metamagic');
    const saved = await readAll(big(old.stranger.backup_stable_storage), SIZE + 40);
    const { actor, stranger } = await install('metamagic', { size: PAGE, seed: 5n });
    for (const refused of [
      stranger.init_stable_storage(1n),
      stranger.restore_stable_storage(0n, [1]),
      stranger.set_restore_from_stable_storage(true),
    ])
      await assert.rejects(refused, DENIED);
    await actor.init_stable_storage(BigInt(saved.length));
    await writeAll(big(actor.restore_stable_storage), saved);
    await assert.rejects(actor.restore_stable_storage(2n ** 40n, [1]), OUT_OF_MEMORY);
    same(await stateOf(actor, PAGE), seedBytes(5n, 0, PAGE));
    await upgrade(); // without the flag the state is saved over it
    same(await stateOf(actor, PAGE), seedBytes(5n, 0, PAGE));
    same(await readAll(big(actor.backup_stable_storage), 1000), Buffer.concat([header(PAGE), seedBytes(5n, 0, 960)]));

    await writeAll(big(actor.restore_stable_storage), saved);
    await actor.set_restore_from_stable_storage(true);
    assert.equal((await actor.stable_storage_info())[1].skip_next_save, true);
    await upgrade();
    same(await stateOf(actor, SIZE), seedBytes(SEED, 0, SIZE));
    const [info, transient] = await actor.stable_storage_info();
    assert.deepEqual([info.content_length, info.content_format, transient.skip_next_save], [BigInt(SIZE), { Bincode: null }, false]);
    await upgrade();
    same(await readAll(big(actor.backup_stable_storage), saved.length), saved);

    for (const [at, byte] of [[0, 5], [8 + 7, 1], [16, 3]]) {
      await actor.restore_stable_storage(BigInt(at), [byte]);
      await actor.set_restore_from_stable_storage(true);
      await assert.rejects(upgrade(), /stable storage holds no state of this format/);
      same(await stateOf(actor, SIZE), seedBytes(SEED, 0, SIZE));
      await actor.restore_stable_storage(0n, new Uint8Array(saved.subarray(0, 40)));
    }
    await assert.rejects(stranger.read_state(0n, 1n), /not authorized to read/, 'an upgrade closes it');
  });

  const header = (size) => {
    const bytes = Buffer.alloc(40);
    [4, size, 2, 7, 123456789].forEach((n, i) => bytes.writeBigUInt64LE(BigInt(n), 8 * i));
    return bytes;
  };
});

describe('collections', () => {
  test('factland: profiles by their users', async () => {
    const { actor, stranger } = await install('factland');
    const saved = await stranger.backup(0, 2000);
    assert.deepEqual(saved, Array.from({ length: N_PROFILES }, (_, i) => factlandProfile(i)));
    const none = { updated_time_msecs: [], username: [], password: [], email: [] };
    await assert.rejects(stranger.restore([]), DENIED);
    const changed = [
      ['principal-7', { ...none, password: ['secret'] }],
      ['principal-1499', none],
      ['principal-1500', { ...none, username: ['Grüße'] }],
      ['principal-007', none],
      ['principal-1500', { ...none, email: ['x'.repeat(300)] }],
    ];
    await actor.restore(changed);
    const got = await stranger.backup(0, 5000);
    assert.equal(got.length, N_PROFILES + 2);
    assert.deepEqual([got[7], got[1499], got[1500], got[1501]], [changed[0], changed[1], changed[4], changed[3]]);
    assert.deepEqual(await stranger.backup(1501, 5), [changed[3]]);
    await actor.restore(saved);
    assert.deepEqual(await stranger.backup(0, N_PROFILES), saved);
    assert.equal((await stranger.backup(0, 5000)).length, N_PROFILES + 2);
    await canister.fill(SIZE, SEED);
    assert.deepEqual(await stranger.backup(0, 5000), saved);
  });

  test('power_equalizer: chunks in their order', async () => {
    const data = { size: 107, seed: SEED };
    const old = await install('power_equalizer', data);
    const chunks = [];
    for (let i = 0n; i < 11n; i++) chunks.push(await old.stranger.backupChunk(10n, i));
    const { actor, stranger } = await install('power_equalizer', { size: 30, seed: 5n });
    await assert.rejects(stranger.restoreChunk(chunks[0]), DENIED);
    for (const chunk of chunks) await actor.restoreChunk(chunk);
    assert.equal(await stranger.getChunkCount(50n), 3n);
    for (const [size, index] of [[10, 0], [10, 10], [50, 2], [1000, 0]])
      assert.deepEqual(await stranger.backupChunk(BigInt(size), BigInt(index)), powerEqualizerChunk(data, size, index));
    await actor.restoreChunk({ v2: { marketplace: [] } });
    assert.equal(await stranger.getChunkCount(1n), 107n);
    await actor.restoreChunk(chunks[10]);
    assert.equal(await stranger.getChunkCount(1n), 114n, 'twice is once too often');
    await actor.restoreChunk(chunks[0]);
    assert.equal(await stranger.getChunkCount(1n), 10n, 'the first begins anew');
  });

  test('items: by id, in any order, into an empty canister', async () => {
    const data = { size: 1000, seed: SEED };
    const old = await install('items', data);
    await old.actor.touch(3n);
    const chunks = [];
    for (let i = 0n; i < 10n; i++) chunks.push((await old.stranger.backup_items_chunk(100n * i, 100n))[0]);
    const { actor, stranger } = await install('items', { size: 0 });
    await assert.rejects(stranger.restore_items_chunk(chunks[0]), DENIED);
    const before = await stranger.backup_version();
    for (const chunk of chunks.slice(5).reverse()) await actor.restore_items_chunk(chunk);
    assert.equal(await stranger.number_of_posts(), 500n);
    assert.equal((await stranger.backup_plain(0, 1))[0].id, 500n, 'those that are there');
    for (const chunk of chunks.slice(0, 5)) await actor.restore_plain(chunk.chunk);
    await actor.restore_items_chunk(chunks[0]);
    for (let i = 0n; i < 10n; i++) assert.deepEqual(await stranger.backup_items_chunk(100n * i, 100n), [chunks[Number(i)]]);
    assert.deepEqual(await stranger.posts(990n, 10n), chunks[9].chunk.slice(90));
    const notes = chunks.map((chunk) => BigInt(chunk.notes.length));
    const sum = (list) => list.reduce((a, b) => a + b, 0n);
    assert.deepEqual(await stranger.restored(), { calls: 11n, items: 1100n, notes: sum(notes.slice(5)) + notes[0] });
    const after = await stranger.backup_version();
    assert.ok(after.version > before.version && after.size === 1000n);
    await actor.touch(3n);
    const letter = (await stranger.backup_plain(3, 1))[0].body[0];
    assert.deepEqual([letter, chunks[0].chunk[3].body[0]], ['f', 'e']);
    await actor.restore_plain(chunks[0].chunk.slice(3, 4));
    assert.deepEqual(await stranger.backup_plain(3, 1), chunks[0].chunk.slice(3, 4));
    await canister.fill(5, SEED);
    assert.deepEqual(await stranger.backup_plain(0, 9), new Items({ size: 5, seed: SEED }).list(0, 5));
  });

  test('items: the knobs of restoring', async () => {
    const { actor, stranger } = await install('items', { size: 50 });
    const items = new Items({ size: 200, seed: 5n }).list(0, 200);
    const NOT_TAKEN = { trap: /this is not taken\n.*IC0503/, reject: /this is not taken\n.*IC0406/ };
    const count = async () => (({ calls, items: n }) => [calls, n])(await stranger.restored());

    await configure(canister, { restore_above: 20 });
    await assert.rejects(actor.restore_plain(items.slice(0, 21)), NOT_TAKEN.trap);
    assert.deepEqual(await count(), [0n, 0n]);
    await actor.restore_plain(items.slice(0, 20));
    await configure(canister, { restore_above: 20, restore_rejects: 1 });
    await assert.rejects(actor.restore_plain(items.slice(0, 21)), NOT_TAKEN.reject);
    assert.deepEqual(await count(), [1n, 0n]);

    await configure(canister, { restore_fails: 2, restore_rejects: 1 });
    await actor.restore_plain(items.slice(0, 5));
    await assert.rejects(actor.restore_plain(items.slice(5, 10)), NOT_TAKEN.reject);
    await actor.restore_plain(items.slice(5, 10));
    assert.deepEqual(await count(), [3n, 10n]);
    await configure(canister, { restore_fails: 2 });
    await actor.restore_plain(items.slice(0, 5));
    for (let i = 0; i < 2; i++) await assert.rejects(actor.restore_plain(items.slice(5, 10)), NOT_TAKEN.trap);
    assert.deepEqual(await count(), [1n, 5n]);

    await configure(canister, { restore_ordered: 1 });
    await assert.rejects(actor.restore_plain(items.slice(51, 60)), /an item is missing before this one\n.*IC0503/);
    await actor.restore_plain(items.slice(40, 60));
    await actor.restore_plain(items.slice(60, 70));
    assert.deepEqual(await stranger.backup_plain(40, 100), items.slice(40, 70));

    await configure(canister, { restore_burns: 10 });
    net.setOptions({ instructionPercent: 0.01 });
    await assert.rejects(actor.restore_plain(items.slice(70, 81)), /IC0522/);
    await actor.restore_plain(items.slice(70, 80));
    net.setOptions({ instructionPercent: 100 });
    assert.equal(await stranger.number_of_posts(), 80n);
  });

  test('hostile arguments trap, and nothing is changed', async () => {
    const caller = (await owner.getPrincipal()).toUint8Array();
    const call = (method, bytes) => net.callAs(caller, canister.principal.toUint8Array(), method, Uint8Array.from(Buffer.from(bytes, 'hex')));
    const didl = '4449444c';
    const cases = {
      items: { method: 'restore_plain', count: (actor) => actor.number_of_posts() },
      factland: { method: 'restore', count: async (actor) => (await actor.backup(0, 5000)).length },
      power_equalizer: { method: 'restoreChunk', count: (actor) => actor.getChunkCount(1n) },
      taggr: { method: 'stable_mem_write', count: (actor) => actor.stable_mem_read(0n) },
    };
    const args = {
      nothing: '',
      'another magic': '4449444d000171',
      'no argument': `${didl}0000`,
      'a text': `${didl}00017100`,
      'an index beyond the table': `${didl}016d050100`,
      'more types than there are': `${didl}ff01`,
      'a vec of nothing, of endless length': `${didl}026d016c000100ffffffffffffffff7f`,
      'a vec that ends too early': `${didl}026d016c02007101710100057f`,
      'a record of itself': `${didl}016c0100000100`,
      'fields out of order': `${didl}026d016c02017100710100010000`,
      'a length of eleven bytes': `${didl}026d016c02007101780100ffffffffffffffffffff01`,
      'a function': `${didl}016a0000000100`,
      'a text that is no UTF-8': `${didl}036d016c02007101026c00010001` + '01ff',
    };
    for (const [name, { method, count }] of Object.entries(cases)) {
      const { actor } = await install(name, { size: 100 });
      const before = await count(actor);
      for (const [what, arg] of Object.entries(args)) {
        await assert.rejects(call(method, arg), { errorCode: 'IC0503' }, `${name}: ${what}`);
        assert.deepEqual(await count(actor), before, `${name}: ${what}`);
      }
    }
  });
});

test('distrikt: back up, write plainly, upgrade without the pre-upgrade hook', async () => {
  const { Nat8, Nat64, Int64, Text, Opt, Record, Vec } = IDL;
  const Blob = Vec(Nat8);
  const query = (args, results) => IDL.Func(args, results, ['query']);
  const service = () =>
    IDL.Service({
      post: IDL.Func([Text], [Nat64], []),
      post_count: query([], [Nat64]),
      get_post: query([Nat64], [Opt(Record({ author: IDL.Principal, time_ns: Nat64, text: Text }))]),
      stable64_size: query([], [Nat64]),
      stable64_read: query([Nat64, Nat64], [Blob]),
      stable64_grow: IDL.Func([Nat64], [Int64], []),
      stable64_write: IDL.Func([Nat64, Blob], [], []),
    });
  const module = moduleOf('distrikt');
  const make = async () => {
    const principal = await createCanister(owner);
    await installCode(owner, principal, module);
    const actorOf = (agent) => Actor.createActor(service, { agent, canisterId: principal });
    return { principal, actor: actorOf(owner), stranger: actorOf(anonymous) };
  };
  const posts = async ({ stranger }) => {
    const count = Number(await stranger.post_count());
    return Promise.all(Array.from({ length: count }, async (_, i) => (await stranger.get_post(BigInt(i)))[0]));
  };
  const [from, to] = [await make(), await make()];
  for (let i = 0; i < 20; i++) await (i % 2 ? from.stranger : from.actor).post(`${i}: ${'Grüße '.repeat(i * 20)}`);
  await upgradeCode(owner, from.principal, module);
  const before = await posts(from);
  const size = Number(await from.actor.stable64_size()) * PAGE;
  const saved = await readAll(big(from.actor.stable64_read), size);

  // Into another canister, and back into the same one after changes.
  await from.actor.post('will be gone');
  await upgradeCode(owner, from.principal, module);
  await from.actor.post('this one, too');
  for (const target of [to, from]) {
    const have = Number(await target.actor.stable64_size()) * PAGE;
    if (have < size) assert.equal(await target.actor.stable64_grow(BigInt((size - have) / PAGE)), BigInt(have / PAGE));
    await writeAll(big(target.actor.stable64_write), saved);
    await assert.rejects(target.stranger.stable64_write(0n, [0]), DENIED);
    await upgradeCode(owner, target.principal, module, { skipPreUpgrade: true });
    assert.deepEqual(await posts(target), before);
    await upgradeCode(owner, target.principal, module);
    assert.deepEqual(await posts(target), before);
  }
});
