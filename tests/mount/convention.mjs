// The methods of the convention that more than one of tests/canisters has, for @icp-sdk/core: staged restores and maintenance.
import { IDL } from '@icp-sdk/core/candid';

const { Bool, Nat8, Nat32, Nat64, Null, Opt, Record, Text, Tuple, Variant, Vec } = IDL;
const Blob = Vec(Nat8);

export const Version = Record({ version: Nat64, mtime_ns: Nat64, size: Nat64 });
export const Err = Variant({ busy: Text, stale: Version, denied: Null, range: Null, corrupt: Text, other: Text });
const Result = (ok) => Variant({ ok, err: Err });
const update = (arg, result) => IDL.Func([arg], [result], []);

export const MAINTENANCE = {
  maintenance_pause: update(Record({ ttl_s: Nat32, reason: Text }), Result(Record({ lease: Nat64, version: Nat64 }))),
  maintenance_renew: update(Nat64, Result(Null)),
  maintenance_resume: update(Nat64, Result(Null)),
  maintenance_status: IDL.Func([], [Record({ paused: Bool, lease_expires_ns: Nat64, in_flight: Nat64 })], ['query']),
};

export const RESTORE = {
  restore_begin: update(
    Record({ target: Text, size: Nat64, sha256: Blob, base_version: Opt(Nat64) }),
    Result(Record({ session: Nat64, chunk_max: Nat64, expires_ns: Nat64 })),
  ),
  restore_chunk: update(Record({ session: Nat64, offset: Nat64, bytes: Blob }), Result(Null)),
  restore_status: IDL.Func(
    [Nat64],
    [
      Opt(
        Record({
          received: Vec(Tuple(Nat64, Nat64)),
          size: Nat64,
          state: Variant({ open: Null, committed: Null, aborted: Null }),
        }),
      ),
    ],
    ['query'],
  ),
  restore_commit: update(Nat64, Variant({ ok: Null, more: Record({ done: Nat64, total: Nat64 }), err: Err })),
  restore_abort: update(Nat64, Result(Null)),
};
