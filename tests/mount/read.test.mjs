// Reading through a real mount: the right bytes at every kind of place, and what it costs.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createReadStream, readFileSync } from 'node:fs';
import { open, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { mostAtOnce } from './chunks.mjs';
import { openNetwork } from './client.mjs';
import { errnoName, isSanitized, pread, run, seedBytes, Stage } from './harness.mjs';

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const SIZE = 16 * MIB;

async function sha256File(path) {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: MIB })) hash.update(chunk);
  return hash.digest('hex');
}

describe('a mounted canister', () => {
  let stage, network, client, mount, memory;

  before(async () => {
    ({ stage, network, client } = await openNetwork(['--demo', '--demo-size', '16M']));
    mount = await stage.mount(network, network.canisters.sample);
    memory = mount.path('stable_memory');
  });
  after(() => stage.close());

  test('shows the tree of the design', async () => {
    assert.deepEqual((await readdir(mount.point)).sort(), ['.canisterfs', 'canister', 'stable_memory']);
    assert.deepEqual((await readdir(mount.path('.canisterfs'))).sort(), ['control', 'stats', 'status']);
    assert.deepEqual(
      (await readdir(mount.path('canister'))).sort(),
      ['candid.did', 'controllers', 'id', 'module_hash', 'subnet'],
    );
  });

  test('certified facts are what the official client reads', async () => {
    const fact = (name) => readFile(mount.path('canister', name), 'utf8');
    const facts = await client.facts(network.canisters.sample);
    assert.equal(await fact('id'), `${network.canisters.sample}\n`);
    assert.equal(await fact('module_hash'), `${facts.moduleHash}\n`);
    assert.equal(await fact('controllers'), facts.controllers.map((c) => `${c}\n`).join(''));
    assert.equal(await fact('candid.did'), facts.candid);
    assert.equal(await fact('subnet'), `${facts.subnet}\n`);
  });

  test('sha256 equals what @icp-sdk/core reads', async () => {
    const theirs = createHash('sha256');
    for (let offset = 0; offset < SIZE; offset += 2 * MIB)
      theirs.update(await client.stableRead(network.canisters.sample, offset, 2 * MIB));
    assert.equal(await sha256File(memory), theirs.digest('hex'));
  });

  test('cp, rsync, dd, hexdump, tail and cmp', async () => {
    const copy = join(stage.dir, 'copy');
    await run('cp', [memory, copy]);
    await run('cmp', [memory, copy]);
    await run('rsync', ['-a', memory, `${copy}.rsync`]);
    await run('cmp', [copy, `${copy}.rsync`]);
    const { stdout } = await run('rsync', ['-a', '--stats', memory, `${copy}.rsync`]);
    assert.match(stdout, /Number of regular files transferred: 0/);
    await run('dd', [`if=${memory}`, `of=${copy}.dd`, 'bs=999983', 'status=none']);
    await run('cmp', [copy, `${copy}.dd`]);
    assert.equal(readFileSync(copy).compare(seedBytes(1n, 0, SIZE)), 0);
    const hex = await run('hexdump', ['-v', '-e', '1/1 "%02x"', '-s', '1234567', '-n', '40', memory]);
    assert.equal(hex.stdout, seedBytes(1n, 1234567, 40).toString('hex'));
  });

  test('odd offsets and lengths, the last page, the end', async () => {
    for (const [offset, length] of [
      [0, 1], [65535, 2], [65536, 65536], [131071, 65538], [3 * MIB - 7, 4 * MIB + 13],
      [SIZE - 65536, 65536], [SIZE - 1, 1],
    ]) {
      const got = await pread(memory, offset, length);
      assert.ok(Buffer.isBuffer(got), `${offset}+${length}: ${got}`);
      assert.equal(got.compare(seedBytes(1n, offset, length)), 0, `${offset}+${length}`);
    }
    assert.equal((await pread(memory, SIZE - 10, 100)).length, 10);
    assert.equal((await pread(memory, SIZE, 100)).length, 0);
    assert.equal((await pread(memory, SIZE + 4096, 100)).length, 0);
  });

  test('many readers at once get what one gets', async () => {
    const sums = await Promise.all(Array.from({ length: 6 }, async (_, i) => {
      const file = await open(memory);
      try {
        for (let n = 0; n < 60; n++) {
          const offset = (n * 7919 * 1009 + i * 65537) % (SIZE - 5000);
          const { buffer } = await file.read(Buffer.alloc(5000), 0, 5000, offset);
          assert.equal(buffer.compare(seedBytes(1n, offset, 5000)), 0);
        }
        return true;
      } finally {
        await file.close();
      }
    }));
    assert.equal(sums.length, 6);
  });

  test('is read-only', async () => {
    await assert.rejects(open(memory, 'r+'), { code: 'EROFS' });
    await assert.rejects(open(memory, 'w'), { code: 'EROFS' });
    await assert.rejects(writeFile(mount.path('new'), 'x'), { code: 'EROFS' });
    await assert.rejects(writeFile(mount.path('.canisterfs', 'status'), 'x'), { code: 'EROFS' });
    await assert.rejects(run('rm', [memory]), /Read-only/);
    await assert.rejects(run('chmod', ['600', memory]), /Read-only/);
  });

  test('status and stats say what is going on', async () => {
    const status = await mount.json('status');
    assert.equal(status.canister, network.canisters.sample);
    assert.equal(status.stable_memory.offered, true);
    assert.equal(status.stable_memory.files[0].size, SIZE);
    assert.match(status.stable_memory.files[0].consistency, /^proven/);
    assert.equal(status.identity, '2vxsx-fae');
    assert.deepEqual(
      status.last_errors.map(({ level, message }) => [level, message.slice(0, 32)]),
      [['warning', 'anyone can download this memory:']],
    );
    const stats = await mount.json('stats');
    assert.ok(stats.calls.queries > 0);
    assert.equal(stats.calls.failed, 0);
    assert.equal(stats.calls.unverified, 0);
    assert.ok(stats.cache.in_use <= stats.cache.budget);
    // The sample reports what its calls take.
    const { calls, mean, most, most_of_limit: share } = stats.instructions_per_call;
    assert.ok(calls > 0 && mean > 0 && most >= mean && Math.abs(share - most / 5e9) < 1e-6, JSON.stringify(stats));
  });
});

