/* Threads that do many like calls at once, and somebody who watches them.
 *
 * A call that failed for a reason that may pass is repeated, with pauses of 0.5 s doubling up to
 * 5 s, as long as any call of the crew succeeds now and then: when none did for `patience_ns`, the
 * crew gives up with the last failure. Every other failure ends the crew at once. The calls of the
 * others are then cancelled, as they are when the user cancels or the lease is lost: an update that
 * was sent may still run.
 */
#ifndef CANISTERFS_FS_CREW_H
#define CANISTERFS_FS_CREW_H

#include "fs/lease.h"
#include "fs/target.h"
#include "ic/error.h"

#include <stdatomic.h>
#include <stdint.h>

#define FS_CREW_MAX 160 /* threads */

/* Pages, pieces, whatever its user counts. */
struct fs_crew_task {
    uint64_t first;
    uint64_t n;
    uint64_t weight; /* see weight_max */
};

enum fs_crew_take {
    FS_CREW_NONE,  /* there are no tasks any more */
    FS_CREW_TASK,  /* here is one */
    FS_CREW_LATER, /* perhaps when one of those is done that are being done */
};

struct fs_crew {
    const struct fs_target *target; /* its agent is woken */
    const atomic_bool *cancel;      /* the user's; NULL: never */
    struct fs_lease *lease;         /* NULL: none is needed */
    int64_t patience_ns;
    unsigned n_threads;  /* 1 to FS_CREW_MAX */
    uint64_t weight_max; /* of all tasks at a time, when there are several; 0: any */
    size_t buffer_size;  /* each thread gets one */

    /* The next task. One thread at a time. */
    enum fs_crew_take (*take)(void *arg, struct fs_crew_task *out);
    /* Do it, or do it anew. Many at once. Calls must honour `stop`. Returns 0, or -errno with err
     * filled. */
    int (*work)(void *arg, const struct fs_crew_task *task, uint8_t *buffer,
                const atomic_bool *stop, struct ic_error *err);
    void *arg;
};

/* Until everything is done. Returns 0; -EINTR (cancelled); -ESTALE (the lease was lost); or the
 * first failure. When it returns no thread is left. */
int fs_crew_run(const struct fs_crew *crew, struct ic_error *err)
    __attribute__((warn_unused_result, nonnull));

/* May a failure pass? */
bool fs_crew_may_pass(const struct ic_error *err) __attribute__((nonnull));

#endif
