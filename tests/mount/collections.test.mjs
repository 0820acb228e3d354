// Collections of every style, and what can be odd about one: limits, items too large, replies that are short, or disagree.
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { IDL } from '@icp-sdk/core/candid';
import { Random } from './random.mjs';
import { assertAskedOnce, assertMessage, callsFor, chunkName, chunkNames, chunkStarts, decode, filesOf, isGood, mostAtOnce, outcome, output, rsync } from './chunks.mjs';
import { openNetwork } from './client.mjs';
import { errnoName } from './harness.mjs';
import { configure, ITEMS_REPLIES } from './items.mjs';
import { SHAPES, ShapedCanister, didOf, factlandProfile, N_PROFILES, powerEqualizerChunk, zenvoichBackups, ZENVOICH_CHUNK } from './shapes.mjs';

const STEP = 1000;
const MIB = 2 ** 20;
const PAGED = [IDL.Nat64, IDL.Nat64];
const ATTR_TIMEOUT = ['-o', 'attr_timeout=100ms'];
const FORGET_MS = 150;
// For a busy machine.
const PATIENCE_MS = 30_000;
const MAP = `[backup.posts]
method = posts
count = number_of_posts
`;
// The interface without backup_version: then nothing tells that nothing has changed.
const UNVERSIONED = didOf('items').replace(/^.*backup_version.*\n/m, '');

