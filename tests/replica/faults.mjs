// Faults by rule: what the local network does wrong on purpose.
//
// A rule is { kind, endpoint?, canister?, method?, from?, to?, nth?, every?, ...parameters }. It applies to requests whose
// endpoint ('query', 'call', 'read_state', 'status'; default any), canister and method match, counted per rule from 1:
// the nth one, every k-th one, or those from `from` to `to` (default all). The first rule that applies wins.
//
// The server asks pick() once per request and hands the rule to the hooks below at the places they name. A new kind is a
// new row in KINDS.
import { setTimeout as sleep } from 'node:timers/promises';

const NS = 1_000_000_000n;

// ms without end: longer than any test waits; the connection's end stops it.
const FOREVER = 3_600_000;

function half(buffers) {
  const whole = Buffer.concat(buffers);
  return whole.subarray(0, Math.floor(whole.length / 2));
}

// Write only a part of the body under a Content-Length of the whole; then `end` decides how it stops.
async function sendPart(res, status, headers, buffers, end) {
  const length = buffers.reduce((n, b) => n + b.length, 0);
  res.writeHead(status, { ...headers, 'content-length': length });
  await new Promise((done) => res.write(half(buffers), done));
  await end(res);
}

function untilGone(res, ms) {
  return Promise.race([
    sleep(ms, undefined, { ref: false }),
    new Promise((done) => res.on('close', done)),
  ]);
}

// Re-encode the Candid message of one blob, `(blob)` or `(variant { ok : blob })`, with `change` applied to the blob. The
// blob comes last in both, behind its LEB128 length, so both ends can be found without a decoder.
function changeBlob(reply, change) {
  const buffer = Buffer.from(reply);
  for (let at = 4; at < Math.min(buffer.length, 256); at++) {
    let length = 0;
    let end = at;
    for (let shift = 0; end < buffer.length && shift < 35; shift += 7) {
      const byte = buffer[end++];
      length += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) break;
    }
    if (length > 0 && end + length === buffer.length) {
      const blob = change(buffer.subarray(end));
      return Buffer.concat([buffer.subarray(0, at), leb(blob.length), blob]);
    }
  }
  throw new Error('the fault does not apply: the reply does not end in a blob');
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

function flipped(bytes, at) {
  const copy = Buffer.from(bytes);
  copy[at < 0 ? copy.length + at : at] ^= 1;
  return copy;
}

