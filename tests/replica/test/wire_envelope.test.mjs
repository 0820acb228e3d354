// What the HTTP front refuses, with the documented statuses and texts: routes, bodies, signatures, expiry, limits.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  ANONYMOUS,
  call,
  decode,
  encode,
  envelope,
  inFuture,
  makeIdentity,
  message,
  network,
  none,
  post,
  Principal,
  query,
  readState,
} from './wire_fixture.mjs';

const net = await network();
const user = makeIdentity();
const id = await net.createCanister({ controllers: [user.sender] });

describe('refusals', () => {
  const path = (endpoint) => `/api/v3/canister/${Principal.fromUint8Array(id).toText()}/${endpoint}`;

  const refused = async (status, text, envelope, endpoint = 'query') => {
    const answer = await post(net.url, path(endpoint), encode(envelope));
    assert.equal(answer.status, status, answer.body);
    assert.match(answer.body, text);
  };
  const content = (changes = {}) => ({
    ...message('query', { canister: id, method: 'm', identity: user }),
    ...changes,
  });

  test('status', async () => {
    const answer = await fetch(`${net.url}/api/v2/status`);
    assert.equal(answer.headers.get('content-type'), 'application/cbor');
    const body = decode(Buffer.from(await answer.arrayBuffer()));
    assert.deepEqual(Buffer.from(body.root_key), Buffer.from(net.rootKeyDer));
    assert.equal(body.replica_health_status, 'healthy');
  });

  test('routes', async () => {
    for (const route of ['/', '/api/v2/nope', path('query').replace('v3', 'v4'), path('query').replace('v3', 'v1')]) {
      const answer = await post(net.url, route, encode(envelope(content(), user)));
      assert.deepEqual([answer.status, answer.body], [404, 'Invalid path requested.'], route);
    }
    const name = Principal.fromUint8Array(id).toText();
    assert.equal((await post(net.url, `/api/v3/subnet/${name}/query`, none)).status, 404);
    assert.equal((await fetch(net.url + path('query'))).status, 405);
    assert.equal((await post(net.url, path('query').replace(name, 'x-y'), none)).status, 400);
  });

  test('content type', async () => {
    const body = encode(envelope(content(), user));
    const answer = await post(net.url, path('query'), body, { 'content-type': 'application/json' });
    assert.equal(answer.status, 400);
  });

  test('bodies that are no envelope', async () => {
    for (const body of [none, Buffer.alloc(0), Buffer.from('<html>'), encode([1]), encode({ content: 1 })]) {
      assert.equal((await post(net.url, path('query'), body)).status, 400);
    }
    await refused(400, /Unknown envelope field 'x'/, { ...envelope(content(), user), x: 1 });
  });

  test('fields: missing, unknown, of the wrong type or size', async () => {
    const cases = {
      sender: new Uint8Array(30),
      ingress_expiry: 'soon',
      canister_id: 'aaaaa-aa',
      method_name: new Uint8Array(1),
      arg: 'DIDL',
      nonce: new Uint8Array(33),
      sender_info: {},
      request_type: 'call',
    };
    for (const [name, value] of Object.entries(cases)) {
      await refused(400, new RegExp(name), envelope(content({ [name]: value }), user));
      if (name === 'nonce' || name === 'sender_info') continue;
      const { [name]: _, ...rest } = content();
      await refused(400, new RegExp(`Missing field '${name}'`), envelope(rest, user));
    }
  });

  test('signatures', async () => {
    const good = envelope(content(), user);
    assert.equal((await post(net.url, path('query'), encode(good))).status, 200);
    const flipped = Uint8Array.from(good.sender_sig);
    flipped[7] ^= 1;
    await refused(403, /Invalid signature/, { ...good, sender_sig: flipped });
    await refused(403, /Invalid signature/, { ...good, sender_sig: flipped.subarray(0, 63) });
    await refused(403, /Invalid signature/, { ...good, content: content({ method_name: 'other' }) });
    await refused(403, /does not belong to/, envelope(content(), makeIdentity()));
    await refused(400, /are required/, { content: content() });
    const { sender_pubkey: _, ...without } = good;
    await refused(400, /are required/, without);
    await refused(400, /must not be signed/, envelope(content(ANONYMOUS), user));
  });

  test('expiry', async () => {
    const text = /^Invalid request expiry: Specified ingress_expiry not within expected range: Minimum allowed expiry: /;
    for (const expiry of [inFuture(-1000), inFuture(345_000), 0n, 2n ** 64n - 1n]) {
      const answer = await query(net, { canister: id, method: 'm', identity: user, expiry });
      assert.equal(answer.status, 400);
      assert.match(answer.body, text);
      assert.equal((await call(net, { canister: id, method: 'm', expiry })).status, 400);
      assert.equal((await query(net, { canister: id, method: 'm', expiry })).status, 200, 'an anonymous query');
      assert.equal((await readState(net, id, [['time']], { expiry })).status, 200, 'an anonymous read_state');
      assert.equal((await readState(net, id, [['time']], { expiry, identity: user })).status, 400);
    }
    for (const expiry of [inFuture(20_000), inFuture(325_000)]) {
      assert.equal((await query(net, { canister: id, method: 'm', identity: user, expiry })).status, 200);
    }
  });

  test('effective canister id', async () => {
    const other = await net.createCanister({ controllers: [user.sender] });
    for (const send of [query, call]) {
      const answer = await send(net, { canister: id, method: 'm' }, { effective: other });
      assert.equal(answer.status, 400);
      assert.match(answer.body, /^Specified CanisterId [\w-]+ does not match effective canister id in URL [\w-]+$/);
      const foreign = Principal.fromText('ryjl3-tyaaa-aaaaa-aaaba-cai').toUint8Array();
      assert.equal((await send(net, { canister: foreign, method: 'm' })).status, 400);
    }
  });

  test('sizes: 5 MiB for a body, 2 MiB for an ingress message', async () => {
    const body = await post(net.url, path('query'), new Uint8Array(5 * 2 ** 20 + 1));
    assert.equal(body.status, 413);
    const [fits, tooLarge] = [2 * 2 ** 20 - 1000, 2 * 2 ** 20].map((size) => new Uint8Array(size));
    assert.equal((await call(net, { canister: id, method: 'm', arg: fits })).status, 200);
    const refusedCall = await call(net, { canister: id, method: 'm', arg: tooLarge });
    assert.equal(refusedCall.status, 413);
    assert.match(refusedCall.body, /is larger than the max allowed 2097152\.$/);
    assert.equal((await query(net, { canister: id, method: 'm', arg: tooLarge })).status, 200);
  });

  test('a client that goes away does no harm', async () => {
    const body = encode(envelope(content(), user));
    net.options.queryMs = 50;
    await Promise.all(
      Array.from({ length: 10 }, () => {
        const signal = AbortSignal.timeout(10);
        const headers = { 'content-type': 'application/cbor' };
        return assert.rejects(fetch(net.url + path('query'), { method: 'POST', headers, body, signal }));
      }),
    );
    net.options.queryMs = 0;
    assert.equal((await post(net.url, path('query'), body)).status, 200);
  });
});

