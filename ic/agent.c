/* The agent's life, clock and numbers; the calls are in agent_query.c, agent_update.c and
 * agent_state.c, what they share in agent_send.c. */
#include "ic/agent_impl.h"
#include "ic/body.h"
#include "ic/wait.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* How many queries and updates may be in flight (pace.h): at first, and at most. */
#define QUERIES_START 16
#define QUERIES_MAX   32
#define UPDATES_START 128 /* 64 that send, and 64 that read */
#define UPDATES_MAX   160
/* Of large ones so few at first that all come in time on a slow line. */
#define LARGE_QUERIES_START 4
#define LARGE_UPDATES_START 8

/* --- set-up --- */

/* An http(s) URL with a host, and nothing that would end up in the middle of ours. */
static bool is_usable_url(const char *text)
{
    CURLU *url = curl_url();
    char *scheme = NULL;
    char *unwanted = NULL;
    bool usable = url != NULL && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK &&
                  curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                  (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0) &&
                  curl_url_get(url, CURLUPART_QUERY, &unwanted, 0) == CURLUE_NO_QUERY &&
                  curl_url_get(url, CURLUPART_FRAGMENT, &unwanted, 0) == CURLUE_NO_FRAGMENT;
    curl_free(scheme);
    curl_free(unwanted);
    curl_url_cleanup(url);
    return usable;
}

static char *without_slashes(const char *text)
{
    size_t len = strlen(text);
    while (len > 0 && text[len - 1] == '/')
        len--;
    return strndup(text, len);
}

static int set_up(struct ic_agent *agent, const struct ic_agent_config *config,
                  struct ic_error *err)
{
    if (!is_usable_url(config->url))
        return ic_fail(err, IC_E_CONFIG, "not a URL of a network: %s", config->url);
    if (config->root_key_der == NULL ||
        !ic_certificate_is_root_key(config->root_key_der, config->root_key_len))
        return ic_fail(err, IC_E_CONFIG, "the root key is not a BLS key in DER form");

    agent->url = without_slashes(config->url);
    agent->root_key = malloc(config->root_key_len);
    if (agent->url == NULL || agent->root_key == NULL ||
        ic_delegation_cache_new(&agent->delegations) != 0 ||
        ic_time_floor_new(&agent->floor) != 0 ||
        ic_node_keys_new(&agent->node_keys, ic_agent_fetch_nodes, NULL, agent) != 0)
        return ic_fail(err, IC_E_NO_MEMORY, "agent");
    memcpy(agent->root_key, config->root_key_der, config->root_key_len);
    agent->root_key_len = config->root_key_len;
    agent->identity = config->identity;
    agent->trace = config->trace;
    agent->trace_arg = config->trace_arg;
    agent->now_ns = config->now_ns;
    agent->now_arg = config->now_arg;

    struct ic_http_config http = {.ca_file = config->ca_file,
                                  .proxy = config->proxy,
                                  .connect_ms = config->connect_ms,
                                  .stall_ms = config->stall_ms};
    return ic_http_open(&agent->http, &http, err);
}

static int init_paces(struct ic_agent *agent, const struct ic_agent_config *config)
{
    unsigned queries = config->max_inflight;
    unsigned updates = config->max_updates;
    if (queries == 0 || queries > QUERIES_MAX)
        queries = QUERIES_MAX;
    if (updates == 0 || updates > UPDATES_MAX)
        updates = UPDATES_MAX;
    int rc = ic_pace_init(&agent->queries, "queries", QUERIES_START, LARGE_QUERIES_START, queries);
    if (rc != 0)
        return rc;
    rc = ic_pace_init(&agent->updates, "updates", UPDATES_START, LARGE_UPDATES_START, updates);
    if (rc != 0)
        ic_pace_fini(&agent->queries);
    return rc;
}

/* All that callers wait with. Returns 0 or -errno. */
static int init_waiting(struct ic_agent *agent, const struct ic_agent_config *config)
{
    int rc = ic_wait_cond_init(&agent->pause);
    if (rc != 0)
        return rc;
    rc = init_paces(agent, config);
    if (rc != 0) {
        (void)pthread_cond_destroy(&agent->pause);
        return rc;
    }
    (void)pthread_mutex_init(&agent->lock, NULL); /* default attributes: cannot fail on Linux */
    return 0;
}

static void fini_waiting(struct ic_agent *agent)
{
    ic_pace_fini(&agent->updates);
    ic_pace_fini(&agent->queries);
    (void)pthread_cond_destroy(&agent->pause);
    (void)pthread_mutex_destroy(&agent->lock);
}

static void tear_down(struct ic_agent *agent)
{
    ic_http_close(agent->http);
    ic_node_keys_free(agent->node_keys);
    ic_delegation_cache_free(agent->delegations);
    ic_time_floor_free(agent->floor);
    free(agent->root_key);
    free(agent->url);
    fini_waiting(agent);
    free(agent);
}

int ic_agent_init_process(void)
{
    return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? 0 : -ENOMEM;
}

int ic_agent_open(struct ic_agent **out, const struct ic_agent_config *config, struct ic_error *err)
{
    struct ic_agent *agent = calloc(1, sizeof *agent);
    if (agent == NULL)
        return ic_fail(err, IC_E_NO_MEMORY, "agent");
    if (init_waiting(agent, config) != 0) {
        free(agent);
        return ic_fail(err, IC_E_NO_MEMORY, "agent");
    }
    int rc = set_up(agent, config, err);
    if (rc != 0) {
        tear_down(agent);
        return rc;
    }
    *out = agent;
    return 0;
}

