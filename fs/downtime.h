/* A downtime: the canister is stopped for a change, and started again whatever comes of it.
 *
 * That a canister was stopped by us, for what, and which call was sent last, is noted in
 * staging_dir before the call is: after a crash the next mount knows, says so, and `control start`
 * cures it. It first finds out what became of that call: a load that arrived after the start would
 * throw away what users did in between. So does the next downtime.
 *
 *     DIR/downtime        the note (downtime_note.h); not there: nothing is owed to the canister
 *     DIR/downtime.lock   locked by the mount that is at it, and by nobody once that is dead
 *
 *   step    calls            the note says
 *   begin   stop_canister    that it was running, the stop
 *   call    any              that call
 *   end     start_canister   what it said; it is removed once it is certain that it runs
 *
 * A canister that was stopped before, by somebody else, stays so: nothing is called at the ends,
 * but the calls in between are noted, and settled, all the same.
 *
 * It has an agent of its own, which is not stopped when the mount ends: that ends the change, and
 * the canister is started yet, if that takes no longer than FS_DOWNTIME_GIVE_UP_NS.
 *
 * Thread safety: one downtime at a time, which the worker of the jobs sees to; describe from any
 * thread.
 */
#ifndef CANISTERFS_FS_DOWNTIME_H
#define CANISTERFS_FS_DOWNTIME_H

#include "fs/change.h"
#include "fs/job.h"

#include <stdbool.h>

#define FS_DOWNTIME_GIVE_UP_NS INT64_C(20000000000)

struct fs_downtime;

/* Look what an earlier mount has left, and log it. No network.
 *
 * Returns 0 or -ENOMEM. A staging_dir that cannot be had is told of when one is to begin. */
int fs_downtime_open(struct fs_downtime **out, const struct fs_target *target)
    __attribute__((warn_unused_result, nonnull));

/* NULL is fine. */
void fs_downtime_close(struct fs_downtime *downtime);

enum fs_downtime_kind {
    FS_DOWNTIME_STOPPED, /* for what must not happen to a canister that runs */
    FS_DOWNTIME_LIVE,    /* nothing is stopped or started; calls are noted */
};

/* Begin one: the canister is stopped when it returns, unless the kind is LIVE.
 *
 * purpose  for people, of the note: the command
 *
 * Returns 0, then fs_downtime_end is due; or -errno with err filled: -EBUSY (another mount, maybe
 * one that is ending, is at it), as fs_change_make; the errno of the disk. After a failure the
 * canister runs as before, or err says that it does not. */
int fs_downtime_begin(struct fs_downtime *downtime, struct fs_job *job, enum fs_downtime_kind kind,
                      const char *purpose, struct ic_error *err)
    __attribute__((warn_unused_result, nonnull));

/* Make a call within it; its `note` is ours to set. Returns as fs_change_make. */
int fs_downtime_call(struct fs_downtime *downtime, struct fs_job *job,
                     const struct fs_change *change, struct ic_management_reply *out,
                     struct ic_error *err) __attribute__((warn_unused_result, nonnull));

/* End it: start the canister, if it was running before.
 *
 * result,err  what came of the change
 *
 * Returns what came of all of it: result, or where that is 0 why the canister could not be started,
 * with err filled. In both cases err says when the canister stays stopped, and then the note stays,
 * too. */
int fs_downtime_end(struct fs_downtime *downtime, struct fs_job *job, int result,
                    struct ic_error *err) __attribute__((warn_unused_result, nonnull));

/* The commands: a canister that runs, or is stopped, as the user wants it from now on; what was
 * owed to it before is settled. Return as fs_downtime_begin. */
int fs_downtime_start(struct fs_downtime *downtime, struct fs_job *job, struct ic_error *err)
    __attribute__((warn_unused_result, nonnull));
int fs_downtime_stop(struct fs_downtime *downtime, struct fs_job *job, struct ic_error *err)
    __attribute__((warn_unused_result, nonnull));

/* What is used between begin and end: an agent that outlives the mount's. */
const struct fs_target *fs_downtime_target(const struct fs_downtime *downtime)
    __attribute__((nonnull));

/* For people. */
struct fs_downtime_info {
    bool is_noted;    /* a downtime goes on, or was left by a mount that ended within it */
    bool was_running; /* then: the canister is to be started */
    int64_t since_ns; /* wall clock */
    char purpose[200];
};

void fs_downtime_describe(struct fs_downtime *downtime, struct fs_downtime_info *out)
    __attribute__((nonnull));

#endif
