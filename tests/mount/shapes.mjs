// The canisters of tests/canisters/shapes: their methods, what they refuse, and the bytes and items that their data
// are. Installing them goes through the management canister by an agent, so a network in another process will do.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Actor } from '@icp-sdk/core/agent';
import { IDL } from '@icp-sdk/core/candid';
import { withSection } from '../replica/test/wire_module.mjs';
import { seedBytes, seedWord } from './harness.mjs';
import { ITEMS_METHODS } from './items.mjs';
import { createCanister, installCode, manage, moduleOf, SOURCES, upgradeCode } from './install.mjs';

const { Bool, Int64, Nat, Nat8, Nat32, Nat64, Null, Opt, Record, Text, Tuple, Variant, Vec } = IDL;
const Blob = Vec(Nat8);
const query = (args, results) => IDL.Func(args, results, ['query']);
const update = (args, results) => IDL.Func(args, results, []);

const PAGE = 65536;
const MIB = 2 ** 20;
const wholePages = (size) => Math.ceil(size / PAGE) * PAGE;

// --- data ---

// What a file should hold: `size`, and the bytes of [offset, offset + length) as far as they are within it.
function stream(seed, size) {
  return {
    size,
    read: (offset, length) => {
      const end = Math.min(offset + length, size);
      return offset < end ? seedBytes(seed, offset, end - offset) : Buffer.alloc(0);
    },
  };
}

// Data that begin with a header before the stream, or over its beginning.
function headed(header, data, over) {
  const shift = over ? 0 : header.length;
  return {
    size: data.size + shift,
    read: (offset, length) => {
      const head = header.subarray(offset, offset + length);
      const rest = data.read(offset + head.length - shift, length - head.length);
      return Buffer.concat([head, rest]);
    },
  };
}

const words = (write, numbers) => {
  const bytes = Buffer.alloc(8 * numbers.length);
  numbers.forEach((n, i) => bytes[write](BigInt(n), 8 * i));
  return bytes;
};
const many = (first, count, item) => Array.from({ length: count }, (_, i) => item(first + i));

const pages = ({ size, seed }) => ({ stable_memory: stream(seed, wholePages(size)) });
const bytes = ({ size, seed }) => ({ stable_memory: stream(seed, size) });

// --- items ---

export const N_PROFILES = 1500;
export const factlandProfile = (i) => [
  `principal-${i}`,
  {
    updated_time_msecs: [1_600_000_000_000n + BigInt(i)],
    username: [`user-${i}`],
    password: [],
    email: i % 3 === 0 ? [] : [`mail@${i}`],
  },
];

const dscvrContent = (seed, i) => ({
  id: BigInt(i),
  body: String.fromCharCode(97 + (i % 26)).repeat(Number(seedWord(seed, i) % 200n)),
});
const dscvrPolls = (start, limit) =>
  many(start, limit, (i) => i)
    .filter((i) => i % 5 === 0)
    .map((i) => ({ content_id: BigInt(i), question: `question-${i}` }));
const named = (word) => (i) => ({ id: BigInt(i), name: `${word}-${i}` });
const dscvrChunk = (item, total) => (start, limit) => ({
  chunk: many(start, limit, item),
  total_length: BigInt(total),
});

// What each of DSCVR's methods replies, without the opt around it.
export function dscvrReplies({ size, seed }) {
  const content = (i) => dscvrContent(seed, i);
  const [nUsers, nPortals] = [Math.floor(size / 2), Math.floor(size / 10)];
  const limits = { posts_per_hour: 10, comments_per_hour: 60 };
  return {
    backup_content_chunks: (start, limit) => ({
      ...dscvrChunk(content, size)(start, limit),
      chunk_polls: dscvrPolls(start, limit),
    }),
    backup_users_chunk: dscvrChunk(named('user'), nUsers),
    backup_portals_chunk: dscvrChunk(named('portal'), nPortals),
    backup_limits: () => limits,
    backup_nfts: () => many(0, 3, (i) => ({ id: BigInt(i), owner: `owner-${i}` })),
    backup: () => ({
      content: [many(0, size, content)],
      users: [many(0, nUsers, named('user'))],
      portals: [many(0, nPortals, named('portal'))],
      limits: [limits],
    }),
  };
}

