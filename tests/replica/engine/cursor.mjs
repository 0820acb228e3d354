// A bounded reader over the WebAssembly binary format (WebAssembly core spec, "Binary Format").
// Every read checks the end and throws MalformedError, whatever the bytes are.

export class MalformedError extends Error {}

export class Cursor {
  #bytes;
  #end;

  constructor(bytes, at = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.at = at;
    this.#end = end;
  }

  get done() {
    return this.at === this.#end;
  }

  byte() {
    if (this.at >= this.#end) throw new MalformedError('unexpected end');
    return this.#bytes[this.at++];
  }

  /** A view of the next length bytes. */
  take(length) {
    if (length > this.#end - this.at) throw new MalformedError('unexpected end');
    this.at += length;
    return this.#bytes.subarray(this.at - length, this.at);
  }

  u32() {
    const value = this.u64();
    if (value > 0xffffffffn) throw new MalformedError('integer too large');
    return Number(value);
  }

  u64() {
    return BigInt.asUintN(64, this.#leb(10));
  }

  /** Skips a signed or unsigned LEB128 of at most maxBytes. */
  skipLeb(maxBytes) {
    this.#leb(maxBytes);
  }

  #leb(maxBytes) {
    let value = 0n;
    for (let i = 0; i < maxBytes; i++) {
      const byte = this.byte();
      value |= BigInt(byte & 0x7f) << BigInt(7 * i);
      if (byte < 0x80) return value;
    }
    throw new MalformedError('integer too long');
  }

  name() {
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(this.take(this.u32()));
    } catch (error) {
      if (error instanceof MalformedError) throw error;
      throw new MalformedError('name is not UTF-8');
    }
  }

  /** Reads count items; each takes at least one byte, so a count beyond the end fails before any allocation. */
  vector(item) {
    const count = this.u32();
    if (count > this.#end - this.at) throw new MalformedError('count too large');
    return Array.from({ length: count }, () => item());
  }

  sub(length) {
    const start = this.at;
    this.take(length);
    return new Cursor(this.#bytes, start, this.at);
  }
}

export function uleb(value) {
  const bytes = [];
  do {
    const more = value > 0x7f;
    bytes.push((value & 0x7f) | (more ? 0x80 : 0));
    value = Math.floor(value / 128);
  } while (value > 0);
  return bytes;
}
