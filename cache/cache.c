/* Opening, stopping and closing the cache. What happens in between is in block.c (the table),
 * load.c (loads), worker.c (threads) and cached.c (the source that readers see); cache/state.h says
 * how they play together.
 */
#include "cache/cache.h"

#include "cache/state.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define BUDGET_DEFAULT           ((size_t)256 << 20)
#define WORKERS_DEFAULT          32
#define PREFETCH_TIMEOUT_DEFAULT (30 * NS_PER_S)
#define ERROR_KEEP_DEFAULT       (2 * NS_PER_S)

/* A load and its reply may take half of the budget at most, so that readers and prefetch both get
 * on. */
static unsigned largest_load(size_t budget)
{
    size_t n = budget / 4 / CACHE_BLOCK_SIZE;
    return n < LOAD_BLOCKS_MAX ? (unsigned)n : LOAD_BLOCKS_MAX;
}

int cache_open(struct cache **out, const struct cache_config *config)
{
    struct cache *cache = calloc(1, sizeof(*cache));
    if (!cache)
        return -ENOMEM;
    cache->budget = config->budget ? config->budget : BUDGET_DEFAULT;
    if (cache->budget < CACHE_BUDGET_MIN)
        cache->budget = CACHE_BUDGET_MIN;
    cache->load_blocks_max = largest_load(cache->budget);
    cache->prefetch_timeout_ns =
        config->prefetch_timeout_ns ? config->prefetch_timeout_ns : PREFETCH_TIMEOUT_DEFAULT;
    cache->error_keep_ns = config->error_keep_ns ? config->error_keep_ns : ERROR_KEEP_DEFAULT;
    lock_init(&cache->lock);
    cond_init(&cache->room);
    cond_init(&cache->work);
    pool_init(&cache->pool);

    int ret = worker_start_all(cache, config->n_workers ? config->n_workers : WORKERS_DEFAULT);
    if (ret < 0) {
        cache_close(cache);
        return ret;
    }
    *out = cache;
    return 0;
}

void cache_stop(struct cache *cache)
{
    lock_acquire(&cache->lock);
    cache->stopping = true;
    while (cache->hints)
        load_drop_locked(cache, cache->hints);
    for (struct load *load = cache->running; load; load = load->next)
        atomic_store_explicit(&load->cancel, true, memory_order_relaxed);
    pthread_cond_broadcast(&cache->work);
    lock_release(&cache->lock);

    worker_join_all(cache);
}

void cache_close(struct cache *cache)
{
    if (!cache)
        return;
    cache_stop(cache);
    assert(cache->n_sources == 0 && !cache->table);
    pool_fini(&cache->pool);
    pthread_cond_destroy(&cache->work);
    pthread_cond_destroy(&cache->room);
    lock_fini(&cache->lock);
    free(cache);
}

static unsigned count_loads_locked(struct cache *cache) REQUIRES(cache->lock)
{
    unsigned n = 0;
    for (const struct load *load = cache->demand; load; load = load->next)
        n++;
    for (const struct load *load = cache->hints; load; load = load->next)
        n++;
    return n;
}

void cache_get_stats(struct cache *cache, struct cache_stats *out)
{
    lock_acquire(&cache->lock);
    *out = cache->stats;
    out->budget = cache->budget;
    out->in_use = cache->in_use;
    out->reply_bytes = cache->reply_bytes;
    out->block_bytes = cache->in_use - cache->reply_bytes;
    out->resident_bytes = cache->pool.n_resident * CACHE_BLOCK_SIZE;
    out->unread_bytes = cache->unread_bytes;
    out->in_flight = cache->n_with_room;
    out->queued = count_loads_locked(cache);
    lock_release(&cache->lock);
}
