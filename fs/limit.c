#include "fs/limit.h"

#include "cache/cache.h"

/* Below this a failure is not about size: 1 KiB costs any canister next to nothing. */
#define SMALLEST 1024

/* Successes before a larger reply is tried, and before a length that failed is tried again: the
 * canister may have been upgraded, but a wasted call must stay rare. */
#define GOOD_TO_GROW  64
#define GOOD_TO_RETRY 1024

static size_t round_down(size_t len)
{
    return len >= CACHE_BLOCK_SIZE ? len / CACHE_BLOCK_SIZE * CACHE_BLOCK_SIZE : len;
}

void fs_limit_init(struct fs_limit *limit, size_t max)
{
    pthread_mutex_init(&limit->lock, NULL);
    limit->max = round_down(max);
    limit->current = limit->max;
    limit->good = 0;
    limit->failed = SIZE_MAX;
    limit->n_good = 0;
    limit->n_shrunk = 0;
}

void fs_limit_fini(struct fs_limit *limit)
{
    pthread_mutex_destroy(&limit->lock);
}

size_t fs_limit_get(struct fs_limit *limit)
{
    pthread_mutex_lock(&limit->lock);
    size_t current = limit->current;
    pthread_mutex_unlock(&limit->lock);
    return current;
}

void fs_limit_succeeded(struct fs_limit *limit, size_t len)
{
    pthread_mutex_lock(&limit->lock);
    size_t whole = round_down(len); /* the end of a file is no size to go on with */
    if (whole > limit->good)
        limit->good = whole;
    if (whole == limit->current && limit->current < limit->max) {
        limit->n_good++;
        if (limit->n_good >= GOOD_TO_RETRY)
            limit->failed = SIZE_MAX;
        size_t larger = round_down(limit->current + limit->current / 4);
        if (larger <= limit->current)
            larger = limit->current * 2;
        if (larger > limit->max)
            larger = limit->max;
        if (limit->n_good >= GOOD_TO_GROW && larger < limit->failed) {
            limit->current = larger;
            limit->n_good = 0;
        }
    }
    pthread_mutex_unlock(&limit->lock);
}

size_t fs_limit_failed(struct fs_limit *limit, size_t len)
{
    size_t next = round_down(len / 2);
    if (next < SMALLEST)
        return 0;
    pthread_mutex_lock(&limit->lock);
    if (len <= limit->good)
        limit->good = 0; /* what worked before does not any more */
    if (limit->good > next)
        next = limit->good;
    if (len < limit->failed)
        limit->failed = len;
    if (next < limit->current) {
        limit->current = next;
        limit->n_good = 0;
        limit->n_shrunk++;
    }
    pthread_mutex_unlock(&limit->lock);
    return next;
}

uint64_t fs_limit_shrunk(struct fs_limit *limit)
{
    pthread_mutex_lock(&limit->lock);
    uint64_t n = limit->n_shrunk;
    pthread_mutex_unlock(&limit->lock);
    return n;
}
