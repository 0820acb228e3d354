/* Candid values into messages, at the types the values carry. See candid.h.
 *
 * Lengths and numbers are written in their shortest form; candid_table.c makes the type table.
 *
 * Source: Candid specification, Binary format.
 */
#include "ic/candid_impl.h"

#include <errno.h>
#include <string.h>

struct writer {
    struct ic_buf *out;
    struct candid_table table;
    struct ic_error *err;
};

static int refuse(struct writer *w, const char *what)
{
    return ic_fail(w->err, IC_E_CONFIG, "candid: cannot encode: %s", what);
}

/* ---- types ---- */

static void write_ref(struct writer *w, const struct ic_type *type)
{
    ic_buf_append_sleb64(w->out, candid_table_code(&w->table, type));
}

static void write_bytes(struct writer *w, struct ic_view bytes)
{
    ic_buf_append_leb64(w->out, bytes.len);
    ic_buf_append(w->out, bytes.bytes, bytes.len);
}

static void write_byte(struct writer *w, uint8_t byte)
{
    ic_buf_append(w->out, &byte, 1);
}

static void write_func_type(struct writer *w, const struct ic_type *type)
{
    ic_buf_append_leb64(w->out, type->as.func.n_args);
    for (uint32_t i = 0; i < type->as.func.n_args; i++)
        write_ref(w, type->as.func.args[i]);
    ic_buf_append_leb64(w->out, type->as.func.n_results);
    for (uint32_t i = 0; i < type->as.func.n_results; i++)
        write_ref(w, type->as.func.results[i]);
    write_byte(w, type->as.func.mode != IC_FUNC_UPDATE);
    if (type->as.func.mode != IC_FUNC_UPDATE)
        write_byte(w, (uint8_t)type->as.func.mode);
}

static void write_entry(struct writer *w, const struct ic_type *type)
{
    if (type->kind == IC_TYPE_FUTURE) {
        ic_buf_append_sleb64(w->out, type->as.future.opcode);
        write_bytes(w, type->as.future.body);
        return;
    }
    ic_buf_append_sleb64(w->out, -18 - (int64_t)(type->kind - IC_TYPE_OPT));
    switch ((int)type->kind) {
    case IC_TYPE_OPT:
    case IC_TYPE_VEC:
        write_ref(w, type->as.elem);
        break;
    case IC_TYPE_RECORD:
    case IC_TYPE_VARIANT:
        ic_buf_append_leb64(w->out, type->as.fields.n);
        for (size_t i = 0; i < type->as.fields.n; i++) {
            ic_buf_append_leb64(w->out, type->as.fields.fields[i].id);
            write_ref(w, type->as.fields.fields[i].type);
        }
        break;
    case IC_TYPE_FUNC:
        write_func_type(w, type);
        break;
    default: /* service */
        ic_buf_append_leb64(w->out, type->as.service.n);
        for (size_t i = 0; i < type->as.service.n; i++) {
            write_bytes(w, type->as.service.methods[i].name);
            write_ref(w, type->as.service.methods[i].type);
        }
        break;
    }
}

/* ---- values ---- */

static int write_value(struct writer *w, const struct ic_value *v, const struct ic_type *type,
                       unsigned depth);

uint64_t candid_fixed_bits(const struct ic_value *v)
{
    switch ((int)v->type->kind) {
    case IC_TYPE_BOOL:
        return v->as.boolean;
    case IC_TYPE_INT8:
    case IC_TYPE_INT16:
    case IC_TYPE_INT32:
    case IC_TYPE_INT64:
        return (uint64_t)v->as.integer;
    case IC_TYPE_FLOAT32:
        return v->as.float32;
    case IC_TYPE_FLOAT64:
        return v->as.float64;
    default:
        return v->as.nat;
    }
}

void candid_put_fixed(const struct ic_value *v, uint8_t *out)
{
    uint64_t bits = candid_fixed_bits(v);
    for (size_t i = 0; i < candid_fixed_width(v->type->kind); i++)
        out[i] = (uint8_t)(bits >> (8 * i));
}

static void write_fixed(struct writer *w, const struct ic_value *v, size_t width)
{
    uint8_t bytes[8];
    candid_put_fixed(v, bytes);
    ic_buf_append(w->out, bytes, width);
}

/* A nat or int, without the groups that only pad it. */
static int write_leb(struct writer *w, struct ic_view leb, bool is_signed)
{
    size_t n = leb.len;

    if (n == 0 || (leb.bytes[n - 1] & 0x80))
        return refuse(w, "a number is not LEB128");
    for (size_t i = 0; i + 1 < n; i++)
        if (!(leb.bytes[i] & 0x80))
            return refuse(w, "a number is not LEB128");
    n = candid_leb_len(leb, is_signed);
    ic_buf_append(w->out, leb.bytes, n - 1);
    write_byte(w, leb.bytes[n - 1] & 0x7f);
    return 0;
}

static int write_text(struct writer *w, struct ic_view text)
{
    if (!ic_view_is_utf8(text))
        return refuse(w, "text is not UTF-8");
    write_bytes(w, text);
    return 0;
}

static int write_principal(struct writer *w, struct ic_view principal)
{
    if (principal.len > IC_PRINCIPAL_MAX)
        return refuse(w, "a principal is longer than 29 bytes");
    write_byte(w, 1);
    write_bytes(w, principal);
    return 0;
}

static int write_func(struct writer *w, const struct ic_func_value *func)
{
    int ret;
    write_byte(w, 1);
    ret = write_principal(w, func->canister);
    return ret < 0 ? ret : write_text(w, func->method);
}

