#include "tests/ic/agent_net.h"

#include "ic/request.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct ic_principal canister;
struct ic_identity *anonymous;
uint8_t root_key[FAKE_IC_ROOT_KEY_LEN];
struct network net = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* --- requests, taken apart --- */

/* A field of an envelope: after its name a byte string of less than 64 KiB, or a short text. */
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
    if (*p == 0x58 || *p == 0x78)
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
    const uint8_t *id_bytes = find_field(request, "canister_id", &n);
    struct ic_principal called;
    if (ic_principal_from_bytes(id_bytes, n, &called) < 0)
        abort();
    char method[64];
    const uint8_t *name = find_field(request, "method_name", &n);
    snprintf(method, sizeof method, "%.*s", (int)n, (const char *)name);
    const uint8_t *expiry_bytes = find_field(request, "ingress_expiry", &n) - 1;
    uint64_t expiry = 0; /* 1b and eight bytes */
    for (int i = 1; i <= 8; i++)
        expiry = expiry << 8 | expiry_bytes[i];
    struct ic_buf body = {0};
    int rc;
    if (is_call)
        rc = ic_request_call(anonymous, &called, method, arg, len, expiry,
                             find_field(request, "nonce", &n), &body, id);
    else
        rc = ic_request_query(anonymous, &called, method, arg, len, expiry, NULL, &body, id);
    if (rc != 0 || body.len != request->body_len ||
        memcmp(body.bytes, request->body, body.len) != 0)
        abort();
    ic_buf_fini(&body);
}

/* The id of the call whose status a read_state asks for; false when it asks for something else. */
static bool asks_for_call(const struct fake_request *request, uint8_t id[32])
{
    static const char label[] = "request_status\x58\x20"; /* a byte string of 32 bytes follows */
    const uint8_t *p = memmem(request->body, request->body_len, label, sizeof label - 1);
    if (p != NULL)
        memcpy(id, p + sizeof label - 1, 32);
    return p != NULL;
}

/* --- answers --- */

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
    else if (wrong == ABSENT)
        answer->is_absent = true;
    else if (wrong == PRUNED)
        answer->is_pruned = true;
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
        answer.reject_message =
            plan->reject_message != NULL ? plan->reject_message : "no\n\x1b[31m way";
        answer.error_code = plan->error_code;
    }
    reply->owned = fake_ic_query_body(&answer, id, &reply->len);
    free(large);
}

static struct fake_answer call_answer(const struct plan *plan, bool bad,
                                      const struct nature *nature, uint8_t id[32])
{
    struct fake_answer answer = {
        .time_ns = wall_ns() + nature->skew_ns, .arg = (const uint8_t *)"done", .arg_len = 4};
    if (nature->call_reply != NULL) {
        answer.arg = nature->call_reply;
        answer.arg_len = nature->call_reply_len;
    }
    if (bad) {
        spoil(&answer, plan->wrong, id);
        answer.reject_code = plan->reject_code;
        answer.reject_message = "certified no";
        answer.error_code = plan->error_code;
        answer.status = plan->call_status;
    }
    return answer;
}

static void answer_call(const struct fake_request *request, const struct plan *plan, bool bad,
                        const struct nature *nature, struct fake_reply *reply)
{
    uint8_t id[32];
    request_id_of(request, true, id);
    struct fake_answer answer = call_answer(plan, bad, nature, id);
    if (bad && plan->wrong == REFUSED)
        reply->owned = fake_ic_refusal_body(&answer, nature->is_old, &reply->len);
    else if (nature->is_old)
        reply->status = 202;
    else
        reply->owned = fake_ic_call_body(&answer, id, &reply->len);
}

static void answer_state(const struct plan *plan, bool bad, unsigned n, const struct nature *nature,
                         struct fake_reply *reply)
{
    int64_t time_ns = wall_ns() + nature->skew_ns;
    if (bad && plan->wrong == TOO_OLD)
        time_ns -= 310 * IC_NS_PER_SEC;
    reply->owned = fake_ic_subnet_body(time_ns, nature->has_other_node && n > 0,
                                       bad && plan->wrong == WRONG_SIGNATURE, nature->is_elsewhere,
                                       &reply->len);
}

