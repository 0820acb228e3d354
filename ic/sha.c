/* SHA-256 and SHA-224: see sha.h. */
#include "ic/sha.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>

struct ic_sha256 {
    EVP_MD *md;
    EVP_MD_CTX *ctx;
};

int ic_sha256_new(struct ic_sha256 **out)
{
    struct ic_sha256 *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->md = EVP_MD_fetch(NULL, "SHA256", NULL);
    s->ctx = EVP_MD_CTX_new();
    if (!s->md || !s->ctx) {
        ic_sha256_free(s);
        return -ENOMEM;
    }
    *out = s;
    return 0;
}

void ic_sha256_free(struct ic_sha256 *s)
{
    if (!s)
        return;
    EVP_MD_CTX_free(s->ctx);
    EVP_MD_free(s->md);
    free(s);
}

int ic_sha256_parts(struct ic_sha256 *s, const struct ic_view *parts, size_t n,
                    uint8_t out[IC_SHA256_LEN])
{
    if (!EVP_DigestInit_ex2(s->ctx, s->md, NULL))
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        if (parts[i].len && !EVP_DigestUpdate(s->ctx, parts[i].bytes, parts[i].len))
            return -ENOMEM;
    return EVP_DigestFinal_ex(s->ctx, out, NULL) ? 0 : -ENOMEM;
}

static int digest(const char *name, const void *bytes, size_t len, uint8_t *out)
{
    return EVP_Q_digest(NULL, name, NULL, bytes, len, out, NULL) ? 0 : -ENOMEM;
}

int ic_sha256(const void *bytes, size_t len, uint8_t out[IC_SHA256_LEN])
{
    return digest("SHA256", bytes, len, out);
}

int ic_sha224(const void *bytes, size_t len, uint8_t out[IC_SHA224_LEN])
{
    return digest("SHA224", bytes, len, out);
}
