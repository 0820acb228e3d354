// Ingress as a subnet takes it: update calls wait for a block, execute in order, and may find the queue full.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Blocks } from '../blocks.mjs';
import { install } from '../demo.mjs';
import { startNetwork } from '../network.mjs';
import { buildCanisters } from './engine_fixture.mjs';
import {
  call,
  IDL,
  inFuture,
  leastOf,
  lookup,
  makeIdentity,
  nat64s,
  network,
  openCertificate,
  outcome,
  readState,
} from './wire_fixture.mjs';

const MIB = 2 ** 20;

/** Groups what is added in one go, as messages are to a block. */
function grouped() {
  const groups = [];
  let current = null;
  const add = (item) => {
    if (current === null) {
      groups.push((current = []));
      queueMicrotask(() => (current = null));
    }
    return current.push(item) > 0;
  };
  return { groups, add };
}

describe('the queue', () => {
  const options = (changes) => ({ updateMs: 0, blockMs: 20, blockBytes: 100, queueBytes: 1000, ...changes });

  /** Adds messages of these sizes; returns the numbers of those in each block, in order. */
  async function blocksOf(sizes, changes) {
    const blocks = new Blocks(options(changes));
    const made = grouped();
    const include = (i) => () => made.add(i);
    await Promise.all(sizes.map((size, i) => blocks.turn(size, include(i))));
    return made.groups;
  }

  test('a block takes what fits, in the order of arrival', async () => {
    assert.deepEqual(await blocksOf([40, 40, 40, 10]), [[0, 1], [2, 3]]);
    assert.deepEqual(await blocksOf([100, 1, 99, 1]), [[0], [1, 2], [3]]);
  });

  test('a message larger than a block has one of its own', async () => {
    assert.deepEqual(await blocksOf([10, 500, 10]), [[0], [1], [2]]);
  });

  test('a block has at most a thousand messages', async () => {
    const made = await blocksOf(Array(1500).fill(0));
    assert.deepEqual(made.map(({ length }) => length), [1000, 500]);
    assert.deepEqual(made.flat(), Array.from({ length: 1500 }, (_, i) => i));
  });

  test('latency comes before the block', async () => {
    const started = performance.now();
    await blocksOf([1], { updateMs: 60 });
    const took = performance.now() - started;
    assert.ok(took >= 58, `${took} ms`);
  });

  test('without blocks they execute at once', async () => {
    const blocks = new Blocks(options({ blockMs: 0 }));
    let isIn = false;
    const turn = blocks.turn(1, () => (isIn = true));
    assert.ok(isIn);
    assert.equal(await turn, true);
  });

  test('it is bounded, and what waits for its latency counts too', async () => {
    for (const changes of [{}, { blockMs: 0, updateMs: 20 }]) {
      const blocks = new Blocks(options(changes));
      blocks.requireRoom(1000);
      assert.throws(() => blocks.requireRoom(1001), { status: 503, message: 'Service is overloaded, try again later.' });
      const turn = blocks.turn(600, () => true);
      blocks.requireRoom(400);
      assert.throws(() => blocks.requireRoom(401), { status: 503 });
      await turn;
      blocks.requireRoom(1000);
    }
  });
});

/** Long enough for all that must happen before a block, on a busy machine. */
const BLOCK_MS = 2500;

