/* Queries to a network that answers wrongly, late, or not at all: the right bytes or the right
 * errno, within the deadline, and how often it was asked. */
#include "tests/ic/agent_net.h"
#include "tests/support/least.h"
#include "tests/tap.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TAP_STATE;

/* --- answers that are right --- */

static void test_good_query(void)
{
    plan_queries(all_good);
    struct ic_agent *agent = open_agent();
    struct ic_io io = within_ms(20000);
    struct ic_reply reply = {0};
    struct ic_error err = {0};
    TAP_INT(query(agent, &io, &reply, &err), 0, "a query");
    TAP_OK(reply.len == 5 && memcmp(reply.arg, "hello", 5) == 0, "its reply");
    ic_reply_fini(&reply);
    TAP_INT(query(agent, &io, &reply, &err), 0, "another");
    ic_reply_fini(&reply);
    TAP_INT(asked(&net.n_queries), 2, "one request each");
    TAP_INT(asked(&net.n_states), 1, "the node keys were fetched once");

    struct ic_agent_stats stats;
    ic_agent_get_stats(agent, &stats);
    TAP_INT((int64_t)stats.n_queries, 2, "counted: queries");
    TAP_INT((int64_t)stats.n_read_states, 1, "read_states");
    TAP_INT((int64_t)stats.n_attempts, 3, "attempts");
    TAP_INT((int64_t)(stats.n_failed + stats.n_retries + stats.n_unverified), 0, "no failures");
    TAP_OK(stats.bytes_in > 200 && stats.bytes_out > 200, "bytes");
    TAP_OK(stats.p50_us > 0 && stats.p99_us >= stats.p50_us, "latency");
    TAP_INT(stats.limit, 16, "limit");
    TAP_INT(stats.in_flight, 0, "nothing in flight");
    ic_agent_close(agent);
}

/* --- queries that fail --- */

struct row {
    const char *what;
    struct plan plan;     /* first_bad and last_bad are set by the test */
    int persistent_errno; /* when every answer is like this */
    unsigned n_tries;     /* then; 0 = as many as the deadline allows */
    bool is_mended;       /* a single bad answer does not show */
};

static struct row rows[] = {
    {"closed", {.fault = FAKE_CLOSE}, -EHOSTUNREACH, 5, true},
    {"reset", {.fault = FAKE_RESET}, -EHOSTUNREACH, 5, true},
    {"reset in the headers", {.fault = FAKE_RESET_IN_HEAD}, -EHOSTUNREACH, 5, true},
    {"reset in the body", {.fault = FAKE_RESET_IN_BODY, .fault_at = 50}, -EHOSTUNREACH, 5, true},
    {"truncated", {.fault = FAKE_TRUNCATE, .fault_at = 50}, -EPROTO, 3, true},
    {"stalled", {.fault = FAKE_STALL}, -EHOSTUNREACH, 5, true},
    {"stalled in the body", {.fault = FAKE_STALL_IN_BODY, .fault_at = 50}, -EHOSTUNREACH, 5, true},
    {"not HTTP", {.fault = FAKE_GARBAGE}, -EPROTO, 3, true},
    {"not CBOR", {.wrong = NOT_CBOR}, -EPROTO, 3, true},
    {"trailing byte", {.wrong = ONE_BYTE_MORE}, -EPROTO, 3, true},
    {"wrong signature", {.wrong = WRONG_SIGNATURE}, -EBADMSG, 3, true},
    {"unknown node", {.wrong = WRONG_NODE}, -EBADMSG, 6, true},
    {"too many signatures", {.wrong = TOO_MANY_SIGNATURES}, -EBADMSG, 3, true},
    {"old signature", {.wrong = TOO_OLD}, -EBADMSG, 3, true},
    {"future signature", {.wrong = FROM_THE_FUTURE}, -EBADMSG, 3, true},
    {"answer to another query", {.wrong = FOR_ANOTHER_REQUEST}, -EBADMSG, 3, true},
    {"HTTP 503", {.status = 503, .text = "busy"}, -EIO, 0, true},
    {"HTTP 429", {.status = 429}, -EIO, 0, true},
    {"HTTP 504", {.status = 504}, -EIO, 0, true},
    {"HTTP 429 for an hour", {.status = 429, .headers = "Retry-After: 3600\r\n"}, -EIO, 1, false},
    {"HTTP 400", {.status = 400, .text = "Invalid request expiry: no"}, -EIO, 1, false},
    {"unknown canister", {.status = 400, .text = "error: canister_not_found"}, -ENOENT, 1, false},
    {"HTTP 401", {.status = 401}, -EACCES, 1, false},
    {"HTTP 403", {.status = 403, .text = "no"}, -EACCES, 1, false},
    {"HTTP 404", {.status = 404}, -EIO, 1, false},
    {"HTTP 413", {.status = 413}, -EFBIG, 1, false},
    {"HTTP 500", {.status = 500}, -EIO, 1, false},
    {"HTTP 302", {.status = 302, .headers = "Location: /\r\n"}, -EIO, 1, false},
    {"HTTP 202", {.status = 202}, -EPROTO, 3, true},
    {"HTTP 204", {.status = 204}, -EIO, 1, false},
    {"transient rejection", {.reject_code = 2, .error_code = "IC0208"}, -EIO, 0, true},
    {"transient, no code", {.reject_code = 2}, -EIO, 0, true},
    {"out of cycles", {.reject_code = 2, .error_code = "IC0207"}, -ENOSPC, 1, false},
    {"no such canister", {.reject_code = 3, .error_code = "IC0301"}, -ENOENT, 1, false},
    {"no such method", {.reject_code = 5, .error_code = "IC0536"}, -ENOENT, 1, false},
    {"reply too large", {.reject_code = 5, .error_code = "IC0504"}, -EFBIG, 1, false},
    {"instruction limit", {.reject_code = 5, .error_code = "IC0522"}, -EFBIG, 1, false},
    {"canister says no", {.reject_code = 4, .error_code = "IC0406"}, -EACCES, 1, false},
    {"trap", {.reject_code = 5, .error_code = "IC0502"}, -EIO, 1, false},
    {"stopped", {.reject_code = 5, .error_code = "IC0508"}, -EIO, 1, false},
    {"a code of no form", {.reject_code = 5, .error_code = "IC05020000000"}, -EIO, 1, false},
};

