/* The learned reply size: halving, remembering, growing back. */
#include "cache/cache.h"
#include "fs/limit.h"
#include "ic/wait.h"
#include "tests/tap.h"

#include <errno.h>
#include <stdatomic.h>
#include <time.h>

TAP_STATE;

#define KIB ((size_t)1024)

static void init(struct fs_limit *limit, size_t max)
{
    TAP_INT(fs_limit_init(limit, max), 0, "init");
}

static struct ic_io within_ms(int64_t ms)
{
    return (struct ic_io){.deadline_ns = ic_wait_now_ns() + ms * IC_NS_PER_MS};
}

/* One call alone; what fs_limit_end said. */
static size_t call(struct fs_limit *limit, size_t len, enum fs_limit_outcome outcome)
{
    struct fs_limit_call c = {0};
    const struct ic_io io = within_ms(1000);
    if (fs_limit_begin(limit, len, &io, &c) < 0)
        return SIZE_MAX;
    return fs_limit_end(limit, &c, outcome);
}

/* Calls until a piece of at most `capacity` bytes gets through, starting from what is learned. */
static unsigned calls_until_fits(struct fs_limit *limit, size_t capacity)
{
    size_t len = fs_limit_get(limit);
    unsigned n = 1;
    while (len > capacity) {
        len = call(limit, len, FS_LIMIT_TOO_MUCH);
        n++;
    }
    call(limit, len, FS_LIMIT_GOOD);
    return n;
}

static void test_halving(void)
{
    struct fs_limit limit;
    init(&limit, 3000 * KIB);
    TAP_INT((int64_t)fs_limit_get(&limit), 46 * 64 * 1024, "starts large, in whole blocks");
    TAP_INT(calls_until_fits(&limit, 1000 * KIB), 3, "halves until it fits");
    TAP_INT((int64_t)fs_limit_get(&limit), 11 * 64 * 1024, "keeps whole blocks");
    TAP_INT(calls_until_fits(&limit, 1000 * KIB), 1, "remembers");
    TAP_INT((int64_t)fs_limit_shrunk(&limit), 2, "counts");
    const struct fs_limit_call late = {.len = 46 * CACHE_BLOCK_SIZE};
    TAP_INT((int64_t)fs_limit_end(&limit, &late, FS_LIMIT_TOO_MUCH), 23 * 64 * 1024,
            "a late failure of an older, larger call ...");
    TAP_INT((int64_t)fs_limit_get(&limit), 11 * 64 * 1024, "... does not raise the limit");
    fs_limit_fini(&limit);
}

static void test_floor(void)
{
    struct fs_limit limit;
    init(&limit, 128 * KIB);
    size_t len = fs_limit_get(&limit);
    unsigned n = 0;
    while (len != 0 && n < 100) {
        len = call(&limit, len, FS_LIMIT_TOO_MUCH);
        n++;
    }
    TAP_INT(n, 8, "gives up below 1 KiB");
    TAP_INT((int64_t)fs_limit_get(&limit), 1024, "and stays usable there");
    fs_limit_fini(&limit);
}

/* The end of a file is read with an odd length; it must not become the length of all that follows.
 */
static void test_odd_end(void)
{
    struct fs_limit limit;
    init(&limit, 47 * CACHE_BLOCK_SIZE);
    call(&limit, 30 * CACHE_BLOCK_SIZE + 77, FS_LIMIT_GOOD);
    TAP_INT((int64_t)call(&limit, 47 * CACHE_BLOCK_SIZE, FS_LIMIT_TOO_MUCH), 30 * CACHE_BLOCK_SIZE,
            "what worked before, in whole blocks");
    for (int i = 0; i < 10000; i++)
        call(&limit, fs_limit_get(&limit), FS_LIMIT_GOOD);
    TAP_INT((int64_t)fs_limit_get(&limit), 47 * CACHE_BLOCK_SIZE, "and it grows from there");
    fs_limit_fini(&limit);
}

static void test_growth(void)
{
    struct fs_limit limit;
    init(&limit, 47 * CACHE_BLOCK_SIZE);
    size_t capacity = 40 * CACHE_BLOCK_SIZE;
    unsigned wasted = 0;
    for (int i = 0; i < 1000; i++)
        wasted += calls_until_fits(&limit, capacity) - 1;
    TAP_INT(wasted, 2, "a limit that stays is run into twice: at first, and when it is approached");
    TAP_OK(fs_limit_get(&limit) > 23 * CACHE_BLOCK_SIZE, "grows back slowly towards it");
    TAP_OK(fs_limit_get(&limit) <= capacity, "but not past it");
    for (int i = 0; i < 3000; i++)
        wasted += calls_until_fits(&limit, SIZE_MAX) - 1;
    TAP_INT((int64_t)fs_limit_get(&limit), (int64_t)(47 * CACHE_BLOCK_SIZE),
            "a canister that became better is found out in the end");
    fs_limit_fini(&limit);
}

/* --- many calls at once --- */

