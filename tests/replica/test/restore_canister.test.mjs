// The sample's restore methods, each rule of tests/canisters/sample.did with what it refuses.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { describe, test } from 'node:test';
import { IDL } from '@icp-sdk/core/candid';
import { Principal } from '@icp-sdk/core/principal';
import { call, PAGE, rejects, STRANGER } from './engine_fixture.mjs';
import {
  assertContent,
  begin,
  beginOf,
  bind,
  Chunk,
  CHUNK_MAX,
  commit,
  content,
  HOUR_NS,
  makeSample,
  METHODS,
  MIB,
  OK,
  pieceHash,
  send,
  sha256,
} from './restore_fixture.mjs';

const NO_SUCH = { err: { other: 'no such session' } };
const RANGE = { err: { range: null } };
const received = async (sample, session) => (await sample.restore_status(session))[0].received.map((r) => r.map(Number));
const stateOf = async (sample, session) => Object.keys((await sample.restore_status(session))[0].state)[0];

describe('a whole restore', () => {
  test('into an empty canister: sizes around a piece and a chunk', async () => {
    for (const size of [PAGE, MIB - PAGE, MIB, MIB + PAGE, CHUNK_MAX + PAGE, 5 * MIB]) {
      const sample = makeSample();
      const before = await sample.stable_version();
      const bytes = content(size, size);
      const session = await begin(sample, bytes);
      await send(sample, session, bytes);
      assert.deepEqual(await sample.stable_version(), before, 'begin and chunks change nothing that is seen');
      assert.equal(await sample.stable_size(), 0n);
      assert.equal(await commit(sample, session), 1);
      await assertContent(sample, bytes);
      const after = await sample.stable_version();
      assert.ok(after.version > before.version);
      assert.equal(after.size, BigInt(size));
      assert.equal(await stateOf(sample, session), 'committed');
    }
  });

  test('of nothing into nothing', async () => {
    const sample = makeSample();
    const session = await begin(sample, content(0));
    assert.deepEqual(Buffer.from(beginOf(content(0)).sha256), sha256(''));
    assert.equal(await commit(sample, session), 1);
    assert.equal(await sample.stable_size(), 0n);
  });

  test('over other bytes, twice, larger each time', async () => {
    const sample = makeSample();
    await sample.seed(3 * MIB, 7);
    for (const [size, seed] of [
      [3 * MIB, 1],
      [3 * MIB, 2],
      [3 * MIB + PAGE, 3],
      [9 * MIB, 4],
      [10 * MIB, 5],
    ]) {
      const bytes = content(size, seed);
      const session = await begin(sample, bytes);
      await send(sample, session, bytes);
      await commit(sample, session);
      await assertContent(sample, bytes);
    }
  });

  test('chunks in any order, of any alignment, overlapping and repeated', async () => {
    const sample = makeSample();
    const bytes = content(3 * MIB + PAGE, 8);
    const session = await begin(sample, bytes);
    const cuts = [0, 1, 4095, PAGE + 3, MIB - 1, MIB + 1, 2 * MIB, 2 * MIB + 77, bytes.length];
    const parts = cuts.slice(1).map((end, i) => [Math.max(0, cuts[i] - 5), end]);
    const order = [3, 0, 7, 7, 5, 1, 6, 2, 4, 0];
    for (const i of order) await send(sample, session, bytes, ...parts[i]);
    assert.deepEqual(await received(sample, session), [[0, bytes.length]]);
    await commit(sample, session);
    await assertContent(sample, bytes);
  });

  test('the last one sent counts, where chunks differ', async () => {
    const sample = makeSample();
    const bytes = content(PAGE, 1);
    const session = await begin(sample, bytes);
    await send(sample, session, content(PAGE, 2));
    assert.match((await sample.restore_commit(session)).err.corrupt, /the sha256 of the content is another/);
    await send(sample, session, bytes);
    await commit(sample, session);
    await assertContent(sample, bytes);
  });

  test('the largest chunk fits a message of the platform', () => {
    const arg = IDL.encode([Chunk], [{ session: 1n, offset: 0n, bytes: new Uint8Array(CHUNK_MAX) }]);
    assert.ok(arg.length < 2 * MIB - 4096, 'with room for the envelope');
  });
});

