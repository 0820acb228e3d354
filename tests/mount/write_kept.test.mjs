// What is kept until it is restored: after failures, crashes and full disks, by command, beside other writers and readers.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmod, chown, copyFile, mkdir, open, readFile, readdir, rename, stat, symlink, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { FakeMount } from './fake.mjs';
import { errnoName, eventually, run, Stage } from './harness.mjs';

const SIZE = 400_003;
const OLD = randomBytes(SIZE);
const NEW = randomBytes(SIZE);
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');
const assertBytes = (got, want, what) => assert.ok(got.equals(want), `${what}: ${got.length} bytes, expected ${want.length}`);

let stage;
before(async () => (stage = await Stage.open()));
after(() => stage.close());

const begin = (args, dir) => FakeMount.open(stage, { memory: dir ? null : OLD, args: ['-o', ['rw', ...(args ?? [])].join()], dir });

// 'done' or the name of the errno.
async function outcome(promise) {
  return promise.then(() => 'done', (error) => errnoName(error));
}

// A process of its own that runs cp: 'done' or its words.
async function cp(from, to) {
  return run('cp', [from, to], { env: { ...process.env, LC_ALL: 'C' } }).then(() => 'done', ({ stderr }) => stderr);
}

async function file(mount, bytes, name = 'from') {
  await writeFile(join(mount.top, name), bytes);
  return join(mount.top, name);
}

async function put(mount, bytes = NEW) {
  return cp(await file(mount, bytes), mount.memoryPath);
}

const command = (mount, line) => outcome(writeFile(mount.path('.canisterfs', 'control'), `${line}\n`));

