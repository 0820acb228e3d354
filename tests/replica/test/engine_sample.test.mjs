// The C canisters of tests/canisters on the engine: what they answer is decoded with @icp-sdk/core at the types of
// their .did files, and compared with bytes computed here.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { IDL } from '@icp-sdk/core/candid';
import { buildCanisters, call, callCandid, makeEngine, makeEnv, PAGE, rejects, STRANGER } from './engine_fixture.mjs';

const { Nat64, Int64, Text, Null, Vec, Nat8 } = IDL;
const Blob = Vec(Nat8);
const Version = IDL.Record({ version: Nat64, mtime_ns: Nat64, size: Nat64 });
const Err = IDL.Variant({ busy: Text, stale: Version, denied: Null, range: Null, corrupt: Text, other: Text });
const METHODS = {
  stable_size: [[], [Nat64]],
  stable_version: [[], [Version]],
  stable_read: [[Nat64, Nat64], [Blob]],
  stable_read_at: [[Nat64, Nat64, Nat64], [IDL.Variant({ ok: Blob, err: Err })]],
  stable_hash: [[Nat64, Nat64], [Blob]],
  stable_hashes: [[Nat64, Nat64, Nat64], [Blob]],
  stable_write: [[Nat64, Blob], []],
  stable_grow: [[Nat64], [Int64]],
  seed: [[Nat64, Nat64], []],
};
const UPDATES = new Set(['stable_write', 'stable_grow', 'seed']);
const MIB = 2 ** 20;

const module = buildCanisters();
const sha256 = (bytes) => new Uint8Array(createHash('sha256').update(bytes).digest());

/** Calls a method of the sample by its .did types; the single result, or undefined. */
async function sample(engine, method, ...values) {
  const kind = UPDATES.has(method) ? 'update' : 'query';
  const numbers = values.map((value) => (typeof value === 'number' ? BigInt(value) : value));
  return (await callCandid(engine, kind, method, METHODS[method], numbers))[0];
}

/** The documented stream (tests/canisters/README.md): word i is splitmix64(seed + i), little endian. */
function stream(seed, size) {
  const words = new BigUint64Array(Math.ceil(size / 8));
  for (let i = 0; i < words.length; i++) {
    let z = BigInt.asUintN(64, seed + BigInt(i) + 0x9e3779b97f4a7c15n);
    z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
    z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
    words[i] = z ^ (z >> 31n);
  }
  return new Uint8Array(words.buffer, 0, size);
}

