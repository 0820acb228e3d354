// The `icp` command of DFINITY against the network, as a user would run it.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { install } from '../demo.mjs';
import { uleb } from '../engine/cursor.mjs';
import { buildCanisters } from './engine_fixture.mjs';
import { makeIcp } from './icp_fixture.mjs';
import { hex, makeIdentity, nat64s, network, Principal } from './wire_fixture.mjs';

const net = await network();
const owner = makeIdentity();
const stranger = makeIdentity();
const build = buildCanisters();
const id = await install(net, owner.sender, build('sample'));
await net.callAs(owner.sender, id, 'seed', nat64s(100_000, 0));
const canister = Principal.fromUint8Array(id).toText();

const { icp, good, target, home, addIdentity } = makeIcp(net);
const calling = (method, arg, ...more) => ['canister', 'call', canister, method, arg, ...more];
await addIdentity('owner', owner);
await addIdentity('stranger', stranger);

test('network ping', async () => {
  assert.match(await good('network', 'ping', net.url), /"replica_health_status": "healthy"/);
});

test('call as query', async () => {
  assert.match(await good(...calling('stable_size', '()', '--query', ...target('owner'))), /^\(131_072 : nat64\)/);
  const read = await good(...calling('stable_read', '(0, 8)', '--query', ...target('anonymous')));
  assert.equal(read.trim(), String.raw`(blob "\af\cd\1d\7b\39\a8\20\e2")`);
});

test('call as update, for the controller', async () => {
  assert.match(await good(...calling('stable_grow', '(1)', ...target('owner'))), /^\(2 : int64\)/);
  assert.match(await good(...calling('stable_size', '()', '--query', ...target('owner'))), /^\(196_608 : nat64\)/);
  const refused = await icp(...calling('stable_grow', '(1)', ...target('stranger')));
  assert.notEqual(refused.code, 0);
  assert.match(refused.err, /IC0406/);
});

test('every kind of key: a canister of its own, called and asked', async () => {
  for (const kind of ['secp256k1', 'p256']) {
    const identity = makeIdentity(kind);
    await addIdentity(kind, identity);
    const principal = (await good('identity', 'principal', '--identity', kind)).trim();
    assert.equal(principal, Principal.fromUint8Array(identity.sender).toText());
    const own = Principal.fromUint8Array(await install(net, identity.sender, build('sample'))).toText();
    assert.match(await good('canister', 'call', own, 'stable_grow', '(1)', ...target(kind)), /^\(0 : int64\)/);
    const size = await good('canister', 'call', own, 'stable_size', '()', '--query', ...target(kind));
    assert.match(size, /^\(65_536 : nat64\)/);
    assert.match(await good('canister', 'status', own, ...target(kind)), /Status: Running/);
  }
});

test('traps and missing methods', async () => {
  const trap = await icp(...calling('stable_read', '(9_999_999, 1)', ...target('owner')));
  assert.notEqual(trap.code, 0);
  assert.match(trap.err, /IC0503/);
  const missing = await icp(...calling('nope', '()', '--query', ...target('owner')));
  assert.notEqual(missing.code, 0);
  assert.match(missing.err, /IC0536/);
});

test('status: all of it for the controller, the public part for others', async () => {
  const out = await good('canister', 'status', canister, ...target('owner'));
  assert.match(out, /Status: Running/);
  assert.match(out, new RegExp(`controller: ${Principal.fromUint8Array(owner.sender).toText()}`));
  assert.match(out, /Module hash: 0x[0-9a-f]{64}/);
  assert.match(out, /Cycles: 100_000_000_000_000/);
  const others = await good('canister', 'status', canister, ...target('stranger'));
  assert.match(others, /Module hash: 0x[0-9a-f]{64}/);
  assert.doesNotMatch(others, /Cycles/);
});

test('metadata', async () => {
  const out = await good('canister', 'metadata', canister, 'candid:service', ...target('owner'));
  assert.match(out, /stable_read : \(nat64, nat64\) -> \(blob\) query;/);
  assert.notEqual((await icp('canister', 'metadata', canister, 'none', ...target('owner'))).code, 0);
});

