/* Key pairs of the kinds that may sign for a sender: what identities and delegations are made of.
 *
 * All three sign with 64 bytes: Ed25519 over the message, the ECDSA kinds over its SHA-256 as r and
 * s, 32 bytes each, s being the smaller of its two values. Public keys are in DER
 * (SubjectPublicKeyInfo), points uncompressed.
 *
 * Source: IC interface spec, Signatures; RFC 8032, RFC 8410, RFC 5480; SEC 1, section 4.1.
 */
#ifndef CANISTERFS_IC_IDENTITY_KEY_H
#define CANISTERFS_IC_IDENTITY_KEY_H

#include "ic/attr.h"
#include "ic/buf.h"
#include "ic/identity.h"

#include <openssl/types.h>
#include <stddef.h>
#include <stdint.h>

#define IC_SECRET_LEN 32

enum ic_key_kind { IC_KEY_ED25519, IC_KEY_SECP256K1, IC_KEY_P256 };

/* Make a key pair of its secret: the Ed25519 seed, or the ECDSA scalar, most significant byte
 * first.
 *
 * out  fills; to be released with EVP_PKEY_free, which wipes the secret
 * der  appended to: the public key
 *
 * Returns 0, -EINVAL (zero, or not below the order of the curve), -ENOMEM (any other failure inside
 * OpenSSL).
 */
int ic_identity_key_new(enum ic_key_kind kind, const uint8_t secret[IC_SECRET_LEN], EVP_PKEY **out,
                        struct ic_buf *der) IC_NONNULL(2, 3, 4) IC_MUST_CHECK;

/* The bytes of the key at the end of its DER form: 32, or 65 for a point. */
struct ic_view ic_identity_key_raw(enum ic_key_kind kind, const struct ic_buf *der) IC_NONNULL(2);

/* Returns 0 or -ENOMEM. Thread safety: any number of concurrent calls with one key. */
int ic_identity_key_sign(EVP_PKEY *key, const uint8_t *msg, size_t len,
                         uint8_t sig[IC_SIGNATURE_LEN]) IC_NONNULL(1, 2, 4) IC_MUST_CHECK;

/* Verify a signature with a public key in DER.
 *
 * Returns 0; -EBADMSG (it is not that key's signature of the message); -EOPNOTSUPP (a WebAuthn or
 * canister signature, which only the network can check); -EINVAL (no key that the network knows);
 * -ENOMEM.
 */
int ic_identity_key_verify(struct ic_view der, const uint8_t *msg, size_t len, struct ic_view sig)
    IC_NONNULL(2) IC_MUST_CHECK;

#endif
