// tests/canisters/dscvr.mo against what tests/mount/dscvr.mjs says of it, by @icp-sdk/core.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { CanisterStatus, HttpAgent } from '@icp-sdk/core/agent';
import { IDL } from '@icp-sdk/core/candid';
import { Ed25519KeyIdentity } from '@icp-sdk/core/identity';
import { Data, Dscvr, REPLIES } from '../../mount/dscvr.mjs';
import { hex, network } from './wire_fixture.mjs';

const didc = createRequire(import.meta.url)('@dfinity/didc');
const OUT_OF_SLICE = /range end index \d+ out of range for slice of length \d+\n.*IC0503/;
const DENIED = /denied: only a controller of this canister may change its data\n.*IC0503/;
const SEED = 77n;

const net = await network();
const agentOf = (identity) =>
  HttpAgent.create({ host: net.url, identity, rootKey: net.rootKeyDer, verifyQuerySignatures: true, retryTimes: 0 });
const owner = await agentOf(Ed25519KeyIdentity.generate(new Uint8Array(32).fill(9)));
const canister = await Dscvr.install(owner, { count: 12_345, seed: SEED });
const stranger = new Dscvr(await agentOf(undefined), canister.principal).actor;

const METHODS = { content: 'backup_content_chunks', users: 'backup_users_chunk', portals: 'backup_portals_chunk' };
const chunk = (collection, start, limit) => stranger[METHODS[collection]](BigInt(start), BigInt(limit));
const agrees = async (collection, start, limit) =>
  assert.deepEqual(await chunk(collection, start, limit), canister.data.chunk(collection, start, limit), `${collection} ${start}+${limit}`);

test('every item once, and nothing beyond the end', async () => {
  for (const [collection, total] of Object.entries(canister.data.totals)) {
    assert.ok(total > 50);
    for (let start = 0; start < total; start += 250) await agrees(collection, start, Math.min(250, total - start));
    await agrees(collection, 0, 0);
    await agrees(collection, total, 0);
    await agrees(collection, total - 1, 1);
    await assert.rejects(chunk(collection, total, 1), OUT_OF_SLICE);
    await assert.rejects(chunk(collection, total + 1, 0), OUT_OF_SLICE);
    await assert.rejects(chunk(collection, 5, 2n ** 64n - 1n), OUT_OF_SLICE);
  }
});

test('the bytes of values, as @icp-sdk/core encodes them', () => {
  for (const [collection, [start, limit]] of Object.entries({ content: [5, 300], users: [0, 130], portals: [7, 0] })) {
    const values = REPLIES[METHODS[collection]].encodeValue(canister.data.chunk(collection, start, limit));
    assert.ok(canister.data.values(collection, start, limit).equals(values), collection);
  }
});

test('what is not paged', async () => {
  assert.deepEqual(await stranger.backup_limits(), canister.data.limits);
  assert.deepEqual(await stranger.backup_nfts(), canister.data.nfts);
  assert.deepEqual(await stranger.backup(), canister.data.backup);
});

test('items of every kind and size; a long stretch does not fit into one reply', async () => {
  const { data } = canister;
  const contents = Array.from({ length: data.count }, (_, i) => data.content(i));
  const sizes = contents.map(({ body }) => Buffer.byteLength(body));
  assert.ok(Math.min(...sizes) < 21 && Math.max(...sizes) > 30_000, `${Math.min(...sizes)} to ${Math.max(...sizes)}`);
  assert.deepEqual(new Set(contents.flatMap(({ kind }) => Object.keys(kind))), new Set(['post', 'link', 'comment']));
  assert.ok(contents.some(({ icon }) => icon[0]?.length > 100) && contents.some(({ views }) => views > 2n ** 64n));
  assert.ok(contents.some(({ score }) => score < 0n) && contents.some(({ tags }) => tags.length === 3));
  const [{ chunk_polls }] = data.chunk('content', 0, 1000);
  assert.ok(chunk_polls.length > 100 && chunk_polls.length < 200);
  await assert.rejects(chunk('content', 2_000, 400), /IC0504/);
  await assert.rejects(chunk('content', 0, data.count), /IC0504|IC0522/);
});

test('its interface is public, and of these types', async () => {
  const canisterId = canister.principal;
  const status = await CanisterStatus.request({ agent: await agentOf(undefined), canisterId, paths: ['candid'] });
  const idl = status.get('candid');
  const values = { backup_content_chunks: data => data.chunk('content', 0, 40), backup_limits: (data) => data.limits, backup: (data) => data.backup };
  for (const [method, value] of Object.entries(values)) {
    const input = hex(IDL.encode([REPLIES[method]], [value(canister.data)]));
    const text = didc.decode({ idl, serviceMethod: method, input, targetFormat: 'candid' });
    assert.match(text, /^\(\s*opt record \{/, method);
    assert.doesNotMatch(text, /\b_?\d{5,} =/, 'all fields have names');
  }
});

test('changes: controllers only, and deterministic', async () => {
  const same = new Data(canister.data.count, SEED);
  for (const change of [() => stranger.fill(1n, 1n), () => stranger.add(1n), () => stranger.remove(1n), () => stranger.touch(0n)])
    await assert.rejects(change(), DENIED);
  await agrees('content', 700, 20);
  await canister.touch(705);
  await canister.touch(705);
  await canister.touch(12_344);
  await agrees('content', 700, 20);
  assert.notDeepEqual(canister.data.content(705), same.content(705));
  assert.equal(canister.data.content(705).title.length, same.content(705).title.length);
  await canister.add(1_655);
  assert.equal(canister.data.totals.content, 14_000);
  await agrees('content', 12_340, 250);
  await canister.remove(1_656);
  await canister.add(1);
  await agrees('content', 12_340, 5);
  assert.deepEqual(canister.data.content(12_344), same.content(12_344), 'a new item of its number was never edited');
  await assert.rejects(canister.actor.remove(1_000_000n), /IC0503/);
  await assert.rejects(canister.actor.touch(12_345n), /IC0503/);
  await canister.fill(0, SEED);
  for (const collection of ['content', 'users', 'portals']) await agrees(collection, 0, 0);
});

test('a hundred thousand items are there at once', async () => {
  await canister.fill(100_000, 5n);
  await agrees('content', 99_900, 100);
  await agrees('content', 52_100, 100);
  await canister.touch(99_999);
  await agrees('content', 99_900, 100);
});
