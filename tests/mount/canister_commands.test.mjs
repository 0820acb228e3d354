// Commands that change the canister as a whole: start, stop, snapshots taken, deleted and loaded. After any of them, and after
// a crash at any of their calls, no snapshot is lost, and the canister runs, or the next mount says that it may not.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { chmod, mkdir, readFile, readdir, rmdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildFixture } from '../replica/test/engine_fixture.mjs';
import { Rig } from './canister_commands.mjs';
import { HOLDS } from './crash.mjs';
import { eventually, run, Stage } from './harness.mjs';
import { moduleOf } from './install.mjs';
import { inLanes } from './lanes.mjs';

const isLong = process.env.CANISTERFS_TEST_LONG === '1';

// A canister (begin makes it and names the command) when the n-th call of the command is held. One that is late goes on by itself: a
// busy machine may look too late, and then tries another one, later.
async function heldCall(rig, begin, n, hold) {
  for (let i = 1; ; i++) {
    const begun = await begin();
    const { canister, command } = begun;
    const late = hold.kind === 'late' ? i * hold.ms : 0;
    await canister.hold(n, late > 0 ? { ...hold, ms: late } : hold);
    assert.equal(await canister.write(command), 'done');
    if (await canister.held(command, hold)) return { ...begun, late };
    assert.ok(late > 0 && i < 5, `there is a call ${n}`);
    await rig.network.faults([]);
    await canister.mount.unmount();
  }
}

let stage;
before(async () => (stage = await Stage.open()));
after(() => stage.close());

const done = (job) => assert.equal(job.state, 'done', JSON.stringify(job.error));
const idOf = (job) => /took snapshot ([\da-f]+)$/.exec(job.progress)[1];

