/* Update calls: agreed on by the subnet, answered with a certificate.
 *
 * A call is made once, as one signed body: its bytes are its identity (the request id), so a subnet
 * that gets them twice runs them once (IC interface spec, Request: Call). What is known of it:
 *
 *   unsent     no copy can have reached the network: a failure is final as it is, or repeated as
 *              any other request (not sent at all, or refused for load)
 *   in doubt   a copy may have arrived: the answer was lost, cut off, an error of some machine on
 *              the way, or not verified, which says nothing about the call but about its messenger
 *   accepted   the network said 202, or a certificate shows it under way
 *
 * From the last two the only way out is a certificate: its status is asked for until one shows the
 * outcome, or that it never ran (call_status.h), or the caller's patience ends. While in doubt the
 * same bytes go out again whenever a certificate does not know them some seconds later: so a
 * request that was lost on the way is mended, and one that was not is not run twice. No other body
 * is ever made.
 *
 * Of a call that an earlier process may have sent no more is known than its id and expiry: it is in
 * doubt, and is asked for only.
 *
 * A call holds a place of the gate from its first byte until it is settled; before another try, as
 * long as it is unsent or refused for load, it goes back to the end of the line.
 */
#include "ic/agent_impl.h"
#include "ic/call_status.h"
#include "ic/response.h"
#include "ic/wait.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A replicated reply is 2 MiB at most (IC resource limits); the certificate around it is small. */
#define UPDATE_REPLY_MAX (size_t)(3 * 1024 * 1024)

/* Between two questions for the status, growing by two fifths; as agent-rs, with a longer end. */
#define ASK_FIRST_NS (500 * IC_NS_PER_MS)
#define ASK_MAX_NS   (2000 * IC_NS_PER_MS)
/* Answers that prove nothing (not verified, malformed, refused), in all, before we give up. */
#define ASK_USELESS 3
/* A block takes a second or two: a certificate that does not know a call so long after it was sent
 * means that it was lost. And how often it then goes out again. */
#define RESEND_NS  (5 * IC_NS_PER_SEC)
#define RESEND_MAX 5
/* After this nobody can know any more, unless it is known to be under way: some 5 minutes until the
 * expiry, and 5 for which a finished call's status is kept. */
#define ASK_LONGEST_NS (600 * IC_NS_PER_SEC)
/* A call was made so long before its expiry at most (request.h, ic_request_expiry_ns), by a clock
 * that was not faster than the rest of it. */
#define MADE_BEFORE_EXPIRY_NS ((240 + 40) * IC_NS_PER_SEC)

enum knowledge { UNSENT, IN_DOUBT, ACCEPTED };

/* One call on its way. */
struct course {
    const struct ic_update *update;
    bool is_found; /* of an earlier process: to be asked for only */
    enum ic_update_proof proof;
    enum knowledge known;
    int64_t first_sent_ns; /* ic_wait_boot_ns: what the network remembers does not wait. Of a found
                              one: the earliest that it can have been */
    int64_t last_sent_ns;
    unsigned n_resent;
    unsigned n_useless;
    bool was_seen;           /* a certificate showed it under way */
    bool is_settled;         /* the result at hand is the call's */
    char trouble[200];       /* the last failure on the way, in words; "" = there was none */
    enum ic_errc in_the_way; /* its code; IC_OK after an answer that was of use */
    /* The last refusal that nobody certified: why it did not run, if that comes to be certain. */
    struct ic_error refusal;

    bool has_place; /* in the gate */
    struct ic_pace_pass pass;
    struct ic_pace_outcome outcome; /* what the answers so far tell of the pace */
};

static void note_trouble(struct course *u, const struct ic_error *err)
{
    snprintf(u->trouble, sizeof u->trouble, "%.199s", err->message);
    u->in_the_way = err->code;
}

/* The time that ran out says less than what it was spent on. */
static enum ic_errc cause_of_doubt(const struct course *u, const struct ic_error *err)
{
    if (err->code == IC_E_UNKNOWN_OUTCOME)
        return err->cause;
    return err->code == IC_E_TIMEOUT && u->in_the_way != IC_OK ? u->in_the_way : err->code;
}

