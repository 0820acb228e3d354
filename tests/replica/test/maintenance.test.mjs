// The sample's maintenance lease: on the engine what each method answers, on the network updates in flight, and a whole
// restore, with lost replies, by DFINITY's client.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Actor, HttpAgent } from '@icp-sdk/core/agent';
import { IDL } from '@icp-sdk/core/candid';
import { Ed25519KeyIdentity } from '@icp-sdk/core/identity';
import { Principal } from '@icp-sdk/core/principal';
import { install, installCode } from '../demo.mjs';
import { Faults } from '../faults.mjs';
import { buildCanisters, rejects, STRANGER } from './engine_fixture.mjs';
import {
  begin,
  beginOf,
  bind,
  CHUNK_MAX,
  commit,
  content,
  makeSample,
  METHODS,
  MIB,
  OK,
  pieceHash,
  send,
  sha256,
} from './restore_fixture.mjs';
import { network } from './wire_fixture.mjs';

const SECOND = 1_000_000_000n;
const LOST = { err: { other: 'no such lease' } };
const pauseFor = (sample, ttl, reason = 'a backup') => sample.maintenance_pause({ ttl_s: ttl, reason });
const NOT_PAUSED = { paused: false, lease_expires_ns: 0n, in_flight: 0n };

describe('the lease', () => {
  test('pause, and resume, as often as one likes', async () => {
    const sample = makeSample();
    assert.deepEqual(await sample.maintenance_status(), NOT_PAUSED);
    const { lease, version } = (await pauseFor(sample, 30)).ok;
    assert.equal(version, (await sample.stable_version()).version);
    const expires = sample.env.now + 30n * SECOND;
    assert.deepEqual(await sample.maintenance_status(), { paused: true, lease_expires_ns: expires, in_flight: 0n });
    assert.deepEqual(await pauseFor(sample, 30), { err: { busy: `lease ${lease}: a backup` } });
    assert.deepEqual(await sample.maintenance_resume(lease + 1n), LOST);
    assert.equal((await sample.maintenance_status()).paused, true);
    for (let i = 0; i < 3; i++) assert.deepEqual(await sample.maintenance_resume(lease), OK);
    assert.deepEqual(await sample.maintenance_status(), NOT_PAUSED);
    assert.deepEqual(await sample.maintenance_renew(lease), LOST);
    const next = (await pauseFor(sample, 30)).ok.lease;
    assert.ok(next > lease);
    assert.deepEqual(await sample.maintenance_resume(lease), LOST);
    assert.equal((await sample.maintenance_status()).paused, true);
  });

  test('it ends by itself; renewing counts from now', async () => {
    const sample = makeSample();
    const { lease } = (await pauseFor(sample, 10)).ok;
    for (let i = 0; i < 3; i++) {
      sample.env.now += 10n * SECOND - 1n;
      assert.deepEqual(await sample.maintenance_renew(lease), OK);
      assert.equal((await sample.maintenance_status()).lease_expires_ns, sample.env.now + 10n * SECOND);
    }
    await rejects(sample.seed(8, 1), 'IC0503', /in maintenance: a backup$/);
    sample.env.now += 10n * SECOND;
    assert.deepEqual(await sample.maintenance_status(), NOT_PAUSED);
    assert.deepEqual(await sample.maintenance_renew(lease), LOST);
    await sample.seed(8, 1);
    assert.deepEqual(await sample.maintenance_resume(lease), OK);
    assert.ok((await pauseFor(sample, 10)).ok.lease > lease);
  });

  test('what is refused while paused, and what is not', async () => {
    const sample = makeSample();
    await sample.seed(65536, 1);
    const { lease } = (await pauseFor(sample, 3600, 'Wartung für Zürich')).ok;
    await rejects(sample.seed(8, 1), 'IC0503', /in maintenance: Wartung für Zürich$/);
    await rejects(sample.work(1), 'IC0503', /in maintenance/);
    await sample.stable_write(0, Uint8Array.of(1));
    await sample.stable_grow(1);
    await sample.stable_read(0, 1);
    const bytes = content(131072);
    const session = await begin(sample, bytes);
    await send(sample, session, bytes);
    await commit(sample, session);
    assert.deepEqual(await sample.restore_abort(await begin(sample, bytes)), OK);
    assert.deepEqual(await sample.maintenance_resume(lease), OK);
    await sample.seed(8, 1);
  });

  test('an upgrade ends it, and its number does not come again', async () => {
    const sample = makeSample();
    const { lease } = (await pauseFor(sample, 3600)).ok;
    sample.upgrade();
    assert.deepEqual(await sample.maintenance_renew(lease), LOST);
    assert.deepEqual(await sample.maintenance_resume(lease), LOST);
    await sample.seed(8, 1);
    assert.ok((await pauseFor(sample, 1)).ok.lease > lease);
  });

  test('a time that is no time, a long reason, unknown leases', async () => {
    const sample = makeSample();
    for (const ttl of [0, 3601, 2 ** 32 - 1]) assert.deepEqual(await pauseFor(sample, ttl), { err: { range: null } });
    for (const lease of [0n, 1n, 2n ** 64n - 1n]) {
      assert.deepEqual(await sample.maintenance_renew(lease), LOST);
      assert.deepEqual(await sample.maintenance_resume(lease), LOST);
    }
    await pauseFor(sample, 5, 'ü'.repeat(1000)); // cut, between characters
    await rejects(sample.seed(8, 1), 'IC0503', /in maintenance: ü{92}$/);
    assert.match((await pauseFor(sample, 5)).err.busy, /^lease \d+: ü+$/);
    await rejects(pauseFor(makeSample(), 5, 'x'.repeat(5000)), 'IC0503', /argument/);
  });

  test('for controllers', async () => {
    const stranger = bind(makeSample().engine, STRANGER);
    const DENIED = { err: { denied: null } };
    assert.deepEqual(await pauseFor(stranger, 5), DENIED);
    assert.deepEqual(await stranger.maintenance_renew(1), DENIED);
    assert.deepEqual(await stranger.maintenance_resume(1), DENIED);
    await rejects(stranger.maintenance_status(), 'IC0406', /^denied/);
    await rejects(stranger.work(1), 'IC0406', /^denied/);
  });
});