describe('snapshots and a canister that runs or not', { concurrency: 3 }, () => {
  const laneTest = inLanes(() => Rig.open(stage));

  laneTest('take, load, delete: the old answers are back, and the canister runs', async (rig) => {
    const canister = await rig.begin();
    await canister.post('one');
    assert.deepEqual(await readdir(canister.mount.path('snapshots')), []);
    const taken = await canister.callsOf('snapshot take');
    assert.equal(taken.job.state, 'done', JSON.stringify(taken.job.error));
    assert.deepEqual(taken.calls, ['list_canister_snapshots', 'take_canister_snapshot'], 'it is not stopped');
    const id = idOf(taken.job);
    assert.deepEqual(await readdir(canister.mount.path('snapshots')), [id], 'seen at once');
    await canister.post('two');
    const loaded = await canister.callsOf(`snapshot load ${id}`);
    assert.equal(loaded.job.state, 'done', JSON.stringify(loaded.job.error));
    assert.equal(loaded.job.progress, 'loaded');
    assert.deepEqual(loaded.calls, ['read_canister_snapshot_metadata', 'canister_status', 'stop_canister', 'load_canister_snapshot', 'start_canister']);
    assert.equal(await canister.posts(), 1);
    assert.equal((await canister.status()).downtime, null);
    assert.equal((await canister.command(`snapshot delete ${id}`)).progress, `deleted snapshot ${id}`);
    assert.deepEqual(await readdir(canister.mount.path('snapshots')), []);
    const again = await canister.command(`snapshot delete ${id}`);
    assert.deepEqual([again.state, again.progress], ['done', `there is no snapshot ${id} (any more)`]);
    const gone = await canister.command(`snapshot load ${id}`);
    assert.deepEqual([gone.state, gone.error.errno], ['failed', 'ENOENT']);
    assert.equal(await canister.state(), 'running', 'it was not stopped for that');
    await canister.mount.unmount();
  });

  laneTest('one that was stopped before stays so; --running stops nothing', async (rig) => {
    const canister = await rig.begin();
    const id = idOf(await canister.command('snapshot take'));
    await canister.post('later');
    const live = await canister.callsOf(`snapshot load ${id} --running`);
    assert.equal(live.job.state, 'done', JSON.stringify(live.job.error));
    assert.deepEqual(live.calls, ['read_canister_snapshot_metadata', 'canister_status', 'load_canister_snapshot']);
    assert.equal(await canister.posts(), 0);
    for (let i = 0; i < 2; i++) {
      assert.equal((await canister.command('stop')).state, 'done');
      assert.equal(await canister.state(), 'stopped');
    }
    assert.equal((await canister.command('snapshot take')).state, 'done', 'also of a stopped one');
    const { job, calls } = await canister.callsOf(`snapshot load ${id}`);
    assert.equal(job.state, 'done', JSON.stringify(job.error));
    assert.ok(!calls.includes('start_canister') && !calls.includes('stop_canister'), calls.join());
    assert.equal(await canister.state(), 'stopped');
    for (let i = 0; i < 2; i++) {
      assert.equal((await canister.command('start')).state, 'done');
      assert.equal(await canister.state(), 'running');
    }
    await canister.mount.unmount();
  });

  laneTest('a load that fails: the canister is as before, and runs', async (rig) => {
    const canister = await rig.begin();
    const id = idOf(await canister.command('snapshot take'));
    await canister.post('kept');
    await rig.network.faults([{ endpoint: 'call', method: 'load_canister_snapshot', kind: 'reject', code: 'IC0521' }]);
    const { state, error } = await canister.command(`snapshot load ${id}`);
    assert.deepEqual([state, error.errno, error.outcome_unknown], ['failed', 'EIO', false]);
    assert.equal(await canister.posts(), 1);
    assert.equal((await canister.status()).downtime, null);
    await canister.mount.unmount();
  });

  laneTest('nothing can be noted in staging_dir: neither stopped nor started', async (rig) => {
    const canister = await rig.begin();
    const id = idOf(await canister.command('snapshot take'));
    done(await canister.command(`snapshot load ${id}`)); // makes the directory
    const [lock] = (await readdir(canister.staging, { recursive: true })).filter((name) => /(^|\/)downtime\.lock$/.test(name));
    const inTheWay = join(canister.staging, dirname(lock), 'downtime.new');
    await mkdir(inTheWay);
    const { job, calls } = await canister.callsOf(`snapshot load ${id} force`);
    assert.deepEqual([job.state, job.error.outcome_unknown], ['failed', false]);
    assert.match(job.error.message, /^staging_dir: .* cannot be used: Is a directory$/);
    assert.deepEqual(calls.filter((method) => /^(stop|start)_canister$/.test(method)), []);
    assert.equal((await canister.status()).downtime, null);
    await rmdir(inTheWay);
    done(await canister.command(`snapshot load ${id}`));
    await canister.mount.unmount();
  });

  laneTest('a start that is refused: tried again, with pauses; refused for good: told, noted, and control start cures it', async (rig) => {
    const canister = await rig.begin();
    const id = idOf(await canister.command('snapshot take'));
    const refusals = [400, 403].map((status) => ({ kind: 'http', status, nth: 1 }));
    const starts = (faults) => rig.network.faults(faults.map((fault) => ({ endpoint: 'call', method: 'start_canister', ...fault })));
    const isStart = (call) => call === 'start_canister';
    await starts(refusals);
    const loaded = await canister.callsOf(`snapshot load ${id}`);
    assert.equal(loaded.job.state, 'done', JSON.stringify(loaded.job.error));
    assert.equal(loaded.calls.filter(isStart).length, 3);
    assert.equal(await canister.state(), 'running');
    await starts([{ kind: 'reject', code: 'IC0512' }]);
    const { job, calls } = await canister.callsOf(`snapshot load ${id}`);
    assert.deepEqual([job.state, job.error.errno], ['failed', 'EACCES']);
    assert.match(job.error.message, /it was done; THE CANISTER MAY STAY STOPPED: control start/);
    assert.equal(calls.filter(isStart).length, 3);
    assert.equal((await canister.status()).downtime.command, `snapshot load ${id}`);
    await starts([]);
    assert.equal((await canister.command('start')).state, 'done');
    assert.deepEqual([await canister.state(), (await canister.status()).downtime], ['running', null]);
    await canister.mount.unmount();
  });

  laneTest('cancelled, unmounted or killed while calls keep it from stopping: started at once, and not stopped by them later', async (rig) => {
    for (const how of ['cancelled', 'unmounted', 'killed']) {
      const canister = await rig.begin(['rw'], buildFixture('caller', 'wasm32'));
      const id = idOf(await canister.command('snapshot take'));
      const look = () => rig.client.query(canister.id, 'seen', new Uint8Array());
      const waits = rig.client.update(canister.id, 'wait', new Uint8Array()).catch(() => {}); // 202, until it is released
      await rig.network.untilAsked({ method: 'wait' });
      const began = Date.now();
      assert.equal(await canister.write(`snapshot load ${id}`), 'done');
      await eventually(() => look().then(() => false, (error) => /stopping/.test(error.message)));
      const job = (await canister.status()).jobs.at(-1);
      assert.equal(job.progress, 'stopping the canister: waiting until its calls are answered');
      if (how === 'killed') {
        await canister.killDaemon();
        await canister.mountAgain();
        assert.equal((await canister.command('start')).state, 'done');
      } else if (how === 'cancelled') {
        await canister.write(`cancel ${job.id}`);
        await eventually(async () => (await canister.status()).jobs.at(-1).state === 'failed');
        const { error } = (await canister.status()).jobs.at(-1);
        assert.deepEqual([error.errno, error.outcome_unknown], ['EINTR', false], error.message);
      }
      if (how !== 'unmounted') assert.equal((await canister.status()).downtime, null);
      await canister.mount.unmount();
      assert.ok(Date.now() - began < 20_000, `${how}: took ${Date.now() - began} ms`);
      await rig.client.update(canister.id, 'release', new Uint8Array());
      await waits;
      await sleep(1000);
      await look();
    }
  });

  laneTest('a restore that begins while a snapshot is loaded: refused, and kept', async (rig) => {
    const canister = await rig.begin();
    const id = idOf(await canister.command('snapshot take'));
    const bytes = randomBytes(2 * 65536);
    await rig.network.faults([{ endpoint: 'call', method: 'load_canister_snapshot', kind: 'late', ms: 5000 }]);
    const load = `snapshot load ${id} --running`;
    assert.equal(await canister.write(load), 'done');
    await rig.network.untilAsked({ method: 'load_canister_snapshot' });
    await assert.rejects(writeFile(canister.mount.path('stable_memory'), bytes), { code: 'EBUSY' });
    const [kept] = (await canister.status()).restores;
    assert.deepEqual([kept.state, kept.errno], ['failed', 'EBUSY'], JSON.stringify(kept));
    await eventually(async () => (await canister.status()).jobs.at(-1).state === 'done');
    await rig.network.faults([]);
    assert.equal((await canister.command(`restore resume ${kept.id}`)).state, 'done', 'there is nothing in the way any more');
    assert.deepEqual(await readFile(canister.mount.path('stable_memory')), bytes);
    await canister.mount.unmount();
  });

  laneTest('uploaded ones, and those of nobody knows whom, only with force', async (rig) => {
    const canister = await rig.begin();
    const uploaded = await canister.snapshots.declare({});
    const { job, calls } = await canister.callsOf(`snapshot load ${uploaded}`);
    assert.deepEqual([job.state, job.error.errno], ['failed', 'EINVAL']);
    assert.match(job.error.message, /was uploaded, and not verified by this program.*only with force/);
    assert.deepEqual(calls, ['read_canister_snapshot_metadata']);
    const forced = await canister.command(`snapshot load ${uploaded} force`);
    assert.equal(forced.state, 'failed', 'it holds no module');
    assert.equal(await canister.state(), 'running');
    await canister.mount.unmount();
  });

  laneTest('ten are the most: said in words', async (rig) => {
    const canister = await rig.begin();
    for (let i = 0; i < 10; i++) await canister.snapshots.take();
    const { state, error } = await canister.command('snapshot take');
    assert.deepEqual([state, error.errno, error.outcome_unknown], ['failed', 'ENOSPC', false]);
    assert.match(error.message, /the canister has 10 snapshots, the network allows 10: snapshot delete ID makes room/);
    await canister.mount.unmount();
  });

  laneTest('what is refused at once, with an errno and in words', async (rig) => {
    const canister = await rig.begin();
    const id = '00'.repeat(18);
    for (const [text, errno, words] of [
      ['snapshot', 'EINVAL', /no such command|snapshot/],
      ['snapshot take now', 'EINVAL', /snapshot take/],
      ['snapshot delete', 'EINVAL', /snapshot delete ID/],
      ['snapshot delete xyz', 'EINVAL', /the whole name of a directory in snapshots/],
      [`snapshot delete ${'ab'.repeat(65)}`, 'EINVAL', /the whole name/],
      ['snapshot load 0', 'EINVAL', /the whole name/],
      [`snapshot load ${id} now`, 'EINVAL', /behind ID come only --running and force/],
      ['start now', 'EINVAL', /start/],
    ]) {
      assert.equal(await canister.write(text), errno, text);
      assert.match(await canister.words(), words, text);
    }
    assert.deepEqual((await canister.status()).jobs, []);
    await canister.mount.unmount();
    canister.options[0] = 'ro';
    await canister.mountAgain();
    for (const text of [`snapshot delete ${id}`, `snapshot load ${id}`]) {
      assert.equal(await canister.write(text), 'EROFS');
      assert.match(await canister.words(), /the mount is read-only/);
    }
    for (const text of ['snapshot take', 'stop', 'start']) assert.equal((await canister.command(text)).state, 'done', text);
    await canister.mount.unmount();
    canister.options = ['rw', 'profile=none', `staging_dir=${canister.staging}`];
    await canister.mountAgain();
    for (const text of ['start', 'stop', 'snapshot take', `snapshot delete ${id}`, `snapshot load ${id}`]) {
      assert.equal(await canister.write(text), 'EACCES', text);
      assert.match(await canister.words(), /controllers of the canister only/);
    }
    await canister.mount.unmount();
  });

  laneTest('who is no controller: EACCES, nothing is stopped', async (rig) => {
    const canister = await rig.begin();
    const id = await canister.snapshots.take();
    const key = `${canister.staging}/other.pem`;
    await run('openssl', ['genpkey', '-algorithm', 'ed25519', '-out', key]);
    await chmod(key, 0o600);
    canister.options = ['rw', 'profile=none', `identity=${key}`, `staging_dir=${canister.staging}/other`];
    await canister.mount.unmount();
    await canister.mountAgain();
    for (const text of ['snapshot take', `snapshot delete ${id}`, `snapshot load ${id}`, 'stop', 'start']) {
      const { state, error } = await canister.command(text);
      assert.deepEqual([state, error.errno], ['failed', 'EACCES'], text);
    }
    assert.equal(await canister.state(), 'running');
    await canister.mount.unmount();
  });

  laneTest('unmounted while it is stopped: it is started first', async (rig) => {
    const canister = await rig.begin();
    const id = await canister.snapshots.take();
    await rig.network.faults([{ endpoint: 'call', method: 'load_canister_snapshot', kind: 'late', ms: 3000 }]);
    assert.equal(await canister.write(`snapshot load ${id}`), 'done');
    await rig.network.untilAsked({ method: 'load_canister_snapshot' });
    await canister.mount.unmount();
    await rig.network.faults([]);
    assert.equal(await canister.state(), 'running');
    await canister.mountAgain();
    assert.equal((await canister.status()).downtime, null);
    await canister.mount.unmount();
  });
});

