/* When contents were first seen: what stays the same from mount to mount, what must not, files that
 * are damaged, shared, replaced or not to be written, and a clock that jumps.
 */
#include "fs/seen.h"
#include "fs/seen_line.h"
#include "tests/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

TAP_STATE;

#define S    INT64_C(1000000000)
#define LINE ((off_t)FS_SEEN_LINE)

static char dir[] = "/tmp/canisterfs-test-seen-XXXXXX";

/* ---- the clock and the disk ---- */

static atomic_llong clock_is_ns; /* CLOCK_REALTIME; 0: the true one */
static atomic_int write_error;   /* positive; of every write */
static atomic_uint write_max;    /* most bytes that one takes; 0: all */

int __real_clock_gettime(clockid_t clock, struct timespec *out);
int __wrap_clock_gettime(clockid_t clock, struct timespec *out);
ssize_t __real_write(int fd, const void *bytes, size_t len);
ssize_t __wrap_write(int fd, const void *bytes, size_t len);

int __wrap_clock_gettime(clockid_t clock, struct timespec *out)
{
    int64_t now_ns = atomic_load(&clock_is_ns);
    if (clock != CLOCK_REALTIME || now_ns == 0)
        return __real_clock_gettime(clock, out);
    *out = (struct timespec){.tv_sec = now_ns / S, .tv_nsec = now_ns % S};
    return 0;
}

ssize_t __wrap_write(int fd, const void *bytes, size_t len)
{
    size_t max = atomic_load(&write_max);
    errno = atomic_load(&write_error);
    return errno != 0 ? -1 : __real_write(fd, bytes, max > 0 && len > max ? max : len);
}

/* ---- allocations of the code under test: from the n-th on they fail while armed ---- */

static atomic_bool is_armed;
static long n_until_failure;

static bool must_fail(void)
{
    return atomic_load(&is_armed) && n_until_failure-- <= 0;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);

void *__wrap_malloc(size_t size)
{
    return must_fail() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return must_fail() ? NULL : __real_calloc(n, size);
}

/* ---- short ways ---- */

static const char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static struct fs_seen *open_seen(void)
{
    struct fs_seen *seen = NULL;
    if (!TAP_INT(fs_seen_open(&seen, dir, "file"), 0, "open"))
        exit(1);
    return seen;
}

/* The time of content number `content` at a path. */
static int64_t at(struct fs_seen *seen, const char *path, unsigned content, int64_t told_ns)
{
    uint8_t hash[FS_SEEN_HASH] = {1, 2, 3};
    memcpy(hash + 20, &content, sizeof(content));
    return fs_seen_at(seen, path, hash, told_ns);
}

static int64_t at_number(struct fs_seen *seen, unsigned path, unsigned content)
{
    char name[32];
    snprintf(name, sizeof(name), "path/%u", path);
    return at(seen, name, content, 0);
}

/* What a fresh mount says. */
static int64_t at_remount(const char *path, unsigned content)
{
    struct fs_seen *seen = NULL;
    if (fs_seen_open(&seen, dir, "file") < 0)
        return -1;
    int64_t time_ns = at(seen, path, content, 1);
    fs_seen_close(seen);
    return time_ns;
}

static void put_file(const char *bytes, size_t len)
{
    FILE *file = fopen(path_of("file"), "we");
    if (!file || fwrite(bytes, 1, len, file) != len || fclose(file) != 0)
        abort();
}

static size_t get_file(char *bytes, size_t max)
{
    FILE *file = fopen(path_of("file"), "re");
    if (!file)
        return 0;
    size_t len = fread(bytes, 1, max, file);
    fclose(file);
    return len;
}

static struct stat stat_file(void)
{
    struct stat st = {0};
    (void)stat(path_of("file"), &st);
    return st;
}

static void no_file(void)
{
    unlink(path_of("file"));
}

/* ---- what times there are ---- */

