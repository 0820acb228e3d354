// The canisters in the shapes of real ones, tests/canisters/shapes, against what tests/mount/shapes.mjs says of them:
// their methods by @icp-sdk/core's Candid types and by didc from their .did files, bytes and items, the end of the data
// and what is beyond it, and who may read.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { before, describe, test } from 'node:test';
import { CanisterStatus, HttpAgent } from '@icp-sdk/core/agent';
import { IDL } from '@icp-sdk/core/candid';
import { Ed25519KeyIdentity } from '@icp-sdk/core/identity';
import {
  didOf,
  dscvrReplies,
  factlandProfile,
  ICML_CHUNK,
  N_PROFILES,
  powerEqualizerChunk,
  ShapedCanister,
  SHAPES,
  TAGGR_PAGE,
  zenvoichBackups,
  ZENVOICH_CHUNK,
} from '../../mount/shapes.mjs';
import { configure, Items } from '../../mount/items.mjs';
import { hex, network } from './wire_fixture.mjs';

const didc = createRequire(import.meta.url)('@dfinity/didc');
const PAGE = 65536;
const SIZE = 3 * PAGE + 1234; // of most of the data below: an end inside a page
const SEED = 77n;
const DATA = { size: SIZE, seed: SEED };

// How @icp-sdk/core puts a reject: its text, then its error code.
const OUT_OF_MEMORY = /stable memory out of bounds\n.*IC0502/;
const OUT_OF_SLICE = /range end out of bounds of the slice\n.*IC0503/;
const NO_INDEX = /index out of (bounds|range for slice)\n.*IC0503/;
const REFUSED = { reject: /not authorized to read\n.*IC0406/, trap: /not a controller of this canister\n.*IC0503/ };
const DENIED = /denied: .*\n.*IC0406/;

const net = await network();
async function agentOf(identity) {
  return HttpAgent.create({
    host: net.url,
    identity,
    rootKey: net.rootKeyDer,
    verifyQuerySignatures: true,
    shouldFetchRootKey: false,
    retryTimes: 0,
  });
}
const owner = await agentOf(Ed25519KeyIdentity.generate(new Uint8Array(32).fill(9)));
const stranger = await agentOf(undefined);

// One canister serves all tests of this file, one after the other.
const canister = await ShapedCanister.install(owner, 'live');

/** Installs it anew for everybody to read; as a stranger sees it. */
async function install(name, options = {}) {
  await canister.reinstall(name, { ...DATA, controllersOnly: false, ...options });
  return canister.actorOf(stranger);
}

// Blobs of a megabyte are compared by hash: assert would print them.
const same = (got, want) => {
  assert.equal(got.length, want.length);
  assert.equal(createHash('sha256').update(got).digest('hex'), createHash('sha256').update(want).digest('hex'));
};

/** Reads by (offset, length): the beginning, across a page's boundary, up to the end, nothing, and beyond the end. */
async function checkRanges(read, { size, read: want }, beyond) {
  for (const [offset, length] of [
    [0, 100],
    [PAGE - 7, 1000],
    [PAGE, PAGE],
    [0, size],
    [size - 1, 1],
    [0, 0],
    [size, 0],
  ]) {
    same(await read(offset, length), want(offset, length));
  }
  for (const [offset, length] of [
    [size, 1],
    [size - 1, 2],
    [size + 1, 0],
    [0, size + 1],
  ]) {
    await assert.rejects(read(offset, length), beyond, `${offset}+${length}`);
  }
}

