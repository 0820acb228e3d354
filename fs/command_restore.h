/* The commands about what is staged (fs/stages.h) and the maintenance lease (fs/lease.h); struct
 * fs_command has what they return. */
#ifndef CANISTERFS_FS_COMMAND_RESTORE_H
#define CANISTERFS_FS_COMMAND_RESTORE_H

#include "fs/control.h"

int fs_command_restore_list(void *arg, const struct fs_control_line *line, char *message,
                            size_t message_size);
/* "restore resume ID", "restore commit ID [shrink=zero] [force]", "restore abort ID" */
int fs_command_restore(void *arg, const struct fs_control_line *line, char *message,
                       size_t message_size);
int fs_command_expect(void *arg, const struct fs_control_line *line, char *message,
                      size_t message_size);
int fs_command_dryrun_on(void *arg, const struct fs_control_line *line, char *message,
                         size_t message_size);
int fs_command_dryrun_off(void *arg, const struct fs_control_line *line, char *message,
                          size_t message_size);
int fs_command_pause(void *arg, const struct fs_control_line *line, char *message,
                     size_t message_size);
int fs_command_resume(void *arg, const struct fs_control_line *line, char *message,
                      size_t message_size);

#endif
