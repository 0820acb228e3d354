// Restoring a collection of 10,000 items, a call for each file at least: by cp -r and rsync -a, which write one file after
// the other, by eight cp at once, and by a script of the official client with eight calls in flight.
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from '../mount/client.mjs';
import { Dscvr } from '../mount/dscvr.mjs';
import { run } from '../mount/harness.mjs';
import { officialRestore } from './fetcher.mjs';
import { fixed, median, ranged, seconds, spread, sum } from './measure.mjs';
import { BLOCK_S, leastCalls, leastSeconds, MODELLED, mountToRestore, restoring } from './restore_measure.mjs';

const TOTAL = 10_000; // in files of 1,000
const INFLIGHT = 8;
const PROFILE = 'profile=dscvr';

const inBlocks = (network, on) => network.options({ blockMs: on ? 1000 * BLOCK_S : 0 });

const ways = {
  'cp -r': (from, to) => run('sh', ['-c', 'cp -r "$1"/* "$2"', 'sh', from, to]),
  'rsync -a': (from, to) => run('rsync', ['-a', `${from}/`, `${to}/`]),
  [`cp, ${INFLIGHT} at once`]: (from, to) =>
    run('sh', ['-c', `find "$1" -type f -print0 | xargs -0 -P ${INFLIGHT} -I FILE cp FILE "$2"`, 'sh', from, to]),
};

async function save(stage, network, canister, to) {
  const mount = await stage.mount(network, canister, ['-o', PROFILE]);
  await run('cp', ['-r', mount.path('backup', 'content'), to]);
  await mount.unmount();
}

async function emptyCanister(network, agent) {
  await inBlocks(network, false);
  const { id } = await Dscvr.install(agent, { count: 0 });
  await inBlocks(network, true);
  return id;
}

async function check(network, canister, stage, saved, name) {
  await inBlocks(network, false);
  const again = join(stage.dir, name);
  await save(stage, network, canister, again);
  await run('diff', ['-r', saved, again]);
  await run('rm', ['-r', again]);
}

async function ours(stage, network, agent, saved, way) {
  const canister = await emptyCanister(network, agent);
  const mount = await mountToRestore(stage, network, canister, [PROFILE]);
  const result = await restoring(network, mount, () => ways[way](saved, mount.path('backup', 'content')));
  await mount.unmount();
  await check(network, canister, stage, saved, 'again');
  return result;
}

async function theirs(stage, network, agent, saved) {
  const canister = await emptyCanister(network, agent);
  let took;
  const log = await network.requestsDuring(async () => {
    took = await seconds(() => officialRestore(network, canister, saved, INFLIGHT));
  });
  await check(network, canister, stage, saved, 'again');
  return { seconds: took, calls: log.filter(({ endpoint }) => endpoint === 'call').length };
}

export async function itemRestores(stage, { repeat }) {
  const network = await stage.network(MODELLED);
  const { agent } = await Client.open(network);
  await inBlocks(network, false);
  const { id } = await Dscvr.install(agent, { count: TOTAL });
  const saved = join(stage.dir, 'content');
  await save(stage, network, id, saved);
  const files = await readdir(saved);
  const bytes = sum(await Promise.all(files.map(async (name) => (await stat(join(saved, name))).size)));
  const rows = [...Object.keys(ways), `@icp-sdk/core, ${INFLIGHT} at once`].map((name) => ({ name, runs: [] }));
  for (let i = 0; i < repeat; i++)
    for (const { name, runs } of rows)
      runs.push(name in ways ? await ours(stage, network, agent, saved, name) : await theirs(stage, network, agent, saved));
  return { items: TOTAL, files: files.length, bytes, rows };
}

export const itemRows = ({ items, files, bytes, rows }) => [
  [`${items} items, ${fixed(bytes / 1e6, 0)} MB in ${files} files`, 'calls', 's', 'to the least possible', 'daemon CPU, s', 'peak memory, MiB'],
  ...rows.map(({ name, runs }) => [
    name,
    fixed(median(runs.map(({ calls }) => calls)), 0),
    ranged(spread(runs.map(({ seconds: s }) => s)), 1),
    fixed(median(runs.map(({ seconds: s }) => s)) / leastSeconds(bytes), 2),
    ...['daemon_cpu_s', 'peak_MiB'].map((field) => (runs[0][field] === undefined ? '-' : fixed(median(runs.map((r) => r[field])), 1))),
  ]),
  ['least possible', leastCalls(bytes), fixed(leastSeconds(bytes)), fixed(1, 2), '-', '-'],
];
