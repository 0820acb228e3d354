/* Identities: keys, signatures, and reading a key file. See identity.h. */
#include "ic/identity.h"

#include "ic/spki.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ED25519_KEY_LEN 32
#define PEM_FILE_MAX    65536

#define ED25519_DER_LEN (sizeof(ic_spki_ed25519) + ED25519_KEY_LEN)

/* PKCS#8 of Ed25519 between the version number and the seed (RFC 8410, section 7). The seed stands
 * at the same place in version 1, version 2 and the form old dfx wrote. */
static const uint8_t ed25519_pkcs8[] = {0x30, 0x05, 0x06, 0x03, 0x2b, 0x65,
                                        0x70, 0x04, 0x22, 0x04, 0x20};
#define PKCS8_VERSION 4
#define PKCS8_SEED    (PKCS8_VERSION + 1 + sizeof(ed25519_pkcs8))

static const uint8_t oid_secp256k1[] = {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a};
static const uint8_t oid_p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
static const uint8_t oid_rsa[] = {0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01};

struct ic_identity {
    struct ic_principal principal;
    EVP_PKEY *key; /* NULL when anonymous */
    uint8_t der[ED25519_DER_LEN];
    size_t der_len;
    bool is_exposed;
};

/* ---- keys ---- */

int ic_identity_new_anonymous(struct ic_identity **out)
{
    struct ic_identity *id = calloc(1, sizeof(*id));
    if (!id)
        return -ENOMEM;
    id->principal = ic_principal_anonymous();
    *out = id;
    return 0;
}

int ic_identity_new_ed25519(const uint8_t seed[32], struct ic_identity **out)
{
    size_t public_len = ED25519_KEY_LEN;
    int ret = -ENOMEM;
    struct ic_identity *id = calloc(1, sizeof(*id));
    if (!id)
        return -ENOMEM;

    id->key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, ED25519_KEY_LEN);
    if (!id->key)
        goto out;
    memcpy(id->der, ic_spki_ed25519, sizeof(ic_spki_ed25519));
    if (!EVP_PKEY_get_raw_public_key(id->key, id->der + sizeof(ic_spki_ed25519), &public_len))
        goto out;
    id->der_len = ED25519_DER_LEN;
    ret = ic_principal_self_authenticating(id->der, id->der_len, &id->principal);
    if (ret < 0)
        goto out;
    *out = id;
    id = NULL;
out:
    ic_identity_free(id);
    return ret;
}

void ic_identity_free(struct ic_identity *id)
{
    if (!id)
        return;
    EVP_PKEY_free(id->key); /* wipes the private key */
    free(id);
}

bool ic_identity_is_anonymous(const struct ic_identity *id)
{
    return id->key == NULL;
}

bool ic_identity_is_exposed(const struct ic_identity *id)
{
    return id->is_exposed;
}

const struct ic_principal *ic_identity_principal(const struct ic_identity *id)
{
    return &id->principal;
}

struct ic_view ic_identity_public_key_der(const struct ic_identity *id)
{
    return ic_view(id->der, id->der_len);
}

int ic_identity_sign(const struct ic_identity *id, const uint8_t *msg, size_t len,
                     uint8_t sig[IC_SIGNATURE_LEN])
{
    size_t sig_len = IC_SIGNATURE_LEN;
    EVP_MD_CTX *ctx;
    int ret = -ENOMEM;

    if (!id->key)
        return -EINVAL;
    ctx = EVP_MD_CTX_new();
    if (ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, id->key) == 1 &&
        EVP_DigestSign(ctx, sig, &sig_len, msg, len) == 1 && sig_len == IC_SIGNATURE_LEN)
        ret = 0;
    else
        ERR_clear_error();
    EVP_MD_CTX_free(ctx);
    return ret;
}

/* ---- key files ---- */

/* Read a whole file of at most cap bytes. Not through stdio, whose buffer could not be wiped. */
static int read_file(const char *path, uint8_t *bytes, size_t cap, size_t *len, bool *is_exposed,
                     struct ic_error *err)
{
    struct stat st;
    ssize_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return ic_fail(err, IC_E_CONFIG, "identity file %s: %s", path, strerror(errno));
    *len = 0;
    *is_exposed = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 077);
    while (*len < cap) {
        n = read(fd, bytes + *len, cap - *len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        *len += (size_t)n;
    }
    if (n < 0)
        ic_fail(err, IC_E_CONFIG, "identity file %s: %s", path, strerror(errno));
    else if (*len == cap)
        ic_fail(err, IC_E_CONFIG, "identity file %s: too large for a key file", path);
    close(fd);
    return n < 0 || *len == cap ? -EINVAL : 0;
}

