/* What is staged, for status. */
#ifndef CANISTERFS_FS_REPORT_RESTORE_H
#define CANISTERFS_FS_REPORT_RESTORE_H

#include "fs/lease.h"
#include "fs/stages.h"

#include <jansson.h>

/* An array with an object for each staged file; the caller owns it. */
json_t *fs_report_restores(struct fs_stages *stages);
/* The maintenance lease, an object; lease NULL: null. */
json_t *fs_report_lease(struct fs_lease *lease);

#endif