static void test_times(const char *where)
{
    struct fs_seen *seen = NULL;
    TAP_INT(fs_seen_open(&seen, where, "file"), 0, where ? "with a file" : "without a file");
    int64_t before = (int64_t)time(NULL) * S;
    int64_t first = at(seen, "a", 1, 0);
    TAP_OK(first >= before && first < before + 10 * S, "a new content was seen now");
    TAP_INT(at(seen, "a", 1, 0), first, "it stays");
    TAP_INT(at(seen, "a", 1, 5 * S), first, "whatever is told");
    int64_t second = at(seen, "a", 2, 0);
    TAP_OK(second / S > first / S, "another one gets a later second");
    TAP_INT(at(seen, "a", 1, 0) / S, second / S + 1, "so does the first when it comes back");
    TAP_INT(at(seen, "b", 1, 7 * S + 5), 7 * S + 5, "what is told is taken");
    TAP_INT(at(seen, "b", 2, 7 * S + 6), 8 * S, "unless it is of the same second");
    TAP_INT(at(seen, "b", 3, 3 * S), 9 * S, "or an older one");
    TAP_INT(at(seen, "b", 4, 11 * S - 1), 11 * S - 1, "a later one is taken as it is");
    static const int64_t unlikely[] = {-1, INT64_MIN, INT64_MAX, FS_SEEN_TIME_MAX};
    for (unsigned i = 0; i < 4; i++) {
        char path[2] = {(char)('f' + (int)i), '\0'};
        int64_t time_ns = at(seen, path, 1, unlikely[i]);
        TAP_OK(time_ns >= before && time_ns < before + 10 * S, "an unlikely time is not believed");
    }
    int64_t newline = at(seen, "a\nb c", 1, 100 * S), empty = at(seen, "", 1, 200 * S);
    TAP_OK(newline == 100 * S && empty == 200 * S, "paths of any kind");
    TAP_INT(at(seen, "a\nb c", 1, 0), 100 * S, "are told apart");
    fs_seen_close(seen);
    no_file();
}

static void test_remount(void)
{
    struct fs_seen *seen = open_seen();
    struct stat st = stat_file();
    TAP_OK(S_ISREG(st.st_mode) && (st.st_mode & 0777) == 0600, "the file is the user's alone");
    TAP_INT(at(seen, "a", 1, 50 * S + 3), 50 * S + 3, "seen");
    TAP_INT(at(seen, "b", 1, 60 * S), 60 * S, "another");
    fs_seen_close(seen);
    TAP_INT(stat_file().st_size, 2 * LINE, "two lines");
    TAP_INT(at_remount("a", 1), 50 * S + 3, "the next mount knows it");
    TAP_INT(stat_file().st_size, 2 * LINE, "and writes nothing");
    seen = open_seen();
    TAP_INT(at(seen, "a", 2, 40 * S), 51 * S, "what changed meanwhile is later than it was");
    TAP_INT(at(seen, "b", 1, 0), 60 * S, "what did not is as it was");
    fs_seen_close(seen);
    TAP_INT(at_remount("a", 2), 51 * S, "the last one counts");
    fs_seen_close(NULL);
    no_file();
}

static void test_clock(void)
{
    atomic_store(&clock_is_ns, 5000 * S + 7);
    struct fs_seen *seen = open_seen();
    TAP_INT(at(seen, "a", 1, 0), 5000 * S + 7, "the present time");
    atomic_store(&clock_is_ns, 3000 * S);
    TAP_INT(at(seen, "a", 2, 0), 5001 * S, "the clock goes back: times do not");
    fs_seen_close(seen);
    seen = open_seen();
    TAP_INT(at(seen, "a", 3, 0), 5002 * S, "nor at the next mount");
    TAP_INT(at(seen, "b", 3, 0), 3000 * S, "other paths have the clock's");
    atomic_store(&clock_is_ns, 9000 * S);
    TAP_INT(at(seen, "a", 4, 0), 9000 * S, "and all when it is right again");
    atomic_store(&clock_is_ns, -5 * S);
    TAP_INT(at(seen, "c", 1, 0), 1, "a clock before 1970");
    fs_seen_close(seen);
    atomic_store(&clock_is_ns, 0);
    TAP_INT(at_remount("c", 1), 1, "even that is remembered");
    no_file();
}

