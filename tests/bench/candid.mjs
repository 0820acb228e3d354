// Decoding and cutting Candid messages, beside @icp-sdk/core and didc on the same bytes, round by round.
//
// usage: node candid.mjs      as a part of scripts/bench it needs no network
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import didc from '@dfinity/didc';
import { IDL } from '@icp-sdk/core/candid';
import { Principal } from '@icp-sdk/core/principal';
import { fixed, MIB, ranged, seconds, spread, table } from './measure.mjs';

const BENCH = join(dirname(fileURLToPath(import.meta.url)), '../../build/tests/bench/candid_bench');
const run = promisify(execFile);

const Content = IDL.Record({
  id: IDL.Nat64,
  owner: IDL.Principal,
  title: IDL.Text,
  body: IDL.Text,
  created_ns: IDL.Nat64,
  score: IDL.Int,
  parent: IDL.Opt(IDL.Nat64),
  tags: IDL.Vec(IDL.Text),
  state: IDL.Variant({ live: IDL.Null, removed: IDL.Text }),
});
const CONTENT = `type Content = record { id : nat64; owner : principal; title : text; body : text; created_ns : nat64; score : int;
  parent : opt nat64; tags : vec text; state : variant { live; removed : text } };`;
const Small = IDL.Record({ key: IDL.Nat32, value: IDL.Nat });
const SMALL = 'type Small = record { key : nat32; value : nat };';

const content = (i) => ({
  id: BigInt(i),
  owner: Principal.fromUint8Array(new Uint8Array(29).fill(i % 251)),
  title: `Post number ${i}`,
  body: 'Ein Text von mittlerer Länge, so wie Leute ihn schreiben. '.repeat(1 + (i % 5)),
  created_ns: 1_700_000_000_000_000_000n + BigInt(i),
  score: BigInt(i % 1000) - 500n,
  parent: i % 3 ? [BigInt(i >> 1)] : [],
  tags: ['candid', 'bench'].slice(0, i % 3),
  state: i % 7 ? { live: null } : { removed: 'spam' },
});
const small = (i) => ({ key: i, value: BigInt(i) ** 2n });

// Messages of about two megabytes, what one update call can carry, and the blob of a large query reply.
const samples = [
  { name: 'blob of 3 MiB', type: IDL.Vec(IDL.Nat8), value: () => new Uint8Array(3 * MIB).fill(7), text: '', of: 'blob' },
  { name: 'vec of posts', type: IDL.Vec(Content), value: () => Array.from({ length: 7300 }, (_, i) => content(i)), text: CONTENT, of: 'vec Content' },
  { name: 'vec of small records', type: IDL.Vec(Small), value: () => Array.from({ length: 240000 }, (_, i) => small(i)), text: SMALL, of: 'vec Small' },
];

// One round: each decoder once, one after the other. Ours makes views into the message, so a copy of all bytes, such as
// whoever keeps them makes, is counted with it. didc knows text only: it parses hex and prints.
async function round(sample, bytes, hex, path) {
  const ours = JSON.parse((await run(BENCH, [path])).stdout);
  const core = await seconds(() => IDL.decode([sample.type], bytes));
  const printed = await seconds(() =>
    didc.decode({ idl: `${sample.text} service : { m : () -> (${sample.of}) query }`, serviceMethod: 'm', input: hex, inputFormat: 'hex' }),
  );
  return { ours, core, didc: printed };
}

export async function candidSpeed(repeat) {
  const dir = await mkdtemp(join(tmpdir(), 'canisterfs-candid-'));
  try {
    const results = [];
    for (const sample of samples) {
      const bytes = new Uint8Array(IDL.encode([sample.type], [sample.value()]));
      const path = join(dir, 'message');
      await writeFile(path, bytes);
      IDL.decode([sample.type], bytes); // once to warm up
      const rounds = [];
      for (let i = 0; i < repeat; i++) rounds.push(await round(sample, bytes, Buffer.from(bytes).toString('hex'), path));
      const of = (pick) => spread(rounds.map(pick));
      results.push({
        name: sample.name,
        bytes: bytes.length,
        decode_ms: of((r) => 1000 * r.ours.decode_s),
        decode_and_copy_MB_per_s: of((r) => bytes.length / 1e6 / r.ours.decode_and_copy_s),
        decode_and_copy_to_memcpy: of((r) => r.ours.decode_and_copy_s / r.ours.memcpy_s),
        core_to_decode_and_copy: of((r) => r.core / r.ours.decode_and_copy_s),
        didc_to_decode_and_copy: of((r) => r.didc / r.ours.decode_and_copy_s),
        count_MB_per_s: of((r) => bytes.length / 1e6 / r.ours.count_s),
        split_MB_per_s: of((r) => bytes.length / 1e6 / r.ours.split_s),
        merge_MB_per_s: of((r) => bytes.length / 1e6 / r.ours.merge_s),
      });
    }
    return results;
  } finally {
    await rm(dir, { recursive: true });
  }
}

export const candidRows = (results) => [
  ['Candid, one thread', ...results.map((r) => `${r.name}, ${fixed(r.bytes / 1e6)} MB`)],
  ['decode, ms', ...results.map((r) => ranged(r.decode_ms, 4))],
  ['decode and copy all bytes, MB/s', ...results.map((r) => ranged(r.decode_and_copy_MB_per_s, 0))],
  ['  its time to that of memcpy', ...results.map((r) => ranged(r.decode_and_copy_to_memcpy))],
  ['  @icp-sdk/core: times as long', ...results.map((r) => ranged(r.core_to_decode_and_copy, 0))],
  ['  didc, which also prints: times as long', ...results.map((r) => ranged(r.didc_to_decode_and_copy, 0))],
  ['count items, MB/s', ...results.map((r) => ranged(r.count_MB_per_s, 0))],
  ['split in two, MB/s', ...results.map((r) => ranged(r.split_MB_per_s, 0))],
  ['merge 16 chunks, MB/s', ...results.map((r) => ranged(r.merge_MB_per_s, 0))],
];

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(table(candidRows(await candidSpeed(3))));
