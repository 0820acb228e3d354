// Random faults, a schedule for each seed: several readers at once get the right bytes or an errno, the mount recovers,
// and nothing piles up in the daemon. CANISTERFS_SEEDS=1000 is the long run.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Stage, pread, run, seedBytes, top } from './harness.mjs';

const SEEDS = Number(process.env.CANISTERFS_SEEDS ?? 12);
const SIZE = 8 * 2 ** 20;
// What an answer can carry: the fewest calls that read the file once.
const MINIMUM = Math.ceil(SIZE / (47 * 65536));
// The errnos of a network in trouble (README, Errors).
const ALLOWED = new Set(['ETIMEDOUT', 'EHOSTUNREACH', 'EPROTO', 'EBADMSG', 'EIO']);
const READER = join(top, 'tests', 'mount', 'schedule_reader.py');

async function usage(pid) {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return {
    fds: (await readdir(`/proc/${pid}/fd`)).length,
    threads: Number(/Threads:\s+(\d+)/.exec(status)[1]),
    rssMiB: Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)[1]) / 1024),
  };
}

describe('random faults', () => {
  let stage, network, mount, memory, expected;

  before(async () => {
    stage = await Stage.open();
    network = await stage.network(['--demo', '--demo-size', '8M']);
    // The smallest cache: what one seed read is mostly gone for the next.
    mount = await stage.mount(network, network.canisters.sample, ['-o', 'cache_size=4M,timeout=10s,log_level=error']);
    memory = mount.path('stable_memory');
    expected = join(stage.dir, 'expected');
    const { demo_seed: seed = '1' } = network;
    await writeFile(expected, seedBytes(BigInt(seed), 0, SIZE));
    await assertContent('without faults');
  });
  after(() => stage.close());

  // An errno is not compared with megabytes: telling the difference would take minutes.
  async function assertContent(when) {
    const got = await pread(memory, 0, SIZE);
    assert.ok(Buffer.isBuffer(got), `${when}: ${got}`);
    assert.equal(Buffer.compare(got, await readFile(expected)), 0, `the content ${when}`);
  }

  async function readBySeveral(seed) {
    const { stdout } = await run('python3', [READER, memory, expected, String(seed)], { maxBuffer: 1 << 20 });
    return JSON.parse(stdout);
  }

  test(`${SEEDS} schedules`, async (t) => {
    const totals = { calls: 0, reads: 0, bytes: 0, errnos: {} };
    let early;
    const first = Number(process.env.CANISTERFS_FIRST_SEED ?? 1);
    for (let seed = first; seed < first + SEEDS; seed++) {
      await network.faults([{ kind: 'random', seed, rate: 0.05 + 0.25 * ((seed * 0.618) % 1) }]);
      let report;
      totals.calls += (await network.requestsDuring(async () => (report = await readBySeveral(seed)))).length;
      await network.faults([]);
      assert.deepEqual(report.wrong, [], `seed ${seed}`);
      for (const [name, n] of Object.entries(report.errnos)) {
        assert.ok(ALLOWED.has(name), `seed ${seed}: ${name}`);
        totals.errnos[name] = (totals.errnos[name] ?? 0) + n;
      }
      totals.reads += report.reads;
      totals.bytes += report.bytes;
      if (seed === first + Math.min(9, SEEDS - 1)) early = await usage(mount.pid);
    }
    await new Promise((resolve) => setTimeout(resolve, 2500)); // errors are kept for 2 s
    await assertContent('afterwards');
    const late = await usage(mount.pid);
    const stats = await mount.json('stats');
    t.diagnostic(JSON.stringify({ seeds: SEEDS, ...totals, minimum_calls: MINIMUM * SEEDS, early, late, unverified: stats.calls.unverified }));
    assert.ok(late.fds <= early.fds + 8, `descriptors: ${early.fds}, ${late.fds}`);
    assert.ok(late.threads <= early.threads + 4, `threads: ${early.threads}, ${late.threads}`);
    assert.ok(late.rssMiB <= 4 + 64, `memory: ${late.rssMiB} MiB`);
  });
});
