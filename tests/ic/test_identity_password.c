/* Keys under a password: the right one, wrong ones, and none; encryption that is refused. */
#include "ic/identity.h"
#include "ic/identity_pem.h"
#include "tests/ic/key_text.h"
#include "tests/ic/vectors.h"
#include "tests/tap.h"

#include <errno.h>
#include <openssl/asn1t.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

TAP_STATE;

#define PKCS8(base64) BLOCK("ENCRYPTED PRIVATE KEY", base64)
#define DEK(info, base64)                                                                          \
    BLOCK("EC PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\nDEK-Info: " info "\n\n" base64)

static void test_passwords(const char *data_dir)
{
    char path[VECTOR_PATH];
    struct ic_identity *id = NULL;
    struct ic_error err = {0};
    struct asked asked = {"Swordfish", 0};
    const struct ic_password password = {give, &asked};

    vector_path(data_dir, "pem/encrypted_pkcs8_k256.pem", path);
    TAP_INT(ic_identity_open_pem(path, &password, &id, &err), -EINVAL, "a wrong password");
    TAP_OK(strstr(err.message, "wrong password") != NULL, "says so");
    TAP_OK(strstr(err.message, "ordfish") == NULL, "without telling it");
    asked.password = NULL;
    TAP_INT(ic_identity_open_pem(path, &password, &id, &err), -EINVAL, "nobody gives it");
    TAP_OK(strstr(err.message, "nobody there") != NULL, "says whoever should have");
    TAP_INT(ic_identity_open_pem(path, NULL, &id, &err), -EINVAL, "nobody to ask");
    TAP_OK(strstr(err.message, "no password is given") != NULL, "says so");
    TAP_OK(id == NULL, "nothing came out");
}

/* ---- what a password decrypts ---- */

/* Opens a key in text, with `word`. Returns its identity, or NULL with err. */
static struct ic_identity *open_with(const char *pem, const char *word, struct ic_error *err)
{
    struct asked asked = {word, 0};
    const struct ic_password password = {give, &asked};
    struct ic_identity *id = NULL;
    int ret = ic_identity_parse_pem("x.pem", ic_view(pem, strlen(pem)), &password, &id, err);
    TAP_INT(asked.n, 1, "the password is asked for");
    TAP_OK(id ? ret == 0 : ret == -EINVAL && err->code == IC_E_CONFIG, "a key or an error");
    return id;
}

/* Keys that OpenSSL wrote, all under the password "right", and the first wrong ones (from "0")
 * under which the padding is right: the decryption succeeds, and what comes out is no key. */
static const struct {
    const char *name;
    const char *pem;
    const char *wrong[3];
} locked[] = {
    {"PBES2 with PBKDF2",
     PKCS8("MIGaMFYGCSqGSIb3DQEFDTBJMCgGCSqGSIb3DQEFDDAbBAihRHCbfeFouQIBEDAM\n"
           "BggqhkiG9w0CCQUAMB0GCWCGSAFlAwQBKgQQMslogpUSUcvJ+NwxRnh46QRA3HKN\n"
           "YW19jBZjl+Utvq9S7n7//TdtM+B5QdvwSyBb4ocix8s7OuKnPZVP0q6VtCJe/px4\n"
           "2akv+3+f+IsTbscaDQ=="),
     {"164", "189", "275"}},
    {"PBES2 with scrypt",
     PKCS8("MIGSME4GCSqGSIb3DQEFDTBBMCAGCSsGAQQB2kcECzATBAiX9MjO8Dg21AIBEAIB\n"
           "AQIBATAdBglghkgBZQMEAQIEEED13qfvkBT6JLJO0s/sM3EEQJRUUqIgEG7wKj5I\n"
           "aHSnydnsi6ozOm53K7jgLuVBHKtACrhdWfLASnNS4PbY09mOAOjMpU6vmUbxbA9W\n"
           "aE5+BgE="),
     {"250", "289", "324"}},
    {"PBES1",
     PKCS8("MFcwGwYKKoZIhvcNAQwBAzANBAjs4Rl+zbHgWgIBEAQ4BaLXY2gdtSWqc7SEQU8f\n"
           "xkkpiwTsQaZo5x5qf2mmvE+EE3Ke8cd/3ugyPpb/mQlgv3uTyyFIgkc="),
     {"310", "374", "465"}},
    {"DEK-Info",
     DEK("AES-128-CBC,2759CF914A9FAB04E4B9E7BD0530DF47",
         "+etaXgg9H+Zs0t6D8+8Imog+Le9ZHGPBOhp6toaw3fLjDXuvm4uKgTASUwKvDZ10\n"
         "9CgcqBlEGu0PrVTcCeLUBmzeI6BsBNi7VH0thAMyNLRZcsLf1twBH100cUp3ZnP6\n"
         "Zqs3enIxpX8AZKR2DXh/+vkwe30RxJBZqyg+4vx4T2k="),
     {"175", "536", "860"}},
};