void ic_agent_stop(struct ic_agent *agent)
{
    pthread_mutex_lock(&agent->lock);
    agent->stopped = true;
    pthread_cond_broadcast(&agent->pause);
    pthread_mutex_unlock(&agent->lock);
    ic_pace_stop(&agent->queries);
    ic_pace_stop(&agent->updates);
    ic_http_stop(agent->http);
    /* Whoever waits for node keys waits for a fetch, and that fails with the line above. */
}

void ic_agent_close(struct ic_agent *agent)
{
    if (agent == NULL)
        return;
    ic_agent_stop(agent);
    tear_down(agent);
}

void ic_agent_wake(struct ic_agent *agent)
{
    pthread_mutex_lock(&agent->lock);
    pthread_cond_broadcast(&agent->pause);
    pthread_mutex_unlock(&agent->lock);
    ic_pace_wake(&agent->queries);
    ic_pace_wake(&agent->updates);
    ic_node_keys_wake(agent->node_keys);
    ic_http_wake(agent->http);
}

/* --- clock and trust --- */

int64_t ic_agent_now_ns(const struct ic_agent *agent)
{
    if (agent->now_ns != NULL)
        return agent->now_ns(agent->now_arg);
    struct timespec ts;
    (void)clock_gettime(CLOCK_REALTIME, &ts); /* cannot fail: the clock exists on every Linux */
    return (int64_t)ts.tv_sec * IC_NS_PER_SEC + ts.tv_nsec;
}

void ic_agent_note_unverified(struct ic_agent *agent, int64_t date_ns, struct ic_error *err)
{
    ic_clock_skew_explain(err, ic_agent_now_ns(agent), date_ns);
    pthread_mutex_lock(&agent->lock);
    agent->stats.n_unverified++;
    pthread_mutex_unlock(&agent->lock);
}

/* What is certified is never from the future: then our clock is behind, and requests may soon be
 * refused for it. Worth saying before anything fails. */
static void note_skew(struct ic_agent *agent, const struct ic_certificate *cert, int64_t now_ns)
{
    int64_t ahead_ns = ic_certificate_time_ns(cert) - now_ns; /* within the window */
    if (ahead_ns > IC_CLOCK_SKEW_NOTABLE_NS && !atomic_exchange(&agent->has_told_skew, true))
        IC_AGENT_TRACE(agent, IC_TRACE_WARNING,
                       "this computer's clock is %d s behind the network's: set it right",
                       (int)(ahead_ns / IC_NS_PER_SEC));
}

int ic_agent_open_certificate(struct ic_agent *agent, struct ic_view bytes, bool is_subnet,
                              const struct ic_principal *id, int64_t date_ns,
                              struct ic_certificate **out, struct ic_error *err)
{
    struct ic_trust trust = {.root_key = agent->root_key,
                             .root_key_len = agent->root_key_len,
                             .now_ns = ic_agent_now_ns(agent),
                             .max_age_ns = IC_CERTIFICATE_MAX_AGE_NS,
                             .max_ahead_ns = IC_CERTIFICATE_MAX_AHEAD_NS,
                             .delegations = agent->delegations,
                             .floor = agent->floor};
    int rc = is_subnet
                 ? ic_certificate_verify_subnet(bytes.bytes, bytes.len, &trust, id, out, err)
                 : ic_certificate_verify_canister(bytes.bytes, bytes.len, &trust, id, out, err);
    if (rc == 0)
        note_skew(agent, *out, trust.now_ns);
    else if (rc == -EBADMSG)
        ic_agent_note_unverified(agent, date_ns, err);
    return rc;
}

/* --- what the calls have in common when they fail --- */

int ic_agent_fail_rejected(uint32_t reject_code, struct ic_view error_code, struct ic_view message,
                           struct ic_error *err)
{
    char code[8] = "";
    if (error_code.len > 0 && error_code.len < sizeof code)
        memcpy(code, error_code.bytes, error_code.len);
    return ic_fail_reject(err, reject_code, code, (const char *)message.bytes, message.len);
}

/* --- numbers --- */

unsigned ic_agent_inflight_limit(struct ic_agent *agent)
{
    unsigned limit;
    unsigned in_flight;
    ic_gate_look(&agent->queries.all, &limit, &in_flight);
    return limit;
}

unsigned ic_agent_large_limit(struct ic_agent *agent, bool is_update)
{
    return ic_pace_large_limit(is_update ? &agent->updates : &agent->queries);
}

void ic_agent_get_stats(struct ic_agent *agent, struct ic_agent_stats *out)
{
    pthread_mutex_lock(&agent->lock);
    *out = agent->stats;
    out->p50_us = ic_histogram_percentile(&agent->latency, 50);
    out->p95_us = ic_histogram_percentile(&agent->latency, 95);
    out->p99_us = ic_histogram_percentile(&agent->latency, 99);
    pthread_mutex_unlock(&agent->lock);
    ic_gate_look(&agent->queries.all, &out->limit, &out->in_flight);
    ic_gate_look(&agent->updates.all, &out->update_limit, &out->updates_in_flight);
}

void ic_reply_fini(struct ic_reply *reply)
{
    ic_body_free(reply->body);
    ic_certificate_free(reply->certificate);
    *reply = (struct ic_reply){0};
}
