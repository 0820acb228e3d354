/* The one place that chooses the FUSE API: the low-level API with the loop configuration of 3.12.
 */
#ifndef CANISTERFS_FS_FUSE_H
#define CANISTERFS_FS_FUSE_H

#define FUSE_USE_VERSION 312
#include <fuse3/fuse_lowlevel.h>

#endif
