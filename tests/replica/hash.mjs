// Hashing: SHA-256, the representation-independent hash of maps, request ids, domain separators.
// Rules: IC interface spec, "Representation-independent hashing of structured data" and "Request ids".

import { createHash, hash } from 'node:crypto';

/** A domain separator: one byte of length, then the name. */
export const domain = (name) => Buffer.concat([Uint8Array.of(name.length), Buffer.from(name)]);

export const REQUEST = domain('ic-request');
export const DELEGATION = domain('ic-request-auth-delegation');
export const RESPONSE = domain('ic-response');
export const STATE_ROOT = domain('ic-state-root');

/** SHA-256, native, in one go. */
export const sha256 = (bytes) => hash('sha256', bytes, 'buffer');
/** SHA-256 of two parts, one after the other; a long one is not copied. */
export const sha256Of = (first, second) =>
  second.length < 65536 ? sha256(Buffer.concat([first, second])) : createHash('sha256').update(first).update(second).digest();
export const sha224 = (bytes) => hash('sha224', bytes, 'buffer');

/** Unsigned LEB128 of a BigInt. */
export function leb128(value) {
  const bytes = [];
  let rest = BigInt(value);
  do {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    bytes.push(rest === 0n ? low : low | 0x80);
  } while (rest !== 0n);
  return Uint8Array.from(bytes);
}

/** A value that is hashed already: a reply of 3 MiB need not be passed around for its hash. */
export class Hashed {
  constructor(digest) {
    this.digest = digest;
  }
}

/** Hash of a map: fields that are undefined or null do not take part. */
export function hashOfMap(map) {
  const pairs = [];
  for (const [name, value] of Object.entries(map)) {
    if (value === undefined || value === null) continue;
    pairs.push(Buffer.concat([sha256(name), hashOfValue(value)]));
  }
  return sha256(Buffer.concat(pairs.sort(Buffer.compare)));
}

function hashOfValue(value) {
  if (value instanceof Hashed) return value.digest;
  if (value instanceof Uint8Array || typeof value === 'string') return sha256(value);
  if (typeof value === 'bigint' || typeof value === 'number') return sha256(leb128(value));
  if (Array.isArray(value)) return sha256(Buffer.concat(value.map(hashOfValue)));
  return hashOfMap(value);
}
