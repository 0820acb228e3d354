// Random operations on mounts against plain arrays (write_model.h), thousands of sequences. A seed repeats them:
// CANISTERFS_TEST_SEED=N node --test tests/mount/write_model.test.mjs
import { mkdtemp, rm, mkdir, writeFile } from 'node:fs/promises';
import { randomInt } from 'node:crypto';
import { dirname, join } from 'node:path';
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { FakeMount } from './fake.mjs';
import { isSanitized, program, run, seedBytes, Stage } from './harness.mjs';

const DRIVER = join(dirname(program), 'tests', 'write_driver');
const N = isSanitized ? 300 : 1000;
const seed = Number(process.env.CANISTERFS_TEST_SEED ?? randomInt(1e9));

let stage;
before(async () => (stage = await Stage.open()));
after(() => stage.close());

// Most of the time each of them waits for the other side. The states are in memory: what is synced takes no time.
test(`seed ${seed}`, { concurrency: 3 }, async (t) => {
  const mounts = [0, 1, 2].map((i) =>
    t.test(`${N} sequences, seed ${seed + i}`, async () => {
      const dir = await mkdtemp('/dev/shm/canisterfs-test-');
      stage.onClose(() => rm(dir, { recursive: true }));
      await mkdir(join(dir, 'state', 'items'), { recursive: true });
      for (const [name, size] of [['items/0000.bin', 500], ['items/0001.bin', 900]])
        await writeFile(join(dir, 'state', name), seedBytes(BigInt(size), 0, size));
      const mount = await FakeMount.open(stage, { memory: seedBytes(7n, 0, 3000), dir });
      const failed = (error) => assert.fail(`${error.stdout}${error.stderr}CANISTERFS_TEST_SEED=${seed}\n${mount.stderr.slice(-1000)}`);
      const { stdout } = await run(DRIVER, [mount.point, mount.state, String(seed + i), String(N)]).catch(failed);
      t.diagnostic(stdout.trim());
      await mount.unmount();
    }));
  await Promise.all(mounts);
});
