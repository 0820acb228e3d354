// What the tests of backup/ share: names of chunk files, copies by cp and rsync, and what the network was asked for.
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { IDL } from '@icp-sdk/core/candid';
import { run } from './harness.mjs';

const env = { ...process.env, LC_ALL: 'C' };

export const chunkName = (start, ending = 'candid') => `${String(start).padStart(10, '0')}.${ending}`;

// The files of a collection of `total` items, `step` in each.
export const chunkStarts = (total, step = 1000) => Array.from({ length: Math.ceil(total / step) }, (_, i) => i * step);
export const chunkNames = (total, step, ending) => chunkStarts(total, step).map((start) => chunkName(start, ending));

// --- messages ---

export const decode = (type, bytes) => IDL.decode([type], new Uint8Array(bytes))[0];

// A value of the same type with a few elements of each list.
function shortened(value) {
  if (Array.isArray(value)) return value.slice(0, 3).map(shortened);
  if (value === null || Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, shortened(inner)]));
}

const decoded = new Map(); // type -> headers of messages that were decoded

// A Candid message against the bytes of its values. @icp-sdk/core decodes a megabyte in a second, so what it decodes of many
// messages is one of each header, with few elements: `like` is a value of the type. Equal headers and equal bytes behind
// them are equal values.
export function assertValues(type, bytes, values, like, what) {
  const header = bytes.subarray(0, Math.max(0, bytes.length - values.length));
  assert.ok(bytes.subarray(header.length).equals(values), `${what}: ${bytes.length} bytes, ${values.length} of values expected`);
  const known = decoded.get(type) ?? new Set();
  if (!known.has(header.toString('hex'))) {
    const few = shortened(like);
    assert.deepEqual(decode(type, Buffer.concat([header, type.encodeValue(few)])), few, `${what}: its types`);
    decoded.set(type, known.add(header.toString('hex')));
  }
}

export function assertMessage(type, bytes, want, what) {
  assertValues(type, bytes, Buffer.from(type.encodeValue(want)), want, what);
}

// --- copies ---

// Exit status and both outputs of a command, whether it fails or not. LC_ALL=C.
export async function outcome(command, ...args) {
  return run(command, args, { env, maxBuffer: 2 ** 26 }).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    ({ code, stdout, stderr }) => ({ code, stdout, stderr }),
  );
}

export async function output(command, ...args) {
  const { code, stdout, stderr } = await outcome(command, ...args);
  assert.equal(code, 0, `${command} ${args.join(' ')}: ${stderr}`);
  return stdout;
}

// rsync -a of what is in a directory: how many files it transferred, and what it has to say of each change.
export async function rsync(from, to) {
  const stdout = await output('rsync', '-a', '--itemize-changes', '--stats', `${from}/`, to);
  const [changes, stats] = stdout.split('\nNumber of files:');
  const [, transferred] = /Number of regular files transferred: ([\d,]+)/.exec(stats);
  return {
    transferred: Number(transferred.replaceAll(',', '')),
    changes: changes.split('\n').filter((line) => line.length > 0),
  };
}

// Every file below a directory, by its path there.
export async function filesOf(dir) {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => !entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name));
  return new Map(await Promise.all(paths.sort().map(async (path) => [path.slice(dir.length + 1), await readFile(path)])));
}

// --- what the network was asked for ---

const isQuery = (method) => (entry) => entry.endpoint === 'query' && entry.method === method;

// The calls of a paged method for items, in the order of their ends: start, limit, and the log's entry.
export function callsFor(log, method, [start, limit]) {
  return log
    .filter(isQuery(method))
    .map((entry) => {
      const [from, count] = IDL.decode([start, limit], Uint8Array.from(Buffer.from(entry.arg, 'hex'))).map(Number);
      return { start: from, limit: count, ...entry };
    })
    .filter((call) => call.limit > 0);
}

export const isGood = ({ status, reject, fault }) => status === 200 && reject === null && fault === null;

// Every one of `total` items was asked for in one call that succeeded, and in no second one; but for calls that the mount gave
// up and made anew, as it says: nothing came back in 12 s, on a busy machine.
export async function assertAskedOnce(calls, total, mount) {
  let { retries } = (await mount.json('stats')).calls;
  const made = new Set();
  const times = new Uint8Array(total);
  for (const { start, limit } of calls.filter(isGood)) {
    const isAgain = made.has(`${start} ${limit}`);
    if (isAgain && retries-- > 0) continue;
    made.add(`${start} ${limit}`);
    for (let i = start; i < start + limit; i++) times[i] += 1;
  }
  const wrong = times.findIndex((n) => n !== 1);
  assert.equal(wrong, -1, `item ${wrong} was asked for ${times[wrong]} times`);
}

// The largest number of calls that were under way at once.
export function mostAtOnce(calls) {
  const events = calls.flatMap(({ began, ms }) => [[began, 1], [began + ms, -1]]).sort(([a, x], [b, y]) => a - b || x - y);
  let [now, most] = [0, 0];
  for (const [, step] of events) most = Math.max(most, (now += step));
  return most;
}
