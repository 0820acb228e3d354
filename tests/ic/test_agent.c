/* ic/agent against a pretended network that answers wrongly, late, or not at all: the right bytes
 * or the right errno, within the deadline, and how often it was asked.
 */
#include "ic/agent.h"
#include "ic/request.h"
#include "ic/wait.h"
#include "tests/support/fake_ic.h"
#include "tests/support/fake_server.h"
#include "tests/tap.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

TAP_STATE;

#define CANISTER "bkyz2-fmaaa-aaaaa-qaaaq-cai" /* of the recorded answers */

static const char *data_dir;
static struct ic_principal canister;
static struct ic_identity *anonymous;
static uint8_t root_key[FAKE_IC_ROOT_KEY_LEN];

/* --- the network --- */

enum wrong {
    RIGHT,
    WRONG_SIGNATURE,
    WRONG_NODE, /* a signature by a node that the subnet does not have */
    TOO_MANY_SIGNATURES,
    TOO_OLD,
    FROM_THE_FUTURE,
    NOT_CBOR,
    ONE_BYTE_MORE,
    FOR_ANOTHER_REQUEST,
    FORGOTTEN,
};

/* What the network does with requests of one kind, from the first_bad-th to the last_bad-th. */
struct plan {
    unsigned first_bad;
    unsigned last_bad;
    enum wrong wrong;
    int status; /* 0 = 200 */
    const char *headers;
    const char *text;     /* body of another status than 200 */
    uint32_t reject_code; /* 0 = replied */
    const char *error_code;
    enum fake_fault fault;
    size_t fault_at;
    unsigned delay_ms; /* of all, good or bad */
};

struct nature {
    bool has_other_node; /* the subnet has it from the second asking on */
    size_t reply_len;    /* of a query; 0 = echo the argument */
    int64_t skew_ns;     /* the network's clock is ahead by this */
    bool is_elsewhere;   /* the canister is not in the ranges of this subnet, the root */
};

/* All but the server guarded by lock. */
struct network {
    pthread_mutex_t lock;
    struct plan query;
    struct plan state;
    struct plan call;
    unsigned n_queries;
    unsigned n_states;
    unsigned n_calls;
    struct nature nature;
    struct fake_server *server; /* main thread */
};

static struct network net = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int64_t wall_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * IC_NS_PER_SEC + ts.tv_nsec;
}

/* The argument in an envelope: after the text "arg", a byte string of less than 64 KiB. */
static const uint8_t *find_field(const struct fake_request *request, const char *name, size_t *len)
{
    uint8_t key[32];
    size_t n = strlen(name);
    key[0] = (uint8_t)(0x60 + n);
    memcpy(key + 1, name, n);
    const uint8_t *p = memmem(request->body, request->body_len, key, n + 1);
    if (p == NULL)
        abort();
    p += n + 1;
    *len = *p & 31;
    if (*p == 0x58)
        *len = *++p;
    else if (*p == 0x59)
        *len = (size_t)p[1] << 8 | p[2], p += 2;
    return p + 1;
}

/* The id of an anonymous request, made again from its own fields. */
static void request_id_of(const struct fake_request *request, bool is_call, uint8_t id[32])
{
    size_t len;
    const uint8_t *arg = find_field(request, "arg", &len);
    size_t n;
    const uint8_t *expiry_bytes = find_field(request, "ingress_expiry", &n) - 1;
    uint64_t expiry = 0; /* 1b and eight bytes */
    for (int i = 1; i <= 8; i++)
        expiry = expiry << 8 | expiry_bytes[i];
    struct ic_buf body = {0};
    int rc;
    if (is_call)
        rc = ic_request_call(anonymous, &canister, "method", arg, len, expiry,
                             find_field(request, "nonce", &n), &body, id);
    else
        rc = ic_request_query(anonymous, &canister, "method", arg, len, expiry, NULL, &body, id);
    if (rc != 0 || body.len != request->body_len ||
        memcmp(body.bytes, request->body, body.len) != 0)
        abort();
    ic_buf_fini(&body);
}

static void spoil(struct fake_answer *answer, enum wrong wrong, uint8_t id[32])
{
    if (wrong == WRONG_SIGNATURE)
        answer->wrong_signature = true;
    else if (wrong == WRONG_NODE)
        answer->unknown_node = true;
    else if (wrong == TOO_MANY_SIGNATURES)
        answer->n_signatures = 3;
    else if (wrong == TOO_OLD)
        answer->time_ns -= 310 * IC_NS_PER_SEC;
    else if (wrong == FROM_THE_FUTURE)
        answer->time_ns += 310 * IC_NS_PER_SEC;
    else if (wrong == FORGOTTEN)
        answer->is_forgotten = true;
    else if (wrong == FOR_ANOTHER_REQUEST)
        id[0] ^= 1;
}

