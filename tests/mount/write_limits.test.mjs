// Writing where there is little: few descriptors, no size beyond what a canister can have, no right to look at who writes.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { FakeMount } from './fake.mjs';
import { errnoName, eventually, program, run, Stage, tethered } from './harness.mjs';
import { newPoint, start } from './process.mjs';

const OLD = randomBytes(10_000);
const NEW = randomBytes(10_000);

let stage;
before(async () => (stage = await Stage.open()));
after(() => stage.close());

async function outcome(promise) {
  return promise.then(() => 'done', (error) => errnoName(error));
}

// In memory: what is synced takes no time.
async function newDir() {
  const dir = await mkdtemp('/dev/shm/canisterfs-test-');
  stage.onClose(() => rm(dir, { recursive: true }));
  return dir;
}

describe('64 descriptors', () => {
  const N = 300;
  const through = ['prlimit', '--nofile=64'];
  const item = (i) => `${String(i).padStart(4, '0')}.bin`;
  const nOpen = async (mount) => (await readdir(`/proc/${mount.pid}/fd`)).length;

  for (const [what, nameOf] of [['different files', (mount, i) => mount.path('items', item(i))], ['one file', (mount) => mount.memoryPath]])
    test(`${N} restores of ${what} that are refused are kept, and cost none`, async () => {
      const dir = await newDir();
      const mount = await FakeMount.open(stage, { memory: OLD, dir, through });
      const before = await nOpen(mount);
      await mount.script('error EACCES');
      for (let i = 0; i < N; i++) assert.equal(await outcome(writeFile(nameOf(mount, i), NEW)), 'EACCES', `${i}`);
      const temporary = mount.path('.stable_memory.tmp');
      for (let i = 0; i < N; i++) await writeFile(`${temporary}${i}`, `${i}`);
      await eventually(async () => (await nOpen(mount)) <= before);
      assert.equal((await mount.kept()).length, 2 * N);
      assert.equal((await mount.job('restore resume 1')).state, 'failed', 'each can be used still');
      assert.equal(await readFile(`${temporary}17`, 'latin1'), '17');
      await mount.unmount();

      const again = await FakeMount.open(stage, { dir, through });
      await eventually(async () => (await nOpen(again)) <= before);
      assert.equal((await again.restores()).length, 2 * N);
      await again.script();
      assert.equal((await again.job(`restore resume ${N}`)).state, 'done');
      const restored = what === 'one file' ? 'memory' : join('items', item(N - 1));
      assert.ok((await readFile(join(again.state, restored))).equals(NEW), 'it is restored');
      await eventually(async () => (await again.kept()).length === (what === 'one file' ? N : 2 * N - 1));
      assert.equal((await again.job(`restore abort ${N + 1}`)).state, 'done');
      await again.unmount();
    });

  test('none left: what is being written is refused or kept, and nothing half is sent', async () => {
    const mount = await FakeMount.open(stage, { memory: OLD, dir: await newDir(), through });
    const files = [];
    let failed = 0;
    for (let i = 0; i < 100; i++) {
      const file = await open(mount.path(`.tmp${i}`), 'w').catch(() => failed++);
      if (typeof file === 'object') files.push(file);
    }
    assert.ok(failed > 50, `${failed}`);
    assert.equal(await outcome(writeFile(mount.memoryPath, NEW)), 'EMFILE');
    for (const file of files) await file.close();
    await eventually(async () => (await outcome(writeFile(mount.memoryPath, NEW))) === 'done');
    assert.deepEqual(await mount.commits(), [`stable_memory ${NEW.length} ok`]);
    assert.ok((await mount.memory()).equals(NEW), 'memory');
    await mount.unmount();
  });
});

describe('500 GiB, which no stable memory can have more than', () => {
  const MAX = 500 * 2 ** 30;
  const python = async (mount, lines) => (await run('python3', ['-c', `import errno, os, sys
def attempt(f, *args):
    try: f(*args); print('done', end=' ')
    except OSError as e: print(errno.errorcode[e.errno], end=' ')
fd = os.open(sys.argv[1], os.O_WRONLY)
${lines}
attempt(os.close, fd)`, mount.memoryPath])).stdout.trim();

  test('a size beyond it is EFBIG, and changes nothing', async () => {
    const mount = await FakeMount.open(stage, { memory: OLD });
    const lines = `os.pwrite(fd, b'x', 0)
for size in (${MAX} + 1, 4 << 40, (1 << 63) - 1): attempt(os.truncate, fd, size)
attempt(os.posix_fallocate, fd, 0, ${MAX} + 1)
print(os.fstat(fd).st_size, end=' ')`;
    assert.equal(await python(mount, lines), `EFBIG EFBIG EFBIG EFBIG ${OLD.length} done`);
    assert.deepEqual(await mount.commits(), [`stable_memory ${OLD.length} ok`]);
    await mount.unmount();
  });

  for (const name of ['memoryPath', 'temporary'])
    test(`a write beyond it is EFBIG, and taints (${name})`, async () => {
      const mount = await FakeMount.open(stage, { memory: OLD });
      if (name === 'temporary') await writeFile((mount.memoryPath += '.tmp'), OLD);
      const lines = `attempt(os.truncate, fd, ${MAX}); attempt(os.truncate, fd, ${OLD.length})
attempt(os.pwrite, fd, b'x', ${MAX} - 1); attempt(os.truncate, fd, ${OLD.length}); attempt(os.pwrite, fd, b'xy', ${MAX} - 1)
print(os.fstat(fd).st_size, end=' ')`;
      assert.equal(await python(mount, lines), `done done done done EFBIG ${OLD.length} EIO`);
      assert.deepEqual((await mount.restores()).map(({ state, message }) => [state, message]), [['tainted', 'a write failed: File too large']]);
      assert.deepEqual(await mount.commits(), []);
      await mount.unmount();
    });
});

