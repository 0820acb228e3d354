// Restores that something ends half-way: canisters to restore, tools that restore them, and holding the n-th update call so
// that something can be ended just then. What must hold afterwards is in class Restore: look() and end().
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Actor } from '@icp-sdk/core/agent';
import { IDL } from '@icp-sdk/core/candid';
import { Client } from './client.mjs';
import { RESTORE, Version } from './convention.mjs';
import { Dscvr } from './dscvr.mjs';
import { eventually, run, seedBytes, tethered } from './harness.mjs';
import { createCanister, installCode, moduleOf } from './install.mjs';
import { isAlive } from './process.mjs';
import { ShapedCanister } from './shapes.mjs';

const MIB = 2 ** 20;
const PAGE = 65536;
const OLD = seedBytes(1n, 0, MIB);
const NEW = seedBytes(99n, 0, 3 * MIB);
const N_ITEMS = 300;
const N_CONTENTS = 12;

const nat64s = (...numbers) => new Uint8Array(IDL.encode(numbers.map(() => IDL.Nat64), numbers.map(BigInt)));

// --- canisters ---

// What they have in common: old and new content, and a way to look at it that is not the program's.
//
//   file      of the mount, that is restored; `source`: what to restore
//   isAtomic  the canister is old or new, never mixed
//   isExact   an item that comes twice is counted
class MemoryCanister {
  file = ['stable_memory'];
  source = NEW;

  async state() {
    const bytes = await this.bytes();
    if (bytes.equals(OLD)) return 'old';
    if (bytes.equals(NEW)) return 'new';
    assert.ok(!this.isAtomic, `${bytes.length} bytes, neither the old nor the new ones`);
    assert.ok(bytes.length <= NEW.length, `it grew to ${bytes.length} bytes`);
    for (let at = 0; at < bytes.length; at += PAGE) {
      const page = bytes.subarray(at, at + PAGE);
      const isOurs = [OLD, NEW, Buffer.alloc(NEW.length)].some((all) => page.equals(all.subarray(at, at + PAGE)));
      assert.ok(isOurs, `the page at ${at} is neither old nor new`);
    }
    return 'mixed';
  }
}

class Sample extends MemoryCanister {
  isAtomic = true;

  static of(rig, id) {
    const canister = new Sample();
    Object.assign(canister, { id, client: rig.client });
    canister.actor = Actor.createActor(() => IDL.Service(RESTORE), { agent: rig.client.agent, canisterId: id });
    return canister;
  }

  static async open(rig, module = 'sample') {
    const principal = await createCanister(rig.client.agent);
    await installCode(rig.client.agent, principal, moduleOf(module));
    await rig.client.update(principal.toText(), 'seed', nat64s(OLD.length, 1));
    return Sample.of(rig, principal.toText());
  }

  async stableVersion() {
    const reply = await this.client.query(this.id, 'stable_version', nat64s());
    return IDL.decode([Version], reply)[0];
  }

  async version() {
    return (await this.stableVersion()).version;
  }

  // Also of one that is being applied: it is neither old nor new to anybody who asks, but busy.
  async bytes() {
    const parts = [];
    const size = Number((await this.stableVersion()).size);
    for (let at = 0; at < size; at += MIB) parts.push(await this.client.stableRead(this.id, at, Math.min(MIB, size - at)));
    return Buffer.concat(parts);
  }

  async state() {
    return super.state().catch((error) => {
      if (/busy/.test(error.message)) return 'busy';
      throw error;
    });
  }

  // Nothing is left open: somebody else may begin.
  async settled() {
    const { size } = await this.stableVersion();
    const request = { target: 'stable_memory', size, sha256: new Uint8Array(32), base_version: [] };
    const { ok, err } = await this.actor.restore_begin(request);
    assert.ok(ok, `somebody else cannot restore: ${JSON.stringify(err)}`);
    await this.actor.restore_abort(ok.session);
  }
}

class Plain extends MemoryCanister {
  isAtomic = false;

  static async open(rig, shape) {
    const canister = new Plain();
    const made = await ShapedCanister.install(rig.client.agent, shape, { size: OLD.length, seed: 1n });
    Object.assign(canister, { id: made.id, actor: made.actor, shape });
    return canister;
  }

  async bytes() {
    const { actor } = this;
    const isWords = this.shape === 'stable64';
    const size = isWords ? (await actor.stable64_size()) * BigInt(PAGE) : await actor.stable_size();
    const read = isWords ? actor.stable64_read : actor.stable_read;
    const parts = [];
    for (let at = 0n; at < size; at += BigInt(MIB)) {
      const left = size - at;
      parts.push(Buffer.from(await read(at, left < BigInt(MIB) ? left : BigInt(MIB))));
    }
    return Buffer.concat(parts);
  }
}

