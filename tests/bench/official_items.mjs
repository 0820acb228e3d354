// The loop that anyone would write with @icp-sdk/core for a method (start, limit): `inflight` workers, each asks for the
// next `chunk` items, and for the halves of a range that could not be had. Every reply is saved as it came, as
// START-LIMIT. Prints the seconds from the first query to the end of the last write.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { IDL } from '@icp-sdk/core/candid';
import { Client } from '../mount/client.mjs';

const { network, canister, method, total, chunk, inflight, to } = JSON.parse(process.argv[2]);
const client = await Client.open(network);
let next = 0;
let calls = 0;
let failed = 0;

async function ask(start, limit) {
  calls++;
  return client.query(canister, method, new Uint8Array(IDL.encode([IDL.Nat64, IDL.Nat64], [BigInt(start), BigInt(limit)])));
}

async function save(start, limit) {
  let reply;
  try {
    reply = await ask(start, limit);
  } catch (error) {
    if (limit === 1) throw error;
    failed++;
    const half = Math.floor(limit / 2);
    await save(start, half);
    return save(start + half, limit - half);
  }
  return writeFile(join(to, `${start}-${limit}`), reply);
}

async function work() {
  while (next < total) {
    const start = next;
    const limit = Math.min(chunk, total - start);
    next += limit;
    await save(start, limit);
  }
}

const started = performance.now();
await Promise.all(Array.from({ length: inflight }, work));
const seconds = (performance.now() - started) / 1000;
const { user, system } = process.cpuUsage();
console.log(JSON.stringify({ seconds, cpuSeconds: (user + system) / 1e6, calls, failed }));
