/* Whether a canister runs, and what code it has, as the management canister tells its controllers.
 *
 * Source: IC interface spec, canister_status.
 */
#ifndef CANISTERFS_IC_LIFECYCLE_H
#define CANISTERFS_IC_LIFECYCLE_H

#include "ic/management.h"
#include "ic/sha.h"

#include <stdbool.h>

enum ic_run_state {
    IC_RUNNING,
    IC_STOPPING, /* it begins no calls, and waits for the answers to its own */
    IC_STOPPED,
};

struct ic_canister_status {
    enum ic_run_state state;
    bool has_module;
    uint8_t module_hash[IC_SHA256_LEN]; /* SHA-256 of the code as it was installed */
};

/* Returns 0, or -errno with err filled: as ic_management_read. */
int ic_canister_status(struct ic_agent *agent, const struct ic_principal *canister,
                       const struct ic_io *io, struct ic_canister_status *out, struct ic_error *err)
    IC_NONNULL(1, 2, 3, 4) IC_MUST_CHECK;

/* Take the reply apart. Returns 0, or -EPROTO with err filled. */
int ic_canister_status_decode(const struct ic_value *value, struct ic_canister_status *out,
                              struct ic_error *err) IC_NONNULL(2) IC_MUST_CHECK;

#endif
