// The program as a service: how it starts, what signals do to it, what becomes of it when its surroundings change.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { networkArgs, program, pread, run, seedBytes, Stage } from './harness.mjs';

let stage, network, sample;

before(async () => {
  stage = await Stage.open();
  network = await stage.network(['--demo', '--demo-size', '1M']);
  sample = network.canisters.sample;
});
after(() => stage.close());

// Until `condition` holds, at most `ms`; false when it never did.
async function within(ms, condition) {
  const deadline = Date.now() + ms;
  while (!(await condition())) {
    if (Date.now() > deadline) return false;
    await sleep(20);
  }
  return true;
}

const isMounted = async (point) => (await readFile('/proc/self/mountinfo', 'utf8')).includes(` ${point} `);

// The processes of our program that serve, or want to serve, a mount point.
async function pidsOf(point) {
  const pids = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const words = (await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '')).split('\0');
    if (words.includes(point) && words.some((word) => word === program)) pids.push(Number(name));
  }
  return pids;
}

// A new directory to mount on; whatever is mounted there or wants to be is gone at the end.
async function newPoint() {
  const point = join(stage.dir, `point-${Math.random().toString(36).slice(2)}`);
  await mkdir(point);
  stage.onClose(async () => {
    await run('fusermount3', ['-uz', point]).catch(() => {});
    for (const pid of await pidsOf(point)) process.kill(pid, 'SIGKILL');
  });
  return point;
}

// A process whose end and words can be asked for.
function start(command, args, options = {}) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  child.words = '';
  child.stderr?.on('data', (chunk) => (child.words += chunk));
  child.ended = once(child, 'exit').then(([code, signal]) => ({ code, signal }));
  return child;
}

async function assertServes(point, offset = 100) {
  const got = await pread(join(point, 'stable_memory'), offset, 64);
  assert.ok(Buffer.isBuffer(got), got);
  assert.equal(got.compare(seedBytes(1n, offset, 64)), 0);
}

const cpuTicks = async (pid) => {
  const words = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /s, '').split(' ');
  return Number(words[11]) + Number(words[12]);
};

async function wakeUps(pid) {
  let total = 0;
  for (const task of await readdir(`/proc/${pid}/task`)) {
    const status = await readFile(`/proc/${pid}/task/${task}/status`, 'utf8');
    total += Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(status)[1]);
  }
  return total;
}

describe('a signal during the start', () => {
  after(() => network.faults([]));

  for (const foreground of [['-f'], []]) {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
      test(`${signal}, ${foreground.length ? 'foreground' : 'background'}: cleaned up, and dead of it`, async () => {
        await network.faults([{ kind: 'stall', endpoint: 'read_state' }]);
        const point = await newPoint();
        const child = start(program, [...foreground, ...networkArgs(network), sample, point]);
        assert.ok(await within(3000, async () => (await pidsOf(point)).length === 2 - foreground.length));
        await sleep(100);
        const asked = Date.now();
        child.kill(signal);
        assert.deepEqual(await child.ended, { code: null, signal });
        assert.ok(Date.now() - asked < 1000, `took ${Date.now() - asked} ms`);
        assert.deepEqual(await pidsOf(point), [], 'no process is left');
        await network.faults([]);
        assert.ok(!(await isMounted(point)));
      });
    }
  }

  test('the waiting process is killed: nothing is mounted behind its back', async () => {
    await network.faults([]);
    await network.options({ queryMs: 500 });
    const point = await newPoint();
    const child = start(program, [...networkArgs(network), sample, point]);
    assert.ok(await within(3000, async () => (await pidsOf(point)).length === 2));
    child.kill('SIGKILL');
    await child.ended;
    assert.ok(await within(5000, async () => (await pidsOf(point)).length === 0), 'the child ends too');
    assert.ok(!(await isMounted(point)));
    await network.options({ queryMs: 0 });
  });
});

