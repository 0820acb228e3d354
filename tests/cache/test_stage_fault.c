/* Stages on disks that fail in every way, or are full, and memory that runs out: an error, and
 * nothing is lost. */
#include "cache/stage.h"
#include "tests/cache/stage_disk.h"
#include "tests/cache/stage_model.h"
#include "tests/cache/stage_rig.h"
#include "tests/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

TAP_STATE;

/* ---- allocations of the code under test: from the n-th on they fail while armed ---- */

static bool is_armed;
static long n_until_failure;

static bool must_fail(void)
{
    return is_armed && n_until_failure-- <= 0;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);

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

/* ---- disks that fail ---- */

static struct model model;

static void start(struct stage **stage)
{
    const struct op op = {.kind = OP_WRITE, .off = 2000, .len = 3000, .seed = 1};
    *stage = rig_make("disk");
    model_init(&model, rig_purpose.base_size);
    model_apply(&model, &op);
    TAP_OK(op_run(&op, *stage) == 0 && stage_sync(*stage) == 0, "with something in it");
}

static void test_full(int error, bool is_partial, const char *what)
{
    struct stage *stage;
    start(&stage);
    const struct op op = {.kind = OP_WRITE, .off = 1000, .len = 8000, .seed = 2};
    const struct op note = {.kind = OP_NOTE, .off = 1, .len = 300, .seed = 3};
    stage_disk =
        (struct stage_disk){.fails = DISK_PWRITE, .error = error, .is_partial = is_partial};
    TAP_INT(op_run(&op, stage), -error, what);
    stage_disk = (struct stage_disk){0};
    TAP_OK(model_matches(&model, stage, &op, 1, true), "nothing more is staged, nothing is lost");

    /* A journal that has no room keeps nobody from trying again. */
    TAP_INT(op_run(&op, stage), 0, "written when there is room");
    stage_disk =
        (struct stage_disk){.fails = DISK_PWRITE, .error = error, .is_partial = is_partial};
    TAP_INT(stage_sync(stage), -error, "no room for the journal");
    stage_disk.fails = DISK_PWRITE;
    TAP_INT(op_run(&note, stage), -error, "nor for a note");
    stage_disk = (struct stage_disk){0};
    model_apply(&model, &op);
    TAP_OK(model_matches(&model, stage, NULL, 0, true), "all is still there");
    TAP_INT(stage_sync(stage), 0, "synced when there is room");
    stage_disk =
        (struct stage_disk){.fails = DISK_PWRITE, .error = error, .is_partial = is_partial};
    TAP_INT(op_run(&note, stage), -error, "no room for a note alone");
    stage_disk = (struct stage_disk){0};
    TAP_OK(model_matches(&model, stage, NULL, 0, true), "it is not there");
    TAP_INT(op_run(&note, stage), 0, "later it is");
    model_apply(&model, &note);
    TAP_INT(rig_reopen(&stage, "disk"), 0, "opened");
    TAP_OK(model_matches(&model, stage, NULL, 0, true), "and all is as it was");
    TAP_INT(stage_remove(stage), 0, "removed");
}

/* The n-th fdatasync of a sync fails: nobody knows what the disk has. */
static void test_failed_sync(long n)
{
    struct stage *stage;
    start(&stage);
    const struct op op = {.kind = OP_WRITE, .off = 100, .len = 50, .seed = 2};
    struct model before = model;
    TAP_INT(op_run(&op, stage), 0, "written");
    stage_disk =
        (struct stage_disk){.fails = DISK_FDATASYNC, .error = EIO, .n_before = n, .is_once = true};
    TAP_INT(stage_sync(stage), -EIO, "a sync that fails");
    TAP_INT(stage_sync(stage), -EIO, "is not made good by the next");
    TAP_INT(stage_note(stage, 1, "a", 1), -EIO, "nor by a note");
    model_apply(&model, &op);
    TAP_OK(model_matches(&model, stage, NULL, 0, true), "what was written can be read");
    TAP_INT(rig_reopen(&stage, "disk"), 0, "opened again");
    TAP_OK(model_matches(&before, stage, &op, 1, false) ||
               model_matches(&model, stage, NULL, 0, false),
           "it is what it was at one of the two syncs");
    TAP_INT(stage_remove(stage), 0, "removed");
    stage_disk = (struct stage_disk){0};
}

