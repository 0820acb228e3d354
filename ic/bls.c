/* BLS12-381 through blst: the only file that knows it. See bls.h. */
#include "ic/bls.h"

#include <blst.h>
#include <errno.h>
#include <stdbool.h>

static const char ciphersuite[] = "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_";

/* Uncompressing refuses coordinates that are not reduced and points off the curve. */
static bool load_key(const uint8_t bytes[IC_BLS_KEY_LEN], blst_p2_affine *key)
{
    return blst_p2_uncompress(key, bytes) == BLST_SUCCESS && !blst_p2_affine_is_inf(key) &&
           blst_p2_affine_in_g2(key);
}

static bool load_signature(const uint8_t bytes[IC_BLS_SIGNATURE_LEN], blst_p1_affine *sig)
{
    return blst_p1_uncompress(sig, bytes) == BLST_SUCCESS && blst_p1_affine_in_g1(sig);
}

bool ic_bls_is_key(const uint8_t key[IC_BLS_KEY_LEN])
{
    blst_p2_affine k;
    return load_key(key, &k);
}

int ic_bls_verify(const uint8_t key[IC_BLS_KEY_LEN], const uint8_t sig[IC_BLS_SIGNATURE_LEN],
                  const uint8_t *msg, size_t len)
{
    blst_p2_affine k;
    blst_p1_affine s;

    if (!load_key(key, &k) || !load_signature(sig, &s))
        return -EBADMSG;
    if (blst_core_verify_pk_in_g2(&k, &s, true, msg, len, (const byte *)ciphersuite,
                                  sizeof(ciphersuite) - 1, NULL, 0) != BLST_SUCCESS)
        return -EBADMSG;
    return 0;
}
