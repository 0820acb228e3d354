// Who may send: every kind of key, delegation chains, and everything that must be refused, for query, read_state and
// call alike. The identities are those of @icp-sdk/core; the forged ones are made here.

import assert from 'node:assert/strict';
import { createECDH } from 'node:crypto';
import { describe, test } from 'node:test';
import { Actor, HttpAgent } from '@icp-sdk/core/agent';
import {
  DelegationChain,
  DelegationIdentity,
  ECDSAKeyIdentity,
  Ed25519KeyIdentity,
} from '@icp-sdk/core/identity';
import { Secp256k1KeyIdentity } from '@icp-sdk/core/identity/secp256k1';
import { install } from '../demo.mjs';
import { openEnvelope } from '../envelope.mjs';
import { buildCanisters } from './engine_fixture.mjs';
import {
  call,
  delegated,
  delegation,
  encode,
  envelope,
  identityOf,
  IDL,
  inFuture,
  lookup,
  makeIdentity,
  message,
  nat64s,
  network,
  openCertificate,
  outcome,
  post,
  Principal,
  query,
  readState,
  vector,
} from './wire_fixture.mjs';

const net = await network();
const owner = makeIdentity();
const sample = buildCanisters()('sample');
const id = await install(net, owner.sender, sample);
await net.callAs(owner.sender, id, 'seed', nat64s(100_000, 1));
const name = Principal.fromUint8Array(id);
const other = await net.createCanister({ controllers: [owner.sender] });

describe('identities of @icp-sdk/core', () => {
  const service = () =>
    IDL.Service({
      stable_size: IDL.Func([], [IDL.Nat64], ['query']),
      stable_write: IDL.Func([IDL.Nat64, IDL.Vec(IDL.Nat8)], [], []),
    });

  /** A canister whose controller is the identity: its update is for controllers alone. */
  async function works(identity) {
    const sender = identity.getPrincipal().toUint8Array();
    const own = await install(net, sender, sample);
    await net.callAs(sender, own, 'seed', nat64s(65_536, 1));
    const agent = await HttpAgent.create({ host: net.url, identity, rootKey: net.rootKeyDer, retryTimes: 0 });
    const actor = Actor.createActor(service, { agent, canisterId: Principal.fromUint8Array(own) });
    assert.equal(await actor.stable_size(), 65_536n);
    assert.equal(await actor.stable_write(7n, Uint8Array.of(1, 2, 3)), undefined);
    return own;
  }

  const chainOf = async (first, ...rest) => {
    let chain;
    for (const [i, key] of rest.entries()) {
      const expiration = new Date(Date.now() + 60_000);
      chain = await DelegationChain.create([first, ...rest][i], key.getPublicKey(), expiration, { previous: chain });
    }
    return DelegationIdentity.fromDelegation(rest.at(-1), chain);
  };

  test('secp256k1', () => works(Secp256k1KeyIdentity.generate(new Uint8Array(32).fill(3))));
  test('P-256', async () => works(await ECDSAKeyIdentity.generate()));
  test('Ed25519', () => works(Ed25519KeyIdentity.generate()));

  test('chains from every kind of key to every other', async () => {
    const make = [() => Secp256k1KeyIdentity.generate(), () => ECDSAKeyIdentity.generate(), () => Ed25519KeyIdentity.generate()];
    for (let i = 0; i < 3; i++) {
      const identity = await chainOf(await make[i](), await make[(i + 1) % 3](), await make[(i + 2) % 3]());
      await works(identity);
    }
  });
});

/** The same refusal must come from every endpoint; `answer` is what they say. */
async function everywhere(identity, check, canister = id) {
  const given = { canister, method: 'stable_size', identity };
  const paths = [['canister', Buffer.from(canister), 'controllers']];
  const requests = {
    query: () => query(net, given),
    call: () => call(net, given),
    read_state: () => readState(net, canister, paths, { identity }),
  };
  for (const [endpoint, send] of Object.entries(requests)) check(endpoint, await send());
}
const accepted = (identity, canister) =>
  everywhere(identity, (endpoint, { status, bytes }) => assert.equal(status, 200, `${endpoint}: ${bytes}`), canister);
