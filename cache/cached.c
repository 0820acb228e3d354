/* The cached source: reads assembled from blocks, hints turned into queued loads.
 *
 * A read first queues loads for everything it misses, so that several of them run at once, and then
 * goes through its blocks in order: READY ones are pinned and copied out without the lock, a QUEUED
 * load is taken over and run here, a RUNNING one is waited for. After each such step the block is
 * looked up anew (cache/state.h).
 */
#include "cache/cache.h"
#include "cache/state.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* Blocks copied between two holds of the lock: one FUSE READ of 1 MiB. */
#define PIN_MAX 17

/* A read in progress. */
struct reading {
    struct cached *source;
    uint64_t version;
    uint64_t size; /* bytes, of the version */
    uint64_t off;
    const struct iovec *iov;
    int n_iov;
    size_t len;
    uint64_t last;        /* last block */
    unsigned load_blocks; /* most blocks of one load */
    const struct source_io *io;
    int64_t start_ns;
};

static struct block *find_locked(struct cache *cache, const struct reading *r, uint64_t blk)
    REQUIRES(cache->lock)
{
    struct block_key key = {r->source->id, r->version, blk};
    return block_find_locked(cache, &key);
}

/* Blocks of one load: as many as one remote call carries, as far as the budget goes. Asks the inner
 * source, so without the lock. */
static unsigned most_load_blocks(const struct cache *cache, struct source *inner)
{
    size_t max_io = source_max_io(inner);
    size_t n = max_io / CACHE_BLOCK_SIZE;
    if (max_io == 0 || n > cache->load_blocks_max)
        return cache->load_blocks_max;
    return n > 0 ? (unsigned)n : 1;
}

/* Count what the read finds, and mark what it wants. Returns 0, or an errno kept at one of its
 * blocks: then the read is over before it caused any load. */
static int look_locked(struct cache *cache, const struct reading *r) REQUIRES(cache->lock)
{
    for (uint64_t blk = r->off / CACHE_BLOCK_SIZE; blk <= r->last; blk++) {
        struct block *block = find_locked(cache, r, blk);
        if (block && block->state == BLOCK_READY) {
            cache->stats.hits++;
            continue;
        }
        cache->stats.misses++;
        if (!block)
            continue;
        int error = block_kept_error_locked(cache, block, r->start_ns);
        if (error < 0) {
            cache->stats.kept_errors++;
            return error;
        }
        block_want_locked(cache, block);
    }
    return 0;
}

/* Queue loads for the absent blocks from blk to the end of the read. Returns 0 or -ENOMEM. */
static int queue_missing_locked(struct cache *cache, const struct reading *r, uint64_t blk)
    REQUIRES(cache->lock)
{
    while (blk <= r->last) {
        unsigned n = 0;
        while (n < r->load_blocks && blk + n <= r->last && !find_locked(cache, r, blk + n))
            n++;
        if (n > 0) {
            int ret = load_queue_locked(cache, r->source, r->version, r->size, blk, n,
                                        r->io->deadline_ns);
            if (ret < 0)
                return ret;
        }
        blk += n < r->load_blocks ? n + 1 : n; /* the one that ended the stretch is there */
    }
    return 0;
}

/* Take back what a read queued, when it ends early. Nobody else waits for a QUEUED load. */
static void drop_queued_locked(struct cache *cache, const struct reading *r) REQUIRES(cache->lock)
{
    for (uint64_t blk = r->off / CACHE_BLOCK_SIZE; blk <= r->last; blk++) {
        struct block *block = find_locked(cache, r, blk);
        if (block && block->state == BLOCK_QUEUED && !block->load->prefetch)
            load_drop_locked(cache, block->load);
    }
}

/* Copy the part of a block that the read asks for to its place. */
static void copy_block(const struct reading *r, uint64_t blk, const unsigned char *data)
{
    uint64_t start = blk * CACHE_BLOCK_SIZE;
    uint64_t from = r->off > start ? r->off : start;
    uint64_t end = r->off + r->len;
    uint64_t to = end < start + CACHE_BLOCK_SIZE ? end : start + CACHE_BLOCK_SIZE;
    source_iov_copy(r->iov, r->n_iov, (size_t)(from - r->off), data + (from - start),
                    (size_t)(to - from));
}

