// Envelopes: the request bodies of call, query and read_state, checked as the network does before it looks inside.
// Rules: IC interface spec, "HTTPS interface", "Authentication" and "Ingress expiry".

import { CborError, decode } from './cbor.mjs';
import { hashOfMap } from './hash.mjs';
import { HttpError } from './http_error.mjs';
import { ANONYMOUS, equal, MAX_LENGTH, textOf } from './principal.mjs';
import { authenticate } from './sender.mjs';

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

/**
 * Decodes and checks a request body.
 * @param {Uint8Array} body
 * @param {'call'|'query'|'read_state'} type
 * @param {bigint} now
 * @returns {{ content: object, sender: Uint8Array, requestId: Buffer, mayReach: (id: Uint8Array) => boolean }}
 *   mayReach: whether the sender's delegations name a canister as a target
 * @throws {HttpError} 400 or 403
 */
export function openEnvelope(body, type, now) {
  const envelope = decodeBody(body);
  const content = checkContent(envelope.content, type);
  const requestId = hashOfMap(content);
  checkExpiry(content, now);
  const mayReach = authenticate(envelope, { type, sender: content.sender, requestId, now });
  if (type !== 'read_state' && !mayReach(content.canister_id)) {
    throw new HttpError(403, `Canister ${textOf(content.canister_id)} is not one of the delegation targets`);
  }
  // The sender outlives the request: as a view it would keep the whole body.
  return { content, sender: new Uint8Array(content.sender), requestId, mayReach };
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