/* Each call of making, opening and removing fails once. */
static void test_failed_calls(void)
{
    unsigned n_wrong = 0;
    unsigned n_calls = 0;
    for (unsigned call = 1; call <= DISK_ALL; call *= 2) {
        for (long n = 0;; n++) {
            struct stage *stage = NULL;
            stage_disk =
                (struct stage_disk){.fails = call, .error = EIO, .n_before = n, .is_once = true};
            int result = stage_new(&stage, rig_dir_fd, "calls", &rig_purpose);
            unsigned n_failed = stage_disk.n_failed;
            stage_disk = (struct stage_disk){0};
            n_calls += n_failed;
            n_wrong += n_failed ? result != -EIO || rig_exists("calls") : result != 0;
            if (!n_failed) {
                n_wrong += stage_remove(stage) != 0;
                break;
            }
        }
    }
    TAP_INT(n_wrong, 0, "whatever fails while it is made, nothing is left");
    TAP_OK(n_calls >= 12, "every call had its turn");
    struct stage *stage = rig_make("calls");
    TAP_INT(stage_write(stage, 0, "abc", 3), 0, "written");
    TAP_INT(stage_sync(stage), 0, "synced");
    for (unsigned call = 1; call <= DISK_ALL; call *= 2) {
        for (long n = 0;; n++) {
            stage_disk =
                (struct stage_disk){.fails = call, .error = EIO, .n_before = n, .is_once = true};
            int result = rig_reopen(&stage, "calls");
            unsigned n_failed = stage_disk.n_failed;
            stage_disk = (struct stage_disk){0};
            n_wrong += n_failed ? result != -EIO : result != 0 || stage_staged(stage) != 3;
            if (!n_failed)
                break;
        }
    }
    TAP_INT(n_wrong, 0, "whatever fails while it is opened, nothing is lost");
    for (long n = 0;; n++) {
        stage_disk = (struct stage_disk){.fails = DISK_UNLINKAT | DISK_FSYNC | DISK_RENAMEAT,
                                         .error = EIO,
                                         .n_before = n,
                                         .is_once = true};
        int result = stage_remove(stage);
        unsigned n_failed = stage_disk.n_failed;
        stage_disk = (struct stage_disk){0};
        if (!n_failed) {
            n_wrong += result != 0;
            break;
        }
        n_wrong += result != -EIO;
        result = stage_open(&stage, rig_dir_fd, "calls");
        n_wrong += n == 0 ? result != 0 : result != -ENOENT;
        if (result == -ENOENT)
            n_wrong += stage_new(&stage, rig_dir_fd, "calls", &rig_purpose) != 0;
    }
    TAP_OK(n_wrong == 0 && !rig_exists("calls"),
           "whatever fails while it is removed, it is none any more");
}

/* A journal that is too large is written anew; when that fails the old one goes on. */
static void test_compact(unsigned fails, long n_before, bool is_fatal)
{
    enum { N = 3000 };
    struct stage *stage = rig_make("compact");
    uint64_t largest = 0;
    uint64_t smallest = UINT64_MAX;
    int result = stage_note(stage, 3, "first", 5);
    unsigned n_failed = 0;
    for (unsigned round = 0; round < 60 && result == 0; round++) {
        result = stage_truncate(stage, 0);
        for (uint64_t i = 0; i < N && result == 0; i++)
            result = stage_write(stage, i * 2, "b", 1);
        if (result == 0 && round % 10 == 5)
            result = stage_note(stage, 3, &round, sizeof(round));
        bool is_next = largest >= (uint64_t)1 << 20;
        if (is_next && n_failed == 0)
            stage_disk = (struct stage_disk){
                .fails = fails, .error = EIO, .n_before = n_before, .is_once = true};
        if (result == 0)
            result = stage_sync(stage);
        n_failed += stage_disk.n_failed;
        stage_disk = (struct stage_disk){0};
        uint64_t size = rig_size_of("compact/journal");
        largest = size > largest ? size : largest;
        smallest = size < largest && size < smallest ? size : smallest;
    }
    TAP_INT(result, is_fatal ? -EIO : 0, "a journal of many records");
    TAP_OK(fails == 0 || n_failed > 0, "the disk failed");
    if (!is_fatal)
        TAP_OK(smallest < (uint64_t)200000 && largest < (uint64_t)5 << 20, "is kept small");
    TAP_OK(is_fatal || !rig_exists("compact/journal.new"), "and nothing is left over");
    TAP_INT(rig_reopen(&stage, "compact"), 0, "opened");
    TAP_OK(!rig_exists("compact/journal.new"), "not for long, that is");
    unsigned n = 0;
    TAP_INT((int64_t)stage_staged(stage), N, "with all that is in it");
    TAP_INT(stage_for_each_note(stage, 3, rig_count_note, &n), 42, "and the notes");
    TAP_INT(stage_remove(stage), 0, "removed");
}

