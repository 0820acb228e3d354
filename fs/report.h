/* The generated files .canisterfs/status and .canisterfs/stats: JSON, rendered at open. */
#ifndef CANISTERFS_FS_REPORT_H
#define CANISTERFS_FS_REPORT_H

#include <stddef.h>

/* Render functions for fs_tree_add_generated; arg is the struct fs_mount. Each fills a malloc'ed
 * text that the caller frees. Return 0 or -ENOMEM. No I/O. Any thread. */
int fs_report_status(void *arg, char **out, size_t *out_len);
int fs_report_stats(void *arg, char **out, size_t *out_len);

#endif
