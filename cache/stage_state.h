/* The inside of a stage.
 *
 * Locks, in the order in which they are taken:
 *   journal_lock  whoever writes or reads the journal; held across fdatasync
 *   gate          shared: bytes of `data` are written or read, and then belong to an extent;
 *                 alone: `data` is cut
 *   files_lock    whether the files are open; held while they are opened and closed
 *   lock          the content; never held across the disk
 *
 * Whoever uses a descriptor has the files (stage_get_files) meanwhile.
 */
#ifndef CANISTERFS_CACHE_STAGE_STATE_H
#define CANISTERFS_CACHE_STAGE_STATE_H

#include "cache/lock.h"
#include "cache/stage.h"
#include "cache/stage_content.h"
#include "cache/stage_dir.h"
#include "cache/stage_journal.h"

#include <pthread.h>

/* Kinds of records. The purpose is the first, and comes once. */
enum stage_record_kind {
    STAGE_RECORD_PURPOSE = 1,
    STAGE_RECORD_CONTENT = 2,
    STAGE_RECORD_NOTE = 3
};

struct stage_note_at {
    uint64_t off; /* of its record */
    uint16_t kind;
};

struct stage {
    struct stage_purpose purpose; /* immutable */

    struct lock files_lock;
    struct stage_dir dir; /* guarded by files_lock, as these; constant while n_using > 0 */
    unsigned n_using;     /* who has the files */
    bool is_resting;      /* nobody has them: they are closed */

    struct lock journal_lock;
    struct stage_journal journal; /* guarded by journal_lock, as all of these; its fd as `dir` */
    struct stage_note_at *notes;  /* owned; in the order of the journal */
    size_t n_notes;
    size_t notes_capacity;
    uint64_t note_bytes; /* of their records */
    uint64_t compact_at; /* bytes of the journal below which it is not made smaller */
    uint64_t n_synced;   /* the last sync that succeeded */

    pthread_rwlock_t gate;

    struct lock lock;
    struct stage_content content; /* guarded by lock, as all of these */
    bool is_data_dirty;           /* bytes were written since the last fdatasync */
    uint64_t journal_needs;       /* where the last extent ends in records that may be durable */
    uint64_t n_syncs;             /* begun */
};

/* Have the files open until stage_put_files. Returns 0 or the errno.
 *
 * stays  what is done is one of many: it does not rest from now on */
int stage_get_files(struct stage *stage, bool stays) __attribute__((nonnull, warn_unused_result));
void stage_put_files(struct stage *stage) __attribute__((nonnull));

/* stage_sync with the lock held. */
int stage_sync_locked(struct stage *stage) REQUIRES(stage->journal_lock)
    __attribute__((nonnull, warn_unused_result));

/* Remember where a note is. Returns 0 or -ENOMEM. */
int stage_add_note(struct stage *stage, uint16_t kind, size_t len, uint64_t off)
    __attribute__((nonnull, warn_unused_result));

/* Cut off of `data` what no extent has, neither here nor in the journal. The gate is held alone. */
void stage_cut_data(struct stage *stage) __attribute__((nonnull));

/* Make `journal.new` with the purpose in it; not durable yet. */
int stage_start_journal(const struct stage *stage, struct stage_journal *out)
    __attribute__((nonnull, warn_unused_result));

#endif
