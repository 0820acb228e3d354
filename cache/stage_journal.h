/* A file of records that is only appended to, and tells a torn end from damage.
 *
 *   file    "cfstage1", 8 bytes of salt, records
 *   record  header (24 bytes), payload, zeros up to a multiple of 8
 *   header  CRC of the rest of it, CRC of the payload, length of the payload, kind, note kind,
 *           serial of the record (0, 1, ...)            all little-endian: 4, 4, 4, 2, 2, 8 bytes
 *
 * Both CRCs are CRC-32C and begin with the salt, so that bytes which another journal left on the
 * disk, or a payload that holds a copy of one, are never taken for records.
 *
 * Each record is made durable before the next is written (the first ones of a new file together,
 * before it gets its name). So a record that is not whole is *torn*, the trace of a crash, if no
 * record with a higher serial follows: nobody was told that it is there. If one follows, it was
 * durable once: that is damage. Damage to the very last record looks torn.
 *
 * Thread safety: none.
 */
#ifndef CANISTERFS_CACHE_STAGE_JOURNAL_H
#define CANISTERFS_CACHE_STAGE_JOURNAL_H

#include <stddef.h>
#include <stdint.h>

#define STAGE_JOURNAL_START  ((uint64_t)16) /* of the first record */
#define STAGE_JOURNAL_HEADER ((size_t)24)   /* of a record */

/* Most bytes of a payload. */
#define STAGE_JOURNAL_PAYLOAD_MAX ((size_t)65 << 20)

struct stage_journal {
    int fd;        /* owned; -1: none */
    uint64_t end;  /* bytes of whole records, the head of the file included */
    uint64_t next; /* serial of the next record */
    uint32_t salt; /* CRC of the salt */
    int error;     /* not 0: what is on the disk is not known, nothing can be appended any more */
};

struct stage_record {
    uint16_t kind;
    uint16_t note; /* for the user */
    uint32_t len;
    const void *bytes;
};

/* Bytes that a record of so many bytes takes in the file. */
uint64_t stage_journal_cost(size_t len);

/* Make an empty one; the name must be free. Nothing is durable yet. Returns 0 or the errno; then
 * the file is gone again. */
int stage_journal_create(struct stage_journal *journal, int dir_fd, const char *name)
    __attribute__((nonnull, warn_unused_result));

/* Open one and go through its records, in order: off is what stage_journal_read takes, the record
 * is borrowed for the call. A torn end is cut off. When `each` returns not 0 that is returned.
 *
 * Returns 0; -EPROTO (damaged, no journal, no record in it); -ENOMEM; the errno of the disk. */
int stage_journal_open(struct stage_journal *journal, int dir_fd, const char *name,
                       int (*each)(void *arg, const struct stage_record *record, uint64_t off),
                       void *arg) __attribute__((nonnull(1, 3, 4), warn_unused_result));

/* Open the file of one again that was closed when all of it was durable. Returns 0; -EPROTO (it is
 * another one, or shorter now); the errno of the disk. */
int stage_journal_wake(struct stage_journal *journal, int dir_fd, const char *name)
    __attribute__((nonnull, warn_unused_result));

/* Append; durable after stage_journal_sync, which must come before the next. Returns 0 and where
 * it is; or the errno: then it is not there. */
int stage_journal_append(struct stage_journal *journal, const struct stage_record *record,
                         uint64_t *ret_off) __attribute__((nonnull, warn_unused_result));

/* Returns 0 or the errno, which is that of every later append and sync, too. */
int stage_journal_sync(struct stage_journal *journal) __attribute__((nonnull, warn_unused_result));

/* The record at off, with its bytes malloc'ed in *out for the caller to free. Returns 0; -ENOMEM;
 * -EPROTO (damaged since); the errno of the disk. */
int stage_journal_read(const struct stage_journal *journal, uint64_t off,
                       struct stage_record *record, void **out)
    __attribute__((nonnull, warn_unused_result));

/* Close the file; what is known of it stays. */
void stage_journal_close(struct stage_journal *journal) __attribute__((nonnull));

#endif
