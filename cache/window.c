/* The rules are in the header. Two things are kept apart: is this reader sequential (account), and
 * how far ahead of it are we, and want to be (grow, next_hint).
 */
#include "cache/window.h"

#include "cache/cache.h"

#define KIB ((uint64_t)1024)
#define MIB (1024 * KIB)

/* What makes a reader sequential. */
#define RUN_READS 3
#define RUN_BYTES (128 * KIB)

/* The window of a run that just became one, and of a file read from its start in large pieces. */
#define SIZE_RUN   (4 * MIB)
#define SIZE_START (48 * MIB)          /* sixteen full replies */
#define SIZE_FULL  (UINT64_C(1) << 60) /* cut to what the limits allow */

/* How far from its place a read of a sequential reader may be: READs of one handle overtake each
 * other, as many as the kernel has in flight (fuse-practice.md M2 to M5, M9). */
#define BACK_MIN    (512 * KIB)
#define FORWARD_MIN (1 * MIB)

#define MAX_IO_DEFAULT (1 * MIB)

static uint64_t align_up(uint64_t n)
{
    return (n + CACHE_BLOCK_SIZE - 1) / CACHE_BLOCK_SIZE * CACHE_BLOCK_SIZE;
}

static uint64_t align_down(uint64_t n)
{
    return n / CACHE_BLOCK_SIZE * CACHE_BLOCK_SIZE;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void window_init(struct window *window)
{
    *window = (struct window){0};
    lock_init(&window->lock);
}

void window_fini(struct window *window)
{
    lock_fini(&window->lock);
}

static void start_run_locked(struct window *window, uint64_t off, uint64_t end)
    REQUIRES(window->lock)
{
    window->sequential = false;
    window->size = 0;
    window->n_reads = 1;
    window->run_off = off;
    window->run_end = end;
}

static void turn_sequential_locked(struct window *window, uint64_t size) REQUIRES(window->lock)
{
    window->sequential = true;
    window->size = size;
    window->issued = align_up(window->run_end); /* up to there the reads themselves load */
    window->grow_at = window->run_end + size / 8;
}

static void account_sequential_locked(struct window *window, uint64_t off, uint64_t end)
    REQUIRES(window->lock)
{
    uint64_t len = end - off;
    uint64_t back = max_u64(BACK_MIN, 4 * len);
    uint64_t forward = max_u64(FORWARD_MIN, 8 * len);
    if (off + back >= window->run_end && off <= window->run_end + forward)
        window->run_end = max_u64(window->run_end, end);
    else
        start_run_locked(window, off, end);
}

/* Only reads that touch the run exactly count, and only those that carry it forward: neighbours hit
 * by chance are not evidence. */
static void account_random_locked(struct window *window, uint64_t off, uint64_t end)
    REQUIRES(window->lock)
{
    if (off >= window->run_off && end <= window->run_end)
        return; /* the same bytes again */
    if (off == window->run_end) {
        window->run_end = end;
        window->n_reads++;
    } else if (end == window->run_off) {
        window->run_off = off; /* overtaken by its successor */
    } else {
        start_run_locked(window, off, end);
    }
    if (window->n_reads >= RUN_READS && window->run_end - window->run_off >= RUN_BYTES)
        turn_sequential_locked(window, SIZE_RUN);
}

static void account_locked(struct window *window, uint64_t off, uint64_t end, bool is_slow)
    REQUIRES(window->lock)
{
    if (!window->started) {
        window->started = true;
        start_run_locked(window, off, end);
        if (off == 0 && end >= RUN_BYTES)
            turn_sequential_locked(window, is_slow ? SIZE_FULL : SIZE_START);
    } else if (window->sequential) {
        account_sequential_locked(window, off, end);
    } else {
        account_random_locked(window, off, end);
    }
}

/* A load in flight takes its length twice (cache.h), and three quarters of the budget are for what
 * is ahead: a slow source may have them all for calls in flight. */
static uint64_t most_ahead(const struct window_limits *limits)
{
    return limits->is_slow ? limits->budget / 8 * 3 : limits->budget / 4;
}

/* Grow as the reader consumes, up to what the limits allow now; when they allow more later, what it
 * had grown to counts. Returns the bytes of one load.
 *
 * ret_ahead  bytes to be ahead of run_end */
static uint64_t grow_locked(struct window *window, const struct window_limits *limits,
                            uint64_t *ret_ahead) REQUIRES(window->lock)
{
    uint64_t n = limits->n_inflight ? limits->n_inflight : 1;
    uint64_t load_max = align_down(limits->max_io ? limits->max_io : MAX_IO_DEFAULT);
    load_max = max_u64(load_max, CACHE_BLOCK_SIZE);
    uint64_t max = (n + max_u64(n / 4, 1)) * load_max;
    max = min_u64(max, max_u64(align_down(most_ahead(limits)), CACHE_BLOCK_SIZE));

    if (window->run_end >= window->grow_at && window->size < max) {
        window->size *= 4;
        window->grow_at = window->run_end + min_u64(window->size, max) / 8;
    }
    *ret_ahead = min_u64(window->size, max);
    if (limits->is_slow)
        return min_u64(load_max, max_u64(align_down(limits->budget / 4), CACHE_BLOCK_SIZE));
    return min_u64(load_max, max_u64(align_down(*ret_ahead / n), CACHE_BLOCK_SIZE));
}

static bool next_hint_locked(struct window *window, uint64_t file_size, uint64_t ahead,
                             uint64_t load, struct window_hint *out) REQUIRES(window->lock)
{
    window->issued = max_u64(window->issued, align_up(window->run_end)); /* it outran us */
    if (window->issued >= file_size)
        return false;
    uint64_t until = window->run_end + ahead;
    uint64_t len;
    if (until >= file_size) {
        len = file_size - window->issued;
    } else {
        /* Up to a multiple of the load, so that all but the first are whole, wherever they began: a
         * source of pages is then asked for each page once. */
        uint64_t stop = until / load * load;
        if (stop <= window->issued)
            return false; /* wait until a whole load's worth has been consumed */
        len = stop - window->issued;
    }
    *out = (struct window_hint){.off = window->issued, .len = len, .load = (size_t)load};
    window->issued += len;
    return true;
}

void window_lost(struct window *window, uint64_t off)
{
    lock_acquire(&window->lock);
    if (window->sequential && off < window->issued)
        window->issued = 0; /* next_hint goes on from run_end */
    lock_release(&window->lock);
}

bool window_advance(struct window *window, uint64_t off, size_t len, uint64_t file_size,
                    const struct window_limits *limits, struct window_hint *out)
{
    if (len == 0 || off >= file_size)
        return false;
    uint64_t end = off + min_u64(len, file_size - off);

    bool has_hint = false;
    lock_acquire(&window->lock);
    account_locked(window, off, end, limits->is_slow);
    if (window->sequential) {
        uint64_t ahead;
        uint64_t load = grow_locked(window, limits, &ahead);
        has_hint = next_hint_locked(window, file_size, ahead, load, out);
    }
    lock_release(&window->lock);
    return has_hint;
}
