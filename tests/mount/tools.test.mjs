// Ordinary tools on a mount: what README's table of semantics means for them, in bytes and errnos.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openNetwork } from './client.mjs';
import { eventually, run, seedBytes, Stage } from './harness.mjs';

const MIB = 2 ** 20;
const SIZE = 4 * MIB;
// Longer than attr_timeout, so that the next look asks the canister.
const ATTR_TIMEOUT = ['-o', 'attr_timeout=100ms'];
const FORGET_MS = 150;
const FAILURE_KEPT_MS = 2100;
// For a busy machine; less than the 5 s for which a fact is remembered.
const PATIENCE_MS = 4500;
// So that tools say "Read-only file system" in these words.
const env = { ...process.env, LC_ALL: 'C' };

const content = (offset = 0, length = SIZE - offset) => seedBytes(1n, offset, length);
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

// Standard output as bytes, of a command that must succeed.
async function output(command, ...args) {
  const { stdout } = await run(command, args, { env, encoding: 'buffer', maxBuffer: 2 * SIZE, timeout: 30000 });
  return stdout;
}

// Exit status and standard error of a command that must fail.
async function failure(command, ...args) {
  const result = await run(command, args, { env, timeout: 30000 }).then(() => null, (error) => error);
  assert.ok(result, `${command} ${args.join(' ')} did not fail`);
  return { code: result.code, stderr: result.stderr };
}

// A Python program with the mount's path as argv[1]: system calls that Node has no names for. Resolves to the JSON it prints.
async function python(lines, ...args) {
  const head = 'import ctypes, errno, json, mmap, os, sys\npath = sys.argv[1]\n';
  return JSON.parse(await output('python3', '-c', head + lines, ...args));
}

const assertBytes = (got, want, what) => assert.ok(got.equals(want), `${what}: ${got.length} bytes, expected ${want.length}`);

