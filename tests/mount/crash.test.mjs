// kill -9 at every step of a restore: of the program, of the tool that writes, of the network. At any time the canister is old
// or new, never mixed, if it offers restores in stages; what was begun is found again; and the same tool once more, or a
// command, ends in the new content, with no second effect.
//
// Some of each by default, all of them with CANISTERFS_TEST_LONG=1. Those of plain writes wait for five minutes each, until
// nothing that was sent can run any more: many at once.
import assert from 'node:assert/strict';
import { open } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { HOLDS, Rig, SHAPES } from './crash.mjs';
import { eventually, run, Stage } from './harness.mjs';
import { inLanes, LANES } from './lanes.mjs';

const isLong = process.env.CANISTERFS_TEST_LONG === '1';
const MIB = 2 ** 20;
// More than any of these restores makes.
const CALLS_MAX = 40;

let stage;
let nCases = 0;
before(async () => (stage = await Stage.open()));
after(async () => {
  console.log(`# ${nCases} crashes`);
  await stage.close();
});

const PLAIN = ['factland', 'stable64'];
const LATER = 'while it waits to be executed';
const LOST = 'when its reply is lost';
const NEVER = 'before it arrives';

// What is tried by default: shape, tool, what is held, which calls (none: all), how it goes on.
const SHORT = [
  ['sample', 'cp', LOST, null, 'repeat'],
  ['sample', 'rsync', LATER, null, 'resume'],
  ['sample', 'cp', NEVER, null, 'resume'],
  ['sample_steps', 'cp', LATER, null, 'repeat'],
  ['sample_steps', 'rsync', LOST, null, 'resume'],
  ['stable64', 'cp', LATER, [1], 'repeat'],
  ['stable64', 'cp', LOST, [1], 'resume'],
  ['items', 'cp', LATER, null, 'repeat'],
  ['items', 'rsync', LOST, [1, 3], 'resume'],
  ['dscvr', 'cp', LOST, null, 'repeat'],
];

const ALL = Object.keys(SHAPES).filter((shape) => shape !== 'demo');
const LONG = ALL.flatMap((shape) =>
  ['cp', 'rsync'].flatMap((tool) => Object.keys(HOLDS).flatMap((how) => ['repeat', 'resume'].map((end) => [shape, tool, how, null, end]))));

// Kill the program while its n-th update call is held. Resolves to whether it was held, and whether there are fewer calls.
async function crash(rig, [shape, tool, how, , end], n) {
  const restore = await rig.begin(shape);
  const hold = HOLDS[how];
  await restore.hold(n, hold);
  const child = restore.start(tool);
  if (!(await restore.held(child, hold))) {
    const { code, words } = await child.ended;
    assert.equal(code, 0, words);
    await restore.settle();
    await restore.end(tool);
    return { isHeld: false, isEnd: await restore.wasNone(hold) };
  }
  await restore.killDaemon();
  assert.notEqual((await child.ended).code, 0, 'the tool sees it');
  await restore.settle(hold);
  const state = await restore.look();
  if (how === NEVER && n === 1) assert.equal(state, 'old');
  await restore.mountAgain();
  const [found] = await restore.restores();
  assert.equal(found?.state, 'found', 'what was acknowledged is kept');
  await restore.mount.says(/was interrupted: control restore resume 1/);
  await restore[end](tool);
  await restore.end(tool);
  return { isHeld: true, isEnd: false };
}

// Says where an error was.
const located = (where) => (error) => Promise.reject(new Error(`${where}: ${error.message}`, { cause: error }));

async function crashes(rig, row) {
  const calls = row[3] ?? Array.from({ length: CALLS_MAX }, (_, i) => i + 1);
  let n = 0;
  for (let left = CALLS_MAX, isEnd = false; n < calls.length && !isEnd; left--) {
    assert.ok(left > 0, `${n} cases`);
    const outcome = await crash(rig, row, calls[n]).catch(located(`call ${calls[n]}`));
    isEnd = outcome.isEnd;
    n += outcome.isHeld;
  }
  assert.ok(n > 0 && n < CALLS_MAX, `${n} cases`);
  nCases += n;
}

