/* Encoding values at the types they carry.
 *
 * The table gets one entry per compound type that is met, in the order in which they are met,
 * before what they refer to: so a recursive type finds its own index.
 */
#include "ic/candid.h"
#include "ic/candid_table.h"

#include <errno.h>
#include <stdlib.h>

#define MAX_DEPTH 256
#define MAX_TYPES 10000

struct encoder {
    struct ic_buf *out;
    const struct ic_type **types; /* owned; index is the place in the table */
    size_t n_types;
    size_t cap;
    int result; /* 0, -EINVAL, -ENOMEM */
};

static bool fail(struct encoder *e, int result)
{
    e->result = result;
    return false;
}

static bool is_compound(const struct ic_type *type)
{
    int code = ic_candid_code(type->kind);
    return code <= -18 && code >= -23;
}

static size_t find_index(const struct encoder *e, const struct ic_type *type)
{
    for (size_t i = 0; i < e->n_types; i++)
        if (e->types[i] == type)
            return i;
    return SIZE_MAX;
}

/* Give a type its place, and then those it refers to. The list itself is the queue of work, so
 * depth does not matter. */
static bool add_type(struct encoder *e, const struct ic_type *type)
{
    if (type->kind == IC_TYPE_FUTURE)
        return fail(e, -EINVAL);
    if (!is_compound(type) || find_index(e, type) != SIZE_MAX)
        return true;
    if (e->n_types == MAX_TYPES)
        return fail(e, -EINVAL);
    if (e->n_types == e->cap) {
        size_t cap = e->cap ? 2 * e->cap : 16;
        const struct ic_type **types = realloc(e->types, cap * sizeof(const struct ic_type *));
        if (!types)
            return fail(e, -ENOMEM);
        e->types = types;
        e->cap = cap;
    }
    e->types[e->n_types++] = type;
    return true;
}

static bool add_parts(struct encoder *e, const struct ic_type *type)
{
    bool ok = true;
    switch ((int)type->kind) {
    case IC_TYPE_OPT:
    case IC_TYPE_VEC:
        return add_type(e, type->as.elem);
    case IC_TYPE_RECORD:
    case IC_TYPE_VARIANT:
        for (size_t i = 0; ok && i < type->as.fields.n; i++)
            ok = add_type(e, type->as.fields.fields[i].type);
        return ok;
    case IC_TYPE_FUNC:
        for (size_t i = 0; ok && i < type->as.func.n_args; i++)
            ok = add_type(e, type->as.func.args[i]);
        for (size_t i = 0; ok && i < type->as.func.n_results; i++)
            ok = add_type(e, type->as.func.results[i]);
        return ok;
    case IC_TYPE_SERVICE:
        for (size_t i = 0; ok && i < type->as.service.n; i++)
            ok = add_type(e, type->as.service.methods[i].type);
        return ok;
    default:
        return true;
    }
}

static void put_ref(struct encoder *e, const struct ic_type *type)
{
    if (is_compound(type))
        ic_buf_append_sleb64(e->out, (int64_t)find_index(e, type));
    else
        ic_buf_append_sleb64(e->out, ic_candid_code(type->kind));
}

static bool put_fields(struct encoder *e, const struct ic_type *type)
{
    ic_buf_append_leb64(e->out, type->as.fields.n);
    for (size_t i = 0; i < type->as.fields.n; i++) {
        const struct ic_type_field *field = &type->as.fields.fields[i];
        if (i > 0 && field->id <= field[-1].id)
            return fail(e, -EINVAL);
        ic_buf_append_leb64(e->out, field->id);
        put_ref(e, field->type);
    }
    return true;
}

static void put_func(struct encoder *e, const struct ic_type *type)
{
    static const uint8_t modes[] = {0, 1, 2, 3};
    ic_buf_append_leb64(e->out, type->as.func.n_args);
    for (size_t i = 0; i < type->as.func.n_args; i++)
        put_ref(e, type->as.func.args[i]);
    ic_buf_append_leb64(e->out, type->as.func.n_results);
    for (size_t i = 0; i < type->as.func.n_results; i++)
        put_ref(e, type->as.func.results[i]);
    bool has_mode = type->as.func.mode != IC_FUNC_UPDATE;
    ic_buf_append_leb64(e->out, has_mode);
    ic_buf_append(e->out, &modes[type->as.func.mode], has_mode);
}

