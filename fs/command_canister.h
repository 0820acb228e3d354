/* The commands about the canister as a whole: it is started, stopped, its snapshots are taken,
 * deleted and loaded, its code is upgraded; struct fs_command has what they return. What changes
 * the canister or deletes anything of it takes a mount with -o rw; starting, stopping and taking a
 * snapshot do not. */
#ifndef CANISTERFS_FS_COMMAND_CANISTER_H
#define CANISTERFS_FS_COMMAND_CANISTER_H

#include "fs/control.h"

int fs_command_start(void *arg, const struct fs_control_line *line, char *message,
                     size_t message_size);
int fs_command_stop(void *arg, const struct fs_control_line *line, char *message,
                    size_t message_size);
int fs_command_snapshot_take(void *arg, const struct fs_control_line *line, char *message,
                             size_t message_size);
int fs_command_snapshot_delete(void *arg, const struct fs_control_line *line, char *message,
                               size_t message_size);
/* "snapshot load ID [--running] [force]" */
int fs_command_snapshot_load(void *arg, const struct fs_control_line *line, char *message,
                             size_t message_size);
/* "upgrade FILE [skip_pre_upgrade]" */
int fs_command_upgrade(void *arg, const struct fs_control_line *line, char *message,
                       size_t message_size);
/* "call-ranges METHOD TOTAL [from=N]" */
int fs_command_call_ranges(void *arg, const struct fs_control_line *line, char *message,
                           size_t message_size);

#endif
