#include "ic/pace.h"

/* Where large calls come quickly there are eight times as many after the first. */
#define CLIMB 7

int ic_pace_init(struct ic_pace *pace, const char *what, unsigned start, unsigned large_start,
                 unsigned cap)
{
    int rc = ic_gate_init(&pace->all, what, start, cap, 0);
    if (rc != 0)
        return rc;
    rc = ic_gate_init(&pace->large, what, large_start, cap, CLIMB);
    if (rc != 0)
        ic_gate_fini(&pace->all);
    return rc;
}

void ic_pace_fini(struct ic_pace *pace)
{
    ic_gate_fini(&pace->large);
    ic_gate_fini(&pace->all);
}

int ic_pace_enter(struct ic_pace *pace, bool is_large, const struct ic_io *io,
                  struct ic_pace_pass *out, struct ic_error *err)
{
    out->is_large = is_large;
    int rc = is_large ? ic_gate_enter(&pace->large, io, &out->large, err) : 0;
    if (rc != 0)
        return rc;
    rc = ic_gate_enter(&pace->all, io, &out->all, err);
    if (rc != 0 && is_large)
        ic_gate_leave(&pace->large, &out->large, IC_GATE_NEUTRAL, 0);
    return rc;
}

static enum ic_gate_result judge(const struct ic_pace_pass *pass,
                                 const struct ic_pace_outcome *outcome)
{
    if (outcome->load == IC_GATE_GOOD)
        return ic_gate_judge(&pass->all, outcome->sent, outcome->received, outcome->receive_ns);
    return outcome->is_timeout ? ic_gate_judge_timeout(&pass->all) : IC_GATE_NEUTRAL;
}

void ic_pace_leave(struct ic_pace *pace, const struct ic_pace_pass *pass,
                   const struct ic_pace_outcome *outcome)
{
    ic_gate_leave(&pace->all, &pass->all, outcome->load, outcome->retry_after_ms);
    if (pass->is_large)
        ic_gate_leave(&pace->large, &pass->large, judge(pass, outcome), 0);
}

void ic_pace_wake(struct ic_pace *pace)
{
    ic_gate_wake(&pace->all);
    ic_gate_wake(&pace->large);
}

void ic_pace_stop(struct ic_pace *pace)
{
    ic_gate_stop(&pace->all);
    ic_gate_stop(&pace->large);
}

unsigned ic_pace_large_limit(struct ic_pace *pace)
{
    unsigned all;
    unsigned large;
    unsigned in_flight;
    ic_gate_look(&pace->all, &all, &in_flight);
    ic_gate_look(&pace->large, &large, &in_flight);
    return large < all ? large : all;
}