static bool put_service(struct encoder *e, const struct ic_type *type)
{
    ic_buf_append_leb64(e->out, type->as.service.n);
    for (size_t i = 0; i < type->as.service.n; i++) {
        const struct ic_type_method *method = &type->as.service.methods[i];
        if (i > 0 && ic_view_compare(method[-1].name, method->name) >= 0)
            return fail(e, -EINVAL);
        ic_buf_append_leb64(e->out, method->name.len);
        ic_buf_append(e->out, method->name.bytes, method->name.len);
        put_ref(e, method->type);
    }
    return true;
}

static bool put_entry(struct encoder *e, const struct ic_type *type)
{
    ic_buf_append_sleb64(e->out, ic_candid_code(type->kind));
    switch ((int)type->kind) {
    case IC_TYPE_RECORD:
    case IC_TYPE_VARIANT:
        return put_fields(e, type);
    case IC_TYPE_FUNC:
        put_func(e, type);
        return true;
    case IC_TYPE_SERVICE:
        return put_service(e, type);
    default: /* opt, vec */
        put_ref(e, type->as.elem);
        return true;
    }
}

static bool put_value(struct encoder *e, const struct ic_value *v, const struct ic_type *type,
                      unsigned depth);

static void put_little_endian(struct encoder *e, uint64_t raw, size_t width)
{
    for (size_t i = 0; i < width; i++) {
        uint8_t byte = (uint8_t)(raw >> (8 * i));
        ic_buf_append(e->out, &byte, 1);
    }
}

static void put_prefixed(struct encoder *e, struct ic_view bytes)
{
    ic_buf_append_leb64(e->out, bytes.len);
    ic_buf_append(e->out, bytes.bytes, bytes.len);
}

static bool put_principal(struct encoder *e, struct ic_view bytes)
{
    static const uint8_t transparent = 1;
    if (bytes.len > IC_PRINCIPAL_MAX)
        return fail(e, -EINVAL);
    ic_buf_append(e->out, &transparent, 1);
    put_prefixed(e, bytes);
    return true;
}

static bool put_vec(struct encoder *e, const struct ic_value *v, unsigned depth)
{
    const struct ic_type *elem = v->type->as.elem;
    size_t width = ic_candid_width(elem->kind);
    ic_buf_append_leb64(e->out, ic_value_count(v));
    if (width > 0) {
        if (v->as.bytes.len % width != 0)
            return fail(e, -EINVAL);
        ic_buf_append(e->out, v->as.bytes.bytes, v->as.bytes.len);
        return true;
    }
    for (size_t i = 0; i < v->as.seq.n; i++)
        if (!put_value(e, &v->as.seq.items[i], elem, depth))
            return false;
    return true;
}

static bool put_record(struct encoder *e, const struct ic_value *v, unsigned depth)
{
    if (v->as.seq.n != v->type->as.fields.n)
        return fail(e, -EINVAL);
    for (size_t i = 0; i < v->as.seq.n; i++)
        if (!put_value(e, &v->as.seq.items[i], v->type->as.fields.fields[i].type, depth))
            return false;
    return true;
}

static bool put_variant(struct encoder *e, const struct ic_value *v, unsigned depth)
{
    uint32_t position = v->as.variant.position;
    if (position >= v->type->as.fields.n)
        return fail(e, -EINVAL);
    ic_buf_append_leb64(e->out, position);
    return put_value(e, v->as.variant.payload, v->type->as.fields.fields[position].type, depth);
}

static bool put_func_value(struct encoder *e, const struct ic_func_value *func)
{
    static const uint8_t transparent = 1;
    ic_buf_append(e->out, &transparent, 1);
    if (!put_principal(e, func->canister))
        return false;
    put_prefixed(e, func->method);
    return ic_view_is_utf8(func->method) || fail(e, -EINVAL);
}

