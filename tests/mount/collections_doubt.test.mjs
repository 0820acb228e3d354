// What a collection must never be believed: that it is shorter than it is, that its files are gone, that two states are one.
// rsync --delete would take it for the order to delete the backup.
import assert from 'node:assert/strict';
import { opendir, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { IDL } from '@icp-sdk/core/candid';
import { assertMessage, callsFor, chunkName, chunkNames, decode, isGood, outcome } from './chunks.mjs';
import { Client } from './client.mjs';
import { errnoName, eventually, Stage } from './harness.mjs';
import { configure, ITEMS_REPLIES } from './items.mjs';
import { didOf, ShapedCanister } from './shapes.mjs';

const STEP = 1000;
const PAGED = [IDL.Nat64, IDL.Nat64];
const ATTR_TIMEOUT = ['-o', 'attr_timeout=100ms'];
const FORGET_MS = 150;
const UNVERSIONED = didOf('items').replace(/^.*backup_version.*\n/m, '');
const REPLY = ITEMS_REPLIES.backup_items_chunk;

describe('what is not believed of a collection', () => {
  let stage, network, canister;

  before(async () => {
    stage = await Stage.open();
    network = await stage.network();
    const client = await Client.open(network);
    canister = await ShapedCanister.install(client.agent, 'items', { size: 1 });
  });
  after(() => stage.close());

  async function install(size, knobs = {}, options = {}) {
    await canister.reinstall('items', { size, seed: 12n, ...options });
    return configure(canister, knobs);
  }
  const mounted = (...options) => stage.mount(network, canister.id, [...ATTR_TIMEOUT, ...options]);
  const readOf = (...names) => readFile(names.reduce((mount, name) => mount.path?.('backup', name) ?? `${mount}/${name}`)).catch(errnoName);
  // Bytes are not compared with an errno: telling the difference would take minutes.
  const assertErrno = (got, name, words) => assert.equal(Buffer.isBuffer(got) ? `${got.length} bytes` : got, name, words);
  const listOf = (mount, name) => readdir(mount.path('backup', name)).catch(errnoName);
  const whyNot = async (mount) => JSON.stringify((await mount.json('status')).backup);

  describe('that files are gone because their method is', () => {
    for (const [words, options] of [['with a version', {}], ['without one', { did: UNVERSIONED }]])
      test(words, async () => {
        await install(2_500, { bytes: 100 }, options);
        const mount = await mounted();
        assert.deepEqual(await listOf(mount, 'items'), chunkNames(2_500));
        assert.equal((await readOf(mount, 'items', chunkName(0))).length > 0, true);
        await canister.reinstall('nat', { size: 1 });
        await sleep(FORGET_MS);
        for (const [name, file] of [['items', chunkName(0)], ['untold', chunkName(0)], ['meta', 'all.candid']])
          assertErrno(await readOf(mount, name, file), 'EIO', `${name}/${file}`);
        // What was fetched ahead may still be good.
        for (const start of [1000, 2000]) assert.notEqual(await readOf(mount, 'items', chunkName(start)), 'ENOENT');
        for (const name of ['items', 'untold', 'plain', 'parts']) assert.equal(await listOf(mount, name), 'EIO', name);
        assert.match(await whyNot(mount), /has no query method|no such method|not found/i);
        await mount.unmount();
      });
  });

  test('that the methods are still all, when the code has changed: a warning', async () => {
    await install(2_500, { bytes: 100 });
    const mount = await mounted();
    await sleep(5_500); // facts are asked for again
    assert.deepEqual(await listOf(mount, 'items'), chunkNames(2_500));
    assert.doesNotMatch(mount.stderr, /code of canister/);
    await canister.reinstall('nat', { size: 1 });
    await sleep(5_500);
    assert.equal(await listOf(mount, 'items'), 'EIO');
    assert.match(mount.stderr, /warning: the code of canister \S+ has changed since it was mounted: mount it anew/);
    assert.match(JSON.stringify((await mount.json('status')).last_errors), /code of canister/);
    await mount.unmount();
  });

  describe('a total', () => {
    test('that is less than there are items: EPROTO for the listing', async () => {
      for (const total of [0, 1, 1_200, 2_499]) {
        await install(2_500, { total });
        const mount = await mounted();
        assert.equal(await listOf(mount, 'items'), 'EPROTO', String(total));
        assert.match(await whyNot(mount), /which field tells the total/);
        await mount.unmount();
      }
    });

    test('that is less from one listing to the next', async () => {
      await install(2_500);
      const mount = await mounted();
      assert.deepEqual(await listOf(mount, 'items'), chunkNames(2_500));
      await configure(canister, { total: 1_500 });
      await sleep(FORGET_MS);
      assert.equal(await listOf(mount, 'items'), 'EPROTO');
      await configure(canister);
      await sleep(FORGET_MS);
      assert.deepEqual(await listOf(mount, 'items'), chunkNames(2_500));
      await mount.unmount();
    });

    // 2: what is left from the start on; 1: more with each item.
    for (const drift of [2, 1])
      test(`that depends on what is asked for: never a shorter or longer listing, nor ENOENT (${drift})`, async () => {
        const items = await install(2_500, { drift, bytes: 100 });
        const mount = await mounted('-o', 'timeout=5s');
        assert.deepEqual(await listOf(mount, 'items'), chunkNames(2_500));
        assertMessage(REPLY, await readOf(mount, 'items', chunkName(0)), items.chunk(0, STEP), 'the first');
        for (const start of [1000, 2000]) {
          assertErrno(await readOf(mount, 'items', chunkName(start)), 'ESTALE', String(start));
          assert.deepEqual(await listOf(mount, 'items'), chunkNames(2_500));
        }
        assert.match(await whyNot(mount), /total/);
        const { code, stderr } = await outcome('rsync', '-a', '--delete', `${mount.path('backup', 'items')}/`, `${stage.dir}/drift-${drift}`);
        assert.notEqual(code, 0);
        assert.doesNotMatch(stderr, /vanished/);
        await mount.unmount();
      });

    test('of more files than anybody could list: EFBIG, soon', async () => {
      for (const total of [2n ** 60n, 2n ** 64n - 2n]) {
        await install(2_500, { total });
        const mount = await mounted();
        for (const dir of ['backup', 'inspect'])
          // Not read: a listing without end would take all memory there is.
          assert.equal(await opendir(mount.path(dir, 'items')).then((opened) => opened.close(), errnoName), 'EFBIG', `${dir} ${total}`);
        assert.match(await whyNot(mount), /chunk_items/);
        await mount.unmount();
      }
    });
  });

  test('two states in one file, when the version goes back while it is fetched', async () => {
    const knobs = { refuse_above: 250, body_min: 20, body_max: 20 };
    await install(1_000, { ...knobs, version: 9 });
    const mount = await mounted('-o', 'timeout=20s');
    await listOf(mount, 'items');
    const before = (await network.log()).length;
    await network.options({ queryMs: 300 });
    const reading = readOf(mount, 'items', chunkName(0));
    const pieces = async () => callsFor((await network.log()).slice(before), 'backup_items_chunk', PAGED).filter((call) => isGood(call) && call.limit > 1);
    await eventually(async () => (await pieces()).length >= 2);
    await configure(canister, { ...knobs, body_min: 30, body_max: 30, version: 8 });
    const got = await reading;
    await network.options({ queryMs: 0 });
    if (got !== 'ESTALE') {
      const lengths = new Set(decode(REPLY, got)[0].chunk.map(({ body }) => body.length));
      assert.equal(lengths.size, 1, [...lengths].join());
    }
    await mount.unmount();
  });

  for (const fault of [{ kind: 'stall', method: 'backup_items_chunk', from: 12 }, null])
    test(`SIGTERM ends the mount soon, with much under way${fault ? ' and nothing answered' : ''}`, async () => {
      await install(30_000, { body_min: 1_500, body_max: 2_500, refuse_above: 400 });
      await network.options({ queryMs: 20 });
      if (fault) await network.faults([fault]);
      // Long files, so that they wait for their turn, and renderings of them.
      for (const chunk_items of [1000, 5000]) {
        const mount = await mounted('-o', `timeout=300s,chunk_items=${chunk_items}`);
        const readers = [
          outcome('cp', '-r', mount.path('backup', 'items'), join(stage.dir, `ends-${Math.random()}`)),
          outcome('sh', '-c', 'for file in "$1"/*.json; do cat "$file" & done; wait', 'sh', mount.path('inspect', 'items')),
        ];
        await network.untilAsked({ method: 'backup_items_chunk' });
        await sleep(500);
        const began = Date.now();
        mount.child.kill('SIGTERM');
        assert.deepEqual(await mount.exited, { code: 0, signal: null });
        assert.ok(Date.now() - began < 5_000, `${Date.now() - began} ms`);
        await Promise.all(readers);
      }
      await network.faults([]);
      await network.options({ queryMs: 0 });
    });

  test('what cannot be shown of a file says nothing about its content', async () => {
    await install(100_000, { body_min: 0, body_max: 0 });
    const mount = await mounted('-o', 'chunk_items=100000,cache_size=7M');
    const path = (ending) => mount.path('inspect', 'items', chunkName(0, ending));
    assert.equal(await readFile(path('txt')).catch(errnoName), 'EFBIG');
    await canister.actor.touch(5n);
    await sleep(FORGET_MS);
    // In parallel, too: whoever waits for the rendering wants something else.
    const [text, json, raw] = await Promise.all([
      readFile(path('txt')).catch(errnoName), stat(path('json')).catch(errnoName), stat(mount.path('backup', 'items', chunkName(0))).catch(errnoName),
    ]);
    assert.equal(text, 'EFBIG');
    assert.ok(json.size > 0, String(json));
    assert.ok(raw.size > 0, String(raw));
    await mount.unmount();
  });
});
