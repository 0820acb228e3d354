// Every fault of the local network, on the n-th call and on all: the right bytes or an errno of the table, in time, and
// nothing wrong is ever kept.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { errnoName, eventually, pread, run, seedBytes, Stage } from './harness.mjs';
import { inLanes, LANES } from './lanes.mjs';

const MIB = 2 ** 20;
const SIZE = 16 * MIB;
const CONTENT = seedBytes(1n, 0, SIZE);
const TIMEOUT_MS = 3000;
// A failed block's errno is kept for 2 s.
const FORGET_MS = 2200;

const TABLE = new Set(['ETIMEDOUT', 'EHOSTUNREACH', 'EPROTO', 'EBADMSG', 'EACCES', 'ENOENT', 'ESTALE', 'EIO']);

// kind, parameters, errno when every call fails so.
const ROWS = [
  ['refuse', {}, 'EHOSTUNREACH'],
  ['reset', {}, 'EHOSTUNREACH'],
  ['stall', {}, 'ETIMEDOUT'],
  ['stall', { in_body: true }, 'ETIMEDOUT'],
  ['truncate', {}, 'EPROTO'],
  ['truncate_body', {}, 'EPROTO'],
  ['garbage', {}, 'EPROTO'],
  ['http', { status: 503 }, 'EIO'],
  ['http', { status: 500 }, 'EIO'],
  ['http', { status: 429, retry_after: 1 }, 'EIO'],
  ['http', { status: 403 }, 'EACCES'],
  ['wrong_node_signature', {}, 'EBADMSG'],
  ['unknown_node', {}, 'EBADMSG'],
  ['forged_reply', {}, 'EBADMSG'],
  ['stale', {}, 'EBADMSG'],
  ['stale', { seconds: -600 }, 'EBADMSG'],
  ['short_blob', {}, 'EPROTO'],
  ['short_blob', { bytes: 60000 }, 'EPROTO'],
  ['long_blob', {}, 'EPROTO'],
  ['wrong_candid', {}, 'EPROTO'],
];

const words = (kind, parameters) => [kind, ...Object.entries(parameters).map(([k, v]) => `${k}=${v}`)].join(' ');

class Lane {
  static async open(stage) {
    const lane = new Lane();
    lane.stage = stage;
    lane.network = await stage.network(['--demo', '--demo-size', '16M']);
    return lane;
  }

  async remount(args = []) {
    await this.network.faults([]);
    await this.mount?.unmount();
    this.mount = await this.stage.mount(this.network, this.network.canisters.sample, ['-o', `timeout=${TIMEOUT_MS}ms`, ...args]);
    this.memory = this.mount.path('stable_memory');
  }

  // Right bytes or an errno of the table, within the deadline (and what a busy machine adds).
  async readChecked(offset, length) {
    const started = Date.now();
    const got = await pread(this.memory, offset, length);
    const took = Date.now() - started;
    assert.ok(took < 2 * TIMEOUT_MS + 2000, `took ${took} ms`);
    if (Buffer.isBuffer(got)) {
      assert.equal(got.length, length, 'never short');
      assert.equal(got.compare(CONTENT.subarray(offset, offset + length)), 0, 'never other bytes');
      return 'right';
    }
    assert.ok(TABLE.has(got), got);
    return got;
  }
}

let stage;
before(async () => (stage = await Stage.open()));
after(() => stage.close());

describe('faults of reads', { concurrency: LANES }, () => {
  const laneTest = inLanes(() => Lane.open(stage));

  for (const [kind, parameters, errno] of ROWS) {
    laneTest(`${words(kind, parameters)}: on every call`, async (lane) => {
      const { network } = lane;
      await lane.remount();
      await network.faults([{ kind, method: 'stable_read_at', ...parameters }]);
      assert.equal(await lane.readChecked(5 * MIB + 3, 100), errno);
      await network.faults([]);
      await sleep(FORGET_MS);
      assert.equal(await lane.readChecked(5 * MIB + 3, 100), 'right', 'nothing wrong was kept');
      const status = await lane.mount.json('status');
      assert.ok(status.last_errors.length > 0, 'the cause stands in status');
    });

    laneTest(`${words(kind, parameters)}: on the n-th call of a sequential reader`, async (lane) => {
      const { network } = lane;
      await lane.remount();
      const outcomes = new Set();
      const before = (await network.log()).length;
      await network.faults([2, 4].map((nth) => ({ kind, method: 'stable_read_at', nth, ...parameters })));
      for (let offset = 0; offset < SIZE; offset += MIB) outcomes.add(await lane.readChecked(offset, MIB));
      // A request is logged when its connection is through with it.
      await eventually(async () => (await network.log()).slice(before).filter(({ fault }) => fault === kind).length === 2);
      outcomes.delete('right');
      for (const outcome of outcomes) assert.equal(outcome, errno);
      await network.faults([]);
      await sleep(FORGET_MS);
      for (let offset = 0; offset < SIZE; offset += MIB) assert.equal(await lane.readChecked(offset, MIB), 'right');
    });
  }
});

