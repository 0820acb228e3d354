/* Password-protected private keys: see identity_decrypt.h.
 *
 * OpenSSL's own PKCS8_decrypt is not enough: it refuses scrypt with more than 32 MiB, which is what
 * icp-cli writes (128 MiB), and it does not read what it decrypted when that is PKCS#8 version 2.
 */
#include "ic/identity_decrypt.h"

#include <errno.h>
#include <openssl/asn1.h>
#include <openssl/asn1t.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>
#include <string.h>

#define ITERATIONS_MAX 10000000
#define SCRYPT_COST    (UINT64_C(1) << 23) /* N * r * p: a few seconds */

/* What OpenSSL may take for that: N * r * 128 bytes and a little more. */
#define SCRYPT_MEMORY (UINT64_C(1) << 31)

void ic_secret_fini(struct ic_secret *secret)
{
    OPENSSL_clear_free(secret->bytes, secret->len);
    *secret = (struct ic_secret){0};
}

static int fail(const char *file, const char *why, struct ic_error *err)
{
    return ic_fail(err, IC_E_CONFIG, "identity file %.250s: %s", file, why);
}

static int fail_memory(const char *file, struct ic_error *err)
{
    return ic_fail(err, IC_E_NO_MEMORY, "identity file %.250s: out of memory", file);
}

static int fail_decrypt(const char *file, struct ic_error *err)
{
    return fail(file, "wrong password, or the key in it is damaged", err);
}

/* Its length, or a negative errno. */
static int get_password(const char *file, const struct ic_password *password,
                        char buf[IC_PASSWORD_MAX], struct ic_error *err)
{
    if (!password)
        return fail(file, "holds a password-protected key, and no password is given", err);
    return password->get(password->arg, file, buf, err);
}

/* ---- what a key asks for ---- */

/* Its encryption, taken apart; all borrowed from `sig`, except what fini frees. */
struct encryption {
    X509_SIG *sig;
    const X509_ALGOR *alg;
    const ASN1_OCTET_STRING *data;
    PBE2PARAM *pbes2;      /* NULL with PBES1 */
    SCRYPT_PARAMS *scrypt; /* NULL with PBKDF2 */
};

static void encryption_fini(struct encryption *e)
{
    SCRYPT_PARAMS_free(e->scrypt);
    PBE2PARAM_free(e->pbes2);
    X509_SIG_free(e->sig);
}

static bool is_count(const ASN1_INTEGER *number, uint64_t max, uint64_t *out)
{
    return number && ASN1_INTEGER_get_uint64(out, number) == 1 && *out >= 1 && *out <= max;
}

static bool is_reasonable_scrypt(const SCRYPT_PARAMS *params)
{
    uint64_t n, r, p;
    return is_count(params->costParameter, SCRYPT_COST, &n) &&
           is_count(params->blockSize, SCRYPT_COST / n, &r) &&
           is_count(params->parallelizationParameter, SCRYPT_COST / n / r, &p);
}

static bool is_reasonable_pbkdf2(const X509_ALGOR *alg)
{
    uint64_t n;
    PBKDF2PARAM *params = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBKDF2PARAM), alg->parameter);
    bool ok = params && is_count(params->iter, ITERATIONS_MAX, &n);
    PBKDF2PARAM_free(params);
    return ok;
}

/* Is the cipher one that OpenSSL still does? The weak old ones need a provider that is not loaded.
 */
static bool has_cipher(int nid)
{
    const char *name = OBJ_nid2sn(nid);
    EVP_CIPHER *cipher = name ? EVP_CIPHER_fetch(NULL, name, NULL) : NULL;
    EVP_CIPHER_free(cipher);
    return cipher != NULL;
}

