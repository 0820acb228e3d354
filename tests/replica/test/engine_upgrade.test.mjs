// Upgrades: which hooks run, what of heap, globals and stable memory survives, and that a failed one changes nothing.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IDL } from '@icp-sdk/core/candid';
import { buildCanisters, call, callCandid, CONTROLLER, makeEngine, rejects, STRANGER, words } from './engine_fixture.mjs';
import { assemble, callFunction, DROP, globalGet, globalSet, i32, i64, load32, store32, store64, UNREACHABLE } from './engine_wasm.mjs';

const EMPTY = new Uint8Array(0);
const NO_ARGUMENT = new Uint8Array(IDL.encode([], []));
const build = buildCanisters();

/**
 * A module whose hooks leave marks: `hooks` maps export names to code. `state` replies with global 0, the word at 64 in
 * the heap and the one at 0 in stable memory, 8 bytes each. Function 0 is stable64_grow, 1 stable64_write, 2 stable64_read.
 */
function marked(hooks, parts = {}) {
  const reply = [
    ...i64(1024), ...i64(0), ...i64(8), ...callFunction(2),
    ...i32(1032), ...globalGet(0), ...store64,
    ...i32(1040), ...i32(64), ...load32, ...store32,
    ...i32(1024), ...i32(24), ...callFunction(3), ...callFunction(4),
  ];
  return assemble({
    imports: [
      ['stable64_grow', ['i64'], ['i64']],
      ['stable64_write', ['i64', 'i64', 'i64'], []],
      ['stable64_read', ['i64', 'i64', 'i64'], []],
      ['msg_reply_data_append', ['i32', 'i32'], []],
      ['msg_reply', [], []],
    ],
    functions: [
      { code: reply, export: 'canister_query state' },
      ...Object.entries(hooks).map(([name, code]) => ({ code, export: name })),
    ],
    memories: [[0, 1]],
    globals: [['i64', i64(7)]],
    ...parts,
  });
}

const setGlobal = (n) => [...i64(n), ...globalSet(0)];
const setHeap = (n) => [...i32(64), ...i32(n), ...store32];
/** The word at 64 goes to stable memory. */
const saveHeap = [...i64(0), ...i64(64), ...i64(4), ...callFunction(1)];
const grow = [...i64(1), ...callFunction(0), ...DROP];

const state = async (engine) => {
  const [stable, global, heap] = new BigUint64Array((await call(engine, 'query', 'state')).buffer);
  return { stable, global, heap };
};
const upgrade = (engine, module, given = {}) => engine.upgrade({ module, arg: EMPTY, caller: CONTROLLER, ...given });
const upgrading = async (...args) => upgrade(...args); // a promise, for rejects()

const first = marked({
  canister_init: [...grow, ...setGlobal(1), ...setHeap(2)],
  canister_pre_upgrade: saveHeap,
});

test('hooks run in their order; heap and globals begin anew, stable memory stays', async () => {
  const engine = makeEngine(first);
  assert.deepEqual(await state(engine), { stable: 0n, global: 1n, heap: 2n });
  const version = engine.version;
  upgrade(engine, marked({ canister_init: UNREACHABLE, canister_post_upgrade: setHeap(5) }));
  assert.deepEqual(await state(engine), { stable: 2n, global: 7n, heap: 5n });
  assert.equal(engine.version, version + 1n);
  upgrade(engine, marked({}));
  assert.deepEqual(await state(engine), { stable: 2n, global: 7n, heap: 0n });
});

test('skip_pre_upgrade', async () => {
  const engine = makeEngine(marked({ canister_init: grow, canister_pre_upgrade: UNREACHABLE }));
  await rejects(upgrading(engine, marked({})), 'IC0502', /unreachable/);
  upgrade(engine, marked({}), { skipPreUpgrade: true });
  assert.deepEqual(await state(engine), { stable: 0n, global: 7n, heap: 0n });
});

test('the argument goes to post_upgrade alone', async () => {
  const engine = makeEngine(build('sample'));
  const probe = assemble({
    imports: [['msg_arg_data_size', [], ['i32']], ['trap', ['i32', 'i32'], []]],
    functions: [{ export: 'canister_post_upgrade', code: [...i32(0), ...callFunction(0), ...callFunction(1)] }],
    memories: [[0, 1]],
    data: [[0, ...i32(0), 0x0b, 3, 0x61, 0x62, 0x63]],
  });
  await rejects(upgrading(engine, probe, { arg: words(1).subarray(0, 2) }), 'IC0503', /with message: ab$/);
  const reads = marked({ canister_pre_upgrade: [...callFunction(5), ...DROP] }, {
    imports: [
      ['stable64_grow', ['i64'], ['i64']],
      ['stable64_write', ['i64', 'i64', 'i64'], []],
      ['stable64_read', ['i64', 'i64', 'i64'], []],
      ['msg_reply_data_append', ['i32', 'i32'], []],
      ['msg_reply', [], []],
      ['msg_arg_data_size', [], ['i32']],
    ],
  });
  const other = makeEngine(reads);
  await rejects(upgrading(other, first), 'IC0504', /"ic0_msg_arg_data_size" cannot be executed in pre-upgrade mode$/);
});

