/* Whole objects on a disk: every way in which it fails, and what others do while it is read or
 * written. */
#include "cache/store.h"
#include "tests/cache/disk.h"
#include "tests/cache/objects.h"
#include "tests/tap.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

TAP_STATE;

/* ---- failing disks ---- */

static unsigned n_warnings;
static char warning[256];

static void warn(void *arg, const char *line)
{
    (void)look(*(struct store **)arg); /* no lock is held */
    n_warnings++;
    snprintf(warning, sizeof(warning), "%s", line);
}

static void test_failing_writes(int error, const char *said)
{
    struct store *store;
    struct store_config config = {.memory = 10000 + 8 * COST,
                                  .dir = dir,
                                  .spool_size = 64 * KIB,
                                  .warn = warn,
                                  .warn_arg = &store};
    memory_max = config.memory;
    spool_max = config.spool_size;
    n_over = n_warnings = 0;
    if (store_open(&store, &config) < 0)
        abort();
    (void)put(store, 1, 10000);
    (void)put(store, 2, 10000);
    uint64_t held = disk_held();
    atomic_store(&disk.write_max, 4096); /* some is written before it fails */
    atomic_store(&disk.write_end, (uint64_t)12 * KIB + 4096);
    atomic_store(&disk.write_error, error);
    unsigned n_writes = atomic_load(&disk.n_writes);
    (void)put(store, 3, 10000);
    TAP_STR(kept(store, 3), "1.3", "what the disk did not take is not kept");
    TAP_OK(n_warnings == 1 && strstr(warning, said) != NULL, said);
    TAP_INT((int64_t)disk_held(), (int64_t)held, "no part of it stays on the disk");
    TAP_INT((int64_t)look(store).spooled, 12 * KIB, "or is counted");
    TAP_INT(read_range(store, 1, 1, 0, 10000), 0, "what is there can be read");
    n_writes = atomic_load(&disk.n_writes);
    (void)put(store, 4, 10000);
    TAP_STR(kept(store, 4), "1..4", "neither is the next");
    TAP_INT((int64_t)(atomic_load(&disk.n_writes) - n_writes), 0, "and it is not tried so soon");
    TAP_INT(n_warnings, 1, "nor told again");
    TAP_INT((int64_t)look(store).n_spool_fail, 2, "but counted");
    atomic_store(&disk.write_error, 0);
    atomic_store(&disk.write_end, 0);
    atomic_fetch_add(&disk.ahead_ns, INT64_C(11000000000));
    (void)put(store, 5, 10000);
    TAP_STR(kept(store, 5), "1..45", "later it is tried again");
    TAP_INT(read_range(store, 4, 4, 0, 10000), 0, "in pieces, and is well");
    TAP_INT((int64_t)look(store).n_spool_fail, 2, "no more failures");
    TAP_INT((int64_t)look(store).n_evicted, 0, "nothing went for room");
    atomic_store(&disk.write_max, 0);
    close_store(store);
}

/* A write that ends early because the disk is full in the middle. */
static void test_short_write(void)
{
    struct store *store = open_store(10000 + 8 * COST, dir, 64 * KIB);
    (void)put(store, 1, 10000);
    (void)put(store, 2, 10000);
    uint64_t held = disk_held();
    atomic_store(&disk.write_end, (uint64_t)12 * KIB + 5000); /* then nothing goes: EFBIG */
    atomic_store(&disk.truncate_error, EIO);                  /* and no new beginning */
    (void)put(store, 3, 10000);
    TAP_STR(kept(store, 3), "..3", "the object that did not fit is dropped");
    TAP_OK(disk_held() < held, "its beginning is given back");
    TAP_INT((int64_t)look(store).n_spool_fail, 1, "counted");
    atomic_store(&disk.write_end, 0);
    atomic_store(&disk.truncate_error, 0);
    close_store(store);
}

