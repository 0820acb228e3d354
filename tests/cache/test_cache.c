/* The cached source: what it asks of the inner one, what it keeps, who waits for whom. */
#include "cache/cache.h"
#include "tests/cache/fake_source.h"
#include "tests/cache/reader.h"
#include "tests/tap.h"

TAP_STATE;

#define SEED 11

static struct bench open_bench(struct cache_config cache, struct fake_config fake)
{
    struct bench b = {0};
    fake.seed = SEED;
    TAP_OK(bench_open(&b, &cache, &fake), "open");
    return b;
}

static void close_bench(struct bench *b)
{
    TAP_INT(fake_n_violations(b->fake), 0, "the inner source was asked within its size only");
    bench_close(b);
    TAP_INT(fake_n_open(), 0, "everything closed");
}

static bool was_read(struct bench *b, unsigned i, uint64_t off, size_t len)
{
    struct fake_read read = fake_get_read(b->fake, i);
    if (read.off == off && read.len == len)
        return true;
    printf("# read %u was %" PRIu64 " + %zu\n", i, read.off, read.len);
    return false;
}

static int get(struct bench *b, uint64_t off, size_t len)
{
    return read_checked(b->source, SEED, b->version, off, len, 5000);
}

static struct cache_stats stats_of(struct bench *b)
{
    struct cache_stats stats;
    cache_get_stats(b->cache, &stats);
    return stats;
}

static void test_what_is_asked(void)
{
    uint64_t size = 100 * BS + 777;
    struct bench b = open_bench((struct cache_config){.n_workers = 2},
                                (struct fake_config){.size = size, .max_io = 4 * BS + 5});

    TAP_INT(get(&b, 7 * BS + 100, 64), 0, "64 bytes");
    TAP_INT(fake_n_reads(b.fake), 1, "are one read");
    TAP_OK(was_read(&b, 0, 7 * BS, BS), "of one block");
    TAP_INT(get(&b, 7 * BS, BS), 0, "the whole block");
    TAP_INT(fake_n_reads(b.fake), 1, "is there now");

    fake_forget(b.fake);
    TAP_INT(get(&b, size - 1, 1), 0, "the last byte");
    TAP_OK(was_read(&b, 0, 100 * BS, 777), "loads the short last block");
    TAP_INT(get(&b, size - 777, 777), 0, "the last block, warm");
    TAP_INT(get(&b, size - 777 - 10, 787), 0, "across into the last block");
    TAP_OK(was_read(&b, 1, 99 * BS, BS), "loads what was missing only");
    TAP_INT(fake_n_reads(b.fake), 2, "and nothing more");

    fake_forget(b.fake);
    TAP_INT(get(&b, 20 * BS - 1, 2), 0, "two bytes on two blocks");
    TAP_INT(fake_n_reads(b.fake), 1, "are one read");
    TAP_OK(was_read(&b, 0, 19 * BS, 2 * BS), "of two blocks");

    fake_forget(b.fake);
    TAP_INT(get(&b, 18 * BS, 4 * BS), 0, "a range with a hole in it");
    TAP_INT(fake_n_reads(b.fake), 2, "is two reads");
    TAP_OK((was_read(&b, 0, 18 * BS, BS) && was_read(&b, 1, 21 * BS, BS)) ||
               (was_read(&b, 1, 18 * BS, BS) && was_read(&b, 0, 21 * BS, BS)),
           "of the missing runs");

    fake_forget(b.fake);
    TAP_INT(get(&b, 40 * BS, 10 * BS), 0, "ten blocks at four per call");
    TAP_INT(fake_n_reads(b.fake), 3, "are three reads");
    uint64_t sum = 0;
    for (unsigned i = 0; i < 3; i++) {
        struct fake_read read = fake_get_read(b.fake, i);
        TAP_OK(read.len == 4 * BS || read.len == 2 * BS, "of at most four blocks");
        sum += read.len;
    }
    TAP_INT((int64_t)sum, (int64_t)(10 * BS), "that tile the range");

    fake_forget(b.fake);
    fake_set_max_io(b.fake, 1000);
    TAP_INT(get(&b, 60 * BS, 2 * BS), 0, "a reply limit below one block");
    TAP_INT(fake_n_reads(b.fake), 2, "loads block by block");
    fake_set_max_io(b.fake, 0);
    TAP_INT(get(&b, 70 * BS, 20 * BS), 0, "no wish");
    TAP_INT(fake_n_reads(b.fake), 3, "is one load");

    struct cache_stats stats = stats_of(&b);
    TAP_INT((int64_t)stats.loads, 12, "loads counted");
    TAP_OK(stats.misses == 39 && stats.hits == 5, "hits and misses counted, by block");
    printf("# hits %" PRIu64 " misses %" PRIu64 "\n", stats.hits, stats.misses);
    TAP_INT(get(&b, size - 1, 2), -EINVAL, "beyond the end");
    TAP_INT(get(&b, size, 1), -EINVAL, "at the end");
    close_bench(&b);
}

