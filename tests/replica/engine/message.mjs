// One message being executed: what it was given, what it answers, the calls it makes, and the journal of what it
// changes besides the heap and stable memory. The ic0 functions work on the current message.

import { CanisterFault, contractViolation, outOfInstructions, trapped } from './reject.mjs';

/** IC interface spec, "Resource limits": replicated replies 2 MiB, replies of plain queries 3 MiB. */
const REPLY_LIMIT = 2 * 2 ** 20;
const QUERY_REPLY_LIMIT = 3 * 2 ** 20;
/** A call within a subnet. */
const CALL_LIMIT = 10 * 2 ** 20;
const MAX_METHOD_NAME = 20_000;
/** A best-effort call waits at most this long. */
const MAX_TIMEOUT_S = 300;

/** IC interface spec, "Principals". */
export const MAX_PRINCIPAL_BYTES = 29;

/** What a System API call costs besides its bytes, each of which costs 1. A round figure. */
const HOST_CALL = 20;

/**
 * Execution contexts, named as in the IC interface spec, "Overview of imports": S start, I init and post-upgrade,
 * G pre-upgrade, U update, RQ query executed as update, NRQ query, CQ composite query, Ry, Rt and C callbacks on reply,
 * reject and cleanup, CRy, CRt and CC those of composite queries, T system task, F inspect_message.
 */
export const MODE_NAMES = {
  S: 'start',
  I: 'init',
  G: 'pre-upgrade',
  U: 'update',
  RQ: 'replicated query',
  NRQ: 'non replicated query',
  CQ: 'composite query',
  Ry: 'reply callback',
  Rt: 'reject callback',
  C: 'cleanup',
  CRy: 'composite reply callback',
  CRt: 'composite reject callback',
  CC: 'composite cleanup',
  T: 'system task',
  F: 'inspect message',
};

const NOT_REPLICATED = new Set(['NRQ', 'CQ', 'CRy', 'CRt', 'CC', 'F']);

/** A call that waits for nothing and carries nothing: what a message without a call context belongs to. */
const NO_CALL = Object.freeze({ answered: false, available: 0n, deadline: 0n, instructions: 0 });

export class Message {
  #dataCertificate; // undefined until asked for
  #spent = 0n; // cycles burnt, and given to calls
  #hostInstructions = 0;
  #next = null; // the call between call_new and call_perform