static bool is_reasonable_pbes1(const X509_ALGOR *alg)
{
    uint64_t n;
    int cipher = NID_undef;
    if (!EVP_PBE_find(EVP_PBE_TYPE_OUTER, OBJ_obj2nid(alg->algorithm), &cipher, NULL, NULL) ||
        !has_cipher(cipher))
        return false;
    PBEPARAM *params = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBEPARAM), alg->parameter);
    bool ok = params && is_count(params->iter, ITERATIONS_MAX, &n);
    PBEPARAM_free(params);
    return ok;
}

static bool is_reasonable(struct encryption *e)
{
    int kdf;
    if (OBJ_obj2nid(e->alg->algorithm) != NID_pbes2)
        return is_reasonable_pbes1(e->alg);
    e->pbes2 = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBE2PARAM), e->alg->parameter);
    if (!e->pbes2 || !has_cipher(OBJ_obj2nid(e->pbes2->encryption->algorithm)))
        return false;
    kdf = OBJ_obj2nid(e->pbes2->keyfunc->algorithm);
    if (kdf == NID_id_pbkdf2)
        return is_reasonable_pbkdf2(e->pbes2->keyfunc);
    if (kdf != NID_id_scrypt)
        return false;
    e->scrypt =
        ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(SCRYPT_PARAMS), e->pbes2->keyfunc->parameter);
    return e->scrypt && is_reasonable_scrypt(e->scrypt);
}

static int open_encryption(const char *file, struct ic_view der, struct encryption *e,
                           struct ic_error *err)
{
    const unsigned char *p = der.bytes;
    e->sig = d2i_X509_SIG(NULL, &p, (long)der.len);
    if (!e->sig || p != der.bytes + der.len)
        return fail(file, "the key in it is damaged", err);
    X509_SIG_get0(e->sig, &e->alg, &e->data);
    if (!is_reasonable(e))
        return fail(file,
                    "its encryption is damaged, of an unsupported kind, or asks for more work than "
                    "is reasonable (openssl pkcs8 -topk8 writes it anew)",
                    err);
    return 0;
}

/* ---- scrypt ---- */

/* Derive the key and decrypt, into e->data->length bytes at most. Returns the length, 0 on failure.
 */
static size_t scrypt_decrypt(const struct encryption *e, const char *password, size_t len,
                             uint8_t *out)
{
    const X509_ALGOR *cipher_alg = e->pbes2->encryption;
    const EVP_CIPHER *cipher = EVP_get_cipherbyobj(cipher_alg->algorithm);
    const ASN1_OCTET_STRING *salt = e->scrypt->salt;
    uint8_t key[EVP_MAX_KEY_LENGTH];
    uint64_t n, r, p;
    int first = 0, last = 0;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    bool ok = ctx && cipher && cipher_alg->parameter &&
              ASN1_INTEGER_get_uint64(&n, e->scrypt->costParameter) == 1 &&
              ASN1_INTEGER_get_uint64(&r, e->scrypt->blockSize) == 1 &&
              ASN1_INTEGER_get_uint64(&p, e->scrypt->parallelizationParameter) == 1 &&
              EVP_DecryptInit_ex(ctx, cipher, NULL, NULL, NULL) == 1 &&
              EVP_CIPHER_asn1_to_param(ctx, cipher_alg->parameter) > 0 &&
              EVP_PBE_scrypt(password, len, ASN1_STRING_get0_data(salt),
                             (size_t)ASN1_STRING_length(salt), n, r, p, SCRYPT_MEMORY, key,
                             (size_t)EVP_CIPHER_CTX_get_key_length(ctx)) == 1 &&
              EVP_DecryptInit_ex(ctx, NULL, NULL, key, NULL) == 1 &&
              EVP_DecryptUpdate(ctx, out, &first, ASN1_STRING_get0_data(e->data),
                                ASN1_STRING_length(e->data)) == 1 &&
              EVP_DecryptFinal_ex(ctx, out + first, &last) == 1;
    OPENSSL_cleanse(key, sizeof(key));
    EVP_CIPHER_CTX_free(ctx);
    return ok ? (size_t)(first + last) : 0;
}

