/* See lease_call.h. */
#include "fs/lease_call.h"

#include "fs/query.h"
#include "fs/refusal.h"
#include "ic/candid.h"
#include "ic/certificate.h"

#include <errno.h>
#include <string.h>

/* --- arguments --- */

/* (record { ttl_s : nat32; reason : text }) */
static int encode_pause(uint32_t ttl_s, const char *reason, struct ic_buf *out,
                        struct ic_error *err)
{
    const struct ic_type_field ttl = {ic_candid_hash("ttl_s", strlen("ttl_s")), &ic_type_nat32};
    const struct ic_type_field why = {ic_candid_hash("reason", strlen("reason")), &ic_type_text};
    const struct ic_value ttl_value = ic_nat32(ttl_s);
    const struct ic_value why_value = ic_text(reason);
    bool is_ttl_first = ttl.id < why.id;
    const struct ic_type_field fields[] = {is_ttl_first ? ttl : why, is_ttl_first ? why : ttl};
    const struct ic_value items[] = {is_ttl_first ? ttl_value : why_value,
                                     is_ttl_first ? why_value : ttl_value};
    const struct ic_type type = {.kind = IC_TYPE_RECORD, .as.fields = {fields, 2}};
    const struct ic_value record = {.type = &type, .as.seq = {items, 2}};
    return ic_candid_encode(&record, 1, out, err);
}

/* --- replies --- */

static const struct ic_candid_limits limits = {.max_memory = 64 << 10, .max_values = 64 << 10};

static int fail_type(const char *method, struct ic_error *err)
{
    return ic_fail(err, IC_E_WRONG_TYPE, "%s: its reply is of another type", method);
}

static int decode(const char *method, const struct ic_reply *reply, struct ic_candid **out,
                  struct ic_error *err)
{
    int result = ic_candid_decode(reply->arg, reply->len, &limits, out, err);
    return result == -EPROTO ? fail_type(method, err) : result;
}

/* --- pause --- */

static const char pause_method[] = "maintenance_pause";

int lease_call_prepare(const struct fs_target *target, uint32_t ttl_s, const char *reason,
                       struct ic_update *out, struct ic_error *err)
{
    struct ic_buf arg = {0};
    int result = encode_pause(ttl_s, reason, &arg, err);
    if (result == 0)
        result = ic_agent_prepare_update(target->agent, &target->canister, &target->canister,
                                         pause_method, arg.bytes, arg.len, out, err);
    ic_buf_fini(&arg);
    return result;
}

static int take_lease(struct ic_reply *reply, uint64_t *ret_lease, struct ic_error *err)
{
    struct ic_candid *values = NULL;
    const struct ic_value *ok = NULL;
    enum fs_refusal refusal;
    int result = decode(pause_method, reply, &values, err);
    if (result == 0) {
        result = fs_refusal_judge(pause_method, ic_candid_arg(values, 0), &refusal, &ok, err);
        if (result == 0 && ic_value_nat64(ic_value_field(ok, "lease"), ret_lease) < 0)
            result = fail_type(pause_method, err);
        ic_candid_free(values);
    }
    ic_reply_fini(reply);
    return result;
}

int lease_call_pause(const struct fs_target *target, const struct ic_update *update,
                     const struct ic_io *io, uint64_t *ret_lease, struct ic_error *err)
{
    struct ic_reply reply = {0};
    /* Made twice it does no harm: the second finds the canister busy. */
    int result = ic_agent_send_update(target->agent, update, IC_UPDATE_ANSWERED, io, &reply, err);
    return result < 0 ? result : take_lease(&reply, ret_lease, err);
}

int lease_call_ask(const struct fs_target *target, const struct ic_update *update,
                   const struct ic_io *io, uint64_t *ret_lease, struct ic_error *err)
{
    struct ic_reply reply = {0};
    int result = ic_agent_ask_update(target->agent, &update->effective, update->method,
                                     update->request_id, update->expiry_ns, io, &reply, err);
    return result < 0 ? result : take_lease(&reply, ret_lease, err);
}

