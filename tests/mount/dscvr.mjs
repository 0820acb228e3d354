// The canister tests/canisters/dscvr.mo: its methods, and what every item of it holds, computed from the seed and the
// item's index alone.
import { Actor } from '@icp-sdk/core/agent';
import { IDL } from '@icp-sdk/core/candid';
import { Principal } from '@icp-sdk/core/principal';
import { MAINTENANCE } from './convention.mjs';
import { seedWord } from './harness.mjs';
import { createCanister, installCode, moduleOf } from './install.mjs';

const { Bool, Float64, Int, Nat, Nat8, Nat32, Nat64, Null, Opt, Record, Text, Tuple, Variant, Vec } = IDL;
const Blob = Vec(Nat8);

// --- types ---

const Content = Record({
  id: Nat64,
  kind: Variant({ post: Null, link: Text, comment: Record({ parent: Nat64, depth: Nat8 }) }),
  title: Text,
  body: Text,
  author: IDL.Principal,
  created_at: Nat64,
  views: Nat,
  score: Int,
  tags: Vec(Text),
  url: Opt(Text),
  icon: Opt(Blob),
});
const Poll = Record({ content_id: Nat64, question: Text, options: Vec(Tuple(Text, Nat32)), closes_at: Opt(Nat64) });
const User = Record({ id: IDL.Principal, username: Text, bio: Text, joined_at: Nat64, follows: Vec(Nat32) });
const Portal = Record({ id: Nat64, slug: Text, owner: IDL.Principal, nsfw: Bool, ratio: Float64 });
const ActionLimits = Record({ posts_per_hour: Nat32, comments_per_hour: Nat32, premium: Vec(IDL.Principal) });
const NFT = Record({ id: Nat64, owner: IDL.Principal, image: Blob });
const chunkOf = (Item, more = {}) => Record({ chunk: Vec(Item), ...more, total_length: Nat64 });
const PortalChunk = chunkOf(Portal);
const Backup = Record({
  content: Opt(Vec(Content)),
  users: Opt(Vec(User)),
  portals: Opt(Vec(Portal)),
  limits: Opt(ActionLimits),
  nfts: Opt(Vec(NFT)),
  polls: Opt(Vec(Poll)),
});

// What each method replies.
export const REPLIES = {
  backup_content_chunks: Opt(chunkOf(Content, { chunk_polls: Vec(Poll) })),
  backup_users_chunk: Opt(chunkOf(User)),
  backup_portals_chunk: Opt(PortalChunk),
  backup_limits: Opt(ActionLimits),
  backup_nfts: Vec(NFT),
  backup: Opt(Backup),
};
// What each method takes.
const RESTORES = {
  restore: Backup,
  restore_content: Backup,
  restore_users: Backup,
  restore_nfts: Vec(NFT),
  restore_portals: PortalChunk,
  restore_limits: ActionLimits,
};
// A Backup with nothing in it.
export const NOTHING = { content: [], users: [], portals: [], limits: [], nfts: [], polls: [] };
const ITEM = { content: Content, users: User, portals: Portal };
const isChunked = (method) => /_chunks?$/.test(method);

export function Service() {
  const queries = Object.entries(REPLIES).map(([method, reply]) => [
    method,
    IDL.Func(isChunked(method) ? [Nat64, Nat64] : [], [reply], ['query']),
  ]);
  const update = (...args) => IDL.Func(args, [], []);
  const restores = Object.entries(RESTORES).map(([method, Arg]) => [method, update(Arg)]);
  const updates = { fill: update(Nat64, Nat64), add: update(Nat64), remove: update(Nat64), touch: update(Nat64) };
  return IDL.Service({ ...Object.fromEntries([...queries, ...restores]), ...updates, ...MAINTENANCE });
}

// --- items ---

