// Restoring stable memory, by the restorer alone (tests/fs/restore_memory_driver.c), against the local network: what
// arrives, how little is sent, and that whatever breaks on the way the same stage, committed again, ends in the same bytes.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { IDL } from '@icp-sdk/core/candid';
import { openNetwork } from './client.mjs';
import { eventually, networkArgs, program } from './harness.mjs';
import { createCanister, installCode, moduleOf } from './install.mjs';
import { didOf, ShapedCanister } from './shapes.mjs';

const driver = join(dirname(program), 'tests', 'fs', 'restore_memory_driver');
const PAGE = 65536;
const MIB = 2 ** 20;

let stage, network, client;
let names = 0;

before(async () => ({ stage, network, client } = await openNetwork(['--demo', '--demo-size', '3M'])));
afterEach(async () => {
  await network.faults([]);
  await network.options({ updateMs: 0 });
});
after(() => stage.close());

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
const drive = (canister, dir, words, options = []) =>
  new Promise((resolve, reject) => {
    const identity = ['-o', `identity=${network.identity}`];
    const args = [...words.map(String), '--', ...networkArgs(network), ...identity, ...options, canister, dir];
    execFile(driver, args, { timeout: 120_000 }, (error, stdout, stderr) => {
      if (error?.signal === 'SIGKILL') resolve({ killed: true });
      else if (error || /Sanitizer|runtime error/.test(stderr)) reject(new Error(`${words}: ${error}\n${stderr}`));
      else resolve(stdout === '' ? null : JSON.parse(stdout));
    });
  });

const succeed = async (...args) => {
  const line = await drive(...args);
  assert.equal(line.result, 'ok', `${args[2]}: ${line.message}`);
  return line;
};

const fail = async (errno, words, ...args) => {
  const line = await drive(...args);
  assert.equal(line.result, errno, line.message);
  assert.match(line.message, words);
  return line;
};

// What the canister holds, by the official client.
const holds = async (canister, size) => {
  const parts = [];
  for (let at = 0; at < size; at += MIB) parts.push(await client.stableRead(canister, at, Math.min(MIB, size - at)));
  return Buffer.concat(parts);
};

const same = async (canister, bytes, why) =>
  assert.ok((await holds(canister, bytes.length)).equals(bytes), why ?? 'it holds what was written');

// A canister of its own, with `bytes` in its memory.
const makeCanister = async (bytes = Buffer.alloc(0), module = 'sample') => {
  const principal = await createCanister(client.agent);
  await installCode(client.agent, principal, moduleOf(module));
  const canister = principal.toText();
  if (bytes.length > 0) await succeed(canister, place(), [`file=${put(bytes)}`, 'commit']);
  return canister;
};

const makeZeros = async (size) => {
  const canister = await makeCanister();
  await client.update(canister, 'stable_grow', new Uint8Array(IDL.encode([IDL.Nat64], [BigInt(size / PAGE)])));
  await eventually(async () => (await client.stableRead(canister, size - 1, 1)).length === 1);
  return canister;
};

const updates = (log) => log.filter(({ endpoint }) => endpoint === 'call').length;

