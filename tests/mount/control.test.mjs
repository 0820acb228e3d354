// .canisterfs/control: how commands are written, what is refused, and `prepare`, which is called by nothing else.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, open, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { Client } from './client.mjs';
import { errnoName, eventually, networkArgs, program, refused, run, Stage, top } from './harness.mjs';
import { newPoint } from './process.mjs';
import { ShapedCanister } from './shapes.mjs';

const NOBODY = 65534;
const SIZE = 1_234_567;
const METHODS = { taggr: 'backup', hotornot: 'save_snapshot_json' };
const env = { ...process.env, LC_ALL: 'C' };

let stage, network, client;
before(async () => {
  stage = await Stage.open();
  await chmod(stage.dir, 0o711); // other users must reach the mount points
  network = await stage.network();
  client = await Client.open(network);
});
after(() => stage.close());

const owner = () => ['-o', `identity=${network.identity}`];
const install = (name, options = {}) => ShapedCanister.install(client.agent, name, { size: SIZE, ...options });
const control = (mount) => mount.path('.canisterfs', 'control');
const jobs = async (mount) => (await mount.json('status')).jobs;
const isCall = ({ endpoint }) => endpoint === 'call';

// One write(2); resolves to 'done' or the name of its errno.
async function command(mount, bytes) {
  const file = await open(control(mount), 'w');
  try {
    const { bytesWritten } = await file.write(Buffer.from(bytes));
    assert.equal(bytesWritten, Buffer.from(bytes).length, 'all of it');
    return 'done';
  } catch (error) {
    return errnoName(error);
  } finally {
    await file.close();
  }
}

// The job of this number once it has ended.
async function ended(mount, id) {
  let job;
  await eventually(async () => {
    job = (await jobs(mount)).find((other) => other.id === id);
    return job.state === 'done' || job.state === 'failed';
  });
  return job;
}

const lastWords = async (mount) => (await mount.json('status')).last_errors.at(-1).message;

// How a shell command ends; $1 is the control file.
async function shell(script, ...args) {
  const child = spawn('bash', ['-c', script, 'bash', ...args], { env, stdio: ['ignore', 'ignore', 'pipe'] });
  let words = '';
  child.stderr.on('data', (chunk) => (words += chunk));
  const [code] = await once(child, 'close');
  return { code, words };
}

async function assertMemory(mount, canister) {
  const memory = canister.memories.stable_memory;
  const copy = join(stage.dir, 'copy');
  await run('cp', [mount.path('stable_memory'), copy]);
  const got = await readFile(copy);
  assert.equal(got.length, memory.size);
  assert.equal(Buffer.compare(got, memory.read(0, memory.size)), 0);
}

