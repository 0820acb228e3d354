/* Taking, deleting and loading snapshots of the canister: the jobs of `control snapshot …`.
 *
 * Nothing here ever replaces a snapshot (replace_snapshot deletes the old one first), and each call
 * is made once: an outcome that got lost is asked for, and told from the list of snapshots before
 * and after.
 *
 * What a canister is loaded with must be whole: a snapshot that the network took of it, or one that
 * was uploaded here and read back (snapshot_upload.h). Any other that was uploaded is loaded only
 * when the user insists, for the network takes zeros for what was never sent.
 */
#ifndef CANISTERFS_FS_SNAPSHOT_WORK_H
#define CANISTERFS_FS_SNAPSHOT_WORK_H

#include "fs/downtime.h"
#include "ic/snapshot.h"

/* Take one of the canister as it is: it may run.
 *
 * Returns 0; -errno with err filled: -ENOSPC (there are as many as the network allows), as
 * fs_change_make; IC_E_UNKNOWN_OUTCOME: nobody knows, and the list does not tell. */
int fs_snapshot_take(const struct fs_target *target, struct fs_job *job, struct ic_error *err)
    __attribute__((warn_unused_result, nonnull));

/* Delete one. One that is not there any more is a success. */
int fs_snapshot_delete(const struct fs_target *target, struct fs_job *job,
                       const struct ic_snapshot_id *id, struct ic_error *err)
    __attribute__((warn_unused_result, nonnull));

struct fs_snapshot_load {
    struct ic_snapshot_id id;
    bool is_live;     /* load it into a canister that runs */
    bool is_verified; /* it was uploaded here, and read back */
    bool force;       /* also one that this program does not know to be whole */
};

/* Replace all of the canister by a snapshot, within a downtime. One that the network does not load
 * yet (another canister's, before the next checkpoint) is tried again for a quarter of an hour; the
 * canister runs in between. */
int fs_snapshot_load(struct fs_downtime *downtime, const struct fs_target *target,
                     struct fs_job *job, const struct fs_snapshot_load *load, struct ic_error *err)
    __attribute__((warn_unused_result, nonnull));

#endif