static void test_no_memory(void)
{
    const struct op ops[] = {{.kind = OP_WRITE, .off = 12000, .len = 70, .seed = 1},
                             {.kind = OP_SYNC},
                             {.kind = OP_WRITE, .off = 100, .len = 70, .seed = 1},
                             {.kind = OP_WRITE, .off = 300, .len = 70, .seed = 1},
                             {.kind = OP_NOTE, .off = 2, .len = 500, .seed = 1},
                             {.kind = OP_TRUNCATE, .off = 5000},
                             {.kind = OP_SYNC}};
    unsigned n_wrong = 0;
    long nth;
    for (nth = 0; nth < 200; nth++) {
        struct stage *stage = NULL;
        model_init(&model, rig_purpose.base_size);
        is_armed = true;
        n_until_failure = nth;
        int result = stage_new(&stage, rig_dir_fd, "memory", &rig_purpose);
        n_wrong += result != 0 && result != -ENOMEM;
        for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]) && stage; i++) {
            result = op_run(&ops[i], stage);
            n_wrong += result != 0 && result != -ENOMEM;
            if (result == 0)
                model_apply(&model, &ops[i]);
        }
        bool is_over = n_until_failure > 0;
        is_armed = false;
        if (stage) {
            n_wrong += !model_matches(&model, stage, NULL, 0, true) || stage_sync(stage) != 0;
            is_armed = true;
            n_until_failure = nth % 8;
            result = rig_reopen(&stage, "memory");
            is_armed = false;
            n_wrong += result != 0 && result != -ENOMEM;
            n_wrong += result != 0 && stage_open(&stage, rig_dir_fd, "memory") != 0;
            n_wrong += !model_matches(&model, stage, NULL, 0, true);
            n_wrong += stage_remove(stage) != 0;
        }
        n_wrong += rig_exists("memory");
        if (is_over)
            break;
    }
    TAP_INT(n_wrong, 0, "no memory from the n-th allocation on: an error, and nothing lost");
    TAP_OK(nth > 5 && nth < 200, "every allocation had its turn");
}

/* ---- disks that are full, and limits of the system ---- */

static void test_full_disk(void)
{
    struct stage *stage = NULL;
    unsigned char *bytes = calloc(1, 65536);
    TAP_INT(mkdirat(rig_dir_fd, "small", 0700), 0, "a directory");
    char path[100];
    snprintf(path, sizeof(path), "%s/small", rig_dir);
    if (mount("none", path, "tmpfs", 0, "size=1m,mode=700") < 0) {
        TAP_OK(true, "a small disk # SKIP may not mount");
    } else {
        int fd = open(path, O_RDONLY | O_DIRECTORY);
        TAP_INT(stage_new(&stage, fd, "full", &rig_purpose), 0, "on a small disk");
        uint64_t off = 0;
        int result = 0;
        for (; off < ((uint64_t)4 << 20) && result == 0; off += result == 0 ? 65536 : 0)
            result = stage_write(stage, off, bytes, 65536);
        TAP_INT(result, -ENOSPC, "it is full");
        TAP_OK(off > 500000 && stage_staged(stage) == off, "what was written before is staged");
        result = stage_note(stage, 1, bytes, 65536);
        TAP_INT(result, -ENOSPC, "no note goes in");
        TAP_INT(stage_truncate(stage, off - 131072), 0, "cut");
        TAP_INT(stage_sync(stage), 0, "then there is room for what is left");
        stage_close(stage);
        TAP_INT(stage_open(&stage, fd, "full"), 0, "opened");
        TAP_INT((int64_t)stage_staged(stage), (int64_t)off - 131072, "and it is there");
        TAP_INT(stage_remove(stage), 0, "removed");
        close(fd);
        umount(path);
    }
    (void)unlinkat(rig_dir_fd, "small", AT_REMOVEDIR);

    struct rlimit old;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    stage = rig_make("limit");
    TAP_INT(setrlimit(RLIMIT_FSIZE, &(struct rlimit){100000, old.rlim_max}), 0, "files of a limit");
    TAP_INT(stage_write(stage, 65536, bytes, 65536), -EFBIG, "are not written beyond it");
    TAP_INT((int64_t)stage_staged(stage), 0, "not in part");
    TAP_INT(stage_write(stage, 30000, bytes, 65536), 0, "up to there they are");
    setrlimit(RLIMIT_FSIZE, &old);
    TAP_INT(stage_remove(stage), 0, "removed");
    free(bytes);
}

/* The base's errors are the reader's. */

int main(void)
{
    if (!rig_open())
        return 1;
    test_full(ENOSPC, false, "No space left on device");
    test_full(ENOSPC, true, "No space left on device, half-way");
    test_full(EDQUOT, true, "quota");
    test_full(EIO, false, "Input/output error");
    test_failed_sync(0);
    test_failed_sync(1);
    test_failed_calls();
    test_compact(0, 0, false);
    test_compact(DISK_PWRITE, 1, false);
    test_compact(DISK_FDATASYNC, 1, false);
    test_compact(DISK_RENAMEAT, 0, true);
    test_compact(DISK_FSYNC, 0, true);
    test_no_memory();
    test_full_disk();
    TAP_INT(rig_close(), 0, "nothing is left");
    return tap_done();
}