/* ---- damaged files ---- */

/* Three paths with one content each; how many of them are known from these bytes? */
static unsigned known_from(const char *bytes, size_t len)
{
    static const char *const paths[] = {"a", "b", "c"};
    unsigned n = 0;
    struct fs_seen *seen = NULL;
    put_file(bytes, len);
    if (fs_seen_open(&seen, dir, "file") < 0)
        return 100;
    for (unsigned i = 0; i < 3; i++) {
        int64_t time_ns = at(seen, paths[i], i, 1);
        if (time_ns == (70 + i) * S)
            n++;
        else if (time_ns != 1)
            n += 10; /* made up */
    }
    fs_seen_close(seen);
    return n;
}

static void test_damage(void)
{
    char good[3 * FS_SEEN_LINE], bad[sizeof(good) + 1000];
    struct fs_seen *seen = open_seen();
    (void)at(seen, "a", 0, 70 * S);
    (void)at(seen, "b", 1, 71 * S);
    (void)at(seen, "c", 2, 72 * S);
    fs_seen_close(seen);
    TAP_INT((int64_t)get_file(good, sizeof(good)), sizeof(good), "three lines");
    TAP_INT(known_from(good, sizeof(good)), 3, "are known");

    unsigned n_wrong = 0;
    for (size_t i = 0; i < sizeof(good); i++) {
        memcpy(bad, good, sizeof(good));
        bad[i] = (char)(bad[i] ^ (1 << i % 8));
        /* Two lines without their newline: the second counts. */
        unsigned want = 2;
        n_wrong += known_from(bad, sizeof(good)) != want;
    }
    TAP_INT(n_wrong, 0, "any bit that flips costs its line");
    n_wrong = 0;
    for (size_t len = 0; len < sizeof(good); len++)
        n_wrong += known_from(good, len) != len / FS_SEEN_LINE;
    TAP_INT(n_wrong, 0, "a file cut off anywhere");
    n_wrong = 0;
    for (size_t cut = 1; cut < FS_SEEN_LINE; cut += 10) { /* then appended to */
        put_file(good, 2 * FS_SEEN_LINE - cut);
        seen = NULL;
        n_wrong += fs_seen_open(&seen, dir, "file") != 0;
        n_wrong += at(seen, "c", 2, 72 * S) != 72 * S;
        fs_seen_close(seen);
        n_wrong += at_remount("c", 2) != 72 * S || at_remount("a", 0) != 70 * S;
    }
    TAP_INT(n_wrong, 0, "does not harm what is appended");

    put_file(good, sizeof(good));
    seen = open_seen();
    TAP_INT(at(seen, "a", 5, 75 * S), 75 * S, "a later content of the first path");
    fs_seen_close(seen);
    TAP_INT((int64_t)get_file(bad, 4 * FS_SEEN_LINE), 4 * LINE, "has a line of its own");
    put_file(bad + 3 * FS_SEEN_LINE, FS_SEEN_LINE);
    FILE *file = fopen(path_of("file"), "ae");
    if (!file || fwrite(good, 1, sizeof(good), file) != sizeof(good) || fclose(file) != 0)
        abort();
    TAP_INT(at_remount("a", 5), 75 * S, "the latest time counts, wherever it stands");
    memset(bad, 0, sizeof(bad));

    for (size_t i = 0; i < sizeof(bad); i++)
        bad[i] = (char)(i * 37 + i / 7);
    memcpy(bad + 500, good, sizeof(good));
    TAP_INT(known_from(bad, sizeof(bad)), 3, "among junk");
    memset(bad, '\0', sizeof(bad));
    memcpy(bad + 500, good, sizeof(good));
    TAP_INT(known_from(bad, sizeof(bad)), 3, "and zeros");
    memset(bad, '\n', sizeof(bad));
    memcpy(bad + 500, good, sizeof(good));
    TAP_INT(known_from(bad, sizeof(bad)), 3, "and empty lines");
    no_file();
}

