// Snapshots that are uploaded: directories made in snapshots/, what of them is sent, and what is left when something ends it.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { cp, lstat, mkdir, open, readFile, readdir, rename, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { openNetwork } from './client.mjs';
import { errnoOf, eventually, run, seedBytes } from './harness.mjs';
import { icpIn, snapshotsOf } from './snapshots.mjs';

const MIB = 2 ** 20;

let stage, network, client, icp;
before(async () => {
  ({ stage, network, client } = await openNetwork(['--demo', '--demo-size', '5M']));
  icp = icpIn(stage.dir, network);
});
after(() => stage.close());

const managing = (name) => snapshotsOf(client, network.canisters[name]);
const newDir = () => mkdtempSync(join(stage.dir, 'dir-'));

function mountOf(name, staging = newDir(), options = []) {
  const all = ['rw', `identity=${network.identity}`, `staging_dir=${staging}`, 'timeout=10s', ...options];
  return stage.mount(network, network.canisters[name], ['-o', all.join()]);
}

async function done(mount, command) {
  const found = await mount.job(command);
  assert.equal(found.state, 'done', JSON.stringify(found));
  return found.progress;
}

async function failed(mount, command, name, words) {
  const found = await mount.job(command);
  assert.equal(found.state, 'failed', JSON.stringify(found));
  assert.equal(found.error.errno ?? found.error, name, JSON.stringify(found));
  assert.match(JSON.stringify(found), words);
}

const idIn = (progress) => /snapshot ([0-9a-f]+): uploaded, read back and the same/.exec(progress)[1];
const callsOf = (requests) => requests.filter(({ endpoint }) => endpoint === 'call').map(({ method }) => method);
const count = (list, value) => list.filter((other) => other === value).length;

// A directory that is a snapshot of the smallest module, with a stable memory.
async function made(dir, stable, change = {}) {
  const module = Buffer.from('\0asm\x01\0\0\0', 'latin1');
  const metadata = {
    source: { taken_from_canister: null },
    taken_at_timestamp: 1,
    wasm_module_size: module.length,
    globals: [],
    wasm_memory_size: 0,
    stable_memory_size: stable.length,
    wasm_chunk_store: [],
    canister_version: 1,
    certified_data: [],
    global_timer: null,
    on_low_wasm_memory_hook_status: null,
    ...change,
  };
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, 'metadata.json'), JSON.stringify(metadata));
  await writeFile(join(dir, 'wasm_module.bin'), module);
  await writeFile(join(dir, 'stable_memory.bin'), stable);
}