// Arguments that are made of others: as text, and as @icp-sdk/core takes them.
const ITEMS = ['vec { record { id = 7; body = "seven" } }', [{ id: 7n, body: 'seven' }]];
const COMPOSITES = {
  restore: [
    'vec { record { "me"; record { updated_time_msecs = opt 7; username = opt "I"; password = null; email = null } } }',
    [['me', { updated_time_msecs: [7n], username: ['I'], password: [], email: [] }]],
  ],
  stable_mem_write: ['vec { record { 7; blob "\\01\\02" } }', [[7n, [1, 2]]]],
  restoreChunk: [
    'variant { v2 = record { marketplace = opt variant { v2_chunk = record { transactionChunk = vec {} } } } }',
    { v2: { marketplace: [{ v2_chunk: { transactionChunk: [] } }] } },
  ],
  restore_plain: ITEMS,
  restore_items_chunk: [
    `record { height = 1; chunk = ${ITEMS[0]}; notes = vec { "note" }; total_length = 9 }`,
    { height: 1n, chunk: ITEMS[1], notes: ['note'], total_length: 9n },
  ],
};

const asBigInts = (method) => (offset, length) => method(BigInt(offset), BigInt(length));

describe('.did files', () => {
  for (const [name, { methods }] of Object.entries(SHAPES)) {
    test(name, () => {
      const idl = didOf(name);
      const all = { ...methods, fill: IDL.Func([IDL.Nat64, IDL.Nat64], [], []) };
      assert.deepEqual(didc.getServiceMethods(idl).sort(), Object.keys(all).sort());
      const samples = { nat: '7', nat8: '7', nat32: '7', nat64: '7', bool: 'true', text: '"x=7"', 'vec nat8': 'blob "\\01\\02"' };
      const values = { nat8: 7, nat32: 7, bool: true, text: 'x=7', 'vec nat8': [1, 2] };
      for (const [method, { argTypes, annotations }] of Object.entries(all)) {
        for (const { name: type } of argTypes) if (COMPOSITES[method]) [samples[type], values[type]] = COMPOSITES[method];
        const input = `(${argTypes.map((type) => samples[type.name]).join(', ')})`;
        const theirs = didc.encode({ idl, input, withType: { kind: 'methodParams', name: method } });
        const ours = IDL.encode(argTypes, argTypes.map((type) => values[type.name] ?? 7n));
        // The order of the entries of a type table is free.
        if (COMPOSITES[method]) assert.deepEqual(IDL.decode(argTypes, Uint8Array.from(Buffer.from(theirs, 'hex'))), IDL.decode(argTypes, ours));
        else assert.equal(theirs, hex(ours), method);
        const isQuery = new RegExp(`\\b${method} : [^;{]*(\\{[^}]*\\})?[^;{]* query;`).test(idl);
        assert.equal(isQuery, annotations.includes('query'), method);
      }
    });
  }
});

describe('stable memory with a size', () => {
  const size = 4 * PAGE;
  const cases = {
    factland: { sizeOf: (actor) => actor.stable_size(), expect: BigInt(size), read: 'stable_read' },
    cdk32: { sizeOf: (actor) => actor.stable_size(), expect: 4, read: 'stable_read', numbers: (n) => n },
    stable64: { sizeOf: (actor) => actor.stable64_size(), expect: 4n, read: 'stable64_read' },
    storage: { sizeOf: (actor) => actor.stablesize(), expect: 4n, read: 'read' },
    best_effort: { sizeOf: (actor) => actor.stable_size(), expect: BigInt(size), read: 'stable_read' },
    live: { sizeOf: (actor) => actor.stable_size(), expect: BigInt(size), read: 'stable_read' },
    nat: { sizeOf: (actor) => actor.stable_size(), expect: BigInt(SIZE), read: 'stable_read', beyond: OUT_OF_SLICE },
  };
  for (const [name, { sizeOf, expect, read, numbers = BigInt, beyond = OUT_OF_MEMORY }] of Object.entries(cases)) {
    test(name, async () => {
      const actor = await install(name);
      const reader = (offset, length) => actor[read](numbers(offset), numbers(length));
      assert.equal(await sizeOf(actor), expect);
      await checkRanges(reader, canister.memories.stable_memory, beyond);
      await canister.fill(PAGE + 1, SEED + 1n);
      const { stable_memory: changed } = canister.memories;
      assert.equal(changed.size, name === 'nat' ? PAGE + 1 : size);
      same(await reader(0, changed.size), changed.read(0, changed.size));
    });
  }

  test('a number of more than 64 bits', async () => {
    const actor = await install('nat');
    await assert.rejects(actor.stable_read(2n ** 70n, 1n), /IC0503/);
    await assert.rejects(actor.stable_read(2n ** 64n - 1n, 2n ** 64n - 1n), OUT_OF_SLICE);
  });

  test('writing to factland, growing storage', async () => {
    const actor = await install('factland');
    const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i * 7);
    await assert.rejects(actor.stable_write(0n, bytes), DENIED);
    await canister.actor.stable_write(BigInt(size - 500), bytes);
    assert.equal(await actor.stable_size(), BigInt(size + PAGE));
    same(await actor.stable_read(BigInt(size - 500), 1000n), bytes);
    const storage = await install('storage');
    await assert.rejects(storage.stablegrow(1n), DENIED);
    assert.equal(await canister.actor.stablegrow(3n), 4n);
    assert.equal(await storage.stablesize(), 7n);
  });

  test('the version of best_effort changes with the data', async () => {
    const actor = await install('best_effort');
    const before = await actor.stable_version();
    assert.equal(before.size, BigInt(size));
    await canister.fill(5 * PAGE, SEED);
    const after = await actor.stable_version();
    assert.ok(after.version > before.version);
    assert.ok(after.mtime_ns > before.mtime_ns);
    assert.equal(after.size, BigInt(5 * PAGE));
  });
});