static void test_probe(void)
{
    const size_t block = CACHE_BLOCK_SIZE;
    struct fs_limit limit;
    struct fs_limit_call calls[4];
    struct ic_io io = within_ms(1000);
    init(&limit, 47 * block);
    for (int i = 0; i < 4; i++) {
        TAP_INT(fs_limit_begin(&limit, 47 * block, &io, &calls[i]), 0, "the first calls");
        TAP_OK(calls[i].len == 47 * block && !calls[i].is_probe, "go out together");
    }
    for (int i = 0; i < 4; i++)
        TAP_INT((int64_t)fs_limit_end(&limit, &calls[i], FS_LIMIT_TOO_MUCH), 23 * 64 * 1024,
                "too much: half of it next");

    TAP_INT(fs_limit_begin(&limit, 47 * block, &io, &calls[0]), 0, "a call of the old length");
    TAP_OK(calls[0].len == 23 * block && calls[0].is_probe, "tries the new one, alone");
    io = within_ms(50);
    TAP_INT(fs_limit_begin(&limit, 23 * block, &io, &calls[1]), -ETIMEDOUT,
            "another waits for it, up to its deadline");
    atomic_bool cancel = true;
    io = within_ms(1000);
    io.cancel = &cancel;
    TAP_INT(fs_limit_begin(&limit, 23 * block, &io, &calls[1]), -EINTR, "or until it is given up");
    io.cancel = NULL;
    TAP_INT(fs_limit_begin(&limit, block, &io, &calls[1]), 0, "a short one does not wait");
    TAP_INT((int64_t)fs_limit_end(&limit, &calls[1], FS_LIMIT_GOOD), 64 * 1024, "its length");
    TAP_INT((int64_t)fs_limit_end(&limit, &calls[0], FS_LIMIT_UNKNOWN), 23 * 64 * 1024,
            "the probe fails for another reason");
    TAP_INT(fs_limit_begin(&limit, 23 * block, &io, &calls[0]), 0, "and the next one");
    TAP_OK(calls[0].is_probe, "tries");
    (void)fs_limit_end(&limit, &calls[0], FS_LIMIT_GOOD);
    for (int i = 0; i < 2; i++) {
        TAP_INT(fs_limit_begin(&limit, 23 * block, &io, &calls[i]), 0, "what is known to work");
        TAP_OK(!calls[i].is_probe, "needs no probe");
    }

    while (fs_limit_get(&limit) == 23 * block)
        call(&limit, 23 * block, FS_LIMIT_GOOD);
    size_t larger = fs_limit_get(&limit);
    TAP_INT(fs_limit_begin(&limit, larger, &io, &calls[0]), 0, "grown: one tries the new length");
    TAP_OK(calls[0].is_probe && calls[0].len == larger, "as probe");
    TAP_INT(fs_limit_begin(&limit, larger, &io, &calls[1]), 0, "another meanwhile");
    TAP_OK(calls[1].len == 23 * block && !calls[1].is_probe, "goes on with the known one");
    fs_limit_fini(&limit);
}

/* A canister that takes 5 ms for a call and gives at most `capacity` bytes; 16 readers of 64 MiB.
 */
struct canister {
    struct fs_limit limit;
    size_t capacity;
    atomic_uint n_calls;
    atomic_uint n_wasted;
    atomic_int blocks_left;
};

static void *read_some(void *arg)
{
    struct canister *c = arg;
    const struct timespec takes = {.tv_nsec = 5000000};
    for (;;) {
        int n = (int)(fs_limit_get(&c->limit) / CACHE_BLOCK_SIZE);
        int had = atomic_fetch_sub(&c->blocks_left, n);
        size_t left = (size_t)(had < n ? had : n) * CACHE_BLOCK_SIZE;
        if (had <= 0)
            return NULL;
        while (left > 0) {
            struct fs_limit_call asked = {0};
            const struct ic_io io = within_ms(10000);
            if (fs_limit_begin(&c->limit, left, &io, &asked) < 0)
                return arg;
            nanosleep(&takes, NULL);
            atomic_fetch_add(&c->n_calls, 1);
            bool fits = asked.len <= c->capacity;
            atomic_fetch_add(&c->n_wasted, !fits);
            (void)fs_limit_end(&c->limit, &asked, fits ? FS_LIMIT_GOOD : FS_LIMIT_TOO_MUCH);
            left -= fits ? asked.len : 0;
        }
    }
}

static void check_waste(size_t capacity, unsigned n_halvings, unsigned n_growths)
{
    enum { N = 16, N_BLOCKS = 1024 };
    struct canister c = {.capacity = capacity, .blocks_left = N_BLOCKS};
    init(&c.limit, 47 * CACHE_BLOCK_SIZE);
    pthread_t threads[N];
    bool is_well = true;
    for (int i = 0; i < N; i++)
        pthread_create(&threads[i], NULL, read_some, &c);
    for (int i = 0; i < N; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        is_well = is_well && !failed;
    }
    unsigned ideal = n_halvings + n_growths;
    unsigned wasted = atomic_load(&c.n_wasted);
    printf("# limit of %zu KiB: %u of %u calls wasted; one at a time would waste %u\n",
           capacity / KIB, wasted, atomic_load(&c.n_calls), ideal);
    TAP_OK(is_well, "every reader reads all");
    TAP_OK(wasted >= n_halvings && wasted <= ideal + (n_halvings > 0 ? N - 1 : 0),
           "16 readers waste the first round, then one call for each step");
    fs_limit_fini(&c.limit);
}

int main(void)
{
    test_halving();
    test_floor();
    test_odd_end();
    test_growth();
    test_probe();
    check_waste(47 * CACHE_BLOCK_SIZE, 0, 0);
    check_waste(1024 * KIB, 2, 1);
    check_waste(128 * KIB, 5, 1);
    check_waste(64 * KIB, 5, 1);
    return tap_done();
}
