// What the other tests rely on: nothing stays mounted, whatever a test forgot, and nothing is waited for for ever.
import assert from 'node:assert/strict';
import { mkdir, access } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually, mountsBelow, networkArgs, program, refused, run, Stage } from './harness.mjs';

async function forgetful(forget) {
  const stage = await Stage.open();
  const network = await stage.network(['--demo', '--demo-size', '1M']);
  const point = join(stage.dir, 'point');
  await mkdir(point);
  await forget([...networkArgs(network), network.canisters.sample, point], point);
  return { stage, point };
}

test('a forgotten mount is taken down, the directory removed, and the test told', async () => {
  const { stage, point } = await forgetful((args) => run(program, args));
  assert.deepEqual(await mountsBelow(stage.dir), [point]);
  await assert.rejects(stage.close(), (error) => error.message.includes(`left mounted: ${point}`));
  assert.deepEqual(await mountsBelow(stage.dir), []);
  await assert.rejects(access(stage.dir), { code: 'ENOENT' });
  await eventually(async () => !(await run('pgrep', ['-f', point]).catch(() => null)));
});

test('a program that should have failed and did not is ended', async () => {
  const { stage } = await forgetful(async (args, point) => {
    const { code, stderr } = await refused(['-f', ...args], 2000);
    assert.equal(code, null);
    assert.match(stderr, /did not end by itself/);
    assert.deepEqual(await mountsBelow(point), []);
  });
  await stage.close();
});
