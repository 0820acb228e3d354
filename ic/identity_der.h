/* Private keys as files hold them: PKCS#8 of both versions, and SEC 1.
 *
 * Source: RFC 5208, RFC 5958, RFC 8410 (PKCS#8); RFC 5915 (SEC 1); X.690 (DER).
 */
#ifndef CANISTERFS_IC_IDENTITY_DER_H
#define CANISTERFS_IC_IDENTITY_DER_H

#include "ic/attr.h"
#include "ic/buf.h"
#include "ic/identity_key.h"

#include <stddef.h>
#include <stdint.h>

#define IC_DER_SEQUENCE 0x30
#define IC_DER_WHY      160

/* Holds a secret: wipe it after use. */
struct ic_private_key {
    enum ic_key_kind kind;
    uint8_t secret[IC_SECRET_LEN];
    struct ic_view public_key; /* the bytes of the public key beside it; empty when there is none */
};

/* Read a private key.
 *
 * der     the whole structure, borrowed by out->public_key
 * params  of SEC 1 keys: content of an EC PARAMETERS block, which names the curve when the key does
 *         not; may be empty
 * out     fills, also partly on failure
 * why     fills on failure: a clause that says what is wrong ("it is an RSA key")
 *
 * Returns 0; -EBADMSG: damaged, which is also what a wrong password leaves; -EINVAL: a whole key,
 * of a kind that cannot be used.
 */
int ic_identity_der_pkcs8(struct ic_view der, struct ic_private_key *out, char why[IC_DER_WHY])
    IC_NONNULL(2, 3) IC_MUST_CHECK;
int ic_identity_der_sec1(struct ic_view der, struct ic_view params, struct ic_private_key *out,
                         char why[IC_DER_WHY]) IC_NONNULL(3, 4) IC_MUST_CHECK;

/* Take one element with this tag. False, with nothing consumed, when the next one is another, or
 * does not fit. */
bool ic_identity_der_take(struct ic_cursor *c, uint8_t tag, struct ic_view *content)
    IC_NONNULL(1, 3) IC_MUST_CHECK;

#endif
