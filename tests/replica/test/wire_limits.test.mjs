// What stands between a client and the subnet: rate limit, bandwidth, clock, the older form of ranges; and the options'
// names.

import assert from 'node:assert/strict';
import { request } from 'node:http';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { install } from '../demo.mjs';
import { startNetwork } from '../network.mjs';
import { buildCanisters } from './engine_fixture.mjs';
import {
  call,
  encode,
  envelope,
  inFuture,
  leastOf,
  lookup,
  makeIdentity,
  message,
  nat64s,
  network,
  number,
  openCertificate,
  Principal,
  query,
  readState,
} from './wire_fixture.mjs';

const net = await network();
const owner = makeIdentity();
const id = await install(net, owner.sender, buildCanisters()('sample'));
await net.callAs(owner.sender, id, 'seed', nat64s(2 ** 20, 0));
const path = `/api/v3/canister/${Principal.fromUint8Array(id)}/query`;

/** A query from a given address of this machine. */
function queryFrom(localAddress) {
  const body = encode(envelope(message('query', { canister: id, method: 'stable_size' })));
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/cbor' };
    const req = request(net.url + path, { method: 'POST', headers, localAddress, agent: false }, (res) => {
      res.resume().on('end', () => resolve({ status: res.statusCode, headers: res.headers }));
    });
    req.on('error', reject).end(body);
  });
}

test('the rate limit is per client address, and says when to come again', async () => {
  net.setOptions({ rateLimit: 5 });
  const started = performance.now();
  const answers = await Promise.all(Array.from({ length: 40 }, () => queryFrom('127.0.0.1')));
  const seconds = (performance.now() - started) / 1000;
  const n = answers.filter(({ status }) => status === 200).length;
  assert.ok(n >= 5 && n <= 5 + 5 * seconds, `${n} in ${seconds} s`);
  const refused = answers.filter(({ status }) => status === 429);
  assert.equal(n + refused.length, 40);
  assert.equal(refused[0].headers['retry-after'], '1');
  assert.equal((await queryFrom('127.0.0.2')).status, 200);
  await delay(1000 * Number(refused[0].headers['retry-after']));
  assert.equal((await queryFrom('127.0.0.1')).status, 200);
  net.setOptions({ rateLimit: 0 });
  for (let i = 0; i < 9; i++) assert.equal((await queryFrom('127.0.0.1')).status, 200);
});

test('the bandwidth is shared by all answers', async () => {
  const read = () => query(net, { canister: id, method: 'stable_read', arg: nat64s(0, 200_000) });
  net.setOptions({ bandwidth: 1_000_000 });
  const least = await leastOf(800, async () => {
    const started = performance.now();
    const answers = await Promise.all([read(), read()]);
    const took = performance.now() - started;
    for (const { status, bytes } of answers) assert.ok(status === 200 && bytes.length > 200_000);
    assert.ok(took >= 380, `${took} ms`);
    return took;
  });
  net.setOptions({ bandwidth: 0 });
  assert.ok(least < 800, `${least} ms`);
});

test('a clock that is ahead or behind: expiry, certified time, signatures', async () => {
  for (const skewMs of [3_600_000, -3_600_000]) {
    net.setOptions({ skewMs });
    const near = (ns) => Math.abs(Number(ns / 1_000_000n) - Date.now() - skewMs) < 60_000;
    const refused = await call(net, { canister: id, method: 'stable_size', identity: owner });
    assert.equal(refused.status, 400);
    assert.match(refused.body, /^Invalid request expiry: /);
    const given = { canister: id, method: 'stable_size', identity: owner, expiry: inFuture(skewMs + 60_000) };
    const answer = await query(net, given);
    assert.equal(answer.status, 200);
    assert.ok(near(answer.body.signatures[0].timestamp));
    const { body } = await readState(net, id, [['time']]);
    assert.ok(near(number(lookup(openCertificate(body.certificate, net.rootKeyDer).tree, ['time']))));
  }
  net.setOptions({ skewMs: 0 });
  assert.equal((await call(net, { canister: id, method: 'stable_size', identity: owner })).status, 200);
});

test('flat ranges at every endpoint, on demand', async () => {
  const isFlat = async () => {
    const answers = [await readState(net, id, [['time']]), await call(net, { canister: id, method: 'stable_size' })];
    return answers.map(({ body }) => {
      const { inner, subnetId } = openCertificate(body.certificate, net.rootKeyDer);
      return lookup(inner, ['subnet', subnetId, 'canister_ranges']) instanceof Uint8Array;
    });
  };
  assert.deepEqual(await isFlat(), [false, false]);
  net.setOptions({ flatRanges: 1 });
  assert.deepEqual(await isFlat(), [true, true]);
  net.setOptions({ flatRanges: 0 });
});

test('unknown options and odd values are refused', async () => {
  assert.throws(() => net.setOptions({ blockMS: 1 }), /no option 'blockMS'/);
  assert.throws(() => net.setOptions({ toString: 1 }), /no option 'toString'/);
  assert.throws(() => net.setOptions({ blockMs: '1' }), /is a whole number/);
  assert.throws(() => net.setOptions({ blockMs: 0.5 }), /is a whole number/);
  await assert.rejects(startNetwork({ latency: 1 }), /no option 'latency'/);
});
