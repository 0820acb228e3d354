/* Where a canister's stages are. */
#ifndef CANISTERFS_FS_STAGING_DIR_H
#define CANISTERFS_FS_STAGING_DIR_H

#include "fs/target.h"

/* The directory of this canister's stages: staging_dir, or what takes its place, and the canister's
 * name. Where the root key is not the Internet Computer's a part of its hash is added: canisters of
 * test networks have the same names.
 *
 * out  fills: a malloc'ed path; it need not exist
 *
 * Returns 0, or -errno with a line in words: -ENOENT (no HOME), -ENOMEM. */
int fs_staging_dir(const struct fs_target *target, char **out, char *message, size_t message_size)
    __attribute__((warn_unused_result, nonnull));

/* Open that directory; it, and what is above it, is made where it is missing, for nobody else.
 *
 * out  fills: a descriptor, to be closed
 *
 * Returns 0; -EPERM (it is another user's, or others may write to it); -errno. */
int fs_staging_dir_open(const char *path, int *out) __attribute__((warn_unused_result, nonnull));

#endif
