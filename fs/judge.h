/* What the reply of an update says about how it went. */
#ifndef CANISTERFS_FS_JUDGE_H
#define CANISTERFS_FS_JUDGE_H

#include "ic/error.h"

#include <stddef.h>
#include <stdint.h>

/* Does a reply say that the method failed? A canister says so with a variant {Err} or {err}, or
 * with false; whatever else it replies, the method has run.
 *
 * reply  Candid; may be NULL when len is 0
 *
 * Returns 0, or -EIO, IC_E_REJECTED, with err filled. No I/O. */
int fs_judge_reply(const char *method, const uint8_t *reply, size_t len, struct ic_error *err)
    __attribute__((warn_unused_result));

#endif
