#include "tests/fs/lease_canister.h"

#include "ic/candid.h"
#include "ic/candid_text.h"
#include "ic/request.h"
#include "tests/support/fake_ic.h"
#include "tests/support/fake_server.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define N_OUTCOMES 256
#define CANISTER   "bkyz2-fmaaa-aaaaa-qaaaq-cai"

struct lease_canister canister = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* The network's memory. Guarded by the canister's lock, but the server: main thread. */
static struct {
    struct fake_server *server;
    struct ic_principal id;
    struct ic_identity *anonymous;
    struct {
        uint8_t id[32];
        char text[200]; /* the reply */
    } outcomes[N_OUTCOMES];
    unsigned n_outcomes;
} network;

static int64_t wall_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* --- requests --- */

/* A string in an envelope, behind the text of its name. */
static const uint8_t *find_field(const struct fake_request *request, const char *name, size_t *len)
{
    uint8_t key[32];
    size_t n = strlen(name);
    key[0] = (uint8_t)(0x60 + n);
    memcpy(key + 1, name, n);
    const uint8_t *p = memmem(request->body, request->body_len, key, n + 1);
    if (!p)
        abort();
    p += n + 1;
    *len = *p & 31;
    if (*len == 24)
        *len = *++p;
    return p + 1;
}

struct call {
    char method[64];
    struct ic_candid *args;
    uint8_t id[32];
};

static void take_apart(const struct fake_request *request, bool is_query, struct call *out)
{
    size_t arg_len, n;
    const uint8_t *method = find_field(request, "method_name", &n);
    snprintf(out->method, sizeof(out->method), "%.*s", (int)n, (const char *)method);
    const uint8_t *arg = find_field(request, "arg", &arg_len);
    const uint8_t *expiry_bytes = find_field(request, "ingress_expiry", &n);
    uint64_t expiry = 0; /* 1b and eight bytes */
    for (int i = 0; i < 8; i++)
        expiry = expiry << 8 | expiry_bytes[i];
    struct ic_buf body = {0};
    int rc = is_query ? ic_request_query(network.anonymous, &network.id, out->method, arg, arg_len,
                                         expiry, NULL, &body, out->id)
                      : ic_request_call(network.anonymous, &network.id, out->method, arg, arg_len,
                                        expiry, find_field(request, "nonce", &n), &body, out->id);
    if (rc != 0 || body.len != request->body_len ||
        memcmp(body.bytes, request->body, body.len) != 0 ||
        ic_candid_decode(arg, arg_len, NULL, &out->args, NULL) != 0)
        abort();
    ic_buf_fini(&body);
}

/* --- the canister --- */

static bool is_paused_locked(void)
{
    return wall_ns() < canister.expires_ns;
}

static void extend_locked(void)
{
    canister.expires_ns = wall_ns() + (int64_t)canister.ttl_s * 1000000000;
}

static void run_pause_locked(const struct ic_candid *args, char text[200])
{
    const struct ic_value *record = ic_candid_arg(args, 0);
    uint64_t ttl;
    struct ic_view reason;
    canister.n_pauses++;
    if (ic_value_nat64(ic_value_field(record, "ttl_s"), &ttl) < 0 ||
        ic_value_text(ic_value_field(record, "reason"), &reason) < 0)
        abort();
    if (is_paused_locked()) {
        snprintf(text, 200, "(variant { err = variant { busy = \"lease of somebody\" } })");
        return;
    }
    snprintf(canister.reason, sizeof(canister.reason), "%.*s", (int)reason.len,
             (const char *)reason.bytes);
    canister.ttl_s = (uint32_t)ttl;
    if (canister.ttl_max_s > 0 && ttl > canister.ttl_max_s)
        canister.ttl_s = canister.ttl_max_s;
    canister.lease++;
    extend_locked();
    snprintf(text, 200, "(variant { ok = record { lease = %llu : nat64; version = 7 : nat64 } })",
             (unsigned long long)canister.lease);
}

static void run_with_lease_locked(const struct call *call, char text[200])
{
    uint64_t lease;
    bool is_renewal = strcmp(call->method, "maintenance_renew") == 0;
    if (ic_value_nat64(ic_candid_arg(call->args, 0), &lease) < 0)
        abort();
    canister.n_renewals += is_renewal;
    canister.n_resumes += !is_renewal;
    bool is_ours = lease == canister.lease && (!is_renewal || is_paused_locked());
    if (is_ours && is_renewal)
        extend_locked();
    else if (is_ours)
        canister.expires_ns = 0;
    snprintf(text, 200, "%s",
             is_ours ? "(variant { ok })"
                     : "(variant { err = variant { other = \"no such lease\" } })");
}

static void run_status_locked(char text[200])
{
    canister.n_statuses++;
    snprintf(text, 200,
             "(record { paused = %s; lease_expires_ns = %lld : nat64; in_flight = %u : nat64 })",
             is_paused_locked() ? "true" : "false",
             is_paused_locked() ? (long long)canister.expires_ns : 0, canister.in_flight);
    if (canister.in_flight > 0 && !canister.is_stuck)
        canister.in_flight--;
}

static void run_locked(const struct call *call, char text[200])
{
    if (canister.denies)
        snprintf(text, 200, "(variant { err = variant { denied } })");
    else if (strcmp(call->method, "maintenance_pause") == 0)
        run_pause_locked(call->args, text);
    else if (strcmp(call->method, "maintenance_status") == 0)
        run_status_locked(text);
    else
        run_with_lease_locked(call, text);
}

/* --- the network --- */