describe('on a base version', () => {
  test('what is not sent stays, and is zeros beyond the size', async () => {
    const sample = makeSample();
    const old = content(3 * MIB, 1);
    for (let at = 0; at < old.length; at += MIB) await sample.stable_write(at, old.subarray(at, at + MIB));
    const bytes = new Uint8Array(6 * MIB);
    bytes.set(old);
    const fresh = content(6 * MIB, 2);
    const changes = [
      [10, 20],
      [MIB - 3, MIB + 3],
      [3 * MIB - 1, 3 * MIB + 1],
      [5 * MIB + 17, 5 * MIB + PAGE],
    ];
    for (const [from, to] of changes) bytes.set(fresh.subarray(from, to), from);
    const session = await begin(sample, bytes, (await sample.stable_version()).version);
    for (const [from, to] of changes) await send(sample, session, bytes, from, to);
    assert.deepEqual(
      await received(sample, session),
      changes.map(([from, to]) => [from, to - from]),
    );
    await commit(sample, session);
    await assertContent(sample, bytes);
  });

  test('with nothing sent: the size alone', async () => {
    const sample = makeSample();
    await sample.seed(PAGE, 3);
    const bytes = new Uint8Array(2 * MIB);
    bytes.set(await sample.stable_read(0, PAGE));
    const session = await begin(sample, bytes, (await sample.stable_version()).version);
    await commit(sample, session);
    await assertContent(sample, bytes);
  });

  test('with nothing sent, of the same size: the version stays', async () => {
    const sample = makeSample();
    await sample.seed(PAGE, 3);
    const before = await sample.stable_version();
    const bytes = await sample.stable_read(0, PAGE);
    await commit(sample, await begin(sample, bytes, before.version));
    assert.deepEqual(await sample.stable_version(), before);
    await assertContent(sample, bytes);
  });

  test('another version is stale: at begin, and at commit', async () => {
    const sample = makeSample();
    await sample.seed(PAGE, 3);
    const bytes = content(PAGE);
    const now = await sample.stable_version();
    assert.deepEqual(await sample.restore_begin(beginOf(bytes, now.version - 1n)), { err: { stale: now } });
    const session = await begin(sample, bytes, now.version);
    await send(sample, session, bytes);
    await sample.stable_write(3, Uint8Array.of(1));
    const later = await sample.stable_version();
    assert.deepEqual(await sample.restore_commit(session), { err: { stale: later } });
    assert.equal(await stateOf(sample, session), 'open');
    assert.deepEqual(await sample.stable_read(3, 1), Uint8Array.of(1));
    assert.deepEqual(await sample.restore_abort(session), OK);
  });
});

