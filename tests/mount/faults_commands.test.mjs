// Every fault of the local network on the n-th call of each command that changes the canister as a whole, for all n: on that
// call alone, on it and all that follow for some seconds, and on all that follow until the command is cancelled. Afterwards
// `done` means that it is done, and `failed` without a doubt that nothing was; the snapshots of before are as they were; the
// canister runs if it ran, or it is told that it may not, and `start` cures that, also of the next mount; an upload goes on
// to what was sent, in no second snapshot, or is dropped and leaves none.
//
// A part of it by default, all with CANISTERFS_TEST_LONG=1.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe } from 'node:test';
import { IDL } from '@icp-sdk/core/candid';
import { Rig } from './canister_commands.mjs';
import { run, Stage } from './harness.mjs';
import { createCanister, installCode, moduleOf } from './install.mjs';
import { inLanes } from './lanes.mjs';
import { snapshotsOf } from './snapshots.mjs';

const isLong = process.env.CANISTERFS_TEST_LONG === '1';
const N_LANES = isLong ? 12 : 6;
// How long an outage lasts that ends by itself, or goes on before the user loses patience.
const OUTAGE_MS = 2500;
// A command has no more calls.
const CALLS_MAX = 30;

const ERRNOS = new Set(
  ['ETIMEDOUT', 'EINTR', 'EHOSTUNREACH', 'EPROTO', 'EBADMSG', 'EACCES', 'ENOENT', 'ESTALE', 'ENOSPC', 'EFBIG', 'EBUSY', 'EIO'],
);

// On one call: kind, parameters, whether the command succeeds all the same, whether it is tried by default. Where it may
// fail it does on some calls, and not on others.
const ONCE = [
  ['refuse', {}, true],
  ['lost_reply', {}, true, true],
  ['reset', {}, true],
  ['truncate', {}, true],
  ['close', {}, true],
  ['stall', {}, true],
  ['stall', { ms: 300 }, true],
  ['stall', { ms: 300, in_body: true }, true],
  ['late', { ms: 3000 }, true],
  ['drip', { bytes: 1000, ms: 5 }, true],
  ['http', { status: 503 }, true],
  ['http', { status: 500 }, false],
  ['http', { status: 429, retry_after: 0 }, true],
  ['http', { status: 400 }, false],
  ['http', { status: 403 }, false, true],
  ['truncate_body', {}, true],
  ['forged_reply', {}, true],
  ['garbage', {}, true],
  ['other_reply', {}, true],
  ['wrong_certificate', {}, true],
  ['wrong_certificate', { negated: true }, true],
  ['stale', {}, true],
  ['stale', { seconds: -600 }, true],
  ['other_subnet', {}, true],
  ['request_status', { as: 'pruned' }, true],
  ['request_status', { as: 'absent' }, true],
  ['request_status', { as: 'processing' }, true],
  ['request_status', { as: 'done' }, false],
  ['reject', { code: 'IC0210' }, true],
  ['reject', { code: 'IC0521' }, false],
  ['duplicate', {}, true],
  ['rotate_nodes', {}, true],
];

// From one call on, also on every question for the status of one: kind, parameters, whether it is tried for a while, too,
// whether by default.
const LASTING = [
  ['refuse', {}, true],
  ['lost_reply', {}, true, true],
  ['stall', {}],
  ['http', { status: 503 }, true],
  ['http', { status: 429, retry_after: 0 }],
  ['http', { status: 403 }],
  ['forged_reply', {}],
  ['garbage', {}, true],
  ['wrong_certificate', {}],
  ['stale', {}],
  ['request_status', { as: 'absent' }],
  ['reject', { code: 'IC0210' }],
];

const words = (kind, parameters) => [kind, ...Object.entries(parameters).map(([k, v]) => `${k}=${v}`)].join(' ');
const hexIn = (pattern, text) => pattern.exec(text)[1];

// --- commands ---

// Of each lane a canister that has a snapshot of one post, `kept`.
async function makeOrigin(rig) {
  const principal = await createCanister(rig.client.agent);
  await installCode(rig.client.agent, principal, moduleOf('distrikt'));
  const id = principal.toText();
  const snapshots = snapshotsOf(rig.client, id);
  await rig.client.update(id, 'post', new Uint8Array(IDL.encode([IDL.Text], ['one'])));
  await snapshots.putChunk(Buffer.from('a chunk'));
  const kept = await snapshots.take();
  return { id, kept, keptBefore: await look({ snapshots, kept }) };
}

