// What the tests of restores and maintenance share: the sample canister on the engine, called at the types of its
// description with @icp-sdk/core's Candid; contents and their hash.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { IDL } from '@icp-sdk/core/candid';
import { buildCanisters, callCandid, CONTROLLER, makeEngine, makeEnv, PAGE } from './engine_fixture.mjs';

const { Nat64, Nat32, Text, Null, Vec, Nat8, Opt, Record, Variant, Tuple, Bool } = IDL;
const Blob = Vec(Nat8);
export const Version = Record({ version: Nat64, mtime_ns: Nat64, size: Nat64 });
export const Err = Variant({ busy: Text, stale: Version, denied: Null, range: Null, corrupt: Text, other: Text });
const Res = Variant({ ok: Null, err: Err });
export const Begin = Record({ target: Text, size: Nat64, sha256: Blob, base_version: Opt(Nat64) });
const Begun = Variant({ ok: Record({ session: Nat64, chunk_max: Nat64, expires_ns: Nat64 }), err: Err });
export const Chunk = Record({ session: Nat64, offset: Nat64, bytes: Blob });
const State = Variant({ open: Null, committed: Null, aborted: Null });
const Status = Opt(Record({ received: Vec(Tuple(Nat64, Nat64)), size: Nat64, state: State }));
const Committed = Variant({ ok: Null, more: Record({ done: Nat64, total: Nat64 }), err: Err });
export const Pause = Record({ ttl_s: Nat32, reason: Text });
const Paused = Variant({ ok: Record({ lease: Nat64, version: Nat64 }), err: Err });
const Maintenance = Record({ paused: Bool, lease_expires_ns: Nat64, in_flight: Nat64 });

/** Of each method of the sample: arguments, results, kind. */
export const METHODS = {
  stable_size: [[], [Nat64], 'query'],
  stable_version: [[], [Version], 'query'],
  stable_read: [[Nat64, Nat64], [Blob], 'query'],
  stable_read_at: [[Nat64, Nat64, Nat64], [Variant({ ok: Blob, err: Err })], 'query'],
  stable_hash: [[Nat64, Nat64], [Blob], 'query'],
  stable_hashes: [[Nat64, Nat64, Nat64], [Blob], 'query'],
  stable_write: [[Nat64, Blob], [], 'update'],
  stable_grow: [[Nat64], [IDL.Int64], 'update'],
  seed: [[Nat64, Nat64], [], 'update'],
  work: [[Nat64], [], 'update'],
  restore_begin: [[Begin], [Begun], 'update'],
  restore_chunk: [[Chunk], [Res], 'update'],
  restore_status: [[Nat64], [Status], 'query'],
  restore_commit: [[Nat64], [Committed], 'update'],
  restore_abort: [[Nat64], [Res], 'update'],
  maintenance_pause: [[Pause], [Paused], 'update'],
  maintenance_renew: [[Nat64], [Res], 'update'],
  maintenance_resume: [[Nat64], [Res], 'update'],
  maintenance_status: [[], [Maintenance], 'query'],
};

export const OK = { ok: null };
export const MIB = 2 ** 20;
export const CHUNK_MAX = 31 * PAGE;
export const HOUR_NS = 3_600_000_000_000n;

const module = buildCanisters();

/**
 * A new canister: 'sample', or 'sample_steps', whose commits take a message for each 2 MiB. The clock of its env moves
 * with upgrades alone.
 */
export function makeSample(name = 'sample') {
  const env = makeEnv();
  env.time = () => env.now;
  const engine = makeEngine(module(name), { env });
  const upgrade = (skipPreUpgrade = false) => {
    env.now += 1_000_000_000n;
    engine.upgrade({ module: module(name), arg: new Uint8Array(0), caller: CONTROLLER, skipPreUpgrade });
  };
  return { engine, env, upgrade, ...bind(engine) };
}

/** Its methods, as somebody calls them: sample.stable_read(0, 5) is the result. Numbers become nat64s. */
export function bind(engine, caller = CONTROLLER) {
  const methods = Object.entries(METHODS).map(([name, [args, results, kind]]) => {
    const type = [args, results];
    return [name, async (...values) => (await callCandid(engine, kind, name, type, values.map(wide), caller))[0]];
  });
  return Object.fromEntries(methods);
}

const wide = (value) => (typeof value === 'number' ? BigInt(value) : value);

export const sha256 = (bytes) => createHash('sha256').update(bytes).digest();

/** What restore_begin wants to know of a content. */
export function pieceHash(bytes) {
  const outer = createHash('sha256');
  for (let at = 0; at < bytes.length; at += MIB) outer.update(sha256(bytes.subarray(at, at + MIB)));
  return new Uint8Array(outer.digest());
}

/** Bytes that differ everywhere, the same for the same seed. */
export function content(size, seed = 1) {
  const bytes = new Uint8Array(size);
  const words = new Uint32Array(bytes.buffer, 0, size >> 2);
  let x = (seed * 2654435761) >>> 0 || 1;
  for (let i = 0; i < words.length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    words[i] = x;
  }
  return bytes;
}

export const beginOf = (bytes, base = null) => ({
  target: 'stable_memory',
  size: BigInt(bytes.length),
  sha256: pieceHash(bytes),
  base_version: base === null ? [] : [base],
});

/** Begins, and returns the session's number. */
export async function begin(sample, bytes, base = null) {
  const answer = await sample.restore_begin(beginOf(bytes, base));
  assert.ok(answer.ok, JSON.stringify(answer, (_, v) => (typeof v === 'bigint' ? String(v) : v)));
  return answer.ok.session;
}

/** Sends [from, to) of a content. */
export async function send(sample, session, bytes, from = 0, to = bytes.length, chunk = CHUNK_MAX) {
  for (let at = from; at < to; at += chunk) {
    const part = bytes.subarray(at, Math.min(at + chunk, to));
    assert.deepEqual(await sample.restore_chunk({ session, offset: BigInt(at), bytes: part }), OK, `${at}`);
  }
}

/** Calls commit until it is done. Returns how often that was. */
export async function commit(sample, session) {
  for (let calls = 1, before = -1n; ; calls++) {
    const answer = await sample.restore_commit(session);
    if ('ok' in answer) return calls;
    assert.ok(answer.more, Object.keys(answer.err ?? {}).join());
    assert.ok(answer.more.done > before && answer.more.done <= answer.more.total, 'it goes forward');
    before = answer.more.done;
  }
}

/** All live bytes. */
export async function readAll(sample) {
  const size = Number(await sample.stable_size());
  const all = Buffer.alloc(size);
  for (let at = 0; at < size; at += 2 * MIB) all.set(await sample.stable_read(at, Math.min(2 * MIB, size - at)), at);
  return all;
}

export async function assertContent(sample, bytes) {
  const all = await readAll(sample);
  assert.equal(all.length, bytes.length);
  if (Buffer.compare(all, bytes) === 0) return;
  const at = all.findIndex((byte, i) => byte !== bytes[i]);
  assert.fail(`byte ${at} is ${all[at]}, not ${bytes[at]}`);
}
