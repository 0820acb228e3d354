/* Updates in steps, as a journal needs them: made, sent, and asked for by a later process. */
#include "tests/ic/update_row.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TAP_STATE;

#define LIST(...)                                                                                  \
    (const struct plan[]){__VA_ARGS__},                                                            \
        sizeof((const struct plan[]){__VA_ARGS__}) / sizeof(struct plan)

static struct ic_update prepare(struct ic_agent *agent)
{
    struct ic_update update;
    struct ic_error err = {0};
    if (ic_agent_prepare_update(agent, &canister, &canister, "method", (const uint8_t *)"hello", 5,
                                &update, &err) != 0) {
        printf("Bail out! %s\n", err.message);
        exit(1);
    }
    return update;
}

static void plan_lists(const struct plan *calls, unsigned n_calls, const struct plan *asks,
                       unsigned n_asks, int64_t skew_ns)
{
    plan_calls(all_good);
    set_nature((struct nature){
        .calls = calls, .n_calls = n_calls, .asks = asks, .n_asks = n_asks, .skew_ns = skew_ns});
}

/* --- made --- */

static void test_prepare(void)
{
    plan_calls(all_good);
    struct ic_agent *agent = open_agent();
    int64_t before_ns = wall_ns();
    struct ic_update update = prepare(agent);
    struct ic_update other = prepare(agent);
    int64_t lasts_ns = (int64_t)update.expiry_ns - before_ns;
    unsigned n_before = fake_server_n_requests(net.server);
    TAP_OK(lasts_ns >= 180 * IC_NS_PER_SEC && lasts_ns <= 241 * IC_NS_PER_SEC,
           "expires in 3 to 4 minutes");
    TAP_OK(memcmp(update.request_id, other.request_id, IC_REQUEST_ID_LEN) != 0,
           "two equal calls are two calls");
    TAP_INT(asked(&net.n_calls), 0, "nothing was sent");

    struct ic_io io = within_ms(20000);
    struct ic_reply reply = {0};
    struct ic_error err = {0};
    TAP_INT(ic_agent_send_update(agent, &update, IC_UPDATE_ANSWERED, &io, &reply, &err), 0, "sent");
    TAP_OK(reply.len == 4 && memcmp(reply.arg, "done", 4) == 0,
           "the reply, which is certified for that request id");
    char path[256];
    uint8_t *body = NULL;
    size_t len = 0;
    TAP_OK(fake_server_get_request(net.server, n_before, path, &body, &len) &&
               len == update.body.len && memcmp(body, update.body.bytes, len) == 0,
           "those very bytes");
    free(body);
    ic_reply_fini(&reply);
    ic_update_fini(&update);
    ic_update_fini(&other);
    ic_agent_close(agent);
}

/* --- sent by somebody who wants proof --- */

struct proof_row {
    const char *what;
    const struct plan *calls;
    unsigned n_calls;
    const struct plan *asks;
    unsigned n_asks;
    bool is_expired; /* to the network it is */
    int patience_ms; /* 0: 20000 */
    enum ic_errc code;
    unsigned n_sent;
    unsigned n_asked;
    const char *words;
};

/* Returns 0; more when the machine was too busy for all that belongs before the deadline. */
static int64_t prove_once(void *arg)
{
    const struct proof_row *row = arg;
    char what[160];
    plan_lists(row->calls, row->n_calls, row->asks, row->n_asks,
               row->is_expired ? skew_expired_ns() : 0);
    struct ic_agent *agent = open_agent();
    struct ic_update update = prepare(agent);
    struct ic_io io = within_ms(row->patience_ms != 0 ? row->patience_ms : 20000);
    struct ic_reply reply = {0};
    struct ic_error err = {0};
    int rc = ic_agent_send_update(agent, &update, IC_UPDATE_CERTIFIED, &io, &reply, &err);
    printf("# %s\n", err.message);
    TAP_INT(err.code, row->code, row->what);
    snprintf(what, sizeof what, "%s: errno", row->what);
    TAP_INT(rc, ic_error_errno(&err), what);
    bool is_hurried = row->patience_ms != 0;
    snprintf(what, sizeof what, "%s: copies sent", row->what);
    bool is_whole = check_count(asked(&net.n_calls), row->n_sent, is_hurried, what);
    snprintf(what, sizeof what, "%s: questions", row->what);
    is_whole = check_count(asked(&net.n_asked), row->n_asked, is_hurried, what) && is_whole;
    snprintf(what, sizeof what, "%s: in words", row->what);
    if (row->words != NULL)
        TAP_OK(strstr(err.message, row->words) != NULL, what);
    ic_reply_fini(&reply);
    ic_update_fini(&update);
    ic_agent_close(agent);
    set_nature((struct nature){0});
    return is_whole ? 0 : INT64_MAX;
}

