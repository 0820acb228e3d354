/* Key pairs: see identity_key.h. */
#include "ic/identity_key.h"

#include "ic/spki.h"

#include <errno.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/params.h>
#include <stdio.h>
#include <string.h>

#define POINT_LEN     65
#define ECDSA_DER_MAX 80 /* r and s of 33 bytes each, three heads */

/* Public keys in DER up to the key itself. */
static const uint8_t spki_secp256k1[] = {0x30, 0x56, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86,
                                         0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b,
                                         0x81, 0x04, 0x00, 0x0a, 0x03, 0x42, 0x00};
static const uint8_t spki_p256[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                    0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                    0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};

static const struct scheme {
    const uint8_t *spki;
    size_t spki_len;
    size_t raw_len;
    int curve;         /* NID; 0 for Ed25519 */
    const char *group; /* OpenSSL's name of the curve */
} schemes[] = {
    [IC_KEY_ED25519] = {ic_spki_ed25519, sizeof(ic_spki_ed25519), IC_SECRET_LEN, 0, NULL},
    [IC_KEY_SECP256K1] = {spki_secp256k1, sizeof(spki_secp256k1), POINT_LEN, NID_secp256k1,
                          SN_secp256k1},
    [IC_KEY_P256] = {spki_p256, sizeof(spki_p256), POINT_LEN, NID_X9_62_prime256v1,
                     SN_X9_62_prime256v1},
};
#define N_SCHEMES (sizeof(schemes) / sizeof(schemes[0]))

/* The algorithm identifiers of keys whose signatures carry more than a signature: a COSE key
 * (WebAuthn), a canister's (IC interface spec, Web Authentication and Canister signatures). */
static const uint8_t oid_cose[] = {0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04,
                                   0x01, 0x83, 0xb8, 0x43, 0x01, 0x01};
static const uint8_t oid_canister[] = {0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04,
                                       0x01, 0x83, 0xb8, 0x43, 0x01, 0x02};

/* ---- making ---- */

static int new_ed25519(const uint8_t *secret, EVP_PKEY **out, uint8_t *raw)
{
    size_t len = IC_SECRET_LEN;
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret, IC_SECRET_LEN);
    if (!key || !EVP_PKEY_get_raw_public_key(key, raw, &len)) {
        EVP_PKEY_free(key);
        return -ENOMEM;
    }
    *out = key;
    return 0;
}

/* A key of its parts. `secret` in the byte order of this machine, NULL for a public key alone. */
static EVP_PKEY *ecdsa_from_parts(const struct scheme *s, uint8_t *secret, uint8_t *point)
{
    EVP_PKEY *key = NULL;
    char group[32];
    size_t n = 0;
    OSSL_PARAM params[4];
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);

    snprintf(group, sizeof(group), "%s", s->group); /* OpenSSL takes no const */
    params[n++] = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0);
    params[n++] = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, POINT_LEN);
    if (secret)
        params[n++] = OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_PRIV_KEY, secret, IC_SECRET_LEN);
    params[n] = OSSL_PARAM_construct_end();
    if (ctx && EVP_PKEY_fromdata_init(ctx) == 1)
        (void)EVP_PKEY_fromdata(ctx, &key, secret ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, params);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

/* The point that belongs to a scalar. Returns 0, -EINVAL, -ENOMEM. */
static int multiply(const EC_GROUP *group, const BIGNUM *scalar, uint8_t *point)
{
    int ret = -ENOMEM;
    EC_POINT *p;
    if (BN_is_zero(scalar) || BN_cmp(scalar, EC_GROUP_get0_order(group)) >= 0)
        return -EINVAL;
    p = EC_POINT_new(group);
    if (p && EC_POINT_mul(group, p, scalar, NULL, NULL, NULL) == 1 &&
        EC_POINT_point2oct(group, p, POINT_CONVERSION_UNCOMPRESSED, point, POINT_LEN, NULL) ==
            POINT_LEN)
        ret = 0;
    EC_POINT_free(p);
    return ret;
}

static int new_ecdsa(const struct scheme *s, const uint8_t *secret, EVP_PKEY **out, uint8_t *point)
{
    uint8_t native[IC_SECRET_LEN];
    int ret = -ENOMEM;
    EC_GROUP *group = EC_GROUP_new_by_curve_name(s->curve);
    BIGNUM *scalar = BN_secure_new();

    if (group && scalar && BN_bin2bn(secret, IC_SECRET_LEN, scalar)) {
        BN_set_flags(scalar, BN_FLG_CONSTTIME);
        ret = multiply(group, scalar, point);
    }
    if (ret == 0) {
        ret = -ENOMEM;
        if (BN_bn2nativepad(scalar, native, sizeof(native)) == sizeof(native) &&
            (*out = ecdsa_from_parts(s, native, point)) != NULL)
            ret = 0;
        OPENSSL_cleanse(native, sizeof(native));
    }
    BN_clear_free(scalar);
    EC_GROUP_free(group);
    return ret;
}

int ic_identity_key_new(enum ic_key_kind kind, const uint8_t secret[IC_SECRET_LEN], EVP_PKEY **out,
                        struct ic_buf *der)
{
    const struct scheme *s = &schemes[kind];
    uint8_t raw[POINT_LEN];
    EVP_PKEY *key = NULL;
    int ret = s->curve ? new_ecdsa(s, secret, &key, raw) : new_ed25519(secret, &key, raw);
    if (ret == 0) {
        ic_buf_append(der, s->spki, s->spki_len);
        ic_buf_append(der, raw, s->raw_len);
        ret = ic_buf_status(der);
    }
    if (ret < 0) {
        ERR_clear_error();
        EVP_PKEY_free(key);
        return ret;
    }
    *out = key;
    return 0;
}

