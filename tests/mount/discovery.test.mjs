// Canisters of every shape: what is found, by their interface and by asking, and that the bytes are theirs.
import assert from 'node:assert/strict';
import { open, readFile, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Client, openNetwork } from './client.mjs';
import { IDL } from '@icp-sdk/core/candid';
import { MOTOKO_TEXT, POSTS } from '../replica/demo.mjs';
import { errnoName, networkArgs, pread, refused, run } from './harness.mjs';
import { SHAPES, ShapedCanister, didOf } from './shapes.mjs';

// Not a whole number of pages of any kind, and more than one reply of icml, one page of taggr.
const SIZE = 2_345_678;

const withMemory = Object.keys(SHAPES).filter((name) => SHAPES[name].memories);
// The names that are asked for; `storage` has others and needs a map.
const BY_NAME = withMemory.filter((name) => name !== 'storage');

const PROFILE_OF = {
  factland: 'factland', cdk32: 'factland', nat: 'factland', nosize: 'factland', live: 'factland', best_effort: 'canisterfs',
  stable64: 'distrikt', metamagic: 'metamagic', canister_tools: 'canister-tools', taggr: 'taggr', hotornot: 'hotornot', icml: 'icml',
};
const ITEMS = 'items by start and limit';
const WHOLE = 'everything in one reply';
const COLLECTIONS = {
  dscvr: {
    backup: ['backup', WHOLE],
    backup_content_chunks: ['content', ITEMS],
    backup_limits: ['limits', WHOLE],
    backup_nfts: ['nfts', WHOLE],
    backup_portals_chunk: ['portals', ITEMS],
    backup_users_chunk: ['users', ITEMS],
  },
  power_equalizer: { backupChunk: ['chunks', 'chunks by size and index, counted by another method'] },
  zenvoich: {}, // which backup, only a map can say
};
const ITEMS_ONLY = Object.keys(COLLECTIONS);
const STORAGE_MAP = '[stable_memory]\nread = read\nsize = stablesize\nunit = pages\n';

