// What the other tests rely on: nothing stays mounted, whatever a test forgot, and nothing is waited for for ever.
import assert from 'node:assert/strict';
import { mkdir, access } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually, mountsBelow, networkArgs, program, refused, run, Stage, top } from './harness.mjs';
import { isAlive, start } from './process.mjs';

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

// A test of its own process: it has a network, a mount in the foreground and one in the background, and goes on for ever.
const ENDLESS = `
import { run, networkArgs, program, Stage } from '${join(top, 'tests/mount/harness.mjs')}';
import { mkdir } from 'node:fs/promises';
const stage = await Stage.open();
const network = await stage.network(['--demo', '--demo-size', '1M']);
const mount = await stage.mount(network, network.canisters.sample);
await mkdir(stage.dir + '/point');
await run(program, [...networkArgs(network), network.canisters.sample, stage.dir + '/point']);
const { stdout } = await run('pgrep', ['-f', stage.dir]);
const pids = [network.pid, ...stdout.trim().split('\\n').map(Number)];
console.log(JSON.stringify({ dir: stage.dir, pids }));
setInterval(() => {}, 1000);
`;

test('a test that is killed leaves no mount, no process and no directory', async () => {
  const child = start(process.execPath, ['--input-type=module', '-e', ENDLESS]);
  let line = '';
  for await (const chunk of child.stdout) {
    line += chunk;
    if (line.endsWith('\n')) break;
  }
  const { dir, pids } = JSON.parse(line);
  assert.equal((await mountsBelow(dir)).length, 2);
  assert.ok(pids.length >= 4 && pids.every(isAlive), `${pids}`); // the network, two mounts, the janitor
  child.kill('SIGKILL');
  await child.ended;
  await eventually(() => !pids.some(isAlive));
  assert.deepEqual(await mountsBelow(dir), []);
  await assert.rejects(access(dir), { code: 'ENOENT' });
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
