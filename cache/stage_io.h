/* Whole reads and writes of files, and the checksum of what is in them. */
#ifndef CANISTERFS_CACHE_STAGE_IO_H
#define CANISTERFS_CACHE_STAGE_IO_H

#include <stddef.h>
#include <stdint.h>

/* Write all of it. Returns 0 or the errno; then any part of it may be written. */
int stage_io_write(int fd, uint64_t off, const void *bytes, size_t len)
    __attribute__((nonnull, warn_unused_result));

/* Read all of it. Returns 0; the errno; -ENODATA: the file ends before. */
int stage_io_read(int fd, uint64_t off, void *out, size_t len)
    __attribute__((nonnull, warn_unused_result));

/* CRC-32C (Castagnoli) of bytes that follow others whose sum is `crc`; 0 at the beginning. */
uint32_t stage_io_crc(uint32_t crc, const void *bytes, size_t len) __attribute__((nonnull));

/* Little-endian numbers in memory of any alignment. */
void stage_io_put32(unsigned char *to, uint32_t value) __attribute__((nonnull));
void stage_io_put64(unsigned char *to, uint64_t value) __attribute__((nonnull));
uint32_t stage_io_get32(const unsigned char *from) __attribute__((nonnull));
uint64_t stage_io_get64(const unsigned char *from) __attribute__((nonnull));

#endif
