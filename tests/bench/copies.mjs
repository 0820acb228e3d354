// Copying a collection, 100 ms per query: cp -r from a fresh mount against the loop of the official client, in pairs, and
// what the network and the canister give to a reader that knows the limits and throws the bytes away.
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { IDL } from '@icp-sdk/core/candid';
import { run } from '../mount/harness.mjs';
import { officialItems, rawItems } from './fetcher.mjs';
import { FILE_ITEMS, fileName, itemCalls } from './collection.mjs';
import { fixed, INFLIGHT, mbps, ranged, seconds, spread, sum, usage } from './measure.mjs';

const QUERY_MS = 100;
const OFFICIAL_INFLIGHT = 10;

// Seconds of fn(), and the processor's of the network meanwhile: all canisters share one thread there.
async function timed(network, fn) {
  const before = await usage(network.pid);
  const took = await seconds(fn);
  const after = await usage(network.pid);
  return { took, network_cpu_s: after.cpuSeconds - before.cpuSeconds };
}

async function ours(stage, network, collection, to) {
  const mount = await stage.mount(network, collection.canister);
  let time;
  const log = await network.requestsDuring(async () => {
    time = await timed(network, () => run('cp', ['-r', mount.path('backup', collection.name), to]));
  });
  const { cpuSeconds, peakBytes } = await usage(mount.pid);
  await mount.unmount();
  const calls = itemCalls(log, collection.method);
  return { ...time, cpu_s: cpuSeconds, peakBytes, calls: calls.length, in_vain: calls.filter(({ reject }) => reject).length };
}

async function theirs(network, collection, to) {
  await mkdir(to);
  let result;
  const { network_cpu_s } = await timed(network, async () => {
    const loop = { ...collection, chunk: FILE_ITEMS, inflight: OFFICIAL_INFLIGHT };
    result = await officialItems(network, loop, to);
  });
  return { took: result.seconds, network_cpu_s, cpu_s: result.cpuSeconds, calls: result.calls, in_vain: result.failed };
}

function decoded(collection, bytes) {
  const [[{ chunk, total_length }]] = IDL.decode([collection.reply], bytes);
  if (Number(total_length) !== collection.total) throw new Error(`${collection.name}: a total of ${total_length}`);
  return chunk;
}

function checkIds(items, start, count) {
  const isThere = (item, i) => item.id === BigInt(start + i);
  if (items.length !== count || !items.every(isThere)) throw new Error(`not the items [${start}, ${start + count})`);
}

// Both must have every item. What the official client got in one reply is the file, byte for byte; where it took several
// the items of both are looked at one by one, as in the first file.
async function check(collection, oursDir, theirsDir) {
  const replies = (await readdir(theirsDir)).map((name) => name.split('-').map(Number)).sort(([a], [b]) => a - b);
  const files = await readdir(oursDir);
  const { total } = collection;
  if (files.length !== Math.ceil(total / FILE_ITEMS)) throw new Error(`${files.length} files of ${collection.name}`);
  if (sum(replies.map(([, limit]) => limit)) !== total) throw new Error(`the official client has not all of ${collection.name}`);
  let bytes = 0;
  for (let start = 0; start < total; start += FILE_ITEMS) {
    const count = Math.min(FILE_ITEMS, total - start);
    const file = await readFile(join(oursDir, fileName(start)));
    const parts = replies.filter(([first]) => first >= start && first < start + count);
    const raw = await Promise.all(parts.map(([first, limit]) => readFile(join(theirsDir, `${first}-${limit}`))));
    if (parts.length === 1 && !file.equals(raw[0])) throw new Error(`${fileName(start)} is not what the official client got`);
    if (parts.length > 1 || start === 0) {
      checkIds(decoded(collection, file), start, count);
      checkIds(raw.flatMap((reply) => decoded(collection, reply)), start, count);
    }
    bytes += file.length;
  }
  return bytes;
}

// What is measured of one way to get `bytes`.
const speed = (bytes, { took, network_cpu_s, peakBytes, ...rest }) => ({
  MB_per_s: mbps(bytes, took),
  seconds: took,
  network_busy: network_cpu_s / took,
  ...rest,
  ...(peakBytes !== undefined && { peak_MiB: peakBytes / 2 ** 20 }),
});

// One after the other: cp, the official client, and the raw fetcher.
async function pair(stage, network, collection) {
  const [oursDir, theirsDir] = ['ours', 'theirs'].map((name) => join(stage.dir, name));
  const cp = await ours(stage, network, collection, oursDir);
  const core = await theirs(network, collection, theirsDir);
  const bytes = await check(collection, oursDir, theirsDir);
  let raw;
  const { network_cpu_s } = await timed(network, async () => {
    raw = await rawItems(network, { ...collection, chunk: collection.fitting });
  });
  await Promise.all([oursDir, theirsDir].map((dir) => rm(dir, { recursive: true })));
  return {
    bytes,
    cp: speed(bytes, cp),
    core: speed(bytes, core),
    raw: speed(raw.bytes, { took: raw.seconds, network_cpu_s, calls: Math.ceil(collection.total / collection.fitting) }),
    cp_to_core: core.took / cp.took,
    cp_to_raw: mbps(bytes, cp.took) / raw.MB_per_s,
  };
}

export async function copies(stage, network, collections, repeat) {
  await network.options({ queryMs: QUERY_MS });
  const results = [];
  for (const collection of collections) {
    const pairs = [];
    for (let i = 0; i < repeat; i++) pairs.push(await pair(stage, network, collection));
    results.push({ collection: collection.title, items: collection.total, bytes: pairs[0].bytes, pairs });
  }
  await network.options({ queryMs: 0 });
  return results;
}

export function copyRows(results) {
  const row = (name, pick, digits = 2) => [name, ...results.map(({ pairs }) => ranged(spread(pairs.map(pick)), digits))];
  return [
    [`${QUERY_MS} ms per query`, ...results.map(({ collection }) => collection)],
    ['items', ...results.map(({ items }) => items)],
    ['MB', ...results.map(({ bytes }) => fixed(bytes / 1e6))],
    row('cp -r from the mount, s', ({ cp }) => cp.seconds),
    row('  MB/s', ({ cp }) => cp.MB_per_s, 1),
    row(`@icp-sdk/core, ${OFFICIAL_INFLIGHT} at once, s`, ({ core }) => core.seconds),
    row('  MB/s', ({ core }) => core.MB_per_s, 1),
    row('cp to it, pair by pair', ({ cp_to_core }) => cp_to_core),
    row(`raw fetcher that knows the limit, ${INFLIGHT} at once, MB/s`, ({ raw }) => raw.MB_per_s, 1),
    row('cp to raw fetcher, pair by pair', ({ cp_to_raw }) => cp_to_raw),
    row('calls of cp', ({ cp }) => cp.calls, 0),
    row('  in vain', ({ cp }) => cp.in_vain, 0),
    row('calls of @icp-sdk/core', ({ core }) => core.calls, 0),
    row('  in vain', ({ core }) => core.in_vain, 0),
    row("the network's one thread, busy during cp", ({ cp }) => cp.network_busy),
    row('  during @icp-sdk/core', ({ core }) => core.network_busy),
    row('  during the raw fetcher', ({ raw }) => raw.network_busy),
    row('daemon CPU, s', ({ cp }) => cp.cpu_s),
    row('@icp-sdk/core CPU, s', ({ core }) => core.cpu_s),
    row('daemon peak memory, MiB', ({ cp }) => cp.peak_MiB, 0),
  ];
}
