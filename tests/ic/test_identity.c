/* Identities: every key file of the vectors, signatures of each kind, permissions, bad files. */
#include "ic/identity.h"
#include "ic/identity_key.h"
#include "ic/identity_pem.h"
#include "tests/ic/key_text.h"
#include "tests/ic/vectors.h"
#include "tests/tap.h"

#include <errno.h>
#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <sys/stat.h>
#include <unistd.h>

TAP_STATE;

/* Which of the vector files can be used, and what the error says otherwise. */
static const struct {
    const char *file;
    const char *said; /* NULL: can be used */
} key_files[] = {
    {"decrypted_pkcs8_ed25519.pem", NULL},
    {"broken_dfx_pkcs8_ed25519.pem", NULL},
    {"decrypted_sec1_k256.pem", NULL},
    {"separate_params_sec1_k256.pem", NULL},
    {"missing_params_sec1_k256.pem", "does not say its curve"},
    {"pkcs8_k256.pem", NULL},
    {"encrypted_pkcs8_k256.pem", NULL},
    {"decrypted_sec1_p256.pem", NULL},
    {"separate_params_sec1_p256.pem", NULL},
    {"pkcs8_p256.pem", NULL},
    {"unsupported_curve_sec1.pem", "P-521"},
    {"agentrs_secp256k1_identity_file.pem", NULL},
    {"agentrs_secp256k1_identity_file_pkcs8.pem", NULL},
    {"agentrs_prime256v1_identity_file.pem", NULL},
    {"agentrs_prime256v1_identity_file_pkcs8.pem", NULL},
    {"js_sec1_k256.pem", NULL},
};

/* "PRINCIPAL" or "PRINCIPAL (note)" or "public key DER HEX". */
static void check_who(const struct ic_identity *id, const char *expected)
{
    static const char der_prefix[] = "public key DER ";
    char text[IC_PRINCIPAL_TEXT];
    if (strncmp(expected, der_prefix, sizeof(der_prefix) - 1) == 0) {
        struct ic_buf der = vector_unhex(expected + sizeof(der_prefix) - 1);
        TAP_OK(ic_view_equal(ic_identity_public_key_der(id), ic_view(der.bytes, der.len)),
               "its public key");
        ic_buf_fini(&der);
        return;
    }
    ic_principal_format(ic_identity_principal(id), text);
    TAP_OK(strncmp(text, expected, strlen(text)) == 0, "its principal");
}

static void test_key_files(const char *data_dir)
{
    json_t *index = vector_json(data_dir, "pem/index.json");
    json_t *files = json_object_get(index, "files");
    size_t n = sizeof(key_files) / sizeof(key_files[0]);

    TAP_INT((int64_t)json_object_size(files), (int64_t)n, "every vector file is known here");
    for (size_t i = 0; i < n; i++) {
        char name[128], path[VECTOR_PATH];
        struct ic_identity *id = NULL;
        struct ic_error err = {0};
        struct asked asked = {"swordfish", 0};
        const struct ic_password password = {give, &asked};
        bool is_encrypted = strncmp(key_files[i].file, "encrypted", 9) == 0;
        int ret;

        snprintf(name, sizeof(name), "pem/%s", key_files[i].file);
        vector_path(data_dir, name, path);
        ret = ic_identity_open_pem(path, &password, &id, &err);
        TAP_INT(asked.n, is_encrypted, "a password is asked for where there is one");
        if (!key_files[i].said) {
            TAP_INT(ret, 0, key_files[i].file);
            if (ret < 0)
                continue;
            check_who(id, vector_text(files, key_files[i].file));
            ic_identity_free(id);
            continue;
        }
        TAP_INT(ret, -EINVAL, key_files[i].file);
        TAP_OK(id == NULL, "nothing came out");
        TAP_OK(strstr(err.message, key_files[i].said) != NULL, "the reason is named");
        TAP_OK(strstr(err.message, path) != NULL, "and the file");
        TAP_INT(ic_identity_open_pem(path, NULL, &id, NULL), -EINVAL, "without an error struct");
    }
    json_decref(index);
}

