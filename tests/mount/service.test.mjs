// The program as a service: how it starts, what signals do to it, what becomes of it when its surroundings change.
import assert from 'node:assert/strict';
import { copyFile, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually, networkArgs, program, pread, run, seedBytes, Stage, top } from './harness.mjs';
import { isMounted, newPoint, pidsOf, start, within } from './process.mjs';

// For what will come, on a busy machine.
const PATIENCE_MS = 60_000;
// What does not wait for the network ends in this time; what does takes at least a stall, 12 s.
const SOON_MS = 10_000;

let stage, network, sample;

before(async () => {
  stage = await Stage.open();
  network = await stage.network(['--demo', '--demo-size', '1M']);
  sample = network.canisters.sample;
});
after(() => stage.close());
// However a test ended, the next one finds the network well.
afterEach(async () => {
  await network.faults([]);
  await network.options({ queryMs: 0, skewMs: 0 });
});

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
  for (const foreground of [['-f'], []]) {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
      test(`${signal}, ${foreground.length ? 'foreground' : 'background'}: cleaned up, and dead of it`, async () => {
        await network.faults([{ kind: 'stall', endpoint: 'read_state' }]);
        const point = await newPoint(stage);
        const child = start(program, [...foreground, ...networkArgs(network), sample, point]);
        assert.ok(await within(PATIENCE_MS, async () => (await pidsOf(point)).length === 2 - foreground.length));
        await sleep(100);
        const asked = Date.now();
        child.kill(signal);
        assert.deepEqual(await child.ended, { code: null, signal });
        assert.ok(Date.now() - asked < SOON_MS, `took ${Date.now() - asked} ms`);
        assert.deepEqual(await pidsOf(point), [], 'no process is left');
        await network.faults([]);
        assert.ok(!(await isMounted(point)));
      });
    }
  }

  test('the waiting process is killed: nothing is mounted behind its back', async () => {
    await network.faults([{ kind: 'stall', ms: 4000, endpoint: 'read_state', nth: 1 }]);
    const point = await newPoint(stage);
    const child = start(program, [...networkArgs(network), sample, point]);
    assert.ok(await within(PATIENCE_MS, async () => (await pidsOf(point)).length === 2));
    child.kill('SIGKILL');
    await child.ended;
    assert.ok(await within(PATIENCE_MS, async () => (await pidsOf(point)).length === 0), 'the child ends too');
    assert.ok(!(await isMounted(point)));
  });
});

