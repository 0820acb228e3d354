/* Upgrading the canister to a module from a file: the job of `control upgrade`.
 *
 * The file is read as the user that mounted. Everything is made ready while the canister runs: what
 * is too large for one message goes to the chunk store first. Then, within a downtime, the code is
 * installed, which does all or nothing; and afterwards the certified module hash must be that of
 * the file. The same module again is an upgrade like any other: it makes pre_upgrade write the
 * state to stable memory.
 *
 * A program of Motoko's that keeps its heap (metadata "enhanced-orthogonal-persistence") keeps it.
 */
#ifndef CANISTERFS_FS_UPGRADE_H
#define CANISTERFS_FS_UPGRADE_H

#include "fs/downtime.h"

struct fs_upgrade {
    const char *path; /* absolute */
    bool skip_pre_upgrade;
};

/* Returns 0; or -errno with err filled: -EINVAL (no Wasm module, plain or gzip; larger than a
 * module can be; the canister has no code), the errno of reading the file, -EBADMSG (another module
 * is there afterwards), as fs_downtime_begin. */
int fs_upgrade_run(struct fs_downtime *downtime, const struct fs_target *target, struct fs_job *job,
                   const struct fs_upgrade *upgrade, struct ic_error *err)
    __attribute__((warn_unused_result, nonnull));

#endif
