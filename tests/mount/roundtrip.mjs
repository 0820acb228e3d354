// The canisters of tests/canisters that can be restored, as their users know them: how to make one that has something, and one
// that has nothing; methods of its own that change it; and what it answers, which a restore must bring back.
import { createHash } from 'node:crypto';
import { Actor } from '@icp-sdk/core/agent';
import { IDL } from '@icp-sdk/core/candid';
import { MAINTENANCE } from './convention.mjs';
import { Dscvr } from './dscvr.mjs';
import { createCanister, installCode, moduleOf } from './install.mjs';
import { ShapedCanister, TAGGR_PAGE } from './shapes.mjs';

const { Int64, Nat8, Nat64, Opt, Record, Text, Vec } = IDL;
const Blob = Vec(Nat8);
const query = (args, results) => IDL.Func(args, results, ['query']);
const update = (args, results) => IDL.Func(args, results, []);

const PAGE = 65536;
const PIECE = 2 ** 20;

// So that a difference is told in a line.
const digest = (bytes) => createHash('sha256').update(bytes).digest('hex');

const candid = (types, values) => new Uint8Array(IDL.encode(types, values));

// All bytes of a memory by a method (offset, length) that takes numbers of one kind.
async function whole(read, size, number = BigInt) {
  const parts = [];
  for (let at = 0; at < size; at += PIECE) parts.push(Buffer.from(await read(number(at), number(Math.min(PIECE, size - at)))));
  return digest(Buffer.concat(parts));
}

// --- canisters with an interface of their own ---

const Post = Record({ author: IDL.Principal, time_ns: Nat64, text: Text });
const SERVICES = {
  sample: {
    ...MAINTENANCE,
    stable_size: query([], [Nat64]),
    stable_read: query([Nat64, Nat64], [Blob]),
    stable_write: update([Nat64, Blob], []),
    stable_grow: update([Nat64], [Int64]),
    seed: update([Nat64, Nat64], []),
    work: update([Nat64], []),
  },
  motoko: {
    stable_size: query([], [Nat64]),
    stable_read: query([Nat64, Nat64], [Blob]),
    stable_write: update([Nat64, Blob], []),
    work: update([Nat64], []),
  },
  distrikt: {
    post: update([Text], [Nat64]),
    post_count: query([], [Nat64]),
    get_post: query([Nat64], [Opt(Post)]),
    stable64_size: query([], [Nat64]),
    stable64_read: query([Nat64, Nat64], [Blob]),
  },
};

// A canister of `name`, without data.
export async function installPlain(agent, name) {
  const principal = await createCanister(agent);
  await installCode(agent, principal, moduleOf(name));
  const actorOf = (other) => Actor.createActor(() => IDL.Service(SERVICES[name]), { agent: other, canisterId: principal });
  return { principal, id: principal.toText(), agent, actorOf, actor: actorOf(agent) };
}

// --- what is asked and done, by canister ---

const SIZE = 300_000;
const shaped = (name, size = SIZE) => ({
  make: (agent) => ShapedCanister.install(agent, name, { size, seed: 3n }),
  makeEmpty: (agent) => ShapedCanister.install(agent, name, { size: 0, seed: 4n }),
  change: (canister, seed) => canister.fill(size, seed),
});

// The state of an application that is restored from a dump has a length that its method knows: it answers no more and no less.
async function stateOf({ actor }, size) {
  const isLonger = await actor.read_state(BigInt(size), 1n).then(() => true, () => false);
  const isShorter = await actor.read_state(BigInt(size - 1), 1n).then(() => false, () => true);
  return { isLonger, isShorter, state: isShorter ? null : await whole(actor.read_state, size) };
}

