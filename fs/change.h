/* Calls of the management canister that change the canister: made once, and their outcome waited
 * for until it is certain.
 *
 * Before a call is sent it can be noted where a crash leaves it: from its request id and expiry a
 * later process learns what became of it.
 */
#ifndef CANISTERFS_FS_CHANGE_H
#define CANISTERFS_FS_CHANGE_H

#include "fs/target.h"
#include "ic/management.h"

/* What a call takes at most. The network begins it within five minutes or not at all, and stopping
 * a canister takes as long. */
#define FS_CHANGE_NS (UINT64_C(11) * 60 * 1000000000)

struct fs_change {
    const char *method;          /* must outlive what it is noted in */
    const struct ic_part *parts; /* of its argument; "canister_id" is left to fs_change_make */
    size_t n_parts;
    const char *canister_field; /* NULL: "canister_id" */
    enum ic_update_proof proof; /* CERTIFIED where it does harm later than it is believed dead */
    /* Called before the call is sent, each time that it is made; what it returns below 0 ends it.
     * NULL: nothing. */
    int (*note)(void *arg, const struct ic_update *update, struct ic_error *err);
    void *note_arg;
};

/* Make the call. One that certainly did not run for a transient reason (IC0210: the subnet has
 * written too much just now) is made anew, with pauses, for two minutes at most.
 *
 * out  fills; to be released with ic_management_reply_fini
 *
 * Returns 0, or -errno with err filled: as ic_agent_send_update. Blocks. Any thread. */
int fs_change_make(const struct fs_target *target, const struct fs_change *change,
                   const struct ic_io *io, struct ic_management_reply *out, struct ic_error *err)
    __attribute__((warn_unused_result, nonnull));

/* The same for a call whose reply holds nothing. */
int fs_change_do(const struct fs_target *target, const struct fs_change *change,
                 const struct ic_io *io, struct ic_error *err)
    __attribute__((warn_unused_result, nonnull));

/* Wait, at most until io ends. Returns 0, -EINTR or -ETIMEDOUT. */
int fs_change_pause(const struct ic_io *io, int64_t ns)
    __attribute__((warn_unused_result, nonnull));

#endif
