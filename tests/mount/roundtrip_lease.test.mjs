// maintenance=auto through a mount: the canister is paused while it is copied or restored, what it was doing is waited for, other
// clients' updates are refused meanwhile, and however it ends the canister does not stay paused.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { openNetwork } from './client.mjs';
import { Dscvr } from './dscvr.mjs';
import { eventually, pread, run, seedBytes } from './harness.mjs';
import { installPlain } from './roundtrip.mjs';

const PAGE = 65536;
const SIZE = 16 * PAGE;
const env = { ...process.env, LC_ALL: 'C' };
const TTL_MS = 60_000; // of a lease of canisterfs
const LINGER_MS = 30_000; // it is kept after the last restore

let stage, network, client;
let names = 0;

before(async () => ({ stage, network, client } = await openNetwork()));
after(() => stage.close());

// The sample with `old` in it, a mount of it, and `next`, a file to be restored to it.
async function begin(...options) {
  const canister = await installPlain(client.agent, 'sample');
  await canister.actor.seed(BigInt(SIZE), 1n);
  const words = [`identity=${network.identity}`, 'attr_timeout=100ms', 'maintenance=auto', ...options];
  const mount = await stage.mount(network, canister.id, ['-o', words.join()]);
  const next = seedBytes(2n, 0, SIZE);
  const file = join(stage.dir, `next${++names}`);
  await writeFile(file, next);
  return { canister, mount, next, file, to: mount.path('stable_memory') };
}

const rw = () => ['rw', `staging_dir=${join(stage.dir, 'staging')}`];

// A command that goes on; .ended resolves to its error or null.
function start(command, ...args) {
  const child = execFile(command, args, { env });
  child.ended = new Promise((resolve) => {
    let stderr = '';
    child.stderr.on('data', (chunk) => (stderr += chunk));
    child.on('close', (code, signal) => resolve(code === 0 ? null : { code, signal, stderr }));
  });
  return child;
}

const status = ({ canister }) => canister.actor.maintenance_status();
const isPaused = async (it) => (await status(it)).paused;
const isFree = (it) => eventually(async () => !(await isPaused(it)));

// The application goes on: an update of somebody's is taken.
async function assertGoesOn(it) {
  assert.equal(await isPaused(it), false);
  await it.canister.actor.work(1n);
}
async function assertRefuses(it) {
  assert.equal(await isPaused(it), true);
  await assert.rejects(it.canister.actor.seed(8n, 9n), /in maintenance: /);
  await assert.rejects(it.canister.actor.work(1n), /in maintenance: /);
}

async function assertHolds({ canister }, bytes) {
  assert.equal(await canister.actor.stable_size(), BigInt(bytes.length));
  assert.ok(Buffer.from(await canister.actor.stable_read(0n, BigInt(bytes.length))).equals(bytes), 'what it holds');
}

// Stop every request for a method of one canister until the function returned is called; the rules of several tests are one list.
const rules = new Set();
async function hold(it, method) {
  const rule = { kind: 'stall', canister: it.canister.id, method };
  rules.add(rule);
  await network.faults([...rules]);
  return async () => {
    rules.delete(rule);
    await network.faults([...rules]);
  };
}
const untilAsked = (it, method) => network.untilAsked({ canister: it.canister.id, method });
const callsOf = async (it) =>
  (await network.log()).filter(({ endpoint, canister }) => endpoint === 'call' && canister === it.canister.id);
const count = (calls, method) => calls.filter((call) => call.method === method).length;