// --- on the network ---

const faults = new Faults();
const net = await network({ faults });
const build = buildCanisters();
const identity = Ed25519KeyIdentity.generate(new Uint8Array(32).fill(12));
const owner = identity.getPrincipal().toUint8Array();
const makeAgent = (retryTimes) =>
  HttpAgent.create({ host: net.url, identity, rootKey: net.rootKeyDer, verifyQuerySignatures: true, retryTimes });
const agent = await makeAgent(0);
const service = ({ IDL }) =>
  IDL.Service(
    Object.fromEntries(
      Object.entries(METHODS).map(([name, [args, results, kind]]) => [
        name,
        IDL.Func(args, results, kind === 'query' ? ['query'] : []),
      ]),
    ),
  );

async function installed(name = 'sample') {
  const id = await install(net, owner, build(name));
  return { id, actor: Actor.createActor(service, { agent, canisterId: Principal.fromUint8Array(id) }) };
}

async function until(condition) {
  for (let i = 0; i < 2000; i++) {
    if (await condition()) return;
    await delay(5);
  }
  assert.fail('it did not come to that');
}

describe('in flight', () => {
  const counted = async (actor) => Buffer.from(await actor.stable_read(0n, 8n)).readBigUInt64LE();
  const inFlight = async (actor) => (await actor.maintenance_status()).in_flight;

  test('what began before the pause goes on until it is done; nothing begins', async () => {
    const { actor } = await installed();
    const works = [actor.work(1000n), actor.work(700n)];
    await until(async () => (await inFlight(actor)) === 2n);
    const { lease, version } = (await actor.maintenance_pause({ ttl_s: 60, reason: 'test' })).ok;
    await assert.rejects(actor.work(1n), /in maintenance: test/);
    assert.ok((await inFlight(actor)) > 0n, 'the pause does not end them');
    await Promise.all(works);
    assert.equal(await inFlight(actor), 0n);
    assert.equal(await counted(actor), 1700n);
    assert.ok((await actor.stable_version()).version > version);
    await actor.maintenance_resume(lease);
    await actor.work(5n);
    assert.equal(await counted(actor), 1705n);
  });

  test('no rounds at all; and more works than there is room for', async () => {
    const { actor } = await installed();
    await actor.work(0n);
    assert.equal(await inFlight(actor), 0n);
    const works = Array.from({ length: 16 }, () => actor.work(150n));
    await until(async () => (await inFlight(actor)) === 16n);
    await assert.rejects(actor.work(1n), /too many in flight/);
    assert.equal(await inFlight(actor), 16n);
    await Promise.all(works);
    assert.deepEqual([await inFlight(actor), await counted(actor)], [0n, 2400n]);
  });

  test('a work whose callback traps is not in flight any more', async () => {
    const { actor } = await installed('sample_steps');
    const bytes = content(9 * MIB, 3);
    const session = await begin(actor, bytes);
    await send(actor, session, bytes);
    for (let i = 0; i < 5; i++) assert.ok((await actor.restore_commit(session)).more);
    const work = actor.work(100_000n);
    work.catch(() => {});
    await until(async () => (await inFlight(actor)) === 1n);
    assert.ok((await actor.restore_commit(session)).more); // begins to apply: writes are refused from here on
    await assert.rejects(work, /busy: a restore is being applied/);
    assert.equal(await inFlight(actor), 0n);
    await commit(actor, session);
    assert.deepEqual(Buffer.from(await actor.stable_read(0n, 64n)), Buffer.from(bytes.subarray(0, 64)));
  });
});

