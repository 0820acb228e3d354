/* One attempt over HTTP, what its status means, and when to try again. */
#include "ic/agent_impl.h"
#include "ic/wait.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* Tries in all, the first included. */
#define TRIES_UNREACHABLE 5
#define TRIES_OVERLOADED  8
#define TRIES_WRONG       3
#define TRIES_UNKNOWN     6 /* with their pauses longer than the wait for newer node keys */

#define PAUSE_FIRST_MS 100
#define PAUSE_MAX_MS   5000

/* Then the present API is tried again: the network may have been upgraded. */
#define OLD_API_NS (300 * IC_NS_PER_SEC)

/* --- HTTP statuses --- */

static bool mentions(const struct ic_http_reply *reply, const char *word)
{
    return reply->len > 0 && memmem(reply->body, reply->len, word, strlen(word)) != NULL;
}

static enum ic_errc classify_status(const struct ic_http_reply *reply)
{
    switch (reply->status) {
    case 401:
    case 403:
        return IC_E_DENIED;
    case 413:
        return IC_E_TOO_LARGE;
    case 429:
    case 502:
    case 503:
    case 504:
        return IC_E_OVERLOADED;
    case 400:
        /* Ours was checked by our clock before. */
        if (mentions(reply, "delegation has expired"))
            return IC_E_DENIED;
        /* A boundary node says so of an id that no subnet hosts; a replica would reject the call
         * with IC0301 instead. */
        return mentions(reply, "canister_not_found") ? IC_E_NOT_FOUND : IC_E_HTTP;
    default:
        return IC_E_HTTP;
    }
}

static int fail_status(const struct ic_http_reply *reply, const char *url, int64_t now_ns,
                       struct ic_error *err)
{
    int len = reply->len < 200 ? (int)reply->len : 200; /* a text for people, or none */
    while (len > 0 && (reply->body[len - 1] == '\n' || reply->body[len - 1] == '\r'))
        len--;
    int rc = ic_fail(err, classify_status(reply), "%s: HTTP status %d%s%.*s", url, reply->status,
                     len > 0 ? ": " : "", len, len > 0 ? (const char *)reply->body : "");
    err->http_status = reply->status;
    err->retry_after_ms = reply->retry_after_ms;
    if (mentions(reply, "Invalid request expiry")) /* only a wrong clock makes such requests */
        ic_clock_skew_explain_expiry(err, now_ns, reply->date_ns);
    return rc;
}

/* --- one attempt --- */

static void count_bytes(struct ic_agent *agent, size_t out, size_t in)
{
    pthread_mutex_lock(&agent->lock);
    agent->stats.n_attempts++;
    agent->stats.bytes_out += out;
    agent->stats.bytes_in += in;
    pthread_mutex_unlock(&agent->lock);
}

static const char *api_version(const char *op, bool is_old)
{
    if (is_old)
        return "v2";
    return strcmp(op, "call") == 0 ? "v4" : "v3";
}

static int post(struct ic_agent *agent, const struct ic_endpoint *endpoint, bool is_old,
                const struct ic_buf *body, size_t reply_max, const struct ic_io *io,
                struct ic_http_reply *reply, struct ic_error *err)
{
    *reply = (struct ic_http_reply){0};
    char id[IC_PRINCIPAL_TEXT];
    ic_principal_format(endpoint->id, id);
    char *url;
    if (asprintf(&url, "%s/api/%s/%s/%s/%s", agent->url, api_version(endpoint->op, is_old),
                 endpoint->scope, id, endpoint->op) < 0)
        return ic_fail(err, IC_E_NO_MEMORY, "request URL");

    struct ic_http_request request = {
        .url = url, .body = body->bytes, .body_len = body->len, .reply_max = reply_max};
    int rc = ic_http_perform(agent->http, &request, io, reply, err);
    count_bytes(agent, body->len, reply->len);
    if (rc == 0 && reply->status != 200 && reply->status != 202) {
        rc = fail_status(reply, url, ic_agent_now_ns(agent), err);
        ic_http_reply_fini(reply);
    }
    free(url);
    return rc;
}

static bool is_no_route(int rc, const struct ic_error *err)
{
    return rc != 0 && (err->http_status == 404 || err->http_status == 405);
}

/* v4 for calls and v3 for the rest; v2 for a network that has no such routes, which is remembered
 * for a while. The forms of v2 are the same but for two: a delegation carries its canister ranges
 * in one list, and a call is never answered with its outcome (IC interface spec, HTTPS interface).
 * Both are verified alike, so nothing is lost when somebody on the way feigns an old network. */
int ic_agent_post(struct ic_agent *agent, const struct ic_endpoint *endpoint,
                  const struct ic_buf *body, size_t reply_max, const struct ic_io *io,
                  struct ic_http_reply *reply, struct ic_error *err)
{
    bool is_old = ic_wait_now_ns() < atomic_load(&agent->old_api_until_ns);
    int rc = post(agent, endpoint, is_old, body, reply_max, io, reply, err);
    if (is_old || !is_no_route(rc, err))
        return rc;
    struct ic_error second = {0};
    bool was_resent = reply->resent;
    rc = post(agent, endpoint, true, body, reply_max, io, reply, &second);
    reply->sent = true; /* the first was, to whoever has no such route */
    reply->resent = reply->resent || was_resent;
    if (is_no_route(rc, &second))
        return rc; /* err says it of the present API */
    if (rc == 0)
        atomic_store(&agent->old_api_until_ns, ic_wait_now_ns() + OLD_API_NS);
    else
        *err = second;
    return rc;
}

