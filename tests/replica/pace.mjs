// The speed of answers: all at once, a few bytes at a time, or so many bytes per second.

import { setTimeout as delay } from 'node:timers/promises';

/** What a paced answer is cut into; small enough that several answers share the line fairly. */
const PIECE = 16 * 2 ** 10;

/** A line of so many bytes per second, shared by everyone who takes from it. */
export class Line {
  #freeMs = 0;

  /** Waits until the line has carried `bytes`. */
  async take(bytes, bytesPerSecond) {
    const nowMs = performance.now();
    this.#freeMs = Math.max(this.#freeMs, nowMs) + (bytes / bytesPerSecond) * 1000;
    await delay(this.#freeMs - nowMs);
  }
}

const isGone = (res) => res.destroyed || res.writableEnded || res.stream?.destroyed === true;

/** Writes, and waits until it is handed over or the client is gone. */
export function write(res, bytes) {
  if (isGone(res)) return Promise.resolve();
  return new Promise((done) => {
    res.once('close', done);
    res.write(bytes, () => {
      res.off('close', done);
      done();
    });
  });
}

/**
 * Writes the buffers piece by piece and ends the answer.
 * @param {(bytes: number) => Promise<void>} pause  called before each piece
 */
export async function writePaced(res, buffers, pause, piece = PIECE) {
  for (const buffer of buffers) {
    for (let at = 0; at < buffer.length; at += piece) {
      const part = buffer.subarray(at, at + piece);
      await pause(part.length);
      if (isGone(res)) return;
      await write(res, part);
    }
  }
  res.end();
}