describe('the program is killed at every call', { concurrency: isLong ? 4 * LANES : LANES }, () => {
  const laneTest = inLanes(() => Rig.open(stage), isLong ? 4 * LANES : LANES);
  // The slow ones first.
  const rows = (isLong ? LONG : SHORT).toSorted((a, b) => PLAIN.includes(b[0]) - PLAIN.includes(a[0]));
  for (const row of rows) {
    const [shape, tool, how, at, end] = row;
    laneTest(`${shape}, ${tool}, ${how}, ${at ? `call ${at}` : 'every call'}, then ${end}`, (rig) => crashes(rig, row));
  }

  laneTest('a call that comes when the repeat has long begun: it is waited for', async (rig) => {
    for (const [shape, n] of [['stable64', 1], ['items', 1], ['items', 3], ['sample', 2]]) {
      const restore = await rig.begin(shape);
      const hold = { kind: 'late', ms: 6000 };
      await restore.hold(n, hold);
      const child = restore.start('cp');
      assert.ok(await restore.held(child, hold));
      await restore.killDaemon();
      await child.ended;
      await rig.network.faults([]);
      await restore.mountAgain();
      if (n < 3) await restore.again('cp').catch((error) => assert.match(error.message, /resource busy/));
      if ((await restore.canister.state()) !== 'new') await restore.resume();
      await sleep(6000);
      assert.equal(await restore.look(), 'new', shape);
      await restore.mount.unmount();
      nCases++;
    }
  });
});

// Writes the source into a pipe that cp reads, a part of it, and waits.
async function fed(restore, bytes) {
  const pipe = `${restore.from}.pipe`;
  await run('mkfifo', [pipe]);
  const child = restore.start('cp', pipe);
  const file = await open(pipe, 'w');
  await file.writeFile(restore.canister.source.subarray(0, bytes));
  // cp has read and written all of it, when status says so.
  await eventually(async () => (await restore.restores())[0]?.staged_bytes === bytes);
  return { child, file };
}

describe('killed while it is written', { concurrency: LANES }, () => {
  const laneTest = inLanes(() => Rig.open(stage), LANES);
  const steps = isLong ? [1, 65536, 131072, MIB, MIB + 1, 2 * MIB, 3 * MIB] : [1, MIB + 1, 3 * MIB];

  for (const shape of isLong ? ['sample', 'sample_steps', ...PLAIN] : ['sample', 'stable64'])
    laneTest(`${shape}: the program, then the writer`, async (rig) => {
      for (const bytes of steps) {
        const restore = await rig.begin(shape);
        let { child, file } = await fed(restore, bytes);
        await restore.killDaemon();
        await file.close();
        assert.notEqual((await child.ended).code, 0);
        assert.equal(await restore.look(), 'old');
        await restore.mountAgain();
        for (const { state } of await restore.restores()) assert.equal(state, 'found');
        await run('rm', [`${restore.from}.pipe`]);
        ({ child, file } = await fed(restore, bytes));
        process.kill(-child.pid, 'SIGKILL');
        await child.ended;
        await file.close();
        await eventually(async () => (await restore.restores()).at(-1)?.state === 'tainted');
        assert.equal(await restore.look(), 'old');
        await restore.again('cp');
        await restore.end('cp');
        nCases += 2;
      }
    });

  laneTest('what fsync acknowledged before any commit is found, whole', async (rig) => {
    const restore = await rig.begin('sample');
    const file = await open(restore.path, 'w');
    await file.writeFile(restore.canister.source);
    await file.sync();
    await restore.killDaemon();
    await file.close().catch(() => {});
    await restore.mountAgain();
    const [found] = await restore.restores();
    assert.deepEqual([found.state, found.staged_bytes], ['found', restore.canister.source.length]);
    assert.equal((await restore.mount.job(`restore resume ${found.id}`)).state, 'failed', 'nobody said that it is whole');
    assert.equal(await restore.look(), 'old');
    assert.equal((await restore.mount.job(`restore commit ${found.id}`)).state, 'done');
    await restore.end('cp');
    nCases++;
  });
});

