/* The window's policy: who is sequential, how far ahead, in which pieces. */
#include "cache/cache.h"
#include "cache/window.h"
#include "tests/tap.h"

#include <stdlib.h>

TAP_STATE;

#define BS  ((uint64_t)CACHE_BLOCK_SIZE)
#define KIB ((uint64_t)1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

/* What the mount starts with: just under 3 MiB of reply, 16 queries at once, 256 MiB. */
static const struct window_limits usual = {
    .max_io = 3 * MIB - 4096,
    .n_inflight = 16,
    .budget = 256 * MIB,
};
#define USUAL_LOAD (47 * BS)

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void test_random_readers(void)
{
    struct window w;
    struct window_hint hint;
    static const struct {
        uint64_t file;
        uint64_t grain;
        size_t len;
        const char *what;
    } cases[] = {
        {1 * GIB, 1, 64, "64 bytes at any offset of 1 GiB"},
        {1 * GIB, 4 * KIB, 4096, "pages of 1 GiB"},
        {100 * GIB, 64 * KIB, 65536, "blocks of 100 GiB"},
        {64 * MIB, 4 * KIB, 4096, "pages of 64 MiB"},
        {64 * MIB, 512, 16384, "16 KiB of 64 MiB"},
        {1 * GIB, 128 * KIB, 131072, "kernel windows of 1 GiB"},
        {512 * MIB, 1, 1048576, "1 MiB at any offset of 512 MiB"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unsigned n_hints = 0;
        for (uint64_t seed = 1; seed <= 20; seed++) {
            uint64_t state = seed * 7919;
            window_init(&w);
            for (int k = 0; k < 1000; k++) {
                uint64_t off = next_random(&state) % (cases[i].file / cases[i].grain);
                off *= cases[i].grain;
                n_hints += window_advance(&w, off, cases[i].len, cases[i].file, &usual, &hint);
            }
            window_fini(&w);
        }
        TAP_INT(n_hints, 0, cases[i].what);
    }

    /* Several threads on one handle, each sequential: no stream of the handle. */
    unsigned n_hints = 0;
    window_init(&w);
    for (uint64_t k = 0; k < 1000; k++)
        n_hints +=
            window_advance(&w, (k % 4 + 1) * 20 * MIB + k / 4 * 4096, 4096, GIB, &usual, &hint);
    window_fini(&w);
    TAP_INT(n_hints, 0, "four threads in turns");

    /* Backwards: nothing lies ahead. */
    n_hints = 0;
    window_init(&w);
    for (uint64_t k = 1000; k-- > 0;)
        n_hints += window_advance(&w, k * 128 * KIB, 128 * KIB, GIB, &usual, &hint);
    window_fini(&w);
    TAP_INT(n_hints, 0, "backwards");

    /* The same page again and again. */
    window_init(&w);
    for (int k = 0; k < 1000; k++)
        n_hints += window_advance(&w, 5 * MIB, 256 * KIB, GIB, &usual, &hint);
    window_fini(&w);
    TAP_INT(n_hints, 0, "the same place");
}

static void test_start(void)
{
    struct window w;
    struct window_hint hint = {.off = 99};

    window_init(&w);
    TAP_OK(!window_advance(&w, 0, 16384, GIB, &usual, &hint), "a small first read at 0: no hint");
    TAP_INT((int64_t)hint.off, 99, "out untouched");
    window_fini(&w);

    window_init(&w);
    TAP_OK(!window_advance(&w, 5 * MIB, 128 * KIB, GIB, &usual, &hint),
           "a first read elsewhere: no hint");
    window_fini(&w);

    window_init(&w);
    TAP_OK(window_advance(&w, 0, 128 * KIB, GIB, &usual, &hint), "128 KiB at 0: at once");
    TAP_INT((int64_t)hint.off, 128 * KIB, "from where the read ends");
    TAP_INT((int64_t)(hint.off + hint.len), 16 * USUAL_LOAD, "16 loads");
    TAP_INT((int64_t)hint.load, USUAL_LOAD, "each as large as a reply can be");
    window_fini(&w);

    window_init(&w);
    TAP_OK(window_advance(&w, 0, 256 * KIB, MIB, &usual, &hint), "a small file");
    TAP_OK(hint.off == 256 * KIB && hint.len == 768 * KIB, "its rest, and no more");
    TAP_OK(!window_advance(&w, 256 * KIB, 256 * KIB, MIB, &usual, &hint), "then nothing");
    TAP_OK(!window_advance(&w, MIB, 1, MIB, &usual, &hint), "beyond the end: nothing");
    TAP_OK(!window_advance(&w, 0, 0, MIB, &usual, &hint), "empty: nothing");
    window_fini(&w);

    window_init(&w);
    TAP_OK(!window_advance(&w, 0, 128 * KIB, 128 * KIB, &usual, &hint), "a file of one read");
    window_fini(&w);

    /* What the kernel's readahead does for small reads from the middle. */
    window_init(&w);
    uint64_t at = 7 * MIB;
    TAP_OK(!window_advance(&w, at, 16 * KIB, GIB, &usual, &hint), "first");
    TAP_OK(!window_advance(&w, at + 16 * KIB, 32 * KIB, GIB, &usual, &hint), "second");
    TAP_OK(!window_advance(&w, at + 48 * KIB, 64 * KIB, GIB, &usual, &hint),
           "third, but not 128 KiB yet");
    TAP_OK(window_advance(&w, at + 112 * KIB, 128 * KIB, GIB, &usual, &hint), "fourth: a stream");
    TAP_INT((int64_t)hint.off, (int64_t)(at + 256 * KIB), "hints are block aligned");
    TAP_INT((int64_t)hint.len, (int64_t)(3840 * KIB), "4 MiB ahead of the reader, in whole loads");
    TAP_INT((int64_t)hint.load, 256 * KIB, "a sixteenth each");
    window_fini(&w);
}

/* Follows hints: they tile, stay aligned, and say how far ahead the reader is. */
struct tiling {
    uint64_t next; /* 0: none so far */
    uint64_t load;
    unsigned n_hints;
    bool ok;
};

static void tile(struct tiling *t, const struct window_hint *hint, uint64_t file)
{
    bool ends = hint->off + hint->len == file;
    t->ok = t->ok && (t->next == 0 || hint->off == t->next) && hint->off % BS == 0 &&
            hint->load % BS == 0 && hint->len >= 1 &&
            ((hint->off + hint->len) % hint->load == 0 || ends) && hint->off + hint->len <= file;
    t->next = hint->off + hint->len;
    t->load = hint->load;
    t->n_hints++;
}

static void test_steady(void)
{
    uint64_t file = GIB + 12345;
    struct window w;
    struct window_hint hint;
    struct tiling t = {.ok = true};
    uint64_t max_ahead = 0;
    uint64_t min_ahead = UINT64_MAX;
    uint64_t full_at = 0;

    window_init(&w);
    for (uint64_t off = 0; off < file; off += 128 * KIB) {
        size_t len = (size_t)(file - off < 128 * KIB ? file - off : 128 * KIB);
        if (window_advance(&w, off, len, file, &usual, &hint))
            tile(&t, &hint, file);
        uint64_t ahead = t.next - (off + len);
        if (t.load == USUAL_LOAD && full_at == 0)
            full_at = off;
        if (off > 64 * MIB && off < file - 128 * MIB) {
            max_ahead = ahead > max_ahead ? ahead : max_ahead;
            min_ahead = ahead < min_ahead ? ahead : min_ahead;
        }
    }
    window_fini(&w);
    TAP_OK(t.ok, "hints tile the file in whole blocks and loads");
    TAP_INT((int64_t)t.next, (int64_t)file, "to its end");
    TAP_INT((int64_t)t.load, (int64_t)USUAL_LOAD, "with loads as large as a reply");
    TAP_OK(full_at <= 8 * MIB, "soon");
    printf("# full loads from %" PRIu64 " KiB; ahead %" PRIu64 " to %" PRIu64 " KiB; %u hints\n",
           full_at / KIB, min_ahead / KIB, max_ahead / KIB, t.n_hints);
    TAP_OK(min_ahead >= 16 * USUAL_LOAD, "never fewer than n_inflight loads ahead");
    TAP_OK(max_ahead <= 20 * USUAL_LOAD, "never more than a quarter beyond");
    TAP_OK(t.n_hints < 500, "in batches");
}

static void test_out_of_order(void)
{
    uint64_t file = 256 * MIB;
    bool all_ok = true;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        /* Reads of 128 KiB, each displaced by up to 4 places, as parallel READs arrive. */
        uint64_t state = seed * 104729;
        uint64_t order[2048];
        for (uint64_t i = 0; i < 2048; i++)
            order[i] = i;
        for (uint64_t i = 1; i + 4 < 2048; i += 4) {
            for (uint64_t k = 3; k > 0; k--) {
                uint64_t j = next_random(&state) % (k + 1);
                uint64_t tmp = order[i + k];
                order[i + k] = order[i + j];
                order[i + j] = tmp;
            }
        }
        struct window w;
        struct window_hint hint;
        struct tiling t = {.ok = true};
        window_init(&w);
        for (uint64_t i = 0; i < 2048; i++) {
            if (window_advance(&w, order[i] * 128 * KIB, 128 * KIB, file, &usual, &hint))
                tile(&t, &hint, file);
        }
        window_fini(&w);
        all_ok = all_ok && t.ok && t.next == file && t.load == USUAL_LOAD;
        if (!t.ok || t.next != file)
            printf("# seed %" PRIu64 " failed\n", seed);
    }
    TAP_OK(all_ok, "parallel READs that overtake each other are one stream");

    /* READs of 1 MiB, nine in flight (a raised read_ahead_kb). */
    struct window w;
    struct window_hint hint;
    struct tiling t = {.ok = true};
    window_init(&w);
    for (uint64_t i = 0; i < 256; i += 4) {
        static const uint64_t swap[4] = {0, 3, 2, 1};
        for (uint64_t k = 0; k < 4; k++) {
            if (window_advance(&w, (i + swap[k]) * MIB, MIB, file, &usual, &hint))
                tile(&t, &hint, file);
        }
    }
    window_fini(&w);
    TAP_OK(t.ok && t.next == file, "also with large READs");

    /* Overtaken from the very start, in the middle of a file. */
    static const uint64_t places[] = {1, 0, 3, 2, 5, 4, 7, 6};
    bool has_hint = false;
    window_init(&w);
    for (size_t i = 0; i < 8 && !has_hint; i++)
        has_hint =
            window_advance(&w, 64 * MIB + places[i] * 128 * KIB, 128 * KIB, file, &usual, &hint);
    window_fini(&w);
    TAP_OK(!has_hint, "pairs that swap are not exact enough to start a stream");
    window_init(&w);
    static const uint64_t later[] = {1, 0, 2, 3, 4};
    for (size_t i = 0; i < 5 && !has_hint; i++)
        has_hint =
            window_advance(&w, 64 * MIB + later[i] * 128 * KIB, 128 * KIB, file, &usual, &hint);
    window_fini(&w);
    TAP_OK(has_hint, "but one swap is");
}

