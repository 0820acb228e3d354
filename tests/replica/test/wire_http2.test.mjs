// HTTP/2 over TLS: the certificate authority, many requests on one connection, and the faults that only streams have.

import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { connect, constants } from 'node:http2';
import { request } from 'node:https';
import { after, afterEach, describe, test } from 'node:test';
import { install } from '../demo.mjs';
import { Faults } from '../faults.mjs';
import { buildCanisters } from './engine_fixture.mjs';
import { decode, encode, envelope, IDL, makeIdentity, message, nat64s, network, Principal } from './wire_fixture.mjs';

const LENGTH = 100_000;
const faults = new Faults();
const net = await network({ http2: true, faults });
const owner = makeIdentity();
const id = await install(net, owner.sender, buildCanisters()('sample'));
await net.callAs(owner.sender, id, 'seed', nat64s(2 ** 20, 1));
const name = Principal.fromUint8Array(id).toText();
afterEach(() => faults.replace([]));

const sessions = [];
after(() => sessions.forEach((session) => session.destroy()));

async function open() {
  const session = connect(net.url, { ca: net.ca });
  sessions.push(session);
  const seen = { session, goaway: null, error: null };
  session.on('goaway', (code) => (seen.goaway = code));
  session.on('error', (error) => (seen.error = error.code));
  seen.closed = new Promise((resolve) => session.once('close', resolve));
  await new Promise((resolve) => session.once('connect', resolve));
  return seen;
}

/** A query on a session: { status, bytes, body, rst, error }. */
function ask({ session }, offset = 0) {
  const content = message('query', { canister: id, method: 'stable_read', arg: nat64s(offset, LENGTH) });
  const stream = session.request({
    ':method': 'POST',
    ':path': `/api/v3/canister/${name}/query`,
    'content-type': 'application/cbor',
  });
  const seen = { status: undefined, bytes: Buffer.alloc(0), error: null };
  stream.on('response', (headers) => (seen.status = headers[':status']));
  stream.on('data', (chunk) => (seen.bytes = Buffer.concat([seen.bytes, chunk])));
  stream.on('error', (error) => (seen.error = error.code));
  stream.end(Buffer.from(encode(envelope(content))));
  return new Promise((resolve) => stream.once('close', () => resolve({ ...seen, rst: stream.rstCode })));
}
const blobOf = ({ bytes }) => Buffer.from(IDL.decode([IDL.Vec(IDL.Nat8)], new Uint8Array(decode(bytes).reply.arg))[0]);
const isRight = (answer) => {
  assert.deepEqual([answer.status, answer.error, answer.rst], [200, null, constants.NGHTTP2_NO_ERROR]);
  assert.equal(blobOf(answer).length, LENGTH);
};

describe('TLS', () => {
  test('the authority signs the server, for 127.0.0.1 and localhost alone', async () => {
    const ca = new X509Certificate(net.ca);
    assert.ok(ca.ca && ca.verify(ca.publicKey));
    const { session } = await open();
    const server = new X509Certificate(session.socket.getPeerCertificate().raw);
    assert.equal(session.socket.authorized, true);
    assert.equal(session.alpnProtocol, 'h2');
    assert.ok(!server.ca && server.verify(ca.publicKey) && server.checkIssued(ca));
    assert.equal(server.checkIP('127.0.0.1'), '127.0.0.1');
    assert.equal(server.checkHost('localhost'), 'localhost');
    assert.equal(server.checkIP('127.0.0.2'), undefined);
    for (const { validTo } of [ca, server]) assert.ok(Date.parse(validTo) > Date.now() + 86_400_000);
  });

  test('nobody trusts it unasked, and the next network has another', async () => {
    const session = connect(net.url);
    const error = await new Promise((resolve) => session.once('error', resolve));
    assert.match(error.code, /UNABLE_TO_VERIFY_LEAF_SIGNATURE|SELF_SIGNED_CERT_IN_CHAIN/);
    const other = await network({ http2: true });
    assert.notEqual(other.ca, net.ca);
    const mistaken = connect(net.url, { ca: other.ca });
    const refusal = await new Promise((resolve) => mistaken.once('error', resolve));
    assert.match(refusal.code, /CERT_SIGNATURE_FAILURE|UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT_LOCALLY/);
  });

  test('HTTP/1.1 is spoken too', async () => {
    const answer = await new Promise((resolve, reject) => {
      request(`${net.url}/api/v2/status`, { ca: net.ca }, resolve).on('error', reject).end();
    });
    answer.resume();
    assert.deepEqual([answer.statusCode, answer.httpVersion], [200, '1.1']);
    faults.replace([{ kind: 'refuse' }]);
    const refused = request(`${net.url}/api/v2/status`, { ca: net.ca, agent: false }).end();
    const { code } = await new Promise((resolve) => refused.once('error', resolve));
    assert.equal(code, 'ECONNRESET');
  });
});