/* Behind a hole: the line of path "real", and so many others. */
static void put_lines(unsigned n, off_t hole)
{
    FILE *file = fopen(path_of("file"), "we");
    char line[FS_SEEN_LINE];
    struct fs_seen_line like;
    struct fs_seen *seen = open_seen();
    (void)at(seen, "real", 1, 77 * S);
    fs_seen_close(seen);
    char real[FS_SEEN_LINE];
    (void)get_file(real, sizeof(real));
    if (!file || ftruncate(fileno(file), 0) < 0 || fseeko(file, hole, SEEK_SET) < 0)
        abort();
    memset(&like, 0, sizeof(like));
    like.time_ns = 5;
    for (unsigned i = 0; i < n; i++) {
        memcpy(like.path, &i, sizeof(i));
        fs_seen_line_format(&like, line);
        if (i == 0 && fwrite(real, 1, sizeof(real), file) != sizeof(real))
            abort();
        if (fwrite(line, 1, sizeof(line), file) != sizeof(line))
            abort();
    }
    if (fclose(file) != 0)
        abort();
}

static void test_huge(void)
{
    put_lines(10, (off_t)1 << 40); /* a tebibyte of zeros, then lines */
    ino_t ino = stat_file().st_ino;
    TAP_INT(at_remount("real", 1), 77 * S, "lines behind a tebibyte of nothing");
    TAP_INT(stat_file().st_size, 11 * LINE, "the file is rewritten without it");
    TAP_OK(stat_file().st_ino != ino, "in another's place");
    put_lines(10, 65536 - 50);
    TAP_INT(at_remount("real", 1), 77 * S, "or in pieces");
    put_lines(420000, 0);
    TAP_INT(at_remount("real", 1), 1, "of too many lines the oldest are forgotten");
    struct fs_seen *seen = open_seen();
    for (unsigned i = 0; i < 100; i++)
        (void)at_number(seen, i, 1);
    fs_seen_close(seen);
    TAP_INT(at_remount("path/99", 1) > 100 * S, true, "new ones are not");
    no_file();
}

/* ---- rewriting ---- */

static void test_rewrite(void)
{
    struct fs_seen *seen = open_seen();
    for (unsigned path = 0; path < 1000; path++)
        (void)at_number(seen, path, 1);
    ino_t ino = stat_file().st_ino;
    for (unsigned path = 0; path < 900; path++)
        (void)at_number(seen, path, 2);
    fs_seen_close(seen);
    seen = open_seen();
    TAP_INT(stat_file().st_size, 1900 * LINE, "lines are appended");
    TAP_OK(stat_file().st_ino == ino, "not while less than half is outdated");
    int64_t kept = at_number(seen, 999, 1);
    int64_t changed = at_number(seen, 7, 2);
    fs_seen_close(seen);

    /* A mount in which much changes rewrites, too. */
    put_file("left", 4);
    rename(path_of("file"), path_of("tmp"));
    char from[128];
    snprintf(from, sizeof(from), "%s", path_of("tmp"));
    no_file();
    rename(from, path_of("file.new")); /* a rewrite that a crash ended */
    seen = open_seen();
    off_t longest = 0;
    for (unsigned i = 0; i < 5000; i++) {
        (void)at_number(seen, i % 50, i);
        off_t size = i % 100 == 0 ? stat_file().st_size : 0;
        longest = size > longest ? size : longest;
    }
    TAP_OK(longest < 500 * LINE, "a file does not grow with every change");
    int64_t last = at_number(seen, 49, 4999);
    fs_seen_close(seen);
    TAP_INT(at_remount("path/49", 4999), last, "and loses nothing");
    TAP_INT(access(path_of("file.new"), F_OK), -1, "nothing is left beside it");
    TAP_OK(kept > 0 && changed > kept - S, "times were times");
    TAP_OK((stat_file().st_mode & 0777) == 0600, "the user's alone, still");
    no_file();
}

