/* The agent: calls to canisters, signed, verified and repeated as the network asks.
 *
 * All calls block their caller and honour its deadline and cancel flag; any number of threads may
 * call at once, one network thread carries them. Every query answer's node signature and every
 * certificate is verified on the caller's thread before anything of it is returned: there is no way
 * to switch that off.
 *
 * Queries and read_state are repeated on failures that another attempt may mend (another node may
 * answer), each time with a fresh expiry and signature:
 *   connection failures, stalls (no byte for 12 s)          5 tries in all
 *   HTTP 429, 502, 503, 504, transient rejections           8 tries; Retry-After is honoured
 *   a reply that does not decode or verify, TLS             3 tries
 *   a query reply signed by a node we do not know           6 tries (membership may have changed)
 * with pauses of 100 ms doubling up to 5 s. When the pause would outlast the deadline the failure
 * is returned at once, as it is: IC_E_TIMEOUT means that the deadline passed while something was
 * under way. An update is never made anew: what is sent again, and when, see ic_agent_update.
 *
 * Nobody's answer can make a call exceed its bounds: time is bounded by io->deadline_ns (and a
 * few ms to verify an answer that came just before it); memory by twice the longest answer taken
 * and 6 MB for what its certificates decode to (hash_tree.h), besides the request; requests by the
 * tries above, for an update by one question in half a second. Redirects are not followed. An
 * answer is refused while it arrives when it is longer than
 *   reply_max + 64 KiB   a query's
 *   3 MiB                an update's
 *   4 MiB                of read_state
 *   64 KiB               with the root key
 *
 * Errors (code in err, errno as return value; the table is in error.c): IC_E_TIMEOUT,
 * IC_E_CANCELLED, IC_E_UNREACHABLE, IC_E_TLS, IC_E_MALFORMED, IC_E_UNVERIFIED, IC_E_DENIED,
 * IC_E_NOT_FOUND, IC_E_NO_SPACE, IC_E_TOO_LARGE, IC_E_OVERLOADED, IC_E_REJECTED, IC_E_HTTP,
 * IC_E_NO_MEMORY; IC_E_UNKNOWN_OUTCOME from updates only.
 *
 * main() calls ic_agent_init_process() before it starts threads.
 */
#ifndef CANISTERFS_IC_AGENT_H
#define CANISTERFS_IC_AGENT_H

#include "ic/attr.h"
#include "ic/buf.h"
#include "ic/certificate.h"
#include "ic/error.h"
#include "ic/identity.h"
#include "ic/io.h"
#include "ic/path.h"
#include "ic/principal.h"
#include "ic/request.h"

#include <stddef.h>
#include <stdint.h>

struct ic_agent;

/* Levels of the trace hook, most important first. */
enum ic_trace_level {
    IC_TRACE_WARNING, /* a failure that is being retried */
    IC_TRACE_DEBUG,   /* one line per call: kind, method, bytes, ms, outcome */
};

struct ic_agent_config {
    const char *url;                    /* http(s)://host[:port][/path]; copied */
    const uint8_t *root_key_der;        /* copied */
    size_t root_key_len;                /* IC_ROOT_KEY_LEN */
    const struct ic_identity *identity; /* shared: outlives the agent */
    const char *ca_file;   /* PEM bundle instead of the system's; may be NULL; copied */
    const char *proxy;     /* URL instead of the environment's (http.h); may be NULL; copied */
    unsigned max_inflight; /* most queries in flight (gate.h), 0 = 32, at most that */
    unsigned max_updates;  /* most updates in flight (gate.h), 0 = 160, at most that */
    /* May be NULL. Called from any thread, with no lock held. Never gets keys or contents. */
    void (*trace)(void *arg, int level, const char *fmt, ...) IC_PRINTF(3, 4);
    void *trace_arg;
    /* Wall clock, ns since 1970, for expiries and freshness; NULL = the system's. */
    int64_t (*now_ns)(void *arg);
    void *now_arg;
    unsigned connect_ms; /* 0 = 10 s */
    unsigned stall_ms;   /* 0 = 12 s */
};

/* Prepare the process for agents: once, in main, before any other thread exists (libcurl manual,
 * curl_global_init). Returns 0 or -ENOMEM. */
int ic_agent_init_process(void) IC_MUST_CHECK;

/* Make an agent. No network I/O; starts the network thread.
 *
 * Returns 0, -EINVAL (IC_E_CONFIG: the URL or the root key is none, ca_file cannot be read),
 * -ENOMEM.
 */
int ic_agent_open(struct ic_agent **out, const struct ic_agent_config *config, struct ic_error *err)
    IC_NONNULL(1, 2) IC_MUST_CHECK;

/* Cancel every call, now and later: IC_E_CANCELLED. Idempotent. */
void ic_agent_stop(struct ic_agent *agent) IC_NONNULL(1);

/* Stop, join the network thread, free. Every caller must have returned from its call and released
 * its reply. */
void ic_agent_close(struct ic_agent *agent);

