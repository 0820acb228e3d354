// A canister's snapshots: taken from it, or declared and then uploaded piece by piece. What they hold is never changed in
// place, so a snapshot costs the pages of stable memory that the canister goes on to change, and a copy of the heap.
// Rules: IC interface spec, "Canister snapshots" and the methods of the management canister; refusals and limits as the
// execution environment has them.

import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ChunkStore, storeFailure } from './chunk_store.mjs';
import { MAX_HEAP_PAGES } from './engine/module.mjs';
import { RejectError } from './engine/reject.mjs';
import { MAX_PAGES, PAGE, StableMemory } from './engine/stable.mjs';
import { fromBits, readPages, toBits, writePages } from './engine/state.mjs';
import { sha256 } from './hash.mjs';
import { hexOf } from './principal.mjs';

const MAX_SNAPSHOTS = 10;
/** Bytes that one call reads; chunks of the store are read whole. */
const MAX_SLICE = 2_000_000;
const MAX_MODULE = 100 * 2 ** 20;
const MAX_GLOBALS = 1_000;
const MAX_CERTIFIED_DATA = 32;
const GLOBAL_BYTES = 32;
const CHUNK_BYTES = 2 ** 20;
const HASH_BYTES = 32;
const LOCAL_ID_BYTES = 8;
/** In the directory of a canister's snapshots, each in one named by its id. */
const LIST = 'snapshots.json';

export const refused = (text) => new RejectError(4, 'IC0406', text);
const badPayload = (text) => new RejectError(4, 'IC0408', text);

const badSlice = (offset, size) =>
  badPayload(`Invalid subslice into wasm module / main memory / stable memory: offset: ${offset}, size: ${size}`);

/**
 * id, source ('taken_from_canister' or 'metadata_upload'), takenAt and changedAt (ns), version of the canister, and what
 * CanisterEngine.capture() gives: module, globals, heap, stable, certifiedData, globalTimer, memoryHook. An uploaded one
 * may leave the last two undefined.
 */
export class Snapshot {
  constructor(facts, chunks) {
    Object.assign(this, facts);
    this.chunks = chunks;
  }

  get isUploaded() {
    return this.source === 'metadata_upload';
  }

  get heapBytes() {
    return this.heap.pages * PAGE;
  }

  get stableBytes() {
    return this.stable.pages * PAGE;
  }

  /** What the canister pays storage for. */
  get size() {
    const memories = this.module.length + this.heapBytes + this.stableBytes + this.chunks.size;
    return memories + this.certifiedData.length + this.globals.length * GLOBAL_BYTES;
  }

  /**
   * @param {'module'|'heap'|'stable'} part
   * @param {bigint} offset  in bytes, as size
   * @throws {RejectError} IC0408
   */
  read(part, offset, size) {
    if (size > MAX_SLICE) throw badPayload(`Requested slice too large: ${size} > ${MAX_SLICE}`);
    this.#requireInside(part, offset, size);
    const [from, length] = [Number(offset), Number(size)];
    if (part === 'module') return this.module.subarray(from, from + length);
    const bytes = new Uint8Array(length);
    this[part].begin(Infinity);
    this[part].read(from, bytes);
    return bytes;
  }

  /** @throws {RejectError} IC0504 no such chunk */
  readChunk(hash) {
    if (hash.length !== HASH_BYTES) throw storeFailure(`Bytes ${hexOf(hash)} are not a valid WasmChunkHash`);
    const chunk = this.chunks.find(hash);
    if (chunk === null) throw storeFailure(`WasmChunkHash ${hexOf(hash)} not found`);
    return chunk;
  }

  /** As read(); of an uploaded one only. */
  write(part, offset, bytes) {
    this.#requireInside(part, offset, BigInt(bytes.length));
    if (part === 'module') return void this.module.set(bytes, Number(offset));
    this[part].begin(Infinity);
    this[part].write(Number(offset), bytes);
    this[part].commit();
  }