describe('a restore by the client', () => {
  test('eight chunks at once, replies lost, an upgrade in the middle', async () => {
    const { id, actor } = await installed('sample_steps');
    const bytes = content(9 * MIB, 4);
    const { session, chunk_max: max } = (await actor.restore_begin(beginOf(bytes))).ok;
    assert.equal(max, BigInt(CHUNK_MAX));
    faults.replace([{ kind: 'lost_reply', endpoint: 'call', nth: 2 }, { kind: 'lost_reply', endpoint: 'call', nth: 9 }]);
    const again = async (make) => {
      for (;;) {
        try {
          return await make();
        } catch (error) {
          assert.match(String(error), /fetch|socket|network/i);
        }
      }
    };
    try {
      const offsets = Array.from({ length: Math.ceil(bytes.length / MIB) }, (_, i) => i * MIB);
      await Promise.all(
        offsets.map((at) =>
          again(() => actor.restore_chunk({ session, offset: BigInt(at), bytes: bytes.subarray(at, at + MIB) })),
        ),
      );
      assert.deepEqual((await actor.restore_status(session))[0].received, [[0n, BigInt(bytes.length)]]);
      let calls = 0;
      for (let done = false; !done; calls++) {
        if (calls === 7) await installCode(net, owner, id, build('sample_steps'), { upgrade: [] });
        done = 'ok' in (await again(() => actor.restore_commit(session)));
      }
      assert.ok(calls >= 10, String(calls));
    } finally {
      faults.replace([]);
    }
    assert.deepEqual(await actor.restore_commit(session), OK);
    const size = await actor.stable_size();
    assert.equal(size, BigInt(bytes.length));
    const hashes = await actor.stable_hashes(0n, BigInt(MIB), size / BigInt(MIB));
    assert.deepEqual(Buffer.from(pieceHash(bytes)), sha256(hashes));
  });

  test('a session expires when the clock of the network says so', async () => {
    const { actor } = await installed();
    const [first, second] = [beginOf(content(65536, 1)), beginOf(content(65536, 2))];
    const { session } = (await actor.restore_begin(first)).ok;
    assert.deepEqual(await actor.restore_begin(second), { err: { busy: `restore session ${session} is open` } });
    net.setOptions({ skewMs: 3_600_000 });
    try {
      const later = Actor.createActor(service, { agent: await makeAgent(3), canisterId: Actor.canisterIdOf(actor) });
      assert.ok((await later.restore_begin(second)).ok.session > session);
      assert.deepEqual((await later.restore_status(session))[0].state, { aborted: null });
    } finally {
      net.setOptions({ skewMs: 0 });
    }
  });
});

