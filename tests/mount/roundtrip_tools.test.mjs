// The tools that people copy with, against the network itself: stable memory and files of collections, whole and in parts. What each
// of them makes of a commit point is in write.test.mjs; here it is what the canister holds afterwards.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { openNetwork } from './client.mjs';
import { eventually, run, seedBytes } from './harness.mjs';
import { inLanes } from './lanes.mjs';
import { installPlain } from './roundtrip.mjs';
import { ShapedCanister } from './shapes.mjs';

const PAGE = 65536;
const SIZE = 24 * PAGE;
const env = { ...process.env, LC_ALL: 'C' };

let stage, network, client;
let names = 0;

before(async () => ({ stage, network, client } = await openNetwork()));
after(() => stage.close());

const mountOf = (canister, ...more) => {
  const words = ['rw', `identity=${network.identity}`, `staging_dir=${join(stage.dir, 'staging')}`, 'attr_timeout=100ms', ...more];
  return stage.mount(network, canister.id, ['-o', words.join()]);
};
const sh = (command, cwd) => run('bash', ['-euc', command], { env, cwd });

// A directory of one test.
async function place() {
  const dir = join(stage.dir, `dir${++names}`);
  await mkdir(dir);
  return dir;
}

// Each makes stable memory ($M/stable_memory) what ./new holds. ./new has the changes of ./old in three places, in pages apart.
const WHOLE = {
  cp: 'cp new $M/stable_memory',
  'cp -p': 'chmod 600 new; cp -p new $M/stable_memory',
  'cp --remove-destination': 'cp --remove-destination new $M/stable_memory',
  install: 'install -m 644 new $M/stable_memory',
  mv: 'mv new $M/stable_memory',
  'mv of a temporary file beside it': 'cp new $M/.stable_memory.tmp; mv $M/.stable_memory.tmp $M/stable_memory',
  'cat >': 'cat new > $M/stable_memory',
  'tar x': 'mv new stable_memory; tar cf saved.tar stable_memory; tar xf saved.tar -C $M stable_memory',
  'tar x to standard output': 'mv new stable_memory; tar cf saved.tar stable_memory; tar xOf saved.tar stable_memory > $M/stable_memory',
  dd: 'dd if=new of=$M/stable_memory bs=100k status=none',
  'dd conv=notrunc': 'dd if=new of=$M/stable_memory bs=100k conv=notrunc status=none',
  'dd seek of what differs': 'for at in 1 11 22; do dd if=new of=$M/stable_memory bs=64k count=1 skip=$at seek=$at conv=notrunc status=none; done',
  rsync: 'rsync new $M/stable_memory',
  'rsync -a': 'rsync -a new $M/stable_memory',
  'rsync --inplace': 'rsync --inplace --no-whole-file new $M/stable_memory',
  'rsync --inplace --whole-file': 'rsync --inplace --whole-file new $M/stable_memory',
  'rsync --append-verify': 'cat old end > new; touch -d 2020-02-02 new; rsync --append-verify new $M/stable_memory',
  'rsync --partial': 'rsync --partial --no-whole-file new $M/stable_memory',
  'an editor, which writes beside it and renames': `sed "s/none/none/" new > $M/.stable_memory.swp; sync $M/.stable_memory.swp
    mv $M/.stable_memory.swp $M/stable_memory`,
  'an editor, which writes over it': 'cat new 1<> $M/stable_memory >&1',
};

