// Instruction counting: a module's code rewritten so that it pays for what it executes from a global, the fuel.
//
// As the execution environment does, straight code pays once, at its start: a segment begins with a function, after
// loop, if, else, end and br_if. Every instruction costs 1; bulk operations on memory and tables cost 1 more for each
// byte or entry. Whether fuel is left is looked at only where code can repeat: at the start of functions and loops, and
// at bulk operations. There it traps (unreachable), and the engine sees the fuel below zero.
//
// Opcodes: WebAssembly core spec, "Binary Format", "Instructions".

import { Cursor, MalformedError, uleb } from './cursor.mjs';

const I32 = 0x7f;
const I64 = 0x7e;

const OP = {
  block: 0x02,
  loop: 0x03,
  if: 0x04,
  else: 0x05,
  end: 0x0b,
  brIf: 0x0d,
  localGet: 0x20,
  localSet: 0x21,
  globalGet: 0x23,
  globalSet: 0x24,
  i64Const: 0x42,
  i64LtS: 0x53,
  i64Sub: 0x7d,
  i64ExtendU: 0xad,
};

/**
 * @param {Uint8Array} content  of the code section
 * @param {object} module
 * @param {number[]} module.params     of each function that has code: how many parameters
 * @param {number} module.fuel         index of the global to pay from, an i64
 * @param {boolean} module.memory64
 * @param {boolean[]} module.tables64  which tables are indexed by i64
 * @returns {Buffer[]} the functions' code, each with its size in front
 * @throws {MalformedError}
 */
export function meter(content, module) {
  const cursor = new Cursor(content);
  const count = cursor.u32();
  if (count !== module.params.length) throw new MalformedError('functions and code differ in number');
  const bodies = [];
  for (let i = 0; i < count; i++) {
    const size = cursor.u32();
    const at = cursor.at;
    cursor.take(size);
    bodies.push(meterFunction(content.subarray(at, at + size), module.params[i], module));
  }
  return bodies;
}

function meterFunction(bytes, params, module) {
  const cursor = new Cursor(bytes);
  const groups = cursor.u32();
  const groupsAt = cursor.at;
  let locals = params;
  for (let i = 0; i < groups; i++) {
    locals += cursor.u32();
    skipValueType(cursor);
  }
  const declared = bytes.subarray(groupsAt, cursor.at);
  const code = new MeteredCode(bytes, cursor, { ...module, scratch: { [I32]: locals, [I64]: locals + 1 } });
  const pieces = code.rewrite();
  const extra = code.usesScratch ? [1, I32, 1, I64] : [];
  const body = Buffer.concat([Buffer.from(uleb(groups + extra.length / 2)), declared, Buffer.from(extra), ...pieces]);
  return Buffer.concat([Buffer.from(uleb(body.length)), body]);
}

class MeteredCode {
  usesScratch = false;
  #bytes;
  #cursor;
  #module;
  #pieces = [];
  #from; // where the running segment's bytes begin
  #segment = []; // what of it is finished: slices, and code put between them
  #cost = 0;
  #mayRepeat = true; // the running segment starts a function or a loop
  #pay;
  #check;

  constructor(bytes, cursor, module) {
    this.#bytes = bytes;
    this.#cursor = cursor;
    this.#module = module;
    this.#from = cursor.at;
    const fuel = uleb(module.fuel);
    this.#pay = (amount) => [OP.globalGet, ...fuel, ...amount, OP.i64Sub, OP.globalSet, ...fuel];
    this.#check = [OP.globalGet, ...fuel, OP.i64Const, 0, OP.i64LtS, OP.if, 0x40, 0x00, OP.end];
  }

  rewrite() {
    const cursor = this.#cursor;
    for (let depth = 1; depth > 0;) {
      const at = cursor.at;
      const opcode = cursor.byte();
      if (opcode === OP.block || opcode === OP.loop || opcode === OP.if) depth++;
      else if (opcode === OP.end) depth--;
      if (opcode === 0xfc) this.#bulk(at);
      else skipImmediates(cursor, opcode);
      this.#cost++;
      if (SPLITS.has(opcode)) this.#endSegment(opcode === OP.loop);
    }
    if (!cursor.done) throw new MalformedError('code after the end of a function');
    return this.#pieces;
  }

