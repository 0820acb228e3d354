/* Many threads on one stage: writers in lanes of their own, readers, syncs, notes, and truncations
 * behind the lanes. What a writer wrote last is there in the end, also when it is opened again; a
 * page is never half of one write, for a writer reads what it wrote.
 */
#include "cache/lock.h"
#include "cache/stage.h"
#include "tests/cache/stage_model.h"
#include "tests/tap.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

TAP_STATE;

enum { PAGE = 4096, LANE = 64, N_WRITERS = 3, N_PAGES = LANE * N_WRITERS, N_OTHERS = 5 };

#define LANES_END ((uint64_t)N_PAGES * PAGE)
#define RUN_NS    (2 * NS_PER_S)

static struct stage *stage;
static unsigned char last[N_PAGES]; /* of each page; its writer's */
static atomic_bool is_over;
static atomic_uint n_wrong;
static atomic_uint n_done[N_WRITERS + N_OTHERS];

static const struct source_io io = {.deadline_ns = INT64_MAX};

static bool is_filled(const unsigned char *bytes, size_t len, unsigned char value)
{
    size_t i = 0;
    while (i < len && bytes[i] == value)
        i++;
    return i == len;
}

static void write_page(unsigned lane, uint64_t *random)
{
    unsigned char bytes[PAGE];
    unsigned page = lane * LANE + (unsigned)(model_random(random) % LANE);
    unsigned char value = (unsigned char)(model_random(random) % 255 + 1);
    memset(bytes, value, sizeof(bytes));
    bool ok = stage_write(stage, (uint64_t)page * PAGE, bytes, PAGE) == 0;
    last[page] = value;
    memset(bytes, 0, sizeof(bytes));
    ok = ok && stage_read(stage, NULL, 1, (uint64_t)page * PAGE, bytes, PAGE, &io) == 0;
    if (!ok || !is_filled(bytes, PAGE, value))
        atomic_fetch_add(&n_wrong, 1);
}

static void do_other(unsigned what, uint64_t *random)
{
    unsigned char bytes[PAGE];
    struct stage_segment segment;
    uint64_t off = LANES_END + model_random(random) % 100000;
    bool ok = true;
    void *note = NULL;
    size_t len;
    memset(bytes, 9, sizeof(bytes));
    switch (what) {
    case 0:
        ok = stage_truncate(stage, off) == 0;
        break;
    case 1: /* bytes that are there, or cut off, or zeros: never anything else */
        ok = stage_write(stage, off, bytes, PAGE) == 0;
        if (stage_read(stage, NULL, 1, off, bytes, 100, &io) == 0)
            ok = ok && (is_filled(bytes, 100, 9) || !memchr(bytes, 1, 100));
        break;
    case 2:
        ok = stage_rest(stage) == 0;
        break;
    case 3:
        ok = stage_sync(stage) == 0;
        break;
    default:
        ok = stage_note(stage, 1, bytes, 10) == 0 && stage_get_note(stage, 1, &note, &len) == 0;
        free(note);
        for (uint64_t at = 0; stage_find(stage, at, &segment); at += segment.len)
            ok = ok && segment.off == at && segment.len > 0;
        ok = ok && stage_is_complete(stage) && stage_size(stage) >= LANES_END;
        usleep(2000);
    }
    if (!ok)
        atomic_fetch_add(&n_wrong, 1);
}

static void *work(void *arg)
{
    unsigned i = *(unsigned *)arg;
    uint64_t random = i + 1;
    while (!atomic_load(&is_over)) {
        if (i < N_WRITERS)
            write_page(i, &random);
        else
            do_other(i - N_WRITERS, &random);
        atomic_fetch_add(&n_done[i], 1);
    }
    return NULL;
}

static bool pages_match(void)
{
    unsigned char bytes[PAGE];
    for (unsigned i = 0; i < N_PAGES; i++) {
        if (stage_read(stage, NULL, 1, (uint64_t)i * PAGE, bytes, PAGE, &io) != 0 ||
            !is_filled(bytes, PAGE, last[i]))
            return false;
    }
    return true;
}

int main(void)
{
    char dir[64];
    int dir_fd = model_make_dir(dir);
    const struct stage_purpose purpose = {.target = "stable_memory"};
    pthread_t threads[N_WRITERS + N_OTHERS];
    unsigned numbers[N_WRITERS + N_OTHERS];
    if (dir_fd < 0)
        return 1;
    TAP_INT(stage_new(&stage, dir_fd, "race", &purpose), 0, "made");
    TAP_INT(stage_truncate(stage, LANES_END), 0, "with room");
    for (unsigned i = 0; i < N_WRITERS + N_OTHERS; i++) {
        numbers[i] = i;
        if (pthread_create(&threads[i], NULL, work, &numbers[i]) != 0)
            return 1;
    }
    for (int64_t end_ns = clock_now_ns() + RUN_NS; clock_now_ns() < end_ns;)
        usleep(10000);
    atomic_store(&is_over, true);
    unsigned least = UINT32_MAX;
    for (unsigned i = 0; i < N_WRITERS + N_OTHERS; i++) {
        pthread_join(threads[i], NULL);
        printf("# thread %u: %u\n", i, atomic_load(&n_done[i]));
        least = atomic_load(&n_done[i]) < least ? atomic_load(&n_done[i]) : least;
    }
    TAP_INT(atomic_load(&n_wrong), 0, "every operation did what it should");
    TAP_OK(least > 3, "no thread was kept waiting");
    TAP_OK(pages_match(), "the last writes are there");
    uint64_t size = stage_size(stage);
    TAP_INT(stage_sync(stage), 0, "synced");
    stage_close(stage);
    TAP_INT(stage_open(&stage, dir_fd, "race"), 0, "opened again");
    TAP_OK(stage_size(stage) == size && pages_match(), "and there they are");
    TAP_INT(stage_remove(stage), 0, "removed");
    close(dir_fd);
    TAP_OK(rmdir(dir) == 0, "nothing is left");
    return tap_done();
}
