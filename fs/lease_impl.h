/* Inside the lease: what lease.c (holders) and lease_work.c (the thread) share. Private to
 * fs/lease*.c.
 *
 *   state     the canister                            leaves to
 *   FREE      is not paused by us                     PAUSING: somebody wants it
 *   PAUSING   is being asked                          HELD; FREE: refused; UNSURE: no answer
 *   UNSURE    may be paused by us                     HELD: the number was learned; FREE
 *   HELD      is paused, until valid_until_ns         RESUMING: nobody needs it; FREE: lost
 *   RESUMING  is being asked                          FREE
 *
 * Only the thread moves from one to another and makes calls, with the lock not held; holders wait.
 *
 * Locks: one, a leaf.
 */
#ifndef CANISTERFS_FS_LEASE_IMPL_H
#define CANISTERFS_FS_LEASE_IMPL_H

#include "fs/lease.h"
#include "fs/lease_call.h"

#include <pthread.h>
#include <stdatomic.h>

enum lease_state { LEASE_FREE, LEASE_PAUSING, LEASE_UNSURE, LEASE_HELD, LEASE_RESUMING };

struct fs_lease {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* anything below */

    struct fs_lease_config config; /* immutable */
    bool is_usable;                /* immutable: offered, and the mode is not OFF */
    bool has_thread;               /* immutable after open */
    pthread_t thread;              /* immutable after open */

    atomic_bool stopping; /* set with the lock held; cancels the thread's calls */
    int64_t give_up_ns;   /* guarded by lock: monotonic, when stopping */

    /* guarded by lock: who needs it */
    unsigned n_wanting; /* wait for it */
    unsigned n_holders;
    bool is_commanded;       /* paused by command */
    char reason[200];        /* of the first who wanted it */
    int64_t linger_until_ns; /* boot: kept so long when nobody needs it */

    /* guarded by lock: what is known of it */
    enum lease_state state;
    bool is_drained;        /* HELD: nothing is in flight */
    uint64_t number;        /* HELD, RESUMING */
    int64_t valid_until_ns; /* boot: in force until then at least */
    int64_t expires_ns;     /* as the canister said */
    bool is_lost; /* it was held, and is not, but somebody relied on it who does not know yet */
    bool was_commanded; /* is_lost: among them a command */

    /* guarded by lock: for those who wait */
    unsigned n_failed; /* attempts to get it; each ends the waiting of those who wait */
    struct ic_error failure;
    char words[160];
    char problem[300];
};

/* The thread; arg is the lease. */
void *lease_work(void *arg);

/* Is it in force, with nothing in flight? */
bool lease_is_ready_locked(const struct fs_lease *lease);

#endif
