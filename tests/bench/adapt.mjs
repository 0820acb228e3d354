// Finding the limits: how large a reply the canister can give, how many queries the network takes at once. Each against
// a fetcher that knows the limit from the start, in pairs.
import { run } from '../mount/harness.mjs';
import { rawFetch } from './fetcher.mjs';
import { BLOCK, CHUNK, fixed, MIB, mbps, ranged, seconds, spread } from './measure.mjs';

const QUERY_MS = 100;
const REPLY_LIMITS = [1.5 * MIB, 192 * 1024];
const QUERY_LIMITS = [4, 8];

// The first bytes by a fresh mount, and what the network saw of it.
async function copied(stage, network, bytes) {
  const mount = await stage.mount(network, network.canisters.sample);
  let took;
  let found;
  const log = await network.requestsDuring(async () => {
    const words = [`if=${mount.path('stable_memory')}`, 'of=/dev/null', 'bs=1M', `count=${bytes}`, 'iflag=count_bytes', 'status=none'];
    took = await seconds(() => run('dd', words));
    found = (await mount.json('status')).stable_memory.files[0].reply_bytes;
  });
  await mount.unmount();
  const refused = log.filter(({ status }) => status === 429).length;
  return { took, found, refused, reads: log.filter(({ method }) => method === 'stable_read_at') };
}

async function gives(network, bytes) {
  return rawFetch(network, bytes, { chunk: bytes, inflight: 1 }).then(() => true, () => false);
}

// Instruction limits, in percent of the real ones, under which a reply of `bytes` fits, and one of a block more does not.
async function percentFor(network, bytes) {
  let [low, high] = [0, 1];
  while (high - low > (high * BLOCK) / bytes / 8) {
    const middle = (low + high) / 2;
    await network.options({ instructionPercent: middle });
    if (await gives(network, bytes)) high = middle;
    else low = middle;
  }
  const percent = high * (1 + BLOCK / bytes / 4);
  await network.options({ instructionPercent: percent });
  if (!(await gives(network, bytes)) || (await gives(network, bytes + BLOCK))) throw new Error(`no limit of ${bytes} bytes`);
  return percent;
}

const isRejected = ({ status, replyBytes }) => status === 200 && replyBytes < 4096;

async function replyLimit(stage, network, limit, repeat) {
  await network.options({ queryMs: 0 });
  const instructionPercent = await percentFor(network, limit);
  await network.options({ queryMs: QUERY_MS, instructionPercent });
  // Small replies make few bytes per round trip; enough of them to see the search and what follows it.
  const bytes = Math.min(128 * MIB, 64 * limit);
  const pairs = [];
  for (let i = 0; i < repeat; i++) {
    const known = await rawFetch(network, bytes, { chunk: limit });
    const { took, found, reads } = await copied(stage, network, bytes);
    pairs.push({
      to_known: mbps(bytes, took) / known.MB_per_s,
      MB_per_s: mbps(bytes, took),
      wasted: reads.filter(isRejected).length,
      calls: reads.length,
      found,
    });
  }
  await network.options({ queryMs: 0, instructionPercent: 100 });
  return { limit, bytes, least_calls: Math.ceil(bytes / limit), pairs };
}

async function queryLimit(stage, network, limit, repeat) {
  const bytes = 128 * MIB;
  const pairs = [];
  for (let i = 0; i < repeat; i++) {
    // The limit is of requests of all kinds, and the log is asked for after it is off.
    await network.options({ queryMs: QUERY_MS, maxConcurrent: limit });
    const known = await rawFetch(network, bytes, { inflight: limit });
    const { took, refused, reads } = await copied(stage, network, bytes);
    pairs.push({
      to_known: mbps(bytes, took) / known.MB_per_s,
      MB_per_s: mbps(bytes, took),
      known_MB_per_s: known.MB_per_s,
      refused,
      calls: reads.length,
    });
    await network.options({ queryMs: 0, maxConcurrent: 0 });
  }
  return { limit, arithmetic_MB_per_s: mbps(limit * CHUNK, QUERY_MS / 1000), pairs };
}

export async function adaptation(stage, network, repeat) {
  const reply = [];
  const queries = [];
  for (const limit of REPLY_LIMITS) reply.push(await replyLimit(stage, network, limit, repeat));
  for (const limit of QUERY_LIMITS) queries.push(await queryLimit(stage, network, limit, repeat));
  return { reply, queries };
}

const of = (pairs, name) => spread(pairs.map((pair) => pair[name]));

export function adaptRows({ reply, queries }) {
  const kib = (bytes) => `${bytes / 1024} KiB`;
  return [
    ['100 ms per query', 'MB/s', 'against knowing the limit', 'calls', 'in vain', 'reply in the end'],
    ...reply.map(({ limit, least_calls, pairs }) => [
      `replies of ${kib(limit)} at most`,
      ranged(of(pairs, 'MB_per_s'), 0),
      ranged(of(pairs, 'to_known')),
      `${of(pairs, 'calls').median} (least: ${least_calls})`,
      ranged(of(pairs, 'wasted'), 0),
      kib(of(pairs, 'found').median),
    ]),
    ...queries.map(({ limit, pairs }) => [
      `${limit} queries at once, else 429`,
      ranged(of(pairs, 'MB_per_s'), 0),
      ranged(of(pairs, 'to_known')),
      fixed(of(pairs, 'calls').median, 0),
      ranged(of(pairs, 'refused'), 0),
      '-',
    ]),
  ];
}
