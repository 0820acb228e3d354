/* A gibibyte through a small cache: what the process really takes. */
#include "cache/cache.h"
#include "cache/window.h"
#include "tests/cache/fake_source.h"
#include "tests/cache/reader.h"
#include "tests/tap.h"

TAP_STATE;

#define SEED   3
#define BUDGET (64 * MIB)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SANITIZER true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAS_SANITIZER true
#endif
#endif
#ifndef HAS_SANITIZER
#define HAS_SANITIZER false
#endif

/* VmHWM, bytes. */
static uint64_t peak_rss(void)
{
    FILE *file = fopen("/proc/self/status", "re");
    char line[256];
    unsigned long long kib = 0;
    while (file && fgets(line, sizeof(line), file)) {
        if (sscanf(line, "VmHWM: %llu", &kib) == 1)
            break;
    }
    if (file)
        fclose(file);
    return kib * KIB;
}

static void test_stream(uint64_t size)
{
    uint64_t before = peak_rss();
    struct bench b = {0};
    struct cache_config cache = {.budget = BUDGET};
    struct fake_config fake = {.size = size, .seed = SEED, .max_io = 3 * MIB - 4096};
    TAP_OK(bench_open(&b, &cache, &fake), "open");
    struct window_limits limits = {.max_io = fake.max_io, .n_inflight = 16, .budget = BUDGET};
    struct window window;
    window_init(&window);
    static unsigned char buf[128 * 1024];
    bool ok = true;
    uint64_t max_in_use = 0;
    uint64_t max_resident = 0;
    for (uint64_t off = 0; off < size && ok; off += sizeof(buf)) {
        size_t len = (size_t)(size - off < sizeof(buf) ? size - off : sizeof(buf));
        struct window_hint hint;
        struct source_io io = io_in(10000);
        if (window_advance(&window, off, len, size, &limits, &hint))
            source_prefetch(b.source, 1, hint.off, hint.len, hint.load);
        ok = source_read(b.source, 1, off, buf, len, &io) == 0 &&
             fake_matches(SEED, 1, off, buf, len);
        struct cache_stats stats;
        cache_get_stats(b.cache, &stats);
        max_in_use = stats.in_use > max_in_use ? stats.in_use : max_in_use;
        max_resident = stats.resident_bytes + stats.reply_bytes > max_resident
                           ? stats.resident_bytes + stats.reply_bytes
                           : max_resident;
    }
    window_fini(&window);
    TAP_OK(ok, "every byte");

    struct cache_stats stats;
    cache_get_stats(b.cache, &stats);
    uint64_t grown = peak_rss() - before;
    printf("# peak in_use %" PRIu64 " KiB, resident + replies %" PRIu64 " KiB, RSS grew by %" PRIu64
           " KiB; %" PRIu64 " loads, %" PRIu64 " prefetched blocks wasted, %" PRIu64 " refused\n",
           stats.peak_in_use / KIB, max_resident / KIB, grown / KIB, stats.loads,
           stats.prefetch_wasted, stats.prefetch_refused);
    TAP_OK(stats.peak_in_use <= BUDGET, "in_use stays within the budget");
    TAP_OK(max_resident <= BUDGET, "so do blocks with pages and replies together");
    if (!HAS_SANITIZER)
        TAP_OK(grown <= BUDGET + 4 * MIB, "and the process with it, but for 4 MiB");
    TAP_INT((int64_t)stats.prefetch_wasted, 0, "nothing was fetched twice");
    TAP_INT((int64_t)stats.load_bytes, (int64_t)size, "or left out");
    bench_close(&b);
}

/* Readers on random places of a large file use the cache to its limit, then a stream comes. */
static void test_mixed(void)
{
    uint64_t before = peak_rss();
    struct bench b = {0};
    struct cache_config cache = {.budget = BUDGET};
    struct fake_config fake = {.size = (uint64_t)1 << 40, .seed = SEED, .max_io = 3 * MIB};
    TAP_OK(bench_open(&b, &cache, &fake), "open");
    uint64_t state = 88172645463325252u;
    bool ok = true;
    for (int i = 0; i < 2500 && ok; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ok = read_checked(b.source, SEED, 1, state % (((uint64_t)1 << 40) - 4096), 4096, 5000) == 0;
    }
    struct cache_stats stats;
    cache_get_stats(b.cache, &stats);
    TAP_OK(ok && stats.in_use > BUDGET - 2 * MIB, "full");
    for (uint64_t off = 0; off < 64 * MIB && ok; off += MIB) {
        source_prefetch(b.source, 1, off + 8 * MIB, MIB, MIB);
        ok = read_checked(b.source, SEED, 1, off, MIB, 5000) == 0;
    }
    TAP_OK(ok, "then a stream");
    bench_settle(&b);
    cache_get_stats(b.cache, &stats);
    TAP_OK(stats.peak_in_use <= BUDGET, "in_use stays within the budget");
    TAP_OK(stats.resident_bytes <= BUDGET, "and resident pages");
    if (!HAS_SANITIZER)
        TAP_OK(peak_rss() - before <= BUDGET + 8 * MIB, "and the process");
    bench_close(&b);
}

int main(void)
{
    test_stream(HAS_SANITIZER ? 256 * MIB + 77 : 1024 * MIB + 77);
    test_mixed();
    return tap_done();
}
