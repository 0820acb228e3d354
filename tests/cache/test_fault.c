/* Everything that can fail, fails once and for good: the n-th read of the source, the n-th
 * allocation. What is read in spite of it is right, and afterwards all works again.
 */
#include "cache/cache.h"
#include "tests/cache/fake_source.h"
#include "tests/cache/reader.h"
#include "tests/tap.h"

#include <sys/mman.h>

TAP_STATE;

#define SEED 5
#define SIZE (50 * BS + 123)

/* Allocations of the code under test: they fail while armed, from the n-th on, so many times. */
static atomic_bool is_armed;
static atomic_long n_until_failure;
static atomic_long n_failures;

static bool must_fail(void)
{
    if (!atomic_load(&is_armed))
        return false;
    if (atomic_fetch_sub(&n_until_failure, 1) > 0)
        return false;
    return atomic_fetch_sub(&n_failures, 1) > 0;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off);

void *__wrap_malloc(size_t size)
{
    return must_fail() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return must_fail() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return must_fail() ? NULL : __real_realloc(old, size);
}

void *__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
    return must_fail() ? MAP_FAILED : __real_mmap(addr, len, prot, flags, fd, off);
}

static void arm(long nth, long n_times)
{
    atomic_store(&n_until_failure, nth);
    atomic_store(&n_failures, n_times);
    atomic_store(&is_armed, true);
}

static long disarm(void) /* how many allocations there were */
{
    atomic_store(&is_armed, false);
    return -atomic_load(&n_until_failure);
}

static unsigned char buf[SIZE];

static int read_static(struct source *source, uint64_t off, size_t len)
{
    struct source_io io = io_in(5000);
    memset(buf, 0, len);
    int ret = source_read(source, 1, off, buf, len, &io);
    if (ret == 0 && !fake_matches(SEED, 1, off, buf, len))
        return -EILSEQ;
    return ret;
}

/* A little of everything. Returns how many reads failed with `error`; *ret_wrong counts answers
 * that are neither right nor that. */
static unsigned use(struct source *source, int error, unsigned *ret_wrong)
{
    static const struct {
        uint64_t off;
        size_t len;
    } reads[] = {
        {100, 64},         {0, BS},       {3 * BS - 5, 10}, {10 * BS, 9 * BS},
        {8 * BS, 20 * BS}, {SIZE - 1, 1}, {SIZE - BS, BS},  {40 * BS + 7, 2 * BS},
    };
    unsigned n_failed = 0;
    for (size_t i = 0; i < sizeof(reads) / sizeof(reads[0]); i++) {
        source_prefetch(source, 1, reads[i].off, 6 * BS, 2 * BS);
        int ret = read_static(source, reads[i].off, reads[i].len);
        if (ret == error)
            n_failed++;
        else if (ret != 0)
            (*ret_wrong)++;
    }
    return n_failed;
}

struct failing {
    int error;
    unsigned n_workers;
    unsigned n_wrong;
    unsigned n_failed_once;
    unsigned n_failed_always;
    unsigned n_not_recovered;
};

/* Each load fails, alone or with all after it. */
static void fail_each(struct failing *f)
{
    for (uint64_t nth = 1; nth <= 30; nth++) {
        for (int persistent = 0; persistent < 2; persistent++) {
            struct bench b = {0};
            struct cache_config cache = {
                .budget = 2 * MIB, .n_workers = f->n_workers, .error_keep_ns = 1};
            struct fake_config fake = {.size = SIZE, .seed = SEED, .max_io = 4 * BS};
            if (!bench_open(&b, &cache, &fake))
                abort();
            fake_fail(b.fake, nth, persistent ? UINT64_MAX : 1, f->error);
            unsigned n = use(b.source, f->error, &f->n_wrong);
            if (persistent)
                f->n_failed_always += n;
            else
                f->n_failed_once += n;
            fake_fail(b.fake, 1, 0, 0);
            if (!bench_settle(&b) || read_static(b.source, 0, SIZE) != 0)
                f->n_not_recovered++;
            bench_close(&b);
        }
    }
}

/* Whether a failure is seen is a matter of luck: prefetch often meets it before a reader does, and
 * tells nobody. */
static void test_failing_reads(int error, unsigned n_workers)
{
    char what[128];
    struct failing f = {.error = error, .n_workers = n_workers};
    for (int i = 0; i < 50 && f.n_failed_once == 0; i++)
        fail_each(&f);
    snprintf(what, sizeof(what), "errno %d, %u workers: right bytes or that errno", -error,
             n_workers);
    TAP_INT(f.n_wrong, 0, what);
    TAP_INT(f.n_not_recovered, 0, "all bytes right once the source is well again");
    TAP_OK(f.n_failed_once > 0 && f.n_failed_always > f.n_failed_once, "and it was seen");
    printf("# failed reads: %u once, %u for good\n", f.n_failed_once, f.n_failed_always);
}

static void test_failing_memory(bool persistent)
{
    unsigned n_wrong = 0;
    unsigned n_failed = 0;
    unsigned n_not_recovered = 0;
    unsigned n_closed = 0;
    long n_allocations = 0;
    long nth;
    for (nth = 0; nth < 3000; nth++) {
        struct cache_config config = {.budget = 2 * MIB, .n_workers = 2, .error_keep_ns = 1};
        struct fake_config fake_config = {.size = SIZE, .seed = SEED, .max_io = 4 * BS};
        struct bench b = {.seed = SEED};
        struct source *inner;
        struct source_stat st;
        struct source_io io = io_in(5000);
        if (fake_open(&inner, &b.fake, &fake_config) < 0)
            abort();

        arm(nth, persistent ? 1000000 : 1);
        int ret = cache_open(&b.cache, &config);
        if (ret == 0) {
            ret = cached_open(&b.source, b.cache, inner);
            if (ret == 0)
                ret = source_stat(b.source, &io, &st);
            if (ret == 0)
                n_failed += use(b.source, -ENOMEM, &n_wrong);
        }
        n_allocations = disarm();
        /* A thread's stack is memory too: pthread_create says EAGAIN when mmap fails. */
        if (ret < 0 && ret != -ENOMEM && ret != -EAGAIN)
            n_wrong++;
        if (!b.cache || !b.source) {
            source_close(inner); /* on failure the caller still owns it */
            n_closed++;
            if (b.cache)
                cache_close(b.cache);
            continue;
        }
        if (!bench_settle(&b) || source_stat(b.source, &io, &st) != 0 ||
            read_static(b.source, 0, SIZE) != 0)
            n_not_recovered++;
        bench_close(&b);
        if (n_allocations < 0)
            break; /* no allocation was left to fail */
    }
    TAP_INT(n_wrong, 0,
            persistent ? "no memory from the n-th allocation on: ENOMEM or right bytes"
                       : "the n-th allocation fails: ENOMEM or right bytes");
    TAP_INT(n_not_recovered, 0, "all bytes right once there is memory again");
    TAP_OK(n_failed > 0 && n_closed > 0, "and it was seen");
    TAP_OK(nth < 3000, "every allocation had its turn");
    printf("# %ld allocations; %u reads and %u opens failed\n", nth, n_failed, n_closed);
}

int main(void)
{
    static const int errors[] = {-EIO, -EBADMSG, -EPROTO, -EHOSTUNREACH, -ENOMEM, -ETIMEDOUT};
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
        test_failing_reads(errors[i], i % 2 ? 4 : 1);
    test_failing_memory(false);
    test_failing_memory(true);
    TAP_INT(fake_n_open(), 0, "everything closed");
    return tap_done();
}
