// The staged restore and the maintenance lease of tests/canisters/motoko.mo, by @icp-sdk/core.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { Actor, HttpAgent } from '@icp-sdk/core/agent';
import { IDL } from '@icp-sdk/core/candid';
import { Ed25519KeyIdentity } from '@icp-sdk/core/identity';
import { MAINTENANCE, RESTORE, Version } from '../../mount/convention.mjs';
import { createCanister, installCode, moduleOf, upgradeCode } from '../../mount/install.mjs';
import { network } from './wire_fixture.mjs';

const { Nat8, Nat64, Vec } = IDL;
const Blob = Vec(Nat8);
const PAGE = 65_536;
const MIB = 2 ** 20;
const CHUNK_MAX = 31n * 65_536n;
const HOUR_MS = 3_600_000;

const net = await network();
const agentOf = (identity) =>
  HttpAgent.create({ host: net.url, identity, rootKey: net.rootKeyDer, verifyQuerySignatures: true, retryTimes: 0 });
const owner = await agentOf(Ed25519KeyIdentity.generate(new Uint8Array(32).fill(9)));
const anonymous = await agentOf(undefined);
const module = moduleOf('motoko');
const principal = await createCanister(owner);

const service = () =>
  IDL.Service({
    ...RESTORE,
    ...MAINTENANCE,
    stable_size: IDL.Func([], [Nat64], ['query']),
    stable_version: IDL.Func([], [Version], ['query']),
    stable_read: IDL.Func([Nat64, Nat64], [Blob], ['query']),
    stable_write: IDL.Func([Nat64, Blob], [], []),
    restore_step: IDL.Func([Nat64], [], []),
    work: IDL.Func([Nat64], [], []),
  });
const actorOf = (agent) => Actor.createActor(service, { agent, canisterId: principal });
const actor = actorOf(owner);
const stranger = actorOf(anonymous);

const install = () => installCode(owner, principal, module);
const upgrade = () => upgradeCode(owner, principal, module, { keepMemory: true });
// The network's clock runs ahead by this, and the clients know.
async function skew(skewMs) {
  net.setOptions({ skewMs });
  for (const agent of [owner, anonymous]) await agent.syncTime(principal);
}
const sha256 = (...parts) => parts.reduce((h, part) => h.update(part), createHash('sha256')).digest();

/** The hash of a restore: of the hashes of the content's pieces. */
function hashOf(content) {
  const pieces = [];
  for (let at = 0; at < content.length; at += MIB) pieces.push(sha256(content.subarray(at, at + MIB)));
  return new Uint8Array(sha256(...pieces));
}

const request = (content, base = []) => ({ target: 'stable_memory', size: BigInt(content.length), sha256: hashOf(content), base_version: base });
const ok = ({ ok: value, ...other }) => (assert.deepEqual(other, {}), value);
const begin = async (content, base) => ok(await actor.restore_begin(request(content, base))).session;
const put = (session, content, offset, length) =>
  actor.restore_chunk({ session, offset: BigInt(offset), bytes: new Uint8Array(content.subarray(offset, offset + length)) });

async function commit(session) {
  for (let more = 0; ; more++) {
    const reply = await actor.restore_commit(session);
    if (!('more' in reply)) return { reply, more };
  }
}

async function content() {
  const size = Number(await stranger.stable_size());
  const parts = [];
  for (let at = 0; at < size; at += MIB) parts.push(await stranger.stable_read(BigInt(at), BigInt(Math.min(MIB, size - at))));
  return Buffer.concat(parts);
}

const same = (got, want) => assert.deepEqual([got.length, sha256(got).toString('hex')], [want.length, sha256(want).toString('hex')]);
const OK = { ok: null };
const other = (words) => ({ err: { other: words } });