static void check(bool ok, const struct row *row, const char *what)
{
    char text[128];
    snprintf(text, sizeof text, "%s: %s", row->what, what);
    TAP_OK(ok, text);
}

static struct ic_agent *open_agent_for(const struct row *row)
{
    bool stalls = row->plan.fault == FAKE_STALL || row->plan.fault == FAKE_STALL_IN_BODY;
    return open_agent_as(&(struct ic_agent_config){.stall_ms = stalls ? SHORT_STALL_MS : 0});
}

/* The first answer is bad, the later ones are good. Returns how many ms it took. */
static int64_t query_once_bad(void *arg)
{
    const struct row *row = arg;
    struct plan plan = row->plan;
    plan.first_bad = plan.last_bad = 0;
    plan_queries(plan);
    struct ic_agent *agent = open_agent_for(row);
    struct ic_io io = within_ms(20000);
    struct ic_reply reply = {0};
    struct ic_error err = {0};
    int64_t start = ic_wait_now_ns();
    int rc = query(agent, &io, &reply, &err);
    int64_t took = ms_since(start);
    if (row->is_mended) {
        check(rc == 0 && reply.len == 5 && memcmp(reply.arg, "hello", 5) == 0, row,
              "once: the right bytes come");
        check(asked(&net.n_queries) == 2, row, "once: by asking again");
    } else {
        check(rc == row->persistent_errno, row, "once: its errno");
        check(asked(&net.n_queries) == 1, row, "once: not asked again");
    }
    if (rc != 0)
        printf("# %s\n", err.message);
    ic_reply_fini(&reply);
    ic_agent_close(agent);
    return took;
}

