// The engine's promises, with a canister that breaks every rule it can: changes of queries and of failed messages
// vanish, refusals carry the documented codes, nothing a canister does harms the host. For both pointer sizes.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CanisterEngine } from '../engine/canister.mjs';
import {
  buildFixture,
  call,
  CONTROLLER,
  ID,
  makeEngine,
  makeEnv,
  NAME,
  PAGE,
  rejects,
  scratch,
  STRANGER,
  words,
} from './engine_fixture.mjs';

const MIB = 2 ** 20;

for (const target of ['wasm32', 'wasm64']) {
  describe(target, () => suite(buildFixture('probe', target), target));
}

/** What the probe's reply_state says. */
async function state(engine) {
  const numbers = new BigUint64Array((await call(engine, 'query', 'state')).buffer);
  return { counter: numbers[0], stable: [...numbers.slice(1, 9)], pages: numbers[9], heapPages: numbers[10] };
}

function suite(module, target) {
  test('update changes persist, query changes vanish', async () => {
    const engine = makeEngine(module);
    assert.equal((await state(engine)).counter, 0n);
    await call(engine, 'update', 'change');
    await call(engine, 'update', 'change');
    const kept = await state(engine);
    assert.equal(kept.counter, 2n);
    assert.deepEqual(kept.stable, [0n, 1n, 2n, 0n, 0n, 0n, 0n, 0n]);
    for (const kind of ['query', 'query', 'update']) {
      // as an update it is a replicated query
      const seen = new BigUint64Array((await call(engine, kind, 'change_in_query')).buffer);
      assert.deepEqual([...seen.slice(0, 5)], [3n, 0n, 1n, 2n, 3n]);
      assert.deepEqual(await state(engine), kept);
      await rejects(
        call(engine, kind, 'certify_in_query'),
        'IC0504',
        /^Error from Canister rrkah-fqaaa-aaaaa-aaaaq-cai: Canister violated contract: "ic0_certified_data_set" cannot be executed in (non )?replicated query mode$/,
      );
      assert.deepEqual(await state(engine), kept);
    }
    assert.deepEqual(engine.certifiedData, words(2));
  });

  test('a query sees its own changes, the next call does not', async () => {
    const engine = makeEngine(module);
    const { heapPages } = await state(engine);
    for (let i = 0; i < 3; i++) assert.deepEqual(await call(engine, 'query', 'grow_heap'), Uint8Array.of(1));
    assert.deepEqual(await call(engine, 'update', 'grow_heap'), Uint8Array.of(1));
    assert.equal((await state(engine)).heapPages, heapPages);
    assert.deepEqual(await call(engine, 'update', 'grow_heap_and_keep'), Uint8Array.of(77));
    assert.equal((await state(engine)).heapPages, heapPages + 1n);
    assert.equal(engine.memoryMetrics.wasmMemory, Number(heapPages + 1n) * PAGE);
  });

  test('many queries that grow the heap do not use up memory', async () => {
    const engine = makeEngine(module);
    for (let i = 0; i < 2000; i++) assert.deepEqual(await call(engine, 'query', 'grow_heap'), Uint8Array.of(1));
  });

  test('every way to fail rolls everything back', async () => {
    const engine = makeEngine(module);
    await call(engine, 'update', 'change');
    const [before, version] = [await state(engine), engine.version];
    const trap = /^Error from Canister rrkah-fqaaa-aaaaa-aaaaq-cai: Canister trapped: /;
    await rejects(
      call(engine, 'update', 'change_and_trap'),
      'IC0503',
      /: Canister called `ic0.trap` with message: after all$/,
    );
    await rejects(call(engine, 'update', 'unreachable'), 'IC0502', /Canister trapped: unreachable$/);
    await rejects(call(engine, 'update', 'overflow_stack'), 'IC0502', trap);
    await rejects(call(engine, 'update', 'overflow_calls'), 'IC0502', trap);
    await rejects(
      call(engine, 'update', 'replies_twice'),
      'IC0504',
      /ic0\.msg_reply: the call has already been answered/,
    );
    await rejects(call(engine, 'update', 'arg_beyond', words(1)), 'IC0504', /ic0\.msg_arg_data_copy/);
    await rejects(call(engine, 'update', 'certify_too_much'), 'IC0504', /certified_data_set/);
    assert.deepEqual(await state(engine), before);
    assert.equal(engine.version, version);
    assert.deepEqual(engine.certifiedData, words(1));
    await call(engine, 'update', 'change');
    assert.equal((await state(engine)).counter, 2n);
    assert.deepEqual(engine.certifiedData, words(2));
  });

  test('a reject keeps the changes, and so does no answer at all', async () => {
    const engine = makeEngine(module);
    await rejects(call(engine, 'update', 'change_silently'), 'IC0506', /Canister did not reply to the call$/);
    assert.equal((await state(engine)).counter, 1n);
    engine.install({ mode: 'reinstall', module, arg: new Uint8Array(0), caller: CONTROLLER });
    await rejects(call(engine, 'update', 'change_and_reject'), 'IC0406', /^rather not$/);
    assert.equal((await state(engine)).counter, 1n);
    assert.deepEqual(engine.certifiedData, words(1));
  });

  test('globals that are not exported are rolled back: the stack pointer after traps', async () => {
    const engine = makeEngine(module);
    for (let i = 0; i < 20; i++) await rejects(call(engine, 'update', 'trap_deep'), 'IC0503', /deep$/);
    await call(engine, 'update', 'change');
  });

  test('bad pointers trap and change nothing', async () => {
    const engine = makeEngine(module);
    const end = BigInt(engine.memoryMetrics.wasmMemory);
    const ranges = [
      [end, 1n],
      [end - 1n, 2n],
      [0n, end + 1n],
      [0xffffffffn, 16n],
      [0xfffffff0n, 0xffffffffn],
      [1n, 0xffffffffn],
    ];
    const wide = [
      [2n ** 64n - 1n, 2n],
      [2n ** 63n, 8n],
      [8n, 2n ** 63n],
      [2n ** 53n, 2n ** 64n - 1n],
    ];
    for (let fn = 0n; fn < 12n; fn++) {
      for (const [at, size] of target === 'wasm64' || fn >= 10n ? [...ranges, ...wide] : ranges) {
        if (fn === 7n && at + 16n <= end) continue; // a fixed size of 16
        await rejects(call(engine, 'update', 'bad_pointer', words(fn, at, size)), 'IC0502', /Canister trapped: /);
      }
    }
    assert.equal((await state(engine)).counter, 0n);
  });

  test('reply limits: 3 MiB for queries, 2 MiB when replicated', async () => {
    const engine = makeEngine(module);
    assert.equal((await call(engine, 'query', 'sized_query', words(3 * MIB))).length, 3 * MIB);
    await rejects(
      call(engine, 'query', 'sized_query', words(3 * MIB + 1)),
      'IC0504',
      /: Canister violated contract: ic0\.msg_reply_data_append: application payload size \(3145729\) cannot be larger than 3145728\.$/,
    );
    for (const method of ['sized_query', 'sized_update']) {
      assert.equal((await call(engine, 'update', method, words(2 * MIB))).length, 2 * MIB);
      await rejects(
        call(engine, 'update', method, words(2 * MIB + 1)),
        'IC0504',
        /payload size \(2097153\) cannot be larger than 2097152\.$/,
      );
    }
    assert.equal((await call(engine, 'query', 'sized_query', words(0))).length, 0);
  });

  test('methods that are not there, or of another kind', async () => {
    const engine = makeEngine(module);
    await rejects(
      call(engine, 'query', 'nowhere'),
      'IC0536',
      new RegExp(`^Error from Canister ${NAME}: Canister has no query method 'nowhere'\\.$`),
    );
    await rejects(call(engine, 'update', 'nowhere'), 'IC0536', /Canister has no update method 'nowhere'\.$/);
    await rejects(call(engine, 'query', 'change'), 'IC0536', /Canister has no query method 'change'\.$/);
    await rejects(call(engine, 'query', 'init'), 'IC0536', /no query method/);
    await rejects(
      call(new CanisterEngine({ id: ID, env: makeEnv() }), 'query', 'state'),
      'IC0537',
      /contains no Wasm module$/,
    );
  });

  test('stable memory across 4 GiB and at 100 GiB, up to 500 GiB and no further', async () => {
    const engine = makeEngine(module);
    const grow = async (pages) => new BigInt64Array((await call(engine, 'update', 'grow', words(pages))).buffer)[0];
    const most = BigInt((500 * 2 ** 30) / PAGE);
    assert.equal(await grow(most + 1n), -1n);
    assert.equal(await grow(2n ** 64n - 1n), -1n);
    assert.equal(await grow(most - 1n), 0n);
    assert.equal(await grow(1), most - 1n);
    assert.equal(await grow(1), -1n);
    assert.equal(await grow(0), most);
    assert.equal(engine.memoryMetrics.stableMemory, 500 * 2 ** 30);
    const bytes = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
    for (const at of [2n ** 32n - 4n, 100n * 2n ** 30n - 3n, 500n * 2n ** 30n - 8n]) {
      await call(engine, 'update', 'put', new Uint8Array(Buffer.concat([words(at), bytes])));
      assert.deepEqual(await call(engine, 'query', 'get', words(at, 8)), bytes);
      assert.deepEqual(await call(engine, 'query', 'get', words(at - 3n, 8)), Uint8Array.of(0, 0, 0, 1, 2, 3, 4, 5));
    }
    assert.deepEqual(await call(engine, 'query', 'get', words(300n * 2n ** 30n + 5n, 3 * 1000)), new Uint8Array(3000));
    for (const [at, length] of [
      [500n * 2n ** 30n - 7n, 8],
      [500n * 2n ** 30n, 1],
      [2n ** 53n + 1n, 1],
      [2n ** 64n - 1n, 2],
    ]) {
      await rejects(
        call(engine, 'query', 'get', words(at, length)),
        'IC0502',
        /Canister trapped: stable memory out of bounds$/,
      );
    }
    if (target === 'wasm32')
      await rejects(
        call(engine, 'query', 'size32'),
        'IC0502',
        /32 bit stable memory api used on a memory larger than 4GB$/,
      );
  });

  test('a message may touch only so much stable memory', async () => {
    const engine = makeEngine(module);
    await call(engine, 'update', 'grow', words((3 * 2 ** 30) / PAGE));
    await call(engine, 'query', 'touch', words(2 ** 30));
    await rejects(call(engine, 'query', 'touch', words(2 ** 30 + PAGE)), 'IC0524', /accessed/);
    await call(engine, 'query', 'touch', words(2 ** 30)); // counted per message
  });

  test('what the network tells a canister', async () => {
    const env = makeEnv();
    const engine = makeEngine(module, { env });
    for (const [kind, replicated] of [
      ['query', 0n],
      ['update', 1n],
    ]) {
      const reply = await call(engine, kind, 'facts');
      assert.deepEqual([...new BigUint64Array(reply.slice(0, 32).buffer)], [env.now, engine.version, replicated, 1n]);
      assert.deepEqual(reply.slice(32), ID);
    }
    await call(engine, 'update', 'print', new Uint8Array(Buffer.from('hé')));
    assert.deepEqual(env.lines, ['', 'hé']);
  });

  test('install: atomic, refuses to overwrite, reinstall starts anew', async () => {
    const engine = makeEngine(module, { arg: words(41) });
    assert.deepEqual(await state(engine).then(({ counter, pages }) => [counter, pages]), [42n, 1n]);
    const install = (given) =>
      (async () => engine.install({ module, arg: new Uint8Array(0), caller: STRANGER, ...given }))();
    await rejects(install({ mode: 'install' }), 'IC0538', /not empty/);
    const before = [await state(engine), engine.version, engine.moduleHash];
    await rejects(install({ mode: 'reinstall', arg: words(666) }), 'IC0503', /init refuses/);
    await rejects(install({ mode: 'reinstall', module: Uint8Array.of(0) }), 'IC0505', /not valid/);
    assert.deepEqual([await state(engine), engine.version, engine.moduleHash], before);
    await install({ mode: 'reinstall' });
    assert.deepEqual(await state(engine).then(({ counter, pages }) => [counter, pages]), [0n, 0n]);
    assert.equal(engine.certifiedData.length, 0);
    assert.equal(engine.version, before[1] + 1n);
    engine.uninstall();
    assert.equal(engine.moduleHash, null);
    assert.deepEqual(engine.memoryMetrics, {
      wasmMemory: 0,
      stableMemory: 0,
      wasmBinary: 0,
      customSections: 0,
      globals: 0,
    });
    await rejects(call(engine, 'query', 'state'), 'IC0537', /no Wasm module/);
    await install({ mode: 'install' });
    assert.equal((await state(engine)).counter, 0n);
  });

  test('the version grows with installs and kept updates', async () => {
    const engine = makeEngine(module);
    const start = engine.version;
    await call(engine, 'update', 'change');
    assert.equal(engine.version, start + 1n);
    await call(engine, 'query', 'state');
    await call(engine, 'update', 'state');
    assert.equal(engine.version, start + 1n);
    engine.bumpVersion();
    assert.equal(engine.version, start + 2n);
  });

  test('state saved and loaded, twice over', async () => {
    const dir = scratch();
    const engine = makeEngine(module);
    await call(engine, 'update', 'change');
    await call(engine, 'update', 'grow', words(200 * 2 ** 14)); // 200 GiB
    const far = 150n * 2n ** 30n - 2n;
    await call(engine, 'update', 'put', new Uint8Array(Buffer.concat([words(far), Uint8Array.of(7, 8, 9)])));
    await call(engine, 'update', 'grow_heap_and_keep');
    engine.saveState(dir);
    await call(engine, 'update', 'change');
    await rejects(call(engine, 'update', 'trap_deep'), 'IC0503', /deep/); // leaves the instance stale
    engine.saveState(dir);
    const again = CanisterEngine.loadState(dir, { id: ID, env: makeEnv() });
    assert.deepEqual(await state(again), await state(engine));
    assert.deepEqual(await call(again, 'query', 'get', words(far, 3)), Uint8Array.of(7, 8, 9));
    for (const property of ['version', 'moduleHash', 'certifiedData', 'memoryMetrics', 'metadata']) {
      assert.deepEqual(again[property], engine[property], property);
    }
    await call(again, 'update', 'change');
    assert.equal((await state(again)).counter, (await state(engine)).counter + 1n);
    again.uninstall();
    again.saveState(dir);
    assert.equal(CanisterEngine.loadState(dir, { id: ID, env: makeEnv() }).moduleHash, null);
    assert.throws(() => CanisterEngine.loadState(scratch(), { id: ID, env: makeEnv() }), /no canister state/);
  });
}
