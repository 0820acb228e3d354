/* Response bodies: decoded into views, nothing copied, and the check of a query's node signatures.
 *
 * Every decoder takes the whole HTTP body (self-described CBOR tag optional), refuses trailing
 * bytes, and fills views that point into it: keep the body as long as the struct. Decoding proves
 * nothing about who said it: a query answer is worth something after ic_response_verify_query, a
 * certificate after ic_certificate_verify_*, a non-replicated rejection and a status never are.
 *
 * Source: IC interface spec, HTTPS interface.
 */
#ifndef CANISTERFS_IC_RESPONSE_H
#define CANISTERFS_IC_RESPONSE_H

#include "ic/attr.h"
#include "ic/buf.h"
#include "ic/certificate.h"
#include "ic/error.h"
#include "ic/principal.h"
#include "ic/request.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IC_NODE_KEY_LEN 32 /* Ed25519 */
#define IC_RESPONSE_SIGNATURES                                                                     \
    64 /* more than the largest subnet has nodes; the replica sends 1                              \
        */

struct ic_node_signature {
    uint64_t timestamp_ns;
    struct ic_view signature; /* 64 bytes */
    struct ic_principal identity;
};

struct ic_query_response {
    bool replied;
    const uint8_t *arg; /* replied only */
    size_t arg_len;
    uint32_t reject_code;          /* rejected only ... */
    struct ic_view reject_message; /* ... valid UTF-8, still anybody's text */
    struct ic_view error_code;     /* ... empty when the answer has none */
    bool has_error_code;
    struct ic_node_signature signatures[IC_RESPONSE_SIGNATURES];
    size_t n_signatures; /* at least 1 */
};

/* Returns 0, -EPROTO. */
int ic_response_decode_query(const uint8_t *body, size_t len, struct ic_query_response *out,
                             struct ic_error *err) IC_NONNULL(3) IC_MUST_CHECK;

/* Find the Ed25519 key (IC_NODE_KEY_LEN bytes) of a node of the canister's subnet; NULL for a node
 * that the subnet does not have. */
typedef const uint8_t *ic_node_key_fn(void *arg, const struct ic_principal *node);

/* Verify every signature of a decoded query answer.
 *
 * request_id  of the query that was sent
 * find_key    called once per signature; a caller that wants to fetch keys again for an unknown
 *             node notes it in arg, for the result here is -EBADMSG like any other signature that
 *             does not verify
 * now_ns      wall clock, ns since 1970; signatures older or further ahead than max_age_ns are
 *             refused
 *
 * Returns 0, -EBADMSG, -ENOMEM. On success the answer
 * was given by nodes of that subnet for this very request. The reply is hashed once.
 */
int ic_response_verify_query(const struct ic_query_response *response,
                             const uint8_t request_id[IC_REQUEST_ID_LEN], ic_node_key_fn *find_key,
                             void *arg, int64_t now_ns, int64_t max_age_ns, struct ic_error *err)
    IC_NONNULL(1, 2, 3) IC_MUST_CHECK;

/* The answer to a call: synchronous (v4), or asynchronous (v2), which holds a rejection or nothing.
 */
struct ic_call_response {
    bool certified;             /* a certificate came: look for the outcome in it */
    struct ic_view certificate; /* certified only */
    uint32_t reject_code;       /* otherwise refused before it ran, uncertified */
    struct ic_view reject_message;
    struct ic_view error_code; /* empty when the answer has none */
};

/* Returns 0, -EPROTO. */
int ic_response_decode_call(const uint8_t *body, size_t len, struct ic_call_response *out,
                            struct ic_error *err) IC_NONNULL(3) IC_MUST_CHECK;

/* The certificate of a read_state answer. Returns 0, -EPROTO. */
int ic_response_decode_read_state(const uint8_t *body, size_t len, struct ic_view *certificate,
                                  struct ic_error *err) IC_NONNULL(3) IC_MUST_CHECK;

struct ic_status_response {
    struct ic_view root_key;      /* DER, empty when the answer has none */
    struct ic_view health_status; /* replica_health_status; empty when the answer has none */
};

/* Returns 0, -EPROTO. */
int ic_response_decode_status(const uint8_t *body, size_t len, struct ic_status_response *out,
                              struct ic_error *err) IC_NONNULL(3) IC_MUST_CHECK;

#endif
