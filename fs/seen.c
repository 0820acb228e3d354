/* When contents were first seen: see seen.h, and seen_line.h for the file's lines.
 *
 * The file is read and written under flock alone, one mount at a time; locks are held for moments
 * and never waited for longer than LOCK_WAIT_MS. Before a mount writes, it reads what others have
 * appended since it looked last. A mount that rewrites the file makes a new one beside it and gives
 * it the name, while it holds the locks of both; who locks the old one afterwards sees that it has
 * the name no more and opens the new one.
 *
 * Of the lines of a path the one with the latest time counts, wherever it stands: each new content
 * has got a later one. But a time that was given for a content stays, whatever others write.
 */
#include "fs/seen.h"

#include "cache/lock.h"
#include "fs/seen_line.h"
#include "ic/sha.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Running out of memory while adding to the table is no reason to exit. The key is a hash already.
 */
#define HASH_NONFATAL_OOM 1
#define HASH_FUNCTION(key, len, out)                                                               \
    do {                                                                                           \
        unsigned key_bits;                                                                         \
        memcpy(&key_bits, (key), sizeof(key_bits));                                                \
        (out) = key_bits;                                                                          \
    } while (0)
#include <uthash.h>

/* No more than this is read of a file, from its end, and no more is remembered. */
#define FILE_MAX    (INT64_C(64) << 20)
#define ENTRIES_MAX ((unsigned)(FILE_MAX / (int64_t)FS_SEEN_LINE))

/* A file is rewritten when more than half of it is of no use, and as much as this. */
#define WASTE_MIN (INT64_C(64) << 10)

#define LOCK_WAIT_MS 200
#define READ_SIZE    ((size_t)64 << 10)
#define WRITE_LINES  256

/* The latest time that is believed of a canister: in the year 2200. */
#define TOLD_MAX_NS (INT64_C(7258118400) * NS_PER_S)

static_assert(FS_SEEN_HASH == FS_SEEN_KEY && FS_SEEN_HASH == IC_SHA256_LEN, "all are of SHA-256");

struct entry {
    UT_hash_handle hh;
    struct fs_seen_line line;
    bool is_saved; /* in the file */
};

struct fs_seen {
    struct lock lock;
    int dir_fd; /* immutable; -1: nothing is written */
    char *name; /* immutable */

    /* Guarded by lock, all of the following. */
    int fd;                /* -1: the file could not be opened again */
    int64_t off;           /* bytes of it that were read */
    struct entry *table;   /* uthash by line.path, in the order of being added; owned */
    bool is_out_of_memory; /* while lines were taken in */
};

/* ---- the table ---- */

static struct entry *find_locked(const struct fs_seen *seen, const uint8_t path[FS_SEEN_KEY])
    REQUIRES(seen->lock)
{
    struct entry *entry;
    HASH_FIND(hh, seen->table, path, FS_SEEN_KEY, entry);
    return entry;
}

/* Remember a line for its path. Returns NULL when out of memory. */
static struct entry *set_locked(struct fs_seen *seen, const struct fs_seen_line *line)
    REQUIRES(seen->lock)
{
    struct entry *entry = find_locked(seen, line->path);
    if (entry) {
        entry->line = *line;
        return entry;
    }
    entry = calloc(1, sizeof(*entry));
    if (!entry)
        return NULL;
    entry->line = *line;
    HASH_ADD(hh, seen->table, line.path, FS_SEEN_KEY, entry);
    if (!entry->hh.tbl) { /* uthash's way to say that it had no memory */
        free(entry);
        return NULL;
    }
    if (HASH_COUNT(seen->table) > ENTRIES_MAX) {
        struct entry *oldest = seen->table;
        HASH_DELETE(hh, seen->table, oldest);
        free(oldest);
    }
    return entry;
}

/* A line of the file, by whomever it was written. */
static bool take_line(void *arg, const struct fs_seen_line *line) NO_LOCK_CHECKS
{
    struct fs_seen *seen = arg;
    struct entry *entry = find_locked(seen, line->path);
    bool is_known = entry && memcmp(entry->line.hash, line->hash, FS_SEEN_KEY) == 0;
    if (entry && !is_known && line->time_ns <= entry->line.time_ns)
        return true; /* an older content */
    if (!is_known)
        entry = set_locked(seen, line);
    if (entry)
        entry->is_saved = true;
    else
        seen->is_out_of_memory = true;
    return entry != NULL;
}

/* ---- the file; all but open_file with its lock ---- */

/* Returns a descriptor or the errno. */
static int open_file(const struct fs_seen *seen)
{
    struct stat st;
    int result = 0;
    int fd =
        openat(seen->dir_fd, seen->name,
               O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0)
        result = -errno;
    else if (!S_ISREG(st.st_mode))
        result = -EINVAL;
    else if (st.st_uid != geteuid())
        result = -EPERM;
    if (result < 0)
        close(fd);
    return result < 0 ? result : fd;
}

