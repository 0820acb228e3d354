/* A disk that fails and forgets: see stage_disk.h. */
#include "tests/cache/stage_disk.h"

#include "tests/cache/stage_model.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR   ((size_t)512)
#define N_FILES  64
#define FILE_MAX ((size_t)8 << 20)

struct stage_disk stage_disk;

ssize_t __real_pwrite64(int fd, const void *from, size_t len, off_t off);
ssize_t __real_pread64(int fd, void *to, size_t len, off_t off);
int __real_fdatasync(int fd);
int __real_fsync(int fd);
int __real_ftruncate64(int fd, off_t len);
int __real_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __real_unlinkat(int fd, const char *name, int flags);
int __real_openat64(int fd, const char *name, int flags, ...);
int __real_mkdirat(int fd, const char *name, mode_t mode);
ssize_t __wrap_pwrite64(int fd, const void *from, size_t len, off_t off);
ssize_t __wrap_pread64(int fd, void *to, size_t len, off_t off);
int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);
int __wrap_ftruncate64(int fd, off_t len);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_unlinkat(int fd, const char *name, int flags);
int __wrap_openat64(int fd, const char *name, int flags, ...);
int __wrap_mkdirat(int fd, const char *name, mode_t mode);

/* ---- what is durable ---- */

struct durable_file {
    ino_t ino;
    unsigned char *bytes;
    size_t len;
};

struct durable_name {
    char name[32];
    ino_t ino;
};

static char watched[256];
static struct durable_file files[N_FILES];
static unsigned n_files;
static struct durable_name names[8];
static unsigned n_names;

static unsigned char *read_file(int fd, size_t *ret_len)
{
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || (size_t)st.st_size > FILE_MAX)
        abort();
    unsigned char *bytes = calloc(1, (size_t)st.st_size + 1);
    if (!bytes || __real_pread64(fd, bytes, (size_t)st.st_size, 0) != st.st_size)
        abort();
    *ret_len = (size_t)st.st_size;
    return bytes;
}

static struct durable_file *find_file(ino_t ino)
{
    for (unsigned i = 0; i < n_files; i++) {
        if (files[i].ino == ino)
            return &files[i];
    }
    return NULL;
}

/* Names and inodes of the watched directory, as they are now. */
static unsigned list(struct durable_name *out)
{
    unsigned n = 0;
    struct dirent *entry;
    DIR *dir = opendir(watched);
    while (dir && (entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        if (n == 8)
            abort();
        snprintf(out[n].name, sizeof(out[n].name), "%.31s", entry->d_name);
        out[n++].ino = entry->d_ino;
    }
    if (dir)
        closedir(dir);
    return n;
}

static void remember(int fd)
{
    struct stat st, dir;
    if (fstat(fd, &st) < 0 || stat(watched, &dir) < 0)
        return;
    if (S_ISDIR(st.st_mode)) {
        if (st.st_ino == dir.st_ino)
            n_names = list(names);
        return;
    }
    struct durable_file *file = find_file(st.st_ino);
    if (!file) {
        /* The inode of a file that is gone may come back, so the oldest go. */
        if (n_files == N_FILES) {
            free(files[0].bytes);
            memmove(files, files + 1, (N_FILES - 1) * sizeof(files[0]));
            n_files--;
        }
        file = &files[n_files++];
        *file = (struct durable_file){.ino = st.st_ino};
    }
    free(file->bytes);
    file->bytes = read_file(fd, &file->len);
}

void stage_disk_watch(const char *dir)
{
    for (unsigned i = 0; i < n_files; i++)
        free(files[i].bytes);
    n_files = 0;
    snprintf(watched, sizeof(watched), "%s", dir);
    n_names = list(names);
    for (unsigned i = 0; i < n_names; i++) {
        char path[600];
        snprintf(path, sizeof(path), "%s/%.31s", watched, names[i].name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        remember(fd);
        close(fd);
    }
}

/* The file that has this inode now; -1: none has. */
static int open_now(ino_t ino)
{
    struct durable_name now[8];
    unsigned n = list(now);
    for (unsigned i = 0; i < n; i++) {
        char path[600];
        snprintf(path, sizeof(path), "%s/%.31s", watched, now[i].name);
        if (now[i].ino == ino)
            return open(path, O_RDONLY | O_CLOEXEC);
    }
    return -1;
}

/* Sectors of the old and of the present content, as the disk likes. */
static void cut_file(const char *path, ino_t ino, uint64_t *random)
{
    size_t len = 0;
    size_t now_len = 0;
    unsigned char *now = NULL;
    struct durable_file *old = find_file(ino);
    int fd = open_now(ino);
    if (fd >= 0) {
        now = read_file(fd, &now_len);
        close(fd);
    }
    unsigned mood = (unsigned)(model_random(random) % 4); /* none, all, some, those at the front */
    size_t old_len = old ? old->len : 0;
    if (!now || mood == 0)
        len = old_len;
    else if (mood == 1)
        len = now_len;
    else
        len =
            old_len < now_len ? old_len + model_random(random) % (now_len - old_len + 1) : now_len;
    unsigned char *bytes = calloc(1, len + 1);
    if (!bytes)
        abort();
    if (old)
        memcpy(bytes, old->bytes, old->len < len ? old->len : len);
    for (size_t at = 0; at < len && now && mood > 0; at += SECTOR) {
        size_t n = len - at < SECTOR ? len - at : SECTOR;
        if (at + n > now_len)
            n = at < now_len ? now_len - at : 0;
        if (mood == 1 || model_random(random) % 2)
            memcpy(bytes + at, now + at, n);
        else if (mood == 3)
            break;
    }
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || __real_pwrite64(fd, bytes, len, 0) != (ssize_t)len)
        abort();
    close(fd);
    free(bytes);
    free(now);
}

/* Is neither the file nor its name there any more? */
static bool is_unlinked(const struct durable_name *old, const struct durable_name *now, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (now[i].ino == old->ino || strcmp(now[i].name, old->name) == 0)
            return false;
    }
    return true;
}

