// Envelopes: the request bodies of call, query and read_state, checked as the network does before it looks inside.
// Rules: IC interface spec, "HTTPS interface", "Authentication" and "Ingress expiry".

import { verify } from 'node:crypto';
import { CborError, decode } from './cbor.mjs';
import { hashOfMap, REQUEST } from './hash.mjs';
import { HttpError } from './http_error.mjs';
import { ed25519PublicKey } from './keys.mjs';
import { ANONYMOUS, equal, MAX_LENGTH, selfAuthenticating, textOf } from './principal.mjs';

/** Ingress may expire at most five minutes ahead; thirty seconds of clock drift are forgiven. */
const MAX_TTL_NS = 330n * 1_000_000_000n;
const MAX_NONCE = 32;
const MAX_PATHS = 1000;
const MAX_LABELS = 127;

const isBlob = (value) => value instanceof Uint8Array;
const isText = (value) => typeof value === 'string';
const isPrincipal = (value) => isBlob(value) && value.length <= MAX_LENGTH;
const isNonce = (value) => isBlob(value) && value.length <= MAX_NONCE;
const isNat = (value) => typeof value === 'bigint';
const isPaths = (value) =>
  Array.isArray(value) &&
  value.length <= MAX_PATHS &&
  value.every((path) => Array.isArray(path) && path.length <= MAX_LABELS && path.every(isBlob));

const COMMON = { request_type: isText, sender: isPrincipal, ingress_expiry: isNat };
const MESSAGE = { ...COMMON, canister_id: isPrincipal, method_name: isText, arg: isBlob };
const CONTENT = { call: MESSAGE, query: MESSAGE, read_state: { ...COMMON, paths: isPaths } };

/** Signature schemes: each takes the DER public key and returns a check of (message, signature), or null. */
const SCHEMES = [
  (der) => {
    const key = ed25519PublicKey(der);
    return key && ((message, signature) => signature.length === 64 && verify(null, message, key, signature));
  },
];

/**
 * Decodes and checks a request body.
 * @param {Uint8Array} body
 * @param {'call'|'query'|'read_state'} type
 * @param {bigint} now
 * @returns {{ content: object, sender: Uint8Array, requestId: Buffer }}
 * @throws {HttpError} 400 or 403
 */
export function openEnvelope(body, type, now) {
  const envelope = decodeBody(body);
  const content = checkContent(envelope.content, type);
  const requestId = hashOfMap(content);
  checkExpiry(content, now);
  checkSender(envelope, content.sender, requestId);
  // The sender outlives the request: as a view it would keep the whole body.
  return { content, sender: new Uint8Array(content.sender), requestId };
}

function decodeBody(body) {
  let envelope;
  try {
    envelope = decode(body);
  } catch (error) {
    if (error instanceof CborError) throw new HttpError(400, `Could not parse body as CBOR: ${error.message}`);
    throw error;
  }
  const known = ['content', 'sender_pubkey', 'sender_sig', 'sender_delegation'];
  if (!isMap(envelope) || !isMap(envelope.content)) throw new HttpError(400, 'The body is not an envelope');
  for (const name of Object.keys(envelope)) {
    if (!known.includes(name)) throw new HttpError(400, `Unknown envelope field '${name}'`);
  }
  return envelope;
}

const isMap = (value) => typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === null;

function checkContent(content, type) {
  const fields = CONTENT[type];
  for (const [name, fits] of Object.entries(fields)) {
    if (!(name in content)) throw new HttpError(400, `Missing field '${name}'`);
    if (!fits(content[name])) throw new HttpError(400, `Invalid field '${name}'`);
  }
  for (const [name, value] of Object.entries(content)) {
    const fits = name === 'nonce' ? isNonce(value) : name in fields;
    if (!fits) throw new HttpError(400, `Invalid field '${name}'`);
  }
  if (content.request_type !== type) {
    throw new HttpError(400, `Expected request_type '${type}', got '${content.request_type}'`);
  }
  return content;
}

function checkExpiry(content, now) {
  if (equal(content.sender, ANONYMOUS) && content.request_type !== 'call') return;
  const expiry = content.ingress_expiry;
  if (expiry >= now && expiry <= now + MAX_TTL_NS) return;
  throw new HttpError(
    400,
    'Invalid request expiry: Specified ingress_expiry not within expected range: ' +
      `Minimum allowed expiry: ${instant(now)}, Maximum allowed expiry: ${instant(now + MAX_TTL_NS)}, ` +
      `Provided expiry: ${instant(expiry)}`,
  );
}

/** Dates end in the year 275760; a nat may be larger. */
function instant(ns) {
  const ms = ns / 1_000_000n;
  return ms <= 8_640_000_000_000_000n ? new Date(Number(ms)).toISOString() : `${ns} ns`;
}

function checkSender({ sender_pubkey: der, sender_sig: signature, sender_delegation: chain }, sender, requestId) {
  if (equal(sender, ANONYMOUS)) {
    if (der === undefined && signature === undefined && chain === undefined) return;
    throw new HttpError(400, 'Invalid signature: an anonymous request must not be signed');
  }
  if (!isBlob(der) || !isBlob(signature)) {
    throw new HttpError(400, 'Invalid signature: sender_pubkey and sender_sig are required');
  }
  if (chain !== undefined && !(Array.isArray(chain) && chain.length === 0)) {
    throw new HttpError(400, 'Invalid signature: sender_delegation is not supported by this local network');
  }
  const check = SCHEMES.map((scheme) => scheme(der)).find((found) => found !== null);
  if (check === undefined) throw new HttpError(400, 'Invalid signature: unsupported public key');
  if (!equal(selfAuthenticating(der), sender)) {
    throw new HttpError(403, `Invalid signature: the public key does not belong to ${textOf(sender)}`);
  }
  if (!check(Buffer.concat([REQUEST, requestId]), signature)) {
    throw new HttpError(403, `Invalid signature: Invalid basic signature of ${textOf(sender)}`);
  }
}
