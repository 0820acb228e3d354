/* The representation-independent hash of a map: what request ids, delegation signatures and query
 * signatures are made of.
 *
 *     struct ic_map_hash h;
 *     ret = ic_map_hash_init(&h);
 *     ic_map_hash_bytes(&h, "sender", view);
 *     ...
 *     ret = ic_map_hash_fini(&h, digest);
 *
 * Putting never fails visibly: the first failure is remembered and comes back from fini.
 *
 * Source: IC interface spec, Representation-independent hashing of structured data.
 */
#ifndef CANISTERFS_IC_MAP_HASH_H
#define CANISTERFS_IC_MAP_HASH_H

#include "ic/attr.h"
#include "ic/buf.h"
#include "ic/path.h"
#include "ic/sha.h"

#include <stddef.h>
#include <stdint.h>

#define IC_MAP_HASH_FIELDS 16

/* Declared by the caller, for one thread. */
struct ic_map_hash {
    struct ic_sha256 *sha;
    uint8_t fields[IC_MAP_HASH_FIELDS][2 * IC_SHA256_LEN]; /* hash of the name, hash of the value */
    size_t n;
    int status;
};

int ic_map_hash_init(struct ic_map_hash *h) IC_NONNULL(1) IC_MUST_CHECK;

/* Add a field; at most IC_MAP_HASH_FIELDS, names distinct. Bytes and text hash alike; a nat as its
 * LEB128 form; an array as the concatenation of its elements' hashes; a nested map by its own
 * ic_map_hash digest, put with ic_map_hash_digest. */
void ic_map_hash_bytes(struct ic_map_hash *h, const char *name, struct ic_view value)
    IC_NONNULL(1, 2);
void ic_map_hash_text(struct ic_map_hash *h, const char *name, const char *value)
    IC_NONNULL(1, 2, 3);
void ic_map_hash_nat(struct ic_map_hash *h, const char *name, uint64_t value) IC_NONNULL(1, 2);
void ic_map_hash_paths(struct ic_map_hash *h, const char *name, const struct ic_path *paths,
                       size_t n) IC_NONNULL(1, 2);
void ic_map_hash_digest(struct ic_map_hash *h, const char *name,
                        const uint8_t digest[IC_SHA256_LEN]) IC_NONNULL(1, 2, 3);

/* Compute the hash and release everything. Returns 0, -ENOMEM, -E2BIG (too many fields). */
int ic_map_hash_fini(struct ic_map_hash *h, uint8_t out[IC_SHA256_LEN])
    IC_NONNULL(1, 2) IC_MUST_CHECK;

#endif