// What a backup has of it:
//   make(agent), makeEmpty(agent)   an application in use, and one newly installed
//   change(canister, seed)          by its own methods, each seed to another state
//   answers(canister)               of its own methods
//   files                           what of the mount is backed up
//   prepare                         the mount's command makes the memory ready to be read
//   apply(canister)                 after a restore the application takes over what is in its memory
//   options                         of the mount
//   cannotBeEmpty                   why there is no restoring into a new one
export const CASES = {
  sample: {
    files: ['stable_memory'],
    makeEmpty: (agent) => installPlain(agent, 'sample'),
    async make(agent) {
      const canister = await installPlain(agent, 'sample');
      await canister.actor.seed(3_000_000n, 3n);
      await canister.actor.work(5n);
      return canister;
    },
    async change({ actor }, seed) {
      await actor.seed(1_000_000n, seed);
      await actor.stable_write(2_900_000n, Buffer.from(`changed ${seed}`));
      await actor.work(3n);
    },
    async answers({ actor }) {
      const size = Number(await actor.stable_size());
      return { size, memory: await whole(actor.stable_read, size) };
    },
  },
  motoko: {
    files: ['stable_memory'],
    makeEmpty: (agent) => installPlain(agent, 'motoko'),
    async make(agent) {
      const canister = await installPlain(agent, 'motoko');
      await canister.actor.stable_write(0n, Buffer.from('Bytes of a region, no whole pages of them. '.repeat(8000)));
      return canister;
    },
    async change({ actor }, seed) {
      await actor.stable_write(70_000n, Buffer.from(`changed ${seed}`));
      await actor.work(3n);
    },
    async answers({ actor }) {
      const size = Number(await actor.stable_size());
      return { size, memory: await whole(actor.stable_read, size) };
    },
  },
  factland: {
    ...shaped('factland'),
    files: ['stable_memory', 'backup/backup'],
    async change(canister, seed) {
      await canister.fill(SIZE, seed);
      const [[user, profile]] = await canister.actor.backup(700, 1);
      await canister.actor.restore([[user, { ...profile, username: [`renamed ${seed}`] }]]);
    },
    async answers({ actor }) {
      const size = Number(await actor.stable_size());
      return { size, memory: await whole(actor.stable_read, size), profiles: await actor.backup(0, 5000) };
    },
  },
  cdk32: {
    ...shaped('cdk32'),
    files: ['stable_memory'],
    async answers({ actor }) {
      const size = (await actor.stable_size()) * PAGE;
      return { size, memory: await whole(actor.stable_read, size, Number) };
    },
  },
  stable64: {
    ...shaped('stable64'),
    files: ['stable_memory'],
    async answers({ actor }) {
      const size = Number(await actor.stable64_size()) * PAGE;
      return { size, memory: await whole(actor.stable64_read, size) };
    },
  },
  storage: {
    ...shaped('storage'),
    files: ['stable_memory'],
    map: `[stable_memory]
read = read
size = stablesize
unit = pages
write = write
grow = stablegrow
`,
    async answers({ actor }) {
      const size = Number(await actor.stablesize()) * PAGE;
      return { size, memory: await whole(actor.read, size) };
    },
  },
  canister_tools: {
    ...shaped('canister_tools'),
    files: ['vmem'],
    async answers({ actor }) {
      const memories = {};
      for (const id of [0, 1, 252]) {
        const size = Number(await actor.controller_stable_memory_size(id)) * PAGE;
        memories[id] = await whole((...range) => actor.controller_stable_memory_read(id, ...range), size);
      }
      return memories;
    },
  },
  metamagic: {
    ...shaped('metamagic'),
    files: ['stable_memory'],
    apply: (canister) => canister.upgrade(),
    answers: (canister) => stateOf(canister, SIZE),
  },
  taggr: {
    ...shaped('taggr', 2 * TAGGR_PAGE + 77),
    // It traps when it is read before it has ever made a dump.
    makeEmpty: (agent) => ShapedCanister.install(agent, 'taggr', { size: 16, seed: 4n }),
    files: ['stable_memory'],
    prepare: true,
    apply: ({ actor }) => actor.stable_to_heap(),
    answers: (canister) => stateOf(canister, 2 * TAGGR_PAGE + 77 - 16),
  },
  hotornot: {
    ...shaped('hotornot'),
    files: ['stable_memory'],
    prepare: true,
    apply: ({ actor }) => actor.load_snapshot(),
    answers: (canister) => stateOf(canister, SIZE),
  },
  icml: {
    ...shaped('icml', 1_234_567),
    files: ['stable_memory'],
    async answers({ actor }) {
      const parts = [];
      let at = 0;
      for (let part; (part = await actor.db_download(BigInt(at))).length > 0; at += part.length) parts.push(Buffer.from(part));
      return { size: at, file: digest(Buffer.concat(parts)) };
    },
  },
  items: {
    ...shaped('items', 2500),
    files: ['backup/items', 'backup/plain'],
    async change(canister, seed) {
      await canister.fill(2500, seed);
      await canister.actor.touch(17n);
    },
    answers: async ({ actor }) => ({ items: await actor.backup_items_chunk(0n, 2500n), plain: await actor.backup_plain(0, 2500) }),
  },
  power_equalizer: {
    ...shaped('power_equalizer', 100),
    files: ['backup/chunks'],
    options: ['chunk_items=20'],
    answers: async ({ actor }) => ({ count: await actor.getChunkCount(1000n), all: await actor.backupChunk(1000n, 0n) }),
  },
  dscvr: {
    files: ['content', 'users', 'portals', 'limits', 'nfts'].map((name) => `backup/${name}`),
    options: ['profile=dscvr'],
    makeEmpty: (agent) => Dscvr.install(agent, { count: 0 }),
    async make(agent) {
      const canister = await Dscvr.install(agent, { count: 2200, seed: 3n });
      await canister.touch(7);
      return canister;
    },
    async change(canister, seed) {
      await canister.remove(900);
      await canister.touch(Number(seed % 1000n));
    },
    // @icp-sdk/core takes seconds to decode this: the replies as they come.
    async answers(canister, client) {
      const answers = {};
      for (const [method, counted] of Object.entries({ backup_content_chunks: true, backup_users_chunk: true, backup_portals_chunk: true, backup: false })) {
        if (!counted) {
          answers[method] = digest(await client.query(canister.id, method, candid([], [])));
          continue;
        }
        const [{ total_length: total }] = await canister.actor[method](0n, 0n);
        answers[`${method} total`] = total;
        for (let i = 0n; i < total; i += 500n) {
          const limit = total - i < 500n ? total - i : 500n;
          answers[`${method} ${i}`] = digest(await client.query(canister.id, method, candid([Nat64, Nat64], [i, limit])));
        }
      }
      return answers;
    },
  },
};
