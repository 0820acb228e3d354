// Ordinary tools restore a canister of the local network: through the kernel, the stages and the real restorers.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { openNetwork } from './client.mjs';
import { run, seedBytes } from './harness.mjs';

const MIB = 2 ** 20;
const SIZE = 4 * MIB;
const env = { ...process.env, LC_ALL: 'C' };
const old = seedBytes(1n, 0, SIZE);

let stage, network, client;
before(async () => ({ stage, network, client } = await openNetwork(['--demo', '--demo-size', '4M'])));
after(() => stage.close());

const options = (...more) => ['-o', ['rw', `identity=${network.identity}`, `staging_dir=${join(stage.dir, 'staging')}`, 'attr_timeout=100ms', ...more].join()];
const begin = (...more) => stage.mount(network, network.canisters.sample, options(...more));
const assertBytes = (got, want, what) => assert.ok(got.equals(want), `${what}: ${got.length} bytes, expected ${want.length}`);
const isUpdate = ({ endpoint }) => endpoint === 'call';
const sum = (requests) => requests.reduce((total, { argBytes }) => total + (argBytes ?? 0), 0);

// What the canister holds, not seen through the mount that wrote it.
async function held() {
  const mount = await stage.mount(network, network.canisters.sample);
  const bytes = await readFile(mount.path('stable_memory'));
  await mount.unmount();
  return bytes;
}

async function restores(mount) {
  return (await mount.json('status')).restores;
}

describe('stable_memory', () => {
  test('round trips by cp, dd and rsync, which are read back at once', async () => {
    const mount = await begin();
    const copy = join(stage.dir, 'copy');
    await writeFile(copy, old);
    const changes = [
      ['cp', (at) => run('cp', [copy, at], { env })],
      ['dd', (at) => run('dd', [`if=${copy}`, `of=${at}`, 'bs=64k', 'status=none'], { env })],
      ['rsync', (at) => run('rsync', ['-I', copy, at], { env })],
      ['rsync --inplace', (at) => run('rsync', ['-I', '--inplace', '--no-whole-file', copy, at], { env })],
      ['mv', (at) => run('bash', ['-c', `cp ${copy} ${copy}.2 && mv ${copy}.2 ${at}`], { env })],
    ];
    for (const [what, change] of changes) {
      const bytes = Buffer.from(await readFile(copy));
      bytes.write(`changed by ${what}`, 2 * MIB + 77);
      await writeFile(copy, bytes);
      await change(mount.path('stable_memory'));
      assertBytes(await readFile(mount.path('stable_memory')), bytes, what);
      assertBytes(await held(), bytes, `${what}, held`);
      assert.deepEqual(await restores(mount), [], what);
    }
    await mount.unmount();
  });

  test('a patch of some bytes sends little', async () => {
    const mount = await begin();
    const before = await held();
    const requests = await network.requestsDuring(() =>
      run('bash', ['-c', `printf patched | dd of=${mount.path('stable_memory')} bs=1 seek=1000000 conv=notrunc status=none`], { env }));
    assert.ok(sum(requests.filter(isUpdate)) < 200_000, `${sum(requests.filter(isUpdate))}`);
    before.write('patched', 1_000_000);
    assertBytes(await held(), before, 'patched');
    await mount.unmount();
  });

  test('shorter than the memory: EINVAL, and nothing is changed', async () => {
    const mount = await begin();
    const before = await held();
    const half = join(stage.dir, 'half');
    await writeFile(half, old.subarray(0, SIZE / 2));
    const error = await run('cp', [half, mount.path('stable_memory')], { env }).catch((other) => other);
    assert.match(error.stderr, /Invalid argument/);
    assertBytes(await held(), before, 'unchanged');
    const [restore] = await restores(mount);
    assert.equal(restore.state, 'failed');
    assert.match(restore.message, /cannot become smaller/);
    assert.equal((await mount.job(`restore abort ${restore.id}`)).state, 'done');
    assert.deepEqual(await restores(mount), []);
    await mount.unmount();
  });

  test('the program is killed in the middle: the next mount finds it, and resumes it', async () => {
    const mount = await begin();
    const next = seedBytes(99n, 0, SIZE);
    const copy = join(stage.dir, 'next');
    await writeFile(copy, next);
    await network.faults([{ kind: 'stall', method: 'restore_commit' }]);
    const child = spawn('cp', [copy, mount.path('stable_memory')], { env, stdio: 'ignore' });
    const ended = once(child, 'close');
    await network.untilAsked({ method: 'restore_commit' });
    mount.child.kill('SIGKILL');
    await mount.exited;
    await run('fusermount3', ['-uz', mount.point]);
    await ended;
    await network.faults([]);
    const again = await begin();
    await again.says(/a restore of stable_memory was interrupted: control restore resume (\d+)/);
    const [restore] = await restores(again);
    assert.equal(restore.state, 'found');
    const requests = await network.requestsDuring(async () => {
      const end = await again.job(`restore resume ${restore.id}`);
      assert.equal(end.state, 'done', JSON.stringify(end.error));
    });
    assert.equal(requests.filter(({ method }) => method === 'restore_chunk').length, 0, 'all was there already');
    assertBytes(await readFile(again.path('stable_memory')), next, 'resumed');
    assertBytes(await held(), next, 'held');
    assert.deepEqual(await restores(again), []);
    await again.unmount();
  });

  test('maintenance=auto pauses the canister for a restore, and lets it go at the end', async () => {
    const mount = await begin('maintenance=auto');
    const next = seedBytes(7n, 0, SIZE);
    const copy = join(stage.dir, 'paused');
    await writeFile(copy, next);
    const requests = await network.requestsDuring(() => run('cp', [copy, mount.path('stable_memory')], { env }));
    const methods = requests.filter(isUpdate).map(({ method }) => method);
    assert.equal(methods[0], 'maintenance_pause');
    const rest = await network.requestsDuring(() => mount.unmount());
    assert.ok(rest.some(({ method }) => method === 'maintenance_resume'));
    assertBytes(await held(), next, 'held');
  });
});

test('without rw nothing can be written', async () => {
  const mount = await stage.mount(network, network.canisters.sample, ['-o', `identity=${network.identity}`]);
  const error = await run('cp', ['/etc/passwd', mount.path('stable_memory')], { env }).catch((other) => other);
  assert.match(error.stderr, /Read-only file system/);
  await mount.unmount();
});

test('what cannot be restored is named when the mount begins with rw, and only then', async () => {
  const words = /backup\/content cannot be restored: restore_content does not take all that backup_content_chunks gives/;
  const mount = await stage.mount(network, network.canisters.dscvr, options());
  await mount.says(words);
  await mount.unmount();
  const reading = await stage.mount(network, network.canisters.dscvr);
  const { last_errors: said } = await reading.json('status');
  assert.ok(said.every(({ message }) => !words.test(message)), JSON.stringify(said));
  await reading.unmount();
});
