// The benchmarks: everything that is compared is measured in this one run, and quoted as a ratio.
//
// usage: node bench.mjs [--size 256] [--repeat 3]      size in MiB
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { run, Stage, top } from '../mount/harness.mjs';
import { adaptation, adaptRows } from './adapt.mjs';
import { candidRows, candidSpeed } from './candid.mjs';
import { collectionSpeed, collectionTables } from './collections.mjs';
import { fairRows, fairShare } from './fair.mjs';
import { officialFetch, rawFetch } from './fetcher.mjs';
import { CHUNK, fixed, INFLIGHT, mbps, median, MIB, ranged, seconds, spread, table, usage } from './measure.mjs';

const { values } = parseArgs({ options: { size: { type: 'string', default: '256' }, repeat: { type: 'string', default: '3' } } });
const size = Number(values.size) * MIB;
const repeat = Number(values.repeat);

// cp to /dev/null would be a special case of cp: the copy goes to a real file.
const copy = (stage, path) => run('cp', [path, join(stage.dir, 'copy')]);

async function coldCopy(stage, network) {
  const mount = await stage.mount(network, network.canisters.sample);
  const took = await seconds(() => copy(stage, mount.path('stable_memory')));
  const used = await usage(mount.pid);
  await mount.unmount();
  return { took, ...used };
}

async function firstByte(stage, network) {
  const mount = await stage.mount(network, network.canisters.sample);
  const times = [];
  for (let i = 0; i < 9; i++) {
    const offset = String(Math.floor(((i + 0.37) / 9) * size));
    times.push(await seconds(() => run('hexdump', ['-s', offset, '-n', '64', mount.path('stable_memory')])));
  }
  await mount.unmount();
  return median(times);
}

// The second copy: out of the kernel's page cache, and with that dropped out of the daemon's cache.
async function warmCopies(stage, network) {
  const mount = await stage.mount(network, network.canisters.sample, ['-o', `cache_size=${(2 * size) / MIB}M`]);
  const memory = mount.path('stable_memory');
  await copy(stage, memory);
  const kernel = await seconds(() => run('dd', [`if=${memory}`, 'of=/dev/null', 'bs=1M', 'status=none']));
  await run('dd', [`if=${memory}`, 'iflag=nocache', 'count=0', 'status=none']);
  const daemon = await seconds(() => run('dd', [`if=${memory}`, 'of=/dev/null', 'bs=1M', 'status=none']));
  await mount.unmount();
  return { kernel, daemon };
}

async function atLatency(stage, network, queryMs) {
  await network.options({ queryMs });
  const copies = [];
  const raws = [];
  for (let i = 0; i < repeat; i++) {
    raws.push(await rawFetch(network, size));
    copies.push(await coldCopy(stage, network));
  }
  // The seeds' way: one query at a time, 1 MiB each; an eighth of the data says enough.
  const oneByOne = await rawFetch(network, size / 8, { chunk: MIB, inflight: 1 });
  const ratios = copies.map((c, i) => mbps(size, c.took) / raws[i].MB_per_s);
  return {
    query_ms: queryMs,
    cp_MB_per_s: median(copies.map((c) => mbps(size, c.took))),
    raw_MB_per_s: median(raws.map((r) => r.MB_per_s)),
    cp_to_raw: median(ratios),
    cp_to_raw_range: [Math.min(...ratios), Math.max(...ratios)],
    arithmetic_MB_per_s: queryMs > 0 ? (INFLIGHT * CHUNK) / 1e6 / (queryMs / 1000) : null,
    one_at_a_time_MB_per_s: oneByOne.MB_per_s,
    first_byte_ms: 1000 * (await firstByte(stage, network)),
    daemon_cpu_s: median(copies.map((c) => c.cpuSeconds)),
    daemon_peak_MiB: Math.max(...copies.map((c) => c.peakBytes)) / MIB,
    raw_cpu_s: median(raws.map((r) => r.cpu_seconds)),
  };
}

// The official client's loop, ten queries at once, against cp.
const OFFICIAL_INFLIGHT = 10;

