// The recorded requests of real clients (tests/data/vectors/client), byte by byte, at every endpoint that takes them.
//
// They are signed and have expired. Nothing is signed anew: before each one the network's clock is set to where it stood
// at the recording, a minute before the request expires.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { isHosted } from '../canisters.mjs';
import { assemble } from './engine_wasm.mjs';
import {
  checkNodeSignature,
  decode,
  hashValue,
  hex,
  IDL,
  lookup,
  MANAGEMENT,
  network,
  nodeKeys,
  openCertificate,
  post,
  Principal,
  readState,
} from './wire_fixture.mjs';

const dir = new URL('../../data/vectors/client/', import.meta.url);
const read = (name) => readFileSync(new URL(name, dir));

/** { name, body, content, id: effective canister id as text, recorded: the answer of the recording } */
const RECORDED = readdirSync(dir)
  .filter((file) => file.endsWith('.req.bin'))
  .map((file) => {
    const name = file.slice(0, -'.req.bin'.length);
    const body = read(file);
    const { what } = JSON.parse(read(`${name}.json`));
    const recorded = decode(read(`${name}.resp.bin`));
    return { name, body, content: decode(body).content, id: /canister\/([\w-]+)\//.exec(what)[1], recorded };
  });

const CANISTER = 'bkyz2-fmaaa-aaaaa-qaaaq-cai';
const id = Principal.fromText(CANISTER).toUint8Array();

/** The network's clock, so many milliseconds before a request expires. */
function setClock({ content }, beforeMs = 60_000) {
  net.setOptions({ skewMs: Number(content.ingress_expiry / 1_000_000n) - beforeMs - Date.now() });
}

/** The sender of the recorded calls of the management canister: it must control the canister. */
const controller = RECORDED.find(({ content }) => content.method_name === 'canister_status').content.sender;

/** greet : () -> (text), which the recordings call in both ways. */
const SERVICE = 'service : { greet : () -> (text) query }';
const GREETING = Buffer.from('4449444c000171026869', 'hex');
const module = assemble({
  imports: [
    ['msg_reply_data_append', ['i32', 'i32'], []],
    ['msg_reply', [], []],
  ],
  functions: [{ export: 'canister_query greet', code: [0x41, 0, 0x41, GREETING.length, 0x10, 0, 0x10, 1] }],
  memories: [[0, 1]],
  data: [[0, 0x41, 0, 0x0b, GREETING.length, ...GREETING]],
  custom: [['icp:public candid:service', SERVICE]],
});

const net = await network();
setClock(RECORDED[0]);
await create();
const keys = await nodeKeys(net, id);

async function create() {
  const Settings = IDL.Record({ controllers: IDL.Opt(IDL.Vec(IDL.Principal)) });
  const Create = IDL.Record({ settings: IDL.Opt(Settings), specified_id: IDL.Opt(IDL.Principal) });
  const Mode = IDL.Variant({ install: IDL.Null });
  const Install = IDL.Record({ mode: Mode, canister_id: IDL.Principal, wasm_module: IDL.Vec(IDL.Nat8), arg: IDL.Vec(IDL.Nat8) });
  const as = (method, type, value) =>
    net.callAs(controller, MANAGEMENT, method, new Uint8Array(IDL.encode([type], [value])));
  const canister = Principal.fromUint8Array(id);
  const controllers = [Principal.fromUint8Array(controller)];
  await as('provisional_create_canister_with_cycles', Create, {
    settings: [{ controllers: [controllers] }],
    specified_id: [canister],
  });
  await as('install_code', Install, {
    mode: { install: null },
    canister_id: canister,
    wasm_module: module,
    arg: new Uint8Array(),
  });
}

const of = (type) => RECORDED.filter(({ content }) => content.request_type === type);

function send({ id: canister, body, content }, version, beforeMs) {
  setClock({ content }, beforeMs);
  return post(net.url, `/api/v${version}/canister/${canister}/${content.request_type}`, body);
}

/** The system canisters that icp asks when it creates a canister: served only if the network has their ids. */
function isElsewhere({ id: canister }, answer) {
  if (isHosted(Principal.fromText(canister).toUint8Array())) return false;
  assert.equal(answer.status, 400);
  assert.match(answer.body, /^No subnet of this network hosts the canister id/);
  return true;
}

const sameFields = (body, recorded, name) => assert.deepEqual(Object.keys(body).sort(), Object.keys(recorded).sort(), name);
const shown = (bytes) => `${Buffer.from(bytes)}`;

test('there is a recording of each kind of request and each client', () => {
  assert.deepEqual(['call', 'query', 'read_state'].map((type) => of(type).length > 5), [true, true, true]);
  const senders = new Set(RECORDED.map(({ content }) => hex(content.sender)));
  assert.ok(senders.size >= 5, `${senders.size} senders`);
});

describe('query', () => {
  for (const version of [2, 3]) {
    test(`v${version}`, async () => {
      for (const recording of of('query')) {
        const answer = await send(recording, version);
        if (isElsewhere(recording, answer)) continue;
        assert.equal(answer.status, 200, recording.name);
        checkNodeSignature({ body: answer.body, content: recording.content }, keys);
        if (recording.content.method_name !== 'greet') continue;
        sameFields(answer.body, recording.recorded, recording.name);
        assert.deepEqual(Buffer.from(answer.body.reply.arg), GREETING);
        assert.deepEqual(Buffer.from(recording.recorded.reply.arg), GREETING);
      }
    });
  }
});

describe('read_state', () => {
  for (const version of [2, 3]) {
    test(`v${version}: every path that was asked for is there, or provably not`, async () => {
      for (const recording of of('read_state')) {
        const answer = await send(recording, version);
        if (isElsewhere(recording, answer)) continue;
        assert.equal(answer.status, 200, `${recording.name}: ${answer.bytes}`);
        sameFields(answer.body, recording.recorded, recording.name);
        const { tree, inner, subnetId } = openCertificate(answer.body.certificate, net.rootKeyDer);
        for (const path of recording.content.paths) assert.notEqual(lookup(tree, path), 'unknown', recording.name);
        const flat = lookup(inner, ['subnet', subnetId, 'canister_ranges']);
        assert.equal(flat instanceof Uint8Array, version === 2);
        const [[, , , section] = []] = recording.content.paths.filter(([, , field]) => field && shown(field) === 'metadata');
        if (section) assert.equal(shown(lookup(tree, ['canister', id, 'metadata', section])), SERVICE);
      }
    });
  }

  test('at the subnet\'s endpoint: what is asked of the subnet, for its own id', async () => {
    const recordings = of('read_state').filter(({ content }) => content.paths.every(([top]) => shown(top) === 'subnet'));
    assert.ok(recordings.length > 3);
    const subnet = Principal.fromUint8Array(net.subnetId).toText();
    for (const { body, content, name } of recordings.slice(0, 2)) {
      setClock({ content });
      for (const version of [2, 3]) {
        const answer = await post(net.url, `/api/v${version}/subnet/${subnet}/read_state`, body);
        assert.equal(answer.status, 200, name);
        const { tree } = openCertificate(answer.body.certificate, net.rootKeyDer);
        const type = lookup(tree, ['subnet', Buffer.from(net.subnetId), 'type']);
        assert.equal(shown(type), 'application');
      }
      const other = await post(net.url, `/api/v3/subnet/${CANISTER}/read_state`, body);
      assert.equal(other.status, 400);
    }
  });
});

describe('call', () => {
  /** Certified, or refused before consensus: { certified, status, code }. */
  function outcomeOf(recording, { status, bytes, body }) {
    assert.equal(status, 200, `${recording.name}: ${bytes}`);
    if (body.certificate === undefined) {
      assert.match(body.error_code, /^IC0[1-6]\d\d$/, recording.name);
      assert.equal(BigInt(body.error_code[3]), body.reject_code);
      return { isCertified: false, code: body.error_code };
    }
    sameFields(body, { status: 'replied', certificate: '' }, recording.name);
    const { tree } = openCertificate(body.certificate, net.rootKeyDer);
    const at = (field) => lookup(tree, ['request_status', hashValue(recording.content), field]);
    return { isCertified: true, status: shown(at('status')), reply: at('reply'), code: at('error_code') };
  }

  /** Methods that the recordings call, and what must come of them here; others may be refused by code. */
  const EXPECTED = { greet: 'replied', canister_status: 'replied', start_canister: 'replied', stop_canister: 'replied' };

  // In the order of the recording; the same body again, at an older endpoint, is the same call.
  for (const [version, isTried] of [[4, () => true], [3, (method) => method in EXPECTED]]) {
    test(`v${version}`, async () => {
      for (const recording of of('call').filter(({ content }) => isTried(content.method_name))) {
        const answer = await send(recording, version);
        if (isElsewhere(recording, answer)) continue;
        const { method_name: method } = recording.content;
        const { isCertified, status, reply } = outcomeOf(recording, answer);
        if (EXPECTED[method]) assert.deepEqual([isCertified, status], [true, EXPECTED[method]], recording.name);
        if (method === 'greet') assert.deepEqual(Buffer.from(reply), GREETING);
      }
    });
  }

  test('v2: accepted, and the outcome by read_state', async () => {
    for (const recording of of('call').filter(({ content }) => content.method_name === 'greet')) {
      const answer = await send(recording, 2);
      assert.deepEqual([answer.status, answer.bytes.length], [202, 0], recording.name);
      if (recording.content.sender.length > 1) continue; // their keys are not ours to ask with
      const requestId = hashValue(recording.content);
      const { body } = await readState(net, id, [['request_status', requestId]], { expiry: recording.content.ingress_expiry });
      const { tree } = openCertificate(body.certificate, net.rootKeyDer);
      assert.deepEqual(Buffer.from(lookup(tree, ['request_status', requestId, 'reply'])), GREETING);
    }
  });
});

test('status: the root key, and texts', async () => {
  const recorded = decode(read('deleg_005_status.resp.bin'));
  const body = decode(Buffer.from(await (await fetch(`${net.url}/api/v2/status`)).arrayBuffer()));
  assert.equal(body.root_key.length, recorded.root_key.length);
  for (const field of ['impl_version', 'replica_health_status']) {
    assert.deepEqual([typeof body[field], typeof recorded[field]], ['string', 'string'], field);
  }
});

test('forged, late, or to another canister: refused, each recording', async () => {
  for (const recording of RECORDED.filter(({ body }) => decode(body).sender_sig !== undefined)) {
    const forged = Buffer.from(recording.body);
    forged[forged.indexOf(decode(recording.body).sender_sig) + 3] ^= 1;
    assert.equal((await send({ ...recording, body: forged }, 3)).status, 403, recording.name);
  }
  for (const recording of RECORDED) {
    const answer = await send(recording, 3, -1);
    const isAnonymousRead = recording.content.sender.length === 1 && recording.content.request_type !== 'call';
    assert.equal(answer.status, isAnonymousRead ? 200 : 400, recording.name);
    if (!isAnonymousRead) assert.match(answer.body, /^Invalid request expiry: /);
  }
  const other = Principal.fromUint8Array(await net.createCanister({ controllers: [controller] })).toText();
  for (const recording of of('query')) assert.equal((await send({ ...recording, id: other }, 3)).status, 400, recording.name);
});
