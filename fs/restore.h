/* A restorer: brings what is staged to the canister.
 *
 * There is one for each target that can be written to: a memory, a file of a collection. Whoever
 * commits a stage calls it; how the bytes travel (a staged restore, plain writes, calls of a
 * restore method) is its own affair. It never decides when to commit.
 *
 * What it must keep: before it sends anything everything that can be checked here is checked; a
 * commit that fails can be repeated with the same stage, by this program or a later one, and
 * converges; what it needs for that it notes in the stage (kinds FS_NOTE_RESTORER and up) before it
 * sends. It never removes or changes the stage's bytes. What a commit of another stage has left
 * unknown or open is settled first, from that one's notes.
 */
#ifndef CANISTERFS_FS_RESTORE_H
#define CANISTERFS_FS_RESTORE_H

#include "cache/stage.h"
#include "fs/lease.h"
#include "ic/error.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define FS_NOTE_RESTORER 256 /* notes of kinds below belong to fs/stages */

enum fs_restore_phase {
    FS_RESTORE_WAITING,  /* nothing is done yet */
    FS_RESTORE_CHECKING, /* is it whole, and what is different */
    FS_RESTORE_SENDING,
    FS_RESTORE_APPLYING, /* all is there; the canister makes it its own */
};

/* How far it is; written by the restorer, read by reports at any time. */
struct fs_restore_progress {
    _Atomic int phase;          /* enum fs_restore_phase */
    _Atomic uint64_t n_to_send; /* bytes; 0 until known */
    _Atomic uint64_t n_sent;    /* bytes handed to the network */
    _Atomic uint64_t n_acked;   /* bytes that the canister has */
    _Atomic uint64_t n_calls;   /* update calls */
    _Atomic uint64_t n_apply;   /* APPLYING: bytes in all, as the canister tells; 0: not told */
    _Atomic uint64_t n_applied;
    _Atomic bool was_same; /* the canister had all of it: nothing was sent */
};

/* One commit, borrowed for the call. */
struct fs_restore_run {
    struct stage *stage;
    /* What the stage lies over, pinned when it was begun; NULL when the stage was found after
     * a crash, or there is none. */
    struct source *base;
    uint64_t base_serial; /* for source_read of base */

    /* Others of the same target, oldest first: commits of them may have ended early. Their notes
     * may be read and written. */
    struct stage *const *others;
    size_t n_others;

    bool shrink_zero; /* a file shorter than the memory: zeros for the rest, instead of -EINVAL */
    /* Commit what does not cover an unversioned target; send also what the canister has already,
     * and what it may have got by a call whose outcome is not known. */
    bool force;
    bool dry_run;              /* say what would be sent, and send nothing */
    struct fs_lease *lease;    /* what to check while it goes on; NULL: nothing */
    const atomic_bool *cancel; /* -EINTR soon after it is set; the stage can be resumed */
    struct fs_restore_progress *progress;
    char *summary; /* fills: one line about what was done (dry_run: what would be) */
    size_t summary_size;
};

struct fs_lease;
struct fs_restorer;

struct fs_restorer_ops {
    /* Commit. Returns 0 when the canister has it; or -errno with err filled:
     *   -EINVAL  what is staged cannot be this target: malformed, shorter than the memory
     *   -ESTALE  the target is not the base any more; the lease was lost
     *   -EBUSY   somebody else restores
     *   -ENOSPC, -EFBIG, -EACCES, -EINTR, -EIO ...: README's table
     * Blocks as long as there is progress. One commit of a restorer at a time. */
    int (*commit)(struct fs_restorer *restorer, const struct fs_restore_run *run,
                  struct ic_error *err);

    /* The stage is given up: tell the canister, if it holds something of it. Best effort; NULL:
     * there is nothing to tell. */
    int (*abort)(struct fs_restorer *restorer, struct stage *stage, const atomic_bool *cancel,
                 struct ic_error *err);

    void (*close)(struct fs_restorer *restorer);
};

struct fs_restorer {
    const struct fs_restorer_ops *ops; /* immutable */
    /* For people and status: "staged restore (restore_begin ...)", "plain writes by stable_write:
     * not atomic". Immutable. */
    char words[200];
    bool is_atomic;    /* old or new, never mixed */
    bool is_versioned; /* it can tell whether its target is still the base */
};

static inline void fs_restorer_close(struct fs_restorer *restorer)
{
    if (restorer)
        restorer->ops->close(restorer);
}

/* What makes restorers for a file that can be written to, or for each file of a directory whose
 * names change. Borrowed; must outlive the mount. */
struct fs_restorable {
    /* index: of the file in such a directory, else 0. Returns 0 or -errno. No I/O. */
    int (*open)(void *arg, uint64_t index, struct fs_restorer **out);
    /* The canister's own number for what the source of that file calls `serial`, for
     * stage_purpose.base_version: serials end with the program. NULL: there is none. */
    uint64_t (*version)(void *arg, uint64_t index, uint64_t serial);
    void *arg;
};

#endif