/* Turn an error into "nobody knows", keeping its words and those of what was before. */
static int fail_unknown(struct course *u, struct ic_error *err)
{
    struct ic_error cause = *err;
    bool has_more = u->trouble[0] != '\0' && strstr(cause.message, u->trouble) == NULL;
    /* No reject code: whoever saw one would think that it did not run. */
    int rc =
        ic_fail(err, IC_E_UNKNOWN_OUTCOME, "update %s may have run: %.220s%s%s", u->update->method,
                cause.message, has_more ? "; before that: " : "", has_more ? u->trouble : "");
    err->cause = cause_of_doubt(u, &cause);
    err->http_status = cause.http_status;
    u->is_settled = true; /* there is nothing more to find out */
    return rc;
}

/* --- a certificate about the call --- */

static int settle(struct course *u, struct ic_certificate **cert,
                  const struct ic_call_outcome *outcome, struct ic_reply *out, struct ic_error *err)
{
    u->is_settled = true;
    if (outcome->status == IC_CALL_REJECTED)
        return ic_agent_fail_rejected(outcome->reject_code, outcome->error_code,
                                      outcome->reject_message, err);
    *out = (struct ic_reply){
        .arg = outcome->reply.bytes, .len = outcome->reply.len, .certificate = *cert};
    *cert = NULL; /* the reply has it now */
    return 0;
}

static int fail_never_ran(struct course *u, struct ic_error *err)
{
    u->is_settled = true;
    if (u->refusal.code == IC_OK)
        return ic_fail(err, IC_E_OVERLOADED,
                       "update %s never ran: the network did not begin it before it expired",
                       u->update->method);
    *err = u->refusal;
    ic_error_reword(err, "certified that it never ran: %.400s", u->refusal.message);
    return ic_error_errno(err);
}

/* How long ago was it sent, at most? Of a found call its expiry tells, by either clock: ours may be
 * slow, and the network's lags when it is far behind. */
static int64_t age_at(const struct course *u, int64_t certified_ns)
{
    int64_t age = ic_wait_boot_ns() - u->first_sent_ns;
    if (!u->is_found || u->update->expiry_ns > INT64_MAX)
        return age;
    int64_t by_network = certified_ns - (int64_t)u->update->expiry_ns + MADE_BEFORE_EXPIRY_NS;
    return by_network > age ? by_network : age;
}

/* Take in what a verified certificate says. u->is_settled tells whether the result is the call's;
 * if not, 0 means that the certificate was of use. */
static int take_in(struct course *u, struct ic_certificate **cert, struct ic_reply *out,
                   struct ic_error *err)
{
    struct ic_call_outcome outcome;
    int rc = ic_call_status_read(ic_certificate_tree(*cert), u->update->request_id, &outcome, err);
    if (rc != 0)
        return rc;
    struct ic_call_sighting sighting = {.status = outcome.status,
                                        .certified_ns = ic_certificate_time_ns(*cert),
                                        .expiry_ns = u->update->expiry_ns,
                                        .age_ns = age_at(u, ic_certificate_time_ns(*cert)),
                                        .was_seen = u->was_seen};
    switch (ic_call_status_judge(&sighting)) {
    case IC_CALL_SETTLED:
        return settle(u, cert, &outcome, out, err);
    case IC_CALL_NEVER_RAN:
        return fail_never_ran(u, err);
    case IC_CALL_LOST:
        u->is_settled = true;
        return ic_fail(err, IC_E_UNKNOWN_OUTCOME, "update %s: %s, its outcome is forgotten",
                       u->update->method,
                       outcome.status == IC_CALL_DONE ? "it ran" : "it may have run");
    case IC_CALL_WAIT:
        break;
    }
    if (outcome.status != IC_CALL_ABSENT) {
        u->was_seen = true;
        u->known = ACCEPTED;
    }
    return 0;
}

/* --- sending --- */

/* Refused by a replica before it ran, in words that nobody certified. Of an earlier copy, which may
 * have run and be the reason, they say nothing. */