static void test_failing_reads(void)
{
    struct store *store = open_store(10000 + 8 * COST, dir, 64 * KIB);
    for (unsigned i = 1; i <= 3; i++)
        (void)put(store, i, 10000);
    atomic_store(&disk.read_error, EIO);
    TAP_INT(read_range(store, 1, 1, 0, 10000), -ENOENT, "what cannot be read is not kept");
    TAP_STR(kept(store, 3), ".23", "any more");
    TAP_INT(read_range(store, 3, 3, 0, 10000), 0, "memory can be read");
    atomic_store(&disk.read_error, 0);
    TAP_INT(read_range(store, 1, 1, 0, 10000), -ENOENT, "it does not come back");
    atomic_store(&disk.read_max, 1000);
    TAP_INT(read_range(store, 2, 2, 0, 10000), 0, "short reads are put together");
    atomic_store(&disk.read_max, UINT32_MAX);
    TAP_INT(read_range(store, 2, 2, 0, 10000), -ENOENT, "a file that was cut off gives nothing");
    atomic_store(&disk.read_max, 0);
    struct store_stats stats = look(store);
    TAP_INT((int64_t)stats.n_spool_fail, 2, "two lost");
    TAP_INT((int64_t)stats.n_misses, 3, "three misses");
    TAP_INT((int64_t)stats.spooled, 0, "their room is given back");
    close_store(store);
}

/* Where holes cannot be punched the whole spool is dropped now and then. */
static void test_no_holes(void)
{
    struct store *store = open_store(10000 + 20 * COST, dir, 8 * 12 * KIB);
    atomic_store(&disk.punch_error, EOPNOTSUPP);
    unsigned n_wrong = 0;
    uint64_t held = 0;
    for (unsigned i = 1; i <= 100; i++) {
        (void)put(store, i, 10000);
        if (i > 1 && i % 3 == 0)
            store_drop(store, i - 1);
        for (unsigned j = i > 12 ? i - 12 : 1; j <= i; j++)
            n_wrong += read_range(store, j, j, 0, 10000) == -EILSEQ;
        n_wrong += read_range(store, i, i, 0, 10000) != 0;
        held = disk_held() > held ? disk_held() : held;
    }
    TAP_INT(n_wrong, 0, "whatever is found is right, the newest is found");
    TAP_OK(held <= 8 * 12 * KIB + 64 * KIB, "the disk is not filled");
    TAP_OK(look(store).n_hits > 200, "most is found");
    TAP_INT((int64_t)look(store).n_spool_fail, 0, "no failure");
    atomic_store(&disk.truncate_error, EIO);
    for (unsigned i = 101; i <= 120; i++)
        (void)put(store, i, 10000);
    TAP_INT(read_range(store, 120, 120, 0, 10000), 0, "nothing helps: memory does");
    TAP_OK(look(store).n_spool_fail > 0, "the rest is lost to a failure");
    atomic_store(&disk.truncate_error, 0);
    atomic_store(&disk.punch_error, 0);
    close_store(store);
}

/* Offsets grow until the file system has no larger one. */
static void test_far_offsets(void)
{
    struct store *store = open_store(10000 + 20 * COST, dir, 8 * 12 * KIB);
    unsigned n_truncates = atomic_load(&disk.n_truncates);
    atomic_store(&disk.write_end, (uint64_t)1000 * KIB);
    unsigned n_found = 0;
    for (unsigned i = 1; i <= 250; i++) {
        (void)put(store, i, 10000);
        n_found += i > 1 && read_range(store, i - 1, i - 1, 0, 10000) == 0;
    }
    TAP_INT(n_found, 249, "goes on when offsets come to an end");
    TAP_INT((int64_t)(atomic_load(&disk.n_truncates) - n_truncates), 2, "from the beginning");
    TAP_INT((int64_t)look(store).n_spool_fail, 0, "no failure");
    atomic_store(&disk.write_end, (uint64_t)5 * KIB);
    for (unsigned i = 251; i <= 253; i++)
        (void)put(store, i, 10000);
    TAP_INT((int64_t)look(store).n_spool_fail, 3, "but when the first does not fit");
    atomic_store(&disk.write_end, 0);
    close_store(store);

    struct rlimit limit, old;
    getrlimit(RLIMIT_FSIZE, &old);
    limit = old;
    limit.rlim_cur = 30000;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    store = open_store(10000 + 20 * COST, dir, 8 * 12 * KIB);
    n_found = 0;
    for (unsigned i = 1; i <= 50; i++) {
        (void)put(store, i, 10000);
        n_found += i > 1 && read_range(store, i - 1, i - 1, 0, 10000) == 0;
    }
    setrlimit(RLIMIT_FSIZE, &old);
    TAP_INT(n_found, 49, "a limit on the size of files is one");
    close_store(store);
}

