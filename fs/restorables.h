/* What of a mount can be restored, and by what: each memory that the canister has a way to write,
 * and each collection that it has a method to take back. */
#ifndef CANISTERFS_FS_RESTORABLES_H
#define CANISTERFS_FS_RESTORABLES_H

#include "fs/mount.h"

struct fs_restorables;

/* Let the tree of a mount know what can be restored. To be called once, before it serves.
 *
 * mount  borrowed; what is opened here must be closed after its stages and before its target
 *
 * Returns 0 or -errno. No I/O. */
int fs_restorables_open(struct fs_restorables **out, struct fs_mount *mount)
    __attribute__((warn_unused_result, nonnull));

/* Every restorer must have been closed. NULL is fine. */
void fs_restorables_close(struct fs_restorables *restorables);

#endif
