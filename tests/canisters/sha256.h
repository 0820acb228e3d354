/* SHA-256 (FIPS 180-4). */
#ifndef CANISTERS_SHA256_H
#define CANISTERS_SHA256_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHA256_BYTES 32

struct sha256 {
    uint32_t state[8];
    uint64_t total;    /* bytes taken in so far */
    uint8_t block[64]; /* the last total % 64 of them */
};

void sha256_init(struct sha256 *hash);
void sha256_update(struct sha256 *hash, const uint8_t *bytes, size_t len);
void sha256_final(struct sha256 *hash, uint8_t out[SHA256_BYTES]);
bool sha256_is_same(const uint8_t a[SHA256_BYTES], const uint8_t b[SHA256_BYTES]);

#endif
