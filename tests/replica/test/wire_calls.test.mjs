// Queries and update calls over the wire: node signatures, certified outcomes, refusals with their codes, limits,
// sending again, latency, and a network that goes on from its state directory.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { install } from '../demo.mjs';
import { startNetwork } from '../network.mjs';
import { buildCanisters, scratch } from './engine_fixture.mjs';
import {
  call,
  checkNodeSignature,
  encode,
  envelope,
  hashValue,
  hex,
  IDL,
  inFuture,
  lookup,
  makeIdentity,
  message,
  nat64s,
  network,
  nodeKeys,
  openCertificate,
  outcome,
  post,
  Principal,
  query,
  readState,
} from './wire_fixture.mjs';

const MIB = 2 ** 20;
const SIZE = 8 * MIB;

const net = await network();
const owner = makeIdentity();
const build = buildCanisters();
const id = await install(net, owner.sender, build('sample'));
await net.callAs(owner.sender, id, 'seed', nat64s(SIZE, 1));
const keys = await nodeKeys(net, id);
const name = Principal.fromUint8Array(id).toText();

const blobOf = (reply) => Buffer.from(IDL.decode([IDL.Vec(IDL.Nat8)], new Uint8Array(reply))[0]);
const reading = (offset, length) => ({ canister: id, method: 'stable_read', arg: nat64s(offset, length) });
const read = (offset, length, options) => query(net, reading(offset, length), options);

/** The data of seed(size, 1), as tests/canisters/README.md defines it. */
function stream(offset, length) {
  const bytes = Buffer.alloc(length + 16);
  const mask = 2n ** 64n - 1n;
  for (let word = offset >> 3; (word - (offset >> 3)) * 8 < length + 8; word++) {
    let z = (1n + BigInt(word) + 0x9e3779b97f4a7c15n) & mask;
    z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & mask;
    z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & mask;
    bytes.writeBigUInt64LE(z ^ (z >> 31n), (word - (offset >> 3)) * 8);
  }
  return bytes.subarray(offset % 8, (offset % 8) + length);
}

describe('queries', () => {
  test('right bytes, signed by the nodes in turn', async () => {
    const seen = new Set();
    for (const version of [2, 3, 3, 3]) {
      const answer = await read(13, 1000, { version });
      assert.equal(answer.status, 200);
      assert.equal(answer.body.status, 'replied');
      assert.deepEqual(blobOf(answer.body.reply.arg), stream(13, 1000));
      seen.add(checkNodeSignature(answer, keys));
    }
    assert.equal(seen.size, 4);
  });

  test('large replies at once do not mix', async () => {
    const length = 3 * MIB - 1024;
    const offsets = [0, 7, 100_000, MIB, 2 * MIB + 1, 3 * MIB, 4 * MIB, 5 * MIB];
    const answers = await Promise.all(offsets.map((offset) => read(offset, length)));
    for (const [i, answer] of answers.entries()) {
      checkNodeSignature(answer, keys);
      const blob = blobOf(answer.body.reply.arg);
      assert.equal(blob.length, length);
      for (const at of [0, 65_000, length - 64]) {
        assert.deepEqual(blob.subarray(at, at + 64), stream(offsets[i] + at, 64));
      }
    }
  });

  test('queries begun in the same turn get each its own reply', async () => {
    const offsets = [0, 100, 200, 300];
    const ask = (offset) => {
      const given = { method: 'stable_read', arg: nat64s(offset, 64), caller: owner.sender };
      return net.query(id, given, (reply) => Buffer.from(reply)); // the engine's reply is a view
    };
    const replies = await Promise.all(offsets.map(ask));
    assert.deepEqual(replies.map(blobOf), offsets.map((offset) => stream(offset, 64)));
  });

  test('rejections are signed, with their codes', async () => {
    const blank = await net.createCanister({ controllers: [owner.sender] });
    const nobody = Principal.fromText('ekjw2-zyaaa-aaaaq-p777q-cai').toUint8Array();
    for (const [given, code, error, text] of [
      [{ canister: id, method: 'nope' }, 5n, 'IC0536', `Error from Canister ${name}: Canister has no query method 'nope'.`],
      [{ canister: nobody, method: 'm' }, 3n, 'IC0301', 'Canister ekjw2-zyaaa-aaaaq-p777q-cai not found.'],
      [{ canister: blank, method: 'm' }, 5n, 'IC0537', null],
      [{ canister: id, method: 'stable_read', arg: nat64s(SIZE, 1) }, 5n, 'IC0503', null],
      [{ canister: id, method: 'stable_read', arg: nat64s(0, 3 * MIB) }, 5n, 'IC0504', null],
    ]) {
      const answer = await query(net, given);
      assert.equal(answer.status, 200);
      const { status, reject_code: rejectCode, error_code: errorCode, reject_message: rejectMessage } = answer.body;
      assert.deepEqual([status, rejectCode, errorCode], ['rejected', code, error]);
      if (text !== null) assert.equal(rejectMessage, text);
      checkNodeSignature(answer, keys);
    }
  });

  test('a query leaves no trace, also as an update', async () => {
    const { reply } = outcome(await call(net, reading(0, 100)), net.rootKeyDer);
    assert.deepEqual(blobOf(reply), stream(0, 100));
    const large = await call(net, reading(0, 2 * MIB));
    const refusal = outcome(large, net.rootKeyDer);
    assert.deepEqual([refusal.code, refusal.error], [5, 'IC0504']);
  });
});