/* ---- signatures ---- */

/* The signature of each kind verifies, is different for another message, and breaks with any bit.
 */
static void test_signatures(const char *data_dir)
{
    static const char *const files[] = {"pem/pkcs8_k256.pem", "pem/pkcs8_p256.pem",
                                        "pem/decrypted_pkcs8_ed25519.pem"};
    static const uint8_t msg[] = "\x0Aic-request and so on";
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        struct ic_identity *id = NULL;
        char path[VECTOR_PATH];
        uint8_t sig[IC_SIGNATURE_LEN];
        struct ic_view der, view = ic_view(sig, sizeof(sig));
        int n_good = 0, n_low = 0, n_broken = 0;

        vector_path(data_dir, files[i], path);
        if (ic_identity_open_pem(path, NULL, &id, NULL) < 0)
            vector_die("cannot open", path);
        der = ic_identity_public_key_der(id);
        for (int n = 0; n < 40; n++) {
            n_good += ic_identity_sign(id, msg, sizeof(msg), sig) == 0 &&
                      ic_identity_key_verify(der, msg, sizeof(msg), view) == 0;
            n_low += der.len == 44 || sig[IC_SIGNATURE_LEN / 2] < 0x80;
        }
        TAP_INT(n_good, 40, files[i]);
        TAP_INT(n_low, 40, "ECDSA: always with the smaller s");
        TAP_INT(ic_identity_key_verify(der, msg, sizeof(msg) - 1, view), -EBADMSG,
                "not of another message");
        TAP_INT(ic_identity_key_verify(der, msg, sizeof(msg), ic_view(sig, 63)), -EBADMSG,
                "not cut");
        for (size_t bit = 0; bit < 8 * sizeof(sig); bit += 5) {
            sig[bit / 8] ^= (uint8_t)(1 << bit % 8);
            n_broken += ic_identity_key_verify(der, msg, sizeof(msg), view) == -EBADMSG;
            sig[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        TAP_INT(n_broken, 103, "and broken by any bit");
        ic_identity_free(id);
    }
}

/* What OpenSSL makes of our public key and signature: an opinion of its own. */
static void test_against_openssl(const char *data_dir)
{
    static const uint8_t msg[] = "any message";
    struct ic_identity *id = NULL;
    char path[VECTOR_PATH];
    uint8_t sig[IC_SIGNATURE_LEN], *der = NULL;

    vector_path(data_dir, "pem/pkcs8_p256.pem", path);
    if (ic_identity_open_pem(path, NULL, &id, NULL) < 0 ||
        ic_identity_sign(id, msg, sizeof(msg), sig) < 0)
        vector_die("cannot sign with", path);
    ECDSA_SIG *parts = ECDSA_SIG_new();
    if (!parts || !ECDSA_SIG_set0(parts, BN_bin2bn(sig, 32, NULL), BN_bin2bn(sig + 32, 32, NULL)))
        vector_die("malloc", "signature");
    int len = i2d_ECDSA_SIG(parts, &der);
    struct ic_view spki = ic_identity_public_key_der(id);
    const uint8_t *p = spki.bytes;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &p, (long)spki.len);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    TAP_OK(key && ctx && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
               EVP_DigestVerify(ctx, der, (size_t)len, msg, sizeof(msg)) == 1,
           "OpenSSL reads the key and verifies r and s over SHA-256");
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    ECDSA_SIG_free(parts);
    OPENSSL_free(der);
    ic_identity_free(id);
}

