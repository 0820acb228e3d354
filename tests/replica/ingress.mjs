// Ingress messages by request id: what became of each update call, for as long as the network remembers.
// A message that waits for its block is known here, and not in the state. When the replies kept become too many bytes, the
// oldest are dropped and their status is `done`.
// Rules: IC interface spec, "Request status" and "Synchronous/asynchronous call".

import { RejectError } from './engine/reject.mjs';
import { leb128 } from './hash.mjs';
import { equal, hexOf } from './principal.mjs';
import { leaf, level } from './tree.mjs';

/** An outcome is kept this long, and at least until the request expires. */
const KEEP_NS = 300_000_000_000n;

class Ingress {
  /** @param {object} given { requestId, sender, canisterId, effectiveId, expiry, done } */
  constructor(given) {
    Object.assign(this, given);
    this.status = null; // until a block holds it: the state does not know it yet
    this.outcome = null; // { reply } or { error: RejectError }; {} when the reply was dropped
    this.waiting = false; // a synchronous call waits for the outcome
    this.forgetAt = null;
    this.subtree = null;
  }

  get tree() {
    this.subtree ??= level([['status', leaf(this.status)], ...this.#details()]);
    return this.subtree;
  }

  #details() {
    if (this.outcome === null || this.status === 'done') return [];
    if (this.outcome.reply !== undefined) return [['reply', leaf(this.outcome.reply)]];
    const { rejectCode, errorCode, message } = this.outcome.error;
    return [
      ['reject_code', leaf(leb128(rejectCode))],
      ['reject_message', leaf(message)],
      ['error_code', leaf(errorCode)],
    ];
  }
}

export class IngressHistory {
  #entries = new Map();
  #replied = new Set(); // those with a reply, in the order of their replies
  #bytes = 0; // of these replies
  #now;
  #changed;
  #options;

  /** @param {object} given { now(): bigint, changed(): what the state tree says is different, options: historyBytes } */
  constructor({ now, changed, options }) {
    this.#now = now;
    this.#changed = changed;
    this.#options = options;
  }

  find(requestId) {
    return this.#entries.get(hexOf(requestId)) ?? null;
  }

  /**
   * Takes a message in and has it executed.
   * @param {object} message { requestId, sender, canisterId, effectiveId, expiry }
   * @param {(steps: object) => Promise<Uint8Array>} execute  calls steps.include() when the message is in a block, and
   *        stops when that says false; calls steps.begin() when it starts; rejects with RejectError
   */
  submit(message, execute) {
    this.#forget();
    const entry = new Ingress(message);
    this.#entries.set(hexOf(message.requestId), entry);
    const steps = { include: () => this.#include(entry), begin: () => this.#begin(entry) };
    entry.done = execute(steps).then(
      (reply) => entry.status !== null && this.#set(entry, 'replied', { reply }),
      (error) => this.#set(entry, 'rejected', { error: asReject(error) }),
    );
    return entry;
  }

  /** No block takes an expired message: it was never there. */
  #include(entry) {
    if (this.#now() > entry.expiry) {
      this.#entries.delete(hexOf(entry.requestId));
      return false;
    }
    this.#set(entry, 'received', null);
    return true;
  }

  /** "A call not started by then never starts" (IC interface spec, ingress_expiry). */
  #begin(entry) {
    if (this.#now() > entry.expiry) {
      const text = `Ingress message ${hexOf(entry.requestId)} timed out waiting to start executing.`;
      throw new RejectError(2, 'IC0202', text);
    }
    this.#set(entry, 'processing', null);
  }

  /**
   * The subtree `request_status`.
   * @param {object|null} [wrong] { requestId, subtree } what a fault says of one request instead; null: nothing
   */
  tree(wrong = null) {
    this.#forget();
    const known = [...this.#entries.values()].filter(({ status }) => status !== null);
    const isWrong = ({ requestId }) => wrong !== null && equal(requestId, wrong.requestId);
    const levels = known.map((entry) => [entry.requestId, isWrong(entry) ? wrong.subtree : entry.tree]);
    return level(levels.filter(([, subtree]) => subtree !== null));
  }

  #set(entry, status, outcome) {
    Object.assign(entry, { status, outcome, subtree: null });
    if (outcome !== null) {
      const kept = this.#now() + KEEP_NS;
      entry.forgetAt = entry.expiry > kept ? entry.expiry : kept;
    }
    if (status === 'replied') this.#keepReply(entry);
    this.#changed();
  }

  #keepReply(entry) {
    this.#replied.add(entry);
    this.#bytes += entry.outcome.reply.length;
    for (const oldest of this.#replied) {
      if (this.#bytes <= this.#options.historyBytes || oldest === entry) return;
      this.#dropReply(oldest);
      Object.assign(oldest, { status: 'done', outcome: {}, subtree: null });
    }
  }

  #dropReply(entry) {
    if (this.#replied.delete(entry)) this.#bytes -= entry.outcome.reply.length;
  }

  #forget() {
    const now = this.#now();
    for (const [key, entry] of this.#entries) {
      if (entry.forgetAt === null || entry.forgetAt >= now) continue;
      this.#entries.delete(key);
      this.#dropReply(entry);
    }
  }
}

/** A bug of this network must not look like the canister's: it says so, and the stack goes to stderr. */
function asReject(error) {
  if (error instanceof RejectError) return error;
  console.error(error);
  return new RejectError(5, 'IC0503', `local network: internal error: ${error.message}`);
}