describe('stable memory', { concurrency: 3 }, () => {
  const lane = inLanes(async () => {
    const canister = await installPlain(client.agent, 'sample');
    return { canister, mount: await mountOf(canister) };
  });
  const held = async ({ canister }) => {
    const size = Number(await canister.actor.stable_size());
    const parts = [];
    for (let at = 0; at < size; at += 2 ** 20)
      parts.push(Buffer.from(await canister.actor.stable_read(BigInt(at), BigInt(Math.min(2 ** 20, size - at)))));
    return Buffer.concat(parts);
  };

  for (const [what, command] of Object.entries(WHOLE)) {
    lane(what, async (it) => {
      const dir = await place();
      const old = seedBytes(BigInt(++names), 0, Math.max(SIZE, Number(await it.canister.actor.stable_size())));
      const changed = Buffer.from(old);
      for (const page of [1, 11, 22]) changed.write(`changed by ${what}`, page * PAGE + 777);
      writeFileSync(join(dir, 'old'), old);
      writeFileSync(join(dir, 'new'), changed);
      writeFileSync(join(dir, 'end'), seedBytes(BigInt(++names), 0, 2 * PAGE));
      // A backup is older than what it replaces; rsync takes files of one size and second for the same.
      await sh('touch -d 2020-02-02 old new end', dir);
      await sh(`cp ${dir}/old ${it.mount.path('stable_memory')}`);
      await sh(`M=${it.mount.point}; ${command}; ls -A $M > after`, dir);
      const want = what === 'rsync --append-verify' ? Buffer.concat([old, readFileSync(join(dir, 'end'))]) : changed;
      assert.ok((await held(it)).equals(want), 'the canister has it');
      assert.ok(readFileSync(it.mount.path('stable_memory')).equals(want), 'and the mount shows it');
      assert.equal(readFileSync(join(dir, 'after'), 'utf8'), '.canisterfs\ncanister\nsnapshots\nstable_memory\n', 'no temporary file is left');
      assert.deepEqual((await it.mount.json('status')).restores, []);
    });
  }

  lane('rsync --delay-updates wants a directory: nothing is restored, and nothing left', async (it) => {
    const dir = await place();
    const before = await held(it);
    writeFileSync(join(dir, 'new'), seedBytes(BigInt(++names), 0, before.length + PAGE));
    const { stderr } = await sh(`rsync --delay-updates new ${it.mount.path('stable_memory')}; ls -A ${it.mount.point} > after`, dir);
    assert.match(stderr, /Unable to create partial-dir/);
    assert.ok((await held(it)).equals(before));
    assert.equal(readFileSync(join(dir, 'after'), 'utf8'), '.canisterfs\ncanister\nsnapshots\nstable_memory\n');
    assert.deepEqual((await it.mount.json('status')).restores, []);
  });
});

// Each restores ./saved/*, the files of a collection of 100 items in five, to $M/backup/items. One of them is unchanged.
const FILES = {
  cp: 'cp saved/* $M/backup/items/',
  'cp -p': 'cp -p saved/* $M/backup/items/',
  'cp -r': 'cp -r saved/. $M/backup/items/',
  mv: 'cp -r saved moved; mv moved/* $M/backup/items/',
  'tar x': 'tar cf saved.tar -C saved .; tar xf saved.tar -C $M/backup/items --no-overwrite-dir',
  dd: 'for f in saved/*; do dd if=$f of=$M/backup/items/${f##*/} bs=1k status=none; done',
  rsync: 'rsync -r --ignore-times saved/ $M/backup/items/',
  'rsync -a': 'rsync -a saved/ $M/backup/items/',
  'rsync -c --inplace': 'rsync -rc --inplace saved/ $M/backup/items/',
  'rsync --partial': 'rsync -a --partial saved/ $M/backup/items/',
};