const SENTENCES = [
  'First to comment here',
  'I moved my whole blog on chain last week, and it simply works.',
  'Grüße aus Zürich, where the snow is already melting!',
  'Has anyone compared the storage costs of the two designs?',
  'Take the backup before the upgrade, not after it.',
  '😀😀',
  'A canister that cannot be restored has not been backed up; we learned it the hard way in 2021.',
  'See the second part of this thread.\n',
  '"Quoted text", with a backslash \\ in it.',
  '日本からこんにちは。',
  'My portal has grown to ten thousand members, so I am looking for moderators in any time zone.',
  'No.',
  'The reply limit is three megabytes and the request limit is two.',
  'It took ten minutes, give or take two.',
  '\tIndented by a tab.',
  'One more thing: thank you all for your votes, your comments and your patience with the broken search.',
];
const TOPICS = [
  'governance', 'art', 'games', 'music', 'defi', 'news', 'wallets', 'storage', 'memes', 'jobs', 'hacks', 'travel',
];
const AUTHORS = 499n;

function leb(n) {
  const bytes = [];
  for (; n > 127; n = Math.floor(n / 128)) bytes.push((n % 128) + 128);
  return Buffer.of(...bytes, n);
}

const many = (first, count, item) => Array.from({ length: count }, (_, i) => item(first + i));
const below = (word, limit) => Number(word % BigInt(limit));
const byte = (word, at) => Number((word >> BigInt(8 * (at % 8))) & 0xffn);
const topic = (number) => TOPICS[below(number, 12)];
const nUsers = (count) => Math.floor(count / 20);
const nPortals = (count) => Math.floor(count / 200);
const createdAt = (i) => 1_640_995_200_000_000_000n + BigInt(i) * 60_000_000_000n;

function text(choice, length) {
  const out = [];
  for (let j = 0; j < length; j++) out.push(SENTENCES[below((choice >> BigInt(4 * (j % 16))) + BigInt(Math.floor(j / 16)), 16)]);
  return out.join('');
}

function lengthOf(i, a) {
  if (i % 10_000 >= 2_000 && i % 10_000 < 2_400) return 180 + below(a >> 8n, 60);
  if ((a & 255n) === 0n) return 100 + below(a >> 8n, 700);
  if ((a & 15n) === 0n) return 10 + below(a >> 8n, 60);
  return 1 + below(a >> 8n, 5);
}

// The data that fill(count, seed) makes, with what was changed since. Items are as IDL.decode gives them.
export class Data {
  constructor(count, seed, edits = new Map()) {
    Object.assign(this, { count, seed, edits, encoded: {} });
  }

