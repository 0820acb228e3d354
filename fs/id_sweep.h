/* The memory ids of a canister: all 255 are asked for their size, many at once. */
#ifndef CANISTERFS_FS_ID_SWEEP_H
#define CANISTERFS_FS_ID_SWEEP_H

#include "fs/memory.h"

/* The ids that a memory manager hands out (ic-stable-structures, MemoryId). */
#define FS_MEMORY_IDS 255

/* keep_empty  also those that hold nothing, as was_empty: to be restored
 * out,n       fill: one description for each id, in order; malloc'ed, NULL when n is 0
 *
 * Returns 0, or the errno of the first id whose size could not be had, with err filled. Blocks up
 * to timeout_ns for each call; starts threads and joins them. */
int fs_id_sweep(const struct fs_memory *memory, const struct fs_target *target, uint64_t timeout_ns,
                bool keep_empty, struct fs_memory **out, size_t *n, struct ic_error *err)
    __attribute__((warn_unused_result, nonnull));

#endif
