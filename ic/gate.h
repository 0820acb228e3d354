/* How many calls may be in flight at once, learned from the answers. Queries have one gate, updates
 * another.
 *
 * The limit moves between 1 and a cap; its owner sets the cap and where it starts: halved when
 * the network says it is overloaded (HTTP 429 or 503, transient rejections) or carries large calls
 * slowly, grown by one when a whole window of calls succeeded while the gate was full (additive
 * increase, multiplicative decrease). One that has to climb far grows at first with each success. A
 * burst of refusals counts once: only a call that was sent after the last cut can cut again, so a
 * cut is given one round trip to take effect.
 *
 * After a Retry-After nothing is sent before that time (a minute at most, then the network is asked
 * again). What waited meanwhile does not go out in one burst: the limit begins at 1 and grows by
 * one with each success (so it doubles with each round trip) until it is back at what the halving
 * left (slow start).
 *
 * A call that somebody waits for goes before calls made ahead of time (ic_io.is_ahead), but for
 * every fourth place, so that these are not starved either: a reader may have come to wait for them
 * meanwhile. Waiting callers of one kind are not ordered. A call passes the gate anew for each
 * attempt.
 */
#ifndef CANISTERFS_IC_GATE_H
#define CANISTERFS_IC_GATE_H

#include "ic/attr.h"
#include "ic/error.h"
#include "ic/io.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Embedded in its owner. */
struct ic_gate {
    pthread_mutex_t lock;
    pthread_cond_t opened[2]; /* by kind: it is one's turn, the pause is over, woken or stopped */
    const char *what;         /* immutable after init: "queries", "updates"; not owned */
    unsigned cap;             /* immutable after init */
    unsigned limit;           /* guarded by lock: 1..cap */
    unsigned slow_until;      /* guarded by lock: below this limit each success counts ... */
    unsigned step;            /* guarded by lock: ... for so many more */
    unsigned in_flight;       /* guarded by lock */
    unsigned n_waiting[2];    /* guarded by lock: callers, by kind */
    unsigned n_overtaken;  /* guarded by lock: calls that passed waiting ones made ahead of time */
    unsigned n_good;       /* guarded by lock: successes while full since limit last moved */
    int64_t full_ns;       /* guarded by lock: when a call took one of the last places */
    int64_t cut_ns;        /* guarded by lock: when limit was last halved */
    int64_t not_before_ns; /* guarded by lock: no call may pass before this */
    bool stopped;          /* guarded by lock */
};

/* What a caller holds between enter and leave. */
struct ic_gate_pass {
    int64_t entered_ns;
};

enum ic_gate_result {
    IC_GATE_GOOD,       /* answered */
    IC_GATE_OVERLOADED, /* the network wants less */
    IC_GATE_SLOW,       /* answered or not, it took as long as if others were in its way */
    IC_GATE_NEUTRAL,    /* cancelled, broken, ...: says nothing about load */
};

/* What an answer says by the time that it took.
 *
 * sent, received  bytes
 * receive_ns      from the first byte of the answer to the last (ic_http_reply)
 *
 * IC_GATE_GOOD: there may be more at once; IC_GATE_NEUTRAL: not more; IC_GATE_SLOW: fewer. */
enum ic_gate_result ic_gate_judge(const struct ic_gate_pass *pass, size_t sent, size_t received,
                                  int64_t receive_ns) IC_NONNULL(1);

/* What it says that there was no answer in time: IC_GATE_SLOW, or IC_GATE_NEUTRAL when it was not
 * waited for long. */
enum ic_gate_result ic_gate_judge_timeout(const struct ic_gate_pass *pass) IC_NONNULL(1);

/* what   "queries", "updates": for messages; not copied
 * start  the limit at first; at most cap
 * climb  how much each success adds until the first cut; 0: only a whole window adds, one
 * cap    the limit never exceeds it; not 0
 *
 * Returns 0 or -errno. */
int ic_gate_init(struct ic_gate *gate, const char *what, unsigned start, unsigned cap,
                 unsigned climb) IC_NONNULL(1, 2) IC_MUST_CHECK;
void ic_gate_fini(struct ic_gate *gate) IC_NONNULL(1);

/* Wait for a place.
 *
 * Returns 0, -EINTR (cancelled, or the gate was stopped), -ETIMEDOUT, or at once -EIO
 * (IC_E_OVERLOADED) when the network wants to be left alone until after the deadline. After 0,
 * leave must follow. Blocks until io->deadline_ns at most.
 */
int ic_gate_enter(struct ic_gate *gate, const struct ic_io *io, struct ic_gate_pass *out,
                  struct ic_error *err) IC_NONNULL(1, 2, 3) IC_MUST_CHECK;

/* Give the place back.
 *
 * retry_after_ms  with IC_GATE_OVERLOADED: what the server asked for, 0 if nothing
 */
void ic_gate_leave(struct ic_gate *gate, const struct ic_gate_pass *pass,
                   enum ic_gate_result result, uint32_t retry_after_ms) IC_NONNULL(1, 2);

/* Waiting callers look at their cancel flags at once. */
void ic_gate_wake(struct ic_gate *gate) IC_NONNULL(1);

/* Every waiting and later caller gets -EINTR. */
void ic_gate_stop(struct ic_gate *gate) IC_NONNULL(1);

/* For the statistics: the limit in force and the calls inside. */
void ic_gate_look(struct ic_gate *gate, unsigned *limit, unsigned *in_flight) IC_NONNULL(1, 2, 3);

#endif