describe('discovery', () => {
  let stage, network, client;

  before(async () => ({ stage, network, client } = await openNetwork()));
  after(() => stage.close());

  const owner = () => ['-o', `identity=${network.identity}`];

  async function install(name, options = {}) {
    const canister = await ShapedCanister.install(client.agent, name, { size: SIZE, ...options });
    if (SHAPES[name].prepare && !SHAPES[name].prepare.installed) await canister.prepare();
    return canister;
  }

  const fileOf = (name) => (name === 'stable_memory' ? [name] : ['vmem', String(name).padStart(3, '0')]);

  async function assertContent(mount, memories) {
    for (const [name, memory] of Object.entries(memories)) {
      const path = mount.path(...fileOf(name));
      assert.equal((await stat(path)).size, memory.size, `size of ${name}`);
      const got = await readFile(path);
      assert.equal(Buffer.compare(got, memory.read(0, memory.size)), 0, `bytes of ${name}`);
      const odd = Math.max(0, memory.size - 70_001);
      assert.deepEqual(await pread(path, odd, 1_000), memory.read(odd, 1_000), `${name} at ${odd}`);
    }
  }

  for (const name of withMemory) {
    for (const metadata of ['public', 'private', 'none']) {
      if (name === 'storage' && metadata === 'none') continue;
      test(`${name}, interface ${metadata}`, async () => {
        const canister = await install(name, { metadata });
        const map = join(stage.dir, 'storage.map');
        await writeFile(map, STORAGE_MAP);
        const args = name === 'storage' ? ['-o', `map=${map}`] : [];
        const mount = await stage.mount(network, canister.id, [...owner(), ...args]);
        await assertContent(mount, canister.memories);
        const { stable_memory: found } = await mount.json('status');
        assert.equal(found.offered, true);
        // What is found of the convention is found as that.
        const expected = PROFILE_OF[name] === 'factland' ? 'canisterfs' : PROFILE_OF[name];
        assert.equal(found.profile, expected);
        if (name !== 'storage')
          assert.match(found.found_by, metadata === 'none' ? /^asking/ : /interface that the canister publishes/);
        await mount.unmount();
      });
    }
  }

  for (const name of ITEMS_ONLY) {
    test(`${name} has no memory, and says so`, async () => {
      const canister = await install(name, { controllersOnly: false });
      const mount = await stage.mount(network, canister.id);
      const shown = Object.keys(COLLECTIONS[name]).length > 0 ? ['backup', 'inspect'] : [];
      assert.deepEqual((await readdir(mount.point)).sort(), ['.canisterfs', 'canister', ...shown].sort());
      const status = await mount.json('status');
      assert.equal(status.stable_memory.offered, false);
      assert.match(mount.stderr, /stable memory is not shown: canister .* has no method to read it/);
      assert.deepEqual(Object.fromEntries(status.backup.collections.map((c) => [c.method, [c.name, c.gives]])), COLLECTIONS[name]);
      if (name === 'zenvoich') assert.match(status.backup.not_shown.getChunk, /map/);
      else assert.deepEqual(status.backup.not_shown, {});
      await mount.unmount();
    });
  }

  const refusedMount = async (canister, args, code, words) => {
    const result = await refused([...networkArgs(network), ...args, canister.id, stage.dir]);
    assert.equal(result.code, code, result.stderr);
    assert.match(result.stderr, words);
    assert.equal(result.stderr.split('\n').filter((line) => !/warning/.test(line)).length, 2, `one line: ${result.stderr}`);
  };

  const found = async (mount) => {
    const { backup } = await mount.json('status');
    return Object.fromEntries(backup.collections.map((c) => [c.method, [c.name, c.gives]]));
  };
  const mapped = async (text) => {
    const map = join(stage.dir, 'collections.map');
    await writeFile(map, text);
    return ['-o', `map=${map}`];
  };

  for (const [name, profile] of [['dscvr', 'dscvr'], ['power_equalizer', 'power-equalizer']]) {
    test(`${name}: collections without an interface, by asking and by profile`, async () => {
      const canister = await install(name, { metadata: 'none', controllersOnly: false });
      for (const args of [[], ['-o', `profile=${profile}`]]) {
        const mount = await stage.mount(network, canister.id, args);
        assert.deepEqual(await found(mount), COLLECTIONS[name]);
        assert.match(mount.stderr, /stable memory is not shown/);
        assert.match(mount.stderr, /anyone can download this collection: canister .* answers backup\w* to anonymous callers/);
        await mount.unmount();
      }
    });
  }

  test('a collection beside memory, without an interface', async () => {
    const canister = await install('factland', { metadata: 'none', size: 100_000 });
    const asked = await stage.mount(network, canister.id, owner());
    assert.deepEqual(await found(asked), {}, 'backup alone may mean anything: it is not asked for');
    await asked.unmount();
    const mount = await stage.mount(network, canister.id, [...owner(), '-o', 'profile=factland']);
    await assertContent(mount, canister.memories);
    assert.deepEqual(await found(mount), { backup: ['backup', ITEMS] });
    await mount.unmount();
    // A map without memory: that is found as usual.
    const map = await mapped('[backup.profiles]\nmethod = backup\nnumber = nat32\n');
    const other = await stage.mount(network, canister.id, [...owner(), ...map]);
    await assertContent(other, canister.memories);
    assert.match((await other.json('status')).stable_memory.found_by, /^asking/);
    assert.deepEqual(await found(other), { backup: ['profiles', ITEMS] });
    await other.unmount();
    const collections = await install('power_equalizer', { controllersOnly: false });
    await refusedMount(collections, ['-o', 'live=fail'], 3, /not mounted: .* tells no version of its collections: .*live=warn mounts it/);
  });

  test('which backup, a map says', async () => {
    for (const metadata of ['public', 'none']) {
      const canister = await install('zenvoich', { metadata, size: 1_000_000 });
      const map = await mapped('[backup.old]\nmethod = getChunk\nnumber = nat\nid = 3\n[backup.new]\nmethod = getChunk\nnumber = nat\nid = 4\n');
      const mount = await stage.mount(network, canister.id, [...owner(), ...map]);
      const { backup } = await mount.json('status');
      assert.deepEqual(backup.collections.map((c) => c.name), ['old', 'new']);
      assert.deepEqual(backup.not_shown.getChunk, undefined);
      assert.ok((await readdir(mount.path('backup'))).includes('old'));
      await mount.unmount();
    }
  });

  test('a collection refused to strangers is there all the same', async () => {
    for (const metadata of ['public', 'none']) {
      const canister = await install('dscvr', { metadata, controllersOnly: true });
      const mount = await stage.mount(network, canister.id);
      assert.deepEqual(Object.keys(await found(mount)).sort(), Object.keys(COLLECTIONS.dscvr));
      assert.doesNotMatch(mount.stderr, /anyone can/);
      await assert.rejects(readdir(mount.path('backup', 'content')), 'not an empty directory');
      await mount.unmount();
    }
  });

  test('collections that a map names must be there', async () => {
    const published = await install('items', { size: 100, controllersOnly: false });
    const unpublished = await install('items', { size: 100, controllersOnly: false, metadata: 'none' });
    const posts = 'method = posts\nnumber = nat';
    const misfits = [
      ['[backup.a]\nmethod = nosuch\n', /does not fit the map .*: nosuch: /],
      [`[backup.a]\n${posts}\n[backup.b]\nmethod = postss\n`, /does not fit the map .*: postss: /],
      [`[backup.a]\n${posts}\nstyle = items\ncount = nosuch\n`, /does not fit the map .*: posts: nosuch/],
      [`[backup.a]\n${posts}\nitems = chunk\n`, /does not fit the map .*: posts: its result is a list/],
      ['[backup.a]\nmethod = backup_items_chunk\nitems = nosuch\n', /backup_items_chunk: 'items' names no list/],
      ['[backup.a]\nmethod = backup_items_chunk\nbytes = chunk\n', /backup_items_chunk: 'bytes' names no blob/],
      ['[backup.a]\nmethod = touch\nstyle = items\n', /does not fit the map .*: touch: /],
      [`[backup.a]\n${posts}\n[backup]\nversion = nosuch\n`, /does not fit the map .*: nosuch: /],
      [`[backup.a]\n${posts}\n[backup]\nversion = number_of_posts\n`, /does not fit the map .*: number_of_posts: /],
    ];
    for (const [text, words] of misfits) {
      const map = await mapped(text);
      await refusedMount(published, map, 3, words);
      await refusedMount(unpublished, map, 3, words);
    }
    const good = `[backup.a]\n${posts}\nstyle = items\ncount = number_of_posts\n[backup]\nversion = backup_version\n`;
    for (const canister of [published, unpublished]) {
      const mount = await stage.mount(network, canister.id, await mapped(good));
      const { backup } = await mount.json('status');
      assert.equal(backup.version_method, 'backup_version');
      assert.deepEqual((await found(mount)).posts, ['a', ITEMS]);
      assert.ok((await readdir(mount.path('backup', 'a'))).length > 0);
      await mount.unmount();
    }
    await refusedMount(await install('live', { size: 1000 }), ['-o', 'profile=power-equalizer'], 3, /does not fit the profile power-equalizer: backupChunk: /);
  });

  test('profiles by name', async () => {
    for (const name of BY_NAME) {
      const canister = await install(name, { metadata: 'none', size: 100_000 });
      const mount = await stage.mount(network, canister.id, [...owner(), '-o', `profile=${PROFILE_OF[name]}`]);
      await assertContent(mount, canister.memories);
      const { stable_memory: found } = await mount.json('status');
      assert.equal(found.found_by, `the profile ${PROFILE_OF[name]}`);
      assert.equal(found.prepare, { taggr: 'backup', hotornot: 'save_snapshot_json' }[name]);
      await mount.unmount();
    }
  });

  test('an interface from a file', async () => {
    const canister = await install('nat', { metadata: 'none', size: 100_000 });
    const did = join(stage.dir, 'nat.did');
    await writeFile(did, didOf('nat'));
    const mount = await stage.mount(network, canister.id, ['-o', `did=${did}`]);
    await assertContent(mount, canister.memories);
    assert.match((await mount.json('status')).stable_memory.found_by, /^the Candid interface in .*nat\.did$/);
    await mount.unmount();
  });

  test('memory that is empty, that grows, that is one byte', async () => {
    for (const name of ['icml', 'nosize', 'hotornot', 'nat', 'metamagic', 'taggr']) {
      for (const size of name === 'taggr' ? [17, 2 ** 20, 2 ** 20 + 1] : [0, 1, 65_536, 1_000_000, 1_000_001]) {
        const canister = await install(name, { size, metadata: 'none', controllersOnly: false });
        const mount = await stage.mount(network, canister.id);
        await assertContent(mount, canister.memories);
        await mount.unmount();
      }
    }
    const canister = await install('nosize', { size: 5_000 });
    const mount = await stage.mount(network, canister.id);
    await assertContent(mount, canister.memories);
    await canister.fill(9_999, 7n);
    await new Promise((resolve) => setTimeout(resolve, 1100)); // attr_timeout
    await assertContent(mount, canister.memories);
    await mount.unmount();
  });

  test('Motoko, as its compiler makes it', async () => {
    const demo = await stage.network(['--demo', '--demo-size', '1M', '--block-ms', '0']);
    const mount = await stage.mount(demo, demo.canisters.motoko);
    assert.deepEqual(await readFile(mount.path('stable_memory')), MOTOKO_TEXT);
    const { stable_memory: found } = await mount.json('status');
    assert.match(found.files[0].consistency, /^proven/);
    const file = await open(mount.path('stable_memory'));
    const oracle = await Client.open(demo);
    await oracle.stableWrite(demo.canisters.motoko, 5, Buffer.from('changed'));
    await file.read(Buffer.alloc(8), 0, 8, 0).then(
      ({ buffer }) => assert.deepEqual(buffer, MOTOKO_TEXT.subarray(0, 8), 'the pages of the old version'),
      (error) => assert.equal(errnoName(error), 'ESTALE'),
    );
    await file.close();
    assert.equal((await readFile(mount.path('stable_memory'))).toString('latin1', 5, 12), 'changed');
    await mount.unmount();
  });

  test('an application that keeps its state on the heap, after the upgrade that wrote it down', async () => {
    const demo = await stage.network(['--demo', '--demo-size', '1M', '--block-ms', '0']);
    const { distrikt } = demo.canisters;
    const stranger = await refused([...networkArgs(demo), distrikt, stage.dir]);
    assert.equal(stranger.code, 3);
    assert.match(stranger.stderr, /refuses to be read: stable64_/);
    const mount = await stage.mount(demo, distrikt, ['-o', `identity=${demo.identity}`]);
    const got = await readFile(mount.path('stable_memory'));
    assert.equal(got.length % 65_536, 0);
    for (const post of POSTS) assert.ok(got.includes(post), post);
    const oracle = await Client.open(demo);
    const args = IDL.encode([IDL.Nat64, IDL.Nat64], [0n, BigInt(got.length)]);
    const reply = await oracle.query(distrikt, 'stable64_read', new Uint8Array(args));
    assert.deepEqual(got, Buffer.from(IDL.decode([IDL.Vec(IDL.Nat8)], reply)[0]));
    const { stable_memory: found } = await mount.json('status');
    assert.equal(found.profile, 'distrikt');
    assert.equal(found.readable_by_anyone, false);
    await mount.unmount();
  });

  test('who may read is told', async () => {
    const open = await install('factland', { size: 1000, controllersOnly: false });
    const warning = /anyone can download this memory: canister .* answers stable_read to anonymous callers/;
    for (const args of [[], owner()]) {
      const mount = await stage.mount(network, open.id, args);
      assert.match(mount.stderr, warning);
      assert.equal((await mount.json('status')).stable_memory.readable_by_anyone, true);
      await mount.unmount();
    }
    const closed = await install('factland', { size: 1000, controllersOnly: true });
    const mount = await stage.mount(network, closed.id, owner());
    assert.doesNotMatch(mount.stderr, /anyone/);
    assert.equal((await mount.json('status')).stable_memory.readable_by_anyone, false);
    await mount.unmount();
  });

  test('a canister that refuses to be read is not one without memory', async () => {
    for (const name of ['factland', 'canister_tools', 'hotornot']) {
      const canister = await install(name, { size: 1000, controllersOnly: true });
      await refusedMount(canister, [], 3, /refuses to be read: .*profile=none/);
      const mount = await stage.mount(network, canister.id, ['-o', 'profile=none']);
      assert.deepEqual((await readdir(mount.point)).sort(), ['.canisterfs', 'canister']);
      await mount.unmount();
    }
  });

  test('a stopped canister is not one without memory either', async () => {
    const canister = await install('live', { size: 1000 });
    await canister.stop();
    await refusedMount(canister, [], 3, /asking canister .* what it offers: .*stopped/);
    await canister.start();
    const mount = await stage.mount(network, canister.id);
    await assertContent(mount, canister.memories);
    await mount.unmount();
  });

  test('what the user names must be there', async () => {
    const canister = await install('live', { size: 1000 });
    await refusedMount(canister, ['-o', 'profile=taggr'], 3, /does not fit the profile taggr: stable_mem_read: not in the Candid/);
    await refusedMount(canister, ['-o', 'profile=unheard-of'], 2, /there is no profile 'unheard-of'/);
    const map = join(stage.dir, 'bad.map');
    const maps = [
      ['[stable_memory]\nraed = x\n', /line 2: there is no key 'raed'/],
      ['[stable_memory]\nread = a\nread = b\n', /line 3: 'read' is given twice/],
      ['[stable_memory]\nstyle = range\n', /line 2: .*needs 'read'/],
      ['[other]\nread = a\n', /line 2: there is no section \[other\]/],
      ['[stable_memory]\nread\n', /line 2: not of the form/],
      ['[stable_memory]\nread = a\nid = 256\n', /line 3: id = '256' is not possible/],
    ];
    for (const [text, words] of maps) {
      await writeFile(map, text);
      await refusedMount(canister, ['-o', `map=${map}`], 2, words);
    }
    // A method that is misspelt would be done without: a size searched, a version not proven.
    const misfits = [
      ['read = stable_read\nsize = stable_sizes', /does not fit the map .*: stable_sizes: /],
      ['read = stable_read\nsize = stable_size\nversion = stable_versionn', /does not fit the map .*: stable_versionn: /],
      ['read = stable_reed\nsize = stable_size', /does not fit the map .*: stable_reed: /],
    ];
    const unpublished = await install('live', { size: 1000, metadata: 'none' });
    for (const [text, words] of misfits) {
      await writeFile(map, `[stable_memory]\n${text}\n`);
      await refusedMount(canister, ['-o', `map=${map}`], 3, words);
      await refusedMount(unpublished, ['-o', `map=${map}`], 3, words);
    }
    await writeFile(map, '[stable_memory]\nread = stable_read\nsize = stable_size\nprepare = nosuch\n');
    await refusedMount(canister, ['-o', `map=${map}`], 3, /does not fit the map .*: nosuch: not in the Candid interface/);
    await refusedMount(canister, ['-o', `map=${stage.dir}/nowhere`], 2, /map .*nowhere.*: No such file/);
    await writeFile(map, 'service : { f : (nat -> () }');
    await refusedMount(canister, ['-o', `did=${map}`], 2, /did .*line 1/);
    await refusedMount(canister, ['-o', 'map=/dev/zero'], 2, /map '\/dev\/zero'/);
  });

  test('live memory: handles of different sizes do not cut each other short', async () => {
    const canister = await install('live', { size: 4 * 65_536 });
    const mount = await stage.mount(network, canister.id);
    const path = mount.path('stable_memory');
    const script = `
import errno, os, sys
a = os.open(sys.argv[1], os.O_RDONLY)
print(len(os.pread(a, 1 << 20, 0)), flush=True)
sys.stdin.readline()
b = os.open(sys.argv[1], os.O_RDONLY)
print(len(os.pread(a, 100, ${4 * 65_536})), flush=True)
def seek(offset, whence):
    try:
        return os.lseek(a, offset, whence)
    except OSError as error:
        return errno.errorcode[error.errno]
print(seek(1, os.SEEK_DATA), seek(1, os.SEEK_HOLE), seek(${4 * 65_536}, os.SEEK_DATA), flush=True)
data = b''
while True:
    piece = os.read(b, 1 << 17)
    if not piece: break
    data += piece
print(len(data), flush=True)
sys.stdout.buffer.write(data); sys.stdout.flush()
`;
    const { spawn } = await import('node:child_process');
    const child = spawn('python3', ['-c', script, path], { stdio: ['pipe', 'pipe', 'inherit'] });
    const chunks = [];
    child.stdout.on('data', (chunk) => chunks.push(chunk));
    const seen = (n) => new Promise((resolve) => {
      const look = () => (Buffer.concat(chunks).toString('latin1').split('\n').length > n ? resolve() : setTimeout(look, 10));
      look();
    });
    await seen(1);
    await canister.fill(5 * 65_536, 9n);
    child.stdin.end('go\n');
    await new Promise((resolve) => child.on('close', resolve));
    const output = Buffer.concat(chunks);
    const header = `${4 * 65_536}\n0\n1 ${4 * 65_536} ENXIO\n${5 * 65_536}\n`;
    assert.equal(output.subarray(0, header.length).toString(), header);
    const memory = canister.memories.stable_memory;
    assert.equal(Buffer.compare(output.subarray(header.length), memory.read(0, memory.size)), 0);
    assert.match((await mount.json('status')).stable_memory.files[0].consistency, /^live, unversioned/);
    await mount.unmount();
  });

  test('live memory is mounted with a warning, or not at all', async () => {
    const live = await install('live', { size: 65_536 });
    const mount = await stage.mount(network, live.id);
    assert.match(mount.stderr, /warning: canister .* tells no version of its memory: a copy may mix two states/);
    await mount.unmount();
    await refusedMount(live, ['-o', 'live=fail'], 3, /not mounted: .* tells no version .*live=warn mounts it/);
    const versioned = await install('best_effort', { size: 65_536 });
    const other = await stage.mount(network, versioned.id, ['-o', 'live=fail']);
    assert.doesNotMatch(other.stderr, /no stable_version/);
    await other.unmount();
  });

  test('live memory: rsync never takes a changed memory for an old one', async () => {
    const canister = await install('live', { size: 65_536 });
    const mount = await stage.mount(network, canister.id);
    const copy = join(stage.dir, 'live-copy');
    for (const seed of [1n, 2n, 3n]) {
      await canister.fill(65_536, seed);
      await run('rsync', ['-a', mount.path('stable_memory'), copy]);
      assert.equal(Buffer.compare(await readFile(copy), canister.memories.stable_memory.read(0, 65_536)), 0);
    }
    await mount.unmount();
  });

  test('versions of the same second: rsync takes every change', async () => {
    const canister = await install('best_effort', { size: 65_536 });
    const mount = await stage.mount(network, canister.id, ['-o', 'attr_timeout=100ms']);
    const copy = join(stage.dir, 'versioned-copy');
    for (let seed = 1n; seed <= 6n; seed++) {
      await canister.fill(65_536, seed);
      await new Promise((resolve) => setTimeout(resolve, 120));
      await run('rsync', ['-a', mount.path('stable_memory'), copy]);
      const memory = canister.memories.stable_memory;
      assert.equal(Buffer.compare(await readFile(copy), memory.read(0, memory.size)), 0, `change ${seed}`);
    }
    await mount.unmount();
  });

  test('best effort: a change is noticed within a second of reading', async () => {
    const canister = await install('best_effort', { size: 40 * 65_536 });
    const mount = await stage.mount(network, canister.id, ['-o', 'cache_size=4M']);
    const path = mount.path('stable_memory');
    const reader = (await import('node:child_process')).spawn('python3', ['-c', `
import os, sys, errno
f = os.open(sys.argv[1], os.O_RDONLY)
os.posix_fadvise(f, 0, 0, os.POSIX_FADV_RANDOM)
print(os.pread(f, 8, 0).hex(), flush=True)
sys.stdin.readline()
try:
    print(os.pread(f, 8, 30 * 65536).hex(), flush=True)
except OSError as e:
    print(errno.errorcode[e.errno], flush=True)
`, path], { stdio: ['pipe', 'pipe', 'inherit'] });
    let text = '';
    reader.stdout.on('data', (chunk) => (text += chunk));
    while (!text.includes('\n')) await new Promise((resolve) => setTimeout(resolve, 10));
    assert.equal(text, `${canister.memories.stable_memory.read(0, 8).toString('hex')}\n`);
    await canister.fill(40 * 65_536, 5n);
    await new Promise((resolve) => setTimeout(resolve, 1100));
    reader.stdin.end('go\n');
    await new Promise((resolve) => reader.on('close', resolve));
    assert.equal(text.split('\n')[1], 'ESTALE');
    assert.match((await mount.json('status')).stable_memory.files[0].consistency, /^best effort/);
    await assertContent(mount, canister.memories);
    await mount.unmount();
  });
});
