/* An update method called over the ranges of a whole, one after the other: the job of `control
 * call-ranges`. For restores that a canister makes in stages, as from stable memory to its heap.
 *
 * The method takes two numbers, `from` and `to`, in the order that its interface names them (also
 * start and end; without names: from, to), and does all or nothing of [from, to). The first range
 * is all of it; what fails for a limit (instructions, memory, size) is tried again in halves.
 *
 * Each call is made once. Before it is sent it is noted in staging_dir: the same command again goes
 * on where one that was interrupted has come to, and asks first what became of its last call. Where
 * nobody knows, the user decides (`from=`): nothing is called twice on a guess. Also then nothing
 * is called for as long as that last call may run yet.
 */
#ifndef CANISTERFS_FS_CALL_RANGES_H
#define CANISTERFS_FS_CALL_RANGES_H

#include "fs/job.h"
#include "fs/target.h"
#include "ic/did.h"

#include <stdbool.h>
#include <stdint.h>

struct fs_call_ranges {
    const char *method;
    uint64_t total;
    bool has_from; /* begin at `from`, whatever was noted */
    uint64_t from;
    const struct ic_did *did; /* NULL: not known */
};

/* Returns 0; or -errno with err filled: -EOPNOTSUPP (the interface is not known), -ENOENT (no such
 * method), -EINVAL (not such a method; the numbers do not fit), -EBUSY (another mount is at it, or
 * another such command was interrupted), -EIO (what the canister says; IC_E_UNKNOWN_OUTCOME), as
 * ic_agent_send_update. */
int fs_call_ranges_run(const struct fs_target *target, struct fs_job *job,
                       const struct fs_call_ranges *what, struct ic_error *err)
    __attribute__((warn_unused_result, nonnull));

#endif