// The canister with that snapshot alone, two posts, and a mount of its own.
async function begin(rig) {
  await rig.network.faults([]);
  rig.origin ??= await makeOrigin(rig);
  const { id, kept } = rig.origin;
  const snapshots = snapshotsOf(rig.client, id);
  await snapshots.start();
  await snapshots.load(kept);
  for (const other of await snapshots.list()) if (other !== kept) await snapshots.delete(other);
  const canister = await rig.over(id, ['rw']);
  await canister.post('two');
  return Object.assign(canister, rig.origin);
}

const look = async ({ snapshots, kept }) => [await snapshots.metadata(kept), await snapshots.content(kept)];

// A local directory that is to be uploaded.
async function withFiles(canister) {
  await run('cp', ['-r', canister.mount.path('snapshots', canister.kept), canister.mount.path('snapshots', 'mine')]);
}

async function isUploaded(canister, id) {
  assert.deepEqual(await canister.snapshots.content(id), canister.keptBefore[1], 'what was sent');
  assert.deepEqual((await canister.snapshots.list()).sort(), [canister.kept, id].sort(), 'and no second one');
}

// Of each: prepare() what it is for; its text(); the canister and its snapshots must be as they were, but for what
// done(), undone() and either() tell of: what must hold when it is done, when it certainly is not, and when nobody knows.
// check(): what else must hold. afterFailure(): what comes then. `n` calls are made when nothing fails.
const loaded = {
  done: async (canister) => assert.equal(await canister.posts(), 1),
  undone: async (canister) => assert.equal(await canister.posts(), 2),
  either: async (canister) => assert.ok([1, 2].includes(await canister.posts())),
  text: ({ kept }) => `snapshot load ${kept}`,
};
const noMore = async (canister) => assert.deepEqual(await canister.snapshots.list(), [canister.kept]);

const COMMANDS = {
  take: {
    n: 2,
    text: () => 'snapshot take',
    async done(canister, { progress }) {
      const id = hexIn(/^took snapshot ([\da-f]+)$/, progress);
      assert.deepEqual((await canister.snapshots.list()).sort(), [canister.kept, id].sort());
    },
    undone: noMore,
    async either(canister, { error }) {
      const [id, ...more] = (await canister.snapshots.list()).filter((other) => other !== canister.kept);
      assert.deepEqual(more, []);
      if (/there is a new snapshot now/.test(error.message)) assert.ok(error.message.includes(id), error.message);
    },
  },
  delete: {
    n: 1,
    prepare: async (canister) => (canister.victim = await canister.snapshots.take()),
    text: ({ victim }) => `snapshot delete ${victim}`,
    done: noMore,
    undone: async (canister) => assert.ok((await canister.snapshots.list()).includes(canister.victim)),
  },
  load: { n: 5, ...loaded },
  'load --running': { n: 3, ...loaded, text: ({ kept }) => `snapshot load ${kept} --running` },
  'load of a stopped one': { n: 3, ...loaded, isStopped: true },
  start: { n: 1, isStopped: true, text: () => 'start', startsIt: true },
  stop: { n: 2, text: () => 'stop', stopsIt: true },
  upgrade: {
    n: 5,
    text: () => `upgrade ${otherModule()}`,
    done: async (canister) => assert.equal(await moduleSize(canister), otherBytes().length),
    undone: async (canister) => assert.equal(await moduleSize(canister), moduleOf('distrikt').length),
    either: async (canister) => assert.ok([otherBytes().length, moduleOf('distrikt').length].includes(await moduleSize(canister))),
    check: async (canister) => assert.equal(await canister.posts(), 2),
  },
  upload: {
    n: 9,
    prepare: withFiles,
    text: () => 'snapshot upload mine',
    done: (canister, { progress }) => isUploaded(canister, hexIn(/snapshot ([\da-f]+): uploaded, read back and the same/, progress)),
    async afterFailure(canister, n) {
      if (n % 2 === 0) {
        const dropped = await canister.command('snapshot drop mine');
        if (dropped.state !== 'done') assert.equal(dropped.error.errno, 'ENOENT', JSON.stringify(dropped.error));
        await noMore(canister);
      }
      const again = await canister.command('snapshot upload mine');
      assert.equal(again.state, 'done', JSON.stringify(again.error));
      await this.done(canister, again);
    },
  },
  drop: {
    n: 1,
    async prepare(canister) {
      await withFiles(canister);
      await canister.rig.network.faults([{ endpoint: 'call', method: 'upload_canister_snapshot_data', nth: 2, kind: 'reject', code: 'IC0521' }]);
      assert.equal((await canister.command('snapshot upload mine')).state, 'failed');
      assert.equal((await canister.snapshots.list()).length, 2);
    },
    text: () => 'snapshot drop mine',
    done: noMore,
    undone: async (canister) => assert.equal((await canister.snapshots.list()).length, 2),
    async afterFailure(canister) {
      const again = await canister.command('snapshot drop mine');
      assert.equal(again.state, 'done', JSON.stringify(again.error));
      await noMore(canister);
    },
  },
};

