/* Updates: one request id, a certified outcome or a word that there is none. What becomes of those
 * that the answer does not settle is in test_agent_poll.c. */
#include "tests/ic/update_row.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

TAP_STATE;

/* The answer to the call settles it. */
static void test_settled_at_once(void)
{
    struct update_row rows[] = {
        {.what = "a reply", .code = IC_OK, .n_calls = 1},
        {.what = "rejected",
         .call = {.reject_code = 5, .error_code = "IC0503"},
         .code = IC_E_REJECTED,
         .n_calls = 1},
        {.what = "rejected, transient",
         .call = {.reject_code = 2},
         .code = IC_E_OVERLOADED,
         .n_calls = 1},
        {.what = "refused before it ran",
         .call = {.wrong = REFUSED, .reject_code = 4, .error_code = "IC0406"},
         .code = IC_E_DENIED,
         .n_calls = 1,
         .words = "before it ran: "},
        {.what = "done, but forgotten",
         .call = {.wrong = FORGOTTEN},
         .code = IC_E_UNKNOWN_OUTCOME,
         .n_calls = 1,
         .words = "it ran, its outcome is forgotten"},
        {.what = "403", .call = {.status = 403}, .code = IC_E_DENIED, .n_calls = 1},
        {.what = "413", .call = {.status = 413}, .code = IC_E_TOO_LARGE, .n_calls = 1},
        {.what = "400", .call = {.status = 400}, .code = IC_E_HTTP, .n_calls = 1},
        {.what = "429 once", .call = {.status = 429}, .code = IC_OK, .n_calls = 2},
        {.what = "503 once", .call = {.status = 503}, .code = IC_OK, .n_calls = 2},
        {.what = "429 for ever",
         .call = {.status = 429},
         .always = true,
         .patience_ms = 1000,
         .code = IC_E_OVERLOADED,
         .n_calls = 4},
    };
    CHECK_ALL(rows);
}

/* The answer is lost, or proves nothing: the status is asked for, under the same request id. */
static void test_lost_answers(void)
{
    static const struct plan lost[] = {
        {.fault = FAKE_RESET},
        {.fault = FAKE_CLOSE},
        {.fault = FAKE_RESET_IN_HEAD},
        {.fault = FAKE_TRUNCATE, .fault_at = 20},
        {.fault = FAKE_STALL},
        {.fault = FAKE_GARBAGE},
        {.status = 500},
        {.status = 502},
        {.status = 504},
        {.status = 202},
        {.wrong = NOT_CBOR},
        {.wrong = WRONG_SIGNATURE},
        {.wrong = TOO_OLD},
        {.wrong = FROM_THE_FUTURE},
        {.wrong = FOR_ANOTHER_REQUEST},
        {.wrong = ABSENT},
        {.wrong = PRUNED},
        {.call_status = "received"},
        {.call_status = "nonsense"},
    };
    for (size_t i = 0; i < sizeof lost / sizeof lost[0]; i++) {
        char what[64];
        snprintf(what, sizeof what, "answer %zu lost, then asked for", i);
        update_check(&(struct update_row){
            .what = what, .call = lost[i], .code = IC_OK, .n_calls = 1, .n_asked = 1});
    }
    update_check(&(struct update_row){.what = "lost, then certified: rejected",
                                      .call = {.fault = FAKE_RESET},
                                      ASKS({.reject_code = 5, .error_code = "IC0503"}),
                                      .code = IC_E_REJECTED,
                                      .n_calls = 1,
                                      .n_asked = 1,
                                      .words = "certified no"});
}

static void test_not_sent(void)
{
    plan_calls(all_good);
    struct ic_agent *agent = open_agent();
    struct ic_io io = within_ms(20000);
    struct ic_reply reply = {0};
    struct ic_error err = {0};
    fake_server_refuse(net.server, true);
    TAP_INT(update(agent, &io, &reply, &err), -EHOSTUNREACH, "connection refused");
    TAP_INT(err.code, IC_E_UNREACHABLE, "it surely did not run");
    fake_server_refuse(net.server, false);
    ic_agent_close(agent);
}

/* A network that has v2 only: calls are never answered with their outcome. */
static void test_old_network(void)
{
    static const struct nature old = {.is_old = true};
    update_check(&(struct update_row){
        .what = "v2", .call = {0}, .nature = old, .code = IC_OK, .n_calls = 1, .n_asked = 1});
    update_check(
        &(struct update_row){.what = "v2: refused before it ran",
                             .call = {.wrong = REFUSED, .reject_code = 4, .error_code = "IC0406"},
                             .nature = old,
                             .code = IC_E_DENIED,
                             .n_calls = 1,
                             .words = "before it ran: "});
}

