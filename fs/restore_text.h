/* The restorer of a file that is as it is: a copy of itself is taken, and sent nowhere, so that a
 * whole backup can be copied back; anything else is refused. */
#ifndef CANISTERFS_FS_RESTORE_TEXT_H
#define CANISTERFS_FS_RESTORE_TEXT_H

#include "fs/restore.h"

#include <stddef.h>

/* text  what the file holds; borrowed until the restorer is closed. Returns 0 or -ENOMEM. */
int fs_restore_text_open(struct fs_restorer **out, const char *text, size_t len)
    __attribute__((warn_unused_result, nonnull));

#endif
