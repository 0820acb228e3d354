// The chunk files of an application with a hundred thousand items: copied with ordinary tools, every item is there once.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { mkdir, open, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { IDL } from '@icp-sdk/core/candid';
import { assertAskedOnce, assertMessage, assertValues, callsFor, chunkNames, chunkStarts, decode, filesOf, isGood, outcome, output, rsync } from './chunks.mjs';
import { openNetwork } from './client.mjs';
import { Dscvr, REPLIES } from './dscvr.mjs';
import { errnoName } from './harness.mjs';

const didc = createRequire(import.meta.url)('@dfinity/didc');

const ITEMS = 100_000;
// The default of chunk_items.
const STEP = 1000;
const METHODS = { content: 'backup_content_chunks', users: 'backup_users_chunk', portals: 'backup_portals_chunk' };
const PAGED = [IDL.Nat64, IDL.Nat64];
const WHOLE = { limits: 'backup_limits', nfts: 'backup_nfts', backup: 'backup' };
// What is listed is good for this long; longer, so that the next look asks anew.
const ATTR_TIMEOUT = ['-o', 'attr_timeout=100ms'];
const FORGET_MS = 150;

describe('a hundred thousand items', () => {
  let stage, network, client, canister;

  before(async () => {
    ({ stage, network, client } = await openNetwork());
    canister = await Dscvr.install(client.agent, { count: ITEMS, seed: 2026n });
  });
  after(() => stage.close());

  const mounted = (...options) => stage.mount(network, canister.id, options);
  const fresh = async () => {
    const dir = join(stage.dir, `out-${Math.random().toString(36).slice(2)}`);
    await mkdir(dir);
    return dir;
  };

  const expectedPaths = (step) =>
    [
      'candid.did',
      ...Object.keys(WHOLE).map((name) => `${name}/all.candid`),
      ...Object.entries(canister.data.totals).flatMap(([name, total]) => chunkNames(total, step).map((file) => `${name}/${file}`)),
    ].sort();

  // A copy of backup/ against what the canister holds, item by item.
  async function assertRight(dir, step = STEP) {
    const { data } = canister;
    const files = await filesOf(dir);
    assert.deepEqual([...files.keys()].sort(), expectedPaths(step));
    for (const [name, total] of Object.entries(data.totals)) {
      const names = chunkNames(total, step);
      for (const [i, start] of chunkStarts(total, step).entries()) {
        const path = `${name}/${names[i]}`;
        const values = data.values(name, start, Math.min(step, total - start));
        assertValues(REPLIES[METHODS[name]], files.get(path), values, data.chunk(name, start, 2), path);
      }
    }
    for (const [name, method] of Object.entries(WHOLE))
      assertMessage(REPLIES[method], files.get(`${name}/all.candid`), data[name], name);
    assert.equal(files.get('candid.did').toString(), (await client.facts(canister.id)).candid);
  }

  test('cp -r copies every item once, and asks for none twice', async () => {
    const mount = await mounted();
    const out = join(await fresh(), 'backup');
    const log = await network.requestsDuring(() => output('cp', '-r', mount.path('backup'), out));
    await assertRight(out);
    for (const [name, total] of Object.entries(canister.data.totals)) {
      const calls = callsFor(log, METHODS[name], PAGED);
      await assertAskedOnce(calls, total, mount);
      // Ten stretches of 400 items each are longer than one reply.
      const inVain = calls.filter((call) => call.start < total && !isGood(call)).length;
      assert.ok(inVain <= (name === 'content' ? 20 : 0), `${name}: ${inVain} calls in vain`);
    }
    await mount.unmount();
  });

  test('rsync -a does, and a second one transfers nothing', async () => {
    const mount = await mounted(...ATTR_TIMEOUT);
    const out = await fresh();
    const log = await network.requestsDuring(async () => {
      assert.equal((await rsync(mount.path('backup'), out)).transferred, expectedPaths(STEP).length);
    });
    for (const [name, total] of Object.entries(canister.data.totals)) await assertAskedOnce(callsFor(log, METHODS[name], PAGED), total, mount);
    await sleep(FORGET_MS);
    assert.deepEqual(await rsync(mount.path('backup'), out), { transferred: 0, changes: [] });
    await mount.unmount();
    await assertRight(out);
  });

  test('with cache_dir nor does one of a later mount', async () => {
    const cache = await fresh();
    const out = await fresh();
    for (const transferred of [expectedPaths(STEP).length, 0]) {
      const mount = await mounted('-o', `cache_dir=${cache}`);
      const { transferred: got, changes } = await rsync(mount.path('backup'), out);
      assert.equal(got, transferred);
      // Directories have the time of their mount.
      if (transferred === 0) assert.deepEqual(changes.filter((line) => !line.startsWith('.d..t')), []);
      await mount.unmount();
    }
  });

  test('with less memory than one collection needs', async () => {
    const cache = await fresh();
    for (const options of [['cache_size=8M'], ['cache_size=8M', `cache_dir=${cache}`], ['cache_size=8M', `cache_dir=${cache}`, 'cache_disk=4M']]) {
      const mount = await mounted('-o', options.join(','));
      const out = join(await fresh(), 'backup');
      await output('cp', '-r', mount.path('backup'), out);
      await assertRight(out);
      await mount.unmount();
    }
  });

  for (const step of [250, 7000, 50_000])
    test(`${step} items in a file`, async () => {
      const mount = await mounted('-o', `chunk_items=${step}`);
      const out = join(await fresh(), 'backup');
      await output('cp', '-r', mount.path('backup'), out);
      await assertRight(out, step);
      await mount.unmount();
    });

  test('a file longer than can be kept: EFBIG, and the others are copied', async () => {
    const mount = await mounted('-o', 'chunk_items=1000000');
    const out = join(await fresh(), 'backup');
    const { code, stderr } = await outcome('cp', '-r', mount.path('backup'), out);
    assert.equal(code, 1);
    assert.match(stderr, /^cp: [^\n]*content\/0000000000\.candid[^\n]*File too large\n$/);
    assert.deepEqual([...(await filesOf(out)).keys()].sort(), expectedPaths(1_000_000).filter((path) => !path.startsWith('content/')));
    assert.match(JSON.stringify((await mount.json('status')).backup), /chunk_items/);
    await mount.unmount();
  });

  test('names and sizes as ls says; a plain ls fetches no item', async () => {
    const mount = await mounted();
    let names;
    const log = await network.requestsDuring(async () => (names = await readdir(mount.path('backup', 'content'))));
    assert.deepEqual(names.sort(), chunkNames(ITEMS));
    // Only whether there is one behind the total.
    assert.deepEqual(callsFor(log, METHODS.content, PAGED).map(({ start, limit }) => [start, limit]), [[ITEMS, 1]]);
    assert.ok(log.length <= 3, `${log.length} requests`);
    assert.deepEqual((await readdir(mount.path('backup'))).sort(), ['backup', 'candid.did', 'content', 'limits', 'nfts', 'portals', 'users']);
    const listed = await output('ls', '-lR', mount.path('backup'));
    for (const name of ['content', 'users'])
      for (const file of chunkNames(canister.data.totals[name]).slice(0, 20)) {
        const { length } = await readFile(mount.path('backup', name, file));
        assert.equal((await stat(mount.path('backup', name, file))).size, length);
        assert.match(listed, new RegExp(`^-r--r--r-- .* ${length} .* ${file}$`, 'm'));
      }
    await mount.unmount();
  });

  test('@icp-sdk/core and didc decode a file, this one by the interface beside it', async () => {
    const mount = await mounted();
    const idl = await readFile(mount.path('backup', 'candid.did'), 'utf8');
    const bytes = await readFile(mount.path('backup', 'content', '0000003000.candid'));
    assert.deepEqual(decode(REPLIES[METHODS.content], bytes), canister.data.chunk('content', 3_000, 1_000));
    const text = didc.decode({ idl, serviceMethod: METHODS.content, input: bytes.toString('hex') });
    const { title, author } = canister.data.content(3999);
    assert.ok(text.includes(`"${title}"`) && text.includes(author.toText()));
    assert.match(text, /chunk_polls = vec/);
    await mount.unmount();
  });

  test('what is not there', async () => {
    const mount = await mounted();
    for (const name of ['0000100000.candid', '0000000001.candid', '000000000.candid', '00000000000.candid', '0000000000.bin', '0000000000.json', '9999999999.candid', '18446744073709551000.candid', 'all.candid', 'x'])
      await assert.rejects(stat(mount.path('backup', 'content', name)), { code: 'ENOENT' }, name);
    for (const name of ['posts', 'backup_content_chunks', '.']) {
      const found = await stat(mount.path('backup', name)).then((s) => s.isDirectory(), errnoName);
      assert.equal(found, name === '.' ? true : 'ENOENT');
    }
    const write = await open(mount.path('backup', 'limits', 'all.candid'), 'r+').then(() => 'opened', errnoName);
    assert.equal(write, 'EROFS');
    await mount.unmount();
  });
});