static void test_empty_and_tiny(void)
{
    struct bench b = open_bench((struct cache_config){0}, (struct fake_config){.size = 0});
    TAP_INT(get(&b, 0, 1), -EINVAL, "nothing to read of an empty file");
    source_prefetch(b.source, b.version, 0, 100, BS);
    close_bench(&b);
    b = open_bench((struct cache_config){0}, (struct fake_config){.size = 1});
    source_prefetch(b.source, b.version, 0, UINT64_MAX, SIZE_MAX);
    TAP_INT(get(&b, 0, 1), 0, "one byte");
    TAP_INT(fake_n_reads(b.fake), 1, "one read");
    close_bench(&b);

    /* Far offsets: block numbers beyond 32 bits. */
    b = open_bench((struct cache_config){0}, (struct fake_config){.size = (uint64_t)1 << 60});
    TAP_INT(get(&b, ((uint64_t)4 << 30) - 3, 7), 0, "across 4 GiB");
    TAP_INT(get(&b, ((uint64_t)100 << 30) - 3, 7), 0, "at 100 GiB");
    TAP_INT(get(&b, ((uint64_t)1 << 60) - 3, 3), 0, "at the end of an exbibyte");
    close_bench(&b);
}

static void test_runs_in_parallel(void)
{
    struct bench b = open_bench((struct cache_config){.n_workers = 4},
                                (struct fake_config){.size = 100 * BS, .max_io = 2 * BS});
    fake_hold(b.fake, true);
    struct reader r;
    reader_start(&r, b.source, 1, 3, 6 * BS, 5000, false);
    TAP_OK(fake_wait_running(b.fake, 4), "all loads of one read run at once");
    fake_hold(b.fake, false);
    TAP_INT(reader_join(&r, SEED), 0, "and the read succeeds");

    /* Also when the first block is on its way for somebody else. */
    struct reader first;
    fake_forget(b.fake);
    fake_hold(b.fake, true);
    reader_start(&first, b.source, 1, 40 * BS, 10, 5000, false);
    TAP_OK(fake_wait_running(b.fake, 1), "a load for another reader");
    reader_start(&r, b.source, 1, 40 * BS, 5 * BS, 5000, false);
    TAP_OK(fake_wait_running(b.fake, 3), "does not hold up the rest of a read");
    fake_hold(b.fake, false);
    TAP_INT(reader_join(&first, SEED), 0, "the other reader's");
    TAP_INT(reader_join(&r, SEED), 0, "and this one's");

    /* The others fail or succeed, the read fails as a whole. */
    fake_forget(b.fake);
    fake_fail(b.fake, 3, 1, -EPROTO);
    TAP_INT(get(&b, 20 * BS, 8 * BS), -EPROTO, "one failing load of four fails the read");
    close_bench(&b);
}

#define N_SHARERS 8

