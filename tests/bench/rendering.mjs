// What inspect/ costs: the first stat and read of a rendered file whose items were fetched before.
import { readFile, stat } from 'node:fs/promises';
import { fileName } from './collection.mjs';
import { fixed, mbps, ranged, seconds, spread } from './measure.mjs';

// Are all items there?
const isWhole = {
  json: (text, count) => JSON.parse(text).chunk.length === count,
  txt: (text, count) => text.includes('total_length = ') && text.split('\n').length > count,
};

async function rendered(mount, network, { name, two_MB }, suffix) {
  const path = mount.path('inspect', name, fileName(two_MB, suffix));
  let bytes;
  let took;
  const log = await network.requestsDuring(async () => {
    took = await seconds(async () => {
      await stat(path);
      bytes = await readFile(path);
    });
  });
  if (log.length > 0) throw new Error(`${path}: ${log.length} requests, so not the rendering alone`);
  if (!isWhole[suffix](bytes.toString(), two_MB)) throw new Error(`${path}: not all items`);
  return { bytes: bytes.length, took };
}

async function round(stage, network, collection) {
  // One that is so patient does not ask again meanwhile.
  const options = ['-o', `chunk_items=${collection.two_MB},attr_timeout=1m`];
  const mount = await stage.mount(network, collection.canister, options);
  const { size } = await stat(mount.path('backup', collection.name, fileName(collection.two_MB)));
  const json = await rendered(mount, network, collection, 'json');
  const txt = await rendered(mount, network, collection, 'txt');
  await mount.unmount();
  return { size, json, txt };
}

export async function renderings(stage, network, collections, repeat) {
  const results = [];
  for (const collection of collections) {
    const rounds = [];
    for (let i = 0; i < repeat; i++) rounds.push(await round(stage, network, collection));
    const of = (suffix) => ({
      bytes: rounds[0][suffix].bytes,
      ms: spread(rounds.map((r) => 1000 * r[suffix].took)),
      MB_per_s: spread(rounds.map((r) => mbps(r[suffix].bytes, r[suffix].took))),
    });
    const { title, two_MB } = collection;
    results.push({ collection: title, items: two_MB, candid_bytes: rounds[0].size, json: of('json'), txt: of('txt') });
  }
  return results;
}

export const renderingRows = (results) => [
  ['inspect/, the items fetched before', 'Candid, MB', 'text, MB', 'ms', 'text, MB/s'],
  ...results.flatMap(({ collection, items, candid_bytes, ...of }) =>
    ['json', 'txt'].map((suffix) => [
      `${items} ${collection}: .${suffix}`,
      fixed(candid_bytes / 1e6, 2),
      fixed(of[suffix].bytes / 1e6, 2),
      ranged(of[suffix].ms, 0),
      ranged(of[suffix].MB_per_s, 0),
    ]),
  ),
];