static void test_padding(void)
{
    for (size_t i = 0; i < sizeof(locked) / sizeof(locked[0]); i++) {
        struct ic_error err = {0};
        struct ic_identity *id = open_with(locked[i].pem, "right", &err);
        TAP_OK(id != NULL, locked[i].name);
        ic_identity_free(id);
        for (size_t j = 0; j < 3; j++) {
            TAP_OK(!open_with(locked[i].pem, locked[i].wrong[j], &err), "not with another");
            TAP_STR(err.message, "identity file x.pem: wrong password, or the key in it is damaged",
                    "whose padding is right, which nobody is to take for damage");
        }
    }
}

/* What is under the right password is wrong itself. */
#define KNOWN "AES-128-CBC,00112233445566778899AABBCCDDEEFF"

static const struct {
    const char *pem;
    const char *said;
} locked_wrong[] = {
    /* no byte at all */
    {DEK(KNOWN, "8PU8JrRcsowBx9EYuwr0xA=="), "wrong password, or the key in it is damaged"},
    {DEK(KNOWN, "k7mw187evKih+qr9/YwCZdPqHeCURSvmYuFXhWjgoSjFyzkBBFakn1kaZ9qxx8ZX\n"
                "y2zJnCNC8vsgNnJNQcAFeg=="),
     "wrong password, or the key in it is damaged: not a number of its curve"},
    {DEK(KNOWN, "BYn4SIuhSxibp/RLbGvzQYUTVguGoy9D26CmD3ICOGOA2453ucRAO9iPlWlD6qh8\n"
                "2bchZe7l2FjLlcz7C+H39XBHUKDOWs9guogdvgyqD+70LhK51xYXc1wDoFgG/y18\n"
                "Zkuw36yEvF2GPSsyEIM13txrChqqja0W2ikPdjs9miE="),
     "wrong password, or the key in it is damaged: its public key does not belong to it"},
    /* Nothing but the right password shows a whole key. */
    {DEK(KNOWN, "/q9vR8aBGI966F4U4vMCy8ZuVhR1J1rxEtEIbmT6000="),
     "it is an ECDSA key on curve P-384, and only Ed25519, secp256k1 and P-256 can be used"},
};

static void test_locked_wrong(void)
{
    for (size_t i = 0; i < sizeof(locked_wrong) / sizeof(locked_wrong[0]); i++) {
        struct ic_error err = {0};
        char want[256];
        snprintf(want, sizeof(want), "identity file x.pem: %s", locked_wrong[i].said);
        TAP_OK(!open_with(locked_wrong[i].pem, "right", &err), "not a key to use");
        TAP_STR(err.message, want, "and why");
    }
}

/* ---- encryption that is refused ---- */

/* Ciphers that OpenSSL no longer does by itself: that is no wrong password. */
static const char *const weak[] = {
    PKCS8("MFcwGwYJKoZIhvcNAQUDMA4ECOF0uPLGoBSnAgIIAAQ4ZDGDI4O465djC8sO10CX\n"
          "QZ09P6+y/K0HMZYBOadFjqUup5RiIn5mSmokTRbcjOghLMUJvAd3SYU="),
    PKCS8("MFgwHAYKKoZIhvcNAQwBBjAOBAgdxvpO48dBDwICCAAEOIRwOxgm/sA6+P2Yh9q7\n"
          "u7jTDARk1HG8x3OlSBA9IyLrenKAMdgAw3VsXsYyZMqqQ6VQ9hPq5E9/"),
    DEK("DES-CBC,7A2ED958A7AF1409",
        "hVQonEmXjqtwoFLEYWD6iLDBDKhjEJ61W6ThnkgZVzGtEcqBixCPDwEphnUbNK0f\n"
        "4pZeluG2ueoYgJfTL8Mbube9BWTedJ4tpJe2PzCFQU3CeY5uYSal+cglH4BXHAuI\n"
        "s7hnr5/yshR1+43c1eMk0sFcNd8C4mZV"),
};