describe('update calls', async () => {
  const owner = makeIdentity();
  const net = await network({ blockMs: BLOCK_MS });
  const id = await install(net, owner.sender, buildCanisters()('sample'));
  await net.callAs(owner.sender, id, 'seed', nat64s(65_536, 0));

  const grow = (more) => ({ canister: id, method: 'stable_grow', arg: nat64s(1), identity: owner, ...more });
  const pages = ({ reply }) => Number(IDL.decode([IDL.Int64], new Uint8Array(reply))[0]);

  async function status({ requestId }) {
    const { body } = await readState(net, id, [['request_status', requestId]], { identity: owner });
    const { tree } = openCertificate(body.certificate, net.rootKeyDer);
    const found = lookup(tree, ['request_status', requestId, 'status']);
    return { name: typeof found === 'string' ? found : `${Buffer.from(found)}`, tree };
  }

  async function polled(answer, wanted = 'replied') {
    for (const deadline = Date.now() + 60_000; Date.now() < deadline; await delay(20)) {
      const { name, tree } = await status(answer);
      if (name !== wanted) continue;
      return { reply: lookup(tree, ['request_status', answer.requestId, 'reply']) };
    }
    throw new Error(`${wanted} did not come`);
  }

  test('the network of tests has no blocks, unless told', async () => {
    const plain = await startNetwork();
    assert.equal(plain.options.blockMs, 0);
    assert.equal(plain.options.blockBytes, 4 * MIB);
    await plain.stop();
  });

  test('the state knows a call when its block comes, not before', async () => {
    await call(net, grow()); // ends with a block: the next one is BLOCK_MS away
    const answer = await call(net, grow(), { version: 2 });
    assert.equal(answer.status, 202);
    assert.equal((await status(answer)).name, 'absent');
    await polled(answer);
  });

  test('a synchronous call takes until the end of its block; one after the other, a block each', async () => {
    const twoBlocks = async () => {
      await call(net, grow());
      const started = performance.now();
      for (let i = 0; i < 2; i++) pages(outcome(await call(net, grow()), net.rootKeyDer));
      const took = performance.now() - started;
      assert.ok(took > 1.8 * BLOCK_MS, `${took} ms`);
      return took;
    };
    const least = await leastOf(2.9 * BLOCK_MS, twoBlocks);
    assert.ok(least < 2.9 * BLOCK_MS, `${least} ms`);
  });

  test('calls of one block execute in the order in which they came', async () => {
    const answers = [];
    for (let i = 0; i < 8; i++) answers.push(await call(net, grow(), { version: 2 }));
    const seen = [];
    for (const answer of answers) seen.push(pages(await polled(answer)));
    assert.deepEqual(seen, seen.map((_, i) => seen[0] + i));
  });

  test('bytes per block: 5 MiB of calls need two, at 4 MiB each', async () => {
    const write = () => ({
      canister: id,
      method: 'stable_write',
      arg: new Uint8Array(IDL.encode([IDL.Nat64, IDL.Vec(IDL.Nat8)], [0n, randomBytes(MIB)])),
      identity: owner,
    });
    await call(net, grow());
    const made = grouped();
    const turn = net.blocks.turn.bind(net.blocks);
    net.blocks.turn = (size, include) => turn(size, () => made.add(size) && include());
    const answers = await Promise.all(Array.from({ length: 5 }, () => call(net, write())));
    net.blocks.turn = turn;
    for (const answer of answers) outcome(answer, net.rootKeyDer);
    // Three of 1 MiB and their envelopes fit into 4 MiB, a fourth one does not.
    assert.deepEqual(made.groups.map(({ length }) => length), [3, 2]);
  });

  test('an expired call never executes and never was', async () => {
    const first = await call(net, grow());
    const late = await call(net, grow({ expiry: inFuture(BLOCK_MS / 2) }));
    const before = pages(outcome(first, net.rootKeyDer));
    assert.deepEqual([late.status, late.bytes.length], [202, 0]);
    assert.equal((await status(late)).name, 'absent');
    assert.equal(pages(outcome(await call(net, grow()), net.rootKeyDer)), before + 1);
  });

  test('a full queue is 503; it empties by blocks', async () => {
    await call(net, grow());
    const size = 4000;
    const full = { canister: id, method: 'nope', arg: new Uint8Array(size), identity: owner };
    net.setOptions({ queueBytes: 2 * size + 1000 });
    const answers = await Promise.all(Array.from({ length: 5 }, () => call(net, full, { version: 2 })));
    net.setOptions({ queueBytes: 64 * MIB });
    assert.deepEqual(answers.map((answer) => answer.status).sort(), [202, 202, 503, 503, 503]);
    const refused = answers.find((answer) => answer.status === 503);
    assert.equal(refused.body, 'Service is overloaded, try again later.');
    for (const answer of answers.filter((one) => one.status === 202)) await polled(answer, 'rejected');
    assert.equal((await status(refused)).name, 'absent');
  });
});