static void test_shared_load(void)
{
    struct bench b =
        open_bench((struct cache_config){.n_workers = 2}, (struct fake_config){.size = 100 * BS});
    struct reader readers[N_SHARERS];

    fake_hold(b.fake, true);
    for (int i = 0; i < N_SHARERS; i++)
        reader_start(&readers[i], b.source, 1, 5 * BS + (uint64_t)i * 10, 100, 5000, i % 2);
    TAP_OK(fake_wait_running(b.fake, 1), "one load starts");
    sleep_ms(50);
    fake_hold(b.fake, false);
    int n_ok = 0;
    for (int i = 0; i < N_SHARERS; i++)
        n_ok += reader_join(&readers[i], SEED) == 0;
    TAP_INT(n_ok, N_SHARERS, "all readers have their bytes");
    TAP_INT(fake_n_reads(b.fake), 1, "of one load");

    fake_forget(b.fake);
    fake_hold(b.fake, true);
    fake_fail(b.fake, 1, 1, -EBADMSG);
    for (int i = 0; i < N_SHARERS; i++)
        reader_start(&readers[i], b.source, 1, 9 * BS, BS, 5000, i % 2);
    TAP_OK(fake_wait_running(b.fake, 1), "one load starts");
    sleep_ms(50);
    fake_hold(b.fake, false);
    n_ok = 0;
    for (int i = 0; i < N_SHARERS; i++)
        n_ok += reader_join(&readers[i], SEED) == -EBADMSG;
    TAP_INT(n_ok, N_SHARERS, "all readers have the error");
    TAP_INT(fake_n_reads(b.fake), 1, "of one load");
    close_bench(&b);
}

#define HOUR_NS (3600 * NS_PER_S)

static void test_kept_errors(void)
{
    struct bench b = open_bench((struct cache_config){.error_keep_ns = HOUR_NS},
                                (struct fake_config){.size = 100 * BS});
    fake_fail(b.fake, 1, 1, -EHOSTUNREACH);
    TAP_INT(get(&b, 2 * BS, 2 * BS), -EHOSTUNREACH, "a load fails");
    TAP_INT(get(&b, 3 * BS + 4096, 4096), -EHOSTUNREACH, "asked again for a page: the same errno");
    TAP_INT(get(&b, 1 * BS, 2 * BS), -EHOSTUNREACH, "also as part of more");
    TAP_INT(fake_n_reads(b.fake), 1, "without asking the source");
    TAP_INT(get(&b, 5 * BS, BS), 0, "its neighbours are not concerned");
    TAP_INT((int64_t)stats_of(&b).kept_errors, 2, "counted");
    source_prefetch(b.source, 1, 2 * BS, 2 * BS, BS);
    sleep_ms(20);
    TAP_INT(fake_n_reads(b.fake), 2, "a hint does not ask either");

    fake_forget(b.fake);
    fake_fail(b.fake, 1, 1, -ENOMEM);
    TAP_INT(get(&b, 10 * BS, BS), -ENOMEM, "ENOMEM");
    TAP_INT(get(&b, 10 * BS, BS), 0, "is not kept");

    /* Time-outs are kept too: the kernel's second attempt must not double the wait. */
    fake_hold(b.fake, true);
    TAP_INT(read_checked(b.source, SEED, 1, 20 * BS, BS, 60), -ETIMEDOUT, "a load times out");
    int64_t start_ns = clock_now_ns();
    TAP_INT(read_checked(b.source, SEED, 1, 20 * BS, 4096, 5000), -ETIMEDOUT, "asked again");
    TAP_OK(clock_now_ns() - start_ns < 4 * NS_PER_S, "is answered, not waited for");
    fake_hold(b.fake, false);
    close_bench(&b);
}

static void test_forgotten_errors(void)
{
    struct bench b = open_bench((struct cache_config){.error_keep_ns = 100 * NS_PER_MS},
                                (struct fake_config){.size = 100 * BS});
    fake_fail(b.fake, 1, 1, -EHOSTUNREACH);
    TAP_INT(get(&b, 2 * BS, 2 * BS), -EHOSTUNREACH, "a load fails");
    sleep_ms(101);
    TAP_INT(get(&b, 2 * BS, 2 * BS), 0, "after its time it is tried again");
    fake_hold(b.fake, true);
    TAP_INT(read_checked(b.source, SEED, 1, 20 * BS, BS, 60), -ETIMEDOUT, "a load times out");
    fake_hold(b.fake, false);
    sleep_ms(101);
    TAP_INT(get(&b, 20 * BS, BS), 0, "after its time it is tried again");
    close_bench(&b);
}

