// How many calls a backup takes from a canister that gives k items at most and says so by failing only, for k by chance.
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { randomInt } from 'node:crypto';
import { run, seedWord } from '../mount/harness.mjs';
import { FILE_ITEMS, itemCalls } from './collection.mjs';

const N_LIMITS = 5;
const [SMALLEST, LARGEST] = [20, FILE_ITEMS];

// Each order of magnitude as likely as any other.
function limitOf(seed, i) {
  const part = Number(seedWord(BigInt(seed), i) >> 11n) / 2 ** 53;
  return Math.floor(SMALLEST * (LARGEST / SMALLEST) ** part);
}

// Of n items with k at most in each call: when k is known; when every range that fails is halved.
const least = (n, k) => Math.ceil(n / k);
const halving = (n, k) => (n <= k ? 1 : 1 + halving(Math.floor(n / 2), k) + halving(Math.ceil(n / 2), k));

function inFiles(total, calls) {
  const [whole, rest] = [Math.floor(total / FILE_ITEMS), total % FILE_ITEMS];
  return whole * calls(FILE_ITEMS) + (rest > 0 ? calls(rest) : 0);
}

async function withLimit(stage, network, collection, k) {
  const to = join(stage.dir, 'calls');
  await collection.configure({ refuse_above: k });
  const mount = await stage.mount(network, collection.canister);
  const log = await network.requestsDuring(() => run('cp', ['-r', mount.path('backup', collection.name), to]));
  await mount.unmount();
  await rm(to, { recursive: true });
  const calls = itemCalls(log, collection.method);
  return {
    k,
    calls: calls.length,
    in_vain: calls.filter(({ reject }) => reject).length,
    least: inFiles(collection.total, (n) => least(n, k)),
    halving: inFiles(collection.total, (n) => halving(n, k)),
  };
}

export async function limitedCalls(stage, network, collection, seed = randomInt(2 ** 32)) {
  const limits = [];
  for (let i = 0; i < N_LIMITS; i++) limits.push(await withLimit(stage, network, collection, limitOf(seed, i)));
  await collection.configure({});
  return { seed, items: collection.total, limits };
}

export const callRows = ({ seed, items, limits }) => [
  [`${items} items, limits of seed ${seed}`, 'calls', 'in vain', 'least possible', 'halving each range'],
  ...limits.map((r) => [`${r.k} items a call at most`, r.calls, r.in_vain, r.least, r.halving]),
];
