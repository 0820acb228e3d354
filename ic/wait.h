/* Waiting with a deadline and a cancel flag: the clock and the one timed wait that all of ic/ uses.
 *
 * A cancel flag is only an atomic that somebody else sets, so a waiter cannot be woken by it alone.
 * Whoever sets it may also wake the waiters (ic_agent_wake); without that a waiter looks at the
 * flag every IC_WAIT_SLICE_MS. Times are CLOCK_MONOTONIC nanoseconds: the wall clock may jump.
 */
#ifndef CANISTERFS_IC_WAIT_H
#define CANISTERFS_IC_WAIT_H

#include "ic/error.h"
#include "ic/io.h"

#include <pthread.h>
#include <stdint.h>

#define IC_WAIT_SLICE_MS 50

#define IC_NS_PER_MS  INT64_C(1000000)
#define IC_NS_PER_SEC INT64_C(1000000000)

/* Now, on CLOCK_MONOTONIC. */
int64_t ic_wait_now_ns(void);

/* Now, on CLOCK_BOOTTIME: for ages of what others remember or change, which go on while this
 * computer sleeps. Deadlines do not. */
int64_t ic_wait_boot_ns(void);

/* Initialise a condition variable whose timed waits use CLOCK_MONOTONIC. Returns 0 or -errno. */
int ic_wait_cond_init(pthread_cond_t *cond) IC_MUST_CHECK;

/* Has the caller's patience ended?
 *
 * Returns 0, -EINTR (the cancel flag is set) or -ETIMEDOUT (the deadline has passed).
 */
int ic_wait_check(const struct ic_io *io) IC_MUST_CHECK;

/* Wait on a condition until it is signalled, until_ns comes, or the caller's patience ends.
 *
 * until_ns  INT64_MAX for no such time
 * io        may be NULL: then only until_ns bounds the wait
 *
 * Returns 0 (look at the predicate again: signalled, until_ns reached, or spurious), -EINTR or
 * -ETIMEDOUT as ic_wait_check. Callers loop. lock is held on entry and on return.
 */
int ic_wait_cond(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t until_ns,
                 const struct ic_io *io) IC_NONNULL(1, 2) IC_MUST_CHECK;

/* Fill err for a wait that ended with rc (-EINTR or -ETIMEDOUT) while doing `what`; returns rc. */
int ic_wait_fail(struct ic_error *err, int rc, const char *what) IC_NONNULL(3);

#endif
