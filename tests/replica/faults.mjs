// Faults by rule: which requests the local network answers wrongly on purpose.
//
// A rule is { kind, endpoint?, canister?, method?, from?, to?, nth?, every?, ...parameters }; fault_kinds.mjs has the
// kinds. It applies to requests whose endpoint ('query', 'call', 'read_state', 'status'; default any), canister and method
// match, counted per rule from 1: the nth one, every k-th one, or those from `from` to `to` (default all). The first rule
// that applies wins.
//
// { kind: 'random', seed, rate, kinds? } is the schedule by seed: of the requests that match, each is disturbed with
// probability `rate`, by one of the kinds (default all that fit the endpoint). What happens to the n-th one depends on
// the seed and n alone, so the same requests in the same order meet the same faults.

import { sha256 } from './hash.mjs';
import { KINDS, sendWhole } from './fault_kinds.mjs';

/** Of each request the server asks pick() once; the rule goes to the hooks below. */
export class Faults {
  #rules = [];
  #previous = new Map(); // endpoint -> answer, while a rule may want it

  constructor(rules = []) {
    this.replace(rules);
  }

  replace(rules) {
    if (!Array.isArray(rules)) throw new Error('fault rules are a JSON list');
    rules.forEach(check);
    this.#rules = rules.map((rule) => ({ ...rule, seen: 0 }));
    this.#previous.clear();
  }

  pick({ endpoint, canister, method }) {
    for (const rule of this.#rules) {
      if (rule.endpoint && rule.endpoint !== '*' && rule.endpoint !== endpoint) continue;
      if (rule.canister && rule.canister !== canister) continue;
      if (rule.method && rule.method !== method) continue;
      const n = ++rule.seen;
      if (rule.nth !== undefined && n !== rule.nth) continue;
      if (rule.every !== undefined && n % rule.every !== 0) continue;
      if (n < (rule.from ?? 1) || n > (rule.to ?? Infinity)) continue;
      const found = rule.kind === 'random' ? drawFault(rule, n, endpoint) : rule;
      if (found !== null) return found;
    }
    return null;
  }

  #kind(rule) {
    return rule === null ? {} : KINDS[rule.kind];
  }

  before(rule, network) {
    this.#kind(rule).before?.(rule, network);
  }

  /** Before anything is executed. True: the rule has dealt with the request. */
  async intercept(rule, exchange) {
    const hook = this.#kind(rule).intercept;
    return hook !== undefined && (await hook(rule, exchange)) !== false;
  }

  deliveries(rule) {
    return this.#kind(rule).deliveries ?? 1;
  }

  isForeign(rule) {
    return this.#kind(rule).isForeign ?? false;
  }

  /** @returns {RejectError|null} null: it is executed */
  rejection(rule) {
    return this.#kind(rule).rejection?.(rule) ?? null;
  }

  alterReply(rule, reply, message) {
    return this.#kind(rule).reply?.(rule, reply, message) ?? reply;
  }

  alterSignature(rule, signature) {
    return this.#kind(rule).signature?.(rule, signature) ?? signature;
  }

  /** @returns {bigint} real, when no fault has another */
  signedTime(rule, real) {
    return this.#kind(rule).time?.(rule, real) ?? real;
  }

  /** @returns {string|null} null: the true status */
  requestStatus(rule) {
    return this.#kind(rule).status?.(rule) ?? null;
  }

  /** @returns {((signature: Uint8Array) => Uint8Array)|null} null: the true signature */
  certificateAlteration(rule) {
    const hook = this.#kind(rule).certificate;
    return hook === undefined ? null : (signature) => hook(rule, signature);
  }

  /** Sends the answer [status, headers, buffers]; whole() sends it as it is. */
  async send(rule, exchange, answer, whole = () => sendWhole(exchange, ...answer)) {
    const hook = this.#kind(rule).send;
    const previous = this.#previous.get(exchange.endpoint);
    if (this.#rules.length > 0 && answer[0] === 200) this.#previous.set(exchange.endpoint, answer);
    if (hook === undefined) return whole();
    return hook(rule, { ...exchange, previous }, ...answer, whole);
  }
}

function check(rule) {
  if (rule?.kind !== 'random') {
    if (!KINDS[rule?.kind]) throw new Error(`no fault kind '${rule?.kind}'`);
    return;
  }
  if (!(rule.rate >= 0 && rule.rate <= 1)) throw new Error("a random fault's rate is from 0 to 1");
  if (rule.seed === undefined) throw new Error('a random fault has a seed');
  for (const kind of rule.kinds ?? []) if (!KINDS[kind]) throw new Error(`no fault kind '${kind}'`);
}

/** The fault of the n-th request, or null: numbers drawn from a hash of seed and n. */
function drawFault({ seed, rate, kinds = Object.keys(KINDS) }, n, endpoint) {
  const digest = sha256(`fault ${seed} ${n}`);
  let at = 0;
  const draw = (below) => digest.readUInt32LE(at++ * 4) % below;
  if (draw(2 ** 32) / 2 ** 32 >= rate) return null;
  const fitting = kinds.filter((kind) => KINDS[kind].at(endpoint));
  if (fitting.length === 0) return null;
  const kind = fitting[draw(fitting.length)];
  return { kind, is_random: true, ...KINDS[kind].random?.(draw) };
}