describe('sample', () => {
  test('an empty memory', async () => {
    const engine = makeEngine(module('sample'));
    assert.equal(await sample(engine, 'stable_size'), 0n);
    assert.deepEqual(await sample(engine, 'stable_read', 0, 0), new Uint8Array(0));
    assert.deepEqual(await sample(engine, 'stable_hash', 0, 0), sha256(''));
    assert.deepEqual(await sample(engine, 'stable_hashes', 0, MIB, 0), new Uint8Array(0));
    const { version, mtime_ns, size } = await sample(engine, 'stable_version');
    assert.equal(size, 0n);
    assert.equal(version, mtime_ns);
    for (const [off, len] of [
      [0n, 1n],
      [1n, 0n],
      [0n, 2n ** 64n - 1n],
      [2n ** 64n - 1n, 2n],
    ]) {
      await rejects(
        sample(engine, 'stable_read', off, len),
        'IC0503',
        /stable_read: the range is not within the size$/,
      );
    }
  });

  test('seed writes the documented stream, of any size', async () => {
    const engine = makeEngine(module('sample'));
    for (const [size, seed] of [
      [3 * PAGE, 2n ** 64n - 5n],
      [1234567, 42n],
      [1, 7n],
      [8, 0n],
      [0, 1n],
    ]) {
      await sample(engine, 'seed', size, seed);
      assert.deepEqual(await sample(engine, 'stable_read', 0, size), stream(seed, size));
    }
    assert.equal(await sample(engine, 'stable_size'), BigInt(19 * PAGE)); // 1234567 bytes, rounded up
    const first = await sample(engine, 'stable_read', 0, 16); // splitmix64 of state 0 is e220a8397b1dcdaf
    assert.equal(Buffer.from(first.slice(0, 8)).toString('hex'), 'afcd1d7b39a820e2');
  });

  test('seed beyond the end keeps what lies after it, and fills a memory quickly', async () => {
    const engine = makeEngine(module('sample'));
    await sample(engine, 'seed', 256 * MIB, 9n);
    const tail = await sample(engine, 'stable_read', 256 * MIB - 100, 100);
    let z = stream(9n + BigInt((256 * MIB) / 8 - 13), 104).slice(4);
    assert.deepEqual(tail, z);
    await sample(engine, 'seed', 5, 1n);
    assert.deepEqual(
      await sample(engine, 'stable_read', 0, 10),
      new Uint8Array([...stream(1n, 5), ...stream(9n, 10).slice(5)]),
    );
    assert.deepEqual(await sample(engine, 'stable_read', 256 * MIB - 100, 100), z);
  });

  test('reads at odd offsets and lengths, up to the last byte', async () => {
    const engine = makeEngine(module('sample'));
    const size = 70 * PAGE;
    await sample(engine, 'seed', size, 3n);
    const expected = stream(3n, size);
    const ranges = [
      [0, size - PAGE * 30],
      [1, 1],
      [PAGE - 1, 2],
      [PAGE - 1, PAGE + 2],
      [4 * PAGE - 3, 4 * PAGE + 7],
      [size - 1, 1],
      [size - PAGE, PAGE],
      [size, 0],
      [12345, 3 * MIB - 100],
    ];
    for (const [off, len] of ranges) {
      assert.deepEqual(await sample(engine, 'stable_read', off, len), expected.slice(off, off + len), `${off}+${len}`);
      assert.deepEqual(await sample(engine, 'stable_hash', off, len), sha256(expected.slice(off, off + len)));
    }
    await rejects(sample(engine, 'stable_read', size, 1), 'IC0503', /not within the size/);
    await rejects(sample(engine, 'stable_read', size - 1, 2), 'IC0503', /not within the size/);
    await rejects(sample(engine, 'stable_hash', size - 1, 2), 'IC0503', /not within the size/);
  });

  test('replies beyond the limit are refused by the platform', async () => {
    const engine = makeEngine(module('sample'));
    await sample(engine, 'stable_grow', 500 * 2 ** 14);
    const overhead = 'DIDL'.length + 5 + 4; // table, argument, and four bytes of length
    assert.equal((await sample(engine, 'stable_read', 0, 3 * MIB - overhead)).length, 3 * MIB - overhead);
    for (const len of [3n * 2n ** 20n, 500n * 2n ** 30n]) {
      await rejects(sample(engine, 'stable_read', 0, len), 'IC0504', /cannot be larger than 3145728\.$/);
      await rejects(sample(engine, 'stable_hashes', 0, 1, len), 'IC0504', /cannot be larger than 3145728\.$/);
    }
    const arg = new Uint8Array(IDL.encode([Nat64, Nat64], [0n, 2n * 2n ** 20n]));
    await rejects(call(engine, 'update', 'stable_read', arg), 'IC0504', /cannot be larger than 2097152\.$/);
  });

  test('hashes of pieces', async () => {
    const engine = makeEngine(module('sample'));
    const size = 40 * PAGE;
    await sample(engine, 'seed', size, 4n);
    const bytes = stream(4n, size);
    const expected = (off, piece, n) =>
      new Uint8Array(
        Buffer.concat(Array.from({ length: n }, (_, i) => sha256(bytes.slice(off + i * piece, off + (i + 1) * piece)))),
      );
    for (const [off, piece, n] of [
      [0, MIB, 3],
      [PAGE, MIB, 2],
      [0, PAGE, 40],
      [7, 1000, 5],
      [size - 1, 1, 1],
      [size, 10, 0],
      [3, 2 ** 40, 1],
    ]) {
      assert.deepEqual(
        await sample(engine, 'stable_hashes', off, piece, n),
        expected(off, piece, n),
        `${off} ${piece} ${n}`,
      );
    }
    for (const [off, piece, n] of [
      [0, MIB, 4],
      [size, 1, 1],
      [size + 1, 1, 0],
      [0n, 2n ** 63n, 3n],
      [1n, 2n ** 64n - 1n, 2n],
      [0n, 1n, 2n ** 64n - 1n],
    ]) {
      await rejects(sample(engine, 'stable_hashes', off, piece, n), 'IC0503', /not within the size/);
    }
    await rejects(sample(engine, 'stable_hashes', 0, 0, 1), 'IC0503', /pieces of 0 bytes/);
  });

  test('write grows, across 4 GiB and at 100 GiB, and the rest reads as zeros', async () => {
    const engine = makeEngine(module('sample'));
    const bytes = stream(5n, 600001);
    for (const off of [100n * 2n ** 30n + 1n, 2n ** 32n - 300000n, 17n]) {
      await sample(engine, 'stable_write', off, bytes);
      assert.deepEqual(await sample(engine, 'stable_read', off, bytes.length), bytes);
      assert.deepEqual(
        await sample(engine, 'stable_read', off - 17n, 18),
        new Uint8Array([...new Uint8Array(17), bytes[0]]),
      );
    }
    assert.equal(await sample(engine, 'stable_size'), 100n * 2n ** 30n + BigInt(10 * PAGE));
    assert.deepEqual(await sample(engine, 'stable_read', 50n * 2n ** 30n, 3 * PAGE), new Uint8Array(3 * PAGE));
    await rejects(
      sample(engine, 'stable_write', 500n * 2n ** 30n, Uint8Array.of(1)),
      'IC0503',
      /stable memory cannot grow that far$/,
    );
    await rejects(
      sample(engine, 'stable_write', 2n ** 64n - 1n, Uint8Array.of(1)),
      'IC0503',
      /stable memory cannot grow that far$|overflows$/,
    );
    await rejects(
      sample(engine, 'stable_write', 2n ** 64n - 1n, Uint8Array.of(1, 2)),
      'IC0503',
      /the range overflows$/,
    );
  });

  test('grow', async () => {
    const engine = makeEngine(module('sample'));
    assert.equal(await sample(engine, 'stable_grow', 3), 0n);
    assert.equal(await sample(engine, 'stable_grow', 0), 3n);
    assert.equal(await sample(engine, 'stable_grow', 2n ** 64n - 1n), -1n);
    assert.equal(await sample(engine, 'stable_size'), BigInt(3 * PAGE));
  });

  test('the version changes with the data and only then, also when the clock stands still', async () => {
    const env = makeEnv();
    const engine = makeEngine(module('sample'), { env });
    const changes = { grow: ['stable_grow', 2], write: ['stable_write', 3, Uint8Array.of(1)], seed: ['seed', 10, 1n] };
    let last = await sample(engine, 'stable_version');
    for (const [method, ...values] of Object.values(changes)) {
      await sample(engine, method, ...values);
      const now = await sample(engine, 'stable_version');
      assert.ok(now.version > last.version && now.mtime_ns > last.mtime_ns, method);
      assert.equal(now.size, await sample(engine, 'stable_size'));
      last = now;
    }
    for (const [method, ...values] of [
      ['stable_grow', 0],
      ['stable_grow', 2n ** 40n],
      ['stable_write', 3, new Uint8Array(0)],
      ['stable_write', 2n ** 50n, new Uint8Array(0)],
      ['seed', 0, 1n],
    ]) {
      await sample(engine, method, ...values);
      assert.deepEqual(await sample(engine, 'stable_version'), last, method);
    }
    env.time = () => last.mtime_ns - 5n; // even backwards
    await sample(engine, 'stable_write', 3, Uint8Array.of(2));
    assert.deepEqual(await sample(engine, 'stable_version'), {
      ...last,
      version: last.version + 1n,
      mtime_ns: last.mtime_ns - 5n,
    });
  });

  test('read_at proves the version', async () => {
    const engine = makeEngine(module('sample'));
    await sample(engine, 'seed', 2 * PAGE, 6n);
    const now = await sample(engine, 'stable_version');
    assert.deepEqual(await sample(engine, 'stable_read_at', now.version, 5, PAGE), {
      ok: stream(6n, 2 * PAGE).slice(5, 5 + PAGE),
    });
    assert.deepEqual(await sample(engine, 'stable_read_at', now.version, 2 * PAGE, 0), { ok: new Uint8Array(0) });
    assert.deepEqual(await sample(engine, 'stable_read_at', now.version, 2 * PAGE, 1), { err: { range: null } });
    assert.deepEqual(await sample(engine, 'stable_read_at', now.version - 1n, 0, 1), { err: { stale: now } });
    await sample(engine, 'stable_write', 0, Uint8Array.of(9));
    assert.deepEqual(await sample(engine, 'stable_read_at', now.version, 0, 1), {
      err: { stale: await sample(engine, 'stable_version') },
    });
  });

  test('only controllers may change the data', async () => {
    const engine = makeEngine(module('sample'));
    const before = await sample(engine, 'stable_version');
    for (const [method, values] of [
      ['stable_write', [0n, Uint8Array.of(1)]],
      ['stable_grow', [1n]],
      ['seed', [8n, 1n]],
    ]) {
      await rejects(
        callCandid(engine, 'update', method, METHODS[method], values, STRANGER),
        'IC0406',
        /^denied: only a controller of this canister may change its data$/,
      );
      await rejects(callCandid(engine, 'query', method, METHODS[method], values), 'IC0536', /no query method/);
    }
    assert.deepEqual(await sample(engine, 'stable_version'), before);
    assert.deepEqual(await callCandid(engine, 'query', 'stable_size', METHODS.stable_size, [], STRANGER), [0n]);
  });

  test('its interface description is public metadata', () => {
    for (const name of ['sample', 'hello']) {
      const { visibility, content } = makeEngine(module(name)).metadata.get('candid:service');
      assert.equal(visibility, 'public');
      assert.deepEqual(Buffer.from(content), readFileSync(new URL(`../../canisters/${name}.did`, import.meta.url)));
    }
  });
});

