/* How many updates are in flight at once, and what a network that is overloaded makes of it. */
#include "tests/ic/agent_net.h"
#include "tests/tap.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

TAP_STATE;

#define N 6

struct caller {
    pthread_t thread;
    struct ic_agent *agent;
    int patience_ms;
    int rc;
    struct ic_error err;
};

static void *call_once(void *arg)
{
    struct caller *c = arg;
    struct ic_io io = within_ms(c->patience_ms);
    struct ic_reply reply = {0};
    c->rc = update(c->agent, &io, &reply, &c->err);
    ic_reply_fini(&reply);
    return NULL;
}

static void start(struct caller *callers, unsigned n, struct ic_agent *agent)
{
    for (unsigned i = 0; i < n; i++) {
        callers[i] = (struct caller){.agent = agent, .patience_ms = 20000};
        pthread_create(&callers[i].thread, NULL, call_once, &callers[i]);
    }
}

static unsigned join(struct caller *callers, unsigned n)
{
    unsigned n_good = 0;
    for (unsigned i = 0; i < n; i++) {
        pthread_join(callers[i].thread, NULL);
        n_good += callers[i].rc == 0;
    }
    return n_good;
}

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static void wait_for_calls(unsigned n)
{
    while (asked(&net.n_calls) < n)
        sleep_ms(1);
}

static void test_cap(void)
{
    plan_calls((struct plan){.first_bad = 1, .delay_ms = 300});
    struct ic_agent *agent = open_agent_as(&(struct ic_agent_config){.max_updates = 2});
    struct caller callers[N];
    struct ic_agent_stats stats;
    int64_t begun = ic_wait_now_ns();
    start(callers, N, agent);
    wait_for_calls(1);
    ic_agent_get_stats(agent, &stats);
    TAP_OK(stats.updates_in_flight == 1 || stats.updates_in_flight == 2, "counted");
    TAP_INT(stats.update_limit, 2, "the limit");
    TAP_INT(stats.in_flight, 0, "queries have a gate of their own");
    TAP_INT(join(callers, N), N, "all have their reply");
    TAP_OK(ms_since(begun) >= N / 2 * 300, "two at a time");
    TAP_INT(asked(&net.n_calls), N, "one copy each");
    ic_agent_get_stats(agent, &stats);
    TAP_INT(stats.updates_in_flight, 0, "none is left");
    ic_agent_close(agent);
}

static void test_caps(void)
{
    static const struct {
        unsigned asked_for;
        unsigned most;
        const char *what;
    } rows[] = {{0, 128, "128 by default"}, {160, 128, "128 at first"}, {10, 10, "ten"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ic_agent *agent =
            open_agent_as(&(struct ic_agent_config){.max_updates = rows[i].asked_for});
        struct ic_agent_stats stats;
        ic_agent_get_stats(agent, &stats);
        TAP_INT(stats.update_limit, rows[i].most, rows[i].what);
        ic_agent_close(agent);
    }
}

/* A place is held until the outcome is there, not until the first answer. */
static void test_held_until_settled(void)
{
    static const struct plan asks[] = {{.call_status = "processing"}, {0}};
    plan_calls((struct plan){.status = 202, .last_bad = 0});
    set_nature((struct nature){.asks = asks, .n_asks = 2});
    struct ic_agent *agent = open_agent_as(&(struct ic_agent_config){.max_updates = 1});
    struct caller callers[2];
    start(callers, 1, agent);
    wait_for_calls(1);
    start(callers + 1, 1, agent);
    while (asked(&net.n_asked) < 1)
        sleep_ms(1);
    TAP_INT(asked(&net.n_calls), 1, "the second waits while the first is asked for");
    TAP_INT(join(callers, 2), 2, "both have their reply");
    ic_agent_close(agent);
    set_nature((struct nature){0});
}

/* What one is told is true for all. */
static void test_overload(void)
{
    static const int statuses[] = {429, 503};
    for (size_t i = 0; i < 2; i++) {
        plan_calls(
            (struct plan){.status = statuses[i], .last_bad = 0, .headers = "Retry-After: 1\r\n"});
        struct ic_agent *agent = open_agent();
        struct caller callers[3];
        struct ic_agent_stats stats;
        int64_t begun = ic_wait_now_ns();
        start(callers, 1, agent);
        do {
            sleep_ms(1);
            ic_agent_get_stats(agent, &stats);
        } while (stats.update_limit == 128);
        TAP_INT(stats.update_limit, 1, "the limit is 1 in a pause");
        start(callers + 1, 2, agent);
        sleep_ms(300);
        TAP_INT(asked(&net.n_calls), 1, "nothing is sent meanwhile");
        struct caller hasty = {.agent = agent, .patience_ms = 100};
        (void)call_once(&hasty);
        TAP_INT(hasty.err.code, IC_E_OVERLOADED, "who cannot wait so long is told at once");
        TAP_INT(hasty.rc, -EIO, "errno");
        TAP_INT(join(callers, 3), 3, "the others have their replies");
        TAP_OK(ms_since(begun) >= 1000, "after the pause");
        TAP_INT(asked(&net.n_calls), 4, "one copy more");
        ic_agent_get_stats(agent, &stats);
        TAP_OK(stats.update_limit < 128, "the limit was cut");
        ic_agent_close(agent);
    }
}

static void test_stop(void)
{
    plan_calls((struct plan){.first_bad = 1, .delay_ms = 1000});
    struct ic_agent *agent = open_agent_as(&(struct ic_agent_config){.max_updates = 1});
    struct caller callers[3];
    start(callers, 3, agent);
    wait_for_calls(1);
    ic_agent_stop(agent);
    TAP_INT(join(callers, 3), 0, "all end");
    unsigned n_unsent = 0;
    for (unsigned i = 0; i < 3; i++)
        n_unsent += callers[i].err.code == IC_E_CANCELLED;
    TAP_INT(n_unsent, 2, "those that waited were not sent");
    ic_agent_close(agent);
}

int main(void)
{
    net_open();
    test_cap();
    test_caps();
    test_held_until_settled();
    test_overload();
    test_stop();
    net_close();
    return tap_done();
}
