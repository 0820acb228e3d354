/* Inside the agent: what agent.c, agent_send.c, agent_query.c, agent_state.c and agent_update.c
 * share. Not for anybody else.
 *
 * Locks: `lock` is a leaf and never held across a call out of this room. The gate, the node keys
 * and http have locks of their own; none of them is held while another is taken.
 */
#ifndef CANISTERFS_IC_AGENT_IMPL_H
#define CANISTERFS_IC_AGENT_IMPL_H

#include "ic/agent.h"
#include "ic/buf.h"
#include "ic/clock_skew.h"
#include "ic/histogram.h"
#include "ic/http.h"
#include "ic/node_keys.h"
#include "ic/pace.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

enum ic_call_kind { IC_KIND_QUERY, IC_KIND_UPDATE, IC_KIND_READ_STATE };

struct ic_agent {
    pthread_mutex_t lock;
    pthread_cond_t pause;        /* for those who wait before a retry */
    bool stopped;                /* guarded by lock */
    struct ic_agent_stats stats; /* guarded by lock: the counters */
    struct ic_histogram latency; /* guarded by lock: queries that succeeded, us */

    /* immutable after open, or with a lock of their own */
    char *url; /* no slash at the end */
    uint8_t *root_key;
    size_t root_key_len;
    const struct ic_identity *identity;
    struct ic_delegation_cache *delegations;
    struct ic_time_floor *floor;
    atomic_llong old_api_until_ns; /* the network lacks the present API: see agent_send.c */
    atomic_bool has_told_skew;     /* once is enough */
    struct ic_http *http;
    struct ic_pace queries;
    struct ic_pace updates;
    struct ic_node_keys *node_keys;
    void (*trace)(void *arg, int level, const char *fmt, ...) IC_PRINTF(3, 4);
    void *trace_arg;
    int64_t (*now_ns)(void *arg);
    void *now_arg;
};

/* Wall clock, ns since 1970. */
int64_t ic_agent_now_ns(const struct ic_agent *agent) IC_NONNULL(1);

/* Verify a certificate that the network answered with, now: as ic_certificate_verify_canister, or
 * _subnet. A refusal is counted; one because of the time says whose clock seems wrong.
 *
 * id       the effective canister, or the subnet
 * date_ns  of the answer it came with (ic_http_reply) */
int ic_agent_open_certificate(struct ic_agent *agent, struct ic_view bytes, bool is_subnet,
                              const struct ic_principal *id, int64_t date_ns,
                              struct ic_certificate **out, struct ic_error *err)
    IC_NONNULL(1, 4, 6, 7) IC_MUST_CHECK;

/* A signature or certificate that came with an answer of that date did not verify. */
void ic_agent_note_unverified(struct ic_agent *agent, int64_t date_ns, struct ic_error *err)
    IC_NONNULL(1, 3);

/* Fill err from a rejection as it came, certified or not; returns its errno. */
int ic_agent_fail_rejected(uint32_t reject_code, struct ic_view error_code, struct ic_view message,
                           struct ic_error *err) IC_NONNULL(4);

#define IC_AGENT_TRACE(agent, ...)                                                                 \
    do {                                                                                           \
        if ((agent)->trace != NULL)                                                                \
            (agent)->trace((agent)->trace_arg, __VA_ARGS__);                                       \
    } while (0)

/* --- agent_send.c --- */

/* Which endpoint: POST <url>/api/<version>/<scope>/<id>/<op>. */
struct ic_endpoint {
    const char *scope; /* "canister" or "subnet" */
    const struct ic_principal *id;
    const char *op; /* "query", "call", "read_state" */
};

/* One attempt; a second one with the older API where the network does not know the present one. 0
 * for status 200 and 202 (see reply->status); other statuses become errors. On failure only
 * reply->sent and ->resent are set, which speak of both. */
int ic_agent_post(struct ic_agent *agent, const struct ic_endpoint *endpoint,
                  const struct ic_buf *body, size_t reply_max, const struct ic_io *io,
                  struct ic_http_reply *reply, struct ic_error *err)
    IC_NONNULL(1, 2, 3, 5, 6, 7) IC_MUST_CHECK;

/* How often a call was repeated, and why. Zero-initialise per call. */
struct ic_retry {
    unsigned n_unreachable;
    unsigned n_overloaded;
    unsigned n_wrong;     /* malformed, unverified, TLS */
    unsigned n_unknown;   /* signed by a node that we do not know */
    bool is_unknown_node; /* set by the attempt: it failed for that reason */
    bool is_final;        /* set by the attempt: repeating it is no use */
    char before[256];     /* the failure before the one at hand, in words; "" = there was none */
};

/* Shall a failed attempt be repeated? true after the pause that is due before the next one. false:
 * *err is the final failure (replaced when the caller cancelled during the pause). */
bool ic_agent_retry(struct ic_agent *agent, struct ic_retry *retry, const char *what,
                    const struct ic_io *io, struct ic_error *err) IC_NONNULL(1, 2, 3, 4, 5);

/* Wait before something is done again. Returns 0, or -EINTR, -ETIMEDOUT with err filled. */
int ic_agent_pause(struct ic_agent *agent, int64_t pause_ns, const char *what,
                   const struct ic_io *io, struct ic_error *err)
    IC_NONNULL(1, 3, 4, 5) IC_MUST_CHECK;

/* Count and trace a finished call. err is looked at when rc is not 0. */
void ic_agent_finish(struct ic_agent *agent, enum ic_call_kind kind, const char *what,
                     int64_t start_ns, size_t len, int rc, const struct ic_error *err)
    IC_NONNULL(1, 3, 7);

/* --- agent_state.c --- */

/* Does a verified certificate speak of the canister? With a delegation that was checked. The root
 * subnet's own, which has none, is true for its own canisters only: of any other it would prove
 * that there is no such canister, or no such call. So the canister must be in the ranges that came
 * with the node keys of that subnet. 0, -EBADMSG, or what fetching them failed with. */
int ic_agent_check_host(struct ic_agent *agent, const struct ic_certificate *cert,
                        const struct ic_principal *canister, const struct ic_io *io,
                        struct ic_error *err) IC_NONNULL(1, 2, 3, 4, 5) IC_MUST_CHECK;

/* ic_node_fetch_fn; arg is the agent. */
int ic_agent_fetch_nodes(void *arg, const struct ic_principal *canister, const struct ic_io *io,
                         struct ic_node_set **out, struct ic_error *err);

#endif