static bool contains(const uint8_t *der, size_t len, const uint8_t *what, size_t what_len)
{
    return memmem(der, len, what, what_len) != NULL;
}

/* What a private key that we cannot use is, for the message. */
static const char *kind_of_key(const char *label, const uint8_t *der, size_t len)
{
    if (strcmp(label, "ENCRYPTED PRIVATE KEY") == 0)
        return "a password-protected key";
    if (strcmp(label, "OPENSSH PRIVATE KEY") == 0)
        return "an OpenSSH key";
    if (contains(der, len, oid_secp256k1, sizeof(oid_secp256k1)))
        return "an ECDSA secp256k1 key";
    if (contains(der, len, oid_p256, sizeof(oid_p256)))
        return "an ECDSA P-256 key";
    if (strcmp(label, "RSA PRIVATE KEY") == 0 || contains(der, len, oid_rsa, sizeof(oid_rsa)))
        return "an RSA key";
    if (strcmp(label, "EC PRIVATE KEY") == 0)
        return "an ECDSA key";
    return "a key of unknown kind";
}

/* The Ed25519 seed inside PKCS#8, or NULL. */
static const uint8_t *find_seed(const uint8_t *der, size_t len)
{
    bool fits = len >= PKCS8_SEED + ED25519_KEY_LEN && der[0] == 0x30 && der[1] == len - 2 &&
                der[2] == 0x02 && der[3] == 0x01 && der[PKCS8_VERSION] <= 1 &&
                memcmp(der + PKCS8_VERSION + 1, ed25519_pkcs8, sizeof(ed25519_pkcs8)) == 0;
    return fits ? der + PKCS8_SEED : NULL;
}

/* One PEM block: make an identity of it. */
static int from_block(const char *path, const char *label, const uint8_t *der, size_t len,
                      struct ic_identity **out, struct ic_error *err)
{
    const uint8_t *seed = strcmp(label, "PRIVATE KEY") == 0 ? find_seed(der, len) : NULL;
    if (!seed)
        return ic_fail(err, IC_E_CONFIG,
                       "identity file %s: holds %s, only plain Ed25519 keys can be used", path,
                       kind_of_key(label, der, len));
    if (ic_identity_new_ed25519(seed, out) < 0)
        return ic_fail(err, IC_E_NO_MEMORY, "identity file %s: out of memory", path);
    return 0;
}

static bool is_private_key(const char *label)
{
    static const char suffix[] = "PRIVATE KEY";
    size_t len = strlen(label), n = sizeof(suffix) - 1;
    return len >= n && strcmp(label + len - n, suffix) == 0;
}

/* Walk the PEM blocks of a file up to the first private key. */
static int from_pem(const char *path, const uint8_t *pem, size_t pem_len, struct ic_identity **out,
                    struct ic_error *err)
{
    int ret = -ENOENT;
    BIO *bio = BIO_new_mem_buf(pem, (int)pem_len);
    if (!bio)
        return ic_fail(err, IC_E_NO_MEMORY, "identity file %s: out of memory", path);
    while (ret == -ENOENT) {
        char *label = NULL, *header = NULL;
        unsigned char *der = NULL;
        long len = 0;

        /* PEM_FLAG_SECURE makes OpenSSL wipe its own buffers. */
        if (!PEM_read_bio_ex(bio, &label, &header, &der, &len,
                             PEM_FLAG_SECURE | PEM_FLAG_EAY_COMPATIBLE))
            break;
        if (is_private_key(label))
            ret = from_block(path, label, der, (size_t)len, out, err);
        OPENSSL_secure_clear_free(der, (size_t)len);
        OPENSSL_secure_free(header);
        OPENSSL_secure_free(label);
    }
    BIO_free(bio);
    ERR_clear_error();
    if (ret == -ENOENT)
        ret = ic_fail(err, IC_E_CONFIG, "identity file %s: no PEM private key in it", path);
    return ret;
}

int ic_identity_open_pem(const char *path, struct ic_identity **out, struct ic_error *err)
{
    size_t len = 0;
    bool is_exposed = false;
    struct ic_identity *id = NULL;
    int ret;
    uint8_t *pem = malloc(PEM_FILE_MAX);
    if (!pem)
        return ic_fail(err, IC_E_NO_MEMORY, "identity file %s: out of memory", path);

    ret = read_file(path, pem, PEM_FILE_MAX, &len, &is_exposed, err);
    if (ret == 0)
        ret = from_pem(path, pem, len, &id, err);
    if (id) {
        id->is_exposed = is_exposed;
        *out = id;
    }
    OPENSSL_cleanse(pem, PEM_FILE_MAX);
    free(pem);
    return ret;
}
