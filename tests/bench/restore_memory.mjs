// Restoring stable memory by cp.
import { createCipheriv, randomBytes } from 'node:crypto';
import { open, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../mount/harness.mjs';
import { BLOCK, fixed, MIB, median, ranged, seconds, spread } from './measure.mjs';
import { leastCalls, leastSeconds, MODELLED, mountToRestore, restoring } from './restore_measure.mjs';

const PIECE = 16 * MIB;

// A file of bytes that no other has, fast.
async function writeRandom(path, size) {
  const cipher = createCipheriv('aes-128-ctr', randomBytes(16), randomBytes(16));
  const file = await open(path, 'w');
  for (let at = 0; at < size; at += PIECE) await file.write(cipher.update(Buffer.alloc(Math.min(PIECE, size - at))), 0, undefined, at);
  await file.close();
}

// Other bytes in some pages of a file.
async function changePages(path, pages) {
  const file = await open(path, 'r+');
  for (const page of pages) await file.write(randomBytes(16), 0, 16, page * BLOCK + 4711);
  await file.close();
}

const restore = (network, mount, file) => restoring(network, mount, () => run('cp', [file, mount.path('stable_memory')]));

// What cp takes until all is staged, and what hashing it here takes.
const rest = (r) => r.seconds - r.compared_first_s - r.staged_s;

async function fresh(stage, network, size, options) {
  const file = join(stage.dir, 'saved');
  await writeRandom(file, size);
  const mount = await mountToRestore(stage, network, network.canisters.sample, options);
  const result = await restore(network, mount, file);
  await mount.unmount();
  return result;
}

const sampleOf = (stage, size) => stage.network([...MODELLED, '--demo', '--demo-size', String(size)]);

// --- how many calls at once ---

const INFLIGHTS = [1, 2, 4, 8, 16];
const SCANNED = 32 * MIB;
// ms until a block may take a call.
const LATENCIES = [200, 1000, 2000, 3000];

export async function inflights(stage, { repeat }) {
  const network = await sampleOf(stage, SCANNED);
  const rows = LATENCIES.flatMap((updateMs) => INFLIGHTS.map((inflight) => ({ updateMs, inflight, runs: [] })));
  for (let i = 0; i < repeat; i++)
    for (const { updateMs, inflight, runs } of rows) {
      await network.options({ updateMs });
      runs.push(await fresh(stage, network, SCANNED, [`restore_inflight=${inflight}`]));
    }
  return rows;
}

export const inflightRows = (rows) => [
  [`${SCANNED / MIB} MiB, restore_inflight`, 'latency, s', 'sending, s', 'to the least possible', 'calls', 'least possible', 'peak memory, MiB'],
  ...rows.map(({ updateMs, inflight, runs }) => [
    inflight,
    updateMs / 1000,
    ranged(spread(runs.map(({ sending_s }) => sending_s)), 1),
    fixed(median(runs.map(({ sending_s }) => sending_s)) / leastSeconds(SCANNED), 2),
    fixed(median(runs.map(({ data_calls }) => data_calls)), 0),
    leastCalls(SCANNED),
    fixed(median(runs.map(({ peak_MiB }) => peak_MiB)), 0),
  ]),
];

// --- everything is new ---

export async function memoryRestores(stage, { size, repeat }) {
  const network = await sampleOf(stage, size);
  const runs = [];
  for (let i = 0; i < repeat; i++) runs.push(await fresh(stage, network, size));
  return { size, runs };
}

export function memoryRows({ size, runs }) {
  const row = (name, pick, digits = 1) => [name, ranged(spread(runs.map(pick)), digits)];
  return [
    [`${fixed(size / 1e6, 0)} MB, all of it new`, ''],
    row('calls with content', ({ data_calls }) => data_calls, 0),
    ['  least possible', leastCalls(size)],
    row('cp, s', ({ seconds: s }) => s),
    ['  least possible, in blocks', fixed(leastSeconds(size))],
    row('  cp, to the least possible', ({ seconds: s }) => s / leastSeconds(size), 2),
    row("  without the canister's commit", ({ seconds: s, commit_s }) => (s - commit_s) / leastSeconds(size), 2),
    row('  sending', ({ sending_s }) => sending_s),
    row('  sending, to the least possible', ({ sending_s }) => sending_s / leastSeconds(size), 2),
    row('  restore_begin, until the first chunk', ({ begin_s }) => begin_s),
    row('  restore_commit', ({ commit_s }) => commit_s),
    row('  comparing by hashes, from when it begins', ({ comparing_s }) => comparing_s),
    row('  the rest: copying, hashing', rest),
    row('calls of restore_commit', ({ commits }) => commits, 0),
    row('queries for hashes', ({ hash_queries }) => hash_queries, 0),
    row('daemon CPU, s', ({ daemon_cpu_s }) => daemon_cpu_s),
    row('daemon peak memory, MiB', ({ peak_MiB }) => peak_MiB, 0),
  ];
}

// --- a part is new ---

const every = (n, step, first = 0) => Array.from({ length: n }, (_, i) => first + i * step);

export async function changes(stage, { size, repeat }) {
  const network = await sampleOf(stage, size);
  const file = join(stage.dir, 'saved');
  const nPages = size / BLOCK;
  const hundredth = Math.floor(nPages / 100);
  const kinds = {
    'one page': () => [Math.floor(nPages / 2)],
    '1 % of the pages, scattered': (i) => every(hundredth, 100, i),
    '1 % of the pages, in 8 runs': (i) => every(8, Math.floor(nPages / 8), i).flatMap((first) => every(Math.floor(hundredth / 8), 1, first)),
    nothing: () => [],
  };
  await writeRandom(file, size);
  const mount = await mountToRestore(stage, network, network.canisters.sample);
  await restore(network, mount, file);
  const rows = [];
  for (const [name, pages] of Object.entries(kinds)) {
    const runs = [];
    for (let i = 0; i < repeat; i++) {
      await changePages(file, pages(i));
      runs.push(await restore(network, mount, file));
    }
    rows.push({ name, changed: pages(0).length * BLOCK, runs });
  }
  await mount.unmount();
  return { size, rows };
}

export const changeRows = ({ size, rows }) => [
  [`of ${fixed(size / 1e6, 0)} MB changed`, 'bytes sent', '% of all', 'calls', 'queries for hashes', 'cp, s', 'comparing', 'begin', 'sending', 'commit', 'rest'],
  ...rows.map(({ name, runs }) => {
    const mid = (pick, digits = 1) => fixed(median(runs.map(pick)), digits);
    return [
      name,
      mid(({ data_bytes }) => data_bytes, 0),
      mid(({ data_bytes }) => (100 * data_bytes) / size, 2),
      mid(({ calls }) => calls, 0),
      mid(({ hash_queries }) => hash_queries, 0),
      ranged(spread(runs.map(({ seconds: s }) => s)), 1),
      mid(({ comparing_s }) => comparing_s),
      mid(({ begin_s }) => begin_s),
      mid(({ sending_s }) => sending_s),
      mid(({ commit_s }) => commit_s),
      mid(rest),
    ];
  }),
];

// --- 3 GiB, nearly all of it zeros ---

const GIB = 1024 * MIB;
const TEXT = 64 * MIB; // that is not zeros

export async function steadyRestore(stage) {
  const results = [];
  for (const size of [GIB, 3 * GIB]) {
    const network = await stage.network([...MODELLED, '--demo', '--demo-size', '0']);
    const file = join(stage.dir, 'saved');
    await writeRandom(file, TEXT);
    await truncate(file, size);
    const mount = await mountToRestore(stage, network, network.canisters.sample);
    const result = await restore(network, mount, file);
    if ((await stat(mount.path('stable_memory'))).size !== size) throw new Error('the memory has another size');
    const rereading = await seconds(() => run('cmp', [file, mount.path('stable_memory')]));
    await mount.unmount();
    results.push({ size, rereading, ...result });
  }
  return results;
}

export const steadyRows = (results) => [
  [`a sparse file, ${TEXT / MIB} MiB of it not zeros`, ...results.map(({ size }) => `${size / GIB} GiB`)],
  ['daemon peak memory, MiB', ...results.map(({ peak_MiB }) => fixed(peak_MiB, 0))],
  ['cp, s', ...results.map(({ seconds: s }) => fixed(s))],
  ['  sending', ...results.map(({ sending_s }) => fixed(sending_s))],
  ['  restore_commit', ...results.map(({ commit_s }) => fixed(commit_s))],
  ['  comparing by hashes, from when it begins', ...results.map(({ comparing_s }) => fixed(comparing_s))],
  ['  the rest: copying, hashing', ...results.map((r) => fixed(rest(r)))],
  ['  the rest, s for each GiB', ...results.map((r) => fixed(rest(r) / (r.size / GIB)))],
  ['bytes sent, MiB', ...results.map(({ data_bytes }) => fixed(data_bytes / MIB))],
  ['calls of restore_commit', ...results.map(({ commits }) => commits)],
  ['queries for hashes', ...results.map(({ hash_queries }) => hash_queries)],
  ['daemon CPU, s', ...results.map(({ daemon_cpu_s }) => fixed(daemon_cpu_s))],
];
