/* A file without a name that whole byte strings are written to and dropped from.
 *
 * What is written gets an extent at the end of the file, of whole disk blocks; a dropped extent is
 * punched out, which gives its blocks back to the disk. So there is no free list, and the file
 * grows in length alone, until spool_clear or until the file system takes no larger offset (EFBIG).
 * Where holes cannot be punched, only spool_clear gives room back.
 *
 * Thread safety: one thread at a time may write or clear; reading and releasing extents that nobody
 * else releases may go on meanwhile, but not while the spool is cleared.
 */
#ifndef CANISTERFS_CACHE_SPOOL_H
#define CANISTERFS_CACHE_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct spool {
    int fd;       /* -1: none */
    uint64_t end; /* where the next extent begins */
};

/* Make the file in a directory: O_TMPFILE, or a name that is unlinked at once. Only its owner may
 * read it. Returns 0 or the errno of making it. */
int spool_open(struct spool *spool, const char *dir) __attribute__((nonnull, warn_unused_result));

/* The disk has the file's room again when this returns. Fine without a file. */
void spool_close(struct spool *spool) __attribute__((nonnull));

/* Bytes of the extent that so many bytes take. */
uint64_t spool_extent(size_t len);

/* Write bytes into a new extent. Returns 0 or the errno (-ENOSPC, -EDQUOT, -EIO, -EFBIG, ...) with
 * no extent made. */
int spool_write(struct spool *spool, const void *bytes, size_t len, uint64_t *ret_off)
    __attribute__((nonnull(1, 4), warn_unused_result));

/* Fill n_iov buffers from off on. Returns 0, or the errno; -EIO when the file is too short. */
int spool_read(const struct spool *spool, uint64_t off, const struct iovec *iov, int n_iov)
    __attribute__((nonnull(1), warn_unused_result));

/* Give back the extent at off of len bytes. Returns false when the disk still holds it. */
bool spool_release(const struct spool *spool, uint64_t off, size_t len) __attribute__((nonnull));

/* Drop every extent. Returns 0 or the errno. */
int spool_clear(struct spool *spool) __attribute__((nonnull, warn_unused_result));

#endif
