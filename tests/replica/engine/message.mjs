// One message being executed: what it was given, what it answers, and the journal of what it changes besides the
// heap and stable memory. The ic0 functions work on the current message.

import { contractViolation, trapped } from './reject.mjs';

/** IC interface spec, "Resource limits": replicated replies 2 MiB, replies of plain queries 3 MiB. */
const REPLY_LIMIT = 2 * 2 ** 20;
const QUERY_REPLY_LIMIT = 3 * 2 ** 20;

/** IC interface spec, "Principals". */
export const MAX_PRINCIPAL_BYTES = 29;

/**
 * Execution contexts, named as in the IC interface spec, "Overview of imports":
 * S start, I init, G pre-upgrade, U update, RQ query executed as update, NRQ query, CQ composite query.
 * The contexts of later work (Ry, Rt, C, CRy, CRt, CC, T, TQ, F) appear in the table of ic0.mjs already.
 */
export const MODE_NAMES = {
  S: 'start',
  I: 'init',
  G: 'pre-upgrade',
  U: 'update',
  RQ: 'replicated query',
  NRQ: 'non replicated query',
  CQ: 'composite query',
};

export class Message {
  #dataCertificate; // undefined until asked for

  /**
   * @param {object} given
   * @param {string} given.mode
   * @param {Uint8Array} given.arg
   * @param {Uint8Array} given.caller
   * @param {object} given.env     what the network tells the canister
   * @param {Uint8Array} given.self  the canister's id
   * @param {import('./stable.mjs').StableMemory} given.stable
   * @param {import('./machine.mjs').Machine} given.machine
   * @param {{version: bigint, certifiedData: Uint8Array, globalTimer: bigint}} given.system  as committed
   * @param {ReplyBuffer} given.reply
   */
  constructor({ mode, arg, caller, env, self, stable, machine, system, reply }) {
    Object.assign(this, { mode, arg, caller, env, self, stable, machine, reply });
    this.system = { ...system };
    this.replicated = mode !== 'NRQ' && mode !== 'CQ';
    this.response = null; // 'reply', or { reject: text }
    this.fault = null; // sticky: code that catches exceptions cannot outlive its trap
    this.time = env.time();
    this.startedNs = process.hrtime.bigint();
    reply.clear();
  }

  /** Asked for once, so that its size and its bytes belong together. */
  get dataCertificate() {
    if (this.#dataCertificate === undefined) this.#dataCertificate = this.env.dataCertificate();
    return this.#dataCertificate;
  }

  get replyLimit() {
    return this.replicated ? REPLY_LIMIT : QUERY_REPLY_LIMIT;
  }

  /** A view of the canister's heap, valid until Wasm code runs again. */
  view(at, length) {
    const heap = this.machine.heap;
    if (at + length > heap.length) throw trapped('heap out of bounds');
    return heap.subarray(at, at + length);
  }

  /** Copies source[offset, offset + length) to the heap. name: the function, for the error text. */
  copyOut(name, source, dst, offset, length) {
    const target = this.view(dst, length);
    if (offset + length > source.length) {
      throw contractViolation(`ic0.${name}: offset=${offset} + size=${length} exceeds the length ${source.length}`);
    }
    target.set(source.subarray(offset, offset + length));
  }

  /** Text from the heap; what is not UTF-8 is replaced. */
  text(src, length) {
    return Buffer.from(this.view(src, length)).toString('utf8');
  }

  assertOpen(name) {
    if (this.response !== null) throw contractViolation(`ic0.${name}: the call has already been answered`);
  }

  appendReply(src, length) {
    const bytes = this.view(src, length);
    this.assertOpen('msg_reply_data_append');
    this.assertPayload('msg_reply_data_append', this.reply.length + length);
    this.reply.append(bytes);
  }

  assertPayload(name, size) {
    if (size > this.replyLimit) {
      throw contractViolation(
        `ic0.${name}: application payload size (${size}) cannot be larger than ${this.replyLimit}.`,
      );
    }
  }
}

/** The bytes of a reply under construction; kept from message to message to save allocations. */
export class ReplyBuffer {
  #bytes = new Uint8Array(4096);
  length = 0;

  clear() {
    this.length = 0;
  }

  append(bytes) {
    const size = this.length + bytes.length;
    if (size > this.#bytes.length) {
      const larger = new Uint8Array(Math.min(Math.max(size, 2 * this.#bytes.length), QUERY_REPLY_LIMIT));
      larger.set(this.#bytes.subarray(0, this.length));
      this.#bytes = larger;
    }
    this.#bytes.set(bytes, this.length);
    this.length = size;
  }

  /** Borrowed: valid until the next message. */
  view() {
    return this.#bytes.subarray(0, this.length);
  }
}