describe('prepare', () => {
  for (const name of Object.keys(METHODS)) {
    test(`${name}: called once, then the new data are read`, async () => {
      const canister = await install(name);
      const mount = await stage.mount(network, canister.id, owner());
      await assertMemory(mount, canister);
      for (const [id, size] of [[1, SIZE + 4321], [2, SIZE - 5]]) {
        await canister.fill(size, BigInt(id));
        await assertMemory(mount, canister); // still the old ones, just looked at
        const requests = await network.requestsDuring(async () => {
          assert.equal(await command(mount, 'prepare\n'), 'done');
          const job = await ended(mount, id);
          assert.equal(job.state, 'done');
          assert.equal(job.command, 'prepare');
          assert.equal(job.progress, `${METHODS[name]} has run`);
          assert.equal(job.error, null);
          for (const when of ['accepted', 'started', 'ended'])
            assert.ok(Math.abs(Date.parse(job[when]) - Date.now()) < 10_000, when);
        });
        assert.deepEqual(requests.filter(isCall).map(({ method, canister: to, argBytes }) => [method, to, argBytes]), [
          [METHODS[name], canister.id, 6],
        ]);
        canister.readable = canister.filled;
        await assertMemory(mount, canister);
      }
      assert.equal((await mount.json('stats')).calls.updates, 2);
      await mount.unmount();
      await mount.says(/job 2 \(prepare\) is done/);
    });
  }

  test('nothing else ever calls it', async () => {
    for (const [name, method] of Object.entries(METHODS)) {
      const canister = await install(name);
      const requests = await network.requestsDuring(async () => {
        for (const args of [[], ['-o', `profile=${name}`]]) {
          const mount = await stage.mount(network, canister.id, [...owner(), ...args]);
          const out = join(stage.dir, `all-${Math.random().toString(36).slice(2)}`);
          await mkdir(out);
          assert.equal((await mount.json('status')).stable_memory.prepare, method);
          await run('ls', ['-lR', mount.point]);
          await run('find', [mount.point, '-ls']);
          await run('cat', ['status', 'stats', 'control'].map((file) => mount.path('.canisterfs', file)), { maxBuffer: 2 ** 20 });
          await run('rsync', ['-a', `${mount.point}/`, `${out}/rsync`]);
          await run('cp', ['-a', mount.point, `${out}/cp`]);
          await run('tar', ['-C', mount.point, '-cf', `${out}/tar`, 'stable_memory', 'canister']);
          await run('grep', ['-r', 'no such thing', mount.point]).catch(({ code }) => assert.equal(code, 1));
          await shell(': > "$1"; echo > "$1"; touch "$1"; truncate -s 0 "$1"; exec 9<>"$1"; exec 9>&-', control(mount));
          assert.equal(await command(mount, 'prepar'), 'EINVAL');
          assert.equal(await command(mount, 'prepare now'), 'EINVAL');
          assert.deepEqual(await jobs(mount), []);
          await mount.unmount();
        }
      });
      assert.ok(requests.length > 10);
      // What lists snapshots/ must ask for the names, which is an update call that changes nothing.
      assert.deepEqual(requests.filter((entry) => isCall(entry) && entry.method !== 'list_canister_snapshots'), []);
    }
  });

  test('who may not, is told so in the job', async () => {
    const canister = await install('taggr');
    const mount = await stage.mount(network, canister.id);
    assert.equal(await command(mount, 'prepare'), 'done', 'accepted: only the canister knows');
    const { state, error } = await ended(mount, 1);
    assert.equal(state, 'failed');
    assert.deepEqual([error.errno, error.outcome_unknown], ['EACCES', false]);
    assert.match(error.message, /denied: only a controller/);
    assert.match(await lastWords(mount), /job 1 \(prepare\): .*denied: only a controller/);
    await assertMemory(mount, canister);
    await mount.unmount();
  });

  test("README's lines: a backup of what was prepared, or none", async () => {
    const readme = await readFile(join(top, 'README.md'), 'utf8');
    const [, lines] = /```\n(echo prepare [^]*?)```/.exec(readme);
    const canister = await install('hotornot', { controllersOnly: false });
    const backup = join(stage.dir, 'backup');
    for (const [args, isOwner] of [[[], false], [owner(), true]]) {
      const mount = await stage.mount(network, canister.id, args);
      await writeFile(backup, 'the old one');
      const script = lines.replaceAll('mnt/', `${mount.point}/`);
      const result = run('bash', ['-c', script], { cwd: stage.dir }).then(() => 0, ({ code }) => code);
      assert.equal(await result, isOwner ? 0 : 1);
      canister.readable = canister.filled;
      const memory = canister.memories.stable_memory;
      const expected = isOwner ? memory.read(0, memory.size) : Buffer.from('the old one');
      assert.equal(Buffer.compare(await readFile(backup), expected), 0);
      await mount.unmount();
    }
  });

  test('not offered', async () => {
    const canister = await install('hotornot');
    const map = join(stage.dir, 'arguments.map');
    const misfits = [
      ['fill', 'it cannot be called without arguments'],
      ['dump', 'not in the Candid interface'],
    ];
    for (const [method, words] of misfits) {
      await writeFile(map, `[stable_memory]\nread = download_snapshot\nprepare = ${method}\n`);
      const { code, stderr } = await refused([...networkArgs(network), ...owner(), '-o', `map=${map}`, canister.id, await newPoint(stage)]);
      assert.equal(code, 3);
      assert.match(stderr, new RegExp(`does not fit the map .*: ${method}: ${words}`));
    }
    await writeFile(map, '[stable_memory]\nread = download_snapshot\n');
    const mounts = [['-o', 'profile=none'], ['-o', `map=${map}`]];
    const requests = await network.requestsDuring(async () => {
      for (const args of mounts) {
        const mount = await stage.mount(network, canister.id, [...owner(), ...args]);
        assert.equal(await command(mount, 'prepare'), 'ENOTSUP', 'EOPNOTSUPP, by its other name');
        assert.match(await lastWords(mount), /control, line 1: no profile or map .* names a method/);
        assert.deepEqual(await jobs(mount), []);
        await mount.unmount();
      }
    });
    assert.deepEqual(requests.filter(isCall), []);
  });

  test('a map may name any method, also where no interface is known', async () => {
    const canister = await install('hotornot', { metadata: 'none' });
    const map = join(stage.dir, 'prepare.map');
    await writeFile(map, '[stable_memory]\nread = download_snapshot\nprepare = save_snapshot_json\n');
    const mount = await stage.mount(network, canister.id, [...owner(), '-o', `map=${map}`]);
    assert.equal((await stat(mount.path('stable_memory'))).size, 0, 'a canister just installed has no snapshot');
    assert.equal(await command(mount, 'prepare'), 'done');
    assert.equal((await ended(mount, 1)).state, 'done');
    canister.readable = canister.filled;
    await assertMemory(mount, canister);
    await mount.unmount();
  });

  test('a method that is not there, a canister that is stopped', async () => {
    const canister = await install('hotornot', { metadata: 'none' });
    const map = join(stage.dir, 'absent.map');
    await writeFile(map, '[stable_memory]\nread = download_snapshot\nprepare = dump\n');
    const mount = await stage.mount(network, canister.id, [...owner(), '-o', `map=${map}`]);
    assert.equal(await command(mount, 'prepare'), 'done');
    assert.equal((await ended(mount, 1)).error.errno, 'ENOENT');
    await canister.stop();
    assert.equal(await command(mount, 'prepare'), 'done');
    const { error } = await ended(mount, 2);
    assert.equal(error.errno, 'EIO');
    assert.match(error.message, /stopped/);
    await mount.unmount();
  });
});

