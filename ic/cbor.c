/* CBOR: libcbor's streaming decoder behind a pull interface, with our bounds. See cbor.h. */
#include "ic/cbor.h"

#include <cbor.h>
#include <errno.h>
#include <string.h>

#define TAG_SELF_DESCRIBED 55799 /* RFC 8949, section 3.4.6 */
#define HEAD_MAX           9     /* bytes of the longest head */

/* ---- one item: libcbor calls back, we note what came ---- */

struct seen {
    struct ic_cbor_item item;
    bool unwanted;
};

static void see(void *ctx, enum ic_cbor_kind kind, uint64_t value)
{
    struct seen *s = ctx;
    s->item.kind = kind;
    s->item.value = value;
}

static void see_string(void *ctx, enum ic_cbor_kind kind, const uint8_t *bytes, size_t len)
{
    struct seen *s = ctx;
    s->item.kind = kind;
    s->item.view = ic_view(bytes, len);
}

static void uint8_cb(void *ctx, uint8_t v)
{
    see(ctx, IC_CBOR_UINT, v);
}

static void uint16_cb(void *ctx, uint16_t v)
{
    see(ctx, IC_CBOR_UINT, v);
}

static void uint32_cb(void *ctx, uint32_t v)
{
    see(ctx, IC_CBOR_UINT, v);
}

static void uint64_cb(void *ctx, uint64_t v)
{
    see(ctx, IC_CBOR_UINT, v);
}

static void negint8_cb(void *ctx, uint8_t v)
{
    see(ctx, IC_CBOR_NEGINT, v);
}

static void negint16_cb(void *ctx, uint16_t v)
{
    see(ctx, IC_CBOR_NEGINT, v);
}

static void negint32_cb(void *ctx, uint32_t v)
{
    see(ctx, IC_CBOR_NEGINT, v);
}

static void negint64_cb(void *ctx, uint64_t v)
{
    see(ctx, IC_CBOR_NEGINT, v);
}

static void bytes_cb(void *ctx, cbor_data bytes, size_t len)
{
    see_string(ctx, IC_CBOR_BYTES, bytes, len);
}

static void text_cb(void *ctx, cbor_data bytes, size_t len)
{
    see_string(ctx, IC_CBOR_TEXT, bytes, len);
}

static void array_cb(void *ctx, size_t n)
{
    see(ctx, IC_CBOR_ARRAY, n);
}

static void map_cb(void *ctx, size_t n)
{
    see(ctx, IC_CBOR_MAP, n);
}

static void indef_array_cb(void *ctx)
{
    see(ctx, IC_CBOR_ARRAY, 0);
    ((struct seen *)ctx)->item.indefinite = true;
}

static void indef_map_cb(void *ctx)
{
    see(ctx, IC_CBOR_MAP, 0);
    ((struct seen *)ctx)->item.indefinite = true;
}

static void tag_cb(void *ctx, uint64_t tag)
{
    see(ctx, IC_CBOR_TAG, tag);
}

static void bool_cb(void *ctx, bool b)
{
    see(ctx, IC_CBOR_BOOL, b);
}

static void null_cb(void *ctx)
{
    see(ctx, IC_CBOR_NULL, 0);
}

static void break_cb(void *ctx)
{
    see(ctx, IC_CBOR_BREAK, 0);
}

static void unwanted_cb(void *ctx)
{
    ((struct seen *)ctx)->unwanted = true;
}

static void unwanted_float_cb(void *ctx, float f)
{
    (void)f;
    unwanted_cb(ctx);
}

static void unwanted_double_cb(void *ctx, double d)
{
    (void)d;
    unwanted_cb(ctx);
}

static const struct cbor_callbacks callbacks = {
    .uint8 = uint8_cb,
    .uint16 = uint16_cb,
    .uint32 = uint32_cb,
    .uint64 = uint64_cb,
    .negint8 = negint8_cb,
    .negint16 = negint16_cb,
    .negint32 = negint32_cb,
    .negint64 = negint64_cb,
    .byte_string_start = unwanted_cb, /* in chunks: would have to be copied together */
    .byte_string = bytes_cb,
    .string = text_cb,
    .string_start = unwanted_cb,
    .indef_array_start = indef_array_cb,
    .array_start = array_cb,
    .indef_map_start = indef_map_cb,
    .map_start = map_cb,
    .tag = tag_cb,
    .float2 = unwanted_float_cb,
    .float4 = unwanted_float_cb,
    .float8 = unwanted_double_cb,
    .undefined = unwanted_cb,
    .null = null_cb,
    .boolean = bool_cb,
    .indef_break = break_cb,
};

