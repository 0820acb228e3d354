/* Uploading a directory of snapshots/ (snapshot_stage.h) to the canister, as a new snapshot.
 *
 * In this order: the directory is looked at (snapshot_plan.h); a new id is asked for, never in
 * place of another snapshot; the pieces are sent, many at a time; everything that was sent is read
 * back and compared byte for byte. Only then it is verified. Holes are neither sent nor read: what
 * nobody wrote is zero.
 *
 * What is needed to go on is noted before it is done (snapshot_note.h): after a crash the same
 * command goes on with the same id, as long as the files are the same. Whether the call for an id
 * whose answer was lost made one is found out, from its certified status, else by what is listed
 * that was not before: so there is never a second one.
 *
 * Nothing is ever deleted but what fs_snapshot_upload_drop is told to: a snapshot that this made
 * and did not finish.
 *
 * Thread safety: upload and drop one at a time (a job's thread); the others from any thread.
 */
#ifndef CANISTERFS_FS_SNAPSHOT_UPLOAD_H
#define CANISTERFS_FS_SNAPSHOT_UPLOAD_H

#include "fs/job.h"
#include "fs/snapshot_note.h"
#include "fs/snapshot_stage.h"
#include "fs/target.h"

struct fs_snapshot_upload;

struct fs_snapshot_upload_config {
    const struct fs_target *target; /* borrowed, as is what follows */
    struct fs_snapshot_stage *stage;
    void (*outdate)(void *arg); /* there is another snapshot now, or one less */
    void *arg;
};

/* Reads what earlier runs noted, and logs what they did not finish. Returns 0 or -ENOMEM: where it
 * cannot be read, uploads fail. */
int fs_snapshot_upload_open(struct fs_snapshot_upload **out,
                            const struct fs_snapshot_upload_config *config)
    __attribute__((warn_unused_result, nonnull));

/* NULL is fine. */
void fs_snapshot_upload_close(struct fs_snapshot_upload *upload);

/* Do it, or go on with it: the function of a job. What is finished, of the same files, and is still
 * there, is not done again.
 *
 * Returns 0; -ENOENT (no such directory); -EBUSY (it is being written); -EINVAL (it is no snapshot,
 * or not the one that an unfinished upload began with); -ENOSPC (the canister has no room for one
 * more); or what a call came to. */
int fs_snapshot_upload_run(struct fs_snapshot_upload *upload, const char *name, struct fs_job *job,
                           struct ic_error *err) __attribute__((warn_unused_result, nonnull));

/* Delete the snapshot that an upload began and did not finish, and forget that. The files stay.
 * Returns 0; -ENOENT: there is none. */
int fs_snapshot_upload_drop(struct fs_snapshot_upload *upload, const char *name, struct fs_job *job,
                            struct ic_error *err) __attribute__((warn_unused_result, nonnull));

enum fs_snapshot_upload_state {
    FS_SNAPSHOT_UPLOAD_NONE, /* nothing is known of it: taken, or uploaded elsewhere */
    FS_SNAPSHOT_UPLOAD_INCOMPLETE,
    FS_SNAPSHOT_UPLOAD_VERIFIED,
};

enum fs_snapshot_upload_state fs_snapshot_upload_state_of(struct fs_snapshot_upload *upload,
                                                          const struct ic_snapshot_id *id)
    __attribute__((nonnull));

/* Call `each` for what is noted, by age. It must not call back. */
void fs_snapshot_upload_for_each(struct fs_snapshot_upload *upload,
                                 void (*each)(void *arg, const struct fs_snapshot_note *note),
                                 void *arg) __attribute__((nonnull(1, 2)));

#endif
