// Principals as raw bytes, their texts and their keys in maps.

import { Principal } from '@icp-sdk/core/principal';
import { sha224 } from './hash.mjs';

export const ANONYMOUS = Uint8Array.of(4);
export const MANAGEMENT = new Uint8Array(0);
export const MAX_LENGTH = 29;

export const textOf = (bytes) => Principal.fromUint8Array(bytes).toText();
export const hexOf = (bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
export const equal = (a, b) => Buffer.compare(a, b) === 0;

/** @returns {Uint8Array|null} null when the text is no principal in its one normal form */
export function fromText(text) {
  try {
    const bytes = Principal.fromText(text).toUint8Array();
    return bytes.length <= MAX_LENGTH && textOf(bytes) === text.toLowerCase() ? bytes : null;
  } catch {
    return null;
  }
}

/** The principal of a public key in DER (IC interface spec, "Special forms of Principals"). */
export function selfAuthenticating(der) {
  return new Uint8Array(Buffer.concat([sha224(der), Uint8Array.of(2)]));
}

/** A canister id as the network hands them out: eight bytes of counter, big endian, then 01 01. */
export function canisterId(number) {
  const bytes = Buffer.alloc(10, 1);
  bytes.writeBigUInt64BE(number);
  return new Uint8Array(bytes);
}
