// The subnet's canisters, by id.

import { join } from 'node:path';
import { Canister } from './canister.mjs';
import { RejectError } from './engine/reject.mjs';
import { canisterId, hexOf, textOf } from './principal.mjs';

/** The canisters of the system that this network plays itself, at their ids on the mainnet. */
export const CYCLES_MINTING = canisterId(4n);
export const CYCLES_LEDGER = canisterId(0x0210_0002n);

/** Canister ids of the subnet: several intervals, so that clients have to choose the right shard. */
export const RANGES = [
  [CYCLES_MINTING, CYCLES_MINTING],
  [canisterId(0x0100_0000n), canisterId(0x010f_ffffn)],
  [canisterId(0x0200_0000n), canisterId(0x020f_ffffn)],
  [CYCLES_LEDGER, CYCLES_LEDGER],
  [canisterId(0x8000_0000_0010_0000n), canisterId(0x8000_0000_001f_ffffn)], // where other local networks begin
];
const FIRST = 0x0100_0000n;

export const isHosted = (id) =>
  RANGES.some(([low, high]) => Buffer.compare(low, id) <= 0 && Buffer.compare(id, high) <= 0);

export class Canisters {
  #world;
  #all = new Map();
  #next = FIRST;

  /** @param {object} world  of Canister, and isSystem(id) */
  constructor(world) {
    this.#world = world;
  }

  [Symbol.iterator]() {
    return this.#all.values();
  }

  /** @throws {RejectError} IC0301 */
  get(id) {
    const canister = this.find(id);
    if (canister === null) throw new RejectError(3, 'IC0301', `Canister ${textOf(id)} not found.`);
    return canister;
  }

  /** @returns {Canister|null} */
  find(id) {
    return this.#all.get(hexOf(id)) ?? null;
  }

  has(id) {
    return this.find(id) !== null;
  }

  /**
   * @param {object} facts  controllers, and cycles and settings if not the defaults
   * @param {Uint8Array|null} facts.id  of the caller's choice, or the next free one
   * @param {object} origin  who makes it
   */
  create({ id = null, ...facts }, origin) {
    if (id !== null && !isHosted(id)) {
      throw new RejectError(4, 'IC0405', `The canister id ${textOf(id)} is not hosted by this subnet`);
    }
    if (id !== null && (this.has(id) || this.#world.isSystem(id))) {
      throw new RejectError(2, 'IC0205', `Canister ${textOf(id)} exists already`);
    }
    while (this.has(canisterId(this.#next))) this.#next++;
    const canister = new Canister({ ...facts, id: id ?? canisterId(this.#next) }, this.#world);
    this.#next += id === null ? 1n : 0n; // an id is given once
    canister.record(origin, { creation: { controllers: facts.controllers } });
    this.#all.set(hexOf(canister.id), canister);
    this.#world.changed();
    return canister;
  }

  delete(canister) {
    this.#all.delete(hexOf(canister.id));
    this.#world.forget(canister);
    this.#world.changed();
  }

  /** Writes each canister's state below dir. Returns what restore() needs besides. */
  save(dir) {
    return { next: String(this.#next), all: [...this].map((canister) => canister.save(join(dir, canister.name))) };
  }

  restore(dir, { next, all }) {
    this.#next = BigInt(next);
    for (const saved of all) {
      this.#all.set(saved.id, Canister.restore(saved, this.#world, (name) => join(dir, name)));
    }
  }
}