/* Is the open file the one that has the name? */
static bool has_name(const struct fs_seen *seen)
{
    struct stat named, opened;
    return fstat(seen->fd, &opened) == 0 &&
           fstatat(seen->dir_fd, seen->name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           named.st_ino == opened.st_ino && named.st_dev == opened.st_dev;
}

static void unlock_file_locked(struct fs_seen *seen) REQUIRES(seen->lock)
{
    (void)flock(seen->fd, LOCK_UN);
}

/* Lock the file that has the name. Returns 0 or why not: then there is no writing. */
static int lock_file_locked(struct fs_seen *seen) REQUIRES(seen->lock)
{
    const struct timespec pause = {.tv_nsec = NS_PER_MS};
    if (seen->dir_fd < 0)
        return -EBADF;
    for (int i = 0; i < LOCK_WAIT_MS; i++) {
        if (seen->fd < 0) {
            int fd = open_file(seen);
            if (fd < 0)
                return fd;
            seen->fd = fd;
            seen->off = 0;
        }
        if (flock(seen->fd, LOCK_EX | LOCK_NB) < 0) {
            if (errno != EWOULDBLOCK && errno != EINTR)
                return -errno;
            nanosleep(&pause, NULL);
            continue;
        }
        if (has_name(seen))
            return 0;
        close(seen->fd); /* replaced or deleted; unlocks, too */
        seen->fd = -1;
    }
    return -EWOULDBLOCK;
}

/* Read what is new in the file. Returns 0, the errno of reading, or -ENOMEM. */
static int read_file_locked(struct fs_seen *seen) REQUIRES(seen->lock)
{
    struct stat st;
    int result = 0;
    if (fstat(seen->fd, &st) < 0)
        return -errno;
    if (st.st_size < seen->off) /* somebody cut it */
        seen->off = 0;
    if (st.st_size == seen->off)
        return 0;
    if (st.st_size - seen->off > FILE_MAX)
        seen->off = st.st_size - FILE_MAX;
    char *bytes = malloc(READ_SIZE);
    if (!bytes)
        return -ENOMEM;
    seen->is_out_of_memory = false;
    size_t have = 0;                                                /* bytes at off */
    while (result == 0 && seen->off + (int64_t)have < st.st_size) { /* what grows has an end, too */
        ssize_t n = pread(seen->fd, bytes + have, READ_SIZE - have, seen->off + (int64_t)have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            result = n < 0 ? -errno : 0;
            break;
        }
        have += (size_t)n;
        size_t done = fs_seen_line_for_each(bytes, have, take_line, seen);
        if (done == 0 && have == READ_SIZE) /* no newline for long: only the end may be a line's */
            done = have - FS_SEEN_LINE;
        if (seen->is_out_of_memory)
            result = -ENOMEM;
        have -= done;
        seen->off += (int64_t)done;
        memmove(bytes, bytes + done, have);
    }
    free(bytes);
    return result;
}

static bool write_all(int fd, const char *bytes, size_t len)
{
    ssize_t n;
    do {
        n = write(fd, bytes, len);
    } while (n < 0 && errno == EINTR);
    return n == (ssize_t)len;
}

static void append_locked(struct fs_seen *seen, struct entry *entry) REQUIRES(seen->lock)
{
    char text[FS_SEEN_LINE];
    fs_seen_line_format(&entry->line, text);
    entry->is_saved = write_all(seen->fd, text, sizeof(text));
}

/* Write every line that counts, or those of them that are not in the file. */
static bool write_table_locked(const struct fs_seen *seen, int fd, bool only_unsaved)
    REQUIRES(seen->lock)
{
    bool is_written = true;
    size_t len = 0;
    char *text = malloc(WRITE_LINES * FS_SEEN_LINE);
    for (struct entry *entry = seen->table; text && entry && is_written; entry = entry->hh.next) {
        if (only_unsaved && entry->is_saved)
            continue;
        fs_seen_line_format(&entry->line, text + len);
        len += FS_SEEN_LINE;
        if (len == WRITE_LINES * FS_SEEN_LINE) {
            is_written = write_all(fd, text, len);
            len = 0;
        }
    }
    if (text && is_written && len > 0)
        is_written = write_all(fd, text, len);
    free(text);
    return text && is_written;
}

/* Put a file without waste in the place of this one. If that fails, this one stays. */
static void rewrite_locked(struct fs_seen *seen) REQUIRES(seen->lock)
{
    char *name;
    if (asprintf(&name, "%s.new", seen->name) < 0)
        return;
    (void)unlinkat(seen->dir_fd, name, 0); /* of a rewrite that a crash ended */
    int fd = openat(seen->dir_fd, name,
                    O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0 && write_table_locked(seen, fd, false) && fdatasync(fd) == 0 &&
        flock(fd, LOCK_EX | LOCK_NB) == 0 &&
        renameat(seen->dir_fd, name, seen->dir_fd, seen->name) == 0) {
        close(seen->fd);
        seen->fd = fd;
        seen->off = (int64_t)(HASH_COUNT(seen->table) * FS_SEEN_LINE);
        for (struct entry *entry = seen->table; entry; entry = entry->hh.next)
            entry->is_saved = true;
    } else if (fd >= 0) {
        (void)unlinkat(seen->dir_fd, name, 0);
        close(fd);
    }
    free(name);
}

/* Bring the table up to date with the file, and the file into shape. */
static int refresh_locked(struct fs_seen *seen) REQUIRES(seen->lock)
{
    int result = read_file_locked(seen);
    int64_t useful = (int64_t)(HASH_COUNT(seen->table) * FS_SEEN_LINE);
    if (result == 0 && seen->off - useful > useful && seen->off - useful > WASTE_MIN)
        rewrite_locked(seen);
    return result;
}

/* ---- open, close ---- */

static int load_locked(struct fs_seen *seen) REQUIRES(seen->lock)
{
    int result = lock_file_locked(seen);
    if (result == 0) {
        result = refresh_locked(seen);
        unlock_file_locked(seen);
    } else if (seen->fd >= 0) { /* no lock to be had: read it as it is */
        result = read_file_locked(seen);
    }
    return result;
}

int fs_seen_open(struct fs_seen **out, const char *dir, const char *name)
{
    struct fs_seen *seen = calloc(1, sizeof(*seen));
    if (!seen)
        return -ENOMEM;
    int result = 0;
    seen->dir_fd = seen->fd = -1;
    lock_init(&seen->lock);
    lock_acquire(&seen->lock);
    if (dir) {
        seen->name = strdup(name);
        seen->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        result = seen->dir_fd < 0 ? -errno : !seen->name ? -ENOMEM : 0;
        if (result == 0)
            result = load_locked(seen);
    }
    lock_release(&seen->lock);
    if (result < 0) {
        fs_seen_close(seen);
        return result;
    }
    *out = seen;
    return 0;
}

void fs_seen_close(struct fs_seen *seen)
{
    struct entry *entry = NULL, *next = NULL;
    if (!seen)
        return;
    lock_acquire(&seen->lock);
    for (entry = seen->table; entry && entry->is_saved; entry = entry->hh.next)
        ;
    if (entry && lock_file_locked(seen) == 0) { /* perhaps there is room now */
        (void)refresh_locked(seen);
        (void)write_table_locked(seen, seen->fd, true);
    }
    HASH_ITER(hh, seen->table, entry, next)
    {
        HASH_DELETE(hh, seen->table, entry);
        free(entry);
    }
    lock_release(&seen->lock);
    if (seen->fd >= 0)
        close(seen->fd);
    if (seen->dir_fd >= 0)
        close(seen->dir_fd);
    lock_fini(&seen->lock);
    free(seen->name);
    free(seen);
}

/* ---- times ---- */

static bool has_hash(const struct entry *entry, const uint8_t hash[FS_SEEN_HASH])
{
    return entry && memcmp(entry->line.hash, hash, FS_SEEN_HASH) == 0;
}

/* A time in a later second than `than`: `wanted`, if it is. */
static int64_t later(int64_t than, int64_t wanted)
{
    return wanted / NS_PER_S > than / NS_PER_S ? wanted : (than / NS_PER_S + 1) * NS_PER_S;
}

int64_t fs_seen_at(struct fs_seen *seen, const char *path, const uint8_t hash[FS_SEEN_HASH],
                   int64_t told_ns)
{
    struct timespec now;
    struct fs_seen_line line;
    clock_gettime(CLOCK_REALTIME, &now);
    line.time_ns = (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
    if (told_ns > 0 && told_ns <= TOLD_MAX_NS)
        line.time_ns = told_ns;
    else if (line.time_ns <= 0)
        line.time_ns = 1; /* a clock that was never set */
    memcpy(line.hash, hash, FS_SEEN_HASH);
    if (ic_sha256(path, strlen(path), line.path) < 0)
        return line.time_ns;

    lock_acquire(&seen->lock);
    struct entry *entry = find_locked(seen, line.path);
    if (!has_hash(entry, hash)) {
        bool is_locked = lock_file_locked(seen) == 0;
        if (is_locked)
            (void)refresh_locked(seen);
        entry = find_locked(seen, line.path); /* another mount may have been first */
        if (!has_hash(entry, hash)) {
            if (entry)
                line.time_ns = later(entry->line.time_ns, line.time_ns);
            entry = set_locked(seen, &line);
            if (entry)
                entry->is_saved = false;
            if (entry && is_locked)
                append_locked(seen, entry);
        }
        if (is_locked)
            unlock_file_locked(seen);
    }
    if (entry)
        line.time_ns = entry->line.time_ns;
    lock_release(&seen->lock);
    return line.time_ns;
}
