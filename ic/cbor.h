/* CBOR as the Internet Computer uses it: read item by item out of a borrowed message, written with
 * definite lengths.
 *
 * Reading has two steps. `ic_cbor_open` walks the whole message once and refuses everything this
 * room never wants to meet: malformed or trailing bytes, more than IC_CBOR_DEPTH levels, declared
 * counts that the remaining bytes cannot hold, floats, undefined, chunked strings, map keys that
 * are not text or come twice. What it returns is a view of one item, and the functions below take
 * such views apart without copying. They check again whatever they rely on, so a view that never
 * went through ic_cbor_open gives -EPROTO, not worse.
 *
 * The bytes are decoded by libcbor's streaming decoder, which allocates nothing.
 *
 * Source: RFC 8949; IC interface spec, CBOR encoding of requests and responses.
 */
#ifndef CANISTERFS_IC_CBOR_H
#define CANISTERFS_IC_CBOR_H

#include "ic/attr.h"
#include "ic/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IC_CBOR_DEPTH     160 /* hash trees are the deepest thing there is: 128 */
#define IC_CBOR_MAP_DEPTH 8
#define IC_CBOR_MAP_KEYS  64

enum ic_cbor_kind {
    IC_CBOR_UINT,   /* value */
    IC_CBOR_NEGINT, /* -1 - value */
    IC_CBOR_BYTES,  /* view */
    IC_CBOR_TEXT,   /* view */
    IC_CBOR_ARRAY,  /* value items follow, or items up to a break when indefinite */
    IC_CBOR_MAP,    /* value pairs follow, likewise */
    IC_CBOR_TAG,    /* value is the tag; the tagged item follows */
    IC_CBOR_BOOL,   /* value is 0 or 1 */
    IC_CBOR_NULL,
    IC_CBOR_BREAK, /* the end of an indefinite array or map */
};

/* The head of one item; the items inside an array, map or tag follow it. */
struct ic_cbor_item {
    enum ic_cbor_kind kind;
    bool indefinite;
    uint64_t value;
    struct ic_view view;
};

/* Read the next head. A declared count is never larger than what is left can hold.
 *
 * Returns 0, -EPROTO (end of input, malformed, or of a kind that is never wanted). */
int ic_cbor_next(struct ic_cursor *c, struct ic_cbor_item *out) IC_NONNULL(1, 2) IC_MUST_CHECK;

/* Check a whole message and give its one item, the self-described tag (55799) stripped.
 *
 * Returns 0, -EPROTO. */
int ic_cbor_open(const uint8_t *bytes, size_t len, struct ic_view *out) IC_NONNULL(3) IC_MUST_CHECK;

/* A map, taken apart: keys and the encoded items they lead to, all views. */
struct ic_cbor_map {
    struct {
        struct ic_view key;
        struct ic_view item;
    } entries[IC_CBOR_MAP_KEYS];
    size_t n;
};

/* Returns 0, -EPROTO (not a map with text keys, a key twice, too many keys). */
int ic_cbor_map(struct ic_view item, struct ic_cbor_map *out) IC_NONNULL(2) IC_MUST_CHECK;

/* The item of a key, whatever it is. Returns 0, -ENOENT. */
int ic_cbor_map_find(const struct ic_cbor_map *map, const char *key, struct ic_view *out)
    IC_NONNULL(1, 2, 3) IC_MUST_CHECK;

/* The item of a key at a type. Each returns 0, -ENOENT (no such key), -EPROTO (another type; text
 * that is not UTF-8). */
int ic_cbor_map_uint(const struct ic_cbor_map *map, const char *key, uint64_t *out)
    IC_NONNULL(1, 2, 3) IC_MUST_CHECK;
int ic_cbor_map_bytes(const struct ic_cbor_map *map, const char *key, struct ic_view *out)
    IC_NONNULL(1, 2, 3) IC_MUST_CHECK;
int ic_cbor_map_text(const struct ic_cbor_map *map, const char *key, struct ic_view *out)
    IC_NONNULL(1, 2, 3) IC_MUST_CHECK;

/* The content of a byte string item. Returns 0, -EPROTO. */
int ic_cbor_bytes(struct ic_view item, struct ic_view *out) IC_NONNULL(2) IC_MUST_CHECK;

/* A walk through an array. */
struct ic_cbor_array {
    struct ic_cursor rest;
    uint64_t left; /* definite only */
    bool indefinite;
};

/* Returns 0, -EPROTO (not an array). */
int ic_cbor_array(struct ic_view item, struct ic_cbor_array *out) IC_NONNULL(2) IC_MUST_CHECK;

/* The next item. Returns 0, -ENOENT at the end, -EPROTO. */
int ic_cbor_array_next(struct ic_cbor_array *array, struct ic_view *out)
    IC_NONNULL(1, 2) IC_MUST_CHECK;

/* ---- writing ---- */

void ic_cbor_put_self_described(struct ic_buf *b) IC_NONNULL(1);
void ic_cbor_put_uint(struct ic_buf *b, uint64_t value) IC_NONNULL(1);
void ic_cbor_put_bytes(struct ic_buf *b, struct ic_view bytes) IC_NONNULL(1);
void ic_cbor_put_text(struct ic_buf *b, const char *text) IC_NONNULL(1, 2);
void ic_cbor_put_array(struct ic_buf *b, size_t n) IC_NONNULL(1);
void ic_cbor_put_map(struct ic_buf *b, size_t n) IC_NONNULL(1);

#endif
