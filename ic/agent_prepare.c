/* Update calls, made and signed: what one is before anything of it is sent. */
#include "ic/agent_impl.h"
#include "ic/wait.h"

#include <sys/random.h>

static int make(struct ic_agent *agent, const struct ic_principal *canister, const uint8_t *arg,
                size_t arg_len, struct ic_update *update, struct ic_error *err)
{
    uint8_t nonce[IC_NONCE_LEN];
    int64_t now = ic_agent_now_ns(agent);
    int rc = ic_identity_check_time(agent->identity, now, err);
    if (rc != 0)
        return rc;
    if (getrandom(nonce, sizeof nonce, 0) != (ssize_t)sizeof nonce)
        return ic_fail(err, IC_E_NO_MEMORY, "update %s: no random bytes", update->method);
    update->expiry_ns = ic_request_expiry_ns(now);
    if (ic_request_call(agent->identity, canister, update->method, arg, arg_len, update->expiry_ns,
                        nonce, &update->body, update->request_id) != 0)
        return ic_fail(err, IC_E_NO_MEMORY, "update %s", update->method);
    return 0;
}

int ic_agent_prepare_update(struct ic_agent *agent, const struct ic_principal *canister,
                            const struct ic_principal *effective, const char *method,
                            const uint8_t *arg, size_t arg_len, struct ic_update *out,
                            struct ic_error *err)
{
    struct ic_update update = {.effective = *effective, .method = method};
    int64_t start = ic_wait_now_ns();
    struct ic_error cause = {0};
    int rc = make(agent, canister, arg, arg_len, &update, &cause);
    if (rc == 0) {
        *out = update;
        return 0;
    }
    ic_buf_fini(&update.body);
    ic_agent_finish(agent, IC_KIND_UPDATE, method, start, 0, rc, &cause); /* it ends here */
    if (err != NULL)
        *err = cause;
    return rc;
}

void ic_update_fini(struct ic_update *update)
{
    ic_buf_fini(&update->body);
}
