// Faults of the network while a collection is copied: the right bytes, or an error that the copy reports. Never a file that
// is wrong or short under its name in a copy that says it succeeded.
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { assertMessage, chunkName, chunkNames, chunkStarts, filesOf, outcome } from './chunks.mjs';
import { Client } from './client.mjs';
import { isSanitized, Stage } from './harness.mjs';
import { configure, ITEMS_REPLIES } from './items.mjs';
import { inLanes, LANES } from './lanes.mjs';
import { ShapedCanister } from './shapes.mjs';

const COUNT = 6_050;
const STEP = 1000;
const METHOD = 'backup_items_chunk';
const TIMEOUT_MS = 2000;
// How long an error is remembered.
const FORGET_MS = 2200;
const DEADLINE_MS = (isSanitized ? 4 : 1) * 60_000;

const KINDS = [
  ['refuse'], ['lost_reply'], ['reset'], ['truncate'], ['truncate_body'], ['garbage'], ['other_reply'],
  ['forged_reply'], ['forged_reply', { at: -5 }], ['wrong_node_signature'], ['unknown_node'], ['stale'], ['other_subnet'],
  ['wrong_candid'], ['stall'], ['stall', { in_body: true }], ['drip', { bytes: 4096, ms: 2 }], ['rotate_nodes'],
  ['http', { status: 503 }], ['http', { status: 500 }], ['http', { status: 429, retry_after: 1 }], ['http', { status: 403 }],
];
// When every call from the fourth on meets the fault the copy fails; but for what is only slow, and with new nodes before each
// call it may be either.
const HARMLESS = new Set(['drip']);
const MAY_BE_WHOLE = new Set(['rotate_nodes']);
const words = (kind, parameters = {}) => [kind, ...Object.entries(parameters).map(([k, v]) => `${k}=${v}`)].join(' ');

class Lane {
  static async open(stage) {
    const lane = new Lane();
    lane.stage = stage;
    lane.network = await stage.network();
    const client = await Client.open(lane.network);
    lane.canister = await ShapedCanister.install(client.agent, 'items', { size: COUNT, seed: 5n });
    // Pieces of several calls.
    lane.items = await configure(lane.canister, { refuse_above: 400, body_min: 10, body_max: 900 });
    return lane;
  }

  async remount() {
    await this.network.faults([]);
    await this.mount?.unmount();
    this.mount = await this.stage.mount(this.network, this.canister.id, ['-o', `timeout=${TIMEOUT_MS}ms`]);
  }

  // cp -r of the collection: every file that it says it copied is right. Resolves to whether that is all of them.
  async copyChecked() {
    const out = join(this.stage.dir, `out-${Math.random().toString(36).slice(2)}`);
    const began = Date.now();
    const { code, stderr } = await outcome('cp', '-r', this.mount.path('backup', 'items'), out);
    this.said = stderr;
    assert.ok(Date.now() - began < DEADLINE_MS, `took ${Date.now() - began} ms`);
    const failed = new Set([...stderr.matchAll(/(\d{10}\.candid)/g)].map(([, name]) => name));
    const files = (await stat(out).catch(() => null)) ? await filesOf(out) : new Map();
    for (const [name, bytes] of files) {
      if (failed.has(name)) continue; // and cp says so
      const start = Number(name.slice(0, 10));
      assertMessage(ITEMS_REPLIES[METHOD], bytes, this.items.chunk(start, Math.min(STEP, COUNT - start)), name);
    }
    if (code === 0) assert.deepEqual([...files.keys()].sort(), chunkNames(COUNT));
    else assert.match(stderr, /^cp: /);
    return code === 0;
  }

  // A copy that must be whole. One that a busy machine was too slow for, as cp says, is made again: some times, and no more.
  async assertWhole(when) {
    for (let left = 5; !(await this.copyChecked()); left--) {
      assert.ok(left > 0 && this.said.trimEnd().split('\n').every((line) => line.endsWith(': Connection timed out')), `${when}: ${this.said}`);
      await sleep(FORGET_MS);
    }
  }

  // The network is well again: so is a copy.
  async assertRecovers(when) {
    await this.network.faults([]);
    await sleep(FORGET_MS);
    await this.assertWhole(when);
  }
}

describe('faults while a collection is copied', { concurrency: LANES }, () => {
  let stage;
  before(async () => (stage = await Stage.open()));
  after(() => stage.close());
  const laneTest = inLanes(() => Lane.open(stage));

  for (const [kind, parameters] of KINDS)
    laneTest(words(kind, parameters), async (lane) => {
      for (const rules of [[{ nth: 1 }, { every: 3 }], [{ from: 4 }]]) {
        await lane.remount();
        await lane.network.faults(rules.map((rule) => ({ kind, method: METHOD, ...parameters, ...rule })));
        if (HARMLESS.has(kind)) await lane.assertWhole('slow is not wrong');
        else if ((await lane.copyChecked()) && rules[0].from) assert.ok(MAY_BE_WHOLE.has(kind), 'the copy succeeded');
        await lane.assertRecovers('nothing wrong was kept');
      }
    });

  laneTest('one fault is no failure of the copy', async (lane) => {
    for (const kind of ['refuse', 'reset', 'truncate', 'garbage', 'forged_reply', 'wrong_node_signature']) {
      await lane.remount();
      await lane.network.faults([{ kind, method: METHOD, nth: 3 }]);
      await lane.assertWhole(kind);
    }
  });

  laneTest('faults by chance', async (lane) => {
    const seed = Number(process.env.CANISTERFS_TEST_SEED ?? randomInt(2 ** 32));
    for (const rate of [0.05, 0.3]) {
      await lane.remount();
      await lane.network.faults([{ kind: 'random', endpoint: 'query', seed, rate }]);
      await lane.copyChecked().catch((error) => assert.fail(`seed ${seed}, rate ${rate}: ${error.stack}`));
      await lane.assertRecovers(`seed ${seed}`);
    }
  });

  laneTest('the whole network away, in the middle of a copy', async (lane) => {
    await lane.remount();
    await lane.network.options({ queryMs: 50 });
    const copying = lane.copyChecked();
    await sleep(150);
    await lane.network.faults([{ kind: 'refuse' }]);
    await copying;
    await lane.network.options({ queryMs: 0 });
    await lane.assertRecovers('the network is back');
    assert.equal(chunkStarts(COUNT).length, 7);
    assert.ok(await stat(lane.mount.path('backup', 'items', chunkName(6000))));
  });
});
