/* Durations on a machine that has other things to do. What others take makes a measurement longer,
 * now and then; what our program wastes makes every one longer. So a bound is held against the
 * least of some measurements.
 */
#ifndef CANISTERFS_TESTS_LEAST_H
#define CANISTERFS_TESTS_LEAST_H

#include <stdint.h>

#define LEAST_TRIES 8

/* The least of up to LEAST_TRIES measurements; one below `enough` is the last. */
static inline int64_t least_of(int64_t enough, int64_t (*measure)(void *arg), void *arg)
{
    int64_t least = INT64_MAX;
    for (int i = 0; i < LEAST_TRIES && least >= enough; i++) {
        int64_t took = measure(arg);
        if (took < least)
            least = took;
    }
    return least;
}

#endif
