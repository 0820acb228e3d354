// Modules: which are refused and how, metadata, and the state that only hand-made modules have (start functions,
// globals of every type, tables, dropped segments).

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { CanisterEngine } from '../engine/canister.mjs';
import {
  buildCanisters,
  buildFixture,
  call,
  CONTROLLER,
  ID,
  makeEngine,
  makeEnv,
  rejects,
  scratch,
} from './engine_fixture.mjs';
import {
  assemble,
  callFunction,
  DROP,
  globalGet,
  globalSet,
  HEADER,
  i32,
  i64,
  load32,
  section,
  store32,
  store64,
  string,
  UNREACHABLE,
  vector,
} from './engine_wasm.mjs';

const REPLY = [
  ['msg_reply_data_append', ['i32', 'i32'], []],
  ['msg_reply', [], []],
];
const MEMORY = [[0, 1]];

/** Code that replies with 4 bytes of memory from 0 on. REPLY must be imports 0 and 1. */
const replyWord = [...i32(0), ...i32(4), ...callFunction(0), ...callFunction(1)];
const query = (name, code) => ({ export: `canister_query ${name}`, code });
const update = (name, code) => ({ export: `canister_update ${name}`, code });

async function word(engine, kind, method) {
  return Buffer.from(await call(engine, kind, method)).readUInt32LE();
}

const install = async (module) => makeEngine(module);
const refused = (module, why) => rejects(install(Uint8Array.from(module)), 'IC0505', why);

