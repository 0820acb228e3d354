// The HTTP front: routes, limits, and the order in which a request is parsed, checked, executed and answered.
// Rules: IC interface spec, "HTTPS interface"; limits of the replica's HTTP endpoint.

import { createServer } from 'node:http';
import { createSecureServer } from 'node:http2';
import { setTimeout as delay } from 'node:timers/promises';
import { isHosted } from './canisters.mjs';
import { encodeInPieces, encodeTagged } from './cbor.mjs';
import { Connections } from './connection.mjs';
import { RejectError } from './engine/reject.mjs';
import { openEnvelope } from './envelope.mjs';
import { Faults } from './faults.mjs';
import { HttpError } from './http_error.mjs';
import { Line, writePaced } from './pace.mjs';
import { equal, fromText, MANAGEMENT, textOf } from './principal.mjs';
import { readablePaths } from './read_state.mjs';
import { makeAuthority } from './tls.mjs';
import { leaf, level } from './tree.mjs';

const MAX_BODY = 5 * 2 ** 20;
const MAX_DRAINED = 8 * MAX_BODY;
const MAX_INGRESS = 2 * 2 ** 20;
const MAX_LOG = 100_000;
const MAX_LOGGED_ARG = 64;

const ROUTE = /^\/api\/v([234])\/(canister|subnet)\/([^/]+)\/(query|call|read_state)$/;
const CBOR = { 'content-type': 'application/cbor' };
const TEXT = { 'content-type': 'text/plain; charset=utf-8' };

/** Which versions of an endpoint exist; below the second number ranges are delegated in the flat form. */
const VERSIONS = {
  'canister query': { from: 2, sharded: 3, to: 3 },
  'canister read_state': { from: 2, sharded: 3, to: 3 },
  'canister call': { from: 2, sharded: 4, to: 4 },
  'subnet read_state': { from: 2, sharded: 3, to: 3 },
};

const KEEP_ALIVE_MS = 60_000;
const MAX_STREAMS = 1000;

export class Server {
  #network;
  #faults;
  #http;
  #scheme;
  #connections;
  #line = new Line();
  #active = new Set();

  /** @param {object} given { faults: of faults.mjs or null, http2: over TLS } */
  constructor(network, { faults = null, http2 = false }) {
    this.#network = network;
    this.#faults = faults ?? new Faults();
    this.#scheme = http2 ? 'https' : 'http';
    const handle = (req, res) => this.#handle(req, res);
    if (http2) {
      const { ca, key, cert } = makeAuthority();
      this.ca = ca;
      const settings = { maxConcurrentStreams: MAX_STREAMS };
      this.#http = createSecureServer({ key, cert, allowHTTP1: true, settings }, handle);
    } else {
      this.ca = null;
      this.#http = createServer({ noDelay: true, keepAliveTimeout: KEEP_ALIVE_MS }, handle);
    }
    this.#connections = new Connections(this.#http);
  }

  /** The requests under way, as the log will have them. */
  get active() {
    return [...this.#active];
  }

  /** @returns {Promise<string>} the URL */
  async listen(port) {
    await new Promise((resolve, reject) => {
      this.#http.once('error', reject);
      this.#http.listen(port, '127.0.0.1', resolve);
    });
    return `${this.#scheme}://127.0.0.1:${this.#http.address().port}`;
  }

  async close() {
    await new Promise((resolve) => {
      this.#http.close(resolve);
      this.#connections.destroyAll();
    });
  }

  async #handle(req, res) {
    const path = req.url.split('?')[0];
    if (path.startsWith('/_test/') && this.#network.testEndpoint) return this.#test(path, req, res);
    const request = { req, res, rule: null, entry: this.#newEntry() };
    this.#active.add(request.entry);
    res.on('error', () => {}); // writing to a client that is gone
    res.once('close', () => {
      this.#active.delete(request.entry);
      request.entry.ms = performance.now() - request.entry.began;
      this.#record(request);
    });
    try {
      const answer = await this.#answer(path, request);
      if (answer !== null) await this.#send(request, ...answer);
    } catch (error) {
      await this.#fail(request, error);
    }
  }

  #newEntry() {
    const unknown = { endpoint: null, canister: null, method: null, arg: null, reject: null, fault: null };
    return { ...unknown, argBytes: 0, status: 0, replyBytes: 0, began: performance.now(), ms: 0 };
  }

  #record({ entry }) {
    const { log } = this.#network;
    if (log.length >= MAX_LOG) log.splice(0, MAX_LOG / 2);
    log.push(entry);
  }

