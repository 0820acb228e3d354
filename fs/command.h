/* The commands of `.canisterfs/control`. */
#ifndef CANISTERFS_FS_COMMAND_H
#define CANISTERFS_FS_COMMAND_H

#include "fs/control.h"

/* A NULL name ends them. Their functions take the struct fs_mount. */
extern const struct fs_command fs_commands[];

#endif