static int refuse(struct course *u, const struct ic_call_response *response, struct ic_error *err)
{
    int rc = ic_agent_fail_rejected(response->reject_code, response->error_code,
                                    response->reject_message, err);
    ic_error_reword(err, "before it ran: %s", err->message);
    u->refusal = *err;
    u->is_settled = u->known == UNSENT;
    return rc;
}

static int read_answer(struct ic_agent *agent, struct course *u, const struct ic_http_reply *reply,
                       const struct ic_io *io, struct ic_reply *out, struct ic_error *err)
{
    if (reply->status == 202) {
        u->known = ACCEPTED;
        return 0;
    }
    struct ic_call_response response;
    int rc = ic_response_decode_call(reply->body, reply->len, &response, err);
    if (rc == 0 && !response.certified)
        return refuse(u, &response, err);
    if (u->known == UNSENT)
        u->known = IN_DOUBT;
    struct ic_certificate *cert = NULL;
    if (rc == 0)
        rc = ic_agent_open_certificate(agent, response.certificate, false, &u->update->effective,
                                       reply->date_ns, &cert, err);
    if (rc == 0)
        rc = ic_agent_check_host(agent, cert, &u->update->effective, io, err);
    if (rc == 0)
        rc = take_in(u, &cert, out, err);
    ic_certificate_free(cert);
    return rc;
}

/* Did this copy certainly not arrive, or was it not taken? A status of 4xx is an answer about the
 * request; one of 5xx may come from a machine that had passed it on. */
static bool is_not_taken(bool sent, const struct ic_error *err)
{
    return !sent || (err->http_status >= 400 && err->http_status < 500);
}

static int take_place(struct ic_agent *agent, struct course *u, const struct ic_io *io,
                      struct ic_error *err)
{
    if (u->has_place)
        return 0;
    size_t len = u->update->body.len;
    int rc = ic_pace_enter(&agent->updates, io->is_large || len >= IC_IO_LARGE, io, &u->pass, err);
    if (rc != 0)
        return rc;
    u->has_place = true;
    u->outcome = (struct ic_pace_outcome){.load = IC_GATE_NEUTRAL, .sent = len};
    return 0;
}

static void leave_place(struct ic_agent *agent, struct course *u)
{
    if (u->has_place)
        ic_pace_leave(&agent->updates, &u->pass, &u->outcome);
    u->has_place = false;
}

/* HTTP 429 and 503, transient rejections. */
static bool is_overload(const struct ic_error *err)
{
    return err->http_status == 429 || err->http_status == 503 || err->reject_code == 2;
}

static void note_load(struct course *u, int rc, const struct ic_error *err)
{
    if (rc == 0 && u->outcome.load == IC_GATE_NEUTRAL) {
        u->outcome.load = IC_GATE_GOOD;
    } else if (rc != 0 && is_overload(err)) {
        u->outcome.load = IC_GATE_OVERLOADED;
        u->outcome.retry_after_ms = err->retry_after_ms;
    } else if (rc != 0) {
        u->outcome.is_timeout = err->code == IC_E_TIMEOUT;
    }
}

static int send_copy(struct ic_agent *agent, struct course *u, const struct ic_io *io,
                     struct ic_reply *out, struct ic_error *err)
{
    struct ic_http_reply reply;
    int rc = take_place(agent, u, io, err);
    if (rc != 0)
        return rc;
    u->last_sent_ns = ic_wait_boot_ns();
    if (u->known == UNSENT)
        u->first_sent_ns = u->last_sent_ns;
    rc = ic_agent_post(agent, &(struct ic_endpoint){"canister", &u->update->effective, "call"},
                       &u->update->body, UPDATE_REPLY_MAX, io, &reply, err);
    /* Whatever is said of the last copy, the one before may run; and this one, for all that a
     * single machine says. */
    bool is_word_enough = u->proof == IC_UPDATE_ANSWERED;
    if (u->known == UNSENT && (reply.resent || (reply.sent && !is_word_enough)))
        u->known = IN_DOUBT;
    if (rc == 0) {
        u->outcome.received = reply.len;
        u->outcome.receive_ns = reply.receive_ns;
        rc = read_answer(agent, u, &reply, io, out, err);
        ic_http_reply_fini(&reply);
    } else if (!is_not_taken(reply.sent, err)) {
        u->known = u->known == UNSENT ? IN_DOUBT : u->known;
    } else if (err->http_status != 0) {
        u->refusal = *err;
    }
    note_load(u, rc, err);
    return rc;
}

