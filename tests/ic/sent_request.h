/* Requests as others made them: the fields of request_ids.json, hashed; and the captured bodies of
 * client/, taken apart.
 */
#ifndef CANISTERFS_TESTS_IC_SENT_REQUEST_H
#define CANISTERFS_TESTS_IC_SENT_REQUEST_H

#include "ic/cbor.h"
#include "ic/identity_key.h"
#include "ic/map_hash.h"
#include "ic/request.h"
#include "tests/ic/vectors.h"

/* ---- representation-independent hashes ---- */

/* The hash of an array of arrays of blobs: a list of paths. */
static inline void fields_put_paths(struct ic_map_hash *h, const char *name, json_t *array)
{
    struct ic_path paths[8];
    struct ic_label labels[8][8];
    struct ic_buf bytes[64] = {0};
    size_t i, j, n_bytes = 0, n = json_array_size(array);
    json_t *path, *label;

    json_array_foreach(array, i, path)
    {
        json_t *inner = json_object_get(path, "array");
        json_array_foreach(inner, j, label)
        {
            bytes[n_bytes] = vector_unhex(vector_text(label, "blob"));
            labels[i][j] = ic_label(bytes[n_bytes].bytes, bytes[n_bytes].len);
            n_bytes++;
        }
        paths[i] = (struct ic_path){labels[i], json_array_size(inner)};
    }
    ic_map_hash_paths(h, name, paths, n);
    while (n_bytes > 0)
        ic_buf_fini(&bytes[--n_bytes]);
}

/* An array of blobs, as delegation targets are: hashed like one path. */
static inline bool fields_put_targets(struct ic_map_hash *h, const char *name, json_t *array)
{
    struct ic_buf all = {0};
    uint8_t digest[IC_SHA256_LEN];
    size_t i;
    json_t *blob;
    bool ok = true;

    json_array_foreach(array, i, blob)
    {
        struct ic_buf bytes = vector_unhex(vector_text(blob, "blob"));
        ok = ok && ic_sha256(bytes.bytes, bytes.len, digest) == 0;
        ic_buf_append(&all, digest, sizeof(digest));
        ic_buf_fini(&bytes);
    }
    ic_map_hash_bytes(h, name, ic_view(all.bytes, all.len));
    ic_buf_fini(&all);
    return ok;
}

static inline bool fields_hash(json_t *fields, uint8_t out[IC_SHA256_LEN]);

static inline bool fields_put_value(struct ic_map_hash *h, const char *name, json_t *value)
{
    json_t *array = json_object_get(value, "array"), *map = json_object_get(value, "map");
    uint8_t digest[IC_SHA256_LEN];

    if (json_object_get(value, "text")) {
        ic_map_hash_text(h, name, vector_text(value, "text"));
    } else if (json_object_get(value, "blob")) {
        struct ic_buf bytes = vector_unhex(vector_text(value, "blob"));
        ic_map_hash_bytes(h, name, ic_view(bytes.bytes, bytes.len));
        ic_buf_fini(&bytes);
    } else if (json_object_get(value, "nat")) {
        ic_map_hash_nat(h, name, strtoull(vector_text(value, "nat"), NULL, 10));
    } else if (map) {
        if (!fields_hash(map, digest))
            return false;
        ic_map_hash_digest(h, name, digest);
    } else if (json_object_get(json_array_get(array, 0), "blob")) {
        return fields_put_targets(h, name, array);
    } else if (array) {
        fields_put_paths(h, name, array);
    } else {
        return false;
    }
    return true;
}

static inline bool fields_hash(json_t *fields, uint8_t out[IC_SHA256_LEN])
{
    struct ic_map_hash h;
    const char *name;
    json_t *value;
    bool known = true;

    if (ic_map_hash_init(&h) < 0)
        return false;
    json_object_foreach(fields, name, value) known = fields_put_value(&h, name, value) && known;
    return ic_map_hash_fini(&h, out) == 0 && known;
}

/* ---- envelopes ---- */

struct sent {
    struct ic_cbor_map envelope;
    struct ic_cbor_map content;
    struct ic_view type, sender, arg, canister, nonce;
    char method[64];
    uint64_t expiry;
    const uint8_t *nonce16;
    struct ic_path paths[8];
    struct ic_label labels[8][8];
    size_t n_paths;
};

