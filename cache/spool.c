/* A file without a name for whole byte strings: see spool.h. */
#include "cache/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Extents are a multiple of it, so that a hole is whole blocks of the usual file systems. */
#define SPOOL_BLOCK ((uint64_t)4096)

/* For file systems that have no O_TMPFILE. */
static int open_and_unlink(const char *dir)
{
    char *path;
    if (asprintf(&path, "%s/canisterfs-spool-XXXXXX", dir) < 0)
        return -ENOMEM;
    int result = 0;
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0 || unlink(path) < 0)
        result = -errno;
    if (result < 0 && fd >= 0)
        close(fd);
    free(path);
    return result < 0 ? result : fd;
}

int spool_open(struct spool *spool, const char *dir)
{
    /* O_EXCL: nobody can give it a name through /proc. */
    int fd = open(dir, O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        fd = errno == EOPNOTSUPP || errno == EISDIR ? open_and_unlink(dir) : -errno;
    if (fd < 0)
        return fd;
    *spool = (struct spool){.fd = fd};
    return 0;
}

void spool_close(struct spool *spool)
{
    if (spool->fd >= 0)
        close(spool->fd);
    spool->fd = -1;
}

uint64_t spool_extent(size_t len)
{
    return ((uint64_t)len + SPOOL_BLOCK - 1) / SPOOL_BLOCK * SPOOL_BLOCK;
}

int spool_write(struct spool *spool, const void *bytes, size_t len, uint64_t *ret_off)
{
    const unsigned char *from = bytes;
    size_t done = 0;
    while (done < len) {
        ssize_t n = pwrite(spool->fd, from + done, len - done, (off_t)(spool->end + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            int result = n < 0 ? -errno : -EIO;
            /* What was written is of no use. If it cannot be given back now, the next extent begins
             * here all the same and overwrites it. */
            (void)spool_release(spool, spool->end, done);
            return result;
        }
        done += (size_t)n;
    }
    *ret_off = spool->end;
    spool->end += spool_extent(len);
    return 0;
}

int spool_read(const struct spool *spool, uint64_t off, const struct iovec *iov, int n_iov)
{
    for (int i = 0; i < n_iov; i++) {
        unsigned char *to = iov[i].iov_base;
        for (size_t done = 0; done < iov[i].iov_len;) {
            ssize_t n = pread(spool->fd, to + done, iov[i].iov_len - done, (off_t)(off + done));
            if (n < 0 && errno == EINTR)
                continue;
            if (n <= 0)
                return n < 0 ? -errno : -EIO;
            done += (size_t)n;
        }
        off += iov[i].iov_len;
    }
    return 0;
}

bool spool_release(const struct spool *spool, uint64_t off, size_t len)
{
    int result;
    if (len == 0)
        return true;
    do {
        result = fallocate(spool->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off,
                           (off_t)spool_extent(len));
    } while (result < 0 && errno == EINTR);
    return result == 0;
}

int spool_clear(struct spool *spool)
{
    if (ftruncate(spool->fd, 0) < 0)
        return -errno;
    spool->end = 0;
    return 0;
}
