// Writing where there is little: few descriptors.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { FakeMount } from './fake.mjs';
import { errnoName, eventually, program, Stage, tethered } from './harness.mjs';
import { newPoint, start } from './process.mjs';

const OLD = randomBytes(10_000);
const NEW = randomBytes(10_000);

let stage;
before(async () => (stage = await Stage.open()));
after(() => stage.close());

async function outcome(promise) {
  return promise.then(() => 'done', (error) => errnoName(error));
}

// In memory: what is synced takes no time.
async function newDir() {
  const dir = await mkdtemp('/dev/shm/canisterfs-test-');
  stage.onClose(() => rm(dir, { recursive: true }));
  return dir;
}

describe('64 descriptors', () => {
  const N = 300;
  const through = ['prlimit', '--nofile=64'];
  const item = (i) => `${String(i).padStart(4, '0')}.bin`;
  const nOpen = async (mount) => (await readdir(`/proc/${mount.pid}/fd`)).length;

  for (const [what, nameOf] of [['different files', (mount, i) => mount.path('items', item(i))], ['one file', (mount) => mount.memoryPath]])
    test(`${N} restores of ${what} that are refused are kept, and cost none`, async () => {
      const dir = await newDir();
      const mount = await FakeMount.open(stage, { memory: OLD, dir, through });
      const before = await nOpen(mount);
      await mount.script('error EACCES');
      for (let i = 0; i < N; i++) assert.equal(await outcome(writeFile(nameOf(mount, i), NEW)), 'EACCES', `${i}`);
      const temporary = mount.path('.stable_memory.tmp');
      for (let i = 0; i < N; i++) await writeFile(`${temporary}${i}`, `${i}`);
      await eventually(async () => (await nOpen(mount)) <= before);
      assert.equal((await mount.kept()).length, 2 * N);
      assert.equal((await mount.job('restore resume 1')).state, 'failed', 'each can be used still');
      assert.equal(await readFile(`${temporary}17`, 'latin1'), '17');
      await mount.unmount();

      const again = await FakeMount.open(stage, { dir, through });
      await eventually(async () => (await nOpen(again)) <= before);
      assert.equal((await again.restores()).length, 2 * N);
      await again.script();
      assert.equal((await again.job(`restore resume ${N}`)).state, 'done');
      const restored = what === 'one file' ? 'memory' : join('items', item(N - 1));
      assert.ok((await readFile(join(again.state, restored))).equals(NEW), 'it is restored');
      await eventually(async () => (await again.kept()).length === (what === 'one file' ? N : 2 * N - 1));
      assert.equal((await again.job(`restore abort ${N + 1}`)).state, 'done');
      await again.unmount();
    });

  test('none left: what is being written is refused or kept, and nothing half is sent', async () => {
    const mount = await FakeMount.open(stage, { memory: OLD, dir: await newDir(), through });
    const files = [];
    let failed = 0;
    for (let i = 0; i < 100; i++) {
      const file = await open(mount.path(`.tmp${i}`), 'w').catch(() => failed++);
      if (typeof file === 'object') files.push(file);
    }
    assert.ok(failed > 50, `${failed}`);
    assert.equal(await outcome(writeFile(mount.memoryPath, NEW)), 'EMFILE');
    for (const file of files) await file.close();
    await eventually(async () => (await outcome(writeFile(mount.memoryPath, NEW))) === 'done');
    assert.deepEqual(await mount.commits(), [`stable_memory ${NEW.length} ok`]);
    assert.ok((await mount.memory()).equals(NEW), 'memory');
    await mount.unmount();
  });
});

test('the program takes as many descriptors as it may have', async () => {
  const server = createServer(() => {}); // it waits for an answer
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const network = `network=http://127.0.0.1:${server.address().port},insecure_root_key`;
  const child = start(...tethered('prlimit', ['--nofile=100:200', program, '-f', '-o', network, 'aaaaa-aa', await newPoint(stage)]));
  await eventually(async () => /Max open files +200 +200 /.test(await readFile(`/proc/${child.pid}/limits`, 'latin1')));
  child.kill('SIGTERM');
  await child.ended;
  server.close();
});