/* To be called after setting a cancel flag: its waiter looks at once, else within 50 ms. */
void ic_agent_wake(struct ic_agent *agent) IC_NONNULL(1);

/* A verified reply. */
struct ic_reply {
    const uint8_t
        *arg; /* the Candid message; valid until ic_reply_fini; may be NULL when len is 0 */
    size_t len;
    /* private: what arg points into */
    uint8_t *body; /* an ic_body */
    struct ic_certificate *certificate;
};

void ic_reply_fini(struct ic_reply *reply);

/* Call a query method.
 *
 * canister   not the management canister
 * method     UTF-8
 * arg        may be NULL when arg_len is 0
 * reply_max  longest reply to accept, bytes of Candid
 * out        fills; to be released with ic_reply_fini
 *
 * At most the limit in force (16 at first, adapting) of queries are in flight at once, of large
 * ones (ic_io) fewer, as the line carries them (pace.h); others wait.
 */
int ic_agent_query(struct ic_agent *agent, const struct ic_principal *canister, const char *method,
                   const uint8_t *arg, size_t arg_len, size_t reply_max, const struct ic_io *io,
                   struct ic_reply *out, struct ic_error *err)
    IC_NONNULL(1, 2, 3, 7, 8) IC_MUST_CHECK;

/* Call an update method and wait for its certified outcome.
 *
 * canister   may be the management canister
 * effective  the canister whose subnet handles it: canister itself, or for the management canister
 *            the one named in the argument (IC interface spec, Effective canister id)
 *
 * A reply is certified. So is a rejection, unless err->message says "before it ran": then a replica
 * refused it, and no copy was sent before.
 *
 * The call is made once: one nonce, one signature, one request id, under which it runs at most once
 * however often it arrives. When no outcome comes with the answer (accepted after some ten seconds
 * without one; the answer lost, malformed, not verified) the certified status is asked for, every
 * 0.5 to 2 s, until it is settled or io->deadline_ns, at most 10 min when it is never seen under
 * way. The same bytes go out again when nothing of them was sent, when a connection that was kept
 * ends before an answer, on HTTP 429 and 503, and at most 5 times when a certificate 5 s after they
 * left does not know them.
 *
 * IC_E_UNKNOWN_OUTCOME: it was sent, but no certified outcome arrived: it may have run, may run
 * until it expires (4 min after it was made), or never. The caller must find out before making it
 * anew, unless running it twice does no harm. So too when it was cancelled: IC_E_CANCELLED means
 * that it was not sent. Every other error means that it did not run, or was rejected.
 * IC_E_OVERLOADED also when it is certified that it never ran nor will: it may be made anew.
 *
 * That an HTTP status of 4xx, or a refusal "before it ran", means "did not run" is the word of the
 * machine that answered, certified by nobody: one that lies can have a call made twice by a caller
 * who makes it anew, not more. Where twice does harm: IC_UPDATE_CERTIFIED below.
 *
 * At most the limit in force (128 at first, adapting) of updates are in flight at once, from their
 * first byte to their outcome; others wait. HTTP 429 and 503 lower it, and after a Retry-After none
 * begins before that time.
 */
int ic_agent_update(struct ic_agent *agent, const struct ic_principal *canister,
                    const struct ic_principal *effective, const char *method, const uint8_t *arg,
                    size_t arg_len, const struct ic_io *io, struct ic_reply *out,
                    struct ic_error *err) IC_NONNULL(1, 2, 3, 4, 7, 8) IC_MUST_CHECK;

/* --- the same in steps, for calls that are journaled --- */

/* A signed call that was made and may be sent. Immutable; the caller's copy of id, expiry and body
 * is what a later process needs to learn what became of it. */
struct ic_update {
    struct ic_principal effective;
    const char *method; /* not owned: must outlive the update */
    uint8_t request_id[IC_REQUEST_ID_LEN];
    uint64_t expiry_ns; /* ns since 1970: it cannot begin to run later; 3 to 4 min after making */
    struct ic_buf body; /* signed, as it is sent; owned */
};

/* Make and sign a call. Nothing is sent. The arguments are those of ic_agent_update.
 *
 * out  fills; to be released with ic_update_fini
 *
 * Returns 0, or with err: IC_E_NO_MEMORY, IC_E_DENIED (the identity's delegation has expired).
 */
int ic_agent_prepare_update(struct ic_agent *agent, const struct ic_principal *canister,
                            const struct ic_principal *effective, const char *method,
                            const uint8_t *arg, size_t arg_len, struct ic_update *out,
                            struct ic_error *err) IC_NONNULL(1, 2, 3, 4, 7) IC_MUST_CHECK;

void ic_update_fini(struct ic_update *update) IC_NONNULL(1);

/* Whose word that a call did not run is enough? */
enum ic_update_proof {
    IC_UPDATE_ANSWERED,  /* of whatever machine answered: as ic_agent_update */
    IC_UPDATE_CERTIFIED, /* of the subnet only */
};

