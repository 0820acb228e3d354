// @icp-sdk/core's HttpAgent against the network: everything it verifies, it verifies here, with the root key given.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Actor, CanisterStatus, HttpAgent, polling } from '@icp-sdk/core/agent';
import { Ed25519KeyIdentity } from '@icp-sdk/core/identity';
import { install } from '../demo.mjs';
import { Faults } from '../faults.mjs';
import { canisterId } from '../principal.mjs';
import { buildCanisters } from './engine_fixture.mjs';
import { IDL, nat64s, network, Principal } from './wire_fixture.mjs';

const SIZE = 4 * 2 ** 20;
const faults = new Faults();
const net = await network({ faults });
const identity = Ed25519KeyIdentity.generate(new Uint8Array(32).fill(5));
const build = buildCanisters();
const id = await install(net, identity.getPrincipal().toUint8Array(), build('sample'));
await net.callAs(identity.getPrincipal().toUint8Array(), id, 'seed', nat64s(SIZE, 0));
const canister = Principal.fromUint8Array(id);

const service = () =>
  IDL.Service({
    stable_size: IDL.Func([], [IDL.Nat64], ['query']),
    stable_read: IDL.Func([IDL.Nat64, IDL.Nat64], [IDL.Vec(IDL.Nat8)], ['query']),
    stable_grow: IDL.Func([IDL.Nat64], [IDL.Int64], []),
    stable_write: IDL.Func([IDL.Nat64, IDL.Vec(IDL.Nat8)], [], []),
  });

async function makeAgent(options = {}) {
  return HttpAgent.create({
    host: net.url,
    identity,
    rootKey: net.rootKeyDer,
    verifyQuerySignatures: true,
    shouldFetchRootKey: false,
    retryTimes: 0,
    ...options,
  });
}
const actorOf = (agent, canisterId = canister) => Actor.createActor(service, { agent, canisterId });
const requests = (endpoint) => net.log.filter((entry) => entry.endpoint === endpoint).length;

test('query, its signature verified against node keys from the certified state', async () => {
  const before = requests('read_state');
  const actor = actorOf(await makeAgent());
  assert.equal(await actor.stable_size(), BigInt(SIZE));
  const read = await actor.stable_read(0n, 16n);
  assert.equal(Buffer.from(read).toString('hex').slice(0, 16), 'afcd1d7b39a820e2');
  assert.equal((await actor.stable_read(3n, 3n * 2n ** 20n - 1024n)).length, 3 * 2 ** 20 - 1024);
  assert.ok(requests('read_state') > before, 'it asked for the node keys');
});

test('a signature of a node that is not of the subnet is refused', async () => {
  const [signer, foreign] = [net.signer, await network({ seed: 'foreign' })];
  net.signer = foreign.signer;
  try {
    const actor = actorOf(await makeAgent());
    await assert.rejects(actor.stable_size(), { name: /Error/, message: /[Ss]ignature|public key/ });
  } finally {
    net.signer = signer;
  }
});

test('update, its certificate verified', async () => {
  const actor = actorOf(await makeAgent());
  const before = await actor.stable_size();
  assert.equal(await actor.stable_grow(2n), before / 65536n);
  assert.equal(await actor.stable_size(), before + 131072n);
  const bytes = new Uint8Array(100_000).map((_, i) => i * 7);
  assert.equal(await actor.stable_write(77n, bytes), undefined);
  assert.deepEqual(new Uint8Array(await actor.stable_read(77n, 100_000n)), bytes);
});

test('update that takes a while, by polling', async () => {
  net.setOptions({ updateMs: 1500, callTimeoutMs: 100 });
  try {
    const actor = actorOf(await makeAgent());
    const before = requests('read_state');
    assert.equal(typeof (await actor.stable_grow(1n)), 'bigint');
    assert.ok(requests('read_state') > before);
  } finally {
    net.setOptions({ updateMs: 0, callTimeoutMs: 10_000 });
  }
});

test('the asynchronous call of the older interface', async () => {
  const agent = await makeAgent();
  const fields = { methodName: 'stable_grow', arg: nat64s(1), callSync: false };
  const { requestId, response } = await agent.call(canister, fields);
  assert.equal(response.status, 202);
  const { reply } = await polling.pollForResponse(agent, canister, requestId);
  assert.equal(IDL.decode([IDL.Int64], new Uint8Array(reply)).length, 1);
});