// What power_equalizer's backupChunk replies.
export function powerEqualizerChunk({ size, seed }, chunkSize, index) {
  const first = Math.min(chunkSize * index, size);
  const transactionChunk = many(first, Math.min(chunkSize, size - first), (i) => ({
    token: i,
    buyer: `buyer-${i}`,
    price: seedWord(seed, i),
  }));
  const isThere = index < Math.max(1, Math.ceil(size / chunkSize));
  const first0 = { v2: { transactionCount: BigInt(size), transactionChunk } };
  return { v2: { marketplace: isThere ? [index === 0 ? first0 : { v2_chunk: { transactionChunk } }] : [] } };
}

export const ZENVOICH_CHUNK = 300_000;
// zenvoich's two backups by number.
export const zenvoichBackups = ({ size, seed }) => ({
  3: stream(seed, size),
  4: stream(seed + (1n << 32n), Math.floor(size / 2) + 1),
});

// --- the canisters ---

const Profile = Record({ updated_time_msecs: Opt(Nat64), username: Opt(Text), password: Opt(Text), email: Opt(Text) });
const Content = Record({ id: Nat64, body: Text });
const Poll = Record({ content_id: Nat64, question: Text });
const Named = Record({ id: Nat64, name: Text });
const NamedChunk = Record({ chunk: Vec(Named), total_length: Nat64 });
const Limits = Record({ posts_per_hour: Nat32, comments_per_hour: Nat32 });
const Backup = Record({
  content: Opt(Vec(Content)),
  users: Opt(Vec(Named)),
  portals: Opt(Vec(Named)),
  limits: Opt(Limits),
});
const Profiles = Vec(Tuple(Text, Profile));
const MemoryError = Variant({ OutOfMemory: Null, OutOfBounds: Null });
const Transactions = Vec(Record({ token: Nat32, buyer: Text, price: Nat64 }));
const Marketplace = Variant({
  v2: Record({ transactionCount: Nat, transactionChunk: Transactions }),
  v2_chunk: Record({ transactionChunk: Transactions }),
});
const StableChunk = Variant({ v2: Record({ marketplace: Opt(Marketplace) }) });
const chunkArgs = [Nat64, Nat64];
// What an application answers of its state, where a dump of that is what can be read and restored.
const read_state = query([Nat64, Nat64], [Blob]);