describe('update calls', () => {
  const grow = (more = {}) => ({ canister: id, method: 'stable_grow', arg: nat64s(1), identity: owner, ...more });
  const pages = (reply) => Number(IDL.decode([IDL.Int64], new Uint8Array(reply))[0]);

  test('a certified outcome; sending the same again does not execute again', async () => {
    const content = message('call', { ...grow(), nonce: new Uint8Array(16).fill(1) });
    const send = async (version = 4) => {
      const body = encode(envelope(content, owner));
      const answer = await post(net.url, `/api/v${version}/canister/${name}/call`, body);
      return { ...answer, requestId: hashValue(content) };
    };
    const first = outcome(await send(), net.rootKeyDer);
    const again = outcome(await send(), net.rootKeyDer);
    assert.equal(pages(again.reply), pages(first.reply));
    assert.deepEqual([(await send(2)).status, (await send(3)).status], [202, 200]);
    const next = outcome(await call(net, grow()), net.rootKeyDer);
    assert.equal(pages(next.reply), pages(first.reply) + 1);
  });

  test('the asynchronous form, and polling', async () => {
    net.options.updateMs = 2000; // the first question must come before the outcome
    const answer = await call(net, grow(), { version: 2 });
    assert.deepEqual([answer.status, answer.bytes.length], [202, 0]);
    const status = async () => {
      const { body } = await readState(net, id, [['request_status', answer.requestId]], { identity: owner });
      const { tree } = openCertificate(body.certificate, net.rootKeyDer);
      return `${Buffer.from(lookup(tree, ['request_status', answer.requestId, 'status']))}`;
    };
    assert.equal(await status(), 'received');
    for (const deadline = Date.now() + 60_000; (await status()) !== 'replied'; ) assert.ok(Date.now() < deadline);
    net.options.updateMs = 0;
  });

  test('while one request waits for the outcome, another one gets 202', async () => {
    net.options.updateMs = 2000;
    const content = message('call', { ...grow(), nonce: new Uint8Array(16).fill(2) });
    const body = encode(envelope(content, owner));
    const answers = await Promise.all([1, 2, 3].map(() => post(net.url, `/api/v4/canister/${name}/call`, body)));
    assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 202, 202]);
    net.options.updateMs = 0;
  });

  test('latency is not added up, and one after the other they all execute', async () => {
    const before = pages(outcome(await call(net, grow()), net.rootKeyDer).reply);
    net.options.updateMs = 1000;
    const started = performance.now();
    const answers = await Promise.all(Array.from({ length: 10 }, () => call(net, grow())));
    const took = performance.now() - started;
    net.options.updateMs = 0;
    const seen = answers.map((answer) => pages(outcome(answer, net.rootKeyDer).reply)).sort((a, b) => a - b);
    assert.deepEqual(seen, Array.from({ length: 10 }, (_, i) => before + 1 + i));
    assert.ok(took >= 990 && took < 8000, `${took} ms`); // added up: 10 s
  });

  test('a failed update changes nothing', async () => {
    const version = async () => hex((await query(net, { canister: id, method: 'stable_version' })).body.reply.arg);
    const before = await version();
    const stranger = outcome(await call(net, grow({ identity: makeIdentity() })), net.rootKeyDer);
    assert.deepEqual([stranger.code, stranger.error], [4, 'IC0406']); // the canister's own refusal
    const trap = await call(net, reading(2 ** 40, 1));
    const trapped = outcome(trap, net.rootKeyDer);
    assert.deepEqual([trapped.code, trapped.error], [5, 'IC0503']);
    assert.match(trapped.message, /^Error from Canister [\w-]+: Canister called `ic0\.trap` with message: stable_read: /);
    assert.equal(await version(), before);
  });

  test('refused before it becomes a message', async () => {
    const nobody = Principal.fromText('ekjw2-zyaaa-aaaaq-p777q-cai').toUint8Array();
    const { status, body } = await call(net, { canister: nobody, method: 'm' });
    assert.equal(status, 200);
    assert.deepEqual({ ...body }, {
      status: 'non_replicated_rejection',
      reject_code: 3n,
      error_code: 'IC0301',
      reject_message: 'Canister ekjw2-zyaaa-aaaaq-p777q-cai not found.',
    });
    const older = await call(net, { canister: nobody, method: 'm' }, { version: 2 });
    assert.deepEqual([older.status, older.body.reject_code, older.body.status], [200, 3n, undefined]);
  });

  test('not started by its expiry, never started', async () => {
    net.options.updateMs = 2500;
    const before = await query(net, { canister: id, method: 'stable_size' });
    const late = outcome(await call(net, grow({ expiry: inFuture(1500) })), net.rootKeyDer);
    net.options.updateMs = 0;
    assert.deepEqual([late.code, late.error], [2, 'IC0202']);
    const after = await query(net, { canister: id, method: 'stable_size' });
    assert.equal(hex(after.body.reply.arg), hex(before.body.reply.arg));
  });

  test('202 when the outcome takes longer than a call waits: ten seconds, here less', async () => {
    assert.equal(net.options.callTimeoutMs, 10_000);
    net.setOptions({ updateMs: 4000, callTimeoutMs: 300 });
    const started = performance.now();
    const answer = await call(net, grow());
    net.setOptions({ updateMs: 0, callTimeoutMs: 10_000 });
    assert.deepEqual([answer.status, answer.bytes.length], [202, 0]);
    const took = performance.now() - started;
    assert.ok(took > 290 && took < 3900, `${took} ms`);
  });
});