// The canister's own module with one more section.
const otherBytes = () => Buffer.concat([Buffer.from(moduleOf('distrikt')), Buffer.from([0, 2, 1, 0x78])]);
let file;
function otherModule() {
  if (!file) {
    file = join(stage.dir, 'other.wasm');
    writeFileSync(file, otherBytes());
  }
  return file;
}

// Of the module that it has now, as a snapshot of it tells.
async function moduleSize({ snapshots }) {
  const id = await snapshots.take();
  const size = Number((await snapshots.metadata(id)).wasm_module_size);
  await snapshots.delete(id);
  return size;
}

// --- what must hold ---

// It is as it was, or as the command is to make it, or it is told that it is not.
async function checkRuns(canister, command, job) {
  const mayBe = new Set([command.isStopped ? 'stopped' : 'running']);
  const { downtime } = await canister.status();
  if (command.startsIt || command.stopsIt) {
    const wanted = command.startsIt ? 'running' : 'stopped';
    if (job.state === 'done') mayBe.clear();
    if (job.state === 'done' || job.error.outcome_unknown) mayBe.add(wanted);
  }
  const state = await canister.state();
  if (!mayBe.has(state)) {
    assert.equal(state, 'stopped');
    assert.equal(job.state, 'failed', 'it is stopped');
    assert.match(job.error.message, /THE CANISTER MAY STAY STOPPED: control start/);
    assert.ok(downtime?.was_running, 'it is noted');
  }
  if (!downtime) return;
  assert.equal(job.state, 'failed', `of what is done nothing is owed: ${JSON.stringify(downtime)}`);
  assert.equal(downtime.command, command.text(canister));
  if (job.error.message.includes('THE CANISTER MAY STAY STOPPED')) assert.ok(downtime.was_running);
  await canister.mount.unmount();
  await canister.mountAgain();
  await canister.mount.says(/of an earlier mount was interrupted/);
  const cured = await canister.command(downtime.was_running ? 'start' : 'stop');
  assert.equal(cured.state, 'done', JSON.stringify(cured.error));
  assert.equal(await canister.state(), downtime.was_running ? 'running' : 'stopped');
  assert.equal((await canister.status()).downtime, null);
  nCured++;
}

async function check(canister, command, job, n) {
  await checkRuns(canister, command, job);
  if ((await canister.state()) === 'stopped') await canister.snapshots.start();
  if (job.state === 'failed') {
    assert.ok(ERRNOS.has(job.error.errno), job.error.errno);
    if (job.error.outcome_unknown) assert.equal(job.error.errno, 'EIO');
  }
  // What was done, but the canister could not be started.
  if (job.state === 'done' || job.error.message.startsWith('it was done')) await command.done?.(canister, job);
  else if (!job.error.outcome_unknown) await command.undone?.(canister);
  else await command.either?.(canister, job);
  await command.check?.(canister);
  assert.ok((await canister.snapshots.list()).includes(canister.kept));
  assert.deepEqual(await look(canister), canister.keptBefore, 'the snapshot of before is as it was');
  if (job.state === 'failed') await command.afterFailure?.(canister, n);
}

// --- one case ---

