/* Random operations on one thread, compared with what the bytes must be; tiny budgets. */
#include "cache/cache.h"
#include "tests/cache/fake_source.h"
#include "tests/cache/reader.h"
#include "tests/tap.h"

#include <time.h>

TAP_STATE;

#define N_SOURCES 3
#define N_OPS     1500

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

struct model {
    struct source *source;
    struct fake *fake;
    uint64_t seed;
    uint64_t size;
    uint64_t version; /* current; older ones may be cached or stale */
    uint64_t sizes[64];
};

static bool open_model(struct model *m, struct cache *cache, uint64_t *state)
{
    struct source *inner;
    m->seed = next_random(state);
    m->size = next_random(state) % (60 * BS) + 1;
    struct fake_config config = {
        .size = m->size, .seed = m->seed, .max_io = next_random(state) % (8 * BS)};
    if (fake_open(&inner, &m->fake, &config) < 0)
        return false;
    if (cached_open(&m->source, cache, inner) < 0)
        return false;
    m->version = 1;
    m->sizes[1] = m->size;
    struct source_io io = io_in(5000);
    struct source_stat st;
    return source_stat(m->source, &io, &st) == 0;
}

/* One read; returns false when the answer is wrong. */
static bool check_read(struct model *m, uint64_t *state)
{
    uint64_t version = m->version;
    bool is_old = m->version > 1 && next_random(state) % 8 == 0;
    if (is_old)
        version = next_random(state) % m->version + 1;
    uint64_t size = m->sizes[version];
    uint64_t off = next_random(state) % (size + 10);
    size_t len = (size_t)(next_random(state) % (next_random(state) % 4 ? 9 * BS : 300)) + 1;
    if (next_random(state) % 4)
        len = off < size && len > size - off ? (size_t)(size - off) : len;
    int ret = read_checked(m->source, m->seed, version, off, len, 20000);
    int want = off > size || len > size - off ? -EINVAL : 0;
    if (ret == want || (version < m->version && want == 0 && ret == -ESTALE))
        return true;
    printf("# version %" PRIu64 "/%" PRIu64 " size %" PRIu64 " read %" PRIu64 " + %zu: %d\n",
           version, m->version, size, off, len, ret);
    return false;
}

static bool step(struct model *models, struct cache *cache, uint64_t *state)
{
    struct model *m = &models[next_random(state) % N_SOURCES];
    struct cache_stats stats;
    switch (next_random(state) % 16) {
    case 0:
    case 1:
        source_prefetch(m->source, m->version, next_random(state) % (m->size + 100),
                        next_random(state) % (20 * BS),
                        (size_t)(next_random(state) % (5 * BS)) + 1);
        return true;
    case 2:
        if (m->version == 40 || next_random(state) % 8)
            return true;
        m->version++;
        m->size = next_random(state) % (60 * BS) + 1;
        m->sizes[m->version] = m->size;
        fake_set_version(m->fake, m->version, m->size, false);
        struct source_io io = io_in(5000);
        struct source_stat st;
        return source_stat(m->source, &io, &st) == 0 && st.version == m->version;
    case 3:
        if (next_random(state) % 32)
            return true;
        if (fake_n_violations(m->fake) > 0)
            return false;
        source_close(m->source);
        return open_model(m, cache, state);
    case 4:
        fake_set_max_io(m->fake, (size_t)(next_random(state) % (8 * BS)));
        return true;
    case 5:
        cache_get_stats(cache, &stats);
        return stats.in_use <= stats.budget && stats.resident_bytes <= stats.budget &&
               stats.block_bytes + stats.reply_bytes == stats.in_use;
    default:
        return check_read(m, state);
    }
}

static void run(uint64_t seed, size_t budget, unsigned n_workers)
{
    uint64_t state = seed;
    struct cache *cache;
    struct cache_config config = {.budget = budget, .n_workers = n_workers};
    struct model models[N_SOURCES];
    bool ok = cache_open(&cache, &config) == 0;
    for (int i = 0; i < N_SOURCES && ok; i++)
        ok = open_model(&models[i], cache, &state);
    TAP_OK(ok, "open");
    int n = 0;
    while (n < N_OPS && ok) {
        ok = step(models, cache, &state);
        n++;
    }
    char what[128];
    snprintf(what, sizeof(what), "seed %" PRIu64 ", %zu KiB, %u workers: %d operations", seed,
             budget / 1024, n_workers, n);
    TAP_OK(ok, what);
    struct cache_stats stats;
    cache_get_stats(cache, &stats);
    printf("# hits %" PRIu64 " misses %" PRIu64 " evictions %" PRIu64 " used %" PRIu64
           " wasted %" PRIu64 "\n",
           stats.hits, stats.misses, stats.evictions, stats.prefetch_used, stats.prefetch_wasted);
    for (int i = 0; i < N_SOURCES; i++) {
        TAP_INT(fake_n_violations(models[i].fake), 0, "no contract broken");
        source_close(models[i].source);
    }
    cache_get_stats(cache, &stats);
    TAP_INT((int64_t)stats.in_use, 0, "nothing left behind");
    cache_close(cache);
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)time(NULL) | 1;
    printf("# seed %" PRIu64 " (give it as argument to repeat)\n", seed);
    static const struct {
        size_t budget;
        unsigned n_workers;
    } cases[] = {{1 << 20, 1}, {1 << 20, 4}, {2 << 20, 8}, {(2 << 20) + 12345, 2}, {16 << 20, 4}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        run(seed + i * 1000003, cases[i].budget, cases[i].n_workers);
    TAP_INT(fake_n_open(), 0, "everything closed");
    return tap_done();
}
