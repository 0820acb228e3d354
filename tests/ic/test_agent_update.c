/* Updates: one request id, a certified outcome or a word that there is none, nothing run twice. */
#include "tests/ic/agent_net.h"
#include "tests/tap.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

TAP_STATE;

/* What the calls meet (the first only, unless `always`), what the questions for their status, and
 * what must come of it. */
struct row {
    const char *what;
    struct plan call;
    bool always;
    const struct plan *asks;
    unsigned n_asks;
    struct nature nature; /* n_asks and asks are filled in */
    int patience_ms;      /* 0 = 5000 */
    enum ic_errc code;    /* IC_OK: the reply "done" */
    unsigned n_calls;     /* requests */
    unsigned n_asked;     /* ... ANY: not so important */
    const char *words;    /* in the message; may be NULL */
};

#define ANY UINT32_MAX

#define ASKS(...)                                                                                  \
    .asks = (const struct plan[]){__VA_ARGS__},                                                    \
    .n_asks = sizeof((const struct plan[]){__VA_ARGS__}) / sizeof(struct plan)
#define REPLIED                                                                                    \
    {                                                                                              \
        0                                                                                          \
    }

static void check(const struct row *row)
{
    char what[160];
    struct plan plan = row->call;
    plan.first_bad = 0;
    plan.last_bad = row->always ? UINT32_MAX : 0;
    plan_calls(plan);
    struct nature nature = row->nature;
    nature.asks = row->asks;
    nature.n_asks = row->n_asks;
    set_nature(nature);

    struct ic_agent *agent = open_agent();
    struct ic_reply reply = {0};
    struct ic_error err = {0};
    int64_t patience = row->patience_ms != 0 ? row->patience_ms : 5000;
    struct ic_io io = within_ms(patience);
    int64_t start = ic_wait_now_ns();
    int rc = update(agent, &io, &reply, &err);
    TAP_INT(err.code, row->code, row->what);
    snprintf(what, sizeof what, "%s: errno", row->what);
    TAP_INT(rc, ic_error_errno(&err), what);
    snprintf(what, sizeof what, "%s: the reply, or nothing", row->what);
    TAP_OK(row->code == IC_OK ? reply.len == 4 && memcmp(reply.arg, "done", 4) == 0
                              : reply.arg == NULL && reply.certificate == NULL,
           what);
    snprintf(what, sizeof what, "%s: copies sent", row->what);
    TAP_INT(asked(&net.n_calls), row->n_calls, what);
    snprintf(what, sizeof what, "%s: questions", row->what);
    if (row->n_asked != ANY)
        TAP_INT(asked(&net.n_asked), row->n_asked, what);
    snprintf(what, sizeof what, "%s: within the deadline", row->what);
    TAP_OK(ms_since(start) <= patience + 50, what);
    snprintf(what, sizeof what, "%s: in words", row->what);
    if (row->words != NULL)
        TAP_OK(strstr(err.message, row->words) != NULL, what);
    if (rc != 0)
        printf("# %s\n", err.message);
    ic_reply_fini(&reply);
    ic_agent_close(agent);
}

static void check_all(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        check(&rows[i]);
}

#define CHECK_ALL(rows) check_all(rows, sizeof(rows) / sizeof((rows)[0]))

/* The answer to the call settles it. */
static void test_settled_at_once(void)
{
    const struct row rows[] = {
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
        check(&(struct row){
            .what = what, .call = lost[i], .code = IC_OK, .n_calls = 1, .n_asked = 1});
    }
    check(&(struct row){.what = "lost, then certified: rejected",
                        .call = {.fault = FAKE_RESET},
                        ASKS({.reject_code = 5, .error_code = "IC0503"}),
                        .code = IC_E_REJECTED,
                        .n_calls = 1,
                        .n_asked = 1,
                        .words = "certified no"});
}

