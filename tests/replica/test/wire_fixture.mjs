// A small client of the tests' own: envelopes, certificates and signatures made and checked from the interface
// specification, with none of the network's code but its CBOR decoder.

import assert from 'node:assert/strict';
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes, sign, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after } from 'node:test';
import { encodeWithSelfDescribedTag as encode } from '@dfinity/cbor';
import { IDL } from '@icp-sdk/core/candid';
import { Principal } from '@icp-sdk/core/principal';
import { bls12_381 } from '@noble/curves/bls12-381.js';
import { decode } from '../cbor.mjs';
import { startNetwork } from '../network.mjs';

export { IDL, Principal, encode, decode };

export const ANONYMOUS = { sender: Uint8Array.of(4) };
export const MANAGEMENT = new Uint8Array(0);

const SUITE = 'BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_';
const DER_PREFIX = '308182301d060d2b0601040182dc7c0503010201060c2b0601040182dc7c05030201036100';

export const sha256 = (...parts) => parts.reduce((h, part) => h.update(part), createHash('sha256')).digest();
export const hex = (bytes) => Buffer.from(bytes).toString('hex');
export const vector = (name) => JSON.parse(readFileSync(new URL(`../../data/vectors/${name}`, import.meta.url), 'utf8'));

const CURVES = {
  ed25519: () => generateKeyPairSync('ed25519'),
  secp256k1: () => generateKeyPairSync('ec', { namedCurve: 'secp256k1' }),
  p256: () => generateKeyPairSync('ec', { namedCurve: 'prime256v1' }),
};

/** An identity with a fresh key: { sender, der, pem, sign }. */
export const makeIdentity = (kind = 'ed25519') => identityOf(kind, CURVES[kind]().privateKey);

/** The identity of a key, or of the seed of an Ed25519 one. */
export function identityOf(kind, given) {
  const pkcs8 = () => Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), given]);
  const privateKey =
    given instanceof Uint8Array ? createPrivateKey({ key: pkcs8(), format: 'der', type: 'pkcs8' }) : given;
  const der = new Uint8Array(createPublicKey(privateKey).export({ type: 'spki', format: 'der' }));
  const sender = Buffer.concat([createHash('sha224').update(der).digest(), Uint8Array.of(2)]);
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' });
  const digest = kind === 'ed25519' ? null : 'sha256';
  const key = { key: privateKey, dsaEncoding: 'ieee-p1363' };
  return { sender: new Uint8Array(sender), der, pem, sign: (bytes) => new Uint8Array(sign(digest, bytes, key)) };
}

/** One link of a chain: `from` lets `to` sign for it. */
export function delegation(from, to, fields = {}) {
  const content = { pubkey: to.der, expiration: inFuture(), ...fields };
  const signature = from.sign(Buffer.concat([Buffer.from('\x1Aic-request-auth-delegation'), hashValue(content)]));
  return { delegation: content, signature };
}

/** The first identity as the last one signs for it; `fields` of each link may be given. */
export function delegated(identities, fields = []) {
  const links = identities.slice(1).map((to, i) => delegation(identities[i], to, fields[i]));
  const [{ sender, der }, last] = [identities[0], identities.at(-1)];
  return { sender, der, sign: last.sign, chain: links };
}

/**
 * The least of up to eight measurements; one below `enough` is the last. A busy machine makes some of them longer, a fault
 * all.
 */
export async function leastOf(enough, measure) {
  let least = Infinity;
  for (let i = 0; i < 8 && least >= enough; i++) least = Math.min(least, await measure());
  return least;
}

/** A network for one test file, stopped when its tests are done. */
export async function network(options = {}) {
  const made = await startNetwork({ seed: 'tests', ...options });
  after(() => made.stop());
  return made;
}

// --- requests ---

function leb(value) {
  const bytes = [];
  for (let rest = BigInt(value); ; rest >>= 7n) {
    if (rest < 128n) return Uint8Array.from([...bytes, Number(rest)]);
    bytes.push(Number(rest & 127n) | 128);
  }
}

export function hashValue(value) {
  if (value instanceof Uint8Array || typeof value === 'string') return sha256(value);
  if (typeof value === 'bigint' || typeof value === 'number') return sha256(leb(value));
  if (Array.isArray(value)) return sha256(...value.map(hashValue));
  const pairs = Object.entries(value).map(([name, item]) => Buffer.concat([sha256(name), hashValue(item)]));
  return sha256(...pairs.sort(Buffer.compare));
}