describe('what it costs', () => {
  let stage, network;

  before(async () => {
    stage = await Stage.open();
    network = await stage.network(['--demo', '--demo-size', '16M']);
  });
  after(() => stage.close());

  const queries = (log) => log.filter((r) => r.endpoint === 'query').map((r) => r.method);

  test('an open is at most two queries, a cold pread of 64 bytes then one; a warm one none', async () => {
    const mount = await stage.mount(network, network.canisters.sample);
    let file;
    const atOpen = await network.requestsDuring(async () => {
      file = await open(mount.path('stable_memory'));
    });
    assert.ok(queries(atOpen).length >= 1 && queries(atOpen).length <= 2, JSON.stringify(atOpen));
    const buffer = Buffer.alloc(64);
    for (const offset of [9_000_000, 4096 * 17 + 5, SIZE - 100, 0]) {
      const log = await network.requestsDuring(() => file.read(buffer, 0, 64, offset));
      assert.deepEqual(queries(log), ['stable_read_at'], `at ${offset}`);
      assert.equal(buffer.compare(seedBytes(1n, offset, 64)), 0);
      const again = await network.requestsDuring(() => file.read(buffer, 0, 64, offset));
      assert.deepEqual(queries(again), [], `again at ${offset}`);
    }
    await file.close();
  });

  test('ls without stat asks nothing, in any directory', async () => {
    const mount = await stage.mount(network, network.canisters.sample, ['-o', 'attr_timeout=100ms']);
    await sleep(150);
    const log = await network.requestsDuring(async () => {
      for (const dir of ['.', 'canister', '.canisterfs']) assert.ok((await readdir(mount.path(dir))).length > 0, dir);
    });
    assert.deepEqual(log, []);
  });

  test('a sequential copy fetches every byte once, in large replies', async () => {
    const mount = await stage.mount(network, network.canisters.sample);
    const log = await network.requestsDuring(() => run('cp', [mount.path('stable_memory'), join(stage.dir, 'c')]));
    const reads = log.filter((r) => r.method === 'stable_read_at');
    const bytes = reads.reduce((n, r) => n + r.replyBytes, 0);
    assert.ok(bytes < SIZE * 1.01, `${bytes} bytes for ${SIZE}`);
    assert.ok(reads.length < 40, `${reads.length} reads`);
  });

  // What was to be fetched ahead with calls of full size is not fetched with small ones, one after the other.
  test('a canister that gives little at a time is asked for much of that at once', async () => {
    await network.options({ instructionPercent: 0.0042, queryMs: 50 });
    const mount = await stage.mount(network, network.canisters.sample);
    const log = await network.requestsDuring(() => run('cp', [mount.path('stable_memory'), join(stage.dir, 'c')]));
    const { reply_bytes: found } = (await mount.json('status')).stable_memory.files[0];
    await network.options({ instructionPercent: 100, queryMs: 0 });
    const good = log.filter((r) => r.method === 'stable_read_at' && r.status === 200 && r.reject === null);
    assert.ok(found >= 65536 && found <= 262144, `${found} bytes at a time`);
    assert.ok(good.length < (1.1 * SIZE) / found + 10, `${good.length} replies of ${found} bytes`);
    // Sixteen may; the file is six calls of full size.
    assert.ok(mostAtOnce(good) >= 10, `${mostAtOnce(good)} at once`);
  });
});

