/* The restorer of a memory: see restore.h for what it must keep.
 *
 *   restore_memory.c          checks, and which way it goes
 *   restore_memory_content.c  what the memory will be: the stage, the base below it, zeros
 *   restore_memory_compare.c  what of it differs from what is there
 *   restore_memory_plan.c     the pages that are to be sent
 *   restore_memory_send.c     sending them, many calls at once
 *   restore_memory_stream.c   comparing and sending at once
 *   restore_memory_staged.c   the staged way: begin, chunks, commit
 *   restore_memory_session.c  its methods
 *   restore_memory_verify.c   seeing afterwards whether it was made
 *   restore_memory_plain.c    the plain way: grow, write, compare again
 *   crew.c     threads for all of these
 *
 * Memory: 100 bytes for each MiB that is restored, three times the size of each call in flight, and
 * 2 MiB for each query by which something is compared.
 */
#ifndef CANISTERFS_FS_RESTORE_MEMORY_H
#define CANISTERFS_FS_RESTORE_MEMORY_H

#include "fs/memory.h"
#include "fs/restore.h"

struct fs_restore_memory_config {
    const struct fs_target *target; /* borrowed until it is closed */
    const struct fs_memory *memory; /* copied; its write side is not FS_WRITE_NONE */
    /* Update calls at once, 1 to 160, as large as they may be; of small ones up to eight times as
     * many, unless it is 1, and no more bytes together. */
    unsigned n_inflight;
    int64_t patience_ns; /* without any progress; 0: 120 s */
    int64_t settle_ns;   /* how long a call whose outcome is unknown may still begin; 0: 300 s */
    int64_t lag_ns;      /* how far behind a node may be that answers queries; 0: 15 s */
};

/* Returns 0 or -ENOMEM. No I/O.
 *
 * The stage's base_version is the canister's own number of the version (struct fs_memory_state), 0
 * where it tells none. run->base is not used: what it would give is read as it is needed. */
int fs_restore_memory_open(struct fs_restorer **out, const struct fs_restore_memory_config *config)
    __attribute__((warn_unused_result, nonnull));

#endif
