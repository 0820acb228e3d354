// The building bricks of the network's protocol, each against published vectors or rules: hashes, CBOR, hash trees and
// their witnesses, envelopes of real clients.

import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Random } from '../../mount/random.mjs';
import { decode, encode, encodeInPieces, encodeTagged, head } from '../cbor.mjs';
import { openEnvelope } from '../envelope.mjs';
import { hashOfMap } from '../hash.mjs';
import { makeKeys, makeSecret } from '../keys.mjs';
import { fromText, textOf } from '../principal.mjs';
import { leaf, level, witness } from '../tree.mjs';
import { hex, leaves, lookup, rootHash, vector } from './wire_fixture.mjs';

const bytes = (text) => new Uint8Array(Buffer.from(text, 'hex'));

/** A value of request_ids.json, as JavaScript holds it. */
function typed([[type, value]]) {
  switch (type) {
    case 'text':
      return value;
    case 'blob':
      return bytes(value);
    case 'nat':
      return BigInt(value);
    case 'array':
      return value.map((item) => typed(Object.entries(item)));
    default:
      assert.equal(type, 'map');
      return typedMap(value);
  }
}
const typedMap = (map) => Object.fromEntries(Object.entries(map).map(([name, v]) => [name, typed(Object.entries(v))]));

test('hashes of maps are those of the published vectors', () => {
  const { vectors } = vector('request_ids.json');
  assert.equal(vectors.length, 10);
  for (const { note, fields, expected } of vectors) assert.equal(hex(hashOfMap(typedMap(fields))), expected, note);
});

test('a map is hashed without its absent fields', () => {
  assert.equal(hex(hashOfMap({ a: 1n, b: undefined, c: null })), hex(hashOfMap({ a: 1n })));
});

test('principals: one text each', () => {
  assert.equal(textOf(bytes('00000000000000020101')), 'ryjl3-tyaaa-aaaaa-aaaba-cai');
  assert.equal(hex(fromText('ryjl3-tyaaa-aaaaa-aaaba-cai')), '00000000000000020101');
  assert.equal(fromText('aaaaa-aa').length, 0);
  for (const text of ['ryjl3-tyaaa-aaaaa-aaaba-caj', 'ryjl3tyaaaaaaaaaaabacai', 'ryjl3', '', '../..']) {
    assert.equal(fromText(text), null, text);
  }
});

test('CBOR in pieces: the same bytes, and long byte strings uncopied', () => {
  const long = new Uint8Array(70_000).fill(7);
  for (const value of [{}, [], { a: [1, new Uint8Array(3), 'x', []], b: {} }, { tree: [2, long, [3, long]], last: long }]) {
    assert.equal(hex(encodeInPieces(value).toBytes()), hex(encodeTagged(value)));
  }
  const inner = encodeInPieces({ reply: long, rest: 'x' });
  const outer = encodeInPieces({ certificate: inner });
  assert.equal(hex(outer.toBytes()), hex(encodeTagged({ certificate: inner.toBytes() })));
  assert.equal(outer.length, outer.toBytes().length);
  assert.equal(outer.pieces.filter((piece) => piece === long).length, 1);
});

test('CBOR: what is not exactly one well-formed item is refused', () => {
  assert.deepEqual({ ...decode(encodeTagged({ a: 1n, b: 'x' })) }, { a: 1n, b: 'x' });
  assert.equal(decode(bytes('1bffffffffffffffff')), 2n ** 64n - 1n);
  const wrong = {
    '': 'unexpected end',
    '0000': 'trailing bytes',
    '42ff': 'unexpected end',
    '5bffffffffffffffff00': 'unexpected end',
    '9bffffffffffffffff00': 'unexpected end',
    a2616101616102: "duplicate key 'a'",
    a10102: 'map key is not text',
    '5f4101ff': 'indefinite length',
    '9f01ff': 'indefinite length',
    '61ff': 'text is not UTF-8',
    '1c': 'reserved length',
    '20': 'unexpected major type 1',
    c101: 'unexpected major type 6',
    f6: 'unexpected major type 7',
  };
  for (const [input, message] of Object.entries(wrong)) {
    assert.throws(() => decode(bytes(input)), { message }, input);
  }
  assert.throws(() => decode(Buffer.alloc(100_000, 0x81)), { message: 'nested too deeply' });
  assert.deepEqual(Object.keys(decode(encode({ a: 1, ['__proto__']: 2 }))), ['a', '__proto__']);
});

test('CBOR: heads of every length', () => {
  for (const count of [0, 23, 24, 255, 256, 65535, 65536, 3_145_728]) {
    assert.deepEqual([...head(2, count)], [...encode(new Uint8Array(count)).subarray(0, head(2, count).length)]);
    assert.equal(encode(new Uint8Array(count)).length, head(2, count).length + count);
  }
});

