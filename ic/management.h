/* Calls of the management canister: what the network itself does to a canister, or knows of it.
 *
 * One way to call any of its methods: the argument is a record made with candid_build.h, the reply
 * is decoded at its own types, and whoever reads it takes the fields that it needs by name
 * (candid.h); fields that are new do no harm.
 *
 *     const struct ic_part parts[] = { {"canister_id", ic_build_principal(&canister)}, ... };
 *     ret = ic_build_record(&arena, parts, n, &arg);
 *     ret = ic_management_call(agent, &canister, "stop_canister", &arg, &io, &reply, err);
 *     ...
 *     ic_management_reply_fini(&reply);
 *
 * The subnet of the *effective* canister, the one named in the argument, handles the call. What the
 * network refuses is an error as of ic_agent_update; who has no right to a method gets IC_E_DENIED
 * (IC0512), and an unknown canister or snapshot is IC_E_NOT_FOUND (IC0301, IC0305).
 *
 * All calls block, honour io, and may be made by any number of threads at once.
 *
 * Source: IC interface spec, The IC management canister, and Effective canister id.
 */
#ifndef CANISTERFS_IC_MANAGEMENT_H
#define CANISTERFS_IC_MANAGEMENT_H

#include "ic/agent.h"
#include "ic/candid.h"
#include "ic/candid_build.h"

/* A decoded reply. values borrow the bytes of reply. */
struct ic_management_reply {
    struct ic_reply reply;
    struct ic_candid *values;
};

/* The first value of a reply; NULL when it has none. */
static inline const struct ic_value *ic_management_value(const struct ic_management_reply *reply)
{
    return reply->values ? ic_candid_arg(reply->values, 0) : NULL;
}

/* A zeroed or failed one is fine. */
void ic_management_reply_fini(struct ic_management_reply *reply) IC_NONNULL(1);

/* Call a method once. It may have run after IC_E_UNKNOWN_OUTCOME; see ic_agent_update.
 *
 * arg  the argument; NULL for none
 * out  fills; to be released with ic_management_reply_fini
 *
 * Returns 0, or -errno with err filled: as ic_agent_update; IC_E_WRONG_TYPE: the reply is no
 * Candid.
 */
int ic_management_call(struct ic_agent *agent, const struct ic_principal *effective,
                       const char *method, const struct ic_value *arg, const struct ic_io *io,
                       struct ic_management_reply *out, struct ic_error *err)
    IC_NONNULL(1, 2, 3, 5, 6) IC_MUST_CHECK;

/* The same for a method that changes nothing: it is made anew after a transient rejection
 * (IC0210: the subnet has read too much just now), when the network was not reached, and when
 * the outcome of a call got lost: as often, and with the pauses, that agent.h tells of queries. So
 * IC_E_UNKNOWN_OUTCOME is not among its errors. */
int ic_management_read(struct ic_agent *agent, const struct ic_principal *effective,
                       const char *method, const struct ic_value *arg, const struct ic_io *io,
                       struct ic_management_reply *out, struct ic_error *err)
    IC_NONNULL(1, 2, 3, 5, 6) IC_MUST_CHECK;

/* --- in steps, for calls that are journaled --- */

/* Make and sign a call: as ic_agent_prepare_update. out: to be released with ic_update_fini. */
int ic_management_prepare(struct ic_agent *agent, const struct ic_principal *effective,
                          const char *method, const struct ic_value *arg, struct ic_update *out,
                          struct ic_error *err) IC_NONNULL(1, 2, 3, 5) IC_MUST_CHECK;

/* Decode what sending it, or asking for it, brought.
 *
 * reply  takes, also on failure */
int ic_management_decode(const char *method, struct ic_reply *reply,
                         struct ic_management_reply *out, struct ic_error *err)
    IC_NONNULL(1, 2, 3) IC_MUST_CHECK;

/* A reply that lacks what its method promises. Returns -EPROTO with err filled. */
int ic_management_fail_type(const char *method, struct ic_error *err) IC_NONNULL(1);

#endif
