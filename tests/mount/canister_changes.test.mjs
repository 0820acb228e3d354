// Commands that change the canister as a whole, where something is in the way: the network is not ready, the program keeps
// state of its own kind, another mount is at it.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe } from 'node:test';
import { IDL } from '@icp-sdk/core/candid';
import { Rig } from './canister_commands.mjs';
import { errnoName, eventually, run, Stage } from './harness.mjs';
import { createCanister, installCode, moduleOf } from './install.mjs';
import { inLanes } from './lanes.mjs';

const isLong = process.env.CANISTERFS_TEST_LONG === '1';
const PAGE = 65536;

let stage;
before(async () => (stage = await Stage.open()));
after(() => stage.close());

const done = (job) => assert.equal(job.state, 'done', JSON.stringify(job.error));
const idOf = (job) => /took snapshot ([\da-f]+)$/.exec(job.progress)[1];

describe('the network is not ready', { concurrency: 3 }, () => {
  const laneTest = inLanes(() => Rig.open(stage));

  laneTest("another canister's snapshot before the next checkpoint: said, tried again, and the canister runs in between", async (rig) => {
    const canister = await rig.begin();
    await canister.post('lost by the load');
    await rig.network.options({ checkpointMs: 3_600_000 });
    const source = await rig.begin();
    await source.post('one');
    await source.post('two');
    const id = await source.snapshots.take();
    let between;
    const { job, calls } = await canister.callsOf(`snapshot load ${id} force`, async ({ progress }) => {
      if (between || !/^not loadable until the network's next checkpoint/.test(progress)) return;
      between = { state: await canister.state(), downtime: (await canister.status()).downtime, posts: await canister.posts() };
      await rig.network.options({ checkpointMs: 0 });
    });
    done(job);
    assert.deepEqual(between, { state: 'running', downtime: null, posts: 1 });
    assert.equal(await canister.posts(), 2);
    const round = ['canister_status', 'stop_canister', 'load_canister_snapshot', 'start_canister'];
    assert.deepEqual(calls, ['read_canister_snapshot_metadata', ...round, ...round]);
    for (const one of [source, canister]) await one.mount.unmount();
  });

  laneTest('stopping that takes longer than the network waits (IC0206): tried again', async (rig) => {
    // By the pauses between transient refusals, and when these last for two minutes once more.
    const n = isLong ? 10 : 2;
    const canister = await rig.begin();
    await rig.network.faults([{ endpoint: 'call', method: 'stop_canister', from: 1, to: n, kind: 'reject', code: 'IC0206' }]);
    const { job, calls } = await canister.callsOf('stop');
    done(job);
    assert.deepEqual(calls, ['canister_status', ...Array(n + 1).fill('stop_canister')]);
    assert.equal(await canister.state(), 'stopped');
    done(await canister.command('start'));
    await canister.mount.unmount();
  });

  laneTest('a start that one machine refuses, certified by nobody: the canister does not stay stopped for it', async (rig) => {
    const canister = await rig.begin();
    const id = await canister.snapshots.take();
    await canister.post('lost by the load');
    for (const status of [400, 403]) {
      await rig.network.faults([{ endpoint: 'call', method: 'start_canister', from: 1, to: 2, kind: 'http', status }]);
      let said;
      const began = Date.now();
      const { job, calls } = await canister.callsOf(`snapshot load ${id}`, ({ progress }) => (said ??= /^starting the canister, tried again: .*$/.exec(progress)?.[0]));
      done(job);
      assert.match(said ?? '', /HTTP/, String(status));
      assert.ok(calls.filter((method) => method === 'start_canister').length <= 4, 'with pauses');
      assert.ok(Date.now() - began >= 2000);
      assert.equal(await canister.state(), 'running');
    }
    assert.equal((await canister.status()).downtime, null);
    await canister.mount.unmount();
  });
});

describe('a subnet that has written too much just now (IC0210)', { concurrency: 2 }, () => {
  const laneTest = inLanes(() => Rig.open(stage), 2);
  const busy = (method) => ({ endpoint: 'call', method, nth: 1, kind: 'reject', code: 'IC0210' });

  laneTest('uploads and drops are made anew', async (rig) => {
    const canister = await rig.begin();
    const id = await canister.snapshots.take();
    await run('cp', ['-r', canister.mount.path('snapshots', id), canister.mount.path('snapshots', 'mine')]);
    await rig.network.faults([{ endpoint: 'call', method: 'upload_canister_snapshot_data', nth: 1, kind: 'reject', code: 'IC0521' }]);
    assert.equal((await canister.command('snapshot upload mine')).state, 'failed');
    await rig.network.faults([busy('delete_canister_snapshot')]);
    done(await canister.command('snapshot drop mine'));
    assert.deepEqual(await canister.snapshots.list(), [id]);
    await rig.network.faults([busy('upload_canister_snapshot_metadata')]);
    done(await canister.command('snapshot upload mine'));
    assert.equal((await canister.snapshots.list()).length, 2);
    await canister.mount.unmount();
  });
});

describe('starts that get lost (HTTP 503)', { concurrency: 2 }, () => {
  const laneTest = inLanes(() => Rig.open(stage), 2);
  const lost = { endpoint: 'call', method: 'start_canister', kind: 'http', status: 503 };
  const again = /^starting the canister, tried again: .*HTTP status 503/;

  laneTest('when the network is well again the canister is started, long before the lost call has expired', async (rig) => {
    const canister = await rig.begin();
    const id = await canister.snapshots.take();
    await canister.post('lost by the load');
    await rig.network.faults([lost]);
    let well;
    const { job, requests } = await canister.callsOf(`snapshot load ${id}`, async ({ progress }) => {
      if (well !== undefined || !again.test(progress)) return;
      await rig.network.faults([]);
      well = Date.now();
    });
    done(job);
    assert.ok(well !== undefined, 'it says why, and that it is tried again');
    const starts = requests.filter(({ method }) => method === 'start_canister');
    const took = starts.at(-1).began - starts[0].began;
    assert.ok(took < 120_000, `${took} ms`); // a call expires after three minutes at least
    assert.equal(starts.filter(({ status }) => status === 200 || status === 202).length, 1);
    assert.equal(await canister.state(), 'running');
    assert.equal((await canister.status()).downtime, null);
    await canister.mount.unmount();
  });

  laneTest('unmounted meanwhile, and mounted again at once: the new mount says what is noted, and its start works when the old one has ended', async (rig) => {
    const canister = await rig.begin();
    const command = `snapshot load ${await canister.snapshots.take()}`;
    await rig.network.faults([lost]);
    assert.equal(await canister.write(command), 'done');
    await eventually(async () => /^starting the canister/.test((await canister.status()).jobs.at(-1).progress));
    const old = canister.mount;
    await run('fusermount3', ['-u', old.point]);
    await canister.mountAgain();
    await canister.mount.says(/'snapshot load [\da-f]+' of another mount, which may be ending, is not over: .* control start starts it/);
    assert.equal((await canister.status()).downtime.command, command);
    const busy = await canister.command('start');
    assert.deepEqual([busy.state, busy.error.errno], ['failed', 'EBUSY']);
    assert.match(busy.error.message, /another mount of this canister, or one that is ending, is changing it/);
    const began = Date.now();
    await old.exited;
    assert.ok(Date.now() - began < 60_000, 'it does not try for ever');
    assert.equal(await canister.state(), 'stopped');
    await rig.network.faults([]);
    done(await canister.command('start'));
    assert.deepEqual([await canister.state(), (await canister.status()).downtime], ['running', null]);
    await canister.mount.unmount();
  });
});

describe("programs of Motoko's, whose heap is kept", { concurrency: 2 }, () => {
  const laneTest = inLanes(() => Rig.open(stage), 2);
  const nat64s = (...numbers) => new Uint8Array(IDL.encode(numbers.map(() => IDL.Nat64), numbers.map(BigInt)));

  // Where its bytes are in stable memory, how many and which version: all of that is on its heap.
  async function begin(rig) {
    const principal = await createCanister(rig.client.agent);
    await installCode(rig.client.agent, principal, moduleOf('motoko'));
    const canister = await rig.over(principal.toText(), ['rw']);
    canister.write3 = (byte) => rig.client.stableWrite(canister.id, PAGE + 3, Buffer.alloc(100, byte));
    canister.look = async () => {
      const version = await rig.client.query(canister.id, 'stable_version', nat64s());
      return [Buffer.from(version).toString('hex'), await rig.client.stableRead(canister.id, PAGE, 200)];
    };
    await rig.client.stableWrite(canister.id, 0, Buffer.alloc(3 * PAGE, 7));
    await canister.write3(1);
    await eventually(async () => (await canister.look())[1][3] === 1);
    return canister;
  }

  laneTest('upgraded: it has its heap, and the new code', async (rig) => {
    const canister = await begin(rig);
    const before = await canister.look();
    const path = join(stage.dir, 'motoko-other.wasm');
    writeFileSync(path, Buffer.concat([moduleOf('motoko'), Buffer.from([0, 2, 1, 0x78])])); // one more custom section
    const hash = () => readFile(canister.mount.path('canister', 'module_hash'), 'utf8');
    const old = await hash();
    done(await canister.command(`upgrade ${path}`));
    assert.notEqual(await hash(), old);
    assert.deepEqual(await canister.look(), before);
    await canister.mount.unmount();
  });

  laneTest('a snapshot loaded: the old answers', async (rig) => {
    const canister = await begin(rig);
    const before = await canister.look();
    const id = idOf(await canister.command('snapshot take'));
    await canister.write3(2);
    await eventually(async () => (await canister.look())[1][3] === 2);
    done(await canister.command(`snapshot load ${id}`));
    assert.deepEqual(await canister.look(), before);
    await canister.write3(3); // it goes on
    await eventually(async () => (await canister.look())[1][3] === 3);
    await canister.mount.unmount();
  });
});

describe('two mounts with one staging_dir', { concurrency: 3 }, () => {
  const laneTest = inLanes(() => Rig.open(stage));
  const late = (method) => ({ endpoint: 'call', method, nth: 1, kind: 'late', ms: 6000 });

  // Two mounts of one canister.
  async function pair(rig) {
    const one = await rig.begin();
    const other = await rig.over(one.id, ['rw']);
    await other.mount.unmount();
    other.options = one.options;
    await other.mountAgain();
    return [one, other];
  }

  async function close(...canisters) {
    for (const { mount } of canisters) await mount.unmount();
  }

  async function isBusy(canister, text, words) {
    const { job, calls } = await canister.callsOf(text);
    assert.deepEqual([job.state, job.error?.errno], ['failed', 'EBUSY'], text);
    assert.match(job.error.message, words);
    return calls;
  }

  laneTest('a command while another one is under way: EBUSY, the canister is as that one makes it', async (rig) => {
    const [one, other] = await pair(rig);
    await one.post('one');
    const id = await one.snapshots.take();
    await one.post('two');
    await rig.network.faults([late('load_canister_snapshot')]);
    const load = `snapshot load ${id} --running`;
    assert.equal(await one.write(load), 'done');
    await rig.network.untilAsked({ method: 'load_canister_snapshot' });
    for (const text of ['start', 'stop']) await isBusy(other, text, /another mount of this canister, or one that is ending, is changing it/);
    for (const text of [load, `snapshot load ${id}`]) await isBusy(other, text, /another mount's command, is changing the canister/);
    const file = join(stage.dir, `${one.id}.wasm`);
    writeFileSync(file, moduleOf('distrikt'));
    await isBusy(other, `upgrade ${file}`, /another mount/);
    assert.equal(errnoName(await writeFile(other.mount.path('stable_memory'), randomBytes(PAGE)).catch((error) => error)), 'EBUSY');
    await eventually(async () => (await one.status()).jobs[0].state === 'done');
    assert.equal(await one.posts(), 1);
    assert.equal(await one.state(), 'running');
    const [kept] = (await other.status()).restores;
    done(await other.command(`restore resume ${kept.id}`));
    done(await other.command(load));
    await close(one, other);
  });

  laneTest('a command while a restore is made: EBUSY, and the restore ends well', async (rig) => {
    const [one, other] = await pair(rig);
    const id = await one.snapshots.take();
    const bytes = randomBytes(2 * PAGE);
    await rig.network.faults([late('stable64_write')]);
    const writing = writeFile(one.mount.path('stable_memory'), bytes);
    await rig.network.untilAsked({ method: 'stable64_write' });
    for (const text of [`snapshot load ${id}`, `snapshot load ${id} --running`])
      assert.deepEqual(await isBusy(other, text, /a restore, or another mount's command, is changing the canister/), []);
    await writing;
    assert.deepEqual(await readFile(one.mount.path('stable_memory')), bytes);
    done(await other.command(`snapshot load ${id}`));
    await close(one, other);
  });

  laneTest('a mount that is killed at it leaves nothing locked', async (rig) => {
    const [one, other] = await pair(rig);
    const id = await one.snapshots.take();
    await rig.network.faults([late('load_canister_snapshot')]);
    assert.equal(await one.write(`snapshot load ${id} --running`), 'done');
    await rig.network.untilAsked({ method: 'load_canister_snapshot' });
    await one.killDaemon();
    done(await other.command(`snapshot load ${id}`));
    await close(other);
  });
});