void stage_disk_cut(const char *to, uint64_t *random)
{
    struct durable_name now[8];
    unsigned n_now = list(now);
    unsigned n = n_now;
    const struct durable_name *from = now;
    uint64_t mood = model_random(random) % 3;
    if (mood > 0) {
        from = names;
        n = n_names;
    }
    if (mkdir(to, 0700) < 0)
        abort();
    for (unsigned i = 0; i < n; i++) {
        char path[600];
        if (mood == 2 && is_unlinked(&from[i], now, n_now))
            continue;
        snprintf(path, sizeof(path), "%s/%.31s", to, from[i].name);
        cut_file(path, from[i].ino, random);
    }
}

/* ---- the calls ---- */

/* Does this one fail? Sets errno. */
static bool must_fail(enum disk_call call)
{
    if (stage_disk.before && call != DISK_PREAD && call != DISK_OPENAT)
        stage_disk.before(stage_disk.arg);
    if (!(stage_disk.fails & call) || stage_disk.n_before-- > 0)
        return false;
    if (stage_disk.is_once)
        stage_disk.fails = 0;
    stage_disk.n_failed++;
    errno = stage_disk.error;
    return true;
}

ssize_t __wrap_pwrite64(int fd, const void *from, size_t len, off_t off)
{
    if (!must_fail(DISK_PWRITE))
        return __real_pwrite64(fd, from, len, off);
    if (!stage_disk.is_partial || len < 2)
        return -1;
    /* As a disk does that is full now: this call is short, the next one fails. */
    stage_disk.fails |= DISK_PWRITE;
    stage_disk.n_before = 0;
    stage_disk.is_partial = false;
    return __real_pwrite64(fd, from, len / 2, off);
}

ssize_t __wrap_pread64(int fd, void *to, size_t len, off_t off)
{
    return must_fail(DISK_PREAD) ? -1 : __real_pread64(fd, to, len, off);
}

int __wrap_fdatasync(int fd)
{
    stage_disk.n_syncs++;
    if (must_fail(DISK_FDATASYNC) || __real_fdatasync(fd) < 0)
        return -1;
    if (stage_disk.before)
        remember(fd);
    return 0;
}

int __wrap_fsync(int fd)
{
    stage_disk.n_syncs++;
    if (must_fail(DISK_FSYNC) || __real_fsync(fd) < 0)
        return -1;
    if (stage_disk.before)
        remember(fd);
    return 0;
}

int __wrap_ftruncate64(int fd, off_t len)
{
    return must_fail(DISK_FTRUNCATE) ? -1 : __real_ftruncate64(fd, len);
}

int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    return must_fail(DISK_RENAMEAT) ? -1 : __real_renameat(from_fd, from, to_fd, to);
}

int __wrap_unlinkat(int fd, const char *name, int flags)
{
    return must_fail(DISK_UNLINKAT) ? -1 : __real_unlinkat(fd, name, flags);
}

int __wrap_openat64(int fd, const char *name, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    return must_fail(DISK_OPENAT) ? -1 : __real_openat64(fd, name, flags, mode);
}

int __wrap_mkdirat(int fd, const char *name, mode_t mode)
{
    return must_fail(DISK_MKDIRAT) ? -1 : __real_mkdirat(fd, name, mode);
}