/* Unknown, received, processing, and then whatever comes. */
static void test_polling(void)
{
    const struct row rows[] = {
        {.what = "202, then all stages",
         .call = {.status = 202},
         ASKS({.wrong = ABSENT}, {.call_status = "received"}, {.call_status = "processing"},
              REPLIED),
         .code = IC_OK,
         .n_calls = 1,
         .n_asked = 4},
        {.what = "a lagging node does not take it back",
         .call = {.status = 202},
         ASKS({.call_status = "processing"}, {.wrong = ABSENT}, REPLIED),
         .code = IC_OK,
         .n_calls = 1,
         .n_asked = 3},
        {.what = "202, then done",
         .call = {.status = 202},
         ASKS({.wrong = FORGOTTEN}),
         .code = IC_E_UNKNOWN_OUTCOME,
         .n_calls = 1,
         .n_asked = 1,
         .words = "it ran, its outcome is forgotten"},
        {.what = "an outage while asking",
         .call = {.status = 202},
         ASKS({.fault = FAKE_RESET}, {.fault = FAKE_RESET}, {.fault = FAKE_RESET},
              {.fault = FAKE_RESET}, {.fault = FAKE_RESET}, {.fault = FAKE_RESET}, {.status = 503},
              REPLIED),
         .patience_ms = 8000,
         .code = IC_OK,
         .n_calls = 1,
         .n_asked = ANY},
        {.what = "202 and no more for ever",
         .call = {.status = 202},
         ASKS({.wrong = ABSENT}),
         .patience_ms = 2000,
         .code = IC_E_UNKNOWN_OUTCOME,
         .n_calls = 1,
         .n_asked = 2, /* after 0.5 and 1.2 s */
         .words = "may have run"},
        {.what = "processing for ever",
         .call = {.status = 202},
         ASKS({.call_status = "processing"}),
         .patience_ms = 2000,
         .code = IC_E_UNKNOWN_OUTCOME,
         .n_calls = 1,
         .n_asked = 2,
         .words = "may have run"},
        {.what = "503 for ever",
         .call = {.status = 503},
         .always = true,
         ASKS({.status = 503}),
         .patience_ms = 1000,
         .code = IC_E_UNKNOWN_OUTCOME,
         .n_calls = 4,
         .n_asked = ANY,
         .words = "HTTP status 503"},
        {.what = "lost, and then nothing but silence",
         .call = {.fault = FAKE_RESET},
         ASKS({.fault = FAKE_CLOSE}),
         .patience_ms = 1500,
         .code = IC_E_UNKNOWN_OUTCOME,
         .n_calls = 1,
         .n_asked = ANY,
         .words = "may have run"},
        /* three tries of read_state each, and three questions */
        {.what = "lost, and then nothing that verifies",
         .call = {.fault = FAKE_RESET},
         ASKS({.wrong = WRONG_SIGNATURE}),
         .patience_ms = 8000,
         .code = IC_E_UNKNOWN_OUTCOME,
         .n_calls = 1,
         .n_asked = 9,
         .words = "does not verify"},
        {.what = "lost, and then nothing that proves anything",
         .call = {.fault = FAKE_RESET},
         ASKS({.wrong = PRUNED}),
         .patience_ms = 8000,
         .code = IC_E_UNKNOWN_OUTCOME,
         .n_calls = 1,
         .n_asked = 3,
         .words = "may have run"},
        {.what = "lost, and asking is refused",
         .call = {.fault = FAKE_RESET},
         ASKS({.status = 403}),
         .patience_ms = 8000,
         .code = IC_E_UNKNOWN_OUTCOME,
         .n_calls = 1,
         .n_asked = 3,
         .words = "may have run"},
    };
    CHECK_ALL(rows);
}

/* Certified time is past the expiry, which is 3 to 4 minutes from now. */
static void test_expired(void)
{
    const struct row rows[] = {
        {.what = "not known after its expiry",
         .call = {.status = 202},
         ASKS({.wrong = ABSENT}),
         .nature = {.status_skew_ns = 242 * IC_NS_PER_SEC},
         .code = IC_E_OVERLOADED,
         .n_calls = 1,
         .n_asked = 1,
         .words = "never ran"},
        {.what = "known before its expiry, and not after",
         .call = {.status = 202},
         ASKS({.call_status = "processing"}, {.wrong = ABSENT}),
         .nature = {.status_skew_ns = 242 * IC_NS_PER_SEC},
         .code = IC_E_UNKNOWN_OUTCOME,
         .n_calls = 1,
         .n_asked = 2,
         .words = "it may have run, its outcome is forgotten"},
    };
    CHECK_ALL(rows);
}

