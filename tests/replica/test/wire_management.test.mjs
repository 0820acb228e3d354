// The management canister over the wire: creating, installing, status, start and stop; who may, and what is refused.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { CanisterId, CanisterStatus, InstallCode } from '../candid_types.mjs';
import { canisterId } from '../principal.mjs';
import { buildCanisters } from './engine_fixture.mjs';
import { call, hex, IDL, makeIdentity, MANAGEMENT, network, outcome, Principal, query } from './wire_fixture.mjs';

const net = await network();
const owner = makeIdentity();
const stranger = makeIdentity();
const build = buildCanisters();
const EMPTY = new Uint8Array(0);

const candid = (type, value) => new Uint8Array(IDL.encode([type], [value]));
const decodeOne = (type, bytes) => IDL.decode([type], new Uint8Array(bytes))[0];
const principal = (bytes) => Principal.fromUint8Array(bytes);
const idArg = (id) => candid(CanisterId, { canister_id: principal(id) });

const manage = (method, arg, effective, identity = owner) =>
  call(net, { canister: MANAGEMENT, method, arg, identity }, { effective });
const certified = async (...args) => outcome(await manage(...args), net.rootKeyDer);

async function create({ specified = null, controllers = null, identity = owner } = {}) {
  const Settings = IDL.Record({ controllers: IDL.Opt(IDL.Vec(IDL.Principal)) });
  const Create = IDL.Record({ settings: IDL.Opt(Settings), specified_id: IDL.Opt(IDL.Principal) });
  const value = {
    settings: controllers ? [{ controllers: [controllers.map(principal)] }] : [],
    specified_id: specified ? [principal(specified)] : [],
  };
  return certified('provisional_create_canister_with_cycles', candid(Create, value), canisterId(0x0100_0000n), identity);
}
const created = async (given) => decodeOne(CanisterId, (await create(given)).reply).canister_id.toUint8Array();

const installArg = (id, module, mode = { install: null }) =>
  candid(InstallCode, {
    mode,
    canister_id: principal(id),
    wasm_module: module,
    arg: EMPTY,
    sender_canister_version: [],
  });

async function status(id, identity = owner) {
  const { reply } = await certified('canister_status', idArg(id), id, identity);
  return decodeOne(CanisterStatus, reply);
}

async function refusedBefore(answer, code, error, text) {
  const { body } = await answer;
  assert.deepEqual([body.status, body.reject_code, body.error_code], ['non_replicated_rejection', code, error]);
  assert.match(body.reject_message, text);
}

test('create: controllers, ids of the caller, ids of the network', async () => {
  const first = await created();
  assert.deepEqual((await status(first)).settings.controllers.map((p) => p.toText()), [principal(owner.sender).toText()]);
  const both = await created({ controllers: [owner.sender, stranger.sender] });
  assert.equal((await status(both, stranger)).settings.controllers.length, 2);
  const specified = canisterId(0x0200_0042n);
  assert.equal(hex(await created({ specified })), hex(specified));
  const twice = await create({ specified });
  assert.deepEqual([twice.code, twice.error], [2, 'IC0205']);
  const outside = await create({ specified: canisterId(5n) });
  assert.deepEqual([outside.code, outside.error], [4, 'IC0405']);
  const many = await create({ controllers: Array(11).fill(owner.sender) });
  assert.deepEqual([many.code, many.error], [4, 'IC0408']);
  const anonymous = await created({ identity: undefined });
  assert.equal(anonymous.length, 10);
});

test('install and reinstall', async () => {
  const id = await created();
  assert.deepEqual((await status(id)).module_hash, []);
  const module = build('sample');
  assert.ok((await certified('install_code', installArg(id, module), id)).reply);
  const hash = createHash('sha256').update(module).digest('hex');
  assert.equal(hex((await status(id)).module_hash[0]), hash);
  const again = await certified('install_code', installArg(id, module), id);
  assert.deepEqual([again.code, again.error], [5, 'IC0538']);
  const other = build('hello');
  assert.ok((await certified('install_code', installArg(id, other, { reinstall: null }), id)).reply);
  assert.notEqual(hex((await status(id)).module_hash[0]), hash);
  const broken = await certified('install_code', installArg(id, EMPTY, { reinstall: null }), id);
  assert.deepEqual([broken.code, broken.error], [5, 'IC0505']);
  assert.ok((await certified('install_code', installArg(id, module, { upgrade: [] }), id)).reply);
  assert.equal(hex((await status(id)).module_hash[0]), hash);
  const keep = { upgrade: [{ skip_pre_upgrade: [], wasm_memory_persistence: [{ keep: null }] }] };
  const refused = await certified('install_code', installArg(id, module, keep), id);
  assert.deepEqual([refused.code, refused.error], [5, 'IC0504']);
});