  #requireInside(part, offset, size) {
    const end = { module: this.module.length, heap: this.heapBytes, stable: this.stableBytes }[part];
    if (offset + size > end) throw badSlice(offset, size);
  }

  save(dir) {
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, 'module'), this.module);
    const pagesOf = (part) => [this[part].pages, writePages(join(dir, part), this[part].entries())];
    const { id, source, takenAt, changedAt, version, globals, certifiedData, globalTimer, memoryHook } = this;
    const facts = {
      ...{ id: hexOf(id), source, takenAt: String(takenAt), changedAt: String(changedAt), version: String(version) },
      globals: globals.map(({ type, value }) => ({ type, bits: toBits(type, value) })),
      certifiedData: hexOf(certifiedData),
      globalTimer: globalTimer === undefined ? null : String(globalTimer),
      memoryHook: memoryHook ?? null,
      heap: pagesOf('heap'),
      stable: pagesOf('stable'),
    };
    this.chunks.save(join(dir, 'chunks'));
    writeFileSync(join(dir, 'snapshot.json'), JSON.stringify(facts));
  }

  static load(dir) {
    const { heap, stable, ...facts } = JSON.parse(readFileSync(join(dir, 'snapshot.json'), 'utf8'));
    const bytes = (hex) => new Uint8Array(Buffer.from(hex, 'hex'));
    const memory = (part, [pages, runs]) => StableMemory.from(pages, readPages(join(dir, part), runs));
    const content = {
      ...{ id: bytes(facts.id), source: facts.source, certifiedData: bytes(facts.certifiedData) },
      ...{ takenAt: BigInt(facts.takenAt), changedAt: BigInt(facts.changedAt), version: BigInt(facts.version) },
      globals: facts.globals.map(({ type, bits }) => ({ type, value: fromBits(type, bits) })),
      globalTimer: facts.globalTimer === null ? undefined : BigInt(facts.globalTimer),
      memoryHook: facts.memoryHook ?? undefined,
      module: new Uint8Array(readFileSync(join(dir, 'module'))),
      heap: memory('heap', heap),
      stable: memory('stable', stable),
    };
    return new Snapshot(content, ChunkStore.load(join(dir, 'chunks')));
  }
}

/** Which canister an id names: its first bytes are a number of the canister's own. */
export const ownerOf = (snapshotId) => snapshotId.subarray(LOCAL_ID_BYTES);

export class Snapshots {
  #canister;
  #all = new Map(); // id in hex -> Snapshot, in the order of their ids
  #next = 0n;

  /** @param {object} canister  id, name, engine, chunks, now(), requireMemory(bytes) */
  constructor(canister) {
    this.#canister = canister;
  }

  [Symbol.iterator]() {
    return this.#all.values();
  }

  get size() {
    return [...this].reduce((sum, { size }) => sum + size, 0);
  }

  /** @returns {Snapshot|null} */
  find(id) {
    return this.#all.get(hexOf(id)) ?? null;
  }

  /** @throws {RejectError} IC0406 the canister is empty, or has too many; IC0305 nothing to replace; IC0101 */
  take(replaced) {
    const { engine, chunks } = this.#canister;
    this.#requirePlace(replaced);
    const content = engine.capture();
    if (content === null) throw refused(`Failed to create snapshot for empty canister ${this.#canister.name}:`);
    return this.#add(new Snapshot({ ...content, source: 'taken_from_canister' }, chunks.copy()), replaced);
  }

  /**
   * Begins an upload: module and memories are zeros of the sizes declared.
   * @param {object} declared  moduleSize, heapSize, stableSize (bigint), globals, certifiedData, globalTimer, memoryHook
   * @throws {RejectError} IC0408, and as take()
   */
  declare({ moduleSize, heapSize, stableSize, ...content }, replaced) {
    const { engine } = this.#canister;
    const wrong = invalidity({ moduleSize, heapSize, stableSize, ...content, heapPages: MAX_HEAP_PAGES[engine.pointer] });
    if (wrong !== null) throw badPayload(`Snapshot Metadata contains invalid data: ${wrong}`);
    this.#requirePlace(replaced);
    const memory = (size) => StableMemory.from(Number(size) / PAGE, []);
    const memories = { module: new Uint8Array(Number(moduleSize)), heap: memory(heapSize), stable: memory(stableSize) };
    const facts = { ...content, ...memories, version: engine.version, source: 'metadata_upload' };
    return this.#add(new Snapshot(facts, new ChunkStore()), replaced);
  }