/* The last two calls went out as the same bytes, to this path. */
static void check_same_call(const char *path_wanted)
{
    uint8_t *bodies[2] = {NULL, NULL};
    size_t lens[2] = {0, 0};
    unsigned n_found = 0;
    for (unsigned n = fake_server_n_requests(net.server); n-- > 0 && n_found < 2;) {
        char path[256];
        uint8_t *body;
        size_t len;
        if (!fake_server_get_request(net.server, n, path, &body, &len))
            continue;
        if (strcmp(path, path_wanted) == 0)
            bodies[n_found] = body, lens[n_found++] = len;
        else
            free(body);
    }
    TAP_OK(n_found == 2 && lens[0] == lens[1] && memcmp(bodies[0], bodies[1], lens[0]) == 0,
           "the same bytes, so the same request id");
    free(bodies[0]);
    free(bodies[1]);
}

/* Lost on the way: some seconds later a certificate still does not know it. */
static void test_sent_again(void)
{
    static const char call_path[] = "/api/v4/canister/" CANISTER "/call";
    check(&(struct row){.what = "lost on the way, and sent again",
                        .call = {.fault = FAKE_RESET},
                        ASKS({.wrong = ABSENT}),
                        .patience_ms = 9000,
                        .code = IC_OK,
                        .n_calls = 2,
                        .n_asked = ANY});
    check_same_call(call_path);
    check(&(struct row){.what = "503, and sent again", .call = {.status = 503}, .n_calls = 2});
    check_same_call(call_path);

    /* A refusal of the second copy says nothing about the first. */
    const struct plan calls[] = {{.fault = FAKE_RESET}, {.wrong = REFUSED, .reject_code = 4}};
    check(&(struct row){.what = "lost, sent again and refused, then a reply",
                        .nature = {.calls = calls, .n_calls = 2},
                        ASKS({.wrong = ABSENT}, {.wrong = ABSENT}, {.wrong = ABSENT},
                             {.wrong = ABSENT}, {.wrong = ABSENT}, REPLIED),
                        .patience_ms = 9000,
                        .code = IC_OK,
                        .n_calls = 2,
                        .n_asked = 6});
}

static void test_not_sent(void)
{
    plan_calls(all_good);
    struct ic_agent *agent = open_agent();
    struct ic_io io = within_ms(1000);
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
    check(&(struct row){
        .what = "v2", .call = {0}, .nature = old, .code = IC_OK, .n_calls = 1, .n_asked = 1});
    check(&(struct row){.what = "v2: refused before it ran",
                        .call = {.wrong = REFUSED, .reject_code = 4, .error_code = "IC0406"},
                        .nature = old,
                        .code = IC_E_DENIED,
                        .n_calls = 1,
                        .words = "before it ran: "});
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
    TAP_INT(v->rc, -EINTR, "errno");
    TAP_INT(v->err.code, IC_E_CANCELLED, "code");
    TAP_OK(strstr(v->err.message, "may have run") != NULL, "it may have run");
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
    TAP_OK(strstr(v.err.message, "may have run") == NULL, "it surely did not run");
    ic_agent_close(v.agent);
}

static void test_counted(void)
{
    plan_calls((struct plan){.wrong = WRONG_SIGNATURE});
    struct ic_agent *agent = open_agent();
    struct ic_io io = within_ms(5000);
    struct ic_reply reply = {0};
    struct ic_agent_stats stats;
    TAP_INT(update(agent, &io, &reply, NULL), 0, "a wrong signature, then a good one");
    ic_reply_fini(&reply);
    ic_agent_get_stats(agent, &stats);
    TAP_INT((int64_t)stats.n_unverified, 1, "counted as unverified");
    TAP_INT((int64_t)stats.n_updates, 1, "one update");
    TAP_INT((int64_t)stats.n_read_states, 1, "and one question");
    TAP_INT((int64_t)stats.n_failed, 0, "no failure");
    ic_agent_close(agent);
}

int main(void)
{
    net_open();
    test_settled_at_once();
    test_lost_answers();
    test_polling();
    test_expired();
    test_sent_again();
    test_not_sent();
    test_old_network();
    test_cancelled();
    test_counted();
    net_close();
    return tap_done();
}