export const inFuture = (ms = 240_000) => BigInt(Date.now() + ms) * 1_000_000n;

export function envelope(content, identity = ANONYMOUS) {
  if (identity.sign === undefined) return { content };
  const signature = identity.sign(Buffer.concat([Buffer.from('\x0Aic-request'), hashValue(content)]));
  const chain = identity.chain && { sender_delegation: identity.chain };
  return { content, sender_pubkey: identity.der, sender_sig: signature, ...chain };
}

export async function post(url, path, body, headers = { 'content-type': 'application/cbor' }) {
  const answer = await fetch(url + path, { method: 'POST', headers, body });
  const bytes = Buffer.from(await answer.arrayBuffer());
  const isCbor = answer.headers.get('content-type') === 'application/cbor';
  return { status: answer.status, bytes, body: isCbor ? decode(bytes) : bytes.toString() };
}

/** Content of a call or query. */
export const message = (type, { canister, method, arg = none, identity = ANONYMOUS, expiry = inFuture(), ...more }) => ({
  request_type: type,
  sender: identity.sender,
  ingress_expiry: expiry,
  canister_id: canister,
  method_name: method,
  arg,
  ...more,
});

export const none = new Uint8Array(IDL.encode([], []));
export const nat64s = (...numbers) => new Uint8Array(IDL.encode(numbers.map(() => IDL.Nat64), numbers.map(BigInt)));
const text = (id) => Principal.fromUint8Array(id).toText();

export async function query(net, given, { version = 3, effective = given.canister } = {}) {
  const content = message('query', given);
  const path = `/api/v${version}/canister/${text(effective)}/query`;
  const answer = await post(net.url, path, encode(envelope(content, given.identity)));
  return { ...answer, content };
}

export async function call(net, given, { version = 4, effective = given.canister } = {}) {
  const content = message('call', { nonce: randomBytes(16), ...given });
  const path = `/api/v${version}/canister/${text(effective)}/call`;
  const answer = await post(net.url, path, encode(envelope(content, given.identity)));
  return { ...answer, content, requestId: hashValue(content) };
}

export async function readState(net, id, paths, options = {}) {
  const { identity = ANONYMOUS, version = 3, scope = 'canister', expiry = inFuture() } = options;
  const bytes = paths.map((path) => path.map((label) => (typeof label === 'string' ? Buffer.from(label) : label)));
  const content = { request_type: 'read_state', sender: identity.sender, ingress_expiry: expiry, paths: bytes };
  return post(net.url, `/api/v${version}/${scope}/${text(id)}/read_state`, encode(envelope(content, identity)));
}

// --- answers ---

function domain(name) {
  return Buffer.concat([Uint8Array.of(name.length), Buffer.from(name)]);
}

/** Root hash of a decoded tree; integers are BigInts. */
export function rootHash([kind, ...parts]) {
  switch (kind) {
    case 0n:
      return sha256(domain('ic-hashtree-empty'));
    case 1n:
      return sha256(domain('ic-hashtree-fork'), rootHash(parts[0]), rootHash(parts[1]));
    case 2n:
      return sha256(domain('ic-hashtree-labeled'), parts[0], rootHash(parts[1]));
    case 3n:
      return sha256(domain('ic-hashtree-leaf'), parts[0]);
    case 4n:
      assert.equal(parts[0].length, 32);
      return parts[0];
    default:
      throw new Error(`tree node ${kind}`);
  }
}

const flatten = (node) => (node[0] === 1n ? [...flatten(node[1]), ...flatten(node[2])] : node[0] === 0n ? [] : [node]);

/** 'absent', 'unknown', 'subtree' or the bytes of a leaf. */
export function lookup(tree, path) {
  if (path.length === 0) {
    if (tree[0] === 3n) return tree[1];
    return { 0n: 'absent', 4n: 'unknown' }[tree[0]] ?? 'subtree';
  }
  const label = typeof path[0] === 'string' ? Buffer.from(path[0]) : path[0];
  const nodes = flatten(tree);
  const order = (node) => (node[0] === 2n ? Buffer.compare(node[1], label) : null);
  const found = nodes.find((node) => order(node) === 0);
  if (found) return lookup(found[2], path.slice(1));
  if (nodes.length === 0 || (nodes.length === 1 && nodes[0][0] === 3n)) return 'absent';
  if (order(nodes[0]) > 0 || order(nodes.at(-1)) === -1) return 'absent';
  const gap = nodes.some((node, i) => order(node) === -1 && i + 1 < nodes.length && order(nodes[i + 1]) === 1);
  return gap ? 'absent' : 'unknown';
}

