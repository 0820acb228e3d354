/* Who we are to the network: the anonymous principal, or a key pair.
 *
 * Kinds so far: anonymous, Ed25519. An identity is immutable once made and may be used by any
 * number of threads at once. The private key lives in OpenSSL's memory only; every copy that
 * reading the file made is wiped.
 *
 * Source: IC interface spec, Authentication and Signatures; RFC 8410 (Ed25519 in PKCS#8).
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

#define IC_SIGNATURE_LEN 64 /* Ed25519; the ECDSA kinds of the IC have the same length */

struct ic_identity;

int ic_identity_new_anonymous(struct ic_identity **out) IC_NONNULL(1) IC_MUST_CHECK;

/* Make an identity from the 32-byte Ed25519 seed (RFC 8032, private key). seed is borrowed; wiping
 * it is up to the caller. Returns 0 or -ENOMEM. */
int ic_identity_new_ed25519(const uint8_t seed[32], struct ic_identity **out)
    IC_NONNULL(1, 2) IC_MUST_CHECK;

/* Read a private key file.
 *
 * path  a PEM file with one `PRIVATE KEY` block holding an Ed25519 key: PKCS#8 version 1 (48
 *       bytes), version 2 (83), or the form old dfx wrote (85)
 * out   fills; to be released with ic_identity_free
 *
 * Returns 0; -EINVAL (IC_E_CONFIG) when the file cannot be read, is not a PEM private key, is
 * encrypted, or holds another kind of key (the message names the kind); -ENOMEM.
 */
int ic_identity_open_pem(const char *path, struct ic_identity **out, struct ic_error *err)
    IC_NONNULL(1, 2) IC_MUST_CHECK;

void ic_identity_free(struct ic_identity *id);

bool ic_identity_is_anonymous(const struct ic_identity *id) IC_NONNULL(1);

/* The key file could be read by its group or by others when it was opened: worth a warning. */
bool ic_identity_is_exposed(const struct ic_identity *id) IC_NONNULL(1);

/* Borrowed; valid until the identity is freed. */
const struct ic_principal *ic_identity_principal(const struct ic_identity *id) IC_NONNULL(1);

/* The DER public key (SubjectPublicKeyInfo), borrowed; the empty view when anonymous. */
struct ic_view ic_identity_public_key_der(const struct ic_identity *id) IC_NONNULL(1);

/* Sign len bytes: for the IC that is a domain separator followed by a hash.
 *
 * Returns 0; -EINVAL when anonymous; -ENOMEM (also any other failure inside OpenSSL).
 * Thread safety: any number of concurrent calls.
 */
int ic_identity_sign(const struct ic_identity *id, const uint8_t *msg, size_t len,
                     uint8_t sig[IC_SIGNATURE_LEN]) IC_NONNULL(1, 2, 4) IC_MUST_CHECK;

#endif