/* ---- more than one ---- */

static void test_two(void)
{
    struct fs_seen *a = open_seen(), *b = open_seen();
    int64_t first = at(a, "p", 1, 80 * S);
    TAP_INT(at(b, "p", 1, 90 * S), first, "what one has seen the other knows");
    TAP_INT(at(b, "p", 2, 0) / S > first / S, true, "what the other sees is later");
    TAP_INT(at(a, "p", 3, 1) / S, at(b, "p", 2, 0) / S + 1, "for both");
    TAP_INT(at(a, "q", 1, 81 * S), 81 * S, "one line of one");
    TAP_INT(at(b, "r", 1, 82 * S), 82 * S, "one of the other");
    /* Somebody else makes waste of the file, and rewrites it. */
    struct fs_seen *c = open_seen();
    ino_t ino = stat_file().st_ino;
    for (unsigned i = 0; i < 600; i++)
        (void)at(c, "s", i, 0);
    fs_seen_close(c);
    TAP_OK(stat_file().st_ino != ino, "a third rewrites the file");
    TAP_INT(at(a, "t", 1, 83 * S), 83 * S, "which the others write to");
    TAP_INT(at(b, "t", 1, 84 * S), 83 * S, "and read");
    TAP_INT(at(b, "u", 1, 85 * S), 85 * S, "both of them");
    TAP_INT(at_remount("q", 1), 81 * S, "nothing");
    TAP_INT(at_remount("r", 1), 82 * S, "is");
    TAP_INT(at_remount("t", 1), 83 * S, "ever");
    TAP_INT(at_remount("u", 1), 85 * S, "lost");
    no_file();
    TAP_INT(at(a, "v", 1, 86 * S), 86 * S, "a file that was deleted");
    TAP_INT(at_remount("v", 1), 86 * S, "is made again");
    fs_seen_close(a);
    fs_seen_close(b);
    no_file();
}

/* Processes that come and go; each content gets one time. */
static void test_processes(void)
{
    enum { N_PROCESSES = 4, N_PATHS = 150, N_ROUNDS = 3 };
    static int64_t times[N_PROCESSES][N_ROUNDS][N_PATHS];
    int pipes[N_PROCESSES][2];
    unsigned n_wrong = 0, n_lost = 0;
    for (unsigned p = 0; p < N_PROCESSES; p++) {
        if (pipe(pipes[p]) < 0)
            abort();
        pid_t pid = fork();
        if (pid < 0)
            abort();
        if (pid > 0)
            continue;
        for (unsigned round = 0; round < N_ROUNDS; round++) {
            struct fs_seen *seen = NULL;
            if (fs_seen_open(&seen, dir, "file") < 0)
                _exit(1);
            for (unsigned i = 0; i < N_PATHS; i++) {
                times[p][round][i] = at_number(seen, i, 1);
                (void)at_number(seen, 1000 + p, round * N_PATHS + i); /* waste, to be rewritten */
            }
            fs_seen_close(seen);
        }
        _exit(__real_write(pipes[p][1], times[p], sizeof(times[p])) != sizeof(times[p]));
    }
    for (unsigned p = 0; p < N_PROCESSES; p++)
        if (read(pipes[p][0], times[p], sizeof(times[p])) != sizeof(times[p]))
            n_lost += 1000;
    int status;
    while (wait(&status) > 0)
        n_wrong += status != 0;
    struct fs_seen *seen = open_seen();
    for (unsigned i = 0; i < N_PATHS; i++) {
        int64_t time_ns = at_number(seen, i, 1);
        for (unsigned p = 0; p < N_PROCESSES; p++)
            for (unsigned round = 0; round < N_ROUNDS; round++)
                n_lost += times[p][round][i] != time_ns;
    }
    fs_seen_close(seen);
    TAP_INT(n_wrong, 0, "all ended well");
    TAP_INT(n_lost, 0, "what any of four processes saw has one time in all");
    no_file();
}

