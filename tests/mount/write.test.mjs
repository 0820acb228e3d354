// Who writes how, and what of it reaches the canister: the table in README ("Writing back"), a row for a row.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, open, readFile, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { FakeMount } from './fake.mjs';
import { eventually, run, Stage } from './harness.mjs';

const SIZE = 600_011;
const GROWN = 700_001;
const env = { ...process.env, LC_ALL: 'C' };

const OLD = randomBytes(SIZE);
const NEW = randomBytes(SIZE);
const LONGER = Buffer.concat([OLD, randomBytes(GROWN - SIZE)]);
const HALF = NEW.subarray(0, SIZE / 2);
const TEXT = Buffer.from('one\ntwo\nthree\n'.repeat(1000));

let stage;
before(async () => (stage = await Stage.open()));
after(() => stage.close());

// A mount of its own, with the files that writers copy beside it.
async function begin(memory = OLD, args) {
  const mount = await FakeMount.open(stage, { memory, args });
  const files = { new: NEW, longer: LONGER, half: HALF };
  await mkdir(join(mount.top, 'dir'));
  files['dir/stable_memory'] = NEW;
  for (const [name, bytes] of Object.entries(files)) {
    await writeFile(join(mount.top, name), bytes);
    await utimes(join(mount.top, name), 1e9, 1e9); // rsync goes by it, and by the size
  }
  return mount;
}

