/* Values of a Candid message, at the types that the message itself declares.
 *
 * Whatever the message claims, the work is bounded: every value costs one of `values_left`, memory
 * comes from an arena with a limit, nesting is counted. A vec of numbers stays as the bytes it is
 * on the wire; a vec whose elements take no bytes keeps one of them and the count.
 *
 * A value that is skipped goes through the same checks, but nothing of it is kept: where its parts
 * would be stored, one value serves for all of them, also for what holds them: after a part was
 * read nothing may be taken from `out`.
 *
 * Source: Candid specification, Binary format, Memory; the limits are ours.
 */
#include "ic/candid_impl.h"

#include <errno.h>

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
    struct ic_func_value func = {0}, *kept;
    void *memory;
    int ret = read_reference_tag(r);
    if (ret == 0)
        ret = read_principal(r, &func.canister);
    if (ret == 0)
        ret = candid_read_text(r, &func.method);
    if (ret < 0 || r->is_skipping)
        return ret;
    ret = ic_arena_alloc(r->arena, 1, sizeof(*kept), &memory);
    if (ret < 0)
        return candid_fail(r, ret, "func");
    kept = memory;
    *kept = func;
    out->as.func = kept;
    return 0;
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

int candid_alloc_values(struct candid_reader *r, size_t n, struct ic_value **out)
{
    void *memory;
    int ret;

    if (r->is_skipping) {
        *out = &r->skipped;
        return 0;
    }
    ret = ic_arena_alloc(r->arena, n, sizeof(**out), &memory);
    if (ret < 0) {
        candid_note(r, ret, "values");
        return ret == -ENOMEM ? -ENOMEM : -EPROTO;
    }
    *out = memory;
    return 0;
}

/* Read the i-th of these values. */
static int read_item(struct candid_reader *r, const struct ic_type *type, unsigned depth,
                     struct ic_value *items, size_t i)
{
    return candid_read_value(r, type, depth, r->is_skipping ? items : &items[i]);
}

int candid_read_opt_tag(struct candid_reader *r, bool *is_some)
{
    uint8_t tag;
    if (!ic_cursor_u8(&r->in, &tag) || tag > 1)
        return candid_fail(r, -EPROTO, "an opt is neither 0 nor 1");
    *is_some = tag;
    return 0;
}

static int read_opt(struct candid_reader *r, unsigned depth, struct ic_value *out)
{
    struct ic_value *content;
    bool is_some = false;
    int ret = candid_read_opt_tag(r, &is_some);

    out->as.opt = NULL;
    if (ret < 0 || !is_some)
        return ret;
    ret = candid_alloc_values(r, 1, &content);
    if (ret < 0)
        return ret;
    out->as.opt = content;
    return candid_read_value(r, out->type->as.elem, depth, content);
}

int candid_read_packed(struct candid_reader *r, struct ic_value *out)
{
    size_t width = candid_fixed_width(out->type->as.elem->kind), n = 0;
    int ret = candid_read_count(r, width, &n);
    if (ret == 0)
        ret = candid_charge(r, n);
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
    struct ic_value *item;
    uint64_t n;
    size_t before = r->values_left, cost;
    int ret;

    if (!ic_cursor_leb64(&r->in, &n))
        return candid_fail(r, -EPROTO, "malformed length");
    out->as.seq.items = NULL;
    out->as.seq.n = (size_t)n;
    if (n == 0)
        return 0;
    ret = candid_alloc_values(r, 1, &item);
    if (ret == 0)
        ret = candid_read_value(r, out->type->as.elem, depth, item);
    if (ret < 0)
        return ret;
    out->as.seq.items = item;
    if (__builtin_mul_overflow(before - r->values_left, n - 1, &cost))
        cost = SIZE_MAX;
    return candid_charge(r, cost);
}

static int read_vec(struct candid_reader *r, unsigned depth, struct ic_value *out)
{
    const struct ic_type *elem = out->type->as.elem;
    size_t n = 0;
    struct ic_value *items;
    int ret;

    if (candid_fixed_width(elem->kind))
        return candid_read_packed(r, out);
    if (elem->is_zero_width)
        return read_repeated(r, depth, out);
    ret = candid_read_count(r, 1, &n);
    if (ret < 0)
        return ret;
    ret = candid_alloc_values(r, n, &items);
    for (size_t i = 0; ret == 0 && i < n; i++)
        ret = read_item(r, elem, depth, items, i);
    if (ret < 0)
        return ret;
    out->as.seq.items = items;
    out->as.seq.n = n;
    return 0;
}

static int read_record(struct candid_reader *r, unsigned depth, struct ic_value *out)
{
    const struct ic_type_field *fields = out->type->as.fields.fields;
    size_t n = out->type->as.fields.n;
    struct ic_value *items;
    int ret;

    if (n > r->values_left)
        return candid_charge(r, n);
    ret = candid_alloc_values(r, n, &items);
    for (size_t i = 0; ret == 0 && i < n; i++)
        ret = read_item(r, fields[i].type, depth, items, i);
    if (ret < 0)
        return ret;
    out->as.seq.items = items;
    out->as.seq.n = n;
    return 0;
}

static int read_variant(struct candid_reader *r, unsigned depth, struct ic_value *out)
{
    struct ic_value *payload;
    uint64_t position;
    int ret;

    if (!ic_cursor_leb64(&r->in, &position) || position >= out->type->as.fields.n)
        return candid_fail(r, -EPROTO, "no such case of a variant");
    ret = candid_alloc_values(r, 1, &payload);
    if (ret == 0)
        ret = candid_read_value(r, out->type->as.fields.fields[position].type, depth, payload);
    if (ret < 0)
        return ret;
    out->as.variant.position = (uint32_t)position;
    out->as.variant.payload = payload;
    return 0;
}

int candid_read_value(struct candid_reader *r, const struct ic_type *type, unsigned depth,
                      struct ic_value *out)
{
    size_t width = candid_fixed_width(type->kind);
    int ret = candid_enter(r, &depth);

    if (ret < 0)
        return ret;
    *out = (struct ic_value){.type = type};
    if (width) {
        ret = read_fixed(r, width, out);
    } else {
        switch ((int)type->kind) {
        case IC_TYPE_NULL:
        case IC_TYPE_RESERVED:
            break;
        case IC_TYPE_NAT:
        case IC_TYPE_INT:
            ret = read_leb(r, &out->as.leb);
            break;
        case IC_TYPE_TEXT:
            ret = candid_read_text(r, &out->as.text);
            break;
        case IC_TYPE_PRINCIPAL:
        case IC_TYPE_SERVICE:
            ret = read_principal(r, &out->as.bytes);
            break;
        case IC_TYPE_OPT:
            ret = read_opt(r, depth, out);
            break;
        case IC_TYPE_VEC:
            ret = read_vec(r, depth, out);
            break;
        case IC_TYPE_RECORD:
            ret = read_record(r, depth, out);
            break;
        case IC_TYPE_VARIANT:
            ret = read_variant(r, depth, out);
            break;
        case IC_TYPE_FUNC:
            ret = read_func(r, out);
            break;
        case IC_TYPE_FUTURE:
            ret = read_future(r, out);
            break;
        default: /* empty has no values */
            ret = candid_fail(r, -EPROTO, "a value of type empty");
            break;
        }
    }
    return ret;
}

int candid_skip(struct candid_reader *r, const struct ic_type *type, unsigned depth)
{
    struct ic_value ignored;
    int ret;

    r->is_skipping = true;
    ret = candid_read_value(r, type, depth, &ignored);
    r->is_skipping = false;
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