// methods    but for `fill`, which all have
// guarded    whether the originals answer reads to a chosen few only: the default of `controllersOnly`
// refusal    how a stranger's read fails then: 'reject' or 'trap'
// memories   name -> what the mount's file of it should hold, from { size, seed } of the data that can be read
// grows      the memory never shrinks: filling it with less fills all of it
// prepare    the update that makes new data readable, and which data a canister just installed offers
export const SHAPES = {
  factland: {
    methods: {
      backup: query([Nat32, Nat32], [Profiles]),
      restore: update([Profiles], []),
      stable_size: query([], [Nat64]),
      stable_read: query([Nat64, Nat64], [Blob]),
      stable_write: update([Nat64, Blob], []),
    },
    guarded: true,
    memories: pages,
    grows: true,
  },
  cdk32: {
    methods: {
      stable_size: query([], [Nat32]),
      stable_read: query([Nat32, Nat32], [Blob]),
      stable_grow: update([Nat32], [Variant({ Ok: Nat32, Err: MemoryError })]),
      stable_write: update([Nat32, Blob], []),
    },
    memories: pages,
    grows: true,
  },
  stable64: {
    methods: {
      stable64_size: query([], [Nat64]),
      stable64_read: query([Nat64, Nat64], [Blob]),
      stable64_grow: update([Nat64], [Variant({ ok: Nat64, err: MemoryError })]),
      stable64_write: update([Nat64, Blob], [Bool]),
    },
    memories: pages,
    grows: true,
  },
  storage: {
    methods: {
      stablesize: query([], [Nat64]),
      read: query([Nat64, Nat64], [Blob]),
      stablegrow: update([Nat64], [Nat64]),
      write: update([Nat64, Blob], []),
    },
    memories: pages,
    grows: true,
  },
  metamagic: {
    methods: {
      backup_stable_storage: query([Nat64, Nat64], [Blob]),
      stable_storage_info: query(
        [],
        [
          Record({
            header_length: Nat64,
            content_length: Nat64,
            content_format: Variant({ Unknown: Null, MsgPack: Null, Bincode: Null }),
            content_schema_version: Nat64,
            pre_upgrade_instruction_count: Nat64,
          }),
          Record({ skip_next_save: Bool, post_upgrade_instruction_count: Nat64 }),
        ],
      ),
      init_stable_storage: update([Nat64], []),
      restore_stable_storage: update([Nat64, Blob], []),
      set_restore_from_stable_storage: update([Bool], []),
      read_state,
    },
    guarded: true,
    memories: ({ size, seed }) => {
      if (size === 0) return { stable_memory: stream(seed, 0) }; // nothing stored yet
      const header = words('writeBigUInt64LE', [4, size, 2, 7, 123456789]);
      return { stable_memory: headed(header, stream(seed, size), false) };
    },
  },
  canister_tools: {
    methods: {
      controller_stable_memory_read: query([Nat8, Nat64, Nat64], [Blob]),
      controller_stable_memory_size: query([Nat8], [Nat64]),
      controller_stable_memory_write: update([Nat8, Nat64, Blob], []),
      controller_stable_memory_grow: update([Nat8, Nat64], [Int64]),
    },
    guarded: true,
    refusal: 'trap',
    memories: ({ size, seed }) =>
      size === 0
        ? {}
        : {
            0: stream(seed, wholePages(size)),
            1: stream(seed + (1n << 32n), 2 * PAGE),
            252: stream(seed + (252n << 32n), PAGE),
          },
    grows: true,
  },
  taggr: {
    methods: {
      stable_mem_read: query([Nat64], [Vec(Tuple(Nat64, Blob))]),
      backup: update([], []),
      stable_mem_write: update([Vec(Tuple(Nat64, Blob))], []),
      stable_to_heap: update([], []),
      read_state,
    },
    memories: ({ size, seed }) => {
      const header = words('writeBigUInt64BE', [16, size - 16]);
      return { stable_memory: headed(header, stream(seed, size), true) };
    },
    prepare: { method: 'backup', installed: true },
  },
  hotornot: {
    methods: {
      save_snapshot_json: update([], [Nat32]),
      download_snapshot: query([Nat64, Nat64], [Blob]),
      clear_snapshot: update([], []),
      receive_and_save_snaphot: update([Nat64, Blob], []),
      load_snapshot: update([], []),
      read_state,
    },
    guarded: true,
    memories: bytes,
    prepare: { method: 'save_snapshot_json', installed: false },
  },
  icml: {
    methods: { db_download: query([Nat64], [Blob]), db_upload: update([Nat64, Blob], []) },
    memories: bytes,
  },
  dscvr: {
    methods: {
      backup: query([], [Opt(Backup)]),
      backup_content_chunks: query(chunkArgs, [
        Opt(Record({ chunk: Vec(Content), chunk_polls: Vec(Poll), total_length: Nat64 })),
      ]),
      backup_users_chunk: query(chunkArgs, [Opt(NamedChunk)]),
      backup_portals_chunk: query(chunkArgs, [Opt(NamedChunk)]),
      backup_limits: query([], [Opt(Limits)]),
      backup_nfts: query([], [Vec(Record({ id: Nat64, owner: Text }))]),
    },
  },
  power_equalizer: {
    methods: {
      getChunkCount: query([Nat], [Nat]),
      backupChunk: query([Nat, Nat], [StableChunk]),
      restoreChunk: update([StableChunk], []),
    },
  },
  zenvoich: {
    methods: { getChunk: query([Nat, Nat], [Blob, Bool]) },
    guarded: true,
    refusal: 'trap',
  },
  items: { methods: ITEMS_METHODS },
  best_effort: {
    methods: {
      stable_size: query([], [Nat64]),
      stable_version: query([], [Record({ version: Nat64, mtime_ns: Nat64, size: Nat64 })]),
      stable_read: query([Nat64, Nat64], [Blob]),
    },
    memories: pages,
    grows: true,
  },
  live: {
    methods: { stable_size: query([], [Nat64]), stable_read: query([Nat64, Nat64], [Blob]) },
    memories: pages,
    grows: true,
  },
  nat: {
    methods: { stable_size: query([], [Nat]), stable_read: query([Nat, Nat], [Blob]) },
    memories: bytes,
  },
  nosize: {
    methods: { stable_read: query([Nat64, Nat64], [Blob]) },
    memories: bytes,
  },
};