// Of which the first `n` items are there, each given once.
class Items {
  isAtomic = false;
  isExact = true;
  file = ['backup', 'items', '0000000000.candid'];

  static async open(rig) {
    const canister = new Items();
    canister.source = await rig.saved('items', async () => {
      const from = await ShapedCanister.install(rig.client.agent, 'items', { size: N_ITEMS, seed: 5n });
      rig.items = (await from.actor.backup_items_chunk(0n, BigInt(N_ITEMS)))[0];
      return [from, canister.file];
    });
    const made = await ShapedCanister.install(rig.client.agent, 'items', { size: 0, seed: 5n });
    await made.actor.configure('restore_above=100');
    Object.assign(canister, { id: made.id, actor: made.actor, expected: rig.items });
    return canister;
  }

  async state() {
    const counts = await this.actor.restored();
    const length = Number(counts.items);
    assert.ok(length <= N_ITEMS, `${length} items were given, and there are ${N_ITEMS}`);
    const [there] = await this.actor.backup_items_chunk(0n, BigInt(length)); // traps if one came twice
    assert.deepEqual(there.chunk, this.expected.chunk.slice(0, length));
    if (length < N_ITEMS) return length === 0 ? 'old' : 'mixed';
    assert.equal(Number(counts.notes), this.expected.notes.length, 'each note was given once');
    return 'new';
  }
}

class Contents {
  isAtomic = false;
  file = ['backup', 'content', '0000000000.candid'];
  options = ['profile=dscvr'];

  static async open(rig) {
    const canister = new Contents();
    canister.source = await rig.saved('dscvr', async () => {
      const from = await Dscvr.install(rig.client.agent, { count: N_CONTENTS, seed: 5n });
      rig.contents = from.data.chunk('content', 0, N_CONTENTS);
      return [from, canister.file, canister.options];
    });
    const made = await Dscvr.install(rig.client.agent, { count: 0, seed: 5n });
    Object.assign(canister, { id: made.id, actor: made.actor, expected: rig.contents });
    return canister;
  }

  async state() {
    const [there] = await this.actor.backup_content_chunks(0n, BigInt(N_CONTENTS)).catch(() => [{ chunk: [] }]);
    if (there.chunk.length === 0) return 'old';
    if (there.chunk.length < N_CONTENTS) return 'mixed';
    assert.deepEqual([there], this.expected);
    return 'new';
  }
}

export const SHAPES = {
  sample: (rig) => Sample.open(rig),
  sample_steps: (rig) => Sample.open(rig, 'sample_steps'),
  factland: (rig) => Plain.open(rig, 'factland'),
  stable64: (rig) => Plain.open(rig, 'stable64'),
  items: (rig) => Items.open(rig),
  dscvr: (rig) => Contents.open(rig),
  demo: (rig) => Sample.of(rig, rig.network.canisters.sample), // of a network with --demo
};

// --- the network, and what is restored ---

const env = { ...process.env, LC_ALL: 'C' };

export const TOOLS = {
  cp: (from, to) => ['cp', [from, to]],
  rsync: (from, to) => ['rsync', ['-I', from, to]],
};

// How the n-th update call is held.
export const HOLDS = {
  'before it arrives': { kind: 'stall' },
  'while it waits to be executed': { kind: 'late', ms: 700 },
  'when its reply is lost': { kind: 'stall', in_body: true },
};
const LATE_MS = 700;

// A network of its own, for one case at a time.
export class Rig {
  #saved = new Map();
  #names = 0;

  static async open(stage, args = []) {
    const rig = new Rig();
    rig.stage = stage;
    rig.dir = mkdtempSync(join(stage.dir, 'rig-'));
    rig.args = args;
    rig.network = await stage.network(args);
    rig.client = await Client.open(rig.network);
    return rig;
  }

  // A file of a canister that is made once, as a mount gives it: make() resolves to it, the file's path, and options.
  async saved(name, make) {
    if (!this.#saved.has(name)) {
      const [canister, path, options = []] = await make();
      const mount = await this.stage.mount(this.network, canister.id, ['-o', [`identity=${this.network.identity}`, ...options].join()]);
      this.#saved.set(name, readFileSync(mount.path(...path)));
      await mount.unmount();
    }
    return this.#saved.get(name);
  }

  // A new name below the directory.
  name() {
    return join(this.dir, `${++this.#names}`);
  }

  // Ends the network, and starts it again where it was. It needs a --state.
  async restart(signal) {
    await this.end(signal);
    this.network = await this.stage.network([...this.args, '--port', new URL(this.network.url).port]);
  }

  async end(signal = 'SIGTERM') {
    process.kill(this.network.pid, signal);
    await eventually(() => !isAlive(this.network.pid));
  }

  async active() {
    return (await fetch(new URL('/_test/active', this.network.url))).json();
  }

