/* The learned number of items: halving, uneven items, probes, growing back. */
#include "fs/item_limit.h"
#include "ic/wait.h"
#include "tests/tap.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <time.h>

TAP_STATE;

static struct ic_io within_ms(int64_t ms)
{
    return (struct ic_io){.deadline_ns = ic_wait_now_ns() + ms * IC_NS_PER_MS};
}

/* One call alone. Returns the number it was for. */
static uint64_t call(struct fs_item_limit *limit, uint64_t want, enum fs_item_outcome outcome,
                     bool is_again)
{
    struct fs_item_call c = {0};
    const struct ic_io io = within_ms(1000);
    if (fs_item_limit_begin(limit, want, &io, &c) < 0)
        return 0;
    fs_item_limit_end(limit, &c, outcome, is_again);
    return c.n;
}

/* Fetch `n` items of a canister that gives at most `most` at a time. Counts calls, and those in
 * vain. */
static void fetch(struct fs_item_limit *limit, uint64_t n, uint64_t most, unsigned *n_calls,
                  unsigned *n_vain)
{
    uint64_t cap = n;
    bool is_again = false;
    while (n > 0) {
        struct fs_item_call c = {0};
        const struct ic_io io = within_ms(1000);
        if (fs_item_limit_begin(limit, cap < n ? cap : n, &io, &c) < 0)
            return;
        bool is_good = c.n <= most;
        fs_item_limit_end(limit, &c, is_good ? FS_ITEM_GOOD : FS_ITEM_TOO_MUCH, is_again);
        (*n_calls)++;
        *n_vain += !is_good;
        is_again = is_again || !is_good;
        cap = is_good ? n : c.n / 2;
        n -= is_good ? c.n : 0;
    }
}

/* What fetching files of 1000 items comes to, at worst, with a limit from 1 to 1000. */
struct worst {
    unsigned n_vain; /* but for one in 1000 calls: they may look whether the limit is still there */
    double to_possible; /* all calls, to the least possible */
};

static struct worst try_every_limit(unsigned n_files)
{
    struct worst worst = {0};
    for (uint64_t most = 1; most <= 1000; most++) {
        struct fs_item_limit limit;
        unsigned n_calls = 0;
        unsigned n_vain = 0;
        if (fs_item_limit_init(&limit, 1000) < 0)
            return (struct worst){.n_vain = UINT_MAX, .to_possible = HUGE_VAL};
        for (unsigned i = 0; i < n_files; i++)
            fetch(&limit, 1000, most, &n_calls, &n_vain);
        fs_item_limit_fini(&limit);
        double ratio = n_calls / (double)(n_files * ((1000 + most - 1) / most));
        if (ratio > worst.to_possible)
            worst.to_possible = ratio;
        n_vain -= n_calls / 1000 < n_vain ? n_calls / 1000 : n_vain;
        if (n_vain > worst.n_vain)
            worst.n_vain = n_vain;
    }
    printf("# %u files: at most %u in vain, %.2f times the calls that are possible\n", n_files,
           worst.n_vain, worst.to_possible);
    return worst;
}

static void test_every_limit(void)
{
    struct worst few = try_every_limit(20);
    TAP_OK(few.n_vain <= 11, "20 files, any limit from 1 to 1000 items: few calls in vain");
    TAP_OK(few.to_possible <= 1.25, "and not many more than needed");
    struct worst many = try_every_limit(160);
    TAP_OK(many.n_vain <= 11, "160 files: no more in vain, but to look for another limit");
    TAP_OK(many.to_possible <= 1.05, "and hardly more than needed");
}

static void test_uneven(void)
{
    struct fs_item_limit limit;
    TAP_INT(fs_item_limit_init(&limit, 1000), 0, "init");
    TAP_INT((int64_t)call(&limit, 1000, FS_ITEM_GOOD, false), 1000, "the whole at once");
    /* One file with an item that is too large: asked for in halves, down to it. */
    for (uint64_t n = 1000; n >= 1; n /= 2)
        call(&limit, n, FS_ITEM_TOO_MUCH, n < 1000);
    TAP_INT((int64_t)fs_item_limit_get(&limit), 1000, "large items in one file change nothing");
    call(&limit, 1000, FS_ITEM_TOO_MUCH, false);
    TAP_INT((int64_t)fs_item_limit_get(&limit), 1000, "nor in two");
    call(&limit, 1000, FS_ITEM_TOO_MUCH, false);
    TAP_INT((int64_t)fs_item_limit_get(&limit), 500, "in three in a row they do");
    TAP_INT((int64_t)call(&limit, 1000, FS_ITEM_GOOD, true), 500, "then half is asked for");
    for (int i = 0; i < 1024; i++)
        call(&limit, 1000, FS_ITEM_GOOD, false);
    for (int i = 0; i < 200; i++)
        call(&limit, 1000, FS_ITEM_GOOD, false);
    TAP_INT((int64_t)fs_item_limit_get(&limit), 1000, "and it grows back");
    fs_item_limit_fini(&limit);
}

static void test_forget(void)
{
    struct fs_item_limit limit;
    TAP_INT(fs_item_limit_init(&limit, 1000), 0, "init");
    for (uint64_t n = 1000; n >= 1; n /= 2)
        call(&limit, n, FS_ITEM_TOO_MUCH, n < 1000);
    TAP_INT((int64_t)fs_item_limit_get(&limit), 1, "nothing works");
    fs_item_limit_forget(&limit);
    TAP_INT((int64_t)fs_item_limit_get(&limit), 1000, "not even one: it was not the number");
    call(&limit, 300, FS_ITEM_GOOD, false);
    call(&limit, 1000, FS_ITEM_TOO_MUCH, false);
    fs_item_limit_forget(&limit);
    TAP_INT((int64_t)fs_item_limit_get(&limit), 500, "what is known to work stays");
    fs_item_limit_fini(&limit);
}

static void test_probe(void)
{
    struct fs_item_limit limit;
    struct fs_item_call probe;
    struct fs_item_call other;
    const struct ic_io soon = within_ms(50);
    const struct ic_io later = within_ms(5000);
    TAP_INT(fs_item_limit_init(&limit, 1000), 0, "init");
    TAP_INT(fs_item_limit_begin(&limit, 1000, &later, &probe), 0, "the first call");
    TAP_OK(probe.is_probe && probe.n == 1000, "tries the largest number");
    TAP_INT(fs_item_limit_begin(&limit, 1000, &soon, &other), -ETIMEDOUT, "the others wait");
    fs_item_limit_end(&limit, &probe, FS_ITEM_TOO_MUCH, false);
    TAP_INT(fs_item_limit_begin(&limit, 1000, &later, &probe), 0, "the next one");
    TAP_OK(probe.is_probe && probe.n == 500, "tries half");
    fs_item_limit_end(&limit, &probe, FS_ITEM_GOOD, true);
    TAP_INT(fs_item_limit_begin(&limit, 1000, &later, &probe), 0, "and now");
    TAP_INT(fs_item_limit_begin(&limit, 1000, &soon, &other), 0, "nobody waits");
    TAP_OK(probe.n == 500 && other.n == 500 && !probe.is_probe && !other.is_probe,
           "each takes what works");
    fs_item_limit_end(&limit, &other, FS_ITEM_UNKNOWN, false);
    fs_item_limit_end(&limit, &probe, FS_ITEM_UNKNOWN, false);
    TAP_INT((int64_t)fs_item_limit_get(&limit), 500, "other failures teach nothing");
    fs_item_limit_fini(&limit);
}

int main(void)
{
    test_every_limit();
    test_uneven();
    test_forget();
    test_probe();
    return tap_done();
}