const refused = (status, text, identity) =>
  everywhere(identity, (endpoint, answer) => {
    assert.equal(answer.status, status, `${endpoint}: ${answer.body}`);
    assert.match(answer.body, text, endpoint);
  });

describe('keys and signatures', () => {
  for (const kind of ['ed25519', 'secp256k1', 'p256']) {
    test(`${kind}: good, and forged in every way`, async () => {
      const good = makeIdentity(kind);
      await accepted(good);
      const altered = (change) => ({ ...good, sign: (bytes) => change(good.sign(bytes)) });
      await refused(403, /^Invalid signature: Invalid basic/, altered((s) => s.with(5, s[5] ^ 1)));
      await refused(403, /^Invalid signature: Invalid basic/, altered((s) => s.with(60, s[60] ^ 1)));
      await refused(403, /^Invalid signature: Invalid basic/, altered((s) => s.subarray(0, 63)));
      await refused(403, /^Invalid signature: Invalid basic/, altered((s) => Uint8Array.of(...s, 0)));
      await refused(403, /^Invalid signature: Invalid basic/, altered(() => new Uint8Array(64)));
      await refused(403, /^Invalid signature: Invalid basic/, { ...good, sign: makeIdentity(kind).sign });
      await refused(403, /does not belong to/, { ...good, sender: makeIdentity(kind).sender });
      await refused(400, /unsupported public key/, withKey(good.der.subarray(0, -1)));
      await refused(400, /unsupported public key/, withKey(good.der.with(0, 0x31)));
    });
  }

  /** An identity of these bytes as its public key: they are refused for what they are. */
  function withKey(der) {
    const sender = Principal.selfAuthenticating(new Uint8Array(der)).toUint8Array();
    return { sender, der: new Uint8Array(der), sign: () => new Uint8Array(64).fill(1) };
  }

  test('ECDSA: DER signatures, compressed points and points off the curve are refused', async () => {
    for (const [kind, curve] of [['secp256k1', 'secp256k1'], ['p256', 'prime256v1']]) {
      const { der } = makeIdentity(kind);
      const offCurve = new Uint8Array(der).fill(1, der.length - 64);
      await refused(400, /no point of its curve/, withKey(offCurve));
      const hybrid = der.with(der.length - 65, 6 + (der.at(-1) & 1));
      await refused(400, /unsupported public key/, withKey(hybrid));
      const ecdh = createECDH(curve);
      ecdh.generateKeys();
      const compressed = Buffer.concat([Buffer.from(der).subarray(0, -65), ecdh.getPublicKey(null, 'compressed')]);
      await refused(400, /unsupported public key/, withKey(compressed));
    }
  });

  test('ECDSA: both s and n - s are good', async () => {
    const n = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
    const good = makeIdentity('secp256k1');
    for (const low of [true, false]) {
      const sign = (bytes) => {
        const signature = Buffer.from(good.sign(bytes));
        const s = BigInt(`0x${signature.toString('hex', 32)}`);
        const wanted = s <= n / 2n === low ? s : n - s;
        const s32 = Buffer.from(wanted.toString(16).padStart(64, '0'), 'hex');
        return new Uint8Array(Buffer.concat([signature.subarray(0, 32), s32]));
      };
      await accepted({ ...good, sign });
    }
  });
});