test('nosize: only a trap tells where the end is', async () => {
  const actor = await install('nosize');
  await checkRanges(asBigInts(actor.stable_read), canister.memories.stable_memory, OUT_OF_SLICE);
  await install('nosize', { size: 0 });
  same(await actor.stable_read(0n, 0n), Buffer.alloc(0));
  await assert.rejects(actor.stable_read(0n, 1n), OUT_OF_SLICE);
});

test('metamagic: a header of words, the content, and memory after it', async () => {
  const actor = await install('metamagic');
  const [header, transient] = await actor.stable_storage_info();
  assert.deepEqual(header, {
    header_length: 4n,
    content_length: BigInt(SIZE),
    content_format: { Bincode: null },
    content_schema_version: 7n,
    pre_upgrade_instruction_count: 123456789n,
  });
  assert.deepEqual(transient, { skip_next_save: false, post_upgrade_instruction_count: 987654321n });
  const { stable_memory: want } = canister.memories;
  assert.equal(BigInt(want.size), 8n + 8n * header.header_length + header.content_length);
  const read = asBigInts(actor.backup_stable_storage);
  assert.equal(hex((await read(0, 16)).slice(0, 8)), '0400000000000000');
  for (const [offset, length] of [
    [0, 41],
    [39, 100],
    [PAGE - 3, 10],
    [0, want.size],
  ]) {
    same(await read(offset, length), want.read(offset, length));
  }
  same(await read(want.size, 4 * PAGE - want.size), Buffer.alloc(4 * PAGE - want.size));
  await assert.rejects(read(4 * PAGE, 1), OUT_OF_MEMORY);

  await install('metamagic', { size: 0 });
  const [none] = await actor.stable_storage_info();
  assert.deepEqual([none.header_length, none.content_length, none.content_format], [0n, 0n, { Unknown: null }]);
});

test('canister_tools: a memory per id, sizes in pages', async () => {
  const actor = await install('canister_tools');
  const { memories } = canister;
  assert.deepEqual(Object.keys(memories), ['0', '1', '252']);
  for (const [id, want] of Object.entries(memories)) {
    assert.equal(await actor.controller_stable_memory_size(Number(id)), BigInt(want.size / PAGE));
    const read = (offset, length) => actor.controller_stable_memory_read(Number(id), BigInt(offset), BigInt(length));
    same(await read(0, want.size), want.read(0, want.size));
    same(await read(want.size - 9, 9), want.read(want.size - 9, 9));
    await assert.rejects(read(want.size - 9, 10), OUT_OF_SLICE);
  }
  for (const id of [2, 251, 253, 255]) {
    assert.equal(await actor.controller_stable_memory_size(id), 0n);
    same(await actor.controller_stable_memory_read(id, 0n, 0n), Buffer.alloc(0));
    await assert.rejects(actor.controller_stable_memory_read(id, 0n, 1n), OUT_OF_SLICE);
  }
  await canister.fill(9 * PAGE, SEED + 5n);
  assert.equal(await actor.controller_stable_memory_size(0), 9n);
  same(await actor.controller_stable_memory_read(0, 0n, 589824n), canister.memories[0].read(0, 589824));
});

