// A canister's Wasm module: read, checked, and compiled in a form whose whole state can be seen.
//
// What a message may change is the memory, the mutable globals and the tables. Most of them are not exported
// (clang's stack pointer is not), so the module is compiled with extra exports under private names: its memory,
// every mutable global, every table and the start function. The start section itself is dropped: the start
// function runs once, before canister_init, and not when an instance is made anew. Two things are added: a global
// that the code pays its instructions from (meter.mjs), and a function that calls a callback by its table index.
//
// Rules checked here are those of the IC interface spec, "Canister module format", and the execution
// environment's limits. Everything else is V8's own validation.

import { createHash } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import { Cursor, MalformedError, uleb } from './cursor.mjs';
import { meter } from './meter.mjs';
import { invalidModule } from './reject.mjs';

const MIB = 2 ** 20;
const MAX_MODULE_BYTES = 100 * MIB;
const MAX_CODE_BYTES = 10 * MIB;
const MAX_FUNCTIONS = 50_000;
const MAX_GLOBALS = 1_000;
const MAX_METHODS = 1_000;
/** 4 GiB and 6 GiB. */
export const MAX_HEAP_PAGES = { i32: 65_536, i64: 98_304 };
const MAX_METADATA = 16;
const MAX_METADATA_BYTES = MIB;
const MAX_METHOD_NAME_BYTES = 20_000; // of all names together

/** Names of the extra exports. A module that uses them itself fails to compile (duplicate export). */
const PRIVATE = 'canisterfs local network: ';
const MEMORY = PRIVATE + 'memory';
const START = PRIVATE + 'start';
const FUEL = PRIVATE + 'fuel';
const CALLBACK = PRIVATE + 'callback';

const SECTION = {
  custom: 0,
  type: 1,
  import: 2,
  function: 3,
  table: 4,
  memory: 5,
  global: 6,
  export: 7,
  start: 8,
  element: 9,
  code: 10,
  data: 11,
  dataCount: 12,
};
/** The order sections appear in: data count stands before code (WebAssembly core spec, "Modules"). */
const ORDER = [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 10, 11];

const VALUE_TYPES = {
  0x7f: 'i32',
  0x7e: 'i64',
  0x7d: 'f32',
  0x7c: 'f64',
  0x7b: 'v128',
  0x70: 'funcref',
  0x6f: 'externref',
};
const METHOD = /^canister_(update|query|composite_query) ([^]*)$/;
const ENTRY_POINTS = new Set([
  'canister_init',
  'canister_pre_upgrade',
  'canister_post_upgrade',
  'canister_inspect_message',
  'canister_heartbeat',
  'canister_global_timer',
  'canister_on_low_wasm_memory',
]);

export class CanisterModule {
  /**
   * @param {Uint8Array} given   the module as installed, raw or gzip; kept, not copied
   * @param {(name: string, pointer: 'i32'|'i64') => string|undefined} importType
   *        the type of an ic0 function ("i32 i32 -> i64"), undefined when there is none
   * @throws {CanisterFault} IC0505
   */
  constructor(given, importType) {
    this.bytes = given;
    this.hash = new Uint8Array(createHash('sha256').update(given).digest());
    try {
      const raw = gunzip(given);
      const layout = readLayout(raw);
      checkImports(layout, importType);
      const exposed = expose(layout);
      this.compiled = new WebAssembly.Module(assemble(layout, exposed));
      this.methods = readMethods(layout);
      this.metadata = readMetadata(layout);
      this.pointer = layout.memories[0]?.pointer ?? 'i32';
      this.hasMemory = layout.memories.length === 1;
      this.startExport = layout.start === undefined ? undefined : START;
      this.memoryExport = MEMORY;
      this.fuelExport = FUEL;
      this.callbackExport = exposed.callback === null ? undefined : CALLBACK;
      this.callbackTypes = exposed.callback; // [type of the table's index, of the environment]
      this.globals = exposed.globals; // [{ name, type }]: mutable ones
      this.exportedGlobals = exportedGlobals(layout);
      this.heapPages = heapPages(layout.memories[0]); // { min, max }
      this.tables = exposed.tables; // names
      this.dropsSegments = mayDropSegments(layout);
      this.customSectionBytes = layout.customSectionBytes;
    } catch (error) {
      if (error instanceof MalformedError || error instanceof WebAssembly.CompileError) {
        throw invalidModule(error.message);
      }
      throw error;
    }
  }

  /** The values of `globals` among those of `exportedGlobals`; null when those differ in number or types. */
  mutableValues(given) {
    const declared = this.exportedGlobals;
    if (given.length !== declared.length || given.some(({ type }, i) => type !== declared[i].type)) return null;
    const values = [];
    declared.forEach(({ slot }, i) => {
      if (slot !== null) values[slot] = given[i].value;
    });
    return values;
  }
}

