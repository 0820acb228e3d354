/* One call for all who want its outcome. Embedded in its owner, whose lock guards it; many may
 * share a condition. Zero-initialise it.
 *
 *     lock
 *     if (fs_flight_begin(&flight, &lock, &settled, io, &result)) {
 *         unlock; result = call(); lock
 *         fs_flight_end(&flight, &settled, result);
 *     }
 *     unlock
 */
#ifndef CANISTERFS_FS_FLIGHT_H
#define CANISTERFS_FS_FLIGHT_H

#include "ic/io.h"

#include <pthread.h>
#include <stdbool.h>

struct fs_flight {
    bool is_busy;
    unsigned n_ended;
    int last_result;
};

/* Wait for the call that is under way, if there is one.
 *
 * lock     held, and given up while waiting
 * settled  of fs_flight_end; made by ic_wait_cond_init
 *
 * Returns true: the caller is to make the call. False: *ret_result is what the call of somebody
 * else came to, or -EINTR, -ETIMEDOUT: the caller's own patience ended. That of others is not for
 * him: when theirs ended the call is his. */
bool fs_flight_begin(struct fs_flight *flight, pthread_mutex_t *lock, pthread_cond_t *settled,
                     const struct ic_io *io, int *ret_result)
    __attribute__((warn_unused_result, nonnull));

/* The call has ended, with 0 or -errno. The lock is held. */
void fs_flight_end(struct fs_flight *flight, pthread_cond_t *settled, int result)
    __attribute__((nonnull));

#endif