test('more requests at once than allowed get 429; latency is per request', async () => {
  const net = await network({ queryMs: 2000, maxConcurrent: 4 });
  const id = await net.createCanister({ controllers: [ANONYMOUS.sender] });
  const started = performance.now();
  const answers = await Promise.all(Array.from({ length: 10 }, () => query(net, { canister: id, method: 'm' })));
  const took = performance.now() - started;
  const count = (status) => answers.filter((answer) => answer.status === status).length;
  assert.equal(count(200) + count(429), 10);
  assert.equal(count(200), 4);
  assert.ok(took >= 1990 && took < 7900, `${took} ms`); // one after the other: 8 s
  net.options.maxConcurrent = 0;
  assert.equal((await query(net, { canister: id, method: 'm' })).status, 200);
});

test('the request log', async () => {
  const net = await network();
  const id = await net.createCanister({ controllers: [ANONYMOUS.sender] });
  const answer = await query(net, { canister: id, method: 'm', arg: new Uint8Array(100) });
  await fetch(`${net.url}/api/v2/status`);
  await post(net.url, '/nowhere', none);
  await query(net, { canister: id, method: 'm', arg: Uint8Array.of(0xab, 7) });
  const [first, second, third, fourth] = net.log;
  assert.equal(net.log.length, 4);
  const { began, ms, ...rest } = first;
  assert.ok(ms > 0 && began > 0 && fourth.began >= began + ms);
  const canister = Principal.fromUint8Array(id).toText();
  const expected = { endpoint: 'query', canister, method: 'm', arg: null, reject: 'IC0537', fault: null, argBytes: 100, status: 200 };
  assert.deepEqual(rest, { ...expected, replyBytes: answer.bytes.length });
  assert.equal(second.endpoint, 'status');
  assert.deepEqual([third.endpoint, third.status, third.reject], [null, 404, null]);
  assert.deepEqual([fourth.arg, fourth.argBytes], ['ab07', 2], 'short arguments are kept');
});
