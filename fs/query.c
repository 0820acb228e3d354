#include "fs/query.h"

#include <errno.h>
#include <string.h>

int fs_query_raw(const struct fs_target *target, const char *method, const struct ic_value *args,
                 size_t n_args, const struct ic_io *io, struct ic_reply *out, struct ic_error *err)
{
    struct ic_buf arg = {0};
    int result = ic_candid_encode(args, n_args, &arg, err);
    if (result == 0 && io->is_certified)
        result = ic_agent_update(target->agent, &target->canister, &target->canister, method,
                                 arg.bytes, arg.len, io, out, err);
    else if (result == 0)
        result = ic_agent_query(target->agent, &target->canister, method, arg.bytes, arg.len,
                                FS_QUERY_REPLY_MAX, io, out, err);
    ic_buf_fini(&arg);
    return result;
}

int fs_query(const struct fs_target *target, const char *method, const struct ic_value *args,
             size_t n_args, const struct ic_io *io, struct fs_answer *out, struct ic_error *err)
{
    struct fs_answer answer = {0};
    int result = fs_query_raw(target, method, args, n_args, io, &answer.reply, err);
    if (result < 0)
        return result;
    /* Blobs stay where they are; a hostile canister must not multiply what a reply takes. */
    const struct ic_candid_limits limits = {.max_memory = 64 << 10, .max_values = 4 << 20};
    result = ic_candid_decode(answer.reply.arg, answer.reply.len, &limits, &answer.values, err);
    if (result == -EPROTO) {
        struct ic_error cause = *err;
        result = ic_fail(err, IC_E_WRONG_TYPE, "%s: its reply is not Candid: %.300s", method,
                         cause.message);
    }
    if (result < 0)
        ic_reply_fini(&answer.reply);
    else
        *out = answer;
    return result;
}

int fs_query_fail_gone(int result, struct ic_error *err)
{
    if (result != -ENOENT)
        return result;
    err->code = IC_E_REJECTED;
    return ic_error_errno(err);
}

void fs_answer_fini(struct fs_answer *answer)
{
    ic_candid_free(answer->values);
    ic_reply_fini(&answer->reply);
    memset(answer, 0, sizeof(*answer));
}