  #word(k) {
    return seedWord(this.seed, k);
  }

  #bytes(from, length) {
    return Uint8Array.from({ length }, (_, j) => byte(this.#word(from + Math.floor(j / 8)), j));
  }

  #principal(user) {
    const bytes = this.#bytes(user * 4, 29);
    bytes[28] = 2;
    return Principal.fromUint8Array(bytes);
  }

  content(i) {
    const [a, b] = [this.#word(4 * i), this.#word(4 * i + 1)];
    const kinds = [
      () => ({ post: null }),
      () => ({ link: `https://example.org/${i}` }),
      () => ({ comment: { parent: BigInt(Math.floor(i / 2)), depth: byte(a, 3) } }),
    ];
    return {
      id: BigInt(i),
      kind: kinds[below(a >> 20n, 3)](),
      title: `${topic(a >> 24n)} ${i}${String.fromCharCode(97 + ((this.edits.get(i) ?? 0) % 26))}`,
      body: text(b, lengthOf(i, a)),
      author: this.#principal(below(b, AUTHORS)),
      created_at: createdAt(i),
      views: (a % 1_000_000n) * ((a & 31n) === 0n ? 1_000_000_000_000_000_000n : 1n),
      score: (b % 2_001n) - 1_000n,
      tags: many(0, below(a >> 32n, 4), (j) => topic((a >> 36n) + BigInt(j))),
      url: (a & 3n) === 0n ? [`https://example.org/?q=${topic(b >> 8n)}`] : [],
      icon: (b & 7n) === 0n ? [this.#bytes(4 * i + 2, below(b >> 16n, 200))] : [],
    };
  }

  // None, or one.
  polls(i) {
    const c = this.#word(4 * i + 3);
    if (c % 7n !== 0n) return [];
    return [
      {
        content_id: BigInt(i),
        question: `What do you think of ${topic(c >> 8n)}?`,
        options: many(0, 2 + below(c >> 16n, 4), (j) => [TOPICS[j], below(c >> BigInt(j), 1_000)]),
        closes_at: (c & 1n) === 0n ? [] : [createdAt(i)],
      },
    ];
  }

  user(i) {
    const a = this.#word(4 * i);
    return {
      id: this.#principal(i),
      username: `${topic(a)}${i}`,
      bio: (a & 1n) === 0n ? '' : SENTENCES[below(a >> 8n, 16)],
      joined_at: createdAt(i),
      follows: Uint32Array.from({ length: below(a >> 16n, 20) }, (_, j) => (i + j * j) % 5_000),
    };
  }

  portal(i) {
    return {
      id: BigInt(i),
      slug: `${TOPICS[i % 12]}-${i}`,
      owner: this.#principal(i),
      nsfw: i % 5 === 0,
      ratio: i / 8,
    };
  }

  // collection -> the number of its items
  get totals() {
    return { content: this.count, users: nUsers(this.count), portals: nPortals(this.count) };
  }

  // The reply of a chunk method (by its collection) to (start, limit).
  chunk(collection, start, limit) {
    return [
      {
        chunk: many(start, limit, (i) => this.#item(collection, i)),
        ...(collection === 'content' && { chunk_polls: many(start, limit, (i) => this.polls(i)).flat() }),
        total_length: BigInt(this.totals[collection]),
      },
    ];
  }

  #item(collection, i) {
    return { content: this.content, users: this.user, portals: this.portal }[collection].call(this, i);
  }

  // The bytes of chunk()'s value in a Candid message: those of each item are made once.
  values(collection, start, limit) {
    const item = ITEM[collection];
    const polls = collection === 'content' ? this.#bytesOf('polls', start, limit, (i) => this.polls(i).map((poll) => Poll.encodeValue(poll))) : [];
    const items = this.#bytesOf(collection, start, limit, (i) => [item.encodeValue(this.#item(collection, i))]);
    // An opt that is there, and the record's fields in the order of their hashes: chunk_polls, chunk, total_length.
    const vecs = (collection === 'content' ? [polls, items] : [items]).flatMap((list) => [leb(list.length), ...list]);
    const total = Buffer.alloc(8);
    total.writeBigUInt64LE(BigInt(this.totals[collection]));
    return Buffer.concat([Buffer.of(1), ...vecs, total]);
  }

  #bytesOf(kind, start, limit, encode) {
    const made = (this.encoded[kind] ??= []);
    for (let i = start; i < start + limit; i++) made[i] ??= encode(i).map((bytes) => Buffer.from(bytes));
    return made.slice(start, start + limit).flat();
  }

  get limits() {
    return [{ posts_per_hour: 10, comments_per_hour: 60, premium: many(0, 3, (i) => this.#principal(i)) }];
  }

  get nfts() {
    return many(0, 7, (i) => ({ id: BigInt(i), owner: this.#principal(i), image: this.#bytes(i * 100, 300 + i) }));
  }

  get backup() {
    return [{ ...NOTHING, limits: this.limits, nfts: [this.nfts] }];
  }
}

// --- the canister ---

export class Dscvr {
  // The canister of an id, which holds what fill(count, seed) made; `agent` controls it.
  constructor(agent, principal, data) {
    this.principal = principal;
    this.data = data;
    this.actor = Actor.createActor(Service, { agent, canisterId: principal });
  }

  static async install(agent, { count, seed = 1n }) {
    const principal = await createCanister(agent);
    await installCode(agent, principal, moduleOf('dscvr'));
    const canister = new Dscvr(agent, principal, null);
    await canister.fill(count, seed);
    return canister;
  }

  get id() {
    return this.principal.toText();
  }

  async fill(count, seed) {
    await this.actor.fill(BigInt(count), seed);
    this.data = new Data(count, seed);
  }

  async add(count) {
    await this.actor.add(BigInt(count));
    this.data = new Data(this.data.count + count, this.data.seed, this.data.edits);
  }

  async remove(count) {
    await this.actor.remove(BigInt(count));
    const left = this.data.count - count;
    this.data = new Data(left, this.data.seed, new Map([...this.data.edits].filter(([i]) => i < left)));
  }

  async touch(i) {
    await this.actor.touch(BigInt(i));
    const edits = new Map(this.data.edits).set(i, (this.data.edits.get(i) ?? 0) + 1);
    this.data = new Data(this.data.count, this.data.seed, edits);
  }
}
