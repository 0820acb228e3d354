// What each kind of fault does. A kind is an object of hooks; the server calls each at the place its name says:
//
//   before(rule, network)                     when the request is known, before it is executed
//   intercept(rule, exchange)                 instead of executing it; false: go on after all
//   deliveries                                how often it is executed
//   isForeign                                 another subnet answers
//   rejection(rule)                           instead of executing it: the RejectError of its outcome
//   reply(rule, bytes)                        the canister's reply to a query, before it is signed
//   signature(rule, signature)                the node's { timestamp, signature, identity }
//   time(rule, ns)                            the time that signatures and certificates carry
//   status(rule)                              what a certificate says of the request: 'pruned', 'absent', or a status
//   certificate(rule, signature)              the subnet's BLS signature
//   send(rule, exchange, status, headers, buffers, whole)   the answer; whole() sends it as it is
//   at(endpoint), random(draw)                for random faults: whether the kind is one there, and its parameters
//
// An exchange is { res, connection, endpoint, previous }; previous is the answer before this one at this endpoint.

import { constants } from 'node:http2';
import { setTimeout as sleep } from 'node:timers/promises';
import { RejectError } from './engine/reject.mjs';
import { write, writePaced } from './pace.mjs';

const NS = 1_000_000_000n;

/** Milliseconds without end: longer than any test waits; the connection's end stops it. */
const FOREVER = 3_600_000;

const anywhere = () => true;
const signed = (endpoint) => endpoint !== 'status';
const queries = (endpoint) => endpoint === 'query';
const calls = (endpoint) => endpoint === 'call';

const total = (buffers) => buffers.reduce((sum, { length }) => sum + length, 0);

function half(buffers) {
  const whole = Buffer.concat(buffers);
  return whole.subarray(0, Math.floor(whole.length / 2));
}

/** Half of the body under a Content-Length of the whole; then `end` decides how it stops. */
async function sendPart({ res }, status, headers, buffers, end) {
  res.writeHead(status, { ...headers, 'content-length': total(buffers) });
  await write(res, half(buffers));
  await end(res);
}

export async function sendWhole({ res }, status, headers, buffers) {
  res.writeHead(status, { ...headers, 'content-length': total(buffers) });
  for (const buffer of buffers.slice(0, -1)) res.write(buffer);
  await new Promise((done) => {
    res.once('close', done);
    res.end(buffers.at(-1), done);
  });
}

function untilGone(res, ms) {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms).unref();
    res.once('close', done);
    function done() {
      clearTimeout(timer);
      res.off('close', done);
      resolve();
    }
  });
}

/** Bytes of a Candid nat64. */
const NAT64 = 8;

/**
 * Re-encodes the Candid message of one blob, `(blob)` or `(variant { ok : blob })`, with `change` applied to the blob.
 * The blob comes last in both, or before one nat64, behind its LEB128 length, so both ends can be found without a decoder.
 */
function changeBlob(rule, reply, change) {
  const buffer = Buffer.from(reply);
  for (let at = 4; at < Math.min(buffer.length, 256); at++) {
    let length = 0;
    let end = at;
    for (let shift = 0; end < buffer.length && shift < 35; shift += 7) {
      const byte = buffer[end++];
      length += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) break;
    }
    const rest = buffer.subarray(end + length);
    if (length > 0 && end + length <= buffer.length && (rest.length === 0 || rest.length === NAT64)) {
      const blob = change(buffer.subarray(end, end + length));
      return Buffer.concat([buffer.subarray(0, at), leb(blob.length), blob, rest]);
    }
  }
  if (rule.is_random) return reply;
  throw new Error('the fault does not apply: the reply does not end in a blob, or one and a nat64');
}

function leb(n) {
  const bytes = [];
  do {
    const byte = n % 128;
    n = Math.floor(n / 128);
    bytes.push(n > 0 ? byte + 128 : byte);
  } while (n > 0);
  return Buffer.from(bytes);
}

/** One bit changed; places count from the end when negative, and around when too large. */
function flipped(bytes, at) {
  const copy = Buffer.from(bytes);
  if (copy.length > 0) copy[((at % copy.length) + copy.length) % copy.length] ^= 1;
  return copy;
}