async function official(stage, network) {
  await network.options({ queryMs: 100 });
  const chunks = [MIB, CHUNK];
  const rounds = [];
  for (let i = 0; i < repeat; i++) {
    const ours = await coldCopy(stage, network);
    for (const chunk of chunks) {
      const theirs = await officialFetch(network, size, chunk, OFFICIAL_INFLIGHT, join(stage.dir, 'copy'));
      rounds.push({ chunk, theirs: mbps(size, theirs.seconds), ours: mbps(size, ours.took), cpuSeconds: theirs.cpuSeconds });
    }
  }
  await network.options({ queryMs: 0 });
  return chunks.map((chunk) => {
    const pairs = rounds.filter((round) => round.chunk === chunk);
    return {
      chunk,
      official_MB_per_s: spread(pairs.map(({ theirs }) => theirs)),
      cp_MB_per_s: spread(pairs.map(({ ours }) => ours)),
      cp_to_official: spread(pairs.map(({ ours, theirs }) => ours / theirs)),
      official_cpu_s: median(pairs.map(({ cpuSeconds }) => cpuSeconds)),
    };
  });
}

const officialRows = (rows) => [
  [`100 ms per query, @icp-sdk/core ${OFFICIAL_INFLIGHT} at once`, 'MB/s', 'cp, MB/s', 'cp to it, pair by pair', 'its CPU, s'],
  ...rows.map((r) => [
    `replies of ${r.chunk / 1024} KiB`,
    ranged(r.official_MB_per_s, 0),
    ranged(r.cp_MB_per_s, 0),
    ranged(r.cp_to_official),
    fixed(r.official_cpu_s),
  ]),
];

const stage = await Stage.open();
try {
  const network = await stage.network(['--demo', '--demo-size', `${size / MIB}M`]);
  const results = [];
  for (const queryMs of [0, 100]) results.push(await atLatency(stage, network, queryMs));
  await network.options({ queryMs: 0 });
  const warm = await warmCopies(stage, network);
  const columns = [
    ['', ...results.map((r) => `${r.query_ms} ms per query`)],
    ['cp from the mount, MB/s', ...results.map((r) => fixed(r.cp_MB_per_s))],
    [`raw fetcher, ${INFLIGHT} at once, MB/s`, ...results.map((r) => fixed(r.raw_MB_per_s))],
    ['cp to raw fetcher, median of pairs', ...results.map((r) => fixed(r.cp_to_raw, 2))],
    ['  smallest and largest', ...results.map((r) => r.cp_to_raw_range.map((x) => fixed(x, 2)).join('-'))],
    ['arithmetic limit, MB/s', ...results.map((r) => fixed(r.arithmetic_MB_per_s))],
    ['one query of 1 MiB at a time, MB/s', ...results.map((r) => fixed(r.one_at_a_time_MB_per_s))],
    ['hexdump -n 64 at a new offset, ms', ...results.map((r) => fixed(r.first_byte_ms))],
    ['daemon CPU for the cp, s', ...results.map((r) => fixed(r.daemon_cpu_s, 2))],
    ['raw fetcher CPU, s', ...results.map((r) => fixed(r.raw_cpu_s, 2))],
    ['daemon peak memory, MiB', ...results.map((r) => fixed(r.daemon_peak_MiB, 0))],
  ];
  console.log(table(columns));
  console.log(`\nwarm, from the kernel's pages: ${fixed(mbps(size, warm.kernel), 0)} MB/s (limit: memory copies of dd and kernel)`);
  console.log(`warm, from the daemon's cache: ${fixed(mbps(size, warm.daemon), 0)} MB/s (limit: FUSE requests of 128 KiB, two copies)`);
  const clients = await official(stage, network);
  console.log(`\n${table(officialRows(clients))}`);
  const rounds = await fairShare(stage, network, repeat);
  console.log(`\n${table(fairRows(rounds))}`);
  const adapted = await adaptation(stage, network, repeat);
  console.log(`\n${table(adaptRows(adapted))}`);
  const candid = await candidSpeed(repeat);
  console.log(`\n${table(candidRows(candid))}`);
  const collections = await collectionSpeed(stage, await stage.network(), repeat);
  console.log(`\n${collectionTables(collections).join('\n\n')}`);
  const out = join(top, 'build', 'bench.json');
  await mkdir(join(top, 'build'), { recursive: true });
  const report = {
    size_MiB: size / MIB,
    repeat,
    latencies: results,
    warm_MB_per_s: { kernel: mbps(size, warm.kernel), daemon: mbps(size, warm.daemon) },
    official: clients,
    fair_share: rounds,
    adaptation: adapted,
    candid,
    collections,
  };
  await writeFile(out, `${JSON.stringify(report, null, 2)}\n`);
} finally {
  await stage.close();
}