describe('memories of other sizes', () => {
  let stage, network;

  before(async () => {
    stage = await Stage.open();
    network = await stage.network(['--demo', '--demo-size', '1M']);
  });
  after(() => stage.close());

  test('more than 100 GiB: across 4 GiB, at 100 GiB, holes, the end', async () => {
    const mount = await stage.mount(network, network.canisters.sparse);
    const memory = mount.path('stable_memory');
    assert.equal((await stat(memory)).size, 100 * GIB + 65536);
    const text = (offset) => Buffer.from(`offset ${offset}\n`);
    for (const offset of [0, 4 * GIB - 8, 4 * GIB + 4096, 100 * GIB - 32, 100 * GIB]) {
      const expected = text(offset);
      assert.equal((await pread(memory, offset, expected.length)).toString(), expected.toString());
    }
    const across = await pread(memory, 4 * GIB - 65536, 131072);
    const expected = Buffer.alloc(131072);
    text(4 * GIB - 8).copy(expected, 65536 - 8);
    text(4 * GIB + 4096).copy(expected, 65536 + 4096);
    assert.equal(across.compare(expected), 0);
    assert.equal((await pread(memory, 50 * GIB + 3, 1000)).compare(Buffer.alloc(1000)), 0);
    assert.equal((await pread(memory, 100 * GIB + 65530, 100)).length, 6);
    assert.equal((await pread(memory, 100 * GIB + 65536, 100)).length, 0);
  });

  test('empty', async () => {
    const mount = await stage.mount(network, network.canisters.blank);
    const memory = mount.path('stable_memory');
    assert.equal((await stat(memory)).size, 0);
    assert.equal((await pread(memory, 0, 100)).length, 0);
    await run('cp', [memory, join(stage.dir, 'empty')]);
    assert.equal((await stat(join(stage.dir, 'empty'))).size, 0);
  });

  test('a canister without the methods has canister/ only, and one warning', async () => {
    const mount = await stage.mount(network, network.canisters.hello);
    assert.deepEqual((await readdir(mount.point)).sort(), ['.canisterfs', 'canister']);
    await mount.says(/mounted on/); // the last line
    assert.equal(mount.stderr.match(/warning/g).length, 1);
    assert.match(mount.stderr, /stable memory is not shown/);
    const status = await mount.json('status');
    assert.equal(status.stable_memory.offered, false);
    assert.equal(status.stable_memory.methods.stable_version, 'not in the Candid interface');
  });

  // Not with a sanitizer: its memory is most of the process's.
  const whenPlain = isSanitized ? () => {} : test;
  whenPlain('the daemon stays within cache_size + 64 MiB, whatever the file', async () => {
    const mount = await stage.mount(network, network.canisters.sparse, ['-o', 'cache_size=32M']);
    await run('dd', [`if=${mount.path('stable_memory')}`, 'of=/dev/null', 'bs=1M', 'count=1024', 'status=none']);
    const status = readFileSync(`/proc/${mount.pid}/status`, 'utf8');
    const peak = Number(/VmHWM:\s+(\d+)/.exec(status)[1]) * 1024;
    assert.ok(peak <= (32 + 64) * MIB, `peak memory ${(peak / MIB).toFixed(1)} MiB`);
  });
});

describe('a canister that changes', () => {
  let stage, network, client;

  before(async () => ({ stage, network, client } = await openNetwork(['--demo', '--demo-size', '16M'])));
  after(() => stage.close());

  test('an open sees every change that was made before it, at once', async () => {
    const mount = await stage.mount(network, network.canisters.sample);
    const memory = mount.path('stable_memory');
    await run('cp', [memory, '/dev/null']);
    for (let i = 0; i < 8; i++) {
      const held = await open(memory);
      const bytes = Buffer.from(`change ${i}`);
      await client.stableWrite(network.canisters.sample, 4096, bytes);
      const seen = await pread(memory, 4096, bytes.length);
      await held.close();
      assert.equal(seen.toString(), bytes.toString());
    }
    await client.stableWrite(network.canisters.sample, 4096, seedBytes(1n, 4096, 8));
  });

  test('an open file fails with ESTALE instead of mixing versions; a new open reads the new one', async () => {
    const mount = await stage.mount(network, network.canisters.sample, ['-o', 'attr_timeout=100ms']);
    const memory = mount.path('stable_memory');
    const before = await stat(memory, { bigint: true });
    const file = await open(memory);
    const buffer = Buffer.alloc(8);
    await file.read(buffer, 0, 8, 0);
    const written = Buffer.from('changed!');
    await client.stableWrite(network.canisters.sample, 8 * MIB, written);
    await file.read(buffer, 0, 8, 0);
    assert.equal(buffer.compare(seedBytes(1n, 0, 8)), 0, 'what was read stays readable');
    const stale = await file.read(buffer, 0, 8, 8 * MIB).catch(errnoName);
    await file.close();
    assert.equal(stale, 'ESTALE');
    await sleep(150);
    assert.deepEqual(await pread(memory, 8 * MIB, 8), written);
    const later = await stat(memory, { bigint: true });
    assert.notEqual(later.ino, before.ino, 'one inode per version');
    assert.ok(later.mtimeNs > before.mtimeNs, 'mtime moved');
    const copy = join(stage.dir, 'copy');
    await run('rsync', ['-a', memory, copy]);
    const expected = seedBytes(1n, 0, SIZE);
    written.copy(expected, 8 * MIB);
    assert.equal(readFileSync(copy).compare(expected), 0);
  });
});
