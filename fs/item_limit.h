/* How many items one reply may carry: learned, per method.
 *
 * Start large, halve when the canister fails because it was too much, remember what works, grow
 * back slowly: half-way to what was too much, and only where it saves calls for a file. Items are
 * uneven: a few large ones fail where others of the same number pass. So a number that is known to
 * work is given up only when it failed several times in a row; until then the caller just asks for
 * less of that range.
 *
 * Many calls run at once, and all of them would run into the limit together. So a number that is
 * not known to work is tried by one call at a time, the probe; the others use what is known to
 * work, or wait for the probe when nothing is.
 *
 * A call is framed by fs_item_limit_begin and fs_item_limit_end.
 *
 * Thread safety: every function but init and fini may be called from any thread.
 */
#ifndef CANISTERFS_FS_ITEM_LIMIT_H
#define CANISTERFS_FS_ITEM_LIMIT_H

#include "ic/io.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct fs_item_limit {
    pthread_mutex_t lock;
    pthread_cond_t probed; /* is_probing became false */
    uint64_t max;          /* immutable after init */
    uint64_t current;      /* guarded by lock: ask for this many */
    uint64_t good;         /* guarded by lock: the largest number known to work; 0: none */
    uint64_t failed;       /* guarded by lock: the smallest known to be too much, or UINT64_MAX */
    unsigned n_good;       /* guarded by lock: successes at `current` since it last changed */
    unsigned n_refused;    /* guarded by lock: failures of good numbers since the last success */
    bool is_probing;       /* guarded by lock */
};

/* A call from begin to end. */
struct fs_item_call {
    uint64_t n; /* items to ask for */
    bool is_probe;
};

enum fs_item_outcome {
    FS_ITEM_GOOD,
    FS_ITEM_TOO_MUCH, /* it failed, perhaps because of the number */
    FS_ITEM_UNKNOWN,  /* it failed for another reason, or was not made */
};

/* max: the largest number worth trying, that of a whole file; >= 1. Returns 0 or -errno. */
int fs_item_limit_init(struct fs_item_limit *limit, uint64_t max)
    __attribute__((warn_unused_result));
void fs_item_limit_fini(struct fs_item_limit *limit);

/* The number that a call is worth making for now. */
uint64_t fs_item_limit_get(struct fs_item_limit *limit);

/* Before a call for `want` items, >= 1: how many it should ask for, 1 to want.
 *
 * Returns 0, -EINTR or -ETIMEDOUT (io, while it waited for a probe); after 0 fs_item_limit_end must
 * follow. */
int fs_item_limit_begin(struct fs_item_limit *limit, uint64_t want, const struct ic_io *io,
                        struct fs_item_call *out) __attribute__((warn_unused_result, nonnull));

/* After the call.
 *
 * is_again  the range, or one it is part of, was too much before: its failure was counted then
 */
void fs_item_limit_end(struct fs_item_limit *limit, const struct fs_item_call *call,
                       enum fs_item_outcome outcome, bool is_again) __attribute__((nonnull));

/* A single item failed, too, so it was not the number: while nothing is known to work, forget what
 * was learned from it. */
void fs_item_limit_forget(struct fs_item_limit *limit) __attribute__((nonnull));

#endif