describe('local directories', () => {
  let mount, staging;
  before(async () => {
    staging = newDir();
    mount = await mountOf('blank', staging);
  });

  test('nothing is called for them', async () => {
    const calls = callsOf(
      await network.requestsDuring(async () => {
        await mkdir(mount.path('snapshots', 'a'));
        await writeFile(mount.path('snapshots', 'a', 'metadata.json'), 'text');
        assert.equal(await readFile(mount.path('snapshots', 'a', 'metadata.json'), 'utf8'), 'text');
        await rm(mount.path('snapshots', 'a'), { recursive: true });
      }),
    );
    assert.deepEqual(calls, []);
    assert.equal(await errnoOf(stat(mount.path('snapshots', 'a'))), 'ENOENT');
  });

  for (const [tool, copy] of Object.entries({
    'cp -r': (from, to) => run('cp', ['-r', from, to]),
    'cp -a': (from, to) => run('cp', ['-a', from, to]),
    'rsync -a': (from, to) => run('rsync', ['-a', `${from}/`, to]),
    'rsync -a --inplace': (from, to) => run('rsync', ['-a', '--inplace', `${from}/`, to]),
    tar: async (from, to) => {
      await mkdir(to);
      await run('bash', ['-c', 'tar -C "$1" -cf - . | tar -C "$2" -xf -', 'bash', from, to]);
    },
  })) {
    test(`${tool} there and back`, async () => {
      const from = join(newDir(), 'from');
      await made(from, randomBytes(300_000));
      await mkdir(join(from, 'wasm_chunk_store'));
      await writeFile(join(from, 'wasm_chunk_store', 'x.bin'), 'chunk');
      await utimes(join(from, 'stable_memory.bin'), 1, 1_500_000_000);
      const to = mount.path('snapshots', `by-${tool.replaceAll(' ', '')}`);
      await copy(from, to);
      await run('diff', ['-r', from, to]);
      if (tool !== 'cp -r') assert.equal((await stat(join(to, 'stable_memory.bin'))).mtimeMs, 1_500_000_000_000);
      assert.ok((await readdir(mount.path('snapshots'))).includes(`by-${tool.replaceAll(' ', '')}`));
      await rm(to, { recursive: true });
      assert.equal(await errnoOf(lstat(to)), 'ENOENT');
    });
  }

  test('names: renamed, replaced, refused', async () => {
    const path = (...names) => mount.path('snapshots', ...names);
    await mkdir(path('x', 'y'), { recursive: true });
    await writeFile(path('x', 'one'), '1');
    await writeFile(path('x', 'two'), '2');
    await rename(path('x', 'one'), path('x', 'two'));
    assert.equal(await readFile(path('x', 'two'), 'utf8'), '1');
    await rename(path('x', 'two'), path('x', 'y', 'two'));
    assert.deepEqual(await readdir(path('x', 'y')), ['two']);
    await rename(path('x'), path('z'));
    assert.equal(await readFile(path('z', 'y', 'two'), 'utf8'), '1');
    assert.equal(await errnoOf(rename(path('z', 'y', 'two'), path('two'))), 'EPERM');
    assert.equal(await errnoOf(rename(path('z', 'y', 'two'), mount.path('two'))), 'EXDEV');
    assert.equal(await errnoOf(run('rmdir', [path('z')]).catch(() => Promise.reject({ code: 'ENOTEMPTY' }))), 'ENOTEMPTY');
    assert.equal(await errnoOf(mkdir(path('ab'.repeat(18)))), 'EEXIST');
    assert.equal(await errnoOf(mkdir(mount.path('other'))), 'EPERM');
    await mkdir(path('20261122'));
    await rm(path('20261122'), { recursive: true });
    await rm(path('z'), { recursive: true });
    assert.deepEqual(await readdir(path()), []);
  });

  test('no deeper than can be found again: the next mount has all of it', async () => {
    const name = 'n'.repeat(255);
    const nested = (n) => mount.path('snapshots', ...Array(n).fill(name));
    process.chdir(mount.path('snapshots'));
    for (let depth = 1; depth <= 16; depth++) {
      await mkdir(name); // a whole path would be too long for the kernel
      process.chdir(name);
    }
    assert.equal(await errnoOf(mkdir(name)), 'ENAMETOOLONG');
    assert.equal(await errnoOf(writeFile('x', '')), 'ENAMETOOLONG');
    process.chdir(stage.dir);
    await mkdir(mount.path('snapshots', 'x', 'y'), { recursive: true });
    assert.equal(await errnoOf(rename(mount.path('snapshots', 'x'), join(nested(14), 'x'))), 'no error');
    await mkdir(mount.path('snapshots', 'x', 'y', 'z'), { recursive: true });
    assert.equal(await errnoOf(rename(mount.path('snapshots', 'x'), join(nested(14), 'z'))), 'ENAMETOOLONG');
    await mount.unmount();
    mount = await mountOf('blank', staging);
    assert.deepEqual((await readdir(mount.path('snapshots'))).sort(), [name, 'x']);
    assert.deepEqual((await readdir(nested(14))).sort(), [name, 'x']);
    for (const top of [name, 'x']) await run('rm', ['-r', mount.path('snapshots', top)]);
    assert.deepEqual(await readdir(mount.path('snapshots')), []);
  });

  test('a file that is open is of use after it was renamed or removed', async () => {
    const path = (name) => mount.path('snapshots', 'open', name);
    await mkdir(path(''));
    const file = await open(path('a'), 'w+', 0o400);
    await file.write('content');
    await rename(path('a'), path('b'));
    await file.truncate(6);
    await file.sync();
    await writeFile(path('new'), 'new');
    await rename(path('new'), path('b'));
    for (const gone of [false, true]) {
      if (gone) await rm(path('b'));
      const { size, nlink } = await file.stat();
      assert.deepEqual([size, nlink], [6, 0]);
      await file.truncate(5);
      await file.chmod(0o600);
      await file.utimes(1, 2);
      await file.sync();
      assert.equal((await file.stat()).mtimeMs, 2000);
      await file.write('n', 5);
      assert.equal((await file.read({ position: 0, buffer: Buffer.alloc(10) })).buffer.toString('utf8', 0, 7), 'conten\0');
    }
    const again = await open(`/proc/self/fd/${file.fd}`, 'r');
    assert.equal((await again.stat()).size, 6);
    await again.close();
    await file.close();
    await run('sync', [mount.path('snapshots'), path('')]);
    await run('rmdir', [path('')]);
  });

  test('holes stay holes, and nothing is larger than a snapshot can be', async () => {
    await mkdir(mount.path('snapshots', 'big'));
    const file = mount.path('snapshots', 'big', 'stable_memory.bin');
    await writeFile(file, '');
    await truncate(file, 100 * 2 ** 30);
    assert.equal((await stat(file)).size, 100 * 2 ** 30);
    assert.ok((await stat(file)).blocks < 1000);
    assert.equal(await errnoOf(truncate(file, 501 * 2 ** 30)), 'EFBIG');
    await rm(mount.path('snapshots', 'big'), { recursive: true });
  });

  test('they are there after a crash, and another mount has to wait', async () => {
    await mkdir(mount.path('snapshots', 'kept'));
    const file = await open(mount.path('snapshots', 'kept', 'metadata.json'), 'w');
    await file.write('text');
    await file.sync();
    await file.close();
    const other = await mountOf('blank', staging);
    assert.deepEqual(await readdir(other.path('snapshots')), []);
    assert.equal(await errnoOf(mkdir(other.path('snapshots', 'new'))), 'EBUSY');
    mount.child.kill('SIGKILL');
    await mount.exited;
    await run('fusermount3', ['-uz', mount.point]).catch(() => {});
    assert.equal(await readFile(other.path('snapshots', 'kept', 'metadata.json'), 'utf8'), 'text');
    await mkdir(other.path('snapshots', 'new'));
    await other.unmount();
    mount = await mountOf('blank', staging);
    assert.deepEqual((await readdir(mount.path('snapshots'))).sort(), ['kept', 'new']);
    for (const name of ['kept', 'new']) await rm(mount.path('snapshots', name), { recursive: true });
  });
});

