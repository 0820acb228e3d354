/* Decoding a message at its own types.
 *
 * Values are read by recursion over the type graph; its depth is bounded by max_depth, its work by
 * max_values (every value visited costs one, however few bytes it has: values of no width must not
 * be free), its memory by the arena. Vectors of fixed-width elements stay as they are on the wire.
 *
 * Source: Candid specification, Binary format (M and B) and Deserialisation.
 */
#include "ic/candid.h"

#include "ic/arena.h"
#include "ic/candid_table.h"

#include <errno.h>
#include <stdlib.h>

#define DEFAULT_MAX_DEPTH 256
#define DEFAULT_MAX_TYPES 10000

struct ic_candid {
    struct ic_arena arena;
    const struct ic_value *args; /* in the arena */
    size_t n_args;
};

struct decoder {
    struct ic_cursor in;
    struct ic_arena *arena;
    size_t values_left;
    unsigned depth_left;
    const char *why; /* of the last failure */
    int result;
};

static bool read_value(struct decoder *d, const struct ic_type *type, struct ic_value *out);

static bool fail(struct decoder *d, const char *why)
{
    d->why = why;
    d->result = -EPROTO;
    return false;
}

/* n more values are visited. */
static bool charge(struct decoder *d, uint64_t n)
{
    if (n > d->values_left)
        return fail(d, "more values than its length can stand for");
    d->values_left -= (size_t)n;
    return true;
}

static void *reserve(struct decoder *d, size_t n, size_t size)
{
    size_t left = d->arena->left;
    void *memory = ic_arena_alloc(d->arena, n, size);
    if (!memory) {
        fail(d, "more memory than its length can stand for");
        if (n * size <= left)
            d->result = -ENOMEM;
    }
    return memory;
}

static bool take(struct decoder *d, uint64_t len, struct ic_view *out)
{
    return ic_cursor_take(&d->in, len, out) || fail(d, "the message is cut off");
}

static bool read_leb(struct decoder *d, uint64_t *out)
{
    return ic_cursor_leb64(&d->in, out) || fail(d, "a count or length is malformed");
}

/* Bytes of an unbounded number: up to the first without the continuation bit. */
static bool read_number(struct decoder *d, struct ic_view *out)
{
    struct ic_cursor start = d->in;
    uint8_t byte;
    do
        if (!ic_cursor_u8(&d->in, &byte))
            return fail(d, "a number is cut off");
    while (byte & 0x80);
    *out = ic_view(start.pos, (size_t)(d->in.pos - start.pos));
    return true;
}

/* A fixed-width value out of its bytes, little endian. */
static void unpack(const uint8_t *bytes, size_t width, const struct ic_type *type,
                   struct ic_value *out)
{
    uint64_t raw = 0;
    for (size_t i = 0; i < width; i++)
        raw |= (uint64_t)bytes[i] << (8 * i);
    out->type = type;
    switch ((int)type->kind) {
    case IC_TYPE_BOOL:
        out->as.boolean = raw == 1;
        break;
    case IC_TYPE_INT8:
        out->as.integer = (int8_t)raw;
        break;
    case IC_TYPE_INT16:
        out->as.integer = (int16_t)raw;
        break;
    case IC_TYPE_INT32:
        out->as.integer = (int32_t)raw;
        break;
    case IC_TYPE_INT64:
        out->as.integer = (int64_t)raw;
        break;
    case IC_TYPE_FLOAT32:
        out->as.float32 = (uint32_t)raw;
        break;
    case IC_TYPE_FLOAT64:
        out->as.float64 = raw;
        break;
    default:
        out->as.nat = raw;
        break;
    }
}

static bool check_bools(struct decoder *d, struct ic_view bytes)
{
    for (size_t i = 0; i < bytes.len; i++)
        if (bytes.bytes[i] > 1)
            return fail(d, "a bool is neither 0 nor 1");
    return true;
}

static bool read_fixed(struct decoder *d, const struct ic_type *type, struct ic_value *out)
{
    size_t width = ic_candid_width(type->kind);
    struct ic_view bytes;
    if (!take(d, width, &bytes) || (type->kind == IC_TYPE_BOOL && !check_bools(d, bytes)))
        return false;
    unpack(bytes.bytes, width, type, out);
    return true;
}

static bool read_text(struct decoder *d, struct ic_view *out)
{
    uint64_t len;
    if (!read_leb(d, &len) || !take(d, len, out))
        return false;
    return ic_view_is_utf8(*out) || fail(d, "a text is not UTF-8");
}