static void test_waiting(void)
{
    struct bench b = open_bench((struct cache_config){.error_keep_ns = HOUR_NS},
                                (struct fake_config){.size = 100 * BS});
    struct reader first;
    struct reader second;

    fake_hold(b.fake, true);
    reader_start(&first, b.source, 1, 0, BS, 60000, false);
    TAP_OK(fake_wait_running(b.fake, 1), "a load hangs");
    reader_start(&second, b.source, 1, 10, 10, 60000, true);
    sleep_ms(30);
    int64_t start_ns = clock_now_ns();
    atomic_store(&second.cancel, true);
    TAP_INT(reader_join(&second, SEED), -EINTR, "a waiter's cancel flag");
    int64_t took_ms = (clock_now_ns() - start_ns) / NS_PER_MS;
    TAP_OK(took_ms < 5000, "is noticed");
    printf("# after %" PRId64 " ms\n", took_ms);

    start_ns = clock_now_ns();
    TAP_INT(read_checked(b.source, SEED, 1, 10, 10, 100), -ETIMEDOUT, "a waiter's own deadline");
    took_ms = (clock_now_ns() - start_ns) / NS_PER_MS;
    TAP_OK(took_ms >= 95 && took_ms < 5000, "is kept to");
    start_ns = clock_now_ns();
    TAP_INT(read_checked(b.source, SEED, 1, 10, 10, 60000), -ETIMEDOUT, "repeated");
    TAP_OK((clock_now_ns() - start_ns) / NS_PER_MS < 5000, "without another wait");
    fake_hold(b.fake, false);
    TAP_INT(reader_join(&first, SEED), 0, "the load itself goes on");
    TAP_INT(fake_n_reads(b.fake), 1, "once");
    TAP_INT(get(&b, 0, BS), 0, "and its bytes are kept");

    /* The reader that runs the load is cancelled: the other takes it over. */
    fake_forget(b.fake);
    fake_hold(b.fake, true);
    reader_start(&first, b.source, 1, 3 * BS, BS, 5000, true);
    TAP_OK(fake_wait_running(b.fake, 1), "a load hangs");
    reader_start(&second, b.source, 1, 3 * BS, BS, 5000, true);
    sleep_ms(30);
    atomic_store(&first.cancel, true);
    TAP_INT(reader_join(&first, SEED), -EINTR, "its reader is cancelled");
    fake_hold(b.fake, false);
    TAP_INT(reader_join(&second, SEED), 0, "the one that waited gets the bytes");
    TAP_INT(fake_n_reads(b.fake), 2, "with a load of its own");
    close_bench(&b);
}

/* The reader that runs the load has little time, the other more than what is kept of that. */
static void test_little_time(void)
{
    struct bench b = open_bench((struct cache_config){.error_keep_ns = 800 * NS_PER_MS},
                                (struct fake_config){.size = 100 * BS});
    struct reader first;
    struct reader second;
    fake_hold(b.fake, true);
    reader_start(&first, b.source, 1, 4 * BS, BS, 1000, false);
    TAP_OK(fake_wait_running(b.fake, 1), "a load hangs");
    reader_start(&second, b.source, 1, 4 * BS, BS, 10000, false);
    TAP_INT(reader_join(&first, SEED), -ETIMEDOUT, "the deadline of the first passes");
    fake_hold(b.fake, false);
    TAP_INT(reader_join(&second, SEED), 0, "the second goes on by itself");
    close_bench(&b);
}