static void test_seek(void)
{
    struct window w;
    struct window_hint hint;
    window_init(&w);
    TAP_OK(window_advance(&w, 0, 128 * KIB, GIB, &usual, &hint), "a stream");
    TAP_OK(!window_advance(&w, 500 * MIB, 128 * KIB, GIB, &usual, &hint), "a seek resets");
    TAP_OK(!window_advance(&w, 500 * MIB + 128 * KIB, 128 * KIB, GIB, &usual, &hint), "second");
    TAP_OK(window_advance(&w, 500 * MIB + 256 * KIB, 128 * KIB, GIB, &usual, &hint),
           "the third read there is a stream again");
    TAP_INT((int64_t)hint.off, (int64_t)(500 * MIB + 384 * KIB), "from there");
    TAP_OK(!window_advance(&w, 0, 1 * MIB, GIB, &usual, &hint),
           "only the first read of a handle counts at 0");
    window_fini(&w);

    /* A reader that skips forward inside its window goes on; the hints follow. */
    struct tiling t = {.ok = true};
    window_init(&w);
    for (uint64_t off = 0; off < 256 * MIB; off += MIB) {
        if (window_advance(&w, off, 128 * KIB, 256 * MIB, &usual, &hint))
            tile(&t, &hint, 256 * MIB);
    }
    window_fini(&w);
    TAP_OK(t.ok && t.next == 256 * MIB, "reads with small gaps are a stream");
}