test('hash trees: the example of the specification', () => {
  const { root_hash: expected, full_cbor: full, pruned_cbor: pruned } = vector('hash_tree.json');
  assert.equal(hex(rootHash(decode(bytes(full)))), expected);
  assert.equal(hex(rootHash(decode(bytes(pruned)))), expected);
  const a = level([['x', leaf('hello')], ['y', leaf('world')]]);
  const tree = level([['a', a], ['b', leaf('good')]]);
  const shown = decode(encode(witness(tree, [[Buffer.from('a'), Buffer.from('y')]]).cbor));
  assert.equal(hex(rootHash(shown)), hex(tree.hash));
  assert.deepEqual(leaves(shown), ['a/y']);
  assert.equal(`${Buffer.from(lookup(shown, ['a', 'y']))}`, 'world');
  assert.equal(lookup(shown, ['a', 'x']), 'unknown');
  assert.equal(lookup(shown, ['b']), 'unknown');
});

const seed = Number(process.env.CANISTERFS_TEST_SEED ?? randomInt(2 ** 32));

test(`witnesses: root hash kept, present paths found, absent ones provably absent, the rest hidden (seed ${seed})`, () => {
  const random = new Random(seed);
  const labels = Array.from({ length: 40 }, (_, i) => Buffer.from([i * 6]));
  for (let round = 0; round < 300; round++) {
    const present = labels.filter(() => random.below(3) === 0);
    const inner = level(present.map((label) => [label, leaf(label)]));
    const tree = level([['k', inner], ['m', leaf('secret')], ['z', level([])]]);
    const asked = labels.filter(() => random.below(8) === 0);
    const shown = decode(encode(witness(tree, asked.map((label) => [Buffer.from('k'), label])).cbor));
    assert.equal(hex(rootHash(shown)), hex(tree.hash));
    for (const label of asked) {
      const isThere = present.includes(label);
      const found = lookup(shown, ['k', label]);
      assert.equal(isThere ? hex(found) : found, isThere ? hex(label) : 'absent');
    }
    const revealed = leaves(shown).length;
    assert.equal(revealed, asked.filter((label) => present.includes(label)).length);
    assert.equal(lookup(shown, ['m']), 'unknown');
  }
});

test('witnesses: whole subtrees, paths below leaves, paths in empty levels', () => {
  const tree = level([['a', level([['b', leaf('1')], ['c', leaf('2')]])], ['e', level([])], ['f', leaf('3')]]);
  const show = (...paths) => {
    const shown = decode(encode(witness(tree, paths.map((path) => path.map((l) => Buffer.from(l)))).cbor));
    assert.equal(hex(rootHash(shown)), hex(tree.hash));
    return shown;
  };
  assert.deepEqual(leaves(show(['a'])), ['a/b', 'a/c']);
  assert.deepEqual(leaves(show(['a'], ['a', 'b'])), ['a/b', 'a/c']);
  assert.deepEqual(leaves(show([])), ['a/b', 'a/c', 'f']);
  assert.equal(lookup(show(['e', 'x']), ['e', 'x']), 'absent');
  assert.equal(lookup(show(['f', 'x']), ['f', 'x']), 'absent');
  assert.equal(lookup(show(['d']), ['d']), 'absent');
  assert.equal(lookup(show(['d']), ['a']), 'unknown');
  assert.equal(lookup(show(['zz']), ['zz']), 'absent');
  assert.equal(lookup(show(['A']), ['A']), 'absent');
});

test('keys come from the seed', () => {
  const [one, same, other] = ['s', 's', 't'].map((seed) => makeKeys(makeSecret(seed)));
  assert.deepEqual(one.root.der, same.root.der);
  assert.notDeepEqual(one.root.der, other.root.der);
  assert.equal(one.root.der.length, 133);
  assert.equal(new Set([one.root, one.subnet, ...one.nodes].map(({ id }) => hex(id))).size, 6);
  assert.equal(new Set([makeSecret(null), makeSecret(null)].map(hex)).size, 2);
});

test('envelopes of real clients: request ids, and the signatures of every kind of key and of delegations', () => {
  const dir = new URL('../../data/vectors/client/', import.meta.url);
  const seen = {};
  for (const name of readdirSync(dir).filter((file) => file.endsWith('.req.bin'))) {
    const body = readFileSync(new URL(name, dir));
    const { request } = vector(`client/${name.replace('.req.bin', '.json')}`);
    const { content, sender_sig: signature } = decode(body);
    const open = (bytes) => openEnvelope(bytes, content.request_type, content.ingress_expiry - 60_000_000_000n);
    const { requestId } = open(body);
    if (request !== undefined) assert.equal(hex(requestId), request.request_id, name); // the last four lack it
    const kind = request?.delegations ? 'delegated' : (request?.sig_scheme ?? 'anonymous');
    seen[kind] = (seen[kind] ?? 0) + 1;
    if (signature === undefined) continue;
    const forged = Buffer.from(body);
    forged[forged.indexOf(signature) + 20] ^= 1;
    assert.throws(() => open(forged), { status: 403 }, name);
  }
  assert.deepEqual(Object.keys(seen).sort(), ['anonymous', 'delegated', 'ed25519', 'p256', 'secp256k1']);
});