static struct ic_buf encode(const char *text)
{
    struct ic_candid *values;
    struct ic_buf out = {0};
    if (ic_candid_parse(text, strlen(text), NULL, 0, 0, &values, NULL) != 0 ||
        ic_candid_encode(ic_candid_arg(values, 0), 1, &out, NULL) != 0)
        abort();
    ic_candid_free(values);
    return out;
}

static const char *find_outcome_locked(const uint8_t id[32])
{
    for (unsigned i = 0; i < N_OUTCOMES && i < network.n_outcomes; i++)
        if (memcmp(network.outcomes[i].id, id, 32) == 0)
            return network.outcomes[i].text;
    return NULL;
}

/* A copy of a call is not run. */
static const char *run_once_locked(const struct call *call)
{
    const char *known = find_outcome_locked(call->id);
    if (known)
        return known;
    unsigned i = network.n_outcomes++ % N_OUTCOMES;
    memcpy(network.outcomes[i].id, call->id, 32);
    run_locked(call, network.outcomes[i].text);
    return network.outcomes[i].text;
}

static void answer_call_locked(const struct fake_request *request, struct fake_reply *reply)
{
    struct call call;
    if (canister.swallows > 0) {
        canister.swallows--;
        reply->status = 502;
        return;
    }
    take_apart(request, false, &call);
    struct fake_answer answer = {.time_ns = wall_ns()};
    if (canister.refuses_status && strcmp(call.method, "maintenance_status") == 0) {
        answer.reject_code = 4;
        answer.reject_message = "no";
        reply->owned = fake_ic_refusal_body(&answer, false, &reply->len);
    } else {
        struct ic_buf arg = encode(run_once_locked(&call));
        answer.arg = arg.bytes;
        answer.arg_len = arg.len;
        reply->owned = fake_ic_call_body(&answer, call.id, &reply->len);
        ic_buf_fini(&arg);
    }
    if (canister.hides || canister.lose_replies > 0)
        reply->fault = FAKE_RESET;
    canister.lose_replies -= canister.lose_replies > 0;
    ic_candid_free(call.args);
}

static void answer_query_locked(const struct fake_request *request, struct fake_reply *reply)
{
    struct call call;
    char text[200];
    take_apart(request, true, &call);
    run_locked(&call, text);
    struct ic_buf arg = encode(text);
    struct fake_answer answer = {.time_ns = wall_ns(), .arg = arg.bytes, .arg_len = arg.len};
    reply->owned = fake_ic_query_body(&answer, call.id, &reply->len);
    ic_buf_fini(&arg);
    ic_candid_free(call.args);
}

static void answer_state_locked(const struct fake_request *request, struct fake_reply *reply)
{
    static const char label[] = "request_status\x58\x20"; /* a byte string of 32 bytes follows */
    const uint8_t *id = memmem(request->body, request->body_len, label, sizeof(label) - 1);
    if (!id) {
        reply->owned = fake_ic_subnet_body(wall_ns(), false, false, false, &reply->len);
        return;
    }
    id += sizeof(label) - 1;
    struct fake_answer answer = {.time_ns = wall_ns(), .is_absent = true};
    struct ic_buf arg = {0};
    const char *known = canister.hides ? NULL : find_outcome_locked(id);
    if (known) {
        arg = encode(known);
        answer.is_absent = false;
    }
    answer.arg = arg.bytes;
    answer.arg_len = arg.len;
    reply->owned = fake_ic_status_body(&answer, id, &reply->len);
    ic_buf_fini(&arg);
}

static void handle(void *arg, const struct fake_request *request, struct fake_reply *reply)
{
    (void)arg;
    pthread_mutex_lock(&canister.lock);
    if (canister.is_deaf)
        reply->fault = FAKE_RESET;
    else if (strstr(request->path, "/call"))
        answer_call_locked(request, reply);
    else if (strstr(request->path, "/query"))
        answer_query_locked(request, reply);
    else
        answer_state_locked(request, reply);
    pthread_mutex_unlock(&canister.lock);
    reply->body = reply->owned;
}

/* --- for tests --- */

void lease_canister_reset(void)
{
    pthread_mutex_lock(&canister.lock);
    uint64_t lease = canister.lease + 10; /* no number comes again */
    pthread_mutex_t lock = canister.lock;
    canister = (struct lease_canister){.lock = lock, .lease = lease};
    pthread_mutex_unlock(&canister.lock);
}

bool lease_canister_is_paused(void)
{
    pthread_mutex_lock(&canister.lock);
    bool is_paused = is_paused_locked();
    pthread_mutex_unlock(&canister.lock);
    return is_paused;
}

void lease_canister_open(struct fs_target *out, struct fs_log *log,
                         const struct fs_options *options)
{
    uint8_t root_key[FAKE_IC_ROOT_KEY_LEN];
    curl_global_init(CURL_GLOBAL_DEFAULT);
    fake_ic_root_key(root_key);
    network.server = fake_server_open(handle, NULL);
    memset(out, 0, sizeof(*out));
    if (ic_principal_parse(CANISTER, &network.id) != 0 ||
        ic_identity_new_anonymous(&network.anonymous) != 0)
        abort();
    out->canister = network.id;
    ic_principal_format(&out->canister, out->canister_text);
    out->log = log;
    out->options = options;
    const struct ic_agent_config config = {.url = fake_server_url(network.server),
                                           .root_key_der = root_key,
                                           .root_key_len = sizeof(root_key),
                                           .identity = network.anonymous,
                                           .stall_ms = 2000};
    if (ic_agent_open(&out->agent, &config, NULL) != 0)
        abort();
}

void lease_canister_close(struct fs_target *target)
{
    ic_agent_close(target->agent);
    fake_server_close(network.server);
    ic_identity_free(network.anonymous);
    curl_global_cleanup();
}
