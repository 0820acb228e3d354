/* Candid messages into values, at the types the message itself declares. See candid.h.
 *
 * Whatever the message claims, the work is bounded: every value costs one of `values_left`, memory
 * comes from an arena with a limit, nesting is counted. A vec of numbers stays as the bytes it is
 * on the wire; a vec whose elements take no bytes keeps one of them and the count.
 *
 * Source: Candid specification, Binary format, Memory; the limits are ours.
 */
#include "ic/candid_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC_LEN 4

static int read_value(struct candid_reader *r, const struct ic_type *type, unsigned depth,
                      struct ic_value *out);

static int charge(struct candid_reader *r, size_t n)
{
    if (n > r->values_left)
        return candid_fail(r, -EPROTO, "too many values for its size");
    r->values_left -= n;
    return 0;
}

/* ---- scalars ---- */

/* Little-endian number of a fixed width; the caller checked that the bytes are there. */
static uint64_t little_endian(const uint8_t *bytes, size_t width)
{
    uint64_t n = 0;
    for (size_t i = width; i > 0; i--)
        n = n << 8 | bytes[i - 1];
    return n;
}

static bool is_bool_bytes(struct ic_view bytes)
{
    for (size_t i = 0; i < bytes.len; i++)
        if (bytes.bytes[i] > 1)
            return false;
    return true;
}

static void set_fixed(struct ic_value *v, const uint8_t *bytes, size_t width)
{
    uint64_t n = little_endian(bytes, width);
    switch ((int)v->type->kind) {
    case IC_TYPE_BOOL:
        v->as.boolean = n;
        break;
    case IC_TYPE_INT8:
        v->as.integer = (int64_t)(n ^ 0x80) - 0x80;
        break;
    case IC_TYPE_INT16:
        v->as.integer = (int16_t)n;
        break;
    case IC_TYPE_INT32:
        v->as.integer = (int32_t)n;
        break;
    case IC_TYPE_INT64:
        v->as.integer = (int64_t)n;
        break;
    case IC_TYPE_FLOAT32:
        v->as.float32 = (uint32_t)n;
        break;
    case IC_TYPE_FLOAT64:
        v->as.float64 = n;
        break;
    default: /* nat8 ... nat64 */
        v->as.nat = n;
        break;
    }
}

static int read_fixed(struct candid_reader *r, size_t width, struct ic_value *out)
{
    struct ic_view bytes;
    if (!ic_cursor_take(&r->in, width, &bytes))
        return candid_fail(r, -EPROTO, "a number is cut off");
    if (out->type->kind == IC_TYPE_BOOL && !is_bool_bytes(bytes))
        return candid_fail(r, -EPROTO, "a bool is neither 0 nor 1");
    set_fixed(out, bytes.bytes, width);
    return 0;
}

/* nat and int: any length, up to the last group. */
static int read_leb(struct candid_reader *r, struct ic_view *out)
{
    size_t left = ic_cursor_left(&r->in), n = 0;
    while (n < left && n < CANDID_LEB_MAX && (r->in.pos[n] & 0x80))
        n++;
    if (n == left || n == CANDID_LEB_MAX || !ic_cursor_take(&r->in, n + 1, out))
        return candid_fail(r, -EPROTO, "malformed number");
    return 0;
}

/* The tag of something that may be an opaque reference, which has no meaning for us. */
static int read_reference_tag(struct candid_reader *r)
{
    uint8_t tag;
    if (!ic_cursor_u8(&r->in, &tag) || tag != 1)
        return candid_fail(r, -EPROTO, "malformed or opaque reference");
    return 0;
}

static int read_principal(struct candid_reader *r, struct ic_view *out)
{
    int ret = read_reference_tag(r);
    if (ret == 0)
        ret = candid_read_bytes(r, out);
    if (ret == 0 && out->len > IC_PRINCIPAL_MAX)
        return candid_fail(r, -EPROTO, "a principal is longer than 29 bytes");
    return ret;
}

static int read_func(struct candid_reader *r, struct ic_value *out)
{
    struct ic_func_value *func;
    void *memory;
    int ret = ic_arena_alloc(r->arena, 1, sizeof(*func), &memory);
    if (ret < 0)
        return candid_fail(r, ret, "func");
    func = memory;
    ret = read_reference_tag(r);
    if (ret == 0)
        ret = read_principal(r, &func->canister);
    if (ret == 0)
        ret = candid_read_text(r, &func->method);
    out->as.func = func;
    return ret;
}

static int read_future(struct candid_reader *r, struct ic_value *out)
{
    uint64_t len, n_references;
    if (!ic_cursor_leb64(&r->in, &len) || !ic_cursor_leb64(&r->in, &n_references) ||
        n_references != 0 || !ic_cursor_take(&r->in, len, &out->as.bytes))
        return candid_fail(r, -EPROTO, "malformed value of an unknown type");
    return 0;
}

/* ---- compound values ---- */