static void test_prefetch(void)
{
    struct bench b = open_bench((struct cache_config){.n_workers = 1, .error_keep_ns = NS_PER_S},
                                (struct fake_config){.size = 100 * BS + 5, .max_io = 8 * BS});
    source_prefetch(b.source, 1, 2 * BS + 5, 9 * BS, 4 * BS);
    TAP_OK(bench_settle(&b), "a hint is carried out");
    TAP_INT(fake_n_reads(b.fake), 3, "in three loads");
    TAP_OK(was_read(&b, 0, 2 * BS, 2 * BS) && was_read(&b, 1, 4 * BS, 4 * BS) &&
               was_read(&b, 2, 8 * BS, 4 * BS),
           "in order, in whole blocks, each ending at a multiple of the load");
    source_prefetch(b.source, 1, 0, 12 * BS, 4 * BS);
    TAP_OK(bench_settle(&b), "another");
    TAP_INT(fake_n_reads(b.fake), 4, "loads only what is not there");
    TAP_OK(was_read(&b, 3, 0, 2 * BS), "the two blocks before");
    TAP_INT(get(&b, 0, 12 * BS), 0, "read");
    TAP_INT(fake_n_reads(b.fake), 4, "from the cache");
    TAP_INT((int64_t)stats_of(&b).prefetch_used, 12, "used blocks counted");
    source_prefetch(b.source, 1, 97 * BS, 10 * BS, 4 * BS);
    TAP_OK(bench_settle(&b), "at the end of the file");
    TAP_OK(was_read(&b, 4, 97 * BS, 3 * BS) && was_read(&b, 5, 100 * BS, 5), "clipped");
    source_prefetch(b.source, 1, 200 * BS, 10 * BS, 4 * BS);
    source_prefetch(b.source, 77, 0, 10 * BS, 4 * BS);
    TAP_OK(bench_settle(&b) && fake_n_reads(b.fake) == 6, "beyond it, or of no version: nothing");

    /* Errors of prefetch are nobody's. */
    fake_forget(b.fake);
    fake_fail(b.fake, 1, 1, -EIO);
    source_prefetch(b.source, 1, 20 * BS, 2 * BS, 4 * BS);
    TAP_OK(bench_settle(&b), "a hint fails");
    TAP_INT(get(&b, 20 * BS, 2 * BS), 0, "a read tries by itself");
    TAP_INT(fake_n_reads(b.fake), 2, "at once");

    /* A reader that waits for prefetch that fails tries by itself too. */
    fake_forget(b.fake);
    fake_hold(b.fake, true);
    fake_fail(b.fake, 1, 1, -EIO);
    source_prefetch(b.source, 1, 30 * BS, 2 * BS, 4 * BS);
    TAP_OK(fake_wait_running(b.fake, 1), "a hint hangs");
    struct reader r;
    reader_start(&r, b.source, 1, 30 * BS, BS, 5000, false);
    sleep_ms(30);
    fake_hold(b.fake, false);
    TAP_INT(reader_join(&r, SEED), 0, "its waiter gets the bytes");

    /* One worker, busy; a queue before what the reader wants. */
    fake_forget(b.fake);
    fake_hold(b.fake, true);
    source_prefetch(b.source, 1, 40 * BS, 40 * BS, 4 * BS);
    TAP_OK(fake_wait_running(b.fake, 1), "the only worker is busy");
    TAP_INT(stats_of(&b).queued, 9, "the rest waits");
    reader_start(&r, b.source, 1, 77 * BS, 10, 5000, false);
    TAP_OK(fake_wait_running(b.fake, 2), "a reader does not queue behind hints");
    TAP_OK(was_read(&b, 1, 76 * BS, 4 * BS), "it runs the load that holds its block");
    source_prefetch(b.source, 1, 40 * BS, 40 * BS, 4 * BS);
    TAP_INT(stats_of(&b).queued, 8, "hints are queued once");
    fake_hold(b.fake, false);
    TAP_INT(reader_join(&r, SEED), 0, "it gets its bytes");
    TAP_OK(bench_settle(&b), "the queue empties");
    TAP_INT(fake_n_reads(b.fake), 10, "each load ran once");

    /* Closing with hints queued and running. */
    fake_hold(b.fake, true);
    source_prefetch(b.source, 1, 80 * BS, 16 * BS, 4 * BS);
    TAP_OK(fake_wait_running(b.fake, 1), "a hint hangs");
    int64_t start_ns = clock_now_ns();
    close_bench(&b);
    TAP_OK(clock_now_ns() - start_ns < 5 * NS_PER_S, "close does not wait for it to finish");
}