describe('a staged restore', () => {
  for (const size of [0, 1, PAGE, PAGE + 1, MIB - 1, MIB, 3 * MIB + 5 * PAGE, 7 * MIB + 3]) {
    test(`of ${size} bytes into an empty memory`, async () => {
      const canister = await makeCanister();
      const bytes = randomBytes(size);
      const line = await succeed(canister, place(), [`file=${put(bytes)}`, 'commit']);
      const padded = Buffer.concat([bytes, Buffer.alloc((PAGE - (size % PAGE)) % PAGE)]);
      await same(canister, padded);
      await assert.rejects(client.stableRead(canister, padded.length, 1), 'and nothing behind it');
      assert.ok(line.atomic);
      assert.match(line.words, /staged restore by restore_begin/);
      assert.match(line.summary, new RegExp(`^${padded.length} bytes restored`));
    });
  }

  test('sends only what changed: 1 % of the pages is 1 % of the bytes', async () => {
    const bytes = randomBytes(16 * MIB);
    const canister = await makeCanister(bytes);
    for (const page of [17, 130, 255]) bytes[page * PAGE + 4711] ^= 1;
    const dir = place();
    let log = await network.requestsDuring(async () => {
      const dry = await succeed(canister, dir, [`file=${put(bytes)}`, 'dry', 'commit']);
      assert.match(dry.summary, new RegExp(`^would send ${3 * PAGE} of ${16 * MIB} bytes in about 3 calls \\(bytes `));
      assert.equal(dry.calls, 0);
    });
    assert.equal(updates(log), 0, 'a dry run calls no update');
    log = await network.requestsDuring(async () => {
      const line = await succeed(canister, dir, ['commit']);
      assert.equal(line.sent, 3 * PAGE);
      assert.equal(line.acked, line.to_send);
    });
    assert.ok(log.filter(({ method }) => method === 'stable_hashes').length <= 6, 'few questions');
    assert.ok(log.filter(({ method }) => method === 'stable_read_at').length <= 2 + 6, 'what changes is read before and after; and to find out that it can be');
    await same(canister, bytes);
  });

  test('many small calls are under way at once, and of large ones as many as they may be', async () => {
    const mostAtOnce = (log) => {
      const chunks = log.filter(({ method }) => method === 'restore_chunk');
      return Math.max(...chunks.map(({ began }) => chunks.filter((c) => c.began <= began && c.began + c.ms > began).length));
    };
    const bytes = randomBytes(16 * MIB);
    const canister = await makeCanister(bytes);
    await network.options({ updateMs: 2000 });
    const restoreAtOnce = async (inflight) => {
      const log = await network.requestsDuring(() => succeed(canister, place(), [`file=${put(bytes)}`, `inflight=${inflight}`, 'commit']));
      return mostAtOnce(log);
    };
    for (let page = 0; page < 40; page++) bytes[6 * page * PAGE] ^= 1;
    const small = await restoreAtOnce(4);
    assert.ok(small > 8 && small <= 32, `${small} of one page each`);
    randomBytes(16 * MIB).copy(bytes);
    const large = await restoreAtOnce(4);
    assert.ok(large > 1 && large <= 4, `${large} of 2 MiB each`);
    bytes[0] ^= 1;
    bytes[2 * PAGE] ^= 1;
    assert.equal(await restoreAtOnce(1), 1, 'one at a time');
    await network.options({ updateMs: 0 });
    await same(canister, bytes);
  });

  test('a change everywhere is not looked into again and again', async () => {
    const canister = await makeZeros(128 * MIB);
    const log = await network.requestsDuring(async () => {
      await succeed(canister, place(), [`file=${put(randomBytes(128 * MIB))}`, 'dry', 'commit'], ['-o', 'max_inflight=1']);
    });
    const n = log.filter(({ method }) => method === 'stable_hashes').length;
    assert.equal(n, 11, 'windows of 2, 2, 4, 8, 16 and 32 pieces, and a look into the first, the third and the seventh');
  });

  test('what differs is sent while the rest is compared', async () => {
    const bytes = Buffer.alloc(128 * MIB);
    const canister = await makeZeros(bytes.length);
    const pages = [5, 700, 1100, 2047]; // one in each window
    for (const page of pages) bytes[page * PAGE + 3] = 1;
    const log = await network.requestsDuring(async () => {
      const line = await succeed(canister, place(), [`file=${put(bytes)}`, 'commit'], ['-o', 'max_inflight=1']);
      assert.equal(line.sent, 4 * PAGE);
      assert.equal(line.to_send, 4 * PAGE);
    });
    const began = (name) => log.filter(({ method }) => method === name).map((entry) => entry.began);
    assert.ok(Math.min(...began('restore_begin')) < Math.min(...began('stable_hashes')), 'what it will be is known at once');
    assert.ok(Math.min(...began('restore_chunk')) < Math.max(...began('stable_hashes')));
    for (const page of pages) assert.equal((await client.stableRead(canister, page * PAGE, 4))[3], 1); // the hash tells the rest
  });

  test('a part of the file: the rest stays', async () => {
    const bytes = randomBytes(3 * MIB + PAGE);
    const canister = await makeCanister(bytes);
    const dir = place();
    const patch = randomBytes(100_000);
    patch.copy(bytes, MIB - 50_000);
    const line = await succeed(canister, dir, [`patch=${MIB - 50_000}:${put(patch)}`, 'commit']);
    assert.ok(line.sent <= 3 * PAGE);
    await same(canister, bytes);
  });

  test('a part of a file that grows: zeros between', async () => {
    const bytes = randomBytes(MIB + PAGE);
    const canister = await makeCanister(bytes);
    const line = await succeed(canister, place(), [`patch=${3 * MIB}:${put('end')}`, 'commit']);
    assert.equal(line.sent, PAGE);
    await same(canister, Buffer.concat([bytes, Buffer.alloc(2 * MIB - PAGE), Buffer.from('end'), Buffer.alloc(PAGE - 3)]));
  });

  test('a part of a memory that changed since: ESTALE, and nothing is sent', async () => {
    const canister = await makeCanister(randomBytes(MIB));
    const dir = place();
    await drive(canister, dir, [`patch=5:${put('xyz')}`]);
    await client.stableWrite(canister, 0, Buffer.from('changed'));
    await eventually(async () => (await client.stableRead(canister, 0, 7)).equals(Buffer.from('changed')));
    const before = await holds(canister, MIB);
    const log = await network.requestsDuring(() => fail('ESTALE', /only a part was written/, canister, dir, ['commit']));
    assert.equal(updates(log), 0);
    await same(canister, before);
  });

  test('shorter than the memory: EINVAL, and both sizes; with shrink zeros', async () => {
    const canister = await makeCanister(randomBytes(2 * MIB));
    const bytes = randomBytes(MIB + 10);
    const dir = place();
    const log = await network.requestsDuring(() =>
      fail('EINVAL', new RegExp(`${MIB + 10} bytes.*${2 * MIB}.*shrink=zero`), canister, dir, [`file=${put(bytes)}`, 'commit']));
    assert.equal(updates(log), 0);
    await succeed(canister, dir, ['shrink', 'commit']);
    await same(canister, Buffer.concat([bytes, Buffer.alloc(MIB - 10)]));
  });

  test('shorter by less than a page: EINVAL too, unless only zeros are missing', async () => {
    const before = randomBytes(2 * MIB).fill(1, 2 * MIB - 10);
    const canister = await makeCanister(before);
    const dir = place();
    const half = put(before.subarray(0, 2 * MIB - 10));
    const log = await network.requestsDuring(() => fail('EINVAL', /2097142 bytes.*2097152.*half a copy/, canister, dir, [`file=${half}`, 'commit']));
    assert.equal(updates(log), 0);
    await same(canister, before);
    const odd = randomBytes(2 * MIB + 10);
    const whole = Buffer.concat([odd, Buffer.alloc(65536 - 10)]);
    for (let i = 0; i < 2; i++) {
      await succeed(canister, place(), [`file=${put(odd)}`, 'commit']);
      await same(canister, whole);
    }
  });

  test('hashes of a node that lags behind: everything is sent', async () => {
    const canister = await makeCanister(randomBytes(3 * MIB));
    const bytes = randomBytes(3 * MIB);
    const path = put(bytes);
    const line = await succeed(canister, place(), [`file=${path}`, `lie=${path}`, 'commit']);
    assert.equal(line.sent, 3 * MIB);
    await same(canister, bytes);
  });

  test('the same of a part: what is the base\'s is read', async () => {
    const bytes = randomBytes(3 * MIB);
    const canister = await makeCanister(bytes);
    const patch = randomBytes(10);
    patch.copy(bytes, 77);
    await succeed(canister, place(), [`patch=77:${put(patch)}`, `lie=${put(randomBytes(3 * MIB))}`, 'commit']);
    await same(canister, bytes);
  });

  test('somebody else changes the memory meanwhile: the whole file counts', async () => {
    const bytes = randomBytes(2 * MIB);
    const canister = await makeCanister(bytes);
    bytes[5] ^= 1;
    await network.faults([{ kind: 'http', status: 503, method: 'restore_begin' }]);
    const restored = succeed(canister, place(), [`file=${put(bytes)}`, 'commit']);
    const isAsked = async () => (await network.log()).some((r) => r.method === 'restore_begin' && r.canister === canister && r.fault);
    await eventually(isAsked);
    await client.stableWrite(canister, MIB, Buffer.from('meanwhile'));
    await eventually(async () => (await client.stableRead(canister, MIB, 9)).equals(Buffer.from('meanwhile')));
    await network.faults([]);
    await restored;
    await same(canister, bytes);
  });

  test('somebody else restores: EBUSY; after an abort it goes on', async () => {
    const canister = await makeCanister(randomBytes(3 * MIB));
    const mine = place();
    const bytes = randomBytes(3 * MIB);
    await drive(canister, mine, [`file=${put(randomBytes(3 * MIB))}`, 'kill=2', 'inflight=1', 'commit']);
    const other = place();
    await fail('EBUSY', /the canister answers/, canister, other, [`file=${put(bytes)}`, 'commit']);
    await succeed(canister, mine, ['abort']);
    await succeed(canister, other, ['commit']);
    await same(canister, bytes);
  });

  test('a stage that changed after a commit that was interrupted is another restore', async () => {
    for (const kill of [2, 3, 4, 5]) {
      const canister = await makeCanister(randomBytes(3 * MIB));
      const bytes = randomBytes(3 * MIB);
      const dir = place();
      await drive(canister, dir, [`file=${put(bytes)}`, `kill=${kill}`, 'inflight=1', 'commit']);
      bytes[MIB] ^= 1;
      await succeed(canister, dir, [`patch=${MIB}:${put(bytes.subarray(MIB, MIB + 1))}`, 'commit']);
      await same(canister, bytes, `killed after ${kill}`);
    }
  });

  test('a lost lease ends it: ESTALE, nothing applied, resumable', async () => {
    const before = randomBytes(4 * MIB);
    const canister = await makeCanister(before);
    const bytes = randomBytes(4 * MIB);
    const dir = place();
    await network.options({ updateMs: 200 });
    await fail('ESTALE', /the lease was lost/, canister, dir, [`file=${put(bytes)}`, 'lose=2', 'inflight=1', 'commit']);
    await network.options({ updateMs: 0 });
    await same(canister, before);
    await succeed(canister, dir, ['commit']);
    await same(canister, bytes);
  });

  test('cancelled: EINTR at once, and what the canister has is not sent again', async () => {
    const canister = await makeCanister(randomBytes(8 * MIB));
    const bytes = randomBytes(8 * MIB);
    const dir = place();
    await network.options({ updateMs: 300 });
    const began = Date.now();
    await fail('EINTR', /cancelled/, canister, dir, [`file=${put(bytes)}`, 'cancel=4', 'inflight=1', 'commit']);
    assert.ok(Date.now() - began < 10_000);
    await network.options({ updateMs: 0 });
    const line = await succeed(canister, dir, ['commit']);
    assert.ok(line.sent <= 8 * MIB - 2 * 31 * PAGE, `${line.sent} bytes were sent`);
    await same(canister, bytes);
  });

  test('no progress: it gives up with the cause, and the stage is good', async () => {
    const canister = await makeCanister(randomBytes(MIB));
    const bytes = randomBytes(MIB);
    const dir = place();
    await network.faults([{ kind: 'http', status: 503, method: 'restore_begin' }]);
    await fail('ETIMEDOUT', /no progress for 3 s/, canister, dir, [`file=${put(bytes)}`, 'patience_ms=3000', 'commit']);
    await network.faults([]);
    await succeed(canister, dir, ['commit']);
    await same(canister, bytes);
  });

  test('refused: EACCES', async () => {
    const before = randomBytes(MIB);
    const canister = await makeCanister(before);
    const dir = place();
    await fail('EACCES', /does not allow/, canister, dir, [`file=${put(randomBytes(MIB))}`, 'commit'], ['-o', 'identity=anonymous']);
    await same(canister, before);
  });

  test('3 GiB, nearly all of them zeros: what grows is not sent', async () => {
    const canister = await makeCanister();
    const path = put('begin');
    truncateSync(path, 3 * 1024 * MIB);
    const line = await succeed(canister, place(), [`file=${path}`, 'dry', 'commit']);
    assert.match(line.summary, new RegExp(`^would send ${PAGE} of ${3 * 1024 * MIB} bytes in about 1 calls`));
  });
});