static void answer_query(const struct fake_request *request, const struct plan *plan, bool bad,
                         const struct nature *nature, struct fake_reply *reply)
{
    uint8_t id[32];
    request_id_of(request, false, id);
    struct fake_answer answer = {.time_ns = wall_ns() + nature->skew_ns};
    size_t len;
    answer.arg = find_field(request, "arg", &len);
    answer.arg_len = len;
    uint8_t *large = NULL;
    if (nature->reply_len > 0) {
        large = malloc(nature->reply_len);
        memset(large, answer.arg[0], nature->reply_len);
        answer.arg = large;
        answer.arg_len = nature->reply_len;
    }
    if (bad) {
        spoil(&answer, plan->wrong, id);
        answer.reject_code = plan->reject_code;
        answer.reject_message = "no\n\x1b[31m way";
        answer.error_code = plan->error_code;
    }
    reply->owned = fake_ic_query_body(&answer, id, &reply->len);
    free(large);
}

static void answer_call(const struct fake_request *request, const struct plan *plan, bool bad,
                        const struct nature *nature, struct fake_reply *reply)
{
    uint8_t id[32];
    request_id_of(request, true, id);
    struct fake_answer answer = {
        .time_ns = wall_ns() + nature->skew_ns, .arg = (const uint8_t *)"done", .arg_len = 4};
    if (bad) {
        spoil(&answer, plan->wrong, id);
        answer.reject_code = plan->reject_code;
        answer.reject_message = "certified no";
        answer.error_code = plan->error_code;
    }
    if (bad && plan->wrong == ONE_BYTE_MORE) /* here: not certified */
        reply->owned = fake_ic_refusal_body(&answer, &reply->len);
    else
        reply->owned = fake_ic_call_body(&answer, id, &reply->len);
}

static void answer(void *arg, const struct fake_request *request, struct fake_reply *reply)
{
    (void)arg;
    pthread_mutex_lock(&net.lock);
    bool is_query = strstr(request->path, "/query") != NULL;
    bool is_call = strstr(request->path, "/call") != NULL;
    struct plan plan = is_query ? net.query : is_call ? net.call : net.state;
    unsigned n = is_query ? net.n_queries++ : is_call ? net.n_calls++ : net.n_states++;
    struct nature nature = net.nature;
    pthread_mutex_unlock(&net.lock);

    bool bad = n >= plan.first_bad && n <= plan.last_bad;
    reply->delay_ms = plan.delay_ms;
    if (bad) {
        reply->fault = plan.fault;
        reply->fault_at = plan.fault_at;
        reply->headers = plan.headers;
    }
    if (bad && plan.status != 0) {
        reply->status = plan.status;
        reply->body = (const uint8_t *)plan.text;
        reply->len = plan.text != NULL ? strlen(plan.text) : 0;
        return;
    }
    if (is_query)
        answer_query(request, &plan, bad, &nature, reply);
    else if (is_call)
        answer_call(request, &plan, bad, &nature, reply);
    else
        reply->owned = fake_ic_subnet_body(
            wall_ns() + nature.skew_ns - (bad && plan.wrong == TOO_OLD ? 310 * IC_NS_PER_SEC : 0),
            nature.has_other_node && n > 0, bad && plan.wrong == WRONG_SIGNATURE,
            nature.is_elsewhere, &reply->len);
    reply->body = reply->owned;
    if (bad && plan.wrong == NOT_CBOR)
        memset(reply->owned, 0xff, reply->len);
    if (bad && is_query && plan.wrong == ONE_BYTE_MORE)
        reply->owned = realloc(reply->owned, reply->len + 1), reply->owned[reply->len++] = 0,
        reply->body = reply->owned;
}

static const struct plan all_good = {.first_bad = 1, .last_bad = 0};

static void plan_queries(struct plan plan)
{
    pthread_mutex_lock(&net.lock);
    net.query = plan;
    net.state = net.call = all_good;
    net.n_queries = net.n_states = net.n_calls = 0;
    net.nature = (struct nature){0};
    pthread_mutex_unlock(&net.lock);
}

static void plan_states(struct plan plan)
{
    plan_queries(all_good);
    pthread_mutex_lock(&net.lock);
    net.state = plan;
    pthread_mutex_unlock(&net.lock);
}

static void plan_calls(struct plan plan)
{
    plan_queries(all_good);
    pthread_mutex_lock(&net.lock);
    net.call = plan;
    pthread_mutex_unlock(&net.lock);
}

