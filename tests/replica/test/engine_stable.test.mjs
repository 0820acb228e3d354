// Sparse stable memory against a plain array: random messages, some rolled back.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_PAGES, PAGE, StableMemory } from '../engine/stable.mjs';

/** A small deterministic generator (mulberry32), so that a failure can be repeated. */
function random(seed) {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

test('random messages match a plain array', () => {
  const pick = random(1);
  let memory = new StableMemory();
  let committed = new Uint8Array(0);
  for (let message = 0; message < 400; message++) {
    let working = committed.slice();
    memory.begin(Infinity);
    for (let step = pick(6); step > 0; step--) {
      if (pick(10) === 0 && working.length < 12 * PAGE) {
        const pages = pick(3);
        assert.equal(memory.grow(pages), working.length / PAGE);
        const grown = new Uint8Array(working.length + pages * PAGE);
        grown.set(working);
        working = grown;
      }
      const offset = pick(working.length + 1);
      const length = pick(Math.min(working.length - offset, pick(4) === 0 ? 5 * PAGE : 100) + 1);
      if (pick(2) === 0) {
        const bytes = Uint8Array.from({ length }, () => pick(256));
        memory.write(offset, bytes);
        working.set(bytes, offset);
      }
      const target = new Uint8Array(length + 2).fill(7);
      memory.read(offset, target.subarray(1, 1 + length));
      assert.deepEqual(target, new Uint8Array([7, ...working.subarray(offset, offset + length), 7]));
    }
    if (pick(3) === 0) memory.rollback();
    else {
      memory.commit();
      committed = working;
    }
    assert.equal(memory.pages, committed.length / PAGE);
    if (pick(20) === 0) memory = StableMemory.from(memory.pages, memory.entries());
  }
  const all = new Uint8Array(committed.length);
  memory.begin(Infinity);
  memory.read(0, all);
  assert.deepEqual(all, committed);
  assert.ok(committed.length > 5 * PAGE);
});

test('out of bounds, exactly at the end', () => {
  const memory = new StableMemory();
  memory.begin(Infinity);
  memory.read(0, new Uint8Array(0));
  assert.throws(() => memory.read(0, new Uint8Array(1)), /out of bounds/);
  memory.grow(1);
  memory.write(PAGE - 1, Uint8Array.of(1));
  memory.read(PAGE, new Uint8Array(0));
  assert.throws(() => memory.write(PAGE - 1, new Uint8Array(2)), /out of bounds/);
  assert.throws(() => memory.read(PAGE + 1, new Uint8Array(0)), /out of bounds/);
  assert.throws(() => memory.read(2 ** 64, new Uint8Array(1)), /out of bounds/);
});

test('a full memory costs only the pages written', () => {
  const memory = new StableMemory();
  memory.begin(Infinity);
  assert.equal(memory.grow(MAX_PAGES), 0);
  assert.equal(memory.grow(1), -1);
  memory.write((MAX_PAGES - 1) * PAGE + 5, Uint8Array.of(1, 2));
  memory.commit();
  assert.deepEqual(
    [...memory.entries()].map(([number]) => number),
    [MAX_PAGES - 1],
  );
});

test('the 32-bit calls end at 4 GiB', () => {
  const memory = new StableMemory();
  memory.begin(Infinity);
  assert.equal(memory.grow32(65536), 0);
  memory.assert32bit();
  assert.equal(memory.grow32(1), -1);
  assert.equal(memory.grow(1), 65536);
  assert.throws(() => memory.assert32bit(), /larger than 4GB/);
  assert.throws(() => memory.grow32(0), /larger than 4GB/);
});

test('access limits count distinct units of 4 KiB, reads and writes apart', () => {
  const memory = new StableMemory();
  memory.begin(4 * 4096);
  memory.grow(10);
  const one = new Uint8Array(1);
  for (let round = 0; round < 3; round++) for (const unit of [0, 15, 16, 17]) memory.read(unit * 4096 + round, one);
  memory.write(4095, new Uint8Array(2)); // two units
  memory.write(3 * PAGE - 1, new Uint8Array(2)); // two more, on two pages
  memory.read(17 * 4096 + 4095, one);
  assert.throws(
    () => memory.read(17 * 4096 + 4095, new Uint8Array(2)),
    (error) => error.errorCode === 'IC0524',
  );
  assert.throws(
    () => memory.write(7 * 4096, one),
    (error) => error.errorCode === 'IC0524' && /modified/.test(error.message),
  );
  memory.begin(PAGE);
  memory.read(PAGE, new Uint8Array(PAGE));
  assert.throws(() => memory.read(0, one), /IC0524|accessed/);
});
