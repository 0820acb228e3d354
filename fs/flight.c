#include "fs/flight.h"

#include "ic/wait.h"

#include <errno.h>

static bool is_about_caller(int result)
{
    return result == -EINTR || result == -ETIMEDOUT;
}

bool fs_flight_begin(struct fs_flight *flight, pthread_mutex_t *lock, pthread_cond_t *settled,
                     const struct ic_io *io, int *ret_result)
{
    while (flight->is_busy) {
        unsigned n_ended = flight->n_ended;
        int waited = 0;
        while (waited == 0 && flight->n_ended == n_ended)
            waited = ic_wait_cond(settled, lock, INT64_MAX, io);
        bool has_ended = flight->n_ended != n_ended;
        if (has_ended && !is_about_caller(flight->last_result)) {
            *ret_result = flight->last_result;
            return false;
        }
        if (!has_ended) {
            *ret_result = waited;
            return false;
        }
    }
    flight->is_busy = true;
    return true;
}

void fs_flight_end(struct fs_flight *flight, pthread_cond_t *settled, int result)
{
    flight->is_busy = false;
    flight->n_ended++;
    flight->last_result = result;
    pthread_cond_broadcast(settled);
}