// The canisters of tests/canisters/liar.c answer ok to restore_commit.
describe('a commit that is answered ok and was not made', () => {
  const STAGED = '[stable_memory]\nread = stable_read\nsize = stable_size\nrestore = restore\n';
  const WAYS = [
    ['versions and hashes', '', ''],
    ['a version and no hashes', 'version = stable_version\nread_at = stable_read_at\n', STAGED],
    ['hashes and no version', 'hashes = stable_hashes\n', STAGED],
    ['neither', '', STAGED],
  ];
  // A liar never takes a content over: it is written as users' data are.
  const makeLiar = async (module, bytes) => {
    const canister = await makeCanister(Buffer.alloc(0), module);
    await client.update(canister, 'stable_grow', new Uint8Array(IDL.encode([IDL.Nat64], [BigInt(bytes.length / PAGE)])));
    for (let at = 0; at < bytes.length; at += MIB) await client.stableWrite(canister, at, bytes.subarray(at, at + MIB));
    await eventually(async () => (await holds(canister, bytes.length)).equals(bytes));
    return canister;
  };
  const LIES = [
    ['liar1', 'nothing is applied'],
    ['liar2', 'nothing is applied, and the version moves'],
    ['liar3', 'a part is applied'],
  ];
  const REFUSED = /the canister answers ok, but of \d+ pages that were looked at \d+ hold what they held before/;
  for (const [module, what] of LIES) {
    for (const [with_, lines, head] of WAYS) {
      test(`${what}, with ${with_}: EIO, and the stage is kept`, async () => {
        const before = randomBytes(6 * MIB);
        const canister = await makeLiar(module, before);
        const bytes = randomBytes(6 * MIB);
        const dir = place();
        const options = head ? ['-o', `map=${put(head + lines)}`] : [];
        await fail('EIO', REFUSED, canister, dir, [`file=${put(bytes)}`, 'lag_ms=1500', 'commit'], options);
        if (module !== 'liar3') await same(canister, before);
        await fail('EIO', REFUSED, canister, dir, ['lag_ms=1500', 'commit'], options);
      });
    }
  }

  test('of one page, and of growth alone', async () => {
    const before = randomBytes(2 * MIB);
    const canister = await makeLiar('liar2', before);
    const bytes = Buffer.from(before);
    bytes[MIB + 5] ^= 1;
    await fail('EIO', /of 1 pages that were looked at 1 hold/, canister, place(), [`file=${put(bytes)}`, 'lag_ms=1000', 'commit']);
    await fail('EIO', new RegExp(`has ${2 * MIB} bytes instead of ${3 * MIB}`), canister, place(), ['size=' + 3 * MIB, 'lag_ms=1000', 'commit']);
    await same(canister, before);
  });

  test('its reply is lost first: still not believed', async () => {
    const before = randomBytes(3 * MIB);
    const canister = await makeLiar('liar1', before);
    const dir = place();
    // begin, two chunks, commit
    await drive(canister, dir, [`file=${put(randomBytes(3 * MIB))}`, 'kill=4', 'kill_ms=500', 'inflight=1', 'lag_ms=1000', 'commit']);
    await fail('EIO', /answers ok, but/, canister, dir, ['lag_ms=1000', 'commit']);
    await same(canister, before);
  });

  test('nothing was to be changed: it may say ok', async () => {
    const bytes = randomBytes(2 * MIB);
    const canister = await makeLiar('liar1', bytes);
    const log = await network.requestsDuring(() => succeed(canister, place(), [`file=${put(bytes)}`, 'commit']));
    assert.ok(log.length < 30, 'and nobody waits for a change');
  });
});