describe('delegations', () => {
  const [root, middle, last] = [makeIdentity('p256'), makeIdentity(), makeIdentity('secp256k1')];

  test('chains of one, two and twenty links; twenty-one are too many', async () => {
    await accepted(delegated([root, middle]));
    await accepted(delegated([root, middle, last]));
    const keys = Array.from({ length: 21 }, () => makeIdentity());
    await accepted(delegated([root, ...keys.slice(0, 20)]));
    await refused(403, /^Invalid delegation: .* too long: got 21, but at most 20 allowed/, delegated([root, ...keys]));
  });

  test('an empty chain is none', async () => {
    await accepted({ ...middle, chain: [] });
  });

  test('the sender is the first key, the signature the last', async () => {
    const chain = delegated([root, middle, last]);
    await refused(403, /does not belong to/, { ...chain, sender: last.sender });
    await refused(403, /^Invalid signature/, { ...chain, sign: root.sign });
    await refused(403, /^Invalid signature/, { ...chain, sign: middle.sign });
  });

  test('a link that somebody else signed, a changed one, a missing one, another order', async () => {
    const chain = delegated([root, middle, last]);
    const [first, second] = chain.chain;
    const forged = { ...first, signature: delegation(makeIdentity('p256'), middle).signature };
    const flipped = { ...first, signature: first.signature.with(9, first.signature[9] ^ 1) };
    const longer = { ...first, delegation: { ...first.delegation, expiration: first.delegation.expiration + 1n } };
    const widened = { ...second, delegation: { ...second.delegation, targets: [id] } };
    for (const links of [
      [forged, second],
      [flipped, second],
      [longer, second],
      [first, widened],
      [second],
      [second, first],
    ]) {
      await refused(403, /^Invalid delegation: Invalid basic signature/, { ...chain, chain: links });
    }
    await refused(403, /^Invalid signature/, { ...chain, chain: [first] });
  });

  test('a key may come once', async () => {
    await refused(403, /^Invalid delegation: .*cycle/, delegated([root, middle, root]));
    await refused(403, /^Invalid delegation: .*cycle/, delegated([root, middle, last, middle]));
    await refused(403, /^Invalid delegation: .*cycle/, delegated([root, root]));
  });

  test('every link must not have expired', async () => {
    for (const fields of [[{ expiration: inFuture(-1000) }], [{}, { expiration: inFuture(-1000) }], [{ expiration: 0n }]]) {
      const expired = delegated([root, middle, last], fields);
      await refused(400, /^Invalid delegation expiry: Specified sender delegation has expired/, expired);
    }
    await accepted(delegated([root, middle, last], [{ expiration: 2n ** 64n - 1n }, { expiration: inFuture(20_000) }]));
  });

  test('targets: the canister must be in all lists', async () => {
    const identity = (...targets) => delegated([root, middle, last], targets.map((list) => list && { targets: list }));
    const status = async (chain, canister = id) => (await query(net, { canister, method: 'm', identity: chain })).status;
    assert.equal(await status(identity([id])), 200);
    assert.equal(await status(identity([other, id], [id])), 200);
    assert.equal(await status(identity(undefined, [id])), 200);
    assert.equal(await status(identity([id, other], [id]), other), 403);
    assert.equal(await status(identity([other])), 403);
    assert.equal(await status(identity([other], [id])), 403);
    assert.equal(await status(identity([])), 403);
    assert.equal(await status(identity(Array(1000).fill(id))), 200);
    assert.equal(await status(identity(Array(1001).fill(id))), 403);
    const answer = await call(net, { canister: id, method: 'm', identity: identity([other]) });
    assert.deepEqual([answer.status, answer.body], [403, `Canister ${name} is not one of the delegation targets`]);
  });

  test('targets: a management call needs the management canister itself', async () => {
    const arg = new Uint8Array(IDL.encode([IDL.Record({ canister_id: IDL.Principal })], [{ canister_id: name }]));
    const controller = (targets) => delegated([owner, middle], [{ targets }]);
    const status = async (targets) => {
      const given = { canister: new Uint8Array(0), method: 'canister_status', arg, identity: controller(targets) };
      return (await call(net, given, { effective: id })).status;
    };
    assert.equal(await status([new Uint8Array(0)]), 200);
    assert.equal(await status([id]), 403);
  });

  test('targets: the outcome of a call is read within them; other state by anyone', async () => {
    const wide = delegated([root, middle]);
    const { requestId } = await call(net, { canister: id, method: 'stable_size', identity: wide });
    const path = [['request_status', requestId]];
    const read = (targets, paths = path) => readState(net, id, paths, { identity: delegated([root, middle], [{ targets }]) });
    const { status, body } = await read([id]);
    assert.equal(status, 200);
    const { tree } = openCertificate(body.certificate, net.rootKeyDer);
    assert.equal(`${Buffer.from(lookup(tree, [...path[0], 'status']))}`, 'replied');
    assert.equal((await read([other])).status, 403);
    assert.equal((await read([other], [['time']])).status, 200);
  });

  test('permissions: all, queries only, unknown ones', async () => {
    await accepted(delegated([root, middle], [{ permissions: 'all' }]));
    const queries = delegated([root, middle, last], [{}, { permissions: 'queries' }]);
    assert.equal((await query(net, { canister: id, method: 'stable_size', identity: queries })).status, 200);
    assert.equal((await readState(net, id, [['time']], { identity: queries })).status, 200);
    assert.equal((await call(net, { canister: id, method: 'stable_size', identity: queries })).status, 403);
    await refused(403, /^Invalid delegation: unknown permissions/, delegated([root, middle], [{ permissions: 'none' }]));
  });

  test('malformed chains', async () => {
    const good = delegated([root, middle]);
    const [link] = good.chain;
    const fields = (change) => ({ ...link, delegation: { ...link.delegation, ...change } });
    const { expiration: _, ...unlimited } = link.delegation;
    for (const chain of [
      {},
      'chain',
      [1],
      [{}],
      [{ delegation: link.delegation }],
      [{ ...link, more: 1 }],
      [{ ...link, signature: 'text' }],
      [{ ...link, delegation: [] }],
      [{ ...link, delegation: unlimited }],
      [fields({ expiration: 'soon' })],
      [fields({ pubkey: 'text' })],
      [fields({ targets: id })],
      [fields({ targets: ['text'] })],
      [fields({ targets: [new Uint8Array(30)] })],
      [fields({ permissions: 1 })],
      [fields({ hours: 1 })],
    ]) {
      await refused(400, /^Invalid signature: /, { ...good, chain });
    }
    const anonymous = message('query', { canister: id, method: 'm' });
    const body = encode({ ...envelope(anonymous), sender_delegation: good.chain });
    assert.equal((await post(net.url, `/api/v3/canister/${name}/query`, body)).status, 400);
  });

  test('a delegated call is the first key\'s', async () => {
    const identity = delegated([owner, middle, last]);
    const grow = async (as) =>
      outcome(await call(net, { canister: id, method: 'stable_grow', arg: nat64s(1), identity: as }), net.rootKeyDer);
    assert.ok((await grow(identity)).reply instanceof Uint8Array);
    assert.equal((await grow(delegated([middle, owner]))).error, 'IC0406');
  });
});

test('the published chain of @icp-sdk/core verifies, until it expires', () => {
  const { chain, seeds } = vector('delegation_chain_ed25519.json');
  const bytes = (hex) => new Uint8Array(Buffer.from(hex, 'hex'));
  const links = chain.delegations.map(({ delegation: { pubkey, expiration }, signature }) => ({
    delegation: { pubkey: bytes(pubkey), expiration: BigInt(`0x${expiration}`) },
    signature: bytes(signature),
  }));
  const der = bytes(chain.publicKey);
  const sender = Principal.selfAuthenticating(der).toUint8Array();
  const identity = { ...identityOf('ed25519', bytes(seeds.bottom)), sender, der, chain: links };
  const { expiration } = links[0].delegation;
  const content = message('query', { canister: id, method: 'm', identity, expiry: expiration });
  const body = encode(envelope(content, identity));
  assert.deepEqual(Buffer.from(openEnvelope(body, 'query', expiration).sender), Buffer.from(sender));
  const later = { ...content, ingress_expiry: expiration + 1n };
  assert.throws(() => openEnvelope(encode(envelope(later, identity)), 'query', expiration + 1n), { status: 400 });
});