/* Send a call and wait for its certified outcome, as ic_agent_update does, once per update.
 *
 * IC_UPDATE_CERTIFIED: for a call that does harm when it runs twice. After a refusal that nobody
 * certified (HTTP 4xx, "before it ran") the same bytes may go out again, and its status is asked
 * for until it is certified that it neither ran nor will: then the refusal is returned, its words
 * beginning with "certified that it never ran". That takes until the call expires, some 4 minutes,
 * for refusals only; IC_E_UNKNOWN_OUTCOME when io ends before. So every other error is certain: it
 * was not sent, it is certified that it did not run, or its rejection is certified.
 *
 * Errors and outcomes as ic_agent_update. After IC_E_UNKNOWN_OUTCOME: ic_agent_ask_update.
 */
int ic_agent_send_update(struct ic_agent *agent, const struct ic_update *update,
                         enum ic_update_proof proof, const struct ic_io *io, struct ic_reply *out,
                         struct ic_error *err) IC_NONNULL(1, 2, 4, 5) IC_MUST_CHECK;

/* What became of a call that this or an earlier process prepared, and may have sent? Its certified
 * status is asked for until it is settled; nothing but that is sent. One that was never sent is
 * known not to have run when it has expired, so this may take some 4 minutes.
 *
 * effective,method,request_id,expiry_ns  as in struct ic_update; the identity must be the same, or
 *                                        the network does not tell
 *
 * Returns as ic_agent_send_update with IC_UPDATE_CERTIFIED:
 *   0                     it ran; its reply
 *   IC_E_OVERLOADED       certified that it never ran nor will: it may be made anew. So can a
 *                         certified rejection say, which has a reject code
 *   IC_E_UNKNOWN_OUTCOME  not learned: io ended first, nobody could be asked, or nobody knows any
 *                         more. The network forgets a call some 5 minutes after it ran, and that
 *                         it is absent proves something for 10 s after its expiry only. To ask
 *                         again does no harm
 *   any other             a certified rejection
 *
 * How long ago it was made is told by its expiry, which this computer's clock set: a call made when
 * that was more than 50 s fast can be taken for one that never ran.
 */
int ic_agent_ask_update(struct ic_agent *agent, const struct ic_principal *effective,
                        const char *method, const uint8_t request_id[IC_REQUEST_ID_LEN],
                        uint64_t expiry_ns, const struct ic_io *io, struct ic_reply *out,
                        struct ic_error *err) IC_NONNULL(1, 2, 3, 4, 6, 7) IC_MUST_CHECK;

/* Read certified state as /canister/<canister> endpoint knows it.
 *
 * A certificate without delegation, which is the root subnet's, is taken for canisters of that
 * subnet only; this is our own rule, the specification lets the root key speak for all.
 *
 * paths  at most IC_REQUEST_PATHS
 * out    fills with a verified certificate; to be released with ic_certificate_free
 */
int ic_agent_read_state(struct ic_agent *agent, const struct ic_principal *canister,
                        const struct ic_path *paths, size_t n, const struct ic_io *io,
                        struct ic_certificate **out, struct ic_error *err)
    IC_NONNULL(1, 2, 3, 5, 6) IC_MUST_CHECK;

/* Ask a network for its root key, without any proof: whoever answers at that URL is believed. For
 * test networks only. One attempt. ca_file and proxy are those of ic_agent_config. */
int ic_agent_fetch_root_key(const char *url, const char *ca_file, const char *proxy,
                            const struct ic_io *io, uint8_t der[IC_ROOT_KEY_LEN],
                            struct ic_error *err) IC_NONNULL(1, 4, 5) IC_MUST_CHECK;

/* The number of queries that may be in flight just now. */
unsigned ic_agent_inflight_limit(struct ic_agent *agent) IC_NONNULL(1);

/* The number of large queries, or updates: what somebody reads ahead of himself should be no more.
 */
unsigned ic_agent_large_limit(struct ic_agent *agent, bool is_update) IC_NONNULL(1);

/* Counted since open. A call is counted when it ends, however it ends. */
struct ic_agent_stats {
    uint64_t n_queries;
    uint64_t n_updates;
    uint64_t n_read_states; /* the fetching of node keys included */
    uint64_t n_failed;      /* of all these */
    uint64_t n_attempts;    /* HTTP requests */
    uint64_t n_retries;
    uint64_t n_unverified; /* replies refused because a signature or certificate did not verify */
    uint64_t bytes_out;    /* request and reply bodies */
    uint64_t bytes_in;
    unsigned in_flight; /* queries, now */
    unsigned limit;     /* of queries in flight, now */
    unsigned updates_in_flight;
    unsigned update_limit;
    /* Time of queries that succeeded, all attempts included, within 12 %; 0 before the first. */
    uint64_t p50_us;
    uint64_t p95_us;
    uint64_t p99_us;
};

void ic_agent_get_stats(struct ic_agent *agent, struct ic_agent_stats *out) IC_NONNULL(1, 2);

#endif
