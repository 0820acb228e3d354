// Calls between canisters: callbacks, cleanup, cycles, deadlines, what traps leave behind; composite queries; and what
// canisters do by themselves: timers, heartbeats, the hook for low memory; inspect_message. For both pointer sizes.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { canisterId } from '../principal.mjs';
import { startNetwork } from '../network.mjs';
import { install } from '../demo.mjs';
import { buildFixture, rejects, words } from './engine_fixture.mjs';

const OWNER = Uint8Array.of(9, 8, 7, 2);
const EMPTY = new Uint8Array(0);
const NOBODY = canisterId(0x0100_fff0n);
const T = 1_000_000_000_000n;

// Steps of fixture/caller.c.
const counted = (bytes) => Buffer.concat([Buffer.from([bytes.length]), bytes]);
const to = (callee, method, arg = EMPTY, cycles = 0n) =>
  Buffer.concat([Buffer.from('c'), counted(callee), counted(Buffer.from(method)), counted(Buffer.from(arg)), words(cycles)]);
const within = (seconds) => Buffer.concat([Buffer.from('b'), words(seconds)]);
const steps = (...all) => new Uint8Array(Buffer.concat(all.map((step) => Buffer.from(step))));

/** Until `condition` resolves to something true, however busy the machine is. */
async function until(condition) {
  for (const end = Date.now() + 60_000; !(await condition()); await delay(5)) assert.ok(Date.now() < end, `never: ${condition}`);
}

for (const target of ['wasm32', 'wasm64']) {
  describe(target, () => suite(buildFixture('caller', target)));
}

