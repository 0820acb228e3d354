/* A restore in stages, as canister methods: restore_begin, restore_chunk, restore_status,
 * restore_commit and restore_abort, for controllers (restore.did says what they take and answer;
 * README.md what an application has to do). To have them, compile restore.c, stage.c, record.c,
 * live.c, ranges.c, convention.c, candid.c and sha256.c with the canister, and use live.h for its
 * stable memory.
 *
 * There is one session at a time. It is open, then committed or aborted; applying is between, when
 * commit takes several messages:
 *
 *   open       takes chunks; replaced by another begin when it has not been used for an hour; ended
 * by the application when that grows the live bytes beyond the session's size applying   from the
 * first changed live byte on; only restore_commit goes on, readers are told busy committed, aborted
 * what is remembered of the last 64 sessions
 *
 * All of it survives upgrades at any time. But an upgrade moves the version, so a session with a
 * base version that was open is stale after it.
 */
#ifndef CANISTERS_RESTORE_H
#define CANISTERS_RESTORE_H

#include <stdint.h>

#define RESTORE_CHUNK_MAX  ((uint64_t)31 * 65536) /* fits an ingress message of 2 MiB */
#define RESTORE_EXPIRES_NS ((uint64_t)3600 * 1000000000)

#endif
