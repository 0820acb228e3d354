// Faults while snapshots are read: on one call of each kind the copy is right all the same, on all of them an errno of the
// table, and nothing wrong is kept. And canisters that nothing else can be read of.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { open, readdir, readFile, rm, stat } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { Principal } from '@icp-sdk/core/principal';
import { Client } from './client.mjs';
import { errnoOf, pread, run, seedBytes, Stage } from './harness.mjs';
import { installCode } from './install.mjs';
import { inLanes, LANES } from './lanes.mjs';
import { snapshotsOf } from './snapshots.mjs';

const SLICE = 30 * 65536;
const TIMEOUT_MS = 2000;
// A call that got lost goes out again after 5 s.
const PATIENCE_MS = 15000;
// The errno of what failed is kept for 2 s.
const FORGET_MS = 2200;
const LIST = 'list_canister_snapshots';
const METADATA = 'read_canister_snapshot_metadata';
const DATA = 'read_canister_snapshot_data';

// Nobody is reached, or whoever is knows nothing. Of other failures, too, the reader's patience may end a moment before that of
// what he waits for.
const IN_DOUBT = ['ETIMEDOUT', 'EHOSTUNREACH'];

// kind, parameters, errno when every call fails so, and every question what became of it: one of these.
const ROWS = [
  ['refuse', {}, IN_DOUBT],
  ['reset', {}, IN_DOUBT],
  ['lost_reply', {}, IN_DOUBT],
  ['truncate', {}, ['EPROTO', ...IN_DOUBT]],
  ['truncate_body', {}, ['EPROTO', 'ETIMEDOUT']],
  ['garbage', {}, ['EPROTO', 'ETIMEDOUT']],
  ['http', { status: 503 }, ['EIO', 'ETIMEDOUT']],
  ['http', { status: 429, retry_after: 0 }, ['EIO', 'ETIMEDOUT']],
  ['forged_reply', {}, ['EBADMSG', 'EPROTO', 'ETIMEDOUT']],
  ['wrong_certificate', {}, ['EBADMSG', 'ETIMEDOUT']],
  ['wrong_certificate', { negated: true }, ['EBADMSG', 'ETIMEDOUT']],
  ['stale', {}, ['EBADMSG', 'ETIMEDOUT']],
  ['other_subnet', {}, ['EBADMSG', 'ETIMEDOUT']],
  ['request_status', { as: 'absent' }, IN_DOUBT],
  ['request_status', { as: 'pruned' }, ['EPROTO', 'ETIMEDOUT']],
  ['request_status', { as: 'done' }, IN_DOUBT],
  ['reject', { code: 'IC0210' }, ['EIO', 'ETIMEDOUT']],
  ['duplicate', {}, ['no error']],
];

const words = (kind, parameters) => [kind, ...Object.entries(parameters).map(([k, v]) => `${k}=${v}`)].join(' ');
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// A network with one snapshot of 5 MiB and two chunks, and a copy of it that met no fault.
class Lane {
  static async open(stage) {
    const lane = new Lane();
    lane.stage = stage;
    lane.network = await stage.network(['--demo', '--demo-size', '5M']);
    const manager = snapshotsOf(await Client.open(lane.network), lane.network.canisters.sample);
    lane.chunk = randomBytes(200000);
    for (const chunk of [Buffer.from('a chunk'), lane.chunk]) await manager.putChunk(chunk);
    lane.id = await manager.take();
    lane.right = `${stage.dir}/right-${lane.network.pid}`;
    await lane.remount(PATIENCE_MS);
    await run('cp', ['-r', lane.mount.path('snapshots', lane.id), lane.right]);
    return lane;
  }

  async remount(timeoutMs = TIMEOUT_MS) {
    await this.network.faults([]);
    await this.mount?.unmount();
    const options = `identity=${this.network.identity},timeout=${timeoutMs}ms`;
    this.mount = await this.stage.mount(this.network, this.network.canisters.sample, ['-o', options]);
    this.memory = this.mount.path('snapshots', this.id, 'stable_memory.bin');
    const hash = createHash('sha256').update(this.chunk).digest('hex');
    this.chunkFile = this.mount.path('snapshots', this.id, 'wasm_chunk_store', `${hash}.bin`);
  }

