// Every kind of fault, as a plain client sees it over HTTP/1.1: what arrives, and what of it still verifies.

import assert from 'node:assert/strict';
import { Agent, request } from 'node:http';
import { after, afterEach, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { install } from '../demo.mjs';
import { KINDS } from '../fault_kinds.mjs';
import { Faults } from '../faults.mjs';
import { buildCanisters } from './engine_fixture.mjs';
import {
  call,
  checkNodeSignature,
  decode,
  encode,
  envelope,
  hashValue,
  hex,
  IDL,
  lookup,
  makeIdentity,
  message,
  nat64s,
  network,
  nodeKeys,
  number,
  openCertificate,
  outcome,
  post,
  Principal,
  query,
  readState,
} from './wire_fixture.mjs';

const LENGTH = 1000;
const faults = new Faults();
const net = await network({ faults });
const owner = makeIdentity();
const id = await install(net, owner.sender, buildCanisters()('sample'));
await net.callAs(owner.sender, id, 'seed', nat64s(2 ** 20, 1));
const name = Principal.fromUint8Array(id).toText();
const keys = await nodeKeys(net, id);
const agent = new Agent({ keepAlive: true, maxSockets: 1 });
after(() => agent.destroy());
afterEach(() => faults.replace([]));

const reading = (length = LENGTH) => ({ canister: id, method: 'stable_read', arg: nat64s(13, length) });
const grow = () => ({ canister: id, method: 'stable_grow', arg: nat64s(1), identity: owner });
const pages = ({ reply }) => Number(IDL.decode([IDL.Int64], new Uint8Array(reply))[0]);
const blobOf = (reply) => Buffer.from(IDL.decode([IDL.Vec(IDL.Nat8)], new Uint8Array(reply))[0]);
const right = (await query(net, reading())).body.reply.arg;

/**
 * A query as a plain client sends it: { status, headers, bytes, body, content, error, ms, port }. error is the code of
 * what broke; bytes is what came before that.
 */
function ask(given = reading(), signal = AbortSignal.timeout(60_000)) {
  const content = message('query', given);
  const seen = { content, bytes: Buffer.alloc(0), error: null };
  const started = performance.now();
  return new Promise((resolve) => {
    const done = (error) => {
      const isCbor = error === null && seen.headers['content-type'] === 'application/cbor';
      const body = () => (isCbor ? decode(seen.bytes) : seen.bytes.toString('latin1'));
      resolve({ ...seen, error, ms: performance.now() - started, get body() { return body(); } });
    };
    const headers = { 'content-type': 'application/cbor' };
    const options = { method: 'POST', headers, agent, signal };
    const req = request(`${net.url}/api/v3/canister/${name}/query`, options, (res) => {
      Object.assign(seen, { status: res.statusCode, headers: res.headers });
      res.on('data', (chunk) => (seen.bytes = Buffer.concat([seen.bytes, chunk])));
      res.on('end', () => done(null));
      res.on('error', (error) => done(error.code));
    });
    req.on('socket', (socket) => (seen.port = socket.localPort ?? socket));
    req.on('error', (error) => done(error.code));
    req.end(encode(envelope(content)));
  });
}

const isRight = (answer) => {
  assert.equal(answer.error, null);
  assert.equal(answer.status, 200);
  assert.deepEqual(answer.body.reply.arg, right);
  checkNodeSignature(answer, keys);
};
const isForged = (answer) => {
  assert.equal(answer.status, 200);
  assert.throws(() => checkNodeSignature(answer, keys), { code: 'ERR_ASSERTION' });
};
const certified = (body) => openCertificate(body.certificate, net.rootKeyDer);

/** What a plain client sees of each kind: rules are for the one query, or for what the check asks itself. */
const SEEN = {
  refuse: async () => {
    const { error, status } = await ask();
    assert.deepEqual([error, status], ['ECONNRESET', undefined]);
  },
  lost_reply: async () => {
    const { error, status } = await ask();
    assert.deepEqual([error, status], ['ECONNRESET', undefined]);
  },
  reset: async () => {
    const { error, status, headers, bytes } = await ask();
    assert.deepEqual([error, status], ['ECONNRESET', 200]);
    assert.ok(bytes.length <= Number(headers['content-length']) / 2 && Number(headers['content-length']) > LENGTH);
  },
  truncate: async () => {
    const { error, headers, bytes } = await ask();
    assert.equal(error, 'ECONNRESET'); // Node's word for a body that ends early
    assert.equal(bytes.length, Math.floor(Number(headers['content-length']) / 2));
  },
  close: async () => {
    const first = await ask();
    isRight(first);
    assert.equal(first.headers.connection, 'keep-alive');
    while (Object.keys(agent.freeSockets).length > 0) await delay(5); // the client has seen it
    const second = await ask();
    isRight(second);
    assert.notEqual(second.port, first.port);
  },
  rst_stream: async () => assert.equal((await ask()).error, 'ECONNRESET'), // HTTP/2: wire_http2.test.mjs
  goaway: async () => assert.equal((await ask()).error, 'ECONNRESET'),
  stall: {
    rule: { ms: 150 },
    async see() {
      const answer = await ask();
      isRight(answer);
      assert.ok(answer.ms >= 145, `${answer.ms} ms`);
    },
  },
  drip: {
    rule: { bytes: 200, ms: 20 },
    async see() {
      const answer = await ask();
      isRight(answer);
      const pieces = Math.floor(answer.bytes.length / 200);
      assert.ok(answer.ms >= pieces * 19, `${answer.ms} ms for ${pieces} pieces`);
    },
  },
  http: {
    rule: { status: 429, retry_after: 3 },
    async see() {
      const { status, headers, body } = await ask();
      assert.deepEqual([status, headers['retry-after'], body], [429, '3', 'injected']);
    },
  },
  truncate_body: async () => {
    const { status, headers, bytes, error } = await ask();
    assert.deepEqual([status, error, Number(headers['content-length'])], [200, null, bytes.length]);
    assert.throws(() => decode(bytes), { message: 'unexpected end' });
  },
  forged_reply: {
    rule: { at: -5 },
    async see() {
      const answer = await ask();
      isForged(answer);
      assert.deepEqual(answer.body.reply.arg, Buffer.from(right).fill(right.at(-5) ^ 1, right.length - 5, right.length - 4));
    },
  },
  garbage: async () => {
    const { status, bytes } = await ask();
    assert.equal(status, 200);
    assert.throws(() => decode(bytes), { name: 'Error' });
  },
  other_reply: {
    rule: { nth: 2 },
    async see() {
      const first = await ask(reading(10));
      checkNodeSignature(first, keys);
      const second = await ask();
      assert.deepEqual(second.bytes, first.bytes);
      isForged(second); // it is signed, for another request
      checkNodeSignature({ ...second, body: second.body, content: first.content }, keys);
    },
  },
  wrong_node_signature: async () => isForged(await ask()),
  unknown_node: async () => {
    const [{ identity }] = (await ask()).body.signatures;
    assert.equal(keys[hex(identity)], undefined);
    assert.equal(identity.length, 29);
  },
  short_blob: {
    rule: { bytes: 3 },
    async see() {
      const answer = await ask();
      checkNodeSignature(answer, keys);
      assert.deepEqual(blobOf(answer.body.reply.arg), blobOf(right).subarray(0, -3));
    },
  },
  long_blob: {
    rule: { bytes: 3 },
    async see() {
      const answer = await ask();
      checkNodeSignature(answer, keys);
      assert.deepEqual(blobOf(answer.body.reply.arg), Buffer.concat([blobOf(right), Buffer.alloc(3)]));
    },
  },
  wrong_candid: async () => {
    const answer = await ask();
    checkNodeSignature(answer, keys);
    assert.equal(`${Buffer.from(answer.body.reply.arg)}`, 'DIDX');
  },
  lagging: async () => {
    const write = (blob) =>
      net.callAs(owner.sender, id, 'stable_write', Buffer.from(IDL.encode([IDL.Nat64, IDL.Vec(IDL.Nat8)], [13n, blob])));
    await ask();
    await write(Buffer.from('changed'));
    const answer = await ask();
    await write(blobOf(right));
    checkNodeSignature(answer, keys);
    assert.deepEqual(Buffer.from(answer.body.reply.arg), Buffer.from(right));
    const other = await ask(reading(10));
    assert.deepEqual(blobOf(other.body.reply.arg), blobOf(right).subarray(0, 10));
  },
  stale: {
    rule: { seconds: 3600 },
    async see() {
      const isOld = (ns) => Math.abs(Date.now() - 3_600_000 - Number(ns / 1_000_000n)) < 60_000;
      const answer = await ask();
      checkNodeSignature(answer, keys);
      assert.ok(isOld(answer.body.signatures[0].timestamp));
      const { tree } = certified((await readState(net, id, [['time']])).body);
      assert.ok(isOld(number(lookup(tree, ['time']))));
    },
  },
  wrong_certificate: async () => {
    const read = async () => (await readState(net, id, [['time']])).body;
    faults.replace([{ kind: 'wrong_certificate' }]);
    const noPoint = await read();
    assert.throws(() => certified(noPoint), { message: /^(Cannot find square root|bad point: not in prime-order subgroup)$/ });
    faults.replace([{ kind: 'wrong_certificate', negated: true }]);
    const another = await read();
    assert.throws(() => certified(another), { message: 'certificate signature' });
  },
  other_subnet: async () => {
    const foreign = await ask();
    assert.equal(keys[hex(foreign.body.signatures[0].identity)], undefined);
    for (const version of [2, 3]) {
      const { body } = await readState(net, id, [['canister', Buffer.from(id), 'module_hash']], { version });
      const { tree, inner, subnetId } = certified(body);
      assert.notEqual(hex(subnetId), hex(net.subnetId));
      assert.ok(lookup(tree, ['canister', Buffer.from(id), 'module_hash']) instanceof Uint8Array);
      const shard = Buffer.from('00000000030000000101', 'hex');
      const path = version === 2 ? ['subnet', subnetId, 'canister_ranges'] : ['canister_ranges', subnetId, shard];
      const ranges = decode(lookup(inner, path));
      assert.deepEqual(ranges.map((range) => range.map(hex)), [['00000000030000000101', '00000000030fffff0101']]);
    }
  },
  request_status: {
    rule: { endpoint: 'read_state', as: 'pruned' },
    async see() {
      const { requestId } = await call(net, grow());
      const told = async (as, field = 'status') => {
        faults.replace([{ kind: 'request_status', endpoint: 'read_state', as }]);
        const { body } = await readState(net, id, [['request_status', requestId]], { identity: owner });
        const found = lookup(certified(body).tree, ['request_status', requestId, field]);
        return typeof found === 'string' ? found : `${Buffer.from(found)}`;
      };
      assert.equal(await told('pruned'), 'unknown');
      assert.equal(await told('absent'), 'absent');
      for (const as of ['received', 'processing', 'done']) assert.equal(await told(as), as);
      assert.equal(await told('done', 'reply'), 'absent');
      faults.replace([]);
      const { body } = await readState(net, id, [['request_status', requestId]], { identity: owner });
      const { tree } = certified(body);
      assert.equal(`${Buffer.from(lookup(tree, ['request_status', requestId, 'status']))}`, 'replied');
    },
  },
  reject: {
    rule: { code: 'IC0305', message: 'not there' },
    async see() {
      const answer = await ask();
      const { status, reject_code: code, error_code: error, reject_message: text } = answer.body;
      assert.deepEqual([status, code, error, text], ['rejected', 3n, 'IC0305', 'not there']);
      checkNodeSignature(answer, keys);
    },
  },
  late: {
    rule: { ms: 300 },
    async see() {
      const began = performance.now();
      isRight(await ask());
      assert.ok(performance.now() - began >= 299, 'not before its time');
    },
  },
  duplicate: async () => {
    const before = net.log.length;
    isRight(await ask());
    assert.equal(net.log.length, before + 1);
  },
  rotate_nodes: {
    rule: { nth: 1 },
    async see() {
      const answer = await ask();
      const [{ identity }] = answer.body.signatures;
      assert.equal(keys[hex(identity)], undefined, 'a node that was not there before');
      const next = await nodeKeys(net, id);
      assert.equal(Object.keys(next).length, 4);
      checkNodeSignature(answer, next);
      for (const old of Object.keys(keys)) assert.equal(next[old], undefined);
      Object.keys(keys).forEach((old) => delete keys[old]);
      Object.assign(keys, next);
    },
  },
};

describe('each kind', () => {
  for (const [kind, check] of Object.entries(SEEN)) {
    const { rule = {}, see = check } = check;
    test(kind, async () => {
      faults.replace([{ kind, ...rule }]);
      await see();
      faults.replace([]);
      agent.destroy(); // a connection that is just being closed would be taken again
      isRight(await ask());
    });
  }

  test('none is without a test', () => {
    assert.deepEqual(Object.keys(SEEN).sort(), Object.keys(KINDS).sort());
  });
});

describe('calls', () => {
  test('a lost reply: executed all the same, and sending it again gives the outcome', async () => {
    const before = pages(outcome(await call(net, grow()), net.rootKeyDer));
    const content = message('call', { ...grow(), nonce: Buffer.alloc(16, 9) });
    const body = encode(envelope(content, owner));
    const send = () => post(net.url, `/api/v4/canister/${name}/call`, body);
    faults.replace([{ kind: 'lost_reply', endpoint: 'call' }]);
    await assert.rejects(send());
    faults.replace([]);
    const answer = { ...(await send()), requestId: hashValue(content) };
    assert.equal(pages(outcome(answer, net.rootKeyDer)), before + 1);
    assert.equal(pages(outcome(await call(net, grow()), net.rootKeyDer)), before + 2);
  });

  test('refused: not executed', async () => {
    const before = pages(outcome(await call(net, grow()), net.rootKeyDer));
    faults.replace([{ kind: 'refuse', endpoint: 'call' }]);
    await assert.rejects(call(net, grow()));
    faults.replace([]);
    assert.equal(pages(outcome(await call(net, grow()), net.rootKeyDer)), before + 1);
  });

  test('rejected: certified, and not executed', async () => {
    const before = pages(outcome(await call(net, grow()), net.rootKeyDer));
    faults.replace([{ kind: 'reject', endpoint: 'call', method: 'stable_grow', to: 2 }]);
    for (let i = 0; i < 2; i++) {
      const { code, error, message: text } = outcome(await call(net, grow()), net.rootKeyDer);
      assert.deepEqual([code, error, text], [2, 'IC0210', 'injected']);
    }
    assert.equal(pages(outcome(await call(net, grow()), net.rootKeyDer)), before + 1);
  });

  test('delivered twice: executed once', async () => {
    const before = pages(outcome(await call(net, grow()), net.rootKeyDer));
    faults.replace([{ kind: 'duplicate', endpoint: 'call' }]);
    assert.equal(pages(outcome(await call(net, grow()), net.rootKeyDer)), before + 1);
    assert.equal((await call(net, grow(), { version: 2 })).status, 202);
    faults.replace([]);
    assert.equal(pages(outcome(await call(net, grow()), net.rootKeyDer)), before + 3);
  });

  test('the certificate of another request: the own one is not in it', async () => {
    faults.replace([{ kind: 'other_reply', endpoint: 'call', nth: 2 }]);
    outcome(await call(net, grow()), net.rootKeyDer);
    const { body, requestId } = await call(net, grow());
    const { tree } = certified(body);
    assert.notEqual(`${lookup(tree, ['request_status', requestId, 'status'])}`, 'replied');
    assert.ok(!(lookup(tree, ['request_status', requestId, 'status']) instanceof Uint8Array));
  });
});

describe('in the body', () => {
  test('stall: half of it, then nothing until the client gives up', async () => {
    faults.replace([{ kind: 'stall', in_body: true }]);
    const { bytes, error, headers } = await ask(reading(), AbortSignal.timeout(2000));
    assert.equal(error, 'ABORT_ERR');
    assert.equal(bytes.length, Math.floor(Number(headers['content-length']) / 2));
  });

  test('stall: the rest comes later', async () => {
    faults.replace([{ kind: 'stall', in_body: true, ms: 100 }]);
    const answer = await ask();
    isRight(answer);
    assert.ok(answer.ms >= 95);
  });

  test('reset_stream of a connection without streams', async () => {
    faults.replace([{ kind: 'rst_stream', in_body: true }]);
    const { error, status } = await ask();
    assert.deepEqual([error, status], ['ECONNRESET', 200]);
  });
});

describe('which requests', () => {
  const kinds = async (count, rules, given = () => reading(10)) => {
    faults.replace(rules);
    const from = net.log.length;
    for (let i = 0; i < count; i++) await ask(given(i));
    return net.log.slice(from).map(({ fault }) => fault);
  };

  test('nth, every, from and to, method, endpoint, canister; the first rule that applies wins', async () => {
    const http = (more) => ({ kind: 'http', ...more });
    assert.deepEqual(await kinds(4, [http({ nth: 2 })]), [null, 'http', null, null]);
    assert.deepEqual(await kinds(4, [http({ every: 2 })]), [null, 'http', null, 'http']);
    assert.deepEqual(await kinds(4, [http({ from: 2, to: 3 })]), [null, 'http', 'http', null]);
    assert.deepEqual(await kinds(2, [http({ method: 'nope' })]), [null, null]);
    assert.deepEqual(await kinds(2, [http({ endpoint: 'call' })]), [null, null]);
    assert.deepEqual(await kinds(1, [http({ canister: 'aaaaa-aa' })]), [null]);
    assert.deepEqual(await kinds(1, [http({ canister: name, method: 'stable_read', endpoint: 'query' })]), ['http']);
    assert.deepEqual(await kinds(2, [http({ nth: 1 }), { kind: 'garbage' }]), ['http', 'garbage']);
  });

  test('by seed: the same seed, the same faults; another seed, others', async () => {
    const random = (seed) => [{ kind: 'random', seed, rate: 0.5, kinds: ['http', 'garbage', 'short_blob'] }];
    const [one, again, other] = [await kinds(60, random(7)), await kinds(60, random(7)), await kinds(60, random(8))];
    assert.deepEqual(again, one);
    assert.notDeepEqual(other, one);
    assert.deepEqual([...new Set(one.filter(Boolean))].sort(), ['garbage', 'http', 'short_blob']);
  });

  test('by seed: the rate, every kind, only what fits the endpoint', () => {
    const picked = (endpoint, rate) => {
      const drawn = new Faults([{ kind: 'random', seed: 1, rate }]);
      return Array.from({ length: 5000 }, () => drawn.pick({ endpoint, canister: name, method: 'm' })?.kind ?? null);
    };
    const count = picked('query', 0.1).filter(Boolean).length;
    assert.ok(count > 420 && count < 580, `${count} of 5000`);
    assert.equal(picked('query', 0).filter(Boolean).length, 0);
    assert.equal(picked('query', 1).filter(Boolean).length, 5000);
    for (const endpoint of ['query', 'call', 'read_state', 'status']) {
      const fitting = Object.keys(KINDS).filter((kind) => KINDS[kind].at(endpoint));
      assert.deepEqual([...new Set(picked(endpoint, 1))].sort(), fitting.sort());
    }
    assert.ok(!picked('status', 1).includes('stale') && !picked('call', 1).includes('short_blob'));
  });

  test('rules that make no sense are refused', () => {
    for (const rules of [
      {},
      [{}],
      [{ kind: 'nope' }],
      [{ kind: 'toString' }],
      [{ kind: 'random', seed: 1, rate: 2 }],
      [{ kind: 'random', rate: 0.5 }],
      [{ kind: 'random', seed: 1, rate: 0.5, kinds: ['nope'] }],
    ]) {
      assert.throws(() => faults.replace(rules), Error, JSON.stringify(rules));
    }
  });
});

test('a storm of random faults leaves the network whole', async () => {
  faults.replace([{ kind: 'random', seed: 42, rate: 0.7 }]);
  const storm = Array.from({ length: 400 }, async (_, i) => {
    const signal = AbortSignal.timeout(3000);
    if (i % 10 === 0) await call(net, grow()).catch(() => {});
    else if (i % 10 === 1) await readState(net, id, [['time']]).catch(() => {});
    else await fetch(`${net.url}/api/v2/status`, { signal }).then((answer) => answer.arrayBuffer()).catch(() => {});
  });
  await Promise.all(storm);
  const asked = [];
  for (let i = 0; i < 100; i++) asked.push(await ask());
  assert.ok(asked.some(({ error }) => error !== null) && asked.some(({ error }) => error === null));
  faults.replace([]);
  const fresh = await nodeKeys(net, id);
  const answer = await ask();
  assert.deepEqual(answer.body.reply.arg, right);
  checkNodeSignature(answer, fresh);
});