static void test_verify_kinds(void)
{
    static const uint8_t msg[4] = {0};
    struct ic_buf sig = vector_unhex("00");
    struct ic_buf canister = vector_unhex("301d300c060a2b0601040183b8430102030d000a"
                                          "000000000000000101010102");
    struct ic_buf cose = vector_unhex("301d300c060a2b0601040183b8430101030d000a"
                                      "000000000000000101010102");
    struct ic_buf off_curve =
        vector_unhex("3056301006072a8648ce3d020106052b8104000a03420004"
                     "0000000000000000000000000000000000000000000000000000000000000001"
                     "0000000000000000000000000000000000000000000000000000000000000001");
    uint8_t zeros[IC_SIGNATURE_LEN] = {0};
    TAP_INT(ic_identity_key_verify(ic_view(canister.bytes, canister.len), msg, sizeof(msg),
                                   ic_view(sig.bytes, sig.len)),
            -EOPNOTSUPP, "a canister signature is the network's to check");
    TAP_INT(ic_identity_key_verify(ic_view(cose.bytes, cose.len), msg, sizeof(msg),
                                   ic_view(sig.bytes, sig.len)),
            -EOPNOTSUPP, "so is a WebAuthn signature");
    TAP_INT(ic_identity_key_verify(ic_view(off_curve.bytes, off_curve.len), msg, sizeof(msg),
                                   ic_view(zeros, sizeof(zeros))),
            -EINVAL, "a point beside the curve is no key");
    TAP_INT(ic_identity_key_verify(ic_view(sig.bytes, sig.len), msg, sizeof(msg),
                                   ic_view(zeros, sizeof(zeros))),
            -EINVAL, "nor is a zero byte");
    ic_buf_fini(&sig);
    ic_buf_fini(&canister);
    ic_buf_fini(&cose);
    ic_buf_fini(&off_curve);
}

