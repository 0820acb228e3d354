/* Loads: reads of inner sources, the memory they need, and waiting for them. The states are in
 * cache/state.h.
 *
 * A load is run by whoever needs it first: a worker, or a reader that meets it in the queue. The
 * runner's deadline and cancel flag govern the call. Those who meet it RUNNING wait for its end
 * with deadlines of their own.
 */
#include "cache/state.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

/* How late a wait may notice a cancel flag, which nobody signals. */
#define CANCEL_POLL_NS (50 * NS_PER_MS)

/* Wait for a signal of cond; the caller looks at its condition again. Returns 0, -EINTR,
 * -ETIMEDOUT. */
static int wait_locked(struct cache *cache, pthread_cond_t *cond, const struct source_io *io)
    REQUIRES(cache->lock)
{
    int64_t now_ns = clock_now_ns();
    if (io->cancel && atomic_load_explicit(io->cancel, memory_order_relaxed))
        return -EINTR;
    if (now_ns >= io->deadline_ns)
        return -ETIMEDOUT;
    int64_t until_ns = io->deadline_ns;
    if (io->cancel && until_ns > now_ns + CANCEL_POLL_NS)
        until_ns = now_ns + CANCEL_POLL_NS;
    cond_wait_until(cond, &cache->lock, until_ns);
    return 0;
}

static void unref_locked(struct cache *cache, struct load *load) REQUIRES(cache->lock)
{
    (void)cache;
    assert(load->refs > 0);
    if (--load->refs > 0)
        return;
    pthread_cond_destroy(&load->done);
    free(load);
}

/* What a load occupies: its blocks, and a reply of the same length until they are filled. */
static size_t load_room(const struct load *load)
{
    return 2 * load->n * CACHE_BLOCK_SIZE;
}

static size_t block_bytes(const struct load *load)
{
    return load->n * CACHE_BLOCK_SIZE;
}

int load_queue_locked(struct cache *cache, struct cached *source, uint64_t version, uint64_t size,
                      uint64_t blk, unsigned n, int64_t deadline_ns)
{
    assert(n >= 1 && n <= LOAD_BLOCKS_MAX && size > blk * CACHE_BLOCK_SIZE);
    block_reap_failed_locked(cache, clock_now_ns());

    struct load *load = calloc(1, sizeof(*load) + n * sizeof(struct block *));
    if (!load)
        return -ENOMEM;
    load->source = source;
    load->version = version;
    load->blk = blk;
    load->n = n;
    load->len = n * CACHE_BLOCK_SIZE;
    if (load->len > size - blk * CACHE_BLOCK_SIZE)
        load->len = (size_t)(size - blk * CACHE_BLOCK_SIZE);
    load->prefetch = deadline_ns == 0;
    load->deadline_ns = deadline_ns;
    load->state = LOAD_QUEUED;
    load->refs = 1;
    atomic_init(&load->cancel, false);

    for (unsigned i = 0; i < n; i++) {
        struct block_key key = {source->id, version, blk + i};
        load->blocks[i] = block_add_locked(cache, &key, load);
        if (load->blocks[i])
            continue;
        while (i-- > 0) {
            load->blocks[i]->prefetched = false; /* it never was queued */
            block_drop_locked(cache, load->blocks[i]);
        }
        free(load);
        return -ENOMEM;
    }
    cond_init(&load->done);
    source->n_loads++;
    if (load->prefetch) {
        DL_APPEND(cache->hints, load);
        cache->hinted_bytes += block_bytes(load);
        cache->stats.prefetch_issued += n;
    } else {
        DL_APPEND(cache->demand, load);
    }
    return 0;
}

static void dequeue_locked(struct cache *cache, struct load *load) REQUIRES(cache->lock)
{
    assert(load->state == LOAD_QUEUED);
    if (load->prefetch) {
        DL_DELETE(cache->hints, load);
        cache->hinted_bytes -= block_bytes(load);
    } else {
        DL_DELETE(cache->demand, load);
    }
}

void load_drop_locked(struct cache *cache, struct load *load)
{
    dequeue_locked(cache, load);
    for (unsigned i = 0; i < load->n; i++)
        block_drop_locked(cache, load->blocks[i]);
    load->state = LOAD_DONE;
    load->source->n_loads--;
    unref_locked(cache, load);
}

bool load_can_prefetch_locked(struct cache *cache)
{
    const struct load *load = cache->hints;
    if (!load || cache->seekers) /* readers first */
        return false;
    block_age_unread_locked(cache, clock_now_ns());
    size_t need = load_room(load);
    /* A quarter is left to who reads elsewhere. */
    if (cache->unread_bytes + cache->ahead_bytes + need > cache->budget - cache->budget / 4)
        return false;
    return block_make_room_locked(cache, need, true);
}

/* What others have read goes first, then what is about to be read: to evict the latter makes their
 * readers fetch it again. */
static bool make_room_for_reader_locked(struct cache *cache, size_t need) REQUIRES(cache->lock)
{
    block_age_unread_locked(cache, clock_now_ns());
    return block_make_room_locked(cache, need, true) || block_make_room_locked(cache, need, false);
}

