// What the restore benchmarks have in common: mounts that can be written to, and what a restore did as the network saw it.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { seconds, sum, usage } from './measure.mjs';

// The modelled subnet (tests/replica/README.md).
export const BLOCK_BYTES = 4 * 2 ** 20;
export const BLOCK_S = 1;
export const MODELLED = ['--block-ms', String(1000 * BLOCK_S), '--block-bytes', String(BLOCK_BYTES)];

// An ingress message is 2 MiB at most; what is around a chunk takes about 300 bytes of it.
export const PAYLOAD = 2 * 2 ** 20 - 300;

export const leastCalls = (bytes) => Math.ceil(bytes / PAYLOAD);
export const leastSeconds = (bytes) => (bytes / BLOCK_BYTES) * BLOCK_S;

let names = 0;

export async function mountToRestore(stage, network, canister, options = []) {
  const dir = join(stage.dir, `staging${++names}`);
  await mkdir(dir);
  const all = ['rw', `identity=${network.identity}`, `staging_dir=${dir}`, 'attr_timeout=100ms', ...options];
  return stage.mount(network, canister, ['-o', all.join()]);
}

const firstOf = (log) => Math.min(...log.map(({ began }) => began));
const lastOf = (log) => Math.max(...log.map(({ began, ms }) => began + ms));

// How long the stages of a staged restore took. A call that takes long is answered before it is done, so what follows tells.
function stages(log) {
  const of = (method) => log.filter((entry) => entry.endpoint === 'call' && entry.method === method);
  const [begin, chunks, commits] = ['restore_begin', 'restore_chunk', 'restore_commit'].map(of);
  if (commits.length === 0) return {};
  const asked = log.filter(({ method }) => method === 'stable_hashes');
  const [began, sent] = [firstOf(begin), firstOf(commits)];
  const sends = chunks.length > 0 ? firstOf(chunks) : sent;
  const end = lastOf(commits);
  return {
    comparing_s: asked.length > 0 ? (lastOf(asked) - firstOf(asked)) / 1000 : 0,
    compared_first_s: asked.length > 0 ? Math.max(0, began - firstOf(asked)) / 1000 : 0, // before anything is sent
    begin_s: (sends - began) / 1000,
    sending_s: (sent - sends) / 1000,
    commit_s: (end - sent) / 1000,
    staged_s: (end - began) / 1000,
    commits: commits.length,
  };
}

// What fn() did, which restores something: the time, the calls, and the bytes of them.
export async function restoring(network, mount, fn) {
  let took;
  const before = await usage(mount.pid);
  const log = await network.requestsDuring(async () => {
    took = await seconds(fn);
  });
  const after = await usage(mount.pid);
  const updates = log.filter(({ endpoint }) => endpoint === 'call');
  const data = updates.filter(({ method }) => /chunk|content/.test(method));
  return {
    seconds: took,
    calls: updates.length,
    data_calls: data.length,
    data_bytes: sum(data.map(({ argBytes }) => argBytes)),
    ...stages(log),
    hash_queries: log.filter(({ method }) => method === 'stable_hashes').length,
    reads: log.filter(({ method, endpoint }) => endpoint === 'query' && /read/.test(method)).length,
    asked: log.filter(({ endpoint }) => endpoint === 'read_state').length,
    daemon_cpu_s: after.cpuSeconds - before.cpuSeconds,
    peak_MiB: after.peakBytes / 2 ** 20,
  };
}
