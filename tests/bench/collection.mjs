// The collections that are measured.
import { Client } from '../mount/client.mjs';
import { Dscvr, REPLIES } from '../mount/dscvr.mjs';
import { configure, ITEMS_REPLIES } from '../mount/items.mjs';
import { ShapedCanister } from '../mount/shapes.mjs';

const TOTAL = 100_000;

// Items of a file, where nothing else is said.
export const FILE_ITEMS = 1000;
export const fileName = (start, suffix = 'candid') => `${String(start).padStart(10, '0')}.${suffix}`;

// About 200 bytes each, with what is around the text.
export const BODIES = { body_max: 400 };

// title     for tables
// fitting   items that fit into a reply wherever they are
// two_MB    items that make a file of about 2 MB, the second of that size
export async function installCollections(network) {
  const { agent } = await Client.open(network);
  const posts = await Dscvr.install(agent, { count: TOTAL });
  const items = await ShapedCanister.install(agent, 'items', { size: TOTAL });
  await configure(items, BODIES);
  return {
    posts: {
      title: 'posts, Motoko',
      canister: posts.id,
      name: 'content',
      method: 'backup_content_chunks',
      reply: REPLIES.backup_content_chunks,
      total: TOTAL,
      fitting: 250,
      two_MB: 4000,
    },
    items: {
      title: 'items, C',
      canister: items.id,
      name: 'items',
      method: 'backup_items_chunk',
      reply: ITEMS_REPLIES.backup_items_chunk,
      total: TOTAL,
      fitting: FILE_ITEMS,
      two_MB: 10_000,
      configure: (knobs) => configure(items, { ...BODIES, ...knobs }),
    },
  };
}

// The calls of a method (start, limit : nat64) in a network's log that ask for items, and not for the total alone.
export function itemCalls(log, method) {
  const limit = ({ arg }) => Buffer.from(arg, 'hex').readBigUInt64LE(16);
  return log.filter((entry) => entry.method === method && limit(entry) > 0n);
}
