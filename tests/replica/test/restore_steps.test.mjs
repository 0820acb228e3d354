// Restores whose commit takes many messages, upgrades in the middle of them, and what lies behind the live bytes.
// sample_steps does 2 MiB in each message.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { buildFixture, call, CONTROLLER, PAGE, rejects, words } from './engine_fixture.mjs';
import { assertContent, begin, commit, content, makeSample, MIB, OK, readAll, send } from './restore_fixture.mjs';

const BUSY = /busy: a restore is being applied/;
const CORRUPT = { err: { corrupt: 'the sha256 of the content is another' } };

/** Sends a content of 9 MiB: 5 messages to verify, 5 to apply. */
async function sent(sample, { bytes = content(9 * MIB, 1), base = null } = {}) {
  const session = await begin(sample, bytes, base);
  await send(sample, session, bytes);
  return { bytes, session };
}

async function commitTimes(sample, session, times) {
  for (let i = 0; i < times; i++) assert.ok((await sample.restore_commit(session)).more, `commit ${i}`);
}

describe('in steps', () => {
  test('it says how far it is, and ends', async () => {
    const sample = makeSample('sample_steps');
    const { bytes, session } = await sent(sample);
    const steps = [];
    for (;;) {
      const { more } = await sample.restore_commit(session);
      if (more === undefined) break;
      steps.push(Number(more.done) / MIB);
      assert.equal(more.total, BigInt(18 * MIB));
    }
    assert.deepEqual(steps, [2, 4, 6, 8, 9, 11, 13, 15, 17]);
    await assertContent(sample, bytes);
    assert.deepEqual(await sample.restore_commit(session), OK);
  });

  test('what fits one message is applied in one, though it was verified in many', async () => {
    const sample = makeSample('sample_steps');
    await sample.seed(9 * MIB, 5);
    const before = await readAll(sample);
    const bytes = new Uint8Array(before);
    bytes.fill(7, 3 * MIB, 4 * MIB);
    const { version } = await sample.stable_version();
    const session = await begin(sample, bytes, version);
    await send(sample, session, bytes, 3 * MIB, 4 * MIB);
    await commitTimes(sample, session, 5);
    await assertContent(sample, before); // whole, until it is replaced
    assert.deepEqual(await sample.restore_commit(session), OK);
    await assertContent(sample, bytes);
  });

  test('while it is being applied, nobody reads or writes, and it only goes forward', async () => {
    const sample = makeSample('sample_steps');
    await sample.seed(PAGE, 1);
    const { version } = await sample.stable_version();
    const { bytes, session } = await sent(sample);
    await commitTimes(sample, session, 5);
    assert.equal(await sample.stable_size(), BigInt(PAGE)); // verified, nothing is changed
    await commitTimes(sample, session, 1);
    const check = async () => {
      for (const [method, ...values] of [
        ...[['stable_size'], ['stable_version'], ['stable_read', 0, 1], ['stable_read', 0, 0]],
        ...[['stable_hash', 0, 1], ['stable_hashes', 0, 1, 1], ['stable_write', 0, Uint8Array.of(1)]],
        ...[['stable_write', 0, new Uint8Array(0)], ['stable_grow', 1], ['stable_grow', 0], ['seed', 8, 1]],
      ]) {
        await assert.doesNotReject(rejects(sample[method](...values), 'IC0503', BUSY), `${method} ${values}`);
      }
      assert.match((await sample.stable_read_at(version, 0, 1)).err.busy, /being applied/);
      assert.match((await sample.restore_abort(session)).err.busy, /being applied/);
      assert.match((await sample.restore_chunk({ session, offset: 0n, bytes: [1] })).err.busy, /being applied/);
      sample.env.now += 10_000_000_000_000n; // it does not expire
      const other = { target: 'stable_memory', size: BigInt(PAGE), sha256: new Uint8Array(32), base_version: [] };
      assert.deepEqual(await sample.restore_begin(other), { err: { busy: `restore session ${session} is being applied` } });
      assert.deepEqual(Object.keys((await sample.restore_status(session))[0].state), ['open']);
      assert.equal(await begin(sample, bytes), session); // a resume
    };
    await check();
    const { ok } = await sample.maintenance_pause({ ttl_s: 60, reason: 'resumed' });
    assert.ok(ok.lease > 0n);
    sample.upgrade();
    await check();
    await commit(sample, session);
    await assertContent(sample, bytes);
    assert.ok((await sample.stable_version()).version > version);
  });

  test('an upgrade after any number of commits, with and without its pre-upgrade', async () => {
    for (let before = 0; before <= 10; before++) {
      const sample = makeSample('sample_steps');
      await sample.seed(4 * MIB, 5);
      const { bytes, session } = await sent(sample);
      for (let i = 0; i < before; i++) await sample.restore_commit(session);
      sample.upgrade(before % 2 === 0);
      sample.upgrade(before % 2 === 1);
      await commit(sample, session);
      await assertContent(sample, bytes);
    }
  });

  test('an upgrade between all commits, on a base: stale before it is applied, forward once it is', async () => {
    for (let before = 0; before <= 10; before++) {
      const sample = makeSample('sample_steps');
      await sample.seed(4 * MIB, 5);
      const bytes = content(9 * MIB, 3);
      bytes.set(await sample.stable_read(0, MIB));
      bytes.fill(0, 7 * MIB, 8 * MIB + 5);
      const session = await begin(sample, bytes, (await sample.stable_version()).version);
      await send(sample, session, bytes, MIB, 7 * MIB);
      await send(sample, session, bytes, 8 * MIB + 5);
      const old = await readAll(sample);
      let done = 0;
      for (let i = 0; i < before; i++) done = Number((await sample.restore_commit(session)).more?.done ?? 18 * MIB);
      sample.upgrade();
      if (done <= 9 * MIB) {
        assert.ok((await sample.restore_commit(session)).err.stale, `${before}`);
        await assertContent(sample, old);
      } else {
        await commit(sample, session);
        await assertContent(sample, bytes);
      }
    }
  });

  test('chunks that come while it is verified are verified, too', async () => {
    for (const [commits, at] of [
      [1, 0],
      [2, 3 * MIB],
      [4, 8 * MIB - 1],
      [5, 0], // all is verified, and nothing applied
      [5, 9 * MIB - 1],
      [2, 6 * MIB],
    ]) {
      const sample = makeSample('sample_steps');
      const { bytes, session } = await sent(sample);
      await commitTimes(sample, session, commits);
      const wrong = Uint8Array.of(bytes[at] ^ 1);
      assert.deepEqual(await sample.restore_chunk({ session, offset: BigInt(at), bytes: wrong }), OK);
      let answer;
      do answer = await sample.restore_commit(session);
      while (answer.more);
      assert.deepEqual(answer, CORRUPT, `${commits} ${at}`);
      assert.equal(await sample.stable_size(), 0n);
      await send(sample, session, bytes, at, at + 1);
      await commit(sample, session);
      await assertContent(sample, bytes);
    }
  });

  test('a write by somebody else while it is verified: stale on a base, overwritten without one', async () => {
    for (const commits of [1, 4, 5]) {
      const sample = makeSample('sample_steps');
      const bytes = content(9 * MIB, 6);
      await sample.stable_grow(9 * 16);
      for (let at = 0; at < 9 * MIB; at += MIB) await sample.stable_write(at, bytes.subarray(at, at + MIB));
      const session = await begin(sample, bytes, (await sample.stable_version()).version);
      await send(sample, session, bytes, 0, 3 * MIB);
      await commitTimes(sample, session, Math.min(commits, 4));
      await sample.stable_write(8 * MIB, Uint8Array.of(bytes[8 * MIB] ^ 1));
      assert.ok((await sample.restore_commit(session)).err.stale);
    }
    const sample = makeSample('sample_steps');
    await sample.seed(9 * MIB, 1);
    const { bytes, session } = await sent(sample);
    await commitTimes(sample, session, 5);
    await sample.stable_write(8 * MIB, Uint8Array.of(1, 2, 3));
    await commit(sample, session);
    await assertContent(sample, bytes);
  });

  test('two who commit one session in turn: each call goes on, and both hear that it is done', async () => {
    const sample = makeSample('sample_steps');
    const { bytes, session } = await sent(sample);
    const answers = [];
    for (let i = 0; !answers.at(-2)?.hasOwnProperty('ok'); i++) answers.push(await sample.restore_commit(session));
    assert.ok(answers.slice(0, -2).every(({ more }) => more));
    await assertContent(sample, bytes);
  });

  test('too few instructions for a step: it fails whole, and goes on when there are more', async () => {
    const sample = makeSample('sample_steps');
    const { bytes, session } = await sent(sample);
    await commitTimes(sample, session, 6);
    const percent = sample.env.instructionPercent;
    sample.env.instructionPercent = () => 0.005; // 2 million
    await rejects(sample.restore_commit(session), 'IC0522', /instruction/);
    sample.env.instructionPercent = percent;
    await commit(sample, session);
    await assertContent(sample, bytes);
  });
});

