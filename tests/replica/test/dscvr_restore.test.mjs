// Restoring into tests/canisters/dscvr.mo: what its own methods answer then. And its maintenance lease.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HttpAgent } from '@icp-sdk/core/agent';
import { Ed25519KeyIdentity } from '@icp-sdk/core/identity';
import { Data, Dscvr, NOTHING } from '../../mount/dscvr.mjs';
import { network } from './wire_fixture.mjs';

const DENIED = /denied: only a controller of this canister may change its data\n.*IC0503/;
const IN_MAINTENANCE = /in maintenance: a restore\n.*IC0503/;
const OUT_OF_INSTRUCTIONS = /IC0522/;
const COUNT = 2_000;
const SEED = 77n;

const net = await network();
const agentOf = (identity) =>
  HttpAgent.create({ host: net.url, identity, rootKey: net.rootKeyDer, verifyQuerySignatures: true, retryTimes: 0 });
const owner = await agentOf(Ed25519KeyIdentity.generate(new Uint8Array(32).fill(9)));
const anonymous = await agentOf(undefined);
const canister = await Dscvr.install(owner, { count: COUNT, seed: SEED });
const { actor } = canister;
const stranger = new Dscvr(anonymous, canister.principal).actor;

const METHODS = { content: 'backup_content_chunks', users: 'backup_users_chunk', portals: 'backup_portals_chunk' };
const range = (start, end, step) => Array.from({ length: Math.ceil((end - start) / step) }, (_, i) => start + i * step);

/** Every item by the application's methods, in chunks of `step`. */
async function save(step = 250) {
  const saved = { limits: await stranger.backup_limits(), nfts: await stranger.backup_nfts(), backup: await stranger.backup() };
  for (const [collection, method] of Object.entries(METHODS)) {
    const [{ total_length: total }] = await stranger[method](0n, 0n);
    const starts = range(0, Number(total), step);
    saved[collection] = await Promise.all(
      starts.map(async (start) => (await stranger[method](BigInt(start), BigInt(Math.min(step, Number(total) - start))))[0]),
    );
  }
  return saved;
}

const restorers = {
  content: ({ chunk, chunk_polls }) => actor.restore_content({ ...NOTHING, content: [chunk], polls: [chunk_polls] }),
  users: ({ chunk }) => actor.restore_users({ ...NOTHING, users: [chunk] }),
  portals: (chunk) => actor.restore_portals(chunk),
};

/** All of them, the last chunk first. */
async function restore(saved) {
  for (const [collection, put] of Object.entries(restorers)) for (const chunk of saved[collection].toReversed()) await put(chunk);
  await actor.restore_nfts(saved.nfts);
  await actor.restore_limits(saved.limits[0]);
}

test('what was edited and removed since comes back; what was restored can be edited', async () => {
  await canister.touch(7);
  const { data } = canister;
  const before = await save();
  await canister.touch(7);
  await canister.touch(1_999);
  await canister.remove(300);
  assert.notDeepEqual(await save(), before);
  await restore(before);
  canister.data = data;
  assert.deepEqual(await save(), before);
  assert.deepEqual(await stranger.backup_content_chunks(0n, 9n), data.chunk('content', 0, 9));

  for (let i = 0; i < 27; i++) await canister.touch(7);
  await canister.touch(1_999);
  assert.deepEqual(await stranger.backup_content_chunks(0n, 9n), canister.data.chunk('content', 0, 9));
  assert.deepEqual(await stranger.backup_content_chunks(1_990n, 10n), canister.data.chunk('content', 1_990, 10));
  await canister.add(200);
  assert.deepEqual(await stranger.backup_content_chunks(1_950n, 250n), canister.data.chunk('content', 1_950, 250));
  assert.deepEqual(await stranger.backup_users_chunk(90n, 20n), canister.data.chunk('users', 90, 20));
  assert.deepEqual(await stranger.backup_portals_chunk(0n, 11n), canister.data.chunk('portals', 0, 11));
});

test('a canister that has nothing answers as the one that was saved, whatever came first', async () => {
  await canister.fill(COUNT, SEED);
  await canister.touch(3);
  const before = await save();
  await canister.fill(0, 1n);
  await restore(before);
  assert.deepEqual(await save(), before);
  assert.deepEqual(await save(99), await (async () => (await restore(before), save(99)))(), 'twice is as good as once');
});