/* The call arrives on a kept connection that ends before the answer; libcurl sends it anew, and
 * this second copy is refused. Of the first that says nothing: it ran. */
static void test_resent_and_refused(void)
{
    static const struct plan refusals[] = {
        {.status = 400},
        {.status = 403},
        {.status = 429},
        {.wrong = REFUSED, .reject_code = 4, .error_code = "IC0406"},
    };
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        const struct plan calls[] = {{0}, {.fault = FAKE_CLOSE}, refusals[i]};
        plan_calls(all_good);
        set_nature((struct nature){.calls = calls, .n_calls = 3});
        struct ic_agent *agent = open_agent();
        struct ic_io io = within_ms(20000);
        struct ic_reply reply = {0};
        struct ic_error err = {0};
        TAP_INT(update(agent, &io, &reply, &err), 0, "a call, which keeps a connection");
        ic_reply_fini(&reply);
        TAP_INT(update(agent, &io, &reply, &err), 0, "the first copy's outcome");
        TAP_INT(asked(&net.n_calls), 3, "two copies of the second call");
        TAP_INT(asked(&net.n_asked), 1, "whose status was asked for");
        ic_reply_fini(&reply);
        ic_agent_close(agent);
        set_nature((struct nature){0});
    }
}

struct victim {
    struct ic_agent *agent;
    atomic_bool cancel;
    int rc;
    struct ic_error err;
};

static void *update_once(void *arg)
{
    struct victim *v = arg;
    struct ic_io io = within_ms(8000);
    io.cancel = &v->cancel;
    struct ic_reply reply = {0};
    v->rc = update(v->agent, &io, &reply, &v->err);
    ic_reply_fini(&reply);
    return NULL;
}

static void cancel_after(const unsigned *counter, struct victim *v)
{
    pthread_t thread;
    atomic_store(&v->cancel, false);
    pthread_create(&thread, NULL, update_once, v);
    while (asked(counter) == 0)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    atomic_store(&v->cancel, true);
    pthread_join(thread, NULL);
    TAP_INT(v->rc, -EIO, "errno");
    TAP_INT(v->err.code, IC_E_UNKNOWN_OUTCOME, "it may have run");
    TAP_OK(strstr(v->err.message, "cancelled") != NULL, "the message says why nobody knows");
}

static void test_cancelled(void)
{
    static const struct plan absent = {.wrong = ABSENT};
    plan_calls((struct plan){.delay_ms = 200});
    struct victim v = {.agent = open_agent()};
    printf("# cancelled after it was sent\n");
    cancel_after(&net.n_calls, &v);

    plan_calls((struct plan){.status = 202});
    set_nature((struct nature){.asks = &absent, .n_asks = 1});
    printf("# cancelled while its status is asked for\n");
    cancel_after(&net.n_asked, &v);

    atomic_store(&v.cancel, true);
    (void)update_once(&v);
    TAP_INT(v.rc, -EINTR, "cancelled before it was sent");
    TAP_INT(v.err.code, IC_E_CANCELLED, "it surely did not run");
    ic_agent_close(v.agent);
}

static void test_counted(void)
{
    plan_calls((struct plan){.wrong = WRONG_SIGNATURE});
    struct ic_agent *agent = open_agent();
    struct ic_io io = within_ms(20000);
    struct ic_reply reply = {0};
    struct ic_agent_stats stats;
    TAP_INT(update(agent, &io, &reply, NULL), 0, "a wrong signature, then a good one");
    ic_reply_fini(&reply);
    ic_agent_get_stats(agent, &stats);
    TAP_INT((int64_t)stats.n_unverified, 1, "counted as unverified");
    TAP_INT((int64_t)stats.n_updates, 1, "one update");
    TAP_INT((int64_t)stats.n_read_states, 2, "one question, and one for who may answer it");
    TAP_INT((int64_t)stats.n_failed, 0, "no failure");
    ic_agent_close(agent);
}

int main(void)
{
    net_open();
    test_settled_at_once();
    test_lost_answers();
    test_not_sent();
    test_old_network();
    test_resent_and_refused();
    test_cancelled();
    test_counted();
    net_close();
    return tap_done();
}
