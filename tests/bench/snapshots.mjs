// Downloads of a canister's snapshot: cp -r of its directory, from a fresh mount, against `icp canister snapshot download`, in
// pairs, where each update call takes its time.
//
// usage: node snapshots.mjs [--size 256] [--repeat 3]      size of the stable memory in MiB
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Client } from '../mount/client.mjs';
import { run, Stage, top } from '../mount/harness.mjs';
import { icpIn, snapshotsOf } from '../mount/snapshots.mjs';
import { fixed, median, MIB, ranged, seconds, spread, table, usage } from './measure.mjs';

const UPDATE_MS = 1500;
const WATCH_MS = 20;

const { values } = parseArgs({ options: { size: { type: 'string', default: '256' }, repeat: { type: 'string', default: '3' } } });
const size = Number(values.size) * MIB;
const repeat = Number(values.repeat);

// The peak memory of a process that ends by itself: what it was when it was last seen.
class Watch {
  start(pid) {
    this.peakBytes = 0;
    const timer = setInterval(() => {
      usage(pid).then(
        ({ peakBytes }) => (this.peakBytes = Math.max(this.peakBytes, peakBytes)),
        () => clearInterval(timer), // it has ended
      );
    }, WATCH_MS);
  }
}

const readCalls = (log) => log.filter(({ endpoint, method }) => endpoint === 'call' && /snapshot/.test(method)).length;
const mountOf = (stage, network) => stage.mount(network, network.canisters.sample, ['-o', `identity=${network.identity}`]);

async function ours(stage, network, id, to) {
  const mount = await mountOf(stage, network);
  let took;
  const log = await network.requestsDuring(async () => {
    took = await seconds(() => run('cp', ['-r', mount.path('snapshots', id), to]));
  });
  const { peakBytes } = await usage(mount.pid);
  await mount.unmount();
  return { took, peakBytes, calls: readCalls(log) };
}

async function theirs({ icp, watch }, network, id, to) {
  let took;
  const log = await network.requestsDuring(async () => {
    took = await seconds(() => icp('canister', 'snapshot', 'download', network.canisters.sample, id, '-o', to));
  });
  return { took, peakBytes: watch.peakBytes, calls: readCalls(log) };
}

// 16 bytes in the middle of the memory: what is left when the list and the metadata are known, in calls and in seconds.
async function firstByte(stage, network, id) {
  const mount = await mountOf(stage, network);
  const file = mount.path('snapshots', id, 'stable_memory.bin');
  await run('stat', [file]);
  let took;
  const log = await network.requestsDuring(async () => {
    took = await seconds(() => run('hexdump', ['-s', String(size / 2), '-n', '16', file]));
  });
  await mount.unmount();
  return { took, calls: readCalls(log) };
}

async function pair(stage, network, official, id) {
  const [oursDir, theirsDir] = ['ours', 'theirs'].map((name) => join(stage.dir, name));
  const cp = await ours(stage, network, id, oursDir);
  const icp = await theirs(official, network, id, theirsDir);
  await run('diff', ['-r', '--exclude=.lock', oursDir, theirsDir]);
  await Promise.all([oursDir, theirsDir].map((dir) => rm(dir, { recursive: true })));
  return { cp, icp, first: await firstByte(stage, network, id) };
}

function rows(pairs) {
  const row = (name, of) => [
    name,
    ranged(spread(pairs.map((p) => of(p).took)), 1),
    fixed(Math.max(...pairs.map((p) => of(p).peakBytes)) / MIB, 0),
    median(pairs.map((p) => of(p).calls)),
  ];
  const first = pairs.map((p) => p.first);
  return [
    [`${size / MIB} MiB of stable memory, ${UPDATE_MS} ms per update call`, 's', 'peak, MiB', 'calls'],
    row('cp -r MNT/snapshots/ID', (p) => p.cp),
    row('icp canister snapshot download', (p) => p.icp),
    ['16 bytes in the middle', ranged(spread(first.map(({ took }) => took)), 1), '', median(first.map(({ calls }) => calls))],
    ['cp to icp, pair by pair', ranged(spread(pairs.map((p) => p.icp.took / p.cp.took))), '', ''],
  ];
}

const stage = await Stage.open();
try {
  const network = await stage.network(['--demo', '--demo-size', `${values.size}M`]);
  const id = await snapshotsOf(await Client.open(network), network.canisters.sample).take();
  const watch = new Watch();
  const icp = icpIn(stage.dir, network, (pid) => watch.start(pid));
  await icp('canister', 'snapshot', 'list', network.canisters.sample); // its key is imported before the clock starts
  await network.options({ updateMs: UPDATE_MS });
  const pairs = [];
  for (let i = 0; i < repeat; i++) pairs.push(await pair(stage, network, { icp, watch }, id));
  console.log(table(rows(pairs)));
  const report = { size_MiB: size / MIB, repeat, update_ms: UPDATE_MS, pairs };
  await mkdir(join(top, 'build'), { recursive: true });
  await writeFile(join(top, 'build', 'bench_snapshots.json'), `${JSON.stringify(report, null, 2)}\n`);
} finally {
  await stage.close();
}