describe('what is not complete or not right', () => {
  test('missing bytes are named, and can be sent', async () => {
    const sample = makeSample();
    const bytes = content(2 * MIB, 4);
    const session = await begin(sample, bytes);
    const missing = async () => (await sample.restore_commit(session)).err.corrupt;
    assert.equal(await missing(), `missing: ${2 * MIB} bytes at 0; in all ${2 * MIB} bytes`);
    await send(sample, session, bytes, PAGE, 3 * PAGE);
    assert.equal(await missing(), `missing: ${PAGE} bytes at 0; in all ${2 * MIB - 2 * PAGE} bytes`);
    await send(sample, session, bytes, 0, MIB);
    await send(sample, session, bytes, MIB + 1);
    assert.equal(await missing(), `missing: 1 bytes at ${MIB}; in all 1 bytes`);
    assert.equal(await stateOf(sample, session), 'open');
    await send(sample, session, bytes, MIB, MIB + 1);
    await commit(sample, session);
    await assertContent(sample, bytes);
  });

  test('a wrong hash, also of a piece of zeros', async () => {
    const bytes = new Uint8Array(2 * MIB);
    for (const at of [0, MIB - 1, MIB, 2 * MIB - 1]) {
      const sample = makeSample();
      const session = await begin(sample, bytes);
      const wrong = bytes.slice();
      wrong[at] = 1;
      await send(sample, session, wrong);
      assert.deepEqual(await sample.restore_commit(session), { err: { corrupt: 'the sha256 of the content is another' } });
      assert.equal(await sample.stable_size(), 0n);
      await send(sample, session, bytes, at, at + 1);
      await commit(sample, session);
      await assertContent(sample, bytes);
    }
  });

  test('too many separate ranges: said, and cured by sending what lies between', async () => {
    const sample = makeSample();
    const bytes = content(PAGE, 4);
    const session = await begin(sample, bytes);
    for (let i = 0; i < 2048; i++) await send(sample, session, bytes, 4 * i, 4 * i + 1);
    const more = { session, offset: 9000n, bytes: bytes.subarray(9000, 9001) };
    assert.match((await sample.restore_chunk(more)).err.other, /^too many separate ranges: at most 2048/);
    assert.equal((await received(sample, session)).length, 2048);
    sample.upgrade();
    await send(sample, session, bytes, 1, 8);
    assert.deepEqual(await sample.restore_chunk(more), OK);
    assert.deepEqual((await received(sample, session)).slice(0, 2), [
      [0, 9],
      [12, 1],
    ]);
    await send(sample, session, bytes);
    await commit(sample, session);
    await assertContent(sample, bytes);
  });

  test('ranges that are refused', async () => {
    const sample = makeSample();
    await sample.seed(2 * PAGE, 1);
    const request = beginOf(content(2 * PAGE));
    for (const size of [PAGE, 0, 2 * PAGE + 1, 3 * PAGE - 1]) {
      assert.deepEqual(await sample.restore_begin({ ...request, size: BigInt(size) }), RANGE, `${size}`);
    }
    const session = await begin(sample, content(2 * PAGE));
    for (const [offset, length] of [
      [2 * PAGE, 1],
      [2 * PAGE + 1, 0],
      [1, 2 * PAGE],
      [2n ** 64n - 1n, 2],
    ]) {
      const chunk = { session, offset: BigInt(offset), bytes: new Uint8Array(length) };
      assert.deepEqual(await sample.restore_chunk(chunk), RANGE, `${offset}+${length}`);
    }
    assert.deepEqual(await sample.restore_chunk({ session, offset: BigInt(2 * PAGE), bytes: new Uint8Array(0) }), OK);
    assert.deepEqual(await received(sample, session), []);
    await sample.restore_abort(session);
    const large = await begin(sample, new Uint8Array(CHUNK_MAX + PAGE));
    const chunk = { session: large, offset: 0n, bytes: new Uint8Array(CHUNK_MAX + 1) };
    assert.deepEqual(await sample.restore_chunk(chunk), RANGE);
  });

  test('what begin does not know', async () => {
    const sample = makeSample();
    const request = beginOf(content(PAGE));
    for (const target of ['', 'stable_memor', 'stable_memory2', 'heap']) {
      assert.match((await sample.restore_begin({ ...request, target })).err.other, /target/);
    }
    for (const length of [0, 31, 33]) {
      assert.match((await sample.restore_begin({ ...request, sha256: new Uint8Array(length) })).err.other, /32 bytes/);
    }
    assert.equal(await sample.stable_size(), 0n);
  });

  test('more than the memory can hold', async () => {
    const sample = makeSample();
    await sample.seed(PAGE, 1);
    const { version } = await sample.stable_version();
    const request = { ...beginOf(content(PAGE)), size: 300n * 2n ** 30n };
    assert.match((await sample.restore_begin(request)).err.other, /^out of memory/);
    for (const size of [2n ** 48n, 2n ** 63n, 2n ** 64n - 65536n]) {
      assert.match((await sample.restore_begin({ ...request, size, base_version: [version] })).err.other, /^out of memory/);
    }
    // A stage that takes no more than what is sent fits; and then it does not.
    const size = 500n * 2n ** 30n - BigInt(5 * MIB);
    const { session } = (await sample.restore_begin({ ...request, size, base_version: [version] })).ok;
    const chunk = (offset) => ({ session, offset, bytes: Uint8Array.of(1) });
    assert.deepEqual(await sample.restore_chunk(chunk(0n)), OK);
    assert.deepEqual(await sample.restore_chunk(chunk(1n)), OK);
    const three = { session, offset: BigInt(3 * MIB - 1), bytes: new Uint8Array(MIB + 2) };
    assert.match((await sample.restore_chunk(three)).err.other, /^out of memory/);
    assert.deepEqual(await received(sample, session), [[0, 2]]);
    sample.upgrade();
    assert.deepEqual(await received(sample, session), [[0, 2]]);
    assert.equal(await sample.stable_size(), BigInt(PAGE));
    assert.deepEqual(await sample.restore_abort(session), OK);
  });
});