/* principal and service: only transparent references (tag 1) are known. */
static bool read_principal(struct decoder *d, struct ic_view *out)
{
    uint8_t tag;
    uint64_t len;
    if (!ic_cursor_u8(&d->in, &tag) || tag != 1)
        return fail(d, "a reference is opaque or malformed");
    if (!read_leb(d, &len) || len > IC_PRINCIPAL_MAX)
        return fail(d, "a principal is too long");
    return take(d, len, out);
}

static bool read_func(struct decoder *d, struct ic_value *out)
{
    uint8_t tag;
    if (!ic_cursor_u8(&d->in, &tag) || tag != 1)
        return fail(d, "a reference is opaque or malformed");
    struct ic_func_value *func = reserve(d, 1, sizeof(*func));
    if (!func || !read_principal(d, &func->canister) || !read_text(d, &func->method))
        return false;
    out->as.func = func;
    return true;
}

static bool read_opt(struct decoder *d, const struct ic_type *type, struct ic_value *out)
{
    uint8_t tag;
    if (!ic_cursor_u8(&d->in, &tag) || tag > 1)
        return fail(d, "an opt is neither 0 nor 1");
    out->as.opt = NULL;
    if (tag == 0)
        return true;
    struct ic_value *inner = reserve(d, 1, sizeof(*inner));
    if (!inner || !read_value(d, type->as.elem, inner))
        return false;
    out->as.opt = inner;
    return true;
}

static bool read_items(struct decoder *d, size_t n, const struct ic_type *elem,
                       struct ic_value *items)
{
    for (size_t i = 0; i < n; i++)
        if (!read_value(d, elem, &items[i]))
            return false;
    return true;
}

static bool read_vec(struct decoder *d, const struct ic_type *type, struct ic_value *out)
{
    uint64_t n;
    if (!read_leb(d, &n))
        return false;
    size_t width = ic_candid_width(type->as.elem->kind);
    if (width > 0) {
        if (n > ic_cursor_left(&d->in) / width)
            return fail(d, "a vector claims more than there is");
        return take(d, n * width, &out->as.bytes) &&
               (type->as.elem->kind != IC_TYPE_BOOL || check_bools(d, out->as.bytes));
    }
    /* Before memory is reserved: elements of no width may be claimed by the thousand million. Each
     * is charged again when it is read; what counts is that the claim alone is bounded. */
    if (n > d->values_left)
        return fail(d, "a vector claims more than the message can hold");
    struct ic_value *items = reserve(d, (size_t)n, sizeof(*items));
    if (!items)
        return false;
    out->as.seq.items = items;
    out->as.seq.n = (size_t)n;
    return read_items(d, (size_t)n, type->as.elem, items);
}

static bool read_record(struct decoder *d, const struct ic_type *type, struct ic_value *out)
{
    size_t n = type->as.fields.n;
    struct ic_value *items = reserve(d, n, sizeof(*items));
    if (!items)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!read_value(d, type->as.fields.fields[i].type, &items[i]))
            return false;
    out->as.seq.items = items;
    out->as.seq.n = n;
    return true;
}

static bool read_variant(struct decoder *d, const struct ic_type *type, struct ic_value *out)
{
    uint64_t position;
    if (!read_leb(d, &position))
        return false;
    if (position >= type->as.fields.n)
        return fail(d, "a variant has a case that its type does not");
    struct ic_value *payload = reserve(d, 1, sizeof(*payload));
    if (!payload || !read_value(d, type->as.fields.fields[position].type, payload))
        return false;
    out->as.variant.payload = payload;
    out->as.variant.position = (uint32_t)position;
    return true;
}

static bool read_future(struct decoder *d, struct ic_value *out)
{
    uint64_t len;
    uint64_t n_references;
    if (!read_leb(d, &len) || !read_leb(d, &n_references))
        return false;
    if (n_references > 0)
        return fail(d, "a value of an unknown type holds references");
    return take(d, len, &out->as.bytes);
}

static bool read_compound(struct decoder *d, const struct ic_type *type, struct ic_value *out)
{
    switch ((int)type->kind) {
    case IC_TYPE_OPT:
        return read_opt(d, type, out);
    case IC_TYPE_VEC:
        return read_vec(d, type, out);
    case IC_TYPE_RECORD:
        return read_record(d, type, out);
    case IC_TYPE_VARIANT:
        return read_variant(d, type, out);
    case IC_TYPE_FUNC:
        return read_func(d, out);
    case IC_TYPE_FUTURE:
        return read_future(d, out);
    default:
        return fail(d, "a value of the type empty");
    }
}

