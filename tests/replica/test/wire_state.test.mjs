// Certified state: certificates verified from the root key down, what each path reveals, who may read it, how absence
// is proved, both forms of the delegation.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { canisterId } from '../principal.mjs';
import { buildCanisters } from './engine_fixture.mjs';
import {
  ANONYMOUS,
  call,
  decode,
  hex,
  leaves,
  leastOf,
  lookup,
  makeIdentity,
  network,
  nodeKeys,
  number,
  openCertificate,
  Principal,
  readState,
} from './wire_fixture.mjs';
import { withSection } from './wire_module.mjs';
import { install } from '../demo.mjs';

const net = await network();
const owner = makeIdentity();
const stranger = makeIdentity();
const build = buildCanisters();
const module = withSection(build('sample'), 'icp:private notes', Buffer.from('for controllers'));
const id = await install(net, owner.sender, module);
const name = Buffer.from(id);

const read = async (paths, options) => {
  const answer = await readState(net, options?.id ?? id, paths, options);
  assert.equal(answer.status, 200, answer.bytes.toString('latin1'));
  return openCertificate(answer.body.certificate, net.rootKeyDer);
};
const refused = async (status, paths, options) => {
  const answer = await readState(net, options?.id ?? id, paths, options);
  assert.equal(answer.status, status, answer.bytes.toString('latin1'));
  assert.equal(typeof answer.body, 'string');
};
const shown = (bytes) => Buffer.from(bytes).toString();

test('time: certified, fresh, always there', async () => {
  for (const paths of [[], [['time']], [['canister', name, 'controllers']]]) {
    const asked = Date.now();
    const { tree } = await read(paths);
    const time = Number(number(lookup(tree, ['time'])) / 1_000_000n);
    assert.ok(time > asked - 1000 && time <= Date.now(), `${time - asked} ms`);
  }
});

test('what a canister shows', async () => {
  const { tree } = await read([
    ['canister', name, 'module_hash'],
    ['canister', name, 'controllers'],
    ['canister', name, 'metadata', 'candid:service'],
  ]);
  assert.deepEqual(leaves(tree), [
    `canister/${hex(id)}/controllers`,
    `canister/${hex(id)}/metadata/candid:service`,
    `canister/${hex(id)}/module_hash`,
    'time',
  ]);
  const hash = lookup(tree, ['canister', name, 'module_hash']);
  assert.equal(hex(hash), createHash('sha256').update(module).digest('hex'));
  const controllers = decode(lookup(tree, ['canister', name, 'controllers']));
  assert.deepEqual(controllers.map(hex), [hex(owner.sender)]);
  assert.match(shown(lookup(tree, ['canister', name, 'metadata', 'candid:service'])), /stable_read : \(nat64, nat64\)/);
});

test('absence is proved: canister, module hash, metadata, request', async () => {
  const blank = await net.createCanister({ controllers: [owner.sender] });
  const missing = canisterId(0x0100_ff00n);
  for (const [at, ...path] of [
    [missing, 'controllers'],
    [missing, 'module_hash'],
    [missing, 'metadata', 'candid:service'],
    [blank, 'module_hash'],
    [blank, 'metadata', 'candid:service'],
    [id, 'metadata', 'a'],
    [id, 'metadata', 'candid:servicf'],
    [id, 'metadata', 'zz'],
    [id, 'canister_creation_timestamp'],
  ]) {
    const { tree } = await read([['canister', at, ...path]], { id: at });
    assert.equal(lookup(tree, ['canister', Buffer.from(at), ...path]), 'absent', path.join());
  }
  const requestId = Buffer.alloc(32, 7);
  for (let calls = 0; calls < 3; calls++) {
    const { tree } = await read([['request_status', requestId]]);
    assert.equal(lookup(tree, ['request_status', requestId, 'status']), 'absent');
    await call(net, { canister: id, method: 'stable_size' });
  }
});

