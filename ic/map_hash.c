/* Representation-independent hashing: see map_hash.h. */
#include "ic/map_hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int ic_map_hash_init(struct ic_map_hash *h)
{
    h->n = 0;
    h->status = 0;
    return ic_sha256_new(&h->sha);
}

static void hash(struct ic_map_hash *h, struct ic_view bytes, uint8_t *out)
{
    if (h->status == 0)
        h->status = ic_sha256_parts(h->sha, &bytes, 1, out);
}

/* Start a field: hash its name, give the place for the hash of its value. NULL after a failure. */
static uint8_t *add(struct ic_map_hash *h, const char *name)
{
    uint8_t *field;

    if (h->status < 0)
        return NULL;
    if (h->n == IC_MAP_HASH_FIELDS) {
        h->status = -E2BIG;
        return NULL;
    }
    field = h->fields[h->n++];
    hash(h, ic_view(name, strlen(name)), field);
    return field + IC_SHA256_LEN;
}

void ic_map_hash_bytes(struct ic_map_hash *h, const char *name, struct ic_view value)
{
    uint8_t *out = add(h, name);
    if (out)
        hash(h, value, out);
}

void ic_map_hash_text(struct ic_map_hash *h, const char *name, const char *value)
{
    ic_map_hash_bytes(h, name, ic_view(value, strlen(value)));
}

void ic_map_hash_nat(struct ic_map_hash *h, const char *name, uint64_t value)
{
    struct ic_buf leb = {0};
    ic_buf_append_leb64(&leb, value);
    if (h->status == 0)
        h->status = ic_buf_status(&leb);
    ic_map_hash_bytes(h, name, ic_view(leb.bytes, leb.len));
    ic_buf_fini(&leb);
}

void ic_map_hash_digest(struct ic_map_hash *h, const char *name,
                        const uint8_t digest[IC_SHA256_LEN])
{
    uint8_t *out = add(h, name);
    if (out)
        memcpy(out, digest, IC_SHA256_LEN);
}

/* The hash of a path: of the concatenated hashes of its labels. */
static void hash_path(struct ic_map_hash *h, const struct ic_path *path, uint8_t *out)
{
    struct ic_buf hashes = {0};
    uint8_t digest[IC_SHA256_LEN] = {0};

    for (size_t i = 0; i < path->n; i++) {
        hash(h, ic_view(path->labels[i].bytes, path->labels[i].len), digest);
        ic_buf_append(&hashes, digest, sizeof(digest));
    }
    if (h->status == 0)
        h->status = ic_buf_status(&hashes);
    hash(h, ic_view(hashes.bytes, hashes.len), out);
    ic_buf_fini(&hashes);
}

void ic_map_hash_paths(struct ic_map_hash *h, const char *name, const struct ic_path *paths,
                       size_t n)
{
    struct ic_buf hashes = {0};
    uint8_t digest[IC_SHA256_LEN] = {0};

    for (size_t i = 0; i < n; i++) {
        hash_path(h, &paths[i], digest);
        ic_buf_append(&hashes, digest, sizeof(digest));
    }
    if (h->status == 0)
        h->status = ic_buf_status(&hashes);
    ic_map_hash_bytes(h, name, ic_view(hashes.bytes, hashes.len));
    ic_buf_fini(&hashes);
}

static int compare_fields(const void *a, const void *b)
{
    return memcmp(a, b, 2 * IC_SHA256_LEN);
}

int ic_map_hash_fini(struct ic_map_hash *h, uint8_t out[IC_SHA256_LEN])
{
    uint8_t digest[IC_SHA256_LEN] = {0};

    qsort(h->fields, h->n, sizeof(h->fields[0]), compare_fields);
    hash(h, ic_view(h->fields, h->n * sizeof(h->fields[0])), digest);
    ic_sha256_free(h->sha);
    h->sha = NULL;
    if (h->status == 0)
        memcpy(out, digest, IC_SHA256_LEN);
    return h->status;
}
