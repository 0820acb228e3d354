// Pieces of 1 MiB that are hashed as soon as they are there, and not again at the commit.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PAGE } from './engine_fixture.mjs';
import { assertContent, begin, beginOf, commit, content, makeSample, MIB, OK, send } from './restore_fixture.mjs';

const SIZE = 3 * MIB + 5 * PAGE; // the last piece is short
const CORRUPT = { err: { corrupt: 'the sha256 of the content is another' } };

const change = (sample, session, bytes, at) =>
  sample.restore_chunk({ session, offset: BigInt(at), bytes: Uint8Array.of(bytes[at] ^ 1) });

describe('pieces that are whole', () => {
  test('more than one message can hash is committed by one', async () => {
    const sample = makeSample();
    const bytes = content(160 * MIB, 1);
    const session = await begin(sample, bytes);
    await send(sample, session, bytes);
    assert.equal(await commit(sample, session), 1);
    await assertContent(sample, bytes);
  });

  test('after an upgrade they are hashed by the commit', async () => {
    const sample = makeSample();
    const bytes = content(160 * MIB, 1);
    const session = await begin(sample, bytes);
    await send(sample, session, bytes);
    sample.upgrade();
    assert.ok((await commit(sample, session)) > 1);
    await assertContent(sample, bytes);
  });

  test('in any order and of any size', async () => {
    const bytes = content(SIZE, 2);
    for (const size of [PAGE, 3 * PAGE + 77, MIB, MIB + 1]) {
      const sample = makeSample();
      const session = await begin(sample, bytes);
      const offs = Array.from({ length: Math.ceil(SIZE / size) }, (_, i) => i * size);
      for (const off of [...offs.filter((_, i) => i % 2 === 1).reverse(), ...offs.filter((_, i) => i % 2 === 0)]) {
        await send(sample, session, bytes, off, Math.min(SIZE, off + size));
      }
      assert.equal(await commit(sample, session), 1, `${size}`);
      await assertContent(sample, bytes);
    }
  });

  test('a byte that is sent once more counts', async () => {
    const bytes = content(SIZE, 3);
    for (const at of [0, MIB - 1, MIB, 2 * MIB + 4711, 3 * MIB, SIZE - 1]) {
      for (const upgrades of [false, true]) {
        const sample = makeSample();
        const session = await begin(sample, bytes);
        await send(sample, session, bytes);
        if (upgrades) sample.upgrade();
        assert.deepEqual(await change(sample, session, bytes, at), OK);
        assert.deepEqual(await sample.restore_commit(session), CORRUPT, `${at}`);
        await send(sample, session, bytes, at, at + 1);
        assert.deepEqual(await sample.restore_commit(session), OK);
        await assertContent(sample, bytes);
      }
    }
  });

  test("another session's are forgotten", async () => {
    const sample = makeSample();
    await sample.seed(SIZE, 9);
    const bytes = content(SIZE, 4);
    const session = await begin(sample, bytes);
    await send(sample, session, bytes);
    await sample.restore_abort(session);
    const next = await begin(sample, bytes, (await sample.stable_version()).version);
    assert.deepEqual(await sample.restore_commit(next), CORRUPT); // what is there is another content
    await send(sample, next, bytes, 0, MIB);
    assert.deepEqual(await sample.restore_commit(next), CORRUPT);
    await send(sample, next, bytes, MIB);
    assert.deepEqual(await sample.restore_commit(next), OK);
    await assertContent(sample, bytes);
  });

  test('those of the same session are not, when it is begun once more', async () => {
    const sample = makeSample();
    const bytes = content(160 * MIB, 5);
    const session = await begin(sample, bytes);
    await send(sample, session, bytes);
    assert.equal((await sample.restore_begin(beginOf(bytes))).ok.session, session);
    assert.equal(await commit(sample, session), 1);
    await assertContent(sample, bytes);
  });

  test('those that are partly the base are hashed as they are at the commit', async () => {
    const sample = makeSample();
    await sample.stable_grow(SIZE / PAGE);
    const bytes = content(SIZE, 6);
    for (let at = 0; at < SIZE; at += MIB) await sample.stable_write(at, bytes.subarray(at, at + MIB));
    bytes.fill(7, MIB - 9, 2 * MIB + 9); // one piece whole, of its neighbours a few bytes
    const session = await begin(sample, bytes, (await sample.stable_version()).version);
    await send(sample, session, bytes, MIB - 9, 2 * MIB + 9);
    assert.equal(await commit(sample, session), 1);
    await assertContent(sample, bytes);
  });
});