test('private metadata is for controllers', async () => {
  const path = [['canister', name, 'metadata', 'notes']];
  const { tree } = await read(path, { identity: owner });
  assert.equal(shown(lookup(tree, path[0])), 'for controllers');
  await refused(403, path);
  await refused(403, path, { identity: stranger });
  await refused(403, [['time'], ...path], { identity: stranger });
});

test('paths that nobody may read, and malformed ones', async () => {
  const other = await net.createCanister({ controllers: [owner.sender] });
  const { subnetId } = await read([]);
  for (const path of [
    [],
    ['nope'],
    ['time', 'x'],
    ['canister'],
    ['canister', name],
    ['canister', name, 'certified_data'],
    ['canister', name, 'metadata'],
    ['canister', name, 'metadata', 'a', 'b'],
    ['canister', other, 'controllers'],
    ['request_status'],
    ['request_status', Buffer.alloc(32), 'x'],
    ['subnet', subnetId, 'canister_ranges'],
    ['subnet', subnetId, 'metrics'],
    ['canister_ranges', subnetId],
  ]) {
    await refused(403, [path], { identity: owner });
  }
  await refused(400, [['canister', name, 'metadata', Buffer.from([0xff])]]);
  await refused(400, [['request_status', Buffer.alloc(31)]]);
  await refused(400, [['request_status', Buffer.alloc(32, 1)], ['request_status', Buffer.alloc(32, 2)]]);
  await refused(400, Array(1001).fill(['time']));
  await refused(400, [Array(128).fill('x')]);
  assert.equal((await readState(net, id, Array(1000).fill(['time']))).status, 200);
});

describe('request status', () => {
  test('for its sender, under its effective canister id', async () => {
    const { requestId } = await call(net, { canister: id, method: 'stable_size', identity: owner });
    const path = [['request_status', requestId]];
    const { tree } = await read(path, { identity: owner });
    assert.equal(shown(lookup(tree, [...path[0], 'status'])), 'replied');
    assert.ok(lookup(tree, [...path[0], 'reply']) instanceof Uint8Array);
    await refused(403, path);
    await refused(403, path, { identity: stranger });
    const other = await net.createCanister({ controllers: [owner.sender] });
    await refused(403, path, { identity: owner, id: other });
  });

  test('a rejection says why, and lacks a reply', async () => {
    const { requestId } = await call(net, { canister: id, method: 'nope' });
    const { tree } = await read([['request_status', requestId]]);
    const at = (field) => lookup(tree, ['request_status', requestId, field]);
    assert.equal(shown(at('status')), 'rejected');
    assert.equal(number(at('reject_code')), 5n);
    assert.equal(shown(at('error_code')), 'IC0536');
    assert.match(shown(at('reject_message')), /Canister has no update method 'nope'/);
    assert.equal(at('reply'), 'absent');
  });
});

describe('delegation', () => {
  const ranges = (inner, subnetId, path) => {
    const value = lookup(inner, path);
    return value instanceof Uint8Array ? decode(value).map((range) => range.map(hex)) : value;
  };
  const [low, high] = [canisterId(0x0200_0000n), canisterId(0x020f_ffffn)];

  test('new endpoints: the shard of the canister, no other', async () => {
    for (const at of [id, low, high]) {
      const { inner, subnetId } = await read([], { id: at });
      const first = at === id ? canisterId(0x0100_0000n) : low;
      const other = at === id ? low : canisterId(0x0100_0000n);
      const last = at === id ? canisterId(0x010f_ffffn) : high;
      assert.deepEqual(ranges(inner, subnetId, ['canister_ranges', subnetId, first]), [[hex(first), hex(last)]]);
      assert.equal(lookup(inner, ['canister_ranges', subnetId, other]), 'unknown');
      assert.equal(lookup(inner, ['subnet', subnetId, 'canister_ranges']), 'unknown');
    }
  });

  test('older endpoints: all ranges at once', async () => {
    const { inner, subnetId } = await read([], { version: 2 });
    const found = ranges(inner, subnetId, ['subnet', subnetId, 'canister_ranges']);
    const [minting, ledger] = [hex(canisterId(4n)), hex(canisterId(0x0210_0002n))];
    assert.deepEqual(found, [
      [minting, minting],
      [hex(canisterId(0x0100_0000n)), hex(canisterId(0x010f_ffffn))],
      [hex(low), hex(high)],
      [ledger, ledger],
      ['80000000001000000101', '80000000001fffff0101'],
    ]);
    assert.equal(lookup(inner, ['canister_ranges', subnetId]), 'unknown');
    for (const [version, isFlat] of [[3, true], [4, false]]) {
      const { body } = await call(net, { canister: id, method: 'stable_size' }, { version });
      const opened = openCertificate(body.certificate, net.rootKeyDer);
      const flat = lookup(opened.inner, ['subnet', subnetId, 'canister_ranges']);
      assert.equal(flat instanceof Uint8Array, isFlat, `v${version}`);
    }
  });

  test('an id outside the ranges is refused', async () => {
    for (const text of ['ryjl3-tyaaa-aaaaa-aaaba-cai', '2vxsx-fae', 'aaaaa-aa']) {
      await refused(400, [['time']], { id: Principal.fromText(text).toUint8Array() });
    }
  });
});

