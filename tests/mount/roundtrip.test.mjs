// There and back: every canister that can be restored is backed up through a mount, changed by its own methods, and restored by
// cp and by rsync; then the application answers as before. So it does as another canister, with another id, that had nothing.
import assert from 'node:assert/strict';
import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { openNetwork } from './client.mjs';
import { run } from './harness.mjs';
import { moduleOf, upgradeCode } from './install.mjs';
import { LANES } from './lanes.mjs';
import { CASES, installPlain } from './roundtrip.mjs';

const ICP = join(dirname(createRequire(import.meta.url).resolve('@icp-sdk/icp-cli-linux-x64/package.json')), 'bin', 'icp');
const env = { ...process.env, LC_ALL: 'C' };

let stage, network, client;
let names = 0;

before(async () => ({ stage, network, client } = await openNetwork()));
after(() => stage.close());

function mountOf(canister, { options = [], map }) {
  const words = ['rw', `identity=${network.identity}`, `staging_dir=${join(stage.dir, 'staging')}`, 'attr_timeout=100ms', ...options];
  if (map) {
    const file = join(stage.dir, `map${++names}`);
    writeFileSync(file, map);
    words.push(`map=${file}`);
  }
  return stage.mount(network, canister.id, ['-o', words.join()]);
}

// DFINITY's command, with a home of its own.
async function icp(...args) {
  const home = join(stage.dir, 'home');
  mkdirSync(home, { recursive: true });
  const env = { PATH: process.env.PATH, HOME: home, ICP_HOME: join(home, 'icp'), DO_NOT_TRACK: '1', NO_COLOR: '1' };
  const { stdout } = await run(ICP, args, { env, cwd: home });
  return stdout;
}
const AS_OWNER = () => ['-n', network.url, '-k', network.root_key, '--identity', 'owner'];

const shell = (command) => run('bash', ['-euc', command], { env, maxBuffer: 2 ** 24 });

// Both ways of every file, as README says: whole files to their names, or what has changed.
const TOOLS = {
  cp: (from, to) => (statSync(from).isDirectory() ? shell(`cp ${from}/* ${to}/`) : shell(`cp ${from} ${to}`)),
  rsync: (from, to) => (statSync(from).isDirectory() ? shell(`rsync -a ${from}/ ${to}/`) : shell(`rsync -a ${from} ${to}`)),
};

async function save(mount, { files, prepare }) {
  if (prepare) assert.equal((await mount.job('prepare')).error, null);
  const dir = join(stage.dir, `saved${++names}`);
  for (const file of files) {
    mkdirSync(dirname(join(dir, 'cp', file)), { recursive: true });
    await shell(`cp -r ${mount.path(file)} ${join(dir, 'cp', file)}`);
    mkdirSync(dirname(join(dir, 'rsync', file)), { recursive: true });
    await shell(`rsync -a ${mount.path(file)} ${dirname(join(dir, 'rsync', file))}/`);
  }
  await shell(`diff -r ${dir}/cp ${dir}/rsync`);
  return dir;
}

async function restore(mount, tool, dir, { files }) {
  for (const file of files) await TOOLS[tool](join(dir, tool, file), mount.path(file));
  assert.deepEqual((await mount.json('status')).restores, [], 'nothing is left staged');
}

// They mostly wait.
describe('there and back', { concurrency: LANES }, () => {
  for (const [name, kind] of Object.entries(CASES)) {
    test(name, async () => {
      const canister = await kind.make(client.agent);
      const was = await kind.answers(canister, client);
      const mount = await mountOf(canister, kind);
      const dir = await save(mount, kind);
      assert.deepEqual(await kind.answers(canister, client), was, 'a backup changes nothing');
      let seed = 1000n;
      for (const tool of Object.keys(TOOLS)) {
        await kind.change(canister, ++seed);
        assert.notDeepEqual(await kind.answers(canister, client), was, `${tool}: it was changed`);
        await restore(mount, tool, dir, kind);
        await kind.apply?.(canister);
        assert.deepEqual(await kind.answers(canister, client), was, `${tool}: restored`);
      }
      await mount.unmount();

      for (const tool of Object.keys(TOOLS)) {
        const fresh = await kind.makeEmpty(client.agent);
        assert.notEqual(fresh.id, canister.id);
        const other = await mountOf(fresh, kind);
        await restore(other, tool, dir, kind);
        await kind.apply?.(fresh);
        assert.deepEqual(await kind.answers(fresh, client), was, `${tool}: another canister`);
        await other.unmount();
      }
    });
  }
});

// Its state is on the heap, and in stable memory only what the last upgrade wrote there. So a backup begins with an upgrade to the
// same code, by the `icp` command, and a restore ends with one that skips the hook that would write the present state over it:
// `icp canister install` has no option for that, so it is the call that command makes, to the management canister.
test('distrikt, whose state is in stable memory during upgrades only', async () => {
  const module = moduleOf('distrikt');
  const wasm = join(stage.dir, 'distrikt.wasm');
  writeFileSync(wasm, module);
  await icp('identity', 'import', 'owner', '--from-pem', network.identity, '--storage', 'plaintext');
  const upgrade = (canister) => icp('canister', 'install', canister.id, '--mode', 'upgrade', '--yes', '--wasm', wasm, ...AS_OWNER());
  const posts = async ({ actor }) => {
    const count = Number(await actor.post_count());
    return Promise.all(Array.from({ length: count }, async (_, i) => (await actor.get_post(BigInt(i)))[0]));
  };
  const kind = { files: ['stable_memory'] };

  const canister = await installPlain(client.agent, 'distrikt');
  for (let i = 0; i < 30; i++) await canister.actor.post(`${i}: ${'Grüße '.repeat(i * 15)}`);
  const was = await posts(canister);
  await upgrade(canister);
  const mount = await mountOf(canister, kind);
  const dir = await save(mount, kind);

  for (const tool of Object.keys(TOOLS)) {
    await canister.actor.post(`after the backup, ${tool}`);
    await upgrade(canister);
    await canister.actor.post('nor is this in it');
    assert.equal((await posts(canister)).length, was.length + 2, 'it was changed');
    await restore(mount, tool, dir, kind);
    assert.equal((await posts(canister)).length, was.length + 2, 'the application does not look there before the upgrade');
    await upgradeCode(client.agent, canister.principal, module, { skipPreUpgrade: true });
    assert.deepEqual(await posts(canister), was, `${tool}: restored`);
  }
  await mount.unmount();

  const fresh = await installPlain(client.agent, 'distrikt');
  await fresh.actor.post('before it had a state to restore');
  const other = await mountOf(fresh, kind);
  await restore(other, 'cp', dir, kind);
  await upgradeCode(client.agent, fresh.principal, module, { skipPreUpgrade: true });
  assert.deepEqual(await posts(fresh), was, 'another canister');
  await upgrade(fresh);
  assert.deepEqual(await posts(fresh), was, 'also after it has saved itself');
  await other.unmount();
});

test('distrikt, upgraded without skipping: its own state is kept, and no post is lost', async () => {
  const canister = await installPlain(client.agent, 'distrikt');
  await canister.actor.post('the first');
  const module = moduleOf('distrikt');
  await upgradeCode(client.agent, canister.principal, module);
  const mount = await mountOf(canister, {});
  const dir = await save(mount, { files: ['stable_memory'] });
  await canister.actor.post('the second');
  await restore(mount, 'cp', dir, { files: ['stable_memory'] });
  await upgradeCode(client.agent, canister.principal, module);
  assert.equal(await canister.actor.post_count(), 2n);
  await mount.unmount();
});