static bool read_value(struct decoder *d, const struct ic_type *type, struct ic_value *out)
{
    if (!charge(d, 1))
        return false;
    if (d->depth_left == 0)
        return fail(d, "its values are nested too deeply");
    out->type = type;
    if (ic_candid_width(type->kind) > 0)
        return read_fixed(d, type, out);
    switch ((int)type->kind) {
    case IC_TYPE_NULL:
    case IC_TYPE_RESERVED:
        return true;
    case IC_TYPE_NAT:
    case IC_TYPE_INT:
        return read_number(d, &out->as.leb);
    case IC_TYPE_TEXT:
        return read_text(d, &out->as.text);
    case IC_TYPE_PRINCIPAL:
    case IC_TYPE_SERVICE:
        return read_principal(d, &out->as.bytes);
    default:
        d->depth_left--;
        bool ok = read_compound(d, type, out);
        d->depth_left++;
        return ok;
    }
}

/* Argument types, then argument values, then nothing. */
static bool read_args(struct decoder *d, const struct ic_candid_table *table, struct ic_candid *msg)
{
    uint64_t n;
    if (!read_leb(d, &n))
        return false;
    if (n > ic_cursor_left(&d->in))
        return fail(d, "it claims more arguments than there are");
    struct ic_value *args = reserve(d, (size_t)n, sizeof(*args));
    if (!args)
        return false;
    for (size_t i = 0; i < n; i++)
        if (ic_candid_table_ref(table, &d->in, &args[i].type) < 0)
            return fail(d, "an argument's type is malformed");
    for (size_t i = 0; i < n; i++)
        if (!read_value(d, args[i].type, &args[i]))
            return false;
    msg->args = args;
    msg->n_args = (size_t)n;
    return ic_cursor_left(&d->in) == 0 || fail(d, "bytes follow the last value");
}

static struct ic_candid_limits fill_limits(const struct ic_candid_limits *given, size_t len)
{
    struct ic_candid_limits limits = given ? *given : (struct ic_candid_limits){0};
    if (limits.max_values == 0)
        limits.max_values = 65536 + 64 * len;
    if (limits.max_memory == 0)
        limits.max_memory = ((size_t)1 << 20) + 32 * len;
    if (limits.max_depth == 0)
        limits.max_depth = DEFAULT_MAX_DEPTH;
    if (limits.max_types == 0)
        limits.max_types = DEFAULT_MAX_TYPES;
    return limits;
}

static int decode(const uint8_t *bytes, size_t len, const struct ic_candid_limits *limits,
                  struct ic_candid *msg, struct ic_error *err)
{
    struct decoder d = {
        .in = ic_cursor(bytes, len),
        .arena = &msg->arena,
        .values_left = limits->max_values,
        .depth_left = limits->max_depth,
    };
    struct ic_candid_table table;
    int result = ic_candid_table_read(&d.in, limits->max_types, &msg->arena, &table, err);
    if (result < 0)
        return result;
    if (read_args(&d, &table, msg))
        return 0;
    return ic_fail(err, d.result == -ENOMEM ? IC_E_NO_MEMORY : IC_E_MALFORMED, "Candid: %s", d.why);
}

int ic_candid_decode(const uint8_t *bytes, size_t len, const struct ic_candid_limits *limits,
                     struct ic_candid **out, struct ic_error *err)
{
    struct ic_candid *msg = calloc(1, sizeof(*msg));
    if (!msg)
        return ic_fail(err, IC_E_NO_MEMORY, "out of memory");
    const struct ic_candid_limits filled = fill_limits(limits, len);
    ic_arena_init(&msg->arena, filled.max_memory);
    int result = decode(bytes, len, &filled, msg, err);
    if (result < 0)
        ic_candid_free(msg);
    else
        *out = msg;
    return result;
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
    return msg->n_args;
}

const struct ic_value *ic_candid_arg(const struct ic_candid *msg, size_t i)
{
    return i < msg->n_args ? &msg->args[i] : NULL;
}

/* ---- elements of fixed-width vectors, for ic_value_at ---- */

size_t ic_value_count(const struct ic_value *v)
{
    if (!v)
        return 0;
    if (v->type->kind == IC_TYPE_VEC) {
        size_t width = ic_candid_width(v->type->as.elem->kind);
        return width > 0 ? v->as.bytes.len / width : v->as.seq.n;
    }
    return v->type->kind == IC_TYPE_RECORD ? v->as.seq.n : 0;
}

int ic_value_at(const struct ic_value *v, size_t i, struct ic_value *out)
{
    if (i >= ic_value_count(v))
        return -EPROTO;
    size_t width = v->type->kind == IC_TYPE_VEC ? ic_candid_width(v->type->as.elem->kind) : 0;
    if (width > 0)
        unpack(v->as.bytes.bytes + i * width, width, v->type->as.elem, out);
    else
        *out = v->as.seq.items[i];
    return 0;
}