describe('tools', () => {
  let stage, network, mount, memory;

  before(async () => {
    stage = await Stage.open();
    network = await stage.network(['--demo', '--demo-size', '4M']);
    mount = await stage.mount(network, network.canisters.sample, ATTR_TIMEOUT);
    memory = mount.path('stable_memory');
  });
  after(() => stage.close());

  const fresh = async () => {
    const dir = join(stage.dir, `out-${Math.random().toString(36).slice(2)}`);
    await mkdir(dir);
    return dir;
  };

  test('cp -p keeps bytes, mode and the mtime to the nanosecond', async () => {
    const copy = join(await fresh(), 'copy');
    await run('cp', ['-p', memory, copy]);
    const [from, to] = [await stat(memory, { bigint: true }), await stat(copy, { bigint: true })];
    assert.equal(to.mtimeNs, from.mtimeNs);
    assert.equal(to.mode, from.mode);
    assert.equal(to.mode & 0o777n, 0o444n);
    assert.equal(to.size, BigInt(SIZE));
    assertBytes(await readFile(copy), content(), 'copy');
  });

  test('rsync -a --checksum: the second one transfers nothing', async () => {
    const dir = await fresh();
    const transfer = async () => {
      const args = ['-a', '--checksum', '--stats', '--exclude=.canisterfs', `${mount.point}/`, dir];
      const text = (await output('rsync', ...args)).toString();
      return Number(/Number of regular files transferred: (\d+)/.exec(text)[1]);
    };
    assert.equal(await transfer(), 6);
    assert.equal(await transfer(), 0);
    assertBytes(await readFile(join(dir, 'stable_memory')), content(), 'backup');
    assert.equal(await readFile(join(dir, 'canister', 'id'), 'utf8'), `${network.canisters.sample}\n`);
  });

  test('tar packs, compares and unpacks', async () => {
    const dir = await fresh();
    const archive = join(dir, 'archive.tar');
    await output('tar', '-C', mount.point, '-cf', archive, 'stable_memory', 'canister');
    await output('tar', '-C', mount.point, '-df', archive);
    await output('tar', '-C', dir, '-xf', archive);
    assertBytes(await readFile(join(dir, 'stable_memory')), content(), 'unpacked');
    for (const name of ['candid.did', 'controllers', 'id', 'module_hash', 'subnet'])
      assert.equal(await readFile(join(dir, 'canister', name), 'utf8'), await readFile(mount.path('canister', name), 'utf8'), name);
  });

  test('find sees every name, type, mode and size', async () => {
    const text = (await output('find', mount.point, '-printf', '%y %m %P\\n')).toString();
    assert.deepEqual(text.trimEnd().split('\n').sort(), [
      'd 555 ', 'd 555 .canisterfs', 'd 555 canister',
      'f 444 .canisterfs/stats', 'f 444 .canisterfs/status', 'f 444 canister/candid.did', 'f 444 canister/controllers',
      'f 444 canister/id', 'f 444 canister/module_hash', 'f 444 canister/subnet', 'f 444 stable_memory', 'f 644 .canisterfs/control',
    ]);
    assert.equal((await output('find', mount.point, '-size', `${SIZE}c`)).toString(), `${memory}\n`);
    assert.equal((await output('find', mount.point, '-type', 'f', '-size', '+1M')).toString(), `${memory}\n`);
  });

  test('dd at odd offsets, through the page cache and around it', async () => {
    for (const [size, offset, length] of [[999, 1, 7777], [65537, 65535, 131075], [4099, SIZE - 12345, 20000], [MIB, SIZE, 5]])
      for (const flags of ['skip_bytes,count_bytes', 'skip_bytes,count_bytes,direct']) {
        const args = [`if=${memory}`, `bs=${size}`, `skip=${offset}`, `count=${length}`, `iflag=${flags}`, 'status=none'];
        const want = content(offset, Math.max(0, Math.min(length, SIZE - offset)));
        assertBytes(await output('dd', ...args), want, args.join(' '));
      }
  });

  test('sha256sum and cmp', async () => {
    const copy = join(await fresh(), 'copy');
    assert.equal((await output('sha256sum', memory)).toString(), `${sha256(content())}  ${memory}\n`);
    const changed = content();
    changed[SIZE - 5] ^= 1;
    await writeFile(copy, changed);
    const { code, stdout } = await run('cmp', [memory, copy], { env }).catch((error) => error);
    assert.equal(code, 1);
    assert.match(stdout, new RegExp(`differ: (byte|char) ${SIZE - 4},`));
    await writeFile(copy, content());
    await output('cmp', memory, copy);
  });

  test('head, tail, wc and less', async () => {
    assertBytes(await output('head', '-c', '70001', memory), content(0, 70001), 'head');
    assertBytes(await output('head', '-c', `-${SIZE - 9}`, memory), content(0, 9), 'head but the end');
    assertBytes(await output('tail', '-c', '70001', memory), content(SIZE - 70001), 'tail');
    assertBytes(await output('tail', '-c', `+${SIZE - 99}`, memory), content(SIZE - 100), 'tail from');
    assert.equal((await output('wc', '-c', memory)).toString(), `${SIZE} ${memory}\n`);
    const did = mount.path('canister', 'candid.did');
    assertBytes(await output('less', did), await readFile(did), 'less');
    // Generated: the size is not known before, the end is where it ends.
    for (const tool of ['less', 'cat']) {
      const status = JSON.parse(await output(tool, mount.path('.canisterfs', 'status')));
      assert.equal(status.canister, network.canisters.sample, tool);
    }
  });

  test('a mapped file', async () => {
    const hashes = await python(`
import hashlib
file = os.open(path, os.O_RDONLY)
result = []
for access in (mmap.PROT_READ, mmap.PROT_READ | mmap.PROT_WRITE):
    flags = mmap.MAP_SHARED if access == mmap.PROT_READ else mmap.MAP_PRIVATE
    view = mmap.mmap(file, 0, flags=flags, prot=access)
    piece = view[3 * 1048576 + 5:3 * 1048576 + 70001]
    result.append([len(view), hashlib.sha256(piece).hexdigest(), hashlib.sha256(view).hexdigest()])
    view.close()
try:
    mmap.mmap(os.open(path, os.O_RDONLY), 4096, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ | mmap.PROT_WRITE)
except OSError as error:
    result.append(errno.errorcode[error.errno])
print(json.dumps(result))`, memory);
    const want = [SIZE, sha256(content(3 * MIB + 5, 70001 - 5)), sha256(content())];
    assert.deepEqual(hashes, [want, want, 'EACCES']);
  });

  test('sendfile, copy_file_range, splice, vectored and SEEK_DATA', async () => {
    const out = join(await fresh(), 'out');
    const got = await python(`
import hashlib
source = os.open(path, os.O_RDONLY)
size = os.fstat(source).st_size
result = {'end': [os.pread(source, 10, size).hex(), os.lseek(source, 0, os.SEEK_DATA), os.lseek(source, 0, os.SEEK_HOLE) == size]}
def whole(copy):
    target = os.open(sys.argv[2], os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        at = 77
        while at < size:
            n = copy(target, at)
            if n == 0: return 'ended early'
            at += n
    except OSError as error:
        return errno.errorcode[error.errno]
    return hashlib.sha256(os.pread(target, size, 0)).hexdigest()
def splice(target, at):
    r, w = os.pipe()
    n = os.splice(source, w, 65536, offset_src=at)
    os.write(target, os.read(r, n))
    os.close(r); os.close(w)
    return n
def preadv(target, at):
    buffers = [bytearray(1), bytearray(65537), bytearray(9)]
    n = os.preadv(source, buffers, at)
    os.write(target, b''.join(buffers)[:n])
    return n
result['sendfile'] = whole(lambda target, at: os.sendfile(target, source, at, size))
result['copy_file_range'] = whole(lambda target, at: os.copy_file_range(source, target, size, offset_src=at))
result['splice'] = whole(splice)
result['preadv'] = whole(preadv)
print(json.dumps(result))`, memory, out);
    const want = sha256(content(77));
    assert.deepEqual(got.end, ['', 0, true]);
    for (const call of ['sendfile', 'splice', 'preadv']) assert.equal(got[call], want, call);
    // Between file systems the kernel may refuse it, and tools then read and write.
    assert.ok([want, 'EXDEV'].includes(got.copy_file_range), got.copy_file_range);
  });

  test('SEEK_DATA and SEEK_HOLE: no holes, and the end is where reads end', async () => {
    for (const name of ['stable_memory', 'canister/candid.did', '.canisterfs/status']) {
      const [length, ...got] = await python(`
file = os.open(path, os.O_RDONLY)
length = 0
while piece := os.pread(file, 1 << 20, length): length += len(piece)
def seek(offset, whence):
    try:
        return os.lseek(file, offset, whence)
    except OSError as error:
        return errno.errorcode[error.errno]
print(json.dumps([length] + [seek(at, whence) for at in (0, length - 1, length) for whence in (os.SEEK_DATA, os.SEEK_HOLE)]))`, mount.path(name));
      assert.ok(length > 100);
      assert.deepEqual(got, [0, length, length - 1, length, 'ENXIO', 'ENXIO'], name);
    }
  });

  test('everything that would write says EROFS', async () => {
    const got = await python(`
memory, new, other = path + '/stable_memory', path + '/new', path + '/canister/new'
calls = {
    'open to write': lambda: os.open(memory, os.O_WRONLY), 'open for both': lambda: os.open(memory, os.O_RDWR),
    'open to append': lambda: os.open(memory, os.O_WRONLY | os.O_APPEND),
    'open to truncate': lambda: os.open(memory, os.O_WRONLY | os.O_TRUNC),
    'create': lambda: os.open(new, os.O_WRONLY | os.O_CREAT), 'mkdir': lambda: os.mkdir(new), 'mknod': lambda: os.mkfifo(new),
    'symlink': lambda: os.symlink('x', new), 'link': lambda: os.link(memory, new), 'rename': lambda: os.rename(memory, other),
    'unlink': lambda: os.unlink(memory), 'rmdir': lambda: os.rmdir(path + '/canister'), 'chmod': lambda: os.chmod(memory, 0o600),
    'chown': lambda: os.chown(memory, 1, 1), 'utime': lambda: os.utime(memory, (1, 1)), 'truncate': lambda: os.truncate(memory, 0),
    'setxattr': lambda: os.setxattr(memory, 'user.x', b'y'),
}
result = {}
for name, call in calls.items():
    try:
        call()
        result[name] = 'done'
    except OSError as error:
        result[name] = errno.errorcode[error.errno]
print(json.dumps(result))`, mount.point);
    assert.ok(Object.keys(got).length === 17);
    for (const [call, name] of Object.entries(got)) assert.equal(name, 'EROFS', call);
    const commands = [
      ['touch', mount.path('new')],
      ['cp', '/dev/null', memory],
      ['truncate', '-s', '0', memory],
      ['rm', '-f', memory],
    ];
    for (const command of commands) assert.match((await failure(...command)).stderr, /Read-only file system/, command[0]);
  });

  test('df, du and stat', async () => {
    const [, line] = (await output('df', '--block-size=1', '--output=size,used,avail', mount.point)).toString().trim().split('\n');
    const [size, , avail] = line.trim().split(/\s+/).map(Number);
    assert.equal(avail, 0);
    assert.ok(size >= SIZE && size < SIZE + 65536, `${size}`);
    assert.equal((await output('du', '--block-size=1', memory)).toString(), `${SIZE}\t${memory}\n`);
    assert.equal((await output('stat', '-c', '%s %b %B %h %F', memory)).toString(), `${SIZE} ${SIZE / 512} 512 1 regular file\n`);
  });
});

