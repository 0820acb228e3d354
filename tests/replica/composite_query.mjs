// Queries that call other queries, on this subnet: no trace is left, and each canister's state between its calls is
// apart from the one others see. Limits of the whole: 5 G instructions, depth 6, 10 s.
// Rules: IC interface spec, "Composite queries"; limits and codes of the execution environment.

import { setImmediate as turn } from 'node:timers/promises';
import { callbackOf } from './calls.mjs';
import { didNotReply, faultToReject, RejectError } from './engine/reject.mjs';
import { equal, textOf } from './principal.mjs';

const MAX_DEPTH = 6;
const MAX_INSTRUCTIONS = 5e9;
const MAX_MS = 10_000;

/** What all calls below one query share. */
class QueryGraph {
  #left;
  #end = performance.now() + MAX_MS;

  constructor(instructions) {
    this.#left = instructions;
  }

  get left() {
    return this.#left;
  }

  /** @throws {RejectError} */
  pay(instructions) {
    this.#left -= instructions;
    if (this.#left <= 0) throw overrun('IC0526', 'Query call graph exceeded its instruction limit.');
    if (performance.now() > this.#end) throw overrun('IC0528', 'Query call graph exceeded its time limit.');
  }
}

/** The end of the whole query, not of one call in it. */
class GraphError extends RejectError {}
const overrun = (code, text) => new GraphError(5, code, text);

/**
 * Goes on with a query that has made calls.
 * @param {object} canister
 * @param {object} message   caller and so on, as the engine was given it
 * @param {object} outcome   of the first message
 * @param {object} network   find(id): a canister or null; options
 * @returns {Promise<Uint8Array>} the reply
 * @throws {RejectError}
 */
export async function finishComposite(canister, message, outcome, network) {
  const graph = new QueryGraph((MAX_INSTRUCTIONS * network.options.instructionPercent) / 100);
  return follow({ canister, message, graph, network, path: [canister.id] }, outcome);
}

async function follow(query, first) {
  const { canister, message, graph } = query;
  const call = { answered: false, available: 0n, deadline: 0n, instructions: 0 };
  const pending = [];
  let response = null;
  let failure = null;
  let { fork } = first;
  const take = (outcome) => {
    graph.pay(outcome.instructions);
    call.instructions += outcome.instructions;
    if (outcome.response !== null) {
      call.answered = true;
      response = outcome.response.reply ? { reply: new Uint8Array(outcome.response.reply) } : outcome.response;
    }
    pending.push(...outcome.calls);
  };
  take(first);
  while (pending.length > 0) {
    const { onReply, onReject, onCleanup, ...next } = pending.shift();
    const answer = await callQuery(query, next);
    const given = { caller: message.caller, call, fork, limit: graph.left };
    try {
      take(canister.engine.resume({ ...given, ...callbackOf(answer, onReply, onReject) }));
      failure = null;
    } catch (error) {
      if (!(error instanceof RejectError) || error instanceof GraphError) throw error;
      failure = error;
      if (onCleanup !== null) cleanUp(canister, { ...given, kind: 'cleanup', callback: onCleanup });
    }
  }
  if (response === null) throw failure ?? faultToReject(didNotReply(), canister.id);
  if (response.error) throw response.error;
  return response.reply;
}

function cleanUp(canister, given) {
  try {
    canister.engine.resume(given);
  } catch (error) {
    if (!(error instanceof RejectError)) throw error;
  }
}

/** @returns {Promise<{reply: Uint8Array}|{error: RejectError}>} */
async function callQuery({ canister, graph, network, path }, { callee, method, arg }) {
  await turn(); // others may go first
  try {
    if (path.length >= MAX_DEPTH) throw new RejectError(5, 'IC0525', 'Query call graph depth exceeded');
    if (path.some((id) => equal(id, callee))) {
      throw new RejectError(5, 'IC0517', `Canister ${textOf(callee)} is in a loop of query calls`);
    }
    const target = network.find(callee);
    if (target === null) throw new RejectError(3, 'IC0301', `Canister ${textOf(callee)} not found.`);
    target.requireRunning();
    const message = { method, arg, caller: canister.id };
    const outcome = target.engine.query({ ...message, limit: graph.left });
    const reply = await follow({ canister: target, message, graph, network, path: [...path, callee] }, outcome);
    return { reply };
  } catch (error) {
    if (!(error instanceof RejectError) || error instanceof GraphError) throw error;
    return { error };
  }
}
