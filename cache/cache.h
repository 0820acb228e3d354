/* The shared block cache: 64 KiB blocks of any number of sources under one byte budget.
 *
 * A cached source wraps another one. Reads of it are served from blocks; missing blocks are loaded
 * from the inner source, each block once however many readers want it at the same time, and they
 * share the outcome, be it bytes or an error. Worker threads carry out prefetch hints and the extra
 * loads of reads that need several.
 *
 * What is kept: blocks of the version that the reader pinned, least recently used first to go. A
 * failed load keeps nothing but its errno, for a short time, so that the page by page repetition
 * the kernel makes of a failed buffered read is answered at once.
 *
 * Memory: the budget covers the blocks and, for each load in flight, a reply buffer of the same
 * length that the inner source is taken to hold. It is never exceeded: loads are at most a quarter
 * of it, and wait for room. What was prefetched and not read yet has three quarters of it at most.
 *
 * Lock order: any lock of the program (tree, node, window) comes before the cache lock and is never
 * held together with it; no lock is held across a call of the inner source.
 */
#ifndef CANISTERFS_CACHE_CACHE_H
#define CANISTERFS_CACHE_CACHE_H

#include "cache/source.h"

#include <stddef.h>
#include <stdint.h>

/* One Wasm page. */
#define CACHE_BLOCK_SIZE ((size_t)65536)

/* A budget below this is raised to it. */
#define CACHE_BUDGET_MIN ((size_t)1 << 20)

struct cache;

/* Zero means the default everywhere. */
struct cache_config {
    size_t budget;               /* bytes; default 256 MiB */
    unsigned n_workers;          /* threads for prefetch and extra loads; default 32 */
    int64_t prefetch_timeout_ns; /* deadline of a prefetch load, from its start; default 30 s */
    int64_t error_keep_ns;       /* how long a failed load's errno is kept; default 2 s */
};

struct cache_stats {
    uint64_t budget;           /* bytes */
    uint64_t in_use;           /* bytes: blocks + reply buffers; what the budget limits */
    uint64_t block_bytes;      /* bytes of in_use that are blocks, loading ones included */
    uint64_t reply_bytes;      /* bytes of in_use that are reply buffers of loads in flight */
    uint64_t resident_bytes;   /* bytes of block memory backed by pages */
    uint64_t peak_in_use;      /* bytes, highest in_use so far */
    uint64_t unread_bytes;     /* bytes prefetched lately and not read yet */
    uint64_t hits;             /* blocks found ready by reads */
    uint64_t misses;           /* blocks that reads had to wait for */
    uint64_t kept_errors;      /* reads answered with a kept errno */
    uint64_t loads;            /* calls of inner sources that ended */
    uint64_t load_bytes;       /* bytes they brought */
    uint64_t load_errors;      /* of loads: that failed */
    uint64_t evictions;        /* blocks dropped for room */
    uint64_t prefetch_issued;  /* blocks put into the queue by hints */
    uint64_t prefetch_used;    /* of issued: later wanted by a read */
    uint64_t prefetch_wasted;  /* of issued: dropped unread, or failed */
    uint64_t prefetch_refused; /* blocks of hints that were not queued for want of room */
    unsigned in_flight;        /* loads running now */
    unsigned peak_in_flight;   /* highest in_flight so far */
    unsigned queued;           /* loads waiting for a worker or for room */
};

/* Open a cache and start its workers (they block all signals).
 *
 * Returns 0, -ENOMEM, or what pthread_create says. Call after daemonising: threads do not survive a
 * fork.
 */
int cache_open(struct cache **out, const struct cache_config *config)
    __attribute__((nonnull, warn_unused_result));

/* Cancel the loads of the workers, drop the queue, join the workers. Later hints are ignored; reads
 * still work, each in its own thread. Idempotent; one call at a time. Blocks until the inner
 * sources have noticed the cancel flag. */
void cache_stop(struct cache *cache) __attribute__((nonnull));

/* cache_stop and free. Every cached source must have been closed. NULL is fine. */
void cache_close(struct cache *cache);

/* Wrap a source.
 *
 * cache   borrowed until the new source is closed
 * inner   takes it: closed with the cached source; on failure the caller still owns it
 *
 * Its stat is the inner one's; sizes are remembered per version, so a read of a version that no
 * stat ever gave is -ESTALE. A read beyond the size of its version is -EINVAL. The errno of a
 * failed load is kept per block for error_keep_ns, except -EINTR and -ENOMEM; failures of prefetch
 * are not kept.
 *
 * Closing it cancels its loads, waits for them and drops its blocks.
 *
 * Returns 0 or -ENOMEM.
 */
int cached_open(struct source **out, struct cache *cache, struct source *inner)
    __attribute__((nonnull, warn_unused_result));

/* A consistent picture; any thread, any time. */
void cache_get_stats(struct cache *cache, struct cache_stats *out) __attribute__((nonnull));

#endif