describe('faults, one after the other', () => {
  let lane, network;
  before(async () => {
    lane = await Lane.open(stage);
    ({ network } = lane);
  });

  test('one bad reply among good ones is asked for again', async () => {
    for (const kind of ['refuse', 'reset', 'truncate', 'garbage', 'wrong_node_signature', 'forged_reply']) {
      await lane.remount();
      await network.faults([{ kind, method: 'stable_read_at', nth: 1 }]);
      assert.equal(await lane.readChecked(7 * MIB, 4096), 'right', kind);
    }
  });

  test('a stalled reply is given up and asked for again', async () => {
    await lane.remount(['-o', 'timeout=30s']);
    await network.faults([{ kind: 'stall', method: 'stable_read_at', nth: 1 }]);
    const got = await pread(lane.memory, MIB, 64);
    assert.ok(Buffer.isBuffer(got), got);
    assert.equal(got.compare(CONTENT.subarray(MIB, MIB + 64)), 0);
  });

  test('node keys and certificates: a forged or stale one is refused', async () => {
    for (const kind of ['wrong_certificate', 'stale']) {
      await lane.remount();
      // Another mount has no keys yet: it must not come up on a bad certificate.
      await network.faults([{ kind, endpoint: 'read_state' }]);
      await assert.rejects(
        stage.mount(network, network.canisters.sample, ['-o', `timeout=${TIMEOUT_MS}ms`]),
        /exited 3/,
        kind,
      );
      await network.faults([]);
    }
  });

  // With a file open and no read answered any more: start `read(file)`, and when it waits call `then` with it.
  const whileReading = async (read, then, args = []) => {
    await lane.remount(args);
    await network.faults([{ kind: 'stall', method: 'stable_read_at' }]);
    const file = await open(lane.memory);
    const reading = read(file);
    await eventually(async () => (await lane.mount.json('stats')).calls.in_flight > 0);
    const started = Date.now();
    try {
      await then(reading);
    } finally {
      await file.close().catch(() => {}); // the mount may be gone
      await network.faults([]);
    }
    assert.ok(Date.now() - started < TIMEOUT_MS / 2, 'at once');
  };

  test('a killed reader is gone at once and leaves nothing behind', async () => {
    const dd = ['of=/dev/null', 'bs=64k', 'skip=80', 'count=1'];
    const read = (file) => spawn('dd', dd, { stdio: [file.fd, 'ignore', 'ignore'] });
    await whileReading(read, async (reader) => {
      const ended = once(reader, 'exit');
      reader.kill('SIGKILL');
      assert.deepEqual(await ended, [null, 'SIGKILL']);
      await network.faults([]);
      assert.equal(await lane.readChecked(12 * MIB, 100), 'right', 'the next reader is served');
    });
    await run('fusermount3', ['-u', lane.mount.point]);
    assert.deepEqual(await lane.mount.exited, { code: 0, signal: null });
  });

  test('SIGTERM does not wait for a reader', async () => {
    const read = (file) => file.read(Buffer.alloc(100), 0, 100, 3 * MIB).catch(errnoName);
    await whileReading(read, async (reading) => {
      lane.mount.child.kill('SIGTERM');
      assert.deepEqual(await lane.mount.exited, { code: 0, signal: null });
      assert.equal(typeof (await reading), 'string', 'the reader got an errno');
    }, ['-o', 'timeout=30s']);
  });
});
