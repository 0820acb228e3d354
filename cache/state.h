/* The inside of the cache: blocks, loads, and who may do what to them when.
 *
 * A *block* is 64 KiB of one version of one source (the last one of a file is shorter). A *load* is
 * one read of the inner source, covering 1..n blocks in a row. Everything here is guarded by the
 * one cache lock, which is released around reads of inner sources, copies and waits.
 *
 * States of a block
 *
 *   state    memory        load     lists                 counts in in_use
 *   absent   -             -        not in the table      0
 *   QUEUED   none          QUEUED   (its load's queue)    0
 *   LOADING  none, then    RUNNING  -                     2 buffers, from the moment its load has
 *            a buffer                                     room: the block and its part of the reply
 *   READY    a buffer      none     lru, maybe unread     1 buffer
 *   FAILED   none          none     failed                0
 *
 *   absent  -> QUEUED   a hint names it, or a read misses it
 *   QUEUED  -> LOADING  a worker or a reader runs its load
 *   QUEUED  -> absent   its load is dropped: source closed, cache stopped, reader gave up
 *   LOADING -> READY    the load succeeded
 *   LOADING -> FAILED   the load failed, was run for a read, and a read wants this block
 *   LOADING -> absent   the load failed otherwise, or with -EINTR or -ENOMEM
 *   READY   -> absent   evicted, or its source is closed; never while pinned
 *   FAILED  -> absent   the errno expired, or too many are kept
 *
 * Rules that keep readers out of trouble
 *
 *   - A reader never waits for a QUEUED load: it takes it out of the queue and runs it. So nothing
 *     waits for a place in the queue, and the cache works with all workers busy or gone.
 *   - Whoever wakes from a wait looks the block up again and believes nothing it knew before. A
 *     reader whose load was run by somebody else with no lasting outcome (cancelled, a prefetch
 *     that failed, evicted since) simply becomes the next one to run it.
 *   - A reader that ran a load pins its blocks before it lets go of the lock: progress is certain
 *     even when the budget holds no more than one load.
 *   - Loads for readers get room in turn, each as soon as the rest can be evicted. What cannot be
 *     is in flight or being copied out, and neither waits for room itself; no load needs more than
 *     half of the budget. So room always comes, and the budget is never exceeded.
 *   - Prefetch takes at most three quarters of the budget, for its loads in flight and for what it
 *     brought that nobody has read yet, and never evicts the latter.
 */
#ifndef CANISTERFS_CACHE_STATE_H
#define CANISTERFS_CACHE_STATE_H

#include "cache/cache.h"
#include "cache/lock.h"
#include "cache/pool.h"
#include "cache/source.h"
#include "cache/versions.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Running out of memory while adding to the table is an error to return, not to exit on. */
#define HASH_NONFATAL_OOM            1
#define HASH_FUNCTION(key, len, out) ((out) = block_key_hash(key))
#include <uthash.h>

/* Most blocks of one load: 4 MiB, beyond any reply of the network. */
#define LOAD_BLOCKS_MAX 64

struct load;
struct cached;

/* Compared as bytes: no padding. */
struct block_key {
    uint64_t source_id;
    uint64_t version;
    uint64_t blk;
};

/* Blocks in a row must not fall into the same buckets; nobody who could choose keys gains by
 * making them collide, so a multiplication per field is enough. */
static inline unsigned block_key_hash(const struct block_key *key)
{
    uint64_t h = key->source_id * 0x9e3779b97f4a7c15u;
    h = (h ^ key->version) * 0xbf58476d1ce4e5b9u;
    h = (h ^ (h >> 32) ^ key->blk) * 0x94d049bb133111ebu;
    return (unsigned)(h >> 32);
}

enum block_state { BLOCK_QUEUED, BLOCK_LOADING, BLOCK_READY, BLOCK_FAILED };

/* Owned by the table. Guarded by the cache lock; the bytes of buf are not: they are written by the
 * runner of the load while LOADING, and only read while READY. */
struct block {
    UT_hash_handle hh;
    struct block_key key;
    enum block_state state;
    bool prefetched; /* a hint brought it up and no read wanted it so far */
    bool unread;     /* READY, on the unread list */
    bool wanted;     /* a read asked for it; its errno is worth keeping */
    int error; /* FAILED, or LOADING and somebody's wait ran out: the errno to repeat; else 0 */
    int64_t since_ns;     /* since when READY, FAILED, or of error */
    unsigned pins;        /* readers that copy out of it */
    struct pool_buf *buf; /* LOADING (maybe), READY */
    struct load *load;    /* QUEUED, LOADING */
    struct block *prev;   /* READY: lru; FAILED: failed */
    struct block *next;
    struct block *unread_prev;
    struct block *unread_next;
};

enum load_state { LOAD_QUEUED, LOAD_RUNNING, LOAD_DONE };

/* Held by the queue or its runner (one reference) and by those who wait for it. Guarded by the
 * cache lock, but for cancel. */
struct load {
    struct cached *source; /* immutable */
    uint64_t version;      /* immutable */
    uint64_t blk;          /* immutable: first block */
    unsigned n;            /* immutable: number of blocks */
    size_t len;            /* immutable: bytes; the last block is cut at the version's size */
    bool prefetch;         /* immutable: made by a hint */
    int64_t deadline_ns;   /* immutable: of the read that made it; prefetch: 0 */
    enum load_state state;
    unsigned refs;
    bool has_room;       /* RUNNING: counted in in_use */
    atomic_bool cancel;  /* atomic: looked at by a worker's read */
    pthread_cond_t done; /* state became DONE */
    struct load *prev;   /* QUEUED: demand or hints; RUNNING: running */
    struct load *next;
    struct block *blocks[]; /* n; owned by the table, valid until DONE */
};