describe('files of a collection', { concurrency: 3 }, () => {
  const lane = inLanes(async () => {
    const canister = await ShapedCanister.install(client.agent, 'items', { size: 100, seed: 5n });
    return { canister, mount: await mountOf(canister, 'chunk_items=20') };
  });

  for (const [what, command] of Object.entries(FILES)) {
    lane(what, async ({ canister, mount }) => {
      const dir = await place();
      await canister.fill(100, BigInt(++names));
      await sh(`cp -r ${mount.path('backup', 'items')} saved; chmod -R u+w saved; touch -d 2020-02-02 saved/*`, dir);
      const was = await canister.actor.backup_items_chunk(0n, 100n);
      for (const i of [0n, 25n, 26n, 47n, 99n]) await canister.actor.touch(i);
      assert.notDeepEqual(await canister.actor.backup_items_chunk(0n, 100n), was);
      await sh(`M=${mount.point}; ${command}; ls -A $M/backup/items | wc -l > after`, dir);
      assert.deepEqual(await canister.actor.backup_items_chunk(0n, 100n), was, 'the application answers as before');
      assert.equal(readFileSync(join(dir, 'after'), 'utf8'), '5\n', 'no temporary file is left');
      assert.equal((await canister.actor.restored()).items, 80n, 'the file that is the same was not sent');
      assert.deepEqual((await mount.json('status')).restores, []);
    });
  }

  test('rsync -c gives what differs only', async () => {
    const canister = await ShapedCanister.install(client.agent, 'items', { size: 100, seed: 5n });
    const mount = await mountOf(canister, 'chunk_items=20');
    const dir = await place();
    await sh(`cp -r ${mount.path('backup', 'items')} saved; chmod -R u+w saved`, dir);
    await canister.actor.touch(47n);
    await sh(`rsync -rc saved/ ${mount.path('backup', 'items')}/`, dir);
    assert.equal((await canister.actor.restored()).items, 20n);
    await mount.unmount();
  });

  test('what the canister has already is not sent, unless by force; a dry run says so', async () => {
    const canister = await ShapedCanister.install(client.agent, 'items', { size: 100, seed: 5n });
    let mount = await mountOf(canister, 'chunk_items=20');
    const dir = await place();
    await sh(`cp -r ${mount.path('backup', 'items')} saved; chmod -R u+w saved; touch -d 2020-02-02 saved/*`, dir);
    const was = await canister.actor.backup_items_chunk(0n, 100n);
    const send = () => sh(`rsync -a saved/ ${mount.path('backup', 'items')}/; cp saved/* ${mount.path('backup', 'items')}/`, dir);
    await send();
    assert.equal((await canister.actor.restored()).calls, 0n, 'by rsync and by cp');
    assert.deepEqual((await mount.json('status')).restores, []);
    await sh(`echo dryrun on > ${mount.path('.canisterfs', 'control')}`);
    await assert.rejects(sh(`cp saved/0000000020.candid ${mount.path('backup', 'items')}/`, dir), /Operation canceled/);
    const { id, message } = (await mount.json('status')).restores[0];
    assert.match(message, /already so, nothing would be sent/);
    await sh(`echo dryrun off > ${mount.path('.canisterfs', 'control')}`);
    await sh(`echo restore commit ${id} force > ${mount.path('.canisterfs', 'control')}`);
    await eventually(async () => (await mount.json('status')).restores.length === 0);
    assert.equal((await canister.actor.restored()).items, 20n, 'a command that insists');
    await mount.unmount();
    mount = await mountOf(canister, 'chunk_items=20', 'force');
    await send();
    assert.equal((await canister.actor.restored()).items, 220n, 'the option');
    assert.deepEqual(await canister.actor.backup_items_chunk(0n, 100n), was);
    await mount.unmount();
  });

  // The mount has seen what was there before: that does not count.
  test('what the canister had a moment ago is sent', async () => {
    const canister = await ShapedCanister.install(client.agent, 'items', { size: 100, seed: 5n });
    const mount = await mountOf(canister, 'chunk_items=20', 'attr_timeout=100s', 'chunk_timeout=100s');
    const dir = await place();
    await sh(`cp -r ${mount.path('backup', 'items')} saved; chmod -R u+w saved`, dir);
    const was = await canister.actor.backup_items_chunk(0n, 100n);
    await canister.actor.touch(47n);
    await sh(`cp saved/0000000040.candid ${mount.path('backup', 'items')}/`, dir);
    assert.equal((await canister.actor.restored()).items, 20n);
    assert.deepEqual(await canister.actor.backup_items_chunk(0n, 100n), was);
    await mount.unmount();
  });

  // The restore before this one may be what a node does not know of yet.
  test('what one node has that lags behind is sent', async () => {
    const canister = await ShapedCanister.install(client.agent, 'items', { size: 100, seed: 5n });
    await network.faults([{ kind: 'lagging', endpoint: 'query', canister: canister.id, method: 'backup_items_chunk' }]);
    const mount = await mountOf(canister, 'chunk_items=20');
    const dir = await place();
    await sh(`cp -r ${mount.path('backup', 'items')} saved; chmod -R u+w saved`, dir);
    await canister.actor.touch(47n);
    await sh(`cp saved/0000000040.candid ${mount.path('backup', 'items')}/`, dir);
    await network.faults([]);
    assert.equal((await canister.actor.restored()).items, 20n);
    const again = await ShapedCanister.install(client.agent, 'items', { size: 100, seed: 5n });
    assert.deepEqual(await canister.actor.backup_items_chunk(0n, 100n), await again.actor.backup_items_chunk(0n, 100n));
    await mount.unmount();
  });

  // The first chunk replaces everything, any other is appended: were the first left out, the others would come twice.
  test('power-equalizer: all its chunks are sent, also those that are the same', async () => {
    const canister = await ShapedCanister.install(client.agent, 'power_equalizer', { size: 100 });
    const mount = await mountOf(canister, 'chunk_items=20');
    const dir = await place();
    const files = mount.path('backup', 'chunks');
    await sh(`cp -r ${files} saved; chmod -R u+w saved; touch -d 2020-02-02 saved/*`, dir);
    await sh(`rsync -a saved/ ${files}/; cp saved/* ${files}/; cp -r ${files} again; diff -r saved again`, dir);
    await mount.unmount();
  });

  // A canister whose items differ from those in ./saved in each of the files, and a mount.
  async function touched(...options) {
    const canister = await ShapedCanister.install(client.agent, 'items', { size: 100, seed: BigInt(++names) });
    const mount = await mountOf(canister, 'chunk_items=20', ...options);
    const dir = await place();
    const was = await canister.actor.backup_items_chunk(0n, 100n);
    await sh(`cp -r ${mount.path('backup', 'items')} saved; chmod -R u+w saved`, dir);
    for (const i of [0n, 25n, 47n, 66n, 99n]) await canister.actor.touch(i);
    const now = await canister.actor.backup_items_chunk(0n, 100n);
    assert.notDeepEqual(now, was);
    return { canister, mount, dir, was, now };
  }

  const stagedIn = async (mount, state) => {
    await eventually(async () => (await mount.json('status')).restores.every((restore) => restore.state === state));
    return (await mount.json('status')).restores;
  };

  // By command, one after the other.
  async function order(mount, verb, restores) {
    for (const { id } of restores) {
      const command = `restore ${verb} ${id}`;
      const { state, error } = await mount.job(command);
      assert.equal(state, 'done', `${command}: ${error?.message}`);
    }
  }

  test('dryrun: every file is refused with ECANCELED, nothing is given, and each can be resumed', async () => {
    const { canister, mount, dir, was, now } = await touched();
    await sh(`echo dryrun on > ${mount.path('.canisterfs', 'control')}`);
    const { stderr } = await sh(`cp saved/* ${mount.path('backup', 'items')}/ || true`, dir);
    assert.equal(stderr.match(/Operation canceled/g)?.length, 5, stderr);
    assert.deepEqual(await canister.actor.restored(), { calls: 0n, items: 0n, notes: 0n });
    const restores = await stagedIn(mount, 'waiting');
    assert.equal(restores.length, 5);
    for (const { file, message } of restores) assert.match(message, /^dry run, nothing was sent: .*20 items/, file);
    assert.deepEqual(await canister.actor.backup_items_chunk(0n, 100n), now);
    await sh(`echo dryrun off > ${mount.path('.canisterfs', 'control')}`);
    await order(mount, 'resume', restores);
    assert.deepEqual(await canister.actor.backup_items_chunk(0n, 100n), was);
    assert.deepEqual((await mount.json('status')).restores, []);
    await mount.unmount();
  });

  test('commit=manual: nothing is given until a command says so, also by the next mount', async () => {
    const { canister, mount, dir, was, now } = await touched('commit=manual');
    await sh(`cp saved/* ${mount.path('backup', 'items')}/`, dir);
    const [first, ...rest] = await stagedIn(mount, 'waiting');
    assert.equal(rest.length, 4);
    assert.deepEqual(await canister.actor.backup_items_chunk(0n, 100n), now);
    await order(mount, 'commit', [first]);
    assert.equal((await canister.actor.restored()).items, 20n);
    await mount.unmount();
    assert.equal((await canister.actor.restored()).items, 20n, 'not by unmounting');
    const again = await mountOf(canister, 'chunk_items=20');
    assert.deepEqual((await stagedIn(again, 'found')).map(({ id, file }) => [id, file]), rest.map(({ id, file }) => [id, file]));
    assert.equal((await canister.actor.restored()).items, 20n, 'nor by mounting');
    await order(again, 'resume', rest);
    assert.deepEqual(await canister.actor.backup_items_chunk(0n, 100n), was);
    assert.equal((await canister.actor.restored()).items, 100n);
    assert.deepEqual((await again.json('status')).restores, []);
    await again.unmount();
  });
});