  async copyIsRight() {
    const copied = `${this.stage.dir}/copied-${this.network.pid}`;
    try {
      await run('cp', ['-r', this.mount.path('snapshots', this.id), copied]);
      const { stdout } = await run('diff', ['-r', this.right, copied]).catch((error) => error);
      assert.equal(stdout, '');
    } finally {
      await rm(copied, { recursive: true, force: true });
    }
  }

  // One look of each kind, and what it came to.
  async look(method) {
    const started = Date.now();
    let result;
    if (method === LIST) result = await errnoOf(readdir(this.mount.path('snapshots')));
    else if (method === METADATA) result = await errnoOf(readFile(this.mount.path('snapshots', this.id, 'metadata.json')));
    else {
      const got = await pread(this.memory, 2 * SLICE + 3, 100);
      if (Buffer.isBuffer(got)) assert.deepEqual(got, seedBytes(1n, 2 * SLICE + 3, 100));
      result = Buffer.isBuffer(got) ? 'no error' : got;
    }
    const took = Date.now() - started;
    assert.ok(took < 2 * TIMEOUT_MS + 2000, `took ${took} ms`);
    return result;
  }
}

let stage;
before(async () => (stage = await Stage.open()));
after(() => stage.close());

describe('faults while snapshots are read', { concurrency: LANES }, () => {
  const laneTest = inLanes(() => Lane.open(stage));

  for (const [kind, parameters, errnos] of ROWS) {
    laneTest(`${words(kind, parameters)}: on one call of each kind`, async (lane) => {
      await lane.remount(PATIENCE_MS);
      const once = (method, nth) => ({ kind, ...parameters, endpoint: 'call', method, nth });
      // Data: the first, one of stable memory, one of the chunks.
      await lane.network.faults([once(LIST, 1), once(METADATA, 1), once(DATA, 1), once(DATA, 3), once(DATA, 6)]);
      await lane.copyIsRight();
    });

    laneTest(`${words(kind, parameters)}: on every call`, async (lane) => {
      const { network } = lane;
      const methods = ['refuse', 'reject'].includes(kind) ? [LIST, METADATA, DATA] : [DATA]; // all go the same way
      for (const method of methods) {
        await lane.remount();
        if (method !== LIST) await readdir(lane.mount.path('snapshots'));
        if (method === DATA) await stat(lane.memory);
        const every = { kind, ...parameters };
        await network.faults([{ ...every, endpoint: 'call', method }, { ...every, endpoint: 'read_state' }]);
        const result = await lane.look(method);
        assert.ok(errnos.includes(result), `${method}: ${result}`);
        if (method === DATA) {
          const ofChunk = await errnoOf(readFile(lane.chunkFile));
          assert.ok(errnos.includes(ofChunk), `a chunk: ${ofChunk}`);
        }
        await network.faults([]);
        if (!errnos.includes('no error')) await sleep(FORGET_MS);
        assert.equal(await lane.look(method), 'no error', `${method} afterwards: ${lane.mount.stderr}`);
        if (method === DATA) assert.deepEqual(await readFile(lane.chunkFile), lane.chunk);
      }
    });
  }

  if (process.env.CANISTERFS_TEST_LONG === '1')
    laneTest('a list that takes longer to come than it is good for', async (lane) => {
      await lane.remount(100_000);
      await lane.network.faults([{ endpoint: 'call', method: LIST, kind: 'late', ms: 62_000 }]);
      assert.deepEqual(await readdir(lane.mount.path('snapshots')), [lane.id]);
    });

  laneTest('faults at random: the copy is right or says that it is not', async (lane) => {
    for (let seed = 1; seed <= 6; seed++) {
      await lane.remount(PATIENCE_MS);
      await lane.network.faults([{ kind: 'random', seed, rate: 0.15 }]);
      await lane.copyIsRight().catch((error) => assert.match(String(error.stderr ?? error), /cp: /));
    }
  });
});

