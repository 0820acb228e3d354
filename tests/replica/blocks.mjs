// Blocks: when an accepted update call executes.
//
// A subnet collects ingress messages and agrees on a block of them about once a second, at most 4 MiB and 1,000
// messages each (Internet Computer documentation, "Resource limits"). Here: a queue, in the order of arrival. Every
// `blockMs` the messages at its head that fit go into the block and start to execute, in order; the next one that does
// not fit waits, and all behind it. Each message also waits `updateMs` before a block may take it. With `blockMs` 0 there
// are no blocks: a message executes when its `updateMs` is over.

import { HttpError } from './http_error.mjs';

const MAX_MESSAGES = 1000;

export class Blocks {
  #options;
  #queue = []; // { size, readyMs, include, resolve }
  #bytes = 0; // of all messages that do not execute yet
  #timer = null;
  #lastMs = -Infinity;

  /** @param {object} options { updateMs, blockMs, blockBytes, queueBytes }, which may change at any time */
  constructor(options) {
    this.#options = options;
  }

  /** Says what a replica with a full ingress pool says. @throws {HttpError} 503 */
  requireRoom(size) {
    if (this.#bytes + size <= this.#options.queueBytes) return;
    throw new HttpError(503, 'Service is overloaded, try again later.');
  }

  /**
   * Waits for the message's turn.
   * @param {number} size
   * @param {() => boolean} include  called when the message is in a block; false: it must not execute
   * @returns {Promise<boolean>} what include() said
   */
  async turn(size, include) {
    this.#bytes += size;
    const { blockMs, updateMs } = this.#options;
    const readyMs = performance.now() + updateMs;
    if (blockMs === 0 && this.#queue.length === 0) {
      const isIn = include();
      if (updateMs > 0) await new Promise((resolve) => setTimeout(resolve, updateMs));
      this.#bytes -= size;
      return isIn;
    }
    return new Promise((resolve) => {
      this.#queue.push({ size, readyMs, include, resolve });
      this.#schedule();
    });
  }

  /** Blocks come at whole multiples of blockMs of the process's clock. */
  #schedule() {
    if (this.#timer !== null || this.#queue.length === 0) return;
    const { blockMs } = this.#options;
    const nowMs = performance.now();
    let atMs = blockMs === 0 ? this.#queue[0].readyMs : (Math.floor(nowMs / blockMs) + 1) * blockMs;
    if (atMs - this.#lastMs < blockMs / 2) atMs += blockMs; // a timer may fire a little early
    this.#timer = setTimeout(() => this.#make(), Math.max(0, atMs - nowMs));
  }

  #make() {
    this.#timer = null;
    this.#lastMs = performance.now();
    const { blockMs, blockBytes } = this.#options;
    let room = blockMs === 0 ? Infinity : blockBytes;
    for (let count = 0; count < MAX_MESSAGES && this.#queue.length > 0; count++) {
      const { size, readyMs, include, resolve } = this.#queue[0];
      const isFirst = count === 0; // one message always fits, or it would wait for ever
      if (readyMs > this.#lastMs + 1 || (size > room && !isFirst)) break;
      room -= size;
      this.#bytes -= size;
      this.#queue.shift();
      resolve(include());
    }
    this.#schedule();
  }

  /** Whatever waits is given up. */
  stop() {
    clearTimeout(this.#timer);
    this.#queue = [];
  }
}