/* All are bad. Returns how many ms after the deadline it ended. */
static int64_t query_always_bad(void *arg)
{
    const struct row *row = arg;
    struct plan plan = row->plan;
    plan.last_bad = UINT32_MAX;
    plan_queries(plan);
    struct ic_agent *agent = open_agent_for(row);
    int64_t patience = row->n_tries == 0 ? 1000 : 20000;
    struct ic_io io = within_ms(patience);
    struct ic_reply reply = {0};
    struct ic_error err = {0};
    int rc = query(agent, &io, &reply, &err);
    int64_t late = ms_since(io.deadline_ns);
    int64_t took = late + patience;
    if (row->n_tries == 0 && rc == -ETIMEDOUT) { /* a busy machine: a try is under way at the end */
        ic_agent_close(agent);
        return INT64_MAX;
    }
    check(rc == row->persistent_errno, row, "always: its errno");
    check(rc == ic_error_errno(&err), row, "always: the same in err");
    check(reply.arg == NULL && reply.body == NULL, row, "always: no bytes");
    check(strchr(err.message, '\n') == NULL && strchr(err.message, '\x1b') == NULL, row,
          "always: the message is printable");
    unsigned n = asked(&net.n_queries);
    check(row->n_tries == 0 ? n >= 3 && n <= 5 : n == row->n_tries, row, "always: tries");
    if (rc != row->persistent_errno || (row->n_tries != 0 && n != row->n_tries))
        printf("# %d after %u tries: %s\n", rc, n, err.message);
    /* Newer keys are asked for every two seconds at most, for as long as an unknown node signs. */
    check(asked(&net.n_states) <= 3 + took / 2000, row,
          "always: node keys are not asked for all the time");

    struct ic_agent_stats stats;
    ic_agent_get_stats(agent, &stats);
    check(stats.n_failed == 1 && stats.n_retries == n - 1, row, "always: counted");
    check((rc == -EBADMSG) == (stats.n_unverified > 0), row, "always: counted as unverified");
    ic_agent_close(agent);
    return late;
}

static void test_faults(void)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check(least_of(1000, query_once_bad, &rows[i]) < 1000, &rows[i], "once: soon");
        check(least_of(50, query_always_bad, &rows[i]) < 50, &rows[i],
              "always: within the deadline");
    }
}

static void test_reply_too_long(void)
{
    plan_queries(all_good);
    set_nature((struct nature){.reply_len = 1001});
    struct ic_agent *agent = open_agent();
    struct ic_io io = within_ms(20000);
    struct ic_reply reply = {0};
    struct ic_error err = {0};
    TAP_INT(query(agent, &io, &reply, &err), -EPROTO, "one byte more than asked for");
    set_nature((struct nature){.reply_len = 200000}); /* cut off while it arrives */
    TAP_INT(query(agent, &io, &reply, &err), -EPROTO, "far more than asked for");
    set_nature((struct nature){.reply_len = 1000});
    TAP_INT(query(agent, &io, &reply, &err), 0, "exactly as much");
    TAP_INT((int64_t)reply.len, 1000, "its length");
    ic_reply_fini(&reply);
    ic_agent_close(agent);
}

/* --- many at once --- */

struct caller {
    struct ic_agent *agent;
    uint8_t n;
    unsigned n_right;
    unsigned n_failed;
};

static void *call_often(void *arg)
{
    struct caller *c = arg;
    for (uint8_t i = 0; i < 20; i++) {
        uint8_t bytes[2] = {c->n, i};
        struct ic_io io = within_ms(20000);
        struct ic_reply reply;
        int rc = ic_agent_query(c->agent, &canister, "method", bytes, 2, 200000, &io, &reply, NULL);
        if (rc != 0) {
            c->n_failed++;
            continue;
        }
        bool right = reply.len == 100000;
        for (size_t k = 0; right && k < reply.len; k++)
            right = reply.arg[k] == c->n;
        c->n_right += right;
        ic_reply_fini(&reply);
    }
    return NULL;
}

static void test_many_threads(void)
{
    plan_queries((struct plan){.first_bad = 100, .last_bad = 110, .status = 503});
    set_nature((struct nature){.reply_len = 100000});
    struct ic_agent *agent = open_agent();
    struct caller callers[24];
    pthread_t threads[24];
    for (unsigned i = 0; i < 24; i++) {
        callers[i] = (struct caller){.agent = agent, .n = (uint8_t)i};
        pthread_create(&threads[i], NULL, call_often, &callers[i]);
    }
    unsigned n_right = 0;
    unsigned n_failed = 0;
    for (unsigned i = 0; i < 24; i++) {
        pthread_join(threads[i], NULL);
        n_right += callers[i].n_right;
        n_failed += callers[i].n_failed;
    }
    TAP_INT(n_right, 24 * 20, "24 threads: every reply reached its caller");
    TAP_INT(n_failed, 0, "no failures: 11 times 503 was repeated");
    TAP_INT(asked(&net.n_states), 1, "one fetch of the node keys for all");
    struct ic_agent_stats stats;
    ic_agent_get_stats(agent, &stats);
    TAP_INT((int64_t)stats.n_retries, 11, "retries counted");
    TAP_OK(stats.limit < 32, "the limit went down on the way");
    ic_agent_close(agent);
}

int main(void)
{
    net_open();
    test_good_query();
    test_reply_too_long();
    test_many_threads();
    test_faults();
    net_close();
    return tap_done();
}