export const KINDS = {
  __proto__: null,

  // --- the connection ---

  // It is reset before a byte of the answer, and nothing is executed.
  refuse: {
    at: anywhere,
    intercept: (rule, { connection }) => connection.reset(),
  },
  // The request is executed; the connection is reset before a byte of the answer.
  lost_reply: {
    at: anywhere,
    send: (rule, { connection }) => connection.reset(),
  },
  // Reset in the middle of the body.
  reset: {
    at: anywhere,
    send: (rule, exchange, ...answer) => sendPart(exchange, ...answer.slice(0, 3), () => exchange.connection.reset()),
  },
  // Ended in the middle of the body, in good order: fewer bytes than Content-Length says.
  truncate: {
    at: anywhere,
    send: (rule, exchange, ...answer) => sendPart(exchange, ...answer.slice(0, 3), () => exchange.connection.finish()),
  },
  // Closed after a complete answer that did not announce it; { ms } later.
  close: {
    at: anywhere,
    async send(rule, { connection }, status, headers, buffers, whole) {
      await whole();
      await sleep(rule.ms ?? 0, undefined, { ref: false });
      connection.close();
    },
  },
  // HTTP/2: this request alone ends, with { code }, before the answer or in its body ({ in_body: true }).
  rst_stream: {
    at: anywhere,
    random: (draw) => ({ in_body: draw(2) === 1 }),
    send(rule, exchange, status, headers, buffers) {
      const end = () => exchange.connection.resetStream(rule.code);
      return rule.in_body ? sendPart(exchange, status, headers, buffers, end) : end();
    },
  },
  // HTTP/2: GOAWAY with { code } instead of the answer, and the end of the connection with all its requests.
  goaway: {
    at: anywhere,
    send: (rule, { connection }) => connection.close(rule.code ?? constants.NGHTTP2_INTERNAL_ERROR),
  },

  // --- time ---

  // No answer for `ms` (default: ever). In the body with { in_body: true }.
  stall: {
    at: anywhere,
    random: (draw) => ({ ms: 10 * draw(30), in_body: draw(2) === 1 }),
    async intercept(rule, { res }) {
      if (rule.in_body) return false;
      await untilGone(res, rule.ms ?? FOREVER);
      return rule.ms === undefined || res.destroyed;
    },
    async send(rule, exchange, status, headers, buffers, whole) {
      if (!rule.in_body) return whole();
      return sendPart(exchange, status, headers, buffers, async (res) => {
        await untilGone(res, rule.ms ?? FOREVER);
        if (!res.destroyed) res.end(Buffer.concat(buffers).subarray(half(buffers).length));
      });
    },
  },
  // It is taken up { ms } later, also when nobody waits for the answer any more.
  late: {
    at: () => false,
    async intercept(rule) {
      await sleep(rule.ms ?? 1000, undefined, { ref: false });
      return false;
    },
  },
  // The body trickles: { bytes } every { ms }.
  drip: {
    at: anywhere,
    random: (draw) => ({ bytes: 2 ** (10 + draw(6)), ms: 1 + draw(4) }),
    send(rule, { res }, status, headers, buffers) {
      res.writeHead(status, { ...headers, 'content-length': total(buffers) });
      const pause = () => untilGone(res, rule.ms ?? 10);
      return writePaced(res, buffers, pause, rule.bytes ?? 1);
    },
  },

  // --- HTTP ---

  // A status (default 503), with { retry_after: seconds }, { body }.
  http: {
    at: anywhere,
    random: (draw) => [{ status: 503 }, { status: 500 }, { status: 429, retry_after: 0 }][draw(3)],
    intercept(rule, { res }) {
      const body = rule.body ?? 'injected';
      const headers = { 'content-type': 'text/plain', 'content-length': Buffer.byteLength(body) };
      if (rule.retry_after !== undefined) headers['retry-after'] = String(rule.retry_after);
      res.writeHead(rule.status ?? 503, headers).end(body);
    },
  },
  // Half of the body, under a Content-Length that agrees.
  truncate_body: {
    at: anywhere,
    send: (rule, exchange, status, headers, buffers) => sendWhole(exchange, status, headers, [half(buffers)]),
  },
  // One bit of the body changes on the way, after it was signed: in byte { at }, from the end when negative (default: in
  // the middle).
  forged_reply: {
    at: signed,
    random: (draw) => ({ at: draw(2 ** 31) }),
    send(rule, exchange, status, headers, buffers) {
      const whole = Buffer.concat(buffers);
      return sendWhole(exchange, status, headers, [flipped(whole, rule.at ?? Math.floor(whole.length / 2))]);
    },
  },
  // The body is not CBOR at all.
  garbage: {
    at: anywhere,
    send: (rule, exchange, status, headers) => sendWhole(exchange, status, headers, [Buffer.from('<html>not CBOR</html>')]),
  },
  // The answer to the request before this one at the same endpoint; the first one is answered rightly.
  other_reply: {
    at: signed,
    send: (rule, exchange, status, headers, buffers, whole) =>
      exchange.previous ? sendWhole(exchange, ...exchange.previous) : whole(),
  },

  // --- what is signed ---

  // The call or query is rejected with { code, message }, certified or signed as any other outcome, and not executed: what
  // the network answers when it is busy (IC0210), or when the canister does. Never at random.
  reject: {
    at: () => false,
    rejection({ code = 'IC0210', message = 'injected' }) {
      return new RejectError(Number(/[1-9]/.exec(code)[0]), code, message); // the first nonzero digit is the reject code
    },
  },
  // The node's signature does not fit.
  wrong_node_signature: {
    at: queries,
    signature: (rule, s) => ({ ...s, signature: flipped(s.signature, 0) }),
  },
  // The signature is of a node that the subnet does not have.
  unknown_node: {
    at: queries,
    signature: (rule, s) => ({ ...s, identity: flipped(s.identity, 3) }),
  },
  // The canister's blob is shorter than what was asked for, or longer, by { bytes }; the node signs it all the same.
  short_blob: {
    at: queries,
    random: (draw) => ({ bytes: 2 ** draw(20) }),
    reply: (rule, reply) =>
      changeBlob(rule, reply, (blob) => blob.subarray(0, Math.max(0, blob.length - (rule.bytes ?? 1)))),
  },
  long_blob: {
    at: queries,
    random: (draw) => ({ bytes: 2 ** draw(16) }),
    reply: (rule, reply) => changeBlob(rule, reply, (blob) => Buffer.concat([blob, Buffer.alloc(rule.bytes ?? 1)])),
  },
  // A verified reply that is no Candid.
  wrong_candid: {
    at: queries,
    reply: () => Buffer.from('DIDX'),
  },
  // A node that lags behind: the same method and argument are answered as they were the first time. Never at random.
  lagging: {
    at: () => false,
    reply(rule, reply, { method, arg }) {
      const query = `${method} ${Buffer.from(arg).toString('hex')}`;
      rule.replies ??= new Map();
      if (!rule.replies.has(query)) rule.replies.set(query, Buffer.from(reply));
      return rule.replies.get(query);
    },
  },
  // Times: { seconds } back (negative: ahead), properly signed.
  stale: {
    at: signed,
    time: (rule, ns) => ns - BigInt(rule.seconds ?? 600) * NS,
  },
  // One bit of the subnet's own BLS signature: it is no point of the curve any more, or { negated: true } another point.
  wrong_certificate: {
    at: (endpoint) => signed(endpoint) && !queries(endpoint),
    random: (draw) => ({ negated: draw(2) === 1 }),
    certificate(rule, signature) {
      if (!rule.negated) return flipped(signature, 40);
      const copy = Buffer.from(signature);
      copy[0] ^= 0x20; // the sign of y in a compressed point
      return copy;
    },
  },
  // Another subnet below the same root answers: its key, its nodes, a delegation that is good, for other canisters.
  other_subnet: {
    at: signed,
    isForeign: true,
  },
  // A certificate in which the request's status is { as }: 'pruned' (it cannot be told), 'absent' (proved), or a status
  // text, such as 'processing', or 'done': the outcome is forgotten.
  request_status: {
    at: (endpoint) => signed(endpoint) && !queries(endpoint),
    random: (draw) => ({ as: ['pruned', 'absent', 'processing', 'done'][draw(4)] }),
    status: (rule) => rule.as ?? 'pruned',
  },

  // --- delivery and members ---

  // The request reaches the network twice; the answer is the second one's.
  duplicate: {
    at: (endpoint) => queries(endpoint) || calls(endpoint),
    deliveries: 2,
  },
  // Just before, all nodes of the subnet are replaced: a client that has their keys must ask again.
  rotate_nodes: {
    at: signed,
    before: (rule, network) => network.rotateNodes(),
  },
};
