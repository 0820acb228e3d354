// A canister's chunk store: pieces of modules too large for one message, by their hash.
// Rules: IC interface spec, "IC method upload_chunk" and "install_chunked_code".

import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { RejectError } from './engine/reject.mjs';
import { sha256 } from './hash.mjs';
import { hexOf } from './principal.mjs';

const MAX_CHUNKS = 100;
const MAX_CHUNK = 2 ** 20;

export const storeFailure = (why) => new RejectError(5, 'IC0504', `Error from Wasm chunk store: ${why}.`);

export class ChunkStore {
  #chunks = new Map(); // hash in hex -> bytes

  /** Each chunk takes a whole place. */
  get size() {
    return this.#chunks.size * MAX_CHUNK;
  }

  /** @returns {Uint8Array|null} */
  find(hash) {
    return this.#chunks.get(hexOf(hash)) ?? null;
  }

  copy() {
    const copy = new ChunkStore();
    copy.#chunks = new Map(this.#chunks);
    return copy;
  }

  /** @returns {Uint8Array} its hash */
  add(chunk) {
    if (chunk.length > MAX_CHUNK) throw storeFailure(`Wasm chunk size ${chunk.length} exceeds the maximum chunk size of ${MAX_CHUNK}`);
    const hash = sha256(chunk);
    if (!this.#chunks.has(hexOf(hash)) && this.#chunks.size === MAX_CHUNKS) {
      throw storeFailure(`Wasm chunk store has already reached maximum capacity of ${MAX_CHUNKS * MAX_CHUNK} bytes`);
    }
    this.#chunks.set(hexOf(hash), chunk);
    return hash;
  }

  /** @returns {Uint8Array[]} */
  get hashes() {
    return [...this.#chunks.keys()].sort().map((hex) => new Uint8Array(Buffer.from(hex, 'hex')));
  }

  clear() {
    this.#chunks.clear();
  }

  /** The chunks put together, which must have this hash. */
  assemble(hashes, wanted) {
    const chunks = hashes.map((hash) => {
      const chunk = this.#chunks.get(hexOf(hash));
      if (chunk === undefined) throw storeFailure(`Chunk hash ${hexOf(hash)} was not found`);
      return chunk;
    });
    const module = new Uint8Array(Buffer.concat(chunks));
    if (hexOf(sha256(module)) !== hexOf(wanted)) {
      throw storeFailure(`Wasm module hash ${hexOf(sha256(module))} does not match given hash ${hexOf(wanted)}`);
    }
    return module;
  }

  save(dir) {
    rmSync(dir, { recursive: true, force: true });
    mkdirSync(dir, { recursive: true });
    for (const [hash, chunk] of this.#chunks) writeFileSync(join(dir, hash), chunk);
  }

  static load(dir) {
    const store = new ChunkStore();
    for (const hash of readdirSync(dir)) store.add(new Uint8Array(readFileSync(join(dir, hash))));
    return store;
  }
}