static int alloc_values(struct candid_reader *r, size_t n, struct ic_value **out)
{
    void *memory;
    int ret = ic_arena_alloc(r->arena, n, sizeof(**out), &memory);
    if (ret < 0) {
        candid_note(r, ret, "values");
        return ret == -ENOMEM ? -ENOMEM : -EPROTO;
    }
    *out = memory;
    return 0;
}

static int read_opt(struct candid_reader *r, unsigned depth, struct ic_value *out)
{
    struct ic_value *content = NULL;
    uint8_t tag;
    int ret;

    if (!ic_cursor_u8(&r->in, &tag) || tag > 1)
        return candid_fail(r, -EPROTO, "an opt is neither 0 nor 1");
    out->as.opt = NULL;
    if (tag == 0)
        return 0;
    ret = alloc_values(r, 1, &content);
    if (ret == 0)
        ret = read_value(r, out->type->as.elem, depth, content);
    out->as.opt = content;
    return ret;
}

/* Numbers and bools: kept as bytes. */
static int read_packed(struct candid_reader *r, size_t width, struct ic_value *out)
{
    size_t n = 0;
    int ret = candid_read_count(r, width, &n);
    if (ret == 0)
        ret = charge(r, n);
    if (ret < 0)
        return ret;
    if (!ic_cursor_take(&r->in, n * width, &out->as.bytes))
        return candid_fail(r, -EPROTO, "cut off");
    if (out->type->as.elem->kind == IC_TYPE_BOOL && !is_bool_bytes(out->as.bytes))
        return candid_fail(r, -EPROTO, "a bool is neither 0 nor 1");
    return 0;
}

/* Elements without bytes: all alike, so one is read, and the others are charged what it cost. */
static int read_repeated(struct candid_reader *r, unsigned depth, struct ic_value *out)
{
    struct ic_value *item = NULL;
    uint64_t n;
    size_t before = r->values_left, cost;
    int ret;

    if (!ic_cursor_leb64(&r->in, &n))
        return candid_fail(r, -EPROTO, "malformed length");
    out->as.seq.items = NULL;
    out->as.seq.n = (size_t)n;
    if (n == 0)
        return 0;
    ret = alloc_values(r, 1, &item);
    if (ret == 0)
        ret = read_value(r, out->type->as.elem, depth, item);
    if (ret < 0)
        return ret;
    out->as.seq.items = item;
    if (__builtin_mul_overflow(before - r->values_left, n - 1, &cost))
        cost = SIZE_MAX;
    return charge(r, cost);
}

static int read_vec(struct candid_reader *r, unsigned depth, struct ic_value *out)
{
    const struct ic_type *elem = out->type->as.elem;
    size_t width = candid_fixed_width(elem->kind), n;
    struct ic_value *items = NULL;
    int ret;

    if (width)
        return read_packed(r, width, out);
    if (elem->is_zero_width)
        return read_repeated(r, depth, out);
    ret = candid_read_count(r, 1, &n);
    if (ret == 0)
        ret = alloc_values(r, n, &items);
    for (size_t i = 0; ret == 0 && i < n; i++)
        ret = read_value(r, elem, depth, &items[i]);
    if (ret < 0)
        return ret;
    out->as.seq.items = items;
    out->as.seq.n = n;
    return 0;
}

static int read_record(struct candid_reader *r, unsigned depth, struct ic_value *out)
{
    size_t n = out->type->as.fields.n;
    struct ic_value *items = NULL;
    int ret;

    if (n > r->values_left)
        return charge(r, n);
    ret = alloc_values(r, n, &items);
    for (size_t i = 0; ret == 0 && i < n; i++)
        ret = read_value(r, out->type->as.fields.fields[i].type, depth, &items[i]);
    if (ret < 0)
        return ret;
    out->as.seq.items = items;
    out->as.seq.n = n;
    return 0;
}

static int read_variant(struct candid_reader *r, unsigned depth, struct ic_value *out)
{
    struct ic_value *payload = NULL;
    uint64_t position;
    int ret;

    if (!ic_cursor_leb64(&r->in, &position) || position >= out->type->as.fields.n)
        return candid_fail(r, -EPROTO, "no such case of a variant");
    ret = alloc_values(r, 1, &payload);
    if (ret == 0)
        ret = read_value(r, out->type->as.fields.fields[position].type, depth, payload);
    if (ret < 0)
        return ret;
    out->as.variant.position = (uint32_t)position;
    out->as.variant.payload = payload;
    return 0;
}

static int read_value(struct candid_reader *r, const struct ic_type *type, unsigned depth,
                      struct ic_value *out)
{
    struct ic_value v = {.type = type};
    size_t width = candid_fixed_width(type->kind);
    int ret = charge(r, 1);

