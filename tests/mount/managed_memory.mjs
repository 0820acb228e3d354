// Stable memory as the memory manager of ic-stable-structures lays it out, version 1 of its layout ("V1 layout" in the documentation of
// its module memory_manager): one memory that holds up to 255 virtual ones.
export const PAGE = 65536;
export const N_BUCKETS = 32768;

const SIZES = 40;
const OWNERS = SIZES + 255 * 8;
const NOBODY = 255;

export class ManagedMemory {
  #sizes = new Map(); // pages, by memory
  #owners = []; // the memory of each bucket

  constructor(bucketPages) {
    this.bucketPages = bucketPages;
  }

  // As the manager does: buckets are given out in the order in which they are asked for.
  grow(id, pages) {
    const size = (this.#sizes.get(id) ?? 0) + pages;
    this.#sizes.set(id, size);
    for (let n = this.#bucketsOf(id).length; n < Math.ceil(size / this.bucketPages); n++) this.#owners.push(id);
  }

  #bucketsOf(id) {
    return this.#owners.flatMap((owner, bucket) => (owner === id ? [bucket] : []));
  }

  // Bytes of the whole memory.
  get size() {
    return PAGE * (1 + this.#owners.length * this.bucketPages);
  }

  sizeOf(id) {
    return PAGE * (this.#sizes.get(id) ?? 0);
  }

  header() {
    const bytes = Buffer.alloc(OWNERS + N_BUCKETS);
    bytes.write('MGR', 'latin1');
    bytes.writeUInt8(1, 3);
    bytes.writeUInt16LE(this.#owners.length, 4);
    bytes.writeUInt16LE(this.bucketPages, 6);
    for (const [id, pages] of this.#sizes) bytes.writeBigUInt64LE(BigInt(pages), SIZES + 8 * id);
    bytes.fill(NOBODY, OWNERS);
    bytes.set(this.#owners, OWNERS);
    return bytes;
  }

  // Where bytes of a memory are written: [{ at, bytes }], a piece for each bucket.
  pieces(id, offset, bytes) {
    const bucketSize = PAGE * this.bucketPages;
    const buckets = this.#bucketsOf(id);
    const found = [];
    for (let done = 0; done < bytes.length; ) {
      const within = (offset + done) % bucketSize;
      const part = bytes.subarray(done, done + bucketSize - within);
      found.push({ at: PAGE + buckets[Math.floor((offset + done) / bucketSize)] * bucketSize + within, bytes: part });
      done += part.length;
    }
    return found;
  }
}
