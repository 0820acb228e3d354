// kill -9 of the program at random moments while several files are written at once, and a mount after it: each file has
// what was acknowledged last or the whole of what was being restored, nothing is restored by itself, and what is found
// is what was written. A seed repeats the sizes and waits, though not what happens at the same time:
// CANISTERFS_TEST_SEED=N CANISTERFS_TEST_ROUNDS=N node --test tests/mount/write_crash.test.mjs
import assert from 'node:assert/strict';
import { randomBytes, randomInt } from 'node:crypto';
import { mkdtemp, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { FakeMount } from './fake.mjs';
import { eventually, isSanitized, Stage } from './harness.mjs';

const N_ROUNDS = Number(process.env.CANISTERFS_TEST_ROUNDS ?? (isSanitized ? 15 : 60));
const PLACES = ['stable_memory', 'items/0000.bin', 'items/0001.bin', 'items/0002.bin'];

let stage;
before(async () => (stage = await Stage.open()));
after(() => stage.close());

// One after the other to one place: whole contents, by close(2) or by rename(2), until the mount is gone.
class Lane {
  constructor(place, random) {
    Object.assign(this, { place, random, size: 3000, acknowledged: Buffer.alloc(0), attempt: null, n: 0 });
  }

  async run(mount) {
    while (!this.isOver) {
      this.size += this.random(3000); // a memory never becomes shorter
      this.attempt = { bytes: randomBytes(this.size), isBegun: false, isSynced: false, isTemporary: this.random(3) === 0 };
      if (!(await this.write(mount))) return;
      this.acknowledged = this.attempt.bytes;
      this.attempt = null;
      this.n++;
    }
  }

  // False: the mount is gone.
  async write(mount) {
    const path = mount.path(this.place);
    const name = this.attempt.isTemporary ? `${path}.tmp` : path;
    const { bytes } = this.attempt;
    let file;
    try {
      file = await open(name, 'w');
      const step = 500 + this.random(4000);
      for (let off = 0; off < bytes.length; off += step) await file.write(bytes.subarray(off, off + step), 0, null, off);
      if (this.random(2) === 0) {
        await file.sync();
        this.attempt.isSynced = true;
      }
      if (this.random(3) === 0) await sleep(this.random(30));
      this.attempt.isBegun = !this.attempt.isTemporary;
      await file.close();
      file = null;
      this.attempt.isBegun = true;
      if (this.attempt.isTemporary) await rename(name, path);
      return true;
    } catch (error) {
      assert.ok(this.isOver && ['ENOTCONN', 'ECONNABORTED', 'EIO', 'EINTR'].includes(error.code), `${this.place}: ${error.stack}`);
      await file?.close().catch(() => {});
      return false;
    }
  }
}

const stateOf = (mount, place) => readFile(join(mount.state, place === 'stable_memory' ? 'memory' : place)).catch(() => Buffer.alloc(0));

function assertOneOf(got, wanted, what) {
  assert.ok(wanted.some((bytes) => bytes.equals(got)), `${what}: ${got.length} bytes, expected ${wanted.map(({ length }) => length)}`);
}

// What a mount after the crash found: nothing happened, and all that can be resumed is what its writer wrote.
async function settle(mount, lanes, counts) {
  for (const lane of lanes) {
    const began = lane.attempt?.isBegun ? [lane.attempt.bytes] : [];
    assertOneOf(await stateOf(mount, lane.place), [lane.acknowledged, ...began], lane.place);
  }
  for (const { id, file, state, message } of await mount.restores()) {
    assert.equal(state, 'found');
    const lane = lanes.find(({ place }) => place === file);
    const wasWhole = /^was committing/.test(message);
    const isTheAttempt = lane?.attempt && (wasWhole || (lane.attempt.isSynced && !lane.attempt.isTemporary));
    const job = await mount.job(`restore ${isTheAttempt && !wasWhole ? 'commit' : 'resume'} ${id}`);
    assert.equal(job.state, isTheAttempt ? 'done' : 'failed', `${file} ${message}: ${job.cause}`);
    if (!isTheAttempt) {
      assert.match(job.cause, /may be half a file|temporary file/);
      assert.equal((await mount.job(`restore abort ${id}`)).state, 'done');
      counts.aborted++;
      continue;
    }
    assertOneOf(await stateOf(mount, file), [lane.attempt.bytes], `${file} ${message}`);
    lane.acknowledged = lane.attempt.bytes;
    counts[wasWhole ? 'resumed' : 'committed']++;
  }
  for (const lane of lanes) {
    lane.acknowledged = await stateOf(mount, lane.place);
    if (lane.acknowledged.length > 0) assert.ok((await readFile(mount.path(lane.place))).equals(lane.acknowledged), `${lane.place} as it is read`);
  }
  await eventually(async () => (await mount.kept()).length === 0);
}

const seed = Number(process.env.CANISTERFS_TEST_SEED ?? randomInt(1e9));
test(`${N_ROUNDS} crashes, seed ${seed}`, async (t) => {
  let state = BigInt(seed) + 1n;
  const random = (limit) => {
    state = (state * 6364136223846793005n + 1442695040888963407n) & ((1n << 64n) - 1n);
    return Number((state >> 33n) % BigInt(limit));
  };
  const top = await mkdtemp('/dev/shm/canisterfs-test-');
  stage.onClose(() => rm(top, { recursive: true }));
  const lanes = PLACES.map((place) => new Lane(place, random));
  const counts = { resumed: 0, committed: 0, aborted: 0 };
  let mount = await FakeMount.open(stage, { memory: lanes[0].acknowledged, dir: top });
  for (let i = 0; i < N_ROUNDS; i++) {
    await mount.script(...(random(2) ? [`slow ${random(60)}`] : []));
    for (const lane of lanes) lane.isOver = false;
    const running = lanes.map((lane) => lane.run(mount));
    await sleep(random(150));
    for (const lane of lanes) lane.isOver = true;
    await mount.kill(Promise.all(running)); // or they would write to the directory below
    mount = await FakeMount.open(stage, { dir: top });
    await mount.script();
    await settle(mount, lanes, counts);
  }
  await mount.unmount();
  t.diagnostic(`${lanes.reduce((n, lane) => n + lane.n, 0)} restored; after crashes ${JSON.stringify(counts)}`);
  assert.ok(counts.resumed > 0, JSON.stringify(counts));
});