static void test_prefetch_room(void)
{
    /* 4 MiB: prefetch may have 48 blocks, loads in flight counting double. */
    struct bench b = open_bench((struct cache_config){.budget = 4 * MIB, .n_workers = 4},
                                (struct fake_config){.size = 1000 * BS, .max_io = 4 * BS});
    int64_t until_ns = clock_now_ns() + 5 * NS_PER_S;
    while ((stats_of(&b).unread_bytes < 40 * BS || stats_of(&b).in_flight > 0) &&
           clock_now_ns() < until_ns) {
        source_prefetch(b.source, 1, 0, 1000 * BS,
                        4 * BS); /* the queue does not take all at once */
        sleep_ms(2);
    }
    sleep_ms(50);
    struct cache_stats stats = stats_of(&b);
    TAP_OK(stats.unread_bytes >= 40 * BS && stats.unread_bytes <= 48 * BS,
           "prefetch stops at three quarters of the budget");
    TAP_OK(stats.in_flight == 0 && stats.queued > 0, "the rest waits for room");
    TAP_OK(stats.prefetch_refused >= 900, "and the queue is bounded");
    TAP_INT((int64_t)stats.evictions, 0, "nothing was evicted for it");
    unsigned n_loaded = fake_n_reads(b.fake);
    TAP_INT(get(&b, 900 * BS, 4 * BS), 0, "a reader elsewhere");
    TAP_INT(get(&b, 0, 4 * BS), 0, "what was prefetched");
    until_ns = clock_now_ns() + 5 * NS_PER_S;
    while (fake_n_reads(b.fake) < n_loaded + 2 && clock_now_ns() < until_ns)
        sleep_ms(2);
    TAP_INT(fake_n_reads(b.fake), n_loaded + 2, "is there, and being read lets the next one start");
    stats = stats_of(&b);
    TAP_INT((int64_t)stats.prefetch_wasted, 0, "prefetch did not push out prefetch");
    TAP_OK(stats.peak_in_use <= stats.budget, "within the budget");
    close_bench(&b);
}

static void test_prefetch_spares(void)
{
    /* Prefetched blocks are the longest unused, then reads fill the cache, then comes a hint. */
    struct bench b = open_bench((struct cache_config){.budget = 4 * MIB, .n_workers = 1},
                                (struct fake_config){.size = 1000 * BS, .max_io = 4 * BS});
    source_prefetch(b.source, 1, 0, 20 * BS, 4 * BS);
    TAP_OK(bench_settle(&b), "hints");
    bool ok = true;
    for (uint64_t blk = 100; blk < 144 && ok; blk++)
        ok = get(&b, blk * BS, 10) == 0;
    TAP_OK(ok && stats_of(&b).in_use >= 62 * BS, "reads fill the rest");
    uint64_t wasted = stats_of(&b).prefetch_wasted;
    source_prefetch(b.source, 1, 200 * BS, 4 * BS, 4 * BS);
    TAP_OK(bench_settle(&b), "another hint");
    TAP_OK(stats_of(&b).evictions > 0, "evicts something");
    TAP_INT((int64_t)(stats_of(&b).prefetch_wasted - wasted), 0, "but nothing prefetched");
    for (uint64_t blk = 300; blk < 400 && ok; blk++)
        ok = get(&b, blk * BS, 10) == 0;
    TAP_INT((int64_t)(stats_of(&b).prefetch_wasted - wasted), 0, "nor do many reads elsewhere");
    fake_forget(b.fake);
    TAP_OK(ok && get(&b, 0, 20 * BS) == 0 && fake_n_reads(b.fake) == 0, "its reader finds it");
    close_bench(&b);
}

static void test_has(void)
{
    struct bench b =
        open_bench((struct cache_config){.n_workers = 1, .error_keep_ns = 100 * NS_PER_MS},
                   (struct fake_config){.size = 100 * BS, .max_io = 4 * BS});
    TAP_OK(!source_has(b.source, 1, 0), "nothing at first");
    fake_hold(b.fake, true);
    source_prefetch(b.source, 1, 0, 8 * BS, 4 * BS);
    TAP_OK(fake_wait_running(b.fake, 1), "a hint hangs");
    TAP_OK(source_has(b.source, 1, 4 * BS - 1), "what is being fetched is on its way");
    TAP_OK(source_has(b.source, 1, 8 * BS - 1), "what is queued too");
    TAP_OK(!source_has(b.source, 1, 8 * BS) && !source_has(b.source, 2, 0),
           "and no more than that");
    fake_hold(b.fake, false);
    TAP_OK(bench_settle(&b) && source_has(b.source, 1, 0), "what was fetched is kept");
    fake_fail(b.fake, 1, 1, -EIO);
    source_prefetch(b.source, 1, 20 * BS, 4 * BS, 4 * BS);
    TAP_OK(bench_settle(&b) && !source_has(b.source, 1, 20 * BS),
           "a hint that failed brings nothing");
    fake_fail(b.fake, 1, 1, -EIO);
    TAP_INT(get(&b, 30 * BS, BS), -EIO, "a read fails");
    TAP_OK(!source_has(b.source, 1, 30 * BS), "a kept errno is not the bytes");
    close_bench(&b);
}