static void test_weak(void)
{
    for (size_t i = 0; i < sizeof(weak) / sizeof(weak[0]); i++) {
        struct asked asked = {"right", 0};
        const struct ic_password password = {give, &asked};
        struct ic_identity *id = NULL;
        struct ic_error err = {0};
        TAP_INT(
            ic_identity_parse_pem("x.pem", ic_view(weak[i], strlen(weak[i])), &password, &id, &err),
            -EINVAL, "a cipher of old");
        TAP_OK(strstr(err.message, "of an unsupported kind") != NULL, "is what is said");
        TAP_INT(asked.n, 0, "without asking for a password");
    }
}

/* What would take for ever, or all memory, is refused before a password is asked for. */
static void check_unreasonable(X509_ALGOR *made, const char *what)
{
    static const char begin[] = BEGIN("ENCRYPTED PRIVATE KEY"),
                      end[] = END("ENCRYPTED PRIVATE KEY");
    struct asked asked = {"x", 0};
    const struct ic_password password = {give, &asked};
    struct ic_identity *id = NULL;
    struct ic_error err = {0};
    X509_SIG *sig = X509_SIG_new();
    X509_ALGOR *alg;
    ASN1_OCTET_STRING *data;
    unsigned char *der = NULL;
    char base64[2048], pem[4096];

    if (!made || !sig)
        vector_die("OpenSSL", what);
    X509_SIG_getm(sig, &alg, &data);
    if (!X509_ALGOR_copy(alg, made) || !ASN1_OCTET_STRING_set(data, (const uint8_t *)pem, 0))
        vector_die("OpenSSL", what);
    int len = i2d_X509_SIG(sig, &der);
    EVP_EncodeBlock((uint8_t *)base64, der, len);
    snprintf(pem, sizeof(pem), "%s%s\n%s", begin, base64, end);
    TAP_INT(ic_identity_parse_pem("x.pem", ic_view(pem, strlen(pem)), &password, &id, &err),
            -EINVAL, what);
    TAP_OK(strstr(err.message, "more work than is reasonable") != NULL, "says so");
    TAP_INT(asked.n, 0, "without asking for a password");
    OPENSSL_free(der);
    X509_SIG_free(sig);
    X509_ALGOR_free(made);
}

static X509_ALGOR *scrypt(uint64_t n, uint64_t r, uint64_t p)
{
    X509_ALGOR *alg = PKCS5_pbe2_set_scrypt(EVP_aes_256_cbc(), NULL, 8, NULL, 1024, 8, 1);
    PBE2PARAM *pbes2 = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBE2PARAM), alg->parameter);
    SCRYPT_PARAMS *params =
        ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(SCRYPT_PARAMS), pbes2->keyfunc->parameter);
    ASN1_INTEGER_set_uint64(params->costParameter, n);
    ASN1_INTEGER_set_uint64(params->blockSize, r);
    ASN1_INTEGER_set_uint64(params->parallelizationParameter, p);
    ASN1_TYPE_pack_sequence(ASN1_ITEM_rptr(SCRYPT_PARAMS), params, &pbes2->keyfunc->parameter);
    ASN1_TYPE_pack_sequence(ASN1_ITEM_rptr(PBE2PARAM), pbes2, &alg->parameter);
    SCRYPT_PARAMS_free(params);
    PBE2PARAM_free(pbes2);
    return alg;
}

static void test_unreasonable(void)
{
    check_unreasonable(PKCS5_pbe2_set_iv(EVP_aes_256_cbc(), 10000001, NULL, 8, NULL, -1),
                       "ten million and one iterations");
    check_unreasonable(PKCS5_pbe_set(NID_pbe_WithSHA1And3_Key_TripleDES_CBC, 2000000000, NULL, 8),
                       "two thousand million iterations, PBES1");
    check_unreasonable(scrypt(1 << 24, 1, 1), "scrypt, too many rounds");
    check_unreasonable(scrypt(1 << 20, 16, 1), "scrypt, too large blocks");
    check_unreasonable(scrypt(1 << 20, 8, 2), "scrypt, too many lanes");
    check_unreasonable(scrypt(UINT64_MAX, UINT64_MAX, UINT64_MAX), "scrypt, all of it");
    check_unreasonable(scrypt(0, 8, 1), "scrypt, no rounds");
    check_unreasonable(scrypt(1024, 0, 1), "scrypt, no blocks");
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 1;
    test_passwords(argv[1]);
    test_padding();
    test_locked_wrong();
    test_weak();
    test_unreasonable();
    return tap_done();
}