describe('tools on a canister that changes', () => {
  let stage, network, client;

  before(async () => ({ stage, network, client } = await openNetwork(['--demo', '--demo-size', '4M'])));
  after(() => stage.close());

  test('rsync with nanoseconds takes a change within the second, and writes only that', async () => {
    const mount = await stage.mount(network, network.canisters.sample, ATTR_TIMEOUT);
    const [memory, backup] = [mount.path('stable_memory'), join(stage.dir, 'backup')];
    await output('cp', '-p', memory, backup);
    const expected = content();
    for (let i = 0; i < 4; i++) {
      const bytes = Buffer.from(`change ${i}`);
      bytes.copy(expected, 3 * MIB + 11);
      await client.stableWrite(network.canisters.sample, 3 * MIB + 11, bytes);
      await sleep(FORGET_MS);
      const args = ['-a', '--stats', '--modify-window=-1', '--inplace', '--no-whole-file'];
      const text = (await output('rsync', ...args, memory, backup)).toString();
      assert.match(text, /Number of regular files transferred: 1/);
      assert.ok(Number(/Literal data: ([\d,]+)/.exec(text)[1].replaceAll(',', '')) <= 65536, text);
      assertBytes(await readFile(backup), expected, 'backup');
    }
  });

  test('a fact that changes is seen within 5 s and attr_timeout', async () => {
    const { sample, sparse } = network.canisters;
    const mount = await stage.mount(network, sample, ATTR_TIMEOUT);
    const shown = () => readFile(mount.path('canister', 'controllers'), 'utf8');
    const before = await shown();
    await client.addController(sample, sparse);
    const { controllers } = await client.facts(sample);
    assert.equal(controllers.length, before.trimEnd().split('\n').length + 1);
    await eventually(async () => (await shown()) !== before, 5100 + PATIENCE_MS);
    assert.equal(await shown(), controllers.map((c) => `${c}\n`).join(''));
  });

  test('rsync --delete of a canister that is emptied, stopped or deleted deletes nothing', async () => {
    const mount = await stage.mount(network, network.canisters.sample, ATTR_TIMEOUT);
    const backup = join(stage.dir, 'all');
    const rsync = ['rsync', '-a', '--delete', '--exclude=.canisterfs', `${mount.point}/`, backup];
    const names = () => output('find', backup, '-printf', '%P %s\\n');
    const bytes = () => readFile(join(backup, 'stable_memory'));
    await output(...rsync);
    const before = [await names(), await bytes()];
    for (const method of ['uninstall_code', 'stop_canister', 'delete_canister']) {
      await client.manage(network.canisters.sample, method);
      await sleep(FAILURE_KEPT_MS); // what the one before has left
      const { code, stderr } = await failure(...rsync);
      assert.equal(code, 23, stderr);
      assert.match(stderr, /stable_memory"\) failed: Input\/output error \(5\)/, method);
      assertBytes(await names(), before[0], `names, ${method}`);
      assertBytes(await bytes(), before[1], `content, ${method}`);
    }
  });
});