test('taggr: pages up to the end of the dump', async () => {
  const actor = await install('taggr', { size: TAGGR_PAGE + 999 });
  const checkPages = async (lengths) => {
    const { stable_memory: want } = canister.memories;
    for (const [page, length] of lengths.entries()) {
      const entries = await actor.stable_mem_read(BigInt(page));
      if (length === null) {
        assert.deepEqual(entries, []);
        continue;
      }
      assert.equal(entries.length, 1);
      assert.equal(entries[0][0], BigInt(page));
      assert.equal(entries[0][1].length, length);
      same(entries[0][1], want.read(page * TAGGR_PAGE, TAGGR_PAGE));
    }
  };
  await checkPages([TAGGR_PAGE, 999, null, null]);
  assert.deepEqual(await actor.stable_mem_read(2n ** 64n - 1n), []);
  const [[, first]] = await actor.stable_mem_read(0n);
  assert.equal(hex(first.slice(0, 16)), '0000000000000010' + '00000000001003d7');

  // New data are read only once they are dumped; a dump that ends with a page ends in an empty blob.
  await canister.fill(TAGGR_PAGE, SEED + 1n);
  await checkPages([TAGGR_PAGE, 999, null]);
  await assert.rejects(actor.backup(), DENIED);
  await canister.prepare();
  await checkPages([TAGGR_PAGE, 0, null]);

  await install('taggr', { size: 0 });
  await assert.rejects(actor.stable_mem_read(0n), OUT_OF_MEMORY);
});

test('hotornot: a snapshot is made, read and dropped', async () => {
  const actor = await install('hotornot');
  const read = asBigInts(actor.download_snapshot);
  await assert.rejects(read(0, 1), OUT_OF_SLICE);
  assert.equal(canister.memories.stable_memory.size, 0);
  assert.equal(await canister.prepare(), SIZE);
  await checkRanges(read, canister.memories.stable_memory, OUT_OF_SLICE);
  await canister.fill(PAGE, SEED + 1n);
  await checkRanges(read, canister.memories.stable_memory, OUT_OF_SLICE); // the snapshot stays
  assert.equal(await canister.prepare(), PAGE);
  same(await read(0, PAGE), canister.memories.stable_memory.read(0, PAGE));
  await assert.rejects(read(0, PAGE + 1), OUT_OF_SLICE);
  await canister.actor.clear_snapshot();
  await assert.rejects(read(0, 1), OUT_OF_SLICE);
  for (const method of ['save_snapshot_json', 'clear_snapshot'])
    await assert.rejects(actor[method](), DENIED);
});

test('icml: the canister picks the length, an empty blob is the end', async () => {
  const actor = await install('icml', { size: ICML_CHUNK + 12345 });
  const { stable_memory: want } = canister.memories;
  for (const [offset, length] of [
    [0, ICML_CHUNK],
    [ICML_CHUNK, 12345],
    [77, ICML_CHUNK],
    [want.size - 1, 1],
    [want.size, 0],
    [want.size + 1, 0],
    [2 ** 52, 0],
  ]) {
    const got = await actor.db_download(BigInt(offset));
    assert.equal(got.length, length, `${offset}`);
    same(got, want.read(offset, length));
  }
  await canister.actor.db_upload(BigInt(want.size - 1), Uint8Array.of(1, 2, 3));
  assert.deepEqual([...(await actor.db_download(BigInt(want.size - 1)))], [1, 2, 3]);
});