describe('inherited from whoever started it', () => {
  test('standard streams closed', async () => {
    const point = await newPoint(stage);
    const child = start('sh', ['-c', 'exec "$@" <&- >&- 2>&-', 'sh', program, ...networkArgs(network), sample, point]);
    assert.deepEqual(await child.ended, { code: 0, signal: null });
    await assertServes(point);
    const [pid] = await pidsOf(point);
    const before = await cpuTicks(pid);
    await sleep(300);
    assert.ok((await cpuTicks(pid)) - before < 5, 'it does not spin');
    for (const fd of ['0', '1', '2']) assert.equal((await stat(`/proc/${pid}/fd/${fd}`)).rdev, (await stat('/dev/null')).rdev);
    await run('fusermount3', ['-u', point]);
    assert.ok(await within(PATIENCE_MS, async () => (await pidsOf(point)).length === 0));
  });

  test('SIGUSR1 blocked: SIGTERM still ends it', async () => {
    const point = await newPoint(stage);
    const child = start('env', ['--block-signal=USR1', program, '-f', ...networkArgs(network), sample, point]);
    assert.ok(await within(PATIENCE_MS, () => isMounted(point)));
    await assertServes(point);
    child.kill('SIGTERM');
    assert.ok(await within(PATIENCE_MS, () => child.exitCode !== null));
    assert.deepEqual(await child.ended, { code: 0, signal: null });
  });

  test('SIGHUP ignored (nohup): it stays ignored', async () => {
    const point = await newPoint(stage);
    const child = start('env', ['--ignore-signal=HUP', program, '-f', ...networkArgs(network), sample, point]);
    assert.ok(await within(PATIENCE_MS, () => isMounted(point)));
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
    // The quietest of some seconds: on a busy machine the start may still go on.
    let n = Infinity;
    for (let i = 0; i < 10 && n >= 5; i++) {
      const before = await wakeUps(mount.pid);
      await sleep(1000);
      n = (await wakeUps(mount.pid)) - before;
    }
    assert.ok(n < 5, `${n} wake-ups in a second`);
    await mount.unmount();
  });

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    test(`${signal} while a reader waits: the reader gets an errno, the mount goes, status 0`, async () => {
      const mount = await stage.mount(network, sample);
      await network.faults([{ kind: 'stall', method: 'stable_read_at' }]);
      const reading = pread(mount.path('stable_memory'), 0, 100);
      await network.untilAsked({ method: 'stable_read_at' });
      const asked = Date.now();
      mount.child.kill(signal);
      assert.deepEqual(await mount.exited, { code: 0, signal: null });
      assert.ok(Date.now() - asked < SOON_MS, `took ${Date.now() - asked} ms`);
      assert.equal(typeof (await reading), 'string');
      assert.ok(!(await isMounted(mount.point)));
      assert.match(mount.stderr, new RegExp(`ending on ${signal}`));
      await network.faults([]);
    });
  }

  test('unmounting does not wait for a stalled reader, and the process ends with it', async () => {
    const mount = await stage.mount(network, sample, ['-o', 'timeout=5s']);
    await network.faults([{ kind: 'stall', method: 'stable_read_at' }]);
    let isOver = false;
    const reading = pread(mount.path('stable_memory'), 0, 100).finally(() => (isOver = true));
    await network.untilAsked({ method: 'stable_read_at' });
    await run('fusermount3', ['-uz', mount.point]);
    assert.ok(!isOver, 'unmounted before the reader was told');
    assert.equal(await reading, 'ETIMEDOUT');
    assert.deepEqual(await mount.exited, { code: 0, signal: null });
    await network.faults([]);
  });

  test('SIGUSR2 steps the log level and says so', async () => {
    const mount = await stage.mount(network, sample, ['-o', 'log_level=error']);
    assert.equal(mount.stderr, '');
    for (const level of ['warning', 'info', 'debug', 'trace', 'info']) {
      mount.child.kill('SIGUSR2');
      assert.ok(await within(PATIENCE_MS, () => mount.stderr.trimEnd().endsWith(`log level is now ${level}`)), mount.stderr);
      const from = mount.stderr.length;
      await pread(mount.path('canister', 'id'), 0, 100);
      if (level === 'trace') await mount.says(/open inode/);
      else await sleep(50);
      assert.equal(/open inode/.test(mount.stderr.slice(from)), level === 'trace', 'each kernel request at trace only');
    }
    await mount.unmount();
  });
});

