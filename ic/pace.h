/* How many calls of a kind may be in flight at once: of all, as the network's load allows (it says
 * so), and of large ones, as the line carries them (nobody says so, but it shows). What is small
 * never waits for the line. Two gates, see gate.h.
 */
#ifndef CANISTERFS_IC_PACE_H
#define CANISTERFS_IC_PACE_H

#include "ic/gate.h"

/* Embedded in its owner. */
struct ic_pace {
    struct ic_gate all;
    struct ic_gate large;
};

/* What a caller holds between enter and leave. */
struct ic_pace_pass {
    struct ic_gate_pass all;
    struct ic_gate_pass large;
    bool is_large;
};

/* What a call is known for when it ends. */
struct ic_pace_outcome {
    enum ic_gate_result load; /* IC_GATE_GOOD: answered; OVERLOADED; NEUTRAL */
    uint32_t retry_after_ms;  /* with IC_GATE_OVERLOADED, see ic_gate_leave */
    bool is_timeout;          /* the caller's time was over */
    size_t sent;              /* bytes; as all that follows with IC_GATE_GOOD */
    size_t received;
    int64_t receive_ns; /* of the answer, see ic_http_reply */
};

/* start, large_start  at first; neither is ever more than cap
 *
 * Returns 0 or -errno. */
int ic_pace_init(struct ic_pace *pace, const char *what, unsigned start, unsigned large_start,
                 unsigned cap) IC_NONNULL(1, 2) IC_MUST_CHECK;
void ic_pace_fini(struct ic_pace *pace) IC_NONNULL(1);

/* As ic_gate_enter, of both gates for a large call. */
int ic_pace_enter(struct ic_pace *pace, bool is_large, const struct ic_io *io,
                  struct ic_pace_pass *out, struct ic_error *err) IC_NONNULL(1, 3, 4) IC_MUST_CHECK;

void ic_pace_leave(struct ic_pace *pace, const struct ic_pace_pass *pass,
                   const struct ic_pace_outcome *outcome) IC_NONNULL(1, 2, 3);

/* As ic_gate_wake and ic_gate_stop. */
void ic_pace_wake(struct ic_pace *pace) IC_NONNULL(1);
void ic_pace_stop(struct ic_pace *pace) IC_NONNULL(1);

/* Large calls that may be in flight just now. */
unsigned ic_pace_large_limit(struct ic_pace *pace) IC_NONNULL(1);

#endif