/* Does the same go out again at once? As long as nothing of it can be on the way. And where there
 * was too much to do: then it most likely was not taken, but who knows (503), or who proves it. */
static bool may_try_again(const struct course *u, const struct ic_error *err)
{
    bool is_word_enough = u->proof == IC_UPDATE_ANSWERED;
    return u->known == UNSENT || err->http_status == 503 ||
           (err->http_status == 429 && !is_word_enough);
}

/* Until it is settled, or something of it may be on the way, or failing is all that is left. */
static int send_first(struct ic_agent *agent, struct course *u, const struct ic_io *io,
                      struct ic_reply *out, struct ic_error *err)
{
    struct ic_retry retry = {0};
    for (;;) {
        int rc = send_copy(agent, u, io, out, err);
        if (rc == 0 || u->is_settled || !may_try_again(u, err))
            return rc;
        leave_place(agent, u);
        if (!ic_agent_retry(agent, &retry, u->update->method, io, err))
            return rc;
    }
}

/* --- asking --- */

static bool is_given_up(const struct ic_error *err)
{
    return err->code == IC_E_TIMEOUT || err->code == IC_E_CANCELLED;
}

/* An outage may end before the caller's patience does; an answer that proves nothing will hardly
 * get better. */
static bool is_outage(const struct ic_error *err)
{
    return err->code == IC_E_UNREACHABLE || err->code == IC_E_OVERLOADED;
}

static int ask(struct ic_agent *agent, struct course *u, const struct ic_io *io,
               struct ic_reply *out, struct ic_error *err)
{
    struct ic_certificate *cert = NULL;
    int rc = ic_agent_read_state(agent, &u->update->effective,
                                 IC_PATH(ic_label_text("request_status"),
                                         ic_label(u->update->request_id, IC_REQUEST_ID_LEN)),
                                 1, io, &cert, err);
    if (rc == 0)
        rc = take_in(u, &cert, out, err);
    ic_certificate_free(cert);
    if (rc == 0 || u->is_settled || is_outage(err))
        return rc;
    return is_given_up(err) || ++u->n_useless == ASK_USELESS ? fail_unknown(u, err) : rc;
}

static bool must_resend(const struct course *u)
{
    return u->known == IN_DOUBT && !u->is_found && u->n_resent < RESEND_MAX &&
           ic_wait_boot_ns() - u->last_sent_ns >= RESEND_NS;
}

static int resend(struct ic_agent *agent, struct course *u, const struct ic_io *io,
                  struct ic_reply *out, struct ic_error *err)
{
    u->n_resent++;
    int rc = send_copy(agent, u, io, out, err);
    return rc != 0 && !u->is_settled && is_given_up(err) ? fail_unknown(u, err) : rc;
}

static int64_t next_pause(int64_t pause_ns)
{
    int64_t next = pause_ns == 0 ? ASK_FIRST_NS : pause_ns * 7 / 5;
    return next < ASK_MAX_NS ? next : ASK_MAX_NS;
}

static int ask_until_settled(struct ic_agent *agent, struct course *u, const struct ic_io *io,
                             struct ic_reply *out, struct ic_error *err)
{
    for (int64_t pause = u->is_found ? 0 : ASK_FIRST_NS;; pause = next_pause(pause)) {
        int rc = ic_agent_pause(agent, pause, "no outcome yet", io, err);
        if (rc != 0)
            return fail_unknown(u, err);
        rc = ask(agent, u, io, out, err);
        if (rc == 0 && !u->is_settled && must_resend(u))
            rc = resend(agent, u, io, out, err);
        if (u->is_settled)
            return rc;
        if (rc != 0)
            note_trouble(u, err);
        else
            u->in_the_way = IC_OK;
        if (!u->is_found && !u->was_seen && ic_wait_boot_ns() - u->first_sent_ns > ASK_LONGEST_NS) {
            (void)ic_fail(err, IC_E_UNKNOWN_OUTCOME, "its outcome could not be learned in time");
            return fail_unknown(u, err);
        }
    }
}