test('a whole content: chunks in any order, some twice, and readers see the old one until the commit', async () => {
  await install();
  const old = randomBytes(100);
  await actor.stable_write(0n, old);
  const { version } = await stranger.stable_version();
  const all = randomBytes(50 * PAGE);
  const begun = ok(await actor.restore_begin(request(all)));
  assert.equal(begun.chunk_max, CHUNK_MAX);
  assert.ok(begun.expires_ns > BigInt(Date.now() + HOUR_MS - 60_000) * 1_000_000n);
  const { session } = begun;
  assert.deepEqual(await actor.restore_status(session), [{ received: [], size: BigInt(all.length), state: { open: null } }]);
  assert.deepEqual(await Promise.all([put(session, all, 1_300_000, 1_500_000), put(session, all, 700_001, 3)]), [OK, OK]);
  assert.deepEqual((await actor.restore_status(session))[0].received, [[700_001n, 3n], [1_300_000n, 1_500_000n]]);
  const missing = all.length - 1_500_003;
  assert.deepEqual(await actor.restore_commit(session), { err: { corrupt: `missing: 700001 bytes at 0; in all ${missing} bytes` } });
  await put(session, all, 0, 1_300_000);
  await put(session, all, 2_800_000, all.length);
  await put(session, all, 500_000, 1_000_000);
  assert.deepEqual((await actor.restore_status(session))[0].received, [[0n, BigInt(all.length)]]);
  same(await content(), old);
  assert.equal((await stranger.stable_version()).version, version);
  assert.deepEqual(await commit(session), { reply: OK, more: 0 });
  same(await content(), all);
  const after = await stranger.stable_version();
  assert.ok(after.version > version && after.size === BigInt(all.length));
  for (let i = 0; i < 2; i++) assert.deepEqual(await actor.restore_commit(session), OK);
  assert.equal((await stranger.stable_version()).version, after.version);
  assert.deepEqual(await actor.restore_status(session), [{ received: [], size: BigInt(all.length), state: { committed: null } }]);
  assert.deepEqual(await put(session, all, 0, 1), other('the session is committed'));
  assert.deepEqual(await actor.restore_abort(session), other('the session is committed'));
});

test('on a version, with nothing sent: the version moves when the size does, else not', async () => {
  await install();
  const old = randomBytes(2 * PAGE);
  await actor.stable_write(0n, old);
  const before = await stranger.stable_version();
  assert.deepEqual(await commit(await begin(old, [before.version])), { reply: OK, more: 0 });
  assert.deepEqual(await stranger.stable_version(), before);
  same(await content(), old);
  const longer = Buffer.concat([old, Buffer.alloc(PAGE)]);
  assert.deepEqual(await commit(await begin(longer, [before.version])), { reply: OK, more: 0 });
  assert.ok((await stranger.stable_version()).version > before.version);
  same(await content(), longer);
});

test('on a version: what is not sent stays, and is zeros beyond the end', async () => {
  await install();
  // An aborted session leaves its bytes in the stage: none of them may come through.
  const dirt = await begin(Buffer.alloc(60 * PAGE, 0xdd));
  for (let at = 0; at < 60 * PAGE; at += 20 * PAGE) await put(dirt, Buffer.alloc(60 * PAGE, 0xdd), at, 20 * PAGE);
  await actor.restore_abort(dirt);
  const old = randomBytes(20 * PAGE + 77);
  await actor.stable_write(0n, old);
  const { version } = await stranger.stable_version();
  const want = Buffer.concat([old, Buffer.alloc(50 * PAGE - old.length)]);
  want.fill('sent', 100_000, 200_000);
  want.fill('sent', old.length - 5, old.length + 5);
  want.fill('sent', 45 * PAGE, 45 * PAGE + 1);
  const session = await begin(want, [version]);
  for (const [at, length] of [[45 * PAGE, 1], [old.length - 5, 10], [100_000, 100_000]]) assert.deepEqual(await put(session, want, at, length), OK);
  assert.deepEqual((await commit(session)).reply, OK);
  same(await content(), want);

  // Nothing sent at all; and the region that was live before is the stage now.
  const next = await stranger.stable_version();
  const longer = Buffer.concat([want, Buffer.alloc(10 * PAGE)]);
  assert.deepEqual((await commit(await begin(longer, [next.version]))).reply, OK);
  same(await content(), longer);

  // Beyond the end there is dirt in the live region, too, but nobody reads it.
  await actor.stable_write(BigInt(longer.length + 100), Uint8Array.of(1));
  same(await content(), Buffer.concat([longer, Buffer.alloc(100), Buffer.of(1)]));
});

