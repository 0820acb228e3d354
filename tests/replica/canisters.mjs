// The subnet's canisters: what the network knows of each (status, controllers, cycles, settings) around its engine.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { CanisterEngine } from './engine/canister.mjs';
import { RejectError } from './engine/reject.mjs';
import { canisterId, equal, hexOf, textOf } from './principal.mjs';

/** Canister ids of the subnet: several intervals, so that clients have to choose the right shard. */
export const RANGES = [
  [canisterId(0x0100_0000n), canisterId(0x010f_ffffn)],
  [canisterId(0x0200_0000n), canisterId(0x020f_ffffn)],
  [canisterId(0x8000_0000_0010_0000n), canisterId(0x8000_0000_001f_ffffn)], // where other local networks begin
];
const FIRST = 0x0100_0000n;

export const isHosted = (id) =>
  RANGES.some(([low, high]) => Buffer.compare(low, id) <= 0 && Buffer.compare(id, high) <= 0);

const DEFAULT_CYCLES = 100_000_000_000_000n;

/** ic0.canister_status */
const STATUS_NUMBER = { running: 1, stopping: 2, stopped: 3 };

export class Canister {
  #world;
  #turn = Promise.resolve();

  /**
   * @param {object} facts { id, controllers, cycles, status }
   * @param {object} world what the network tells all its canisters: time(), rootKey, subnetId, log(),
   *                       dataCertificate(id), changed()
   */
  constructor({ id, controllers, cycles = DEFAULT_CYCLES, status = 'running' }, world, stateDir = null) {
    this.id = id;
    this.name = textOf(id);
    this.controllers = controllers;
    this.cycles = cycles;
    this.status = status;
    this.subtree = null; // of the state tree, until the next change
    this.#world = world;
    const env = {
      time: world.time,
      rootKey: world.rootKey,
      subnetId: world.subnetId,
      isController: (principal) => this.isController(principal),
      dataCertificate: () => world.dataCertificate(id),
      status: () => STATUS_NUMBER[this.status],
      cycles: () => this.cycles,
      log: (text) => world.log(`[${this.name}] ${text}`),
    };
    this.engine = stateDir === null ? new CanisterEngine({ id, env }) : CanisterEngine.loadState(stateDir, { id, env });
  }

  isController(principal) {
    return this.controllers.some((controller) => equal(controller, principal));
  }

  requireController(principal) {
    if (this.isController(principal)) return;
    throw new RejectError(
      5,
      'IC0512',
      `Only the controllers of the canister ${this.name} can control it.\n` +
        `Canister's controllers: ${this.controllers.map(textOf).join(' ')}\n` +
        `Sender's ID: ${textOf(principal)}`,
    );
  }

  requireRunning() {
    if (this.status === 'running') return;
    throw new RejectError(5, 'IC0508', `Canister ${this.name} is stopped`);
  }

  setStatus(status) {
    if (this.status === status) return;
    this.status = status;
    this.engine.bumpVersion();
    this.changed();
  }

  /** What the state tree says of this canister may be different now. */
  changed() {
    this.subtree = null;
    this.#world.changed();
  }

  /**
   * Runs a query and gives its reply to use(), at once: it is a view that the canister's next message overwrites.
   * @returns what use() returns
   */
  query(message, use) {
    return this.#exclusive(async () => {
      this.requireRunning();
      const { reply } = await this.engine.query(message);
      return use(reply);
    });
  }

  /** Runs an update; begin() is called, and may throw, when its turn comes. Returns a copy of the reply. */
  update(message, begin = () => {}) {
    return this.#exclusive(async () => {
      begin();
      this.requireRunning();
      try {
        const { reply } = await this.engine.update(message);
        return new Uint8Array(reply);
      } finally {
        this.changed();
      }
    });
  }

  /** @param {object} code of the engine's install() or upgrade() */
  install({ mode, ...code }) {
    return this.#exclusive(async () => {
      try {
        if (mode === 'upgrade') this.engine.upgrade(code);
        else this.engine.install({ mode, ...code });
      } finally {
        this.changed();
      }
    });
  }

  /** One message at a time, in the order they came. */
  #exclusive(action) {
    const done = this.#turn.then(action);
    this.#turn = done.catch(() => {});
    return done;
  }
}

export class Canisters {
  #world;
  #all = new Map();
  #next = FIRST;

  constructor(world) {
    this.#world = world;
  }

  [Symbol.iterator]() {
    return this.#all.values();
  }

  /** @throws {RejectError} IC0301 */
  get(id) {
    const canister = this.#all.get(hexOf(id));
    if (canister === undefined) throw new RejectError(3, 'IC0301', `Canister ${textOf(id)} not found.`);
    return canister;
  }

  has(id) {
    return this.#all.has(hexOf(id));
  }

  /** @param {Uint8Array|null} id of the caller's choice, or the next free one */
  create({ controllers, cycles, id = null }) {
    if (id !== null && !isHosted(id)) {
      throw new RejectError(4, 'IC0405', `The canister id ${textOf(id)} is not hosted by this subnet`);
    }
    if (id !== null && this.has(id)) throw new RejectError(2, 'IC0205', `Canister ${textOf(id)} exists already`);
    while (this.has(canisterId(this.#next))) this.#next++;
    const canister = new Canister({ id: id ?? canisterId(this.#next), controllers, cycles }, this.#world);
    this.#all.set(hexOf(canister.id), canister);
    this.#world.changed();
    return canister;
  }

  /** Writes each canister's state below dir. Returns what restore() needs besides. */
  save(dir) {
    return [...this].map((canister) => {
      const own = join(dir, canister.name);
      mkdirSync(own, { recursive: true });
      canister.engine.saveState(own);
      return {
        id: hexOf(canister.id),
        controllers: canister.controllers.map(hexOf),
        cycles: String(canister.cycles),
        status: canister.status,
      };
    });
  }

  restore(dir, saved) {
    const bytes = (hex) => new Uint8Array(Buffer.from(hex, 'hex'));
    for (const { id, controllers, cycles, status } of saved) {
      const facts = { id: bytes(id), controllers: controllers.map(bytes), cycles: BigInt(cycles), status };
      this.#all.set(id, new Canister(facts, this.#world, join(dir, textOf(facts.id))));
    }
  }
}
