/* Delegations: a key signs that another one may speak for it, up to a date and perhaps to some
 * canisters only. In a chain each link is signed by the key that the link before it names, the
 * first by the key whose principal is the sender; the last names the key that signs the requests.
 *
 * Source: IC interface spec, Authentication (delegations); the limits are the replica's.
 */
#ifndef CANISTERFS_IC_IDENTITY_DELEGATION_H
#define CANISTERFS_IC_IDENTITY_DELEGATION_H

#include "ic/attr.h"
#include "ic/buf.h"
#include "ic/error.h"
#include "ic/identity.h"
#include "ic/principal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IC_DELEGATIONS_MAX        20
#define IC_DELEGATION_TARGETS_MAX 1000
#define IC_DATE_TEXT              32

/* Views and pointers are borrowed. */
struct ic_delegation {
    struct ic_view pubkey; /* DER */
    uint64_t expiration_ns;
    bool has_targets;
    const struct ic_principal *targets;
    size_t n_targets;
    struct ic_view permissions; /* text; bytes NULL: absent */
    struct ic_view signature;
};

struct ic_delegation_chain {
    struct ic_view public_key; /* DER, of the sender */
    const struct ic_delegation *links;
    size_t n;
};

/* Make an identity speak for the root of a chain. Before it is in use by anybody.
 *
 * id      not anonymous; without delegations. On failure it is as it was
 * chain   copied
 * now_ns  wall clock, ns since 1970
 *
 * The whole chain is verified: number of links and targets, expiry, no key twice, known
 * permissions, each signature, and that its last link names the identity's key. What a WebAuthn key
 * or a canister signed (Internet Identity does) is left to the network, which checks all of it with
 * each request.
 *
 * Returns 0; -EINVAL (IC_E_CONFIG), the message naming the link; -ENOMEM.
 */
int ic_identity_delegate(struct ic_identity *id, const struct ic_delegation_chain *chain,
                         int64_t now_ns, struct ic_error *err) IC_NONNULL(1, 2) IC_MUST_CHECK;

/* "2026-11-21 13:22:05 UTC". ns since 1970. */
void ic_delegation_format_date(uint64_t ns, char out[IC_DATE_TEXT]) IC_NONNULL(2);

#endif