/* --- renew and resume --- */

static int update(const struct fs_target *target, const char *method, const struct ic_value *args,
                  size_t n_args, const struct ic_io *io, struct ic_reply *out, struct ic_error *err)
{
    struct ic_buf arg = {0};
    int result = ic_candid_encode(args, n_args, &arg, err);
    if (result == 0)
        result = ic_agent_update(target->agent, &target->canister, &target->canister, method,
                                 arg.bytes, arg.len, io, out, err);
    ic_buf_fini(&arg);
    return result;
}

static int call_with(const struct fs_target *target, const char *method, uint64_t lease,
                     const struct ic_io *io, bool *ret_refused, struct ic_error *err)
{
    const struct ic_value args[] = {ic_nat64(lease)};
    struct ic_reply reply = {0};
    struct ic_candid *values = NULL;
    const struct ic_value *ok = NULL;
    enum fs_refusal refusal;
    *ret_refused = false;
    int result = update(target, method, args, 1, io, &reply, err);
    if (result < 0)
        return result;
    result = decode(method, &reply, &values, err);
    if (result == 0) {
        result = fs_refusal_judge(method, ic_candid_arg(values, 0), &refusal, &ok, err);
        *ret_refused = refusal != FS_REFUSAL_NONE;
        ic_candid_free(values);
    }
    ic_reply_fini(&reply);
    return result;
}

int lease_call_renew(const struct fs_target *target, uint64_t lease, const struct ic_io *io,
                     bool *ret_refused, struct ic_error *err)
{
    return call_with(target, "maintenance_renew", lease, io, ret_refused, err);
}

int lease_call_resume(const struct fs_target *target, uint64_t lease, const struct ic_io *io,
                      bool *ret_refused, struct ic_error *err)
{
    return call_with(target, "maintenance_resume", lease, io, ret_refused, err);
}

/* --- status --- */

static const char status_method[] = "maintenance_status";

static int read_status(const struct ic_candid *values, struct lease_status *out,
                       struct ic_error *err)
{
    const struct ic_value *record = ic_candid_arg(values, 0);
    uint64_t expires;
    if (ic_value_bool(ic_value_field(record, "paused"), &out->paused) < 0 ||
        ic_value_nat64(ic_value_field(record, "lease_expires_ns"), &expires) < 0 ||
        ic_value_nat64(ic_value_field(record, "in_flight"), &out->in_flight) < 0)
        return fail_type(status_method, err);
    out->expires_ns = expires < INT64_MAX ? (int64_t)expires : INT64_MAX;
    return 0;
}

static int ask_one_node(const struct fs_target *target, const struct ic_io *io,
                        struct lease_status *out, struct ic_error *err)
{
    struct fs_answer answer;
    int result = fs_query(target, status_method, NULL, 0, io, &answer, err);
    if (result < 0)
        return result;
    out->may_lag = true;
    result = read_status(answer.values, out, err);
    fs_answer_fini(&answer);
    return result;
}

int lease_call_status(const struct fs_target *target, const struct ic_io *io,
                      struct lease_status *out, struct ic_error *err)
{
    struct lease_status status = {0};
    struct ic_reply reply = {0};
    struct ic_candid *values = NULL;
    int result = update(target, status_method, NULL, 0, io, &reply, err);
    if (result < 0 && err->reject_code != 0) {
        result = ask_one_node(target, io, &status, err);
    } else if (result == 0) {
        result = decode(status_method, &reply, &values, err);
        if (result == 0)
            result = read_status(values, &status, err);
        /* Time is not negative, so this does not overflow. */
        status.left_ns = status.expires_ns - ic_certificate_time_ns(reply.certificate);
        ic_candid_free(values);
        ic_reply_fini(&reply);
    }
    if (result == 0)
        *out = status;
    return result;
}