  /**
   * @param {'module'|'heap'|'stable'|'chunk'} part
   * @throws {RejectError} IC0408 outside of it, IC0409 taken from a canister, IC0504 a full store, IC0101
   */
  upload(snapshot, part, offset, bytes) {
    if (!snapshot.isUploaded) {
      throw new RejectError(4, 'IC0409', 'Only canister snapshots created by metadata upload can be mutated.');
    }
    if (part === 'chunk') this.#uploadChunk(snapshot, bytes);
    else snapshot.write(part, offset, bytes);
    snapshot.changedAt = this.#canister.now();
  }

  #uploadChunk({ chunks }, bytes) {
    if (chunks.find(sha256(bytes)) === null) this.#canister.requireMemory(CHUNK_BYTES);
    chunks.add(bytes);
  }

  delete(snapshot) {
    this.#all.delete(hexOf(snapshot.id));
  }

  #requirePlace(replaced) {
    if (replaced !== null || this.#all.size < MAX_SNAPSHOTS) return;
    const { name } = this.#canister;
    throw refused(`Canister ${name} has reached the maximum number of snapshots allowed: ${MAX_SNAPSHOTS}.`);
  }

  /** The one it replaces is gone at once, whatever becomes of the new one. */
  #add(snapshot, replaced) {
    const { id } = this.#canister;
    this.#canister.requireMemory(snapshot.size - (replaced?.size ?? 0));
    const now = this.#canister.now();
    const number = Buffer.alloc(LOCAL_ID_BYTES);
    number.writeBigUInt64BE(this.#next++);
    Object.assign(snapshot, { id: new Uint8Array([...number, ...id]), takenAt: now, changedAt: now });
    if (replaced !== null) this.delete(replaced);
    this.#all.set(hexOf(snapshot.id), snapshot);
    return snapshot;
  }

  save(dir) {
    rmSync(dir, { recursive: true, force: true });
    mkdirSync(dir, { recursive: true });
    for (const [name, snapshot] of this.#all) snapshot.save(join(dir, name));
    writeFileSync(join(dir, LIST), JSON.stringify({ next: String(this.#next), all: [...this.#all.keys()] }));
  }

  /** A directory that is not there is one of a network that knew no snapshots. */
  load(dir) {
    if (!existsSync(dir)) return;
    const { next, all } = JSON.parse(readFileSync(join(dir, LIST), 'utf8'));
    this.#next = BigInt(next);
    for (const name of all) this.#all.set(name, Snapshot.load(join(dir, name)));
  }
}

/** What is wrong with the sizes that an upload declares, by the execution environment's name, or null. */
function invalidity({ moduleSize, heapSize, stableSize, globals, certifiedData, heapPages }) {
  const isWhole = (size) => size % BigInt(PAGE) === 0n;
  const wrong = [
    [moduleSize === 0n, 'WasmModuleEmpty'],
    [moduleSize > MAX_MODULE, 'WasmModuleTooLarge'],
    [!isWhole(heapSize), 'WasmMemoryNotPageAligned'],
    [heapSize > heapPages * PAGE, 'WasmMemoryTooLarge'],
    [!isWhole(stableSize), 'StableMemoryNotPageAligned'],
    [stableSize > MAX_PAGES * PAGE, 'StableMemoryTooLarge'],
    [globals.length > MAX_GLOBALS, 'ExportedGlobalsTooLarge'],
    [certifiedData.length > MAX_CERTIFIED_DATA, 'CertifiedDataTooLarge'],
  ];
  return wrong.find(([holds]) => holds)?.[1] ?? null;
}
