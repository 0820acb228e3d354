// A canister's state on disk, for a network that is stopped and started again. In the canister's directory:
//
//   state.json        versions, timer, globals, sizes, which stable pages exist; names the generation
//   module.GEN        the module as it was given
//   heap.GEN          the heap image
//   stable.GEN        the stable pages that exist, one after the other in page order
//
// state.json is replaced last, by rename, so that a crash leaves the former generation whole.

import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { PAGE } from './stable.mjs';

const FORMAT = 2;
const STATE = 'state.json';
const PARTS = /^(module|heap|stable)\.\d+$/;

/**
 * @param {string} dir  the canister's own directory, made when absent
 * @param {object} state
 * @param {object} state.system  version, certifiedData, globalTimer, memoryHook
 * @param {object} [state.module]  absent: no code. Then image (heap, globals) and stable count too
 */
export function writeState(dir, { system, module, image, stable }) {
  mkdirSync(dir, { recursive: true });
  const generation = (readHeader(dir)?.generation ?? 0) + 1;
  const part = (name) => join(dir, `${name}.${generation}`);
  const header = {
    format: FORMAT,
    generation,
    version: String(system.version),
    globalTimer: String(system.globalTimer),
    memoryHook: system.memoryHook,
    certifiedData: Buffer.from(system.certifiedData).toString('hex'),
    code: null,
  };
  if (module !== undefined) {
    writeFileSync(part('module'), module.bytes);
    writeFileSync(part('heap'), image.heap);
    header.code = {
      globals: module.globals.map(({ type }, i) => ({ type, bits: toBits(type, image.globals[i]) })),
      stablePages: stable.pages,
      stableRuns: writePages(part('stable'), stable.entries()),
    };
  }
  writeFileSync(join(dir, `${STATE}.new`), JSON.stringify(header, null, 1));
  renameSync(join(dir, `${STATE}.new`), join(dir, STATE));
  for (const name of readdirSync(dir)) {
    if (PARTS.test(name) && !name.endsWith(`.${generation}`)) rmSync(join(dir, name));
  }
}

/** @returns {{system: object, code: null | {module, image, stable: {pages, entries}}}} */
export function readState(dir) {
  const header = readHeader(dir);
  if (header?.format !== FORMAT) throw new Error(`${dir}: no canister state of format ${FORMAT}`);
  const part = (name) => join(dir, `${name}.${header.generation}`);
  const system = {
    version: BigInt(header.version),
    globalTimer: BigInt(header.globalTimer),
    memoryHook: header.memoryHook,
    certifiedData: new Uint8Array(Buffer.from(header.certifiedData, 'hex')),
  };
  if (header.code === null) return { system, code: null };
  const { globals, stablePages, stableRuns } = header.code;
  const image = {
    heap: new Uint8Array(readFileSync(part('heap'))),
    globals: globals.map(({ type, bits }) => fromBits(type, bits)),
  };
  const stable = { pages: stablePages, entries: readPages(part('stable'), stableRuns) };
  return { system, code: { module: new Uint8Array(readFileSync(part('module'))), image, stable } };
}

function readHeader(dir) {
  try {
    return JSON.parse(readFileSync(join(dir, STATE), 'utf8'));
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Writes the pages to a file of their own and returns their numbers as runs [first, count]. */
export function writePages(path, pages) {
  const runs = [];
  const file = openSync(path, 'w');
  try {
    for (const [number, bytes] of pages) {
      for (let at = 0; at < PAGE;) at += writeSync(file, bytes, at, PAGE - at);
      const last = runs.at(-1);
      if (last !== undefined && last[0] + last[1] === number) last[1]++;
      else runs.push([number, 1]);
    }
  } finally {
    closeSync(file);
  }
  return runs;
}

export function* readPages(path, runs) {
  const file = openSync(path, 'r');
  try {
    for (const [first, count] of runs) {
      for (let i = 0; i < count; i++) {
        const bytes = new Uint8Array(PAGE);
        for (let at = 0; at < PAGE;) {
          const got = readSync(file, bytes, at, PAGE - at, null);
          if (got === 0) throw new Error(`${path}: too short`);
          at += got;
        }
        yield [first + i, bytes];
      }
    }
  } finally {
    closeSync(file);
  }
}

// Values of globals as hexadecimal bits, exact for every float.

const VIEWS = { i32: ['Int32', 4], i64: ['BigInt64', 8], f32: ['Float32', 4], f64: ['Float64', 8] };

export function toBits(type, value) {
  if (type === 'v128') return value.toString(16);
  const [name, size] = VIEWS[type];
  const view = new DataView(new ArrayBuffer(size));
  view[`set${name}`](0, value);
  return Buffer.from(view.buffer).toString('hex');
}

export function fromBits(type, bits) {
  if (type === 'v128') return BigInt(`0x${bits}`);
  const [name] = VIEWS[type];
  const bytes = Uint8Array.from(Buffer.from(bits, 'hex'));
  return new DataView(bytes.buffer)[`get${name}`](0);
}
