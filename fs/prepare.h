/* `control prepare`: the update method that a profile or a map names makes the memory ready to be
 * read, as Taggr's `backup` dumps the heap. */
#ifndef CANISTERFS_FS_PREPARE_H
#define CANISTERFS_FS_PREPARE_H

#include "fs/mount.h"

/* Start the job. The method is called once, without arguments; afterwards, however it went, sizes
 * and versions are asked for anew.
 *
 * command  what the job is called
 *
 * Returns 0; -EOPNOTSUPP (no method is named, or the interface wants arguments for it); or what
 * fs_jobs_submit returns; with a line in words. */
int fs_prepare_start(struct fs_mount *mount, const char *command, char *message,
                     size_t message_size) __attribute__((warn_unused_result, nonnull));

#endif
