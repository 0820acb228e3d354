#include "ic/gate.h"

#include "ic/wait.h"

#include <errno.h>

int ic_gate_init(struct ic_gate *gate, unsigned start)
{
    *gate = (struct ic_gate){0};
    gate->limit = start == 0 ? IC_GATE_START : start;
    if (gate->limit > IC_GATE_MAX)
        gate->limit = IC_GATE_MAX;
    int rc = pthread_mutex_init(&gate->lock, NULL);
    if (rc != 0)
        return -rc;
    rc = ic_wait_cond_init(&gate->opened);
    if (rc != 0)
        (void)pthread_mutex_destroy(&gate->lock);
    return rc;
}

void ic_gate_fini(struct ic_gate *gate)
{
    (void)pthread_cond_destroy(&gate->opened);
    (void)pthread_mutex_destroy(&gate->lock);
}

/* A Retry-After is honoured up to this; a longer one must not end the mount for an hour. */
#define PAUSE_MAX_MS 60000

/* Waits with the lock held. 0 when the caller may pass; -EBUSY when that is only allowed after its
 * deadline. */
static int wait_locked(struct ic_gate *gate, const struct ic_io *io)
{
    int rc = 0;
    while (rc == 0) {
        rc = gate->stopped ? -EINTR : ic_wait_check(io);
        if (rc != 0)
            break;
        bool paused = ic_wait_now_ns() < gate->not_before_ns;
        if (!paused && gate->in_flight < gate->limit)
            return 0;
        if (paused && gate->not_before_ns >= io->deadline_ns)
            rc = -EBUSY; /* waiting could not help: say so now */
        else
            rc = ic_wait_cond(&gate->opened, &gate->lock, paused ? gate->not_before_ns : INT64_MAX,
                              io);
    }
    /* This waiter may have swallowed the signal for a free place: pass it on. */
    pthread_cond_signal(&gate->opened);
    return rc;
}

int ic_gate_enter(struct ic_gate *gate, const struct ic_io *io, struct ic_gate_pass *out,
                  struct ic_error *err)
{
    pthread_mutex_lock(&gate->lock);
    int rc = wait_locked(gate, io);
    if (rc == 0) {
        gate->in_flight++;
        out->entered_ns = ic_wait_now_ns();
    }
    int64_t pause_ns = gate->not_before_ns - ic_wait_now_ns();
    pthread_mutex_unlock(&gate->lock);

    if (rc == -EBUSY) {
        rc = ic_fail(err, IC_E_OVERLOADED, "the network asked for a pause beyond the deadline");
        if (err != NULL) /* so that nobody tries again within it */
            err->retry_after_ms = pause_ns > 0 ? (uint32_t)(pause_ns / IC_NS_PER_MS) + 1 : 1;
        return rc;
    }
    return rc == 0 ? 0 : ic_wait_fail(err, rc, "waiting for a free place among the queries");
}

static void cut_locked(struct ic_gate *gate, const struct ic_gate_pass *pass, int64_t now)
{
    if (pass->entered_ns <= gate->cut_ns)
        return; /* sent before the last cut: it tells nothing about the new limit */
    gate->limit = gate->limit > 1 ? gate->limit / 2 : 1;
    gate->n_good = 0;
    gate->cut_ns = now;
}

static void grow_locked(struct ic_gate *gate)
{
    if (gate->in_flight < gate->limit)
        return; /* not full: success proves nothing about more */
    if (++gate->n_good < gate->limit)
        return;
    gate->n_good = 0;
    if (gate->limit < IC_GATE_MAX) {
        gate->limit++;
        pthread_cond_signal(&gate->opened);
    }
}

void ic_gate_leave(struct ic_gate *gate, const struct ic_gate_pass *pass,
                   enum ic_gate_result result, uint32_t retry_after_ms)
{
    int64_t now = ic_wait_now_ns();
    pthread_mutex_lock(&gate->lock);
    if (result == IC_GATE_OVERLOADED) {
        cut_locked(gate, pass, now);
        uint32_t pause_ms = retry_after_ms < PAUSE_MAX_MS ? retry_after_ms : PAUSE_MAX_MS;
        int64_t until = now + pause_ms * IC_NS_PER_MS;
        if (pause_ms > 0 && until > gate->not_before_ns) {
            gate->not_before_ns = until;
            /* Whoever waits for a place must now wait for the time. */
            pthread_cond_broadcast(&gate->opened);
        }
    } else if (result == IC_GATE_GOOD) {
        grow_locked(gate);
    }
    gate->in_flight--;
    pthread_cond_signal(&gate->opened);
    pthread_mutex_unlock(&gate->lock);
}

void ic_gate_wake(struct ic_gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    pthread_cond_broadcast(&gate->opened);
    pthread_mutex_unlock(&gate->lock);
}

void ic_gate_stop(struct ic_gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->stopped = true;
    pthread_cond_broadcast(&gate->opened);
    pthread_mutex_unlock(&gate->lock);
}

void ic_gate_look(struct ic_gate *gate, unsigned *limit, unsigned *in_flight)
{
    pthread_mutex_lock(&gate->lock);
    *limit = gate->limit;
    *in_flight = gate->in_flight;
    pthread_mutex_unlock(&gate->lock);
}