static void *use(void *arg)
{
    struct fs_seen *seen = arg;
    for (unsigned i = 0; i < 2000; i++)
        (void)at_number(seen, i % 40, i / 400);
    return NULL;
}

static void test_threads(void)
{
    struct fs_seen *seen = open_seen();
    pthread_t threads[4];
    for (unsigned i = 0; i < 4; i++)
        if (pthread_create(&threads[i], NULL, use, seen) != 0)
            abort();
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    int64_t time_ns = at_number(seen, 3, 4);
    fs_seen_close(seen);
    TAP_INT(at_remount("path/3", 4), time_ns, "threads");
    no_file();
}

/* ---- what cannot be opened or written ---- */

static void test_open(void)
{
    struct fs_seen *seen = NULL;
    TAP_INT(fs_seen_open(&seen, "/nonexistent", "file"), -ENOENT, "no such directory");
    TAP_INT(fs_seen_open(&seen, "/dev/null", "file"), -ENOTDIR, "no directory");
    mkdir(path_of("file"), 0700);
    TAP_INT(fs_seen_open(&seen, dir, "file"), -EISDIR, "a directory");
    rmdir(path_of("file"));
    (void)!symlink("/etc/passwd", path_of("file"));
    TAP_INT(fs_seen_open(&seen, dir, "file"), -ELOOP, "a symbolic link");
    no_file();
    (void)!symlink("nowhere", path_of("file"));
    TAP_INT(fs_seen_open(&seen, dir, "file"), -ELOOP, "one that leads nowhere");
    TAP_INT(access(path_of("nowhere"), F_OK), -1, "makes nothing there");
    no_file();
    mkfifo(path_of("file"), 0600);
    TAP_INT(fs_seen_open(&seen, dir, "file"), -EINVAL, "a pipe");
    no_file();
    if (geteuid() == 0) { /* only root can make what belongs to somebody else, or is one */
        put_file("", 0);
        if (chown(path_of("file"), 65534, 65534) < 0)
            abort();
        TAP_INT(fs_seen_open(&seen, dir, "file"), -EPERM, "somebody else's file");
        no_file();
        chmod(dir, 0755);
        if (seteuid(65534) < 0)
            abort();
        TAP_INT(fs_seen_open(&seen, dir, "file"), -EACCES, "a directory that is read-only");
        if (seteuid(0) < 0)
            abort();
        chmod(dir, 0700);
    }
    TAP_OK(!seen, "nothing came out");
}