describe('upgrade', { concurrency: 3 }, () => {
  const laneTest = inLanes(() => Rig.open(stage));
  const module = (rig, name, bytes = moduleOf(name)) => {
    const path = join(stage.dir, `${name}-${Math.random().toString(36).slice(2)}.wasm`);
    writeFileSync(path, bytes);
    return path;
  };
  // With a custom section of 3 MiB.
  const largeModule = () => {
    const payload = Buffer.concat([Buffer.from([4]), Buffer.from('fill'), randomBytes(3 << 20)]);
    const size = Buffer.from([0, 0, 0, 0].map((_, i) => ((payload.length >> (7 * i)) & 127) | (i < 3 ? 128 : 0)));
    return Buffer.concat([Buffer.from(moduleOf('distrikt')), Buffer.from([0]), size, payload]);
  };

  laneTest('as Distrikt does it: the same code dumps the state, a restore, and skip_pre_upgrade takes it in', async (rig) => {
    const canister = await rig.begin();
    const file = module(rig, 'distrikt');
    for (const text of ['one', 'two']) await canister.post(text);
    const { job, calls } = await canister.callsOf(`upgrade ${file}`);
    done(job);
    assert.equal(job.progress, 'upgraded to the same code');
    assert.deepEqual(calls, ['canister_status', 'canister_status', 'stop_canister', 'install_code', 'start_canister']);
    assert.equal(await canister.posts(), 2);
    const backup = await readFile(canister.mount.path('stable_memory'));
    assert.ok(backup.includes('two'));
    await canister.post('three');
    done(await canister.command(`upgrade ${file}`)); // the memory is another one now
    await writeFile(canister.mount.path('stable_memory'), backup, { flag: 'r+' });
    done(await canister.command(`upgrade ${file} skip_pre_upgrade`));
    assert.equal(await canister.posts(), 2);
    await canister.mount.unmount();
  });

  laneTest('larger than a message, and from a snapshot: in parts, and the chunk store is as before', async (rig) => {
    const canister = await rig.begin();
    const large = module(rig, 'large', largeModule());
    await canister.post('one');
    const moduleHash = () => readFile(canister.mount.path('canister', 'module_hash'), 'utf8');
    const hashOf = async (file) => `${createHash('sha256').update(await readFile(file)).digest('hex')}\n`;
    await rig.network.options({ updateMs: 400 });
    const { job, calls, requests } = await canister.callsOf(`upgrade ${large}`);
    await rig.network.options({ updateMs: 0 });
    done(job);
    assert.equal(job.progress, 'upgraded');
    assert.equal(await moduleHash(), await hashOf(large), 'told at once');
    const parts = requests.filter(({ method }) => method === 'upload_chunk');
    assert.equal(parts.length, 4);
    assert.ok(Math.max(...parts.map(({ began }) => began)) < Math.min(...parts.map(({ began, ms }) => began + ms)), 'all at once');
    assert.deepEqual(calls.slice(-5), ['stop_canister', 'install_chunked_code', 'start_canister', 'stored_chunks', 'clear_chunk_store']);
    assert.equal(await canister.posts(), 1);
    const id = idOf(await canister.command('snapshot take'));
    const small = module(rig, 'distrikt');
    done(await canister.command(`upgrade ${small}`));
    assert.equal(await moduleHash(), await hashOf(small));
    done(await canister.command(`snapshot load ${id}`));
    assert.equal(await moduleHash(), await hashOf(large), 'by a load, too');
    done(await canister.command(`upgrade ${small}`));
    const mine = await canister.snapshots.putChunk(Buffer.from('of the user'));
    const again = await canister.callsOf(`upgrade ${canister.mount.path('snapshots', id, 'wasm_module.bin')}`);
    done(again.job);
    assert.equal(again.job.progress, 'upgraded; its parts stay in the chunk store, where there are others');
    assert.ok(!again.calls.includes('clear_chunk_store'));
    const next = idOf(await canister.command('snapshot take'));
    assert.ok((await readdir(canister.mount.path('snapshots', next, 'wasm_chunk_store'))).includes(`${mine}.bin`));
    await canister.mount.unmount();
  });

  laneTest('a chunk that somebody else puts into the store meanwhile stays there', async (rig) => {
    const canister = await rig.begin();
    await rig.network.faults([{ endpoint: 'call', method: 'stop_canister', kind: 'late', ms: 3000 }]);
    const upgraded = canister.callsOf(`upgrade ${module(rig, 'large', largeModule())}`);
    await rig.network.untilAsked({ method: 'stop_canister' });
    const chunk = await canister.snapshots.putChunk(Buffer.from('of somebody else'));
    const { job, calls } = await upgraded;
    done(job);
    assert.equal(job.progress, 'upgraded; its parts stay in the chunk store, where there are others');
    assert.ok(!calls.includes('clear_chunk_store'));
    await rig.network.faults([]);
    const id = idOf(await canister.command('snapshot take'));
    assert.ok((await readdir(canister.mount.path('snapshots', id, 'wasm_chunk_store'))).includes(`${chunk}.bin`));
    await canister.mount.unmount();
  });

  laneTest('what cannot be installed: an errno, words, and the canister as before', async (rig) => {
    const canister = await rig.begin();
    await canister.post('kept');
    const broken = module(rig, 'broken', Buffer.concat([Buffer.from(moduleOf('distrikt')), Buffer.from('not a section')]));
    for (const [file, errno, words, isAsked] of [
      [module(rig, 'text', 'not a module'), 'EINVAL', /is no Wasm module, plain or gzip/],
      [module(rig, 'empty', ''), 'EINVAL', /is no Wasm module/],
      [`${stage.dir}/nothing`, 'ENOENT', /nothing/],
      [stage.dir, 'EINVAL', /not a regular file/],
      [broken, 'EIO', /IC0505|not valid/, true],
    ]) {
      const { job, calls } = await canister.callsOf(`upgrade ${file}`);
      assert.deepEqual([job.state, job.error?.errno], ['failed', errno], file);
      assert.match(job.error.message, words);
      if (!isAsked) assert.deepEqual(calls, []);
      assert.equal(await canister.posts(), 1);
    }
    for (const [text, words] of [['upgrade distrikt.wasm', /absolute path/], [`upgrade ${broken} now`, /only skip_pre_upgrade/]]) {
      assert.equal(await canister.write(text), 'EINVAL');
      assert.match(await canister.words(), words);
    }
    assert.equal((await canister.status()).downtime, null);
    await canister.mount.unmount();
  });
});