describe('sessions', () => {
  test('the same begin again is the same session: a lost reply, a resume, an upgrade', async () => {
    const sample = makeSample();
    const bytes = content(2 * MIB, 4);
    const session = await begin(sample, bytes);
    assert.equal(await begin(sample, bytes), session);
    await send(sample, session, bytes, 0, MIB);
    assert.equal(await begin(sample, bytes), session);
    sample.upgrade();
    assert.equal(await begin(sample, bytes), session);
    assert.deepEqual(await received(sample, session), [[0, MIB]]);
    await send(sample, session, bytes, MIB);
    await commit(sample, session);
    await assertContent(sample, bytes);
    assert.notEqual(await begin(sample, bytes), session);
  });

  test('what begin answers', async () => {
    const sample = makeSample();
    const answer = await sample.restore_begin(beginOf(content(PAGE)));
    const { session, ...rest } = answer.ok;
    assert.ok(session > 0n);
    assert.deepEqual(rest, { chunk_max: BigInt(CHUNK_MAX), expires_ns: sample.env.now + HOUR_NS });
  });

  test('another begin is busy while the session is used, and replaces it an hour later', async () => {
    const sample = makeSample();
    const bytes = content(PAGE, 1);
    const session = await begin(sample, bytes);
    const { version } = await sample.stable_version();
    const others = [
      beginOf(content(PAGE, 2)),
      beginOf(content(2 * PAGE, 1)),
      beginOf(bytes, version),
      { ...beginOf(bytes), sha256: beginOf(bytes).sha256.with(31, 0) },
    ];
    for (const other of others) {
      assert.deepEqual(await sample.restore_begin(other), { err: { busy: `restore session ${session} is open` } });
    }
    for (const use of [
      () => begin(sample, bytes),
      () => send(sample, session, content(PAGE, 3)),
      async () => assert.ok((await sample.restore_commit(session)).err.corrupt),
    ]) {
      sample.env.now += HOUR_NS - 1n;
      await use();
    }
    sample.env.now += HOUR_NS - 1n;
    assert.ok((await sample.restore_begin(others[0])).err.busy);
    // Expired, but not replaced: it goes on.
    sample.env.now += 5n * HOUR_NS;
    await send(sample, session, bytes);
    sample.env.now += HOUR_NS;
    const next = await begin(sample, content(2 * PAGE, 2));
    assert.ok(next > session);
    assert.equal(await stateOf(sample, session), 'aborted');
    assert.deepEqual(await sample.restore_commit(session), { err: { other: 'the session is aborted' } });
    await send(sample, next, content(2 * PAGE, 2));
    await commit(sample, next);
    await assertContent(sample, content(2 * PAGE, 2));
  });

  test('commit and abort may be repeated for ever, and exclude each other', async () => {
    const sample = makeSample();
    const bytes = content(PAGE, 1);
    const committed = await begin(sample, bytes);
    await send(sample, committed, bytes);
    await commit(sample, committed);
    const aborted = await begin(sample, bytes);
    assert.deepEqual(await sample.restore_abort(aborted), OK);
    for (const then of [() => {}, sample.upgrade, () => (sample.env.now += 10n * HOUR_NS)]) {
      then();
      assert.deepEqual(await sample.restore_commit(committed), OK);
      assert.deepEqual(await sample.restore_abort(aborted), OK);
      assert.deepEqual(await sample.restore_abort(committed), { err: { other: 'the session is committed' } });
      assert.deepEqual(await sample.restore_commit(aborted), { err: { other: 'the session is aborted' } });
      assert.deepEqual(await sample.restore_chunk({ session: committed, offset: 0n, bytes: [1] }), {
        err: { other: 'the session is committed' },
      });
      assert.equal(await stateOf(sample, committed), 'committed');
      assert.equal(await stateOf(sample, aborted), 'aborted');
    }
    await assertContent(sample, bytes);
  });

  test('unknown ones', async () => {
    const sample = makeSample();
    for (const session of [0n, 1n, 2n ** 64n - 1n]) {
      assert.deepEqual(await sample.restore_status(session), []);
      assert.deepEqual(await sample.restore_commit(session), NO_SUCH);
      assert.deepEqual(await sample.restore_abort(session), NO_SUCH);
      assert.deepEqual(await sample.restore_chunk({ session, offset: 0n, bytes: [1] }), NO_SUCH);
    }
  });

  test('numbers never come again, and the last 64 are remembered', async () => {
    const sample = makeSample();
    const sessions = [];
    for (let i = 0; i < 66; i++) {
      sessions.push(await begin(sample, content(PAGE, i)));
      assert.deepEqual(await sample.restore_abort(sessions[i]), OK);
      if (i % 20 === 0) sample.upgrade();
      if (i === 30) sample.env.now -= HOUR_NS; // even when the clock goes back
    }
    assert.equal(new Set(sessions).size, 66);
    assert.ok(sessions.every((session, i) => i === 0 || session > sessions[i - 1]));
    assert.deepEqual(await sample.restore_status(sessions[1]), []);
    assert.deepEqual(await sample.restore_commit(sessions[0]), NO_SUCH);
    for (const session of sessions.slice(2)) assert.equal(await stateOf(sample, session), 'aborted');
  });

  test('the application comes first: growing beyond the size ends the session', async () => {
    const sample = makeSample();
    await sample.seed(PAGE, 1);
    const bytes = content(2 * PAGE, 1);
    const session = await begin(sample, bytes);
    await send(sample, session, bytes);
    await sample.stable_grow(1);
    assert.equal(await stateOf(sample, session), 'open');
    assert.deepEqual(await sample.stable_read(PAGE, PAGE), new Uint8Array(PAGE));
    await sample.stable_write(2 * PAGE + 3, Uint8Array.of(7));
    assert.deepEqual(await sample.stable_read(PAGE, 2 * PAGE), new Uint8Array(2 * PAGE).with(PAGE + 3, 7));
    assert.equal(await stateOf(sample, session), 'aborted');
    assert.deepEqual(await sample.restore_commit(session), { err: { other: 'the session is aborted' } });
    assert.deepEqual(await sample.restore_abort(session), OK);
    sample.upgrade();
    assert.equal(await stateOf(sample, session), 'aborted');
    const next = content(4 * PAGE, 2);
    const again = await begin(sample, next);
    await send(sample, again, next);
    await commit(sample, again);
    await assertContent(sample, next);
  });
});