test('factland: profiles from an offset on, none beyond the last', async () => {
  const actor = await install('factland');
  for (const [offset, count] of [
    [0, 3],
    [999, 10],
    [N_PROFILES - 2, 1000],
    [N_PROFILES, 5],
    [2 ** 32 - 1, 2 ** 32 - 1],
    [7, 0],
  ]) {
    const n = Math.max(0, Math.min(count, N_PROFILES - offset));
    const want = Array.from({ length: n }, (_, i) => factlandProfile(offset + i));
    assert.deepEqual(await actor.backup(offset, count), want);
  }
});

test('dscvr: chunks with the total, a slice beyond the end traps', async () => {
  const data = { size: 107, seed: SEED };
  const actor = await install('dscvr', data);
  const want = dscvrReplies(data);
  for (const [method, total] of [
    ['backup_content_chunks', 107],
    ['backup_users_chunk', 53],
    ['backup_portals_chunk', 10],
  ]) {
    for (const [start, limit] of [
      [0, 0],
      [0, 3],
      [4, 6],
      [total - 1, 1],
      [total, 0],
      [0, total],
    ]) {
      assert.deepEqual(await actor[method](BigInt(start), BigInt(limit)), [want[method](start, limit)]);
    }
    await assert.rejects(actor[method](BigInt(total), 1n), NO_INDEX);
    await assert.rejects(actor[method](1n, 2n ** 64n - 1n), NO_INDEX);
  }
  assert.deepEqual(await actor.backup_limits(), [want.backup_limits()]);
  assert.deepEqual(await actor.backup_nfts(), want.backup_nfts());
  assert.deepEqual(await actor.backup(), [want.backup()]);

  await install('dscvr', { size: 40_000 });
  await assert.rejects(actor.backup(), /IC0504/);
  const [{ total_length }] = await actor.backup_content_chunks(0n, 0n);
  assert.equal(total_length, 40_000n);
});

test('power_equalizer: chunks of the size asked for', async () => {
  const data = { size: 25, seed: SEED };
  const actor = await install('power_equalizer', data);
  for (const [chunkSize, count] of [
    [10, 3],
    [25, 1],
    [5, 5],
    [1000, 1],
  ]) {
    assert.equal(await actor.getChunkCount(BigInt(chunkSize)), BigInt(count));
    for (let index = 0; index <= count; index++) {
      const got = await actor.backupChunk(BigInt(chunkSize), BigInt(index));
      assert.deepEqual(got, powerEqualizerChunk(data, chunkSize, index));
    }
  }
  await assert.rejects(actor.getChunkCount(0n), /division by zero\n.*IC0503/);
  await assert.rejects(actor.backupChunk(0n, 0n), /division by zero\n.*IC0503/);
  await install('power_equalizer', { size: 0 });
  assert.equal(await actor.getChunkCount(10n), 1n);
  assert.deepEqual(await actor.backupChunk(10n, 0n), powerEqualizerChunk({ size: 0, seed: SEED }, 10, 0));
});

