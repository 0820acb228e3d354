// The virtual memories of a memory manager as files: databases that sqlite3 opens where they are, byte for byte, and what a header that
// is none, comes late, changes or lies does.
import assert from 'node:assert/strict';
import { constants } from 'node:fs';
import { open, readdir, readFile, rename, stat, truncate, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Actor } from '@icp-sdk/core/agent';
import { IDL } from '@icp-sdk/core/candid';
import { Principal } from '@icp-sdk/core/principal';
import { output } from './chunks.mjs';
import { openNetwork } from './client.mjs';
import { errnoOf, eventually, pread, run, seedBytes } from './harness.mjs';
import { createCanister, installCode, moduleOf } from './install.mjs';
import { ManagedMemory, PAGE } from './managed_memory.mjs';

const MIB = 2 ** 20;
const N_ROWS = 3_000;
// The kernel and the mount remember attributes this long.
const SOON = ['-o', 'attr_timeout=100ms'];
const attributesAreOld = () => sleep(200);

const padded = (bytes) => Buffer.concat([bytes, Buffer.alloc(-bytes.length & (PAGE - 1))]);
const sqlite = (path, words) => output('sqlite3', '-readonly', `file:${path}?immutable=1`, words);
const reads = (log) => log.filter(({ method }) => /^stable_read/.test(method));

const SnapshotId = IDL.Vec(IDL.Nat8);
const Snapshots = () =>
  IDL.Service({ take_canister_snapshot: IDL.Func([IDL.Record({ canister_id: IDL.Principal })], [IDL.Record({ id: SnapshotId })], []) });

// The name of its directory.
async function takeSnapshot(agent, canister) {
  const effectiveCanisterId = Principal.fromText(canister);
  const ic = Actor.createActor(Snapshots, { agent, canisterId: Principal.managementCanister(), effectiveCanisterId });
  const { id } = await ic.take_canister_snapshot({ canister_id: effectiveCanisterId });
  return Buffer.from(id).toString('hex');
}