test('another version is stale, whenever it comes', async () => {
  await install();
  for (const at of [0n, BigInt(MIB)]) await actor.stable_write(at, randomBytes(MIB));
  await actor.restore_step(BigInt(MIB));
  const { version } = await stranger.stable_version();
  const want = Buffer.alloc(4 * MIB, 1);
  assert.deepEqual(Object.keys((await actor.restore_begin(request(want, [version - 1n]))).err), ['stale']);
  const session = await begin(want, [version]);
  await put(session, want, 0, 1_900_000);
  assert.deepEqual(Object.keys(await actor.restore_commit(session)), ['more']);
  await actor.stable_write(5n, Uint8Array.of(7));
  const present = await stranger.stable_version();
  assert.deepEqual(await actor.restore_commit(session), { err: { stale: present } });
  const before = await content();
  assert.deepEqual(await actor.restore_commit(session), { err: { stale: present } });
  assert.equal(await begin(want, [version]), session, 'still the same one');
  assert.deepEqual(await actor.restore_abort(session), OK);
  same(await content(), before);
});

test('steps: progress, a chunk between them, two that commit at once, an upgrade', async () => {
  await install();
  await actor.restore_step(BigInt(MIB));
  const want = randomBytes(3 * MIB);
  const session = await begin(want);
  const wrong = Buffer.from(want);
  wrong[MIB + 9] ^= 1;
  for (let at = 0; at < want.length; at += Number(CHUNK_MAX)) await put(session, wrong, at, Number(CHUNK_MAX));
  await upgrade();
  const { reply, more } = await commit(session);
  assert.deepEqual(reply, { err: { corrupt: 'the sha256 of the content is another' } });
  assert.equal(more, 2, 'the third step is the last');
  assert.deepEqual((await actor.restore_status(session))[0].state, { open: null });
  assert.equal(await stranger.stable_size(), 0n);

  // What was right when it was hashed is made wrong, and right again.
  await put(session, want, MIB + 9, 1);
  for (let i = 0; i < 2; i++) assert.deepEqual(Object.keys(await actor.restore_commit(session)), ['more']);
  await put(session, wrong, MIB + 9, 1);
  const { more: half } = await actor.restore_commit(session);
  assert.ok(half.done < half.total && half.total === BigInt(2 * want.length), `${half.done} of ${half.total}`);
  assert.match((await commit(session)).reply.err.corrupt, /another/);
  await put(session, want, MIB + 9, 1);
  assert.deepEqual(Object.keys(await actor.restore_commit(session)), ['more']);
  await upgrade();
  const both = await Promise.all([commit(session), commit(session)]);
  assert.deepEqual(both.map((one) => one.reply), [OK, OK]);
  same(await content(), want);
  await upgrade();
  assert.deepEqual(await actor.restore_commit(session), OK);
  assert.deepEqual((await actor.restore_status(session))[0].state, { committed: null });
});

test('sessions: one at a time, the same one again, numbers that never come again, expiry', async () => {
  await install();
  const [one, two] = [randomBytes(PAGE), randomBytes(PAGE)];
  const first = await begin(one);
  await put(first, one, 0, 100);
  assert.equal(await begin(one), first, 'a lost reply');
  assert.deepEqual((await actor.restore_status(first))[0].received, [[0n, 100n]]);
  const busy = { err: { busy: `session ${first} is open` } };
  assert.deepEqual(await actor.restore_begin(request(two)), busy);
  const { version } = await stranger.stable_version();
  assert.deepEqual(await actor.restore_begin(request(one, [version])), busy);
  await upgrade();
  assert.equal(await begin(one), first);
  for (let i = 0; i < 2; i++) assert.deepEqual(await actor.restore_abort(first), OK);
  assert.deepEqual(await actor.restore_commit(first), other('the session is aborted'));
  assert.deepEqual(await put(first, one, 0, 1), other('the session is aborted'));
  assert.deepEqual((await actor.restore_status(first))[0].state, { aborted: null });
  const second = await begin(one);
  assert.ok(second > first);
  await skew(HOUR_MS - 60_000);
  await put(second, one, 0, 1); // activity
  await skew(HOUR_MS + 60_000);
  assert.deepEqual(Object.keys((await actor.restore_begin(request(two))).err), ['busy']);
  await skew(2 * HOUR_MS + 120_000);
  const third = await begin(two);
  assert.ok(third > second);
  assert.deepEqual((await actor.restore_status(second))[0].state, { aborted: null });
  await skew(0);
  assert.deepEqual(await actor.restore_status(0n), []);
  assert.deepEqual(await actor.restore_commit(12n), other('no such session'));
  assert.deepEqual(await actor.restore_abort(12n), other('no such session'));
  await actor.restore_abort(third);
  // Without the client, for time.
  const caller = (await owner.getPrincipal()).toUint8Array();
  const call = async (method, value) => {
    const { argTypes, retTypes } = RESTORE[method];
    const reply = await net.callAs(caller, principal.toUint8Array(), method, new Uint8Array(IDL.encode(argTypes, [value])));
    return IDL.decode(retTypes, reply)[0];
  };
  for (let i = 0; i < 65; i++) assert.deepEqual(await call('restore_abort', ok(await call('restore_begin', request(one))).session), OK);
  assert.deepEqual(await actor.restore_status(first), [], 'outcomes are remembered for 64 sessions');
});

