/* Requests as they are sent: the envelope (self-described CBOR) around a content map, signed, and
 * the request id.
 *
 * A request is made once per attempt: a retry needs a fresh expiry, nonce and signature. An update
 * that is sent *again* must be byte-identical instead: keep its body.
 *
 * Source: IC interface spec, Authentication, Request ids, Representation-independent hashing.
 */
#ifndef CANISTERFS_IC_REQUEST_H
#define CANISTERFS_IC_REQUEST_H

#include "ic/attr.h"
#include "ic/buf.h"
#include "ic/identity.h"
#include "ic/path.h"
#include "ic/principal.h"

#include <stddef.h>
#include <stdint.h>

#define IC_REQUEST_ID_LEN 32
#define IC_NONCE_LEN      16 /* the spec allows up to 32; the usual clients send 16 */
#define IC_REQUEST_PATHS  1000
#define IC_PATH_LABELS    127

/* The expiry our requests carry: 4 minutes from now, rounded down to a whole minute, so that equal
 * queries within that minute are equal requests. The replica takes up to 5 minutes.
 *
 * now_ns  wall clock, ns since 1970
 */
uint64_t ic_request_expiry_ns(int64_t now_ns);

/* Encode a query envelope.
 *
 * identity           signs; anonymous adds no signature. Its delegations go along, expired or not:
 *                    ic_identity_check_time comes first
 * canister           the canister_id field; empty for the management canister
 * method             method name, UTF-8
 * arg,arg_len        the argument bytes, copied into the body; arg may be NULL when arg_len is 0
 * ingress_expiry_ns  ns since 1970
 * nonce              IC_NONCE_LEN bytes, or NULL for none
 * body               appended to; initialised by the caller, who also finis it
 * request_id         fills; the hash that signatures of the reply and request_status refer to
 *
 * Returns 0 or -ENOMEM. On failure body holds an incomplete request.
 */
int ic_request_query(const struct ic_identity *identity, const struct ic_principal *canister,
                     const char *method, const uint8_t *arg, size_t arg_len,
                     uint64_t ingress_expiry_ns, const uint8_t *nonce, struct ic_buf *body,
                     uint8_t request_id[IC_REQUEST_ID_LEN]) IC_NONNULL(1, 2, 3, 8, 9) IC_MUST_CHECK;

/* Encode an update call envelope: as ic_request_query. Without a nonce two equal calls in the same
 * minute are one and the same call to the network. */
int ic_request_call(const struct ic_identity *identity, const struct ic_principal *canister,
                    const char *method, const uint8_t *arg, size_t arg_len,
                    uint64_t ingress_expiry_ns, const uint8_t *nonce, struct ic_buf *body,
                    uint8_t request_id[IC_REQUEST_ID_LEN]) IC_NONNULL(1, 2, 3, 8, 9) IC_MUST_CHECK;

/* Encode a read_state envelope.
 *
 * paths,n_paths  at most IC_REQUEST_PATHS paths of at most IC_PATH_LABELS labels each
 *
 * Returns 0, -EINVAL (more paths or labels than that), -ENOMEM.
 */
int ic_request_read_state(const struct ic_identity *identity, const struct ic_path *paths,
                          size_t n_paths, uint64_t ingress_expiry_ns, const uint8_t *nonce,
                          struct ic_buf *body, uint8_t request_id[IC_REQUEST_ID_LEN])
    IC_NONNULL(1, 6, 7) IC_MUST_CHECK;

#endif