describe('what is seen after a commit', () => {
  test('all of it by hashes, some pages without', async () => {
    const canister = await makeCanister(randomBytes(4 * MIB));
    const bytes = randomBytes(4 * MIB);
    let line = await succeed(canister, place(), [`file=${put(bytes)}`, 'commit']);
    assert.match(line.summary, /, checked by the canister; seen by its hashes$/);
    bytes[PAGE] ^= 1;
    bytes[3 * MIB] ^= 1;
    line = await succeed(canister, place(), [`file=${put(bytes)}`, 'commit']);
    assert.match(line.summary, /, checked by the canister; seen in 2 pages$/);
    await same(canister, bytes);
  });

  test('nothing, when nobody answers any more: it is restored all the same', async () => {
    const canister = await makeCanister(randomBytes(MIB));
    const bytes = randomBytes(MIB);
    const line = await succeed(canister, place(), [`file=${put(bytes)}`, 'blind', 'lag_ms=1000', 'commit']);
    assert.match(line.summary, /checked by the canister; it could not be looked at: no progress for 1 s: nobody answers/);
    await same(canister, bytes);
  });

  test('a node that lags behind is asked again', async () => {
    const canister = await makeCanister(randomBytes(MIB));
    const bytes = randomBytes(MIB);
    const line = await succeed(canister, place(), [`file=${put(bytes)}`, 'lag=3', 'commit']);
    assert.match(line.summary, /, checked by the canister; seen in 16 pages$/);
    await same(canister, bytes);
  });
});