static void test_proof(void)
{
    struct proof_row rows[] = {
        {"a reply", LIST({0}), LIST({0}), .n_sent = 1},
        {"a certified rejection is proof", LIST({.reject_code = 4, .error_code = "IC0406"}),
         LIST({0}), .code = IC_E_DENIED, .n_sent = 1, .words = "certified no"},
        {"400, but it ran", LIST({.status = 400}), LIST({0}), .n_sent = 1, .n_asked = 1},
        {"refused, but it ran", LIST({.wrong = REFUSED, .reject_code = 4, .error_code = "IC0406"}),
         LIST({0}), .n_sent = 1, .n_asked = 1},
        {"403, and it never ran", LIST({.status = 403}), LIST({.wrong = ABSENT}),
         .is_expired = true, .code = IC_E_DENIED, .n_sent = 1, .n_asked = 1,
         .words = "certified that it never ran: http"},
        {"refused, and it never ran",
         LIST({.wrong = REFUSED, .reject_code = 4, .error_code = "IC0406"}),
         LIST({.wrong = ABSENT}), .is_expired = true, .code = IC_E_DENIED, .n_sent = 1,
         .n_asked = 1, .words = "certified that it never ran: before it ran: "},
        {"403, and no certainty in time", LIST({.status = 403}), LIST({.wrong = ABSENT}),
         .patience_ms = 1000, .code = IC_E_UNKNOWN_OUTCOME, .n_sent = 1, .n_asked = 1,
         .words = "HTTP status 403"},
        {"429, then a reply", LIST({.status = 429}, {0}), LIST({0}), .n_sent = 2},
        {"429 for ever, but it ran", LIST({.status = 429}), LIST({0}),
         .patience_ms = 1200, /* the pauses before: 0.1, 0.2 s; then 0.4 and 0.8 */
         .code = IC_E_UNKNOWN_OUTCOME, .n_sent = 4, .n_asked = 0},
        {"404 of both APIs, but it ran", LIST({.status = 404}), LIST({0}), .n_sent = 1,
         .n_asked = 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        TAP_INT(least_of(1, prove_once, &rows[i]), 0, rows[i].what);
}

static void test_proof_not_sent(void)
{
    plan_calls(all_good);
    struct ic_agent *agent = open_agent();
    struct ic_update update = prepare(agent);
    struct ic_io io = within_ms(20000);
    struct ic_reply reply = {0};
    struct ic_error err = {0};
    fake_server_refuse(net.server, true);
    TAP_INT(ic_agent_send_update(agent, &update, IC_UPDATE_CERTIFIED, &io, &reply, &err),
            -EHOSTUNREACH, "connection refused");
    TAP_INT(err.code, IC_E_UNREACHABLE, "that it did not run needs no proof");
    fake_server_refuse(net.server, false);
    ic_update_fini(&update);
    ic_agent_close(agent);
}

/* --- asked for by a later process --- */

struct ask_row {
    const char *what;
    int64_t expires_in_ms;
    const struct plan *asks;
    unsigned n_asks;
    int patience_ms; /* 0: 20000 */
    enum ic_errc code;
    unsigned n_asked; /* ANY */
    const char *words;
};

/* Returns 0; more when the machine was too busy for all that belongs before the deadline. */
static int64_t ask_once(void *arg)
{
    const struct ask_row *row = arg;
    static const uint8_t id[IC_REQUEST_ID_LEN] = {1, 2, 3};
    char what[160];
    plan_lists(NULL, 0, row->asks, row->n_asks, 0);
    struct ic_agent *agent = open_agent();
    struct ic_io io = within_ms(row->patience_ms != 0 ? row->patience_ms : 20000);
    struct ic_reply reply = {0};
    struct ic_error err = {0};
    uint64_t expiry_ns = row->expires_in_ms == INT64_MAX
                             ? UINT64_MAX
                             : (uint64_t)(wall_ns() + row->expires_in_ms * IC_NS_PER_MS);
    int rc = ic_agent_ask_update(agent, &canister, "method", id, expiry_ns, &io, &reply, &err);
    printf("# %s\n", err.message);
    TAP_INT(err.code, row->code, row->what);
    snprintf(what, sizeof what, "%s: errno", row->what);
    TAP_INT(rc, ic_error_errno(&err), what);
    snprintf(what, sizeof what, "%s: the reply, or nothing", row->what);
    TAP_OK(row->code == IC_OK ? reply.len == 4 && memcmp(reply.arg, "done", 4) == 0
                              : reply.arg == NULL && reply.certificate == NULL,
           what);
    snprintf(what, sizeof what, "%s: nothing sent", row->what);
    TAP_INT(asked(&net.n_calls), 0, what);
    snprintf(what, sizeof what, "%s: questions", row->what);
    bool is_whole = row->n_asked == ANY ||
                    check_count(asked(&net.n_asked), row->n_asked, row->patience_ms != 0, what);
    snprintf(what, sizeof what, "%s: in words", row->what);
    if (row->words != NULL)
        TAP_OK(strstr(err.message, row->words) != NULL, what);
    ic_reply_fini(&reply);
    ic_agent_close(agent);
    set_nature((struct nature){0});
    return is_whole ? 0 : INT64_MAX;
}

static void test_ask(void)
{
    struct ask_row rows[] = {
        {"it replied", 100000, LIST({0}), .n_asked = 1},
        {"it replied, long ago", -200000, LIST({0}), .n_asked = 1},
        {"it was rejected", 100000, LIST({.reject_code = 5, .error_code = "IC0503"}),
         .code = IC_E_REJECTED, .n_asked = 1, .words = "certified no"},
        {"under way, then a reply", 100000,
         LIST({.wrong = ABSENT}, {.call_status = "received"}, {.call_status = "processing"}, {0}),
         .n_asked = 4},
        {"it ran, and is forgotten", 100000, LIST({.wrong = FORGOTTEN}),
         .code = IC_E_UNKNOWN_OUTCOME, .n_asked = 1, .words = "it ran, its outcome is forgotten"},
        {"unknown, until it expires", 1500, LIST({.wrong = ABSENT}), .code = IC_E_OVERLOADED,
         .n_asked = ANY, .words = "never ran"},
        {"just expired", -3000, LIST({.wrong = ABSENT}), .code = IC_E_OVERLOADED, .n_asked = 1},
        {"expired too long ago to be sure", -15000, LIST({.wrong = ABSENT}),
         .code = IC_E_UNKNOWN_OUTCOME, .n_asked = 1,
         .words = "it may have run, its outcome is forgotten"},
        {"expired yesterday", -86400000, LIST({.wrong = ABSENT}), .code = IC_E_UNKNOWN_OUTCOME,
         .n_asked = 1},
        {"unknown, and no time to wait", 100000, LIST({.wrong = ABSENT}), .patience_ms = 1000,
         .code = IC_E_UNKNOWN_OUTCOME, .n_asked = 2, /* at once and after 0.5 s */
         .words = "no outcome yet"},
        {"lost sight of", -3000, LIST({.call_status = "processing"}, {.wrong = ABSENT}),
         .code = IC_E_UNKNOWN_OUTCOME, .n_asked = 2},
        {"an outage, then a reply", -400000, LIST({.status = 503}, {0}), .n_asked = 2},
        {"an outage", 100000, LIST({.fault = FAKE_RESET}), .patience_ms = 1500,
         .code = IC_E_UNKNOWN_OUTCOME, .n_asked = ANY},
        {"asking is refused", 100000, LIST({.status = 403}), .code = IC_E_UNKNOWN_OUTCOME,
         .n_asked = 3, .words = "HTTP status 403"},
        {"nothing that verifies", 100000, LIST({.wrong = WRONG_SIGNATURE}),
         .code = IC_E_UNKNOWN_OUTCOME, .n_asked = 9, .words = "does not verify"},
        {"an expiry that is none", INT64_MAX, LIST({.wrong = ABSENT}), .patience_ms = 700,
         .code = IC_E_UNKNOWN_OUTCOME, .n_asked = ANY},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        TAP_INT(least_of(1, ask_once, &rows[i]), 0, rows[i].what);
}

/* Our clock is slow, so that the call looks younger than it is: the network's tells its age. */
static void test_ask_slow_clock(void)
{
    static const uint8_t id[IC_REQUEST_ID_LEN] = {1, 2, 3};
    static const struct plan absent = {.wrong = ABSENT};
    plan_lists(NULL, 0, &absent, 1, 60 * IC_NS_PER_SEC);
    struct ic_agent *agent = open_agent();
    struct ic_io io = within_ms(20000);
    struct ic_reply reply = {0};
    struct ic_error err = {0};
    uint64_t expiry_ns = (uint64_t)(wall_ns() + 40 * IC_NS_PER_SEC); /* to the network: 20 s ago */
    TAP_INT(ic_agent_ask_update(agent, &canister, "method", id, expiry_ns, &io, &reply, &err), -EIO,
            "too late to be sure");
    TAP_INT(err.code, IC_E_UNKNOWN_OUTCOME, "nobody knows");
    ic_agent_close(agent);
    set_nature((struct nature){0});
}

int main(void)
{
    net_open();
    test_prepare();
    test_proof();
    test_proof_not_sent();
    test_ask();
    test_ask_slow_clock();
    net_close();
    return tap_done();
}