describe('inherited from whoever started it', () => {
  test('standard streams closed', async () => {
    const point = await newPoint();
    const child = start('sh', ['-c', 'exec "$@" <&- >&- 2>&-', 'sh', program, ...networkArgs(network), sample, point]);
    assert.deepEqual(await child.ended, { code: 0, signal: null });
    await assertServes(point);
    const [pid] = await pidsOf(point);
    const before = await cpuTicks(pid);
    await sleep(300);
    assert.ok((await cpuTicks(pid)) - before < 5, 'it does not spin');
    for (const fd of ['0', '1', '2']) assert.equal((await stat(`/proc/${pid}/fd/${fd}`)).rdev, (await stat('/dev/null')).rdev);
    await run('fusermount3', ['-u', point]);
    assert.ok(await within(2000, async () => (await pidsOf(point)).length === 0));
  });

  test('SIGUSR1 blocked: SIGTERM still ends it', async () => {
    const point = await newPoint();
    const child = start('env', ['--block-signal=USR1', program, '-f', ...networkArgs(network), sample, point]);
    assert.ok(await within(5000, () => isMounted(point)));
    await assertServes(point);
    child.kill('SIGTERM');
    assert.ok(await within(2000, () => child.exitCode !== null));
    assert.deepEqual(await child.ended, { code: 0, signal: null });
  });

  test('SIGHUP ignored (nohup): it stays ignored', async () => {
    const point = await newPoint();
    const child = start('env', ['--ignore-signal=HUP', program, '-f', ...networkArgs(network), sample, point]);
    assert.ok(await within(5000, () => isMounted(point)));
    child.kill('SIGHUP');
    await sleep(200);
    await assertServes(point);
    child.kill('SIGTERM');
    assert.deepEqual(await child.ended, { code: 0, signal: null });
  });
});

describe('a serving mount', () => {
  test('nothing runs while nobody asks', async () => {
    const mount = await stage.mount(network, sample);
    await assertServes(mount.point);
    await sleep(200);
    const before = await wakeUps(mount.pid);
    await sleep(1000);
    const n = (await wakeUps(mount.pid)) - before;
    assert.ok(n < 5, `${n} wake-ups in a second`);
    await mount.unmount();
  });

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    test(`${signal} while a reader waits: the reader gets an errno, the mount goes, status 0`, async () => {
      const mount = await stage.mount(network, sample);
      await network.faults([{ kind: 'stall', method: 'stable_read_at' }]);
      const reading = pread(mount.path('stable_memory'), 0, 100);
      await sleep(200);
      const asked = Date.now();
      mount.child.kill(signal);
      assert.deepEqual(await mount.exited, { code: 0, signal: null });
      assert.ok(Date.now() - asked < 2000, `took ${Date.now() - asked} ms`);
      assert.equal(typeof (await reading), 'string');
      assert.ok(!(await isMounted(mount.point)));
      assert.match(mount.stderr, new RegExp(`ending on ${signal}`));
      await network.faults([]);
    });
  }

  test('unmounting does not wait for a stalled reader, and the process ends with it', async () => {
    const mount = await stage.mount(network, sample, ['-o', 'timeout=2s']);
    await network.faults([{ kind: 'stall', method: 'stable_read_at' }]);
    const reading = pread(mount.path('stable_memory'), 0, 100);
    await sleep(200);
    const asked = Date.now();
    await run('fusermount3', ['-uz', mount.point]);
    assert.ok(Date.now() - asked < 1000);
    assert.equal(await reading, 'ETIMEDOUT');
    assert.deepEqual(await mount.exited, { code: 0, signal: null });
    await network.faults([]);
  });

  test('SIGUSR2 steps the log level and says so', async () => {
    const mount = await stage.mount(network, sample, ['-o', 'log_level=error']);
    assert.equal(mount.stderr, '');
    for (const level of ['warning', 'info', 'debug', 'trace', 'info']) {
      mount.child.kill('SIGUSR2');
      assert.ok(await within(1000, () => mount.stderr.trimEnd().endsWith(`log level is now ${level}`)), mount.stderr);
      const from = mount.stderr.length;
      await pread(mount.path('canister', 'id'), 0, 100);
      await sleep(50);
      assert.equal(/open inode/.test(mount.stderr.slice(from)), level === 'trace', 'each kernel request at trace only');
    }
    await mount.unmount();
  });
});