function heapPages(memory) {
  if (memory === undefined) return { min: 0, max: 0 };
  return { min: memory.min, max: Math.min(memory.max, MAX_HEAP_PAGES[memory.pointer]) };
}

/** gzip is recognised by its magic number (IC interface spec, "Canister module format"). */
function gunzip(bytes) {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) {
    if (bytes.length > MAX_MODULE_BYTES) throw new MalformedError(`larger than ${MAX_MODULE_BYTES} bytes`);
    return bytes;
  }
  try {
    return gunzipSync(bytes, { maxOutputLength: MAX_MODULE_BYTES });
  } catch (error) {
    throw new MalformedError(`cannot decompress: ${error.message}`);
  }
}

/** Reads the sections that matter here. The rest is kept as bytes. */
function readLayout(bytes) {
  const cursor = new Cursor(bytes);
  if (Buffer.compare(cursor.take(8), Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0)) !== 0) {
    throw new MalformedError('no WebAssembly 1 header');
  }
  const layout = {
    sections: new Map(),
    types: [],
    imports: [],
    functions: [],
    tables: [],
    memories: [],
    globals: [],
    exports: [],
    start: undefined,
    custom: [],
    customSectionBytes: 0,
  };
  let lastRank = -1;
  while (!cursor.done) {
    const id = cursor.byte();
    const length = cursor.u32();
    const start = cursor.at;
    const body = cursor.sub(length);
    const content = bytes.subarray(start, start + length);
    if (id === SECTION.custom) {
      const name = body.name();
      layout.custom.push({ name, content: bytes.subarray(body.at, start + length) });
      layout.customSectionBytes += length;
    } else {
      const rank = ORDER.indexOf(id);
      if (rank < 0) throw new MalformedError(`section ${id} is not supported`);
      if (rank <= lastRank) throw new MalformedError(`section ${id} is out of order`);
      lastRank = rank;
      layout.sections.set(id, content);
      READERS[id]?.(body, layout);
    }
  }
  if ((layout.sections.get(SECTION.code)?.length ?? 0) > MAX_CODE_BYTES) {
    throw new MalformedError(`code section larger than ${MAX_CODE_BYTES} bytes`);
  }
  return layout;
}

const READERS = {
  [SECTION.type]: (c, layout) => {
    layout.types = c.vector(() => {
      if (c.byte() !== 0x60) throw new MalformedError('only function types are supported');
      const params = c.vector(() => valueType(c));
      return `${params.join(' ')} -> ${c.vector(() => valueType(c)).join(' ')}`.trim();
    });
  },
  [SECTION.import]: (c, layout) => {
    layout.imports = c.vector(() => {
      const [module, name, kind] = [c.name(), c.name(), c.byte()];
      if (kind !== 0) throw new MalformedError(`import ${module}.${name} is not a function`);
      return { module, name, type: c.u32() };
    });
  },
  [SECTION.function]: (c, layout) => {
    layout.functions = c.vector(() => c.u32());
    if (layout.functions.length > MAX_FUNCTIONS) throw new MalformedError(`more than ${MAX_FUNCTIONS} functions`);
  },
  [SECTION.table]: (c, layout) => {
    layout.tables = c.vector(() => ({ type: valueType(c), ...limits(c) }));
  },
  [SECTION.memory]: (c, layout) => {
    layout.memories = c.vector(() => limits(c));
    if (layout.memories.length > 1) throw new MalformedError('more than one memory');
  },
  [SECTION.global]: (c, layout) => {
    layout.globals = c.vector(() => {
      const global = { type: valueType(c), mutable: c.byte() === 1 };
      return { ...global, vector: readConstantExpression(c) };
    });
    if (layout.globals.length > MAX_GLOBALS) throw new MalformedError(`more than ${MAX_GLOBALS} globals`);
  },
  [SECTION.export]: (c, layout) => {
    layout.exports = c.vector(() => ({ name: c.name(), kind: c.byte(), index: c.u32() }));
  },
  [SECTION.start]: (c, layout) => {
    layout.start = c.u32();
  },
};

function valueType(c) {
  const code = c.byte();
  const type = VALUE_TYPES[code];
  if (type === undefined) throw new MalformedError(`value type 0x${code.toString(16)} is not supported`);
  return type;
}

/** Flags: 1 has a maximum, 2 shared, 4 64-bit. */
function limits(c) {
  const flags = c.byte();
  if (flags & ~5) throw new MalformedError('shared memory is not supported');
  const min = Number(c.u64());
  const max = flags & 1 ? Number(c.u64()) : Infinity;
  return { pointer: flags & 4 ? 'i64' : 'i32', min, max };
}

