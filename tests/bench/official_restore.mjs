// The script that anyone would write with @icp-sdk/core to give saved replies of backup_content_chunks back: `inflight`
// workers, each takes the next file and calls restore_content with what is in it, with halves of it when that fails.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Actor } from '@icp-sdk/core/agent';
import { IDL } from '@icp-sdk/core/candid';
import { Principal } from '@icp-sdk/core/principal';
import { Client } from '../mount/client.mjs';
import { NOTHING, REPLIES, Service } from '../mount/dscvr.mjs';

const { network, canister, from, inflight } = JSON.parse(process.argv[2]);
const { agent } = await Client.open(network);
const actor = Actor.createActor(Service, { agent, canisterId: Principal.fromText(canister) });
const files = (await readdir(from)).sort();

async function give(content, polls) {
  try {
    await actor.restore_content({ ...NOTHING, content: [content], polls: [polls] });
  } catch (error) {
    if (content.length <= 1) throw error;
    const half = Math.floor(content.length / 2);
    await give(content.slice(0, half), polls);
    await give(content.slice(half), []);
  }
}

async function work() {
  while (files.length > 0) {
    const [[reply]] = IDL.decode([REPLIES.backup_content_chunks], await readFile(join(from, files.shift())));
    await give(reply.chunk, reply.chunk_polls);
  }
}

const started = performance.now();
await Promise.all(Array.from({ length: inflight }, work));
console.log(JSON.stringify({ seconds: (performance.now() - started) / 1000 }));
