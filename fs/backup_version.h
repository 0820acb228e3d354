/* The version of all collections, where the canister tells one: () -> (record {version; mtime_ns}).
 *
 * Thread safety: every function but init and fini may be called from any thread.
 */
#ifndef CANISTERFS_FS_BACKUP_VERSION_H
#define CANISTERFS_FS_BACKUP_VERSION_H

#include "fs/target.h"

#include <pthread.h>

struct fs_backup_state {
    uint64_t version;
    int64_t mtime_ns; /* ns since 1970; 0: not told */
};

struct fs_backup_version {
    const struct fs_target *target; /* borrowed */
    const char *method;             /* borrowed; "": there is none */
    pthread_mutex_t lock;
    struct fs_backup_state state; /* guarded by lock: the answer to the youngest question */
    int64_t asked_at_ns;          /* guarded by lock: when it was asked, monotonic; 0: never */
};

void fs_backup_version_init(struct fs_backup_version *version, const struct fs_target *target,
                            const char *method) __attribute__((nonnull));
void fs_backup_version_fini(struct fs_backup_version *version);

static inline bool fs_backup_version_is_told(const struct fs_backup_version *version)
{
    return version->method[0] != '\0';
}

/* What it is.
 *
 * since_ns  an answer to a question asked before that (monotonic) is too old
 *
 * Returns 0 or -errno with err filled. One query, or none. */
int fs_backup_version_get(struct fs_backup_version *version, int64_t since_ns,
                          const struct ic_io *io, struct fs_backup_state *out, struct ic_error *err)
    __attribute__((warn_unused_result, nonnull));

#endif