/* Copy READY blocks from blk on. The lock is released for the copying. Returns how many. */
static unsigned copy_ready_locked(struct cache *cache, const struct reading *r, uint64_t blk)
    REQUIRES(cache->lock)
{
    struct block *pinned[PIN_MAX];
    const unsigned char *data[PIN_MAX];
    unsigned n = 0;
    while (n < PIN_MAX && blk + n <= r->last) {
        struct block *block = find_locked(cache, r, blk + n);
        if (!block || block->state != BLOCK_READY)
            break;
        block_want_locked(cache, block);
        block->pins++;
        pinned[n] = block;
        data[n++] = block->buf->data;
    }
    if (n == 0)
        return 0;

    lock_release(&cache->lock);
    for (unsigned i = 0; i < n; i++)
        copy_block(r, blk + i, data[i]);
    lock_acquire(&cache->lock);
    for (unsigned i = 0; i < n; i++)
        pinned[i]->pins--;
    if (cache->seekers)
        pthread_cond_broadcast(&cache->room);
    return n;
}

/* Is the errno of a load that failed while this read was waiting the read's own? All but one are: a
 * load that ran out of time may have started long before a read that has plenty left. */
static bool is_mine_locked(struct cache *cache, const struct reading *r, const struct block *block)
    REQUIRES(cache->lock)
{
    if (block_kept_error_locked(cache, block, clock_now_ns()) == 0)
        return false;
    return block->error != -ETIMEDOUT || block->since_ns < r->start_ns ||
           r->io->deadline_ns <= block->since_ns + cache->error_keep_ns;
}

/* Bring a block that is not READY forward. Returns 0 to look at it again, or the read's errno. */
static int settle_locked(struct cache *cache, const struct reading *r, uint64_t blk)
    REQUIRES(cache->lock)
{
    struct block *block = find_locked(cache, r, blk);
    if (block && block->state == BLOCK_FAILED) {
        if (is_mine_locked(cache, r, block))
            return block->error;
        block_drop_locked(cache, block);
        block = NULL;
    }
    if (!block) {
        int ret = queue_missing_locked(cache, r, blk);
        if (ret < 0)
            return ret;
        block = find_locked(cache, r, blk);
    }
    block_want_locked(cache, block);
    if (block->state == BLOCK_QUEUED)
        return load_run_locked(cache, block->load, r->io, true);

    assert(block->state == BLOCK_LOADING);
    worker_wake_locked(cache); /* the read's further loads must not wait for this one */
    int ret = load_wait_locked(cache, block->load, r->io);
    if (ret == -ETIMEDOUT) {
        /* The load goes on; let the kernel's second attempt not wait as long again. */
        block = find_locked(cache, r, blk);
        if (block && block->state == BLOCK_LOADING) {
            block->error = ret;
            block->since_ns = clock_now_ns();
        }
    }
    return ret;
}

static int read_locked(struct cache *cache, const struct reading *r) REQUIRES(cache->lock)
{
    int ret = look_locked(cache, r);
    if (ret < 0)
        return ret;
    ret = queue_missing_locked(cache, r, r->off / CACHE_BLOCK_SIZE);
    for (uint64_t blk = r->off / CACHE_BLOCK_SIZE; blk <= r->last && ret == 0;) {
        unsigned n = copy_ready_locked(cache, r, blk);
        blk += n;
        if (n == 0)
            ret = settle_locked(cache, r, blk);
    }
    if (ret < 0)
        drop_queued_locked(cache, r);
    return ret;
}

static int cached_readv(struct source *source, uint64_t version, uint64_t off,
                        const struct iovec *iov, int n_iov, const struct source_io *io)
{
    struct cached *cached = (struct cached *)source;
    struct cache *cache = cached->cache;
    struct reading r = {
        .source = cached,
        .version = version,
        .off = off,
        .iov = iov,
        .n_iov = n_iov,
        .len = source_iov_size(iov, n_iov),
        .load_blocks = most_load_blocks(cache, cached->inner),
        .io = io,
        .start_ns = clock_now_ns(),
    };
    r.last = (off + r.len - 1) / CACHE_BLOCK_SIZE;

    int ret;
    lock_acquire(&cache->lock);
    if (!versions_find(&cached->versions, version, &r.size))
        ret = -ESTALE;
    else if (off > r.size || r.len > r.size - off)
        ret = -EINVAL;
    else
        ret = read_locked(cache, &r);
    lock_release(&cache->lock);
    return ret;
}

static int cached_stat(struct source *source, const struct source_io *io, struct source_stat *out)
{
    struct cached *cached = (struct cached *)source;
    int ret = source_stat(cached->inner, io, out);
    if (ret < 0)
        return ret;
    lock_acquire(&cached->cache->lock);
    ret = versions_add(&cached->versions, out->version, out->size);
    lock_release(&cached->cache->lock);
    return ret;
}

