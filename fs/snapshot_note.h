/* What is known of uploads of snapshots, also after a crash: a small file, written anew and made
 * durable whenever it changes.
 *
 *   state      what it says                                           leaves to
 *   DECLARING  a call for a new id was made, and may have been sent   SENDING, gone
 *   SENDING    the id is ours, and not all of its bytes are compared  VERIFIED, gone
 *   VERIFIED   the snapshot has been read back, and is what was sent  (kept; the oldest makes room)
 *
 * Thread safety: none; its owner locks.
 */
#ifndef CANISTERFS_FS_SNAPSHOT_NOTE_H
#define CANISTERFS_FS_SNAPSHOT_NOTE_H

#include "fs/tree.h"
#include "ic/request.h"
#include "ic/snapshot.h"

#define FS_SNAPSHOT_NOTES_MAX  64
#define FS_SNAPSHOT_BEFORE_MAX 32

enum fs_snapshot_note_state {
    FS_SNAPSHOT_DECLARING,
    FS_SNAPSHOT_SENDING,
    FS_SNAPSHOT_VERIFIED,
};

struct fs_snapshot_note {
    char name[FS_NAME_SIZE]; /* of the directory */
    enum fs_snapshot_note_state state;
    uint8_t content[IC_SHA256_LEN]; /* what the directory's files were (snapshot_plan.h) */
    uint64_t n_sent;                /* pieces, from the first on */

    /* DECLARING */
    uint8_t request_id[IC_REQUEST_ID_LEN];
    uint64_t expiry_ns;
    struct ic_snapshot_id before[FS_SNAPSHOT_BEFORE_MAX]; /* what there was */
    size_t n_before;

    struct ic_snapshot_id id; /* SENDING, VERIFIED */
};

struct fs_snapshot_notes {
    struct fs_snapshot_note *items; /* owned; by age */
    size_t n;
};

/* Their text, for free(). NULL: out of memory, or a name is not UTF-8. */
char *fs_snapshot_notes_format(const struct fs_snapshot_notes *notes) __attribute__((nonnull));

/* Returns 0, -EPROTO (it is no such text, or says what cannot be), or -ENOMEM. */
int fs_snapshot_notes_parse(struct fs_snapshot_notes *notes, const char *text, size_t len)
    __attribute__((warn_unused_result, nonnull));

/* Read them. No file: there are none. Returns 0, -EPROTO (it is damaged), -ENOMEM, or the errno of
 * the disk. */
int fs_snapshot_notes_read(struct fs_snapshot_notes *notes, int dir_fd)
    __attribute__((warn_unused_result, nonnull));
void fs_snapshot_notes_fini(struct fs_snapshot_notes *notes) __attribute__((nonnull));

/* The file says this from now on. Returns 0 or -errno; then it may say what it did before. */
int fs_snapshot_notes_write(const struct fs_snapshot_notes *notes, int dir_fd)
    __attribute__((warn_unused_result, nonnull));

/* A zeroed one; borrowed until the next is added or removed. Returns 0, -ENOMEM, -ENOSPC (too many
 * uploads are not finished). */
int fs_snapshot_notes_add(struct fs_snapshot_notes *notes, struct fs_snapshot_note **out)
    __attribute__((warn_unused_result, nonnull));
void fs_snapshot_notes_remove(struct fs_snapshot_notes *notes, struct fs_snapshot_note *note)
    __attribute__((nonnull));

/* Of a directory whose upload is not finished; borrowed likewise; NULL. */
struct fs_snapshot_note *fs_snapshot_notes_find(struct fs_snapshot_notes *notes, const char *name)
    __attribute__((nonnull));

/* Of an id. */
struct fs_snapshot_note *fs_snapshot_notes_find_id(struct fs_snapshot_notes *notes,
                                                   const struct ic_snapshot_id *id)
    __attribute__((nonnull));

/* An id as it is written: lower-case hex digits. */
#define FS_SNAPSHOT_ID_TEXT (2 * IC_SNAPSHOT_ID_MAX + 1)
void fs_snapshot_id_format(const struct ic_snapshot_id *id, char text[FS_SNAPSHOT_ID_TEXT])
    __attribute__((nonnull));

/* False: it is none. */
bool fs_snapshot_id_parse(const char *text, struct ic_snapshot_id *out) __attribute__((nonnull));

#endif
