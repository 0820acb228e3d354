// A Motoko actor as today's compiler makes it: 64-bit memory, passive data, a start function, a garbage collector.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { IDL } from '@icp-sdk/core/candid';
import { CanisterEngine } from '../engine/canister.mjs';
import { callCandid, ID, makeEngine, makeEnv, rejects, scratch } from './engine_fixture.mjs';

const require = createRequire(import.meta.url);
const SOURCE = `
persistent actor {
  var n : Nat = 0;
  var items : [Text] = [];
  public query func greet(name : Text) : async Text { "Hello, " # name };
  public func increment() : async Nat { n += 1; n };
  public query func count() : async Nat { n += 1; n };
  public func keep(text : Text) : async Nat {
    items := [text, text # text];
    items[1].size()
  };
  public query func kept() : async [Text] { items };
  public func fail() : async () { n += 100; assert false };
  public query func work(size : Nat) : async Nat {
    var i = 0;
    var sum = 0;
    while (i < size) { let t = [i, i + 1]; sum += t[1]; i += 1 };
    sum
  };
};`;

function compile() {
  const motoko = require('motoko').default ?? require('motoko');
  const file = motoko.file('Main.mo');
  file.write(SOURCE);
  return Uint8Array.from(file.wasm('ic').wasm);
}

const types = {
  greet: [[IDL.Text], [IDL.Text]],
  increment: [[], [IDL.Nat]],
  count: [[], [IDL.Nat]],
  keep: [[IDL.Text], [IDL.Nat]],
  kept: [[], [IDL.Vec(IDL.Text)]],
  fail: [[], []],
  work: [[IDL.Nat], [IDL.Nat]],
};
const ask = async (engine, kind, method, ...values) =>
  (await callCandid(engine, kind, method, types[method], values))[0];
const EMPTY_CANDID = new Uint8Array(Buffer.from('DIDL\0\0'));

test('a wasm64 actor: queries, updates, traps, heap growth, saved state', async () => {
  const engine = makeEngine(compile(), { arg: EMPTY_CANDID });
  assert.deepEqual(engine.metadata.get('candid:service').visibility, 'private'); // as the compiler writes it
  assert.equal(await ask(engine, 'query', 'greet', 'Ada'), 'Hello, Ada');
  for (let i = 0; i < 3; i++) assert.equal(await ask(engine, 'query', 'count'), 1n);
  assert.equal(await ask(engine, 'update', 'increment'), 1n);
  assert.equal(await ask(engine, 'update', 'increment'), 2n);
  assert.equal(await ask(engine, 'update', 'count'), 3n); // replicated query
  assert.equal(await ask(engine, 'query', 'count'), 3n);
  await rejects(ask(engine, 'update', 'fail'), 'IC0503', /assertion failed/);
  assert.equal(await ask(engine, 'query', 'count'), 3n);
  const before = engine.memoryMetrics.wasmMemory;
  const size = 500_000n; // allocates more than the initial heap
  for (let i = 0; i < 3; i++) assert.equal(await ask(engine, 'query', 'work', size), (size * (size + 1n)) / 2n);
  assert.equal(engine.memoryMetrics.wasmMemory, before);
  assert.equal(await ask(engine, 'update', 'keep', 'x'.repeat(100_000)), 200_000n);
  assert.deepEqual(
    (await ask(engine, 'query', 'kept')).map((text) => text.length),
    [100_000, 200_000],
  );
  const dir = scratch();
  engine.saveState(dir);
  const again = CanisterEngine.loadState(dir, { id: ID, env: makeEnv() });
  assert.deepEqual(
    (await ask(again, 'query', 'kept')).map((text) => text.length),
    [100_000, 200_000],
  );
  assert.equal(await ask(again, 'update', 'increment'), 3n);
  assert.equal(await ask(engine, 'query', 'count'), 3n);
});
