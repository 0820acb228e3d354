/* How fast is the cache itself? Not a test: prints numbers.
 *
 *   warm       reads of cached bytes, by 1, 2 and 4 threads
 *   stream     a sequential reader over a source that takes 100 ms per call and lets 16 run at
 * once, against what such a source can yield at most
 */
#include "cache/cache.h"
#include "cache/window.h"
#include "tests/cache/fake_source.h"
#include "tests/cache/reader.h"

#include <errno.h>
#include <inttypes.h>
#include <semaphore.h>
#include <stdio.h>

#define SEED 1

struct warm {
    struct source *source;
    pthread_t thread;
    uint64_t size;
    size_t len;
    int n_rounds;
    int ret;
};

static void *warm_main(void *arg)
{
    struct warm *w = arg;
    unsigned char *buf = malloc(w->len);
    if (!buf)
        abort();
    for (int round = 0; round < w->n_rounds && w->ret == 0; round++) {
        for (uint64_t off = 0; off < w->size && w->ret == 0; off += w->len) {
            struct source_io io = io_in(5000);
            w->ret = source_read(w->source, 1, off, buf, w->len, &io);
        }
    }
    free(buf);
    return NULL;
}

static void bench_warm(unsigned n_threads, size_t len)
{
    struct bench b = {0};
    struct cache_config cache = {0};
    struct fake_config fake = {.size = 128 * MIB, .seed = SEED};
    if (!bench_open(&b, &cache, &fake))
        abort();
    struct warm fill = {.source = b.source, .size = fake.size, .len = MIB, .n_rounds = 1};
    warm_main(&fill);

    struct warm threads[8];
    int64_t start_ns = clock_now_ns();
    for (unsigned i = 0; i < n_threads; i++) {
        threads[i] = (struct warm){
            .source = b.source, .size = fake.size, .len = len, .n_rounds = len < 65536 ? 2 : 16};
        if (pthread_create(&threads[i].thread, NULL, warm_main, &threads[i]) != 0)
            abort();
    }
    double bytes = 0;
    for (unsigned i = 0; i < n_threads; i++) {
        pthread_join(threads[i].thread, NULL);
        bytes += (double)threads[i].size * threads[i].n_rounds;
    }
    double seconds = (double)(clock_now_ns() - start_ns) / (double)NS_PER_S;
    printf("warm    %u threads, %7zu bytes a read: %6.2f GB/s, %.2f us a read\n", n_threads, len,
           bytes / seconds / 1e9, seconds * 1e6 * n_threads / (bytes / (double)len));
    bench_close(&b);
}

/* Lets n calls of the inner source run at once, like the gate before a network. */
struct gate {
    struct source base;
    struct source *inner;
    sem_t free;
};

static int gate_stat(struct source *source, const struct source_io *io, struct source_stat *out)
{
    return source_stat(((struct gate *)source)->inner, io, out);
}

static int gate_readv(struct source *source, uint64_t version, uint64_t off,
                      const struct iovec *iov, int n_iov, const struct source_io *io)
{
    struct gate *gate = (struct gate *)source;
    while (sem_wait(&gate->free) != 0 && errno == EINTR)
        continue;
    int ret = source_readv(gate->inner, version, off, iov, n_iov, io);
    sem_post(&gate->free);
    return ret;
}

static void gate_close(struct source *source)
{
    struct gate *gate = (struct gate *)source;
    source_close(gate->inner);
    sem_destroy(&gate->free);
    free(gate);
}

static const struct source_ops gate_ops = {
    .stat = gate_stat,
    .readv = gate_readv,
    .close = gate_close,
};

static void bench_stream(size_t budget, uint64_t size, uint64_t start)
{
    enum { INFLIGHT = 16, DELAY_MS = 100 };
    struct fake_config config = {.size = start + size,
                                 .seed = SEED,
                                 .max_io = 3 * MIB - 4096,
                                 .delay_ns = DELAY_MS * NS_PER_MS};
    struct cache_config cache_config = {.budget = budget};
    struct cache *cache;
    struct source *inner;
    struct source *source;
    struct fake *fake;
    struct gate *gate = calloc(1, sizeof(*gate));
    struct source_io io = io_in(60000);
    struct source_stat st;
    if (!gate || fake_open(&inner, &fake, &config) < 0 || cache_open(&cache, &cache_config) < 0)
        abort();
    source_init(&gate->base, &gate_ops);
    gate->inner = inner;
    sem_init(&gate->free, 0, INFLIGHT);
    if (cached_open(&source, cache, &gate->base) < 0 || source_stat(source, &io, &st) < 0)
        abort();

    struct window_limits limits = {
        .max_io = config.max_io, .n_inflight = INFLIGHT, .budget = budget};
    struct window window;
    window_init(&window);
    static unsigned char buf[128 * 1024];
    int64_t start_ns = clock_now_ns();
    int ret = 0;
    for (uint64_t off = start; off < start + size && ret == 0; off += sizeof(buf)) {
        struct window_hint hint;
        if (window_advance(&window, off, sizeof(buf), st.size, &limits, &hint))
            source_prefetch(source, 1, hint.off, hint.len, hint.load);
        ret = source_read(source, 1, off, buf, sizeof(buf), &io);
    }
    double seconds = (double)(clock_now_ns() - start_ns) / (double)NS_PER_S;
    window_fini(&window);

    double load = (double)(config.max_io / BS * BS);
    double rounds = (double)size / load / INFLIGHT;
    rounds = rounds > (double)(uint64_t)rounds ? (double)((uint64_t)rounds + 1) : rounds;
    double limit_s = rounds * DELAY_MS / 1000.0;
    struct cache_stats stats;
    cache_get_stats(cache, &stats);
    printf("stream  %4" PRIu64
           " MiB at %3d ms, cache %3zu MiB, from %s: %5.2f s (%4.0f MB/s), limit "
           "%5.2f s, %3.0f %%; %" PRIu64 " loads, peak %u in flight, ret %d\n",
           size / MIB, DELAY_MS, budget >> 20, start ? "the middle" : "the start ", seconds,
           (double)size / seconds / 1e6, limit_s, 100 * limit_s / seconds, stats.loads,
           stats.peak_in_flight, ret);
    source_close(source);
    cache_close(cache);
}

int main(void)
{
    static const unsigned n_threads[] = {1, 2, 4};
    for (size_t i = 0; i < 3; i++) {
        bench_warm(n_threads[i], 4096);
        bench_warm(n_threads[i], 128 * 1024);
        bench_warm(n_threads[i], 1024 * 1024);
    }
    bench_stream(256 * MIB, 256 * MIB, 0);
    bench_stream(256 * MIB, 256 * MIB, 64 * MIB);
    bench_stream(256 * MIB, 1024 * MIB, 0);
    bench_stream(64 * MIB, 256 * MIB, 0);
    bench_stream(16 * MIB, 64 * MIB, 0);
    return 0;
}