test('stop and start', async () => {
  await good('canister', 'stop', canister, ...target('owner'));
  assert.match(await good('canister', 'status', canister, ...target('owner')), /Status: Stopped/);
  const refused = await icp(...calling('stable_size', '()', '--query', ...target('owner')));
  assert.notEqual(refused.code, 0);
  assert.match(refused.err, /IC0508/);
  const stranger = await icp('canister', 'start', canister, ...target('stranger'));
  assert.notEqual(stranger.code, 0);
  assert.match(stranger.err, /IC0512/);
  await good('canister', 'start', canister, ...target('owner'));
  assert.match(await good(...calling('stable_size', '()', '--query', ...target('owner'))), /^\(196_608 : nat64\)/);
});

test('create, install, upgrade in chunks, settings, delete: through cycles ledger and management canister', async () => {
  const balance = async () => BigInt(/Balance: ([\d_]+) cycles/.exec(await good('cycles', 'balance', ...target('owner')))[1].replaceAll('_', ''));
  const T = 1_000_000_000_000n;
  const before = await balance();
  net.log.length = 0;
  const [id] = /[a-z\d-]+-cai/.exec(await good('canister', 'create', '--detached', ...target('owner')));
  const creating = net.log.map(({ endpoint, canister, method }) => `${endpoint} ${canister} ${method}`);
  assert.deepEqual(creating.sort(), [
    'call um5iw-rqaaa-aaaaq-qaaba-cai create_canister',
    'query rkp4c-7iaaa-aaaaa-aaaca-cai get_default_subnets',
    'read_state rkp4c-7iaaa-aaaaa-aaaca-cai null',
  ]);
  assert.equal(await balance(), before - 2n * T - 100_000_000n);
  const created = net.canisters.get(Principal.fromText(id).toUint8Array());
  assert.equal(created.cycles, 2n * T - T / 2n);
  assert.deepEqual(created.controllers.map(hex), [hex(owner.sender)]);

  const file = join(home, 'sample.wasm');
  writeFileSync(file, build('sample'));
  await good('canister', 'install', id, '--wasm', file, ...target('owner'));
  await good('canister', 'call', id, 'stable_write', '(0, blob "kept")', ...target('owner'));
  // Too large for one message: a custom section of 3 MiB.
  const size = 3 * 2 ** 20;
  writeFileSync(file, Buffer.concat([build('sample'), Buffer.from([0, ...uleb(size + 2), 1, 0x78]), Buffer.alloc(size)]));
  net.log.length = 0;
  await good('canister', 'install', id, '--mode', 'upgrade', '--yes', '--wasm', file, ...target('owner'));
  const methods = net.log.map(({ method }) => method);
  assert.equal(methods.filter((method) => method === 'upload_chunk').length, 4);
  assert.ok(methods.includes('install_chunked_code') && !methods.includes('install_code'));
  const read = ['canister', 'call', id, 'stable_read', '(0, 4)', '--query', ...target('owner')];
  assert.match(await good(...read), /"kept"/);
  assert.deepEqual(created.chunks.hashes, []);

  await good('canister', 'settings', 'update', id, '--freezing-threshold', '1000', ...target('owner'));
  assert.match(await good('canister', 'settings', 'show', id, ...target('owner')), /Freezing threshold: 1_000/);
  const running = await icp('canister', 'delete', id, ...target('stranger'));
  assert.notEqual(running.code, 0);
  await good('canister', 'stop', id, ...target('owner'));
  const left = await balance();
  const [, recovered] = /Recovered (\d+) cycles/.exec((await icp('canister', 'delete', id, ...target('owner'))).err);
  assert.equal(await balance(), left + BigInt(recovered) - 100_000_000n);
  const gone = await icp('canister', 'status', id, ...target('owner'));
  assert.notEqual(gone.code, 0);
  assert.match(gone.err, /not found/);
});

test('a wrong root key is noticed', async () => {
  const other = await network({ seed: 'another' });
  const key = ['-n', net.url, '-k', hex(other.rootKeyDer), '--identity', 'owner'];
  const { code, err } = await icp(...calling('stable_size', '()', '--query', ...key));
  assert.notEqual(code, 0);
  assert.match(err, /[Cc]ertificate|[Ss]ignature/);
});