describe('uploading', () => {
  for (const name of ['sample', 'motoko']) {
    test(`${name}: what icp saved is uploaded and loaded; icp takes what we copied`, async () => {
      const manager = managing(name);
      await manager.putChunk(randomBytes(MIB));
      const taken = await manager.take();
      const saved = join(newDir(), 'saved');
      await icp('canister', 'snapshot', 'download', network.canisters[name], taken, '-o', saved);
      const mount = await mountOf(name);
      await run('cp', ['-r', saved, mount.path('snapshots', 'mine')]);
      const id = idIn(await done(mount, 'snapshot upload mine'));
      assert.notEqual(id, taken);
      assert.deepEqual((await manager.list()).sort(), [taken, id].sort());
      const copied = join(newDir(), 'copied');
      await cp(mount.path('snapshots', id), copied, { recursive: true });
      for (const file of ['stable_memory.bin', 'wasm_memory.bin', 'wasm_module.bin'])
        assert.ok((await readFile(join(copied, file))).equals(await readFile(join(saved, file))), file);
      assert.match(mount.stderr, /\.lock/, 'what is not sent is said');
      await icp('canister', 'snapshot', 'upload', network.canisters[name], '-i', copied);
      if (name === 'sample') {
        await client.stableWrite(network.canisters.sample, 0, Buffer.alloc(64, 7));
        await eventually(async () => (await client.stableRead(network.canisters.sample, 0, 64)).equals(Buffer.alloc(64, 7)));
      }
      await done(mount, `snapshot load ${id}`);
      if (name === 'sample')
        assert.deepEqual(await client.stableRead(network.canisters.sample, 0, 64), seedBytes(1n, 0, 64));
      for (const other of await manager.list()) await manager.delete(other);
    });
  }

  test('every kind of global, timer and hook; chunks; a sparse memory: only what is there is sent', async () => {
    const manager = managing('blank');
    const mount = await mountOf('blank');
    const chunk = randomBytes(1000);
    const hash = createHash('sha256').update(chunk).digest();
    const size = 100 * 2 ** 30;
    const dir = mount.path('snapshots', 'sparse');
    await made(dir, Buffer.alloc(0), {
      globals: [{ i32: -5 }, { i64: -6000000000 }, { f32: 1.5 }, { f64: 0.1 }, { v128: [1, 2, 3, 4294967295] }],
      stable_memory_size: size,
      wasm_chunk_store: [{ hash: [...hash] }],
      certified_data: [1, 2, 255],
      global_timer: { active: 1800000000000000 },
      on_low_wasm_memory_hook_status: 'executed',
    });
    await mkdir(join(dir, 'wasm_chunk_store'));
    await writeFile(join(dir, 'wasm_chunk_store', `${hash.toString('hex')}.bin`), chunk);
    await truncate(join(dir, 'stable_memory.bin'), size);
    const file = await open(join(dir, 'stable_memory.bin'), 'r+');
    await file.write('in the middle', size / 2);
    await file.close();
    const log = await network.requestsDuring(async () => idIn(await done(mount, 'snapshot upload sparse')));
    assert.equal(count(callsOf(log), 'upload_canister_snapshot_data'), 3);
    assert.equal(count(callsOf(log), 'read_canister_snapshot_data'), 3);
    assert.equal(count(callsOf(log), 'upload_canister_snapshot_metadata'), 1);
    const [id] = await manager.list();
    const text = JSON.parse(await readFile(mount.path('snapshots', id, 'metadata.json'), 'utf8'));
    assert.deepEqual(text.globals, [{ i32: -5 }, { i64: -6000000000 }, { f32: 1.5 }, { f64: 0.1 }, { v128: [1, 2, 3, 4294967295] }]);
    assert.deepEqual([text.certified_data, text.global_timer], [[1, 2, 255], { active: 1800000000000000 }]);
    await manager.delete(id);
  });

  describe('refused before anything is called', () => {
    let mount;
    before(async () => (mount = await mountOf('blank')));
    const stable = Buffer.alloc(65536, 1);
    const cases = {
      'no metadata': [(dir) => rm(join(dir, 'metadata.json')), /metadata.json is missing/],
      'no JSON': [(dir) => writeFile(join(dir, 'metadata.json'), '{'), /metadata.json: line 1/],
      'too much JSON': [(dir) => writeFile(join(dir, 'metadata.json'), Buffer.alloc(2 ** 21, 32)), /longer than/],
      'a field that nobody knows': [(dir) => made(dir, stable, { other: 1 }), /\\"other\\" is not understood/],
      'a float that is null': [(dir) => made(dir, stable, { globals: [{ f64: null }] }), /global 0/],
      'a short file': [(dir) => truncate(join(dir, 'stable_memory.bin'), 65535), /has 65535 bytes, metadata.json says 65536/],
      'a long file': [(dir) => truncate(join(dir, 'stable_memory.bin'), 65537), /has 65537 bytes/],
      'a file too few': [(dir) => rm(join(dir, 'stable_memory.bin')), /stable_memory.bin is missing/],
      'half a page': [(dir) => made(dir, stable.subarray(1)), /whole pages/],
      'no module': [(dir) => writeFile(join(dir, 'wasm_module.bin'), 'no module'.slice(0, 8)), /no Wasm module/],
      'a chunk of another hash': [
        async (dir) => {
          await made(dir, stable, { wasm_chunk_store: [{ hash: [...Buffer.alloc(32)] }] });
          await mkdir(join(dir, 'wasm_chunk_store'));
          await writeFile(join(dir, 'wasm_chunk_store', `${'00'.repeat(32)}.bin`), 'x');
        },
        /another hash/,
      ],
    };
    for (const [what, [spoil, words]] of Object.entries(cases)) {
      test(what, async () => {
        const dir = mount.path('snapshots', 'bad');
        await made(dir, stable);
        await spoil(dir);
        const calls = callsOf(await network.requestsDuring(() => failed(mount, 'snapshot upload bad', 'EINVAL', words)));
        assert.deepEqual(calls, []);
        await rm(dir, { recursive: true });
      });
    }

    test('no such directory, one that is written, another name', async () => {
      await failed(mount, 'snapshot upload nothing', 'ENOENT', /no such directory/);
      await made(mount.path('snapshots', 'busy'), stable);
      const file = await open(mount.path('snapshots', 'busy', 'stable_memory.bin'), 'r+');
      await failed(mount, 'snapshot upload busy', 'EBUSY', /being written/);
      await file.close();
      await rm(mount.path('snapshots', 'busy'), { recursive: true });
    });
  });

  test('ten snapshots: no room for one more', async () => {
    const manager = managing('blank');
    const mount = await mountOf('blank');
    await made(mount.path('snapshots', 'eleventh'), Buffer.alloc(65536, 1));
    const ids = [];
    for (let i = 0; i < 10; i++) ids.push(await manager.declare({}));
    await failed(mount, 'snapshot upload eleventh', 'ENOSPC', /10 snapshots/);
    for (const id of ids) await manager.delete(id);
    const id = idIn(await done(mount, 'snapshot upload eleventh'));
    await manager.delete(id);
  });
});

