// Collections: copies, calls, renderings, and a second rsync.
//
// usage: node collections.mjs [REPEAT]      or as a part of scripts/bench
import { fileURLToPath } from 'node:url';
import { Stage } from '../mount/harness.mjs';
import { callRows, limitedCalls } from './calls.mjs';
import { installCollections } from './collection.mjs';
import { copies, copyRows } from './copies.mjs';
import { table } from './measure.mjs';
import { renderingRows, renderings } from './rendering.mjs';
import { rsyncRows, rsyncs } from './rsync.mjs';

export async function collectionSpeed(stage, network, repeat) {
  const { posts, items } = await installCollections(network);
  return {
    copies: await copies(stage, network, [posts, items], repeat),
    calls: await limitedCalls(stage, network, items),
    renderings: await renderings(stage, network, [posts, items], repeat),
    rsyncs: await rsyncs(stage, network, [posts, items], repeat),
  };
}

export const collectionTables = (result) =>
  [copyRows(result.copies), callRows(result.calls), renderingRows(result.renderings), rsyncRows(result.rsyncs)].map(table);

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const stage = await Stage.open();
  try {
    const result = await collectionSpeed(stage, await stage.network(), Number(process.argv[2] ?? 3));
    console.log(collectionTables(result).join('\n\n'));
  } finally {
    await stage.close();
  }
}