test('what is refused', async () => {
  await install();
  await actor.stable_write(0n, randomBytes(PAGE + 1));
  const all = randomBytes(2 * PAGE);
  const good = request(all);
  const tried = async (change) => (await actor.restore_begin({ ...good, ...change })).err;
  assert.deepEqual(await tried({ target: 'heap' }), { other: 'the only target here is stable_memory' });
  assert.deepEqual(await tried({ sha256: new Uint8Array(31) }), { other: 'sha256 has 32 bytes' });
  for (const size of [0n, BigInt(PAGE)]) assert.deepEqual(await tried({ size }), { range: null }, `${size}`);
  for (const size of [2n ** 50n, 2n ** 64n - 1n]) assert.match((await tried({ size })).other, /^out of memory/);
  assert.equal((await stranger.stable_read(BigInt(PAGE + 1), 0n)).length, 0);
  await assert.rejects(stranger.stable_read(BigInt(PAGE + 1), 1n), /not within the size/);
  const session = await begin(all);
  const chunk = async (offset, bytes) => (await actor.restore_chunk({ session, offset, bytes })).err;
  for (const [offset, length] of [[2n * 65_536n, 1], [131_071n, 2], [2n ** 64n - 1n, 2], [0n, 131_073]])
    assert.deepEqual(await chunk(offset, new Uint8Array(length)), { range: null });
  assert.deepEqual(await actor.restore_chunk({ session, offset: 0n, bytes: [] }), OK);
  const denied = { err: { denied: null } };
  assert.deepEqual(await stranger.restore_begin(good), denied);
  assert.deepEqual(await stranger.restore_chunk({ session, offset: 0n, bytes: [1] }), denied);
  assert.deepEqual(await stranger.restore_commit(session), denied);
  assert.deepEqual(await stranger.restore_abort(session), denied);
  for (const refused of [stranger.restore_status(session), stranger.maintenance_status()]) await assert.rejects(refused, /denied: /);

  // Data that became longer than the session cannot be cut.
  await actor.stable_write(BigInt(2 * PAGE), Uint8Array.of(1));
  assert.deepEqual((await actor.restore_status(session))[0].state, { aborted: null });
  assert.deepEqual(await put(session, all, 0, 10), other('the session is aborted'));
  assert.equal(await stranger.stable_size(), BigInt(2 * PAGE + 1));
});

test('maintenance: updates that began before go on and are counted; nobody begins one', async () => {
  await install();
  const status = () => actor.maintenance_status();
  let isOver = false;
  const pending = actor.work(200n).finally(() => (isOver = true));
  while ((await status()).in_flight === 0n) assert.equal(isOver, false);
  const { lease, version } = ok(await actor.maintenance_pause({ ttl_s: 60, reason: 'a backup' }));
  assert.ok(version > 0n);
  await assert.rejects(actor.work(1n), /in maintenance: a backup\n.*IC0503/);
  await pending;
  const after = await status();
  assert.deepEqual([after.paused, after.in_flight], [true, 0n]);
  same(await content(), Buffer.alloc(200, '.'));
  const all = randomBytes(PAGE);
  const session = await begin(all);
  await put(session, all, 0, PAGE);
  assert.deepEqual((await commit(session)).reply, OK);
  await upgrade();
  assert.equal((await status()).paused, true, 'a lease survives an upgrade');
  assert.deepEqual(await actor.maintenance_resume(lease), OK);
  await actor.work(1n);
  same((await content()).subarray(0, 2), Buffer.concat([Buffer.from('.'), all.subarray(1, 2)]));
  await assert.rejects(stranger.work(1n), /denied/);

  // One that traps on its way is in flight no more.
  await assert.rejects(actor.work(201n), /work: too long\n.*IC0503/);
  assert.equal((await status()).in_flight, 0n);
});