describe('items', () => {
  const data = { size: 1000, seed: SEED };
  const big = 2n ** 64n - 1n;
  let actor, items;
  const set = async (knobs) => (items = await configure(canister, knobs));
  before(async () => {
    actor = await install('items', data);
    await set({});
  });

  test('items with a total, without, and counted', async () => {
    await set({ body_min: 20, body_max: 500 });
    for (const [start, limit] of [[0, 0], [0, 1000], [998, 2], [1000, 0], [7, 100]]) {
      const [from, count] = [BigInt(start), BigInt(limit)];
      assert.deepEqual(await actor.backup_items_chunk(from, count), items.chunk(start, limit));
      assert.deepEqual(await actor.backup_untold_chunk(from, count), [{ chunk: items.list(start, limit) }]);
      assert.deepEqual(await actor.backup_plain(start, limit), items.list(start, limit));
      assert.deepEqual(await actor.posts(from, count), items.list(start, limit));
    }
    for (const [start, limit] of [[1000n, 1n], [1001n, 0n], [0n, 1001n], [1n, big], [big, 1n]]) {
      await assert.rejects(actor.backup_items_chunk(start, limit), NO_INDEX);
      await assert.rejects(actor.posts(start, limit), NO_INDEX);
    }
    assert.deepEqual(await actor.backup_plain(990, 2 ** 32 - 1), items.list(990, 10));
    assert.deepEqual(await actor.backup_plain(2 ** 32 - 1, 5), []);
    assert.equal(await actor.number_of_posts(), 1000n);
    assert.deepEqual(await actor.backup_empty_chunk(0n, 0n), [{ chunk: [], total_length: 0n }]);
    await assert.rejects(actor.backup_empty_chunk(0n, 1n), NO_INDEX);
  });

  test('bytes', async () => {
    await set({ bytes: 1_000_003 });
    for (const [start, limit] of [[0, 0], [0, 1_000_003], [3, 13], [999_995, 8], [1_000_003, 0]]) {
      const [{ chunk, total_length }] = await actor.backup_parts_chunk(BigInt(start), BigInt(limit));
      same(chunk, items.bytes(start, limit));
      assert.equal(total_length, 1_000_003n);
      same(await actor.backup_raw(BigInt(start), BigInt(limit)), items.bytes(start, limit));
    }
    await assert.rejects(actor.backup_parts_chunk(1_000_000n, 4n), NO_INDEX);
    same(await actor.backup_raw(1_000_000n, big), items.bytes(1_000_000, 3));
  });

  test('what is not paged, and null', async () => {
    assert.deepEqual(await actor.backup_meta(), items.meta);
    assert.deepEqual(await actor.backup_none(), []);
    await set({ null: 1 });
    assert.deepEqual(await canister.actor.backup_items_chunk(0n, 1n), []);
    await set({ null: 2 });
    assert.deepEqual(await actor.backup_parts_chunk(0n, 0n), []);
    assert.deepEqual(await canister.actor.backup_items_chunk(0n, 1n), items.chunk(0, 1));
  });

  test('refusals', async () => {
    await set({ refuse_above: 57, bad_at: 500 });
    assert.equal((await actor.backup_plain(0, 57)).length, 57);
    await assert.rejects(actor.backup_plain(0, 58), /too much is asked for\n.*IC0503/);
    assert.equal((await actor.posts(490n, 10n)).length, 10);
    await assert.rejects(actor.posts(490n, 11n), /this item cannot be read\n.*IC0503/);
    await assert.rejects(actor.posts(500n, 1n), /this item cannot be read/);
    assert.equal((await actor.posts(501n, 1n)).length, 1);
    await set({ bytes: 100, refuse_bytes: 9, rejects: 1 });
    await assert.rejects(actor.backup_raw(0n, 10n), /too much is asked for\n.*IC0406/);
    assert.equal((await actor.backup_raw(0n, 9n)).length, 9);
    await set({ giant_at: 3, giant_bytes: 3_500_000 });
    await assert.rejects(actor.backup_items_chunk(3n, 1n), /IC0504/);
    await set({ giant_at: 3, giant_bytes: 3_000_000 });
    assert.deepEqual(await actor.backup_items_chunk(3n, 2n), items.chunk(3, 2));
  });

  test('replies that are not what was asked for', async () => {
    await set({ cap: 10, notes: 20, total: 5000 });
    const [short] = await actor.backup_items_chunk(0n, 100n);
    assert.deepEqual([short], items.chunk(0, 10));
    assert.deepEqual([short.notes.length, short.total_length], [24, 5000n]);
    await set({ surplus: 4 });
    assert.deepEqual(await actor.backup_items_chunk(0n, 10n), items.chunk(0, 14));
    assert.deepEqual(await actor.backup_items_chunk(998n, 1n), items.chunk(998, 2));
    await set({ drift: 1, height: 2, clamps: 1 });
    const [later] = await actor.backup_items_chunk(900n, 500n);
    assert.deepEqual([later.chunk.length, later.total_length, later.height], [100, 1900n, 900n]);
    await set({ height: 1 });
    const heights = [];
    for (let i = 0; i < 2; i++) heights.push((await actor.backup_items_chunk(0n, 1n))[0].height);
    assert.ok(heights[1] > heights[0]);
    await assert.rejects(canister.actor.configure('capp=1'), /no such knob/);
    await assert.rejects(actor.configure(''), DENIED);
  });

  test('touched items, and versions', async () => {
    const { version } = await actor.backup_version();
    await canister.actor.touch(5n);
    await canister.actor.touch(5n);
    assert.ok((await actor.backup_version()).version > version);
    await set({});
    items.touched = { 5: 2 };
    assert.deepEqual(await actor.backup_items_chunk(0n, 10n), items.chunk(0, 10));
    await assert.rejects(actor.touch(1n), DENIED);
    await canister.fill(1010, SEED);
    assert.deepEqual(await actor.backup_plain(1000, 99), new Items(canister.filled).list(1000, 10));
    assert.equal((await actor.backup_version()).size, 1010n);
  });
});

