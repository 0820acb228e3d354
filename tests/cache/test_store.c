/* Whole objects: what is kept where and for how long, the spool file as the disk sees it, and
 * memory that runs out. */
#include "cache/store.h"
#include "tests/cache/disk.h"
#include "tests/cache/objects.h"
#include "tests/tap.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

TAP_STATE;

#define OPEN_0 store_open(&store, &config)

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

/* ---- without a spool ---- */

static void test_memory(void)
{
    struct store *store = open_store(3 * (1000 + COST), NULL, 0);
    TAP_INT((int64_t)store_object_max(store), (int64_t)(3 * 1000 + 2 * COST), "largest object");
    for (unsigned i = 1; i <= 3; i++)
        TAP_INT((int64_t)put(store, i, 1000), i, "numbers count up");
    struct store_stats stats = look(store);
    TAP_INT((int64_t)stats.memory, (int64_t)memory_max, "filled to the last byte");
    TAP_INT((int64_t)stats.n_objects, 3, "three objects");
    TAP_INT(read_range(store, 1, 1, 0, 1000), 0, "the first is read");
    (void)store_has(store, 2);
    (void)put(store, 4, 1000);
    TAP_STR(kept(store, 4), "1.34", "the longest unused went; asking for it was no use");
    (void)put(store, 5, 1);
    TAP_STR(kept(store, 5), "1..45", "next in order");
    TAP_INT(read_range(store, 2, 2, 0, 1), -ENOENT, "what went is not found");
    TAP_INT(read_range(store, 4, 4, 999, 1), 0, "the last byte");
    TAP_INT(read_range(store, 4, 4, 1000, 0), 0, "nothing, at the end");
    TAP_INT(read_range(store, 4, 4, 333, 334), 0, "a range");
    store_drop(store, 4);
    store_drop(store, 4);
    store_drop(store, 77);
    TAP_STR(kept(store, 5), "1...5", "dropped");
    stats = look(store);
    TAP_INT((int64_t)stats.memory, (int64_t)(1001 + 2 * COST), "and not counted any more");
    TAP_INT((int64_t)stats.n_hits, 4, "hits");
    TAP_INT((int64_t)stats.n_misses, 1, "misses");
    TAP_INT((int64_t)stats.n_evicted, 2, "evicted");
    close_store(store);
}

static void test_sizes(void)
{
    struct store *store = open_store(10000, NULL, 0);
    size_t max = store_object_max(store);
    (void)put(store, 1, 0);
    TAP_INT(read_range(store, 1, 1, 0, 0), 0, "an empty object is one");
    (void)put(store, 2, max + 1);
    TAP_STR(kept(store, 2), "1.", "one that is too large is not kept, and drives nothing out");
    (void)put(store, 3, max);
    TAP_STR(kept(store, 3), "..3", "the largest is kept, alone");
    TAP_INT(read_range(store, 3, 3, 0, max), 0, "all of it");
    (void)put(store, 4, 0);
    TAP_STR(kept(store, 4), "...4", "even an empty one needs room");
    void *empty = malloc(100);
    TAP_OK(store_has(store, store_put(store, empty, 0)), "an empty one with memory is taken");
    for (int i = 0; i < 10000; i++)
        (void)put(store, 9, 0);
    TAP_INT((int64_t)look(store).n_objects, 10000 / COST, "empty ones do not pile up");
    close_store(store);

    store = open_store(1, NULL, 0);
    TAP_INT((int64_t)store_object_max(store), 0, "no memory to speak of");
    memory_max = COST;
    (void)put(store, 1, 1);
    (void)put(store, 2, 0);
    (void)put(store, 3, 0);
    TAP_STR(kept(store, 3), "..3", "but for the newest empty one");
    close_store(store);
}

/* ---- the spool ---- */