/** @returns {Uint8Array|null} the bytes of a v128.const in it */
function readConstantExpression(c) {
  let vector = null;
  for (;;) {
    const opcode = c.byte();
    if (opcode === 0x0b) return vector;
    if (opcode === 0x41 || opcode === 0x42 || opcode === 0x23 || opcode === 0xd2)
      c.skipLeb(10); // const, global.get, ref.func
    else if (opcode === 0x43) c.take(4);
    else if (opcode === 0x44) c.take(8);
    else if (opcode === 0xd0)
      c.byte(); // ref.null
    else if (opcode === 0xfd && c.u32() === 0x0c)
      vector = c.take(16); // v128.const
    else if (![0x6a, 0x6b, 0x6c, 0x7c, 0x7d, 0x7e].includes(opcode)) {
      // add, sub, mul
      throw new MalformedError(`opcode 0x${opcode.toString(16)} in a constant expression`);
    }
  }
}

function checkImports(layout, importType) {
  const pointer = layout.memories[0]?.pointer ?? 'i32';
  for (const { module, name, type } of layout.imports) {
    if (module !== 'ic0') throw new MalformedError(`import from '${module}': only 'ic0' can be imported from`);
    const expected = importType(name, pointer);
    if (expected === undefined) throw new MalformedError(`ic0 has no function '${name}'`);
    if (layout.types[type] !== expected) {
      throw new MalformedError(`ic0.${name} has type (${expected}), not (${layout.types[type]})`);
    }
  }
}

function functionType(layout, index) {
  const own = index - layout.imports.length;
  return layout.types[own < 0 ? layout.imports[index].type : layout.functions[own]];
}

/** Map of exported entry points and methods: 'canister_init', or 'query NAME' and so on, to the export's name. */
function readMethods(layout) {
  const found = new Map();
  const names = new Set();
  let nameBytes = 0;
  for (const { name, kind, index } of layout.exports) {
    if (!name.startsWith('canister_')) continue;
    const method = METHOD.exec(name);
    if (method === null && !ENTRY_POINTS.has(name)) throw new MalformedError(`unknown export '${name}'`);
    if (kind !== 0 || functionType(layout, index) !== '->')
      throw new MalformedError(`export '${name}' is not a function () -> ()`);
    if (method === null) {
      found.set(name, name);
      continue;
    }
    if (names.has(method[2])) throw new MalformedError(`method '${method[2]}' is exported twice`);
    names.add(method[2]);
    nameBytes += Buffer.byteLength(method[2]);
    found.set(`${method[1]} ${method[2]}`, name);
  }
  if (names.size > MAX_METHODS) throw new MalformedError(`more than ${MAX_METHODS} methods`);
  if (nameBytes > MAX_METHOD_NAME_BYTES)
    throw new MalformedError(`method names longer than ${MAX_METHOD_NAME_BYTES} bytes together`);
  return found;
}

/** Custom sections "icp:public NAME" and "icp:private NAME" (IC interface spec, "Canister metadata"). */
function readMetadata(layout) {
  const metadata = new Map();
  let metadataBytes = 0;
  for (const { name, content } of layout.custom) {
    const match = /^icp:(public|private) ([^]+)$/.exec(name);
    if (match === null) continue;
    if (metadata.has(match[2])) throw new MalformedError(`metadata '${match[2]}' appears twice`);
    metadata.set(match[2], { visibility: match[1], content: Uint8Array.from(content) });
    metadataBytes += name.length + content.length;
  }
  if (metadata.size > MAX_METADATA) throw new MalformedError(`more than ${MAX_METADATA} metadata sections`);
  if (metadataBytes > MAX_METADATA_BYTES) throw new MalformedError(`metadata larger than ${MAX_METADATA_BYTES} bytes`);
  return metadata;
}

/** Gives everything a message can change a private export name. */
function expose(layout) {
  const exports = [];
  const globals = [];
  if (layout.memories.length === 1) exports.push({ name: MEMORY, kind: 2, index: 0 });
  if (layout.start !== undefined) {
    if (functionType(layout, layout.start) !== '->') throw new MalformedError('the start function is not () -> ()');
    exports.push({ name: START, kind: 0, index: layout.start });
  }
  layout.globals.forEach(({ type, mutable }, index) => {
    if (!mutable) return;
    if (!['i32', 'i64', 'f32', 'f64'].includes(type))
      throw new MalformedError(`mutable globals of type ${type} are not supported`);
    globals.push({ name: `${PRIVATE}global ${index}`, type });
    exports.push({ name: globals.at(-1).name, kind: 3, index });
  });
  const tables = layout.tables.map((_table, index) => `${PRIVATE}table ${index}`);
  tables.forEach((name, index) => exports.push({ name, kind: 1, index }));
  exports.push({ name: FUEL, kind: 3, index: layout.globals.length });
  let callback = null;
  if (layout.tables[0]?.type === 'funcref') {
    callback = [layout.tables[0].pointer, layout.memories[0]?.pointer ?? 'i32'];
    exports.push({ name: CALLBACK, kind: 0, index: layout.imports.length + layout.functions.length });
  }
  return { exports, globals, tables, callback };
}