    if (ret < 0)
        return ret;
    if (depth == 0)
        return candid_fail(r, -EPROTO, "nested too deeply");
    depth--;
    if (width) {
        ret = read_fixed(r, width, &v);
    } else {
        switch ((int)type->kind) {
        case IC_TYPE_NULL:
        case IC_TYPE_RESERVED:
            break;
        case IC_TYPE_NAT:
        case IC_TYPE_INT:
            ret = read_leb(r, &v.as.leb);
            break;
        case IC_TYPE_TEXT:
            ret = candid_read_text(r, &v.as.text);
            break;
        case IC_TYPE_PRINCIPAL:
        case IC_TYPE_SERVICE:
            ret = read_principal(r, &v.as.bytes);
            break;
        case IC_TYPE_OPT:
            ret = read_opt(r, depth, &v);
            break;
        case IC_TYPE_VEC:
            ret = read_vec(r, depth, &v);
            break;
        case IC_TYPE_RECORD:
            ret = read_record(r, depth, &v);
            break;
        case IC_TYPE_VARIANT:
            ret = read_variant(r, depth, &v);
            break;
        case IC_TYPE_FUNC:
            ret = read_func(r, &v);
            break;
        case IC_TYPE_FUTURE:
            ret = read_future(r, &v);
            break;
        default: /* empty has no values */
            ret = candid_fail(r, -EPROTO, "a value of type empty");
            break;
        }
    }
    if (ret == 0)
        *out = v;
    return ret;
}

int ic_value_at(const struct ic_value *v, size_t i, struct ic_value *out)
{
    const struct ic_type *elem;
    size_t width;

    if (i >= ic_value_count(v))
        return -EPROTO;
    if (v->type->kind == IC_TYPE_RECORD) {
        *out = v->as.seq.items[i];
        return 0;
    }
    elem = v->type->as.elem;
    width = candid_fixed_width(elem->kind);
    if (width) {
        *out = (struct ic_value){.type = elem};
        set_fixed(out, v->as.bytes.bytes + i * width, width);
    } else {
        *out = v->as.seq.items[elem->is_zero_width ? 0 : i];
    }
    return 0;
}

/* ---- messages ---- */

static int read_args(struct candid_reader *r, struct ic_candid *msg)
{
    const struct ic_type **types;
    struct ic_value *args = NULL;
    void *memory;
    size_t n = 0;
    int ret = candid_read_count(r, 1, &n);
    if (ret < 0)
        return ret;
    ret = ic_arena_alloc(r->arena, n, sizeof(const struct ic_type *), &memory);
    if (ret < 0)
        return candid_fail(r, ret, "arguments");
    types = memory;
    for (size_t i = 0; ret == 0 && i < n; i++)
        ret = candid_read_ref(r, &types[i]);
    if (ret == 0)
        ret = alloc_values(r, n, &args);
    for (size_t i = 0; ret == 0 && i < n; i++)
        ret = read_value(r, types[i], r->max_depth, &args[i]);
    if (ret < 0)
        return ret;
    if (ic_cursor_left(&r->in) != 0)
        return candid_fail(r, -EPROTO, "trailing bytes");
    msg->args = args;
    msg->n = n;
    return 0;
}

/* An element of one byte on the wire, a name of a variant or a record of one nat8, takes 56 bytes:
 * two values. Whoever expects less sets a limit of his own. */
#define MEMORY_PER_BYTE 64

static struct ic_candid_limits effective_limits(const struct ic_candid_limits *given, size_t len)
{
    struct ic_candid_limits l = given ? *given : (struct ic_candid_limits){0};
    if (!l.max_values)
        l.max_values = 65536 + 64 * len;
    if (!l.max_memory)
        l.max_memory = (1 << 20) + MEMORY_PER_BYTE * len;
    if (!l.max_depth || l.max_depth > CANDID_MAX_DEPTH)
        l.max_depth = CANDID_MAX_DEPTH;
    if (!l.max_types)
        l.max_types = 10000;
    return l;
}

int ic_candid_decode(const uint8_t *bytes, size_t len, const struct ic_candid_limits *limits,
                     struct ic_candid **out, struct ic_error *err)
{
    struct candid_reader r = {.in = ic_cursor(bytes, len), .start = bytes, .err = err};
    struct ic_candid_limits l;
    struct ic_candid *msg;
    struct ic_view magic;
    int ret;

    if (len > SIZE_MAX / 128 || !ic_cursor_take(&r.in, MAGIC_LEN, &magic) ||
        !ic_view_is_text(magic, "DIDL"))
        return ic_fail(err, IC_E_MALFORMED, "candid: not a message: no DIDL at its start");
    l = effective_limits(limits, len);
    msg = calloc(1, sizeof(*msg));
    if (!msg)
        return ic_fail(err, IC_E_NO_MEMORY, "candid: out of memory");
    ic_arena_init(&msg->arena, l.max_memory);
    r.arena = &msg->arena;
    r.values_left = l.max_values;
    r.max_depth = l.max_depth;
    ret = candid_read_table(&r, l.max_types);
    if (ret == 0)
        ret = read_args(&r, msg);
    if (ret < 0) {
        ic_candid_free(msg);
        return ret;
    }
    *out = msg;
    return 0;
}

void ic_candid_free(struct ic_candid *msg)
{
    if (!msg)
        return;
    ic_arena_fini(&msg->arena);
    free(msg);
}

size_t ic_candid_count(const struct ic_candid *msg)
{
    return msg->n;
}

const struct ic_value *ic_candid_arg(const struct ic_candid *msg, size_t i)
{
    return i < msg->n ? &msg->args[i] : NULL;
}
