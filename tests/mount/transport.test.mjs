// What lies between the mount and the canister: HTTP/2 and HTTP/1.1, proxies, a network that goes away, an end that does
// not wait for it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually, run, Stage } from './harness.mjs';

let stage;

before(async () => {
  stage = await Stage.open();
});
after(() => stage.close());

describe('unmounted while nobody waits any more for what the network does not answer', () => {
  let network;

  before(async () => {
    network = await stage.network(['--demo', '--demo-size', '16M']);
  });

  // Readers in processes that are killed; their loads stall.
  async function stall(mount, n, threads) {
    await network.faults([{ kind: 'stall', method: 'stable_read_at' }]);
    const file = await open(mount.path('stable_memory'));
    const readers = [];
    for (let i = 0; i < n; i++) {
      const dd = ['of=/dev/null', 'bs=64k', `skip=${80 + 20 * i}`, 'count=1'];
      readers.push(spawn('dd', dd, { stdio: [file.fd, 'ignore', 'ignore'] }));
      // The last of all threads cannot be asked whether it waits.
      if (i + 1 < threads) await eventually(async () => (await mount.json('stats')).calls.in_flight === i + 1);
      else await sleep(300);
    }
    for (const reader of readers) {
      const ended = once(reader, 'exit');
      reader.kill('SIGKILL');
      assert.deepEqual(await ended, [null, 'SIGKILL']);
    }
    return file;
  }

  for (const [what, n, threads, lazy] of [
    ['the process ends at once', 1, 128, false],
    ['also after a lazy unmount, when the last file is closed', 1, 128, true],
    ['also when every thread is busy', 2, 2, false],
  ]) {
    test(what, async () => {
      const mount = await stage.mount(network, network.canisters.sample, ['-o', `timeout=60s,max_threads=${threads}`]);
      const file = await stall(mount, n, threads);
      if (!lazy) await file.close();
      await run('fusermount3', [lazy ? '-uz' : '-u', mount.point]);
      if (lazy) await file.close();
      const unmounted = Date.now();
      assert.deepEqual(await mount.exited, { code: 0, signal: null });
      const took = Date.now() - unmounted;
      assert.ok(took < 1000, `took ${took} ms`);
      await network.faults([]);
    });
  }
});
