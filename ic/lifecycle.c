/* See lifecycle.h. */
#include "ic/lifecycle.h"

#include <string.h>

static const char method[] = "canister_status";

static int decode_state(const struct ic_value *state, enum ic_run_state *out)
{
    static const struct {
        const char *name;
        enum ic_run_state state;
    } cases[] = {{"running", IC_RUNNING}, {"stopping", IC_STOPPING}, {"stopped", IC_STOPPED}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (ic_value_case(state, cases[i].name)) {
            *out = cases[i].state;
            return 0;
        }
    return -1;
}

int ic_canister_status_decode(const struct ic_value *value, struct ic_canister_status *out,
                              struct ic_error *err)
{
    struct ic_canister_status status = {0};
    const struct ic_value *hash = NULL;
    const struct ic_value *field = ic_value_field(value, "module_hash");
    struct ic_view bytes;
    if (decode_state(ic_value_field(value, "status"), &status.state) < 0 ||
        (field && ic_value_opt(field, &hash) < 0))
        return ic_management_fail_type(method, err);
    if (hash) {
        if (ic_value_blob(hash, &bytes) < 0 || bytes.len != sizeof(status.module_hash))
            return ic_management_fail_type(method, err);
        memcpy(status.module_hash, bytes.bytes, bytes.len);
        status.has_module = true;
    }
    *out = status;
    return 0;
}

int ic_canister_status(struct ic_agent *agent, const struct ic_principal *canister,
                       const struct ic_io *io, struct ic_canister_status *out, struct ic_error *err)
{
    const struct ic_part parts[] = {{"canister_id", ic_build_principal(canister)}};
    struct ic_management_reply reply = {0};
    struct ic_value arg;
    struct ic_arena arena;
    ic_arena_init(&arena, 4096);
    int ret = ic_build_record(&arena, parts, 1, &arg) < 0
                  ? ic_fail(err, IC_E_NO_MEMORY, "%s: out of memory", method)
                  : ic_management_read(agent, canister, method, &arg, io, &reply, err);
    if (ret == 0)
        ret = ic_canister_status_decode(ic_management_value(&reply), out, err);
    ic_management_reply_fini(&reply);
    ic_arena_fini(&arena);
    return ret;
}