describe('a call that takes its time', () => {
  afterEach(async () => {
    await network.options({ updateMs: 0 });
    await network.faults([]);
  });

  const slow = async (updateMs = 4000) => {
    await network.options({ updateMs: 0 });
    const canister = await install('taggr');
    const mount = await stage.mount(network, canister.id, owner());
    await network.options({ updateMs });
    return mount;
  };
  // Much longer than giving it up may take.
  const ENDLESS_MS = 60_000;
  const SOON_MS = 15_000;
  const running = async (mount) => {
    await eventually(async () => (await jobs(mount)).at(-1).state === 'running');
    await eventually(async () => /is called/.test((await jobs(mount)).at(-1).progress));
    await network.untilAsked({ endpoint: 'call' });
  };

  test('is not made twice at once, however many want it', async () => {
    const mount = await slow();
    const requests = await network.requestsDuring(async () => {
      const answers = await Promise.all(Array.from({ length: 20 }, () => command(mount, 'prepare\n')));
      assert.deepEqual(answers.sort(), ['done', ...Array(19).fill('EBUSY')].sort());
      assert.match(await lastWords(mount), /control, line 1: it (runs|waits) already/);
      const [job, ...others] = await jobs(mount);
      assert.deepEqual([job.id, job.ended, job.error, others.length], [1, null, null, 0]);
      assert.equal((await ended(mount, 1)).state, 'done');
    });
    assert.equal(requests.filter(isCall).length, 1);
    await mount.unmount();
  });

  test('that is cancelled has an unknown outcome', async () => {
    const mount = await slow(ENDLESS_MS);
    assert.equal(await command(mount, 'prepare'), 'done');
    await running(mount);
    const started = Date.now();
    assert.equal(await command(mount, 'cancel 1'), 'done');
    const { state, error } = await ended(mount, 1);
    assert.ok(Date.now() - started < SOON_MS, 'at once');
    assert.deepEqual([state, error.errno, error.outcome_unknown], ['failed', 'EIO', true]);
    assert.match(error.message, /^outcome unknown: update backup may have run/);
    assert.equal(await command(mount, 'cancel 1'), 'ENOENT');
    await mount.unmount();
  });

  test('does not hold up SIGTERM or unmounting, and the log says what is not known', async () => {
    for (const end of ['SIGTERM', 'unmount']) {
      const mount = await slow(ENDLESS_MS);
      assert.equal(await command(mount, 'prepare'), 'done');
      await running(mount);
      const started = Date.now();
      if (end === 'SIGTERM') mount.child.kill('SIGTERM');
      else await run('fusermount3', ['-u', mount.point]);
      assert.deepEqual(await mount.exited, { code: 0, signal: null });
      assert.ok(Date.now() - started < SOON_MS, `${end} took ${Date.now() - started} ms`);
      assert.match(mount.stderr, /error: job 1 \(prepare\): .*outcome unknown: update backup may have run/);
    }
  });

  // A copy of the same bytes may follow on another connection: the network runs a request id once.
  const assertOneRequest = (requests) => {
    const calls = requests.filter(isCall);
    assert.ok(calls.length > 0);
    assert.equal(new Set(calls.map(({ requestId }) => requestId)).size, 1);
  };
  const UNKNOWN = /^outcome unknown: update backup may have run/;

  test('whose answer is lost is asked about, never made anew', async () => {
    const mount = await slow();
    await network.options({ updateMs: 100 });
    await network.faults([{ kind: 'lost_reply', method: 'backup' }]);
    const requests = await network.requestsDuring(async () => {
      assert.equal(await command(mount, 'prepare'), 'done');
      await ended(mount, 1);
    });
    assertOneRequest(requests);
    assert.ok(requests.filter(isCall).every(({ fault }) => fault === 'lost_reply'), 'no answer to it ever came');
    assert.ok(requests.some(({ endpoint }) => endpoint === 'read_state'));
    const [{ state, error }] = await jobs(mount);
    assert.deepEqual([state, error], ['done', null]);
    assert.equal((await mount.json('stats')).calls.updates, 1);
    await mount.unmount();
  });

  test('of which nothing more is heard has an unknown outcome', async () => {
    const mount = await slow();
    await network.options({ updateMs: 100 });
    const lost = async () => (await network.log()).filter(({ fault }) => fault === 'lost_reply').length;
    const before = await lost();
    await network.faults([{ kind: 'lost_reply', method: 'backup' }, { kind: 'refuse', endpoint: 'read_state' }]);
    const requests = await network.requestsDuring(async () => {
      assert.equal(await command(mount, 'prepare'), 'done');
      await eventually(async () => (await lost()) > before);
      await new Promise((resolve) => setTimeout(resolve, 1000));
      await command(mount, 'cancel 1'); // unless it was given up already
      const { state, error } = await ended(mount, 1);
      assert.deepEqual([state, error.errno, error.outcome_unknown], ['failed', 'EIO', true]);
      assert.match(error.message, UNKNOWN);
    });
    assertOneRequest(requests);
    await mount.unmount();
  });
});