test('the state directory: keys, canisters, data, controllers and status come back', async () => {
  const stateDir = scratch();
  const first = await startNetwork({ stateDir });
  const running = await install(first, owner.sender, build('sample'));
  const blank = await first.createCanister({ controllers: [owner.sender] });
  await first.callAs(owner.sender, running, 'seed', nat64s(100_000, 1));
  await first.canisters.get(blank).stop();
  await first.save();
  await first.stop();

  const second = await network({ stateDir, seed: 'ignored: the keys are saved' });
  assert.equal(hex(second.rootKeyDer), hex(first.rootKeyDer));
  const answer = await query(second, { canister: running, method: 'stable_read', arg: nat64s(5, 99_000) });
  assert.deepEqual(blobOf(answer.body.reply.arg), stream(5, 99_000));
  assert.equal(second.canisters.get(blank).status, 'stopped');
  await second.callAs(owner.sender, running, 'stable_grow', nat64s(1));
  const fresh = await second.createCanister({ controllers: [owner.sender] });
  assert.ok(![running, blank].some((old) => hex(old) === hex(fresh)));
  assert.notEqual(hex((await network()).rootKeyDer), hex(second.rootKeyDer));
});

test('replies beyond what is remembered: the oldest are done, the last one is kept', async () => {
  const small = await network({ historyBytes: 2500 });
  const id = await install(small, owner.sender, build('sample'));
  await small.callAs(owner.sender, id, 'seed', nat64s(4096, 1));
  const calls = [];
  for (let i = 0; i < 4; i++) {
    const reading = { canister: id, method: 'stable_read', arg: nat64s(0, i === 3 ? 3000 : 1000), identity: owner };
    const answer = await call(small, reading);
    assert.ok(outcome(answer, small.rootKeyDer).reply);
    calls.push(answer.requestId);
    const told = [];
    for (const requestId of calls) {
      const { body } = await readState(small, id, [['request_status', requestId]], { identity: owner });
      const { tree } = openCertificate(body.certificate, small.rootKeyDer);
      const [status, reply] = ['status', 'reply'].map((field) => lookup(tree, ['request_status', requestId, field]));
      assert.equal(reply instanceof Uint8Array, `${Buffer.from(status)}` === 'replied');
      told.push(`${Buffer.from(status)}`);
    }
    assert.deepEqual(told, [['replied'], ['replied', 'replied'], ['done', 'replied', 'replied'], ['done', 'done', 'done', 'replied']][i]);
  }
});