/* --- again? --- */

/* The number of the next try when the budget of this kind of failure allows one, else 0. */
static unsigned next_try(struct ic_retry *retry, enum ic_errc code)
{
    unsigned *n_failed = NULL;
    unsigned tries = 0;
    if (code == IC_E_UNREACHABLE)
        n_failed = &retry->n_unreachable, tries = TRIES_UNREACHABLE;
    else if (code == IC_E_OVERLOADED)
        n_failed = &retry->n_overloaded, tries = TRIES_OVERLOADED;
    else if (retry->is_unknown_node)
        n_failed = &retry->n_unknown, tries = TRIES_UNKNOWN;
    else if (code == IC_E_MALFORMED || code == IC_E_UNVERIFIED || code == IC_E_TLS)
        n_failed = &retry->n_wrong, tries = TRIES_WRONG;
    if (n_failed == NULL || ++*n_failed >= tries)
        return 0;
    return *n_failed + 1;
}

/* Doubling, with up to a quarter more at random so that callers who failed together spread. */
static int64_t pause_before(unsigned next, uint32_t retry_after_ms)
{
    int64_t ms = PAUSE_FIRST_MS;
    for (unsigned i = 2; i < next && ms < PAUSE_MAX_MS; i++)
        ms *= 2;
    if (ms > PAUSE_MAX_MS)
        ms = PAUSE_MAX_MS;
    uint8_t dice = 0;
    (void)!getrandom(&dice, 1, GRND_NONBLOCK); /* no randomness, no jitter */
    ms += ms * dice / 1024;
    if (ms < retry_after_ms)
        ms = retry_after_ms;
    return ms * IC_NS_PER_MS;
}

int ic_agent_pause(struct ic_agent *agent, int64_t pause_ns, const char *what,
                   const struct ic_io *io, struct ic_error *err)
{
    int64_t until_ns = ic_wait_now_ns() + pause_ns;
    int rc = 0;
    pthread_mutex_lock(&agent->lock);
    while (rc == 0 && ic_wait_now_ns() < until_ns)
        rc = agent->stopped ? -EINTR : ic_wait_cond(&agent->pause, &agent->lock, until_ns, io);
    pthread_mutex_unlock(&agent->lock);
    return rc != 0 ? ic_wait_fail(err, rc, what) : 0;
}

bool ic_agent_retry(struct ic_agent *agent, struct ic_retry *retry, const char *what,
                    const struct ic_io *io, struct ic_error *err)
{
    if (err->code == IC_E_TIMEOUT && retry->before[0] != '\0') {
        struct ic_error timeout = *err;
        (void)ic_fail(err, IC_E_TIMEOUT, "%.200s; before that: %s", timeout.message, retry->before);
    }
    unsigned next = retry->is_final ? 0 : next_try(retry, err->code);
    if (next == 0)
        return false;
    snprintf(retry->before, sizeof retry->before, "%.255s", err->message);
    int64_t pause = pause_before(next, err->retry_after_ms);
    if (ic_wait_now_ns() + pause >= io->deadline_ns)
        return false; /* the failure says more than a timeout would */

    IC_AGENT_TRACE(agent, IC_TRACE_WARNING, "%s: trying again in %d ms: %s", what,
                   (int)(pause / IC_NS_PER_MS), err->message);
    if (ic_agent_pause(agent, pause, what, io, err) != 0)
        return false;
    pthread_mutex_lock(&agent->lock);
    agent->stats.n_retries++;
    pthread_mutex_unlock(&agent->lock);
    return true;
}

/* --- the end of a call --- */

static const char *const kind_names[] = {"query", "update", "read_state"};

void ic_agent_finish(struct ic_agent *agent, enum ic_call_kind kind, const char *what,
                     int64_t start_ns, size_t len, int rc, const struct ic_error *err)
{
    int64_t took_us = (ic_wait_now_ns() - start_ns) / 1000;
    pthread_mutex_lock(&agent->lock);
    struct ic_agent_stats *stats = &agent->stats;
    stats->n_queries += kind == IC_KIND_QUERY;
    stats->n_updates += kind == IC_KIND_UPDATE;
    stats->n_read_states += kind == IC_KIND_READ_STATE;
    stats->n_failed += rc != 0;
    if (rc == 0 && kind == IC_KIND_QUERY)
        ic_histogram_add(&agent->latency, (uint64_t)took_us);
    pthread_mutex_unlock(&agent->lock);

    double ms = (double)took_us / 1000;
    if (rc == 0)
        IC_AGENT_TRACE(agent, IC_TRACE_DEBUG, "%s %s: %zu bytes in %.1f ms", kind_names[kind], what,
                       len, ms);
    else
        IC_AGENT_TRACE(agent, IC_TRACE_DEBUG, "%s %s: failed after %.1f ms: %s", kind_names[kind],
                       what, ms, err->message);
}