// Another process that holds the memory open for writing, until its standard input ends.
async function holder(mount) {
  const child = spawn('python3', ['-c', `import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY)
os.pwrite(fd, b'held', 0)
os.fsync(fd)
print('open', flush=True)
sys.stdin.read()
os.close(fd)`, mount.memoryPath], { stdio: ['pipe', 'pipe', 'ignore'] });
  stage.onClose(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  return child;
}

describe('a commit that fails', () => {
  for (const code of ['EIO', 'ENOSPC', 'EACCES', 'ESTALE', 'EBUSY', 'ETIMEDOUT'])
    test(`${code} is what close(2) returns; what is staged is kept, and a repeat drops it`, async () => {
      const mount = await begin();
      await mount.script(`error ${code}`);
      const fd = await open(mount.memoryPath, 'w');
      await fd.writeFile(NEW);
      assert.equal(await outcome(fd.close()), code);
      const [restore] = await mount.restores();
      assert.deepEqual([restore.id, restore.state, restore.errno, restore.size], [1, 'failed', code, SIZE]);
      assert.equal(restore.message, 'as the script says');
      assertBytes(await readFile(mount.memoryPath), OLD, 'memory');
      await mount.script();
      assert.equal(await put(mount), 'done');
      assertBytes(await mount.memory(), NEW, 'memory');
      await eventually(async () => (await mount.kept()).length === 0);
      await mount.unmount();
    });

  test('ENOSYS and EAGAIN become EIO', async () => {
    const mount = await begin();
    for (const code of ['ENOSYS', 'EAGAIN']) {
      await mount.script(`error ${code}`);
      assert.match(await put(mount), /Input\/output error/);
    }
    await mount.unmount();
  });

  test('restore resume, restore list, restore abort, and numbers that there are none of', async () => {
    const mount = await begin();
    assert.equal((await mount.job('restore list')).progress, 'nothing is staged');
    await mount.script('error EIO');
    for (let i = 0; i < 2; i++) assert.match(await put(mount), /Input\/output error/);
    await mount.says(/stable_memory is not restored: .* \(Input\/output error\); what was staged is kept: control restore resume 2, or abort 2$/m);
    assert.equal((await mount.job('restore list')).progress, '2 staged: 1 stable_memory failed, 2 stable_memory failed');
    assert.equal((await mount.job('restore resume 1')).state, 'failed');
    assert.equal((await mount.job('restore abort 1')).state, 'done');
    assert.deepEqual(await mount.kept(), [2]);
    await mount.script();
    assert.equal((await mount.job('restore resume 2')).progress, `${SIZE} bytes`);
    assertBytes(await mount.memory(), NEW, 'memory');
    for (const verb of ['resume', 'commit', 'abort']) {
      const job = await mount.job(`restore ${verb} 2`);
      assert.deepEqual([job.state, job.cause], ['failed', 'nothing staged has the number 2']);
    }
    for (const line of ['restore resume', 'restore resume x', 'restore resume 1 2', 'restore commit 1 shrink', 'restore', 'dryrun', 'dryrun maybe', 'dryrun on x', 'expect 1', 'expect 1 ab',
      `expect x ${'a'.repeat(64)}`, `expect 1 ${'g'.repeat(64)}`])
      assert.equal(await command(mount, line), 'EINVAL', line);
    assert.equal(await command(mount, `expect 1 ${'a'.repeat(64)} nowhere`), 'ENOENT');
    assert.equal(await command(mount, 'maintenance pause'), 'ENOTSUP');
    await mount.unmount();
  });

  test('a rename that fails can be repeated; the name stays until it is removed', async () => {
    const mount = await begin();
    const name = mount.path('.stable_memory.new');
    await writeFile(name, NEW);
    await mount.script('error EIO');
    assert.equal(await outcome(rename(name, mount.memoryPath)), 'EIO');
    assert.equal(await outcome(rename(name, mount.memoryPath)), 'EIO');
    assertBytes(await readFile(name), NEW, 'under its name');
    await mount.script();
    assert.equal(await outcome(rename(name, mount.memoryPath)), 'done');
    assertBytes(await readFile(mount.memoryPath), NEW, 'memory');
    assert.equal(await outcome(stat(name)), 'ENOENT');
    await mount.unmount();
  });
});

describe('a crash', () => {
  test('of the program while it is written: found, not resumed, committed when somebody insists', async () => {
    const mount = await begin();
    const child = await holder(mount);
    const fd = await open(mount.path('.stable_memory.tmp'), 'w');
    await fd.write(NEW);
    await fd.sync();
    await mount.kill();
    child.stdin.end();
    await fd.close().catch(() => {});
    const again = await begin([], mount.top);
    await again.says(/stable_memory was being written when an earlier mount ended: control restore abort 1, or commit 1 if it is whole/);
    await again.says(/left .stable_memory.tmp, a temporary file: control restore abort 2/);
    assert.deepEqual(await again.states(), ['found', 'found']);
    assert.deepEqual(await again.commits(), []);
    assert.match((await again.job('restore resume 1')).cause, /may be half a file .*\(was open\)/);
    assert.match((await again.job('restore commit 2')).cause, /temporary file/);
    assert.equal((await again.job('restore abort 2')).state, 'done');
    await again.unmount();
  });

  test('while it is committed: found, and resumed by command only', async () => {
    const mount = await begin();
    await mount.script('slow 60000');
    const writing = put(mount);
    await eventually(async () => (await mount.restores()).some(({ state, phase }) => state === 'committing' && phase === 'sending'));
    await mount.kill();
    await writing;
    const again = await begin([], mount.top);
    await again.says(/a restore of stable_memory was interrupted: control restore resume 1/);
    await again.script();
    assertBytes(await readFile(again.memoryPath), OLD, 'nothing happens by itself');
    assert.equal((await again.job('restore resume 1')).state, 'done');
    assertBytes(await readFile(again.memoryPath), NEW, 'resumed');
    assert.deepEqual(await again.kept(), []);
    await again.unmount();
  });

  test('what takes long is told once a second, what is empty or small, too', async () => {
    const mount = await begin();
    await mount.script('slow 2500');
    for (const [i, bytes, words] of [[1, '', /0001.bin: there is nothing to send so far$/m], [2, 'abc', /0002.bin: 0 of 3 bytes are there$/m]]) {
      assert.equal(await outcome(writeFile(mount.path('items', `000${i}.bin`), bytes)), 'done');
      assert.match(mount.stderr, words);
    }
    const large = Buffer.alloc(3 << 20, 1);
    assert.equal(await put(mount, large), 'done');
    assert.match(mount.stderr, /stable_memory: 0\.0 of 3\.0 MiB are there, 0\.00 MiB\/s$/m);
    await mount.unmount();
  });

  test('SIGTERM and unmounting never commit, keep what is staged and say so', async () => {
    const mount = await begin();
    const child = await holder(mount);
    mount.child.kill('SIGTERM');
    const { code } = await mount.exited;
    assert.equal(code, 0);
    child.stdin.end();
    assert.match(mount.stderr, /stable_memory: the mount ended before it was closed: nothing of it was sent; it is kept as 1/);
    assert.deepEqual(await mount.commits(), []);
    assert.deepEqual(await mount.kept(), [1]);
  });

  test('SIGTERM while it is committed ends soon', async () => {
    const mount = await begin();
    await mount.script('slow 60000');
    const writing = put(mount);
    await eventually(async () => (await mount.restores()).some(({ state, phase }) => state === 'committing' && phase === 'sending'));
    const began = Date.now();
    mount.child.kill('SIGTERM');
    await mount.exited;
    assert.ok(Date.now() - began < 5000);
    assert.notEqual(await writing, 'done');
    assert.deepEqual(await mount.kept(), [1]);
  });
});

describe('who else', () => {
  test('opens a file that is written: EBUSY; who has it open: ESTALE', async () => {
    const mount = await begin();
    const reader = await open(mount.memoryPath, 'r');
    const child = await holder(mount);
    for (const flags of ['r', 'r+', 'w', 'a']) assert.equal(await outcome(open(mount.memoryPath, flags)), 'EBUSY', flags);
    assert.equal(await outcome(reader.read(Buffer.alloc(10), 0, 10, 200_000)), 'ESTALE');
    assert.equal((await stat(mount.memoryPath)).size, SIZE);
    child.stdin.end();
    await once(child, 'close');
    assert.equal((await readFile(mount.memoryPath)).toString('latin1', 0, 4), 'held');
    await reader.close();
    await mount.unmount();
  });

  test('a second mount of the canister: EBUSY for the same file, and none of the other\'s stages is shown', async () => {
    const mount = await begin();
    const child = await holder(mount);
    const other = await begin([], mount.top);
    assert.deepEqual(await other.restores(), []);
    assert.equal(await outcome(open(other.memoryPath, 'w')), 'EBUSY');
    child.stdin.end();
    await once(child, 'close');
    await eventually(async () => (await mount.restores()).length === 0);
    assert.equal(await put(other), 'done');
    await other.unmount();
    await mount.unmount();
  });
});

describe('a directory of stages', () => {
  for (const [what, spoil, words] of [
    ['that others may write to', (dir) => chmod(dir, 0o777), /others may write to it/],
    ["that is another user's", (dir) => chown(dir, 65534, 65534), /another user's/],
    ['that is a symbolic link', async (dir) => { await rename(dir, `${dir}.own`); await symlink(`${dir}.own`, dir); }, /Not a directory/],
  ])
    test(`${what} is not used`, async () => {
      const mount = await begin();
      await mount.unmount();
      await spoil(join(mount.state, 'stages'));
      await assert.rejects(begin([], mount.top), words);
    });
});

describe('what is expected', () => {
  test('by command: another size or content is EINVAL, once', async () => {
    const mount = await begin();
    assert.equal(await command(mount, `expect ${SIZE} ${sha256(NEW)}`), 'done');
    assert.match(await put(mount, randomBytes(SIZE)), /Invalid argument/);
    assert.match(await put(mount, Buffer.concat([NEW, NEW])), /Invalid argument/);
    assert.deepEqual((await mount.restores()).map(({ message }) => message),
      ['its SHA-256 is not the one that is expected', `it has ${2 * SIZE} bytes, and ${SIZE} are expected`]);
    assert.deepEqual(await mount.commits(), []);
    assert.equal(await put(mount), 'done');
    assert.equal(await put(mount, Buffer.concat([NEW, NEW])), 'done', 'it is not expected any more');
    await mount.unmount();
  });

  for (const [how, expect] of [
    ['by command', (mount) => command(mount, `expect ${SIZE} ${sha256(OLD)}`)],
    ['by stable_memory.sha256', (mount) => outcome(writeFile(mount.path('stable_memory.sha256'), `${sha256(OLD)}  x\n`))],
  ])
    test(`${how}: commit=manual keeps it from mount to mount`, async () => {
      const mount = await begin(['commit=manual']);
      assert.equal(await expect(mount), 'done');
      assert.equal(await put(mount), 'done');
      await mount.states();
      await mount.unmount();
      const again = await begin([], mount.top);
      const id = how === 'by command' ? 1 : 2;
      const verb = how === 'by command' ? 'resume' : 'commit';
      assert.match((await again.job(`restore ${verb} ${id}`)).cause, /its SHA-256 is not the one that is expected/);
      assert.deepEqual(await again.commits(), []);
      assertBytes(await again.memory(), OLD, 'memory');
      assert.equal((await again.job(`restore commit ${id}`)).state, 'done', 'by an order that insists');
      assertBytes(await again.memory(), NEW, 'memory');
      await again.unmount();
    });

  test('while it is compared the program is killed: what is found is compared, too, also with what is expected then', async () => {
    const mount = await begin();
    await mount.script('slow 60000');
    assert.equal(await command(mount, `expect ${SIZE} ${sha256(NEW)}`), 'done');
    const writing = put(mount);
    await eventually(async () => (await mount.restores()).some(({ state, phase }) => state === 'committing' && phase === 'sending'));
    await mount.kill();
    await writing;
    const again = await begin([], mount.top);
    await again.script();
    assert.equal(await command(again, `expect ${SIZE} ${sha256(OLD)}`), 'done');
    assert.match((await again.job('restore resume 1')).cause, /it was to be something else than what is expected now/);
    assert.match((await again.job('restore commit 1')).cause, /SHA-256 is not the one/);
    assertBytes(await again.memory(), OLD, 'memory');
    assert.equal(await command(again, `expect ${SIZE} ${sha256(NEW)}`), 'done');
    assert.equal((await again.job('restore commit 1')).state, 'done');
    assertBytes(await again.memory(), NEW, 'memory');
    await again.unmount();
  });

  test('a temporary file that is written anew may be anything again', async () => {
    const mount = await begin();
    const name = mount.path('.stable_memory.new');
    await command(mount, `expect ${SIZE} ${sha256(NEW)}`);
    await writeFile(name, NEW);
    await mount.script('error EIO');
    assert.equal(await outcome(rename(name, mount.memoryPath)), 'EIO');
    await mount.script();
    await writeFile(name, OLD);
    await command(mount, `expect ${SIZE} ${sha256(OLD)}`);
    assert.equal(await outcome(rename(name, mount.memoryPath)), 'done');
    assertBytes(await mount.memory(), OLD, 'memory');
    await mount.unmount();
  });

  test('of many files at once, none is forgotten but at the end of the mount, which is said', async () => {
    const mount = await begin();
    const item = (i) => `items/${String(i).padStart(4, '0')}.bin`;
    for (let i = 0; i < 40; i++) assert.equal(await command(mount, `expect 3 ${sha256(Buffer.from('abc'))} ${item(i)}`), 'done');
    for (let i = 39; i >= 1; i--) {
      assert.equal(await outcome(writeFile(mount.path(item(i)), 'abd')), 'EINVAL');
      assert.equal(await outcome(writeFile(mount.path(item(i)), 'abc')), 'done');
    }
    await mount.says(/items\/0001.bin is not restored: .* \(Invalid argument\); what was staged is kept: control restore abort (\d+), or commit \1 if it is right all the same$/m);
    await mount.states();
    await mount.unmount();
    assert.match(mount.stderr, /items\/0000.bin: what is expected of it has not come; the next mount does not expect it/);
    assert.equal(mount.stderr.match(/has not come/g).length, 1);
  });

  test('by stable_memory.sha256', async () => {
    const mount = await begin();
    const from = await file(mount, NEW);
    const list = mount.path('stable_memory.sha256');
    await run('bash', ['-c', 'sha256sum "$0" > "$1"', from, list]);
    assert.match(await put(mount, randomBytes(SIZE)), /Invalid argument/);
    assert.equal(await put(mount), 'done');
    assert.equal(await outcome(stat(list)), 'ENOENT');
    for (const text of ['', 'x', `${sha256(OLD)}\n${sha256(NEW)}\n`, `${sha256(OLD).slice(1)} x`, 'x'.repeat(5000)]) {
      await writeFile(list, text);
      assert.match(await put(mount, OLD), /Invalid argument/, text);
    }
    await unlink(list);
    assert.equal(await put(mount, OLD), 'done');
    await mount.unmount();
  });
});

describe('options and commands', () => {
  test('commit=manual: closing is not a commit point, a command is', async () => {
    const mount = await begin(['commit=manual']);
    assert.equal(await put(mount), 'done');
    assert.deepEqual(await mount.states(), ['waiting']);
    assertBytes(await readFile(mount.memoryPath), OLD, 'memory');
    await mount.says(/stable_memory waits: control restore commit 1/);
    const name = mount.path('.stable_memory.new');
    await writeFile(name, OLD);
    await rename(name, mount.memoryPath);
    assert.deepEqual(await mount.states(), ['waiting', 'waiting']);
    assert.equal(await outcome(stat(name)), 'ENOENT');
    assert.equal((await mount.job('restore commit 1')).state, 'done');
    assertBytes(await readFile(mount.memoryPath), NEW, 'memory');
    assert.deepEqual(await mount.kept(), []);
    await mount.unmount();
  });

  test('dryrun: nothing is sent, close fails with ECANCELED, and the stage waits', async () => {
    const mount = await begin();
    assert.equal(await command(mount, 'dryrun on'), 'done');
    assert.match(await put(mount), /Operation canceled/);
    assertBytes(await mount.memory(), OLD, 'memory');
    assert.deepEqual(await mount.commits(), [`stable_memory ${SIZE} dry`]);
    assert.deepEqual((await mount.restores()).map(({ state, message }) => [state, message]), [['waiting', `dry run, nothing was sent: ${SIZE} bytes`]]);
    assert.equal(await command(mount, 'dryrun off'), 'done');
    assert.equal((await mount.job('restore resume 1')).state, 'done');
    assertBytes(await mount.memory(), NEW, 'memory');
    await mount.unmount();
  });

  test('shrink=zero and force, as options and in a command', async () => {
    const half = NEW.subarray(0, SIZE / 2);
    const zeroed = Buffer.concat([half, Buffer.alloc(SIZE - half.length)]);
    const mount = await begin();
    assert.match(await put(mount, half), /Invalid argument/);
    assert.equal((await mount.job('restore commit 1 shrink=zero')).state, 'done');
    assertBytes(await mount.memory(), zeroed, 'memory');
    await mount.script('unversioned');
    const patch = (at) => run('bash', ['-c', 'printf x | dd of="$0" bs=1 seek=9 conv=notrunc status=none', at]).then(() => 'done', ({ stderr }) => stderr);
    assert.match(await patch(mount.memoryPath), /Stale file handle/);
    const [restore] = await mount.restores();
    assert.equal((await mount.job(`restore commit ${restore.id} force`)).state, 'done');
    assert.equal((await mount.memory())[9], 120);
    await mount.unmount();
    const other = await begin(['shrink=zero', 'force']);
    assert.equal(await put(other, half), 'done');
    await other.script('unversioned');
    assert.equal(await patch(other.memoryPath), 'done');
    await other.unmount();
  });

  test('a writer that was killed: nothing is resumed, but committed by command', async () => {
    const mount = await begin();
    const child = await holder(mount);
    child.kill('SIGKILL');
    await once(child, 'close');
    assert.deepEqual(await mount.states(), ['tainted']);
    assert.match((await mount.job('restore resume 1')).cause, /may be half a file .*\(its writer was killed\): restore abort 1, or restore commit 1/);
    assert.equal((await mount.job('restore commit 1')).state, 'done');
    assert.equal((await mount.memory()).toString('latin1', 0, 4), 'held');
    await mount.unmount();
  });

  test('a file that is not what is expected, or too short: resumed by no later mount, which expects nothing', async () => {
    const mount = await begin();
    const sha256 = createHash('sha256').update(OLD).digest('hex');
    assert.equal(await command(mount, `expect ${SIZE} ${sha256}`), 'done');
    assert.match(await put(mount), /Invalid argument/);
    assert.match(await put(mount, NEW.subarray(0, 5)), /Invalid argument/);
    await mount.says(/its SHA-256 is not the one that is expected .*control restore abort 1/);
    assert.deepEqual(await mount.states(), ['failed', 'failed']);
    await mount.unmount();
    const again = await begin([], mount.top);
    await again.says(/was not made \(its SHA-256 is not the one that is expected\): control restore abort 1, or commit 1 if it is right/);
    for (const id of [1, 2]) {
      const { state, cause } = await again.job(`restore resume ${id}`);
      assert.equal(state, 'failed');
      assert.match(cause, new RegExp(`another one .*: restore abort ${id}, or restore commit ${id}`));
    }
    assert.deepEqual(await again.commits(), []);
    assertBytes(await again.memory(), OLD, 'memory');
    assert.equal((await again.job('restore commit 1')).state, 'done');
    assertBytes(await again.memory(), NEW, 'memory');
    await again.unmount();
  });

  test('df shows the room for what is staged', async () => {
    const mount = await begin();
    const [, line] = (await run('df', ['--block-size=1', '--output=avail', mount.point])).stdout.trim().split('\n');
    const [, disk] = (await run('df', ['--block-size=1', '--output=avail', mount.state])).stdout.trim().split('\n');
    assert.ok(Math.abs(Number(line) - Number(disk)) < 2 ** 28, `${line} ${disk}`);
    await mount.unmount();
  });
});

test('a full disk: ENOSPC, tainted, and nothing is sent', async (t) => {
  if (process.getuid() !== 0) return t.skip('needs root to mount a small file system');
  const mount = await begin();
  await mount.unmount();
  const stages = join(mount.state, 'stages');
  await run('mount', ['-t', 'tmpfs', '-o', 'mode=700,size=300k', 'tmpfs', stages]);
  stage.onClose(() => run('umount', ['-l', stages]));
  const again = await begin([], mount.top);
  assert.match(await put(again), /No space left on device/);
  assert.deepEqual(await again.states(), ['tainted']);
  assert.deepEqual(await again.commits(), []);
  assertBytes(await again.memory(), OLD, 'memory');
  await again.unmount();
});

describe('files of a directory', () => {
  test('that are there and that are not yet, by cp -r, rsync and tar', async () => {
    const mount = await begin();
    const from = join(mount.top, 'from-dir');
    await mkdir(from);
    const items = [0, 1, 2, 3].map((i) => randomBytes(1000 * (i + 1)));
    const name = (i) => `000${i}.bin`;
    for (const [i, bytes] of items.entries()) await writeFile(join(from, name(i)), bytes);
    for (const [tool, ...args] of [['bash', '-c', `cp -r "${from}/." "$0/"`], ['rsync', '-rI', `${from}/`], ['bash', '-c', `tar c -C "${from}" . | tar x --no-overwrite-dir -C "$0"`]]) {
      for (const i of [2, 3]) await unlink(join(mount.state, 'items', name(i))).catch(() => {});
      await run(tool, [...args, mount.path('items')]);
      for (const [i, bytes] of items.entries()) {
        assertBytes(await readFile(join(mount.state, 'items', name(i))), bytes, `${tool} ${name(i)}`);
        assertBytes(await readFile(mount.path('items', name(i))), bytes, 'as it is read');
      }
      assert.deepEqual((await readdir(mount.path('items'))).sort(), items.map((_, i) => name(i)));
    }
    assert.deepEqual(await mount.states(), []);
    assert.equal(await outcome(copyFile(join(from, name(0)), mount.path('items', '0999.bin'))), 'EROFS');
    await mount.unmount();
  });
});