describe('a staged restore that is interrupted', () => {
  // Each of the calls of a restore, and one more: begin, three chunks, commit.
  for (const module of ['sample', 'sample_steps']) {
    test(`killed at every call: ${module}`, async () => {
      const old = randomBytes(5 * MIB);
      for (let n = 1; n <= (module === 'sample' ? 6 : 9); n++) {
        const canister = await makeCanister(old, module);
        const bytes = randomBytes(5 * MIB);
        const dir = place();
        const first = await drive(canister, dir, [`file=${put(bytes)}`, `kill=${n}`, 'inflight=1', 'commit']);
        if (n < 5) assert.ok(first.killed, `killed at call ${n}`);
        await succeed(canister, dir, ['commit']);
        await same(canister, bytes, `killed at call ${n}`);
      }
    });
  }

  test('killed again and again, each time one call later', async () => {
    const canister = await makeCanister(randomBytes(12 * MIB));
    const bytes = randomBytes(12 * MIB);
    const dir = place();
    await drive(canister, dir, [`file=${put(bytes)}`]);
    let line = { killed: true };
    for (let n = 0; line.killed && n < 30; n++) line = await drive(canister, dir, ['kill=3', 'inflight=1', 'commit']);
    assert.equal(line.result, 'ok', 'each run makes progress');
    await same(canister, bytes);
  });

  for (const fault of [
    { kind: 'lost_reply' },
    { kind: 'refuse' },
    { kind: 'truncate' },
    { kind: 'garbage' },
    { kind: 'http', status: 503 },
    { kind: 'duplicate' },
  ]) {
    test(`${Object.values(fault).join(' ')} of each call`, async () => {
      const canister = await makeCanister(randomBytes(3 * MIB));
      for (let nth = 1; nth <= 4; nth++) {
        const bytes = randomBytes(3 * MIB);
        await network.faults([{ endpoint: 'call', canister, nth, ...fault }]);
        await succeed(canister, place(), [`file=${put(bytes)}`, 'inflight=1', 'commit']);
        await network.faults([]);
        await same(canister, bytes, `call ${nth}`);
      }
    });
  }

  test('faults at random', async () => {
    const canister = await makeCanister(randomBytes(8 * MIB));
    for (let seed = 1; seed <= 3; seed++) {
      const bytes = randomBytes(8 * MIB);
      const kinds = ['lost_reply', 'refuse', 'reset', 'truncate', 'garbage'];
      await network.faults([{ kind: 'random', seed, rate: 0.2, canister, kinds }]);
      const dir = place();
      let line = await drive(canister, dir, [`file=${put(bytes)}`, 'commit']);
      for (let n = 0; line.result !== 'ok' && n < 10; n++) line = await drive(canister, dir, ['commit']);
      await network.faults([]);
      assert.equal(line.result, 'ok', `seed ${seed}: ${line.message}`);
      await same(canister, bytes, `seed ${seed}`);
    }
  });
});

