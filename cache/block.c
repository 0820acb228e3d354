/* The table of blocks: lookup, states, what is evicted when. The states and their invariants are in
 * cache/state.h; nothing here waits or releases the lock.
 */
#include "cache/state.h"

#include <assert.h>
#include <stdlib.h>
#include <utlist.h>

/* Errors are small but a source that fails at once, again and again, must not fill the memory. */
#define FAILED_MAX 4096

/* A reader that is this late is not coming: its handle was closed or it sought away. */
#define UNREAD_NS (10 * NS_PER_S)

struct block *block_find_locked(struct cache *cache, const struct block_key *key)
{
    struct block *block;
    HASH_FIND(hh, cache->table, key, sizeof(*key), block);
    return block;
}

struct block *block_add_locked(struct cache *cache, const struct block_key *key, struct load *load)
{
    struct block *block = calloc(1, sizeof(*block));
    if (!block)
        return NULL;
    block->key = *key;
    block->state = BLOCK_QUEUED;
    block->load = load;
    block->prefetched = load->prefetch;
    block->wanted = !load->prefetch;
    HASH_ADD(hh, cache->table, key, sizeof(block->key), block);
    if (!block->hh.tbl) { /* uthash's way to say that it had no memory */
        free(block);
        return NULL;
    }
    return block;
}

static void leave_unread_locked(struct cache *cache, struct block *block) REQUIRES(cache->lock)
{
    if (!block->unread)
        return;
    DL_DELETE2(cache->unread, block, unread_prev, unread_next);
    block->unread = false;
    cache->unread_bytes -= CACHE_BLOCK_SIZE;
}

void block_drop_locked(struct cache *cache, struct block *block)
{
    assert(cache->table && block->pins == 0);
    leave_unread_locked(cache, block);
    if (block->state == BLOCK_READY)
        DL_DELETE(cache->lru, block);
    if (block->state == BLOCK_FAILED) {
        DL_DELETE(cache->failed, block);
        cache->n_failed--;
    }
    if (block->buf) {
        pool_put(&cache->pool, block->buf);
        cache->in_use -= CACHE_BLOCK_SIZE;
    }
    if (block->prefetched)
        cache->stats.prefetch_wasted++;
    HASH_DELETE(hh, cache->table, block);
    free(block);
}

void block_set_ready_locked(struct cache *cache, struct block *block)
{
    assert(block->state == BLOCK_LOADING && block->buf);
    block->state = BLOCK_READY;
    block->load = NULL;
    block->error = 0;
    block->since_ns = clock_now_ns();
    DL_APPEND(cache->lru, block);
    if (block->prefetched) {
        block->unread = true;
        DL_APPEND2(cache->unread, block, unread_prev, unread_next);
        cache->unread_bytes += CACHE_BLOCK_SIZE;
    }
}

void block_set_failed_locked(struct cache *cache, struct block *block, int error)
{
    assert(block->state == BLOCK_LOADING && error < 0);
    if (block->buf) {
        pool_put(&cache->pool, block->buf);
        block->buf = NULL;
        cache->in_use -= CACHE_BLOCK_SIZE;
    }
    block->state = BLOCK_FAILED;
    block->load = NULL;
    block->error = error;
    block->since_ns = clock_now_ns();
    DL_APPEND(cache->failed, block);
    cache->n_failed++;
}

void block_want_locked(struct cache *cache, struct block *block)
{
    block->wanted = true;
    if (block->prefetched) {
        block->prefetched = false;
        cache->stats.prefetch_used++;
    }
    if (block->unread) {
        leave_unread_locked(cache, block);
        if (cache->hints)
            worker_wake_locked(cache);
    }
    if (block->state == BLOCK_READY) {
        DL_DELETE(cache->lru, block);
        DL_APPEND(cache->lru, block);
    }
}

int block_kept_error_locked(struct cache *cache, const struct block *block, int64_t now_ns)
{
    if (block->error < 0 && now_ns - block->since_ns < cache->error_keep_ns)
        return block->error;
    return 0;
}

void block_reap_failed_locked(struct cache *cache, int64_t now_ns)
{
    while (cache->failed && (cache->n_failed > FAILED_MAX ||
                             block_kept_error_locked(cache, cache->failed, now_ns) == 0))
        block_drop_locked(cache, cache->failed);
}

void block_age_unread_locked(struct cache *cache, int64_t now_ns)
{
    while (cache->unread && now_ns - cache->unread->since_ns > UNREAD_NS)
        leave_unread_locked(cache, cache->unread);
}

static bool is_evictable(const struct block *block, bool spare_unread)
{
    return block->pins == 0 && !(spare_unread && block->unread);
}

bool block_make_room_locked(struct cache *cache, size_t need, bool spare_unread)
{
    size_t room = cache->budget - cache->in_use;
    struct block *block = NULL, *next = NULL;
    DL_FOREACH(cache->lru, block)
    {
        if (room >= need)
            break;
        if (is_evictable(block, spare_unread))
            room += CACHE_BLOCK_SIZE;
    }
    if (room < need)
        return false;

    DL_FOREACH_SAFE(cache->lru, block, next)
    {
        if (need <= cache->budget - cache->in_use)
            break;
        if (is_evictable(block, spare_unread)) {
            block_drop_locked(cache, block);
            cache->stats.evictions++;
        }
    }
    return true;
}
