// The rate limit of a boundary node: so many requests per second for each client address.

import { HttpError } from './http_error.mjs';

/** More addresses than this are not remembered: those that have not been heard of lately go. */
const MAX_CLIENTS = 1000;

export class RateLimit {
  #options;
  #clients = new Map(); // address -> { tokens, atMs }

  /** @param {object} options { rateLimit: requests per second, 0 = no limit }, which may change at any time */
  constructor(options) {
    this.#options = options;
  }

  /** A bucket of one second's requests, refilled evenly. @throws {HttpError} 429 with Retry-After */
  admit(address) {
    const rate = this.#options.rateLimit;
    if (rate === 0) return;
    const nowMs = performance.now();
    const { tokens, atMs } = this.#clients.get(address) ?? { tokens: rate, atMs: nowMs };
    const filled = Math.min(rate, tokens + ((nowMs - atMs) / 1000) * rate);
    this.#clients.delete(address);
    this.#clients.set(address, { tokens: filled >= 1 ? filled - 1 : filled, atMs: nowMs });
    if (this.#clients.size > MAX_CLIENTS) this.#clients.delete(this.#clients.keys().next().value);
    if (filled >= 1) return;
    const seconds = Math.ceil((1 - filled) / rate);
    throw new HttpError(429, 'Too many requests', { 'retry-after': String(seconds) });
  }
}
