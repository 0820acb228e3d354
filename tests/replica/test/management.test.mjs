// The management canister beyond installing: settings, deletion, uninstalling, the chunk store, what only canisters may
// call; who may, and the codes of what is refused.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, test } from 'node:test';
import { IDL } from '@icp-sdk/core/candid';
import { Principal } from '@icp-sdk/core/principal';
import * as types from '../candid_types.mjs';
import { install } from '../demo.mjs';
import { startNetwork } from '../network.mjs';
import { canisterId } from '../principal.mjs';
import { fullSettings } from '../system_canisters.mjs';
import { buildCanisters, buildFixture, rejects, scratch, words } from './engine_fixture.mjs';

const OWNER = Uint8Array.of(9, 8, 7, 2);
const STRANGER = Uint8Array.of(6, 6, 2);
const EMPTY = new Uint8Array(0);
const T = 1_000_000_000_000n;

const build = buildCanisters();
const net = await startNetwork();
after(() => net.stop());

const encode = (type, value) => new Uint8Array(IDL.encode([type], [value]));
const decode = (type, bytes) => IDL.decode([type], new Uint8Array(bytes))[0];
const principal = (bytes) => Principal.fromUint8Array(bytes);
const sha256 = (bytes) => new Uint8Array(createHash('sha256').update(bytes).digest());

const manage = (method, type, value, caller = OWNER) => net.callAs(caller, EMPTY, method, encode(type, value));
const byId = (method, id, caller) => manage(method, types.CanisterId, { canister_id: principal(id) }, caller);
const create = () => net.createCanister({ controllers: [OWNER] });
const status = async (id, caller) => decode(types.CanisterStatus, await byId('canister_status', id, caller));
const update = (id, settings, caller) => {
  const value = { canister_id: principal(id), settings: fullSettings(settings), sender_canister_version: [] };
  return manage('update_settings', types.UpdateSettings, value, caller);
};

test('settings: changed ones change, the rest stays', async () => {
  const id = await create();
  const before = await status(id);
  await update(id, {
    controllers: [[principal(OWNER), principal(STRANGER)]],
    freezing_threshold: [77n],
    environment_variables: [[{ name: 'COLOUR', value: 'grün' }]],
    log_visibility: [{ allowed_viewers: [principal(STRANGER)] }],
  });
  const { settings, version } = await status(id, STRANGER);
  assert.equal(version, before.version + 1n);
  assert.deepEqual(settings.controllers.map((p) => p.toText()), [OWNER, STRANGER].map((bytes) => principal(bytes).toText()));
  assert.equal(settings.freezing_threshold, 77n);
  assert.deepEqual(settings.environment_variables, [{ name: 'COLOUR', value: 'grün' }]);
  assert.equal(settings.log_visibility.allowed_viewers[0].toText(), principal(STRANGER).toText());
  assert.equal(settings.wasm_memory_limit, before.settings.wasm_memory_limit);
  await update(id, { controllers: [[principal(STRANGER)]] });
  await rejects(status(id), 'IC0512', /^Only the controllers of the canister/);
  await rejects(update(id, {}), 'IC0512', /^Only the controllers/);
});

test('settings: what is refused changes nothing', async () => {
  const id = await create();
  const before = await status(id);
  const variable = (name, value = '') => ({ name, value });
  for (const [settings, code] of [
    [{ controllers: [Array(11).fill(principal(OWNER))] }, 'IC0408'],
    [{ log_visibility: [{ allowed_viewers: Array(11).fill(principal(OWNER)) }] }, 'IC0408'],
    [{ compute_allocation: [101n] }, 'IC0504'],
    [{ freezing_threshold: [2n ** 64n] }, 'IC0504'],
    [{ wasm_memory_limit: [2n ** 48n + 1n] }, 'IC0504'],
    [{ environment_variables: [[variable('A'), variable('A')]] }, 'IC0504'],
    [{ environment_variables: [Array.from({ length: 21 }, (_, i) => variable(`V${i}`))] }, 'IC0504'],
    [{ environment_variables: [[variable('x'.repeat(129))]] }, 'IC0504'],
  ]) {
    await rejects(update(id, { ...settings, memory_allocation: [5n] }), code, /settings/i);
  }
  assert.deepEqual(await status(id), before);
});