static int write_vec(struct writer *w, const struct ic_value *v, const struct ic_type *type,
                     unsigned depth)
{
    const struct ic_type *elem = type->as.elem;
    size_t width = candid_fixed_width(elem->kind);
    int ret = 0;

    if (width) {
        if (v->type->as.elem->kind != elem->kind || v->as.bytes.len % width)
            return refuse(w, "a vec is not of its declared type");
        ic_buf_append_leb64(w->out, v->as.bytes.len / width);
        ic_buf_append(w->out, v->as.bytes.bytes, v->as.bytes.len);
        return 0;
    }
    if (candid_fixed_width(v->type->as.elem->kind))
        return refuse(w, "a vec is not of its declared type");
    ic_buf_append_leb64(w->out, v->as.seq.n);
    if (v->type->as.elem->is_zero_width) /* one item stands for all, and none has bytes */
        return v->as.seq.n ? write_value(w, v->as.seq.items, elem, depth) : 0;
    for (size_t i = 0; ret == 0 && i < v->as.seq.n; i++)
        ret = write_value(w, &v->as.seq.items[i], elem, depth);
    return ret;
}

/* Are the fields the declared ones? */
static bool has_fields(const struct ic_type *type, const struct ic_type *declared)
{
    if (type == declared)
        return true;
    if (type->as.fields.n != declared->as.fields.n)
        return false;
    for (size_t i = 0; i < declared->as.fields.n; i++)
        if (type->as.fields.fields[i].id != declared->as.fields.fields[i].id)
            return false;
    return true;
}

static int write_record(struct writer *w, const struct ic_value *v, const struct ic_type *type,
                        unsigned depth)
{
    int ret = 0;
    if (!has_fields(v->type, type) || v->as.seq.n != type->as.fields.n)
        return refuse(w, "a record has not its declared fields");
    for (size_t i = 0; ret == 0 && i < v->as.seq.n; i++)
        ret = write_value(w, &v->as.seq.items[i], type->as.fields.fields[i].type, depth);
    return ret;
}

static int write_variant(struct writer *w, const struct ic_value *v, const struct ic_type *type,
                         unsigned depth)
{
    uint32_t position = v->as.variant.position;
    if (!has_fields(v->type, type) || position >= type->as.fields.n || !v->as.variant.payload)
        return refuse(w, "a variant has not its declared cases");
    ic_buf_append_leb64(w->out, position);
    return write_value(w, v->as.variant.payload, type->as.fields.fields[position].type, depth);
}

static int write_value(struct writer *w, const struct ic_value *v, const struct ic_type *type,
                       unsigned depth)
{
    size_t width = candid_fixed_width(type->kind);

    if (v->type->kind != type->kind)
        return refuse(w, "a value is not of its declared type");
    if (depth == 0)
        return refuse(w, "values nest too deeply");
    depth--;
    if (width) {
        write_fixed(w, v, width);
        return 0;
    }
    switch ((int)type->kind) {
    case IC_TYPE_NULL:
    case IC_TYPE_RESERVED:
        return 0;
    case IC_TYPE_NAT:
    case IC_TYPE_INT:
        return write_leb(w, v->as.leb, type->kind == IC_TYPE_INT);
    case IC_TYPE_TEXT:
        return write_text(w, v->as.text);
    case IC_TYPE_PRINCIPAL:
    case IC_TYPE_SERVICE:
        return write_principal(w, v->as.bytes);
    case IC_TYPE_OPT:
        write_byte(w, v->as.opt != NULL);
        return v->as.opt ? write_value(w, v->as.opt, type->as.elem, depth) : 0;
    case IC_TYPE_VEC:
        return write_vec(w, v, type, depth);
    case IC_TYPE_RECORD:
        return write_record(w, v, type, depth);
    case IC_TYPE_VARIANT:
        return write_variant(w, v, type, depth);
    case IC_TYPE_FUNC:
        return write_func(w, v->as.func);
    case IC_TYPE_FUTURE:
        ic_buf_append_leb64(w->out, v->as.bytes.len);
        ic_buf_append_leb64(w->out, 0);
        ic_buf_append(w->out, v->as.bytes.bytes, v->as.bytes.len);
        return 0;
    default:
        return refuse(w, "type empty has no values");
    }
}

/* ---- messages ---- */

static int write_header(struct writer *w, const struct ic_value *args, size_t n)
{
    int ret = candid_table_init(&w->table, args, n, w->err);
    if (ret < 0)
        return ret;
    ic_buf_append(w->out, "DIDL", 4);
    ic_buf_append_leb64(w->out, w->table.n);
    for (size_t i = 0; i < w->table.n; i++)
        write_entry(w, w->table.types[i]);
    ic_buf_append_leb64(w->out, n);
    for (size_t i = 0; i < n; i++)
        write_ref(w, args[i].type);
    return 0;
}

static int check_status(const struct writer *w, int ret)
{
    if (ret == 0 && ic_buf_status(w->out) < 0)
        return ic_fail(w->err, IC_E_NO_MEMORY, "candid: out of memory");
    return ret;
}

int candid_encode_header(const struct ic_type *type, struct ic_buf *out, struct ic_error *err)
{
    struct writer w = {.out = out, .err = err};
    int ret = write_header(&w, &(struct ic_value){.type = type}, 1);
    candid_table_fini(&w.table);
    return check_status(&w, ret);
}

int ic_candid_encode(const struct ic_value *args, size_t n, struct ic_buf *out,
                     struct ic_error *err)
{
    struct writer w = {.out = out, .err = err};
    int ret = write_header(&w, args, n);
    for (size_t i = 0; ret == 0 && i < n; i++)
        ret = write_value(&w, &args[i], args[i].type, CANDID_MAX_DEPTH);
    candid_table_fini(&w.table);
    return check_status(&w, ret);
}