describe('call-ranges', { concurrency: 3 }, () => {
  const laneTest = inLanes(() => Rig.open(stage));
  const command = 'call-ranges restore_content_stable 250';
  const once = Array(250).fill(1);

  laneTest('halved on a limit, each item once', async (rig) => {
    const canister = await rig.begin(['rw'], 'in_ranges');
    const { job, calls } = await canister.callsOf(command);
    assert.equal(job.state, 'done', JSON.stringify(job.error));
    assert.equal(job.progress, 'all of 250 done, 7 calls'); // 250, 125: too many; then 62 at a time
    assert.equal(calls.length, 7);
    assert.deepEqual(await canister.given(250), once);
    await canister.mount.unmount();
  });

  laneTest('a range that fails: what was done is kept, the same again goes on, from=N skips', async (rig) => {
    const canister = await rig.begin(['rw'], 'in_ranges');
    const all = 'call-ranges restore_content_stable 2000';
    for (let i = 0; i < 2; i++) {
      const { state, error } = await canister.command(all);
      assert.deepEqual([state, error.errno, error.outcome_unknown], ['failed', 'EIO', false]);
      assert.match(error.message, /^\[\d+, 2000\): .*an item that cannot be restored/);
    }
    const other = await canister.command(command);
    assert.deepEqual([other.state, other.error.errno], ['failed', 'EBUSY']);
    assert.match(other.error.message, /was interrupted at \d+: the same again goes on, from=0 begins anew/);
    assert.equal((await canister.command(`${all} from=2000`)).state, 'done');
    await canister.mount.unmount();
  });

  laneTest('numbers of every type', async (rig) => {
    const canister = await rig.begin(['rw'], 'in_ranges');
    const methods = ['restore_int', 'restore_int64', 'restore_nat', 'restore_nat32'];
    for (const [i, method] of methods.entries()) {
      const job = await canister.command(`call-ranges ${method} 70`);
      assert.equal(job.state, 'done', JSON.stringify(job.error));
      assert.deepEqual(await canister.given(71), [...Array(70).fill(i + 1), 0]);
    }
    await canister.mount.unmount();
  });

  laneTest('what it is not for', async (rig) => {
    const canister = await rig.begin(['rw'], 'in_ranges');
    for (const [text, errno, words] of [
      ['call-ranges given 5', 'EINVAL', /no update method/],
      ['call-ranges nothing 5', 'ENOENT', /no method 'nothing'/],
      ['call-ranges restore_int8 128', 'EINVAL', /do not hold numbers that large/],
      ['call-ranges restore_nat32 4294967296', 'EINVAL', /do not hold numbers that large/],
      ['call-ranges restore_int64 9223372036854775808', 'EINVAL', /do not hold numbers that large/],
      ['call-ranges restore_float 5', 'EINVAL', /does not take two numbers/],
      ['call-ranges restore_opt 5', 'EINVAL', /does not take two numbers/],
      ['call-ranges restore_text 5', 'EINVAL', /does not take two numbers/],
      ['call-ranges restore_one 5', 'EINVAL', /does not take two numbers/],
      ['call-ranges restore_others 5', 'EINVAL', /named, but not from and to, nor start and end/],
    ]) {
      const { job, calls } = await canister.callsOf(text);
      assert.deepEqual([job.state, job.error.errno], ['failed', errno], text);
      assert.match(job.error.message, words);
      assert.deepEqual(calls, []);
    }
    for (const text of ['call-ranges given', 'call-ranges given x', 'call-ranges given 5 6', 'call-ranges given 5 from=6'])
      assert.equal(await canister.write(text), 'EINVAL', text);
    assert.equal((await canister.command('call-ranges restore_content_stable 0')).state, 'done');
    await canister.mount.unmount();
  });

  laneTest('from=N while a call of before may run yet: nothing is called beside it', async (rig) => {
    const canister = await rig.begin(['rw'], 'in_ranges');
    const late = { kind: 'late', ms: 10_000 };
    await canister.hold(3, late);
    assert.equal(await canister.write(command), 'done');
    assert.ok(await canister.held(command, late));
    await canister.killDaemon();
    await rig.network.faults([]);
    await canister.mountAgain();
    const { job, calls } = await canister.callsOf(`${command} from=0`, async (found) => {
      if (/cannot run any more/.test(found.progress)) await canister.write(`cancel ${found.id}`);
    });
    assert.deepEqual([job.state, job.error?.outcome_unknown], ['failed', true], JSON.stringify(job));
    assert.match(job.error.message, /restore_content_stable of \[0, 62\) was sent, and may run yet: nothing is called/);
    assert.deepEqual(calls, []);
    assert.equal((await canister.command(command)).state, 'done');
    assert.deepEqual(await canister.given(250), once);
    await canister.mount.unmount();
  });

  for (const how of Object.keys(HOLDS).filter((other) => isLong || other !== 'before it arrives'))
    laneTest(`killed at every call, ${how}: each item once`, async (rig) => {
      for (const n of [1, 2, 3, 5, 7]) {
        const begin = async () => ({ canister: await rig.begin(['rw'], 'in_ranges'), command });
        const { canister, late } = await heldCall(rig, begin, n, HOLDS[how]);
        await canister.killDaemon();
        if (late > 0) await sleep(late + 100);
        await rig.network.faults([]);
        await canister.mountAgain();
        const job = await canister.command(command);
        assert.equal(job.state, 'done', JSON.stringify(job.error));
        assert.deepEqual(await canister.given(250), once, `call ${n}`);
        await canister.mount.unmount();
      }
    });
});