test('status: update and query, sizes, version', async () => {
  const id = await created();
  await certified('install_code', installArg(id, build('sample')), id);
  const before = await status(id);
  assert.deepEqual(before.status, { running: null });
  const sender = owner;
  const seed = new Uint8Array(IDL.encode([IDL.Nat64, IDL.Nat64], [100_000n, 0n]));
  await call(net, { canister: id, method: 'seed', arg: seed, identity: sender });
  const asking = { canister: MANAGEMENT, method: 'canister_status', arg: idArg(id) };
  const answer = await query(net, { ...asking, identity: owner }, { effective: id });
  const after = decodeOne(CanisterStatus, answer.body.reply.arg);
  assert.equal(after.memory_metrics.stable_memory_size, 131_072n);
  assert.equal(after.version, before.version + 1n);
  const { memory_metrics: metrics } = after;
  assert.equal(after.memory_size, Object.values(metrics).reduce((sum, size) => sum + size, 0n));
  const other = { ...asking, identity: stranger };
  const refused = await query(net, other, { effective: id });
  assert.deepEqual([refused.body.status, refused.body.error_code], ['rejected', 'IC0512']);
  const noQuery = await query(net, { ...other, method: 'start_canister' }, { effective: id });
  assert.equal(noQuery.body.error_code, 'IC0536');
  assert.equal(noQuery.body.reject_message, 'Query method start_canister not found.');
});

test('stop and start', async () => {
  const id = await created();
  await certified('install_code', installArg(id, build('sample')), id);
  const { version } = await status(id);
  assert.ok((await certified('stop_canister', idArg(id), id)).reply);
  assert.deepEqual((await status(id)).status, { stopped: null });
  assert.equal((await status(id)).version, version + 2n); // stopping, stopped
  const { body } = await query(net, { canister: id, method: 'stable_size' });
  const text = `Canister ${principal(id).toText()} is stopped`;
  assert.deepEqual([body.reject_code, body.error_code, body.reject_message], [5n, 'IC0508', text]);
  const update = outcome(await call(net, { canister: id, method: 'stable_size' }), net.rootKeyDer);
  assert.deepEqual(update, { code: 5, error: 'IC0508', message: text });
  assert.ok((await certified('start_canister', idArg(id), id)).reply);
  assert.equal((await query(net, { canister: id, method: 'stable_size' })).body.status, 'replied');
});

test('only controllers; only what exists', async () => {
  const id = await created();
  for (const method of ['canister_status', 'start_canister', 'stop_canister']) {
    await refusedBefore(manage(method, idArg(id), id, stranger), 5n, 'IC0512', /^Only the controllers of the canister /);
  }
  const install = manage('install_code', installArg(id, build('hello')), id, stranger);
  await refusedBefore(install, 5n, 'IC0512', /^Only the controllers of the canister /);
  const nobody = canisterId(0x0100_ff01n);
  await refusedBefore(manage('stop_canister', idArg(nobody), nobody), 3n, 'IC0301', /^Canister [\w-]+ not found\.$/);
  await refusedBefore(manage('raw_rand', EMPTY, id), 4n, 'IC0406', /^raw_rand cannot be called by a user\.$/);
  await refusedBefore(manage('raw_range', EMPTY, id), 4n, 'IC0407', /no method 'raw_range'/);
  await refusedBefore(manage('toString', EMPTY, id), 4n, 'IC0407', /no method/);
  await refusedBefore(manage('stop_canister', EMPTY, id), 4n, 'IC0408', /^Error decoding the argument of stop_canister/);
  assert.deepEqual((await status(id)).status, { running: null });
});

test('the effective canister id is the canister in the argument', async () => {
  const [id, other] = [await created(), await created()];
  const answer = await manage('stop_canister', idArg(id), other);
  assert.equal(answer.status, 400);
  assert.match(answer.body, /does not match effective canister id/);
  assert.equal((await manage('stop_canister', idArg(id), MANAGEMENT)).status, 400);
});
