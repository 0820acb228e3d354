#include "ic/gate.h"

#include "ic/wait.h"

#include <errno.h>
#include <stdio.h>

/* Two kinds of callers, and how many of the first may pass in a row while the second wait. */
enum { WAITED_FOR, AHEAD, N_KINDS };
#define OVERTAKE_MAX 3

int ic_gate_init(struct ic_gate *gate, const char *what, unsigned start, unsigned cap,
                 unsigned climb)
{
    *gate = (struct ic_gate){.what = what,
                             .cap = cap,
                             .limit = start < cap ? start : cap,
                             .slow_until = climb > 0 ? cap : 0,
                             .step = climb};
    int rc = pthread_mutex_init(&gate->lock, NULL);
    if (rc != 0)
        return -rc;
    for (unsigned n = 0; n < N_KINDS; n++) {
        rc = ic_wait_cond_init(&gate->opened[n]);
        if (rc == 0)
            continue;
        while (n-- > 0)
            (void)pthread_cond_destroy(&gate->opened[n]);
        (void)pthread_mutex_destroy(&gate->lock);
        return rc;
    }
    return 0;
}

void ic_gate_fini(struct ic_gate *gate)
{
    for (unsigned kind = 0; kind < N_KINDS; kind++)
        (void)pthread_cond_destroy(&gate->opened[kind]);
    (void)pthread_mutex_destroy(&gate->lock);
}

static void wake_all_locked(struct ic_gate *gate)
{
    for (unsigned kind = 0; kind < N_KINDS; kind++)
        pthread_cond_broadcast(&gate->opened[kind]);
}

/* Does the next free place go to a caller of this kind? */
static bool is_turn_locked(const struct ic_gate *gate, unsigned kind)
{
    if (gate->n_waiting[kind == AHEAD ? WAITED_FOR : AHEAD] == 0)
        return true;
    return (gate->n_overtaken >= OVERTAKE_MAX) == (kind == AHEAD);
}

/* One more may look: after a place became free, and by each caller that leaves the line, because
 * the signal for the place may have reached it. */
static void wake_next_locked(struct ic_gate *gate)
{
    bool has_waited_for = gate->n_waiting[WAITED_FOR] > 0;
    unsigned kind = has_waited_for && is_turn_locked(gate, WAITED_FOR) ? WAITED_FOR : AHEAD;
    if (gate->in_flight < gate->limit)
        pthread_cond_signal(&gate->opened[kind]);
}

/* A Retry-After is honoured up to this; a longer one must not end the mount for an hour. */
#define PAUSE_MAX_MS 60000

/* Waits with the lock held. 0 when the caller may pass; -EBUSY when that is only allowed after its
 * deadline. */
static int wait_locked(struct ic_gate *gate, unsigned kind, const struct ic_io *io)
{
    int rc = 0;
    while (rc == 0) {
        rc = gate->stopped ? -EINTR : ic_wait_check(io);
        if (rc != 0)
            break;
        bool paused = ic_wait_now_ns() < gate->not_before_ns;
        if (!paused && gate->in_flight < gate->limit && is_turn_locked(gate, kind))
            return 0;
        if (paused && gate->not_before_ns >= io->deadline_ns) {
            rc = -EBUSY; /* waiting could not help: say so now */
            break;
        }
        gate->n_waiting[kind]++;
        rc = ic_wait_cond(&gate->opened[kind], &gate->lock,
                          paused ? gate->not_before_ns : INT64_MAX, io);
        gate->n_waiting[kind]--;
    }
    return rc;
}

/* A reader leaves a place free for what it may have to wait for: three quarters are full. */
static void pass_locked(struct ic_gate *gate, unsigned kind, int64_t now)
{
    if (++gate->in_flight >= gate->limit - gate->limit / 4)
        gate->full_ns = now;
    bool overtakes = kind == WAITED_FOR && gate->n_waiting[AHEAD] > 0;
    gate->n_overtaken = overtakes ? gate->n_overtaken + 1 : 0;
}

int ic_gate_enter(struct ic_gate *gate, const struct ic_io *io, struct ic_gate_pass *out,
                  struct ic_error *err)
{
    pthread_mutex_lock(&gate->lock);
    unsigned kind = io->is_ahead ? AHEAD : WAITED_FOR;
    int rc = wait_locked(gate, kind, io);
    if (rc == 0) {
        out->entered_ns = ic_wait_now_ns();
        pass_locked(gate, kind, out->entered_ns);
    }
    wake_next_locked(gate);
    int64_t pause_ns = gate->not_before_ns - ic_wait_now_ns();
    pthread_mutex_unlock(&gate->lock);

    if (rc == -EBUSY) {
        rc = ic_fail(err, IC_E_OVERLOADED, "the network asked for a pause beyond the deadline");
        if (err != NULL) /* so that nobody tries again within it */
            err->retry_after_ms = pause_ns > 0 ? (uint32_t)(pause_ns / IC_NS_PER_MS) + 1 : 1;
        return rc;
    }
    if (rc == 0)
        return 0;
    char words[64];
    snprintf(words, sizeof words, "waiting for a free place among the %s", gate->what);
    return ic_wait_fail(err, rc, words);
}

/* A call that was sent before the last cut tells nothing about the limit since then. */
static bool is_older_than_cut_locked(const struct ic_gate *gate, const struct ic_gate_pass *pass)
{
    return pass->entered_ns <= gate->cut_ns;
}

/* A refusal on the way back up, after a pause, halves what it was on the way to: the one call that
 * asks whether the pause was long enough says nothing about how many may follow it. The first climb
 * was on its way to nothing that anybody knew. */
