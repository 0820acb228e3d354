#include "fs/item_limit.h"

#include "ic/wait.h"

/* Successes before more is tried, and before a number that failed is tried again: the canister may
 * have been upgraded, but a wasted call must stay rare. */
#define GOOD_TO_GROW  16
#define GOOD_TO_RETRY 1024

/* Failures in a row of what worked before, each of another range, until it counts as too much. */
#define REFUSED_TO_SHRINK 3

int fs_item_limit_init(struct fs_item_limit *limit, uint64_t max)
{
    *limit = (struct fs_item_limit){.max = max, .current = max, .failed = UINT64_MAX};
    int result = ic_wait_cond_init(&limit->probed);
    if (result < 0)
        return result;
    pthread_mutex_init(&limit->lock, NULL);
    return 0;
}

void fs_item_limit_fini(struct fs_item_limit *limit)
{
    pthread_cond_destroy(&limit->probed);
    pthread_mutex_destroy(&limit->lock);
}

uint64_t fs_item_limit_get(struct fs_item_limit *limit)
{
    pthread_mutex_lock(&limit->lock);
    uint64_t current = limit->current;
    pthread_mutex_unlock(&limit->lock);
    return current;
}

int fs_item_limit_begin(struct fs_item_limit *limit, uint64_t want, const struct ic_io *io,
                        struct fs_item_call *out)
{
    int result = 0;
    pthread_mutex_lock(&limit->lock);
    for (;;) {
        *out = (struct fs_item_call){.n = want < limit->current ? want : limit->current};
        if (out->n <= limit->good)
            break;
        if (!limit->is_probing) {
            out->is_probe = limit->is_probing = true;
            break;
        }
        if (limit->good > 0) { /* more calls, but now */
            out->n = limit->good;
            break;
        }
        result = ic_wait_cond(&limit->probed, &limit->lock, INT64_MAX, io);
        if (result < 0)
            break;
    }
    pthread_mutex_unlock(&limit->lock);
    return result;
}

static uint64_t divide_up(uint64_t n, uint64_t by)
{
    return n / by + (n % by != 0);
}

/* The smallest number with which `max` items take as few calls as with n: more would only make the
 * last call smaller. */
static uint64_t even(const struct fs_item_limit *limit, uint64_t n)
{
    return divide_up(limit->max, divide_up(limit->max, n));
}

/* The smallest number that saves a call. current < max. */
static uint64_t one_call_less_locked(const struct fs_item_limit *limit)
{
    return divide_up(limit->max, divide_up(limit->max, limit->current) - 1);
}

/* What to try next: a quarter more, or half-way to what is too much, and so much that it makes a
 * difference. */
static uint64_t larger_locked(const struct fs_item_limit *limit)
{
    uint64_t least = one_call_less_locked(limit);
    uint64_t step = (limit->current + 3) / 4;
    uint64_t half_way = limit->failed > limit->current ? (limit->failed - limit->current) / 2 : 0;
    uint64_t n = limit->current + (step < half_way ? step : half_way);
    n = even(limit, n < limit->max ? n : limit->max);
    return n > least ? n : least;
}

static void learn_good_locked(struct fs_item_limit *limit, uint64_t n)
{
    if (n > limit->good)
        limit->good = n;
    /* Nearly the number is as good: the items that are left are shared out evenly. */
    if (n < limit->current - limit->current / 16)
        return;
    limit->n_refused = 0;
    if (limit->current >= limit->max)
        return;
    limit->n_good++;
    uint64_t larger = larger_locked(limit);
    if (limit->n_good >= GOOD_TO_RETRY) {
        limit->failed = UINT64_MAX;
        larger = one_call_less_locked(limit);
    }
    if (limit->n_good >= GOOD_TO_GROW && larger < limit->failed) {
        limit->current = larger;
        limit->n_good = 0;
    }
}

static void shrink_locked(struct fs_item_limit *limit, uint64_t n)
{
    uint64_t half = n > 1 ? n / 2 : 1;
    if (n < limit->failed)
        limit->failed = n;
    if (limit->good >= n)
        limit->good = 0;
    if (n <= limit->current) {
        limit->current = even(limit, limit->good > half ? limit->good : half);
        limit->n_good = 0;
        limit->n_refused = 0;
    }
}

static void learn_too_much_locked(struct fs_item_limit *limit, uint64_t n, bool is_again)
{
    bool was_good = n <= limit->good;
    if (was_good && !is_again)
        limit->n_refused++;
    if (!was_good || (!is_again && limit->n_refused >= REFUSED_TO_SHRINK))
        shrink_locked(limit, n);
}

void fs_item_limit_end(struct fs_item_limit *limit, const struct fs_item_call *call,
                       enum fs_item_outcome outcome, bool is_again)
{
    pthread_mutex_lock(&limit->lock);
    if (outcome == FS_ITEM_GOOD)
        learn_good_locked(limit, call->n);
    else if (outcome == FS_ITEM_TOO_MUCH)
        learn_too_much_locked(limit, call->n, is_again);
    if (call->is_probe) {
        limit->is_probing = false;
        pthread_cond_broadcast(&limit->probed);
    }
    pthread_mutex_unlock(&limit->lock);
}

void fs_item_limit_forget(struct fs_item_limit *limit)
{
    pthread_mutex_lock(&limit->lock);
    if (limit->good == 0) {
        limit->current = limit->max;
        limit->failed = UINT64_MAX;
        limit->n_good = limit->n_refused = 0;
    }
    pthread_mutex_unlock(&limit->lock);
}