test('polls before their contents, contents without their polls', async () => {
  await canister.fill(100, SEED);
  const [chunk] = await stranger.backup_content_chunks(0n, 100n);
  await canister.fill(0, 1n);
  await actor.restore_content({ ...NOTHING, content: [chunk.chunk.slice(0, 50)], polls: [chunk.chunk_polls] });
  assert.equal((await stranger.backup_content_chunks(0n, 50n))[0].total_length, 50n);
  await actor.restore_content({ ...NOTHING, content: [chunk.chunk.slice(50)] });
  assert.deepEqual(await stranger.backup_content_chunks(0n, 100n), [chunk]);

  await canister.fill(100, SEED);
  await actor.restore_content({ ...NOTHING, content: [chunk.chunk] });
  assert.deepEqual(await stranger.backup_content_chunks(0n, 100n), [chunk], 'polls that were not given stay');
  const poll = { ...chunk.chunk_polls[0], question: 'Still?' };
  await actor.restore_content({ ...NOTHING, content: [[]], polls: [[poll]] });
  assert.deepEqual((await stranger.backup_content_chunks(0n, 100n))[0].chunk_polls[0], poll);
  await actor.remove(100n);
  await actor.add(100n);
  assert.deepEqual(await stranger.backup_content_chunks(0n, 100n), canister.data.chunk('content', 0, 100), 'nothing is left of what was removed');
});

test('items of other ids are inserted in their place, those of the same replaced', async () => {
  await canister.fill(200, SEED);
  const other = new Data(400, 5n);
  const contents = [350, 20, 299, 300].map((i) => other.content(i));
  await actor.restore_content({ ...NOTHING, content: [[...contents, { ...contents[1], title: 'the last one counts' }]] });
  const [{ chunk, total_length: total }] = await stranger.backup_content_chunks(0n, 203n);
  assert.equal(total, 203n);
  assert.deepEqual(chunk.map(({ id }) => Number(id)), [...range(0, 200, 1), 299, 300, 350]);
  assert.deepEqual([chunk[20].title, chunk[20].body], ['the last one counts', contents[1].body]);
  assert.deepEqual(chunk[200], contents[2]);

  // A user is one by the principal: whoever is given with another time of joining moves.
  const [first, second] = [canister.data.user(0), canister.data.user(1)];
  const guest = other.user(0);
  await actor.restore_users({ ...NOTHING, users: [[guest, { ...first, joined_at: second.joined_at + 1n }]] });
  const [users] = await stranger.backup_users_chunk(0n, 11n);
  assert.equal(users.total_length, 11n);
  assert.deepEqual(users.chunk.slice(0, 3).map(({ id }) => id.toText()), [guest, second, first].map(({ id }) => id.toText()));
  await actor.restore_limits({ posts_per_hour: 1, comments_per_hour: 2, premium: [] });
  await actor.restore_nfts([{ ...canister.data.nfts[2], image: Uint8Array.of(1) }]);
  const nfts = canister.data.nfts.map((nft, i) => (i === 2 ? { ...nft, image: Uint8Array.of(1) } : nft));
  const limits = [{ posts_per_hour: 1, comments_per_hour: 2, premium: [] }];
  assert.deepEqual(await stranger.backup(), [{ ...NOTHING, limits, nfts: [nfts] }]);

  await canister.fill(0, SEED);
  await actor.restore({ ...NOTHING, content: [contents.slice(0, 1)], portals: [[other.portal(1)]], users: [[guest]], nfts: [[]], limits });
  assert.deepEqual((await save()).users[0].chunk, [guest]);
  assert.deepEqual((await save()).portals[0].chunk, [other.portal(1)]);
  assert.deepEqual((await save()).content[0].chunk, [contents[0]]);
});

test('a restore that would lose something is refused, and so is everybody but controllers', async () => {
  await canister.fill(20, SEED);
  const before = await save();
  const { content: [{ chunk: content }], users: [{ chunk: users }] } = before;
  const ALONE = /restore_(content|users): takes .* nothing else\n.*IC0503/;
  await assert.rejects(actor.restore_content({ ...NOTHING, content: [content], users: [users] }), ALONE);
  await assert.rejects(actor.restore_content(NOTHING), ALONE);
  await assert.rejects(actor.restore_content({ ...NOTHING, polls: [[]] }), ALONE);
  await assert.rejects(actor.restore_users({ ...NOTHING, content: [content] }), ALONE);
  await assert.rejects(actor.restore_users({ ...NOTHING, users: [users], polls: [[]] }), ALONE);
  const limits = { posts_per_hour: 1, comments_per_hour: 2, premium: [] };
  for (const refused of [
    stranger.restore(NOTHING),
    stranger.restore_content({ ...NOTHING, content: [content] }),
    stranger.restore_users({ ...NOTHING, users: [users] }),
    stranger.restore_nfts([]),
    stranger.restore_portals({ chunk: [], total_length: 0n }),
    stranger.restore_limits(limits),
  ])
    await assert.rejects(refused, DENIED);
  assert.deepEqual(await save(), before);
});

