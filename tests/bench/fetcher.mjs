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
const OFFICIAL = join(dirname(fileURLToPath(import.meta.url)), 'official.mjs');

function rawArgs(network, canister, bytes, chunk, inflight) {
  return [
    'fetch', '--url', network.url, '--root-key', network.root_key, '--canister', canister,
    '--method', 'stable_read', '--size', String(bytes), '--chunk', String(chunk), '--inflight', String(inflight),
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

// A loop of npm's @icp-sdk/core that saves the bytes to a file, as cp does; in a process of its own.
export async function officialFetch(network, bytes, chunk, inflight, to) {
  const config = JSON.stringify({ network, canister: network.canisters.sample, bytes, chunk, inflight, to });
  const { stdout } = await run(process.execPath, [OFFICIAL, config]);
  return JSON.parse(stdout);
}
