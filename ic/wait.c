#include "ic/wait.h"

#include <errno.h>
#include <time.h>

static int64_t read_clock(clockid_t clock)
{
    struct timespec ts;
    (void)clock_gettime(clock, &ts); /* cannot fail: both clocks exist on every Linux */
    return (int64_t)ts.tv_sec * IC_NS_PER_SEC + ts.tv_nsec;
}

int64_t ic_wait_now_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t ic_wait_boot_ns(void)
{
    return read_clock(CLOCK_BOOTTIME);
}

int ic_wait_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    int rc = pthread_condattr_init(&attr);
    if (rc != 0)
        return -rc;
    rc = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    if (rc == 0)
        rc = pthread_cond_init(cond, &attr);
    (void)pthread_condattr_destroy(&attr);
    return -rc;
}

int ic_wait_check(const struct ic_io *io)
{
    if (io->cancel != NULL && atomic_load(io->cancel))
        return -EINTR;
    if (ic_wait_now_ns() >= io->deadline_ns)
        return -ETIMEDOUT;
    return 0;
}

int ic_wait_cond(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t until_ns,
                 const struct ic_io *io)
{
    int64_t until = until_ns;
    if (io != NULL) {
        int rc = ic_wait_check(io);
        if (rc != 0)
            return rc;
        if (until > io->deadline_ns)
            until = io->deadline_ns;
        if (io->cancel != NULL) {
            int64_t slice = ic_wait_now_ns() + IC_WAIT_SLICE_MS * IC_NS_PER_MS;
            until = until < slice ? until : slice;
        }
    }
    if (until == INT64_MAX) {
        (void)pthread_cond_wait(cond, lock);
    } else {
        struct timespec ts = {.tv_sec = (time_t)(until / IC_NS_PER_SEC),
                              .tv_nsec = (long)(until % IC_NS_PER_SEC)};
        (void)pthread_cond_timedwait(cond, lock, &ts); /* a timeout shows in the next check */
    }
    return io != NULL ? ic_wait_check(io) : 0;
}

int ic_wait_fail(struct ic_error *err, int rc, const char *what)
{
    if (rc == -EINTR)
        return ic_fail(err, IC_E_CANCELLED, "%s: cancelled", what);
    return ic_fail(err, IC_E_TIMEOUT, "%s: deadline passed", what);
}