describe('collections', () => {
  let stage, network, client, canister;

  before(async () => {
    ({ stage, network, client } = await openNetwork());
    canister = await ShapedCanister.install(client.agent, 'items', { size: 1 });
  });
  after(() => stage.close());

  // Installs the items canister anew; what it holds.
  async function install(size, knobs = {}, options = {}) {
    await canister.reinstall('items', { size, seed: 11n, ...options });
    return configure(canister, knobs);
  }
  const mounted = (...options) => stage.mount(network, canister.id, options);
  const copyOf = async (mount, ...names) => {
    const out = join(stage.dir, `out-${Math.random().toString(36).slice(2)}`);
    const { code, stderr } = await outcome('cp', '-r', mount.path('backup', ...names), out);
    return { code, stderr, files: code === 0 || (await stat(out).catch(() => null)) ? await filesOf(out) : new Map() };
  };
  const readOf = (path) => readFile(path).catch(errnoName);
  const whyNot = async (mount) => JSON.stringify((await mount.json('status')).backup);

  // A file of backup/items against what the canister holds, of which `total` items are told.
  function assertChunk(bytes, items, start, total = items.size, step = STEP) {
    const want = items.chunk(start, Math.min(step, total - start));
    assertMessage(ITEMS_REPLIES.backup_items_chunk, bytes, want, chunkName(start));
  }

  // All of them.
  function assertItems(files, items, total = items.size, step = STEP) {
    assert.deepEqual([...files.keys()].sort(), chunkNames(total, step));
    for (const start of chunkStarts(total, step)) assertChunk(files.get(chunkName(start)), items, start, total, step);
  }

  describe('styles and ends', () => {
    let items, mount;

    before(async () => {
      items = await install(2_345, { bytes: 3 * MIB + 77 });
      const map = join(stage.dir, 'posts.map');
      await writeFile(map, MAP);
      mount = await mounted();
    });
    after(() => mount.unmount());

    test('what there is', async () => {
      const names = ['candid.did', 'empty', 'items', 'meta', 'none', 'parts', 'plain', 'untold'];
      assert.deepEqual((await readdir(mount.path('backup'))).sort(), names);
      const { not_shown } = (await mount.json('status')).backup;
      assert.deepEqual(Object.keys(not_shown), ['backup_raw']);
      assert.match(not_shown.backup_raw, /it gives bytes: a map can name it as memory/);
    });

    test('a total in each reply', async () => assertItems((await copyOf(mount, 'items')).files, items));

    test('an empty reply at the end, nat32', async () => {
      const { code, files } = await copyOf(mount, 'plain');
      assert.equal(code, 0);
      assert.deepEqual([...files.keys()].sort(), chunkNames(2_345));
      for (const start of chunkStarts(2_345)) {
        const want = items.list(start, Math.min(STEP, 2_345 - start));
        assertMessage(ITEMS_REPLIES.backup_plain, files.get(chunkName(start)), want, chunkName(start));
      }
    });

    test('an empty reply at the end, of a record without a total', async () => {
      const { code, files } = await copyOf(mount, 'untold');
      assert.equal(code, 0);
      assert.deepEqual([...files.keys()].sort(), chunkNames(2_345));
      for (const start of chunkStarts(2_345)) {
        const want = [{ chunk: items.list(start, Math.min(STEP, 2_345 - start)) }];
        assertMessage(ITEMS_REPLIES.backup_untold_chunk, files.get(chunkName(start)), want, chunkName(start));
      }
    });

    test('bytes', async () => {
      const { code, files } = await copyOf(mount, 'parts');
      assert.equal(code, 0);
      const names = chunkNames(3 * MIB + 77, MIB, 'bin');
      assert.deepEqual([...files.keys()].sort(), names);
      const got = Buffer.concat(names.map((file) => files.get(file)));
      assert.ok(got.equals(items.bytes(0, 3 * MIB + 77)));
      assert.deepEqual(names.map((file) => files.get(file).length), [MIB, MIB, MIB, 77]);
    });

    test('nothing in it', async () => {
      assert.deepEqual(await readdir(mount.path('backup', 'empty')), []);
      assert.equal(await readOf(mount.path('backup', 'empty', chunkName(0))), 'ENOENT');
      const { code, files } = await copyOf(mount, 'empty');
      assert.deepEqual([code, files.size], [0, 0]);
    });

    test('everything in one reply', async () => {
      assert.deepEqual(await readdir(mount.path('backup', 'meta')), ['all.candid']);
      assert.deepEqual(decode(ITEMS_REPLIES.backup_meta, await readFile(mount.path('backup', 'meta', 'all.candid'))), items.meta);
      assert.equal(await readOf(mount.path('backup', 'meta', chunkName(0))), 'ENOENT');
    });

    test('null is no content: EACCES, and the whole copy fails, the rest is there', async () => {
      assert.equal(await readOf(mount.path('backup', 'none', 'all.candid')), 'EACCES');
      const { code, files } = await copyOf(mount);
      assert.equal(code, 1);
      assert.equal(files.size, 1 + 3 + 1 + 4 + 3 + 3, [...files.keys()].join());
    });

    test('methods that a map names', async () => {
      const mapped = await mounted('-o', `map=${join(stage.dir, 'posts.map')}`);
      const names = chunkNames(2_345);
      assert.deepEqual((await readdir(mapped.path('backup', 'posts'))).sort(), names);
      for (const [i, start] of chunkStarts(2_345).entries()) {
        const bytes = await readFile(mapped.path('backup', 'posts', names[i]));
        assertMessage(ITEMS_REPLIES.posts, bytes, items.list(start, Math.min(STEP, 2_345 - start)), names[i]);
      }
      await mapped.unmount();
    });
  });

  describe('limits', () => {
    const TOTAL = 3_456;
    const seed = Number(process.env.CANISTERFS_TEST_SEED ?? randomInt(2 ** 32));
    const random = new Random(seed);
    // Above k items a call is refused: at the edges, and anywhere.
    const LIMITS = [1, 2, 999, 1000, ...Array.from({ length: 4 }, () => 1 + random.below(1200))];

    for (const rejects of [0, 1])
      for (const k of LIMITS)
        test(`at most ${k} items in a call, ${rejects ? 'rejected' : 'a trap'} (seed ${seed})`, async () => {
          const items = await install(k < 3 ? 1_234 : TOTAL, { refuse_above: k, rejects });
          const mount = await mounted('-o', 'timeout=120s'); // one file may be a thousand calls
          let copy;
          const log = await network.requestsDuring(async () => (copy = await copyOf(mount, 'items')));
          assert.equal(copy.code, 0, copy.stderr);
          assertItems(copy.files, items);
          const calls = callsFor(log, 'backup_items_chunk', PAGED);
          const inVain = calls.filter((call) => !isGood(call)).length;
          const least = chunkStarts(items.size).reduce((sum, start) => sum + Math.ceil(Math.min(STEP, items.size - start) / k), 0);
          // To halve 1,000 ten times, to try more now and then, and to ask what is behind the last item.
          assert.ok(inVain <= 15 + calls.length / 250, `${inVain} calls in vain`);
          assert.ok(calls.length <= 2 * least + 16, `${calls.length} calls, where ${least} would do`);
          await mount.unmount();
        });

    test('what is refused in words of its own, one item as well: EACCES', async () => {
      await install(1_500, { refuse_above: 0, rejects: 1 });
      const mount = await mounted();
      let copy;
      const log = await network.requestsDuring(async () => (copy = await copyOf(mount, 'items')));
      assert.equal(copy.code, 1);
      assert.equal((copy.stderr.match(/Permission denied/g) ?? []).length, 2, copy.stderr);
      assert.ok(callsFor(log, 'backup_items_chunk', PAGED).length <= 10);
      await mount.unmount();
    });

    test('replies too large for the platform: uneven items', async () => {
      const items = await install(5_000, { body_min: 200, body_max: 30_000 });
      const mount = await mounted();
      let copy;
      const log = await network.requestsDuring(async () => (copy = await copyOf(mount, 'items')));
      assert.equal(copy.code, 0, copy.stderr);
      assertItems(copy.files, items);
      const calls = callsFor(log, 'backup_items_chunk', PAGED);
      await assertAskedOnce(calls, items.size, mount);
      const least = [...copy.files.values()].reduce((sum, { length }) => sum + Math.ceil(length / (3 * MIB)), 0);
      const inVain = calls.filter((call) => !isGood(call)).length;
      assert.ok(inVain <= 12, `${inVain} calls in vain`);
      assert.ok(calls.length <= 2 * least + 16, `${calls.length} calls, where ${least} would do`);
      await mount.unmount();
    });

    test('bytes, of which a call gives few', async () => {
      const items = await install(1, { bytes: 2 * MIB + 9, refuse_bytes: 50_000 });
      const mount = await mounted();
      const { code, files } = await copyOf(mount, 'parts');
      assert.equal(code, 0);
      assert.ok(Buffer.concat([...files.values()]).equals(items.bytes(0, 2 * MIB + 9)));
      await mount.unmount();
    });

    test('instructions run out', async () => {
      const items = await install(2_000, { bytes: 2 * MIB });
      const mount = await mounted();
      await network.options({ instructionPercent: 0.02 });
      const copy = await copyOf(mount, 'items');
      await network.options({ instructionPercent: 100 });
      assert.equal(copy.code, 0, copy.stderr);
      assertItems(copy.files, items);
      await mount.unmount();
    });

    test('one item larger than a reply: EFBIG for its file alone, and cp copies the others', async () => {
      const items = await install(3_500, { giant_at: 1_777, giant_bytes: 3_500_000 });
      const mount = await mounted();
      const { code, stderr, files } = await copyOf(mount, 'items');
      assert.equal(code, 1);
      assert.match(stderr, /^[^\n]*0000001000\.candid[^\n]*File too large\n$/);
      assert.deepEqual([...files.keys()].sort(), [0, 2000, 3000].map((start) => chunkName(start)));
      for (const [name, bytes] of files) assertChunk(bytes, items, Number(name.slice(0, 10)));
      assert.equal(await readOf(mount.path('backup', 'items', chunkName(1000))), 'EFBIG');
      assert.match(await whyNot(mount), /1777/);
      await mount.unmount();
      // Alone in a file it would do with a reply of its size.
      const small = await install(10, { giant_at: 3, giant_bytes: 3_000_000 });
      const again = await mounted('-o', 'chunk_items=4');
      assertItems((await copyOf(again, 'items')).files, small, 10, 4);
      await again.unmount();
    });

    test('an item that cannot be read: EIO for its file alone', async () => {
      const items = await install(3_000, { bad_at: 2_000 });
      const mount = await mounted();
      const { code, files } = await copyOf(mount, 'items');
      assert.equal(code, 1);
      assert.deepEqual([...files.keys()].sort(), [chunkName(0), chunkName(1000)]);
      for (const start of [0, 1000]) assertChunk(files.get(chunkName(start)), items, start);
      assert.equal(await readOf(mount.path('backup', 'items', chunkName(2000))), 'EIO');
      await mount.unmount();
    });

    test('everything at once that is too large: EFBIG', async () => {
      await canister.reinstall('dscvr', { size: 40_000 });
      const mount = await mounted();
      assert.equal(await readOf(mount.path('backup', 'backup', 'all.candid')), 'EFBIG');
      const { code, files } = await copyOf(mount);
      assert.equal(code, 1);
      assert.equal(files.size, 40 + 20 + 4 + 1 + 1 + 1);
      await mount.unmount();
    });
  });

  describe('replies', () => {
    const errnos = async (mount, total) => Promise.all(chunkNames(total).map(async (name) => {
      const got = await readOf(mount.path('backup', 'items', name));
      return typeof got === 'string' ? got : 'read';
    }));

    test('shorter than asked for', async () => {
      const items = await install(2_500, { cap: 70, refuse_bytes: 100 });
      const mount = await mounted();
      const { code, files } = await copyOf(mount, 'items');
      assert.equal(code, 0);
      assertItems(files, items);
      const plain = await copyOf(mount, 'plain');
      assert.equal(plain.code, 0);
      const got = [...plain.files.values()].flatMap((bytes) => decode(ITEMS_REPLIES.backup_plain, bytes));
      assert.deepEqual(got, items.list(0, 2_500));
      await mount.unmount();
    });

    test('without an item where there should be some: an error, soon', async () => {
      await install(2_500, { cap: 0 });
      const mount = await mounted();
      const started = Date.now();
      for (const errno of await errnos(mount, 2_500)) assert.match(errno, /^(EPROTO|ESTALE|EIO)$/);
      assert.ok(Date.now() - started < PATIENCE_MS);
      await mount.unmount();
    });

    test('that are no Candid: EPROTO', async () => {
      await install(1_500, { bytes: 100 });
      const mount = await mounted();
      await network.faults([{ kind: 'wrong_candid', endpoint: 'query' }]);
      for (const path of [['items', chunkName(0)], ['meta', 'all.candid']])
        assert.equal(await readOf(mount.path('backup', ...path)), 'EPROTO');
      await network.faults([]);
      await mount.unmount();
    });

    test('with more items than asked for: an error, or exactly those asked for', async () => {
      const items = await install(2_500, { surplus: 3 });
      const mount = await mounted();
      for (const start of chunkStarts(2_500)) {
        const got = await readOf(mount.path('backup', 'items', chunkName(start)));
        if (typeof got === 'string') assert.equal(got, 'EPROTO');
        else assertChunk(got, items, start);
      }
      await mount.unmount();
    });

    test('with another list that is longer than the items', async () => {
      const items = await install(2_500, { notes: 2_000, refuse_above: 400 });
      const mount = await mounted();
      const { code, files } = await copyOf(mount, 'items');
      assert.equal(code, 0);
      for (const start of chunkStarts(2_500)) {
        const [got] = decode(ITEMS_REPLIES.backup_items_chunk, files.get(chunkName(start)));
        const [want] = items.chunk(start, Math.min(STEP, 2_500 - start));
        assert.deepEqual(got.chunk, want.chunk);
        const isNote = (note) => note.startsWith('note-');
        assert.deepEqual(got.notes.filter(isNote), want.notes.filter(isNote));
        assert.equal(got.notes.filter((note) => !isNote(note)).length % 2_000, 0);
      }
      await mount.unmount();
    });

    test('null for strangers: EACCES for the listing, never an empty directory', async () => {
      const items = await install(1_500, { null: 2, bytes: 100 });
      const stranger = await mounted();
      for (const name of ['items', 'parts']) assert.equal(await readdir(stranger.path('backup', name)).catch(errnoName), 'EACCES');
      assert.equal((await copyOf(stranger, 'items')).code, 1);
      await stranger.unmount();
      const owner = await mounted('-o', `identity=${network.identity}`);
      assertItems((await copyOf(owner, 'items')).files, items);
      await owner.unmount();
    });

    test('of a canister that refuses strangers', async () => {
      await install(1_500, {}, { controllersOnly: true });
      const stranger = await mounted();
      assert.match(await readdir(stranger.path('backup', 'items')).catch(errnoName), /^(EACCES|EIO)$/);
      await stranger.unmount();
    });

    test('with a wrong total', async () => {
      const more = await install(2_500, { total: 4_500 });
      const mount = await mounted(...ATTR_TIMEOUT);
      assert.deepEqual(await errnos(mount, 4_500), ['read', 'read', 'EIO', 'EIO', 'EIO']);
      for (const start of [0, 1000]) assertChunk(await readFile(mount.path('backup', 'items', chunkName(start))), more, start);
      await mount.unmount();
    });

    test('that do not agree about other fields, or the total: ESTALE, never a mixture', async () => {
      for (const knobs of [{ height: 1 }, { height: 2 }, { drift: 1 }]) {
        await install(2_500, { ...knobs, refuse_above: 300 });
        const mount = await mounted();
        assert.equal(await readOf(mount.path('backup', 'items', chunkName(0))), 'ESTALE', JSON.stringify(knobs));
        assert.match(await whyNot(mount), /differs in a field|number of items changed/);
        const { collections } = (await mount.json('status')).backup;
        assert.equal(collections.find(({ name }) => name === 'items').fetched_again, 2, 'three times in all');
        await mount.unmount();
      }
    });

    test('that do not agree about a field that a map allows to', async () => {
      const items = await install(2_500, { height: 2, refuse_above: 300 });
      const map = join(stage.dir, 'latest.map');
      await writeFile(map, '[backup.items]\nmethod = backup_items_chunk\nlatest = height\n');
      const mount = await mounted('-o', `map=${map}`);
      for (const start of chunkStarts(2_500)) {
        const [got] = decode(ITEMS_REPLIES.backup_items_chunk, await readFile(mount.path('backup', 'items', chunkName(start))));
        const [{ chunk, notes }] = items.chunk(start, Math.min(STEP, 2_500 - start));
        assert.deepEqual([got.chunk, got.notes], [chunk, notes]);
        assert.ok(got.height > BigInt(start) && got.height < BigInt(start + STEP), 'of the last reply');
      }
      await mount.unmount();
    });
  });

  describe('when what is asked for', () => {
    const calls = (log) => callsFor(log, 'backup_items_chunk', PAGED);

    test('a version that stays: nothing is fetched again', async () => {
      const items = await install(2_500);
      const mount = await mounted(...ATTR_TIMEOUT);
      const out = join(stage.dir, 'versioned');
      await rsync(mount.path('backup', 'items'), out);
      await sleep(FORGET_MS);
      const quiet = await network.requestsDuring(async () => {
        assert.deepEqual(await rsync(mount.path('backup', 'items'), out), { transferred: 0, changes: [] });
        assertItems((await copyOf(mount, 'items')).files, items);
      });
      assert.deepEqual(calls(quiet), []);
      await canister.actor.touch(1_500n);
      items.touched = { 1500: 1 };
      await sleep(FORGET_MS);
      const { transferred } = await rsync(mount.path('backup', 'items'), out);
      assert.equal(transferred, 1);
      assertItems(await filesOf(out), items);
      await mount.unmount();
    });

    test('without a version a new listing asks anew, and one copy asks once', async () => {
      const items = await install(2_500, {}, { did: UNVERSIONED });
      const mount = await mounted('-o', 'attr_timeout=3s'); // a copy takes less, also on a busy machine
      for (let i = 0; i < 2; i++) {
        let copy;
        const log = await network.requestsDuring(async () => (copy = await copyOf(mount, 'items')));
        await assertAskedOnce(calls(log), items.size, mount);
        assertItems(copy.files, items);
        await canister.actor.touch(BigInt(i));
        items.touched = { ...items.touched, [i]: 1 };
        await sleep(3_100);
      }
      await mount.unmount();
    });

    test('ls -l of 200 files: many calls at once', async () => {
      const items = await install(10_000);
      const mount = await mounted('-o', 'chunk_items=50');
      await network.options({ queryMs: 50 });
      // The same calls, one by one, by the official client.
      const oneByOne = Date.now();
      for (const start of chunkStarts(10_000, 50).slice(0, 40))
        await client.query(canister.id, 'backup_items_chunk', new Uint8Array(IDL.encode(PAGED, [start, 50])));
      const theirs = 5 * (Date.now() - oneByOne);
      const began = Date.now();
      let listing;
      const log = await network.requestsDuring(async () => (listing = await output('ls', '-l', mount.path('backup', 'items'))));
      const ours = Date.now() - began;
      await network.options({ queryMs: 0 });
      assert.equal(listing.trim().split('\n').length, 201);
      await assertAskedOnce(calls(log), items.size, mount);
      assert.ok(mostAtOnce(calls(log)) >= 8, `${mostAtOnce(calls(log))} calls at once`);
      assert.ok(ours < theirs / 3, `${ours} ms, one by one ${theirs}`);
      await mount.unmount();
    });

    test('asks nothing at mount, and nothing of other collections', async () => {
      await install(2_500);
      let mount;
      const atMount = await network.requestsDuring(async () => (mount = await mounted()));
      // Whether strangers may read is asked of one collection: (0, 0).
      const asked = atMount.filter(({ method }) => /^backup_/.test(method ?? ''));
      assert.ok(asked.length <= 1);
      for (const { arg } of asked) assert.match(arg, /0{32}$/);
      const log = await network.requestsDuring(() => readFile(mount.path('backup', 'items', chunkName(1000))));
      assert.ok(log.every(({ method }) => [null, 'backup_items_chunk', 'backup_version'].includes(method)));
      assert.ok(log.every(({ endpoint }) => endpoint !== 'call'));
      await mount.unmount();
    });
  });

  describe('of real shapes', () => {
    // Makes it the canister, mounts it, and gives the copy of one collection.
    async function copied(name, size, collection, ...options) {
      await canister.reinstall(name, { size, controllersOnly: false });
      const mount = await mounted(...options);
      const { code, stderr, files } = await copyOf(mount, collection);
      assert.equal(code, 0, stderr);
      await mount.unmount();
      return files;
    }
    const replyOf = (name, method) => SHAPES[name].methods[method].retTypes[0];

    test('factland: profiles until there are none', async () => {
      const files = await copied('factland', 1, 'backup');
      assert.deepEqual([...files.keys()].sort(), chunkNames(N_PROFILES));
      const got = [...files.values()].flatMap((bytes) => decode(replyOf('factland', 'backup'), bytes));
      assert.deepEqual(got, Array.from({ length: N_PROFILES }, (_, i) => factlandProfile(i)));
    });

    test('power_equalizer: chunks by size and index', async () => {
      for (const size of [0, 1, 1000, 4_321]) {
        const files = await copied('power_equalizer', size, 'chunks');
        assert.deepEqual([...files.keys()].sort(), chunkNames(Math.max(1, size)));
        for (const [i, bytes] of [...files.values()].entries())
          assert.deepEqual(decode(replyOf('power_equalizer', 'backupChunk'), bytes), powerEqualizerChunk({ size, seed: 1n }, STEP, i));
      }
    });

    test('zenvoich: chunks until the one that says it is the last', async () => {
      const map = join(stage.dir, 'zenvoich.map');
      await writeFile(map, '[backup.third]\nmethod = getChunk\nstyle = last\nid = 3\n');
      const files = await copied('zenvoich', 5 * ZENVOICH_CHUNK + 1, 'third', '-o', `map=${map}`);
      assert.equal(files.size, 6);
      const want = zenvoichBackups({ size: 5 * ZENVOICH_CHUNK + 1, seed: 1n })[3];
      assert.ok(Buffer.concat([...files.values()]).equals(want.read(0, want.size)));
    });
  });
});
