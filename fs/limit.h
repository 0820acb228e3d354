/* How many bytes one reply may carry: learned, per method.
 *
 * Start large, halve when the canister fails because the reply or its instructions were too much
 * (or go back to what is known to work), grow back slowly. Limits are whole blocks while they are
 * at least one.
 *
 * Thread safety: every function may be called from any thread.
 */
#ifndef CANISTERFS_FS_LIMIT_H
#define CANISTERFS_FS_LIMIT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fs_limit {
    pthread_mutex_t lock;
    size_t max;        /* immutable after init */
    size_t current;    /* guarded by lock: use this much */
    size_t good;       /* guarded by lock: largest length seen to work lately, 0 for none */
    size_t failed;     /* guarded by lock: smallest length seen to fail lately, SIZE_MAX for none */
    unsigned n_good;   /* guarded by lock: successes at `current` since it last changed */
    uint64_t n_shrunk; /* guarded by lock: halvings, for statistics */
};

/* max: largest length worth trying, bytes. */
void fs_limit_init(struct fs_limit *limit, size_t max);
void fs_limit_fini(struct fs_limit *limit);

size_t fs_limit_get(struct fs_limit *limit);

/* A call for len bytes succeeded. */
void fs_limit_succeeded(struct fs_limit *limit, size_t len);

/* A call for len bytes failed because it was too much. Returns the length to try now, or 0 when
 * even the smallest was too much. */
size_t fs_limit_failed(struct fs_limit *limit, size_t len);

/* Halvings so far. */
uint64_t fs_limit_shrunk(struct fs_limit *limit);

#endif
