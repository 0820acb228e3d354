// tests/canisters/shapes/items.c: its methods, its knobs, and what it replies.
import { IDL } from '@icp-sdk/core/candid';
import { seedBytes, seedWord } from './harness.mjs';

const { Nat, Nat32, Nat64, Opt, Record, Text, Vec } = IDL;
const Blob = Vec(IDL.Nat8);
const query = (args, results) => IDL.Func(args, results, ['query']);
const update = (args) => IDL.Func(args, [], []);

const Item = Record({ id: Nat64, body: Text });
const ItemsChunk = Record({ height: Nat64, chunk: Vec(Item), notes: Vec(Text), total_length: Nat64 });
const Meta = Record({ name: Text, items: Nat64 });

export const ITEMS_REPLIES = {
  backup_items_chunk: Opt(ItemsChunk),
  backup_untold_chunk: Opt(Record({ chunk: Vec(Item) })),
  backup_empty_chunk: Opt(Record({ chunk: Vec(Item), total_length: Nat64 })),
  backup_plain: Vec(Item),
  posts: Vec(Item),
  number_of_posts: Nat,
  backup_parts_chunk: Opt(Record({ chunk: Blob, total_length: Nat64 })),
  backup_raw: Blob,
  backup_meta: Meta,
  backup_none: Opt(Meta),
  backup_version: Record({ version: Nat64, mtime_ns: Nat64, size: Nat64 }),
};
const ARGS = {
  backup_items_chunk: [Nat64, Nat64],
  backup_untold_chunk: [Nat64, Nat64],
  backup_empty_chunk: [Nat64, Nat64],
  backup_plain: [Nat32, Nat32],
  posts: [Nat, Nat],
  backup_parts_chunk: [Nat64, Nat64],
  backup_raw: [Nat64, Nat64],
};

export const ITEMS_METHODS = {
  ...Object.fromEntries(Object.entries(ITEMS_REPLIES).map(([name, reply]) => [name, query(ARGS[name] ?? [], [reply])])),
  restore_items_chunk: update([ItemsChunk]),
  restore_plain: update([Vec(Item)]),
  restored: query([], [Record({ calls: Nat64, items: Nat64, notes: Nat64 })]),
  touch: update([Nat64]),
  configure: update([Text]),
};

const many = (first, count, item) => Array.from({ length: count }, (_, i) => item(first + i));

// What an items canister holds: `size` items of a seed, its knobs, and how often which item was touched. Replies to
// (start, limit) are of ranges within the end; knobs that refuse, cut or prolong them are not considered.
export class Items {
  constructor({ size, seed }, knobs = {}, touched = {}) {
    Object.assign(this, { size, seed, touched });
    this.knobs = { bytes: 0, body_min: 0, body_max: 200, notes: 0, ...knobs };
  }

  item(i) {
    const { body_min, body_max, giant_at, giant_bytes } = this.knobs;
    const length = i === giant_at ? giant_bytes : body_min + Number(seedWord(this.seed, i) % BigInt(body_max - body_min + 1));
    return { id: BigInt(i), body: String.fromCharCode(97 + ((i + (this.touched[i] ?? 0)) % 26)).repeat(length) };
  }

  list(start, limit) {
    return many(start, limit, (i) => this.item(i));
  }

  // backup_items_chunk.
  chunk(start, limit) {
    const notes = many(start, limit, (i) => i).filter((i) => i % 3 === 0).map((i) => `note-${i}`);
    const further = many(0, this.knobs.notes, (i) => `further-${i}`);
    const total_length = BigInt(this.knobs.total ?? this.size);
    return [{ height: 7n, chunk: this.list(start, limit), notes: [...notes, ...further], total_length }];
  }

  bytes(start, limit) {
    return seedBytes(this.seed, start, limit);
  }

  get meta() {
    return { name: `seed-${this.seed}`, items: BigInt(this.size) };
  }
}

// Turns the knobs of a ShapedCanister, those not named back; what it holds then.
export async function configure(canister, knobs = {}) {
  await canister.actor.configure(Object.entries(knobs).map(([name, value]) => `${name}=${value}`).join(' '));
  return new Items(canister.filled, knobs);
}
