// CBOR of requests and replies. Encoding is @dfinity/cbor's; decoding is strict, so that a client's slip shows here
// instead of being repaired: exact lengths, no duplicate keys, no trailing bytes, bounded depth.

import { encode, encodeWithSelfDescribedTag } from '@dfinity/cbor';

/** Tag 55799, "self-described CBOR" (RFC 8949, 3.4.6): every body starts with it (IC interface spec, HTTPS interface). */
export const SELF_DESCRIBED = Uint8Array.of(0xd9, 0xd9, 0xf7);

const MAX_DEPTH = 32;

export class CborError extends Error {}

export { encode, encodeWithSelfDescribedTag as encodeTagged };

/** The first bytes of a byte string, text, array or map: major type (0..7) and count. */
export function head(major, count) {
  const type = major << 5;
  if (count < 24) return Uint8Array.of(type | count);
  if (count < 2 ** 8) return Uint8Array.of(type | 24, count);
  const bytes = new Uint8Array(count < 2 ** 16 ? 3 : 5);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, type | (bytes.length === 3 ? 25 : 26));
  if (bytes.length === 3) view.setUint16(1, count);
  else view.setUint32(1, count);
  return bytes;
}

/** Byte strings longer than this are not copied when they are encoded in pieces. */
const LONG = 65536;

/** An encoded item in pieces. As a value of another it is a byte string. */
export class Encoded {
  constructor(pieces) {
    this.pieces = pieces;
    this.length = pieces.reduce((sum, { length }) => sum + length, 0);
  }

  toBytes() {
    return Buffer.concat(this.pieces);
  }
}

/** As encodeTagged, of byte strings, texts, arrays and maps; long byte strings are pieces of their own, borrowed. */
export function encodeInPieces(value) {
  const pieces = [];
  let short = [SELF_DESCRIBED];
  const join = () => {
    if (short.length > 0) pieces.push(Buffer.concat(short));
    short = [];
  };
  for (const piece of pieceByPiece(value)) {
    if (piece.length > LONG) {
      join();
      pieces.push(piece);
    } else short.push(piece);
  }
  join();
  return new Encoded(pieces);
}

function* pieceByPiece(value) {
  if (value instanceof Uint8Array || value instanceof Encoded) {
    yield head(2, value.length);
    yield* value instanceof Encoded ? value.pieces : [value];
  } else if (Array.isArray(value)) {
    yield head(4, value.length);
    for (const item of value) yield* pieceByPiece(item);
  } else if (typeof value === 'object') {
    yield head(5, Object.keys(value).length);
    for (const pair of Object.entries(value)) for (const item of pair) yield* pieceByPiece(item);
  } else yield encode(value);
}

/**
 * Decodes one item. Maps become objects without prototype, integers BigInts, byte strings views of the input.
 * The self-describing tag may be missing; other tags are refused, as are floats and indefinite lengths, which no
 * client sends.
 * @param {Uint8Array} bytes
 * @throws {CborError}
 */
export function decode(bytes) {
  const cursor = new Cursor(bytes);
  if (SELF_DESCRIBED.every((byte, i) => bytes[i] === byte)) cursor.at = SELF_DESCRIBED.length;
  const value = cursor.item(0);
  if (cursor.at !== bytes.length) throw new CborError('trailing bytes');
  return value;
}

class Cursor {
  constructor(bytes) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = 0;
  }

  /** Moves over n bytes and returns where they start. */
  skip(n) {
    if (n > this.bytes.length - this.at) throw new CborError('unexpected end');
    const start = this.at;
    this.at += n;
    return start;
  }

  item(depth) {
    if (depth > MAX_DEPTH) throw new CborError('nested too deeply');
    const first = this.bytes[this.skip(1)];
    const major = first >> 5;
    const value = this.argument(first & 31);
    switch (major) {
      case 0:
        return value;
      case 2:
        return this.run(value);
      case 3:
        return this.text(value);
      case 4:
        return this.array(value, depth);
      case 5:
        return this.map(value, depth);
      default:
        throw new CborError(`unexpected major type ${major}`);
    }
  }

  argument(info) {
    if (info < 24) return BigInt(info);
    if (info === 24) return BigInt(this.view.getUint8(this.skip(1)));
    if (info === 25) return BigInt(this.view.getUint16(this.skip(2)));
    if (info === 26) return BigInt(this.view.getUint32(this.skip(4)));
    if (info === 27) return this.view.getBigUint64(this.skip(8));
    throw new CborError(info === 31 ? 'indefinite length' : 'reserved length');
  }

  /** Every item takes at least one byte, so a count beyond the rest is wrong, however much memory there is. */
  count(value) {
    if (value > BigInt(this.bytes.length - this.at)) throw new CborError('unexpected end');
    return Number(value);
  }

  run(value) {
    const start = this.skip(this.count(value));
    return this.bytes.subarray(start, this.at);
  }

  text(value) {
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(this.run(value));
    } catch (error) {
      throw error instanceof CborError ? error : new CborError('text is not UTF-8');
    }
  }

  array(value, depth) {
    const items = [];
    for (let left = this.count(value); left > 0; left--) items.push(this.item(depth + 1));
    return items;
  }

  map(value, depth) {
    const map = Object.create(null);
    for (let left = this.count(value); left > 0; left--) {
      const key = this.item(depth + 1);
      if (typeof key !== 'string') throw new CborError('map key is not text');
      if (key in map) throw new CborError(`duplicate key '${key}'`);
      map[key] = this.item(depth + 1);
    }
    return map;
  }
}
