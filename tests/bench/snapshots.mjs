// Downloads and uploads of a canister's snapshot, from fresh mounts, against `icp canister snapshot download` and `upload`, in
// pairs, where each update call takes its time. `icp` compares nothing after an upload; a mount reads all of it back.
//
// usage: node snapshots.mjs [--size 256] [--repeat 3]      size of the stable memory in MiB
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Client } from '../mount/client.mjs';
import { eventually, run, Stage, top } from '../mount/harness.mjs';
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
const mountOf = (stage, network, options = []) =>
  stage.mount(network, network.canisters.sample, ['-o', [`identity=${network.identity}`, ...options].join()]);

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

// From the command to its end; `sent`: to the answer of the last call that sends. The copy to the mount is local, before that.
async function oursUp(stage, network, from) {
  const staging = await mkdtemp(join(stage.dir, 'staging-'));
  const mount = await mountOf(stage, network, ['rw', `staging_dir=${staging}`]);
  await run('cp', ['-r', from, mount.path('snapshots', 'mine')]);
  let job;
  let took;
  const log = await network.requestsDuring(async () => {
    took = await seconds(async () => {
      await writeFile(mount.path('.canisterfs', 'control'), 'snapshot upload mine\n');
      await eventually(async () => {
        [job] = (await mount.json('status')).jobs;
        return job.state === 'done' || job.state === 'failed';
      }, 600_000);
    });
  });
  if (job.state !== 'done') throw new Error(JSON.stringify(job));
  const sends = log.filter(({ method }) => /^upload_canister_snapshot/.test(method));
  const sent = (Math.max(...sends.map(({ began, ms }) => began + ms)) - Math.min(...log.map(({ began }) => began))) / 1000;
  const { peakBytes } = await usage(mount.pid);
  await mount.unmount();
  await rm(staging, { recursive: true });
  return { took, sent, peakBytes, calls: readCalls(log), id: /[\da-f]{20,}/.exec(job.progress)[0] };
}

async function theirsUp({ icp, watch }, network, from) {
  let out;
  let took;
  const log = await network.requestsDuring(async () => {
    took = await seconds(async () => (out = await icp('canister', 'snapshot', 'upload', network.canisters.sample, '-i', from)));
  });
  return { took, peakBytes: watch.peakBytes, calls: readCalls(log), id: /[\da-f]{36}/.exec(out)[0] };
}

async function uploads(stage, network, official, snapshots, from) {
  const ours = await oursUp(stage, network, from);
  const theirs = await theirsUp(official, network, from);
  await Promise.all([ours, theirs].map(({ id }) => snapshots.delete(id)));
  return { ours, theirs };
}

async function pair(stage, network, official, snapshots, id) {
  const [oursDir, theirsDir] = ['ours', 'theirs'].map((name) => join(stage.dir, name));
  const cp = await ours(stage, network, id, oursDir);
  const icp = await theirs(official, network, id, theirsDir);
  await run('diff', ['-r', '--exclude=.lock', oursDir, theirsDir]);
  const up = await uploads(stage, network, official, snapshots, oursDir);
  await Promise.all([oursDir, theirsDir].map((dir) => rm(dir, { recursive: true })));
  return { cp, icp, up, first: await firstByte(stage, network, id) };
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
    row('snapshot upload, with reading back', (p) => p.up.ours),
    ['of that until all is sent', ranged(spread(pairs.map((p) => p.up.ours.sent)), 1), '', ''],
    row('icp canister snapshot upload', (p) => p.up.theirs),
    ['upload to icp, pair by pair', ranged(spread(pairs.map((p) => p.up.theirs.took / p.up.ours.took))), '', ''],
  ];
}

const stage = await Stage.open();
try {
  // All that `icp` sends at once must find room: it gives up at the first 503.
  const network = await stage.network(['--demo', '--demo-size', `${values.size}M`, '--queue-bytes', '256M']);
  const snapshots = snapshotsOf(await Client.open(network), network.canisters.sample);
  const id = await snapshots.take();
  const watch = new Watch();
  const icp = icpIn(stage.dir, network, (pid) => watch.start(pid));
  await icp('canister', 'snapshot', 'list', network.canisters.sample); // its key is imported before the clock starts
  await network.options({ updateMs: UPDATE_MS });
  const pairs = [];
  for (let i = 0; i < repeat; i++) pairs.push(await pair(stage, network, { icp, watch }, snapshots, id));
  console.log(table(rows(pairs)));
  const report = { size_MiB: size / MIB, repeat, update_ms: UPDATE_MS, pairs };
  await mkdir(join(top, 'build'), { recursive: true });
  await writeFile(join(top, 'build', 'bench_snapshots.json'), `${JSON.stringify(report, null, 2)}\n`);
} finally {
  await stage.close();
}