static void cut_locked(struct ic_gate *gate, int64_t now)
{
    bool is_way_back = gate->step == 1 && gate->slow_until > gate->limit;
    unsigned from = is_way_back ? gate->slow_until : gate->limit;
    gate->limit = gate->limit > 1 ? gate->limit / 2 : 1;
    gate->slow_until = from > 1 ? from / 2 : 1;
    gate->step = 1;
    gate->n_good = 0;
    gate->cut_ns = now;
}

/* What fills the line may be gone soon: the limit climbs again as soon as calls are quick. */
static void shrink_locked(struct ic_gate *gate, int64_t now)
{
    gate->limit = gate->limit > 1 ? gate->limit / 2 : 1;
    gate->n_good = 0;
    gate->cut_ns = now;
}

/* Nothing passes before `until`, and then not all that waited at once. */
static void pause_locked(struct ic_gate *gate, int64_t until)
{
    gate->not_before_ns = until;
    gate->limit = 1;
    wake_all_locked(gate); /* who waits for a place must now wait for the time */
}

/* Below slow_until a success counts if the gate was full at some time during the call, so that all
 * of a round trip do; above it only while it is. Not full, it proves nothing about more. */
static void grow_locked(struct ic_gate *gate, const struct ic_gate_pass *pass)
{
    bool is_slow_start = gate->limit < gate->slow_until;
    unsigned room = gate->cap - gate->limit;
    if (room == 0 ||
        (is_slow_start ? gate->full_ns < pass->entered_ns : gate->in_flight < gate->limit))
        return;
    if (!is_slow_start && ++gate->n_good < gate->limit)
        return;
    gate->n_good = 0;
    /* Leaving wakes one, which wakes the next. */
    gate->limit += !is_slow_start ? 1 : gate->step < room ? gate->step : room;
}

/* A line that all share. What is large and comes in slowly is in the way of others: eight times as
 * many (pace.c) must still come within the 30 s that a reader waits (-o timeout). Where the other
 * end sends one answer after the other the whole time tells; but no fewer are sent for that alone,
 * because a busy subnet, too, takes ten seconds for an update. What is sent is waited for longer.
 */
#define FULL            ((size_t)2 << 20) /* what is shorter would take longer if it were so long */
#define RECEIVE_MORE_NS (2500 * IC_NS_PER_MS)
#define RECEIVE_LESS_NS (10 * IC_NS_PER_SEC)
#define REPLY_MORE_NS   (5 * IC_NS_PER_SEC)
#define SEND_MORE_NS    (12 * IC_NS_PER_SEC)

enum ic_gate_result ic_gate_judge(const struct ic_gate_pass *pass, size_t sent, size_t received,
                                  int64_t receive_ns)
{
    int64_t took_ns = ic_wait_now_ns() - pass->entered_ns;
    if (received < IC_IO_LARGE && sent < IC_IO_LARGE)
        return IC_GATE_NEUTRAL;
    if (received >= IC_IO_LARGE && received < FULL)
        receive_ns = receive_ns * (int64_t)(FULL >> 10) / (int64_t)(received >> 10);
    if (received >= IC_IO_LARGE && receive_ns >= RECEIVE_LESS_NS)
        return IC_GATE_SLOW;
    if (received >= IC_IO_LARGE && (receive_ns >= RECEIVE_MORE_NS || took_ns >= REPLY_MORE_NS))
        return IC_GATE_NEUTRAL;
    if (sent >= IC_IO_LARGE && took_ns >= SEND_MORE_NS)
        return IC_GATE_NEUTRAL;
    return IC_GATE_GOOD;
}

enum ic_gate_result ic_gate_judge_timeout(const struct ic_gate_pass *pass)
{
    bool was_long = ic_wait_now_ns() - pass->entered_ns >= RECEIVE_LESS_NS;
    return was_long ? IC_GATE_SLOW : IC_GATE_NEUTRAL;
}

void ic_gate_leave(struct ic_gate *gate, const struct ic_gate_pass *pass,
                   enum ic_gate_result result, uint32_t retry_after_ms)
{
    int64_t now = ic_wait_now_ns();
    pthread_mutex_lock(&gate->lock);
    bool tells = !is_older_than_cut_locked(gate, pass);
    if (result == IC_GATE_OVERLOADED) {
        if (tells)
            cut_locked(gate, now);
        uint32_t pause_ms = retry_after_ms < PAUSE_MAX_MS ? retry_after_ms : PAUSE_MAX_MS;
        int64_t until = now + pause_ms * IC_NS_PER_MS;
        if (pause_ms > 0 && until > gate->not_before_ns)
            pause_locked(gate, until);
    } else if (result == IC_GATE_SLOW && tells) {
        shrink_locked(gate, now);
    } else if (result == IC_GATE_GOOD && tells) {
        grow_locked(gate, pass);
    }
    gate->in_flight--;
    wake_next_locked(gate);
    pthread_mutex_unlock(&gate->lock);
}

void ic_gate_wake(struct ic_gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    wake_all_locked(gate);
    pthread_mutex_unlock(&gate->lock);
}

void ic_gate_stop(struct ic_gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->stopped = true;
    wake_all_locked(gate);
    pthread_mutex_unlock(&gate->lock);
}

void ic_gate_look(struct ic_gate *gate, unsigned *limit, unsigned *in_flight)
{
    pthread_mutex_lock(&gate->lock);
    *limit = gate->limit;
    *in_flight = gate->in_flight;
    pthread_mutex_unlock(&gate->lock);
}
