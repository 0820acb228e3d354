/* How many bytes one reply may carry: learned, per method.
 *
 * Start large, halve when the canister fails because the reply or its instructions were too much
 * (or go back to what is known to work), grow back slowly. Limits are whole blocks while they are
 * at least one.
 *
 * Many calls run at once, and all of them would run into the limit together, at each step. So once
 * a call was too much, a length that is not known to work is tried by one call, the probe; the
 * others use what is known to work meanwhile, or wait for the probe when nothing is. Only the first
 * time they do go out together: most canisters take the largest length, and waiting for the first
 * answer would cost each mount a round trip.
 *
 * A call is framed by fs_limit_begin and fs_limit_end.
 *
 * Thread safety: every function may be called from any thread.
 */
#ifndef CANISTERFS_FS_LIMIT_H
#define CANISTERFS_FS_LIMIT_H

#include "ic/io.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fs_limit {
    pthread_mutex_t lock;
    pthread_cond_t probed; /* is_probing became false */
    bool was_too_much;     /* guarded by lock: once, a call */
    bool is_probing;       /* guarded by lock: a call of unknown length is under way */
    size_t max;            /* immutable after init */
    size_t current;        /* guarded by lock: use this much */
    size_t good;           /* guarded by lock: largest length seen to work lately, 0 for none */
    size_t failed;     /* guarded by lock: smallest length seen to fail lately, SIZE_MAX for none */
    unsigned n_good;   /* guarded by lock: successes at `current` since it last changed */
    uint64_t n_shrunk; /* guarded by lock: halvings, for statistics */
};

/* A call from begin to end. */
struct fs_limit_call {
    size_t len; /* to ask for */
    bool is_probe;
};

enum fs_limit_outcome {
    FS_LIMIT_GOOD,
    FS_LIMIT_TOO_MUCH, /* it failed because of its length */
    FS_LIMIT_UNKNOWN,  /* it failed for another reason, or was not made */
};

/* max: largest length worth trying, bytes. Returns 0 or -errno. */
int fs_limit_init(struct fs_limit *limit, size_t max) __attribute__((warn_unused_result));
void fs_limit_fini(struct fs_limit *limit);

/* The largest length that a call is worth making for now. */
size_t fs_limit_get(struct fs_limit *limit);

/* Before a call for `want` bytes: how many it should ask for, which may be less. It may be more
 * than fs_limit_get, when that has shrunk since.
 *
 * Returns 0, -EINTR or -ETIMEDOUT (io, while it waited for a probe); after 0 fs_limit_end must
 * follow. Blocks: while a probe is under way and nothing is known to work. */
int fs_limit_begin(struct fs_limit *limit, size_t want, const struct ic_io *io,
                   struct fs_limit_call *out) __attribute__((warn_unused_result, nonnull));

/* After the call. Returns the length to try next after FS_LIMIT_TOO_MUCH, 0 when even the smallest
 * was too much; else the length it was. */
size_t fs_limit_end(struct fs_limit *limit, const struct fs_limit_call *call,
                    enum fs_limit_outcome outcome) __attribute__((nonnull));

/* Halvings so far. */
uint64_t fs_limit_shrunk(struct fs_limit *limit);

#endif
