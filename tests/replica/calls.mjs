// The calls a canister is answering: each one goes on, message by message, until it is answered and nothing it called
// is still to come back. Rules: IC interface spec, "Call contexts" and "Callbacks".

import { didNotReply, faultToReject, RejectError } from './engine/reject.mjs';

/**
 * One call: what the engine is told of it (answered, available, deadline, instructions), and who waits for its answer.
 * An answer is { reply: Uint8Array, refund } or { error: RejectError, refund }.
 */
class CallContext {
  #resolve;

  constructor({ caller, cycles = 0n, deadline = 0n }, resolve) {
    this.caller = caller;
    this.available = cycles;
    this.deadline = deadline;
    this.instructions = 0;
    this.answered = false;
    this.outstanding = 0; // calls made for it that have not come back
    this.isAbandoned = false;
    this.#resolve = resolve;
  }

  /** What was not accepted goes back with the answer. */
  answer(response) {
    this.answered = true;
    this.#resolve({ ...response, refund: this.available });
    this.available = 0n;
  }
}

export class Calls {
  #canister;
  #deliver;
  #open = new Set();
  #waiting = []; // for idleness

  /**
   * @param {object} canister  id, engine, cycles, executed()
   * @param {(call: object) => Promise<object>} deliver  brings a call to its callee, and the answer back
   */
  constructor(canister, deliver) {
    this.#canister = canister;
    this.#deliver = deliver;
  }

  /** Resolves when no call is open. */
  whenIdle() {
    if (this.#open.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /**
   * Takes a call.
   * @param {object} facts  caller, cycles, deadline
   * @param {(call: CallContext) => object} execute  its first message: the engine's outcome
   * @returns {Promise<object>} the answer
   */
  take(facts, execute) {
    return new Promise((resolve) => {
      const context = new CallContext(facts, resolve);
      this.#open.add(context);
      this.#run(context, execute);
    });
  }

  /** Nobody is left to answer: all callers are told so, and what still comes back is dropped. */
  abandon() {
    const error = new RejectError(4, 'IC0406', 'Canister has been uninstalled.');
    for (const context of this.#open) {
      if (!context.answered) context.answer({ error });
      context.isAbandoned = true;
    }
    this.#open.clear();
    this.#becomeIdle();
  }

  #run(context, execute, cleanup = null) {
    try {
      this.#settle(context, execute(context));
      this.#end(context, () => faultToReject(didNotReply(), this.#canister.id));
    } catch (error) {
      if (cleanup !== null) this.#cleanUp(context, cleanup);
      this.#end(context, () => error);
    } finally {
      this.#canister.executed();
    }
  }

  #settle(context, { response, calls, accepted, gained, instructions }) {
    context.instructions += instructions;
    context.available -= accepted;
    this.#canister.cycles += gained;
    if (response?.reply) context.answer({ reply: new Uint8Array(response.reply) });
    else if (response !== null) context.answer(response);
    for (const call of calls) void this.#send(context, call);
  }

  /** A callback trapped: its changes are gone, cleanup's are kept. When it traps too, that is all. */
  #cleanUp(context, callback) {
    try {
      const given = { kind: 'cleanup', callback, caller: context.caller, call: context };
      this.#settle(context, this.#canister.engine.resume(given));
    } catch (error) {
      if (!(error instanceof RejectError)) throw error;
    }
  }

  #end(context, failure) {
    if (context.outstanding > 0) return;
    if (!context.answered) context.answer({ error: failure() });
    this.#open.delete(context);
    if (this.#open.size === 0) this.#becomeIdle();
  }

  #becomeIdle() {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  async #send(context, { onReply, onReject, onCleanup, ...call }) {
    context.outstanding++;
    const answer = await this.#deliver({ ...call, caller: this.#canister.id });
    context.outstanding--;
    this.#canister.cycles += answer.refund;
    if (context.isAbandoned) return;
    const given = { caller: context.caller, call: context, refunded: answer.refund, ...callbackOf(answer, onReply, onReject) };
    this.#run(context, () => this.#canister.engine.resume(given), onCleanup);
  }
}

/** Which callback an answer goes to, and what it is told. */
export function callbackOf({ reply, error }, onReply, onReject) {
  if (error === undefined) return { kind: 'reply', callback: onReply, arg: reply };
  return { kind: 'reject', callback: onReject, rejection: { code: error.rejectCode, message: textFor(error) } };
}

/** A canister's own words reach the caller as they are; the system's begin with their code. */
function textFor({ errorCode, message }) {
  return errorCode === 'IC0406' ? message : `${errorCode}: ${message}`;
}