test('status_visibility lets others see', async () => {
  const id = await create();
  await rejects(status(id, STRANGER), 'IC0512', /./);
  await update(id, { status_visibility: [{ allowed_viewers: [principal(STRANGER)] }] });
  assert.equal((await status(id, STRANGER)).cycles, 100n * T);
  await rejects(status(id, Uint8Array.of(4)), 'IC0512', /./);
  await update(id, { status_visibility: [{ public: null }] });
  assert.equal((await status(id, Uint8Array.of(4))).cycles, 100n * T);
});

test('delete: only when stopped, and the id is not given again', async () => {
  const id = await create();
  await rejects(byId('delete_canister', id), 'IC0510', /must be stopped before it is deleted/);
  await byId('stop_canister', id);
  await rejects(byId('delete_canister', id, STRANGER), 'IC0512', /./);
  await byId('delete_canister', id);
  await rejects(status(id), 'IC0301', /not found/);
  assert.notDeepEqual(await create(), id);
});

test('uninstall: no code, no memory; settings and cycles stay', async () => {
  const id = await install(net, OWNER, build('sample'));
  await net.callAs(OWNER, id, 'seed', new Uint8Array(IDL.encode([IDL.Nat64, IDL.Nat64], [1000n, 0n])));
  await rejects(byId('uninstall_code', id, STRANGER), 'IC0512', /./);
  await byId('uninstall_code', id);
  const { module_hash: hash, memory_metrics: memory, cycles } = await status(id);
  assert.deepEqual(hash, []);
  assert.equal(memory.stable_memory_size, 0n);
  assert.equal(cycles, 100n * T);
  await rejects(net.callAs(OWNER, id, 'stable_size', EMPTY), 'IC0537', /no Wasm module/);
});

test('top up', async () => {
  const id = await create();
  await manage('provisional_top_up_canister', types.ProvisionalTopUp, { canister_id: principal(id), amount: 5n }, STRANGER);
  assert.equal((await status(id)).cycles, 100n * T + 5n);
});

test('chunks: stored by hash, put together, checked', async () => {
  const [store, target] = [await create(), await create()];
  const module = build('sample');
  const parts = [module.subarray(0, 4000), module.subarray(4000)].map((part) => new Uint8Array(part));
  const upload = (chunk, caller) =>
    manage('upload_chunk', types.UploadChunk, { canister_id: principal(store), chunk }, caller);
  for (const part of parts) assert.deepEqual(Uint8Array.from(decode(types.ChunkHash, await upload(part)).hash), sha256(part));
  await upload(parts[0]); // once more: nothing new
  const stored = async () => decode(types.ChunkHashes, await byId('stored_chunks', store)).map(({ hash }) => Uint8Array.from(hash));
  assert.deepEqual(new Set((await stored()).map(String)), new Set(parts.map((part) => String(sha256(part)))));
  assert.equal((await status(store)).memory_metrics.wasm_chunk_store_size, 2n * 2n ** 20n);
  await rejects(upload(parts[0], STRANGER), 'IC0512', /./);
  await rejects(upload(new Uint8Array(2 ** 20 + 1)), 'IC0504', /^Error from Wasm chunk store: Wasm chunk size/);

  const installing = (hashes, hash = sha256(module), caller = OWNER) =>
    manage(
      'install_chunked_code',
      types.InstallChunkedCode,
      {
        mode: { reinstall: null },
        target_canister: principal(target),
        store_canister: [principal(store)],
        chunk_hashes_list: hashes.map((bytes) => ({ hash: bytes })),
        wasm_module_hash: hash,
        arg: EMPTY,
        sender_canister_version: [],
      },
      caller,
    );
  const hashes = parts.map(sha256);
  await rejects(installing([hashes[0], sha256(EMPTY)]), 'IC0504', /Chunk hash [\da-f]{64} was not found/);
  await rejects(installing([...hashes].reverse()), 'IC0504', /does not match given hash/);
  await rejects(installing(hashes, sha256(module), STRANGER), 'IC0512', /./);
  await installing(hashes);
  assert.deepEqual(Uint8Array.from((await status(target)).module_hash[0]), sha256(module));
  await byId('clear_chunk_store', store);
  assert.deepEqual(await stored(), []);
  for (let i = 0; i < 100; i++) await upload(words(i));
  await rejects(upload(words(100)), 'IC0504', /already reached maximum capacity/);
  await upload(words(99));
});