/* Queue the absent blocks of one load's range. Returns false when no more can be queued. */
static bool queue_hint_locked(struct cache *cache, struct reading *r, uint64_t blk, uint64_t end)
    REQUIRES(cache->lock)
{
    while (blk < end) {
        unsigned n = 0;
        while (blk + n < end && !find_locked(cache, r, blk + n))
            n++;
        if (n > 0 && (cache->hinted_bytes + n * CACHE_BLOCK_SIZE > cache->budget / 2 ||
                      load_queue_locked(cache, r->source, r->version, r->size, blk, n, 0) < 0))
            return false;
        blk += n + 1;
    }
    return true;
}

static void cached_prefetch(struct source *source, uint64_t version, uint64_t off, uint64_t len,
                            size_t load)
{
    struct cached *cached = (struct cached *)source;
    struct cache *cache = cached->cache;
    struct reading r = {.source = cached, .version = version};

    lock_acquire(&cache->lock);
    if (!cache->stopping && versions_find(&cached->versions, version, &r.size) && off < r.size) {
        if (len > r.size - off)
            len = r.size - off;
        uint64_t blk = off / CACHE_BLOCK_SIZE;
        uint64_t end = (off + len + CACHE_BLOCK_SIZE - 1) / CACHE_BLOCK_SIZE;
        size_t step = load / CACHE_BLOCK_SIZE;
        if (step > cache->load_blocks_max)
            step = cache->load_blocks_max;
        if (step < 1)
            step = 1;
        block_reap_failed_locked(cache, clock_now_ns());
        while (blk < end) {
            uint64_t stop = (blk / step + 1) * step; /* loads end at multiples: see window.h */
            if (stop > end)
                stop = end;
            if (!queue_hint_locked(cache, &r, blk, stop)) {
                cache->stats.prefetch_refused += end - blk;
                break;
            }
            blk = stop;
        }
        worker_wake_locked(cache);
    }
    lock_release(&cache->lock);
}

static bool cached_has(struct source *source, uint64_t version, uint64_t off)
{
    struct cached *cached = (struct cached *)source;
    struct block_key key = {cached->id, version, off / CACHE_BLOCK_SIZE};
    lock_acquire(&cached->cache->lock);
    const struct block *block = block_find_locked(cached->cache, &key);
    bool has = block && block->state != BLOCK_FAILED;
    lock_release(&cached->cache->lock);
    return has;
}

static size_t cached_max_io(struct source *source)
{
    return source_max_io(((struct cached *)source)->inner);
}

static void drop_loads_locked(struct cache *cache, struct load *queue, const struct cached *cached)
    REQUIRES(cache->lock)
{
    while (queue) {
        struct load *next = queue->next;
        if (queue->source == cached)
            load_drop_locked(cache, queue);
        queue = next;
    }
}

static void cached_close(struct source *source)
{
    struct cached *cached = (struct cached *)source;
    struct cache *cache = cached->cache;

    lock_acquire(&cache->lock);
    drop_loads_locked(cache, cache->demand, cached);
    drop_loads_locked(cache, cache->hints, cached);
    for (struct load *load = cache->running; load; load = load->next) {
        if (load->source == cached)
            atomic_store_explicit(&load->cancel, true, memory_order_relaxed);
    }
    while (cached->n_loads > 0) /* the inner source ends them: their deadlines are finite */
        cond_wait_until(&cache->room, &cache->lock, clock_now_ns() + NS_PER_S);
    struct block *block = NULL;
    struct block *next = NULL;
    HASH_ITER(hh, cache->table, block, next)
    {
        if (block->key.source_id == cached->id)
            block_drop_locked(cache, block);
    }
    cache->n_sources--;
    worker_wake_locked(cache); /* the hints of others may have room now */
    lock_release(&cache->lock);

    versions_fini(&cached->versions);
    source_close(cached->inner);
    free(cached);
}

static const struct source_ops cached_ops = {
    .stat = cached_stat,
    .readv = cached_readv,
    .prefetch = cached_prefetch,
    .has = cached_has,
    .max_io = cached_max_io,
    .close = cached_close,
};

int cached_open(struct source **out, struct cache *cache, struct source *inner)
{
    struct cached *cached = calloc(1, sizeof(*cached));
    if (!cached)
        return -ENOMEM;
    source_init(&cached->base, &cached_ops);
    cached->cache = cache;
    cached->inner = inner;
    versions_init(&cached->versions);

    lock_acquire(&cache->lock);
    cached->id = ++cache->last_source_id;
    cache->n_sources++;
    lock_release(&cache->lock);
    *out = &cached->base;
    return 0;
}