// A program that may not look at processes with more rights than it has: nor could one look at another user's (allow_other).
describe('a writer that cannot be looked at', { skip: process.getuid() !== 0 && 'needs root' }, () => {
  const through = ['setpriv', '--bounding-set=-sys_ptrace', '--inh-caps=-sys_ptrace'];
  const cannotTell = /whether it is whole cannot be told/;
  const rows = [
    ['exec 9>>, two writes', 'exec 9>> "$t"; echo a >&9; echo b >&9; exec 9>&-', cannotTell],
    ['cp', 'cp new "$t"', cannotTell],
    ['>, and a status that is not 0', '(head -c 5000 new; exit 7) > "$t"', cannotTell],
    ['a program that fails without closing', `python3 -c "import os; os.write(1, b'x' * 5000); os._exit(7)" > "$t"`, cannotTell],
    ['one that ends well', `python3 -c "import os; os.write(1, b'x' * 5000); os._exit(0)" > "$t"`, cannotTell],
    ['a child with other rights', 'setpriv --bounding-set=-sys_ptrace --inh-caps=-sys_ptrace bash -c \'exec 9> "$t"; setpriv --reuid=65534 --clear-groups cat < new >&9; exec 9>&-\'',
      /a process wrote it that cannot be looked at/],
  ];
  for (const [what, script, words] of rows)
    test(`${what}: nothing is sent, and it is kept as tainted`, async () => {
      const mount = await FakeMount.open(stage, { memory: OLD, args: ['-o', 'rw,allow_other'], through });
      await writeFile(join(mount.top, 'new'), NEW);
      await run('bash', ['-c', script], { cwd: mount.top, env: { ...process.env, t: mount.memoryPath } }).catch(() => {});
      assert.deepEqual(await mount.states(), ['tainted']);
      assert.match((await mount.restores())[0].message, words);
      assert.deepEqual(await mount.commits(), []);
      assert.ok((await mount.memory()).equals(OLD), 'memory');
      await mount.unmount();
    });

  test('an empty file: EIO, for nothing is done', async () => {
    const mount = await FakeMount.open(stage, { memory: OLD, args: ['-o', 'rw,allow_other'], through });
    await assert.rejects(run('cp', ['/dev/null', mount.memoryPath]), /Input.output error/);
    assert.deepEqual(await mount.commits(), []);
    assert.deepEqual(await mount.states(), []);
    assert.ok((await mount.memory()).equals(OLD), 'memory');
    await mount.unmount();
  });

  test('a temporary file that is renamed is restored, and what is kept by a command', async () => {
    const mount = await FakeMount.open(stage, { memory: OLD, args: ['-o', 'rw,allow_other'], through });
    await writeFile(join(mount.top, 'new'), NEW);
    await run('rsync', ['-I', join(mount.top, 'new'), mount.memoryPath]);
    assert.ok((await mount.memory()).equals(NEW), 'renamed');
    await writeFile(join(mount.top, 'longer'), Buffer.concat([NEW, NEW]));
    await assert.rejects(run('cp', [join(mount.top, 'longer'), mount.memoryPath]), /Input.output error/);
    assert.deepEqual(await mount.states(), ['tainted']);
    const [restore] = await mount.restores();
    assert.equal((await mount.job(`restore commit ${restore.id}`)).state, 'done');
    assert.ok((await mount.memory()).equals(Buffer.concat([NEW, NEW])), 'by command');
    await mount.unmount();
  });
});

test('the program takes as many descriptors as it may have', async () => {
  const server = createServer(() => {}); // it waits for an answer
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const network = `network=http://127.0.0.1:${server.address().port},insecure_root_key`;
  const child = start(...tethered('prlimit', ['--nofile=100:200', program, '-f', '-o', network, 'aaaaa-aa', await newPoint(stage)]));
  await eventually(async () => /Max open files +200 +200 /.test(await readFile(`/proc/${child.pid}/limits`, 'latin1')));
  child.kill('SIGTERM');
  await child.ended;
  server.close();
});
