/* The kernel's requests, answered from the tree. */
#ifndef CANISTERFS_FS_OPS_H
#define CANISTERFS_FS_OPS_H

#include "fs/fuse.h"
#include "fs/lease.h"
#include "fs/log.h"
#include "fs/snapshot_stage.h"
#include "fs/stages.h"
#include "fs/tree.h"

#include <stdint.h>

struct fs_ops;

struct fs_ops_config {
    struct fs_tree *tree;            /* borrowed; outlives the ops */
    struct fs_stages *stages;        /* borrowed, likewise; NULL: nothing can be restored */
    struct fs_snapshot_stage *local; /* borrowed: what is made in snapshots/; NULL: nothing is */
    struct fs_lease *lease;          /* borrowed: held by who reads what changes; NULL: by nobody */
    struct fs_log *log;              /* borrowed */
    uint64_t timeout_ns;             /* deadline of one request */
    uint64_t cache_budget;           /* bytes: bounds what a reader may prefetch */
    /* Queries that may run at once now; or updates, of a source whose calls are slow; adapts. */
    unsigned (*max_inflight)(void *arg, bool is_slow);
    /* Wakes everyone who waits for the network, so that a cancel flag is seen at once. */
    void (*wake)(void *arg);
    void *arg;
};

int fs_ops_new(struct fs_ops **out, const struct fs_ops_config *config)
    __attribute__((warn_unused_result));
void fs_ops_free(struct fs_ops *ops);

/* `serving` is called once, while the kernel's INIT is being answered. To be set before the session
 * exists. */
void fs_ops_set_serving(struct fs_ops *ops, void (*serving)(void *arg), void *arg);

/* For fuse_session_new; its user data is the struct fs_ops. */
const struct fuse_lowlevel_ops *fs_ops_table(void);

#endif
