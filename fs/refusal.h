/* What a method of the convention answers: variant { ok; err : Err }, where
 *
 *   Err = variant { busy : text; stale : record { version ... }; denied; range; corrupt : text;
 *                   other : text }
 *
 * (docs/canister.md, "Restoring memory"). One table says what each is here:
 *
 *   busy     -EBUSY   somebody else restores, or holds the lease
 *   stale    -ESTALE  the data are not what they were
 *   denied   -EACCES
 *   range    -EINVAL
 *   corrupt  -EIO     the canister does not have what was declared
 *   other    -EIO; -ENOSPC when it speaks of memory or cycles
 *
 * A case that is none of these is taken for `other` without words. */
#ifndef CANISTERFS_FS_REFUSAL_H
#define CANISTERFS_FS_REFUSAL_H

#include "ic/candid.h"
#include "ic/error.h"

enum fs_refusal {
    FS_REFUSAL_NONE, /* the canister did what was asked, or did not answer */
    FS_REFUSAL_BUSY,
    FS_REFUSAL_STALE,
    FS_REFUSAL_DENIED,
    FS_REFUSAL_RANGE,
    FS_REFUSAL_CORRUPT,
    FS_REFUSAL_OTHER,
};

/* Judge a reply.
 *
 * method       for messages
 * reply        may be NULL: there is no value
 * ret_refusal  fills, also on failure
 * out          fills: the payload of ok; valid while the reply is
 *
 * Returns 0, the errno of a refusal, or -EPROTO (neither ok nor err) with err filled. No I/O. */
int fs_refusal_judge(const char *method, const struct ic_value *reply, enum fs_refusal *ret_refusal,
                     const struct ic_value **out, struct ic_error *err)
    __attribute__((warn_unused_result, nonnull(1, 3, 4, 5)));

#endif