/* A hint for which there is no room, whatever is evicted, evicts nothing. */
static void test_prefetch_keeps(void)
{
    /* 64 blocks: 16 that were read, and two loads of 12 in flight, which count double. */
    struct bench b = open_bench((struct cache_config){.budget = 4 * MIB, .n_workers = 2},
                                (struct fake_config){.size = 1000 * BS, .max_io = 12 * BS});
    TAP_INT(get(&b, 0, 12 * BS), 0, "blocks are read");
    TAP_INT(get(&b, 12 * BS, 4 * BS), 0, "and more");
    fake_hold(b.fake, true);
    struct reader first, second;
    reader_start(&first, b.source, 1, 100 * BS, 12 * BS, 5000, false);
    reader_start(&second, b.source, 1, 200 * BS, 12 * BS, 5000, false);
    TAP_OK(fake_wait_running(b.fake, 2), "readers' loads take most of the budget");
    source_prefetch(b.source, 1, 300 * BS, 12 * BS, 12 * BS);
    sleep_ms(50);
    struct cache_stats stats = stats_of(&b);
    TAP_INT(stats.queued, 1, "a hint waits for room");
    TAP_INT((int64_t)stats.evictions, 0, "and evicts nothing meanwhile");
    TAP_INT(get(&b, 0, 16 * BS), 0, "all that was read is there");
    fake_hold(b.fake, false);
    TAP_INT(reader_join(&first, SEED), 0, "the readers get their bytes");
    TAP_INT(reader_join(&second, SEED), 0, "both");
    TAP_OK(bench_settle(&b), "and the hint is carried out");
    TAP_INT(fake_n_reads(b.fake), 5, "by one load");
    close_bench(&b);
}

static void test_concurrency(void)
{
    struct bench b = open_bench((struct cache_config){.budget = 64 * MIB},
                                (struct fake_config){.size = 1000 * BS, .max_io = BS});
    fake_hold(b.fake, true);
    source_prefetch(b.source, 1, 0, 40 * BS, BS);
    TAP_OK(fake_wait_running(b.fake, 32), "32 loads run at once");
    sleep_ms(50);
    fake_hold(b.fake, false);
    TAP_OK(bench_settle(&b), "and end");
    TAP_INT(fake_peak_running(b.fake), 32, "never more");
    TAP_INT(stats_of(&b).peak_in_flight, 32, "and are counted");
    close_bench(&b);
}

static void test_versions(void)
{
    struct bench b = open_bench((struct cache_config){0}, (struct fake_config){.size = 10 * BS});
    struct source_io io = io_in(5000);
    struct source_stat st;
    TAP_INT(get(&b, 0, BS), 0, "version 1");
    TAP_INT(read_checked(b.source, SEED, 2, 0, 10, 5000), -ESTALE, "a version never seen");
    fake_set_version(b.fake, 2, 12 * BS + 1, false);
    TAP_INT(source_stat(b.source, &io, &st), 0, "stat");
    TAP_INT((int64_t)st.version, 2, "sees the new version");
    TAP_INT(read_checked(b.source, SEED, 2, 0, BS, 5000), 0, "its own bytes");
    TAP_INT(read_checked(b.source, SEED, 2, 12 * BS, 1, 5000), 0, "its own size");
    TAP_INT(get(&b, 0, BS), 0, "what is cached of the old one stays right");
    TAP_INT(get(&b, 3 * BS, BS), -ESTALE, "what is not is gone");
    TAP_INT(get(&b, 9 * BS, 2 * BS), -EINVAL, "and its size still counts");
    fake_set_version(b.fake, 2, 13 * BS, false);
    TAP_INT(source_stat(b.source, &io, &st), -EIO, "a version does not change its size");
    fake_fail_stat(b.fake, -EACCES);
    TAP_INT(source_stat(b.source, &io, &st), -EACCES, "errors of stat pass");
    fake_fail_stat(b.fake, 0);

    /* A live source moves at every open and still serves old handles. */
    for (uint64_t v = 3; v < 3000; v++) {
        fake_set_version(b.fake, v, 13 * BS + v / 1000, true);
        if (source_stat(b.source, &io, &st) != 0 || st.version != v)
            TAP_OK(false, "stat of a live source");
    }
    TAP_INT(read_checked(b.source, SEED, 3, 12 * BS, BS, 5000), 0, "thousands of versions later");
    TAP_INT(read_checked(b.source, SEED, 2001, 13 * BS, 2, 5000), 0, "each with its size");
    TAP_INT(read_checked(b.source, SEED, 1999, 13 * BS, 2, 5000), -EINVAL, "each with its size");
    close_bench(&b);

    /* More changes of size than are remembered: the oldest is forgotten, never mistaken. */
    b = open_bench((struct cache_config){0}, (struct fake_config){.size = 10 * BS});
    for (uint64_t v = 2; v < 2000; v++) {
        fake_set_version(b.fake, v, 10 * BS + v, true);
        if (source_stat(b.source, &io, &st) != 0)
            TAP_OK(false, "stat of a growing source");
    }
    TAP_INT(get(&b, 0, 1), -ESTALE, "forgotten");
    TAP_INT(read_checked(b.source, SEED, 1999, 10 * BS, 1999, 5000), 0, "remembered");
    TAP_INT(read_checked(b.source, SEED, 1500, 10 * BS, 1501, 5000), -EINVAL, "remembered");
    close_bench(&b);
}

