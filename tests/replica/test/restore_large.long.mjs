// A restore of 3 GiB, most of it holes, under the platform's limits: more is sent than one message may copy.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { IDL } from '@icp-sdk/core/candid';
import { CONTROLLER, PAGE } from './engine_fixture.mjs';
import { CHUNK_MAX, content, makeSample, METHODS, MIB, OK, sha256 } from './restore_fixture.mjs';

const SIZE = 3072;
const SENT = [100, 1400]; // in MiB, as are all numbers here
const KEPT = [1500, 1510];

test('3 GiB on a base, 1300 MiB of them sent', { timeout: 600_000 }, async () => {
  const sample = makeSample();
  const block = content(MIB, 9);
  /** The content of one MiB: the block with its number in front; zeros in the holes. */
  const piece = (i) => {
    const isHole = !(i >= SENT[0] && i < SENT[1]) && !(i >= KEPT[0] && i < KEPT[1]);
    if (isHole) return new Uint8Array(MIB);
    const bytes = Buffer.from(block);
    bytes.writeUInt32LE(i);
    return bytes;
  };
  await sample.stable_grow((2000 * MIB) / PAGE);
  for (let i = KEPT[0]; i < KEPT[1]; i++) await sample.stable_write(i * MIB, piece(i));
  await sample.stable_write(SENT[0] * MIB + 5, Uint8Array.of(1, 2, 3));

  const hash = createHash('sha256');
  for (let i = 0; i < SIZE; i++) hash.update(sha256(piece(i)));
  const { version } = await sample.stable_version();
  const request = { target: 'stable_memory', size: BigInt(SIZE * MIB), sha256: new Uint8Array(hash.digest()) };
  const { session } = (await sample.restore_begin({ ...request, base_version: [version] })).ok;

  for (let at = SENT[0] * MIB; at < SENT[1] * MIB; at += CHUNK_MAX) {
    const end = Math.min(at + CHUNK_MAX, SENT[1] * MIB);
    const first = Math.floor(at / MIB);
    const pieces = Buffer.concat([piece(first), piece(first + 1), piece(first + 2)]);
    const bytes = pieces.subarray(at - first * MIB, end - first * MIB);
    assert.deepEqual(await sample.restore_chunk({ session, offset: BigInt(at), bytes }), OK);
  }

  const [types, results] = METHODS.restore_commit;
  const arg = new Uint8Array(IDL.encode(types, [session]));
  let [verifying, applying, most, upgraded] = [0, 0, 0, false];
  for (;;) {
    const { response, instructions } = sample.engine.update({ method: 'restore_commit', arg, caller: CONTROLLER });
    const [answer] = IDL.decode(results, response.reply);
    most = Math.max(most, instructions);
    if ('ok' in answer) break;
    assert.ok(answer.more, Object.keys(answer.err ?? {}).join());
    if (answer.more.done <= SIZE * MIB) {
      verifying++;
      continue;
    }
    applying++;
    assert.match((await sample.stable_read_at(version, 0, 1)).err.busy, /being applied/);
    if (!upgraded) sample.upgrade();
    upgraded = true;
  }
  assert.ok(most < 11e9, `${most} instructions`);
  assert.ok(verifying > 10 && applying >= 1, `${verifying} messages to verify, ${applying} to apply but the last`);
  assert.equal(await sample.stable_size(), BigInt(SIZE * MIB));
  for (let i = 0; i < SIZE; i += i % 100 === 99 || i % 100 === 0 ? 1 : 7) {
    assert.equal(Buffer.compare(await sample.stable_read(i * MIB, MIB), piece(i)), 0, `MiB ${i}`);
  }
});
