/* Queries: one node answers, and signs. */
#include "ic/agent_impl.h"
#include "ic/request.h"
#include "ic/response.h"
#include "ic/wait.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Room beside the reply's Candid: the map around it, signatures, or a reject message (8 KiB at
 * most, IC resource limits). */
#define ENVELOPE_MAX (size_t)(64 * 1024)

struct query {
    const struct ic_principal *canister;
    const char *method;
    const uint8_t *arg;
    size_t arg_len;
    size_t reply_max;
    uint8_t request_id[IC_REQUEST_ID_LEN]; /* of the attempt under way */
};

/* --- sending --- */

static int send_query(struct ic_agent *agent, struct query *q, const struct ic_io *io,
                      struct ic_http_reply *reply, struct ic_error *err)
{
    struct ic_buf body = {0};
    int64_t now = ic_agent_now_ns(agent);
    int rc = ic_identity_check_time(agent->identity, now, err);
    if (rc != 0)
        return rc;
    rc = ic_request_query(agent->identity, q->canister, q->method, q->arg, q->arg_len,
                          ic_request_expiry_ns(now), NULL, &body, q->request_id);
    if (rc != 0)
        rc = ic_fail(err, IC_E_NO_MEMORY, "query %s", q->method);
    else
        rc = ic_agent_post(agent, &(struct ic_endpoint){"canister", q->canister, "query"}, &body,
                           q->reply_max + ENVELOPE_MAX, io, reply, err);
    ic_buf_fini(&body);
    return rc;
}

/* Send under the gate, which learns how it went. Decoding is part of it (views only): a transient
 * rejection means overload as well. */
static int exchange(struct ic_agent *agent, struct query *q, const struct ic_io *io,
                    struct ic_http_reply *reply, struct ic_query_response *response,
                    struct ic_error *err)
{
    struct ic_pace_pass pass;
    int rc = ic_pace_enter(&agent->queries, io->is_large, io, &pass, err);
    if (rc != 0)
        return rc;

    struct ic_pace_outcome outcome = {.load = IC_GATE_NEUTRAL, .sent = q->arg_len};
    rc = send_query(agent, q, io, reply, err);
    if (rc == 0 && reply->status != 200) {
        rc = ic_fail(err, IC_E_MALFORMED, "query %s: HTTP status %d", q->method, reply->status);
        ic_http_reply_fini(reply);
    } else if (rc == 0) {
        rc = ic_response_decode_query(reply->body, reply->len, response, err);
        if (rc != 0)
            ic_http_reply_fini(reply);
        else if (!response->replied && response->reject_code == 2)
            outcome.load = IC_GATE_OVERLOADED;
        else
            outcome.load = IC_GATE_GOOD;
    } else if (err->http_status == 429 || err->http_status == 503) {
        outcome.load = IC_GATE_OVERLOADED;
        outcome.retry_after_ms = err->retry_after_ms;
    } else {
        outcome.is_timeout = err->code == IC_E_TIMEOUT;
    }
    if (rc == 0) {
        outcome.received = reply->len;
        outcome.receive_ns = reply->receive_ns;
    }
    ic_pace_leave(&agent->queries, &pass, &outcome);
    return rc;
}

/* --- verifying --- */

struct key_finder {
    const struct ic_node_set *set;
    bool has_missed; /* a node was asked for that the set does not have */
};

static const uint8_t *find_key(void *arg, const struct ic_principal *node)
{
    struct key_finder *finder = arg;
    const uint8_t *found = ic_node_set_find(finder->set, node);
    finder->has_missed = finder->has_missed || found == NULL;
    return found;
}

static int check_signatures(struct ic_agent *agent, const struct query *q,
                            const struct ic_query_response *response, struct key_finder *finder,
                            struct ic_error *err)
{
    finder->has_missed = false;
    if (response->n_signatures > ic_node_set_count(finder->set))
        return ic_fail(err, IC_E_UNVERIFIED, "query %s: %zu signatures by a subnet of %zu nodes",
                       q->method, response->n_signatures, ic_node_set_count(finder->set));
    return ic_response_verify_query(response, q->request_id, find_key, finder,
                                    ic_agent_now_ns(agent), IC_CERTIFICATE_MAX_AGE_NS, err);
}

static int verify(struct ic_agent *agent, const struct query *q,
                  const struct ic_query_response *response, int64_t date_ns, struct ic_retry *retry,
                  const struct ic_io *io, struct ic_error *err)
{
    struct ic_node_set *set = NULL;
    int rc = ic_node_keys_get(agent->node_keys, q->canister, NULL, io, &set, err);
    if (rc != 0) {
        retry->is_final = true; /* fetching them was retried already */
        return rc;
    }
    struct key_finder finder = {.set = set};
    rc = check_signatures(agent, q, response, &finder, err);
    if (rc == -EBADMSG && finder.has_missed) {
        /* The subnet may have a new node (IC interface spec, Query call). */
        struct ic_node_set *newer = NULL;
        if (ic_node_keys_get(agent->node_keys, q->canister, set, io, &newer, NULL) == 0) {
            finder.set = newer;
            if (newer != set)
                rc = check_signatures(agent, q, response, &finder, err);
            ic_node_set_unref(newer);
        }
    }
    ic_node_set_unref(set);
    retry->is_unknown_node = rc == -EBADMSG && finder.has_missed;
    if (rc == -EBADMSG)
        ic_agent_note_unverified(agent, date_ns, err);
    return rc;
}

/* --- the call --- */

static int attempt(struct ic_agent *agent, struct query *q, struct ic_retry *retry,
                   const struct ic_io *io, struct ic_reply *out, struct ic_error *err)
{
    struct ic_http_reply reply = {0};
    struct ic_query_response response = {0};
    retry->is_unknown_node = false;
    int rc = exchange(agent, q, io, &reply, &response, err);
    if (rc != 0)
        return rc;
    rc = verify(agent, q, &response, reply.date_ns, retry, io, err);
    if (rc == 0 && !response.replied)
        rc = ic_agent_fail_rejected(response.reject_code, response.error_code,
                                    response.reject_message, err);
    if (rc == 0 && response.arg_len > q->reply_max)
        rc = ic_fail(err, IC_E_MALFORMED, "query %s: a reply of %zu bytes where %zu are expected",
                     q->method, response.arg_len, q->reply_max);
    if (rc != 0) {
        ic_http_reply_fini(&reply);
        return rc;
    }
    *out = (struct ic_reply){.arg = response.arg, .len = response.arg_len, .body = reply.body};
    return 0;
}

int ic_agent_query(struct ic_agent *agent, const struct ic_principal *canister, const char *method,
                   const uint8_t *arg, size_t arg_len, size_t reply_max, const struct ic_io *io,
                   struct ic_reply *out, struct ic_error *err)
{
    struct query q = {.canister = canister,
                      .method = method,
                      .arg = arg,
                      .arg_len = arg_len,
                      .reply_max = reply_max};
    int64_t start = ic_wait_now_ns();
    struct ic_retry retry = {0};
    struct ic_reply reply = {0};
    struct ic_error cause = {0};
    int rc;
    do {
        rc = attempt(agent, &q, &retry, io, &reply, &cause);
    } while (rc != 0 && ic_agent_retry(agent, &retry, method, io, &cause));

    ic_agent_finish(agent, IC_KIND_QUERY, method, start, reply.len, rc, &cause);
    if (rc == 0) {
        *out = reply;
        return 0;
    }
    if (err != NULL)
        *err = cause;
    return ic_error_errno(&cause); /* not rc: a cancelled pause replaced the cause */
}