int ic_cbor_next(struct ic_cursor *c, struct ic_cbor_item *out)
{
    struct seen s = {0};
    size_t left = ic_cursor_left(c);
    struct cbor_decoder_result result;

    if (left == 0)
        return -EPROTO;
    result = cbor_stream_decode(c->pos, left, &callbacks, &s);
    if (result.status != CBOR_DECODER_FINISHED || s.unwanted || result.read > left)
        return -EPROTO;
    left -= result.read;
    if (s.item.kind == IC_CBOR_ARRAY && s.item.value > left)
        return -EPROTO;
    if (s.item.kind == IC_CBOR_MAP && s.item.value > left / 2)
        return -EPROTO;
    c->pos += result.read;
    *out = s.item;
    return 0;
}

/* ---- whole items ---- */

struct depth {
    unsigned any;
    unsigned maps;
};

static int skip(struct ic_cursor *c, struct depth depth);

/* Is there another element? On true the cursor stands on it, a break is consumed. */
static int has_more(struct ic_cursor *c, bool indefinite, uint64_t *left, bool *more)
{
    struct ic_cursor ahead = *c;
    struct ic_cbor_item item;

    if (!indefinite) {
        *more = *left > 0;
        *left -= *more;
        return 0;
    }
    if (ic_cbor_next(&ahead, &item) < 0)
        return -EPROTO;
    *more = item.kind != IC_CBOR_BREAK;
    if (!*more)
        *c = ahead;
    return 0;
}

static int skip_array(struct ic_cursor *c, struct ic_cbor_item head, struct depth depth)
{
    bool more;
    for (;;) {
        if (has_more(c, head.indefinite, &head.value, &more) < 0)
            return -EPROTO;
        if (!more)
            return 0;
        if (skip(c, depth) < 0)
            return -EPROTO;
    }
}

static bool has_key(const struct ic_view *keys, size_t n, struct ic_view key)
{
    for (size_t i = 0; i < n; i++)
        if (ic_view_equal(keys[i], key))
            return true;
    return false;
}

static int skip_map(struct ic_cursor *c, struct ic_cbor_item head, struct depth depth)
{
    struct ic_view keys[IC_CBOR_MAP_KEYS];
    struct ic_cbor_item key;
    bool more;

    for (size_t n = 0;; n++) {
        if (has_more(c, head.indefinite, &head.value, &more) < 0)
            return -EPROTO;
        if (!more)
            return 0;
        if (n == IC_CBOR_MAP_KEYS || ic_cbor_next(c, &key) < 0 || key.kind != IC_CBOR_TEXT ||
            has_key(keys, n, key.view))
            return -EPROTO;
        keys[n] = key.view;
        if (skip(c, depth) < 0)
            return -EPROTO;
    }
}

/* Pass over one item and all that is inside it. */
static int skip(struct ic_cursor *c, struct depth depth)
{
    struct ic_cbor_item item;

    if (depth.any == 0 || ic_cbor_next(c, &item) < 0)
        return -EPROTO;
    depth.any--;
    switch (item.kind) {
    case IC_CBOR_ARRAY:
        return skip_array(c, item, depth);
    case IC_CBOR_MAP:
        if (depth.maps == 0)
            return -EPROTO;
        depth.maps--;
        return skip_map(c, item, depth);
    case IC_CBOR_TAG:
        return skip(c, depth);
    case IC_CBOR_BREAK:
        return -EPROTO;
    case IC_CBOR_UINT:
    case IC_CBOR_NEGINT:
    case IC_CBOR_BYTES:
    case IC_CBOR_TEXT:
    case IC_CBOR_BOOL:
    case IC_CBOR_NULL:
        return 0;
    }
    return -EPROTO;
}

/* Take one whole item, as the bytes it is encoded in. */
static int take(struct ic_cursor *c, struct ic_view *out)
{
    const uint8_t *start = c->pos;
    if (skip(c, (struct depth){IC_CBOR_DEPTH, IC_CBOR_MAP_DEPTH}) < 0)
        return -EPROTO;
    *out = ic_view(start, (size_t)(c->pos - start));
    return 0;
}

int ic_cbor_open(const uint8_t *bytes, size_t len, struct ic_view *out)
{
    struct ic_cursor c = ic_cursor(bytes, len), ahead = c;
    struct ic_cbor_item item;
    struct ic_view whole;

    if (ic_cbor_next(&ahead, &item) < 0)
        return -EPROTO;
    if (item.kind == IC_CBOR_TAG && item.value == TAG_SELF_DESCRIBED)
        c = ahead;
    if (take(&c, &whole) < 0 || ic_cursor_left(&c) != 0)
        return -EPROTO;
    *out = whole;
    return 0;
}

/* Read the head of an item that is to be taken apart. */
static int head_of(struct ic_view item, enum ic_cbor_kind kind, struct ic_cursor *c,
                   struct ic_cbor_item *out)
{
    *c = ic_cursor(item.bytes, item.len);
    if (ic_cbor_next(c, out) < 0 || out->kind != kind)
        return -EPROTO;
    return 0;
}

/* ---- maps ---- */

static bool map_has(const struct ic_cbor_map *map, struct ic_view key)
{
    for (size_t i = 0; i < map->n; i++)
        if (ic_view_equal(map->entries[i].key, key))
            return true;
    return false;
}