describe('modules that are refused', () => {
  test('what is not a module', async () => {
    await refused([], /Canister's Wasm module is not valid: unexpected end/);
    await refused([0, 0x61, 0x73, 0x6d], /unexpected end/);
    await refused([0, 0x61, 0x73, 0x6d, 2, 0, 0, 0], /no WebAssembly 1 header/);
    await refused([0x1f, 0x8b, 8, 0, 0], /cannot decompress/);
    await refused([...HEADER, ...section(13, [0])], /section 13 is not supported/);
    await refused([...HEADER, ...section(3, [0]), ...section(1, [0])], /section 1 is out of order/);
    await refused([...HEADER, ...section(1, [0]), ...section(1, [0])], /section 1 is out of order/);
    await refused([...HEADER, 1, 0xff, 0xff, 0xff, 0xff, 0x0f], /unexpected end/);
    await refused([...HEADER, 1, 5, 0xff, 0xff, 0xff, 0xff, 0x0f], /count too large/);
    await refused(gzipSync(Buffer.alloc(101 * 2 ** 20)), /cannot decompress/);
  });

  test('every truncation, and random damage, ends in IC0505 or runs', async () => {
    const bytes = buildCanisters()('hello'); // has no canister_init: damaged code is never run
    const engine = new CanisterEngine({ id: ID, env: makeEnv() });
    const attempt = (module) => {
      try {
        engine.install({ mode: 'reinstall', module, arg: new Uint8Array(0), caller: CONTROLLER });
        return true;
      } catch (error) {
        assert.ok(['IC0502', 'IC0503', 'IC0505'].includes(error.errorCode), error.stack);
        return false;
      }
    };
    const last = bytes.length - 1;
    for (let len = 0; len < bytes.length; len += len > 400 && len < last - 400 ? 97 : 1) attempt(bytes.slice(0, len));
    assert.equal(attempt(bytes.slice(0, last)), false);
    let accepted = 0;
    for (let i = 0; i < 600; i++) {
      const damaged = bytes.slice();
      damaged[(i * 7919) % (i < 300 ? 1200 : bytes.length)] ^= 1 << (i % 8);
      accepted += attempt(damaged);
    }
    assert.ok(accepted < 600);
    assert.equal(attempt(bytes), true);
  });

  test('imports that the platform does not offer', async () => {
    const env = [
      ...HEADER,
      ...section(1, vector([[0x60, 0, 0]])),
      ...section(2, vector([[...string('env'), ...string('time'), 0, 0]])),
    ];
    await refused(env, /import from 'env'/);
    const memory = [...HEADER, ...section(2, vector([[...string('ic0'), ...string('memory'), 2, 0, 1]]))];
    await refused(memory, /import ic0\.memory is not a function/);
    await refused(assemble({ imports: [['format_disk', [], []]] }), /ic0 has no function 'format_disk'/);
    await refused(assemble({ imports: [['time', [], ['i32']]] }), /ic0\.time has type \(-> i64\), not \(-> i32\)/);
    const wide = { memories: [[4, 1]] };
    await refused(assemble({ ...wide, imports: [['stable_size', [], ['i32']]] }), /ic0 has no function 'stable_size'/);
    await refused(assemble({ ...wide, imports: REPLY }), /msg_reply_data_append has type \(i64 i64 ->\)/);
    await install(assemble({ ...wide, imports: [['msg_reply_data_append', ['i64', 'i64'], []]] }));
  });

  test('memories, globals, exports', async () => {
    await refused(
      assemble({
        memories: [
          [0, 1],
          [0, 1],
        ],
      }),
      /more than one memory/,
    );
    await refused(assemble({ memories: [[3, 1, 2]] }), /shared memory/);
    await refused(
      assemble({ tables: [[0x70, 0, 0]], globals: [['funcref', [0xd0, 0x70]]] }),
      /mutable globals of type funcref/,
    );
    await refused(
      assemble({ functions: [{ export: 'canister_reboot', code: [] }] }),
      /unknown export 'canister_reboot'/,
    );
    await refused(
      assemble({ functions: [{ export: 'canister_init', code: [], params: ['i32'] }] }),
      /is not a function \(\) -> \(\)/,
    );
    await refused(assemble({ functions: [query('a', []), update('a', [])] }), /method 'a' is exported twice/);
    await refused(assemble({ functions: [query('a', []), query('a', [])] }), /exported twice|Duplicate export/);
    await refused(assemble({ functions: [query('x'.repeat(20_001), [])] }), /method names longer/);
    await refused(
      assemble({ functions: Array.from({ length: 1001 }, (_, i) => query(String(i), [])) }),
      /more than 1000 methods/,
    );
    await refused(
      assemble({ functions: Array.from({ length: 50_001 }, () => ({ code: [] })) }),
      /more than 50000 functions/,
    );
    await refused(assemble({ globals: Array.from({ length: 1001 }, () => ['i32', i32(0)]) }), /more than 1000 globals/);
    await refused(assemble({ functions: [{ code: [0x6a] }] }), /WebAssembly\.Module\(\)/); // V8's own validation
    await refused(
      assemble({ functions: [{ code: [], results: ['i32'], params: ['i32'] }], start: 0 }),
      /start function/,
    );
  });

  test('segments that do not fit are found when the code is installed', async () => {
    const data = [[0, ...i32(65535), 0x0b, ...string('xy')]];
    await rejects(install(assemble({ memories: MEMORY, data })), 'IC0502', /Canister trapped: /);
  });
});

describe('what a module carries', () => {
  const sample = buildCanisters()('sample');

  test('gzip: the hash is of the bytes as given', async () => {
    for (const given of [sample, new Uint8Array(gzipSync(sample))]) {
      const engine = makeEngine(given);
      assert.deepEqual(engine.moduleHash, new Uint8Array(createHash('sha256').update(given).digest()));
      assert.equal(engine.memoryMetrics.wasmBinary, given.length);
      assert.ok(engine.metadata.has('candid:service'));
      assert.equal((await call(engine, 'query', 'stable_size', new Uint8Array(Buffer.from('DIDL\0\0')))).length, 15);
    }
  });

  test('metadata', async () => {
    const custom = [
      ['icp:public candid:service', 'service : {}'],
      ['icp:private notes', 'psst'],
      ['name', 'whatever'],
      ['icp:secret x', 'no'],
      ['icp:public é', ''],
    ];
    const { metadata, memoryMetrics } = makeEngine(assemble({ custom }));
    const seen = [...metadata].map(([name, { visibility, content }]) => [
      name,
      visibility,
      Buffer.from(content).toString(),
    ]);
    assert.deepEqual(seen, [
      ['candid:service', 'public', 'service : {}'],
      ['notes', 'private', 'psst'],
      ['é', 'public', ''],
    ]);
    assert.ok(memoryMetrics.customSections > 0);
    await refused(
      assemble({
        custom: [
          ['icp:public a', '1'],
          ['icp:private a', '2'],
        ],
      }),
      /metadata 'a' appears twice/,
    );
    const many = (count) => assemble({ custom: Array.from({ length: count }, (_, i) => [`icp:public ${i}`, '']) });
    assert.equal(makeEngine(many(16)).metadata.size, 16);
    await refused(many(17), /more than 16 metadata sections/);
    await refused(assemble({ custom: [['icp:private big', 'x'.repeat(2 ** 20)]] }), /metadata larger than 1048576 bytes/);
  });

  test('a module without memory or exports installs', async () => {
    const engine = makeEngine(assemble({}));
    assert.deepEqual(engine.memoryMetrics, {
      wasmMemory: 0,
      stableMemory: 0,
      wasmBinary: engine.memoryMetrics.wasmBinary,
      customSections: 0,
      globals: 0,
    });
    await rejects(call(engine, 'query', 'a'), 'IC0536', /no query method 'a'/);
    const silent = makeEngine(assemble({ functions: [update('quiet', []), query('quiet2', [])] }));
    await rejects(call(silent, 'update', 'quiet'), 'IC0506', /did not reply/);
    await rejects(call(silent, 'query', 'quiet2'), 'IC0506', /did not reply/);
  });

  test('a composite query runs as a query only', async () => {
    const engine = makeEngine(
      assemble({
        imports: REPLY,
        memories: MEMORY,
        functions: [{ export: 'canister_composite_query c', code: replyWord }],
      }),
    );
    assert.equal(await word(engine, 'query', 'c'), 0);
    await rejects(call(engine, 'update', 'c'), 'IC0527', /replicated mode/);
  });
});

describe('state only hand-made modules have', () => {
  test('the start function runs once, before canister_init, and not for new instances', async () => {
    const imports = [...REPLY];
    const bump = (n) => [...i32(0), ...i32(0), ...load32, ...i32(n), 0x6a, ...store32]; // word at 0 += n
    const double = [...i32(0), ...i32(0), ...load32, ...i32(2), 0x6c, ...store32];
    const functions = [
      { code: bump(5) },
      { export: 'canister_init', code: double },
      query('word', replyWord),
      query('grow', [...i32(1), 0x40, 0, ...DROP, ...replyWord]), // forces a new instance
    ];
    const engine = makeEngine(assemble({ imports, memories: MEMORY, functions, start: 2 }));
    for (const method of ['word', 'grow', 'word', 'grow', 'word'])
      assert.equal(await word(engine, 'query', method), 10);
    const trapping = { imports, memories: MEMORY, functions: [{ code: UNREACHABLE }], start: 2 };
    await rejects(install(assemble(trapping)), 'IC0502', /unreachable/);
    const replying = { imports, memories: MEMORY, functions: [{ code: replyWord }], start: 2 };
    await rejects(install(assemble(replying)), 'IC0504', /cannot be executed in start mode/);
  });

  test('globals of every type are put back, bit by bit, and saved', async () => {
    const f32 = (bytes) => [0x43, ...bytes];
    const f64 = (bytes) => [0x44, ...bytes];
    const globals = [
      ['i32', i32(-1)],
      ['i64', i64(-2)],
      ['f32', f32([0, 0, 0, 0x80])],
      ['f64', f64([0, 0, 0, 0, 0, 0, 0xf8, 0x3f])],
    ];
    // word 0 = sum of what tells the values apart: the i32, the i64, the sign bit of -0, and f64 truncated
    const reply = [
      ...i32(0),
      ...globalGet(0),
      ...globalGet(1),
      0xa7,
      0x6a,
      ...globalGet(2),
      0xbc,
      0x6a,
      ...globalGet(3),
      0xaa,
      0x6a,
      ...store32,
      ...replyWord,
    ];
    const change = [
      ...i32(7),
      ...globalSet(0),
      ...i64(8),
      ...globalSet(1),
      ...f32([0, 0, 0x80, 0x3f]),
      ...globalSet(2),
      ...f64([0, 0, 0, 0, 0, 0, 0x59, 0x40]),
      ...globalSet(3),
    ];
    const functions = [
      query('sum', reply),
      query('change_q', [...change, ...reply]),
      update('change_u', [...change, ...reply]),
      update('trap', [...change, ...UNREACHABLE]),
    ];
    const engine = makeEngine(assemble({ imports: REPLY, memories: MEMORY, globals, functions }));
    const before = (-1 - 2 + 0x80000000 + 1) >>> 0;
    const after = 7 + 8 + 0x3f800000 + 100;
    assert.equal(await word(engine, 'query', 'sum'), before);
    assert.equal(await word(engine, 'query', 'change_q'), after);
    await rejects(call(engine, 'update', 'trap'), 'IC0502', /unreachable/);
    assert.equal(await word(engine, 'query', 'sum'), before);
    const reload = () => {
      const dir = scratch();
      engine.saveState(dir);
      return CanisterEngine.loadState(dir, { id: ID, env: makeEnv() });
    };
    assert.equal(await word(reload(), 'query', 'sum'), before);
    assert.equal(await word(engine, 'update', 'change_u'), after);
    assert.equal(await word(engine, 'query', 'sum'), after);
    assert.equal(await word(reload(), 'query', 'sum'), after);
  });

  test('every message sees tables as the module defines them', async () => {
    // Functions 2 and 3 return 11 and 22; table[0] holds 2. The reply is what table[0] returns, and the size.
    const constant = (n) => ({ code: i32(n), results: ['i32'] });
    const reply = [...i32(0), ...i32(0), 0x11, 2, 0, 0xfc, 16, 0, ...i32(100), 0x6c, 0x6a, ...store32, ...replyWord];
    const set = [...i32(0), 0xd2, 3, 0x26, 0]; // table.set 0 (ref.func 3)
    const grow = [0xd0, 0x70, ...i32(1), 0xfc, 15, 0, ...DROP]; // table.grow by a null
    const functions = [
      constant(11),
      constant(22),
      query('word', reply),
      query('set', [...set, ...reply]),
      query('grow', [...grow, ...reply]),
      update('set_u', [...set, ...grow, ...reply]),
    ];
    const elements = [
      [0, ...i32(0), 0x0b, ...vector([[2]])],
      [3, 0, ...vector([[3]])],
    ]; // active; declared, for ref.func
    const engine = makeEngine(
      assemble({ imports: REPLY, memories: MEMORY, tables: [[0x70, 0, 1]], elements, functions }),
    );
    for (const [kind, method, expected] of [
      ['query', 'word', 111],
      ['query', 'set', 122],
      ['query', 'word', 111],
      ['query', 'grow', 211],
      ['query', 'word', 111],
      ['update', 'set_u', 222],
      ['query', 'word', 111],
      ['update', 'set_u', 222],
    ]) {
      assert.equal(await word(engine, kind, method), expected, method);
    }
  });

  test('code that could catch its own trap is refused', async () => {
    const imports = [...REPLY, ['trap', ['i32', 'i32'], []]];
    const trap = [...i32(0), ...i32(0), ...callFunction(2)];
    const caught = [0x02, 0x40, 0x1f, 0x40, 1, 2, 0, ...trap, 0x0b, 0x0b]; // block (try_table (catch_all 0) trap end) end
    const module = assemble({ imports, memories: MEMORY, functions: [update('catch', caught)] });
    await rejects(Promise.resolve().then(() => makeEngine(module)), 'IC0505', /opcode 0x1f is not supported$/);
  });

  test('dropped data segments are back for the next message', async () => {
    const init = [...i32(0), ...i32(0), ...i32(4), 0xfc, 8, 0, 0]; // memory.init 0 from segment 0
    const drop = [0xfc, 9, 0];
    const functions = [
      query('init', [...init, ...replyWord]),
      query('drop', [...drop, ...replyWord]),
      update('drop_u', [...drop, ...replyWord]),
    ];
    const data = [[1, ...string('\x01\x00\x00\x00')]];
    const engine = makeEngine(assemble({ imports: REPLY, memories: MEMORY, functions, data }));
    for (const [kind, method, expected] of [
      ['query', 'init', 1],
      ['query', 'drop', 0],
      ['query', 'init', 1],
      ['update', 'drop_u', 0],
      ['query', 'init', 1],
    ]) {
      assert.equal(await word(engine, kind, method), expected);
    }
  });

  test('every ic0 function links for both pointer types', async () => {
    const { importType } = await import('../engine/ic0.mjs');
    const list = (text) => text.trim().split(/\s+/);
    const names = list(`
      accept_message call_data_append call_cycles_add128 call_with_best_effort_response call_new call_perform
      call_on_cleanup canister_cycle_balance128 canister_liquid_cycle_balance128 canister_self_copy
      canister_self_size canister_status canister_version root_key_copy root_key_size in_replicated_execution
      is_controller subnet_self_copy subnet_self_size debug_print msg_arg_data_copy msg_arg_data_size
      msg_caller_copy msg_caller_size msg_caller_info_data_size msg_caller_info_data_copy
      msg_caller_info_signer_size msg_caller_info_signer_copy msg_cycles_available128 msg_cycles_refunded128
      msg_cycles_accept128 msg_method_name_size msg_method_name_copy msg_reject_code msg_reject_msg_size
      msg_reject_msg_copy msg_reject msg_reply_data_append msg_reply msg_deadline cycles_burn128 cost_call
      cost_create_canister cost_http_request cost_sign_with_ecdsa cost_sign_with_schnorr cost_vetkd_derive_key
      certified_data_set data_certificate_present data_certificate_size data_certificate_copy
      performance_counter trap stable64_write stable64_read stable64_size stable64_grow env_var_count
      env_var_name_size env_var_name_copy env_var_name_exists env_var_value_size env_var_value_copy time
      global_timer_set`);
    const only32 = list(`
      msg_cycles_available msg_cycles_refunded msg_cycles_accept canister_cycle_balance call_cycles_add
      stable_size stable_grow stable_write stable_read`);
    for (const [pointer, memories, all] of [
      ['i32', [[0, 1]], [...names, ...only32]],
      ['i64', [[4, 1]], names],
    ]) {
      const imports = all.map((name) => {
        const type = importType(name, pointer);
        assert.ok(type !== undefined, `${name} for ${pointer}`);
        const [params, results] = type.split('->').map((side) => side.trim().split(' ').filter(Boolean));
        return [name, params, results];
      });
      await install(assemble({ imports, memories }));
    }
    for (const name of only32) assert.equal(importType(name, 'i64'), undefined);
  });
});

test('the System API answers', async () => {
  const big = 2n ** 64n + 5n;
  const env = makeEnv({ cycles: () => big, dataCertificate: () => Uint8Array.of(1, 2, 3), status: () => 2 });
  const imports = [
    ...REPLY,
    ['canister_cycle_balance128', ['i32'], []],
    ['canister_status', [], ['i32']],
    ['data_certificate_present', [], ['i32']],
    ['data_certificate_size', [], ['i32']],
    ['data_certificate_copy', ['i32', 'i32', 'i32'], []],
    ['root_key_size', [], ['i32']],
    ['subnet_self_copy', ['i32', 'i32', 'i32'], []],
    ['global_timer_set', ['i64'], ['i64']],
    ['canister_cycle_balance', [], ['i64']],
    ['is_controller', ['i32', 'i32'], ['i32']],
    ['msg_caller_size', [], ['i32']],
    ['performance_counter', ['i32'], ['i64']],
    ['env_var_count', [], ['i32']],
    ['env_var_name_size', ['i32'], ['i32']],
  ];
  const index = (name) => imports.findIndex(([n]) => n === name);
  const fn = (name) => callFunction(index(name));
  const bytes = (length) => [...i32(0), ...i32(length), ...callFunction(0), ...callFunction(1)];
  const result32 = (code) => [...i32(0), ...code, ...store32, ...replyWord];
  const result64 = (code) => [...i32(0), ...code, ...store64, ...bytes(8)];
  const methods = {
    balance: [...i32(0), ...fn('canister_cycle_balance128'), ...bytes(16)],
    status: result32(fn('canister_status')),
    present: result32(fn('data_certificate_present')),
    certificate: [...i32(0), ...i32(0), ...fn('data_certificate_size'), ...fn('data_certificate_copy'), ...bytes(3)],
    root: result32(fn('root_key_size')),
    subnet: [...i32(0), ...i32(1), ...i32(2), ...fn('subnet_self_copy'), ...bytes(2)],
    narrow: result64(fn('canister_cycle_balance')),
    controller: result32([...i32(0), ...i32(0), ...fn('is_controller')]),
    not_principal: result32([...i32(0), ...i32(30), ...fn('is_controller')]),
    caller: result32(fn('msg_caller_size')),
    counter: result64([...i32(2), ...fn('performance_counter')]),
    variables: result32(fn('env_var_count')),
    variable: result32([...i32(0), ...fn('env_var_name_size')]),
  };
  const functions = [
    ...Object.entries(methods).map(([name, code]) => query(name, code)),
    update('timer', result64([...i64(50), ...fn('global_timer_set')])),
    update('timer_trap', [...i64(60), ...fn('global_timer_set'), ...DROP, ...UNREACHABLE]),
  ];
  const engine = makeEngine(assemble({ imports, memories: MEMORY, functions }), { env });
  const hex = async (method, kind = 'query') => Buffer.from(await call(engine, kind, method)).toString('hex');
  assert.equal(await hex('balance'), '05000000000000000100000000000000');
  assert.equal(await hex('status'), '02000000');
  assert.equal(await hex('present'), '01000000');
  assert.equal(await hex('present', 'update'), '00000000');
  assert.equal(await hex('certificate'), '010203');
  await rejects(call(engine, 'update', 'certificate'), 'IC0504', /cannot be executed in replicated query mode/);
  await rejects(
    call(engine, 'query', 'root'),
    'IC0504',
    /"ic0_root_key_size" cannot be executed in non replicated query mode/,
  );
  assert.equal(await hex('root', 'update'), '03000000');
  assert.equal(await hex('subnet'), '0902');
  await rejects(call(engine, 'query', 'narrow'), 'IC0502', /does not fit 64 bits/);
  assert.equal(await hex('controller'), '00000000');
  await rejects(call(engine, 'query', 'not_principal'), 'IC0502', /principal of 30 bytes/);
  assert.equal(await hex('caller'), '04000000');
  await rejects(call(engine, 'query', 'counter'), 'IC0502', /no counter 2/);
  assert.equal(await hex('variables'), '00000000');
  await rejects(call(engine, 'query', 'variable'), 'IC0502', /no such environment variable/);
  assert.equal(await hex('timer', 'update'), '0000000000000000');
  await rejects(call(engine, 'update', 'timer_trap'), 'IC0502', /unreachable/);
  assert.equal(await hex('timer', 'update'), '3200000000000000');
  env.dataCertificate = () => null;
  assert.equal(await hex('present'), '00000000');
  await rejects(call(engine, 'query', 'certificate'), 'IC0504', /there is no certificate/);
});

test('the probe compiles to the pointer type it is tested for', () => {
  for (const [target, globals] of [
    ['wasm32', 8],
    ['wasm64', 8],
  ]) {
    assert.equal(makeEngine(buildFixture('probe', target)).memoryMetrics.globals, globals, target);
  }
});