describe('the writer is killed while it waits for the commit', { concurrency: LANES }, () => {
  const laneTest = inLanes(() => Rig.open(stage), LANES);
  for (const shape of isLong ? ['sample', 'sample_steps', 'items'] : ['sample', 'items'])
    for (const tool of isLong ? ['cp', 'rsync'] : ['cp'])
      laneTest(`${shape}, ${tool}`, async (rig) => {
        for (let n = 1, isEnd = false, left = CALLS_MAX; !isEnd; left--) {
          assert.ok(left > 0);
          const restore = await rig.begin(shape);
          await restore.hold(n, HOLDS[LATER]);
          const child = restore.start(tool);
          const isHeld = await restore.held(child, HOLDS[LATER]);
          if (isHeld) process.kill(-child.pid, 'SIGKILL');
          await child.ended;
          await restore.settle(HOLDS[LATER]);
          await eventually(async () => (await restore.restores()).every(({ state }) => state !== 'committing'));
          const state = await restore.look();
          const kept = await restore.restores();
          if (state !== 'new') assert.deepEqual(kept.map((one) => one.state), ['failed']);
          if (kept.length > 0) await restore.repeat(tool);
          await restore.end(tool);
          isEnd = !isHeld && (await restore.wasNone(HOLDS[LATER]));
          n += isHeld;
          nCases += isHeld;
        }
      });
});

describe('the network', { concurrency: LANES }, () => {
  const laneTest = inLanes(() => Rig.open(stage), LANES);
  const away = {
    'refuses everything for some seconds': async (rig) => {
      await rig.network.faults([{ kind: 'refuse' }]);
      await sleep(3000);
      await rig.network.faults([]);
    },
    'stops for some seconds': async (rig) => {
      process.kill(rig.network.pid, 'SIGSTOP');
      await sleep(3000);
      process.kill(rig.network.pid, 'SIGCONT');
      await rig.network.faults([]);
    },
  };
  for (const [what, leave] of Object.entries(away))
    for (const shape of isLong ? ALL : ['sample', 'items'])
      laneTest(`${what}, at every call: ${shape}`, async (rig) => {
        for (let n = 1, isEnd = false, left = CALLS_MAX; !isEnd; left--) {
          assert.ok(left > 0);
          const restore = await rig.begin(shape);
          const hold = { kind: 'late', ms: 200 };
          await restore.hold(n, hold);
          const child = restore.start('cp');
          const isHeld = await restore.held(child, hold);
          if (isHeld) await leave(rig);
          const { code, words } = await child.ended;
          assert.equal(code, 0, `call ${n}: ${words}`);
          await restore.settle();
          await restore.end('cp');
          isEnd = !isHeld && (await restore.wasNone(hold));
          n += isHeld;
          nCases += isHeld;
        }
      });
});

// The local network saves its state when it ends in order. One that is killed comes back as it was saved: sessions that were
// begun since are gone, also those that were committed.
describe('the network is ended, and begins again', { concurrency: LANES }, () => {
  for (const signal of ['SIGTERM', 'SIGKILL'])
    test(signal, async () => {
      for (let n = 1, isEnd = false, left = CALLS_MAX; !isEnd; left--) {
        assert.ok(left > 0);
        const rig = await Rig.open(stage, ['--demo', '--demo-size', '1M', '--state', `${stage.dir}/state-${signal}-${left}`]);
        const restore = await rig.begin('demo');
        const hold = { kind: 'late', ms: 200 };
        await restore.hold(n, hold);
        const child = restore.start('cp');
        const isHeld = await restore.held(child, hold);
        isEnd = !isHeld && (await restore.wasNone(hold)); // the log ends with the network
        if (isHeld) await rig.restart(signal);
        const { code } = await child.ended;
        const state = await restore.look();
        if (code === 0 && signal === 'SIGTERM') assert.equal(state, 'new');
        if (code !== 0 || state !== 'new') await restore.again('cp');
        await restore.end('cp');
        await rig.end();
        n += isHeld;
        nCases += isHeld;
      }
    });
});
