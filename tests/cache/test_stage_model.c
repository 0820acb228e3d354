/* Random operations on stages over bases of many sizes against plain arrays; now and then the stage
 * is opened anew, and must be what it was at its last sync. The set of extents against a map of
 * bytes, and how long it takes when writes are small and everywhere.
 */
#include "cache/lock.h"
#include "cache/stage.h"
#include "cache/stage_extents.h"
#include "tests/cache/fake_source.h"
#include "tests/cache/stage_model.h"
#include "tests/tap.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

TAP_STATE;

#define BASE_SEED    7
#define BASE_VERSION 3

/* A read across all kinds gives the model's bytes and the base's. */
static bool read_matches(const struct model *model, struct stage *stage, struct source *base,
                         uint64_t *state)
{
    static unsigned char got[MODEL_MAX];
    static unsigned char want[MODEL_MAX];
    const struct source_io io = {.deadline_ns = clock_now_ns() + 10 * NS_PER_S};
    uint64_t off = model_random(state) % (model->size + 1);
    size_t len = (size_t)(model_random(state) % (model->size - off + 1));
    int result = stage_read(stage, base, BASE_VERSION, off, got, len, &io);
    if (result != 0) {
        printf("# read: %d\n", result);
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        switch ((enum stage_kind)model->kinds[off + i]) {
        case STAGE_STAGED:
            want[i] = model->bytes[off + i];
            break;
        case STAGE_BASE:
            fake_fill(BASE_SEED, BASE_VERSION, off + i, &want[i], 1);
            break;
        case STAGE_ZERO:
        default:
            want[i] = 0;
        }
    }
    return memcmp(got, want, len) == 0 &&
           stage_read(stage, base, BASE_VERSION, off, got, model->size - off + 1, &io) == -EINVAL;
}

/* Bytes that were overwritten since the last sync stay what they are: the machine did not stop. */
static bool open_again(struct stage **stage, int dir_fd, const char *name,
                       const struct model *synced, const struct op *writes, unsigned n)
{
    stage_close(*stage);
    *stage = NULL;
    int result = stage_open(stage, dir_fd, name);
    if (result != 0)
        printf("# open: %d\n", result);
    return result == 0 && model_matches(synced, *stage, writes, n, true);
}

static void run(uint64_t seed, int dir_fd, uint64_t base_size, int n_ops)
{
    enum { N_WRITES = 4096 };
    static struct model model, synced;
    static struct op writes[N_WRITES];
    unsigned n_writes = 0;
    uint64_t state = seed;
    struct source *base = NULL;
    struct fake *fake;
    struct fake_config config = {.size = base_size ? base_size : 1, .seed = BASE_SEED};
    struct stage *stage = NULL;
    struct stage_purpose purpose = {
        .target = "stable_memory", .base_size = base_size, .base_version = BASE_VERSION};
    bool ok =
        fake_open(&base, &fake, &config) == 0 && stage_new(&stage, dir_fd, "model", &purpose) == 0;
    if (ok)
        fake_set_version(fake, BASE_VERSION, config.size, false);
    model_init(&model, base_size);
    synced = model;
    int i;
    for (i = 0; i < n_ops && ok; i++) {
        struct op op = op_next(&state);
        ok = op_run(&op, stage) == 0;
        model_apply(&model, &op);
        if (op.kind == OP_SYNC && model_random(&state) % 2)
            ok = ok && stage_rest(stage) == 0;
        if (op.kind == OP_SYNC || op.kind == OP_NOTE) {
            synced = model;
            n_writes = 0;
        } else {
            writes[n_writes++] = op;
        }
        ok = ok && read_matches(&model, stage, base, &state);
        if (i % 50 == 0)
            ok = ok && model_matches(&model, stage, NULL, 0, true);
        if (ok && (model_random(&state) % 40 == 0 || n_writes == N_WRITES)) {
            ok = open_again(&stage, dir_fd, "model", &synced, writes, n_writes);
            if (ok && n_writes > 0) {
                /* From here on the model must know which of the bytes they are. */
                ok = stage_truncate(stage, 0) == 0 && stage_sync(stage) == 0;
                struct op empty = {.kind = OP_TRUNCATE};
                model = synced;
                model_apply(&model, &empty);
                synced = model;
                n_writes = 0;
            }
        }
    }
    char what[100];
    snprintf(what, sizeof(what), "seed %" PRIu64 ", a base of %" PRIu64 " bytes, %d operations",
             seed, base_size, n_ops);
    if (!TAP_OK(ok, what))
        printf("# at operation %d\n", i);
    if (stage)
        TAP_INT(stage_remove(stage), 0, "removed");
    source_close(base);
}

