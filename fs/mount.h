/* Everything one mount is made of, put together and taken apart in order. */
#ifndef CANISTERFS_FS_MOUNT_H
#define CANISTERFS_FS_MOUNT_H

#include "cache/cache.h"
#include "fs/backup.h"
#include "fs/control.h"
#include "fs/discovery.h"
#include "fs/downtime.h"
#include "fs/facts.h"
#include "fs/job.h"
#include "fs/lease.h"
#include "fs/log.h"
#include "fs/ops.h"
#include "fs/option.h"
#include "fs/restorables.h"
#include "fs/snapshot_upload.h"
#include "fs/snapshots.h"
#include "fs/stable.h"
#include "fs/stages.h"
#include "fs/target.h"
#include "fs/tree.h"
#include "fs/vmem.h"

/* A memory that is shown. */
struct fs_mount_file {
    char path[24];            /* below the mount point */
    struct fs_stable *stable; /* borrowed from the tree */
};

struct fs_mount {
    const struct fs_options *options; /* borrowed */
    struct fs_log *log;               /* borrowed */
    struct fs_target target;
    struct cache *cache;
    struct fs_facts *facts;
    struct fs_discovery discovery;
    struct fs_mount_file *files;    /* owned: one for each memory of the discovery */
    struct fs_vmem *vmem;           /* in `stable_memory`; NULL: there is none */
    struct fs_backup *backup;       /* NULL: there are no collections */
    struct fs_target lease_target;  /* its agent is stopped last: a canister must not stay paused */
    struct fs_snapshots *snapshots; /* NULL: not wanted */
    struct fs_lease *lease;         /* NULL: the canister has none, or it is not wanted */
    struct fs_restorables *restorables; /* NULL: mounted read-only, as `stages` then is */
    struct fs_stages *stages;
    struct fs_downtime *downtime;
    struct fs_snapshot_stage *local;    /* NULL: not mounted with rw, or without snapshots */
    struct fs_snapshot_upload *uploads; /* likewise */
    struct fs_jobs *jobs;
    struct fs_control control;
    struct fs_tree *tree;
    struct fs_ops *ops;
    int64_t started_at_ns; /* wall clock */
};

/* Reach the canister, find out what it offers, and build the tree. Nothing is mounted yet.
 *
 * identity  takes, also on failure
 * cancel    ends every wait for the network at the start when it becomes true; borrowed until close
 *
 * Returns FS_EXIT_OK, or the exit status with a line in words; then nothing is left open. Starts
 * threads. */
enum fs_exit fs_mount_open(struct fs_mount *out, const struct fs_options *options,
                           struct ic_identity *identity, struct fs_log *log,
                           const atomic_bool *cancel, char *message, size_t message_size)
    __attribute__((warn_unused_result, nonnull));

/* What was learned of the canister before is not true any more. Any thread. */
void fs_mount_outdate(struct fs_mount *mount) __attribute__((nonnull));

/* Make every call that waits for the network return soon. May be called from any thread,
 * repeatedly, between open and close. */
void fs_mount_stop(struct fs_mount *mount);

void fs_mount_close(struct fs_mount *mount);

#endif
