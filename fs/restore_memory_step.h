/* An update that must not run twice, or not again later: it is journaled in the stage before it is
 * sent, and when its outcome is not known the network is asked for it, also by a later commit. */
#ifndef CANISTERFS_FS_RESTORE_MEMORY_STEP_H
#define CANISTERFS_FS_RESTORE_MEMORY_STEP_H

#include "fs/restore_memory_impl.h"

enum memory_step_kind {
    MEMORY_STEP_INIT,
    MEMORY_STEP_GROW,
    MEMORY_STEP_FINISH,
    MEMORY_STEP_KINDS,
};

/* Wait for the outcome of a step that an earlier commit, also of another stage, may have sent.
 * Returns 0 when it is known, or cannot run any more; -errno with err: it is not known yet. */
int memory_step_settle(struct memory_commit *commit, struct ic_error *err)
    __attribute__((warn_unused_result, nonnull));

/* Did a step of this kind succeed for this stage? */
bool memory_step_is_done(struct memory_commit *commit, enum memory_step_kind kind)
    __attribute__((nonnull));

/* Call it, once. Returns 0 when it replied that it succeeded. */
int memory_step_run(struct memory_commit *commit, enum memory_step_kind kind, const char *method,
                    const struct ic_value *args, size_t n_args, struct ic_error *err)
    __attribute__((warn_unused_result, nonnull));

/* What a plain method's reply says: nothing, true, a number that is not -1, ok; or that it failed.
 * Returns 0, -ENOSPC (is_growth) or -EIO. */
int memory_step_judge(const char *method, const struct ic_value *reply, bool is_growth,
                      struct ic_error *err) __attribute__((warn_unused_result, nonnull(1, 4)));

#endif