struct ic_view ic_identity_key_raw(enum ic_key_kind kind, const struct ic_buf *der)
{
    size_t len = schemes[kind].raw_len;
    return ic_view(der->bytes + der->len - len, len);
}

/* ---- signing ---- */

/* Both s and order - s make a signature; the network's secp256k1 wants the smaller one. */
static bool make_s_low(const EVP_PKEY *key, BIGNUM *s)
{
    BIGNUM *order = NULL, *half = BN_new();
    bool ok = half && EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_ORDER, &order) == 1 &&
              BN_rshift1(half, order) == 1;
    if (ok && BN_cmp(s, half) > 0)
        ok = BN_sub(s, order, s) == 1;
    BN_free(order);
    BN_free(half);
    return ok;
}

/* From OpenSSL's DER form to r and s. */
static bool unpack_ecdsa(const EVP_PKEY *key, const uint8_t *der, size_t len,
                         uint8_t sig[IC_SIGNATURE_LEN])
{
    ECDSA_SIG *parsed = d2i_ECDSA_SIG(NULL, &der, (long)len);
    BIGNUM *s = parsed ? BN_dup(ECDSA_SIG_get0_s(parsed)) : NULL;
    bool ok =
        s && make_s_low(key, s) &&
        BN_bn2binpad(ECDSA_SIG_get0_r(parsed), sig, IC_SIGNATURE_LEN / 2) == IC_SIGNATURE_LEN / 2 &&
        BN_bn2binpad(s, sig + IC_SIGNATURE_LEN / 2, IC_SIGNATURE_LEN / 2) == IC_SIGNATURE_LEN / 2;
    BN_free(s);
    ECDSA_SIG_free(parsed);
    return ok;
}

static bool is_ecdsa(const EVP_PKEY *key)
{
    return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC;
}

int ic_identity_key_sign(EVP_PKEY *key, const uint8_t *msg, size_t len,
                         uint8_t sig[IC_SIGNATURE_LEN])
{
    uint8_t made[ECDSA_DER_MAX];
    size_t made_len = sizeof(made);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx &&
              EVP_DigestSignInit(ctx, NULL, is_ecdsa(key) ? EVP_sha256() : NULL, NULL, key) == 1 &&
              EVP_DigestSign(ctx, made, &made_len, msg, len) == 1;

    EVP_MD_CTX_free(ctx);
    if (ok && is_ecdsa(key)) {
        ok = unpack_ecdsa(key, made, made_len, sig);
    } else if (ok) {
        ok = made_len == IC_SIGNATURE_LEN;
        if (ok)
            memcpy(sig, made, IC_SIGNATURE_LEN);
    }
    if (!ok)
        ERR_clear_error();
    return ok ? 0 : -ENOMEM;
}

/* ---- verifying ---- */

static const struct scheme *find_scheme(struct ic_view der)
{
    for (size_t i = 0; i < N_SCHEMES; i++) {
        const struct scheme *s = &schemes[i];
        if (der.len == s->spki_len + s->raw_len && memcmp(der.bytes, s->spki, s->spki_len) == 0)
            return s;
    }
    return NULL;
}

static bool is_for_the_network(struct ic_view der)
{
    return memmem(der.bytes, der.len, oid_cose, sizeof(oid_cose)) ||
           memmem(der.bytes, der.len, oid_canister, sizeof(oid_canister));
}

/* To OpenSSL's DER form. Returns its length, 0 on failure. */
static size_t pack_ecdsa(struct ic_view sig, uint8_t der[ECDSA_DER_MAX])
{
    int half = IC_SIGNATURE_LEN / 2, len = 0;
    ECDSA_SIG *parsed = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(sig.bytes, half, NULL), *s = BN_bin2bn(sig.bytes + half, half, NULL);

    if (parsed && r && s && ECDSA_SIG_set0(parsed, r, s) == 1) {
        len = i2d_ECDSA_SIG(parsed, &der);
    } else {
        BN_free(r);
        BN_free(s);
    }
    ECDSA_SIG_free(parsed);
    return len > 0 ? (size_t)len : 0;
}

static EVP_PKEY *public_key(const struct scheme *s, struct ic_view der)
{
    uint8_t raw[POINT_LEN];
    memcpy(raw, der.bytes + s->spki_len, s->raw_len);
    return s->curve ? ecdsa_from_parts(s, NULL, raw)
                    : EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, raw, s->raw_len);
}

int ic_identity_key_verify(struct ic_view der, const uint8_t *msg, size_t len, struct ic_view sig)
{
    uint8_t packed[ECDSA_DER_MAX];
    const struct scheme *s = find_scheme(der);
    EVP_PKEY *key;
    EVP_MD_CTX *ctx;
    int ret = -ENOMEM;

    if (!s)
        return is_for_the_network(der) ? -EOPNOTSUPP : -EINVAL;
    if (sig.len != IC_SIGNATURE_LEN)
        return -EBADMSG;
    key = public_key(s, der);
    if (!key) { /* a point beside the curve */
        ERR_clear_error();
        return -EINVAL;
    }
    ctx = EVP_MD_CTX_new();
    if (s->curve)
        sig = ic_view(packed, pack_ecdsa(sig, packed));
    if (ctx && sig.len > 0 &&
        EVP_DigestVerifyInit(ctx, NULL, s->curve ? EVP_sha256() : NULL, NULL, key) == 1)
        ret = EVP_DigestVerify(ctx, sig.bytes, sig.len, msg, len) == 1 ? 0 : -EBADMSG;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return ret;
}