describe('virtual memories', () => {
  let stage, network, client, database;

  before(async () => {
    ({ stage, network, client } = await openNetwork());
    const path = join(stage.dir, 'made.db');
    // Some pages are free, some rows have overflow pages.
    await run('sqlite3', [
      path,
      `PRAGMA page_size = 4096;
       CREATE TABLE post (id INTEGER PRIMARY KEY, author TEXT, body TEXT);
       WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${N_ROWS})
         INSERT INTO post SELECT i, 'user-' || (i % 37), printf('%.*c', (i * 7919) % 1500, 'x') || i FROM n;
       CREATE INDEX by_author ON post (author);
       INSERT INTO post VALUES (100000, 'user-1', printf('%.*c', 70000, 'y'));
       DELETE FROM post WHERE id BETWEEN 1000 AND 1200;`,
    ]);
    database = await readFile(path);
    assert.ok(database.length % PAGE !== 0 && database.length > 20 * PAGE);
  });
  after(() => stage.close());

  async function newCanister() {
    const principal = await createCanister(client.agent);
    await installCode(client.agent, principal, moduleOf('sample'));
    return principal.toText();
  }

  async function write(canister, at, bytes) {
    for (let done = 0; done < bytes.length; done += MIB) await client.stableWrite(canister, at + done, bytes.subarray(done, done + MIB));
  }

  async function grow(canister, pages) {
    await client.update(canister, 'stable_grow', new Uint8Array(IDL.encode([IDL.Nat64], [BigInt(pages)])));
  }

  const put = async (canister, manager, id, offset, bytes) => {
    for (const { at, bytes: part } of manager.pieces(id, offset, bytes)) await write(canister, at, part);
  };

  // Memories 0 and 254 hold a database and bytes in turns, 7 nothing, 101 a page; a bucket of each after the other's.
  async function fill(bucketPages) {
    const canister = await newCanister();
    const manager = new ManagedMemory(bucketPages);
    const image = padded(database);
    const other = seedBytes(5n, 0, 5 * PAGE);
    manager.grow(254, 1);
    for (let done = 0; done < image.length; done += PAGE) {
      manager.grow(0, 1);
      if (done < 4 * PAGE) manager.grow(254, 1);
    }
    manager.grow(101, 1);
    await grow(canister, manager.size / PAGE);
    await write(canister, 0, manager.header());
    await put(canister, manager, 0, 0, image);
    await put(canister, manager, 254, 0, other);
    await put(canister, manager, 101, 0, seedBytes(6n, 0, PAGE));
    return { canister, manager, image, other };
  }

  for (const bucketPages of [1, 128])
    describe(`in buckets of ${bucketPages} pages`, () => {
      let filled, mount;
      const vmem = (...names) => mount.path('vmem', ...names);

      before(async () => {
        filled = await fill(bucketPages);
        mount = await stage.mount(network, filled.canister);
      });

      test('they are there when they are asked for; a listing asks nothing', async () => {
        const log = await network.requestsDuring(async () => {
          assert.deepEqual((await readdir(mount.point)).sort(), ['.canisterfs', 'canister', 'stable_memory']);
        });
        assert.deepEqual(log, []);
        assert.equal((await mount.json('status')).stable_memory.vmem.state, 'not looked at yet');
        assert.deepEqual((await readdir(vmem())).sort(), ['000', '101', '254']);
        assert.deepEqual((await mount.json('status')).stable_memory.vmem, {
          state: 'shown',
          memories: 3,
          bucket_size: bucketPages * PAGE,
        });
      });

      test('sqlite3 opens a database in one', async () => {
        assert.equal(await sqlite(vmem('000'), 'PRAGMA integrity_check'), 'ok\n');
        assert.equal(await sqlite(vmem('000'), 'SELECT count(*), sum(length(body)) FROM post'), await sqlite(join(stage.dir, 'made.db'), 'SELECT count(*), sum(length(body)) FROM post'));
        assert.equal(await sqlite(vmem('000'), "SELECT count(*) FROM post WHERE author = 'user-5'"), await sqlite(join(stage.dir, 'made.db'), "SELECT count(*) FROM post WHERE author = 'user-5'"));
      });

      test('each is its bytes, in whole pages', async () => {
        const copy = join(stage.dir, `copy-${bucketPages}`);
        await run('cp', ['-r', vmem(), copy]);
        assert.ok((await readFile(join(copy, '000'))).equals(filled.image));
        assert.ok((await readFile(join(copy, '254'))).equals(filled.other));
        assert.ok((await readFile(join(copy, '101'))).equals(seedBytes(6n, 0, PAGE)));
        assert.equal((await stat(vmem('000'))).size, filled.image.length);
        const whole = await readFile(mount.path('stable_memory'));
        assert.ok(whole.subarray(0, 34848).equals(filled.manager.header()));
      });

      test('the middle, across buckets', async () => {
        for (const [offset, length] of [[PAGE - 3, 6], [4096, 2 * PAGE], [3 * PAGE + 1, 1], [filled.image.length - 5, 100], [filled.image.length, 10]])
          assert.ok((await pread(vmem('000'), offset, length)).equals(filled.image.subarray(offset, offset + length)), `${offset} ${length}`);
        const shown = await output('hexdump', '-v', '-s', String(2 * PAGE - 8), '-n', '16', '-e', '16/1 "%02x"', vmem('254'));
        assert.equal(shown, filled.other.subarray(2 * PAGE - 8, 2 * PAGE + 8).toString('hex'));
      });

      test('what has no bytes has no file', async () => {
        for (const name of ['007', '255', '0', '00', '0000', '1', ' 00', '+00', 'x', '999'])
          assert.equal(await errnoOf(stat(vmem(name))), 'ENOENT', name);
      });
    });

  test('a byte in the middle of a large one costs the header and the bytes around it', async () => {
    const canister = await newCanister();
    const manager = new ManagedMemory(128);
    manager.grow(3, 2 * 128);
    manager.grow(4, 128);
    manager.grow(3, 4000 * 128 - 2 * 128); // 31 GiB
    await grow(canister, manager.size / PAGE);
    await write(canister, 0, manager.header());
    const bytes = seedBytes(8n, 0, 1000);
    const offset = 3000 * 128 * PAGE + 12_345;
    await put(canister, manager, 3, offset, bytes);
    const mount = await stage.mount(network, canister);
    const log = await network.requestsDuring(async () => {
      assert.ok((await pread(mount.path('vmem', '003'), offset, 1000)).equals(bytes));
    });
    assert.ok(reads(log).length >= 2 && reads(log).length <= 4, `${reads(log).length} reads`);
  });

  test('a memory that changes: the open file ends, the next one is the new memory', async () => {
    const { canister, manager, image } = await fill(1);
    const mount = await stage.mount(network, canister, SOON);
    const path = mount.path('vmem', '000');
    const file = await open(path, constants.O_RDONLY | constants.O_DIRECT);
    const buffer = Buffer.alloc(4096);
    await file.read(buffer, 0, 4096, 0);
    assert.ok(buffer.equals(image.subarray(0, 4096)));
    manager.grow(9, 1);
    manager.grow(0, 1);
    await grow(canister, 2);
    await write(canister, 0, manager.header());
    await put(canister, manager, 9, 0, seedBytes(9n, 0, PAGE));
    await put(canister, manager, 0, image.length, seedBytes(10n, 0, PAGE));
    assert.equal(await errnoOf(file.read(buffer, 0, 4096, 8 * PAGE)), 'ESTALE');
    await file.close();
    await attributesAreOld();
    assert.deepEqual((await readdir(mount.path('vmem'))).sort(), ['000', '009', '101', '254']);
    assert.ok((await readFile(path)).equals(Buffer.concat([image, seedBytes(10n, 0, PAGE)])));
    assert.ok((await readFile(mount.path('vmem', '009'))).equals(seedBytes(9n, 0, PAGE)));
  });

  test('without a version each open has the header of its moment', async () => {
    const { canister, manager, image } = await fill(1);
    const map = join(stage.dir, 'live.map');
    await writeFile(map, '[stable_memory]\nread = stable_read\nsize = stable_size\n');
    const mount = await stage.mount(network, canister, ['-o', `map=${map},attr_timeout=100ms`]);
    assert.equal(await sqlite(mount.path('vmem', '000'), 'PRAGMA integrity_check'), 'ok\n');
    const file = await open(mount.path('vmem', '000'));
    const [a, b] = [Buffer.alloc(PAGE), Buffer.alloc(PAGE)];
    manager.grow(0, 1);
    await grow(canister, 1);
    await write(canister, 0, manager.header());
    await put(canister, manager, 0, image.length, seedBytes(10n, 0, PAGE));
    await file.read(a, 0, PAGE, 6 * PAGE);
    assert.ok(a.equals(image.subarray(6 * PAGE, 7 * PAGE)), 'what was there is where it was');
    await file.close();
    await attributesAreOld();
    assert.equal((await stat(mount.path('vmem', '000'))).size, image.length + PAGE);
    const again = await open(mount.path('vmem', '000'));
    await again.read(b, 0, PAGE, image.length);
    assert.ok(b.equals(seedBytes(10n, 0, PAGE)));
    await again.close();
  });

  test('another memory has none, and is not asked twice', async () => {
    const canister = await newCanister();
    await write(canister, 0, seedBytes(1n, 0, PAGE));
    const mount = await stage.mount(network, canister);
    const first = await network.requestsDuring(async () => {
      assert.equal(await errnoOf(stat(mount.path('vmem'))), 'ENOENT');
    });
    assert.equal(reads(first).length, 1);
    const log = await network.requestsDuring(async () => {
      assert.equal(await errnoOf(stat(mount.path('vmem'))), 'ENOENT');
    });
    assert.deepEqual(log, []);
    assert.match((await mount.json('status')).stable_memory.vmem.state, /^none/);
  });

  test('a header that comes into an empty memory is seen', async () => {
    const canister = await newCanister();
    const mount = await stage.mount(network, canister);
    assert.equal(await errnoOf(stat(mount.path('vmem'))), 'ENOENT');
    const manager = new ManagedMemory(2);
    manager.grow(1, 1);
    await grow(canister, manager.size / PAGE);
    await write(canister, 0, manager.header());
    assert.deepEqual(await readdir(mount.path('vmem')), ['001']);
    assert.ok((await readFile(mount.path('vmem', '001'))).equals(Buffer.alloc(PAGE)));
  });

  test('a header that a restore brings over something else is seen', async () => {
    const canister = await newCanister();
    await write(canister, 0, seedBytes(1n, 0, PAGE));
    const mount = await stage.mount(network, canister, ['-o', `rw,identity=${network.identity}`]);
    assert.equal(await errnoOf(stat(mount.path('vmem'))), 'ENOENT');
    const manager = new ManagedMemory(2);
    manager.grow(1, 1);
    const image = Buffer.alloc(manager.size);
    manager.header().copy(image);
    const bytes = seedBytes(2n, 0, PAGE);
    for (const { at, bytes: part } of manager.pieces(1, 0, bytes)) part.copy(image, at);
    await writeFile(mount.path('stable_memory'), image);
    assert.deepEqual(await readdir(mount.path('vmem')), ['001']);
    assert.ok((await readFile(mount.path('vmem', '001'))).equals(bytes));
    await mount.unmount();
  });

  for (const [what, spoil, words] of [
    ['another version', (bytes) => bytes.writeUInt8(2, 3), /version 2 of its layout is not known/],
    ['buckets of no size', (bytes) => bytes.writeUInt16LE(0, 6), /buckets have no size/],
    ['too many buckets', (bytes) => bytes.writeUInt16LE(40000, 4), /40000 buckets are more than the 32768/],
    ['a bucket that is not allocated', (bytes) => bytes.writeUInt8(0, 2080 + 500), /bucket 500 belongs to memory 0/],
    ['more pages than buckets', (bytes) => bytes.writeBigUInt64LE(2n ** 64n - 1n, 40 + 8 * 101), /memory 101 has 18446744073709551615 pages, but its 1 buckets have room for 1/],
    ['buckets beyond the end', (bytes) => bytes.writeUInt16LE(65535, 6), /memory 101 ends at byte \d+, but there are only/],
  ])
    test(`${what}: nothing is shown, and said why`, async () => {
      const canister = await newCanister();
      const manager = new ManagedMemory(1);
      manager.grow(0, 3);
      manager.grow(101, 1);
      const header = manager.header();
      spoil(header);
      await grow(canister, manager.size / PAGE);
      await write(canister, 0, header);
      const mount = await stage.mount(network, canister);
      assert.equal(await errnoOf(readdir(mount.path('vmem'))), 'ENOENT');
      const { vmem } = (await mount.json('status')).stable_memory;
      assert.equal(vmem.state, 'not shown');
      assert.match(vmem.error, words);
      await mount.says(words);
    });

  test('a header that goes bad under a mount is an error, not another content', async () => {
    const { canister, manager } = await fill(1);
    const mount = await stage.mount(network, canister, SOON);
    assert.deepEqual((await readdir(mount.path('vmem'))).sort(), ['000', '101', '254']);
    const header = manager.header();
    header.writeUInt16LE(0, 6);
    await write(canister, 0, header);
    await attributesAreOld();
    assert.equal(await errnoOf(readFile(mount.path('vmem', '000'))), 'EPROTO');
    assert.equal(await errnoOf(readdir(mount.path('vmem'))), 'EPROTO');
    assert.match((await mount.json('status')).stable_memory.vmem.error, /no size/);
    await write(canister, 0, seedBytes(1n, 0, 100));
    await attributesAreOld();
    assert.deepEqual(await readdir(mount.path('vmem')), []);
    // A failure is remembered, too.
    await eventually(async () => (await errnoOf(stat(mount.path('vmem', '000')))) === 'ENOENT');
    await write(canister, 0, manager.header());
    await attributesAreOld();
    assert.equal(await sqlite(mount.path('vmem', '000'), 'PRAGMA integrity_check'), 'ok\n');
    assert.equal((await mount.json('status')).stable_memory.vmem.error, undefined);
  });

  test('those in a snapshot, whatever the canister has now', async () => {
    const { canister, image, manager } = await fill(1);
    const id = await takeSnapshot(client.agent, canister);
    await write(canister, 0, seedBytes(1n, 0, PAGE));
    const plain = await takeSnapshot(client.agent, canister);
    const mount = await stage.mount(network, canister, ['-o', `identity=${network.identity}`]);
    const vmem = (...names) => mount.path('snapshots', id, 'vmem', ...names);
    assert.equal(await sqlite(vmem('000'), 'PRAGMA integrity_check'), 'ok\n');
    assert.deepEqual((await readdir(vmem())).sort(), ['000', '101', '254']);
    assert.ok((await readFile(vmem('000'))).equals(image));
    const whole = await readFile(mount.path('snapshots', id, 'stable_memory.bin'));
    assert.equal(whole.length, manager.size);
    assert.ok(!(await readdir(mount.path('snapshots', id))).includes('vmem'), 'a copy is what icp makes');
    assert.equal(await errnoOf(stat(mount.path('snapshots', plain, 'vmem'))), 'ENOENT');
    assert.equal(await errnoOf(stat(mount.path('vmem'))), 'ENOENT');
  });

  test('they cannot be written to', async () => {
    const { canister } = await fill(1);
    const mount = await stage.mount(network, canister, ['-o', `rw,identity=${network.identity}`]);
    const path = mount.path('vmem', '000');
    for (const attempt of [
      () => open(path, 'r+'),
      () => writeFile(path, 'x'),
      () => writeFile(mount.path('vmem', '007'), 'x'),
      () => unlink(path),
      () => truncate(path, 1),
      () => rename(path, mount.path('vmem', '008')),
    ])
      assert.equal(await errnoOf(attempt()), 'EROFS', `${attempt}`);
    assert.equal(await sqlite(path, 'PRAGMA integrity_check'), 'ok\n');
    assert.equal((await stat(path)).mode & 0o777, 0o444);
  });
});
