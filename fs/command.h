/* The commands of `.canisterfs/control`. */
#ifndef CANISTERFS_FS_COMMAND_H
#define CANISTERFS_FS_COMMAND_H

#include "fs/control.h"

#include <stdbool.h>
#include <stdint.h>

/* A NULL name ends them. Their functions take the struct fs_mount. */
extern const struct fs_command fs_commands[];

/* Decimal digits and nothing else. */
bool fs_command_parse_number(const char *text, uint64_t *out) __attribute__((nonnull));

#endif
