/* Identities: every key file of the vectors, the RFC 8032 signature, permissions, bad files. */
#include "ic/identity.h"
#include "tests/ic/vectors.h"
#include "tests/tap.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

TAP_STATE;

/* Which of the vector files can be used, and what the error names otherwise. */
static const struct {
    const char *file;
    const char *named; /* NULL: can be used */
} key_files[] = {
    {"decrypted_pkcs8_ed25519.pem", NULL},
    {"broken_dfx_pkcs8_ed25519.pem", NULL},
    {"decrypted_sec1_k256.pem", "secp256k1"},
    {"separate_params_sec1_k256.pem", "ECDSA key"},
    {"missing_params_sec1_k256.pem", "ECDSA key"},
    {"pkcs8_k256.pem", "secp256k1"},
    {"encrypted_pkcs8_k256.pem", "password-protected"},
    {"decrypted_sec1_p256.pem", "P-256"},
    {"separate_params_sec1_p256.pem", "P-256"},
    {"pkcs8_p256.pem", "P-256"},
    {"unsupported_curve_sec1.pem", "ECDSA key"},
    {"agentrs_secp256k1_identity_file.pem", "secp256k1"},
    {"agentrs_secp256k1_identity_file_pkcs8.pem", "secp256k1"},
    {"agentrs_prime256v1_identity_file.pem", "P-256"},
    {"agentrs_prime256v1_identity_file_pkcs8.pem", "P-256"},
    {"js_sec1_k256.pem", "secp256k1"},
};

static void test_key_files(const char *data_dir)
{
    json_t *index = vector_json(data_dir, "pem/index.json");
    json_t *files = json_object_get(index, "files");
    size_t n = sizeof(key_files) / sizeof(key_files[0]);

    TAP_INT((int64_t)json_object_size(files), (int64_t)n, "every vector file is known here");
    for (size_t i = 0; i < n; i++) {
        char name[128], path[VECTOR_PATH], text[IC_PRINCIPAL_TEXT];
        struct ic_identity *id = NULL;
        struct ic_error err = {0};
        int ret;

        snprintf(name, sizeof(name), "pem/%s", key_files[i].file);
        vector_path(data_dir, name, path);
        ret = ic_identity_open_pem(path, &id, &err);
        if (!key_files[i].named) {
            TAP_INT(ret, 0, key_files[i].file);
            if (ret < 0)
                continue;
            ic_principal_format(ic_identity_principal(id), text);
            TAP_STR(text, vector_text(files, key_files[i].file), "its principal");
            ic_identity_free(id);
            continue;
        }
        TAP_INT(ret, -EINVAL, key_files[i].file);
        TAP_OK(id == NULL, "nothing came out");
        TAP_OK(strstr(err.message, key_files[i].named) != NULL, "the kind is named");
        TAP_OK(strstr(err.message, path) != NULL, "and the file");
        TAP_INT(ic_identity_open_pem(path, &id, NULL), -EINVAL, "without an error struct");
    }
    json_decref(index);
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

static void write_file(const char *path, const void *bytes, size_t len, mode_t mode)
{
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(bytes, 1, len, f) != len || fclose(f) != 0 || chmod(path, mode) != 0)
        vector_die("cannot write", path);
}

static void test_files(const char *data_dir, const char *dir)
{
    static const char params[] = "-----BEGIN EC PARAMETERS-----\nBgUrgQQACg==\n"
                                 "-----END EC PARAMETERS-----\n";
    static const char cut[] = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIE\n"
                              "-----END PRIVATE KEY-----\n";
    static const char open_end[] = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIE\n";
    struct ic_buf key = vector_file(data_dir, "pem/decrypted_pkcs8_ed25519.pem");
    struct ic_buf big = {0};
    struct ic_identity *id = NULL;
    struct ic_error err = {0};
    char path[VECTOR_PATH];

    snprintf(path, sizeof(path), "%s/key.pem", dir);
    write_file(path, key.bytes, key.len, 0600);
    TAP_INT(ic_identity_open_pem(path, &id, &err), 0, "a private file");
    TAP_OK(!ic_identity_is_exposed(id), "is not exposed");
    ic_identity_free(id);
    id = NULL;
    write_file(path, key.bytes, key.len, 0640);
    TAP_INT(ic_identity_open_pem(path, &id, &err), 0, "a file its group may read");
    TAP_OK(ic_identity_is_exposed(id), "is exposed");
    ic_identity_free(id);
    id = NULL;

    ic_buf_append(&big, params, sizeof(params) - 1);
    ic_buf_append(&big, key.bytes, key.len);
    write_file(path, big.bytes, big.len, 0600);
    TAP_INT(ic_identity_open_pem(path, &id, &err), 0,
            "other blocks before the key are passed over");
    ic_identity_free(id);
    id = NULL;

    write_file(path, cut, sizeof(cut) - 1, 0600);
    TAP_INT(ic_identity_open_pem(path, &id, &err), -EINVAL, "a cut key");
    write_file(path, open_end, sizeof(open_end) - 1, 0600);
    TAP_INT(ic_identity_open_pem(path, &id, &err), -EINVAL, "a block without an end");
    TAP_OK(strstr(err.message, "no PEM private key") != NULL, "says so");
    write_file(path, "", 0, 0600);
    TAP_INT(ic_identity_open_pem(path, &id, &err), -EINVAL, "an empty file");
    while (big.len < 100000)
        ic_buf_append(&big, params, sizeof(params) - 1);
    write_file(path, big.bytes, big.len, 0600);
    TAP_INT(ic_identity_open_pem(path, &id, &err), -EINVAL, "a file too large");
    TAP_INT(err.code, IC_E_CONFIG, "is a matter of configuration");
    unlink(path);
    TAP_INT(ic_identity_open_pem(path, &id, &err), -EINVAL, "no file");
    TAP_OK(strstr(err.message, "No such file") != NULL, "says so");
    TAP_INT(ic_identity_open_pem(dir, &id, &err), -EINVAL, "a directory");
    TAP_OK(id == NULL, "nothing came out of all these");
    ic_buf_fini(&key);
    ic_buf_fini(&big);
}

int main(int argc, char **argv)
{
    char dir[] = "/tmp/canisterfs-test-identity-XXXXXX";
    if (argc != 2 || !mkdtemp(dir))
        return 1;
    test_key_files(argv[1]);
    test_ed25519();
    test_anonymous();
    test_files(argv[1], dir);
    rmdir(dir);
    return tap_done();
}