describe('items that change', () => {
  const COUNT = 3_050;
  let stage, network, client, canister, mount;

  before(async () => {
    ({ stage, network, client } = await openNetwork());
    canister = await Dscvr.install(client.agent, { count: COUNT, seed: 3n });
    mount = await stage.mount(network, canister.id, ATTR_TIMEOUT);
  });
  after(() => stage.close());

  const content = (...names) => mount.path('backup', 'content', ...names);
  const assertChunk = (bytes, start) => {
    const limit = Math.min(STEP, canister.data.count - start);
    assertMessage(REPLIES.backup_content_chunks, bytes, canister.data.chunk('content', start, limit), `from ${start}`);
  };

  // All of the collection, as of now.
  async function assertRight() {
    const { count } = canister.data;
    await sleep(FORGET_MS);
    assert.deepEqual((await readdir(content())).sort(), chunkNames(count));
    const names = chunkNames(count);
    for (const [i, start] of chunkStarts(count).entries()) assertChunk(await readFile(content(names[i])), start);
  }

  test('an edited item: another content of the same size, a later second, and rsync takes that file alone', async () => {
    const out = join(stage.dir, 'edited');
    await rsync(content(), out);
    const before = await stat(content('0000001000.candid'), { bigint: true });
    for (let i = 0; i < 3; i++) {
      await canister.touch(1_234);
      await sleep(FORGET_MS);
      const { transferred, changes } = await rsync(content(), out);
      assert.equal(transferred, 1);
      assert.deepEqual(changes.filter((line) => line.startsWith('>f')).map((line) => line.split(' ').at(-1)), ['0000001000.candid']);
      assertChunk(await readFile(join(out, '0000001000.candid')), 1_000);
    }
    const now = await stat(content('0000001000.candid'), { bigint: true });
    assert.equal(now.size, before.size);
    assert.ok(now.mtimeNs / 1_000_000_000n >= before.mtimeNs / 1_000_000_000n + 3n, 'three changes, three seconds');
    await sleep(FORGET_MS);
    assert.deepEqual(await rsync(content(), out), { transferred: 0, changes: [] });
  });

  test('read again and again without a listing: the kernel has it all, and a change is seen', async () => {
    const path = content('0000001000.candid');
    let before = await readFile(path);
    for (let i = 0; i < 2; i++) {
      for (let n = 0; n < 2; n++) {
        await sleep(FORGET_MS);
        assert.equal(Buffer.compare(await readFile(path), before), 0);
      }
      await canister.touch(1_500);
      await sleep(FORGET_MS);
      const now = await readFile(path);
      assert.notEqual(Buffer.compare(now, before), 0);
      assertChunk(now, 1_000);
      before = now;
    }
  });

  test('an open file keeps its content, or is stale; never a mixture', async () => {
    const path = content('0000002000.candid');
    const old = await readFile(path);
    const file = await open(path);
    await canister.touch(2_900);
    await sleep(FORGET_MS);
    await assertRight();
    const got = Buffer.alloc(old.length);
    const outcome = await file.read(got, 0, old.length, 0).then(({ bytesRead }) => got.subarray(0, bytesRead), errnoName);
    if (outcome !== 'ESTALE') assert.ok(outcome.equals(old));
    await file.close();
    assertChunk(await readFile(path), 2_000);
  });

  test('more items: the last file is longer, new ones are there', async () => {
    await canister.add(40);
    await assertRight();
    await canister.add(2_000);
    await assertRight();
    assert.deepEqual((await readdir(content())).length, 6);
  });

  test('fewer items: files beyond the end are gone', async () => {
    const file = await open(content('0000004000.candid'));
    const { size } = await file.stat();
    await canister.remove(2_500);
    await assertRight();
    for (const gone of ['0000003000.candid', '0000004000.candid', '0000005000.candid'])
      await assert.rejects(stat(content(gone)), { code: 'ENOENT' }, gone);
    const bytes = Buffer.alloc(size);
    const got = await file.read(bytes, 0, size, 0).then(({ bytesRead }) => bytesRead, errnoName);
    assert.ok(got === size || got === 'ESTALE' || got === 'ENOENT', String(got));
    await file.close();
    await canister.remove(canister.data.count);
    await assertRight();
    assert.deepEqual(await readdir(content()), []);
    const nothing = await outcome('cp', '-r', content(), join(stage.dir, 'nothing'));
    assert.deepEqual(nothing, { code: 0, stdout: '', stderr: '' });
    await canister.fill(COUNT, 4n);
    await assertRight();
  });
});
