// Two sequential and eight random readers on one mount: what each gets, alone with its own kind and together, and what
// it costs them when one is stopped.
import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { besideFetch } from './fetcher.mjs';
import { BLOCK, fairness, MIB, mbps, quantile, ranged, spread, sum } from './measure.mjs';

const READER = join(dirname(fileURLToPath(import.meta.url)), 'reader.mjs');
const GIB = 1024 * MIB;
const N_RANDOM = 8;

// ms: until windows and queries are in step; one measurement.
const SETTLE = 1000;
const SPAN = 2000;

// Places of the sparse canister, 100 GiB, that nobody else reads.
const SEQUENTIAL = [{ kind: 'sequential', from: 44 * GIB, to: 70 * GIB }, { kind: 'sequential', from: 72 * GIB, to: 98 * GIB }];
const RANDOM = Array.from({ length: N_RANDOM }, (_, i) => ({ kind: 'random', from: (8 + 4 * i) * GIB, to: (12 + 4 * i) * GIB }));

function start({ kind, from, to }, path, until) {
  const reader = {};
  reader.reads = new Promise((resolve, reject) => {
    const args = [READER, kind, path, from, to, until].map(String);
    reader.child = execFile(process.execPath, args, { maxBuffer: 64 * MIB }, (error, stdout) =>
      error ? reject(error) : resolve(JSON.parse(stdout)));
  });
  reader.reads.catch(() => {}); // heard where it is awaited
  return reader;
}

// What one reader got in a span. A read counts where it ended, and its bytes there.
function share(kind, reads, [from, to]) {
  const latencies = reads.filter(([began, ms]) => began + ms >= from && began + ms < to).map(([, ms]) => ms);
  const took = (to - from) / 1000;
  if (kind === 'sequential') return { MB_per_s: mbps(latencies.length * MIB, took), longest_ms: Math.max(0, ...latencies) };
  return {
    reads_per_s: latencies.length / took,
    p50_ms: quantile(latencies, 0.5) ?? null,
    p95_ms: quantile(latencies, 0.95) ?? null,
    longest_ms: Math.max(0, ...latencies),
  };
}

function groups(readers, all, span) {
  const shares = readers.map(({ kind }, i) => ({ kind, ...share(kind, all[i], span) }));
  const sequential = shares.filter(({ kind }) => kind === 'sequential');
  const random = shares.filter(({ kind }) => kind === 'random');
  return {
    sequential,
    random,
    MB_per_s: sum(sequential.map((s) => s.MB_per_s)) + mbps(sum(random.map((s) => s.reads_per_s)) * BLOCK, 1),
    sequential_fairness: sequential.length ? fairness(sequential.map((s) => s.MB_per_s)) : null,
    random_fairness: random.length ? fairness(random.map((s) => s.reads_per_s)) : null,
  };
}

// Readers on a fresh mount for some spans, one after the other; `during(children)` runs meanwhile.
async function together(stage, network, readers, nSpans, during = async () => {}) {
  const mount = await stage.mount(network, network.canisters.sparse);
  const begin = Date.now() + SETTLE;
  const path = mount.path('stable_memory');
  const started = readers.map((reader) => start(reader, path, begin + nSpans * SPAN));
  const spans = Array.from({ length: nSpans }, (_, i) => [begin + i * SPAN, begin + (i + 1) * SPAN]);
  await during(started.map(({ child }) => child), begin);
  const all = await Promise.all(started.map(({ reads }) => reads));
  await mount.unmount();
  return spans.map((span) => groups(readers, all, span));
}

// Stop the first sequential reader for the second span.
async function stopFirst([child], begin) {
  await delay(begin + SPAN - Date.now());
  child.kill('SIGSTOP');
  await delay(begin + 2 * SPAN - Date.now());
  child.kill('SIGCONT');
}

const worst = (group, name) => Math.max(...group.map((one) => one[name]));
const middle = (group, name) => quantile(group.map((one) => one[name]), 0.5);

async function round(stage, network) {
  const [sequential] = await together(stage, network, SEQUENTIAL, 1);
  const [random] = await together(stage, network, RANDOM, 1);
  const [control] = await besideFetch(network, network.canisters.sparse, () => together(stage, network, RANDOM, 1));
  const [both, stopped, after] = await together(stage, network, [...SEQUENTIAL, ...RANDOM], 3, stopFirst);
  return { alone: { sequential, random }, beside_raw_fetcher: control, together: both, stopped, after };
}

export async function fairShare(stage, network, repeat) {
  await network.options({ queryMs: 100 });
  const rounds = [];
  for (let i = 0; i < repeat; i++) rounds.push(await round(stage, network));
  await network.options({ queryMs: 0 });
  return rounds;
}

// What a round says about one column of the table: { sequential, random }.
const COLUMNS = {
  alone: ({ alone }) => ({ sequential: alone.sequential.sequential, random: alone.random.random }),
  beside: (round) => round.beside_raw_fetcher,
  together: (round) => round.together,
  stopped: (round) => round.stopped,
  after: (round) => round.after,
};

// pick(groups, column) is undefined where a column has no such number.
export function fairRows(rounds) {
  const row = (name, digits, pick) => [name, ...Object.entries(COLUMNS).map(([column, groupsOf]) => {
    const numbers = rounds.map((round) => pick(groupsOf(round), column));
    return numbers.includes(undefined) ? '-' : ranged(spread(numbers), digits);
  })];
  const sequential = (index) => ({ sequential: s }, column) => (column === 'stopped' && index === 0 ? undefined : s[index]?.MB_per_s);
  return [
    ['100 ms per query', 'alone', 'beside a raw fetcher', 'together', 'the first stopped', 'after that'],
    row('first sequential reader, MB/s', 0, sequential(0)),
    row('second sequential reader, MB/s', 0, sequential(1)),
    row('fairness between them', 3, ({ sequential: s }, column) =>
      s.length && column !== 'stopped' ? fairness(s.map((x) => x.MB_per_s)) : undefined),
    row('longest read of 1 MiB, ms', 0, ({ sequential: s }, column) =>
      s.length && column !== 'stopped' && column !== 'after' ? worst(s, 'longest_ms') : undefined),
    row('a random reader, reads/s', 1, ({ random }) => middle(random, 'reads_per_s')),
    row('  the least served', 1, ({ random }) => Math.min(...random.map((s) => s.reads_per_s))),
    row('fairness between the eight', 3, ({ random }) => fairness(random.map((s) => s.reads_per_s))),
    row('64 KiB at random, p50 ms', 0, ({ random }) => middle(random, 'p50_ms')),
    row('  p95 ms, of the worst reader', 0, ({ random }) => worst(random, 'p95_ms')),
    row('  longest ms', 0, ({ random }) => worst(random, 'longest_ms')),
  ];
}
