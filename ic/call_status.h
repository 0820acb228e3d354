/* What the state tree says about an update call, and what follows from it.
 *
 * Source: IC interface spec, Request: Read state (request status) and Ingress expiry.
 */
#ifndef CANISTERFS_IC_CALL_STATUS_H
#define CANISTERFS_IC_CALL_STATUS_H

#include "ic/attr.h"
#include "ic/buf.h"
#include "ic/error.h"
#include "ic/hash_tree.h"
#include "ic/request.h"

#include <stdbool.h>
#include <stdint.h>

enum ic_call_status {
    IC_CALL_ABSENT, /* proven: the network does not know this request (yet, or any more) */
    IC_CALL_RECEIVED,
    IC_CALL_PROCESSING,
    IC_CALL_REPLIED,
    IC_CALL_REJECTED,
    IC_CALL_DONE, /* it ran, the outcome is forgotten */
};

struct ic_call_outcome {
    enum ic_call_status status;
    struct ic_view reply; /* IC_CALL_REPLIED */
    uint32_t reject_code; /* IC_CALL_REJECTED ... */
    struct ic_view reject_message;
    struct ic_view error_code; /* empty when the tree proves that there is none */
};

/* Read /request_status/<request_id>; the views point into what the tree was decoded from.
 *
 * tree  of a verified certificate (ic_certificate_tree)
 *
 * Returns 0, -EPROTO (a status or a field is missing, unknown, or only pruned away: the tree proves
 * nothing).
 */
int ic_call_status_read(const struct ic_hash_tree *tree,
                        const uint8_t request_id[IC_REQUEST_ID_LEN], struct ic_call_outcome *out,
                        struct ic_error *err) IC_NONNULL(1, 2, 3) IC_MUST_CHECK;

/* What has become of a call. */
enum ic_call_verdict {
    IC_CALL_WAIT,      /* it may still run, or is running: ask again */
    IC_CALL_SETTLED,   /* replied or rejected: that is the outcome */
    IC_CALL_NEVER_RAN, /* and never will: it may be made anew */
    IC_CALL_LOST,      /* it ran, or may have run, and its outcome is not known any more */
};

/* What is known of a call when its status comes. All times in nanoseconds. */
struct ic_call_sighting {
    enum ic_call_status status;
    int64_t certified_ns; /* the certificate's /time */
    uint64_t expiry_ns;   /* the request's ingress_expiry, on the same clock */
    int64_t age_ns; /* since the first copy went out, by a local clock that suspends do not stop */
    bool was_seen;  /* received or processing was certified before */
};

/* A subnet keeps a finished call's status for some 5 minutes and at least until the call's expiry,
 * and starts no call after it. So absence proves that a call never ran only when it is certified
 * after the expiry (by a minute at most) of a call sent less than 5 minutes ago (10 s of margin):
 * sooner it may still be started, later it may be forgotten. */
#define IC_CALL_KEPT_NS    (290LL * 1000000000)
#define IC_CALL_EXPIRED_NS (60LL * 1000000000)
enum ic_call_verdict ic_call_status_judge(const struct ic_call_sighting *s) IC_NONNULL(1);

#endif
