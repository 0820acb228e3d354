// Snapshots as directories: the same as icp saves, read lazily, whoever may, whatever state the canister is in.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { cp, mkdir, open, readFile, readdir, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { Principal } from '@icp-sdk/core/principal';
import { openNetwork } from './client.mjs';
import { errnoOf, eventually, networkArgs, pread, program, refused, run, seedBytes } from './harness.mjs';
import { icpIn, snapshotsOf } from './snapshots.mjs';

const PARTS = ['metadata.json', 'stable_memory.bin', 'wasm_chunk_store', 'wasm_memory.bin', 'wasm_module.bin'];
const SLICE = 30 * 65536;


describe('snapshots/', () => {
  let stage;
  let network;
  let client;
  let icp;
  const as = (file) => ['-o', `identity=${file}`];
  const mountOf = (name, args = as(network.identity)) => stage.mount(network, network.canisters[name], args);
  const managing = (name) => snapshotsOf(client, network.canisters[name]);

  before(async () => {
    ({ stage, network, client } = await openNetwork(['--demo', '--demo-size', '5M']));
    icp = icpIn(stage.dir, network);
  });
  after(() => stage.close());

  // The management canister's methods that were called meanwhile.
  async function callsDuring(fn) {
    const requests = await network.requestsDuring(fn);
    return requests.filter((request) => request.endpoint === 'call').map((request) => request.method);
  }

  // What icp saves and what cp copies of a snapshot are the same files.
  async function compare(name, mount, id) {
    const [saved, copied] = ['icp', 'cp'].map((tool) => `${stage.dir}/${tool}-${id}`);
    await icp('canister', 'snapshot', 'download', network.canisters[name], id, '-o', saved);
    await cp(mount.path('snapshots', id), copied, { recursive: true });
    const { stdout } = await run('diff', ['-r', '--exclude=.lock', saved, copied]).catch((error) => error);
    assert.equal(stdout, '');
    return { saved, copied };
  }

  for (const name of ['sample', 'motoko']) {
    test(`${name}: cp -r copies what icp downloads`, async () => {
      const manager = managing(name);
      const chunks = [Buffer.from('a chunk'), randomBytes(1 << 20)];
      for (const chunk of chunks) await manager.putChunk(chunk);
      const id = await manager.take();
      const mount = await mountOf(name);
      const { copied } = await compare(name, mount, id);
      assert.deepEqual((await readdir(copied)).sort(), PARTS);
      const hashes = chunks.map((chunk) => `${createHash('sha256').update(chunk).digest('hex')}.bin`).sort();
      assert.deepEqual((await readdir(`${copied}/wasm_chunk_store`)).sort(), hashes);
      await manager.delete(id);
    });
  }

  test('sizes, times and names', async () => {
    const manager = managing('sample');
    const id = await manager.take();
    const mount = await mountOf('sample');
    assert.deepEqual(await readdir(mount.path('snapshots')), [id]);
    const text = await readFile(mount.path('snapshots', id, 'metadata.json'), 'utf8');
    const metadata = JSON.parse(text);
    const takenAt = BigInt(/taken_at_timestamp": (\d+)/.exec(text)[1]); // no double holds it
    for (const path of [[], ...PARTS.map((part) => [part])]) {
      const { mtimeNs } = await stat(mount.path('snapshots', id, ...path), { bigint: true });
      assert.equal(mtimeNs, takenAt, path.join());
    }
    const sizeOf = async (part) => (await stat(mount.path('snapshots', id, part))).size;
    assert.equal(await sizeOf('stable_memory.bin'), metadata.stable_memory_size);
    assert.equal(await sizeOf('wasm_memory.bin'), metadata.wasm_memory_size);
    assert.equal(await sizeOf('wasm_module.bin'), metadata.wasm_module_size);
    assert.equal((await stat(mount.path('snapshots', id))).mode & 0o7777, 0o555);
    for (const name of ['nothing', `${id}00`, id.toUpperCase() === id ? 'ABCD' : id.toUpperCase(), '.hidden'])
      assert.equal(await errnoOf(stat(mount.path('snapshots', name))), 'ENOENT', name);
    for (const name of ['nothing', '.lock', 'wasm_chunk_store/x.bin', `wasm_chunk_store/${'0'.repeat(64)}.bin`])
      assert.equal(await errnoOf(stat(mount.path('snapshots', id, name))), 'ENOENT', name);
    await manager.delete(id);
  });

  test('what is empty: no file of the heap, an empty one of stable memory', async () => {
    const manager = managing('blank');
    const id = await manager.declare({});
    const mount = await mountOf('blank');
    const { copied } = await compare('blank', mount, id);
    assert.deepEqual((await readdir(copied)).sort(), PARTS.filter((part) => part !== 'wasm_memory.bin'));
    assert.equal((await stat(mount.path('snapshots', id, 'stable_memory.bin'))).size, 0);
    assert.equal(await errnoOf(stat(mount.path('snapshots', id, 'wasm_memory.bin'))), 'ENOENT');
    await manager.delete(id);
  });

  test('globals of every kind, a timer and a hook: metadata.json as icp writes it', async () => {
    const manager = managing('blank');
    const floats = [1.5, 0.1, 1e12, 1e13, 1e-5, 1e-6, 1.5e-7, 3.4028234663852886e38, 1e15, 1e16, -0, NaN, Infinity, 2 ** -44];
    const id = await manager.declare({
      globals: [
        { i32: -5 },
        { i64: -(2n ** 63n) },
        ...floats.map((f32) => ({ f32 })),
        ...[...floats, 5e-324, Number.MAX_VALUE, 123456789012345680].map((f64) => ({ f64 })),
        ...[0n, 1n, 1n << 64n, (1n << 128n) - 1n].map((v128) => ({ v128 })),
      ],
      certified_data: [1, 2, 255],
      global_timer: [{ active: 1800000000000000000n }],
      on_low_wasm_memory_hook_status: [{ executed: null }],
    });
    await compare('blank', await mountOf('blank'), id);
    await manager.delete(id);
  });

  test('nothing is called before somebody looks, and then no more than is looked at', async () => {
    const manager = managing('sparse');
    const size = 100n << 30n;
    const id = await manager.declare({ stable_memory_size: size });
    const middle = 50n << 30n;
    await manager.write(id, middle, Buffer.from('in the middle'));
    const mount = await mountOf('sparse');
    assert.deepEqual(await callsDuring(() => run('ls', ['-la', mount.point])), [], 'ls of the mount');
    const list = await callsDuring(() => readdir(mount.path('snapshots')));
    assert.deepEqual(list, ['list_canister_snapshots']);
    assert.deepEqual(await callsDuring(() => run('ls', ['-la', mount.path('snapshots')])), [], 'again, within a minute');
    const file = mount.path('snapshots', id, 'stable_memory.bin');
    assert.deepEqual(await callsDuring(() => stat(file)), ['read_canister_snapshot_metadata']);
    assert.equal((await stat(file, { bigint: true })).size, size);
    const cold = await callsDuring(async () => {
      const { stdout } = await run('hexdump', ['-C', '-s', String(middle), '-n', '16', file]);
      assert.match(stdout, /\|in the middle\.\.\.\|/);
    });
    assert.deepEqual(cold, ['read_canister_snapshot_data'], 'one call');
    const near = await callsDuring(async () => assert.deepEqual(await pread(file, Number(middle) + 100000, 16), Buffer.alloc(16)));
    assert.deepEqual(near, [], 'what came with it');
    const far = await callsDuring(async () => assert.deepEqual(await pread(file, Number(size) - 3, 16), Buffer.alloc(3)));
    assert.deepEqual(far, ['read_canister_snapshot_data'], 'the end of the file');
    await manager.delete(id);
  });

  test('chunks of the store: asked for in order they come several at a time, each once', async () => {
    const manager = managing('sample');
    const chunks = Array.from({ length: 12 }, (_, i) => Buffer.alloc(100_000 + i, i));
    for (const chunk of chunks) await manager.putChunk(chunk);
    const id = await manager.take();
    const mount = await mountOf('sample');
    const store = mount.path('snapshots', id, 'wasm_chunk_store');
    const names = await readdir(store);
    await network.options({ updateMs: 700 });
    try {
      const requests = await network.requestsDuring(() => run('cp', ['-r', store, `${stage.dir}/store`]));
      assert.equal(requests.length, names.length, 'a call for each');
      const together = ({ began, ms }) => requests.filter((other) => other.began < began + ms && began < other.began + other.ms).length;
      assert.ok(Math.max(...requests.map(together)) >= 4, JSON.stringify(requests));
    } finally {
      await network.options({ updateMs: 0 });
    }
    for (const name of names) {
      const bytes = await readFile(`${stage.dir}/store/${name}`);
      assert.equal(`${createHash('sha256').update(bytes).digest('hex')}.bin`, name);
    }
    await manager.delete(id);
  });

  test('looked up by name in a new mount: its metadata are asked for beside the list', async () => {
    const manager = managing('sample');
    const id = await manager.take();
    const [mount, other] = await Promise.all([mountOf('sample'), mountOf('sample')]);
    await network.options({ updateMs: 700 });
    try {
      const asked = await network.requestsDuring(() => stat(mount.path('snapshots', id, 'stable_memory.bin')));
      const [list, metadata] = ['list_canister_snapshots', 'read_canister_snapshot_metadata'].map((method) =>
        asked.filter((request) => request.method === method),
      );
      assert.equal(asked.length, 2, JSON.stringify(asked));
      assert.ok(metadata[0].began < list[0].began + list[0].ms, JSON.stringify(asked));
      // One that is not there: no name stands for it, nobody is told of trouble, and the next one is asked for all the same.
      assert.equal(await errnoOf(stat(other.path('snapshots', 'abcd'))), 'ENOENT');
      assert.equal((await stat(other.path('snapshots', id, 'wasm_module.bin'))).isFile(), true);
      assert.deepEqual(await readdir(other.path('snapshots')), [id]);
      assert.doesNotMatch(other.stderr, /abcd/);
    } finally {
      await network.options({ updateMs: 0 });
    }
    await manager.delete(id);
  });

  test('read in order and at random, the bytes are right', async () => {
    const manager = managing('sample');
    const id = await manager.take();
    const mount = await mountOf('sample');
    const file = mount.path('snapshots', id, 'stable_memory.bin');
    const whole = await readFile(file);
    assert.deepEqual(whole.subarray(0, 5 << 20), seedBytes(1n, 0, 5 << 20));
    const again = (await mountOf('sample')).path('snapshots', id, 'stable_memory.bin');
    for (const offset of [4 * SLICE - 7, SLICE - 1, 0, 65535, 2 * SLICE + 12345, 5 << 19])
      assert.deepEqual(await pread(again, offset, 100), whole.subarray(offset, offset + 100), `at ${offset}`);
    await manager.delete(id);
  });

  test('cp -r asks for the parts together, cat of one for no other', async () => {
    const manager = managing('sample');
    const id = await manager.take();
    const updateMs = 700;
    await network.options({ updateMs });
    try {
      const alone = await mountOf('sample');
      const module = alone.path('snapshots', id, 'wasm_module.bin');
      const few = await callsDuring(() => run('cat', [module]));
      assert.equal(few.filter((method) => method === 'read_canister_snapshot_data').length, 1);
      const mount = await mountOf('sample');
      const requests = await network.requestsDuring(() =>
        run('cp', ['-r', mount.path('snapshots', id), `${stage.dir}/together`]),
      );
      const began = requests.filter(({ method }) => method === 'read_canister_snapshot_data').map((request) => request.began);
      const sizes = ['wasm_module.bin', 'wasm_memory.bin', 'stable_memory.bin'];
      const slices = await Promise.all(
        sizes.map(async (part) => Math.ceil((await stat(mount.path('snapshots', id, part))).size / SLICE)),
      );
      const ofParts = began.sort((a, b) => a - b).slice(0, slices.reduce((a, b) => a + b)); // then come chunks
      assert.ok(ofParts.length > 3 && ofParts.at(-1) - ofParts[0] < updateMs, `${slices} slices, began at ${began}`);
    } finally {
      await network.options({ updateMs: 0 });
      await manager.delete(id);
    }
  });

  test('deleted while it is mounted: gone from the list, ESTALE beyond what is cached, never zeros', async () => {
    const manager = managing('sample');
    const id = await manager.take();
    const mount = await mountOf('sample');
    const path = (name) => mount.path('snapshots', id, name);
    const first = await pread(path('stable_memory.bin'), 0, 16);
    assert.deepEqual(first, seedBytes(1n, 0, 16));
    const file = await open(path('stable_memory.bin'));
    await manager.delete(id);
    const buffer = Buffer.alloc(16);
    await file.read(buffer, 0, 16, 0);
    assert.deepEqual(buffer, first, 'what is cached');
    assert.equal(await errnoOf(file.read(buffer, 0, 16, 2 * SLICE)), 'ESTALE');
    await file.close();
    await eventually(async () => (await errnoOf(stat(mount.path('snapshots', id)))) === 'ENOENT');
    assert.deepEqual(await readdir(mount.path('snapshots')), []);
    assert.equal(await errnoOf(readFile(path('wasm_memory.bin'))), 'ENOENT');
  });

  test('deleted before it was opened: ENOENT', async () => {
    const manager = managing('sample');
    const id = await manager.take();
    const mount = await mountOf('sample');
    await readdir(mount.path('snapshots'));
    await manager.delete(id);
    assert.equal(await errnoOf(readdir(mount.path('snapshots', id))), 'ENOENT');
  });

  test('who may: controllers, viewers, everybody with a key; anybody else gets EACCES, not an empty directory', async () => {
    const manager = managing('sample');
    const id = await manager.take();
    const key = `${stage.dir}/viewer.pem`;
    await run('openssl', ['genpkey', '-algorithm', 'ed25519', '-out', key]);
    await run('chmod', ['600', key]);
    const { stdout } = await run(program, ['--whoami', '-o', `identity=${key}`]);
    const viewer = stdout.trim();
    const [stranger, anonymous] = [await mountOf('sample', as(key)), await mountOf('sample', [])];
    const refuses = async () => {
      assert.equal(await errnoOf(readdir(stranger.path('snapshots'))), 'EACCES');
      assert.equal(await errnoOf(stat(stranger.path('snapshots', id))), 'EACCES');
      assert.match((await stranger.json('status')).snapshots.problem, /IC0512/);
    };
    await refuses();
    await manager.show({ allowed_viewers: [Principal.fromText(viewer)] });
    assert.deepEqual(await readdir(stranger.path('snapshots')), [id]);
    assert.deepEqual(await pread(stranger.path('snapshots', id, 'stable_memory.bin'), 8, 8), seedBytes(1n, 8, 8));
    await manager.show({ public: null });
    assert.deepEqual(await readdir((await mountOf('sample', as(key))).path('snapshots')), [id]);
    assert.equal(await errnoOf(stat(anonymous.path('snapshots'))), 'ENOENT', 'nobody in particular');
    await manager.show({ controllers: null });
    await manager.delete(id);
  });

  test('nosnapshots: no such directory', async () => {
    const mount = await mountOf('sample', ['-o', `identity=${network.identity},nosnapshots`]);
    assert.equal(await errnoOf(stat(mount.path('snapshots'))), 'ENOENT');
    assert.ok(!(await readdir(mount.point)).includes('snapshots'));
    assert.equal((await mount.json('status')).snapshots, null);
  });

  test('nothing of the canister can be changed or removed there', async () => {
    const manager = managing('sample');
    const id = await manager.take();
    const mount = await mountOf('sample', ['-o', `identity=${network.identity},rw,staging_dir=${stage.dir}/staging`]);
    const inside = mount.path('snapshots', id);
    assert.equal(await errnoOf(mkdir(inside)), 'EEXIST');
    assert.equal(await errnoOf(mkdir(`${inside}/new`)), 'EPERM');
    assert.equal(await errnoOf(rmdir(inside)), 'EPERM');
    assert.equal(await errnoOf(writeFile(mount.path('snapshots', 'file'), 'x')), 'EPERM');
    assert.equal(await errnoOf(writeFile(`${inside}/stable_memory.bin`, 'x')), 'EROFS');
    assert.equal(await errnoOf(writeFile(`${inside}/new`, 'x')), 'EROFS');
    assert.equal(await errnoOf(writeFile(`${inside}/wasm_chunk_store/new`, 'x')), 'EROFS');
    assert.equal(await errnoOf(rm(`${inside}/metadata.json`)), 'EROFS');
    await manager.delete(id);
  });

  describe('a canister that is stopped', () => {
    let manager;
    let id;
    before(async () => {
      manager = managing('distrikt');
      id = await manager.take();
      await manager.stop();
    });

    test('its snapshots are as before', async () => {
      const mount = await mountOf('distrikt');
      await compare('distrikt', mount, id);
      const status = await mount.json('status');
      assert.match(status.unreadable, /stopped/);
      assert.match(mount.stderr, /mounted for its snapshots only/);
    });

    test('its memory and collections are not taken for gone', async () => {
      const mount = await mountOf('distrikt');
      assert.ok((await readdir(mount.point)).includes('stable_memory'));
      assert.equal(await errnoOf(stat(mount.path('stable_memory'))), 'EIO');
      assert.equal(await errnoOf(readdir(mount.path('backup'))), 'EIO');
      assert.equal(await errnoOf(stat(mount.path('backup', 'x'))), 'EIO');
    });

    test('who may not list them is told that it is stopped', async () => {
      const { code, stderr } = await refused(['-f', ...networkArgs(network), network.canisters.distrikt, stage.dir]);
      assert.equal(code, 3);
      assert.match(stderr, /stopped/);
      const hidden = [...as(network.identity), '-o', 'nosnapshots'];
      const other = await refused(['-f', ...networkArgs(network), ...hidden, network.canisters.distrikt, stage.dir]);
      assert.equal(other.code, 3);
    });
  });
});