/** All paths to leaves, as texts; labels that are no plain text in hex. */
export function leaves(tree, path = []) {
  const show = (label) => (/^[\w:-]+$/.test(Buffer.from(label).toString()) ? Buffer.from(label).toString() : hex(label));
  if (tree[0] === 3n) return [path.join('/')];
  if (tree[0] === 1n) return [...leaves(tree[1], path), ...leaves(tree[2], path)];
  return tree[0] === 2n ? leaves(tree[2], [...path, show(tree[1])]) : [];
}

export function number(bytes) {
  return bytes.reduceRight((sum, byte) => (sum << 7n) | BigInt(byte & 127), 0n);
}

function checkBls(der, tree, signature) {
  assert.equal(hex(der).slice(0, 74), DER_PREFIX);
  const bls = bls12_381.shortSignatures;
  const hashed = bls.hash(Buffer.concat([domain('ic-state-root'), rootHash(tree)]), SUITE);
  return bls.verify(signature, hashed, der.subarray(37));
}

/** Delegations that were found good, by root key and bytes: checking one takes as long as all the rest. */
const goodDelegations = new Set();

/** Checks a certificate from the root key down. Returns its tree, and the delegation's. */
export function openCertificate(bytes, rootKey) {
  const { tree, signature, delegation } = decode(bytes);
  const inner = decode(delegation.certificate);
  assert.equal(inner.delegation, undefined);
  const known = hex(sha256(rootKey, delegation.certificate));
  assert.ok(goodDelegations.has(known) || checkBls(rootKey, inner.tree, inner.signature), 'delegation signature');
  goodDelegations.add(known);
  const key = lookup(inner.tree, ['subnet', delegation.subnet_id, 'public_key']);
  assert.ok(key instanceof Uint8Array);
  assert.ok(checkBls(key, tree, signature), 'certificate signature');
  return { tree, inner: inner.tree, subnetId: delegation.subnet_id };
}

/** Checks the node's signature of a query answer; keys = { node id in hex: DER }. Returns the node's id. */
export function checkNodeSignature({ body, content }, keys) {
  const { signatures, ...rest } = body;
  assert.equal(signatures.length, 1);
  const [{ timestamp, signature, identity }] = signatures;
  const digest = hashValue({ ...rest, timestamp, request_id: hashValue(content) });
  const key = createPublicKey({ key: Buffer.from(keys[hex(identity)]), format: 'der', type: 'spki' });
  assert.ok(verify(null, Buffer.concat([domain('ic-response'), digest]), key, signature), 'node signature');
  return hex(identity);
}

/** Node keys as the canister read_state of `id` tells them. */
export async function nodeKeys(net, id) {
  const { body } = await readState(net, id, [['subnet']]);
  const { tree, subnetId } = openCertificate(body.certificate, net.rootKeyDer);
  const fits = (item, label) => item[0] === 2n && Buffer.compare(item[1], Buffer.from(label)) === 0;
  const at = (node, label) => flatten(node).find((item) => fits(item, label))[2];
  const nodes = flatten(at(at(at(tree, 'subnet'), subnetId), 'node'));
  return Object.fromEntries(nodes.map((node) => [hex(node[1]), at(node[2], 'public_key')[1]]));
}

/** The certified outcome of a call answer: { reply } or { code, error, message }. */
export function outcome(answer, rootKey) {
  assert.equal(answer.status, 200);
  assert.equal(answer.body.status, 'replied');
  const { tree } = openCertificate(answer.body.certificate, rootKey);
  const at = (field) => lookup(tree, ['request_status', answer.requestId, field]);
  const status = Buffer.from(at('status')).toString();
  if (status === 'replied') return { reply: at('reply') };
  assert.equal(status, 'rejected');
  const text = (field) => Buffer.from(at(field)).toString();
  return { code: Number(number(at('reject_code'))), error: text('error_code'), message: text('reject_message') };
}