static void set_nature(struct nature nature)
{
    pthread_mutex_lock(&net.lock);
    net.nature = nature;
    pthread_mutex_unlock(&net.lock);
}

static unsigned asked(const unsigned *counter)
{
    pthread_mutex_lock(&net.lock);
    unsigned n = *counter;
    pthread_mutex_unlock(&net.lock);
    return n;
}

/* --- the client --- */

static struct ic_io within_ms(int64_t ms)
{
    return (struct ic_io){.deadline_ns = ic_wait_now_ns() + ms * IC_NS_PER_MS};
}

static int64_t ms_since(int64_t start_ns)
{
    return (ic_wait_now_ns() - start_ns) / IC_NS_PER_MS;
}

static struct ic_agent *open_agent(void)
{
    struct ic_agent *agent = NULL;
    struct ic_error err;
    struct ic_agent_config config = {.url = fake_server_url(net.server),
                                     .root_key_der = root_key,
                                     .root_key_len = sizeof root_key,
                                     .identity = anonymous,
                                     .stall_ms = 300};
    if (ic_agent_open(&agent, &config, &err) != 0) {
        printf("Bail out! %s\n", err.message);
        exit(1);
    }
    return agent;
}

static int query(struct ic_agent *agent, const struct ic_io *io, struct ic_reply *reply,
                 struct ic_error *err)
{
    return ic_agent_query(agent, &canister, "method", (const uint8_t *)"hello", 5, 1000, io, reply,
                          err);
}

/* --- answers that are right --- */

static void test_good_query(void)
{
    plan_queries(all_good);
    struct ic_agent *agent = open_agent();
    struct ic_io io = within_ms(5000);
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

static const struct row rows[] = {
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

/* The first answer is bad, the later ones are good. */
static void test_fault_once(const struct row *row)
{
    struct plan plan = row->plan;
    plan.first_bad = plan.last_bad = 0;
    plan_queries(plan);
    struct ic_agent *agent = open_agent();
    struct ic_io io = within_ms(5000);
    struct ic_reply reply = {0};
    struct ic_error err = {0};
    int64_t start = ic_wait_now_ns();
    int rc = query(agent, &io, &reply, &err);
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
    check(ms_since(start) < 1000, row, "once: soon");
    ic_reply_fini(&reply);
    ic_agent_close(agent);
}

static void test_fault_always(const struct row *row)
{
    struct plan plan = row->plan;
    plan.last_bad = UINT32_MAX;
    plan_queries(plan);
    struct ic_agent *agent = open_agent();
    int64_t patience = row->n_tries == 0 ? 1000 : 6000;
    struct ic_io io = within_ms(patience);
    struct ic_reply reply = {0};
    struct ic_error err = {0};
    int64_t start = ic_wait_now_ns();
    int rc = query(agent, &io, &reply, &err);
    check(rc == row->persistent_errno, row, "always: its errno");
    check(rc == ic_error_errno(&err), row, "always: the same in err");
    check(reply.arg == NULL && reply.body == NULL, row, "always: no bytes");
    check(ms_since(start) <= patience + 50, row, "always: within the deadline");
    check(strchr(err.message, '\n') == NULL && strchr(err.message, '\x1b') == NULL, row,
          "always: the message is printable");
    unsigned n = asked(&net.n_queries);
    check(row->n_tries == 0 ? n >= 3 && n <= 5 : n == row->n_tries, row, "always: tries");
    if (rc != row->persistent_errno || (row->n_tries != 0 && n != row->n_tries))
        printf("# %d after %u tries: %s\n", rc, n, err.message);
    /* Newer keys are asked for every two seconds at most, for as long as an unknown node signs. */
    check(asked(&net.n_states) <= 3, row, "always: node keys are not asked for all the time");

    struct ic_agent_stats stats;
    ic_agent_get_stats(agent, &stats);
    check(stats.n_failed == 1 && stats.n_retries == n - 1, row, "always: counted");
    check((rc == -EBADMSG) == (stats.n_unverified > 0), row, "always: counted as unverified");
    ic_agent_close(agent);
}

static void test_faults(void)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test_fault_once(&rows[i]);
        test_fault_always(&rows[i]);
    }
}