  async #test(path, req, res) {
    try {
      const { status, body } = await this.#network.testEndpoint(path, (await readBody(req)).toString());
      res.writeHead(status, TEXT).end(body);
    } catch (error) {
      if (!res.headersSent) res.writeHead(error instanceof HttpError ? error.status : 500, TEXT);
      res.end(error.message);
    }
  }

  async #send(request, status, headers, buffers) {
    const { res, rule, entry } = request;
    const length = buffers.reduce((sum, { length }) => sum + length, 0);
    entry.status = status;
    entry.replyBytes = length;
    const { bandwidth } = this.#network.options;
    const paced = async () => {
      res.writeHead(status, { ...headers, 'content-length': length });
      await writePaced(res, buffers, (bytes) => this.#line.take(bytes, bandwidth));
    };
    await this.#faults.send(rule, this.#exchange(request), [status, headers, buffers], bandwidth > 0 ? paced : undefined);
  }

  #exchange({ res, entry }) {
    return { res, connection: this.#connections.of(res), endpoint: entry.endpoint };
  }

  async #fail(request, error) {
    const known = error instanceof HttpError;
    if (!known && error.code !== 'ECONNRESET') console.error(error); // a client that goes away is no error
    if (request.res.headersSent || request.res.destroyed) return void request.res.destroy();
    const text = Buffer.from(known ? error.message : 'Internal server error');
    await this.#send(request, known ? error.status : 500, { ...TEXT, ...error.headers }, [text]);
  }

  /** @returns {Promise<[number, object, Uint8Array[]]|null>} null when a fault dealt with the request */
  async #answer(path, request) {
    if (path === '/api/v2/status') return this.#status(request);
    const [, digit, scope, idText, endpoint] = ROUTE.exec(path) ?? [];
    const versions = VERSIONS[`${scope} ${endpoint}`];
    const version = Number(digit);
    if (!versions || version < versions.from || version > versions.to) {
      throw new HttpError(404, 'Invalid path requested.');
    }
    const isFlat = version < versions.sharded || this.#network.options.flatRanges === 1;
    Object.assign(request, { scope, endpoint, version, form: isFlat ? 'flat' : 'sharded' });
    Object.assign(request.entry, { endpoint, canister: idText });
    await this.#open(request, idText);
    if (await this.#injected(request)) return null;
    for (let more = this.#faults.deliveries(request.rule); more > 1; more--) await this[`_${endpoint}`](request);
    return this[`_${endpoint}`](request);
  }

  /** Asks the faults, once the request is known. */
  async #injected(request) {
    const { endpoint, canister, method } = request.entry;
    request.rule = this.#faults.pick({ endpoint, canister, method });
    request.entry.fault = request.rule?.kind ?? null;
    this.#faults.before(request.rule, this.#network);
    return this.#faults.intercept(request.rule, this.#exchange(request));
  }

  /** Reads and checks the body: what the request is, who sends it. */
  async #open(request, idText) {
    const { req, scope, endpoint, entry } = request;
    const { maxConcurrent } = this.#network.options;
    if (req.method !== 'POST') throw new HttpError(405, 'Method not allowed');
    const body = await readBody(req); // first, so that a refusal leaves the connection usable
    if (maxConcurrent > 0 && this.#active.size > maxConcurrent) throw new HttpError(429, 'Too many requests');
    this.#network.rateLimit.admit(req.socket.remoteAddress);
    if (req.headers['content-type'] !== 'application/cbor') {
      throw new HttpError(400, 'Unexpected content-type, expected application/cbor.');
    }
    request.effectiveId = fromText(idText);
    if (request.effectiveId === null) throw new HttpError(400, `Invalid principal in URL: ${idText}`);
    Object.assign(request, openEnvelope(body, endpoint, this.#network.now()), { size: body.length });
    const { content } = request;
    if (endpoint !== 'read_state') {
      Object.assign(entry, { method: content.method_name, argBytes: content.arg.length });
      if (content.arg.length <= MAX_LOGGED_ARG) entry.arg = Buffer.from(content.arg).toString('hex');
    }
    if (endpoint === 'call') entry.requestId = request.requestId.toString('hex');
    if (endpoint === 'call' && body.length > MAX_INGRESS) throw new HttpError(413, tooLarge(request, body));
    this.#checkEffectiveId(request, scope);
  }

  #checkEffectiveId({ effectiveId, endpoint, content }, scope) {
    if (scope === 'subnet') {
      if (equal(effectiveId, this.#network.subnetId)) return;
      throw new HttpError(400, `Subnet ${textOf(effectiveId)} is not known here`);
    }
    const ours = isHosted(effectiveId);
    if (endpoint !== 'read_state') {
      const management = content.canister_id.length === 0;
      const target = management
        ? this.#network.management.effectiveCanister({ method: content.method_name, arg: content.arg })
        : content.canister_id;
      if (target !== null && !equal(target, effectiveId)) {
        throw new HttpError(
          400,
          `Specified CanisterId ${textOf(target)} does not match effective canister id in URL ${textOf(effectiveId)}`,
        );
      }
      // The canister that a creating call is sent to does not exist yet.
      if (management && target === null && equal(effectiveId, MANAGEMENT)) return;
    }
    if (!ours) throw new HttpError(400, `No subnet of this network hosts the canister id ${textOf(effectiveId)}`);
  }

  async #status(request) {
    if (request.req.method !== 'GET') throw new HttpError(405, 'Method not allowed');
    request.entry.endpoint = 'status';
    if (await this.#injected(request)) return null;
    const body = {
      root_key: this.#network.rootKeyDer,
      impl_version: 'local network for tests',
      replica_health_status: 'healthy',
    };
    return [200, CBOR, [encodeTagged(body)]];
  }

  async _query(request) {
    const { rule, requestId, content, sender } = request;
    const { signer } = this.#faults.isForeign(rule) ? this.#network.other : this.#network;
    const signed = () => ({ requestId, timestamp: this.#faults.signedTime(rule, this.#network.now()) });
    const alter = (signature) => this.#faults.alterSignature(rule, signature);
    const message = { method: content.method_name, arg: content.arg, caller: sender };
    const rejection = this.#faults.rejection(rule);
    let buffers;
    try {
      if (rejection !== null) throw rejection;
      buffers = await this.#network.query(content.canister_id, message, (reply) => {
        const [head, arg] = signer.replied(signed(), this.#faults.alterReply(rule, reply, message), alter);
        return [head, Buffer.from(arg)]; // the canister's next message overwrites the reply
      });
    } catch (error) {
      if (!(error instanceof RejectError)) throw error;
      request.entry.reject = error.errorCode;
      buffers = signer.rejected(signed(), error, alter);
    }
    return [200, CBOR, buffers];
  }

  async _read_state(request) {
    const { content, sender, mayReach, scope, form, effectiveId } = request;
    const reader = { scope, flat: form === 'flat', effectiveId, sender, mayReach };
    const paths = readablePaths(content.paths, reader, this.#network);
    return [200, CBOR, encodeInPieces({ certificate: await this.#certificate(request, paths) }).pieces];
  }

  async _call(request) {
    const { content, requestId, version, effectiveId, sender, size } = request;
    const { ingress, blocks } = this.#network;
    let entry = ingress.find(requestId);
    if (entry === null) {
      const message = { method: content.method_name, arg: content.arg, caller: sender };
      try {
        this.#network.accept(content.canister_id, message);
      } catch (error) {
        if (!(error instanceof RejectError)) throw error;
        return [200, CBOR, [encodeTagged(refusal(error, version))]];
      }
      blocks.requireRoom(size);
      const canisterId = new Uint8Array(content.canister_id);
      const rejection = this.#faults.rejection(request.rule);
      entry = ingress.submit({ requestId, sender, canisterId, effectiveId, expiry: content.ingress_expiry }, (steps) =>
        this.#network.update(canisterId, message, size, rejection === null ? steps : rejecting(steps, rejection)),
      );
    }
    if (version === 2) return [202, TEXT, []];
    if (!(await this.#outcome(request, entry))) return [202, TEXT, []];
    const certificate = await this.#certificate(request, [['request_status', requestId]]);
    return [200, CBOR, encodeInPieces({ status: 'replied', certificate }).pieces];
  }

  /** Waits for the outcome of a call; one request at a time does. @returns {Promise<boolean>} whether it is there */
  async #outcome({ res }, entry) {
    if (entry.outcome !== null) return true;
    if (entry.waiting) return false;
    entry.waiting = true;
    const stop = new AbortController();
    res.once('close', () => stop.abort());
    const timeout = delay(this.#network.options.callTimeoutMs, undefined, { signal: stop.signal }).catch(() => {});
    await Promise.race([entry.done, timeout]);
    stop.abort();
    entry.waiting = false;
    return entry.outcome !== null;
  }

  async #certificate({ scope, form, effectiveId, rule }, paths) {
    const isForeign = this.#faults.isForeign(rule);
    const { certifier, delegations } = this.#network;
    const about = scope === 'canister' ? effectiveId : null;
    const delegation = (isForeign ? this.#network.other.delegations : delegations).find(form, about);
    const status = this.#faults.requestStatus(rule);
    const shown = status === 'pruned' ? paths.filter((path) => !isRequestStatus(path)) : paths;
    return certifier.certifySoon(shown, delegation, this.#wrongVersion(rule, status, paths));
  }

  /** What a fault has otherwise in a certificate, or null. */
  #wrongVersion(rule, status, paths) {
    if (rule === null) return null;
    const real = this.#network.now();
    const time = this.#faults.signedTime(rule, real);
    const alter = this.#faults.certificateAlteration(rule);
    const request = paths.find(isRequestStatus);
    const wrong = {
      ...(time !== real && { time }),
      ...(alter && { alter }),
      ...(this.#faults.isForeign(rule) && { key: this.#network.other.key }),
      ...(status !== null && status !== 'pruned' && request && { request: saidStatus(request[1], status) }),
    };
    return Object.keys(wrong).length > 0 ? wrong : null;
  }
}

const isRequestStatus = ([top]) => equal(Buffer.from(top), Buffer.from('request_status'));

/** For IngressHistory.tree: another status of one request, or none at all. */
const saidStatus = (requestId, status) => ({
  requestId,
  subtree: status === 'absent' ? null : level([['status', leaf(status)]]),
});

/** The steps of a call that a fault rejects when its turn comes. */
function rejecting(steps, rejection) {
  const begin = () => {
    steps.begin();
    throw rejection;
  };
  return { ...steps, begin };
}

function refusal({ rejectCode, errorCode, message }, version) {
  const map = { reject_code: rejectCode, reject_message: message, error_code: errorCode };
  return version === 2 ? map : { status: 'non_replicated_rejection', ...map };
}

const tooLarge = ({ requestId }, body) =>
  `Request 0x${requestId.toString('hex')} is too large. ` +
  `Message byte size ${body.length} is larger than the max allowed ${MAX_INGRESS}.`;

/** Reads a body to its end even when it is too large, or the client would see a reset instead of the answer. */
async function readBody(req) {
  const chunks = [];
  let size = 0;
  for await (const chunk of req) {
    size += chunk.length;
    if (size <= MAX_BODY) chunks.push(chunk);
    if (size > MAX_DRAINED) break;
  }
  if (size > MAX_BODY) throw new HttpError(413, `The body is larger than ${MAX_BODY} bytes`);
  return Buffer.concat(chunks);
}
