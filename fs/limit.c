#include "fs/limit.h"

#include "cache/cache.h"
#include "ic/wait.h"

#include <errno.h>

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

int fs_limit_init(struct fs_limit *limit, size_t max)
{
    *limit =
        (struct fs_limit){.max = round_down(max), .current = round_down(max), .failed = SIZE_MAX};
    int result = ic_wait_cond_init(&limit->probed);
    if (result < 0)
        return result;
    pthread_mutex_init(&limit->lock, NULL);
    return 0;
}

void fs_limit_fini(struct fs_limit *limit)
{
    pthread_cond_destroy(&limit->probed);
    pthread_mutex_destroy(&limit->lock);
}

size_t fs_limit_get(struct fs_limit *limit)
{
    pthread_mutex_lock(&limit->lock);
    size_t current = limit->current;
    pthread_mutex_unlock(&limit->lock);
    return current;
}

/* Known to work, or so much shorter than what is being tried that it is worth no waiting. */
static bool is_safe_locked(const struct fs_limit *limit, size_t len)
{
    return !limit->was_too_much || round_down(len) <= limit->good || len <= limit->current / 4;
}

int fs_limit_begin(struct fs_limit *limit, size_t want, const struct ic_io *io,
                   struct fs_limit_call *out)
{
    int result = 0;
    pthread_mutex_lock(&limit->lock);
    for (;;) {
        *out = (struct fs_limit_call){.len = want};
        if (is_safe_locked(limit, want))
            break;
        if (want > limit->current) /* it was measured before somebody else was refused */
            out->len = limit->current;
        if (is_safe_locked(limit, out->len))
            break;
        if (!limit->is_probing) {
            out->is_probe = limit->is_probing = true;
            break;
        }
        if (limit->good >= out->len / 2) { /* more calls, but now */
            out->len = limit->good;
            break;
        }
        result = ic_wait_cond(&limit->probed, &limit->lock, INT64_MAX, io);
        if (result < 0)
            break;
    }
    pthread_mutex_unlock(&limit->lock);
    return result;
}

static void learn_good_locked(struct fs_limit *limit, size_t len)
{
    size_t whole = round_down(len); /* the end of a file is no size to go on with */
    if (whole > limit->good)
        limit->good = whole;
    if (whole != limit->current || limit->current >= limit->max)
        return;
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

static size_t learn_too_much_locked(struct fs_limit *limit, size_t len)
{
    size_t next = round_down(len / 2);
    limit->was_too_much = true;
    if (next < SMALLEST)
        return 0;
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
    return next;
}

size_t fs_limit_end(struct fs_limit *limit, const struct fs_limit_call *call,
                    enum fs_limit_outcome outcome)
{
    size_t next = call->len;
    pthread_mutex_lock(&limit->lock);
    if (outcome == FS_LIMIT_GOOD)
        learn_good_locked(limit, call->len);
    else if (outcome == FS_LIMIT_TOO_MUCH)
        next = learn_too_much_locked(limit, call->len);
    if (call->is_probe) {
        limit->is_probing = false;
        pthread_cond_broadcast(&limit->probed);
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
