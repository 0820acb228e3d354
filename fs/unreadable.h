/* What is shown of a canister that nothing can be learned of because it is stopped, out of cycles
 * or traps: stable_memory and backup/ are there, and every look at them fails with EIO. So a tool
 * that copies or mirrors the mount does not take them for gone (rsync --delete then deletes
 * nothing). */
#ifndef CANISTERFS_FS_UNREADABLE_H
#define CANISTERFS_FS_UNREADABLE_H

#include "fs/tree.h"

/* Building. Returns 0 or -ENOMEM. */
int fs_unreadable_add(struct fs_tree *tree) __attribute__((warn_unused_result, nonnull));

#endif
