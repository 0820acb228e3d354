// A backup that is kept up to date: rsync -a, and again after attr_timeout, 100 ms per query, nothing changed meanwhile.
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { run } from '../mount/harness.mjs';
import { FILE_ITEMS } from './collection.mjs';
import { fixed, ranged, seconds, spread } from './measure.mjs';

const QUERY_MS = 100;
// ms: more than attr_timeout, which is 1 s.
const PAUSE = 1500;

async function rsync(network, from, to) {
  let took;
  let stdout;
  const log = await network.requestsDuring(async () => {
    took = await seconds(async () => ({ stdout } = await run('rsync', ['-a', '--stats', `${from}/`, to])));
  });
  const transferred = Number(/regular files transferred: ([\d,]+)/.exec(stdout)[1].replaceAll(',', ''));
  return { took, transferred, queries: log.filter(({ endpoint }) => endpoint === 'query').length };
}

async function round(stage, network, collection) {
  const to = join(stage.dir, 'saved');
  const mount = await stage.mount(network, collection.canister);
  const from = mount.path('backup', collection.name);
  const first = await rsync(network, from, to);
  await delay(PAUSE);
  const second = await rsync(network, from, to);
  await mount.unmount();
  await rm(to, { recursive: true });
  if (first.transferred !== Math.ceil(collection.total / FILE_ITEMS)) throw new Error(`rsync copied ${first.transferred} files`);
  return { first, second };
}

export async function rsyncs(stage, network, collections, repeat) {
  await network.options({ queryMs: QUERY_MS });
  const results = [];
  for (const collection of collections) {
    const rounds = [];
    for (let i = 0; i < repeat; i++) rounds.push(await round(stage, network, collection));
    results.push({ collection: collection.title, rounds });
  }
  await network.options({ queryMs: 0 });
  return results;
}

export function rsyncRows(results) {
  const cells = (rounds, which) => {
    const of = (name) => spread(rounds.map((r) => r[which][name]));
    return [ranged(of('took')), fixed(of('queries').median, 0), ranged(of('transferred'), 0)];
  };
  return [
    [`rsync -a, ${QUERY_MS} ms per query`, 's', 'queries', 'files copied'],
    ...results.flatMap(({ collection, rounds }) => [
      [`${collection}: the first`, ...cells(rounds, 'first')],
      [`  again after ${PAUSE} ms`, ...cells(rounds, 'second')],
    ]),
  ];
}