static int decrypt_scrypt(const char *file, const struct encryption *e, const char *password,
                          size_t len, struct ic_secret *out, struct ic_error *err)
{
    size_t room = (size_t)ASN1_STRING_length(e->data) + EVP_MAX_BLOCK_LENGTH;
    struct ic_secret plain = {.bytes = OPENSSL_malloc(room), .len = room};
    if (!plain.bytes)
        return fail_memory(file, err);
    out->len = scrypt_decrypt(e, password, len, plain.bytes);
    if (out->len > 0)
        out->bytes = OPENSSL_memdup(plain.bytes, out->len);
    ic_secret_fini(&plain);
    if (out->len > 0 && !out->bytes)
        return fail_memory(file, err);
    return out->len > 0 ? 0 : fail_decrypt(file, err);
}

/* ---- the rest ---- */

/* With what OpenSSL does by itself. */
static int decrypt_pbe(const char *file, const struct encryption *e, const char *password,
                       size_t len, struct ic_secret *out, struct ic_error *err)
{
    unsigned char *plain = NULL;
    int plain_len = 0;
    if (!PKCS12_pbe_crypt(e->alg, password, (int)len, ASN1_STRING_get0_data(e->data),
                          ASN1_STRING_length(e->data), &plain, &plain_len, 0))
        return fail_decrypt(file, err);
    *out = (struct ic_secret){plain, (size_t)plain_len};
    return 0;
}

int ic_identity_decrypt_pkcs8(const char *file, struct ic_view der,
                              const struct ic_password *password, struct ic_secret *out,
                              struct ic_error *err)
{
    struct encryption e = {0};
    char buf[IC_PASSWORD_MAX];
    int ret = open_encryption(file, der, &e, err);
    if (ret == 0)
        ret = get_password(file, password, buf, err);
    if (ret >= 0)
        ret = e.scrypt ? decrypt_scrypt(file, &e, buf, (size_t)ret, out, err)
                       : decrypt_pbe(file, &e, buf, (size_t)ret, out, err);
    OPENSSL_cleanse(buf, sizeof(buf));
    encryption_fini(&e);
    ERR_clear_error();
    return ret;
}

struct given {
    const char *password;
    int len;
};

static int give_password(char *buf, int size, int writing, void *arg)
{
    const struct given *given = arg;
    (void)writing;
    if (given->len > size)
        return -1;
    memcpy(buf, given->password, (size_t)given->len);
    return given->len;
}

int ic_identity_decrypt_headers(const char *file, const char *headers, struct ic_view data,
                                const struct ic_password *password, struct ic_secret *out,
                                struct ic_error *err)
{
    EVP_CIPHER_INFO cipher;
    char buf[IC_PASSWORD_MAX];
    struct ic_secret plain = {.len = data.len};
    long len = (long)data.len;
    int ret;
    char *copy = OPENSSL_strdup(headers); /* not const for OpenSSL */

    if (data.len > 0)
        plain.bytes = OPENSSL_memdup(data.bytes, data.len);
    if (!copy || !plain.bytes)
        ret = fail_memory(file, err);
    else if (!PEM_get_EVP_CIPHER_INFO(copy, &cipher) || !cipher.cipher ||
             !has_cipher(EVP_CIPHER_get_nid(cipher.cipher)))
        ret = fail(file, "its encryption is damaged or of an unsupported kind", err);
    else
        ret = get_password(file, password, buf, err);
    if (ret >= 0) {
        struct given given = {buf, ret};
        bool is_open = PEM_do_header(&cipher, plain.bytes, &len, give_password, &given);
        ret = is_open && len > 0 ? 0 : fail_decrypt(file, err);
    }
    OPENSSL_cleanse(buf, sizeof(buf));
    if (ret == 0) {
        out->bytes = OPENSSL_memdup(plain.bytes, (size_t)len);
        out->len = (size_t)len;
        if (!out->bytes)
            ret = fail_memory(file, err);
    }
    ic_secret_fini(&plain);
    OPENSSL_free(copy);
    ERR_clear_error();
    return ret;
}