  /**
   * @param {object} given
   * @param {string} given.mode
   * @param {Uint8Array} given.arg
   * @param {Uint8Array} given.caller
   * @param {object} given.env     what the network tells the canister
   * @param {Uint8Array} given.self  the canister's id
   * @param {import('./stable.mjs').StableMemory} given.stable
   * @param {import('./machine.mjs').Machine} given.machine
   * @param {object} given.system  version, certifiedData, globalTimer, as committed
   * @param {ReplyBuffer} given.reply
   * @param {number} given.limit  of instructions
   * @param {object} [given.call]  the call it belongs to, as before this message: whether it is answered, cycles still
   *        available, deadline, instructions of earlier messages
   * @param {object} [given.rejection]  { code, message } what a reject callback is told
   * @param {bigint} [given.refunded]  cycles that came back with a response
   * @param {string} [given.method]    what inspect_message is asked about
   */
  constructor({ mode, arg, caller, env, self, stable, machine, system, reply, limit, call, rejection, refunded, method }) {
    Object.assign(this, { mode, arg, caller, env, self, stable, machine, reply, limit, call: call ?? NO_CALL });
    this.rejection = rejection ?? { code: 0, message: '' };
    this.refunded = refunded ?? 0n;
    this.method = method ?? '';
    this.system = { ...system };
    this.replicated = !NOT_REPLICATED.has(mode);
    this.accepted = 0n; // cycles
    this.isAccepted = false; // by inspect_message
    this.calls = [];
    this.response = null; // 'reply', or { reject: text }
    this.fault = null; // sticky: code that catches exceptions cannot outlive its trap
    this.time = env.time();
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

  // --- instructions ---

  /** What this message has executed so far. */
  get instructions() {
    return this.limit - this.machine.fuel + this.#hostInstructions;
  }

  /** Pays for a System API call that moves some bytes. */
  charge(bytes) {
    this.#hostInstructions += HOST_CALL + bytes;
    if (this.#hostInstructions > this.limit) throw outOfInstructions();
  }

  // --- cycles ---

  get balance() {
    return this.env.cycles() + this.cyclesGained;
  }

  /** How the balance differs from the one before this message. */
  get cyclesGained() {
    return this.accepted - this.#spent;
  }

  /** @returns {bigint} what is left to accept */
  get available() {
    return this.call.answered || this.response !== null ? 0n : this.call.available - this.accepted;
  }

  /** Takes at most so many of the cycles that came with the call. */
  acceptCycles(most) {
    const taken = most < this.available ? most : this.available;
    this.accepted += taken;
    return taken;
  }

  burnCycles(most) {
    const burnt = most < this.balance ? most : this.balance;
    this.#spent += burnt;
    return burnt;
  }

  // --- heap ---

  /** A view of the canister's heap, valid until Wasm code runs again. */
  view(at, length) {
    const heap = this.machine.heap;
    if (at + length > heap.length) throw trapped('heap out of bounds');
    this.charge(length);
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

  // --- the answer ---

  assertOpen(name) {
    if (this.response !== null || this.call.answered) {
      throw contractViolation(`ic0.${name}: the call has already been answered`);
    }
  }

  appendReply(src, length) {
    const bytes = this.view(src, length);
    this.assertOpen('msg_reply_data_append');
    this.#assertPayload('msg_reply_data_append', this.reply.length + length, this.replyLimit);
    this.reply.append(bytes);
  }

  reject(src, length) {
    const text = this.text(src, length);
    this.assertOpen('msg_reject');
    this.#assertPayload('msg_reject', length, this.replyLimit);
    this.response = { reject: text };
  }

  #assertPayload(name, size, limit) {
    if (size > limit) {
      throw contractViolation(`ic0.${name}: application payload size (${size}) cannot be larger than ${limit}.`);
    }
  }

  // --- calls ---

  /** Begins a call; one that was begun and not performed is forgotten, and its cycles come back. */
  newCall(callee, name, onReply, onReject) {
    this.#forgetCall();
    if (callee[1] > MAX_PRINCIPAL_BYTES) throw trapped(`ic0.call_new: a principal of ${callee[1]} bytes`);
    if (name[1] > MAX_METHOD_NAME) throw contractViolation(`ic0.call_new: a method name of ${name[1]} bytes`);
    this.#next = {
      callee: this.view(...callee).slice(),
      method: this.text(...name),
      arg: [],
      argLength: 0,
      cycles: 0n,
      timeoutS: null, // of a best-effort call
      onReply,
      onReject,
      onCleanup: null,
    };
  }

  #forgetCall() {
    this.#spent -= this.#next?.cycles ?? 0n;
    this.#next = null;
  }

  #current(name) {
    if (this.#next === null) throw contractViolation(`ic0.${name} called when no call is under construction.`);
    return this.#next;
  }

  onCleanup(fun, environment) {
    const call = this.#current('call_on_cleanup');
    if (call.onCleanup !== null) throw contractViolation('ic0.call_on_cleanup can be called at most once');
    call.onCleanup = { fun, environment };
  }

  appendCallData(src, length) {
    const call = this.#current('call_data_append');
    this.#assertPayload('call_data_append', call.argLength + length, CALL_LIMIT);
    call.arg.push(this.view(src, length).slice());
    call.argLength += length;
  }

  addCycles(amount) {
    const call = this.#current('call_cycles_add');
    if (amount > this.balance) {
      throw new CanisterFault('IC0520', `Canister cannot attach ${amount} cycles to a call: it has ${this.balance}`);
    }
    call.cycles += amount;
    this.#spent += amount;
  }

  waitAtMost(seconds) {
    const call = this.#current('call_with_best_effort_response');
    if (call.timeoutS !== null) throw contractViolation('ic0.call_with_best_effort_response was already called');
    call.timeoutS = Math.min(seconds, MAX_TIMEOUT_S);
  }

  performCall() {
    const { arg, ...call } = this.#current('call_perform');
    this.calls.push({ ...call, arg: Buffer.concat(arg) });
    this.#next = null;
  }

  /** At the message's end. */
  finish() {
    this.#forgetCall();
    if (this.instructions > this.limit) throw outOfInstructions();
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