static bool put_compound(struct encoder *e, const struct ic_value *v, unsigned depth)
{
    const uint8_t is_some = v->type->kind == IC_TYPE_OPT && v->as.opt != NULL;
    switch ((int)v->type->kind) {
    case IC_TYPE_OPT:
        ic_buf_append(e->out, &is_some, 1);
        return !is_some || put_value(e, v->as.opt, v->type->as.elem, depth);
    case IC_TYPE_VEC:
        return put_vec(e, v, depth);
    case IC_TYPE_RECORD:
        return put_record(e, v, depth);
    case IC_TYPE_VARIANT:
        return put_variant(e, v, depth);
    case IC_TYPE_FUNC:
        return put_func_value(e, v->as.func);
    default: /* empty has no values */
        return fail(e, -EINVAL);
    }
}

static bool is_type(const struct ic_type *a, const struct ic_type *b)
{
    return a == b || (a->kind == b->kind && !is_compound(a));
}

static bool put_value(struct encoder *e, const struct ic_value *v, const struct ic_type *type,
                      unsigned depth)
{
    if (depth == 0 || !v || !is_type(v->type, type))
        return fail(e, -EINVAL);
    switch ((int)v->type->kind) {
    case IC_TYPE_NULL:
    case IC_TYPE_RESERVED:
        return true;
    case IC_TYPE_BOOL:
        put_little_endian(e, v->as.boolean, 1);
        return true;
    case IC_TYPE_NAT8:
    case IC_TYPE_NAT16:
    case IC_TYPE_NAT32:
    case IC_TYPE_NAT64:
        put_little_endian(e, v->as.nat, ic_candid_width(v->type->kind));
        return true;
    case IC_TYPE_INT8:
    case IC_TYPE_INT16:
    case IC_TYPE_INT32:
    case IC_TYPE_INT64:
        put_little_endian(e, (uint64_t)v->as.integer, ic_candid_width(v->type->kind));
        return true;
    case IC_TYPE_FLOAT32:
        put_little_endian(e, v->as.float32, 4);
        return true;
    case IC_TYPE_FLOAT64:
        put_little_endian(e, v->as.float64, 8);
        return true;
    case IC_TYPE_NAT:
    case IC_TYPE_INT:
        ic_buf_append(e->out, v->as.leb.bytes, v->as.leb.len);
        return true;
    case IC_TYPE_TEXT:
        put_prefixed(e, v->as.text);
        return ic_view_is_utf8(v->as.text) || fail(e, -EINVAL);
    case IC_TYPE_PRINCIPAL:
    case IC_TYPE_SERVICE:
        return put_principal(e, v->as.bytes);
    default:
        return put_compound(e, v, depth - 1);
    }
}

static bool put_message(struct encoder *e, const struct ic_value *args, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!add_type(e, args[i].type))
            return false;
    for (size_t i = 0; i < e->n_types; i++)
        if (!add_parts(e, e->types[i]))
            return false;
    ic_buf_append(e->out, "DIDL", 4);
    ic_buf_append_leb64(e->out, e->n_types);
    for (size_t i = 0; i < e->n_types; i++)
        if (!put_entry(e, e->types[i]))
            return false;
    ic_buf_append_leb64(e->out, n);
    for (size_t i = 0; i < n; i++)
        put_ref(e, args[i].type);
    for (size_t i = 0; i < n; i++)
        if (!put_value(e, &args[i], args[i].type, MAX_DEPTH))
            return false;
    return true;
}

int ic_candid_encode(const struct ic_value *args, size_t n, struct ic_buf *out,
                     struct ic_error *err)
{
    struct encoder e = {.out = out};
    if (put_message(&e, args, n))
        e.result = ic_buf_status(out);
    free(e.types);
    if (e.result == -ENOMEM)
        return ic_fail(err, IC_E_NO_MEMORY, "out of memory");
    if (e.result < 0)
        return ic_fail(err, IC_E_CONFIG, "Candid: a value does not fit its type");
    return 0;
}
