/* The system calls of the spool file, failed at will: see disk.h. */
#include "tests/cache/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct disk disk = {.fd = -1};

int __real_open64(const char *path, int flags, ...);
int __real_mkostemp64(char *path, int flags);
ssize_t __real_pwrite64(int fd, const void *from, size_t len, off_t off);
ssize_t __real_pread64(int fd, void *to, size_t len, off_t off);
int __real_fallocate64(int fd, int mode, off_t off, off_t len);
int __real_ftruncate64(int fd, off_t len);
int __real_clock_gettime(clockid_t clock, struct timespec *out);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_mkostemp64(char *path, int flags);
ssize_t __wrap_pwrite64(int fd, const void *from, size_t len, off_t off);
ssize_t __wrap_pread64(int fd, void *to, size_t len, off_t off);
int __wrap_fallocate64(int fd, int mode, off_t off, off_t len);
int __wrap_ftruncate64(int fd, off_t len);
int __wrap_clock_gettime(clockid_t clock, struct timespec *out);

/* Does this call fail? Sets errno. */
static bool must_fail(atomic_int *error)
{
    static atomic_ullong state = 88172645463325252u;
    unsigned one_in = atomic_load(&disk.fail_one_in);
    errno = atomic_load(error);
    if (errno == 0 && one_in > 0 &&
        ((atomic_fetch_add(&state, 0x9e3779b97f4a7c15u) * 0xbf58476d1ce4e5b9u) >> 33) % one_in == 0)
        errno = EIO;
    return errno != 0;
}

int __wrap_open64(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(args, mode_t) : 0;
    va_end(args);
    if ((flags & O_TMPFILE) != O_TMPFILE)
        return __real_open64(path, flags, mode);
    if (must_fail(&disk.open_error))
        return -1;
    int fd = __real_open64(path, flags, mode);
    atomic_store(&disk.fd, fd);
    return fd;
}

int __wrap_mkostemp64(char *path, int flags)
{
    int fd = __real_mkostemp64(path, flags);
    atomic_store(&disk.fd, fd);
    return fd;
}

ssize_t __wrap_pwrite64(int fd, const void *from, size_t len, off_t off)
{
    unsigned max = atomic_load(&disk.write_max);
    uint64_t end = atomic_load(&disk.write_end);
    atomic_fetch_add(&disk.n_writes, 1);
    if (disk.on_write)
        disk.on_write(disk.arg);
    if (must_fail(&disk.write_error))
        return -1;
    if (end > 0 && (uint64_t)off >= end) {
        errno = EFBIG;
        return -1;
    }
    if (end > 0 && len > end - (uint64_t)off)
        len = end - (uint64_t)off;
    return __real_pwrite64(fd, from, max > 0 && len > max ? max : len, off);
}

ssize_t __wrap_pread64(int fd, void *to, size_t len, off_t off)
{
    unsigned max = atomic_load(&disk.read_max);
    atomic_fetch_add(&disk.n_reads, 1);
    if (disk.on_read)
        disk.on_read(disk.arg);
    if (must_fail(&disk.read_error))
        return -1;
    if (max == UINT32_MAX)
        return 0;
    return __real_pread64(fd, to, max > 0 && len > max ? max : len, off);
}

int __wrap_fallocate64(int fd, int mode, off_t off, off_t len)
{
    atomic_fetch_add(&disk.n_punches, 1);
    return must_fail(&disk.punch_error) ? -1 : __real_fallocate64(fd, mode, off, len);
}

int __wrap_ftruncate64(int fd, off_t len)
{
    atomic_fetch_add(&disk.n_truncates, 1);
    return must_fail(&disk.truncate_error) ? -1 : __real_ftruncate64(fd, len);
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *out)
{
    int result = __real_clock_gettime(clock, out);
    int64_t ahead_ns = atomic_load(&disk.ahead_ns);
    out->tv_sec += ahead_ns / 1000000000;
    return result;
}

uint64_t disk_held(void)
{
    struct stat st;
    return fstat(atomic_load(&disk.fd), &st) == 0 ? (uint64_t)st.st_blocks * 512 : UINT64_MAX;
}
