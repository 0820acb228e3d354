// A slow line and a reader who waits 12 s for each read: what is fetched ahead must not be in its own way.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Client } from './client.mjs';
import { Stage, run } from './harness.mjs';
import { snapshotsOf } from './snapshots.mjs';

const SIZE = 40 << 20;
const OPTIONS = ['timeout=12s'];

describe('a slow line', { concurrency: 2 }, () => {
  let stage;
  before(async () => (stage = await Stage.open()));
  after(() => stage.close());

  const network = () => stage.network(['--demo', '--demo-size', String(SIZE)]);
  const sum = async (path) => (await run('sha256sum', [path])).stdout.split(' ')[0];

  // Both ways: quickly, and on the slow line.
  async function compare(lane, bandwidth, options, path) {
    const mount = () => stage.mount(lane, lane.canisters.sample, ['-o', [...OPTIONS, ...options].join()]);
    const expected = await sum((await mount()).path(...path));
    const slow = await mount();
    await lane.options({ bandwidth }); // bytes per second
    assert.equal(await sum(slow.path(...path)), expected);
  }

  test('stable_memory', async () => compare(await network(), 1.2e6, [], ['stable_memory']));

  test('a snapshot', async () => {
    const lane = await network();
    const id = await snapshotsOf(await Client.open(lane), lane.canisters.sample).take();
    await compare(lane, 2e6, [`identity=${lane.identity}`], ['snapshots', id, 'stable_memory.bin']);
  });
});