/**
 * The globals that a snapshot holds, as the execution environment orders them: those the module exports, in the order of
 * its exports, then the other mutable ones. slot: the place among `globals`, null for a constant; vector: a constant's
 * value that JavaScript cannot read. References are left out, they have no form in a snapshot.
 */
function exportedGlobals({ globals, exports }) {
  const isMutable = globals.map(({ mutable }) => mutable);
  const slotOf = (index) => (isMutable[index] ? isMutable.slice(0, index).filter(Boolean).length : null);
  const named = exports.filter(({ kind, index }) => kind === 3 && globals[index] !== undefined);
  const hidden = globals.map((_global, index) => ({ name: null, index })).filter(({ index }) => isMutable[index]);
  const all = [...named, ...hidden.filter(({ index }) => !named.some((other) => other.index === index))];
  return all
    .map(({ name, index }) => ({ name, slot: slotOf(index), type: globals[index].type, vector: globals[index].vector }))
    .filter(({ type }) => !type.endsWith('ref'));
}

const CODE_OF = { i32: 0x7f, i64: 0x7e };

/** The module again: metered, with the additions and the extra exports, without its start and custom sections. */
function assemble(layout, { exports, callback }) {
  const entry = ({ name, kind, index }) => {
    const bytes = Buffer.from(name);
    return Buffer.concat([Buffer.from(uleb(bytes.length)), bytes, Buffer.from([kind, ...uleb(index)])]);
  };
  const sections = new Map(layout.sections);
  const append = (id, items) => sections.set(id, extended(sections.get(id), items));
  sections.delete(SECTION.start);
  append(SECTION.export, exports.map(entry));
  append(SECTION.global, [[CODE_OF.i64, 1, 0x42, 0, 0x0b]]);
  const code = meteredCode(layout);
  if (callback !== null) {
    const [index, environment] = callback.map((type) => CODE_OF[type]);
    append(SECTION.type, [[0x60, 2, index, environment, 0], [0x60, 1, environment, 0]]);
    append(SECTION.function, [uleb(layout.types.length)]);
    // local.get 1, local.get 0, call_indirect: the second type, table 0
    const body = [0, 0x20, 1, 0x20, 0, 0x11, ...uleb(layout.types.length + 1), 0, 0x0b];
    code.push(Buffer.from([...uleb(body.length), ...body]));
  }
  if (code.length > 0) sections.set(SECTION.code, Buffer.concat([Buffer.from(uleb(code.length)), ...code]));
  const parts = [Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0)];
  for (const id of ORDER) {
    const content = sections.get(id);
    if (content !== undefined) parts.push(Uint8Array.of(id, ...uleb(content.length)), content);
  }
  return Buffer.concat(parts);
}

/** A section's vector with more items at its end. */
function extended(content, items) {
  const cursor = new Cursor(content ?? Uint8Array.of(0));
  const count = cursor.u32() + items.length;
  const rest = (content ?? Uint8Array.of(0)).subarray(cursor.at);
  return Buffer.concat([Buffer.from(uleb(count)), rest, ...items.map((item) => Buffer.from(item))]);
}

function meteredCode(layout) {
  const content = layout.sections.get(SECTION.code);
  if (content === undefined) return [];
  return meter(content, {
    params: layout.functions.map((type) => parameterCount(layout.types[type])),
    fuel: layout.globals.length,
    memory64: layout.memories[0]?.pointer === 'i64',
    tables64: layout.tables.map(({ pointer }) => pointer === 'i64'),
  });
}

function parameterCount(type) {
  if (type === undefined) throw new MalformedError('no such function type');
  return type.split('->')[0].trim().split(' ').filter(Boolean).length;
}

/**
 * Whether the code may contain data.drop (fc 09) or elem.drop (fc 0d). Looks for the bytes alone: a chance hit
 * in other code only makes the engine more careful than it need be.
 */
function mayDropSegments(layout) {
  const code = Buffer.from(layout.sections.get(SECTION.code) ?? []);
  return code.includes(Uint8Array.of(0xfc, 0x09)) || code.includes(Uint8Array.of(0xfc, 0x0d));
}