// A module whose methods all do the same: `code`, the body of a function () -> ().
function moduleOf(code, names) {
  const string = (text) => [text.length, ...Buffer.from(text)];
  const section = (id, bytes) => [id, ...leb(bytes.length), ...bytes];
  const leb = (n) => (n < 128 ? [n] : [(n % 128) + 128, ...leb(Math.floor(n / 128))]);
  const exports = names.flatMap((name) => [...string(name), 0, 0]);
  return new Uint8Array([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 0, 0]),
    ...section(3, [1, 0]),
    ...section(7, [names.length, ...exports]),
    ...section(10, [1, code.length + 2, 0, ...code, 0x0b]),
  ]);
}

const UNREACHABLE = 0x00;
const TRAPS = moduleOf(
  [UNREACHABLE],
  ['stable_size', 'stable_read', 'stable_version', 'backup', '__get_candid_interface_tmp_hack'].map((name) => `canister_query ${name}`),
);

describe('a canister that nothing else can be read of', () => {
  let network;
  let client;

  before(async () => {
    network = await stage.network(['--demo', '--demo-size', '5M']);
    client = await Client.open(network);
  });

  const mountOf = (name) => stage.mount(network, network.canisters[name], ['-o', `identity=${network.identity}`]);

  async function readsSnapshot(mount, id) {
    assert.deepEqual(await readdir(mount.path('snapshots')), [id]);
    const memory = await readFile(mount.path('snapshots', id, 'stable_memory.bin'));
    assert.deepEqual(memory.subarray(0, 5 << 20), seedBytes(1n, 0, 5 << 20));
  }

  // Its memory is not shown as an empty one, nor as one that is not there.
  async function memoryIsNotGone(mount, reason) {
    assert.match((await mount.json('status')).unreadable, reason);
    assert.equal(await errnoOf(stat(mount.path('stable_memory'))), 'EIO');
    assert.equal(await errnoOf(readdir(mount.path('backup'))), 'EIO');
  }

  let id;
  before(async () => (id = await snapshotsOf(client, network.canisters.sample).take()));

  test('out of cycles', async () => {
    const canister = network.canisters.sample;
    await network.faults([{ kind: 'reject', code: 'IC0207', message: 'Canister is out of cycles', endpoint: 'query', canister }]);
    const mount = await mountOf('sample');
    await readsSnapshot(mount, id);
    await memoryIsNotGone(mount, /out of cycles/);
    await network.faults([]);
  });

  test('that traps on everything', async () => {
    await installCode(client.agent, Principal.fromText(network.canisters.sample), TRAPS);
    const mount = await mountOf('sample');
    await readsSnapshot(mount, id);
    await memoryIsNotGone(mount, /trap/);
  });

  test('with no module', async () => {
    await client.manage(network.canisters.sample, 'uninstall_code');
    const mount = await mountOf('sample');
    await readsSnapshot(mount, id);
    assert.equal(await errnoOf(stat(mount.path('stable_memory'))), 'ENOENT', 'it has none');
  });

  test('deleted under an open handle, in the middle of a call', async () => {
    const mount = await mountOf('sample');
    const file = await open(mount.path('snapshots', id, 'stable_memory.bin'));
    await network.options({ updateMs: 300 });
    try {
      const buffer = Buffer.alloc(4096);
      const readAt = (offset) => errnoOf(file.read(buffer, 0, buffer.length, offset));
      const first = readAt(SLICE + 123456);
      await network.untilAsked({ method: DATA });
      await snapshotsOf(client, network.canisters.sample).delete(id);
      assert.equal(await first, 'no error', 'it was asked for before');
      assert.deepEqual(buffer, seedBytes(1n, SLICE + 123456, buffer.length));
      assert.equal(await readAt(1000), 'ESTALE', 'nobody asked for that before');
      assert.equal(await readAt(2 * SLICE - buffer.length), 'no error', 'what came with the first');
      assert.deepEqual(buffer, seedBytes(1n, 2 * SLICE - buffer.length, buffer.length));
    } finally {
      await file.close();
      await network.options({ updateMs: 0 });
    }
  });
});