// How a bash script ends in the directory of those files; $m is the mount, $t its stable_memory.
async function bash(mount, script) {
  const child = spawn('bash', ['-c', script], {
    cwd: mount.top,
    env: { ...env, m: mount.point, t: mount.memoryPath },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let words = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (words += chunk));
  const timer = setTimeout(() => child.kill('SIGKILL'), 60_000);
  const [code, signal] = await once(child, 'close');
  clearTimeout(timer);
  return { code, signal, words };
}

const assertBytes = (got, want, what) => assert.ok(got.equals(want), `${what}: ${got.length} bytes, expected ${want.length}`);
const ok = (size) => [`stable_memory ${size} ok`];
const py = (lines) => `python3 - "$t" <<'END'\nimport os, sys, threading\npath = sys.argv[1]\nnew = open('new', 'rb').read()\n${lines}\nEND`;

// [what, script, what the memory is then]: it ends with 0, one commit is made, nothing is left.
const WHOLE = [
  ['cp', 'cp new "$t"', NEW],
  ['cp, longer', 'cp longer "$t"', LONGER],
  ['cp -p', 'cp -p new "$t"', NEW],
  ['cp -a', 'cp -a new "$t"', NEW],
  ['cp --sparse=always', 'cp --sparse=always new "$t"', NEW],
  ['cp --remove-destination', 'cp --remove-destination new "$t"', NEW],
  ['cp into the directory', 'cp dir/stable_memory "$m/"', NEW],
  ['install', 'install -m 644 new "$t"', NEW],
  ['mv', 'mv new "$t"', NEW],
  ['mv -f', 'mv -f new "$t"', NEW],
  ['dd', 'dd if=new of="$t" bs=64k', NEW],
  ['dd bs=1M conv=fsync', 'dd if=new of="$t" bs=1M conv=fsync', NEW],
  ['dd oflag=dsync', 'dd if=new of="$t" bs=128k oflag=dsync', NEW],
  ['dd conv=notrunc', 'dd if=new of="$t" bs=4k conv=notrunc', NEW],
  ['dd conv=notrunc seek', 'dd if=longer of="$t" bs=1 skip=600011 seek=600011 count=100 conv=notrunc', LONGER.subarray(0, SIZE + 100)],
  ['dd oflag=append', 'tail -c +600012 longer | dd of="$t" bs=64k oflag=append conv=notrunc', LONGER],
  ['cat >', 'cat new > "$t"', NEW],
  ['cat >>', 'tail -c +600012 longer | cat >> "$t"', LONGER],
  ['cat in a pipeline', 'cat new | cat > "$t"', NEW],
  ['head -c', 'head -c 600011 new > "$t"', NEW],
  ['tee', 'tee "$t" < new > /dev/null', NEW],
  ['tee -a', 'tail -c +600012 longer | tee -a "$t" > /dev/null', LONGER],
  ['tee to two files', 'tee "$t" copy < new > /dev/null', NEW],
  ['exec 9>, one writer', 'exec 9> "$t"; cat new >&9; exec 9>&-', NEW],
  ['exec 9>, several writers and builtins', 'exec 9> "$t"; head -c 300005 new >&9; sleep 0; tail -c +300006 new >&9; exec 9>&-', NEW],
  ['{ } > with several writers', '{ head -c 300005 new; tail -c +300006 new; } > "$t"', NEW],
  ['rsync', 'rsync new "$t"', NEW],
  ['rsync -a', 'rsync -a dir/stable_memory "$m/"', NEW],
  ['rsync -a, longer', 'rsync -a longer "$t"', LONGER],
  ['rsync --inplace', 'rsync --inplace new "$t"', NEW],
  ['rsync --inplace --no-whole-file', 'rsync --inplace --no-whole-file longer "$t"', LONGER],
  ['rsync --no-whole-file', 'rsync --no-whole-file longer "$t"', LONGER],
  ['rsync -P', 'rsync -P new "$t"', NEW],
  ['rsync --append-verify', 'rsync --append-verify longer "$t"', LONGER],
  ['rsync --sparse', 'rsync --sparse new "$t"', NEW],
  ['rsync --preallocate', 'rsync --preallocate new "$t"', NEW],
  ['rsync --fsync', 'rsync --fsync new "$t"', NEW],
  ['tar x', 'tar c -C dir stable_memory | tar x -C "$m"', NEW],
  ['tar x --overwrite', 'tar c -C dir stable_memory | tar x --overwrite -C "$m"', NEW],
  ['tar x --unlink-first', 'tar c -C dir stable_memory | tar x --unlink-first -C "$m"', NEW],
  ['truncate, longer', 'truncate -s 600100 "$t"', Buffer.concat([OLD, Buffer.alloc(89)])],
  ['fallocate', 'fallocate -l 600100 "$t"', Buffer.concat([OLD, Buffer.alloc(89)])],
  ['python, with', py("with open(path, 'wb') as f: f.write(new)"), NEW],
  ['python, close', py("f = open(path, 'wb'); f.write(new); f.close()"), NEW],
  ['python as the command of >, never closed, exit 0', 'python3 -c "import os; os.write(1, open(\'new\', \'rb\').read()); os._exit(0)" > "$t"', NEW],
  ['python, r+b', py("with open(path, 'r+b') as f: f.seek(11); f.write(b'x' * 5)"),
    Buffer.concat([OLD.subarray(0, 11), Buffer.from('xxxxx'), OLD.subarray(16)])],
  ['python, a duplicate is closed half-way', py(`fd = os.open(path, os.O_WRONLY | os.O_TRUNC)
os.write(fd, new[:300000]); os.close(os.dup(fd)); os.write(fd, new[300000:]); os.close(fd)`), NEW],
  ['python, two descriptors of one process', py(`a = os.open(path, os.O_WRONLY | os.O_TRUNC); b = os.open(path, os.O_WRONLY)
os.write(a, new[:300000]); os.close(a); os.lseek(b, 300000, 0); os.write(b, new[300000:]); os.close(b)`), NEW],
  // The kernel tells of the end of each open file after both descriptors are closed.
  ['python, two descriptors closed in one call', py(`a = os.open(path, os.O_WRONLY | os.O_TRUNC); b = os.open(path, os.O_WRONLY)
os.write(a, new); os.closerange(min(a, b), max(a, b) + 1)`), NEW],
  ['python, temporary file, two descriptors closed in one call', py(`tmp = path + '.tmp'
a = os.open(tmp, os.O_WRONLY | os.O_CREAT); b = os.open(tmp, os.O_WRONLY)
os.write(a, new); os.closerange(min(a, b), max(a, b) + 1); os.replace(tmp, path)`), NEW],
  ['python, threads', py(`fd = os.open(path, os.O_WRONLY | os.O_TRUNC)
def part(i): os.pwrite(fd, new[i * 100000:(i + 1) * 100000], i * 100000)
threads = [threading.Thread(target=part, args=(i,)) for i in range(7)]
for t in threads: t.start()
for t in threads: t.join()
os.close(fd)`), NEW],
  ['python, opened by one thread, closed by another', py(`fd = os.open(path, os.O_WRONLY | os.O_TRUNC); os.write(fd, new)
t = threading.Thread(target=os.close, args=(fd,)); t.start(); t.join()`), NEW],
  ['python, a child writes and ends first', py(`fd = os.open(path, os.O_WRONLY | os.O_TRUNC)
if os.fork() == 0:
    os.write(fd, new); os._exit(0)
os.wait(); os.close(fd)`), NEW],
  ['python, a child that inherited it outlives the opener', py(`fd = os.open(path, os.O_WRONLY | os.O_TRUNC); os.write(fd, new)
if os.fork() == 0:
    os.close(0); os.close(1); os.close(2)
    import time; time.sleep(0.3); os._exit(1)
os.close(fd)`), NEW],
  ['python, another program is run while it is open', py(`fd = os.open(path, os.O_WRONLY | os.O_TRUNC); os.write(fd, new[:300000])
assert os.system('true') == 0
os.write(fd, new[300000:]); os.close(fd)`), NEW],
  ['python, temporary file and os.replace', py(`tmp = path.replace('stable_memory', '.stable_memory.tmp')
with open(tmp, 'wb') as f: f.write(new)
os.replace(tmp, path)`), NEW],
];

describe('whole', () => {
  for (const [what, script, memory] of WHOLE)
    test(what, async () => {
      const mount = await begin();
      const { code, words } = await bash(mount, script);
      assert.equal(code, 0, words);
      // Who ends without closing, and rename(2) after the last close, are answered before the commit is noted here.
      await eventually(async () => (await mount.commits()).length > 0, 5000);
      assert.deepEqual(await mount.states(), []);
      assertBytes(await mount.memory(), memory, 'memory');
      assert.deepEqual(await mount.commits(), ok(memory.length), mount.stderr);
      assertBytes(await readFile(mount.memoryPath), memory, 'as it is read');
      await eventually(async () => (await mount.kept()).length === 0);
      await mount.unmount();
    });

  const edits = [
    ['sed -i', 'sed -i s/two/2/ "$t"'],
    ['ed', 'printf "%s\\n" ",s/two/2/" w q | ed -s "$t"'],
    ['vim.tiny', 'vim.tiny -u NONE -es -c "%s/two/2/" -c wq "$t"'],
    ['vim.tiny, with a backup', 'vim.tiny -u NONE -es -c "set backup backupcopy=no" -c "%s/two/2/" -c wq "$t"'],
    ['perl -i', 'perl -i -pe s/two/2/ "$t"'],
  ];
  for (const [what, script] of edits)
    test(`${what}, with -o shrink=zero`, async () => {
      const mount = await begin(TEXT, ['-o', 'rw,shrink=zero']);
      const { code, words } = await bash(mount, script);
      const edited = Buffer.from(TEXT.toString().replaceAll('two', '2'));
      assert.equal(code, 0, `${words}\n${mount.stderr}`);
      await eventually(async () => (await mount.commits()).length > 0, 5000);
      const memory = await mount.memory();
      assert.equal(memory.length, TEXT.length);
      assertBytes(memory.subarray(0, edited.length), edited, 'memory');
      assert.ok(memory.subarray(edited.length).every((byte) => byte === 0));
      await mount.unmount();
    });
});

// [what, script, its status, what is kept]: nothing reaches the canister, and what was written is kept, or nothing was.
const NOT = [
  ['cp, shorter', 'cp half "$t"', 1, ['failed']],
  ['cp /dev/null', 'cp /dev/null "$t"', 1, []],
  ['dd conv=notrunc that writes nothing', 'dd if=/dev/null of="$t" conv=notrunc', 0, []],
  ['touch', 'touch "$t"', 0, []],
  ['a new name', 'cp new "$m/other"', 1, []],
  ['mkdir', 'mkdir "$m/dir"', 1, []],
  ['rm', 'rm "$t"', 0, []],
  ['mv to a backup name, which copies', 'mv "$t" "$m/stable_memory~"', 0, ['open']],
  ['sed -i.bak', 'sed -i.bak s/a/b/ "$t"', 4, []],
  ['truncate(2) by name', 'python3 -c "import os; os.truncate(os.environ[\'t\'], 0)"', 1, []],
  ['open, O_RDWR, nothing written', 'python3 -c "import os; os.close(os.open(os.environ[\'t\'], os.O_RDWR))"', 0, []],
  ['mmap', py(`import mmap
fd = os.open(path, os.O_RDWR)
try: mmap.mmap(fd, 4096)
except OSError as e: sys.exit(e.errno)`), 19, []],
  ['cp of something that fails', 'cp /proc/self/mem "$t"', 1, []],
  ['cat of something that fails', 'cat half /proc/self/mem > "$t"', 1, ['failed']],
  ['python, never closed, exit 0', py("fd = os.open(path, os.O_WRONLY | os.O_TRUNC); os.write(fd, new); os._exit(0)"), 0, ['tainted']],
  ['python, execve closes it', py("fd = os.open(path, os.O_WRONLY | os.O_TRUNC); os.write(fd, new); os.execvp('true', ['true'])"), 0, ['tainted']],
  ['python, closed while a child writes it', py(`fd = os.open(path, os.O_WRONLY | os.O_TRUNC)
said, told = os.pipe()
if os.fork() == 0:
    import time
    os.write(fd, new[:300000]); os.write(told, b'x'); time.sleep(0.5)
    try: os.write(fd, new[300000:])
    except OSError as e: os._exit(e.errno)
os.read(said, 1)
try: os.close(fd)
except OSError as e: print(e); sys.exit(os.waitstatus_to_exitcode(os.wait()[1]) + e.errno)`), 10, ['tainted']],
  ['python, an exception without close', py("f = os.open(path, os.O_WRONLY | os.O_TRUNC); os.write(f, new[:1000]); raise ValueError"), 1, ['tainted']],
  ['python, a temporary file that has no name any more', py(`fd = os.open(path + '.tmp', os.O_RDWR | os.O_CREAT); os.unlink(path + '.tmp')
os.write(fd, b'abc'); os.ftruncate(fd, 2); os.fsync(fd)
sys.exit(os.pread(fd, 9, 0) != b'ab' or os.fstat(fd).st_nlink != 0)`), 0, []],
  ['python, exit status 3', py("fd = os.open(path, os.O_WRONLY | os.O_TRUNC); os.write(fd, new); os._exit(3)"), 3, ['tainted']],
  ['python, killed by itself', py("import signal\nfd = os.open(path, os.O_WRONLY | os.O_TRUNC); os.write(fd, new); os.kill(os.getpid(), signal.SIGKILL)"), 137, ['tainted']],
  ['python, threads, exit status 3', py(`import time
fd = os.open(path, os.O_WRONLY | os.O_TRUNC); os.write(fd, new)
threading.Thread(target=time.sleep, args=(9,), daemon=True).start()
os._exit(3)`), 3, ['tainted']],
  ['python, a child writes, the opener ends without closing', py(`fd = os.open(path, os.O_WRONLY | os.O_TRUNC)
if os.fork() == 0:
    os.write(fd, new); os._exit(0)
os.wait(); os._exit(0)`), 0, ['tainted']],
  ['( ) > with a writer that is a child', '(cat new; true) > "$t"', 0, ['tainted']],
  ['rsync, shorter', 'rsync half "$t"', 23, ['parked']],
  ['rsync --inplace, shorter', 'rsync --inplace half "$t"', 11, ['failed']],
  ['tar x, shorter', 'cp half dir/stable_memory; tar c -C dir stable_memory | tar x -C "$m"', 2, ['failed']],
  ['mv, shorter', 'mv half "$t"; code=$?; test -f half && exit $code', 1, ['failed']],
];

describe('not whole, or not meant', () => {
  for (const [what, script, code, states] of NOT)
    test(what, async () => {
      const mount = await begin();
      const end = await bash(mount, script);
      assert.equal(end.code, code, `${end.words}\n${mount.stderr}`);
      await eventually(async () => (await mount.states()).join() === states.join(), 5000)
        .catch(async () => assert.deepEqual(await mount.restores(), states, end.words));
      assertBytes(await mount.memory(), OLD, 'memory');
      assertBytes(await readFile(mount.memoryPath), OLD, 'as it is read');
      assert.ok((await mount.commits()).every((line) => !line.endsWith(' ok')));
      await mount.unmount();
    });
});

// The writer's O_TRUNC makes the file empty to the kernel: reads behind its end do not reach the program.
test('who reads on while the file is written is not told of its end', async () => {
  const mount = await begin();
  const end = await bash(mount, py(`import errno, signal
def step(write):
    reader = os.open(path, os.O_RDONLY); assert os.read(reader, 4096)
    ready, go = os.pipe()
    writer = os.fork()
    if writer == 0:
        write(os.open(path, os.O_WRONLY | os.O_TRUNC)); os.stat(path); os.write(go, b'x'); signal.pause()
    os.close(go); os.read(ready, 1); os.stat(path)
    found = []
    for look in (lambda: os.read(reader, 1 << 20), lambda: os.pread(reader, 1 << 20, 100)):
        try: found.append(len(look()))
        except OSError as e: found.append(e.errno)
    os.kill(writer, signal.SIGKILL); os.wait(); os.close(reader)
    assert found == [errno.ESTALE, errno.ESTALE], found
step(lambda fd: os.write(fd, new[:1000]))
step(lambda fd: None)`));
  assert.equal(end.code, 0, end.words);
  assertBytes(await mount.memory(), OLD, 'memory');
  await mount.unmount();
});

// Half of it is there when the signal comes. The memory is empty before, so that half a file is not refused for its length.
const HALF_WAY = [
  ['cp', 'exec cp fifo "$t"'],
  ['cat >', 'exec cat fifo > "$t"'],
  ['tee', 'exec tee "$t" < fifo > /dev/null'],
  ['dd', 'exec dd if=fifo of="$t" bs=1000 status=none'],
  ['tar x', 'exec tar x -C "$m" < fifo'],
  ['python, with', 'exec python3 -c "import os, shutil\nwith open(\'fifo\', \'rb\') as a, open(os.environ[\'t\'], \'wb\', 0) as b: shutil.copyfileobj(a, b, 1000)"'],
  ['python, without close', 'exec python3 -c "import os\na = os.open(\'fifo\', 0); b = os.open(os.environ[\'t\'], 577)\nwhile piece := os.read(a, 1000): os.write(b, piece)"'],
];
// What a signal ends, and what closes its files by itself first: that cannot be told from one that has finished.
const CLOSES = { 'python, with': ['SIGINT'], dd: ['SIGINT'] };

describe('interrupted half-way', () => {
  for (const signal of ['SIGKILL', 'SIGINT', 'SIGTERM'])
    for (const [what, script] of HALF_WAY)
      test(`${what}, ${signal}`, async () => {
        const mount = await begin(Buffer.alloc(0));
        await run('mkfifo', [join(mount.top, 'fifo')]);
        const source = what === 'tar x' ? (await run('tar', ['c', '-C', join(mount.top, 'dir'), 'stable_memory'], { encoding: 'buffer', maxBuffer: 2 ** 21 })).stdout : NEW;
        const child = spawn('bash', ['-c', script], { cwd: mount.top, env: { ...env, m: mount.point, t: mount.memoryPath }, stdio: 'ignore' });
        const ended = once(child, 'close');
        stage.onClose(() => child.kill('SIGKILL'));
        const fifo = await open(join(mount.top, 'fifo'), 'w');
        await fifo.write(source.subarray(0, source.length / 2));
        await eventually(async () => (await mount.restores()).some(({ staged_bytes }) => staged_bytes >= 200_000));
        child.kill(signal);
        await ended;
        await fifo.close();
        const states = await mount.states();
        if (CLOSES[what]?.includes(signal)) {
          assert.deepEqual(states, []);
          assert.equal((await mount.commits()).length, 1);
        } else {
          assert.deepEqual(states, ['tainted'], mount.stderr);
          assert.deepEqual(await mount.commits(), []);
          assert.equal((await mount.memory()).length, 0);
          await mount.says(/its writer was killed: nothing of it was sent; it is kept as 1/);
        }
        await mount.unmount();
      });

  for (const signal of ['SIGKILL', 'SIGINT', 'SIGTERM'])
    test(`rsync, ${signal}`, async () => {
      const mount = await begin(Buffer.alloc(0));
      const child = spawn('rsync', ['--bwlimit=200', join(mount.top, 'new'), mount.memoryPath], { env, stdio: 'ignore', detached: true });
      const ended = once(child, 'close');
      await eventually(async () => (await mount.restores()).some(({ staged_bytes }) => staged_bytes > 0));
      process.kill(-child.pid, signal);
      await ended;
      await eventually(async () => (await mount.states()).join() === (signal === 'SIGKILL' ? 'tainted' : ''), 5000);
      assert.deepEqual(await mount.commits(), []);
      assert.equal((await mount.memory()).length, 0);
      await mount.unmount();
    });

  // These close or rename the file by themselves when they are asked to end: it cannot be told that it is half.
  for (const option of ['-P', '--inplace', '--append-verify'])
    for (const signal of ['SIGINT', 'SIGTERM'])
      test(`rsync ${option}, ${signal}: what is there is restored`, async () => {
        const mount = await begin(Buffer.alloc(0));
        const child = spawn('rsync', ['--bwlimit=200', option, join(mount.top, 'new'), mount.memoryPath], { env, stdio: 'ignore', detached: true });
        const ended = once(child, 'close');
        await eventually(async () => (await mount.restores()).some(({ staged_bytes }) => staged_bytes > 0));
        process.kill(-child.pid, signal);
        await ended;
        await eventually(async () => (await mount.states()).length === 0, 5000);
        const memory = await mount.memory();
        assert.ok(memory.length > 0 && memory.length < SIZE, `${memory.length}`);
        // The signal may come between its writing its buffer and its forgetting it: then it writes these 256 KiB twice.
        const sound = Math.max(0, memory.length - 2 ** 18);
        assertBytes(memory.subarray(0, sound), NEW.subarray(0, sound), 'memory');
        await mount.unmount();
      });

  for (const signal of ['SIGKILL', 'SIGINT', 'SIGTERM'])
    test(`${signal} while the canister is being told: it ends soon, and can be resumed`, async () => {
      const mount = await begin();
      await mount.script('slow 20000');
      const child = spawn('cp', [join(mount.top, 'new'), mount.memoryPath], { env, stdio: 'ignore' });
      const ended = once(child, 'close');
      await eventually(async () => (await mount.restores()).some(({ state }) => state === 'committing'));
      const began = Date.now();
      child.kill(signal);
      await ended;
      assert.ok(Date.now() - began < 5000);
      assert.deepEqual(await mount.states(), ['failed']);
      assert.equal((await mount.restores())[0].errno, 'EINTR');
      assertBytes(await mount.memory(), OLD, 'memory');
      await mount.script();
      const job = await mount.job('restore resume 1');
      assert.equal(job.state, 'done', job.cause);
      assertBytes(await mount.memory(), NEW, 'memory');
      assert.deepEqual(await mount.states(), []);
      await mount.unmount();
    });
});