function suite(module) {
  let net;
  let [a, b] = [];
  before(async () => {
    net = await startNetwork();
    [a, b] = [await install(net, OWNER, module), await install(net, OWNER, module)];
  });
  after(() => net.stop());
  const run = async (id, ...all) => Buffer.from(await net.callAs(OWNER, id, 'run', steps(...all))).toString();
  const ask = (id, ...all) => query(id, 'ask', steps(...all)).then((bytes) => bytes.toString());
  const query = (id, method, arg = EMPTY) => net.query(id, { caller: OWNER, method, arg }, (reply) => Buffer.from(reply));
  const seen = async (id) => {
    const names = ['beats', 'timers', 'cleanups', 'lowMemory', 'refunded', 'accepted', 'instructions'];
    const numbers = new BigUint64Array(new Uint8Array(await query(id, 'seen')).buffer);
    return Object.fromEntries(names.map((name, i) => [name, numbers[i]]));
  };
  const cycles = (id) => net.canisters.get(id).cycles;

  test('replies and rejects reach their callbacks', async () => {
    assert.equal(await run(a, to(b, 'echo', Buffer.from('hi'))), '+<hi>');
    assert.equal(await run(a, to(b, 'refuse')), '-4no, thanks');
    assert.equal(await run(a, to(b, 'run', steps('t'))), `-5IC0503: Error from Canister ${net.canisters.get(b).name}: Canister called \`ic0.trap\` with message: as told`);
    assert.match(await run(a, to(NOBODY, 'echo')), /^-3IC0301: Canister [\w-]+ not found\.$/);
    assert.match(await run(a, to(b, 'nothing')), /^-5IC0536: .*has no update method 'nothing'/);
    assert.match(await run(a, to(b, 'ask')), /^-5IC0527: /);
    assert.equal(await run(a, to(a, 'echo', Buffer.from('me'))), '+<me>');
    assert.equal(await run(a, to(b, 'echo', Buffer.from('1')), to(b, 'echo', Buffer.from('2'))), '+<1>+<2>');
    assert.equal(await run(a, 'r', to(b, 'echo')), ''); // answered before
    assert.equal(await run(a, to(b, 'run', steps(to(a, 'echo', Buffer.from('deep'))))), '++<deep>');
    assert.ok((await seen(a)).instructions > 500n);
  });

  test('the first message trapped: no call is made', async () => {
    await rejects(run(a, to(b, 'run', steps('t'), T), 't'), 'IC0503', /as told$/);
    assert.equal(cycles(a), 100n * T);
  });

  test('a callback trapped: cleanup runs, the caller is told', async () => {
    const before = (await seen(a)).cleanups;
    await rejects(run(a, 'k', to(b, 'echo')), 'IC0503', /in a callback$/);
    assert.equal((await seen(a)).cleanups, before + 1n);
    assert.equal(await run(a, 'k', 'r', to(b, 'echo')), ''); // answered before it trapped
  });

  test('cycles: accepted, refunded, gone with a trap, not there', async () => {
    const [mine, theirs] = [cycles(a), cycles(b)];
    assert.equal(await run(a, to(b, 'run', steps('a', 'r'), 3n * T)), '+');
    assert.deepEqual([cycles(a), cycles(b)], [mine - 3n * T, theirs + 3n * T]);
    assert.equal((await seen(b)).accepted, 3n * T);
    assert.equal(await run(a, to(b, 'echo', EMPTY, 5n)), '+<>');
    assert.equal((await seen(a)).refunded, 5n);
    assert.match(await run(a, to(b, 'run', steps('a', 't'), T)), /^-5/); // accepted, undone
    assert.equal((await seen(a)).refunded, T);
    assert.match(await run(a, to(NOBODY, 'run', EMPTY, 7n)), /^-3/);
    assert.deepEqual([cycles(a), cycles(b)], [mine - 3n * T, theirs + 3n * T]);
    await rejects(run(a, to(b, 'echo', EMPTY, 200n * T)), 'IC0520', /cycles/);
    const burnt = await net.callAs(OWNER, a, 'burn', words(11));
    assert.deepEqual([...new BigUint64Array(burnt.buffer)], [11n, 0n]);
    assert.equal(cycles(a), mine - 3n * T - 11n);
  });

  test('best effort: a deadline, and code 6 when it passes', async () => {
    const answer = await net.callAs(OWNER, a, 'run', steps(within(100), to(b, 'deadline')));
    const deadline = Buffer.from(answer).readBigUInt64LE(1);
    const ahead = deadline - net.now();
    assert.ok(ahead > 80_000_000_000n && ahead <= 100_000_000_000n, String(ahead));
    assert.equal(Buffer.from(await net.callAs(OWNER, a, 'run', steps(to(b, 'deadline')))).readBigUInt64LE(1), 0n);
    assert.equal(await run(a, within(1), to(b, 'wait')), '-6IC0601: Call deadline has expired.');
    await net.callAs(OWNER, b, 'release', EMPTY);
  });

  test('stop waits for open calls; start cancels it', async () => {
    const canister = net.canisters.get(b);
    const waiting = net.callAs(OWNER, b, 'wait', EMPTY);
    const stopping = canister.stop();
    await delay(20);
    assert.equal(canister.status, 'stopping');
    await rejects(net.callAs(OWNER, b, 'release', EMPTY), 'IC0509', /is stopping$/);
    canister.start();
    await rejects(stopping, 'IC0511', /cancelled/);
    const again = canister.stop();
    canister.start();
    await rejects(again, 'IC0511', /cancelled/);
    await net.callAs(OWNER, b, 'release', EMPTY);
    await waiting;
    await canister.stop();
    assert.equal(canister.status, 'stopped');
    canister.start();
  });

  test('uninstalled with a call open: the caller is told', async () => {
    const c = await install(net, OWNER, module);
    const waiting = net.callAs(OWNER, c, 'wait', EMPTY);
    net.canisters.get(c).uninstall({ user: OWNER });
    await rejects(waiting, 'IC0406', /uninstalled/);
    await net.canisters.get(c).stop();
  });

  test('composite queries: state between calls, errors, loops, depth, limits; no trace', async () => {
    const before = await seen(a);
    assert.equal(await ask(a, to(b, 'echo', Buffer.from('q'))), '+<q>');
    assert.equal(await ask(a, to(b, 'echo', Buffer.from('1')), to(b, 'echo', Buffer.from('2'))), '+<1>+<2>');
    assert.match(await ask(a, to(b, 'refuse')), /^-5IC0536: .*has no query method 'refuse'/);
    assert.match(await ask(a, to(NOBODY, 'echo')), /^-3IC0301/);
    assert.match(await ask(a, to(a, 'echo')), /^-5IC0517/);
    assert.match(await ask(a, to(b, 'ask', steps(to(a, 'echo')))), /^\+-5IC0517/);
    await rejects(ask(a, 'k', to(b, 'echo')), 'IC0503', /in a callback$/);
    assert.equal(await ask(a, 'r', to(b, 'echo')), '');
    const chain = [];
    for (let i = 0; i < 6; i++) chain.push(await install(net, OWNER, module));
    const through = (ids) => (ids.length === 0 ? EMPTY : steps(to(ids[0], 'ask', through(ids.slice(1)))));
    const [first, ...rest] = chain;
    assert.equal(await ask(a, to(first, 'ask', through(rest.slice(0, 3))), 'r').catch(String), '');
    assert.match((await query(a, 'ask', through(chain))).toString(), /^\+{5}-5IC0525/);
    net.setOptions({ instructionPercent: 0 });
    await rejects(ask(a, to(b, 'echo')), 'IC0522', /instruction limit/);
    net.setOptions({ instructionPercent: 100 });
    assert.deepEqual({ ...(await seen(a)), beats: before.beats }, before, 'but for heartbeats, which go on');
    // Two graphs that cross do not wait for each other.
    assert.deepEqual(await Promise.all([ask(a, to(b, 'echo')), ask(b, to(a, 'echo'))]), ['+<>', '+<>']);
  });

  test('canisters that call each other for ever do not keep the network from serving', async () => {
    const waiting = net.callAs(OWNER, a, 'wait', EMPTY);
    for (let i = 0; i < 3; i++) {
      const { status } = await fetch(`${net.url}/api/v2/status`);
      assert.equal(status, 200);
    }
    await net.callAs(OWNER, a, 'release', EMPTY);
    await waiting;
  });

  test('inspect_message speaks for users alone', async () => {
    await rejects(net.callAs(OWNER, a, 'not_for_users', EMPTY), 'IC0406', /^Canister rejected the message$/);
    assert.equal(await run(a, to(b, 'not_for_users')), '+');
  });

  test('timers go off once, at their time, not while stopped; an upgrade clears them', async () => {
    const set = async (time) => Buffer.from(await net.callAs(OWNER, a, 'set_timer', words(time))).readBigUInt64LE(0);
    const { timers } = await seen(a);
    const time = net.now() + 1_000_000_000n;
    assert.equal(await set(time), 0n);
    assert.equal((await seen(a)).timers, timers);
    await until(async () => (await seen(a)).timers > timers);
    assert.ok(net.now() >= time);
    await delay(100);
    assert.equal((await seen(a)).timers, timers + 1n);
    assert.equal(await set(net.now() - 5n), 0n); // in the past: at once
    await until(async () => (await seen(a)).timers === timers + 2n);
    await set(net.now() + 20_000_000n);
    await net.canisters.get(a).stop();
    await delay(60);
    net.canisters.get(a).start();
    await until(async () => (await seen(a)).timers === timers + 3n);
    await set(net.now() + 20_000_000n);
    net.canisters.get(a).install({ mode: 'upgrade', module, arg: EMPTY, caller: OWNER }, { user: OWNER });
    await delay(60);
    assert.equal((await seen(a)).timers, 0n);
  });

  test('heartbeats come once a round', async () => {
    net.setOptions({ blockMs: 20 });
    await delay(1100); // the round that was under way
    const { beats } = await seen(a);
    const started = performance.now();
    let more;
    await until(async () => (more = Number((await seen(a)).beats - beats)) >= 8);
    const most = (performance.now() - started) / 20 + 2;
    assert.ok(more <= most, `${more} of at most ${most}`);
    net.setOptions({ blockMs: 0 });
  });

  test('memory: the limit of updates, the hook below the threshold', async () => {
    const canister = net.canisters.get(a);
    const size = BigInt(canister.engine.memoryMetrics.wasmMemory);
    const set = (settings) => canister.updateSettings({ settings }, { user: OWNER });
    set({ wasm_memory_limit: size + 100_000n });
    await rejects(net.callAs(OWNER, a, 'grow_heap', EMPTY), 'IC0539', /exceeded its current Wasm memory limit/);
    set({ wasm_memory_limit: size + 2n * 2n ** 20n, wasm_memory_threshold: 2n ** 20n + 1n });
    assert.equal((await seen(a)).lowMemory, 0n);
    await net.callAs(OWNER, a, 'grow_heap', EMPTY); // one MiB is left
    await until(async () => (await seen(a)).lowMemory === 1n);
    await run(a, 'r');
    await delay(20);
    assert.equal((await seen(a)).lowMemory, 1n); // once
  });
}
