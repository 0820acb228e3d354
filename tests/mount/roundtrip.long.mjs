// A memory of 3 GiB, most of it holes, through a mount and under the platform's limits: more is sent than one message may apply, so
// the canister applies it in steps.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openNetwork } from './client.mjs';
import { run } from './harness.mjs';
import { installPlain } from './roundtrip.mjs';

const MIB = 2 ** 20;
const SIZE = 3072 * MIB;
// MiB: what is not zeros.
const RANGES = [[0, 3], [500, 900], [1501, 2251], [3071, 3072]];

let stage, network, client;
before(async () => ({ stage, network, client } = await openNetwork()));
after(() => stage.close());

const sh = (command) => run('bash', ['-euc', command], { env: { ...process.env, LC_ALL: 'C' } });

test('3 GiB, of which 1154 MiB are not zeros: restored in steps, and then a change of it alone', { timeout: 1_800_000 }, async () => {
  const saved = join(stage.dir, 'saved');
  await sh(`truncate -s ${SIZE} ${saved}`);
  for (const [from, to] of RANGES)
    await sh(`head -c ${(to - from) * MIB} /dev/urandom | dd of=${saved} bs=1M seek=${from} conv=notrunc iflag=fullblock status=none`);

  const canister = await installPlain(client.agent, 'sample');
  const words = ['rw', `identity=${network.identity}`, `staging_dir=${join(stage.dir, 'staging')}`, 'attr_timeout=100ms'];
  const mount = await stage.mount(network, canister.id, ['-o', words.join()]);
  let requests = await network.requestsDuring(() => sh(`cp ${saved} ${mount.path('stable_memory')}`));
  const of = (method) => requests.filter((request) => request.endpoint === 'call' && request.method === method);
  assert.ok(of('restore_commit').length > 1, `applied by ${of('restore_commit').length} calls`);
  const sent = of('restore_chunk').reduce((sum, { requestBytes, argBytes }) => sum + (argBytes ?? requestBytes), 0);
  assert.ok(sent < 1200 * MIB, `${sent} bytes were sent`);
  assert.equal(await canister.actor.stable_size(), BigInt(SIZE));
  await sh(`cmp ${saved} ${mount.path('stable_memory')}`);

  await canister.actor.work(3n);
  await canister.actor.stable_write(BigInt(2500 * MIB), Buffer.from('not a hole any more'));
  requests = await network.requestsDuring(() => sh(`cp ${saved} ${mount.path('stable_memory')}`));
  assert.equal(of('restore_chunk').length, 2, 'the two pages that differ');
  await sh(`cmp ${saved} ${mount.path('stable_memory')}`);
  assert.deepEqual((await mount.json('status')).restores, []);
  const peak = Number(/VmHWM:\s+(\d+)/.exec((await run('cat', [`/proc/${mount.pid}/status`])).stdout)[1]) / 1024;
  assert.ok(peak < 1024, `${peak} MiB of memory at most`);
  await mount.unmount();
});