// What a mount is used for when nobody looks: it must come back by itself.
describe('surroundings that change', () => {
  test('a certificate file given by a relative name, in the background', async () => {
    // Faults and log as files: the test's own requests would have to trust the certificate, too.
    const [faults, log] = [join(stage.dir, 'faults.json'), join(stage.dir, 'log.json')];
    await writeFile(faults, JSON.stringify([{ kind: 'goaway', method: 'stable_read_at', nth: 3 }]));
    const secure = await stage.network(['--demo', '--demo-size', '1M', '--http2', '--faults', faults, '--log', log]);
    const point = await newPoint(stage);
    await copyFile(secure.ca, join(stage.dir, 'ca.pem'));
    const child = start(program, [...networkArgs(secure), '-o', 'ca_file=ca.pem', secure.canisters.sample, point], { cwd: stage.dir });
    assert.deepEqual(await child.ended, { code: 0, signal: null }, child.words);
    for (const offset of [100, 200000, 400000, 600000]) await assertServes(point, offset);
    await eventually(async () => /goaway/.test(await readFile(log, 'utf8'))); // a connection was ended, and another made
    await run('fusermount3', ['-u', point]);

    const missing = start(program, [...networkArgs(secure), '-o', 'ca_file=none.pem', secure.canisters.sample, point]);
    assert.deepEqual(await missing.ended, { code: 2, signal: null });
    assert.match(missing.words, /^canisterfs: certificate file 'none\.pem': No such file or directory\n$/);
  });

  test('a canister that fails and a reader that goes on: one line, however many reads', async () => {
    const mount = await stage.mount(network, sample, ['-o', 'timeout=30s']); // the machine may be busy
    await network.faults([{ kind: 'http', status: 500, method: 'stable_read_at' }]);
    await mount.says(/mounted on/); // the last line of the start
    const before = mount.stderr.length;
    const dd = start('dd', [`if=${mount.path('stable_memory')}`, 'of=/dev/null', 'bs=64k', 'conv=noerror']);
    await dd.ended;
    assert.equal(dd.words.match(/Input\/output error/g)?.length, 16, dd.words);
    await mount.says(/error: .*500/);
    const lines = mount.stderr.slice(before).trimEnd().split('\n');
    assert.equal(lines.length, 1, lines.join('\n'));
    assert.match(lines[0], /error: .*HTTP (status )?500/);
    const [entry, ...others] = (await mount.json('status')).last_errors.filter((error) => /500/.test(error.message));
    assert.ok(entry.count >= 1 && others.length === 0, JSON.stringify([entry, others])); // loads, not reads, are counted
    await mount.unmount();
  });

  test('the network is gone for a while: errors in time, then everything as before', async () => {
    const mount = await stage.mount(network, sample, ['-o', 'timeout=1s']);
    await network.faults([{ kind: 'stall' }]);
    for (const offset of [0, 500000]) {
      const asked = Date.now();
      const got = await pread(mount.path('stable_memory'), offset, 64);
      assert.ok(['ETIMEDOUT', 'EHOSTUNREACH'].includes(got), String(got));
      assert.ok(Date.now() - asked < SOON_MS, `took ${Date.now() - asked} ms`);
    }
    assert.deepEqual(await readdir(mount.path('.canisterfs')), ['control', 'stats', 'status'], 'what needs no network is there');
    await network.faults([]);
    assert.ok(await within(PATIENCE_MS, async () => Buffer.isBuffer(await pread(mount.path('stable_memory'), 0, 64))));
    for (const offset of [0, 500000]) await assertServes(mount.point, offset);
    await mount.unmount();
  });

  test('status and control answer while a lookup waits for the network', async () => {
    const mount = await stage.mount(network, sample, ['-o', 'timeout=8s,attr_timeout=100ms']);
    await mount.json('status');
    await readFile(mount.path('.canisterfs', 'control'));
    await sleep(300); // what may be forgotten is
    await network.faults([{ kind: 'stall' }]);
    let isOver = false;
    const reading = pread(mount.path('stable_memory'), 0, 64).finally(() => (isOver = true));
    await network.untilAsked({});
    assert.equal((await mount.json('status')).jobs.length, 0);
    await assert.rejects(writeFile(mount.path('.canisterfs', 'control'), 'cancel 1'), { code: 'ENOENT' });
    assert.ok(!isOver, 'the lookup still waits');
    assert.equal(await reading, 'ETIMEDOUT');
    await mount.unmount();
  });

  test('the network is replaced: another process at the same address, with the same keys', async () => {
    const args = ['--demo', '--demo-size', '1M', '--state', join(stage.dir, 'state')];
    const first = await Stage.open();
    stage.onClose(() => first.close());
    const before = await first.network(args);
    const mount = await stage.mount(before, before.canisters.sample, ['-o', 'timeout=10s']); // for all 5 tries
    await assertServes(mount.point, 100);
    await first.close();
    assert.equal(await pread(mount.path('stable_memory'), 300000, 64), 'EHOSTUNREACH');
    await stage.network([...args, '--port', new URL(before.url).port]);
    assert.ok(await within(PATIENCE_MS, async () => Buffer.isBuffer(await pread(mount.path('stable_memory'), 300000, 64))));
    await assertServes(mount.point, 300000);
    await mount.unmount();
  });

  test('stopped in the middle of a read, as a virtual machine is', async () => {
    const mount = await stage.mount(network, sample, ['-o', 'timeout=1s']);
    await network.options({ queryMs: 300 });
    const reading = pread(mount.path('stable_memory'), 0, 64);
    await sleep(100);
    mount.child.kill('SIGSTOP');
    await sleep(1500);
    mount.child.kill('SIGCONT');
    const got = await reading;
    if (Buffer.isBuffer(got)) assert.equal(got.compare(seedBytes(1n, 0, 64)), 0);
    else assert.ok(['ETIMEDOUT', 'EHOSTUNREACH'].includes(got), got);
    await network.options({ queryMs: 0 });
    assert.ok(await within(PATIENCE_MS, async () => Buffer.isBuffer(await pread(mount.path('stable_memory'), 0, 64))));
    await assertServes(mount.point, 0);
    await mount.unmount();
  });

  // While a laptop sleeps the wall clock goes on, CLOCK_MONOTONIC does not, and the other side forgets the connections.
  test('the wall clock jumps by hours, as after a suspend', async () => {
    const clock = join(stage.dir, 'clock');
    // The program reads it at any time, and must not find half of it.
    const setClock = async (text) => {
      await writeFile(`${clock}.new`, text);
      await rename(`${clock}.new`, clock);
    };
    await setClock('+0');
    const mount = await stage.mount(network, sample, ['-o', 'timeout=10s'], {
      env: {
        LD_PRELOAD: '/usr/$LIB/faketime/libfaketimeMT.so.1',
        FAKETIME_TIMESTAMP_FILE: clock,
        FAKETIME_NO_CACHE: '1',
        FAKETIME_DONT_FAKE_MONOTONIC: '1',
      },
    });
    await assertServes(mount.point, 100);
    for (const hours of [10, 0]) {
      // Forward, and back again as when a wrong clock is set right.
      await setClock(`+${hours}h`);
      await network.options({ skewMs: hours * 3600_000 });
      await network.faults([{ kind: 'close', nth: 1 }]);
      await assertServes(mount.point, 300000 + hours);
      await network.faults([]);
    }
    // A clock that is wrong by itself: replies look stale, and nothing is believed until it is right again.
    await setClock('+1h');
    assert.equal(await pread(mount.path('stable_memory'), 700000, 64), 'EBADMSG');
    assert.match(JSON.stringify((await mount.json('status')).last_errors), /this computer's clock is 3\d{3} s ahead of the server's: set it right/);
    await setClock('+0');
    assert.ok(await within(PATIENCE_MS, async () => Buffer.isBuffer(await pread(mount.path('stable_memory'), 700000, 64))));
    await assertServes(mount.point, 700000);
    await mount.unmount();
  });
});