static inline bool sent_read_paths(struct sent *s)
{
    struct ic_view item, path;
    struct ic_cbor_array outer, inner;
    if (ic_cbor_map_find(&s->content, "paths", &item) < 0 || ic_cbor_array(item, &outer) < 0)
        return false;
    while (ic_cbor_array_next(&outer, &path) == 0) {
        struct ic_path *p = &s->paths[s->n_paths];
        p->labels = s->labels[s->n_paths++];
        p->n = 0;
        if (ic_cbor_array(path, &inner) < 0)
            return false;
        while (ic_cbor_array_next(&inner, &item) == 0) {
            struct ic_view label;
            if (ic_cbor_bytes(item, &label) < 0)
                return false;
            s->labels[s->n_paths - 1][p->n++] = ic_label(label.bytes, label.len);
        }
    }
    return true;
}

static inline bool sent_read(const struct ic_buf *body, struct sent *s)
{
    struct ic_view root, item, method;
    memset(s, 0, sizeof(*s));
    if (ic_cbor_open(body->bytes, body->len, &root) < 0 || ic_cbor_map(root, &s->envelope) < 0 ||
        ic_cbor_map_find(&s->envelope, "content", &item) < 0 ||
        ic_cbor_map(item, &s->content) < 0 ||
        ic_cbor_map_text(&s->content, "request_type", &s->type) < 0 ||
        ic_cbor_map_bytes(&s->content, "sender", &s->sender) < 0 ||
        ic_cbor_map_uint(&s->content, "ingress_expiry", &s->expiry) < 0)
        return false;
    if (ic_cbor_map_bytes(&s->content, "nonce", &s->nonce) == 0 && s->nonce.len == IC_NONCE_LEN)
        s->nonce16 = s->nonce.bytes;
    if (ic_view_is_text(s->type, "read_state"))
        return sent_read_paths(s);
    if (ic_cbor_map_bytes(&s->content, "canister_id", &s->canister) < 0 ||
        ic_cbor_map_text(&s->content, "method_name", &method) < 0 || method.len >= 64 ||
        ic_cbor_map_bytes(&s->content, "arg", &s->arg) < 0)
        return false;
    memcpy(s->method, method.bytes, method.len);
    return true;
}

/* The request id of captured content, whoever sent it. */
static inline bool sent_id(const struct sent *s, uint8_t out[IC_REQUEST_ID_LEN])
{
    struct ic_map_hash h;
    if (ic_map_hash_init(&h) < 0)
        return false;
    ic_map_hash_bytes(&h, "request_type", s->type);
    ic_map_hash_bytes(&h, "sender", s->sender);
    ic_map_hash_nat(&h, "ingress_expiry", s->expiry);
    if (s->nonce.bytes)
        ic_map_hash_bytes(&h, "nonce", s->nonce);
    if (s->canister.bytes) {
        ic_map_hash_bytes(&h, "canister_id", s->canister);
        ic_map_hash_text(&h, "method_name", s->method);
        ic_map_hash_bytes(&h, "arg", s->arg);
    } else {
        ic_map_hash_paths(&h, "paths", s->paths, s->n_paths);
    }
    return ic_map_hash_fini(&h, out) == 0;
}

/* Verify a sender_sig over domain and id with a key in DER, whatever its scheme. */
static inline bool sent_is_signed(struct ic_view der, struct ic_view sig,
                                  const uint8_t id[IC_REQUEST_ID_LEN])
{
    uint8_t msg[11 + IC_REQUEST_ID_LEN];
    memcpy(msg, "\x0Aic-request", 11);
    memcpy(msg + 11, id, IC_REQUEST_ID_LEN);
    return ic_identity_key_verify(der, msg, sizeof(msg), sig) == 0;
}

/* The key that signs: the one that the last delegation names, else the sender's. Their number. */
static inline int sent_signer(const struct ic_cbor_map *envelope, struct ic_view *der)
{
    struct ic_view item, inner;
    struct ic_cbor_array links;
    struct ic_cbor_map link, delegation;
    int n = 0;
    if (ic_cbor_map_find(envelope, "sender_delegation", &item) < 0)
        return 0;
    if (ic_cbor_array(item, &links) < 0)
        return -1;
    for (; ic_cbor_array_next(&links, &item) == 0; n++)
        if (ic_cbor_map(item, &link) < 0 || ic_cbor_map_find(&link, "delegation", &inner) < 0 ||
            ic_cbor_map(inner, &delegation) < 0 ||
            ic_cbor_map_bytes(&delegation, "pubkey", der) < 0)
            return -1;
    return n;
}

#endif