const PLAIN = '[stable_memory]\nread = stable_read\nsize = stable_size\nwrite = stable_write\n';

describe('plain writes', () => {
  const mapped = (text) => ['-o', `map=${put(text)}`];

  test('only what differs, then it is compared again', async () => {
    const bytes = randomBytes(4 * MIB);
    const canister = await makeCanister(bytes);
    bytes[MIB + 5] ^= 1;
    const dir = place();
    const line = await succeed(canister, dir, [`file=${put(bytes)}`, 'commit'], mapped(PLAIN));
    assert.equal(line.sent, PAGE);
    assert.equal(line.atomic, false);
    assert.match(line.summary, /not atomic/);
    await same(canister, bytes);
    const log = await network.requestsDuring(() => succeed(canister, dir, ['commit'], mapped(PLAIN)));
    assert.equal(updates(log), 0, 'again: there is nothing to do');
  });

  test('a node that lags behind a change made just before hides nothing', async () => {
    const bytes = randomBytes(MIB);
    const canister = await makeCanister(bytes);
    await network.faults([{ kind: 'lagging', endpoint: 'query', canister, method: 'stable_read' }]);
    const nothing = await succeed(canister, place(), [`file=${put(bytes)}`, 'lag_ms=1', 'commit'], mapped(PLAIN));
    assert.equal(nothing.sent, 0);
    const write = IDL.encode([IDL.Nat64, IDL.Vec(IDL.Nat8)], [5n * BigInt(PAGE), randomBytes(100)]);
    await client.update(canister, 'stable_write', new Uint8Array(write));
    const restored = succeed(canister, place(), [`file=${put(bytes)}`, 'commit'], mapped(PLAIN));
    await delay(1500);
    await network.faults([]);
    assert.equal((await restored).sent, PAGE);
    await same(canister, bytes);
  });

  test('by hashes, where it has them', async () => {
    const bytes = randomBytes(4 * MIB);
    const canister = await makeCanister(bytes);
    bytes[MIB + 5] ^= 1;
    const log = await network.requestsDuring(() =>
      succeed(canister, place(), [`file=${put(bytes)}`, 'commit'], mapped(`${PLAIN}hashes = stable_hashes\n`)));
    assert.equal(updates(log), 1);
    assert.ok(log.filter(({ method }) => method === 'stable_read').length <= 2, 'nothing is read, but to find out that it can be');
    await same(canister, bytes);
  });

  test('a part of memory without a version: EINVAL without force', async () => {
    const bytes = randomBytes(MIB);
    const canister = await makeCanister(bytes);
    const dir = place();
    await fail('EINVAL', /tells no version/, canister, dir, [`patch=7:${put('abc')}`, 'commit'], mapped(PLAIN));
    await same(canister, bytes);
    bytes.write('abc', 7);
    await succeed(canister, dir, ['force', 'commit'], mapped(PLAIN));
    await same(canister, bytes);
  });

  test('killed at every call, with growth', async () => {
    const grown = `${PLAIN}grow = stable_grow\n`;
    for (let n = 1; n <= 5; n++) {
      const canister = await makeCanister(randomBytes(MIB));
      const bytes = randomBytes(5 * MIB);
      const dir = place();
      // Growth that was not sent, but might have been, would be waited for until it has expired.
      await network.options({ updateMs: n === 1 ? 1000 : 0 });
      await drive(canister, dir, [`file=${put(bytes)}`, `kill=${n}`, `kill_ms=${n === 1 ? 500 : 0}`, 'inflight=1', 'lag_ms=100', 'commit'], mapped(grown));
      await network.options({ updateMs: 0 });
      await succeed(canister, dir, ['settle_ms=100', 'lag_ms=100', 'commit'], mapped(grown));
      await same(canister, bytes, `killed at call ${n}`);
      await assert.rejects(client.stableRead(canister, 5 * MIB, 1), 'it grew once');
    }
  });

  for (const kind of ['lost_reply', 'refuse', 'garbage', 'duplicate']) {
    test(`${kind} of each call, with growth`, async () => {
      for (let nth = 1; nth <= 3; nth++) {
        const canister = await makeCanister(randomBytes(MIB));
        const bytes = randomBytes(3 * MIB);
        await network.faults([{ endpoint: 'call', canister, nth, kind }]);
        await succeed(canister, place(), [`file=${put(bytes)}`, 'inflight=1', 'settle_ms=100', 'lag_ms=100', 'commit'], mapped(`${PLAIN}grow = stable_grow\n`));
        await network.faults([]);
        await same(canister, bytes, `call ${nth}`);
        await assert.rejects(client.stableRead(canister, 3 * MIB, 1), 'it grew once');
      }
    });
  }

  // A canister of each shape that has a write side: what is in one is restored into another.
  const STORAGE = '[stable_memory]\nread = read\nsize = stablesize\nunit = pages\nwrite = write\ngrow = stablegrow\n';
  const SHAPES = [
    ['factland', async (actor, off, len) => actor.stable_read(off, len)],
    ['cdk32', async (actor, off, len) => actor.stable_read(Number(off), Number(len))],
    ['stable64', async (actor, off, len) => actor.stable64_read(off, len)],
    ['storage', async (actor, off, len) => actor.read(off, len), () => mapped(STORAGE)],
    ['metamagic', async (actor, off, len) => actor.backup_stable_storage(off, len)],
    ['canister_tools', async (actor, off, len) => actor.controller_stable_memory_read(0, off, len)],
    ['taggr', async (actor, off) => actor.stable_mem_read(off / BigInt(MIB)).then((pages) => pages[0]?.[1] ?? [])],
    ['hotornot', async (actor, off, len) => actor.download_snapshot(off, len)],
    ['icml', async (actor, off) => actor.db_download(off)],
  ];
  for (const [name, read, options] of SHAPES) {
    test(`into a canister like ${name}`, async () => {
      const from = await ShapedCanister.install(client.agent, name, { size: 3_000_000, seed: 7n });
      if (from.shape.prepare) await from.prepare();
      const { size, read: data } = Object.values(from.memories)[0];
      const bytes = data(0, size);
      const to = await ShapedCanister.install(client.agent, name, { size: 100_000, seed: 3n });
      const words = [`file=${put(bytes)}`, 'settle_ms=100', 'lag_ms=100', 'commit'];
      const line = await succeed(to.id, place(), words, options?.() ?? []);
      const parts = [];
      for (let at = 0, part; at < bytes.length; at += part.length) {
        part = Buffer.from(await read(to.actor, BigInt(at), BigInt(Math.min(MIB, bytes.length - at))));
        assert.ok(part.length > 0, `${at} of ${bytes.length}`);
        parts.push(part);
      }
      assert.ok(Buffer.concat(parts).subarray(0, bytes.length).equals(bytes), `${name}: ${line.summary}`);
    });
  }

  test('a canister without any: not offered', async () => {
    const canister = await ShapedCanister.install(client.agent, 'live', {});
    await assert.rejects(drive(canister.id, place(), [`file=${put('x')}`, 'commit']), /not offered: restore_begin: not in the Candid interface; stable_write: not in the Candid interface/);
  });

  test('an interface that says otherwise is believed', async () => {
    const did = didOf('factland').replace(/stable_write : [^;]*;/, 'stable_write : (nat64, text) -> ();');
    const canister = await ShapedCanister.install(client.agent, 'factland', { did });
    await assert.rejects(drive(canister.id, place(), [`file=${put('x')}`, 'commit']), /stable_write: the Candid interface gives it other arguments/);
  });
});