let stage;
let nCases = 0;
let nCured = 0;
const failed = {};
before(async () => (stage = await Stage.open()));
after(async () => {
  console.log(`# ${nCases} faults; commands that failed: ${JSON.stringify(failed)}; downtimes cured by the next mount: ${nCured}`);
  await stage.close();
});

async function prepared(rig, command) {
  const canister = await begin(rig);
  await command.prepare?.(canister);
  if (command.isStopped) await canister.snapshots.stop();
  return canister;
}

// Is such a request under way, or has been one since the log was so long?
async function isHit({ network }, began, kind) {
  const active = await (await fetch(new URL('/_test/active', network.url))).json();
  return [...active, ...(await network.log()).slice(began)].some(({ fault }) => fault === kind);
}

async function end(canister, command, job, n, kind) {
  await canister.rig.network.faults([]);
  if (job.state === 'failed') failed[kind] = (failed[kind] ?? 0) + 1;
  nCases++;
  await check(canister, command, job, n);
  await canister.mount.unmount();
}

// False: there are fewer calls than n.
async function once(rig, command, n, fault, mustSucceed) {
  const canister = await prepared(rig, command);
  const began = (await rig.network.log()).length;
  await canister.hold(n, fault);
  const job = await canister.command(command.text(canister));
  if (!(await isHit(rig, began, fault.kind))) {
    assert.equal(job.state, 'done', JSON.stringify(job.error));
    await canister.mount.unmount();
    return false;
  }
  if (mustSucceed) assert.equal(job.state, 'done', JSON.stringify(job.error));
  await end(canister, command, job, n, fault.kind);
  return true;
}

async function lasting(rig, command, n, fault, isCancelled) {
  const canister = await prepared(rig, command);
  const text = command.text(canister);
  const began = (await rig.network.log()).length;
  await rig.network.faults([{ endpoint: 'call', from: n, ...fault }]);
  let hitAt = 0;
  let isOver = false;
  const job = await canister.command(text, async ({ id }) => {
    if (hitAt === 0 && (await isHit(rig, began, fault.kind))) {
      hitAt = Date.now();
      await rig.network.faults(['call', 'read_state'].map((endpoint) => ({ endpoint, ...fault })));
    }
    if (hitAt === 0 || isOver || Date.now() < hitAt + OUTAGE_MS) return;
    isOver = true;
    if (isCancelled) await canister.write(`cancel ${id}`);
    else await rig.network.faults([]);
  });
  assert.ok(hitAt > 0 || (await isHit(rig, began, fault.kind)), `there is a call ${n}`);
  await end(canister, command, job, n, fault.kind);
}

// A canister that met a failure is of no use to the cases after it.
async function inCase(rig, n, run) {
  try {
    return await run();
  } catch (error) {
    rig.origin = undefined;
    throw new Error(`call ${n}: ${error.message}`, { cause: error });
  }
}

async function onEachCall(rig, command, fault, mustSucceed) {
  let n = 1;
  // By default not whether there are more calls.
  while ((isLong || n <= command.n) && (await inCase(rig, n, () => once(rig, command, n, fault, mustSucceed)))) assert.ok(n++ < CALLS_MAX);
  assert.ok(n > command.n, `${n - 1} calls`);
}

describe('faults of commands', { concurrency: N_LANES }, () => {
  const laneTest = inLanes(() => Rig.open(stage), N_LANES);

  for (const [name, command] of Object.entries(COMMANDS)) {
    for (const [kind, parameters, mustSucceed, isShort] of ONCE)
      if (isLong || isShort)
        laneTest(`${name}: ${words(kind, parameters)}, once`, (rig) => onEachCall(rig, command, { kind, ...parameters }, mustSucceed));

    for (const [kind, parameters, endsToo, isShort] of LASTING)
      for (const isCancelled of endsToo ? [true, false] : [true])
        for (let n = 1; n <= command.n; n++)
          if (isLong || (isShort && isCancelled && n === command.n))
            laneTest(`${name}: ${words(kind, parameters)} from call ${n} on, ${isCancelled ? 'until cancelled' : 'for a while'}`, (rig) =>
              inCase(rig, n, () => lasting(rig, command, n, { kind, ...parameters }, isCancelled)),
            );
  }
});
