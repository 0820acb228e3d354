/* See management.h. */
#include "ic/management.h"

#include "ic/agent_impl.h"

#include <errno.h>

/* Replies are short, but for chunks of a snapshot, whose bytes count as values and take no memory:
 * they stay where they are. */
static const struct ic_candid_limits limits = {.max_values = 4 << 20, .max_memory = 8 << 20};

void ic_management_reply_fini(struct ic_management_reply *reply)
{
    ic_candid_free(reply->values);
    ic_reply_fini(&reply->reply);
    *reply = (struct ic_management_reply){0};
}

int ic_management_fail_type(const char *method, struct ic_error *err)
{
    return ic_fail(err, IC_E_WRONG_TYPE, "%s: its reply is not what the network promises", method);
}

int ic_management_decode(const char *method, struct ic_reply *reply,
                         struct ic_management_reply *out, struct ic_error *err)
{
    struct ic_management_reply decoded = {.reply = *reply};
    struct ic_error cause = {0};
    *reply = (struct ic_reply){0};
    int ret =
        ic_candid_decode(decoded.reply.arg, decoded.reply.len, &limits, &decoded.values, &cause);
    if (ret < 0) {
        /* It is certified: asking again would bring the same. */
        enum ic_errc code = cause.code == IC_E_NO_MEMORY ? IC_E_NO_MEMORY : IC_E_WRONG_TYPE;
        ic_management_reply_fini(&decoded);
        return ic_fail(err, code, "%s: its reply: %.400s", method, cause.message);
    }
    *out = decoded;
    return 0;
}

static int encode(const struct ic_value *arg, struct ic_buf *out, struct ic_error *err)
{
    return ic_candid_encode(arg, arg ? 1 : 0, out, err);
}

int ic_management_call(struct ic_agent *agent, const struct ic_principal *effective,
                       const char *method, const struct ic_value *arg, const struct ic_io *io,
                       struct ic_management_reply *out, struct ic_error *err)
{
    const struct ic_principal management = ic_principal_management();
    struct ic_buf bytes = {0};
    struct ic_reply reply = {0};
    int ret = encode(arg, &bytes, err);
    if (ret == 0)
        ret = ic_agent_update(agent, &management, effective, method, bytes.bytes, bytes.len, io,
                              &reply, err);
    ic_buf_fini(&bytes);
    return ret < 0 ? ret : ic_management_decode(method, &reply, out, err);
}

int ic_management_prepare(struct ic_agent *agent, const struct ic_principal *effective,
                          const char *method, const struct ic_value *arg, struct ic_update *out,
                          struct ic_error *err)
{
    const struct ic_principal management = ic_principal_management();
    struct ic_buf bytes = {0};
    int ret = encode(arg, &bytes, err);
    if (ret == 0)
        ret = ic_agent_prepare_update(agent, &management, effective, method, bytes.bytes, bytes.len,
                                      out, err);
    ic_buf_fini(&bytes);
    return ret;
}

/* --- methods that change nothing --- */

/* What kept an outcome from us, as the failure of a read. Where nothing did, but nobody knows any
 * more, another try may find somebody who does. Who refuses to tell, or has not heard of it, speaks
 * of the question, not of what was to be read. */
static enum ic_errc code_of_doubt(enum ic_errc cause)
{
    switch ((int)cause) {
    case IC_OK:
        return IC_E_UNREACHABLE;
    case IC_E_DENIED:
    case IC_E_NOT_FOUND:
        return IC_E_HTTP;
    default:
        return cause;
    }
}

/* A lost outcome is no matter to a reader: he is told what kept it from him. */
static void settle_unknown(struct ic_error *err)
{
    if (err->code != IC_E_UNKNOWN_OUTCOME)
        return;
    struct ic_error unknown = *err;
    (void)ic_fail(err, code_of_doubt(unknown.cause), "%s", unknown.message);
    err->http_status = unknown.http_status;
}

int ic_management_read(struct ic_agent *agent, const struct ic_principal *effective,
                       const char *method, const struct ic_value *arg, const struct ic_io *io,
                       struct ic_management_reply *out, struct ic_error *err)
{
    struct ic_retry retry = {0};
    struct ic_error failure;
    do {
        failure = (struct ic_error){0};
        if (ic_management_call(agent, effective, method, arg, io, out, &failure) == 0)
            return 0;
        settle_unknown(&failure);
    } while (ic_agent_retry(agent, &retry, method, io, &failure));
    if (err)
        *err = failure;
    return ic_error_errno(&failure);
}
