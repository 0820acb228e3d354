/* Mutex, condition variable and clock of this room.
 *
 * The mutex carries a capability, so that clang's -Wthread-safety checks REQUIRES(). Waits are on
 * CLOCK_MONOTONIC, like every deadline of the program. None of these calls can fail for reasons
 * other than a bug of ours, so results are asserted, not returned.
 */
#ifndef CANISTERFS_CACHE_LOCK_H
#define CANISTERFS_CACHE_LOCK_H

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#if defined(__clang__)
#define CAPABILITY     __attribute__((capability("mutex")))
#define REQUIRES(l)    __attribute__((requires_capability(l)))
#define ACQUIRES(l)    __attribute__((acquire_capability(l)))
#define RELEASES(l)    __attribute__((release_capability(l)))
#define NO_LOCK_CHECKS __attribute__((no_thread_safety_analysis))
#else
#define CAPABILITY
#define REQUIRES(l)
#define ACQUIRES(l)
#define RELEASES(l)
#define NO_LOCK_CHECKS
#endif

#define NS_PER_MS ((int64_t)1000000)
#define NS_PER_S  ((int64_t)1000000000)

struct CAPABILITY lock {
    pthread_mutex_t mutex;
};

static inline void lock_init(struct lock *lock)
{
    int err = pthread_mutex_init(&lock->mutex, NULL);
    assert(err == 0);
    (void)err;
}

static inline void lock_fini(struct lock *lock)
{
    int err = pthread_mutex_destroy(&lock->mutex);
    assert(err == 0);
    (void)err;
}

static inline void lock_acquire(struct lock *lock) ACQUIRES(lock) NO_LOCK_CHECKS
{
    int err = pthread_mutex_lock(&lock->mutex);
    assert(err == 0);
    (void)err;
}

static inline void lock_release(struct lock *lock) RELEASES(lock) NO_LOCK_CHECKS
{
    int err = pthread_mutex_unlock(&lock->mutex);
    assert(err == 0);
    (void)err;
}

static inline int64_t clock_now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static inline void cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    int err = pthread_condattr_init(&attr);
    assert(err == 0);
    err = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    assert(err == 0);
    err = pthread_cond_init(cond, &attr);
    assert(err == 0);
    (void)err;
    pthread_condattr_destroy(&attr);
}

/* Wait for a signal, at most until until_ns; the caller loops over its condition and the clock. */
static inline void cond_wait_until(pthread_cond_t *cond, struct lock *lock, int64_t until_ns)
    REQUIRES(lock)
{
    if (until_ns < 0)
        until_ns = 0;
    struct timespec ts = {.tv_sec = (time_t)(until_ns / NS_PER_S), .tv_nsec = until_ns % NS_PER_S};
    int err = pthread_cond_timedwait(cond, &lock->mutex, &ts);
    assert(err == 0 || err == ETIMEDOUT);
    (void)err;
}

#endif