describe('streams', () => {
  test('many at once on one connection, each with its own reply', async () => {
    const seen = await open();
    const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => ask(seen, i)));
    answers.forEach(isRight);
    const first = blobOf(answers[0]);
    for (const [i, answer] of answers.entries()) {
      assert.deepEqual(blobOf(answer).subarray(0, 1000), first.subarray(i, i + 1000));
    }
  });

  test('RST_STREAM ends one request and leaves the others', async () => {
    for (const [rule, code] of [
      [{}, constants.NGHTTP2_INTERNAL_ERROR],
      [{ code: constants.NGHTTP2_REFUSED_STREAM }, constants.NGHTTP2_REFUSED_STREAM],
      [{ in_body: true }, constants.NGHTTP2_INTERNAL_ERROR],
    ]) {
      const seen = await open();
      faults.replace([{ kind: 'rst_stream', nth: 2, ...rule }]);
      const answers = await Promise.all([0, 1, 2].map((offset) => ask(seen, offset)));
      const broken = answers.filter(({ rst }) => rst !== constants.NGHTTP2_NO_ERROR);
      assert.equal(broken.length, 1);
      assert.deepEqual([broken[0].rst, broken[0].error], [code, 'ERR_HTTP2_STREAM_ERROR']);
      assert.equal(broken[0].status, rule.in_body ? 200 : undefined);
      assert.ok(broken[0].bytes.length < LENGTH);
      answers.filter((answer) => answer !== broken[0]).forEach(isRight);
      isRight(await ask(seen));
      assert.equal(seen.goaway, null);
    }
  });

  test('GOAWAY ends the connection and every request on it', async () => {
    const seen = await open();
    isRight(await ask(seen));
    net.setOptions({ queryMs: 100 });
    faults.replace([{ kind: 'goaway', nth: 1 }]);
    const answers = await Promise.all([0, 1, 2].map((offset) => ask(seen, offset)));
    net.setOptions({ queryMs: 0 });
    await seen.closed;
    assert.equal(seen.goaway, constants.NGHTTP2_INTERNAL_ERROR);
    assert.ok(answers.every(({ status, bytes }) => status === undefined || bytes.length < LENGTH));
    isRight(await ask(await open()));
  });

  test('closed after a whole answer: a GOAWAY without an error', async () => {
    const seen = await open();
    faults.replace([{ kind: 'close' }]);
    isRight(await ask(seen));
    await seen.closed;
    assert.equal(seen.goaway, constants.NGHTTP2_NO_ERROR);
  });

  test('a reset of the connection', async () => {
    for (const kind of ['refuse', 'reset', 'lost_reply']) {
      const seen = await open();
      faults.replace([{ kind }]);
      const { status, bytes, rst } = await ask(seen);
      await seen.closed;
      // In the body Node's client tells the request alone, as cancelled.
      if (kind !== 'reset') assert.deepEqual([seen.error, status], ['ECONNRESET', undefined], kind);
      assert.notEqual(rst, constants.NGHTTP2_NO_ERROR);
      assert.ok(bytes.length < LENGTH);
      faults.replace([]);
      isRight(await ask(await open()));
    }
  });

  test('a stream that ends before its length: a protocol error to those who count', async () => {
    const seen = await open();
    faults.replace([{ kind: 'truncate' }]);
    const { bytes, rst } = await ask(seen);
    assert.ok(bytes.length < LENGTH);
    assert.equal(rst, constants.NGHTTP2_PROTOCOL_ERROR);
  });

  test('the other faults are those of HTTP/1.1', async () => {
    const seen = await open();
    faults.replace([{ kind: 'http', status: 429, retry_after: 2, nth: 1 }, { kind: 'drip', bytes: 20_000, ms: 20, nth: 1 }]);
    const limited = await ask(seen);
    assert.deepEqual([limited.status, limited.bytes.toString()], [429, 'injected']);
    const started = performance.now();
    isRight(await ask(seen));
    assert.ok(performance.now() - started > 90);
  });

  test('and so are limits', async () => {
    const seen = await open();
    net.setOptions({ rateLimit: 1, bandwidth: 1_000_000 });
    const started = performance.now();
    const answers = await Promise.all([ask(seen), ask(seen)]); // within a second
    net.setOptions({ rateLimit: 0, bandwidth: 0 });
    assert.deepEqual(answers.map(({ status }) => status), [200, 429]);
    assert.ok(performance.now() - started > 95);
  });
});
