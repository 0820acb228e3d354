/* The canister's maintenance lease: while it is held the canister refuses its users' changes.
 *
 *   maintenance_pause  (record {ttl_s; reason}) -> (variant {ok : record {lease; version}; err})
 *   maintenance_renew, maintenance_resume  (lease) -> (variant {ok; err})
 *   maintenance_status () -> (record {paused; lease_expires_ns; in_flight}) query
 *
 * Holders are counted: the first pauses the canister and waits until nothing is in flight there,
 * the lease outlasts the last by 30 s, so that a copy of many files is one pause. A thread renews
 * it; when the program dies the lease expires by itself.
 *
 * When the reply to maintenance_pause is lost, the canister may be paused by a lease whose number
 * nobody knows. It is asked for, without pausing again, until it is known, or cannot be in force
 * any more; meanwhile holders wait.
 *
 * The target must stay open, and its agent must not be stopped, until fs_lease_close.
 *
 * Thread safety: any number of concurrent calls.
 */
#ifndef CANISTERFS_FS_LEASE_H
#define CANISTERFS_FS_LEASE_H

#include "fs/log.h"
#include "fs/target.h"
#include "ic/error.h"
#include "ic/io.h"

#include <stdbool.h>
#include <stdint.h>

enum fs_maintenance {
    FS_MAINTENANCE_OFF,    /* never asked for */
    FS_MAINTENANCE_MANUAL, /* by commands only */
    FS_MAINTENANCE_AUTO,   /* by whoever reads or restores */
};

struct fs_lease;

struct fs_lease_config {
    const struct fs_target *target; /* borrowed, as the log */
    struct fs_log *log;
    enum fs_maintenance mode;
    bool is_offered;   /* the canister has the methods */
    uint32_t ttl_s;    /* 0: 60 */
    int64_t linger_ns; /* 0: 30 s */
};

/* Starts the renewing thread if it can ever be needed. Returns 0 or -errno. */
int fs_lease_open(struct fs_lease **out, const struct fs_lease_config *config)
    __attribute__((warn_unused_result, nonnull));

/* Every wait ends soon. Idempotent; NULL is fine. */
void fs_lease_stop(struct fs_lease *lease);
/* Resumes the canister if it is held: waits some seconds at most. NULL is fine. */
void fs_lease_close(struct fs_lease *lease);

/* Hold it: with mode AUTO and when the canister offers it, pauses the canister (or joins the
 * present holders) and waits until nothing is in flight. In mode MANUAL it relies on the pause by
 * command, if there is one. Every success must be released.
 *
 * reason  what the canister is told, for its operators
 *
 * Returns 0; -EBUSY (somebody else holds it); -ESTALE (it was lost, and others still rely on it, or
 * no command has noticed); -EACCES, -ETIMEDOUT, -EINTR, -EIO ... with err. */
int fs_lease_hold(struct fs_lease *lease, const char *reason, const struct ic_io *io,
                  struct ic_error *err) __attribute__((warn_unused_result, nonnull(1, 2, 3)));
void fs_lease_release(struct fs_lease *lease) __attribute__((nonnull));

/* Is what a holder relies on still true? Returns 0, or -ESTALE with err: it was lost. No I/O. */
int fs_lease_check(struct fs_lease *lease, struct ic_error *err)
    __attribute__((warn_unused_result, nonnull(1)));

/* By command, in mode MANUAL or AUTO: held until resumed. Errors as above; -EOPNOTSUPP: the
 * canister has none, or the mode is OFF. To resume: -ENOENT when nothing is held; -EBUSY while
 * somebody relies on it, then it ends with the last of them. */
int fs_lease_pause(struct fs_lease *lease, const struct ic_io *io, struct ic_error *err)
    __attribute__((warn_unused_result, nonnull(1, 2)));
int fs_lease_resume(struct fs_lease *lease, const struct ic_io *io, struct ic_error *err)
    __attribute__((warn_unused_result, nonnull(1, 2)));

struct fs_lease_info {
    enum fs_maintenance mode;
    bool is_offered;
    bool is_held;
    unsigned n_holders;
    int64_t expires_ns; /* wall clock, as the canister said */
    char words[160];    /* what it does now: "waiting for 3 calls in flight"; "" */
    char problem[300];  /* the last failure in words; "" */
};

void fs_lease_describe(struct fs_lease *lease, struct fs_lease_info *out) __attribute__((nonnull));

#endif
