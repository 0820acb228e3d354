/* Sizes by version against a plain table, added in any order. */
#include "cache/versions.h"
#include "tests/tap.h"

#include <errno.h>

TAP_STATE;

#define N 300

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void test_any_order(uint64_t seed)
{
    uint64_t state = seed;
    uint64_t sizes[N + 1] = {0}; /* 0: not added */
    struct versions versions;
    versions_init(&versions);
    bool ok = true;
    for (int i = 0; i < 2 * N && ok; i++) {
        uint64_t version = next_random(&state) % N + 1;
        if (seed % 2 && i < N)
            version = (uint64_t)i + 1; /* in order */
        uint64_t size = next_random(&state) % 3 + 1;
        int ret = versions_add(&versions, version, size);
        if (sizes[version] == 0) {
            sizes[version] = size;
            ok = ret == 0;
        } else {
            ok = ret == (sizes[version] == size ? 0 : -EIO);
        }
        for (uint64_t v = 1; v <= N && ok; v++) {
            uint64_t found = 0;
            bool is_known = versions_find(&versions, v, &found);
            ok = is_known == (sizes[v] > 0) && found == sizes[v];
        }
    }
    TAP_OK(ok, "sizes of versions added in any order");
    versions_fini(&versions);
}

int main(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++)
        test_any_order(seed);

    /* A live source: a version per open, one size. */
    struct versions versions;
    uint64_t size = 0;
    versions_init(&versions);
    bool ok = !versions_find(&versions, 1, &size);
    for (uint64_t v = 1; v <= 100000 && ok; v++)
        ok = versions_add(&versions, v, 4096) == 0;
    TAP_OK(ok && versions.n_ranges == 1, "a hundred thousand versions of one size are one range");
    TAP_OK(versions_find(&versions, 1, &size) && size == 4096, "the first is still known");
    TAP_OK(!versions_find(&versions, 100001, &size), "the next is not");
    TAP_OK(versions_add(&versions, UINT64_MAX, 1) == 0 &&
               versions_find(&versions, UINT64_MAX, &size) && size == 1,
           "the last serial there is");
    versions_fini(&versions);

    /* More sizes than are kept: only the oldest go, and an even older one cannot come back. */
    versions_init(&versions);
    for (uint64_t v = 10; v < 3010 && ok; v++)
        ok = versions_add(&versions, v, v) == 0;
    TAP_OK(ok && versions.n_ranges == 1024, "bounded");
    TAP_OK(!versions_find(&versions, 10, &size), "the oldest is forgotten");
    for (uint64_t v = 3010 - 1024; v < 3010 && ok; v++)
        ok = versions_find(&versions, v, &size) && size == v;
    TAP_OK(ok, "the others are not");
    TAP_INT(versions_add(&versions, 5, 5), 0, "an older one");
    TAP_OK(!versions_find(&versions, 5, &size) && versions.n_ranges == 1024, "is not kept");
    versions_fini(&versions);
    return tap_done();
}