static void test_extents(uint64_t seed)
{
    enum { N = 6000, N_OPS = 4000 };
    static bool map[N];
    struct stage_extents set = {0};
    uint64_t state = seed;
    bool ok = true;
    memset(map, 0, sizeof(map));
    for (int i = 0; i < N_OPS && ok; i++) {
        uint64_t off = model_random(&state) % N;
        uint64_t len = model_random(&state) % (i % 64 ? 3 : N / 4) + 1;
        uint64_t end = off + len > N ? N : off + len;
        if (i % 500 == 499) {
            stage_extents_cut(&set, off);
            memset(map + off, 0, N - off);
        } else {
            ok = stage_extents_add(&set, off, end) == 0;
            memset(map + off, 1, end - off);
        }
        uint64_t bytes = 0;
        size_t n = 0;
        struct stage_extent extent = {0};
        for (uint64_t at = 0; at < N && ok; at++) {
            bytes += map[at];
            n += map[at] && (at == 0 || !map[at - 1]);
            bool is_found = i % 16 ? extent.end > at : stage_extents_find(&set, at, &extent);
            if (!is_found)
                is_found = stage_extents_find(&set, at, &extent);
            ok = map[at] == (is_found && extent.off <= at && at < extent.end);
        }
        size_t in_leaves = set.n_leaves;
        ok = ok && bytes == set.bytes && n == set.n && in_leaves <= set.n / 32 + 2;
    }
    TAP_OK(ok, "extents are what a map of bytes says, and no more leaves than they need");
    stage_extents_fini(&set);
}

/* Of the processor: others may keep it busy. */
static double cpu_seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / NS_PER_S;
}

/* Every second page of a large file, in an order without any. */
static void test_many_extents(void)
{
    enum { N = 1 << 20 };
    struct stage_extents set = {0};
    double start = cpu_seconds();
    bool ok = true;
    for (uint64_t i = 0; i < N && ok; i++) {
        uint64_t page = i * 0x9e3779b1u % N * 2;
        ok = stage_extents_add(&set, page * 4096, page * 4096 + 4096) == 0;
    }
    double seconds = cpu_seconds() - start;
    printf("# %d extents at random: %.2f s, %zu leaves\n", N, seconds, set.n_leaves);
    TAP_OK(ok && set.n == N && set.bytes == (uint64_t)N * 4096, "a million extents");
    TAP_OK(seconds < 20, "and their number does not slow it down");
    TAP_OK(set.n_leaves < N / 100, "in leaves that are mostly full");
    for (uint64_t i = 0; i < N && ok; i++) {
        uint64_t page = i * 0x9e3779b1u % N * 2 + 1;
        ok = stage_extents_add(&set, page * 4096, page * 4096 + 4096) == 0;
    }
    TAP_OK(ok && set.n == 1 && set.n_leaves == 1, "the other half makes one of them");
    stage_extents_fini(&set);

    uint64_t at = 0;
    for (; at < STAGE_EXTENTS_MAX && ok; at++)
        ok = stage_extents_add(&set, at * 2, at * 2 + 1) == 0;
    TAP_OK(ok, "as many as there may be");
    TAP_INT(stage_extents_add(&set, at * 2, at * 2 + 1), -EFBIG, "one more is refused");
    TAP_INT(stage_extents_add(&set, 1, 2), 0, "unless it makes one of two");
    TAP_INT((int64_t)set.n, (int64_t)STAGE_EXTENTS_MAX - 1, "which are then fewer");
    stage_extents_cut(&set, 0);
    TAP_OK(set.n == 0 && set.bytes == 0 && set.n_leaves == 0, "all cut off");
    stage_extents_fini(&set);
}

int main(void)
{
    char dir[64];
    const uint64_t sizes[] = {0, 1, 4096, 20001, MODEL_MAX};
    int dir_fd = model_make_dir(dir);
    if (dir_fd < 0)
        return 1;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        run(i + 1, dir_fd, sizes[i], 1500);
    for (uint64_t seed = 1; seed <= 3; seed++)
        test_extents(seed);
    test_many_extents();
    TAP_INT(fake_n_open(), 0, "bases are closed");
    close(dir_fd);
    TAP_OK(rmdir(dir) == 0, "nothing is left");
    return tap_done();
}
