/* Update calls: agreed on by the subnet, answered with a certificate.
 *
 * The body is made once. It goes out again only when nothing of it was sent, or when the network
 * refused it for load: the same bytes have the same request id, so even a copy that did arrive runs
 * once (IC interface spec, Request: Call; libcurl itself sends again when a kept connection turns
 * out to be dead). Whatever else goes wrong after sending leaves the outcome unknown: also an
 * answer that does not verify, which says nothing about the call, only about its messenger.
 */
#include "ic/agent_impl.h"
#include "ic/request.h"
#include "ic/response.h"
#include "ic/wait.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

/* A replicated reply is 2 MiB at most (IC resource limits); the certificate around it is small. */
#define UPDATE_REPLY_MAX (size_t)(3 * 1024 * 1024)

struct update {
    const struct ic_principal *effective;
    const char *method;
    struct ic_buf body;
    uint8_t request_id[IC_REQUEST_ID_LEN];
};

static int make_body(struct ic_agent *agent, struct update *u, const struct ic_principal *canister,
                     const uint8_t *arg, size_t arg_len, struct ic_error *err)
{
    uint8_t nonce[IC_NONCE_LEN];
    if (getrandom(nonce, sizeof nonce, 0) != (ssize_t)sizeof nonce)
        return ic_fail(err, IC_E_NO_MEMORY, "update %s: no random bytes", u->method);
    if (ic_request_call(agent->identity, canister, u->method, arg, arg_len,
                        ic_request_expiry_ns(ic_agent_now_ns(agent)), nonce, &u->body,
                        u->request_id) != 0)
        return ic_fail(err, IC_E_NO_MEMORY, "update %s", u->method);
    return 0;
}

/* Turn an error into "nobody knows", keeping its words. */
static int fail_unknown(const struct update *u, struct ic_error *err)
{
    struct ic_error cause = *err;
    int rc = ic_fail(err, cause.code == IC_E_CANCELLED ? IC_E_CANCELLED : IC_E_UNKNOWN_OUTCOME,
                     "update %s may have run: %.400s", u->method, cause.message);
    err->http_status = cause.http_status;
    return rc;
}

/* Returns 0 with a certificate that tells something about the call. */
static int open_outcome(struct ic_agent *agent, const struct update *u, struct ic_view bytes,
                        struct ic_certificate **cert, struct ic_call_outcome *outcome,
                        struct ic_error *err)
{
    struct ic_trust trust = ic_agent_trust(agent);
    int rc =
        ic_certificate_verify_canister(bytes.bytes, bytes.len, &trust, u->effective, cert, err);
    if (rc == -EBADMSG)
        ic_agent_count_unverified(agent);
    return rc != 0 ? rc : ic_response_call_outcome(*cert, u->request_id, outcome, err);
}

static int read_outcome(struct ic_agent *agent, const struct update *u, struct ic_view bytes,
                        struct ic_reply *out, struct ic_error *err)
{
    struct ic_certificate *cert = NULL;
    struct ic_call_outcome outcome;
    int rc = open_outcome(agent, u, bytes, &cert, &outcome, err);
    if (rc != 0) {
        rc = fail_unknown(u, err);
    } else if (outcome.status == IC_CALL_REPLIED) {
        *out = (struct ic_reply){
            .arg = outcome.reply.bytes, .len = outcome.reply.len, .certificate = cert};
        cert = NULL; /* the reply has it now */
    } else if (outcome.status == IC_CALL_REJECTED) {
        rc = ic_agent_fail_rejected(outcome.reject_code, outcome.error_code, outcome.reject_message,
                                    err);
    } else {
        rc = ic_fail(err, IC_E_UNKNOWN_OUTCOME, "update %s: %s", u->method,
                     outcome.status == IC_CALL_DONE ? "it ran, its outcome is forgotten"
                                                    : "accepted, no outcome yet");
    }
    ic_certificate_free(cert);
    return rc;
}

static int read_answer(struct ic_agent *agent, const struct update *u,
                       const struct ic_http_reply *reply, struct ic_reply *out,
                       struct ic_error *err)
{
    if (reply->status == 202)
        return ic_fail(err, IC_E_UNKNOWN_OUTCOME, "update %s: accepted, no outcome yet", u->method);
    struct ic_call_response response;
    int rc = ic_response_decode_call(reply->body, reply->len, &response, err);
    if (rc != 0)
        return fail_unknown(u, err);
    if (response.certified)
        return read_outcome(agent, u, response.certificate, out, err);
    rc = ic_agent_fail_rejected(response.reject_code, response.error_code, response.reject_message,
                                err);
    char words[sizeof err->message];
    snprintf(words, sizeof words, "before it ran: %.490s", err->message);
    memcpy(err->message, words, sizeof words);
    return rc;
}

/* May these bytes go out again after this failure? */
static bool is_resendable(bool sent, const struct ic_error *err)
{
    return !sent || err->http_status == 429 || err->http_status == 503;
}

static int attempt(struct ic_agent *agent, const struct update *u, struct ic_retry *retry,
                   const struct ic_io *io, struct ic_reply *out, struct ic_error *err)
{
    struct ic_http_reply reply;
    int rc = ic_agent_post(agent, &(struct ic_endpoint){"v4", "canister", u->effective, "call"},
                           &u->body, UPDATE_REPLY_MAX, io, &reply, err);
    if (rc == 0) {
        retry->is_final = true;
        rc = read_answer(agent, u, &reply, out, err);
        ic_http_reply_fini(&reply);
        return rc;
    }
    retry->is_final = !is_resendable(reply.sent, err);
    bool is_refused = err->http_status >= 400 && err->http_status < 500;
    if (retry->is_final && !is_refused)
        rc = fail_unknown(u, err);
    return rc;
}

int ic_agent_update(struct ic_agent *agent, const struct ic_principal *canister,
                    const struct ic_principal *effective, const char *method, const uint8_t *arg,
                    size_t arg_len, const struct ic_io *io, struct ic_reply *out,
                    struct ic_error *err)
{
    struct update u = {.effective = effective, .method = method};
    int64_t start = ic_wait_now_ns();
    struct ic_retry retry = {0};
    struct ic_reply reply = {0};
    struct ic_error cause = {0};
    int rc = make_body(agent, &u, canister, arg, arg_len, &cause);
    if (rc == 0) {
        do {
            rc = attempt(agent, &u, &retry, io, &reply, &cause);
        } while (rc != 0 && ic_agent_retry(agent, &retry, method, io, &cause));
    }
    ic_buf_fini(&u.body);

    ic_agent_finish(agent, IC_KIND_UPDATE, method, start, reply.len, rc, &cause);
    if (rc == 0) {
        *out = reply;
        return 0;
    }
    if (err != NULL)
        *err = cause;
    return ic_error_errno(&cause); /* not rc: a cancelled pause replaced the cause */
}
