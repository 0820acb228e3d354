/* Whole objects: what is kept where and for how long, the spool file as the disk sees it, every way
 * in which a disk fails, and memory that runs out.
 */
#include "cache/store.h"
#include "tests/cache/disk.h"
#include "tests/tap.h"

#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

TAP_STATE;

#define KIB    ((size_t)1024)
#define COST   ((size_t)144) /* of an object besides its bytes, as store.h says */
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

static char dir[] = "/tmp/canisterfs-test-objects-XXXXXX";

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

/* ---- objects that are known again ---- */

static unsigned char byte_of(unsigned seed, size_t i)
{
    return (unsigned char)((seed * 131 + i * 7 + i / 251) & 0xff);
}

/* Was the budget kept, each time it was looked at? */
static size_t memory_max;
static uint64_t spool_max;
static atomic_uint n_over;

static struct store_stats look(struct store *store)
{
    struct store_stats stats;
    store_get_stats(store, &stats);
    n_over += stats.memory > memory_max || stats.spooled > spool_max;
    return stats;
}

static uint64_t put(struct store *store, unsigned seed, size_t len)
{
    unsigned char *bytes = len > 0 ? __real_malloc(len) : NULL;
    if (len > 0 && !bytes)
        abort();
    for (size_t i = 0; i < len; i++)
        bytes[i] = byte_of(seed, i);
    uint64_t number = store_put(store, bytes, len);
    (void)look(store);
    return number;
}

/* Read a range in three pieces. Returns 0, -ENOENT, or -EILSEQ for a wrong byte. */
static int read_range(struct store *store, uint64_t number, unsigned seed, size_t off, size_t len)
{
    unsigned char *to = __real_malloc(len + 1);
    if (!to)
        abort();
    memset(to, 0x5a, len + 1);
    size_t first = len / 3;
    struct iovec iov[] = {{to, first}, {to + first, 0}, {to + first, len - first}};
    int result = store_read(store, number, off, iov, 3);
    for (size_t i = 0; i < len && result == 0; i++)
        result = to[i] == byte_of(seed, off + i) ? 0 : -EILSEQ;
    if (to[len] != 0x5a)
        result = -EILSEQ;
    free(to);
    (void)look(store);
    return result;
}

/* Which of the objects 1 to n are kept, as "1.3" for 1 and 3 of three. */
static const char *kept(struct store *store, unsigned n)
{
    static char text[64];
    for (unsigned i = 0; i < n; i++)
        text[i] = store_has(store, i + 1) ? (char)('1' + i) : '.';
    text[n] = '\0';
    return text;
}

static struct store *open_store(size_t memory, const char *where, uint64_t spool_size)
{
    struct store *store = NULL;
    struct store_config config = {.memory = memory, .dir = where, .spool_size = spool_size};
    memory_max = memory;
    spool_max = where ? spool_size : 0;
    n_over = 0;
    if (store_open(&store, &config) < 0)
        abort();
    return store;
}

static void close_store(struct store *store)
{
    TAP_INT(n_over, 0, "never over either budget");
    store_close(store);
}

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
    if (OPEN_0 < 0)
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

static bool is_empty(const char *path)
{
    unsigned n = 0;
    DIR *stream = opendir(path);
    while (stream && readdir(stream))
        n++;
    if (stream)
        closedir(stream);
    return n == 2;
}

int main(void)
{
    if (!mkdtemp(dir))
        return 1;
    test_memory();
    test_sizes();
    test_spool();
    test_spool_small();
    test_open();
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
    test_no_memory();
    test_record_size();
    TAP_OK(is_empty(dir), "the directory is as it was");
    test_full_disk();
    rmdir(dir);
    return tap_done();
}
