/* A stage: what is to be written somewhere else, kept on disk until it is there.
 *
 * A stage is a directory of its own:
 *   data     a sparse file: written bytes at their own offsets
 *   journal  records, appended, each with its length and a checksum: what the stage is for, which
 *            extents are in `data`, and what its user notes
 *
 * A stage lies over a *base*, which it knows by size and version alone. Its content is
 *   STAGED   what was written
 *   BASE     the base's bytes, below base_end and not written; truncating below base_end moves it
 *   ZERO     everything else up to its size
 *
 * After a crash of the program or the machine a stage is what it was at the last stage_sync or
 * stage_note that returned 0; what was written after that is not part of it. Only bytes that were
 * staged then and were written again since may be the old or the new ones, as in any file.
 *
 * A stage has three descriptors open, unless it *rests* (stage_rest): then it has none, so that
 * thousands that wait for something cost memory alone.
 *
 * Thread safety: any function from any thread, one stage at a time by many; stage_close and
 * stage_remove run alone and last. Locks: a leaf.
 */
#ifndef CANISTERFS_CACHE_STAGE_H
#define CANISTERFS_CACHE_STAGE_H

#include "cache/source.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stage;

#define STAGE_TARGET_MAX 512

struct stage_purpose {
    char target[STAGE_TARGET_MAX]; /* what it is for: the user's text, e.g. a path */
    uint64_t base_size;            /* bytes; 0: there is no base */
    uint64_t base_version;         /* the user's number for the base's content */
    int64_t created_ns;            /* wall clock */
};

/* Make a stage: the directory `name` in dir_fd, durable when this returns. Its size is base_size.
 *
 * dir_fd  open for reading, and stays so until the stage is closed; name: without a slash
 *
 * Returns 0; -EEXIST (there is one of that name); -EINVAL (the name, or a target without an end);
 * -EFBIG (base_size beyond INT64_MAX); -ENOMEM; or the errno of the disk: then none was made. */
int stage_new(struct stage **out, int dir_fd, const char *name, const struct stage_purpose *purpose)
    __attribute__((nonnull, warn_unused_result));

/* Open one that an earlier program left. What its journal has after the last whole record is cut
 * off. What a crash left of a stage that was being made or removed is cleared away (-ENOENT).
 *
 * Returns 0; -ENOENT; -EBUSY (open, here or in another program); -EPROTO (damaged before its end,
 * or not a stage: nothing is changed); -ENOMEM; the errno of the disk. */
int stage_open(struct stage **out, int dir_fd, const char *name)
    __attribute__((nonnull, warn_unused_result));

/* Make it durable, and close its files until it is used again: reading and writing wake it for
 * good, a note and the like for their own time. Nothing happens when it is in use at this moment.
 * Meanwhile only the caller's own lock keeps other programs from it; if its files are not what they
 * were, whatever needs them fails with -EIO.
 *
 * Returns as stage_sync; it does not rest then. */
int stage_rest(struct stage *stage) __attribute__((nonnull, warn_unused_result));

/* Forget it; its files stay, with what was synced. NULL is fine. */
void stage_close(struct stage *stage);

/* Delete its files, and close. Returns 0 or the errno; it is closed in any case. */
int stage_remove(struct stage *stage) __attribute__((nonnull));

const struct stage_purpose *stage_get_purpose(const struct stage *stage) __attribute__((nonnull));

uint64_t stage_size(struct stage *stage) __attribute__((nonnull));

/* Bytes of all STAGED segments. */
uint64_t stage_staged(struct stage *stage) __attribute__((nonnull));

/* Was anything written or truncated since it was made? O_TRUNC's truncation counts, too. */
bool stage_is_changed(struct stage *stage) __attribute__((nonnull));

/* Write; grows the size as needed. Returns 0; -ENOSPC, -EDQUOT, -EFBIG (also: too many pieces apart
 * from each other, see STAGE_EXTENTS_MAX), -EIO, -ENOMEM: then nothing of it is STAGED that was not
 * before (bytes of an overwritten range may be either). */
int stage_write(struct stage *stage, uint64_t off, const void *buf, size_t len)
    __attribute__((nonnull, warn_unused_result));

/* Set the size: bytes beyond are gone, also the base's; what a later growth brings is ZERO. Returns
 * 0 or -EFBIG (beyond INT64_MAX). */
int stage_truncate(struct stage *stage, uint64_t size) __attribute__((nonnull, warn_unused_result));

enum stage_kind { STAGE_STAGED, STAGE_BASE, STAGE_ZERO };

struct stage_segment {
    enum stage_kind kind;
    uint64_t off;
    uint64_t len; /* >= 1; as long as the kind stays */
};

/* The segment that holds the byte at off, from off on. False at and beyond the size. */
bool stage_find(struct stage *stage, uint64_t off, struct stage_segment *out)
    __attribute__((nonnull));

/* Does every byte below the size stand by itself, without the base? */
bool stage_is_complete(struct stage *stage) __attribute__((nonnull));

/* Read a range within the size: staged bytes, zeros, and the base's from `base`.
 *
 * base     NULL: a range with BASE in it is -EINVAL, as is one beyond the size
 * version  of the base, for source_read
 *
 * Returns 0, the errno of the disk, or what source_read returned. Blocks on the base. */
int stage_read(struct stage *stage, struct source *base, uint64_t version, uint64_t off, void *buf,
               size_t len, const struct source_io *io)
    __attribute__((nonnull(1, 5, 7), warn_unused_result));

/* Make all that was written durable: data first, then the journal. Returns 0 or the errno. -ENOSPC
 * and the like of writing the journal change nothing: a later call tries again. After a failed
 * fsync(2) the disk may have lost what was written: every later call of stage_sync and stage_note
 * fails with the same errno. Callers at the same time share one fsync. */
int stage_sync(struct stage *stage) __attribute__((nonnull, warn_unused_result));

/* --- what the user of a stage remembers with it --- */

#define STAGE_NOTE_MAX ((size_t)4 << 20)

/* Append a note, durable when this returns, as is all that was written before it. Notes of one kind
 * replace each other when they are read, unless they are listed. All of them are kept.
 *
 * kind  the user's number, 1 to 65535
 *
 * Returns as stage_sync; -EINVAL (kind or length). */
int stage_note(struct stage *stage, uint32_t kind, const void *bytes, size_t len)
    __attribute__((nonnull(1), warn_unused_result));

/* The last note of a kind: a malloc'ed copy, the caller frees. Returns 0, -ENOENT, -ENOMEM,
 * -EPROTO (damaged since it was opened), the errno of the disk. */
int stage_get_note(struct stage *stage, uint32_t kind, void **out, size_t *ret_len)
    __attribute__((nonnull, warn_unused_result));

/* Every note of a kind, oldest first; `each` must not call the stage. Stops at the first that
 * returns not 0, and returns that; or the errno of reading the journal. */
int stage_for_each_note(struct stage *stage, uint32_t kind,
                        int (*each)(void *arg, const void *bytes, size_t len), void *arg)
    __attribute__((nonnull(1, 3), warn_unused_result));

#endif