static void test_two_sources(void)
{
    struct bench b = open_bench((struct cache_config){0}, (struct fake_config){.size = 10 * BS});
    struct source *inner;
    struct source *other;
    struct fake *fake;
    struct fake_config config = {.size = 10 * BS, .seed = 99};
    TAP_INT(fake_open(&inner, &fake, &config), 0, "a second source");
    TAP_INT(cached_open(&other, b.cache, inner), 0, "in the same cache");
    struct source_io io = io_in(5000);
    struct source_stat st;
    TAP_INT(source_stat(other, &io, &st), 0, "stat");
    TAP_INT(get(&b, 100, 3 * BS), 0, "one");
    TAP_INT(read_checked(other, 99, 1, 100, 3 * BS, 5000), 0, "the other");
    TAP_INT(get(&b, 100, 3 * BS), 0, "one again");
    source_close(other);
    TAP_INT((int64_t)stats_of(&b).block_bytes, (int64_t)(4 * BS), "close drops its blocks only");
    TAP_INT(get(&b, 100, 3 * BS), 0, "one again");
    TAP_INT(fake_n_reads(b.fake), 1, "from the cache");
    close_bench(&b);
}

static void test_stop(void)
{
    struct bench b = open_bench((struct cache_config){.n_workers = 3},
                                (struct fake_config){.size = 100 * BS, .max_io = 2 * BS});
    fake_hold(b.fake, true);
    source_prefetch(b.source, 1, 0, 40 * BS, 2 * BS);
    TAP_OK(fake_wait_running(b.fake, 3), "workers are busy");
    int64_t start_ns = clock_now_ns();
    cache_stop(b.cache);
    TAP_OK(clock_now_ns() - start_ns < 5 * NS_PER_S, "stop cancels them");
    cache_stop(b.cache);
    struct cache_stats stats = stats_of(&b);
    TAP_OK(stats.queued == 0 && stats.in_flight == 0 && stats.in_use == 0, "nothing is left");
    fake_hold(b.fake, false);
    TAP_INT(get(&b, 10, 9 * BS), 0, "reads still work, without workers");
    source_prefetch(b.source, 1, 50 * BS, 10 * BS, BS);
    TAP_INT(stats_of(&b).queued, 0, "hints are ignored");
    fake_fail(b.fake, 1, 1, -EACCES);
    TAP_INT(get(&b, 60 * BS, 9 * BS), -EACCES, "the first of several loads fails");
    TAP_INT(stats_of(&b).queued, 0, "and the read takes the others back");
    close_bench(&b);
    cache_close(NULL);
}

int main(void)
{
    test_what_is_asked();
    test_empty_and_tiny();
    test_runs_in_parallel();
    test_shared_load();
    test_kept_errors();
    test_forgotten_errors();
    test_waiting();
    test_little_time();
    test_prefetch();
    test_prefetch_room();
    test_prefetch_spares();
    test_has();
    test_prefetch_keeps();
    test_concurrency();
    test_versions();
    test_two_sources();
    test_stop();
    return tap_done();
}
