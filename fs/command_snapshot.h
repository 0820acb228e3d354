/* The commands about uploads of snapshots (fs/snapshot_upload.h); struct fs_command has what they
 * return. */
#ifndef CANISTERFS_FS_COMMAND_SNAPSHOT_H
#define CANISTERFS_FS_COMMAND_SNAPSHOT_H

#include "fs/control.h"

/* "snapshot upload NAME", "snapshot drop NAME" */
int fs_command_snapshot_upload(void *arg, const struct fs_control_line *line, char *message,
                               size_t message_size);
int fs_command_snapshot_drop(void *arg, const struct fs_control_line *line, char *message,
                             size_t message_size);

#endif
