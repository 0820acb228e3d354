// Restoring collections, by their restorer alone (tests/fs/restore_items_driver.c), against the local network: files that a
// mount gave come back whole, the application answers as before, and whatever breaks on the way no item is given twice.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { openNetwork } from './client.mjs';
import { Dscvr } from './dscvr.mjs';
import { networkArgs, program } from './harness.mjs';

import { ShapedCanister } from './shapes.mjs';

const driver = join(dirname(program), 'tests', 'fs', 'restore_items_driver');

let stage, network, client;
let names = 0;

before(async () => ({ stage, network, client } = await openNetwork()));
after(() => stage.close());

const identity = () => ['-o', `identity=${network.identity}`];
const put = (bytes) => {
  const path = join(stage.dir, `file${++names}`);
  writeFileSync(path, bytes);
  return path;
};

// A new directory for a stage.
const place = () => {
  const path = join(stage.dir, `stage${++names}`);
  mkdirSync(path);
  return path;
};

// Run the driver: its line, or { killed: true }.
const drive = (canister, words, { dir = place(), options = [], user = identity() } = {}) =>
  new Promise((resolve, reject) => {
    const args = [...words.map(String), '--', ...networkArgs(network), ...user, ...options, canister.id, dir];
    execFile(driver, args, { timeout: 120_000 }, (error, stdout, stderr) => {
      if (error?.signal === 'SIGKILL') resolve({ killed: true });
      else if (error || /Sanitizer|runtime error/.test(stderr)) reject(new Error(`${words}: ${error}\n${stderr}`));
      else resolve(JSON.parse(stdout));
    });
  });

const succeed = async (...args) => {
  const line = await drive(...args);
  assert.equal(line.result, 'ok', `${args[1]}: ${line.message}`);
  return line;
};

const fail = async (errno, words, ...args) => {
  const line = await drive(...args);
  assert.equal(line.result, errno, line.message);
  assert.match(line.message, words);
  return line;
};

// A copy of backup/ as a mount shows it.
async function save(canister, options = []) {
  const mount = await stage.mount(network, canister.id, [...identity(), ...options]);
  const dir = join(stage.dir, `saved${++names}`);
  cpSync(mount.path('backup'), dir, { recursive: true, filter: (path) => !path.endsWith('/none') }); // null, for everybody
  await mount.unmount();
  return dir;
}

const filesOf = (dir, collection) =>
  readdirSync(join(dir, collection))
    .sort()
    .map((name) => join(dir, collection, name));

const items = (size, knobs = '') =>
  ShapedCanister.install(client.agent, 'items', { size, seed: 5n }).then(async (canister) => {
    if (knobs) await canister.actor.configure(knobs);
    return canister;
  });

// What came, by the canister's own count.
async function given(canister) {
  const { calls, items: n, notes } = await canister.actor.restored();
  return { calls: Number(calls), items: Number(n), notes: Number(notes) };
}

describe('an application as DSCVR was', () => {
  const PROFILE = { options: ['-o', 'profile=dscvr'] };
  const COUNT = 3000;

  test('all of it comes back, into a canister that has nothing', async () => {
    const canister = await Dscvr.install(client.agent, { count: COUNT, seed: 77n });
    await canister.touch(7);
    const { data } = canister;
    const saved = await save(canister);
    await canister.fill(0, 1n);
    const { calls } = await succeed(canister, ['into=content', `file=${filesOf(saved, 'content')[0]}`], PROFILE);
    assert.ok(calls >= 1 && calls <= 16, `1000 contents in ${calls} calls`);
    for (const collection of ['content', 'users', 'portals', 'nfts', 'limits'])
      for (const file of filesOf(saved, collection)) await succeed(canister, [`into=${collection}`, `file=${file}`], PROFILE);
    const again = await save(canister);
    for (const collection of ['content', 'users', 'portals', 'nfts', 'limits'])
      for (const [i, file] of filesOf(saved, collection).entries())
        assert.ok(readFileSync(file).equals(readFileSync(filesOf(again, collection)[i])), `${file} is the same`);
    assert.deepEqual(await canister.actor.backup_content_chunks(0n, 9n), data.chunk('content', 0, 9));
  });

  test('what restores each collection, with the profile and without', async () => {
    const canister = await Dscvr.install(client.agent, { count: 10 });
    const methods = async (options) =>
      Object.fromEntries(Object.entries(await drive(canister, ['list'], { options })).map(([name, { method }]) => [name, method]));
    const found = { users: '', content: '', portals: 'restore_portals', limits: 'restore_limits', nfts: 'restore_nfts', backup: 'restore' };
    assert.deepEqual(await methods([]), found);
    assert.deepEqual(await methods(PROFILE.options), { ...found, users: 'restore_users', content: 'restore_content' });
    const { content } = await drive(canister, ['list']);
    assert.match(content.reason, /^restore_content does not take all that backup_content_chunks gives/);
  });
});

