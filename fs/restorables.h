/* What of a canister can be restored: restorers for its memories and collections, in the tree. */
#ifndef CANISTERFS_FS_RESTORABLES_H
#define CANISTERFS_FS_RESTORABLES_H

#include "fs/backup.h"
#include "fs/discovery.h"
#include "fs/stable.h"
#include "fs/tree.h"

struct fs_restorables;

struct fs_restorables_config {
    const struct fs_target *target; /* borrowed, as all that follows */
    const struct fs_discovery *discovery;
    struct fs_backup *backup; /* NULL: there are no collections */
    unsigned n_inflight;      /* update calls of one restore at once */
};

/* Returns 0 or -ENOMEM. No I/O. */
int fs_restorables_open(struct fs_restorables **out, const struct fs_restorables_config *config)
    __attribute__((warn_unused_result, nonnull));

/* The i-th memory of the discovery is the file at a path: let it be restored, if the canister has
 * methods for that. Returns 0 or -errno. */
int fs_restorables_add_memory(struct fs_restorables *restorables, struct fs_tree *tree,
                              const char *path, size_t i, struct fs_stable *stable)
    __attribute__((warn_unused_result, nonnull));

/* Likewise all collections: the directories backup/NAME. */
int fs_restorables_add_collections(struct fs_restorables *restorables, struct fs_tree *tree)
    __attribute__((warn_unused_result, nonnull));

/* Nothing in the tree is restored any more. NULL is fine. */
void fs_restorables_close(struct fs_restorables *restorables);

#endif
