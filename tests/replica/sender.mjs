// Senders: whether an envelope is signed by the one it says it is from, and what that one's delegations allow.
// Rules: IC interface spec, "Authentication" and "Signatures"; limits and texts of the replica's request validation.

import { createPublicKey, verify } from 'node:crypto';
import { DELEGATION, hashOfMap, REQUEST } from './hash.mjs';
import { HttpError } from './http_error.mjs';
import { ANONYMOUS, equal, hexOf, MAX_LENGTH, selfAuthenticating, textOf } from './principal.mjs';

const MAX_DELEGATIONS = 20;
const MAX_TARGETS = 1000;

/** ECDSA: keys are points that are not compressed, signatures are r·s over SHA-256. */
const ecdsa = (prefix) => ({ prefix: `${prefix}04`, length: 64, digest: 'sha256', dsaEncoding: 'ieee-p1363' });

/** Signature schemes by their SubjectPublicKeyInfo up to the key itself, which clients write in this one form. */
const SCHEMES = [
  { prefix: '302a300506032b6570032100', length: 32, digest: null },
  ecdsa('3056301006072a8648ce3d020106052b8104000a034200'), // secp256k1
  ecdsa('3059301306072a8648ce3d020106082a8648ce3d030107034200'), // P-256
];

const isBlob = (value) => value instanceof Uint8Array;
const isNat = (value) => typeof value === 'bigint';
const isMap = (value) => typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === null;

const malformed = (why) => new HttpError(400, `Invalid signature: ${why}`);
const invalidDelegation = (why) => new HttpError(403, `Invalid delegation: ${why}`);

/**
 * @param {object} envelope { sender_pubkey?, sender_sig?, sender_delegation? }
 * @param {object} request
 * @param {'call'|'query'|'read_state'} request.type
 * @param {Uint8Array} request.sender
 * @param {Uint8Array} request.requestId
 * @param {bigint} request.now
 * @returns {(canister: Uint8Array) => boolean} whether the delegations name the canister as a target
 * @throws {HttpError} 400 for what is malformed or expired, 403 for what does not verify
 */
export function authenticate(envelope, { type, sender, requestId, now }) {
  const { sender_pubkey: der, sender_sig: signature, sender_delegation: given } = envelope;
  if (equal(sender, ANONYMOUS)) {
    if (der === undefined && signature === undefined && given === undefined) return () => true;
    throw malformed('an anonymous request must not be signed');
  }
  if (!isBlob(der) || !isBlob(signature)) throw malformed('sender_pubkey and sender_sig are required');
  const chain = readChain(given ?? []);
  if (!equal(selfAuthenticating(der), sender)) {
    throw new HttpError(403, `Invalid signature: the public key does not belong to ${textOf(sender)}`);
  }
  checkChain(chain, der, now);
  checkPermissions(chain, type);
  const signer = chain.at(-1)?.delegation.pubkey ?? der;
  if (!publicKey(signer)(Buffer.concat([REQUEST, requestId]), signature)) {
    throw new HttpError(403, `Invalid signature: Invalid basic signature of ${textOf(sender)}`);
  }
  return targetsOf(chain);
}

/** @returns {(message: Uint8Array, signature: Uint8Array) => boolean} */
function publicKey(der) {
  const hex = hexOf(der);
  const scheme = SCHEMES.find(({ prefix, length }) => hex.startsWith(prefix) && der.length === prefix.length / 2 + length);
  if (scheme === undefined) throw malformed('unsupported public key');
  const { digest, dsaEncoding } = scheme;
  let key;
  try {
    key = createPublicKey({ key: Buffer.from(der), format: 'der', type: 'spki' });
  } catch {
    throw malformed('the public key is no point of its curve');
  }
  return (message, signature) => signature.length === 64 && verify(digest, message, { key, dsaEncoding }, signature);
}

/** Fields of a delegation: whether they must be there, and what they hold. */
const FIELDS = {
  __proto__: null,
  pubkey: { isNeeded: true, fits: isBlob },
  expiration: { isNeeded: true, fits: isNat },
  targets: { fits: (value) => Array.isArray(value) && value.every((id) => isBlob(id) && id.length <= MAX_LENGTH) },
  permissions: { fits: (value) => typeof value === 'string' },
};

function readChain(given) {
  if (!Array.isArray(given)) throw malformed('sender_delegation is not a list');
  for (const item of given) {
    if (!isMap(item) || Object.keys(item).sort().join() !== 'delegation,signature' || !isBlob(item.signature)) {
      throw malformed('sender_delegation holds something that is no signed delegation');
    }
    const { delegation } = item;
    if (!isMap(delegation)) throw malformed('a delegation is not a map');
    for (const [name, { isNeeded, fits }] of Object.entries(FIELDS)) {
      const isThere = name in delegation;
      if (isThere ? !fits(delegation[name]) : isNeeded) throw malformed(`field '${name}' of a delegation`);
    }
    const unknown = Object.keys(delegation).find((name) => !(name in FIELDS));
    if (unknown !== undefined) throw malformed(`unknown field '${unknown}' of a delegation`);
  }
  return given;
}

/** Expiry first, then the limits, then one signature after the other: the order of the replica. */
function checkChain(chain, der, now) {
  for (const { delegation } of chain) {
    if (delegation.expiration >= now) continue;
    const text = `Specified sender delegation has expired: Provided expiry: ${delegation.expiration}, Local time: ${now}`;
    throw new HttpError(400, `Invalid delegation expiry: ${text}`);
  }
  if (chain.length > MAX_DELEGATIONS) {
    throw invalidDelegation(`Chain of delegations is too long: got ${chain.length}, but at most ${MAX_DELEGATIONS} allowed`);
  }
  let signer = der;
  const seen = new Set([hexOf(der)]);
  for (const { delegation, signature } of chain) {
    if (delegation.targets?.length > MAX_TARGETS) {
      throw invalidDelegation(`at most ${MAX_TARGETS} targets are allowed, got ${delegation.targets.length}`);
    }
    if (seen.has(hexOf(delegation.pubkey))) {
      throw invalidDelegation(`Chain of delegations contains at least one cycle: ${hexOf(delegation.pubkey)}`);
    }
    seen.add(hexOf(delegation.pubkey));
    if (!publicKey(signer)(Buffer.concat([DELEGATION, hashOfMap(delegation)]), signature)) {
      throw invalidDelegation('Invalid basic signature');
    }
    signer = delegation.pubkey;
  }
}

function checkPermissions(chain, type) {
  for (const { delegation } of chain) {
    const permissions = delegation.permissions ?? 'all';
    if (permissions !== 'all' && permissions !== 'queries') {
      throw invalidDelegation(`unknown permissions '${permissions}'`);
    }
    if (permissions === 'queries' && type === 'call') throw invalidDelegation('its permissions are for queries only');
  }
}

/** A canister must be a target of every delegation that names any. */
function targetsOf(chain) {
  const sets = chain.flatMap(({ delegation: { targets } }) => (targets ? [new Set(targets.map(hexOf))] : []));
  return (canister) => sets.every((set) => set.has(hexOf(canister)));
}