// kill -9 of the program while the n-th call of a command is held.
const COMMANDS = {
  take: { text: () => 'snapshot take', n: 2 },
  delete: { text: (id) => `snapshot delete ${id}`, n: 1 },
  load: { text: (id) => `snapshot load ${id}`, n: 5 },
  upgrade: { text: () => `upgrade ${upgradeFile()}`, n: 5 },
  'load of a stopped one': { text: (id) => `snapshot load ${id}`, n: 3, isStopped: true },
};
// The module of the canister itself.
let file;
function upgradeFile() {
  if (!file) {
    file = join(stage.dir, 'distrikt.wasm');
    writeFileSync(file, moduleOf('distrikt')); // once: others may be reading it
  }
  return file;
}

const NEVER = 'before it arrives';

async function crash(rig, name, n, how) {
  const { text, isStopped } = COMMANDS[name];
  const begin = async () => {
    const canister = await rig.begin();
    await canister.post('one');
    const id = await canister.snapshots.take();
    await canister.post('two');
    if (isStopped) await canister.snapshots.stop();
    return { canister, id, command: text(id) };
  };
  const { canister, id, command, late } = await heldCall(rig, begin, n, HOLDS[how]);
  await canister.killDaemon();
  if (late > 0) await sleep(late + 100);
  await rig.network.faults([]);
  await canister.mountAgain();
  const { downtime } = await canister.status();
  const before = await canister.state();
  if (before === 'stopped' && !isStopped) assert.equal(downtime?.command, command, 'a canister that we left stopped is told of');
  if (downtime) await canister.mount.says(/of an earlier mount was interrupted/);
  if (downtime?.was_running) {
    const job = await canister.command('start');
    assert.equal(job.state, 'done', JSON.stringify(job.error));
    assert.equal(await canister.state(), 'running');
    assert.equal((await canister.status()).downtime, null);
  }
  assert.equal(await canister.state(), isStopped ? 'stopped' : 'running');
  if (name !== 'delete') assert.ok((await readdir(canister.mount.path('snapshots'))).includes(id), 'the snapshot is there');
  const again = await canister.command(command);
  assert.equal(again.state, 'done', JSON.stringify(again.error));
  if (isStopped) await canister.snapshots.start();
  if (text(id).includes('load')) assert.equal(await canister.posts(), 1);
  else assert.equal(await canister.posts(), 2);
  await canister.mount.unmount();
}

describe('the program is killed at every call', { concurrency: isLong ? 12 : 3 }, () => {
  const laneTest = inLanes(() => Rig.open(stage), isLong ? 12 : 3);
  for (const name of Object.keys(COMMANDS))
    for (const how of Object.keys(HOLDS).filter((other) => isLong || other !== NEVER))
      laneTest(`${name}, ${how}`, async (rig) => {
        for (let n = 1; n <= COMMANDS[name].n; n++)
          await crash(rig, name, n, how).catch((error) => Promise.reject(new Error(`call ${n}: ${error.message}`, { cause: error })));
      });
});