describe('control', () => {
  let mount;
  before(async () => {
    mount = await stage.mount(network, (await install('taggr')).id, owner());
  });

  test('is read as a list of the commands', async () => {
    const { stdout } = await run(program, ['--help']);
    const commands = (text) => text.trimEnd().split('\n').map((line) => /^ *(\S.*?) {2,}\S/.exec(line)[1]);
    const listed = commands(await readFile(control(mount), 'utf8'));
    assert.deepEqual(listed, commands(/commands \(.*\n([^]*?)\n\nexit status/.exec(stdout)[1]));
    for (const command of ['prepare', 'cancel ID', 'restore commit ID [shrink=zero] [force]', 'snapshot take', 'start']) assert.ok(listed.includes(command), command);
    const { mode, uid, size } = await stat(control(mount));
    assert.deepEqual([mode & 0o7777, uid, size], [0o644, process.getuid(), 0]);
  });

  test('takes a line however it is written', async () => {
    // A number that no job has: the errno and the words tell that exactly this command arrived.
    const ways = [
      ['echo cancel "$2" > "$1"', 1],
      ['echo cancel "$2" >> "$1"', 1],
      ['printf "cancel $2" > "$1"', 1],
      ['printf "\\n\\ncancel   $2  \\n\\n" > "$1"', 1],
      ['echo cancel "$2" | cat > "$1"', 1],
      ['echo cancel "$2" | tee "$1"', 1],
      ['echo cancel "$2" | tee -a "$1"', 1],
      ['echo cancel "$2" | dd of="$1" status=none', 1],
      ['echo cancel "$2" | dd of="$1" conv=notrunc,fsync oflag=append status=none', 1],
      ['exec 9> "$1" && echo cancel "$2" >&9', 1],
      ['exec 9<> "$1" && cat <&9 >/dev/null && echo cancel "$2" >&9', 1],
      ['echo cancel "$2" > "$3" && cp "$3" "$1"', 1],
      [`python3 -c "
import sys
with open(sys.argv[1], 'w') as control: print('cancel $2', file=control)" "$1"`, 1],
      ['python3 -c "import os, sys; os.writev(os.open(sys.argv[1], os.O_WRONLY), [b\'can\', b\'cel $2\', b\'\\n\'])" "$1"', 1],
    ];
    let number = 1000;
    for (const [script, code] of ways) {
      number++;
      const result = await shell(script, control(mount), String(number), join(stage.dir, 'line'));
      assert.match(result.words, /No such file or directory/, script);
      assert.equal(result.code, code, script);
      assert.match(await lastWords(mount), new RegExp(`no job ${number} waits or runs`), script);
    }
  });

  test('a shell that keeps it open gives commands one after the other', async () => {
    const result = await shell(
      'exec 9> "$1"; echo cancel 2001 >&9; echo nonsense >&9; echo >&9 && echo cancel 2003 >&9 || exec 9>&-',
      control(mount),
    );
    const words = ['No such file or directory', 'Invalid argument', 'No such file or directory'];
    assert.deepEqual(result.words.trimEnd().split('\n').map((line) => line.replace(/.*: /, '')), words);
  });

  test('refuses what is no command, in words', async () => {
    const rows = [
      ['nonsense\n', "there is no command 'nonsense'"],
      ['Prepare\n', "there is no command 'Prepare'"],
      ['prepare x\n', "'prepare x' has other arguments than 'prepare'"],
      ['cancel\n', "'cancel' has other arguments than 'cancel ID'"],
      ['cancel 1 2\n', "'cancel 1 2' has other arguments"],
      ['cancel one\n', 'ID is the number of a job'],
      ['cancel -1\n', 'ID is the number of a job'],
      ['cancel 99999999999999999999999\n', 'ID is the number of a job'],
      ['prepare\0\n', 'control characters'],
      ['\x1b[2J\n', 'control characters'],
      ['prepare\r\n', 'control characters'],
      [Buffer.from([0xff, 0x0a]), 'not valid UTF-8'],
      ['\n'.repeat(4096), 'at most 4095 bytes'],
      ['prepare\n'.repeat(2 ** 17), 'at most 4095 bytes'],
      ['\n\n prepar\nprepare\n', "line 3: there is no command 'prepar'"],
    ];
    for (const [bytes, words] of rows) {
      assert.equal(await command(mount, bytes), 'EINVAL', words);
      const said = await lastWords(mount);
      assert.ok(said.includes(words), `${said} for ${words}`);
    }
    assert.equal(await command(mount, '\n'.repeat(4095)), 'done', 'nothing is no command');
    assert.deepEqual(await jobs(mount), []);
  });

  test('lines before the one that is refused are done, those after it are not', async () => {
    const other = await stage.mount(network, (await install('taggr')).id, owner());
    const requests = await network.requestsDuring(async () => {
      assert.equal(await command(other, 'prepare\n\ncancel 77\nprepare\n'), 'ENOENT');
      assert.match(await lastWords(other), /control, line 3: no job 77/);
      assert.equal((await ended(other, 1)).state, 'done');
    });
    assert.equal((await jobs(other)).length, 1);
    assert.equal(requests.filter(isCall).length, 1);
    await other.unmount();
  });

  test('is all that can be written to', async () => {
    for (const [path, flags] of [['stable_memory', 'r+'], ['stable_memory', 'w'], ['.canisterfs/status', 'a'], ['new', 'w'], ['.canisterfs/new', 'w']])
      await assert.rejects(open(mount.path(path), flags), { code: 'EROFS' }, path);
    for (const script of ['rm -f "$1"', 'mv "$1" "$1.old"', 'ln "$1" "$1.new"', 'mkdir "$1.d"', 'mkfifo "$1.p"', 'ln -s x "$1.s"'])
      assert.match((await shell(script, control(mount))).words, /Read-only file system/, script);
    for (const script of ['chmod 600 "$1"', 'truncate -s 1 "$1"', 'touch -d 2001-01-01 "$1"'])
      assert.match((await shell(script, control(mount))).words, /Operation not permitted/, script);
  });

  test('belongs to whoever mounted', { skip: process.getuid() !== 0 && 'only root can be somebody else' }, async () => {
    const canister = await install('taggr');
    const asNobody = (script, point) =>
      run('setpriv', [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', 'sh', '-c', script, 'sh', `${point}/.canisterfs/control`], { env });
    for (const words of ['allow_other', `allow_other,uid=${NOBODY},gid=${NOBODY}`]) {
      const other = await stage.mount(network, canister.id, [...owner(), '-o', words]);
      const requests = await network.requestsDuring(async () => {
        for (const script of ['echo prepare > "$1"', 'echo prepare >> "$1"', ': > "$1"', 'truncate -s 0 "$1"'])
          await assert.rejects(asNobody(script, other.point), /Permission denied/, script);
      });
      assert.match((await asNobody('cat "$1"', other.point)).stdout, /^prepare /, 'reading does no harm');
      assert.deepEqual(requests.filter(isCall), []);
      assert.deepEqual(await jobs(other), []);
      await other.unmount();
    }
  });
});