describe('subnet', () => {
  test('node keys, through the canister', async () => {
    const { tree, subnetId } = await read([['subnet']]);
    assert.equal(shown(lookup(tree, ['subnet', subnetId, 'type'])), 'application');
    assert.equal(leaves(tree).filter((path) => /\/node\/[^/]+\/public_key$/.test(path)).length, 4);
    assert.equal(leaves(tree).some((path) => path.includes('canister_ranges')), false);
    const keys = await nodeKeys(net, id);
    for (const [node, der] of Object.entries(keys)) {
      assert.equal(der.length, 44);
      assert.equal(`${createHash('sha224').update(der).digest('hex')}02`, node);
    }
    const root = Buffer.concat([createHash('sha224').update(net.rootKeyDer).digest(), Buffer.from([2])]);
    assert.deepEqual(lookup(tree, ['subnet', root, 'public_key']), Buffer.from(net.rootKeyDer));
    assert.equal(lookup(tree, ['subnet', root, 'node']), 'absent');
  });

  test('through its own endpoint', async () => {
    const { subnetId } = await read([]);
    const options = { id: new Uint8Array(subnetId), scope: 'subnet' };
    const { tree, inner } = await read([['canister_ranges', subnetId], ['subnet', subnetId]], options);
    const shard = lookup(tree, ['canister_ranges', subnetId, canisterId(0x0200_0000n)]);
    assert.deepEqual(decode(shard)[0].map(hex), [canisterId(0x0200_0000n), canisterId(0x020f_ffffn)].map(hex));
    assert.ok(lookup(tree, ['subnet', subnetId, 'public_key']) instanceof Uint8Array);
    assert.deepEqual(leaves(inner).map((path) => path.split('/').at(-1)), ['public_key', 'time']);
    await read([['subnet', subnetId, 'canister_ranges']], { ...options, version: 2 });
    await refused(403, [['canister', name, 'controllers']], options);
    await refused(403, [['request_status', Buffer.alloc(32)]], options);
    await refused(403, [['subnet', subnetId, 'canister_ranges']], options);
    await refused(400, [['time']], { id, scope: 'subnet' });
    const { tree: absent } = await read([['subnet', Buffer.from('none'), 'public_key']]);
    assert.equal(lookup(absent, ['subnet', Buffer.from('none'), 'public_key']), 'absent');
  });
});

test('the state is signed once for many requests, and shows a change at once', async () => {
  const versions = async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => readState(net, id, [['time']])));
    return new Set(answers.map(({ body }) => number(lookup(decode(body.certificate).tree, ['time'])))).size;
  };
  const least = await leastOf(3, versions);
  assert.ok(least <= 2, `${least} versions`);
  const created = await net.createCanister({ controllers: [ANONYMOUS.sender] });
  const { tree } = await read([['canister', created, 'controllers']], { id: created });
  assert.ok(lookup(tree, ['canister', Buffer.from(created), 'controllers']) instanceof Uint8Array);
});