test('the chunk store and settings survive a restart', async () => {
  const stateDir = scratch();
  const first = await startNetwork({ stateDir });
  const id = await first.createCanister({ controllers: [OWNER] });
  const canister = first.canisters.get(id);
  canister.chunks.add(words(1, 2));
  canister.updateSettings({ settings: { wasm_memory_limit: 12_345n, status_visibility: { allowed_viewers: [principal(STRANGER)] } } }, { user: OWNER });
  await first.save();
  await first.stop();
  const second = await startNetwork({ stateDir });
  const restored = second.canisters.get(id);
  await second.stop();
  assert.deepEqual(restored.chunks.hashes, [sha256(words(1, 2))]);
  assert.equal(restored.settings.wasm_memory_limit, 12_345n);
  assert.equal(restored.settings.status_visibility.allowed_viewers[0].toText(), principal(STRANGER).toText());
});

// What a canister calls: fixture/caller.c.
const counted = (bytes) => Buffer.concat([Buffer.from([bytes.length]), bytes]);
const step = (callee, method, arg, cycles) =>
  new Uint8Array(Buffer.concat([Buffer.from('c'), counted(callee), counted(Buffer.from(method)), counted(Buffer.from(arg)), words(cycles)]));

test('what only canisters call: create, deposit, info, metadata, randomness', async () => {
  const id = await install(net, OWNER, buildFixture('caller', 'wasm32'));
  const run = async (method, type, value, cycles = 0n) => {
    const arg = type === null ? new Uint8Array(IDL.encode([], [])) : encode(type, value);
    const answer = Buffer.from(await net.callAs(OWNER, id, 'run', step(EMPTY, method, arg, cycles)));
    return { text: answer.toString(), bytes: answer.subarray(1) };
  };
  for (const method of ['create_canister', 'deposit_cycles', 'canister_info', 'canister_metadata', 'raw_rand']) {
    await rejects(net.callAs(OWNER, EMPTY, method, EMPTY), 'IC0406', /cannot be called by a user/);
  }
  const creation = { settings: [], sender_canister_version: [] };
  assert.match((await run('create_canister', types.CreateCanister, creation, 1n)).text, /^-4IC0403: .* fee of 500000000000 /);
  const made = decode(types.CanisterId, (await run('create_canister', types.CreateCanister, creation, 2n * T)).bytes);
  const child = net.canisters.get(made.canister_id.toUint8Array());
  assert.equal(child.cycles, 2n * T - T / 2n);
  assert.deepEqual(child.controllers, [id]);
  const childId = { canister_id: principal(child.id) };
  await run('deposit_cycles', types.CanisterId, childId, 7n);
  assert.equal(child.cycles, 2n * T - T / 2n + 7n);
  assert.equal(net.canisters.get(id).cycles, 98n * T - 7n);

  await byId('start_canister', child.id, id);
  const info = async (wanted) => {
    const args = { ...childId, num_requested_changes: [wanted] };
    return decode(types.CanisterInfo, (await run('canister_info', types.CanisterInfoArgs, args)).bytes);
  };
  const module = build('hello');
  child.install({ mode: 'install', module, arg: EMPTY, caller: id }, { canister: id });
  child.updateSettings({ controllers: [id, OWNER], settings: {} }, { user: OWNER });
  const { total_num_changes: total, recent_changes: changes, module_hash: hash, controllers } = await info(2n);
  assert.equal(total, 3n);
  assert.deepEqual(changes.map(({ details }) => Object.keys(details)[0]), ['code_deployment', 'controllers_change']);
  assert.deepEqual(Uint8Array.from(changes[0].details.code_deployment.module_hash), sha256(module));
  assert.equal(changes[0].origin.from_canister.canister_id.toText(), principal(id).toText());
  assert.equal(changes[1].origin.from_user.user_id.toText(), principal(OWNER).toText());
  assert.deepEqual(Uint8Array.from(hash[0]), sha256(module));
  assert.equal(controllers.length, 2);

  const section = (name) => run('canister_metadata', types.CanisterMetadataArgs, { ...childId, name });
  const did = decode(types.CanisterMetadata, (await section('candid:service')).bytes).value;
  assert.match(Buffer.from(did).toString(), /greet/);
  assert.match((await section('none')).text, /^-4The canister .* has no metadata section/);
  const random = async () => Buffer.from(decode(types.Blob, (await run('raw_rand', null)).bytes)).toString('hex');
  assert.match(await random(), /^[\da-f]{64}$/);
  assert.notEqual(await random(), await random());
  await rejects(byId('delete_canister', id, id), 'IC0512', /./);
});

test('create with an id of the system is refused', async () => {
  const args = { amount: [], settings: [], specified_id: [principal(canisterId(4n))], sender_canister_version: [] };
  await rejects(manage('provisional_create_canister_with_cycles', types.ProvisionalCreate, args), 'IC0205', /exists already/);
});