int ic_cbor_map(struct ic_view item, struct ic_cbor_map *out)
{
    struct ic_cursor c;
    struct ic_cbor_item head, key;
    bool more;

    if (head_of(item, IC_CBOR_MAP, &c, &head) < 0)
        return -EPROTO;
    for (out->n = 0;; out->n++) {
        if (has_more(&c, head.indefinite, &head.value, &more) < 0)
            return -EPROTO;
        if (!more)
            return 0;
        if (out->n == IC_CBOR_MAP_KEYS || ic_cbor_next(&c, &key) < 0 || key.kind != IC_CBOR_TEXT ||
            map_has(out, key.view))
            return -EPROTO;
        out->entries[out->n].key = key.view;
        if (take(&c, &out->entries[out->n].item) < 0)
            return -EPROTO;
    }
}

int ic_cbor_map_find(const struct ic_cbor_map *map, const char *key, struct ic_view *out)
{
    for (size_t i = 0; i < map->n; i++)
        if (ic_view_is_text(map->entries[i].key, key)) {
            *out = map->entries[i].item;
            return 0;
        }
    return -ENOENT;
}

static int find_kind(const struct ic_cbor_map *map, const char *key, enum ic_cbor_kind kind,
                     struct ic_cbor_item *out)
{
    struct ic_view item;
    struct ic_cursor c;
    int ret = ic_cbor_map_find(map, key, &item);
    return ret < 0 ? ret : head_of(item, kind, &c, out);
}

int ic_cbor_map_uint(const struct ic_cbor_map *map, const char *key, uint64_t *out)
{
    struct ic_cbor_item item;
    int ret = find_kind(map, key, IC_CBOR_UINT, &item);
    if (ret == 0)
        *out = item.value;
    return ret;
}

int ic_cbor_map_bytes(const struct ic_cbor_map *map, const char *key, struct ic_view *out)
{
    struct ic_cbor_item item;
    int ret = find_kind(map, key, IC_CBOR_BYTES, &item);
    if (ret == 0)
        *out = item.view;
    return ret;
}

int ic_cbor_map_text(const struct ic_cbor_map *map, const char *key, struct ic_view *out)
{
    struct ic_cbor_item item;
    int ret = find_kind(map, key, IC_CBOR_TEXT, &item);
    if (ret == 0 && !ic_view_is_utf8(item.view))
        ret = -EPROTO;
    if (ret == 0)
        *out = item.view;
    return ret;
}

int ic_cbor_bytes(struct ic_view item, struct ic_view *out)
{
    struct ic_cursor c;
    struct ic_cbor_item head;
    if (head_of(item, IC_CBOR_BYTES, &c, &head) < 0)
        return -EPROTO;
    *out = head.view;
    return 0;
}

/* ---- arrays ---- */

int ic_cbor_array(struct ic_view item, struct ic_cbor_array *out)
{
    struct ic_cursor c;
    struct ic_cbor_item head;
    if (head_of(item, IC_CBOR_ARRAY, &c, &head) < 0)
        return -EPROTO;
    *out = (struct ic_cbor_array){c, head.value, head.indefinite};
    return 0;
}

int ic_cbor_array_next(struct ic_cbor_array *array, struct ic_view *out)
{
    bool more;
    if (has_more(&array->rest, array->indefinite, &array->left, &more) < 0)
        return -EPROTO;
    return more ? take(&array->rest, out) : -ENOENT;
}

/* ---- writing ---- */

void ic_cbor_put_self_described(struct ic_buf *b)
{
    uint8_t head[HEAD_MAX];
    ic_buf_append(b, head, cbor_encode_tag(TAG_SELF_DESCRIBED, head, sizeof(head)));
}

void ic_cbor_put_uint(struct ic_buf *b, uint64_t value)
{
    uint8_t head[HEAD_MAX];
    ic_buf_append(b, head, cbor_encode_uint(value, head, sizeof(head)));
}

void ic_cbor_put_bytes(struct ic_buf *b, struct ic_view bytes)
{
    uint8_t head[HEAD_MAX];
    ic_buf_append(b, head, cbor_encode_bytestring_start(bytes.len, head, sizeof(head)));
    ic_buf_append(b, bytes.bytes, bytes.len);
}

void ic_cbor_put_text(struct ic_buf *b, const char *text)
{
    uint8_t head[HEAD_MAX];
    size_t len = strlen(text);
    ic_buf_append(b, head, cbor_encode_string_start(len, head, sizeof(head)));
    ic_buf_append(b, text, len);
}

void ic_cbor_put_array(struct ic_buf *b, size_t n)
{
    uint8_t head[HEAD_MAX];
    ic_buf_append(b, head, cbor_encode_array_start(n, head, sizeof(head)));
}

void ic_cbor_put_map(struct ic_buf *b, size_t n)
{
    uint8_t head[HEAD_MAX];
    ic_buf_append(b, head, cbor_encode_map_start(n, head, sizeof(head)));
}
