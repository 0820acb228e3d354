/* The learned reply size: halving, remembering, growing back. */
#include "cache/cache.h"
#include "fs/limit.h"
#include "tests/tap.h"

TAP_STATE;

#define KIB ((size_t)1024)

/* Calls until a piece of at most `capacity` bytes gets through, starting from what is learned. */
static unsigned calls_until_fits(struct fs_limit *limit, size_t capacity)
{
    size_t len = fs_limit_get(limit);
    unsigned n = 1;
    while (len > capacity) {
        len = fs_limit_failed(limit, len);
        n++;
    }
    fs_limit_succeeded(limit, len);
    return n;
}

static void test_halving(void)
{
    struct fs_limit limit;
    fs_limit_init(&limit, 3000 * KIB);
    TAP_INT((int64_t)fs_limit_get(&limit), 46 * 64 * 1024, "starts large, in whole blocks");
    TAP_INT(calls_until_fits(&limit, 1000 * KIB), 3, "halves until it fits");
    TAP_INT((int64_t)fs_limit_get(&limit), 11 * 64 * 1024, "keeps whole blocks");
    TAP_INT(calls_until_fits(&limit, 1000 * KIB), 1, "remembers");
    TAP_INT((int64_t)fs_limit_shrunk(&limit), 2, "counts");
    TAP_INT((int64_t)fs_limit_failed(&limit, 46 * 64 * 1024), 23 * 64 * 1024,
            "a late failure of an older, larger call ...");
    TAP_INT((int64_t)fs_limit_get(&limit), 11 * 64 * 1024, "... does not raise the limit");
    fs_limit_fini(&limit);
}

static void test_floor(void)
{
    struct fs_limit limit;
    fs_limit_init(&limit, 128 * KIB);
    size_t len = fs_limit_get(&limit);
    unsigned n = 0;
    while (len != 0 && n < 100) {
        len = fs_limit_failed(&limit, len);
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
    fs_limit_init(&limit, 47 * CACHE_BLOCK_SIZE);
    fs_limit_succeeded(&limit, 30 * CACHE_BLOCK_SIZE + 77);
    TAP_INT((int64_t)fs_limit_failed(&limit, 47 * CACHE_BLOCK_SIZE), 30 * CACHE_BLOCK_SIZE,
            "what worked before, in whole blocks");
    for (int i = 0; i < 10000; i++)
        fs_limit_succeeded(&limit, fs_limit_get(&limit));
    TAP_INT((int64_t)fs_limit_get(&limit), 47 * CACHE_BLOCK_SIZE, "and it grows from there");
    fs_limit_fini(&limit);
}

static void test_growth(void)
{
    struct fs_limit limit;
    fs_limit_init(&limit, 47 * CACHE_BLOCK_SIZE);
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

int main(void)
{
    test_halving();
    test_floor();
    test_odd_end();
    test_growth();
    return tap_done();
}