static void test_failing_writes(void)
{
    struct fs_seen *seen = open_seen();
    atomic_store(&write_error, ENOSPC);
    int64_t a = at(seen, "a", 1, 0);
    TAP_INT(at(seen, "a", 1, 1), a, "the disk is full: remembered all the same");
    TAP_INT(stat_file().st_size, 0, "not in the file");
    TAP_INT(at(seen, "b", 1, 33 * S), 33 * S, "another");
    TAP_INT(at(seen, "b", 2, 1), 34 * S, "that changes");
    atomic_store(&write_error, 0);
    atomic_store(&write_max, 100);
    TAP_INT(at(seen, "c", 1, 35 * S), 35 * S, "half a line is written");
    atomic_store(&write_max, 0);
    TAP_INT(at(seen, "d", 1, 36 * S), 36 * S, "then a whole one");
    TAP_INT(at_remount("d", 1), 36 * S, "which counts");
    fs_seen_close(seen);
    TAP_INT(at_remount("a", 1), a, "what could not be written is, at the end");
    TAP_INT(at_remount("b", 2), 34 * S, "the last of it");
    TAP_INT(at_remount("c", 1), 35 * S, "and that which was cut off");

    seen = open_seen();
    atomic_store(&write_error, EIO);
    for (unsigned i = 0; i < 500; i++) /* a rewrite fails, too */
        (void)at_number(seen, 1, i);
    atomic_store(&write_error, 0);
    for (unsigned i = 500; i < 1100; i++)
        (void)at_number(seen, 1, i);
    atomic_store(&write_max, 1000);
    for (unsigned i = 1100; i < 2000; i++)
        (void)at_number(seen, 1, i);
    int64_t last = at_number(seen, 1, 1999);
    fs_seen_close(seen);
    atomic_store(&write_max, 0);
    TAP_INT(at_remount("path/1", 1999), last, "a rewrite that fails loses nothing");
    TAP_INT(at_remount("d", 1), 36 * S, "of what there was");
    TAP_INT(access(path_of("file.new"), F_OK), -1, "or leaves anything");
    no_file();
}

/* Somebody holds the lock and does not go on. */
static void test_lock(void)
{
    struct fs_seen *seen = open_seen();
    TAP_INT(at(seen, "a", 1, 41 * S), 41 * S, "a line");
    int fd = open(path_of("file"), O_RDONLY | O_CLOEXEC);
    if (flock(fd, LOCK_EX) < 0)
        abort();
    TAP_INT(at(seen, "b", 1, 42 * S), 42 * S, "the file is locked by others: no harm");
    TAP_INT(at(seen, "b", 2, 1), 43 * S, "done");
    TAP_INT(stat_file().st_size, LINE, "nor to them");
    struct fs_seen *other = open_seen();
    TAP_INT(at(other, "a", 1, 1), 41 * S, "it is read, too");
    fs_seen_close(other);
    close(fd);
    fs_seen_close(seen);
    TAP_INT(at_remount("b", 2), 43 * S, "written when it is free");
    no_file();
}

static void test_no_memory(void)
{
    struct fs_seen *seen = open_seen();
    for (unsigned i = 0; i < 40; i++)
        (void)at_number(seen, i, 1);
    fs_seen_close(seen);
    unsigned n_wrong = 0, n_refused = 0;
    long nth;
    for (nth = 0; nth < 500; nth++) {
        seen = NULL;
        n_until_failure = nth;
        atomic_store(&is_armed, true);
        int result = fs_seen_open(&seen, dir, "file");
        n_refused += result == -ENOMEM;
        n_wrong += result != 0 && result != -ENOMEM;
        for (unsigned i = 0; i < 80 && seen; i++) {
            char path[32];
            snprintf(path, sizeof(path), "path/%u", i);
            n_wrong += at(seen, path, 2, (5000000000 + nth) * S) < 5000000000 * S;
        }
        atomic_store(&is_armed, false);
        fs_seen_close(seen);
        if (n_until_failure > 0)
            break;
    }
    TAP_INT(n_wrong, 0, "no memory from the n-th allocation on: ENOMEM, or times");
    TAP_OK(n_refused > 40 && nth > n_refused && nth < 500, "every allocation had its turn");
    TAP_INT(at_remount("path/7", 2) / S >= 5000000000, true, "what was written is known");
    no_file();
}

int main(void)
{
    if (!mkdtemp(dir))
        return 1;
    test_times(NULL);
    test_times(dir);
    test_remount();
    test_clock();
    test_damage();
    test_huge();
    test_rewrite();
    test_two();
    test_processes();
    test_threads();
    test_open();
    test_failing_writes();
    test_lock();
    test_no_memory();
    TAP_INT(rmdir(dir), 0, "the directory is empty");
    return tap_done();
}