test('zenvoich: chunks with a flag on the last', async () => {
  const data = { size: 2 * ZENVOICH_CHUNK, seed: SEED };
  const actor = await install('zenvoich', data);
  for (const [id, want] of Object.entries(zenvoichBackups(data))) {
    const count = Math.ceil(want.size / ZENVOICH_CHUNK);
    assert.equal(count, 2);
    for (let index = 0; index < count; index++) {
      const [chunk, last] = await actor.getChunk(BigInt(id), BigInt(index));
      same(chunk, want.read(index * ZENVOICH_CHUNK, ZENVOICH_CHUNK));
      assert.equal(last, index + 1 === count);
    }
    await assert.rejects(actor.getChunk(BigInt(id), BigInt(count)), NO_INDEX);
  }
  for (const id of [0n, 2n, 5n]) await assert.rejects(actor.getChunk(id, 0n), /no such backup\n.*IC0503/);
});

describe('who may read, when not everybody; replies by the .did files', () => {
  const SAMPLE = { nat8: 0, nat32: 1 };
  const VALUES = { zenvoich: [3n, 0n], items: [0, 0] };
  const encode = (types, values) => new Uint8Array(IDL.encode(types, values));
  for (const [name, { methods, prepare, refusal = 'reject' }] of Object.entries(SHAPES)) {
    test(name, async () => {
      const theirs = await install(name, { size: 1000, controllersOnly: true });
      if (prepare?.installed === false) await canister.prepare();
      for (const [method, { argTypes, annotations }] of Object.entries(methods)) {
        if (!annotations.includes('query')) continue;
        const values = VALUES[name]?.slice(0, argTypes.length) ?? argTypes.map((type) => SAMPLE[type.name] ?? 1n);
        await assert.rejects(theirs[method](...values), REFUSED[refusal], method);
        const { reply } = await owner.query(canister.principal, { methodName: method, arg: encode(argTypes, values) });
        const text = didc.decode({ idl: didOf(name), serviceMethod: method, input: hex(reply.arg) });
        assert.match(text, /^\([^]+\)$/, method);
      }
      await assert.rejects(theirs.fill(1n, 1n), DENIED);
    });
  }
});

test('candid:service as public or private metadata, or none', async () => {
  const candid = async (agent) => {
    const status = await CanisterStatus.request({ agent, canisterId: canister.principal, paths: ['candid'] });
    return status.get('candid') ?? null;
  };
  const did = didOf('live');
  await install('live');
  assert.equal(await candid(stranger), did);
  await install('live', { metadata: 'private' });
  assert.equal(await candid(owner), did);
  assert.equal(await candid(stranger), null);
  await install('live', { metadata: 'none' });
  assert.equal(await candid(owner), null);
});
