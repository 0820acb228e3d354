/* Private key structures: see identity_der.h. */
#include "ic/identity_der.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum tag {
    TAG_INTEGER = 0x02,
    TAG_BIT_STRING = 0x03,
    TAG_OCTET_STRING = 0x04,
    TAG_OID = 0x06,
    TAG_PARAMETERS = 0xa0,     /* of SEC 1: [0] */
    TAG_PUBLIC = 0xa1,         /* of SEC 1, and where old dfx put it in PKCS#8: [1] */
    TAG_IMPLICIT_PUBLIC = 0x81 /* of PKCS#8 version 2: [1] IMPLICIT */
};

/* Algorithms of keys and curves by the content of their object identifiers. */
static const struct algorithm {
    const char *name;
    size_t len;
    uint8_t oid[9];
} algorithms[] = {
    {"Ed25519", 3, {0x2b, 0x65, 0x70}},
    {"ECDSA", 7, {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01}},
    {"secp256k1", 5, {0x2b, 0x81, 0x04, 0x00, 0x0a}},
    {"P-256", 8, {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}},
    /* Those above can be used, the ones below are named in messages. */
    {"P-224", 5, {0x2b, 0x81, 0x04, 0x00, 0x21}},
    {"P-384", 5, {0x2b, 0x81, 0x04, 0x00, 0x22}},
    {"P-521", 5, {0x2b, 0x81, 0x04, 0x00, 0x23}},
    {"X25519", 3, {0x2b, 0x65, 0x6e}},
    {"X448", 3, {0x2b, 0x65, 0x6f}},
    {"Ed448", 3, {0x2b, 0x65, 0x71}},
    {"RSA", 9, {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01}},
    {"RSA-PSS", 9, {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a}},
    {"DSA", 7, {0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x01}},
};
#define N_ALGORITHMS  (sizeof(algorithms) / sizeof(algorithms[0]))
#define ALG_ED25519   (&algorithms[0])
#define ALG_ECDSA     (&algorithms[1])
#define ALG_SECP256K1 (&algorithms[2])
#define ALG_P256      (&algorithms[3])

static int fail(char why[IC_DER_WHY], const char *text)
{
    snprintf(why, IC_DER_WHY, "%s", text);
    return -EINVAL;
}

static int fail_damaged(char why[IC_DER_WHY])
{
    snprintf(why, IC_DER_WHY, "the key in it is damaged");
    return -EBADMSG;
}

#define USABLE "and only Ed25519, secp256k1 and P-256 can be used"

static int fail_key(char why[IC_DER_WHY], const struct algorithm *alg)
{
    if (!alg)
        return fail(why, "it is a key of an unknown kind, " USABLE);
    const char *article = strchr("DP", alg->name[0]) ? "a" : "an"; /* as the letter is spoken */
    snprintf(why, IC_DER_WHY, "it is %s %s key, " USABLE, article, alg->name);
    return -EINVAL;
}

static int fail_curve(char why[IC_DER_WHY], const struct algorithm *curve)
{
    snprintf(why, IC_DER_WHY, "it is an ECDSA key on %s%s, " USABLE,
             curve ? "curve " : "an unknown curve", curve ? curve->name : "");
    return -EINVAL;
}

/* ---- elements ---- */

bool ic_identity_der_take(struct ic_cursor *c, uint8_t tag, struct ic_view *content)
{
    struct ic_cursor at = *c;
    uint8_t found, byte;
    uint64_t len;

    if (!ic_cursor_u8(&at, &found) || found != tag || !ic_cursor_u8(&at, &byte))
        return false;
    len = byte;
    if (byte > 0x82 || byte == 0x80) /* indefinite, or more than any key needs */
        return false;
    if (byte & 0x80) {
        len = 0;
        for (int n = byte & 0x7f; n > 0; n--) {
            if (!ic_cursor_u8(&at, &byte))
                return false;
            len = len << 8 | byte;
        }
    }
    if (!ic_cursor_take(&at, len, content))
        return false;
    *c = at;
    return true;
}

static bool take_small_int(struct ic_cursor *c, uint8_t *out)
{
    struct ic_view view;
    if (!ic_identity_der_take(c, TAG_INTEGER, &view) || view.len != 1)
        return false;
    *out = view.bytes[0];
    return true;
}

/* A bit string of whole bytes. */
static bool take_bits(struct ic_cursor *c, struct ic_view *out)
{
    if (!ic_identity_der_take(c, TAG_BIT_STRING, out) || out->len < 1 || out->bytes[0] != 0)
        return false;
    *out = ic_view(out->bytes + 1, out->len - 1);
    return true;
}

static struct ic_cursor inside(struct ic_view view)
{
    return ic_cursor(view.bytes, view.len);
}

static const struct algorithm *find_algorithm(struct ic_view oid)
{
    for (size_t i = 0; i < N_ALGORITHMS; i++)
        if (ic_view_equal(oid, ic_view(algorithms[i].oid, algorithms[i].len)))
            return &algorithms[i];
    return NULL;
}

