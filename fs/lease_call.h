/* The calls of the maintenance lease (lease.h), their arguments and replies. Private to
 * fs/lease*.c.
 *
 * Each returns 0, or -errno with err filled; what the canister itself refuses is an errno
 * as fs/refusal.h says. Blocks until io's deadline at most;
 * thread safety: any number of concurrent calls. */
#ifndef CANISTERFS_FS_LEASE_CALL_H
#define CANISTERFS_FS_LEASE_CALL_H

#include "fs/target.h"

#include <stdbool.h>
#include <stdint.h>

/* Make the call that pauses. reason: UTF-8. out: to be released with ic_update_fini. No I/O. */
int lease_call_prepare(const struct fs_target *target, uint32_t ttl_s, const char *reason,
                       struct ic_update *out, struct ic_error *err)
    __attribute__((warn_unused_result, nonnull));

/* Send it. err->code IC_E_UNKNOWN_OUTCOME: the canister may be paused, by a lease whose number did
 * not arrive. */
int lease_call_pause(const struct fs_target *target, const struct ic_update *update,
                     const struct ic_io *io, uint64_t *ret_lease, struct ic_error *err)
    __attribute__((warn_unused_result, nonnull));

/* What became of it? As lease_call_pause; nothing is sent anew. */
int lease_call_ask(const struct fs_target *target, const struct ic_update *update,
                   const struct ic_io *io, uint64_t *ret_lease, struct ic_error *err)
    __attribute__((warn_unused_result, nonnull));

/* Both can be repeated. ret_refused: set on failure; the canister says that there is no such lease
 * any more, or not for us. */
int lease_call_renew(const struct fs_target *target, uint64_t lease, const struct ic_io *io,
                     bool *ret_refused, struct ic_error *err)
    __attribute__((warn_unused_result, nonnull));
int lease_call_resume(const struct fs_target *target, uint64_t lease, const struct ic_io *io,
                      bool *ret_refused, struct ic_error *err)
    __attribute__((warn_unused_result, nonnull));

struct lease_status {
    bool paused;
    bool may_lag;       /* of one node, which may be behind */
    int64_t expires_ns; /* the canister's clock, ns since 1970 */
    int64_t left_ns;    /* until then, when it answered; not known when may_lag */
    uint64_t in_flight;
};

/* Asked for as an update, so that the whole subnet answers: a single node may be behind, and would
 * show the pause of somebody before us, or none. When the canister refuses that (its
 * canister_inspect_message may know update methods only), as a query. */
int lease_call_status(const struct fs_target *target, const struct ic_io *io,
                      struct lease_status *out, struct ic_error *err)
    __attribute__((warn_unused_result, nonnull));

#endif