describe('what ends it', () => {
  const SIZE = 160 * 65536; // 6 pieces
  const stable = randomBytes(SIZE);
  let manager;
  before(() => (manager = managing('blank')));
  beforeEach(async () => {
    await network.faults([]);
    for (const id of await manager.list()) await manager.delete(id);
  });

  async function kill(mount) {
    mount.child.kill('SIGKILL');
    await mount.exited;
    await run('fusermount3', ['-uz', mount.point]).catch(() => {});
  }

  const active = async () => (await fetch(new URL('/_test/active', network.url))).json();
  const hold = (method, n, fault) => network.faults([{ endpoint: 'call', method, nth: n, ...fault }]);
  const held = (kind) => eventually(async () => (await active()).some(({ fault }) => fault === kind));

  async function prepared() {
    const staging = newDir();
    const mount = await mountOf('blank', staging);
    await made(mount.path('snapshots', 'mine'), stable);
    return { staging, mount };
  }

  // The end of every case: one snapshot, which is what was uploaded.
  async function end(mount, id) {
    assert.deepEqual(await manager.list(), [id]);
    assert.ok((await readFile(mount.path('snapshots', id, 'stable_memory.bin'))).equals(stable));
    assert.ok((await readFile(mount.path('snapshots', 'mine', 'stable_memory.bin'))).equals(stable), 'the files are there');
    await mount.unmount();
  }

  const points = [
    ['list_canister_snapshots', 1],
    ['upload_canister_snapshot_metadata', 1],
    ['upload_canister_snapshot_data', 1],
    ['upload_canister_snapshot_data', 4],
    ['read_canister_snapshot_metadata', 1],
    ['read_canister_snapshot_data', 3],
  ];
  const holds = { 'before it arrives': { kind: 'stall' }, 'its reply lost': { kind: 'stall', in_body: true } };
  for (const [method, n] of points) {
    for (const [when, fault] of Object.entries(holds)) {
      // That a call will never run is certain when it has expired: some four minutes.
      const isLong = method === 'upload_canister_snapshot_metadata' && fault === holds['before it arrives'];
      if (isLong && !process.env.CANISTERFS_TEST_LONG) continue;
      test(`killed at ${method} ${n}, ${when}: the same command goes on with the same id`, async () => {
        const { staging, mount } = await prepared();
        await hold(method, n, fault);
        await writeFile(mount.path('.canisterfs', 'control'), 'snapshot upload mine\n');
        await held('stall');
        await kill(mount);
        await network.faults([]);
        const before = await manager.list();
        assert.ok(before.length <= 1);
        const again = await mountOf('blank', staging);
        if (method !== 'list_canister_snapshots') {
          assert.match(again.stderr, /upload of snapshots\/mine was not finished/);
          const [{ name, state }] = (await again.json('status')).snapshots.uploads;
          assert.equal(name, 'mine');
          assert.match(state, /unfinished/);
        }
        const id = idIn(await done(again, 'snapshot upload mine'));
        if (before.length > 0) assert.equal(id, before[0], 'no second one');
        assert.deepEqual((await again.json('status')).snapshots.uploads, [{ name: 'mine', state: 'verified', id }]);
        await end(again, id);
      });
    }
  }

  test('what is sent is read back while the rest is sent', async () => {
    const { mount } = await prepared();
    await hold('upload_canister_snapshot_data', 7, { kind: 'late', ms: 2500 });
    const requests = await network.requestsDuring(async () => end(mount, idIn(await done(mount, 'snapshot upload mine'))));
    const of = (method) => requests.filter((request) => request.method === method);
    const sends = of('upload_canister_snapshot_data');
    assert.equal(sends.length, 7, 'the module, and the memory');
    const last = Math.max(...sends.map(({ began, ms }) => began + ms));
    const reads = of('read_canister_snapshot_data').filter(({ began, ms }) => began + ms < last);
    assert.ok(reads.length >= 1, `${reads.length} of what was there`); // the module at least: calls overtake each other
    const [metadata] = of('read_canister_snapshot_metadata');
    assert.ok(metadata.began >= last, 'what chunks change is compared when all are there');
  });

  test('what is there is not what was sent: said, and the next run sends all of it', async () => {
    const { mount } = await prepared();
    await network.faults([{ endpoint: 'call', method: 'read_canister_snapshot_data', kind: 'late', ms: 2500 }]);
    const { length } = await network.log();
    const failing = failed(mount, 'snapshot upload mine', 'EIO', /not what was sent: stable_memory\.bin differs from 0 on/);
    const sent = (requests) => requests.filter(({ method, ms }) => method === 'upload_canister_snapshot_data' && ms >= 0).length;
    await eventually(async () => sent((await network.log()).slice(length)) === 7);
    const [id] = await manager.list();
    await manager.write(id, 0n, Buffer.from([stable[0] ^ 1]));
    await failing;
    assert.match((await mount.json('status')).snapshots.uploads[0].state, /unfinished/);
    await network.faults([]);
    const again = await network.requestsDuring(async () => assert.equal(idIn(await done(mount, 'snapshot upload mine')), id));
    assert.equal(sent(again), 7);
    await end(mount, id);
  });

  test('a subnet that takes no more for the moment is asked again', async () => {
    const { mount } = await prepared();
    const data = { endpoint: 'call', method: 'upload_canister_snapshot_data' };
    await network.faults([
      { ...data, nth: 2, kind: 'reject', code: 'IC0210' },
      { ...data, nth: 3, kind: 'reject', code: 'IC0504', message: 'Canister is heap delta rate limited' },
      { ...data, nth: 4, kind: 'reset' },
      { endpoint: 'call', method: 'read_canister_snapshot_data', nth: 2, kind: 'reject', code: 'IC0210' },
    ]);
    await end(mount, idIn(await done(mount, 'snapshot upload mine')));
  });

  // What is noted of an upload whose call is too long ago for the network to know it.
  async function forgotten(staging) {
    const { stdout } = await run('find', [staging, '-name', 'uploads']);
    const [note] = JSON.parse(await readFile(stdout.trim(), 'utf8'));
    assert.equal(note.state, 'declaring');
    const long_ago = String(BigInt(note.expiry_ns) - 3_600_000_000_000n);
    await writeFile(stdout.trim(), JSON.stringify([{ ...note, expiry_ns: long_ago, request_id: '00'.repeat(32) }]));
  }

  async function lostReply() {
    const other = await manager.declare({ stable_memory_size: BigInt(SIZE) });
    const { staging, mount } = await prepared();
    await hold('upload_canister_snapshot_metadata', 1, { kind: 'stall', in_body: true });
    await writeFile(mount.path('.canisterfs', 'control'), 'snapshot upload mine\n');
    await held('stall');
    await eventually(async () => (await manager.list()).length === 2);
    await kill(mount);
    await network.faults([]);
    await forgotten(staging);
    const mine = (await manager.list()).find((id) => id !== other);
    return { other, mine, again: await mountOf('blank', staging) };
  }

  test('an answer that was lost for good: the id is found by what was not there before', async () => {
    const { other, mine, again } = await lostReply();
    assert.equal(idIn(await done(again, 'snapshot upload mine')), mine);
    await manager.delete(other);
    await end(again, mine);
  });

  test('... and if two could be it, the user is asked', async () => {
    const { other, mine, again } = await lostReply();
    const twin = await manager.declare({ stable_memory_size: BigInt(SIZE) });
    await failed(again, 'snapshot upload mine', 'EBUSY', /2 snapshots were uploaded meanwhile/);
    await manager.delete(twin);
    await manager.delete(other);
    const id = idIn(await done(again, 'snapshot upload mine'));
    assert.equal(id, mine);
    await end(again, id);
  });

  test('... and what somebody else has sent into one like it stays as it is', async () => {
    const { other, mine, again } = await lostReply();
    const theirs = await manager.declare({ stable_memory_size: BigInt(SIZE) });
    await manager.write(theirs, 12345n, Buffer.from('theirs'));
    assert.equal(idIn(await done(again, 'snapshot upload mine')), mine);
    const kept = await readFile(again.path('snapshots', theirs, 'stable_memory.bin'));
    assert.equal(kept.toString('latin1', 12345, 12351), 'theirs');
    assert.ok(kept.subarray(20000).equals(Buffer.alloc(SIZE - 20000)), 'nothing else was written');
    for (const id of [other, theirs]) await manager.delete(id);
    await end(again, mine);
  });

  test('... and if there is none, one is made', async () => {
    const { other, mine, again } = await lostReply();
    for (const id of [other, mine]) await manager.delete(id);
    await end(again, idIn(await done(again, 'snapshot upload mine')));
  });

  test('... and if the files are gone or others since: it can be dropped, or uploaded anew', async () => {
    for (const isDropped of [true, false]) {
      const { other, mine, again } = await lostReply();
      await rm(again.path('snapshots', 'mine'), { recursive: true });
      if (isDropped) {
        await failed(again, 'snapshot upload mine', 'ENOENT', /no such directory/);
        assert.equal(await done(again, 'snapshot drop mine'), 'no snapshot is known that it made; the files stay');
        assert.deepEqual((await again.json('status')).snapshots.uploads, []);
      }
      await made(again.path('snapshots', 'mine'), stable);
      const id = idIn(await done(again, 'snapshot upload mine'));
      assert.match(again.stderr, /whether its upload of before made a snapshot cannot be learned any more/);
      assert.deepEqual((await manager.list()).sort(), [other, mine, id].sort(), 'none is deleted on a guess');
      for (const one of [other, mine]) await manager.delete(one);
      await end(again, id);
      await manager.delete(id);
    }
  });

  test('killed before the answer came, dropped: what was made is found, and deleted', async () => {
    const { staging, mount } = await prepared();
    await hold('upload_canister_snapshot_metadata', 1, { kind: 'stall', in_body: true });
    await writeFile(mount.path('.canisterfs', 'control'), 'snapshot upload mine\n');
    await held('stall');
    await eventually(async () => (await manager.list()).length === 1);
    await kill(mount);
    await network.faults([]);
    const again = await mountOf('blank', staging);
    await rm(again.path('snapshots', 'mine'), { recursive: true });
    assert.match(await done(again, 'snapshot drop mine'), /the unfinished snapshot is deleted/);
    assert.deepEqual(await manager.list(), []);
    await again.unmount();
  });

  test('deleted is what is not listed any more, whatever is said', async () => {
    const { staging, mount } = await prepared();
    await hold('upload_canister_snapshot_data', 2, { kind: 'stall' });
    await writeFile(mount.path('.canisterfs', 'control'), 'snapshot upload mine\n');
    await held('stall');
    await kill(mount);
    const again = await mountOf('blank', staging);
    await network.faults([{ endpoint: 'call', method: 'delete_canister_snapshot', kind: 'reject', code: 'IC0305' }]);
    const [id] = await manager.list();
    await failed(again, 'snapshot drop mine', 'ENOENT', /IC0305/);
    await failed(again, `snapshot delete ${id}`, 'ENOENT', /it was not seen to be gone: .*IC0305/);
    await network.faults([]);
    await done(again, 'snapshot drop mine');
    assert.deepEqual(await manager.list(), []);
    await again.unmount();
  });

  test('once more: nothing is done; after it was deleted a new one is made', async () => {
    const { mount } = await prepared();
    const id = idIn(await done(mount, 'snapshot upload mine'));
    const calls = callsOf(await network.requestsDuring(async () => assert.equal(idIn(await done(mount, 'snapshot upload mine')), id)));
    assert.deepEqual(calls, ['list_canister_snapshots']);
    await manager.delete(id);
    const other = idIn(await done(mount, 'snapshot upload mine'));
    assert.notEqual(other, id);
    await end(mount, other);
  });

  test('other bytes under the old time are other files', async () => {
    const { mount } = await prepared();
    const path = mount.path('snapshots', 'mine', 'stable_memory.bin');
    await utimes(path, 1, 1_500_000_000);
    const id = idIn(await done(mount, 'snapshot upload mine'));
    const other = randomBytes(SIZE);
    await writeFile(path, other);
    await utimes(path, 1, 1_500_000_000);
    const next = idIn(await done(mount, 'snapshot upload mine'));
    assert.notEqual(next, id);
    assert.ok((await readFile(mount.path('snapshots', next, 'stable_memory.bin'))).equals(other));
    await mount.unmount();
  });

  test('notes that are damaged: said, the mount is of use, nothing is uploaded', async () => {
    const { staging, mount } = await prepared();
    const id = idIn(await done(mount, 'snapshot upload mine'));
    await mount.unmount();
    const { stdout } = await run('find', [staging, '-name', 'uploads']);
    for (const text of ['', '[{', '{}', '[1]', '[{"name":"mine"}]', `[${'['.repeat(100_000)}`]) {
      await writeFile(stdout.trim(), text);
      const again = await mountOf('blank', staging);
      assert.match(again.stderr, /the file is damaged/);
      assert.ok((await readFile(again.path('snapshots', 'mine', 'stable_memory.bin'))).equals(stable));
      await failed(again, 'snapshot upload mine', 'EIO', /cannot be read/);
      await again.unmount();
    }
    await manager.delete(id);
  });

  test('no id is given: nothing is left to go on with', async () => {
    const { mount } = await prepared();
    await hold('upload_canister_snapshot_metadata', 1, { kind: 'reject', code: 'IC0207', message: 'out of cycles' });
    await failed(mount, 'snapshot upload mine', 'ENOSPC', /out of cycles/);
    assert.deepEqual((await mount.json('status')).snapshots.uploads, []);
    await network.faults([]);
    await end(mount, idIn(await done(mount, 'snapshot upload mine')));
  });

  test('files that changed: refused, until it is dropped', async () => {
    const { staging, mount } = await prepared();
    await hold('upload_canister_snapshot_data', 2, { kind: 'stall' });
    await writeFile(mount.path('.canisterfs', 'control'), 'snapshot upload mine\n');
    await held('stall');
    assert.equal(await errnoOf(writeFile(mount.path('snapshots', 'mine', 'stable_memory.bin'), 'x')), 'EBUSY');
    await kill(mount);
    await network.faults([]);
    const again = await mountOf('blank', staging);
    const file = await open(again.path('snapshots', 'mine', 'stable_memory.bin'), 'r+');
    await file.write(stable.subarray(0, 1), 0, 1, 0);
    await file.close();
    await failed(again, 'snapshot upload mine', 'EINVAL', /snapshot drop mine/);
    assert.equal((await manager.list()).length, 1);
    const [unfinished] = await manager.list();
    await failed(again, `snapshot load ${unfinished}`, 'EINVAL', /not verified/);
    await done(again, 'snapshot drop mine');
    assert.deepEqual(await manager.list(), []);
    await end(again, idIn(await done(again, 'snapshot upload mine')));
  });

  test('files that change behind the mount while they are uploaded: not verified', async () => {
    const { staging, mount } = await prepared();
    const { stdout } = await run('find', [staging, '-name', 'stable_memory.bin']);
    await hold('read_canister_snapshot_metadata', 1, { kind: 'late', ms: 3000 });
    const uploaded = failed(mount, 'snapshot upload mine', 'EINVAL', /its files changed while they were uploaded/);
    await network.untilAsked({ method: 'read_canister_snapshot_metadata' });
    const file = await open(stdout.trim(), 'r+');
    await file.write(stable.subarray(0, 1), 0, 1, 0);
    await file.close();
    await uploaded;
    await network.faults([]);
    const [unfinished] = await manager.list();
    await failed(mount, `snapshot load ${unfinished}`, 'EINVAL', /not verified/);
    await failed(mount, 'snapshot upload mine', 'EINVAL', /snapshot drop mine/);
    await done(mount, 'snapshot drop mine');
    await end(mount, idIn(await done(mount, 'snapshot upload mine')));
  });

  test('deleted meanwhile: said, and uploaded anew', async () => {
    const { staging, mount } = await prepared();
    await hold('upload_canister_snapshot_data', 2, { kind: 'stall' });
    await writeFile(mount.path('.canisterfs', 'control'), 'snapshot upload mine\n');
    await held('stall');
    await kill(mount);
    await network.faults([]);
    for (const id of await manager.list()) await manager.delete(id);
    const again = await mountOf('blank', staging);
    await failed(again, 'snapshot upload mine', 'ENOENT', /not there any more/);
    await end(again, idIn(await done(again, 'snapshot upload mine')));
  });
});