/* ---- ECDSA ---- */

/* The curve that parameters name. Returns 0, -EBADMSG, -EINVAL: as ic_identity_der_sec1. */
static int read_curve(struct ic_view params, struct ic_private_key *out, char *why)
{
    struct ic_cursor c = inside(params);
    struct ic_view oid;
    const struct algorithm *curve;

    if (params.len > 0 && params.bytes[0] == IC_DER_SEQUENCE)
        return fail(why, "its curve is written out instead of named (openssl ec -param_enc "
                         "named_curve converts it)");
    if (!ic_identity_der_take(&c, TAG_OID, &oid))
        return fail_damaged(why);
    curve = find_algorithm(oid);
    if (curve != ALG_SECP256K1 && curve != ALG_P256)
        return fail_curve(why, curve);
    out->kind = curve == ALG_P256 ? IC_KEY_P256 : IC_KEY_SECP256K1;
    return 0;
}

/* The scalar, which some writers strip of its leading zeros. */
static bool read_scalar(struct ic_view view, struct ic_private_key *out)
{
    if (view.len < 1 || view.len > IC_SECRET_LEN)
        return false;
    memset(out->secret, 0, IC_SECRET_LEN);
    memcpy(out->secret + IC_SECRET_LEN - view.len, view.bytes, view.len);
    return true;
}

int ic_identity_der_sec1(struct ic_view der, struct ic_view params, struct ic_private_key *out,
                         char why[IC_DER_WHY])
{
    struct ic_cursor c = inside(der), key, public_key;
    struct ic_view body, scalar, own = {0}, point = {0}, bits = {0};
    uint8_t version;
    int ret;

    if (!ic_identity_der_take(&c, IC_DER_SEQUENCE, &body) || ic_cursor_left(&c) > 0)
        return fail_damaged(why);
    key = inside(body);
    if (!take_small_int(&key, &version) || version != 1 ||
        !ic_identity_der_take(&key, TAG_OCTET_STRING, &scalar))
        return fail_damaged(why);
    if (ic_identity_der_take(&key, TAG_PARAMETERS, &own)) {
        if (params.len > 0 && !ic_view_equal(own, params))
            return fail(why, "it names two curves");
        params = own;
    }
    if (ic_identity_der_take(&key, TAG_PUBLIC, &point)) {
        public_key = inside(point);
        if (!take_bits(&public_key, &bits))
            return fail_damaged(why);
    }
    if (ic_cursor_left(&key) > 0)
        return fail_damaged(why);
    if (params.len == 0)
        return fail(why, "it is an ECDSA key that does not say its curve (no EC PARAMETERS)");
    ret = read_curve(params, out, why);
    if (ret < 0)
        return ret;
    if (!read_scalar(scalar, out))
        return fail_damaged(why);
    out->public_key = bits;
    return 0;
}

/* ---- PKCS#8 ---- */

static int read_ed25519(struct ic_view inner, struct ic_cursor *rest, struct ic_private_key *out,
                        char *why)
{
    struct ic_cursor c = inside(inner), wrapped;
    struct ic_view seed, field, bits;

    if (!ic_identity_der_take(&c, TAG_OCTET_STRING, &seed) || seed.len != IC_SECRET_LEN)
        return fail_damaged(why);
    out->kind = IC_KEY_ED25519;
    memcpy(out->secret, seed.bytes, IC_SECRET_LEN);
    if (ic_identity_der_take(rest, TAG_IMPLICIT_PUBLIC, &field) && field.len > 0) {
        out->public_key = ic_view(field.bytes + 1, field.len - 1);
    } else if (ic_identity_der_take(rest, TAG_PUBLIC, &field)) {
        wrapped = inside(field);
        if (take_bits(&wrapped, &bits))
            out->public_key = bits;
    }
    return 0;
}

int ic_identity_der_pkcs8(struct ic_view der, struct ic_private_key *out, char why[IC_DER_WHY])
{
    struct ic_cursor c = inside(der), key, alg;
    struct ic_view body, algorithm, oid, inner;
    const struct algorithm *kind;
    uint8_t version;

    if (!ic_identity_der_take(&c, IC_DER_SEQUENCE, &body) || ic_cursor_left(&c) > 0)
        return fail_damaged(why);
    key = inside(body);
    if (!take_small_int(&key, &version) || version > 1 ||
        !ic_identity_der_take(&key, IC_DER_SEQUENCE, &algorithm) ||
        !ic_identity_der_take(&key, TAG_OCTET_STRING, &inner))
        return fail_damaged(why);
    alg = inside(algorithm);
    if (!ic_identity_der_take(&alg, TAG_OID, &oid))
        return fail_damaged(why);
    kind = find_algorithm(oid);
    out->public_key = ic_view(NULL, 0);
    if (kind == ALG_ED25519)
        return read_ed25519(inner, &key, out, why);
    if (kind == ALG_ECDSA)
        return ic_identity_der_sec1(inner, ic_view(alg.pos, ic_cursor_left(&alg)), out, why);
    return fail_key(why, kind);
}
