/* BLS12-381 signatures as subnets make them: signatures in G1 (48 bytes), keys in G2 (96 bytes).
 *
 * Source: IC interface spec, Signature scheme of certificates; draft-irtf-cfrg-bls-signature,
 * BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_.
 */
#ifndef CANISTERFS_IC_BLS_H
#define CANISTERFS_IC_BLS_H

#include "ic/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IC_BLS_KEY_LEN       96
#define IC_BLS_SIGNATURE_LEN 48

/* Verify a signature over len bytes of msg.
 *
 * Returns 0, -EBADMSG: wrong signature; key or signature not canonically encoded, not on the curve,
 * or not in the right subgroup; the key is the point at infinity.
 *
 * Thread safety: any number of concurrent calls. Computes for about a millisecond.
 */
int ic_bls_verify(const uint8_t key[IC_BLS_KEY_LEN], const uint8_t sig[IC_BLS_SIGNATURE_LEN],
                  const uint8_t *msg, size_t len) IC_NONNULL(1, 2, 3) IC_MUST_CHECK;

/* Are these the bytes of a key: canonical, on the curve, in the subgroup, not infinity? */
bool ic_bls_is_key(const uint8_t key[IC_BLS_KEY_LEN]) IC_NONNULL(1);

#endif