test('the description: the methods that are there; didc writes their arguments and reads their replies', async () => {
  const didc = createRequire(import.meta.url)('@dfinity/didc');
  const idl = readFileSync(new URL('../../canisters/sample.did', import.meta.url), 'utf8');
  assert.deepEqual(didc.getServiceMethods(idl).sort(), Object.keys(METHODS).sort());
  const { engine } = makeSample();
  const ask = async (method, input) => {
    const kind = METHODS[method][2];
    const arg = didc.encode({ idl, input, withType: { kind: 'methodParams', name: method } });
    const reply = await call(engine, kind, method, new Uint8Array(Buffer.from(arg, 'hex')));
    const answer = Buffer.from(reply).toString('hex');
    const text = didc.decode({ idl, serviceMethod: method, input: answer, targetFormat: 'candid' });
    return text.replaceAll(/[\s_;]+/g, ' ').replaceAll(/ : nat64/g, '');
  };
  const blob = [...pieceHash(content(PAGE))].map((byte) => `\\${byte.toString(16).padStart(2, '0')}`).join('');
  const fields = `target = "stable_memory"; size = 65536; sha256 = blob "${blob}"`;
  const request = (base) => `(record { ${fields}; base_version = ${base} })`;
  assert.match(await ask('restore_begin', request('opt 5')), /variant \{ err = variant \{ stale = record \{/);
  const begun = await ask('restore_begin', request('null'));
  const session = /session = (\d+(?: \d+)*)/.exec(begun)[1].replaceAll(' ', '');
  assert.match(begun, /variant \{ ok = record \{.*chunk max = 2 031 616/);
  const chunk = `(record { session = ${session}; offset = 5; bytes = blob "abc" })`;
  assert.match(await ask('restore_chunk', chunk), /\(variant \{ ok \}\)/);
  assert.match(await ask('restore_status', `(${session})`), /opt record \{.*received = vec \{ record \{ 5 3 \} ?\}/);
  assert.match(await ask('restore_commit', `(${session})`), /err = variant \{ corrupt = "missing: 5 bytes at 0/);
  assert.match(await ask('restore_abort', `(${session})`), /variant \{ ok \}/);
  assert.match(await ask('restore_status', `(${session})`), /state = variant \{ aborted \}/);
  assert.match(await ask('restore_status', '(5)'), /\( ?null/);
  const paused = await ask('maintenance_pause', '(record { ttl_s = 5; reason = "x" })');
  assert.match(paused, /ok = record \{ (version|lease) = /);
  assert.match(await ask('maintenance_status', '()'), /paused = true/);
  assert.match(await ask('maintenance_pause', '(record { ttl_s = 5; reason = "y" })'), /err = variant \{ busy = "lease/);
});

describe('who may', () => {
  test('strangers are denied before anything is looked at', async () => {
    const sample = makeSample();
    const session = await begin(sample, content(PAGE));
    const stranger = bind(sample.engine, STRANGER);
    const DENIED = { err: { denied: null } };
    assert.deepEqual(await stranger.restore_begin(beginOf(content(PAGE))), DENIED);
    assert.deepEqual(await stranger.restore_chunk({ session, offset: 0n, bytes: [1] }), DENIED);
    assert.deepEqual(await stranger.restore_commit(session), DENIED);
    assert.deepEqual(await stranger.restore_abort(session), DENIED);
    await rejects(stranger.restore_status(session), 'IC0406', /^denied: /);
    const garbage = Uint8Array.of(1, 2, 3);
    assert.deepEqual(
      IDL.decode(METHODS.restore_commit[1], await call(sample.engine, 'update', 'restore_commit', garbage, STRANGER)),
      [DENIED],
    );
    assert.deepEqual(await received(sample, session), []);
  });
});

describe('arguments', () => {
  const bad = /argument: /;
  const { Nat64, Text, Vec, Nat8, Opt, Record, Null, Nat } = IDL;
  const Blob = Vec(Nat8);
  const BEGIN = { target: Text, size: Nat64, sha256: Blob, base_version: Opt(Nat64) };
  const encode = (fields, values) => new Uint8Array(IDL.encode([Record(fields)], [values]));
  const answer = async (sample, arg) =>
    IDL.decode(METHODS.restore_begin[1], await call(sample.engine, 'update', 'restore_begin', arg))[0];

  test('cut short at every byte', async () => {
    const sample = makeSample();
    const begins = new Uint8Array(IDL.encode(METHODS.restore_begin[0], [beginOf(content(PAGE), 5n)]));
    const chunks = new Uint8Array(IDL.encode([Chunk], [{ session: 1n, offset: 0n, bytes: [1, 2, 3] }]));
    const pauses = new Uint8Array(IDL.encode(METHODS.maintenance_pause[0], [{ ttl_s: 5, reason: 'ä' }]));
    const all = { restore_begin: begins, restore_chunk: chunks, maintenance_pause: pauses };
    for (const [method, arg] of Object.entries(all)) {
      for (let length = 0; length < arg.length; length++) {
        await rejects(call(sample.engine, 'update', method, arg.slice(0, length)), 'IC0503', bad);
      }
    }
    for (const method of ['restore_commit', 'restore_abort', 'maintenance_renew', 'maintenance_resume']) {
      await rejects(call(sample.engine, 'update', method, Buffer.from('DIDL\0\0')), 'IC0503', bad);
    }
    await rejects(call(sample.engine, 'query', 'restore_status', Buffer.from('DIDL\0\0')), 'IC0503', bad);
  });

  test('fields that are missing, of other types, or no record at all', async () => {
    const sample = makeSample();
    const values = beginOf(content(PAGE));
    for (const [name, types] of Object.entries({
      target: [undefined, Blob, Nat64],
      size: [undefined, Nat, Text],
      sha256: [undefined, Text, Vec(Nat64)],
      base_version: [Text, Opt(Text)],
    })) {
      const samples = new Map([
        [Blob, [1]],
        [Nat64, 1n],
        [Nat, 1n],
        [Text, 'x'],
      ]);
      for (const type of types) {
        const { [name]: _, ...rest } = BEGIN;
        const fields = type === undefined ? rest : { ...rest, [name]: type };
        const value = samples.get(type) ?? (type?.display().startsWith('opt') ? ['x'] : [1n]);
        await rejects(answer(sample, encode(fields, { ...values, [name]: value })), 'IC0503', bad);
      }
    }
    const number = new Uint8Array(IDL.encode([Nat64], [1n]));
    await rejects(call(sample.engine, 'update', 'restore_begin', number), 'IC0503', bad);
    await rejects(call(sample.engine, 'update', 'restore_commit', encode({ a: Nat64 }, { a: 1n })), 'IC0503', bad);
  });

  test('subtypes: base_version left out, null or bare; fields of a later version are skipped', async () => {
    const values = beginOf(content(PAGE));
    const { base_version: _, ...rest } = BEGIN;
    assert.ok((await answer(makeSample(), encode(rest, values))).ok);
    assert.ok((await answer(makeSample(), encode({ ...rest, base_version: Null }, { ...values, base_version: null }))).ok);
    const bare = encode({ ...rest, base_version: Nat64 }, { ...values, base_version: 1n });
    assert.ok((await answer(makeSample(), bare)).err.stale);
    const Later = Record({
      n: Nat,
      i: IDL.Int,
      f: IDL.Float64,
      b: IDL.Bool,
      t: Text,
      p: IDL.Principal,
      small: IDL.Int8,
      wide: IDL.Int64,
      o: Opt(Vec(IDL.Nat16)),
      blob: Blob,
      v: IDL.Variant({ x: Null, y: Vec(Text) }),
      r: IDL.Reserved,
    });
    const later = {
      ...{ n: 2n ** 80n, i: -5n, f: 1.5, b: true, t: 'ä', p: Principal.anonymous() },
      ...{ small: -1, wide: -1n, o: [[1, 2, 3]], blob: new Uint8Array(9000), v: { y: ['a', 'b'] }, r: 'anything' },
    };
    for (const name of ['aaaa', 'zzzz', 'later', 'x']) {
      const arg = encode({ ...BEGIN, [name]: Later }, { ...values, [name]: later });
      assert.ok((await answer(makeSample(), arg)).ok, name);
    }
  });

  test('changed at random: an answer, or a refusal in words', async () => {
    const sample = makeSample();
    const later = { ...BEGIN, later: Record({ a: Opt(Vec(Text)), b: IDL.Variant({ x: Nat, y: Blob }) }) };
    const value = { ...beginOf(content(PAGE), 5n), later: { a: [['x', 'y']], b: { y: [1, 2] } } };
    const good = encode(later, value);
    let [state, answered, refused] = [1, 0, 0];
    const pick = (below) => (state = (Math.imul(state, 1103515245) + 12345) >>> 0) % below;
    for (let i = 0; i < 3000; i++) {
      const bad = good.slice(0, pick(4) === 0 ? pick(good.length) : good.length);
      for (let changes = 1 + pick(3); changes > 0; changes--) bad[pick(bad.length)] = pick(256);
      try {
        await answer(sample, bad);
        answered++;
      } catch (error) {
        assert.equal(error.errorCode, 'IC0503');
        assert.match(error.message, /message: argument: /);
        refused++;
      }
    }
    assert.ok(answered > 100 && refused > 100, `${answered} answered, ${refused} refused`);
  });

  test('fields that are made to take long or deep are refused', async () => {
    const sample = makeSample();
    // record { 1 : T }, where T is entry 0
    const head = (entry) => [...Buffer.from('DIDL'), 2, ...entry, 0x6c, 1, 1, 0, 1, 1];
    const deep = new Uint8Array(9000).fill(1);
    for (const [what, arg] of Object.entries({
      'vec null of 2^60': [...head([0x6d, 0x7f]), 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10],
      'a vec of itself': [...head([0x6d, 0]), ...deep],
      'an opt of itself': [...head([0x6e, 0]), ...deep],
      'a record of itself': head([0x6c, 1, 0, 0]),
      'a variant of itself': [...head([0x6b, 2, 0, 0, 1, 0]), ...deep],
    })) {
      const refused = call(sample.engine, 'update', 'restore_begin', Uint8Array.from(arg));
      await assert.doesNotReject(rejects(refused, 'IC0503', /argument: an unknown field holds too much/), what);
    }
  });
});
