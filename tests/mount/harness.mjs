// What every mount test needs: a local network as a process of its own (a test that reads its own
// mount must not serve it from the same event loop), mounts that are always taken down, and errnos.
import { spawn, execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
export const top = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
// Absolute: tests link to it, and run it from elsewhere.
export const program = resolve(process.env.CANISTERFS ?? join(top, 'build', 'canisterfs'));
// Built with a sanitizer, whose own memory and time are not the program's.
export const isSanitized = /__[at]san_init/.test(readFileSync(program, 'latin1'));

const JANITOR = join(top, 'tests', 'mount', 'janitor.sh');

// Ends with us, also when we are killed.
export const tethered = (command, args) => ['setpriv', ['--pdeathsig', 'TERM', command, ...args]];

// Everything that must be undone, newest first, whatever happens to the test. When the test is killed the janitor does it.
export class Stage {
  #undo = [];

  static async open() {
    const stage = new Stage();
    stage.dir = await mkdtemp(join(tmpdir(), 'canisterfs-test-'));
    const janitor = spawn(JANITOR, [stage.dir], { stdio: ['pipe', 'inherit', 'inherit'], detached: true });
    janitor.unref();
    janitor.stdin.unref();
    stage.onClose(async () => {
      await stage.#remove();
      janitor.stdin.end();
    });
    return stage;
  }

  onClose(fn) {
    this.#undo.push(fn);
  }

  async close() {
    const errors = [];
    while (this.#undo.length > 0) {
      try {
        await this.#undo.pop()();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw new AggregateError(errors, errors.map(String).join('; '));
  }

  // The directory goes last, and whatever is still mounted below it before: rm must never walk into a mount.
  async #remove() {
    const left = await mountsBelow(this.dir);
    for (const point of left) await run('fusermount3', ['-uz', point]);
    await run('rm', ['-rf', '--one-file-system', this.dir]);
    if (left.length > 0) throw new Error(`left mounted: ${left.join(', ')}`);
  }

  // Start the local network, by default without the wait for blocks; resolves to the JSON line it prints, with helpers
  // for its test endpoints.
  async network(args = []) {
    const replica = tethered(join(top, 'scripts', 'replica'), ['--block-ms', '0', ...args]);
    const child = spawn(...replica, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.onClose(async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGTERM');
      await once(child, 'exit');
    });
    const ready = await firstLine(child);
    return new Network({ ...JSON.parse(ready), pid: child.pid });
  }

  // Mount and return the mount point. `args` are further command line words.
  async mount(network, canister, args = [], { env = {} } = {}) {
    const point = join(this.dir, `mnt-${Math.random().toString(36).slice(2)}`);
    await mkdir(point);
    const child = spawn(...tethered(program, ['-f', ...networkArgs(network), ...args, canister, point]), {
      stdio: ['ignore', 'inherit', 'pipe'],
      env: { ...process.env, ...env },
    });
    const mount = new Mount(child, point);
    this.onClose(() => mount.unmount());
    await mount.waitUntilServing();
    return mount;
  }
}

// Mount points below a directory, the newest first.
export async function mountsBelow(dir) {
  const lines = (await readFile('/proc/self/mountinfo', 'utf8')).trimEnd().split('\n');
  const points = lines.map((line) => line.split(' ')[4]);
  return points.filter((point) => point.startsWith(`${dir}/`)).reverse();
}

export function networkArgs(network) {
  return ['-o', `network=${network.url},root_key=${network.root_key}`];
}

async function firstLine(child) {
  let text = '';
  for await (const chunk of child.stdout) {
    text += chunk;
    if (text.includes('\n')) return text.slice(0, text.indexOf('\n'));
  }
  throw new Error(`the local network ended before it was ready: ${text}`);
}

class Network {
  constructor(ready) {
    Object.assign(this, ready);
  }

  async #post(path, body) {
    const reply = await fetch(new URL(path, this.url), { method: 'POST', body: JSON.stringify(body) });
    if (!reply.ok) throw new Error(`${path}: ${reply.status} ${await reply.text()}`);
  }

  faults(rules) {
    return this.#post('/_test/faults', rules);
  }

  options(options) {
    return this.#post('/_test/options', options);
  }

  async #get(path) {
    const reply = await fetch(new URL(path, this.url));
    return reply.json();
  }

  log() {
    return this.#get('/_test/log');
  }

  // Until `n` requests, as `what` describes them ({ method: 'read' }), are under way.
  async untilAsked(what, n = 1) {
    const fits = (request) => Object.entries(what).every(([name, value]) => request[name] === value);
    await eventually(async () => (await this.#get('/_test/active')).filter(fits).length >= n);
  }

  // The requests that `fn` caused.
  async requestsDuring(fn) {
    const before = (await this.log()).length;
    await fn();
    return (await this.log()).slice(before);
  }
}

export class Mount {
  stderr = '';

  constructor(child, point) {
    this.child = child;
    this.point = point;
    this.pid = child.pid;
    child.stderr.on('data', (chunk) => (this.stderr += chunk));
    // Not "exit", which may come before the last words.
    this.exited = once(child, 'close').then(([code, signal]) => ({ code, signal }));
  }

  path(...names) {
    return join(this.point, ...names);
  }

  // /proc/self/mountinfo tells when the kernel has it; no fixed sleeps.
  async waitUntilServing() {
    const deadline = Date.now() + 60000;
    while (!(await mountsBelow(dirname(this.point))).includes(this.point)) {
      if (this.child.exitCode !== null) throw new Error(`canisterfs exited ${this.child.exitCode}: ${this.stderr}`);
      if (Date.now() > deadline) throw new Error('the mount did not come up');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async unmount() {
    const isOver = this.child.exitCode !== null || this.child.signalCode !== null;
    if (!isOver) await run('fusermount3', ['-uz', this.point]).catch(() => {});
    const timer = setTimeout(() => this.child.kill('SIGKILL'), 20000);
    const { code, signal } = await this.exited;
    clearTimeout(timer);
    if (!isOver && code !== 0) throw new Error(`canisterfs ended with ${code ?? signal}: ${this.stderr}`);
    if (/Sanitizer|runtime error/.test(this.stderr)) throw new Error(this.stderr);
  }

  // Until it has written this to standard error.
  async says(words) {
    await eventually(() => words.test(this.stderr)).catch((error) => {
      throw new Error(`${error.message}\n${this.stderr}`);
    });
  }

  async json(name) {
    return JSON.parse(await readFile(this.path('.canisterfs', name), 'utf8'));
  }

  async jobs() {
    return (await this.json('status')).jobs;
  }

  // The last job of this command, once it has ended. look: called with it whenever it is looked at before.
  async ended(command, look = () => {}, deadlineMs = 600_000) {
    let job;
    await eventually(async () => {
      job = (await this.jobs()).findLast((other) => other.command === command);
      const hasEnded = job.state === 'done' || job.state === 'failed';
      if (!hasEnded) await look(job);
      return hasEnded;
    }, deadlineMs);
    return job;
  }

  // Give a command; resolves to its job once it has ended.
  async job(command) {
    await writeFile(this.path('.canisterfs', 'control'), `${command}\n`);
    return this.ended(command);
  }
}

// Run the program where it is expected to fail before it mounts. One that has not ended after the deadline is ended;
// its code is null.
export async function refused(args, deadlineMs = 60000) {
  const child = spawn(...tethered(program, args), { stdio: ['ignore', 'pipe', 'pipe'] });
  let stderr = '';
  child.stderr.on('data', (chunk) => (stderr += chunk));
  let late = false;
  const end = setTimeout(() => (late = child.kill('SIGTERM')), deadlineMs);
  const kill = setTimeout(() => child.kill('SIGKILL'), deadlineMs + 10000);
  const [code] = await once(child, 'close'); // not "exit", which may come before the last words
  clearTimeout(end);
  clearTimeout(kill);
  return late ? { code: null, stderr: `${stderr}(did not end by itself)` } : { code, stderr };
}

// Bytes [offset, offset + length) up to the end of the file, or the name of an errno. read(2) may return the bytes before a
// failed page first: only 0 means the end.
export async function pread(path, offset, length) {
  let file;
  try {
    file = await open(path, 'r');
    const buffer = Buffer.alloc(length);
    let done = 0;
    while (done < length) {
      const { bytesRead } = await file.read(buffer, done, length - done, offset + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return buffer.subarray(0, done);
  } catch (error) {
    return errnoName(error);
  } finally {
    await file?.close();
  }
}

// Wait until `condition` resolves to something true; no fixed sleeps. The deadline is for a busy machine: a test that is about
// a duration says so itself.
export async function eventually(condition, deadlineMs = 60000) {
  const deadline = Date.now() + deadlineMs;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not within ${deadlineMs} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

// The name of an error's errno. error.code does not do: libuv has no name for ESTALE.
export function errnoName(error) {
  const found = Object.entries(constants.errno).find(([, number]) => number === -error.errno);
  return found ? found[0] : error.code;
}

// The same of a promise that may fail.
export const errnoOf = (promise) => promise.then(() => 'no error', errnoName);

const MASK = (1n << 64n) - 1n;

// The 8-byte little-endian word `index` of the sample canister's data (tests/canisters/README.md).
export function seedWord(seed, index) {
  let z = (seed + BigInt(index)) & MASK;
  z = (z + 0x9e3779b97f4a7c15n) & MASK;
  z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & MASK;
  z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & MASK;
  return z ^ (z >> 31n);
}

// Bytes [offset, offset + length) of that stream.
export function seedBytes(seed, offset, length) {
  const first = Math.floor(offset / 8);
  const last = Math.ceil((offset + length) / 8);
  const buffer = Buffer.alloc((last - first) * 8);
  for (let i = first; i < last; i++) buffer.writeBigUInt64LE(seedWord(seed, i), (i - first) * 8);
  return buffer.subarray(offset - first * 8, offset - first * 8 + length);
}

export { run };