describe('behind the live bytes', () => {
  const probe = buildFixture('probe', 'wasm32');
  const as = (sample, module) => {
    sample.env.now += 1_000_000_000n;
    sample.engine.upgrade({ module, arg: new Uint8Array(0), caller: CONTROLLER });
  };
  const raw = (sample, page) => call(sample.engine, 'query', 'get', words(page * PAGE, PAGE));
  const pagesOf = (sample) => sample.engine.memoryMetrics.stableMemory / PAGE;

  test('growing shows zeros after a commit and after an abort', async () => {
    for (const end of ['restore_commit', 'restore_abort']) {
      const sample = makeSample();
      const { session } = await sent(sample, { bytes: content(2 * MIB, 1) });
      assert.deepEqual(await sample[end](session), OK);
      const live = await readAll(sample);
      sample.upgrade();
      for (const pages of [1, 7, 40, 100]) {
        await sample.stable_grow(pages);
        const all = await readAll(sample);
        assert.equal(Buffer.compare(all.subarray(0, live.length), live), 0);
        assert.ok(
          all.subarray(live.length).every((byte) => byte === 0),
          `${end} ${pages}`,
        );
        sample.upgrade();
      }
    }
  });

  test('what a restore does not send, beyond the live bytes, is zeros, whatever was staged there before', async () => {
    for (const name of ['sample', 'sample_steps']) {
      const sample = makeSample(name);
      await sample.seed(PAGE, 1);
      const { session } = await sent(sample, { bytes: content(3 * MIB, 1) });
      await sample.restore_abort(session);
      const bytes = new Uint8Array(8 * MIB);
      bytes.set(await sample.stable_read(0, PAGE));
      bytes.fill(7, 5 * MIB + 3, 5 * MIB + 99);
      const next = await begin(sample, bytes, (await sample.stable_version()).version);
      await send(sample, next, bytes, 5 * MIB + 3, 5 * MIB + 99);
      await commit(sample, next);
      await assertContent(sample, bytes);
    }
  });

  test('a canister that never restored has nothing there; one that did keeps its size over upgrades', async () => {
    const sample = makeSample();
    await sample.seed(3 * PAGE, 1);
    sample.upgrade();
    assert.equal(pagesOf(sample), 3);
    const session = await begin(sample, content(4 * PAGE), (await sample.stable_version()).version);
    assert.ok(pagesOf(sample) > 4);
    await sample.restore_abort(session);
    const pages = pagesOf(sample);
    for (let i = 0; i < 3; i++) sample.upgrade(true);
    assert.deepEqual([await sample.stable_size(), pagesOf(sample)], [BigInt(3 * PAGE), pages]);
    const again = await begin(sample, content(4 * PAGE));
    await sample.restore_abort(again);
    const twice = pagesOf(sample);
    await sample.restore_abort(await begin(sample, content(4 * PAGE, 2)));
    assert.equal(pagesOf(sample), twice, 'the next one takes the same place');
  });

  test("another memory's record among the bytes is not taken for its own", async () => {
    const other = makeSample();
    const { session } = await sent(other, { bytes: content(PAGE, 1) });
    await commit(other, session);
    as(other, probe);
    const page = await raw(other, pagesOf(other) - 1);
    for (const [at, ...parts] of [
      [0, [0, PAGE]],
      [3 * PAGE, [0, PAGE]],
      [3 * PAGE, [0, 8], [8, PAGE]],
      [3 * PAGE, [8, PAGE], [0, 8]],
    ]) {
      const sample = makeSample();
      for (const [from, to] of parts) await sample.stable_write(at + from, page.subarray(from, to));
      const size = await sample.stable_size();
      const before = await readAll(sample);
      assert.deepEqual(Buffer.from(before.subarray(Number(size) - PAGE)), Buffer.from(page));
      sample.upgrade();
      assert.equal(await sample.stable_size(), size);
      await assertContent(sample, before);
    }
  });

  test('a damaged record: the upgrade fails and changes nothing', async () => {
    const sample = makeSample();
    const { bytes, session } = await sent(sample, { bytes: content(PAGE, 1) });
    await commit(sample, session);
    as(sample, probe);
    const last = pagesOf(sample) - 1;
    const length = Buffer.from(await raw(sample, last)).readUInt32LE(48);
    const put = (at, byte) => call(sample.engine, 'update', 'put', new Uint8Array([...words(last * PAGE + at), byte]));
    for (let at = 16; at < length; at += at < 400 ? 1 : 97) {
      const byte = (await raw(sample, last))[at];
      await put(at, byte ^ 0x40);
      assert.throws(() => sample.upgrade(), { errorCode: 'IC0503', message: /record of its size is damaged/ });
      await put(at, byte);
    }
    sample.upgrade();
    await assertContent(sample, bytes);
  });

  test('more than 1 GiB to clear: in steps', async () => {
    const sample = makeSample();
    const GIB = 1024 * MIB;
    const half = { target: 'stable_memory', size: BigInt(1.5 * GIB), sha256: new Uint8Array(32), base_version: [] };
    const { session } = (await sample.restore_begin(half)).ok;
    await sample.restore_chunk({ session, offset: BigInt(GIB), bytes: Uint8Array.of(9) });
    await sample.restore_abort(session);
    assert.equal(await sample.stable_grow((1.5 * GIB) / PAGE), 0n);
    const tooMany = GIB / PAGE + 1;
    await rejects(sample.stable_grow(tooMany), 'IC0503', /more than 1 GiB is to be cleared; grow by less at a time$/);
    assert.equal(await sample.stable_grow(GIB / PAGE), BigInt((1.5 * GIB) / PAGE));
    for (const at of [1.5 * GIB, 1.5 * GIB + PAGE]) {
      assert.ok((await sample.stable_read(at, 2 * MIB)).every((byte) => byte === 0));
    }
  });
});