describe('hostile arguments', () => {
  const refused = /argument: (not valid Candid|too few|not of the type)/;

  test('every argument that is cut short or of other types is refused', async () => {
    const engine = makeEngine(module('sample'));
    const good = IDL.encode([Nat64, Blob], [1n, Uint8Array.of(1, 2, 3)]);
    for (let len = 0; len < good.length; len++) {
      await rejects(call(engine, 'update', 'stable_write', new Uint8Array(good.slice(0, len))), 'IC0503', refused);
    }
    const wrong = [
      [[], []],
      [[Nat64], [1n]],
      [
        [Blob, Nat64],
        [[1], 1n],
      ],
      [
        [Nat64, Text],
        [1n, 'x'],
      ],
      [
        [IDL.Nat, Blob],
        [1n, [1]],
      ],
      [
        [Nat64, Vec(IDL.Nat16)],
        [1n, [1]],
      ],
      [
        [Nat64, IDL.Opt(Blob)],
        [1n, [[1]]],
      ],
      [
        [IDL.Record({ a: Nat64 }), Blob],
        [{ a: 1n }, [1]],
      ],
    ];
    for (const [types, values] of wrong) {
      await rejects(
        call(engine, 'update', 'stable_write', new Uint8Array(IDL.encode(types, values))),
        'IC0503',
        refused,
      );
    }
    assert.equal(await sample(engine, 'stable_size'), 0n);
  });

  test('malformed headers', async () => {
    const engine = makeEngine(module('sample'));
    const bytes = (...parts) => new Uint8Array(Buffer.concat(parts.map((part) => Buffer.from(part))));
    const huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    const bad = {
      magic: bytes('DIDX', [0, 2, 0x78, 0x78], new Uint8Array(16)),
      'types without end': bytes('DIDL', huge),
      'arguments without end': bytes('DIDL', [0], huge),
      'more types than held': bytes('DIDL', [65], new Uint8Array(130).fill(0x6d)),
      'length of 11 bytes': bytes('DIDL', new Uint8Array(10).fill(0x80), [0]),
      'number above 64 bits': bytes('DIDL', new Uint8Array(9).fill(0xff), [2]),
      'index beyond the table': bytes('DIDL', [0, 1, 0]),
      'constructor as a reference': bytes('DIDL', [0, 1, 0x6e]),
      'primitive in the table': bytes('DIDL', [1, 0x7d, 0]),
      'index in the table': bytes('DIDL', [1, 0, 0]),
      'fields out of order': bytes('DIDL', [1, 0x6c, 2, 5, 0x78, 5, 0x78, 0]),
      'fields without end': bytes('DIDL', [1, 0x6c], huge),
      'field id above 32 bits': bytes('DIDL', [1, 0x6c, 1, 0x80, 0x80, 0x80, 0x80, 0x10, 0x78, 0]),
      'method name beyond the end': bytes('DIDL', [1, 0x69, 1, 0x7f, 0]),
      'future type beyond the end': bytes('DIDL', [1, 0x67, 0x7f, 0]),
    };
    for (const [what, arg] of Object.entries(bad)) {
      await assert.doesNotReject(rejects(call(engine, 'query', 'stable_read', arg), 'IC0503', refused), what);
    }
  });

  test('legal but unusual headers are understood', async () => {
    const engine = makeEngine(module('sample'));
    await sample(engine, 'seed', 100, 1n);
    const numbers = Buffer.alloc(16);
    numbers.writeBigUInt64LE(10n, 8);
    const table = [
      0x80 + 7,
      0, // seven entries, over-long
      0x6d,
      0x7b,
      0x6e,
      6,
      0x6c,
      2,
      1,
      0,
      0xff,
      0xff,
      0xff,
      0xff,
      0x0f,
      5,
      0x6b,
      0,
      0x6a,
      1,
      0x7d,
      1,
      0,
      1,
      1,
      0x69,
      1,
      1,
      0x61,
      4,
      0x67,
      2,
      1,
      2,
    ];
    const args = [3, 0xf8, 0x7f, 0x78, 0x70]; // nat64 over-long, nat64, one more that is ignored
    const reply = await call(
      engine,
      'query',
      'stable_read',
      new Uint8Array(Buffer.concat([Buffer.from('DIDL'), Buffer.from([...table, ...args]), numbers])),
    );
    assert.deepEqual(IDL.decode([Blob], reply)[0], stream(1n, 10));
  });

  test('a blob whose length lies, or wraps', async () => {
    const engine = makeEngine(module('sample'));
    const head = Buffer.concat([Buffer.from('DIDL'), Buffer.from([1, 0x6d, 0x7b, 2, 0x78, 0, 0, 0, 0, 0, 0, 0, 0, 0])]);
    for (const length of [
      [2],
      [0xff, 0xff, 0xff, 0xff, 0x0f],
      [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    ]) {
      await rejects(
        call(engine, 'update', 'stable_write', new Uint8Array(Buffer.concat([head, Buffer.from([...length, 65])]))),
        'IC0503',
        refused,
      );
    }
    await call(engine, 'update', 'stable_write', new Uint8Array(Buffer.concat([head, Buffer.from([0x81, 0, 65])])));
    assert.deepEqual(await sample(engine, 'stable_read', 0, 2), Uint8Array.of(65, 0));
  });
});

describe('hello', () => {
  const greet = async (engine, name) => (await callCandid(engine, 'query', 'greet', [[Text], [Text]], [name]))[0];

  test('greets', async () => {
    const engine = makeEngine(module('hello'));
    for (const name of ['', 'Ada', 'Zoë 漢字 🦀', 'x'.repeat(4000)])
      assert.equal(await greet(engine, name), `Hello, ${name}!`);
    await rejects(greet(engine, 'x'.repeat(5000)), 'IC0503', /argument: /);
    await rejects(
      call(engine, 'query', 'stable_size', Uint8Array.from(Buffer.from('DIDL\0\0'))),
      'IC0536',
      /no query method 'stable_size'/,
    );
  });

  test('refuses what is not UTF-8', async () => {
    const engine = makeEngine(module('hello'));
    const bad = [
      [0x80],
      [0xc1, 0x80],
      [0xc2],
      [0xc2, 0x41],
      [0xe0, 0x9f, 0xbf],
      [0xed, 0xa0, 0x80],
      [0xf0, 0x8f, 0xbf, 0xbf],
      [0xf4, 0x90, 0x80, 0x80],
      [0xf5, 0x80, 0x80, 0x80],
      [0xff],
      [0xe2, 0x82],
      [0xe2, 0x82, 0x41],
    ];
    for (const bytes of bad) {
      const arg = new Uint8Array([...Buffer.from('DIDL'), 0, 1, 0x71, bytes.length, ...bytes]);
      await rejects(call(engine, 'query', 'greet', arg), 'IC0503', /argument: not valid Candid/);
    }
  });
});