/* A small file system of its own, really full. */
static void test_full_disk(void)
{
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", dir, "tmpfs", 0, "size=64k,mode=700") < 0) {
        printf("# no right to mount: a full disk is only played\n");
        return;
    }
    struct store *store = open_store(10000 + 20 * COST, dir, 10 * 12 * KIB);
    unsigned n_found = 0;
    for (unsigned i = 1; i <= 20; i++) {
        (void)put(store, i, 10000);
        n_found += read_range(store, i, i, 0, 10000) == 0;
    }
    struct store_stats stats = look(store);
    TAP_INT(n_found, 20, "a full disk: the newest is kept");
    TAP_INT((int64_t)stats.spooled, 5 * 12 * KIB, "and what the disk takes");
    TAP_INT((int64_t)disk_held(), 5 * 12 * KIB, "which is well used");
    TAP_INT((int64_t)stats.n_spool_fail, 20 - 6, "the others are not");
    bool ok = true;
    for (unsigned i = 1; i <= 5; i++)
        ok = ok && read_range(store, i, i, 0, 10000) == 0;
    TAP_OK(ok, "what it took is right");
    for (unsigned i = 1; i <= 5; i++)
        store_drop(store, i);
    TAP_INT((int64_t)disk_held(), 0, "room again");
    atomic_fetch_add(&disk.ahead_ns, INT64_C(11000000000));
    (void)put(store, 21, 10000);
    TAP_INT(read_range(store, 20, 20, 0, 10000), 0, "is used again");
    close_store(store);
    umount(dir);
}

/* ---- at the same time; what really runs in parallel is test_store_race's ---- */

static struct store *hook_store;
static unsigned hook_calls;
static uint64_t hook_held;
static int hook_result;

/* While object 1 is being read from the spool. */
static void drop_while_read(void *arg)
{
    (void)arg;
    disk.on_read = NULL;
    hook_calls++;
    store_drop(hook_store, 1);
    hook_result = store_has(hook_store, 1);
    for (unsigned i = 10; i < 20; i++) /* others want its room */
        (void)put(hook_store, i, 1000);
    hook_held = look(hook_store).spooled;
}

static void test_drop_while_read(void)
{
    hook_store = open_store(10000 + 20 * COST, dir, 4 * 12 * KIB);
    (void)put(hook_store, 1, 10000);
    (void)put(hook_store, 2, 10000);
    unsigned n_punches = atomic_load(&disk.n_punches);
    disk.on_read = drop_while_read;
    TAP_INT(read_range(hook_store, 1, 1, 100, 9000), 0, "dropped while it is read: still right");
    TAP_INT(hook_calls, 1, "it was");
    TAP_INT(hook_result, 0, "and nobody else found it");
    TAP_OK(hook_held >= 12 * KIB, "its room was taken until then");
    TAP_OK(look(hook_store).spooled <= hook_held - 12 * KIB, "and not any longer");
    TAP_OK(atomic_load(&disk.n_punches) > n_punches, "a hole was punched");
    close_store(hook_store);
}

static void *put_many(void *arg)
{
    (void)arg;
    for (unsigned i = 5; i < 10; i++)
        (void)put(hook_store, i, 10000);
    return NULL;
}

