/* The lines of the file that fs/seen.h keeps: one for each content, of fixed length.
 *
 *   TIME PATH HASH CHECK
 *
 * TIME is decimal nanoseconds since 1970, 19 digits; PATH the SHA-256 of the path, HASH that of the
 * content, CHECK the FNV-1a hash of what precedes it, all in lower-case hexadecimal. A line counts
 * only if every character of it is right, so that no damage can make up a time. What comes before a
 * line without a newline between (the rest of one that a crash cut off) is passed over.
 *
 * Source of FNV-1a: Fowler, Noll, Vo, 64 bits.
 */
#ifndef CANISTERFS_FS_SEEN_LINE_H
#define CANISTERFS_FS_SEEN_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FS_SEEN_KEY  32 /* of a SHA-256 */
#define FS_SEEN_LINE ((size_t)19 + 1 + 2 * FS_SEEN_KEY + 1 + 2 * FS_SEEN_KEY + 1 + 16 + 1)

/* The latest time of a line, ns since 1970: far below the end of int64_t. */
#define FS_SEEN_TIME_MAX (INT64_C(9100000000) * 1000000000)

struct fs_seen_line {
    int64_t time_ns; /* 1 to FS_SEEN_TIME_MAX */
    uint8_t path[FS_SEEN_KEY];
    uint8_t hash[FS_SEEN_KEY];
};

/* out  fills: ends with a newline, not with a NUL */
void fs_seen_line_format(const struct fs_seen_line *line, char out[FS_SEEN_LINE])
    __attribute__((nonnull));

/* Find the lines in bytes of any kind.
 *
 * take  called with each, in their order; returns false to stop
 *
 * Returns how many bytes are done with: up to and with the last newline, or with the line at which
 * take stopped. */
size_t fs_seen_line_for_each(const char *bytes, size_t len,
                             bool (*take)(void *arg, const struct fs_seen_line *line), void *arg)
    __attribute__((nonnull(3)));

#endif
