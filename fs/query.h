/* One query to the mounted canister, arguments and reply as Candid values. */
#ifndef CANISTERFS_FS_QUERY_H
#define CANISTERFS_FS_QUERY_H

#include "fs/target.h"
#include "ic/candid.h"

/* The most that the reply of a query may hold (IC interface spec, limits: 3 MiB). */
#define FS_QUERY_REPLY_MAX ((size_t)3 << 20)

/* A decoded reply. Values point into it: valid until fs_answer_fini. */
struct fs_answer {
    struct ic_reply reply;
    struct ic_candid *values;
};

/* Call a query method and leave the reply undecoded. The rest as fs_query.
 *
 * io->is_certified  as an update, which the whole subnet executes (IC interface spec, "Request:
 *                   Call"): the state is no older than the call. Takes seconds, costs the canister
 *                   cycles, and carries 2 MiB. A composite query cannot be called so. */
int fs_query_raw(const struct fs_target *target, const char *method, const struct ic_value *args,
                 size_t n_args, const struct ic_io *io, struct ic_reply *out, struct ic_error *err)
    __attribute__((warn_unused_result));

/* Call a query method whose reply is a blob or some numbers: anything that needs much more memory
 * than its bytes is refused as IC_E_WRONG_TYPE. Returns 0, or -errno with err filled; on failure
 * out needs no fini. Blocks until io's deadline at most. Thread safety: any number of concurrent
 * calls. */
int fs_query(const struct fs_target *target, const char *method, const struct ic_value *args,
             size_t n_args, const struct ic_io *io, struct fs_answer *out, struct ic_error *err)
    __attribute__((warn_unused_result));

/* For what stands in a listing: that its method is gone, or the canister, is a failure like any
 * other, -EIO. -ENOENT would say that the file is gone, which rsync --delete takes for the order to
 * delete the backup of it. Returns result, or that. */
int fs_query_fail_gone(int result, struct ic_error *err) __attribute__((warn_unused_result));

void fs_answer_fini(struct fs_answer *answer);

/* The i-th result, NULL when there is none. */
static inline const struct ic_value *fs_answer_value(const struct fs_answer *answer, size_t i)
{
    return ic_candid_arg(answer->values, i);
}

#endif