/* RFC 8032, section 7.1, test 2; and the DER form with its principal. */
static void test_ed25519(void)
{
    struct ic_buf seed =
        vector_unhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
    struct ic_buf der =
        vector_unhex("302a300506032b6570032100"
                     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
    struct ic_buf want =
        vector_unhex("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                     "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
    struct ic_identity *id = NULL;
    struct ic_principal p;
    uint8_t sig[IC_SIGNATURE_LEN];

    TAP_INT(ic_identity_new_ed25519(seed.bytes, &id), 0, "a key from its seed");
    TAP_OK(!ic_identity_is_anonymous(id), "is not anonymous");
    TAP_OK(!ic_identity_is_exposed(id), "came from no file");
    TAP_OK(ic_view_equal(ic_identity_public_key_der(id), ic_view(der.bytes, der.len)),
           "its public key in DER");
    TAP_INT(ic_principal_self_authenticating(der.bytes, der.len, &p), 0, "the key's principal");
    TAP_OK(ic_principal_is_equal(ic_identity_principal(id), &p), "is the identity's");
    TAP_INT(ic_identity_sign(id, (const uint8_t *)"\x72", 1, sig), 0, "signs");
    TAP_MEM(sig, want.bytes, sizeof(sig), "the signature of RFC 8032");
    ic_identity_free(id);
    ic_buf_fini(&seed);
    ic_buf_fini(&der);
    ic_buf_fini(&want);
}

static void test_anonymous(void)
{
    struct ic_identity *id = NULL;
    uint8_t sig[IC_SIGNATURE_LEN];
    char text[IC_PRINCIPAL_TEXT];

    TAP_INT(ic_identity_new_anonymous(&id), 0, "anonymous");
    TAP_OK(ic_identity_is_anonymous(id), "is anonymous");
    ic_principal_format(ic_identity_principal(id), text);
    TAP_STR(text, "2vxsx-fae", "its principal");
    TAP_INT((int64_t)ic_identity_public_key_der(id).len, 0, "has no key");
    TAP_INT(ic_identity_sign(id, (const uint8_t *)"x", 1, sig), -EINVAL, "cannot sign");
    ic_identity_free(id);
    ic_identity_free(NULL);
}

/* ---- files ---- */

static void write_file(const char *path, const void *bytes, size_t len, mode_t mode)
{
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(bytes, 1, len, f) != len || fclose(f) != 0 || chmod(path, mode) != 0)
        vector_die("cannot write", path);
}

/* Text that is no key, and a word of what is said about it. */
#define ED25519_BASE64 "MC4CAQAwBQYDK2VwBCIEIKmQZLWPgPW+fmjdNqTdvpIM8uHSqEbtjDyGKU8ssRLG"

static const struct {
    const char *text;
    const char *said;
} bad_files[] = {
    {"", "no PEM private key"},
    {"hello\n", "no PEM private key"},
    {BEGIN("PRIVATE KEY") "MC4CAQAwBQYDK2VwBCIE\n", "it is cut"},
    {BEGIN("PRIVATE KEY") ED25519_BASE64, "it is cut"},
    {BLOCK("PRIVATE KEY", "MC4CAQAwBQYDK2VwBCIE"), "damaged"},
    {BLOCK("PRIVATE KEY", "MC4CAQAwBQYDK2VwBCI"), "damaged"},
    {BLOCK("PRIVATE KEY", "MC4CA!AwBQYDK2VwBCIE"), "damaged"},
    {BLOCK("PRIVATE KEY", ""), "damaged"},
    {BLOCK("PRIVATE KEY", "===="), "damaged"},
    {BEGIN("PRIVATE KEY") ED25519_BASE64 "\n" END("PUBLIC KEY"), "damaged"},
    {BEGIN("PRIVATE KEY") BLOCK("PRIVATE KEY", ED25519_BASE64), "damaged"},
    {BLOCK("PRIVATE KEY", ED25519_BASE64) BLOCK("PRIVATE KEY", ED25519_BASE64), "several"},
    {BLOCK("PRIVATE KEY", ED25519_BASE64 "MC4C"), "damaged"}, /* bytes behind the key */
    {BLOCK("PUBLIC KEY", "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="),
     "public key"},
    {BLOCK("CERTIFICATE", "MAAA"), "certificate"},
    {BLOCK("OPENSSH PRIVATE KEY", "MAAA"), "OpenSSH"},
    {BLOCK("RSA PRIVATE KEY", "MAAA"), "RSA"},
    {BLOCK("ANY PRIVATE KEY", "MAAA"), "unknown kind"},
    /* PKCS#8 with the algorithms RSA, X25519, Ed448, none that anybody knows */
    {BLOCK("PRIVATE KEY", "MBQCAQAwDQYJKoZIhvcNAQEBBQAEAA=="), "it is an RSA key, and only"},
    {BLOCK("PRIVATE KEY", "MC4CAQAwBQYDK2VuBCIEIKmQZLWPgPW+fmjdNqTdvpIM8uHSqEbtjDyGKU8ssRLG"),
     "it is an X25519 key, and only"},
    {BLOCK("PRIVATE KEY", "MC4CAQAwBQYDK2VxBCIEIKmQZLWPgPW+fmjdNqTdvpIM8uHSqEbtjDyGKU8ssRLG"),
     "it is an Ed448 key, and only"},
    {BLOCK("PRIVATE KEY", "MC4CAQAwBQYDKwEBBCIEIKmQZLWPgPW+fmjdNqTdvpIM8uHSqEbtjDyGKU8ssRLG"),
     "it is a key of an unknown kind, and only"},
    {BLOCK("PRIVATE KEY", "MBACAQAwCQYHKoZIzjgEAQQA"), "it is a DSA key, and only"},
    /* SEC 1 on P-384, and on a curve that nobody knows */
    {BLOCK("EC PRIVATE KEY", "MBACAQEEAgECoAcGBSuBBAAi"),
     "it is an ECDSA key on curve P-384, and only"},
    {BLOCK("EC PRIVATE KEY", "MBACAQEEAgECoAcGBSuBBAB/"),
     "it is an ECDSA key on an unknown curve, and only"},
    /* SEC 1, secp256k1, with the scalars zero and the curve's order */
    {BLOCK("EC PRIVATE KEY", "MC4CAQEEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAoAcGBSuBBAAK"),
     "not a number of its curve"},
    {BLOCK("EC PRIVATE KEY", "MC4CAQEEIP////////////////////66rtzmr0igO7/SXozQNkFBoAcGBSuBBAAK"),
     "not a number of its curve"},
    /* decrypted_sec1_k256.pem with another public key */
    {BLOCK("EC PRIVATE KEY", "MHQCAQEEIGucoIozemHx4AuybfcAogFKbdEO+tm7sCR+1A2tvljsoAcGBSuBBAAK"
                             "oUQDQgAEENNJgKUa+J0zMa1fqA/jDYhorYdSZGCzs+FVlu5Y6BJCKYfYWJumEJgm"
                             "TfW7nC0/9v4GF0a0sxpE7CZjZjK4NA=="),
     "does not belong to it"},
    /* broken_dfx_pkcs8_ed25519.pem with another public key */
    {BLOCK("PRIVATE KEY", "MFMCAQEwBQYDK2VwBCIEIG3ed3wSQxzvolbHh78sqeJorU03Q0gc4hGeRcjC6Q3V"
                          "oSMDIQBJK5H9sOWgFEFidi27yziJCwJ0rGb5H0imTYKG8/0GAQ=="),
     "does not belong to it"},
    /* P-256 named by the block, secp256k1 by the key */
    {BLOCK("EC PARAMETERS", "BggqhkjOPQMBBw==") BLOCK(
         "EC PRIVATE KEY", "MC4CAQEEIGucoIozemHx4AuybfcAogFKbdEO+tm7sCR+1A2tvljsoAcGBSuBBAAK"),
     "two curves"},
    {BLOCK("ENCRYPTED PRIVATE KEY", "MAAA"), "damaged"},
    {BEGIN("EC PRIVATE KEY") "Proc-Type: 4,ENCRYPTED\n\nMAAA\n" END("EC PRIVATE KEY"),
     "its encryption"},
    {BEGIN("EC PRIVATE KEY") "Proc-Type: 4,ENCRYPTED\nDEK-Info: NO-SUCH,00\n\nMAAA\n" END(
         "EC PRIVATE KEY"),
     "its encryption"},
};

static void test_bad_files(void)
{
    struct asked asked = {"x", 0};
    const struct ic_password password = {give, &asked};
    for (size_t i = 0; i < sizeof(bad_files) / sizeof(bad_files[0]); i++) {
        struct ic_identity *id = NULL;
        struct ic_error err = {0};
        const char *text = bad_files[i].text;
        TAP_INT(ic_identity_parse_pem("x.pem", ic_view(text, strlen(text)), &password, &id, &err),
                -EINVAL, bad_files[i].said);
        if (!TAP_OK(strstr(err.message, bad_files[i].said) != NULL, "is what is said"))
            printf("# said: %s\n", err.message);
        TAP_OK(id == NULL && err.code == IC_E_CONFIG, "nothing came out");
    }
    TAP_INT(asked.n, 0, "no password was asked for in vain");
}

/* The same key in ways that people's editors and tools write it. */
static void test_lenient(void)
{
    static const char *const texts[] = {
        "a comment first\n" BLOCK("PRIVATE KEY", ED25519_BASE64) "and one behind\n",
        "-----BEGIN PRIVATE KEY-----\r\n" ED25519_BASE64 "\r\n-----END PRIVATE KEY-----\r\n",
        BEGIN("PRIVATE KEY") ED25519_BASE64 "\n-----END PRIVATE KEY-----",
        BLOCK("EC PARAMETERS", "BgUrgQQACg==") BLOCK("PRIVATE KEY", ED25519_BASE64),
        BLOCK("PRIVATE KEY", ED25519_BASE64) BLOCK("CERTIFICATE", "MAAA"),
        BEGIN("PRIVATE KEY") "MC4CAQAwBQYDK2VwBCIEIKmQZLWPgPW+fmjdNqTd  \nvpIM8uHSqEbtjDyGKU8ssRLG"
                             "\n" END("PRIVATE KEY"),
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct ic_identity *id = NULL;
        char text[IC_PRINCIPAL_TEXT] = "";
        TAP_INT(
            ic_identity_parse_pem("x.pem", ic_view(texts[i], strlen(texts[i])), NULL, &id, NULL), 0,
            "a key written in another way");
        if (id)
            ic_principal_format(ic_identity_principal(id), text);
        TAP_STR(text, "jj5yb-kxwog-t6hmv-jxmpm-rtuci-uikjz-qkezj-4armi-wihgt-ulmi3-bqe",
                "is the same");
        ic_identity_free(id);
    }
}

static void check_refused(const char *path, const char *said)
{
    struct ic_identity *id = NULL;
    struct ic_error err = {0};
    TAP_INT(ic_identity_open_pem(path, NULL, &id, &err), -EINVAL, said);
    TAP_OK(strstr(err.message, said) != NULL, "is what is said");
    TAP_OK(strstr(err.message, path) != NULL, "of that file");
    TAP_OK(id == NULL && err.code == IC_E_CONFIG, "nothing came out");
}

static void test_files(const char *data_dir, const char *dir)
{
    struct ic_buf key = vector_file(data_dir, "pem/decrypted_pkcs8_ed25519.pem");
    struct ic_buf big = {0};
    struct ic_identity *id = NULL;
    struct ic_error err = {0};
    char path[VECTOR_PATH];

    snprintf(path, sizeof(path), "%s/key.pem", dir);
    write_file(path, key.bytes, key.len, 0600);
    TAP_INT(ic_identity_open_pem(path, NULL, &id, &err), 0, "a private file");
    TAP_OK(!ic_identity_is_exposed(id), "is not exposed");
    ic_identity_free(id);
    id = NULL;
    write_file(path, key.bytes, key.len, 0640);
    TAP_INT(ic_identity_open_pem(path, NULL, &id, &err), 0, "a file its group may read");
    TAP_OK(ic_identity_is_exposed(id), "is exposed");
    ic_identity_free(id);
    id = NULL;

    struct ic_buf locked = vector_file(data_dir, "pem/encrypted_pkcs8_k256.pem");
    write_file(path, locked.bytes, locked.len, 0604);
    check_refused(path, "; others can read the key file: chmod 600 it");
    write_file(path, "no key\n", 7, 0644);
    TAP_INT(ic_identity_open_pem(path, NULL, &id, &err), -EINVAL, "a file without a key");
    TAP_OK(strstr(err.message, "others can read") == NULL, "may be read by anybody");
    ic_buf_fini(&locked);

    while (big.len < 65535)
        ic_buf_append(&big, "\n", 1);
    write_file(path, big.bytes, big.len, 0600);
    check_refused(path, "no PEM private key");
    ic_buf_append(&big, "\n", 1);
    write_file(path, big.bytes, big.len, 0600);
    check_refused(path, "too large");
    unlink(path);
    check_refused(path, "No such file");
    check_refused(dir, "a directory");
    check_refused("/dev/zero", "a device");
    if (mkfifo(path, 0600) < 0)
        vector_die("cannot make a pipe", path);
    check_refused(path, "a pipe");
    unlink(path);
    ic_buf_fini(&key);
    ic_buf_fini(&big);
}

int main(int argc, char **argv)
{
    char dir[] = "/tmp/canisterfs-test-identity-XXXXXX";
    if (argc != 2 || !mkdtemp(dir))
        return 1;
    test_key_files(argv[1]);
    test_signatures(argv[1]);
    test_against_openssl(argv[1]);
    test_verify_kinds();
    test_bad_files();
    test_lenient();
    test_ed25519();
    test_anonymous();
    test_files(argv[1], dir);
    rmdir(dir);
    return tap_done();
}
