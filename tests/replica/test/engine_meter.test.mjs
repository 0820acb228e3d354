// Instruction counting: what is counted, that every kind of endless loop ends with IC0522, and that rewritten code does
// what the original does.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { call, makeEngine, makeEnv, rejects } from './engine_fixture.mjs';
import { assemble, callFunction, DROP, i32, i64, store64 } from './engine_wasm.mjs';

const END = 0x0b;
const loop = (...code) => [0x03, 0x40, ...code, END];
const br = (depth) => [0x0c, depth];
const FOREVER = loop(...br(0));
const imports = [
  ['msg_reply_data_append', ['i32', 'i32'], []],
  ['msg_reply', [], []],
  ['performance_counter', ['i32'], ['i64']],
  ['time', [], ['i64']],
  ['debug_print', ['i32', 'i32'], []],
];
const [REPLY, COUNTER, TIME, PRINT] = [1, 2, 3, 4];
/** Replies with the instructions counted so far. */
const replyCounter = [
  ...i32(0),
  ...[...i32(0), ...callFunction(COUNTER), ...store64],
  ...[...i32(0), ...i32(8), ...callFunction(0)],
  ...callFunction(REPLY),
];
const HOST = 20; // each System API call

const moduleOf = (methods, parts = {}) =>
  assemble({
    imports,
    memories: [[0, 2]],
    functions: Object.entries(methods).map(([name, code]) => ({ code, export: name })),
    ...parts,
  });

const counted = async (code) => {
  const engine = makeEngine(moduleOf({ 'canister_query count': [...code, ...replyCounter] }));
  return new BigUint64Array((await call(engine, 'query', 'count')).buffer)[0];
};

test('an instruction counts 1, a byte of a bulk operation 1 more', async () => {
  const plain = await counted([]); // its whole segment, of nine instructions with the end, and one System API call
  assert.equal(plain, 9n + BigInt(HOST));
  assert.equal(await counted([...i32(1), ...DROP]), plain + 2n);
  const fill = (size) => [...i32(100), ...i32(0), ...i32(size), 0xfc, 11, 0];
  assert.equal(await counted(fill(0)), plain + 4n);
  assert.equal(await counted(fill(1000)), plain + 4n + 1000n);
  assert.equal(await counted([...i32(100), ...i32(0), ...i32(77), 0xfc, 10, 0, 0]), plain + 4n + 77n);
});

test('only what is executed counts', async () => {
  const plain = await counted([]);
  const branch = (condition) => [...i32(condition), 0x04, 0x40, ...i32(1), ...DROP, ...i32(1), ...DROP, END];
  // the condition and the if; then the branch of four and its end, or not
  assert.equal((await counted(branch(1))) - (await counted(branch(0))), 5n);
  const tenTimes = (body) => [
    ...[...i32(8), ...i64(10), ...store64],
    ...loop(
      ...body,
      ...[...i32(8), ...i32(8), 0x29, 3, 0, ...i64(1), 0x7d, ...store64], // counts down
      ...[...i32(8), 0x29, 3, 0, 0x50, 0x45, 0x0d, 0], // not zero: again
    ),
  ];
  assert.equal((await counted(tenTimes([...i32(1), ...DROP]))) - (await counted(tenTimes([]))), 20n);
  assert.ok((await counted(tenTimes([]))) > plain + 100n);
});

const few = () => makeEnv({ instructionPercent: () => 0.01 }); // 4 M for an update
const text = /^Error from Canister [\w-]+: Canister exceeded the instruction limit for single message execution\.$/;

for (const [what, code, parts] of [
  ['a loop', FOREVER],
  ['a loop behind conditions', loop(...i32(1), 0x0d, 0)],
  ['a loop of System API calls', loop(...callFunction(TIME), ...DROP, ...br(0))],
  ['a loop of large System API calls', loop(...i32(0), ...i32(65536), ...callFunction(PRINT), ...br(0))],
  ['a loop of large fills', loop(...i32(0), ...i32(0), ...i32(131072), 0xfc, 11, 0, ...br(0))],
  ['a loop of large copies', loop(...i32(0), ...i32(0), ...i32(131072), 0xfc, 10, 0, 0, ...br(0))],
  ['a loop of growing tables', loop(0xd0, 0x70, ...i32(1000), 0xfc, 15, 0, ...DROP, ...br(0)), { tables: [[0x70, 0, 1]] }],
  ['a loop in a loop that ends', loop(...loop(...i32(0), 0x0d, 0), ...br(0))],
  ['tail calls', [0x12, imports.length]],
  ['a jump table', loop(...i32(0), 0x0e, 1, 0, 0)],
]) {
  test(`stopped: ${what}`, async () => {
    const module = moduleOf({ 'canister_update spin': code, 'canister_query answer': replyCounter }, parts);
    const engine = makeEngine(module, { env: few() });
    await rejects(call(engine, 'update', 'spin'), 'IC0522', text);
    assert.ok((await call(engine, 'query', 'answer')).length === 8);
  });
}

test('recursion ends at the stack or at the limit', async () => {
  const engine = makeEngine(moduleOf({ 'canister_update deeper': callFunction(imports.length) }), { env: few() });
  await rejects(call(engine, 'update', 'deeper'), 'IC0502', /stack overflow/);
});

test('limits by context: install, inspect_message, queries', async () => {
  const spins = (name) => moduleOf({ [name]: FOREVER, 'canister_update work': [] });
  for (const name of ['start', 'canister_init']) {
    const module = name === 'start' ? moduleOf({ f: FOREVER }, { start: imports.length }) : spins(name);
    const install = async () => makeEngine(module, { env: makeEnv({ instructionPercent: () => 0.001 }) });
    await rejects(install(), 'IC0522', text);
  }
  const engine = makeEngine(spins('canister_inspect_message'), { env: few() });
  await rejects((async () => engine.inspect({ method: 'work', arg: new Uint8Array(0), caller: new Uint8Array(0) }))(), 'IC0522', text);
  const query = makeEngine(spins('canister_query spin'), { env: few() });
  await rejects(call(query, 'query', 'spin'), 'IC0522', text);
});

test('vectors, 64-bit memory, every kind of immediate keep their meaning', async () => {
  const splat = [...i32(7), 0xfd, 17]; // i32x4.splat
  const shuffle = [...splat, ...splat, 0xfd, 13, ...Array(16).fill(4)];
  const constant = [0xfd, 12, ...Array(16).fill(9)];
  const lane = (code) => [...code, 0xfd, 27, 3]; // i32x4.extract_lane 3
  const code = [
    ...[...i32(0), ...lane(shuffle), 0x36, 2, 0],
    ...[...i32(4), ...lane(constant), 0x36, 2, 0],
    ...[...i32(16), ...constant, 0xfd, 11, 4, 0], // v128.store
    ...[...i32(8), ...i32(16), ...splat, 0xfd, 84, 0, 0, 5, ...DROP], // v128.load8_lane
    ...DROP,
    ...[...i32(0), ...i32(8), ...callFunction(0), ...callFunction(REPLY)],
  ];
  const engine = makeEngine(moduleOf({ 'canister_query vectors': code }));
  const bytes = Buffer.from(await call(engine, 'query', 'vectors'));
  assert.equal(bytes.readUInt32LE(0), 0x07070707); // byte 4 of the first, sixteen times
  assert.equal(bytes.readUInt32LE(4), 0x09090909);
});