describe('items with knobs', () => {
  let saved, expected;

  before(async () => {
    const canister = await items(500);
    saved = await save(canister, ['-o', 'chunk_items=500']);
    expected = await canister.actor.backup_items_chunk(0n, 500n);
  });

  const file = () => filesOf(saved, 'items')[0];
  const WORDS = () => ['into=items', `file=${file()}`];
  const GIVEN = () => ({ items: 500, notes: expected[0].notes.length });

  async function assertRestored(canister, what) {
    assert.deepEqual(await canister.actor.backup_items_chunk(0n, 500n), expected, what);
    const { items: n, notes } = await given(canister);
    assert.deepEqual({ items: n, notes }, GIVEN(), `${what}: each item once`);
  }

  test('one call', async () => {
    const canister = await items(0);
    const line = await succeed(canister, WORDS());
    assert.match(line.summary, /^500 items in 1 call of restore_items_chunk, /);
    await assertRestored(canister, 'one call');
  });

  test('a dry run sends nothing', async () => {
    const canister = await items(0);
    const requests = await network.requestsDuring(async () => {
      const line = await succeed(canister, [...WORDS(), 'dry']);
      assert.match(line.summary, /^would restore 500 items in 1 call of restore_items_chunk, /);
    });
    assert.equal(requests.filter(({ endpoint }) => endpoint === 'call').length, 0);
    assert.deepEqual(await given(canister), { calls: 0, items: 0, notes: 0 });
  });

  for (const [what, knob] of Object.entries({
    'a number of items, in its own words': 'restore_above=37',
    'a number of items, by a rejection': 'restore_above=61 restore_rejects=1',
    instructions: 'restore_burns=300',
    'items out of order': 'restore_above=120 restore_ordered=1',
  }))
    test(`a limit: ${what}`, async () => {
      const canister = await items(0, knob);
      const { calls } = await succeed(canister, WORDS());
      const limit = Number(/=(\d+)/.exec(knob)[1]);
      assert.ok(calls <= 2 * Math.ceil(500 / limit) + 12, `${calls} calls`);
      await assertRestored(canister, knob);
    });

  test('the n-th call is refused: what came before stays noted, a repeat goes on', async () => {
    const canister = await items(0, 'restore_above=100 restore_fails=4 restore_rejects=1');
    const dir = place();
    const first = await drive(canister, WORDS(), { dir });
    if (first.result !== 'ok') await succeed(canister, ['into=items'], { dir });
    await assertRestored(canister, 'the fourth call');
  });

  test('files that are none: EINVAL, and no call', async () => {
    const canister = await items(0);
    const good = readFileSync(file());
    const plain = readFileSync(filesOf(saved, 'plain')[0]);
    const requests = await network.requestsDuring(async () => {
      for (const bytes of [Buffer.alloc(0), Buffer.from('{"chunk": []}'), good.subarray(0, -1), Buffer.concat([good, good]), plain])
        await fail('EINVAL', /^items: /, canister, ['into=items', `file=${put(bytes)}`]);
    });
    assert.equal(requests.filter(({ endpoint }) => endpoint === 'call').length, 0);
  });

  test('an item larger than a call: EFBIG, and which', async () => {
    const from = await items(10, 'giant_at=3 giant_bytes=2500000');
    const large = await save(from);
    const canister = await items(0);
    await fail('EFBIG', /^items: item 3 alone makes a call of 25\d{5} bytes/, canister, ['into=items', `file=${filesOf(large, 'items')[0]}`]);
    assert.deepEqual(await given(canister), { calls: 0, items: 0, notes: 0 });
  });

  test('a list without a record', async () => {
    const canister = await items(0, 'restore_above=130');
    await succeed(canister, ['into=plain', `file=${filesOf(saved, 'plain')[0]}`]);
    assert.deepEqual(await canister.actor.backup_plain(0, 500), expected[0].chunk);
    assert.equal((await given(canister)).items, 500);
  });

  test('what nothing takes back is told', async () => {
    const list = await drive(await items(0), ['list']);
    assert.match(list.untold.reason, /no method restore_untold/);
    assert.match(list.parts.reason, /no method restore_parts/);
  });

  for (const [kind, calls] of Object.entries({ lost_reply: [1, 2, 3, 4, 5], refuse: [2], reset: [3], truncate: [1, 4] }))
    test(`calls that are disturbed by ${kind}: every item once`, async () => {
      for (const nth of calls) {
        const canister = await items(0, 'restore_above=100');
        const dir = place();
        await network.faults([{ endpoint: 'call', method: 'restore_items_chunk', kind, nth }]);
        let line = await drive(canister, WORDS(), { dir });
        await network.faults([]);
        for (let i = 0; line.result !== 'ok' && i < 3; i++) line = await drive(canister, ['into=items'], { dir });
        assert.equal(line.result, 'ok', line.message);
        await assertRestored(canister, `${kind} of call ${nth}`);
      }
    });

  // Killed while a call is under way, so that nobody has to wait until one that was never sent has expired.
  test('the program is killed during every call: every item once', async () => {
    let n = 0;
    for (let kill = 1; kill <= 9; kill++) {
      const canister = await items(0, 'restore_above=100');
      const dir = place();
      await network.options({ updateMs: 250 });
      n += (await drive(canister, [...WORDS(), `kill=${kill}`], { dir })).killed ?? false;
      await network.options({ updateMs: 0 });
      const line = await drive(canister, ['into=items'], { dir });
      assert.equal(line.result, 'ok', line.message);
      await assertRestored(canister, `killed at call ${kill}`);
    }
    assert.ok(n >= 6, `killed ${n} times`);
  });

  describe('in any order, as a map says', () => {
    let options;

    before(() => {
      const map = put('[backup.items]\nmethod = backup_items_chunk\nrestore = restore_items_chunk\norder = any\n');
      options = ['-o', `map=${map},restore_inflight=6`];
    });

    test('several calls at once', async () => {
      const canister = await items(0, 'restore_above=20');
      await network.options({ updateMs: 300 });
      const at = Date.now();
      const { calls } = await succeed(canister, WORDS(), { options });
      const ms = Date.now() - at;
      await network.options({ updateMs: 0 });
      assert.ok(ms < 0.6 * 300 * calls, `${calls} calls of 300 ms took ${ms} ms`);
      await assertRestored(canister, 'at once');
    });

    test('killed while several are under way: every item once', async () => {
      for (const kill of [1, 4, 9, 14]) {
        const canister = await items(0, 'restore_above=20');
        const dir = place();
        await network.options({ updateMs: 250 });
        assert.ok((await drive(canister, [...WORDS(), `kill=${kill}`], { dir, options })).killed);
        await network.options({ updateMs: 0 });
        await succeed(canister, ['into=items'], { dir, options });
        await assertRestored(canister, `killed at call ${kill}`);
      }
    });

    test('lost replies: every item once', async () => {
      const canister = await items(0, 'restore_above=20');
      const dir = place();
      await network.faults([4, 5, 6, 9].map((nth) => ({ endpoint: 'call', method: 'restore_items_chunk', kind: 'lost_reply', nth })));
      let line = await drive(canister, WORDS(), { dir, options });
      await network.faults([]);
      for (let i = 0; line.result !== 'ok' && i < 3; i++) line = await drive(canister, ['into=items'], { dir, options });
      assert.equal(line.result, 'ok', line.message);
      await assertRestored(canister, 'lost replies');
    });
  });

  test('cancelled: EINTR, and a repeat goes on', async () => {
    const canister = await items(0, 'restore_above=100');
    const dir = place();
    await network.options({ updateMs: 300 });
    await fail('EINTR', /^items: /, canister, [...WORDS(), 'cancel=3'], { dir });
    await network.options({ updateMs: 0 });
    await succeed(canister, ['into=items'], { dir });
    await assertRestored(canister, 'cancelled');
  });

  test('somebody who may not: nothing is restored', async () => {
    const canister = await items(0);
    const stranger = ['-o', 'identity=anonymous'];
    const line = await drive(canister, WORDS(), { user: stranger });
    assert.match(line.result, /^(EACCES|EIO)$/);
    assert.match(line.message, /^items: /);
    assert.equal((await given(canister)).items, 0);
  });
});

describe('other shapes', () => {
  test('Factland: pairs of names and profiles', async () => {
    const canister = await ShapedCanister.install(client.agent, 'factland');
    const saved = await save(canister);
    for (const file of filesOf(saved, 'backup')) {
      const line = await succeed(canister, ['into=backup', `file=${file}`]);
      assert.match(line.summary, /in \d+ calls? of restore,/);
    }
    const again = await save(canister);
    for (const [i, file] of filesOf(saved, 'backup').entries())
      assert.ok(readFileSync(file).equals(readFileSync(filesOf(again, 'backup')[i])), file);
  });

  test('power-equalizer: chunks by size and index', async () => {
    const options = ['-o', 'chunk_items=20'];
    const canister = await ShapedCanister.install(client.agent, 'power_equalizer', { size: 100 });
    const saved = await save(canister, options);
    const other = await ShapedCanister.install(client.agent, 'power_equalizer', { size: 0 });
    for (const file of filesOf(saved, 'chunks')) await succeed(other, ['into=chunks', `file=${file}`]);
    const again = await save(other, options);
    for (const [i, file] of filesOf(saved, 'chunks').entries())
      assert.ok(readFileSync(file).equals(readFileSync(filesOf(again, 'chunks')[i])), file);
  });
});
