/* Ten threads on three sources that delay and fail, a budget too small for them, hints in between,
 * cancelled and impatient readers: every success has the right bytes, every failure a reason.
 */
#include "cache/cache.h"
#include "tests/cache/fake_source.h"
#include "tests/cache/reader.h"
#include "tests/tap.h"

#include <time.h>

TAP_STATE;

#define N_THREADS 10
#define N_SOURCES 3

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

struct race {
    struct cache *cache;
    struct source *sources[N_SOURCES];
    struct fake *fakes[N_SOURCES];
    uint64_t seeds[N_SOURCES];
    uint64_t sizes[N_SOURCES];
    int64_t until_ns;
    atomic_uint n_ok;
    atomic_uint n_failed;
    atomic_uint n_wrong;
};

struct racer {
    struct race *race;
    uint64_t state;
    pthread_t thread;
    unsigned char *buf;
};

#define LEN_MAX (12 * BS)

/* One read with a random range, deadline and cancel flag. */
static void race_read(struct racer *racer)
{
    struct race *race = racer->race;
    unsigned which = (unsigned)(next_random(&racer->state) % N_SOURCES);
    uint64_t size = race->sizes[which];
    uint64_t off = next_random(&racer->state) % size;
    size_t len =
        (size_t)(next_random(&racer->state) % (next_random(&racer->state) % 3 ? 2 * BS : LEN_MAX)) +
        1;
    if (len > size - off)
        len = (size_t)(size - off);
    /* Some are hardly given time; some are cancelled before, or by a flag nobody sets. */
    bool is_short = next_random(&racer->state) % 10 == 0;
    atomic_bool cancel = next_random(&racer->state) % 20 == 0;
    struct source_io io = io_in(is_short ? (int64_t)(next_random(&racer->state) % 5) : 20000);
    if (next_random(&racer->state) % 2)
        io.cancel = &cancel;
    int ret = source_read(race->sources[which], 1, off, racer->buf, len, &io);

    bool ok = ret == 0 || ret == -EBADMSG;
    ok = ok || ret == -ETIMEDOUT; /* its own, or one that is kept from an impatient neighbour */
    ok = ok || (ret == -EINTR && io.cancel && cancel);
    if (ret == 0 && !fake_matches(race->seeds[which], 1, off, racer->buf, len))
        ok = false;
    if (!ok) {
        printf("# source %u read %" PRIu64 " + %zu: %d\n", which, off, len, ret);
        atomic_fetch_add(&race->n_wrong, 1);
    }
    atomic_fetch_add(ret == 0 ? &race->n_ok : &race->n_failed, 1);
}

static void *racer_main(void *arg)
{
    struct racer *racer = arg;
    struct race *race = racer->race;
    struct cache_stats stats;
    while (clock_now_ns() < race->until_ns) {
        unsigned which = (unsigned)(next_random(&racer->state) % N_SOURCES);
        switch (next_random(&racer->state) % 12) {
        case 0:
            source_prefetch(race->sources[which], 1,
                            next_random(&racer->state) % race->sizes[which],
                            next_random(&racer->state) % (16 * BS),
                            (size_t)(next_random(&racer->state) % (6 * BS)) + 1);
            break;
        case 1:
            cache_get_stats(race->cache, &stats);
            if (stats.in_use > stats.budget || stats.resident_bytes > stats.budget)
                atomic_fetch_add(&race->n_wrong, 1);
            break;
        case 2:
            fake_set_max_io(race->fakes[which], (size_t)(next_random(&racer->state) % (5 * BS)));
            break;
        default:
            race_read(racer);
        }
    }
    return NULL;
}

static void run(uint64_t seed, size_t budget, unsigned n_workers, unsigned fail_per_mille,
                int64_t delay_ns, int64_t keep_ns)
{
    struct race race = {.until_ns = clock_now_ns() + 1200 * NS_PER_MS};
    struct cache_config config = {
        .budget = budget, .n_workers = n_workers, .error_keep_ns = keep_ns};
    bool ok = cache_open(&race.cache, &config) == 0;
    for (unsigned i = 0; i < N_SOURCES && ok; i++) {
        struct source *inner;
        race.seeds[i] = seed + i;
        race.sizes[i] = (40 + 10 * i) * BS + i * 777 + 1;
        struct fake_config fake = {.size = race.sizes[i],
                                   .seed = race.seeds[i],
                                   .max_io = 3 * BS,
                                   .delay_ns = i == 1 ? 0 : delay_ns};
        struct source_io io = io_in(5000);
        struct source_stat st;
        ok = fake_open(&inner, &race.fakes[i], &fake) == 0 &&
             cached_open(&race.sources[i], race.cache, inner) == 0 &&
             source_stat(race.sources[i], &io, &st) == 0;
        if (ok)
            fake_fail_some(race.fakes[i], fail_per_mille, -EBADMSG);
    }
    TAP_OK(ok, "open");

    struct racer racers[N_THREADS];
    for (unsigned i = 0; i < N_THREADS; i++) {
        racers[i] = (struct racer){.race = &race, .state = seed * 31 + i + 1};
        racers[i].buf = malloc(LEN_MAX);
        if (!racers[i].buf || pthread_create(&racers[i].thread, NULL, racer_main, &racers[i]) != 0)
            abort();
    }
    for (unsigned i = 0; i < N_THREADS; i++) {
        pthread_join(racers[i].thread, NULL);
        free(racers[i].buf);
    }
    int64_t late_ms = (clock_now_ns() - race.until_ns) / NS_PER_MS;

    struct cache_stats stats;
    cache_get_stats(race.cache, &stats);
    printf("# %u reads good, %u failed; loads %" PRIu64 " (%" PRIu64 " failed), hits %" PRIu64
           ", misses %" PRIu64 ", evictions %" PRIu64 ", kept errors %" PRIu64 ", prefetch %" PRIu64
           "/%" PRIu64 "/%" PRIu64 " issued/used/wasted, %" PRId64 " ms late\n",
           race.n_ok, race.n_failed, stats.loads, stats.load_errors, stats.hits, stats.misses,
           stats.evictions, stats.kept_errors, stats.prefetch_issued, stats.prefetch_used,
           stats.prefetch_wasted, late_ms);
    TAP_INT(race.n_wrong, 0, "no wrong byte, no wrong errno, never over the budget");
    TAP_OK(race.n_ok > 20, "something was read");
    TAP_OK(late_ms < 10000, "nobody hangs");
    TAP_OK(stats.peak_in_use <= stats.budget, "the peak was within the budget");
    for (unsigned i = 0; i < N_SOURCES; i++) {
        TAP_INT(fake_n_violations(race.fakes[i]), 0, "no contract broken");
        source_close(race.sources[i]); /* hints may still be running */
    }
    cache_get_stats(race.cache, &stats);
    TAP_INT((int64_t)stats.in_use, 0, "nothing left behind");
    cache_close(race.cache);
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)time(NULL) | 1;
    printf("# seed %" PRIu64 " (give it as argument to repeat)\n", seed);
    run(seed, 1 * MIB, 4, 0, 0, 0);
    run(seed + 100, 2 * MIB, 2, 50, NS_PER_MS, NS_PER_MS);
    run(seed + 200, 4 * MIB, 16, 200, NS_PER_MS / 2, 20 * NS_PER_MS);
    run(seed + 300, 64 * MIB, 8, 10, 0, 1);
    TAP_INT(fake_n_open(), 0, "everything closed");
    return tap_done();
}