enum kind { QUERY, CALL, STATE, ASK };

/* Keep what a call asks for. */
static void note_call_locked(const struct fake_request *request)
{
    struct sent_call *call = &net.last_call;
    size_t len;
    snprintf(call->path, sizeof call->path, "%s", request->path);
    const uint8_t *name = find_field(request, "method_name", &len);
    snprintf(call->method, sizeof call->method, "%.*s", (int)len, (const char *)name);
    (void)find_field(request, "canister_id", &call->canister_len);
    const uint8_t *arg = find_field(request, "arg", &call->arg_len);
    memcpy(call->arg, arg, call->arg_len < sizeof call->arg ? call->arg_len : sizeof call->arg);
}

/* The n-th of a list whose last is for ever. */
static struct plan nth(const struct plan *list, unsigned len, unsigned n)
{
    struct plan plan = list[n < len ? n : len - 1];
    plan.first_bad = 0;
    plan.last_bad = UINT32_MAX;
    return plan;
}

/* Which plan a request meets, and whether it is one of those that go wrong. */
static enum kind look_up(const struct fake_request *request, uint8_t id[32], struct plan *plan,
                         struct nature *nature, unsigned *n)
{
    enum kind kind = strstr(request->path, "/query") != NULL  ? QUERY
                     : strstr(request->path, "/call") != NULL ? CALL
                     : asks_for_call(request, id)             ? ASK
                                                              : STATE;
    pthread_mutex_lock(&net.lock);
    *nature = net.nature;
    if (kind == QUERY) {
        *plan = net.query, *n = net.n_queries++;
    } else if (kind == CALL) {
        *n = net.n_calls++;
        note_call_locked(request);
        *plan = nature->n_calls == 0 ? net.call : nth(nature->calls, nature->n_calls, *n);
    } else if (kind == STATE) {
        *plan = net.state, *n = net.n_states++;
    } else {
        *n = net.n_asked++;
        *plan = nature->n_asks == 0 ? all_good : nth(nature->asks, nature->n_asks, *n);
    }
    pthread_mutex_unlock(&net.lock);
    return kind;
}

/* Has the network this version of the API? */
static bool has_route(const char *path)
{
    pthread_mutex_lock(&net.lock);
    bool is_old = net.nature.is_old;
    pthread_mutex_unlock(&net.lock);
    return is_old == (strncmp(path, "/api/v2/", 8) == 0);
}

static void answer(void *arg, const struct fake_request *request, struct fake_reply *reply)
{
    (void)arg;
    uint8_t id[32] = {0};
    struct plan plan;
    struct nature nature;
    unsigned n;
    if (!has_route(request->path)) {
        reply->status = 404;
        return;
    }
    enum kind kind = look_up(request, id, &plan, &nature, &n);
    bool bad = n >= plan.first_bad && n <= plan.last_bad;
    reply->delay_ms = plan.delay_ms;
    reply->headers = nature.headers;
    if (bad) {
        reply->fault = plan.fault;
        reply->fault_at = plan.fault_at;
        if (plan.headers != NULL)
            reply->headers = plan.headers;
    }
    if (bad && plan.status != 0) {
        reply->status = plan.status;
        reply->body = (const uint8_t *)plan.text;
        reply->len = plan.text != NULL ? strlen(plan.text) : 0;
        return;
    }
    if (bad && plan.raw != NULL) {
        reply->body = plan.raw;
        reply->len = plan.raw_len;
        return;
    }
    if (kind == QUERY) {
        answer_query(request, &plan, bad, &nature, reply);
    } else if (kind == CALL) {
        answer_call(request, &plan, bad, &nature, reply);
    } else if (kind == ASK) {
        struct fake_answer a = call_answer(&plan, bad, &nature, id);
        reply->owned = fake_ic_status_body(&a, id, &reply->len);
    } else {
        answer_state(&plan, bad, n, &nature, reply);
    }
    if (bad && plan.wrong == NOT_CBOR)
        memset(reply->owned, 0xff, reply->len);
    if (bad && plan.wrong == ONE_BYTE_MORE)
        reply->owned = realloc(reply->owned, reply->len + 1), reply->owned[reply->len++] = 0;
    reply->body = reply->owned;
}