static void test_lost(void)
{
    struct window w;
    struct window_hint hint;
    window_init(&w);
    window_lost(&w, 0);
    TAP_OK(window_advance(&w, 0, 128 * KIB, GIB, &usual, &hint), "a stream; nothing was there yet");
    uint64_t end = hint.off + hint.len;
    TAP_OK(!window_advance(&w, 128 * KIB, 128 * KIB, GIB, &usual, &hint), "far enough ahead");
    window_lost(&w, 256 * KIB);
    TAP_OK(window_advance(&w, 256 * KIB, 128 * KIB, GIB, &usual, &hint), "what was hinted is gone");
    TAP_INT((int64_t)hint.off, 384 * KIB, "hinted again from where the read ends");
    TAP_OK(hint.off + hint.len >= end, "as far as before");
    end = hint.off + hint.len;
    window_lost(&w, end);
    TAP_OK(!window_advance(&w, 384 * KIB, 128 * KIB, GIB, &usual, &hint),
           "beyond what was hinted nothing can be lost");
    window_lost(&w, 500 * MIB);
    TAP_OK(!window_advance(&w, 500 * MIB, 128 * KIB, GIB, &usual, &hint), "a seek is none");
    window_lost(&w, 500 * MIB);
    TAP_OK(!window_advance(&w, 500 * MIB, 128 * KIB, GIB, &usual, &hint),
           "random readers cause no hints");
    window_fini(&w);
}

