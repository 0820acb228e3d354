// Backing up while the canister is paused (maintenance=auto) against not: what pausing and resuming take.
import { join } from 'node:path';
import { run } from '../mount/harness.mjs';
import { fixed, MIB, ranged, seconds, spread } from './measure.mjs';
import { MODELLED } from './restore_measure.mjs';

const SIZE = 64 * MIB;

async function backup(stage, network, mode) {
  const mount = await stage.mount(network, network.canisters.sample, ['-o', `maintenance=${mode},identity=${network.identity}`]);
  let took;
  const log = await network.requestsDuring(async () => {
    took = await seconds(() => run('cp', [mount.path('stable_memory'), join(stage.dir, 'copy')]));
  });
  await mount.unmount();
  return { seconds: took, calls: log.filter(({ endpoint }) => endpoint === 'call').length, queries: log.filter(({ endpoint }) => endpoint === 'query').length };
}

export async function backups(stage, { repeat }) {
  const network = await stage.network([...MODELLED, '--demo', '--demo-size', String(SIZE)]);
  const rows = ['off', 'auto'].map((mode) => ({ mode, runs: [] }));
  for (let i = 0; i < repeat; i++) for (const { mode, runs } of rows) runs.push(await backup(stage, network, mode));
  return rows;
}

export const backupRows = (rows) => [
  [`cp of ${SIZE / MIB} MiB from the mount`, 's', 'update calls', 'queries'],
  ...rows.map(({ mode, runs }) => [
    `maintenance=${mode}`,
    ranged(spread(runs.map(({ seconds: s }) => s)), 1),
    ...['calls', 'queries'].map((field) => fixed(spread(runs.map((r) => r[field])).median, 0)),
  ]),
];