/* Wait in turn until a load for a reader has room. */
static int seek_room_locked(struct cache *cache, size_t need, const struct source_io *io)
    REQUIRES(cache->lock)
{
    struct room_seeker seeker;
    int ret = 0;
    DL_APPEND(cache->seekers, &seeker);
    while (ret == 0 && (cache->seekers != &seeker || !make_room_for_reader_locked(cache, need)))
        ret = wait_locked(cache, &cache->room, io);
    DL_DELETE(cache->seekers, &seeker);
    if (cache->seekers)
        pthread_cond_broadcast(&cache->room);
    else
        worker_wake_locked(cache); /* hints had to stand back */
    return ret;
}

/* Have the load counted in in_use. Room for prefetch was made by load_can_prefetch_locked. */
static int take_room_locked(struct cache *cache, struct load *load, const struct source_io *io,
                            bool for_read) REQUIRES(cache->lock)
{
    size_t need = load_room(load);
    if (for_read) {
        int ret = seek_room_locked(cache, need, io);
        if (ret < 0)
            return ret;
    } else {
        cache->ahead_bytes += need;
    }
    assert(cache->in_use + need <= cache->budget);
    load->has_room = true;
    cache->n_with_room++;
    cache->reply_bytes += block_bytes(load);
    cache->in_use += need;
    if (cache->in_use > cache->stats.peak_in_use)
        cache->stats.peak_in_use = cache->in_use;
    if (cache->n_with_room > cache->stats.peak_in_flight)
        cache->stats.peak_in_flight = cache->n_with_room;
    return 0;
}

/* Buffers for all blocks, or none. */
static int get_buffers_locked(struct cache *cache, struct load *load, struct iovec *iov)
    REQUIRES(cache->lock)
{
    size_t left = load->len;
    for (unsigned i = 0; i < load->n; i++) {
        struct pool_buf *buf = pool_get(&cache->pool);
        if (!buf) {
            while (i-- > 0) {
                pool_put(&cache->pool, load->blocks[i]->buf);
                load->blocks[i]->buf = NULL;
            }
            cache->in_use -= block_bytes(load);
            return -ENOMEM;
        }
        load->blocks[i]->buf = buf;
        iov[i].iov_base = buf->data;
        iov[i].iov_len = left < CACHE_BLOCK_SIZE ? left : CACHE_BLOCK_SIZE;
        left -= iov[i].iov_len;
    }
    pool_trim(&cache->pool,
              cache->budget > cache->reply_bytes ? cache->budget - cache->reply_bytes : 0);
    return 0;
}

/* An errno worth repeating to the next reader: not the reader's own doing, nor ours. */
static bool is_lasting(int error)
{
    return error != -EINTR && error != -ENOMEM;
}

static void finish_locked(struct cache *cache, struct load *load, int ret, bool for_read)
    REQUIRES(cache->lock)
{
    if (load->has_room) {
        cache->n_with_room--;
        cache->reply_bytes -= block_bytes(load);
        cache->in_use -= block_bytes(load); /* the reply's half */
        if (!for_read)
            cache->ahead_bytes -= load_room(load);
    }
    for (unsigned i = 0; i < load->n; i++) {
        struct block *block = load->blocks[i];
        if (ret == 0)
            block_set_ready_locked(cache, block);
        else if (for_read && block->wanted && is_lasting(ret))
            block_set_failed_locked(cache, block, ret);
        else
            block_drop_locked(cache, block);
    }
    cache->stats.loads++;
    if (ret == 0)
        cache->stats.load_bytes += load->len;
    else
        cache->stats.load_errors++;

    DL_DELETE(cache->running, load);
    load->state = LOAD_DONE;
    load->source->n_loads--;
    pthread_cond_broadcast(&load->done);
    pthread_cond_broadcast(&cache->room);
    worker_wake_locked(cache);
    unref_locked(cache, load);
}

int load_run_locked(struct cache *cache, struct load *load, const struct source_io *io,
                    bool for_read)
{
    struct iovec iov[LOAD_BLOCKS_MAX];
    dequeue_locked(cache, load);
    load->state = LOAD_RUNNING;
    DL_APPEND(cache->running, load);
    for (unsigned i = 0; i < load->n; i++)
        load->blocks[i]->state = BLOCK_LOADING;
    worker_wake_locked(cache); /* for what is left in the queues */

    int ret = take_room_locked(cache, load, io, for_read);
    if (ret == 0)
        ret = get_buffers_locked(cache, load, iov);
    if (ret == 0) {
        lock_release(&cache->lock);
        ret = source_readv(load->source->inner, load->version, load->blk * CACHE_BLOCK_SIZE, iov,
                           (int)load->n, io);
        lock_acquire(&cache->lock);
        assert(load->state == LOAD_RUNNING);
    }
    finish_locked(cache, load, ret, for_read);
    return ret;
}

int load_wait_locked(struct cache *cache, struct load *load, const struct source_io *io)
{
    assert(load->state == LOAD_RUNNING);
    int ret = 0;
    load->refs++;
    while (load->state != LOAD_DONE && ret == 0)
        ret = wait_locked(cache, &load->done, io);
    if (load->state == LOAD_DONE)
        ret = 0;
    unref_locked(cache, load);
    return ret;
}
