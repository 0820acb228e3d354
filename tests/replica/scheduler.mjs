// What canisters do without being called: heartbeats once a round, the global timer when its time has come, and the
// hook for low memory once when memory gets low. Rules: IC interface spec, "Heartbeat", "Global timer" and "On low Wasm memory".

/** The longest time setTimeout can wait. */
const MAX_WAIT_MS = 2 ** 31 - 1;
const DEFAULT_ROUND_MS = 1000;

export class Scheduler {
  #network;
  #timers = new Map(); // canister -> timeout
  #beat = null;
  #withHeartbeat = new Set();
  #isStopped = false;

  /** @param {object} network  now(), options.blockMs: how long a round is, a second when 0 */
  constructor(network) {
    this.#network = network;
  }

  /** A canister's code, timer, status or memory may be different: sees to what is due. */
  watch(canister) {
    if (this.#isStopped) return;
    if (canister.engine.isMemoryLow && canister.status === 'running') setImmediate(() => canister.onLowMemory());
    this.#watchTimer(canister);
    if (canister.status === 'running' && canister.engine.hasTask('heartbeat')) this.#withHeartbeat.add(canister);
    else this.#withHeartbeat.delete(canister);
    if (this.#beat === null && this.#withHeartbeat.size > 0) this.#scheduleBeat();
  }

  forget(canister) {
    clearTimeout(this.#timers.get(canister));
    this.#timers.delete(canister);
    this.#withHeartbeat.delete(canister);
  }

  stop() {
    clearTimeout(this.#beat);
    this.#isStopped = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#withHeartbeat.clear();
  }

  #watchTimer(canister) {
    clearTimeout(this.#timers.get(canister));
    this.#timers.delete(canister);
    const time = canister.engine.globalTimer;
    if (time === 0n || canister.status !== 'running' || !canister.engine.hasTask('global_timer')) return;
    const wait = Number((time - this.#network.now()) / 1_000_000n) + 1;
    const timer = setTimeout(() => this.#goOff(canister), Math.min(Math.max(wait, 0), MAX_WAIT_MS));
    timer.unref();
    this.#timers.set(canister, timer);
  }

  #goOff(canister) {
    if (this.#network.now() < canister.engine.globalTimer) return void this.#watchTimer(canister);
    canister.engine.clearTimer();
    canister.runTask('global_timer');
  }

  /** The next round is settled before this one's tasks run: they come back to watch(). */
  #scheduleBeat() {
    const beat = () => {
      this.#beat = null;
      if (this.#withHeartbeat.size === 0) return;
      this.#scheduleBeat();
      for (const canister of [...this.#withHeartbeat]) canister.runTask('heartbeat');
    };
    this.#beat = setTimeout(beat, this.#network.options.blockMs || DEFAULT_ROUND_MS);
    this.#beat.unref();
  }
}