test('too much for one call fails and changes nothing; in two parts it is restored', async () => {
  await canister.fill(1_200, SEED);
  const [whole] = await stranger.backup_content_chunks(0n, 1_200n);
  await canister.fill(0, 1n);
  net.setOptions({ instructionPercent: 0.04 });
  const put = (from, to) => restorers.content({ chunk: whole.chunk.slice(from, to), chunk_polls: from === 0 ? whole.chunk_polls : [] });
  await assert.rejects(put(0, 1_200), OUT_OF_INSTRUCTIONS);
  assert.equal((await stranger.backup_content_chunks(0n, 0n))[0].total_length, 0n);
  await put(600, 1_200);
  await put(0, 600);
  net.setOptions({ instructionPercent: 100 });
  assert.deepEqual(await stranger.backup_content_chunks(0n, 1_200n), [whole]);
});

test('maintenance: the application rests, restores do not; the lease ends by itself', async () => {
  await canister.fill(20, SEED);
  const status = async () => (({ paused, in_flight }) => [paused, in_flight])(await actor.maintenance_status());
  await assert.rejects(stranger.maintenance_status(), /denied: only a controller/);
  assert.deepEqual(await status(), [false, 0n]);
  assert.deepEqual(await stranger.maintenance_pause({ ttl_s: 60, reason: '' }), { err: { denied: null } });
  for (const ttl_s of [0, 3601]) assert.deepEqual(await actor.maintenance_pause({ ttl_s, reason: '' }), { err: { range: null } });
  const { ok } = await actor.maintenance_pause({ ttl_s: 60, reason: 'a restore' });
  assert.deepEqual(await status(), [true, 0n]);
  const { err } = await actor.maintenance_pause({ ttl_s: 60, reason: 'x'.repeat(10_000) });
  assert.match(err.busy, /^lease \d+: a restore$/);
  for (const change of [() => actor.fill(1n, 1n), () => actor.add(1n), () => actor.remove(1n), () => actor.touch(0n)])
    await assert.rejects(change(), IN_MAINTENANCE);
  await assert.rejects(stranger.add(1n), DENIED);
  await actor.restore_limits({ posts_per_hour: 3, comments_per_hour: 4, premium: [] });
  assert.equal((await stranger.backup_limits())[0].posts_per_hour, 3);

  assert.deepEqual(await stranger.maintenance_renew(ok.lease), { err: { denied: null } });
  assert.deepEqual(await stranger.maintenance_resume(ok.lease), { err: { denied: null } });
  const gone = { err: { other: 'no such lease' } };
  for (const lease of [0n, ok.lease + 1n, 2n ** 64n - 1n]) {
    assert.deepEqual(await actor.maintenance_renew(lease), gone);
    assert.deepEqual(await actor.maintenance_resume(lease), gone);
  }
  const { lease_expires_ns: first } = await actor.maintenance_status();
  assert.deepEqual(await actor.maintenance_renew(ok.lease), { ok: null });
  assert.ok((await actor.maintenance_status()).lease_expires_ns > first);
  for (let i = 0; i < 2; i++) assert.deepEqual(await actor.maintenance_resume(ok.lease), { ok: null });
  assert.deepEqual(await actor.maintenance_renew(ok.lease), gone);
  assert.deepEqual(await status(), [false, 0n]);
  await actor.add(1n);

  const { ok: next } = await actor.maintenance_pause({ ttl_s: 60, reason: '' });
  assert.ok(next.lease > ok.lease && next.version > ok.version);
  assert.deepEqual(await actor.maintenance_resume(ok.lease), gone);
  net.setOptions({ skewMs: 61_000 });
  assert.deepEqual(await status(), [false, 0n]);
  assert.deepEqual(await actor.maintenance_renew(next.lease), gone);
  await actor.add(1n);
  assert.deepEqual(Object.keys(await actor.maintenance_pause({ ttl_s: 3600, reason: '' })), ['ok']);
  net.setOptions({ skewMs: 0 });
});
