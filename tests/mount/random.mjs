// Numbers that a seed repeats.
import { seedWord } from './harness.mjs';

export class Random {
  #seed;
  #n = 0;

  constructor(seed) {
    this.#seed = BigInt(seed);
  }

  // 0 to limit - 1.
  below(limit) {
    return Number(seedWord(this.#seed << 20n, this.#n++) % BigInt(limit));
  }
}