static void test_limits(void)
{
    struct window w;
    struct window_hint hint;

    /* Reply limit and concurrency change under way: hints still tile. */
    uint64_t file = GIB;
    uint64_t state = 4242;
    struct tiling t = {.ok = true};
    uint64_t max_ahead = 0;
    window_init(&w);
    for (uint64_t off = 0; off < file; off += 128 * KIB) {
        struct window_limits limits = usual;
        limits.n_inflight = (unsigned)(next_random(&state) % 33);
        limits.max_io = next_random(&state) % (4 * MIB);
        if (window_advance(&w, off, 128 * KIB, file, &limits, &hint))
            tile(&t, &hint, file);
        uint64_t ahead = t.next > off ? t.next - off : 0;
        max_ahead = ahead > max_ahead ? ahead : max_ahead;
    }
    window_fini(&w);
    TAP_OK(t.ok && t.next == file, "limits that change at every read");
    TAP_OK(max_ahead <= 64 * MIB + 256 * KIB, "never more than a quarter of the budget ahead");

    static const struct {
        struct window_limits limits;
        uint64_t ahead;
        uint64_t load;
        const char *what;
    } cases[] = {
        {{3 * MIB, 16, 16 * MIB}, 4 * MIB, 256 * KIB, "a small budget"},
        {{3 * MIB, 16, 1 * MIB}, 256 * KIB, 64 * KIB, "a tiny budget"},
        {{3 * MIB, 16, 0}, 64 * KIB, 64 * KIB, "no budget at all"},
        {{0, 16, 256 * MIB}, 20 * MIB, 1 * MIB, "no wish of the source"},
        {{1000, 16, 256 * MIB}, 20 * 64 * KIB, 64 * KIB, "a reply limit below one block"},
        {{3 * MIB, 0, 256 * MIB}, 6 * MIB, 3 * MIB, "concurrency not known"},
        {{2 * MIB, 32, 256 * MIB}, 64 * MIB, 2 * MIB, "32 at once"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct tiling c = {.ok = true};
        uint64_t ahead = 0;
        window_init(&w);
        for (uint64_t off = 0; off < 512 * MIB; off += 64 * KIB) {
            if (window_advance(&w, off, 64 * KIB, file, &cases[i].limits, &hint))
                tile(&c, &hint, file);
            if (c.next > off + 64 * KIB && c.next - (off + 64 * KIB) > ahead)
                ahead = c.next - (off + 64 * KIB);
        }
        window_fini(&w);
        TAP_OK(c.ok, cases[i].what);
        TAP_OK(ahead <= cases[i].ahead && ahead + c.load > cases[i].ahead, "how far");
        TAP_INT((int64_t)c.load, (int64_t)cases[i].load, "in loads of");
    }

    /* The end of the offset range. */
    window_init(&w);
    uint64_t end = (uint64_t)INT64_MAX;
    for (uint64_t k = 8; k > 0; k--)
        (void)window_advance(&w, end - k * 128 * KIB, 128 * KIB, end, &usual, &hint);
    TAP_OK(hint.off + hint.len <= end, "hints stay within the largest file");
    window_fini(&w);
}

/* Calls that take their time however little they bring. */
static void test_slow(void)
{
    static const struct window_limits slow = {
        .max_io = 30 * CACHE_BLOCK_SIZE,
        .n_inflight = 64,
        .budget = 256 * MIB,
        .is_slow = true,
    };
    struct window w;
    struct window_hint hint;
    window_init(&w);
    TAP_OK(window_advance(&w, 0, 128 * KIB, GIB, &slow, &hint), "read from the start");
    TAP_INT((int64_t)hint.load, (int64_t)(30 * BS), "in whole calls");
    TAP_INT((int64_t)hint.len, (int64_t)(51 * 30 * BS - 2 * BS),
            "three eighths of the cache at once, up to a whole call");
    window_fini(&w);

    window_init(&w);
    TAP_OK(!window_advance(&w, GIB / 2, 128 * KIB, GIB, &slow, &hint), "read in the middle");
    TAP_OK(!window_advance(&w, GIB / 2 + 128 * KIB, 64 * KIB, GIB, &slow, &hint), "and on");
    TAP_OK(window_advance(&w, GIB / 2 + 192 * KIB, 64 * KIB, GIB, &slow, &hint), "in order");
    TAP_INT((int64_t)hint.load, (int64_t)(30 * BS), "in whole calls");
    TAP_OK(hint.len <= 4 * MIB, "the window of a run that just became one");
    window_fini(&w);

    window_init(&w);
    struct window_limits small = slow;
    small.budget = 4 * MIB;
    TAP_OK(window_advance(&w, 0, 128 * KIB, GIB, &small, &hint), "with a small cache");
    TAP_INT((int64_t)hint.load, (int64_t)(16 * BS), "a quarter of it in a call");
    window_fini(&w);
}

int main(void)
{
    test_random_readers();
    test_start();
    test_steady();
    test_out_of_order();
    test_seek();
    test_lost();
    test_limits();
    test_slow();
    return tap_done();
}