// tests/mount/preload.c stands in for what cannot be had in a test: a machine at its limits, a failing /dev/fuse, a syslog.
test('in the background, trouble is told to syslog', async () => {
  const library = join(stage.dir, 'preload.so');
  await run('cc', ['-shared', '-fPIC', '-o', library, join(top, 'tests', 'mount', 'preload.c')]);
  const [syslog, noThreads, broken] = ['syslog', 'no-threads', 'broken'].map((name) => join(stage.dir, name));
  await writeFile(syslog, '');
  const point = await newPoint(stage);
  const child = start(program, [...networkArgs(network), sample, point], {
    env: { ...process.env, LD_PRELOAD: library, TEST_SYSLOG: syslog, TEST_NO_THREADS: noThreads, TEST_BROKEN: broken },
  });
  assert.deepEqual(await child.ended, { code: 0, signal: null }, child.words);
  const says = (line) => within(PATIENCE_MS, async () => (await readFile(syslog, 'utf8')).split('\n').includes(line));
  assert.ok(await says(`<6>canister ${sample} of ${network.url} mounted on ${point}`));
  const [pid] = await pidsOf(point);
  process.kill(pid, 'SIGUSR2');
  assert.ok(await says('<6>log level is now debug'));

  await writeFile(noThreads, '');
  await network.options({ queryMs: 200 });
  await Promise.all([0, 200000, 400000, 600000].map((offset) => assertServes(point, offset)));
  await network.options({ queryMs: 0 });
  assert.ok(await says('<3>fuse: error creating thread: Resource temporarily unavailable'), "libfuse's own words");

  await writeFile(broken, '');
  await pread(join(point, 'canister', 'id'), 0, 1); // wakes the threads that wait in read(2)
  assert.ok(await within(PATIENCE_MS, async () => (await pidsOf(point)).length === 0), 'it ends');
  assert.ok(await says('<3>serving ended: Input/output error'));
  assert.ok(!(await isMounted(point)));
});

test('one line for one trouble, however many reads meet it', async () => {
  const mount = await stage.mount(network, sample, ['-o', 'timeout=2s']);
  await pread(mount.path('stable_memory'), 0, 1);
  await network.faults([{ kind: 'http', status: 500, method: 'stable_read_at' }]);
  for (let offset = 65536; offset < 1 << 20; offset += 65536)
    assert.equal(await pread(mount.path('stable_memory'), offset, 10), 'EIO');
  await network.faults([]);
  await mount.says(/error: .*500/);
  assert.equal(mount.stderr.match(/error: .*HTTP status 500|error: .*500/g).length, 1, mount.stderr);
  const [last] = (await mount.json('status')).last_errors.slice(-1);
  assert.ok(last.count >= 15, JSON.stringify(last));
  assert.match(last.message, /10 bytes|bytes at \d+/);
  await mount.unmount();
});
