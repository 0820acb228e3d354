// The loop that anyone would write with @icp-sdk/core: `inflight` verified queries at once, each piece written where it
// belongs. Prints the seconds from the first query to the end of the last write.
import { open } from 'node:fs/promises';
import { Client } from '../mount/client.mjs';

const { network, canister, bytes, chunk, inflight, to } = JSON.parse(process.argv[2]);
const client = await Client.open(network);
const file = await open(to, 'w');
let next = 0;

async function work() {
  while (next < bytes) {
    const offset = next;
    const length = Math.min(chunk, bytes - offset);
    next += length;
    const piece = await client.stableRead(canister, offset, length);
    if (piece.length !== length) throw new Error(`${piece.length} bytes at ${offset} for ${length}`);
    await file.write(piece, 0, length, offset);
  }
}

const started = performance.now();
await Promise.all(Array.from({ length: inflight }, work));
const seconds = (performance.now() - started) / 1000;
await file.close();
const { user, system } = process.cpuUsage();
console.log(JSON.stringify({ seconds, cpuSeconds: (user + system) / 1e6 }));
