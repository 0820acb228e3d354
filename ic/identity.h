/* Who we are to the network: the anonymous principal, or a key pair, which may speak for another
 * one that delegated to it.
 *
 * Kinds: anonymous, Ed25519, ECDSA on secp256k1 and P-256 (identity_pem.h reads them from files;
 * identity_delegation.h adds delegations). An identity is immutable once it is in use, and may be
 * used by any number of threads at once. The private key lives in OpenSSL's memory only; every copy
 * that reading the file made is wiped.
 *
 * Source: IC interface spec, Authentication and Signatures.
 */
#ifndef CANISTERFS_IC_IDENTITY_H
#define CANISTERFS_IC_IDENTITY_H

#include "ic/attr.h"
#include "ic/buf.h"
#include "ic/error.h"
#include "ic/principal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IC_SIGNATURE_LEN 64 /* of all kinds */

struct ic_identity;

int ic_identity_new_anonymous(struct ic_identity **out) IC_NONNULL(1) IC_MUST_CHECK;

/* Make an identity from the 32-byte Ed25519 seed (RFC 8032, private key). seed is borrowed; wiping
 * it is up to the caller. Returns 0 or -ENOMEM. */
int ic_identity_new_ed25519(const uint8_t seed[32], struct ic_identity **out)
    IC_NONNULL(1, 2) IC_MUST_CHECK;

void ic_identity_free(struct ic_identity *id);

bool ic_identity_is_anonymous(const struct ic_identity *id) IC_NONNULL(1);

/* The key file could be read by its group or by others when it was opened: worth a warning. */
bool ic_identity_is_exposed(const struct ic_identity *id) IC_NONNULL(1);

/* The sender of its requests: with delegations the one who delegated first. Borrowed; valid until
 * the identity is freed. */
const struct ic_principal *ic_identity_principal(const struct ic_identity *id) IC_NONNULL(1);

/* The DER public key (SubjectPublicKeyInfo) of that sender, borrowed; the empty view when
 * anonymous. */
struct ic_view ic_identity_public_key_der(const struct ic_identity *id) IC_NONNULL(1);

/* Its delegations as an envelope carries them (sender_delegation, one CBOR item), borrowed; the
 * empty view without any. */
struct ic_view ic_identity_delegations(const struct ic_identity *id) IC_NONNULL(1);

/* When the first of its delegations expires, ns since 1970; 0: never. */
uint64_t ic_identity_expiration_ns(const struct ic_identity *id) IC_NONNULL(1);

/* May it still speak for its sender? Returns 0, or -EACCES (IC_E_DENIED) when a delegation has
 * expired, with the date in words.
 *
 * now_ns  wall clock, ns since 1970
 */
int ic_identity_check_time(const struct ic_identity *id, int64_t now_ns, struct ic_error *err)
    IC_NONNULL(1) IC_MUST_CHECK;

/* Do its delegations allow calls to this canister? Returns 0 or -EINVAL (IC_E_CONFIG). */
int ic_identity_check_target(const struct ic_identity *id, const struct ic_principal *canister,
                             struct ic_error *err) IC_NONNULL(1, 2) IC_MUST_CHECK;

/* Sign len bytes: for the IC that is a domain separator followed by a hash.
 *
 * Returns 0; -EINVAL when anonymous; -ENOMEM (also any other failure inside OpenSSL).
 * Thread safety: any number of concurrent calls.
 */
int ic_identity_sign(const struct ic_identity *id, const uint8_t *msg, size_t len,
                     uint8_t sig[IC_SIGNATURE_LEN]) IC_NONNULL(1, 2, 4) IC_MUST_CHECK;

#endif