/* Follow up what send_first ended with. */
static int follow(struct ic_agent *agent, struct course *u, int rc, const struct ic_io *io,
                  struct ic_reply *out, struct ic_error *err)
{
    if (rc != 0) {
        note_trouble(u, err);
        IC_AGENT_TRACE(agent, IC_TRACE_WARNING,
                       "update %s: may have run, asking for its status: %s", u->update->method,
                       err->message);
    }
    return ask_until_settled(agent, u, io, out, err);
}

/* --- the calls --- */

int ic_agent_send_update(struct ic_agent *agent, const struct ic_update *update,
                         enum ic_update_proof proof, const struct ic_io *io, struct ic_reply *out,
                         struct ic_error *err)
{
    struct course u = {.update = update, .proof = proof};
    int64_t start = ic_wait_now_ns();
    struct ic_reply reply = {0};
    struct ic_error cause = {0};
    int rc = send_first(agent, &u, io, &reply, &cause);
    if (u.known != UNSENT && !u.is_settled)
        rc = rc != 0 && is_given_up(&cause) ? fail_unknown(&u, &cause)
                                            : follow(agent, &u, rc, io, &reply, &cause);
    leave_place(agent, &u);

    ic_agent_finish(agent, IC_KIND_UPDATE, update->method, start, reply.len, rc, &cause);
    if (rc == 0) {
        *out = reply;
        return 0;
    }
    if (err != NULL)
        *err = cause;
    return ic_error_errno(&cause); /* not rc: a cancelled pause replaced the cause */
}

int ic_agent_update(struct ic_agent *agent, const struct ic_principal *canister,
                    const struct ic_principal *effective, const char *method, const uint8_t *arg,
                    size_t arg_len, const struct ic_io *io, struct ic_reply *out,
                    struct ic_error *err)
{
    struct ic_update update;
    int rc =
        ic_agent_prepare_update(agent, canister, effective, method, arg, arg_len, &update, err);
    if (rc != 0)
        return rc;
    rc = ic_agent_send_update(agent, &update, IC_UPDATE_ANSWERED, io, out, err);
    ic_update_fini(&update);
    return rc;
}

/* ic_wait_boot_ns, the earliest that a call with this expiry can have been made; at most now. */
static int64_t earliest_sent_ns(const struct ic_agent *agent, uint64_t expiry_ns)
{
    int64_t now = ic_wait_boot_ns();
    if (expiry_ns > INT64_MAX)
        return now;
    int64_t age = ic_agent_now_ns(agent) - (int64_t)expiry_ns + MADE_BEFORE_EXPIRY_NS;
    return age > 0 ? now - age : now;
}

int ic_agent_ask_update(struct ic_agent *agent, const struct ic_principal *effective,
                        const char *method, const uint8_t request_id[IC_REQUEST_ID_LEN],
                        uint64_t expiry_ns, const struct ic_io *io, struct ic_reply *out,
                        struct ic_error *err)
{
    struct ic_update update = {.effective = *effective, .method = method, .expiry_ns = expiry_ns};
    memcpy(update.request_id, request_id, IC_REQUEST_ID_LEN);
    struct course u = {.update = &update,
                       .is_found = true,
                       .known = IN_DOUBT,
                       .first_sent_ns = earliest_sent_ns(agent, expiry_ns)};
    struct ic_reply reply = {0};
    struct ic_error cause = {0};
    int rc = ask_until_settled(agent, &u, io, &reply, &cause);
    if (rc == 0) {
        *out = reply;
        return 0;
    }
    if (err != NULL)
        *err = cause;
    return ic_error_errno(&cause);
}