/** A small deterministic generator (mulberry32), so that a failure can be repeated. */
function random(seed) {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

describe('against a plain array', () => {
  for (let seed = 1; seed <= 4; seed++) {
    test(`random restores, writes, growth and upgrades, seed ${seed}`, async () => {
      const pick = random(seed);
      const sample = makeSample('sample_steps');
      let live = new Uint8Array(0);
      const grow = (size) => {
        if (size <= live.length) return;
        const more = new Uint8Array(Math.ceil(size / PAGE) * PAGE);
        more.set(live);
        live = more;
      };
      const write = async () => {
        const at = pick(live.length + 3 * PAGE);
        const bytes = content(1 + pick(2 * PAGE), pick(1000));
        await sample.stable_write(at, bytes);
        grow(at + bytes.length);
        live.set(bytes, at);
      };
      const restore = async () => {
        const bytes = content(Math.max(live.length, pick(60) * PAGE), pick(1000));
        const base = pick(2) === 0 ? (await sample.stable_version()).version : null;
        const session = await begin(sample, bytes, base);
        const old = live;
        for (let parts = base === null ? 5 + pick(20) : pick(4); parts > 0; parts--) {
          const from = pick(bytes.length + 1);
          const to = Math.min(bytes.length, from + pick(base === null ? MIB : 3 * PAGE));
          await send(sample, session, bytes, from, to);
        }
        if (pick(4) === 0) await write(); // may end the session, or make it stale
        if (base === null) await sample.restore_chunk({ session, offset: 0n, bytes: bytes.subarray(0, 1) });
        if (base !== null) {
          const covered = (await sample.restore_status(session))[0].received;
          const wanted = new Uint8Array(bytes.length);
          wanted.set(old);
          for (const [at, length] of covered) {
            wanted.set(bytes.subarray(Number(at), Number(at + length)), Number(at));
          }
          await sample.restore_abort(session);
          return restoreSent(wanted, covered);
        }
        await finish(session, bytes);
      };
      /** The content of a base and these ranges. */
      const restoreSent = async (bytes, ranges) => {
        if (live.length > bytes.length) return;
        const base = (await sample.stable_version()).version;
        const wanted = bytes.slice();
        for (let at = 0; at < live.length; at++) wanted[at] = live[at];
        for (const [at, length] of ranges) wanted.set(bytes.subarray(Number(at), Number(at + length)), Number(at));
        const session = await begin(sample, wanted, base);
        for (const [at, length] of ranges) await send(sample, session, wanted, Number(at), Number(at + length));
        await finish(session, wanted);
      };
      const finish = async (session, bytes) => {
        const state = Object.keys((await sample.restore_status(session))[0].state)[0];
        if (state === 'aborted') return;
        if (pick(4) === 0) {
          assert.deepEqual(await sample.restore_abort(session), OK);
          return;
        }
        if ((await sample.restore_status(session))[0].received.reduce((sum, [, n]) => sum + Number(n), 0) < bytes.length) {
          const answer = await sample.restore_commit(session);
          if (answer.err?.corrupt) await send(sample, session, bytes);
        }
        for (;;) {
          const answer = await sample.restore_commit(session);
          if ('ok' in answer) break;
          assert.ok(answer.more, JSON.stringify(Object.keys(answer.err ?? {})));
          const isApplying = answer.more.done > BigInt(bytes.length);
          if (isApplying && pick(3) === 0) sample.upgrade();
        }
        live = bytes;
      };
      for (let round = 0; round < 25; round++) {
        await [write, restore, restore, () => sample.upgrade()][pick(4)]();
        if (pick(5) === 0) {
          const pages = pick(20);
          await sample.stable_grow(pages);
          grow(live.length + pages * PAGE);
        }
        await assertContent(sample, live);
      }
    });
  }
});