const KINDS = {
  // The connection ends before a byte of the answer.
  refuse: {
    intercept: (rule, req) => req.socket?.resetAndDestroy(),
  },
  // It ends in the middle of the body, by a reset.
  reset: {
    send: (rule, res, ...rest) => sendPart(res, ...rest, (r) => r.socket?.resetAndDestroy()),
  },
  // It ends in the middle of the body, in good order: fewer bytes than Content-Length says.
  truncate: {
    send: (rule, res, ...rest) => sendPart(res, ...rest, (r) => r.socket?.end()),
  },
  // Half of the body, under a Content-Length that agrees.
  truncate_body: {
    send: (rule, res, status, headers, buffers) => sendWhole(res, status, headers, [half(buffers)]),
  },
  // No answer for `ms` (default: ever). In the body with { in_body: true }.
  stall: {
    async intercept(rule, req, res) {
      if (rule.in_body) return false;
      await untilGone(res, rule.ms ?? FOREVER);
      return rule.ms === undefined || res.destroyed;
    },
    async send(rule, res, status, headers, buffers) {
      if (!rule.in_body) return sendWhole(res, status, headers, buffers);
      return sendPart(res, status, headers, buffers, async (r) => {
        await untilGone(r, rule.ms ?? FOREVER);
        if (!r.destroyed) r.end(Buffer.concat(buffers).subarray(half(buffers).length));
      });
    },
  },
  // An HTTP status (default 503), with { retry_after: seconds }.
  http: {
    intercept(rule, req, res) {
      const body = rule.body ?? 'injected';
      const headers = { 'content-type': 'text/plain', 'content-length': Buffer.byteLength(body) };
      if (rule.retry_after !== undefined) headers['retry-after'] = String(rule.retry_after);
      res.writeHead(rule.status ?? 503, headers).end(body);
    },
  },
  // The node's signature does not fit.
  wrong_node_signature: {
    signature: (rule, s) => ({ ...s, signature: flipped(s.signature, 0) }),
  },
  // The signature is of a node that the subnet does not have.
  unknown_node: {
    signature: (rule, s) => ({ ...s, identity: flipped(s.identity, 3) }),
  },
  // One byte of the reply changes on the way, after it was signed.
  forged_reply: {
    send: (rule, res, status, headers, buffers) => {
      const whole = Buffer.concat(buffers);
      return sendWhole(res, status, headers, [flipped(whole, Math.floor(whole.length / 2))]);
    },
  },
  // The body is not CBOR at all.
  garbage: {
    send: (rule, res, status, headers) => sendWhole(res, status, headers, [Buffer.from('<html>not CBOR</html>')]),
  },
  // The canister's blob is shorter than what was asked for, or longer; the node signs it all the same.
  short_blob: {
    reply: (rule, reply) => changeBlob(reply, (blob) => blob.subarray(0, Math.max(0, blob.length - (rule.bytes ?? 1)))),
  },
  long_blob: {
    reply: (rule, reply) => changeBlob(reply, (blob) => Buffer.concat([blob, Buffer.alloc(rule.bytes ?? 1)])),
  },
  // A verified reply that is no Candid.
  wrong_candid: {
    reply: () => Buffer.from('DIDX'),
  },
  // Times: { seconds } back (negative: ahead), properly signed.
  stale: {
    time: (rule, ns) => ns - BigInt(rule.seconds ?? 600) * NS,
  },
  // A byte in the middle of the certificate's own BLS signature changed.
  wrong_certificate: {
    certificate: (rule, bytes) => {
      // The key `signature`, then the head of a byte string of 48: 58 30 (RFC 8949).
      const key = Buffer.from('697369676e61747572655830', 'hex');
      const at = Buffer.from(bytes).lastIndexOf(key);
      if (at < 0) throw new Error('the certificate has no signature');
      return flipped(bytes, at + key.length + 40);
    },
  },
};

async function sendWhole(res, status, headers, buffers) {
  const length = buffers.reduce((n, b) => n + b.length, 0);
  res.writeHead(status, { ...headers, 'content-length': length });
  for (const buffer of buffers.slice(0, -1)) res.write(buffer);
  await new Promise((done) => res.end(buffers.at(-1), done));
}

export class Faults {
  #rules = [];

  constructor(rules = []) {
    this.replace(rules);
  }

  replace(rules) {
    if (!Array.isArray(rules)) throw new Error('fault rules are a JSON list');
    for (const rule of rules) if (!KINDS[rule?.kind]) throw new Error(`no fault kind '${rule?.kind}'`);
    this.#rules = rules.map((rule) => ({ ...rule, seen: 0 }));
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
      return rule;
    }
    return null;
  }

  // Before anything is executed. True: the rule has dealt with the request.
  async intercept(rule, req, res) {
    const hook = rule && KINDS[rule.kind].intercept;
    if (!hook) return false;
    return (await hook(rule, req, res)) !== false;
  }

  // The canister's reply to a query, before it is signed.
  alterReply(rule, reply) {
    const hook = rule && KINDS[rule.kind].reply;
    return hook ? hook(rule, reply) : reply;
  }

  // The node's signature { timestamp, signature, identity } of a query.
  alterSignature(rule, signature) {
    const hook = rule && KINDS[rule.kind].signature;
    return hook ? hook(rule, signature) : signature;
  }

  // The time that signatures and certificates carry, ns.
  signedTime(rule, ns) {
    const hook = rule && KINDS[rule.kind].time;
    return hook ? hook(rule, ns) : ns;
  }

  // An encoded certificate.
  alterCertificate(rule, bytes) {
    const hook = rule && KINDS[rule.kind].certificate;
    return hook ? hook(rule, bytes) : bytes;
  }

  // The response itself.
  async send(rule, res, status, headers, buffers) {
    const hook = rule && KINDS[rule.kind].send;
    await (hook ?? ((_, ...rest) => sendWhole(...rest)))(rule, res, status, headers, buffers);
  }
}
