// What the mount is compared with: queries by the client library alone, and by the official client.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { top } from '../mount/harness.mjs';
import { CHUNK, INFLIGHT } from './measure.mjs';

const run = promisify(execFile);
const AGENT_TOOL = join(top, 'build', 'tests', 'ic', 'agent_tool');
const here = (name) => join(dirname(fileURLToPath(import.meta.url)), name);

function rawArgs(network, canister, size, chunk, inflight, [command, method] = ['fetch', 'stable_read']) {
  return [
    command, '--url', network.url, '--root-key', network.root_key, '--canister', canister,
    '--method', method, '--size', String(size), '--chunk', String(chunk), '--inflight', String(inflight),
  ];
}

// Verified queries by ic/, `inflight` at once, the bytes thrown away.
export async function rawFetch(network, bytes, { chunk = CHUNK, inflight = INFLIGHT } = {}) {
  const { stdout } = await run(AGENT_TOOL, rawArgs(network, network.canisters.sample, bytes, chunk, inflight));
  return JSON.parse(stdout);
}

// The same without an end, as load on the network while fn runs.
export async function besideFetch(network, canister, fn) {
  const child = spawn(AGENT_TOOL, rawArgs(network, canister, 64 * 2 ** 30, CHUNK, INFLIGHT), { stdio: 'ignore' });
  const ended = once(child, 'exit');
  try {
    const result = await fn();
    if (child.exitCode !== null) throw new Error(`the fetcher ended early: ${child.exitCode}`);
    return result;
  } finally {
    child.kill('SIGTERM');
    await ended;
  }
}

// The same for `total` items of a method (start, limit).
export async function rawItems(network, { canister, method, total, chunk, inflight = INFLIGHT }) {
  const { stdout } = await run(AGENT_TOOL, rawArgs(network, canister, total, chunk, inflight, ['items', method]));
  return JSON.parse(stdout);
}

async function official(script, config) {
  const { stdout } = await run(process.execPath, [here(script), JSON.stringify(config)]);
  return JSON.parse(stdout);
}

// A loop of npm's @icp-sdk/core that saves the bytes to a file, as cp does; in a process of its own.
export function officialFetch(network, bytes, chunk, inflight, to) {
  return official('official.mjs', { network, canister: network.canisters.sample, bytes, chunk, inflight, to });
}

// The same for items, into the directory `to`.
export function officialItems(network, { canister, method, total, chunk, inflight }, to) {
  return official('official_items.mjs', { network, canister, method, total, chunk, inflight, to });
}

// The saved replies of a directory, given back.
export function officialRestore(network, canister, from, inflight) {
  return official('official_restore.mjs', { network, canister, from, inflight });
}
