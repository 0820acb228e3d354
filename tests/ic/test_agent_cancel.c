/* Calls that are given up: at the deadline, by their cancel flag, because the agent stops. */
#include "tests/ic/agent_net.h"
#include "tests/support/least.h"
#include "tests/tap.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

TAP_STATE;

/* --- giving up --- */

struct patience {
    struct ic_agent *agent;
    int64_t ms;
    char message[512]; /* of the last one that ended */
};

/* Nobody answers. Returns how many ms after the deadline the query ends. */
static int64_t query_in_vain(void *arg)
{
    struct patience *p = arg;
    struct ic_reply reply;
    struct ic_error err = {0};
    struct ic_io io = within_ms(p->ms);
    int rc = query(p->agent, &io, &reply, &err);
    int64_t late = ms_since(io.deadline_ns);
    if (rc == -EHOSTUNREACH && late < 0) /* a busy machine found the stall too late to try again */
        return INT64_MAX;
    TAP_INT(rc, -ETIMEDOUT, "given up");
    TAP_OK(late >= 0, "not before the deadline");
    snprintf(p->message, sizeof p->message, "%s", err.message);
    return late;
}

static void test_deadline(void)
{
    plan_queries((struct plan){.last_bad = UINT32_MAX, .fault = FAKE_STALL});
    struct ic_agent *agent = open_agent_as(&(struct ic_agent_config){.stall_ms = 1000});
    struct patience first = {.agent = agent, .ms = 150};
    TAP_OK(least_of(100, query_in_vain, &first) < 100, "at a deadline in the first attempt");
    /* stalls after 1000 to 1250, tries again after 1100 to 1375, stalls again after 2100 */
    struct patience second = {.agent = agent, .ms = 1700};
    TAP_OK(least_of(100, query_in_vain, &second) < 100, "at a deadline in the second attempt");
    TAP_OK(strstr(second.message, "stalled") != NULL, "the message says what was before");
    ic_agent_close(agent);

    /* The keys stall, the query does not. */
    struct ic_reply reply = {0};
    struct ic_error err = {0};
    plan_states((struct plan){.last_bad = UINT32_MAX, .fault = FAKE_STALL});
    agent = open_agent();
    struct ic_io io = within_ms(150);
    TAP_INT(query(agent, &io, &reply, &err), -ETIMEDOUT, "deadline while the keys are fetched");
    plan_queries(all_good);
    io = within_ms(20000);
    TAP_INT(query(agent, &io, &reply, &err), 0, "which is not held against the next call");
    ic_reply_fini(&reply);
    ic_agent_close(agent);
}

struct victim {
    struct ic_agent *agent;
    atomic_bool cancel;
    int rc;
    int64_t end_ns;
};

static void *call_once(void *arg)
{
    struct victim *v = arg;
    struct ic_io io = within_ms(8000);
    io.cancel = &v->cancel;
    struct ic_reply reply = {0};
    v->rc = query(v->agent, &io, &reply, NULL);
    v->end_ns = ic_wait_now_ns();
    ic_reply_fini(&reply);
    return NULL;
}

struct late {
    struct ic_agent *agent;
    int state_rc;
    int update_rc;
    atomic_bool is_over;
};

static void *call_late(void *arg)
{
    struct late *late = arg;
    struct ic_io io = within_ms(20000);
    struct ic_certificate *cert = NULL;
    struct ic_reply reply;
    late->state_rc = ic_agent_read_state(late->agent, &canister, IC_PATH(ic_label_text("time")), 1,
                                         &io, &cert, NULL);
    late->update_rc =
        ic_agent_update(late->agent, &canister, &canister, "m", NULL, 0, &io, &reply, NULL);
    atomic_store(&late->is_over, true);
    return NULL;
}

struct cancelling {
    const char *what;
    bool wake;
    bool stop;
};

/* Cancel 20 callers in whatever place they wait: sending, at the gate, for keys, between tries.
 * Returns how many ms later the last of them has ended. */
static int64_t cancel_all(void *arg)
{
    const struct cancelling *c = arg;
    struct ic_agent *agent = open_agent();
    struct victim victims[20];
    pthread_t threads[20];
    for (int i = 0; i < 20; i++) {
        victims[i] = (struct victim){.agent = agent};
        pthread_create(&threads[i], NULL, call_once, &victims[i]);
    }
    /* They look for themselves after each 50 ms: some 40 ms from then. */
    struct timespec ts = {.tv_nsec = 160000000};
    nanosleep(&ts, NULL);
    int64_t start = ic_wait_now_ns();
    for (int i = 0; i < 20 && !c->stop; i++)
        atomic_store(&victims[i].cancel, true);
    if (c->wake)
        ic_agent_wake(agent);
    if (c->stop)
        ic_agent_stop(agent);
    int n_cancelled = 0;
    int64_t last = 0;
    for (int i = 0; i < 20; i++) {
        pthread_join(threads[i], NULL);
        n_cancelled += victims[i].rc == -EINTR;
        last = victims[i].end_ns > last ? victims[i].end_ns : last;
    }
    TAP_INT(n_cancelled, 20, c->what);
    if (c->stop) {
        struct ic_io io = within_ms(20000);
        struct ic_reply reply;
        TAP_INT(query(agent, &io, &reply, NULL), -EINTR, "and later calls");
        /* The network thread may still be in its last poll, which would hide that it is gone. */
        const struct timespec gone = {.tv_nsec = 600000000};
        nanosleep(&gone, NULL);
        struct late late = {.agent = agent};
        pthread_t thread;
        pthread_create(&thread, NULL, call_late, &late);
        int64_t until = ic_wait_now_ns() + 15 * IC_NS_PER_SEC;
        while (!atomic_load(&late.is_over) && ic_wait_now_ns() < until)
            nanosleep(&ts, NULL);
        TAP_OK(atomic_load(&late.is_over), "also those that pass no gate, long after");
        if (!atomic_load(&late.is_over))
            exit(1); /* it hangs */
        pthread_join(thread, NULL);
        TAP_INT(late.state_rc, -EINTR, "read_state");
        TAP_INT(late.update_rc, -EINTR, "update");
    }
    ic_agent_close(agent);
    return (last - start) / IC_NS_PER_MS;
}

static void check_cancel(const char *what, bool wake, bool stop)
{
    struct cancelling c = {what, wake, stop};
    int64_t bound_ms = wake || stop ? 25 : 120;
    TAP_OK(least_of(bound_ms, cancel_all, &c) < bound_ms, "in time");
}

static void test_cancel(void)
{
    const struct plan silent = {.last_bad = UINT32_MAX, .fault = FAKE_STALL};
    plan_queries(silent);
    check_cancel("cancelled while sending and at the gate, woken", true, false);
    plan_queries(silent);
    check_cancel("cancelled while sending and at the gate", false, false);
    plan_states(silent);
    check_cancel("cancelled while waiting for keys, woken", true, false);
    plan_queries(
        (struct plan){.last_bad = UINT32_MAX, .status = 503, .headers = "Retry-After: 7\r\n"});
    check_cancel("cancelled in a pause, woken", true, false);
    plan_queries(silent);
    check_cancel("stopped while sending and at the gate", false, true);
    plan_states(silent);
    check_cancel("stopped while waiting for keys", false, true);
    plan_queries(
        (struct plan){.last_bad = UINT32_MAX, .status = 503, .headers = "Retry-After: 7\r\n"});
    check_cancel("stopped in a pause", false, true);
}

int main(void)
{
    net_open();
    test_deadline();
    test_cancel();
    net_close();
    return tap_done();
}
