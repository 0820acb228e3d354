// A few lines of assembler for modules that no compiler would write (WebAssembly core spec, "Binary Format").

import { uleb } from '../engine/cursor.mjs';

const TYPE = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b, funcref: 0x70 };
const KIND = { function: 0, table: 1, memory: 2, global: 3 };

export const string = (text) => [...uleb(Buffer.byteLength(text)), ...Buffer.from(text)];
export const vector = (items) => [...uleb(items.length), ...items.flat()];
export const section = (id, body) => [id, ...uleb(body.length), ...body];
export const HEADER = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];

/** Signed LEB128 of a small number, as in i32.const. */
export function sleb(value) {
  const bytes = [];
  for (;;) {
    const group = value & 0x7f;
    value >>= 7;
    if ((value === 0 && (group & 0x40) === 0) || (value === -1 && (group & 0x40) !== 0)) return [...bytes, group];
    bytes.push(group | 0x80);
  }
}

/**
 * @param {object} parts
 * @param {Array<[string, string[], string[]]>} [parts.imports]  ic0 functions: name, parameters, results
 * @param {Array<{code: number[], params?: string[], results?: string[], export?: string}>} [parts.functions]
 *        code without the final end; () -> () unless said
 * @param {number[][]} [parts.tables]    raw
 * @param {number[][]} [parts.memories]  raw limits
 * @param {Array<[string, number[]]>} [parts.globals]  mutable: type, initial value's code
 * @param {Array<[string, number[]]>} [parts.constants]  immutable globals, after the mutable ones
 * @param {Array<[string, number]>} [parts.exportedGlobals]  name and index
 * @param {number} [parts.start]
 * @param {number[][]} [parts.elements]  raw
 * @param {number[][]} [parts.data]      raw
 * @param {Array<[string, string]>} [parts.custom]
 */
export function assemble({
  imports = [],
  functions = [],
  tables = [],
  memories = [],
  globals = [],
  constants = [],
  exportedGlobals = [],
  start,
  elements = [],
  data = [],
  custom = [],
}) {
  const types = (names) => vector(names.map((name) => [TYPE[name]]));
  const signature = (params, results) => [0x60, ...types(params), ...types(results)];
  const global = (isMutable) => ([type, code]) => [TYPE[type], isMutable, ...code, 0x0b];
  const exportedFunctions = functions.flatMap((f, i) =>
    f.export === undefined ? [] : [[...string(f.export), KIND.function, ...uleb(imports.length + i)]],
  );
  const exported = [
    ...exportedFunctions,
    ...exportedGlobals.map(([name, index]) => [...string(name), KIND.global, ...uleb(index)]),
  ];
  return Uint8Array.from([
    ...HEADER,
    ...section(
      1,
      vector([
        ...imports.map(([, params, results]) => signature(params, results)),
        ...functions.map(({ params = [], results = [] }) => signature(params, results)),
      ]),
    ),
    ...section(2, vector(imports.map(([name], i) => [...string('ic0'), ...string(name), KIND.function, ...uleb(i)]))),
    ...section(3, vector(functions.map((_, i) => uleb(imports.length + i)))),
    ...section(4, vector(tables)),
    ...section(5, vector(memories)),
    ...section(6, vector([...globals.map(global(1)), ...constants.map(global(0))])),
    ...(exported.length > 0 ? section(7, vector(exported)) : []),
    ...(start === undefined ? [] : section(8, uleb(start))),
    ...section(9, vector(elements)),
    ...(data.length > 0 ? section(12, uleb(data.length)) : []),
    ...section(10, vector(functions.map(({ code }) => vector([0, ...code, 0x0b].map((byte) => [byte]))))),
    ...section(11, vector(data)),
    ...custom.flatMap(([name, content]) => section(0, [...string(name), ...Buffer.from(content)])),
  ]);
}

// Code. Imports come first in the function index space.
export const i32 = (n) => [0x41, ...sleb(n)];
export const i64 = (n) => [0x42, ...sleb(n)];
export const callFunction = (index) => [0x10, ...uleb(index)];
export const globalGet = (index) => [0x23, ...uleb(index)];
export const globalSet = (index) => [0x24, ...uleb(index)];
export const store32 = [0x36, 2, 0];
export const store64 = [0x37, 3, 0];
export const load32 = [0x28, 2, 0];
export const UNREACHABLE = [0x00];
export const DROP = [0x1a];