  #take(end) {
    this.#segment.push(this.#bytes.subarray(this.#from, end));
    this.#from = end;
  }

  #endSegment(nextMayRepeat) {
    this.#take(this.#cursor.at);
    const cost = [OP.i64Const, ...sleb(this.#cost)];
    this.#pieces.push(Buffer.from([...this.#pay(cost), ...(this.#mayRepeat ? this.#check : [])]), ...this.#segment);
    this.#segment = [];
    this.#cost = 0;
    this.#mayRepeat = nextMayRepeat;
  }

  /** Operations of prefix 0xfc: those whose size is on top of the stack pay for it first. */
  #bulk(at) {
    const cursor = this.#cursor;
    const operation = cursor.u32();
    const { memory64, tables64 } = this.#module;
    let is64 = null; // the type of the size, when there is one
    if (operation > 17) throw new MalformedError(`operation 0xfc ${operation} is not supported`);
    const indices = [0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 2, 1, 2, 1, 2, 1, 1, 1][operation];
    const [first, second] = Array.from({ length: indices }, () => cursor.u32());
    if (operation === 8 || operation === 12) is64 = false;
    else if (operation === 10 || operation === 11) is64 = memory64;
    else if (operation === 14) is64 = Boolean(tables64[first] && tables64[second]);
    else if (operation === 15 || operation === 17) is64 = Boolean(tables64[first]);
    if (is64 !== null) this.#payForSize(at, is64 ? I64 : I32);
  }

  #payForSize(at, type) {
    const local = uleb(this.#module.scratch[type]);
    const amount = [OP.localGet, ...local, ...(type === I32 ? [OP.i64ExtendU] : [])];
    this.usesScratch = true;
    this.#take(at);
    this.#segment.push(
      Buffer.from([OP.localSet, ...local, ...this.#pay(amount), ...this.#check, OP.localGet, ...local]),
    );
  }
}

const SPLITS = new Set([OP.loop, OP.if, OP.else, OP.end, OP.brIf]);

function skipValueType(cursor) {
  cursor.byte();
}

/** Signed LEB128 of a number that is not negative. */
function sleb(value) {
  const bytes = uleb(value);
  if ((bytes.at(-1) & 0x40) !== 0) bytes.push(bytes.pop() | 0x80, 0);
  return bytes;
}

const memoryArgument = (c) => {
  if (c.u32() >= 0x40) throw new MalformedError('more than one memory');
  c.u64();
};
const index = (c) => c.u32();
const twoIndices = (c) => (c.u32(), c.u32());
const number = (c) => c.skipLeb(10);

/** Immediates of the opcodes that have any. */
const IMMEDIATES = new Map([
  ...[OP.block, OP.loop, OP.if].map((opcode) => [opcode, number]), // a type, or an index as a signed number
  ...[0x0c, OP.brIf, 0x10, 0x12].map((opcode) => [opcode, index]), // br, br_if, call, return_call
  [0x0e, (c) => (c.vector(() => c.u32()), c.u32())], // br_table
  ...[0x11, 0x13].map((opcode) => [opcode, twoIndices]), // call_indirect, return_call_indirect
  [0x1c, (c) => c.vector(() => skipValueType(c))], // select with types
  ...range(0x20, 0x26).map((opcode) => [opcode, index]), // variables, tables
  ...range(0x28, 0x3e).map((opcode) => [opcode, memoryArgument]),
  ...[0x3f, 0x40].map((opcode) => [opcode, index]), // memory.size, memory.grow
  ...[0x41, OP.i64Const].map((opcode) => [opcode, number]),
  [0x43, (c) => c.take(4)],
  [0x44, (c) => c.take(8)],
  [0xd0, number], // ref.null
  [0xd2, index], // ref.func
  [0xfd, skipVectorImmediates],
]);
const WITHOUT = new Set([0x00, 0x01, OP.else, OP.end, 0x0f, 0x1a, 0x1b, ...range(0x45, 0xc4), 0xd1]);

function skipImmediates(cursor, opcode) {
  const skip = IMMEDIATES.get(opcode);
  if (skip !== undefined) skip(cursor);
  else if (!WITHOUT.has(opcode)) throw new MalformedError(`opcode 0x${opcode.toString(16)} is not supported`);
}

/** Operations of prefix 0xfd, on 128-bit vectors. */
function skipVectorImmediates(c) {
  const operation = c.u32();
  if (operation > 0xff) throw new MalformedError(`operation 0xfd ${operation} is not supported`);
  if (operation <= 11 || operation === 92 || operation === 93) memoryArgument(c);
  else if (operation === 12 || operation === 13) c.take(16);
  else if (operation >= 21 && operation <= 34) c.take(1);
  else if (operation >= 84 && operation <= 91) {
    memoryArgument(c);
    c.take(1);
  }
}

function range(first, last) {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}