test('a failure at any point leaves everything as it was', async () => {
  const engine = makeEngine(first);
  const [before, version, hash] = [await state(engine), engine.version, engine.moduleHash];
  const failing = [
    [marked({ canister_post_upgrade: [...setHeap(9), ...grow, ...saveHeap, ...UNREACHABLE] }), 'IC0502'],
    [marked({ canister_pre_upgrade: [] }, { start: 7, functions: [{ code: [] }, { code: [] }, { code: UNREACHABLE }] }), 'IC0502'],
    [EMPTY, 'IC0505'],
  ];
  for (const [module, code] of failing) {
    await rejects(upgrading(engine, module), code, /./);
    assert.deepEqual(await state(engine), before);
    assert.deepEqual([engine.version, engine.moduleHash], [version, hash]);
  }
  const empty = makeEngine(first);
  empty.uninstall();
  await rejects(upgrading(empty, first), 'IC0537', /contains no Wasm module/);
});

test('a module with enhanced orthogonal persistence: the heap is kept when asked, and must be asked about', async () => {
  const custom = [['icp:private enhanced-orthogonal-persistence', '']];
  const persistent = (hooks) => marked(hooks, { custom });
  const engine = makeEngine(persistent({ canister_init: [...grow, ...setGlobal(1), ...setHeap(2)] }));
  await call(engine, 'query', 'state'); // leaves the instance stale
  const next = persistent({ canister_post_upgrade: saveHeap });
  await rejects(
    upgrading(engine, next),
    'IC0504',
    /^Missing upgrade option: Enhanced orthogonal persistence requires the `wasm_memory_persistence` upgrade option\.$/,
  );
  await rejects(
    upgrading(engine, marked({}), { memory: 'keep' }),
    'IC0504',
    /^Invalid upgrade option: The `wasm_memory_persistence: opt Keep` upgrade option requires that/,
  );
  upgrade(engine, next, { memory: 'keep' });
  assert.deepEqual(await state(engine), { stable: 2n, global: 7n, heap: 2n });
  upgrade(engine, next, { memory: 'replace' });
  assert.deepEqual(await state(engine), { stable: 0n, global: 7n, heap: 0n });
});

test('the Motoko canister: its region and version survive, only a controller writes', async () => {
  const motoko = build('motoko');
  const engine = makeEngine(motoko, { arg: NO_ARGUMENT });
  assert.equal(engine.metadata.get('candid:service').visibility, 'public');
  const types = {
    stable_size: [[], [IDL.Nat64]],
    stable_read: [[IDL.Nat64, IDL.Nat64], [IDL.Vec(IDL.Nat8)]],
    stable_write: [[IDL.Nat64, IDL.Vec(IDL.Nat8)], []],
    stable_version: [[], [IDL.Record({ version: IDL.Nat64, mtime_ns: IDL.Nat64, size: IDL.Nat64 })]],
  };
  const ask = async (kind, method, ...values) => (await callCandid(engine, kind, method, types[method], values))[0];
  const data = new Uint8Array(70_000).map((_, i) => i % 251);
  await ask('update', 'stable_write', 3n, data);
  assert.equal(await ask('query', 'stable_size'), 70_003n);
  const version = await ask('query', 'stable_version');
  assert.equal(version.size, 70_003n);
  upgrade(engine, motoko, { arg: NO_ARGUMENT, memory: 'keep' });
  assert.deepEqual(await ask('query', 'stable_version'), version);
  assert.deepEqual(Uint8Array.from(await ask('query', 'stable_read', 3n, 70_000n)), data);
  await rejects(ask('query', 'stable_read', 4n, 70_000n), 'IC0503', /the range is not within the size/);
  const write = callCandid(engine, 'update', 'stable_write', types.stable_write, [0n, data], STRANGER);
  await rejects(write, 'IC0406', /^denied/);
  await ask('update', 'stable_write', 0n, Uint8Array.of(1));
  assert.ok((await ask('query', 'stable_version')).version > version.version);
});