describe('a restore', { concurrency: 4 }, () => {
  test('pauses, refuses others, and lets go some time after it', async () => {
    const it = await begin(...rw());
    const release = await hold(it, 'restore_commit');
    const cp = start('cp', it.file, it.to);
    await untilAsked(it, 'restore_commit');
    await assertRefuses(it);
    await release();
    assert.equal(await cp.ended, null);
    await assertHolds(it, it.next);
    const ended = Date.now();
    assert.ok(await isPaused(it), 'another restore may follow');
    await run('cp', [it.file, it.to], { env });
    await isFree(it);
    assert.ok(Date.now() - ended >= LINGER_MS - 2000, 'not before');
    const calls = await callsOf(it);
    assert.equal(count(calls, 'maintenance_pause'), 1, 'one pause for both');
    assert.equal(count(calls, 'maintenance_resume'), 1);
    await assertGoesOn(it);
    await it.mount.unmount();
  });

  test('is let go at once when the mount ends', async () => {
    const it = await begin(...rw());
    await run('cp', [it.file, it.to], { env });
    assert.ok(await isPaused(it));
    await it.mount.unmount();
    await assertGoesOn(it);
  });

  test('waits for what the canister is doing', async () => {
    const it = await begin(...rw());
    const working = it.canister.actor.work(6000n);
    await eventually(async () => (await status(it)).in_flight > 0n);
    await run('cp', [it.file, it.to], { env });
    await working;
    const calls = await callsOf(it);
    const of = (method) => calls.find((call) => call.method === method);
    const workEnded = of('work').began + of('work').ms;
    assert.ok(of('maintenance_pause').began < workEnded, 'it was paused while the work was under way');
    // What is in flight ends a little before its reply is out.
    assert.ok(of('restore_begin').began > workEnded - 500, 'and begun when that was done');
    assert.equal((await status(it)).in_flight, 0n);
    await assertHolds(it, it.next);
    await it.mount.unmount();
    await assertGoesOn(it);
  });

  test('that fails is let go', async () => {
    const it = await begin(...rw());
    await writeFile(`${it.file}.half`, it.next.subarray(0, SIZE / 2));
    const error = await run('cp', [`${it.file}.half`, it.to], { env }).catch((other) => other);
    assert.match(error.stderr, /Invalid argument/);
    await isFree(it);
    await assertHolds(it, seedBytes(1n, 0, SIZE));
    await it.mount.unmount();
    await assertGoesOn(it);
  });

  test('whose writer is killed is not begun, or ends and is let go', async () => {
    const it = await begin(...rw());
    const release = await hold(it, 'restore_commit');
    const cp = start('cp', it.file, it.to);
    await untilAsked(it, 'restore_commit');
    cp.kill('SIGKILL');
    assert.equal((await cp.ended).signal, 'SIGKILL');
    await eventually(async () => (await it.mount.json('status')).restores[0]?.state === 'failed');
    await release();
    await isFree(it);
    await assertGoesOn(it);
    await it.mount.unmount();
  });

  test('that SIGTERM of canisterfs interrupts is let go', async () => {
    const it = await begin(...rw());
    const release = await hold(it, 'restore_commit');
    const cp = start('cp', it.file, it.to);
    await untilAsked(it, 'restore_commit');
    assert.ok(await isPaused(it));
    it.mount.child.kill('SIGTERM');
    assert.notEqual(await cp.ended, null, 'cp says that it was not restored');
    assert.equal((await it.mount.exited).code, 0);
    await release();
    await isFree(it);
    assert.equal(count(await callsOf(it), 'maintenance_resume'), 1);
    await assertGoesOn(it);
  });

  test('whose canisterfs is killed is let go when the lease expires, and can be ended after that', { timeout: 3 * TTL_MS }, async () => {
    const it = await begin(...rw());
    const release = await hold(it, 'restore_commit');
    const cp = start('cp', it.file, it.to);
    await untilAsked(it, 'restore_commit');
    it.mount.child.kill('SIGKILL');
    await it.mount.exited;
    await run('fusermount3', ['-uz', it.mount.point]);
    assert.notEqual(await cp.ended, null);
    await release();
    const { paused, lease_expires_ns } = await status(it);
    assert.ok(paused);
    assert.ok(Number(lease_expires_ns / 1_000_000n) - Date.now() <= TTL_MS + 2000, 'a minute at most');
    await eventually(async () => !(await isPaused(it)), TTL_MS + 10_000);

    const words = [...rw(), `identity=${network.identity}`, 'attr_timeout=100ms', 'maintenance=auto'];
    const again = await stage.mount(network, it.canister.id, ['-o', words.join()]);
    const [{ id }] = (await again.json('status')).restores;
    await writeFile(again.path('.canisterfs', 'control'), `restore resume ${id}\n`);
    await eventually(async () => ['done', 'failed'].includes((await again.json('status')).jobs[0]?.state));
    assert.equal((await again.json('status')).jobs[0].state, 'done');
    await assertHolds(it, it.next);
    await again.unmount();
    await assertGoesOn(it);
  });

  test('of many files is one pause', async () => {
    const canister = await Dscvr.install(client.agent, { count: 300, seed: 5n });
    const words = [...rw(), `identity=${network.identity}`, 'maintenance=auto', 'attr_timeout=100ms', 'chunk_items=20', 'profile=dscvr'];
    const mount = await stage.mount(network, canister.id, ['-o', words.join()]);
    const saved = join(stage.dir, 'saved-dscvr');
    await run('cp', ['-r', mount.path('backup', 'content'), saved], { env });
    await mount.unmount();
    await canister.fill(0, 1n);
    const again = await stage.mount(network, canister.id, ['-o', words.join()]);
    const requests = await network.requestsDuring(() => run('bash', ['-c', `cp ${saved}/* ${again.path('backup', 'content')}/`], { env }));
    const calls = requests.filter((request) => request.endpoint === 'call' && request.canister === canister.id);
    assert.equal(count(calls, 'restore_content'), 15);
    assert.equal(count(calls, 'maintenance_pause'), 1);
    await assert.rejects(canister.actor.touch(1n), /in maintenance/);
    await again.unmount();
    await canister.actor.touch(1n);
  });
});

describe('a backup', { concurrency: 4 }, () => {
  test('of a mount that only reads pauses, too, and lets go', async () => {
    const it = await begin();
    const copy = join(stage.dir, `copy${++names}`);
    const release = await hold(it, 'stable_read_at');
    const cp = start('cp', it.to, copy);
    await untilAsked(it, 'stable_read_at');
    await assertRefuses(it);
    await release();
    assert.equal(await cp.ended, null);
    assert.ok((await readFile(copy)).equals(seedBytes(1n, 0, SIZE)));
    await isFree(it);
    await assertGoesOn(it);
    await it.mount.unmount();
  });

  test('whose reader is killed lets go', async () => {
    const it = await begin();
    const release = await hold(it, 'stable_read_at');
    const cp = start('cp', it.to, join(stage.dir, `copy${++names}`));
    await untilAsked(it, 'stable_read_at');
    assert.ok(await isPaused(it));
    cp.kill('SIGKILL');
    await cp.ended;
    await release();
    await isFree(it);
    await assertGoesOn(it);
    await it.mount.unmount();
  });
});

test('somebody who may not pause gets no copy, which might be of two states', async () => {
  const it = await begin();
  await it.mount.unmount();
  const mount = await stage.mount(network, it.canister.id, ['-o', 'maintenance=auto']);
  assert.equal(await pread(mount.path('stable_memory'), 0, 8), 'EACCES');
  await mount.says(/maintenance_pause: the canister does not allow it to this identity/);
  await assertGoesOn(it);
  await mount.unmount();
});