static void test_reply_too_long(void)
{
    plan_queries(all_good);
    set_nature((struct nature){.reply_len = 1001});
    struct ic_agent *agent = open_agent();
    struct ic_io io = within_ms(5000);
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

/* --- node keys --- */

static void test_new_node(void)
{
    plan_queries((struct plan){.last_bad = UINT32_MAX, .wrong = WRONG_NODE});
    set_nature((struct nature){.has_other_node = true});
    struct ic_agent *agent = open_agent();
    struct ic_io io = within_ms(5000);
    struct ic_reply reply = {0};
    TAP_INT(query(agent, &io, &reply, NULL), 0, "an unknown node: its key is fetched");
    ic_reply_fini(&reply);
    TAP_INT(asked(&net.n_queries), 1, "and the same answer verified");
    TAP_INT(asked(&net.n_states), 2, "with one more fetch");
    ic_agent_close(agent);
}

static void check_states(const char *what, struct plan plan, int want)
{
    plan_states(plan);
    struct ic_agent *agent = open_agent();
    struct ic_io io = within_ms(4000);
    struct ic_reply reply = {0};
    struct ic_error err = {0};
    int rc = query(agent, &io, &reply, &err);
    TAP_INT(rc, want, what);
    /* libcurl itself sends again when a kept connection turns out to be dead. */
    TAP_OK(asked(&net.n_states) <= 6, "asked for 5 times, 6 with a dead connection");
    if (rc != want)
        printf("# %s\n", err.message);
    ic_reply_fini(&reply);
    ic_agent_close(agent);
}

static void test_node_keys_fail(void)
{
    check_states("node keys: reset once", (struct plan){.fault = FAKE_RESET}, 0);
    check_states("node keys: wrong signature once", (struct plan){.wrong = WRONG_SIGNATURE}, 0);
    check_states("node keys: truncated once", (struct plan){.fault = FAKE_TRUNCATE, .fault_at = 99},
                 0);
    check_states("node keys: always reset",
                 (struct plan){.last_bad = UINT32_MAX, .fault = FAKE_RESET}, -EHOSTUNREACH);
    check_states("node keys: always a wrong signature",
                 (struct plan){.last_bad = UINT32_MAX, .wrong = WRONG_SIGNATURE}, -EBADMSG);
    check_states("node keys: always an old certificate",
                 (struct plan){.last_bad = UINT32_MAX, .wrong = TOO_OLD}, -EBADMSG);
    check_states("node keys: never CBOR", (struct plan){.last_bad = UINT32_MAX, .wrong = NOT_CBOR},
                 -EPROTO);
    check_states("node keys: HTTP 500", (struct plan){.last_bad = UINT32_MAX, .status = 500}, -EIO);
    /* refused on the canister's endpoint: the subnet's is asked, first for which subnet it is */
    check_states("node keys: refused, then through the subnet",
                 (struct plan){.status = 403, .text = "no /subnet here"}, 0);
}

/* The root subnet signs without a delegation: its nodes speak for the canisters of its own ranges
 * only, whichever way their keys were come by. */
static void test_node_keys_of_another_subnet(void)
{
    static const struct plan refused = {.status = 403, .text = "no /subnet here"};
    const struct {
        struct plan plan;
        const char *what;
    } cases[] = {{all_good, "the root subnet does not have this canister"},
                 {refused, "also when it was asked through the subnet"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        plan_states(cases[i].plan);
        set_nature((struct nature){.is_elsewhere = true});
        struct ic_agent *agent = open_agent();
        struct ic_io io = within_ms(4000);
        struct ic_reply reply = {0};
        TAP_INT(query(agent, &io, &reply, NULL), -EBADMSG, cases[i].what);
        ic_agent_close(agent);
    }
    set_nature((struct nature){0});
}

static void test_clock_is_wrong(void)
{
    plan_queries(all_good);
    set_nature((struct nature){.skew_ns = 310 * IC_NS_PER_SEC});
    struct ic_agent *agent = open_agent();
    struct ic_io io = within_ms(4000);
    struct ic_reply reply = {0};
    TAP_INT(query(agent, &io, &reply, NULL), -EBADMSG, "clocks that differ by more than 5 min");
    ic_agent_close(agent);
}

static void test_wrong_root_key(void)
{
    plan_queries(all_good);
    uint8_t key[FAKE_IC_ROOT_KEY_LEN];
    memcpy(key, root_key, sizeof key);
    memcpy(root_key, ic_mainnet_root_key, sizeof root_key);
    struct ic_agent *agent = open_agent();
    memcpy(root_key, key, sizeof key);
    struct ic_io io = within_ms(4000);
    struct ic_reply reply = {0};
    TAP_INT(query(agent, &io, &reply, NULL), -EBADMSG, "another network's root key");
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

/* --- giving up --- */

static void test_deadline(void)
{
    plan_queries((struct plan){.last_bad = UINT32_MAX, .fault = FAKE_STALL});
    struct ic_agent *agent = open_agent();
    struct ic_reply reply = {0};
    struct ic_error err = {0};
    struct ic_io io = within_ms(150);
    int64_t start = ic_wait_now_ns();
    TAP_INT(query(agent, &io, &reply, &err), -ETIMEDOUT, "deadline in the first attempt");
    TAP_OK(ms_since(start) >= 149 && ms_since(start) < 250, "at the deadline");
    io = within_ms(600); /* stalls after 300, tries again after 400 to 425 */
    start = ic_wait_now_ns();
    TAP_INT(query(agent, &io, &reply, &err), -ETIMEDOUT, "deadline in the second attempt");
    TAP_OK(ms_since(start) >= 599 && ms_since(start) < 700, "at the deadline");
    TAP_OK(strstr(err.message, "stalled") != NULL, "the message says what was before");
    ic_agent_close(agent);

    /* The keys stall, the query does not. */
    plan_states((struct plan){.last_bad = UINT32_MAX, .fault = FAKE_STALL});
    agent = open_agent();
    io = within_ms(150);
    TAP_INT(query(agent, &io, &reply, &err), -ETIMEDOUT, "deadline while the keys are fetched");
    plan_queries(all_good);
    io = within_ms(1000);
    TAP_INT(query(agent, &io, &reply, &err), 0, "which is not held against the next call");
    ic_reply_fini(&reply);
    ic_agent_close(agent);
}

struct victim {
    struct ic_agent *agent;
    atomic_bool cancel;
    int rc;
    struct ic_error err; /* of an update */
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

/* Cancel 20 callers in whatever place they wait: sending, at the gate, for keys, between tries. */
struct late {
    struct ic_agent *agent;
    int state_rc;
    int update_rc;
    atomic_bool is_over;
};

static void *call_late(void *arg)
{
    struct late *late = arg;
    struct ic_io io = within_ms(1000);
    struct ic_certificate *cert = NULL;
    struct ic_reply reply;
    late->state_rc = ic_agent_read_state(late->agent, &canister, IC_PATH(ic_label_text("time")), 1,
                                         &io, &cert, NULL);
    late->update_rc =
        ic_agent_update(late->agent, &canister, &canister, "m", NULL, 0, &io, &reply, NULL);
    atomic_store(&late->is_over, true);
    return NULL;
}

static void check_cancel(const char *what, bool wake, bool stop)
{
    struct ic_agent *agent = open_agent();
    struct victim victims[20];
    pthread_t threads[20];
    for (int i = 0; i < 20; i++) {
        victims[i] = (struct victim){.agent = agent};
        pthread_create(&threads[i], NULL, call_once, &victims[i]);
    }
    struct timespec ts = {.tv_nsec = 150000000};
    nanosleep(&ts, NULL);
    int64_t start = ic_wait_now_ns();
    for (int i = 0; i < 20 && !stop; i++)
        atomic_store(&victims[i].cancel, true);
    if (wake)
        ic_agent_wake(agent);
    if (stop)
        ic_agent_stop(agent);
    int n_cancelled = 0;
    int64_t last = 0;
    for (int i = 0; i < 20; i++) {
        pthread_join(threads[i], NULL);
        n_cancelled += victims[i].rc == -EINTR;
        last = victims[i].end_ns > last ? victims[i].end_ns : last;
    }
    TAP_INT(n_cancelled, 20, what);
    TAP_OK(last - start < (wake || stop ? 50 : 120) * IC_NS_PER_MS, "in time");
    if (stop) {
        struct ic_io io = within_ms(1000);
        struct ic_reply reply;
        TAP_INT(query(agent, &io, &reply, NULL), -EINTR, "and later calls");
        /* The network thread may still be in its last poll, which would hide that it is gone. */
        const struct timespec gone = {.tv_nsec = 600000000};
        nanosleep(&gone, NULL);
        struct late late = {.agent = agent};
        pthread_t thread;
        pthread_create(&thread, NULL, call_late, &late);
        int64_t until = ic_wait_now_ns() + 3 * IC_NS_PER_SEC;
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

/* --- updates --- */

static int update(struct ic_agent *agent, struct ic_reply *reply, struct ic_error *err)
{
    struct ic_io io = within_ms(1000);
    return ic_agent_update(agent, &canister, &canister, "method", (const uint8_t *)"hello", 5, &io,
                           reply, err);
}

static void check_update(const char *what, struct plan plan, enum ic_errc code, unsigned n_tries)
{
    plan_calls(plan);
    struct ic_agent *agent = open_agent();
    struct ic_reply reply = {0};
    struct ic_error err = {0};
    int rc = update(agent, &reply, &err);
    TAP_INT(err.code, code, what);
    TAP_INT(rc, ic_error_errno(&err), "errno");
    TAP_INT(asked(&net.n_calls), n_tries, "tries");
    if (code == IC_OK)
        TAP_OK(reply.len == 4 && memcmp(reply.arg, "done", 4) == 0, "its reply");
    else
        printf("# %s\n", err.message);
    ic_reply_fini(&reply);
    ic_agent_close(agent);
}

/* Every copy on the wire is the same. */
static void check_same_body(const char *what)
{
    unsigned n = fake_server_n_requests(net.server);
    char path[256];
    uint8_t *first;
    uint8_t *second;
    size_t first_len;
    size_t second_len;
    if (!TAP_OK(fake_server_get_request(net.server, n - 2, path, &first, &first_len) &&
                    fake_server_get_request(net.server, n - 1, path, &second, &second_len),
                "the requests were recorded"))
        return;
    TAP_OK(first_len == second_len && memcmp(first, second, first_len) == 0, what);
    TAP_STR(path, "/api/v4/canister/" CANISTER "/call", "path");
    free(first);
    free(second);
}

static void test_updates(void)
{
    check_update("update", all_good, IC_OK, 1);
    check_update("update: 503 once", (struct plan){.status = 503}, IC_OK, 2);
    check_same_body("an update goes out again byte for byte");
    check_update("update: 503 for ever", (struct plan){.last_bad = UINT32_MAX, .status = 503},
                 IC_E_OVERLOADED, 4);
    check_update("update: reset", (struct plan){.fault = FAKE_RESET}, IC_E_UNKNOWN_OUTCOME, 1);
    check_update("update: closed", (struct plan){.fault = FAKE_CLOSE}, IC_E_UNKNOWN_OUTCOME, 1);
    check_update("update: truncated", (struct plan){.fault = FAKE_TRUNCATE, .fault_at = 20},
                 IC_E_UNKNOWN_OUTCOME, 1);
    check_update("update: stalled", (struct plan){.fault = FAKE_STALL}, IC_E_UNKNOWN_OUTCOME, 1);
    check_update("update: 202", (struct plan){.status = 202}, IC_E_UNKNOWN_OUTCOME, 1);
    check_update("update: 504", (struct plan){.status = 504}, IC_E_UNKNOWN_OUTCOME, 1);
    check_update("update: 500", (struct plan){.status = 500}, IC_E_UNKNOWN_OUTCOME, 1);
    check_update("update: 403", (struct plan){.status = 403}, IC_E_DENIED, 1);
    check_update("update: 413", (struct plan){.status = 413}, IC_E_TOO_LARGE, 1);
    check_update("update: not CBOR", (struct plan){.wrong = NOT_CBOR}, IC_E_UNKNOWN_OUTCOME, 1);
    /* It may have run, whoever spoiled the proof. */
    check_update("update: wrong signature", (struct plan){.wrong = WRONG_SIGNATURE},
                 IC_E_UNKNOWN_OUTCOME, 1);
    check_update("update: old certificate", (struct plan){.wrong = TOO_OLD}, IC_E_UNKNOWN_OUTCOME,
                 1);
    check_update("update: a certificate about another request",
                 (struct plan){.wrong = FOR_ANOTHER_REQUEST}, IC_E_UNKNOWN_OUTCOME, 1);
    check_update("update: rejected", (struct plan){.reject_code = 5, .error_code = "IC0503"},
                 IC_E_REJECTED, 1);
    check_update("update: rejected, transient", (struct plan){.reject_code = 2}, IC_E_OVERLOADED,
                 1);
    check_update("update: refused before it ran",
                 (struct plan){.wrong = ONE_BYTE_MORE, .reject_code = 4, .error_code = "IC0406"},
                 IC_E_DENIED, 1);

    plan_calls((struct plan){.wrong = WRONG_SIGNATURE});
    struct ic_agent *agent = open_agent();
    struct ic_reply reply = {0};
    struct ic_error err = {0};
    struct ic_agent_stats stats;
    TAP_INT(update(agent, &reply, &err), -EIO, "update: wrong signature");
    TAP_OK(strstr(err.message, "method may have run: ") != NULL, "it may have run");
    TAP_OK(strstr(err.message, "does not verify") != NULL, "and what was wrong");
    ic_agent_get_stats(agent, &stats);
    TAP_INT((int64_t)stats.n_unverified, 1, "counted as unverified");
    plan_calls((struct plan){.wrong = FORGOTTEN});
    TAP_INT(update(agent, &reply, &err), -EIO, "update: done, but forgotten");
    TAP_INT(err.code, IC_E_UNKNOWN_OUTCOME, "code");
    TAP_OK(strstr(err.message, "it ran") != NULL, "it surely ran");
    fake_server_refuse(net.server, true);
    TAP_INT(update(agent, &reply, &err), -EHOSTUNREACH, "update: connection refused");
    TAP_INT(err.code, IC_E_UNREACHABLE, "surely did not run");
    fake_server_refuse(net.server, false);
    ic_agent_close(agent);
}

static void *update_once(void *arg)
{
    struct victim *v = arg;
    struct ic_io io = within_ms(8000);
    io.cancel = &v->cancel;
    struct ic_reply reply = {0};
    v->rc = ic_agent_update(v->agent, &canister, &canister, "method", (const uint8_t *)"hello", 5,
                            &io, &reply, &v->err);
    ic_reply_fini(&reply);
    return NULL;
}

static void test_update_cancelled(void)
{
    plan_calls((struct plan){.delay_ms = 200});
    struct victim v = {.agent = open_agent()};
    pthread_t thread;
    pthread_create(&thread, NULL, update_once, &v);
    while (asked(&net.n_calls) == 0)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    atomic_store(&v.cancel, true);
    pthread_join(thread, NULL);
    TAP_INT(v.rc, -EINTR, "update: cancelled after it was sent");
    TAP_INT(v.err.code, IC_E_CANCELLED, "code");
    TAP_OK(strstr(v.err.message, "may have run") != NULL, "it may have run");

    atomic_store(&v.cancel, true);
    (void)update_once(&v);
    TAP_INT(v.rc, -EINTR, "update: cancelled before it was sent");
    TAP_OK(strstr(v.err.message, "may have run") == NULL, "it surely did not run");
    ic_agent_close(v.agent);
}

/* --- the recorded answers --- */

static uint8_t *load(const char *name, size_t *len)
{
    char path[512];
    snprintf(path, sizeof path, "%s/vectors/client/%s", data_dir, name);
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = malloc(65536);
    if (file == NULL || bytes == NULL) {
        printf("Bail out! cannot read %s\n", path);
        exit(1);
    }
    *len = fread(bytes, 1, 65536, file);
    fclose(file);
    return bytes;
}

/* One recording for queries, one for read_state, one for status. */
struct recording {
    pthread_mutex_t lock; /* guards the rest */
    uint8_t *query;
    size_t query_len;
    uint8_t *state;
    size_t state_len;
    uint8_t *status;
    size_t status_len;
};

static void replay(void *arg, const struct fake_request *request, struct fake_reply *reply)
{
    struct recording *r = arg;
    bool is_query = strstr(request->path, "/query") != NULL;
    bool is_status = strcmp(request->path, "/api/v2/status") == 0;
    pthread_mutex_lock(&r->lock);
    reply->body = is_query ? r->query : is_status ? r->status : r->state;
    reply->len = is_query ? r->query_len : is_status ? r->status_len : r->state_len;
    pthread_mutex_unlock(&r->lock);
}

static int64_t recorded_now(void *arg)
{
    (void)arg;
    return INT64_C(1795235450000000000);
}

static void test_recordings(void)
{
    struct recording r = {.lock = PTHREAD_MUTEX_INITIALIZER};
    r.query = load("root_018_query_greet.resp.bin", &r.query_len);
    r.state = load("root_004_read_state_subnet.resp.bin", &r.state_len);
    r.status = load("deleg_005_status.resp.bin", &r.status_len);
    struct fake_server *server = fake_server_open(replay, &r);
    char url[128];
    snprintf(url, sizeof url, "%s//", fake_server_url(server));

    uint8_t der[IC_ROOT_KEY_LEN];
    struct ic_io io = within_ms(5000);
    TAP_INT(ic_agent_fetch_root_key(url, NULL, &io, der, NULL), 0, "recorded status: root key");
    TAP_MEM(der, root_key, sizeof der, "it is the mock's");

    struct ic_agent_config config = {.url = url,
                                     .root_key_der = der,
                                     .root_key_len = sizeof der,
                                     .identity = anonymous,
                                     .now_ns = recorded_now};
    struct ic_agent *agent;
    struct ic_reply reply = {0};
    struct ic_error err = {0};
    TAP_INT(ic_agent_open(&agent, &config, &err), 0, "open with a fixed clock");
    int rc = ic_agent_query(agent, &canister, "greet", (const uint8_t *)"DIDL\0\0", 6, 100, &io,
                            &reply, &err);
    TAP_INT(rc, 0, "recorded query: another implementation's signature verifies");
    if (rc != 0)
        printf("# %s\n", err.message);
    else
        TAP_OK(reply.len == 10 && memcmp(reply.arg, "DIDL\0\1\x71\2hi", 10) == 0, "its reply");
    ic_reply_fini(&reply);
    char path[256];
    uint8_t *body;
    size_t len;
    if (TAP_OK(fake_server_get_request(server, 1, path, &body, &len), "the request"))
        free(body);
    TAP_STR(path, "/api/v3/canister/" CANISTER "/query", "slashes at the URL's end do not matter");

    /* With a delegation. */
    uint8_t *first_state = r.state; /* may still be on its way out: freed at the end */
    pthread_mutex_lock(&r.lock);
    r.state = load("deleg_000_read_state_canister.resp.bin", &r.state_len);
    pthread_mutex_unlock(&r.lock);
    struct ic_certificate *cert = NULL;
    const struct ic_path *asked_path =
        IC_PATH(ic_label_text("canister"), ic_label_principal(&canister), ic_label_text("metadata"),
                ic_label_text("candid:service"));
    rc = ic_agent_read_state(agent, &canister, asked_path, 1, &io, &cert, &err);
    TAP_INT(rc, 0, "recorded read_state with a delegation");
    const uint8_t *leaf;
    size_t leaf_len;
    if (rc == 0)
        TAP_INT(ic_certificate_lookup(cert, asked_path, &leaf, &leaf_len), IC_LOOKUP_FOUND,
                "the interface is in it");
    else
        printf("# %s\n", err.message);
    ic_certificate_free(cert);

    ic_agent_close(agent);
    fake_server_close(server);
    free(r.query);
    free(first_state);
    free(r.state);
    free(r.status);
}

/* --- settings --- */

static void test_settings(void)
{
    static const char *const bad_urls[] = {"",         "ftp://host/",        "http://",
                                           "host",     "file:///etc/passwd", "http://host/?a=b",
                                           "http:///", "http://host/#part"};
    struct ic_agent_config config = {
        .root_key_der = root_key, .root_key_len = sizeof root_key, .identity = anonymous};
    struct ic_agent *agent = NULL;
    struct ic_error err = {0};
    for (size_t i = 0; i < sizeof bad_urls / sizeof bad_urls[0]; i++) {
        config.url = bad_urls[i];
        char what[64];
        snprintf(what, sizeof what, "URL \"%s\"", bad_urls[i]);
        TAP_INT(ic_agent_open(&agent, &config, &err), -EINVAL, what);
    }
    config.url = "https://icp-api.io";
    config.root_key_len--;
    TAP_INT(ic_agent_open(&agent, &config, &err), -EINVAL, "a root key that is too short");
    TAP_INT(err.code, IC_E_CONFIG, "code");
    config.root_key_len++;
    config.ca_file = "/no/such/file";
    config.url = "https://127.0.0.1:1/";
    TAP_INT(ic_agent_open(&agent, &config, &err), -EINVAL, "a certificate file that is not there");
    config.ca_file = NULL;
    TAP_INT(ic_agent_open(&agent, &config, &err), 0, "opening sends nothing");
    ic_agent_close(agent);
    ic_agent_close(NULL);

    fake_server_refuse(net.server, true);
    uint8_t der[IC_ROOT_KEY_LEN];
    struct ic_io io = within_ms(2000);
    TAP_INT(ic_agent_fetch_root_key(fake_server_url(net.server), NULL, &io, der, &err),
            -EHOSTUNREACH, "root key: refused");
    agent = open_agent();
    struct ic_reply reply;
    int64_t start = ic_wait_now_ns();
    io = within_ms(5000);
    TAP_INT(query(agent, &io, &reply, &err), -EHOSTUNREACH, "query: refused");
    TAP_OK(ms_since(start) >= 1500 && ms_since(start) < 2200, "after 5 tries with growing pauses");
    ic_agent_close(agent);
    fake_server_refuse(net.server, false);
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    data_dir = argv[1];
    curl_global_init(CURL_GLOBAL_DEFAULT);
    fake_ic_root_key(root_key);
    if (ic_principal_parse(CANISTER, &canister) != 0 || ic_identity_new_anonymous(&anonymous) != 0)
        return 2;
    net.server = fake_server_open(answer, NULL);

    test_good_query();
    test_recordings();
    test_settings();
    test_reply_too_long();
    test_new_node();
    test_node_keys_fail();
    test_node_keys_of_another_subnet();
    test_clock_is_wrong();
    test_wrong_root_key();
    test_deadline();
    test_cancel();
    test_updates();
    test_update_cancelled();
    test_many_threads();
    test_faults();

    fake_server_close(net.server);
    ic_identity_free(anonymous);
    curl_global_cleanup();
    return tap_done();
}
