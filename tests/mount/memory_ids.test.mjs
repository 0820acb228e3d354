// Memories with ids (canister-tools) that hold nothing yet: no file, no question and no line about any of them, and each can be restored.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { open, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { openNetwork } from './client.mjs';
import { errnoOf, eventually, run, seedBytes } from './harness.mjs';
import { ShapedCanister } from './shapes.mjs';

const PAGE = 65536;
const env = { ...process.env, LC_ALL: 'C' };
const sh = (command) => run('bash', ['-euc', command], { env });

describe('memories that are empty', { concurrency: 2 }, () => {
  let stage, network, client;
  let names = 0;

  before(async () => ({ stage, network, client } = await openNetwork()));
  after(() => stage.close());

  const install = (size = 0) => ShapedCanister.install(client.agent, 'canister_tools', { size, seed: 5n });
  const mountOf = (canister, ...more) =>
    stage.mount(network, canister.id, ['-o', [`identity=${network.identity}`, `staging_dir=${join(stage.dir, 'staging')}`, ...more].join()]);
  const place = () => {
    const dir = join(stage.dir, `dir${++names}`);
    mkdirSync(dir);
    return dir;
  };
  const sizeOf = async ({ actor }, id) => Number(await actor.controller_stable_memory_size(id)) * PAGE;
  const held = async (canister, id) => Buffer.from(await canister.actor.controller_stable_memory_read(id, 0n, BigInt(await sizeOf(canister, id))));
  const queriesDuring = async ({ id }, fn) =>
    (await network.requestsDuring(fn)).filter((entry) => entry.endpoint === 'query' && entry.canister === id).length;
  const listed = (mount) => readdir(mount.path('vmem'));
  const files = async (mount) => (await mount.json('status')).stable_memory.files.map(({ path }) => path);

  test('none holds anything: an empty vmem/, which costs nothing', async () => {
    const canister = await install();
    const mount = await mountOf(canister, 'rw');
    assert.ok((await readdir(mount.point)).includes('vmem'));
    assert.equal((await stat(mount.path('vmem'))).mode & 0o777, 0o755);
    const n = await queriesDuring(canister, async () => {
      assert.deepEqual(await listed(mount), []);
      assert.deepEqual(await files(mount), []);
      await sh(`ls -lR ${mount.path('vmem')}; find ${mount.path('vmem')}; du ${mount.path('vmem')}`);
    });
    assert.equal(n, 0);
    for (const name of ['000', '254', '255', '0', '0000'])
      for (const flags of ['r', 'r+'])
        assert.equal(await errnoOf(open(mount.path('vmem', name), flags)), 'ENOENT', `${name} ${flags}`);
    assert.deepEqual(await listed(mount), []);
    assert.equal((await mount.json('status')).stable_memory.offered, true);
    await mount.unmount();
    assert.equal(await sizeOf(canister, 0), 0);
  });

  test('read-only: those that hold something, and no vmem/ when none does', async () => {
    const mount = await mountOf(await install());
    assert.ok(!(await readdir(mount.point)).includes('vmem'));
    assert.equal(await errnoOf(stat(mount.path('vmem'))), 'ENOENT');
    await mount.unmount();
    const other = await mountOf(await install(1));
    assert.deepEqual(await listed(other), ['000', '001', '252']);
    await other.unmount();
  });

  test('40 pages to an empty one: there at once, with their size', async () => {
    const canister = await install();
    const mount = await mountOf(canister, 'rw');
    const bytes = seedBytes(11n, 0, 40 * PAGE);
    const saved = join(place(), 'saved');
    writeFileSync(saved, bytes);
    for (const [name, id] of [['000', 0], ['254', 254]]) {
      await sh(`cp ${saved} ${mount.path('vmem', name)}`);
      const n = await queriesDuring(canister, async () => assert.ok((await listed(mount)).includes(name)));
      assert.equal(n, 1, 'the one that was restored');
      assert.equal((await stat(mount.path('vmem', name))).size, bytes.length);
      assert.ok((await held(canister, id)).equals(bytes));
      assert.ok((await readFile(mount.path('vmem', name))).equals(bytes));
    }
    assert.equal(await queriesDuring(canister, async () => assert.deepEqual(await listed(mount), ['000', '254'])), 0);
    assert.deepEqual(await files(mount), ['vmem/000', 'vmem/254']);
    assert.deepEqual((await mount.json('status')).restores, []);
    assert.equal(await errnoOf(stat(mount.path('vmem', '001'))), 'ENOENT');
    await mount.unmount();
  });

  for (const command of ['rsync -a saved/ vmem/', 'rsync -a --inplace saved/ vmem/', 'cp -r saved/. vmem/', 'tar cf - -C saved . | tar xf - -C vmem --no-overwrite-dir'])
    test(`all of a saved directory: ${command}`, async () => {
      const from = await install(5 * PAGE);
      const source = await mountOf(from);
      const dir = place();
      await sh(`cp -r ${source.path('vmem')} ${dir}/saved; chmod -R u+w ${dir}/saved`);
      await source.unmount();
      const canister = await install();
      const mount = await mountOf(canister, 'rw');
      await sh(`cd ${dir}; ${command.replaceAll('vmem', mount.path('vmem'))}`);
      assert.deepEqual(await listed(mount), ['000', '001', '252']);
      await sh(`diff -r ${dir}/saved ${mount.path('vmem')}`);
      for (const id of [0, 1, 252]) assert.ok((await held(canister, id)).equals(await held(from, id)), `memory ${id}`);
      assert.deepEqual((await mount.json('status')).restores, []);
      await mount.unmount();
    });

  test('a dry run leaves it empty; a restore that another mount resumes is listed, too', async () => {
    const canister = await install();
    let mount = await mountOf(canister, 'rw');
    const bytes = seedBytes(12n, 0, 3 * PAGE);
    const saved = join(place(), 'saved');
    writeFileSync(saved, bytes);
    await sh(`echo dryrun on > ${mount.path('.canisterfs', 'control')}`);
    await assert.rejects(sh(`cp ${saved} ${mount.path('vmem', '007')}`), /Operation canceled/);
    assert.equal(await sizeOf(canister, 7), 0);
    await mount.unmount();

    mount = await mountOf(canister, 'rw');
    const [{ id, state, file }] = (await mount.json('status')).restores;
    assert.deepEqual([state, file], ['found', 'vmem/007']);
    assert.deepEqual(await listed(mount), []);
    await sh(`echo restore resume ${id} > ${mount.path('.canisterfs', 'control')}`);
    await eventually(async () => (await mount.json('status')).restores.length === 0);
    assert.deepEqual(await listed(mount), ['007']);
    assert.ok((await readFile(mount.path('vmem', '007'))).equals(bytes));
    await mount.unmount();
  });

  test('what the application itself fills is found by its name, and stays', async () => {
    const canister = await install();
    const mount = await mountOf(canister, 'rw', 'attr_timeout=100ms');
    await canister.actor.controller_stable_memory_grow(9, 2n);
    await eventually(async () => (await errnoOf(stat(mount.path('vmem', '009')))) === 'no error');
    assert.equal((await stat(mount.path('vmem', '009'))).size, 2 * PAGE);
    assert.deepEqual(await listed(mount), ['009']);
    await canister.reinstall('canister_tools', { size: 0 });
    await eventually(async () => (await stat(mount.path('vmem', '009'))).size === 0);
    assert.deepEqual(await listed(mount), ['009'], 'no order to rsync --delete');
    await mount.unmount();
  });

  test('a canister that does not answer is not one whose memory is empty', async () => {
    const canister = await install();
    const mount = await mountOf(canister, 'rw', 'attr_timeout=100ms', 'timeout=2s');
    await canister.stop();
    await eventually(async () => (await errnoOf(stat(mount.path('vmem', '000')))) === 'EIO');
    assert.deepEqual(await listed(mount), []);
    await canister.start();
    await eventually(async () => (await errnoOf(stat(mount.path('vmem', '000')))) === 'ENOENT');
    await mount.unmount();
  });
});
