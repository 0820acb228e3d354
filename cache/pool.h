/* Memory for blocks: buffers of one size, reused, so that memory does not fragment.
 *
 * Buffers are cut from slabs mapped from the system. A buffer that was put back stays *warm* (its
 * pages are kept for the next user) until pool_trim makes it *cold* (pages returned, address kept).
 * Slabs are unmapped by pool_fini only; what counts against memory is resident buffers, not slabs.
 *
 * Thread safety: none; the cache lock guards it.
 */
#ifndef CANISTERFS_CACHE_POOL_H
#define CANISTERFS_CACHE_POOL_H

#include <stddef.h>

struct pool_slab;

/* A buffer. Borrowed from the pool between pool_get and pool_put. */
struct pool_buf {
    unsigned char *data;   /* CACHE_BLOCK_SIZE bytes, page aligned */
    struct pool_buf *next; /* on a free list */
};

struct pool {
    struct pool_slab *slabs;
    struct pool_buf *warm; /* free, with pages */
    struct pool_buf *cold; /* free, without */
    size_t n_used;         /* buffers out */
    size_t n_resident;     /* buffers out or warm */
};

void pool_init(struct pool *pool) __attribute__((nonnull));

/* Unmaps everything; every buffer must have been put back. */
void pool_fini(struct pool *pool) __attribute__((nonnull));

/* A buffer with arbitrary content, or NULL when the system has no memory. */
struct pool_buf *pool_get(struct pool *pool) __attribute__((nonnull));
void pool_put(struct pool *pool, struct pool_buf *buf) __attribute__((nonnull));

/* Return pages of free buffers until at most max_resident bytes are resident, as far as free ones
 * go. */
void pool_trim(struct pool *pool, size_t max_resident) __attribute__((nonnull));

#endif