/* While object 1 is being read somebody drops all of the spool, or would. */
static void clear_while_read(void *arg)
{
    pthread_t *thread = arg;
    disk.on_read = NULL;
    if (pthread_create(thread, NULL, put_many, NULL) != 0)
        abort();
    usleep(200000);
    hook_held = atomic_load(&disk.n_truncates);
}

/* end: where offsets end, 0: nowhere; then holes cannot be punched. */
static void test_clear_while_read(uint64_t end)
{
    pthread_t thread;
    hook_store = open_store(10000 + 20 * COST, dir, (end > 0 ? 30U : 3U) * 12 * KIB);
    for (unsigned i = 1; i <= 4; i++)
        (void)put(hook_store, i, 10000);
    atomic_store(&disk.write_end, end);
    atomic_store(&disk.punch_error, end > 0 ? 0 : EOPNOTSUPP);
    unsigned n_truncates = atomic_load(&disk.n_truncates);
    disk.arg = &thread;
    disk.on_read = clear_while_read;
    TAP_INT(read_range(hook_store, 1, 1, 0, 10000), 0, "the spool is full while it is read");
    pthread_join(thread, NULL);
    TAP_INT((int64_t)hook_held, n_truncates, "it is not dropped before that is done");
    TAP_OK(atomic_load(&disk.n_truncates) > n_truncates, "but then");
    TAP_STR(kept(hook_store, 4), "....", "with all that was in it");
    TAP_INT(read_range(hook_store, 8, 8, 0, 10000), 0, "for what comes");
    atomic_store(&disk.write_end, 0);
    atomic_store(&disk.punch_error, 0);
    close_store(hook_store);
}

/* While object 1 is being moved to the spool. */
static void use_while_moved(void *arg)
{
    const bool *must_drop = arg;
    disk.on_write = NULL;
    hook_calls++;
    hook_result = read_range(hook_store, 1, 1, 0, 10000);
    if (*must_drop) {
        store_drop(hook_store, 1);
        hook_result = hook_result == 0 ? read_range(hook_store, 1, 1, 0, 1) : -EILSEQ;
    }
}

static void test_use_while_moved(bool must_drop, int error)
{
    hook_store = open_store(10000 + 20 * COST, dir, 4 * 12 * KIB);
    hook_calls = 0;
    (void)put(hook_store, 1, 10000);
    disk.arg = &must_drop;
    disk.on_write = use_while_moved;
    atomic_store(&disk.write_error, error);
    (void)put(hook_store, 2, 10000);
    atomic_store(&disk.write_error, 0);
    TAP_INT(hook_calls, 1, "while it is moved");
    TAP_INT(hook_result, must_drop ? -ENOENT : 0, must_drop ? "it is dropped" : "it is read");
    bool is_kept = !must_drop && error == 0;
    TAP_STR(kept(hook_store, 2), is_kept ? "12" : ".2", "which decides");
    TAP_INT((int64_t)look(hook_store).spooled, is_kept ? 12 * KIB : 0, "and the spool knows");
    TAP_INT((int64_t)look(hook_store).memory, (int64_t)(10000 + (is_kept ? 2 : 1) * COST),
            "so does memory");
    TAP_INT(read_range(hook_store, 1, 1, 0, 10000), is_kept ? 0 : -ENOENT, "as do readers");
    TAP_INT((int64_t)look(hook_store).n_spool_fail, error != 0, "failures are counted");
    close_store(hook_store);
}

int main(void)
{
    objects_open();
    test_failing_writes(ENOSPC, "No space left on device");
    test_failing_writes(EDQUOT, "quota");
    test_failing_writes(EIO, "Input/output error");
    test_short_write();
    test_failing_reads();
    test_no_holes();
    test_far_offsets();
    test_drop_while_read();
    test_clear_while_read(0);
    test_clear_while_read((uint64_t)3 * 12 * KIB);
    test_use_while_moved(false, 0);
    test_use_while_moved(true, 0);
    test_use_while_moved(false, ENOSPC);
    test_use_while_moved(true, ENOSPC);
    test_full_disk();
    TAP_OK(objects_close(), "the directory is as it was");
    return tap_done();
}
