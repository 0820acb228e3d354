/* SHA-256 and SHA-224 through OpenSSL's EVP interface, which picks the processor's instructions. */
#ifndef CANISTERFS_IC_SHA_H
#define CANISTERFS_IC_SHA_H

#include "ic/attr.h"
#include "ic/buf.h"

#include <stddef.h>
#include <stdint.h>

#define IC_SHA256_LEN 32
#define IC_SHA224_LEN 28

/* A hasher for many small inputs: looks the algorithm up once, which otherwise costs more than
 * hashing 64 bytes does. For one thread at a time. */
struct ic_sha256;

int ic_sha256_new(struct ic_sha256 **out) IC_NONNULL(1) IC_MUST_CHECK;
void ic_sha256_free(struct ic_sha256 *s);

/* The hash of n parts one after the other. Returns 0 or -ENOMEM (any failure inside OpenSSL). */
int ic_sha256_parts(struct ic_sha256 *s, const struct ic_view *parts, size_t n,
                    uint8_t out[IC_SHA256_LEN]) IC_NONNULL(1, 4) IC_MUST_CHECK;

/* The same in steps: begin, add any number of times, end. Return 0 or -ENOMEM. */
int ic_sha256_begin(struct ic_sha256 *s) IC_NONNULL(1) IC_MUST_CHECK;
int ic_sha256_add(struct ic_sha256 *s, const void *bytes, size_t len) IC_NONNULL(1) IC_MUST_CHECK;
int ic_sha256_end(struct ic_sha256 *s, uint8_t out[IC_SHA256_LEN]) IC_NONNULL(1, 2) IC_MUST_CHECK;

/* One hash. Returns 0 or -ENOMEM. */
int ic_sha256(const void *bytes, size_t len, uint8_t out[IC_SHA256_LEN])
    IC_NONNULL(3) IC_MUST_CHECK;
int ic_sha224(const void *bytes, size_t len, uint8_t out[IC_SHA224_LEN])
    IC_NONNULL(3) IC_MUST_CHECK;

#endif