/* A load for a reader that waits for room, on the stack of its runner. */
struct room_seeker {
    struct room_seeker *prev;
    struct room_seeker *next;
};

struct cache {
    struct lock lock;
    size_t budget;               /* immutable: bytes */
    unsigned load_blocks_max;    /* immutable: blocks of the largest load that this budget takes */
    int64_t prefetch_timeout_ns; /* immutable */
    int64_t error_keep_ns;       /* immutable */

    /* Guarded by lock, all of the following. */
    pthread_cond_t room;  /* a load ended, a block was unpinned, or the first seeker left */
    pthread_cond_t work;  /* queues, room for prefetch, or stopping changed */
    bool stopping;        /* no more prefetch, workers end */
    struct block *table;  /* uthash, all blocks */
    struct block *lru;    /* READY, the longest unused first */
    struct block *unread; /* READY and prefetched lately, oldest first */
    struct block *failed; /* FAILED, oldest first */
    struct load *demand;  /* QUEUED, made by reads */
    struct load *hints;   /* QUEUED, made by hints, in order */
    struct load *running; /* RUNNING */
    struct pool pool;
    size_t in_use;               /* bytes: blocks with a buffer + reply_bytes */
    size_t reply_bytes;          /* bytes: of loads with room */
    size_t unread_bytes;         /* bytes: blocks on the unread list */
    size_t ahead_bytes;          /* bytes: in_use of prefetch loads that workers run */
    size_t hinted_bytes;         /* bytes: blocks of hints */
    size_t n_failed;             /* blocks on the failed list */
    unsigned n_with_room;        /* running loads that are counted in in_use */
    struct room_seeker *seekers; /* first come, first served */
    unsigned n_sources;          /* cached sources open */
    uint64_t last_source_id;
    struct cache_stats stats; /* the counting fields */

    pthread_t *workers; /* of the thread that opens, stops and closes */
    unsigned n_workers;
};

/* The cached source. */
struct cached {
    struct source base;
    struct cache *cache;      /* immutable, borrowed */
    struct source *inner;     /* immutable, owned */
    uint64_t id;              /* immutable */
    struct versions versions; /* guarded by cache->lock */
    unsigned n_loads;         /* guarded by cache->lock: QUEUED or RUNNING */
};

/* block.c: the table */

struct block *block_find_locked(struct cache *cache, const struct block_key *key)
    REQUIRES(cache->lock);

/* Add an absent block, QUEUED, of that load. NULL when out of memory. */
struct block *block_add_locked(struct cache *cache, const struct block_key *key, struct load *load)
    REQUIRES(cache->lock);

/* Forget a block: off all lists, its buffer back to the pool (and out of in_use), freed. */
void block_drop_locked(struct cache *cache, struct block *block) REQUIRES(cache->lock);

void block_set_ready_locked(struct cache *cache, struct block *block) REQUIRES(cache->lock);
void block_set_failed_locked(struct cache *cache, struct block *block, int error)
    REQUIRES(cache->lock);

/* A read wants this block: counts prefetch as used, marks READY ones recently used. */
void block_want_locked(struct cache *cache, struct block *block) REQUIRES(cache->lock);

/* The errno to repeat for a block, 0 for none. */
int block_kept_error_locked(struct cache *cache, const struct block *block, int64_t now_ns)
    REQUIRES(cache->lock);

/* Forget errors that expired, and the oldest when there are too many. */
void block_reap_failed_locked(struct cache *cache, int64_t now_ns) REQUIRES(cache->lock);

/* Stop protecting what was prefetched so long ago that its reader must have gone. */
void block_age_unread_locked(struct cache *cache, int64_t now_ns) REQUIRES(cache->lock);

/* Evict until `need` bytes fit into the budget. Returns false, with nothing evicted, when they do
 * not even so. */
bool block_make_room_locked(struct cache *cache, size_t need, bool spare_unread)
    REQUIRES(cache->lock);

/* load.c: loads and the memory they need */

/* Queue a load of n absent blocks of a version of that many bytes. Returns 0 or -ENOMEM.
 * deadline_ns: of the read that asks; 0 makes it a prefetch. */
int load_queue_locked(struct cache *cache, struct cached *source, uint64_t version, uint64_t size,
                      uint64_t blk, unsigned n, int64_t deadline_ns) REQUIRES(cache->lock)
    __attribute__((warn_unused_result));

/* Take a QUEUED load that nobody will run out of the queue; its blocks become absent. */
void load_drop_locked(struct cache *cache, struct load *load) REQUIRES(cache->lock);

/* May the first hint's load start now? Evicts what it may to make it so. */
bool load_can_prefetch_locked(struct cache *cache) REQUIRES(cache->lock);

/* Run a QUEUED load in this thread; the lock is released meanwhile. for_read: a reader does it, or
 * a worker for a load that a read made; else it is prefetch, and load_can_prefetch_locked has just
 * said yes. Returns its outcome; the load must not be touched afterwards. */
int load_run_locked(struct cache *cache, struct load *load, const struct source_io *io,
                    bool for_read) REQUIRES(cache->lock);

/* Wait until a RUNNING load is done, whatever its outcome. Returns 0, -EINTR or -ETIMEDOUT by io;
 * the load must not be touched afterwards. */
int load_wait_locked(struct cache *cache, struct load *load, const struct source_io *io)
    REQUIRES(cache->lock);

/* worker.c: the threads */

int worker_start_all(struct cache *cache, unsigned n_workers);
void worker_join_all(struct cache *cache);

/* Tell one worker that there may be something to do. */
void worker_wake_locked(struct cache *cache) REQUIRES(cache->lock);

#endif
