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

int ic_sha256_begin(struct ic_sha256 *s)
{
    return EVP_DigestInit_ex2(s->ctx, s->md, NULL) ? 0 : -ENOMEM;
}

int ic_sha256_add(struct ic_sha256 *s, const void *bytes, size_t len)
{
    return len == 0 || EVP_DigestUpdate(s->ctx, bytes, len) ? 0 : -ENOMEM;
}

int ic_sha256_end(struct ic_sha256 *s, uint8_t out[IC_SHA256_LEN])
{
    return EVP_DigestFinal_ex(s->ctx, out, NULL) ? 0 : -ENOMEM;
}

int ic_sha256_parts(struct ic_sha256 *s, const struct ic_view *parts, size_t n,
                    uint8_t out[IC_SHA256_LEN])
{
    int result = ic_sha256_begin(s);
    for (size_t i = 0; result == 0 && i < n; i++)
        result = ic_sha256_add(s, parts[i].bytes, parts[i].len);
    return result == 0 ? ic_sha256_end(s, out) : result;
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
