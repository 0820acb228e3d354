// A running instance of a module, and the committed image of what a message may change: heap and mutable globals.
//
//   message         instance        image
//   ---------------------------------------------
//   commit()        is the truth    becomes equal
//   discard()       is stale        is the truth
//
// A stale instance is made equal to the image before the next message: one native copy of the heap. Where that
// cannot be done in place (memory does not shrink; tables changed; segments may have been dropped) a new
// instance is made from the compiled module. Tables and segments are not part of the image: as in the execution
// environment, every message sees them as the module defines them.

const WASM_PAGE = 65536;

export class Machine {
  #module;
  #imports;
  #exports = null;
  #image = null; // { heap: Uint8Array, globals: value[] }, null until the first commit
  #stale = false;
  #heap = new Uint8Array(0);
  #tables = []; // each table's entries as instantiated

  /**
   * @param {import('./module.mjs').CanisterModule} module
   * @param {object} imports  the ic0 functions, by name
   * @param {{heap: Uint8Array, globals: Array}} [image]  taken; a former image of the same module
   */
  constructor(module, imports, image = null) {
    this.#module = module;
    this.#imports = { ic0: imports };
    this.#image = image;
    this.#instantiate();
    if (image !== null) this.#restore();
  }

  /** The heap. Valid until Wasm code runs again: growing the memory moves it. */
  get heap() {
    const { buffer } = this.#memory();
    if (this.#heap.buffer !== buffer) this.#heap = new Uint8Array(buffer);
    return this.#heap;
  }

  /** The heap as the last message left it that was kept, or the running one. Valid as `heap`. */
  get settledHeap() {
    if (this.#stale) this.#restore();
    return this.heap;
  }

  /** What a snapshot holds of the globals, as the committed image has them: [{ type, value }]. */
  get exportedGlobals() {
    return this.#module.exportedGlobals.map(({ name, slot, type, vector }) => {
      if (slot !== null) return { type, value: this.#image.globals[slot] };
      return { type, value: type === 'v128' ? littleEndian(vector) : this.#exports[name].value };
    });
  }

  /** The committed image, borrowed. */
  get image() {
    return this.#image;
  }

  /** Runs an exported function. Throws what the code throws; the caller then commits or discards. */
  run(name) {
    if (this.#stale) this.#restore();
    this.#exports[name]();
  }

  /** Runs the function at an index of table 0, as run(). It traps unless there is one of type (env) -> (). */
  runCallback(index, environment) {
    if (this.#stale) this.#restore();
    const { callbackExport, callbackTypes } = this.#module;
    if (callbackExport === undefined) throw new WebAssembly.RuntimeError('table index is out of bounds');
    const values = [index, environment].map((n, i) => (callbackTypes[i] === 'i64' ? BigInt(n) : n));
    this.#exports[callbackExport](...values);
  }

  /** Instructions that the code may still execute; negative when it tried to execute more. */
  get fuel() {
    return Number(this.#exports[this.#module.fuelExport].value);
  }

  set fuel(instructions) {
    this.#exports[this.#module.fuelExport].value = BigInt(instructions);
  }

  /** A copy of the running state, to go on from later; see adopt(). */
  snapshot() {
    return { heap: this.#module.hasMemory ? this.heap.slice() : new Uint8Array(0), globals: this.#globals() };
  }

  /** Makes the instance equal to a snapshot instead of the committed image. */
  adopt(snapshot) {
    this.#restore(snapshot);
  }

  /** Begins with another instance's heap instead of its own. */
  adoptHeap(bytes) {
    if (!this.#module.hasMemory) return;
    this.#reserve(bytes.length);
    this.heap.set(bytes);
    this.heap.fill(0, bytes.length);
  }

  commit() {
    const heap = this.#module.hasMemory ? this.heap : new Uint8Array(0);
    if (this.#image?.heap.length !== heap.length) this.#image = { heap: new Uint8Array(heap.length), globals: [] };
    this.#image.heap.set(heap);
    this.#image.globals = this.#globals();
    if (this.#tablesChanged() || this.#module.dropsSegments) this.#stale = true;
  }

  discard() {
    this.#stale = true;
  }

  #globals() {
    return this.#module.globals.map(({ name }) => this.#exports[name].value);
  }

  #memory() {
    return this.#exports[this.#module.memoryExport] ?? EMPTY_MEMORY;
  }

  #restore({ heap, globals } = this.#image) {
    const size = this.#module.hasMemory ? this.heap.length : 0;
    if (size > heap.length || this.#tablesChanged() || this.#module.dropsSegments) this.#renew();
    if (this.#module.hasMemory) {
      this.#reserve(heap.length);
      this.heap.set(heap);
    }
    this.#module.globals.forEach(({ name }, i) => (this.#exports[name].value = globals[i]));
    this.#stale = false;
  }

  /** Grows the memory to hold that many bytes. */
  #reserve(size) {
    const missing = (size - this.heap.length) / WASM_PAGE;
    if (missing > 0) this.#memory().grow(this.#module.pointer === 'i64' ? BigInt(missing) : missing);
  }

  /** A new instance, with as much fuel as the old one has. */
  #renew() {
    const { fuel } = this;
    this.#instantiate();
    this.fuel = fuel;
  }

  #instantiate() {
    this.#exports = new WebAssembly.Instance(this.#module.compiled, this.#imports).exports;
    this.#tables = this.#module.tables.map((name) => entries(this.#exports[name]));
  }

  #tablesChanged() {
    return this.#module.tables.some((name, i) => {
      const table = this.#exports[name];
      const before = this.#tables[i];
      return (
        Number(table.length) !== before.length || before.some((entry, k) => entry !== table.get(indexOf(table, k)))
      );
    });
  }
}

const littleEndian = (bytes) => BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);

const EMPTY_MEMORY = { buffer: new ArrayBuffer(0) };

/** Tables of 64-bit modules are indexed by BigInt. */
const indexOf = (table, k) => (typeof table.length === 'bigint' ? BigInt(k) : k);

function entries(table) {
  return Array.from({ length: Number(table.length) }, (_, k) => table.get(indexOf(table, k)));
}