test('all nodes replaced: it asks for the new keys and goes on', async () => {
  const actor = actorOf(await makeAgent({ retryTimes: 3 }));
  const size = await actor.stable_size();
  net.rotateNodes();
  assert.equal(await actor.stable_size(), size);
});

test('a clock far off: it finds out, and sets its own by the certified time', async () => {
  net.setOptions({ skewMs: 3_600_000 });
  try {
    const actor = actorOf(await makeAgent({ retryTimes: 3 }));
    assert.equal(typeof (await actor.stable_grow(1n)), 'bigint'); // 6.1.0 repeats calls with a new expiry, not read_state
    assert.equal(typeof (await actor.stable_size()), 'bigint');
  } finally {
    net.setOptions({ skewMs: 0 });
  }
});

test('certificates of another subnet, wrong ones and old ones are refused', async () => {
  const actor = actorOf(await makeAgent());
  for (const rule of [
    { kind: 'other_subnet' },
    { kind: 'wrong_certificate' },
    { kind: 'wrong_certificate', negated: true },
    { kind: 'stale' },
  ]) {
    faults.replace([{ endpoint: 'call', ...rule }]);
    await assert.rejects(actor.stable_grow(0n), { name: /Error/ }, JSON.stringify(rule)).finally(() => faults.replace([]));
    assert.equal(typeof (await actor.stable_grow(0n)), 'bigint');
  }
});

test('a call answered with the certificate of another: it polls for its own', async () => {
  const actor = actorOf(await makeAgent());
  await actor.stable_grow(0n);
  const before = requests('read_state');
  const notYet = { kind: 'request_status', endpoint: 'read_state', nth: 1, as: 'processing' };
  faults.replace([{ kind: 'other_reply', endpoint: 'call' }, notYet]);
  try {
    await actor.stable_grow(0n);
    assert.equal(typeof (await actor.stable_grow(0n)), 'bigint');
    assert.ok(requests('read_state') > before);
  } finally {
    faults.replace([]);
  }
});

test('rejections reach the caller', async () => {
  const actor = actorOf(await makeAgent());
  await assert.rejects(actor.stable_read(2n ** 40n, 1n), /IC0503/);
  const stranger = actorOf(await makeAgent({ identity: Ed25519KeyIdentity.generate() }));
  await assert.rejects(stranger.stable_grow(1n), /IC0406/);
  const nowhere = actorOf(await makeAgent(), Principal.fromUint8Array(canisterId(0x0100_ff00n)));
  await assert.rejects(nowhere.stable_size(), /IC0301/);
  await assert.rejects(nowhere.stable_grow(1n), /IC0301/);
});

test('read_state: module hash, controllers, metadata, subnet, for ids of both ranges', async () => {
  const agent = await makeAgent();
  const paths = ['time', 'controllers', 'module_hash', 'candid', 'subnet'];
  const found = await CanisterStatus.request({ canisterId: canister, agent, paths });
  assert.deepEqual(found.get('controllers').map(String), [identity.getPrincipal().toText()]);
  assert.equal(found.get('module_hash').length, 64);
  assert.match(found.get('candid'), /^\/\/ Stable memory for canisterfs/);
  assert.equal(found.get('subnet').nodeKeys.size, 4);
  for (const number of [0x0100_fff0n, 0x0200_0000n, 0x0200_0007n, 0x020f_ffffn]) {
    const missing = Principal.fromUint8Array(canisterId(number));
    const state = await CanisterStatus.request({ canisterId: missing, agent, paths });
    assert.ok(state.get('time') instanceof Date, `${number}`);
    assert.equal(state.get('module_hash'), null);
  }
});

test('a wrong root key: nothing passes', async () => {
  const other = await network({ seed: 'another' });
  const actor = actorOf(await makeAgent({ rootKey: other.rootKeyDer }));
  await assert.rejects(actor.stable_size(), /[Ss]ignature|[Cc]ertificate/);
  await assert.rejects(actor.stable_grow(1n), /[Ss]ignature|[Cc]ertificate/);
});

test('the root key of the status endpoint', async () => {
  const agent = await makeAgent({ rootKey: undefined });
  assert.deepEqual(Buffer.from(await agent.fetchRootKey()), Buffer.from(net.rootKeyDer));
});