  async begin(shape, options = []) {
    await this.network.faults([]);
    const run = new Restore(this, await SHAPES[shape](this), options);
    await run.mountAgain();
    return run;
  }
}

// One canister that is restored, perhaps again and again.
export class Restore {
  constructor(rig, canister, options) {
    Object.assign(this, { rig, canister, staging: rig.name(), from: rig.name() });
    this.options = ['rw', `identity=${rig.network.identity}`, `staging_dir=${this.staging}`, 'restore_inflight=1', 'attr_timeout=100ms', 'timeout=15s',
      ...(canister.options ?? []), ...options];
    mkdirSync(this.staging);
    writeFileSync(this.from, canister.source);
  }

  async mountAgain() {
    this.mount = await this.rig.stage.mount(this.rig.network, this.canister.id, ['-o', this.options.join()]);
  }

  get path() {
    return this.mount.path(...this.canister.file);
  }

  // Starts a tool in a process group of its own.
  start(tool, from = this.from) {
    const child = spawn(...tethered(...TOOLS[tool](from, this.path)), { env, stdio: ['ignore', 'ignore', 'pipe'], detached: true });
    child.words = '';
    child.stderr.on('data', (chunk) => (child.words += chunk));
    child.ended = once(child, 'close').then(([code, signal]) => {
      child.isOver = true;
      return { code, signal, words: child.words };
    });
    this.rig.stage.onClose(() => child.isOver || process.kill(-child.pid, 'SIGKILL'));
    return child;
  }

  // Until the n-th update call from now on is held, or the tool has ended without; false then.
  async held(tool, hold) {
    let found = false;
    await eventually(async () => {
      const active = await this.rig.active();
      found = active.some(({ canister, fault, status }) => canister === this.canister.id && fault === hold.kind && (!hold.in_body || status !== 0));
      return found || tool.isOver;
    });
    return found;
  }

  // None was: there are fewer calls. False when one was, which a busy machine did not see in time: to be tried again.
  async wasNone(hold) {
    return !(await this.rig.network.log()).some(({ canister, fault }) => canister === this.canister.id && fault === hold.kind);
  }

  hold(n, hold) {
    return this.rig.network.faults([{ endpoint: 'call', canister: this.canister.id, nth: n, ...hold }]);
  }

  async killDaemon() {
    this.mount.child.kill('SIGKILL');
    await this.mount.exited;
    await run('fusermount3', ['-uz', this.mount.point]).catch(() => {});
  }

  // What was under way has been executed, if it ever is.
  async settle(hold) {
    if (hold?.kind === 'late') await new Promise((resolve) => setTimeout(resolve, LATE_MS + 100));
    await this.rig.network.faults([]);
  }

  async restores() {
    return (await this.mount.json('status')).restores;
  }

  async again(tool) {
    const { code, words } = await this.start(tool).ended;
    assert.equal(code, 0, `the same ${tool} once more: ${words}`);
  }

  // What was left by a commit, as status tells it, goes on by its number.
  async resume() {
    const [restore] = await this.restores();
    assert.ok(['found', 'failed'].includes(restore?.state), `status tells of it: ${JSON.stringify(restore)}`);
    const job = await this.mount.job(`restore resume ${restore.id}`);
    assert.equal(job.state, 'done', JSON.stringify(job.error));
  }

  // The same tool once more. Where items would be given twice, or the canister is in the middle of applying, it is refused,
  // and something says what to do.
  async repeat(tool) {
    const state = await this.canister.state();
    const isCollection = this.canister.file[0] === 'backup';
    if (state === 'old' || (!isCollection && state !== 'busy')) return this.again(tool);
    const { code, words } = await this.start(tool).ended;
    assert.notEqual(code, 0);
    assert.match(words, /Device or resource busy/);
    const { message } = (await this.restores()).at(-1);
    assert.match(message, isCollection ? /interrupted after \d+ of \d+ items: control restore resume/ : /was committing/);
    return this.resume();
  }

  // Where it stands now. Sees to it that an atomic canister changes once: from then on it is new, and of one version.
  async look() {
    const state = await this.canister.state();
    const version = state === 'busy' ? undefined : await this.canister.version?.();
    if (this.canister.isAtomic && state === 'new') {
      assert.ok(this.newVersion === undefined || this.newVersion === version, 'the version moved once');
      this.newVersion = version;
    } else {
      assert.equal(this.newVersion, undefined, 'it was new before');
    }
    return state;
  }

  // The end of every case: it is new, nothing is staged any more, nobody is kept out; and the same once more changes nothing.
  async end(tool = 'cp') {
    assert.equal(await this.look(), 'new');
    assert.deepEqual(await this.restores(), [], 'nothing is staged');
    if (!this.canister.isExact) {
      await this.again(tool);
      assert.equal(await this.look(), 'new');
    }
    await this.canister.settled?.();
    await this.mount.unmount();
  }
}