static void test_spool(void)
{
    /* Room for one object in memory and four in the spool. */
    struct store *store = open_store(10000 + 8 * COST, dir, 4 * 12 * KIB);
    struct stat st;
    TAP_OK(fstat(atomic_load(&disk.fd), &st) == 0 && st.st_nlink == 0 &&
               (st.st_mode & 0777) == 0600,
           "the spool has no name and one reader");
    for (unsigned i = 1; i <= 4; i++)
        (void)put(store, i, 10000 - i);
    struct store_stats stats = look(store);
    TAP_INT((int64_t)stats.spooled, 3 * 12 * KIB, "three of four in the spool, in whole blocks");
    TAP_INT((int64_t)stats.memory, (int64_t)(9996 + 4 * COST), "one in memory");
    bool ok = true;
    for (unsigned i = 1; i <= 4; i++)
        ok = ok && read_range(store, i, i, 0, 10000 - i) == 0 &&
             read_range(store, i, i, 4095, 2) == 0 && read_range(store, i, i, 9000, 900) == 0 &&
             read_range(store, i, i, 10000 - i, 0) == 0;
    TAP_OK(ok, "every byte comes back");
    TAP_OK(atomic_load(&disk.n_reads) > 0, "from the disk");
    TAP_OK(disk_held() >= 3 * 12 * KIB && disk_held() < 3 * 12 * KIB + 64 * KIB,
           "which holds what is said");
    (void)put(store, 5, 10000);
    TAP_INT(read_range(store, 1, 1, 0, 1), 0, "the first is used");
    (void)put(store, 6, 10000);
    TAP_STR(kept(store, 6), "1.3456", "so the second is the first to leave the spool");
    (void)put(store, 7, 10000);
    TAP_STR(kept(store, 7), "1..4567", "then the third");
    TAP_INT((int64_t)look(store).spooled, 4 * 12 * KIB, "the spool is full");
    TAP_INT((int64_t)look(store).n_evicted, 2, "two left for good");
    ok = true;
    for (unsigned i = 4; i <= 7; i++)
        ok = ok && read_range(store, i, i, 0, 10000 - (i < 5 ? i : 0)) == 0;
    TAP_OK(ok, "the others are what they were");
    store_drop(store, 5);
    store_drop(store, 1);
    TAP_INT((int64_t)look(store).spooled, 2 * 12 * KIB, "drops are given back");
    TAP_OK(disk_held() < 2 * 12 * KIB + 64 * KIB, "really");
    for (unsigned i = 8; i <= 400; i++)
        (void)put(store, i, 10000);
    TAP_OK(disk_held() < 4 * 12 * KIB + 64 * KIB, "much went through: the holes are punched");
    TAP_OK(fstat(atomic_load(&disk.fd), &st) == 0 && (size_t)st.st_size > 300 * 12 * KIB,
           "in a file of many times that length");
    TAP_INT(read_range(store, 397, 397, 0, 10000), 0, "the oldest kept");
    for (unsigned i = 396; i <= 400; i++)
        store_drop(store, i);
    stats = look(store);
    TAP_INT((int64_t)(stats.memory + stats.spooled + stats.n_objects), 0, "all dropped");
    TAP_INT((int64_t)stats.n_spool_fail, 0, "without failures");
    close_store(store);
}

static void test_spool_small(void)
{
    struct store *store = open_store(11 * COST, dir, 8 * KIB);
    for (unsigned i = 1; i <= 4; i++)
        (void)put(store, i, 9 * COST);
    TAP_STR(kept(store, 4), "..34", "records of what is spooled take memory");
    (void)put(store, 5, 0);
    (void)put(store, 6, 0);
    TAP_STR(kept(store, 6), "..3456", "empty ones go where they like");
    TAP_INT(read_range(store, 5, 5, 0, 0), 0, "and come back");
    TAP_INT(read_range(store, 3, 3, 0, 9 * COST), 0, "as do others");
    close_store(store);

    store = open_store(20000, dir, 8 * KIB);
    (void)put(store, 1, 9000);
    (void)put(store, 2, 18000);
    TAP_STR(kept(store, 2), ".2", "what the spool can never hold is dropped");
    TAP_INT((int64_t)look(store).n_spool_fail, 0, "which is no failure");
    close_store(store);
}