/* --- plans --- */

void plan_queries(struct plan plan)
{
    pthread_mutex_lock(&net.lock);
    net.query = plan;
    net.state = net.call = all_good;
    net.n_queries = net.n_states = net.n_calls = net.n_asked = 0;
    net.nature = (struct nature){0};
    pthread_mutex_unlock(&net.lock);
}

void plan_states(struct plan plan)
{
    plan_queries(all_good);
    pthread_mutex_lock(&net.lock);
    net.state = plan;
    pthread_mutex_unlock(&net.lock);
}

void plan_calls(struct plan plan)
{
    plan_queries(all_good);
    pthread_mutex_lock(&net.lock);
    net.call = plan;
    pthread_mutex_unlock(&net.lock);
}

void set_nature(struct nature nature)
{
    pthread_mutex_lock(&net.lock);
    net.nature = nature;
    pthread_mutex_unlock(&net.lock);
}

struct sent_call last_call(void)
{
    pthread_mutex_lock(&net.lock);
    struct sent_call call = net.last_call;
    pthread_mutex_unlock(&net.lock);
    return call;
}

unsigned asked(const unsigned *counter)
{
    pthread_mutex_lock(&net.lock);
    unsigned n = *counter;
    pthread_mutex_unlock(&net.lock);
    return n;
}

int64_t wall_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * IC_NS_PER_SEC + ts.tv_nsec;
}

int64_t skew_expired_ns(void)
{
    const int64_t second = IC_NS_PER_SEC, minute = 60 * second;
    int64_t left = minute - wall_ns() % minute;
    if (left < 3 * second)
        nanosleep(&(struct timespec){.tv_sec = left / second, .tv_nsec = left % second}, NULL);
    int64_t now = wall_ns();
    return (int64_t)ic_request_expiry_ns(now) + 30 * second - now;
}

const char *date_header(int64_t ahead_ns, char text[64])
{
    time_t at = (time_t)((wall_ns() + ahead_ns) / IC_NS_PER_SEC);
    struct tm tm;
    gmtime_r(&at, &tm);
    strftime(text, 64, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
    return text;
}

/* --- the client --- */

struct ic_io within_ms(int64_t ms)
{
    return (struct ic_io){.deadline_ns = ic_wait_now_ns() + ms * IC_NS_PER_MS};
}

int64_t ms_since(int64_t start_ns)
{
    return (ic_wait_now_ns() - start_ns) / IC_NS_PER_MS;
}

struct ic_agent *open_agent_as(const struct ic_agent_config *config)
{
    struct ic_agent *agent = NULL;
    struct ic_error err;
    struct ic_agent_config full = config != NULL ? *config : (struct ic_agent_config){0};
    full.url = fake_server_url(net.server);
    full.root_key_der = root_key;
    full.root_key_len = sizeof root_key;
    full.identity = anonymous;
    if (full.stall_ms == 0)
        full.stall_ms = 5000;
    if (ic_agent_open(&agent, &full, &err) != 0) {
        printf("Bail out! %s\n", err.message);
        exit(1);
    }
    return agent;
}

struct ic_agent *open_agent(void)
{
    return open_agent_as(NULL);
}

int query(struct ic_agent *agent, const struct ic_io *io, struct ic_reply *reply,
          struct ic_error *err)
{
    return ic_agent_query(agent, &canister, "method", (const uint8_t *)"hello", 5, 1000, io, reply,
                          err);
}

int update(struct ic_agent *agent, const struct ic_io *io, struct ic_reply *reply,
           struct ic_error *err)
{
    return ic_agent_update(agent, &canister, &canister, "method", (const uint8_t *)"hello", 5, io,
                           reply, err);
}

void net_open(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    fake_ic_root_key(root_key);
    if (ic_principal_parse(CANISTER, &canister) != 0 || ic_identity_new_anonymous(&anonymous) != 0)
        exit(2);
    net.server = fake_server_open(answer, NULL);
}

void net_close(void)
{
    fake_server_close(net.server);
    ic_identity_free(anonymous);
    curl_global_cleanup();
}
