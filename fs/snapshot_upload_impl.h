/* Shared by the files of snapshot_upload. Private to fs/snapshot_upload*.c. */
#ifndef CANISTERFS_FS_SNAPSHOT_UPLOAD_IMPL_H
#define CANISTERFS_FS_SNAPSHOT_UPLOAD_IMPL_H

#include "fs/snapshot_plan.h"
#include "fs/snapshot_upload.h"

#include <pthread.h>

struct fs_snapshot_upload {
    struct fs_snapshot_upload_config config; /* immutable */

    pthread_mutex_t lock;
    struct fs_snapshot_notes notes; /* guarded by lock; changed by the job's thread and its crew */
    bool is_read;                   /* guarded by lock: this mount has the directory */
};

/* One upload under way. */
struct snapshot_session {
    struct fs_snapshot_upload *upload;
    const char *name;
    struct fs_job *job;
    struct fs_snapshot_plan plan;
    struct fs_snapshot_note note; /* what it is now */
};

/* --- snapshot_upload.c --- */

/* The note says this from now on, also after a crash. Returns 0, or -errno with err filled. */
int snapshot_session_note(const struct snapshot_session *session, struct ic_error *err);
int snapshot_session_forget(const struct snapshot_session *session, struct ic_error *err);

/* --- snapshot_upload_declare.c --- */

/* Have an id, which the note then holds: a new one, or that which a call made whose answer was
 * lost. */
int snapshot_session_declare(struct snapshot_session *session, struct ic_error *err);

/* What became of the call for an id, of a note that is DECLARING? Without the files that it was for
 * (no plan, or another one) only the network is asked. Returns 1: the note holds the id; 0: it made
 * none, or none that could be found, and will not; or -errno. */
int snapshot_session_settle(struct snapshot_session *session, struct ic_error *err);

/* Does the canister list it now? */
int snapshot_session_is_there(const struct snapshot_session *session,
                              const struct ic_snapshot_id *id, bool *out, struct ic_error *err);

/* --- snapshot_upload_send.c --- */

/* Send the pieces that are not known to be there, note how far it is, read everything back and
 * compare it. */
int snapshot_session_carry(struct snapshot_session *session, struct ic_error *err);

#endif