// --- installing ---

export const didOf = (name) => readFileSync(join(SOURCES, 'shapes', `${name}.did`), 'utf8');

// The module with its candid:service as 'public' or 'private' metadata, or 'none'.
export function shapeModule(name, metadata, did = didOf(name)) {
  const module = moduleOf(join('shapes', name));
  if (metadata === 'none') return module;
  return withSection(module, `icp:${metadata} candid:service`, Buffer.from(did));
}

const InitArgs = [Nat64, Nat64, Bool];

// A canister of one of the shapes on some network.
export class ShapedCanister {
  #agent;
  #module;

  // Makes a canister that `agent` controls, and installs it.
  static async install(agent, name, options = {}) {
    const canister = new ShapedCanister();
    canister.principal = await createCanister(agent);
    canister.#agent = agent;
    await canister.reinstall(name, options);
    return canister;
  }

  // Puts new code and data into the canister. metadata, did: see shapeModule().
  async reinstall(name, options = {}) {
    const { size = 100_000, seed = 1n, controllersOnly = SHAPES[name].guarded ?? false, metadata = 'public' } = options;
    const arg = IDL.encode(InitArgs, [BigInt(size), seed, controllersOnly]);
    this.#module = shapeModule(name, metadata, options.did);
    await installCode(this.#agent, this.principal, this.#module, arg);
    this.shape = SHAPES[name];
    this.filled = { size, seed };
    this.readable = this.shape.prepare?.installed === false ? { size: 0, seed } : this.filled;
    this.actor = this.actorOf(this.#agent);
  }

  get id() {
    return this.principal.toText();
  }

  stop() {
    return manage(this.#agent, this.principal, 'stop_canister');
  }

  start() {
    return manage(this.#agent, this.principal, 'start_canister');
  }

  // To the same code.
  upgrade() {
    return upgradeCode(this.#agent, this.principal, this.#module);
  }

  // The canister as seen by another agent.
  actorOf(agent) {
    const service = () => IDL.Service({ ...this.shape.methods, fill: update([Nat64, Nat64], []) });
    return Actor.createActor(service, { agent, canisterId: this.principal });
  }

  // Replaces the data. Where the shape has a prepare method, reads still give what was there.
  async fill(size, seed) {
    await this.actor.fill(BigInt(size), seed);
    this.filled = { size: this.shape.grows ? Math.max(size, this.filled.size) : size, seed };
    if (!this.shape.prepare) this.readable = this.filled;
  }

  // Makes the last fill readable; the method's result.
  async prepare() {
    const result = await this.actor[this.shape.prepare.method]();
    this.readable = this.filled;
    return result;
  }

  // name -> { size, read(offset, length) }, as the mount's files should be now.
  get memories() {
    return this.shape.memories(this.readable);
  }
}

export const TAGGR_PAGE = MIB;
export const ICML_CHUNK = 1_000_000;