static void test_open(void)
{
    struct store *store = NULL;
    char path[128];
    snprintf(path, sizeof(path), "%s/missing", dir);
    struct store_config config = {.dir = path};
    TAP_INT(OPEN_0, -ENOENT, "no such directory");
    config.dir = "/dev/null";
    TAP_INT(OPEN_0, -ENOTDIR, "no directory");
    if (geteuid() == 0 && seteuid(65534) == 0) { /* root may write everywhere */
        config.dir = dir;
        TAP_INT(OPEN_0, -EACCES, "somebody else's directory");
        if (seteuid(0) < 0)
            abort();
    }
    TAP_OK(!store, "nothing came out");
    atomic_store(&disk.open_error, EMFILE);
    config.dir = dir;
    TAP_INT(OPEN_0, -EMFILE, "too many files");
    int errors[] = {EOPNOTSUPP, EISDIR};
    for (int i = 0; i < 2; i++) {
        atomic_store(&disk.open_error, errors[i]);
        store = open_store(10000, dir, 64 * KIB);
        (void)put(store, 1, 9000);
        (void)put(store, 2, 9000);
        TAP_INT(read_range(store, 1, 1, 0, 9000), 0, "a spool where files must have names");
        struct stat st;
        TAP_OK(fstat(atomic_load(&disk.fd), &st) == 0 && st.st_nlink == 0 &&
                   (st.st_mode & 0777) == 0600,
               "has none, either");
        close_store(store);
    }
    config.dir = path;
    TAP_INT(OPEN_0, -ENOENT, "no such directory, there");
    atomic_store(&disk.open_error, 0);
    store_close(NULL);
}

/* ---- memory ---- */

static void test_no_memory(void)
{
    unsigned n_wrong = 0;
    unsigned n_lost = 0;
    long nth;
    for (nth = 0; nth < 500; nth++) {
        struct store *store = NULL;
        struct store_config config = {.memory = 3000, .dir = dir, .spool_size = 64 * KIB};
        memory_max = config.memory;
        spool_max = config.spool_size;
        is_armed = true;
        n_until_failure = nth;
        int result = OPEN_0;
        for (unsigned i = 1; i <= 30 && result == 0; i++)
            n_wrong += put(store, i, 1000) != i;
        is_armed = false;
        n_wrong += result != 0 && result != -ENOMEM;
        for (unsigned i = 1; i <= 30 && result == 0; i++) {
            int found = read_range(store, i, i, 0, 1000);
            n_wrong += found == -EILSEQ;
            n_lost += found == -ENOENT;
        }
        if (result == 0)
            n_wrong += read_range(store, put(store, 31, 1000), 31, 0, 1000) != 0;
        store_close(store);
        if (n_until_failure > 0)
            break;
    }
    TAP_INT(n_wrong, 0, "no memory from the n-th allocation on: nothing worse than lost objects");
    TAP_INT(n_over, 0, "budgets are kept");
    TAP_OK(nth > 30 && nth < 500 && n_lost > 100, "every allocation had its turn");
    printf("# %ld allocations, %u objects lost\n", nth, n_lost);
}

/* What an object costs that lies in the spool. */
static void test_record_size(void)
{
    enum { N = 20000 };
    struct store *store = open_store((size_t)4 << 20, dir, (uint64_t)1 << 30);
    size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    for (unsigned i = 0; i < N; i++)
        (void)put(store, i, 4096);
    size_t taken = mallinfo2().uordblks + mallinfo2().hblkhd - before;
    struct store_stats stats = look(store);
    TAP_INT((int64_t)stats.n_objects, N, "many are kept");
    TAP_OK(stats.memory > memory_max - 8192, "in all the memory that there is");
    if (!HAS_SANITIZER) {
        size_t per_object = (taken - (stats.memory - N * COST)) / N;
        printf("# %zu bytes per object besides its bytes\n", per_object);
        TAP_OK(per_object < COST, "and an object takes less than is said besides its bytes");
    }
    close_store(store);
}

int main(void)
{
    objects_open();
    test_memory();
    test_sizes();
    test_spool();
    test_spool_small();
    test_open();
    test_no_memory();
    test_record_size();
    TAP_OK(objects_close(), "the directory is as it was");
    return tap_done();
}
