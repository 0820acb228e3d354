// Stable memory: up to 500 GiB of 64 KiB pages, sparse. A page nobody wrote is absent and reads as zeros, so
// an empty 500 GiB memory costs nothing.
//
// One message at a time works on it: begin() opens a journal, writes go to copies of the pages they touch,
// commit() moves those copies into place and rollback() forgets them. Both cost nothing per byte.
//
// The execution environment limits how much stable memory one message may touch, in units of 4 KiB, reads and
// writes each (IC0524); touch() counts the same way.

import { CanisterFault, trapped } from './reject.mjs';

export const PAGE = 65536;
export const MAX_PAGES = (500 * 2 ** 30) / PAGE;

const ZEROS = new Uint8Array(PAGE);
const UNIT = 4096; // of the access limits
const UNITS_PER_PAGE = PAGE / UNIT;
const MAX_PAGES_32BIT = 65536; // 4 GiB: what the 32-bit calls can address

export class StableMemory {
  #base = new Map(); // page number -> Uint8Array(PAGE)
  #journal = new Map(); // pages written by the running message
  #pages = 0;
  #committedPages = 0;
  #limit = Infinity;
  #read = new Touched();
  #written = new Touched();

  /** Size in pages, as the running message sees it. */
  get pages() {
    return this.#pages;
  }

  /** @param {number} accessLimit bytes this message may read, and bytes it may write */
  begin(accessLimit) {
    this.#limit = accessLimit;
    this.#read = new Touched();
    this.#written = new Touched();
  }

  commit() {
    for (const [number, page] of this.#journal) this.#base.set(number, page);
    this.#journal.clear();
    this.#committedPages = this.#pages;
  }

  rollback() {
    this.#journal.clear();
    this.#pages = this.#committedPages;
  }

  /** A memory of its own with what the running message sees. Costs nothing per byte: pages are never changed in place. */
  fork() {
    const fork = new StableMemory();
    fork.#base = new Map([...this.#base, ...this.#journal]);
    fork.#pages = fork.#committedPages = this.#pages;
    return fork;
  }

  /** @returns {number} the size before, or -1 when the memory cannot grow that far */
  grow(pages) {
    const before = this.#pages;
    if (pages > MAX_PAGES - before) return -1;
    this.#pages += pages;
    return before;
  }

  /** Fills target from offset on. */
  read(offset, target) {
    this.#check(offset, target.length);
    this.#touch(this.#read, offset, target.length, 'accessed');
    forEachPage(offset, target.length, (number, start, at, length) => {
      const page = this.#journal.get(number) ?? this.#base.get(number);
      if (page === undefined) target.fill(0, at, at + length);
      else if (length === PAGE) target.set(page, at);
      else target.set(page.subarray(start, start + length), at);
    });
  }

  write(offset, source) {
    this.#check(offset, source.length);
    this.#touch(this.#written, offset, source.length, 'modified');
    forEachPage(offset, source.length, (number, start, at, length) => {
      this.#writable(number, length === PAGE).set(source.subarray(at, at + length), start);
    });
  }

  /** The 32-bit calls trap once the memory is larger than they can address. */
  assert32bit() {
    if (this.#pages > MAX_PAGES_32BIT) {
      throw trapped('32 bit stable memory api used on a memory larger than 4GB');
    }
  }

  grow32(pages) {
    this.assert32bit();
    return this.#pages + pages > MAX_PAGES_32BIT ? -1 : this.grow(pages);
  }

  /** Committed pages that exist, in order: [page number, bytes]. Bytes are borrowed. */
  *entries() {
    for (const number of [...this.#base.keys()].sort((a, b) => a - b)) yield [number, this.#base.get(number)];
  }

  /** Rebuilds a memory from what entries() gave. */
  static from(pages, entries) {
    const memory = new StableMemory();
    if (memory.grow(pages) < 0) throw new RangeError(`stable memory of ${pages} pages`);
    for (const [number, page] of entries) {
      if (!(number < pages) || page.length !== PAGE) throw new RangeError(`stable memory page ${number}`);
      memory.#base.set(number, page);
    }
    memory.commit();
    return memory;
  }

  /** A memory with a copy of these bytes, whole pages. Pages of zeros are absent. */
  static copyOf(bytes) {
    const memory = new StableMemory();
    memory.#pages = memory.#committedPages = bytes.length / PAGE;
    for (let number = 0; number < memory.#pages; number++) {
      const page = bytes.subarray(number * PAGE, (number + 1) * PAGE);
      if (Buffer.compare(page, ZEROS) !== 0) memory.#base.set(number, page.slice());
    }
    return memory;
  }

  /** All of what is committed, as bytes of their own. */
  toBytes() {
    const bytes = new Uint8Array(this.#committedPages * PAGE);
    for (const [number, page] of this.#base) bytes.set(page, number * PAGE);
    return bytes;
  }

  #check(offset, length) {
    if (offset + length > this.#pages * PAGE) throw trapped('stable memory out of bounds');
  }

  #touch(touched, offset, length, verb) {
    if (touched.add(offset, length) > this.#limit) {
      throw new CanisterFault(
        'IC0524',
        `Canister exceeded memory access limits: more than ${this.#limit} bytes of stable memory ${verb} in a single message execution.`,
      );
    }
  }

  #writable(number, whole) {
    let page = this.#journal.get(number);
    if (page === undefined) {
      const base = this.#base.get(number);
      if (whole) page = new Uint8Array(Buffer.allocUnsafeSlow(PAGE).buffer);
      else page = base === undefined ? new Uint8Array(PAGE) : base.slice();
      this.#journal.set(number, page);
    }
    return page;
  }
}

/** The set of 4 KiB units a message has touched: a bit mask per page. */
class Touched {
  #masks = new Map();
  #bytes = 0;

  /** Adds a range and returns the bytes touched so far. */
  add(offset, length) {
    forEachPage(offset, length, (number, start, _at, part) => {
      const first = Math.floor(start / UNIT);
      const last = Math.floor((start + part - 1) / UNIT);
      const mask = ((1 << (last + 1)) - 1) & ~((1 << first) - 1);
      const before = this.#masks.get(number) ?? 0;
      const fresh = mask & ~before;
      if (fresh === 0) return;
      this.#masks.set(number, before | mask);
      this.#bytes += (part === PAGE && before === 0 ? UNITS_PER_PAGE : popcount16(fresh)) * UNIT;
    });
    return this.#bytes;
  }
}

function popcount16(bits) {
  let n = 0;
  for (; bits !== 0; bits &= bits - 1) n++;
  return n;
}

/** Calls step(page number, offset in the page, offset in the range, length) for each page a range touches. */
function forEachPage(offset, length, step) {
  for (let at = 0; at < length;) {
    const start = (offset + at) % PAGE;
    const part = Math.min(PAGE - start, length - at);
    step((offset + at - start) / PAGE, start, at, part);
    at += part;
  }
}
