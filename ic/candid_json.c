/* Candid values as JSON: see candid_json.h for what becomes of what. */
#include "ic/candid_json.h"

#include "ic/candid_impl.h"
#include "ic/candid_number.h"
#include "ic/candid_out.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct writer {
    struct candid_out out;
    const struct ic_candid_names *all;
    unsigned flags;
    unsigned depth;
    unsigned n_vecs; /* around the value at hand */
};

static void put_value(struct writer *w, const struct ic_value *v, const struct ic_type *declared);

/* ---- output ---- */

static void fail(struct writer *w, int ret)
{
    candid_out_fail(&w->out, ret);
}

static void put_bytes(struct writer *w, const void *bytes, size_t len)
{
    candid_out_bytes(&w->out, bytes, len, 0);
}

static void put(struct writer *w, const char *text)
{
    candid_out(&w->out, text);
}

/* ---- strings ---- */

/* A character as UTF-16 code units: a pair for those beyond 16 bits (RFC 8259, section 7). */
static void put_escaped(struct writer *w, uint32_t c)
{
    char escape[16];
    if (c < 0x10000)
        snprintf(escape, sizeof(escape), "\\u%04" PRIx32, c);
    else
        snprintf(escape, sizeof(escape), "\\u%04" PRIx32 "\\u%04" PRIx32,
                 0xd800 + ((c - 0x10000) >> 10), 0xdc00 + (c & 0x3ff));
    put(w, escape);
}

static void put_string(struct writer *w, struct ic_view text)
{
    put(w, "\"");
    for (size_t i = 0; i < text.len && w->out.ret == 0;) {
        size_t len = ic_utf8_char_len(text.bytes + i, text.len - i);
        uint32_t c = len ? candid_scalar(text.bytes + i, len) : 0;
        if (len == 0)
            fail(w, -EINVAL);
        else if (c == '"' || c == '\\')
            put_bytes(w, (const char[]){'\\', (char)c}, 2);
        else if (candid_is_hidden(c))
            put_escaped(w, c);
        else
            put_bytes(w, text.bytes + i, len);
        i += len;
    }
    put(w, "\"");
}

static void put_hex(struct writer *w, struct ic_view bytes)
{
    static const char digits[] = "0123456789abcdef";
    put(w, "\"");
    for (size_t i = 0; i < bytes.len && w->out.ret == 0; i++)
        put_bytes(w, (const char[]){digits[bytes.bytes[i] >> 4], digits[bytes.bytes[i] & 15]}, 2);
    put(w, "\"");
}

/* ---- scalars ---- */

/* Is a number in every reader's range of whole numbers that are exact? */
static bool is_small(enum ic_type_kind kind)
{
    return kind != IC_TYPE_NAT && kind != IC_TYPE_INT && kind != IC_TYPE_NAT64 &&
           kind != IC_TYPE_INT64;
}

static void put_number(struct writer *w, const struct ic_value *v)
{
    struct candid_digits d;
    const char *quote;
    int ret = candid_digits(v, &d);
    if (ret < 0) {
        fail(w, ret);
        return;
    }
    quote = is_small(v->type->kind) && d.digits[0] >= '0' && d.digits[0] <= '9' ? "" : "\"";
    put(w, quote);
    if (d.is_negative)
        put(w, "-");
    put_bytes(w, d.digits, d.len);
    put(w, quote);
    candid_digits_fini(&d);
}

static void put_principal(struct writer *w, struct ic_view bytes)
{
    struct ic_principal principal;
    char text[IC_PRINCIPAL_TEXT];
    if (ic_principal_from_bytes(bytes.bytes, bytes.len, &principal) < 0) {
        fail(w, -EINVAL);
        return;
    }
    ic_principal_format(&principal, text);
    put(w, "\"");
    put(w, text);
    put(w, "\"");
}

static void put_func(struct writer *w, const struct ic_func_value *func)
{
    put(w, "{\"principal\":");
    put_principal(w, func->canister);
    put(w, ",\"method\":");
    put_string(w, func->method);
    put(w, "}");
}

static void put_future(struct writer *w, const struct ic_value *v)
{
    char opcode[48];
    snprintf(opcode, sizeof(opcode),
             "{\"opcode\":\"%" PRId64 "\",\"bytes\":", v->type->as.future.opcode);
    put(w, opcode);
    put_hex(w, v->as.bytes);
    put(w, "}");
}

/* ---- what holds values ---- */

static bool is_digits(struct ic_view name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.bytes[i] < '0' || name.bytes[i] > '9')
            return false;
    return name.len > 0;
}

/* The i-th field or case, with its key. */
static void put_member(struct writer *w, const struct ic_value *v, size_t i,
                       const struct ic_value *content, const struct ic_type *declared)
{
    struct ic_view name = candid_field_name(w->all, declared, v->type, i);
    char id[16];
    if (name.bytes && !is_digits(name)) {
        put_string(w, name);
    } else {
        snprintf(id, sizeof(id), "\"%" PRIu32 "\"", v->type->as.fields.fields[i].id);
        put(w, id);
    }
    put(w, ":");
    put_value(w, content, candid_declared_part(declared, v->type, i));
}

static void put_record(struct writer *w, const struct ic_value *v, const struct ic_type *declared)
{
    bool is_array =
        (w->flags & IC_JSON_TUPLES) && v->type->as.fields.n > 0 && candid_is_tuple(v->type);

    if (v->as.seq.n != v->type->as.fields.n)
        fail(w, -EINVAL);
    put(w, is_array ? "[" : "{");
    for (size_t i = 0; i < v->as.seq.n && w->out.ret == 0; i++) {
        const struct ic_value *content = &v->as.seq.items[i];
        if (i > 0)
            put(w, ",");
        if (is_array)
            put_value(w, content, candid_declared_part(declared, v->type, i));
        else
            put_member(w, v, i, content, declared);
    }
    put(w, is_array ? "]" : "}");
}

static void put_variant(struct writer *w, const struct ic_value *v, const struct ic_type *declared)
{
    if (v->as.variant.position >= v->type->as.fields.n || !v->as.variant.payload) {
        fail(w, -EINVAL);
        return;
    }
    put(w, "{");
    put_member(w, v, v->as.variant.position, v->as.variant.payload, declared);
    put(w, "}");
}

static void put_vec(struct writer *w, const struct ic_value *v, const struct ic_type *declared)
{
    const struct ic_type *elem_declared = candid_declared_part(declared, v->type, 0);
    size_t n = ic_value_count(v);
    struct ic_view blob;

    if (ic_value_blob(v, &blob) == 0) {
        put_hex(w, blob);
        return;
    }
    const char *newline = (w->flags & IC_JSON_LINES) && w->n_vecs == 0 && n > 0 ? "\n" : "";
    w->n_vecs++;
    put(w, "[");
    for (size_t i = 0; i < n && w->out.ret == 0; i++) {
        struct ic_value elem;
        if (i > 0)
            put(w, ",");
        put(w, newline);
        if (ic_value_at(v, i, &elem) < 0)
            fail(w, -EINVAL);
        else
            put_value(w, &elem, elem_declared);
    }
    put(w, newline);
    put(w, "]");
    w->n_vecs--;
}

static void put_opt(struct writer *w, const struct ic_value *v, const struct ic_type *declared)
{
    put(w, "[");
    if (v->as.opt)
        put_value(w, v->as.opt, candid_declared_part(declared, v->type, 0));
    put(w, "]");
}

/* ---- values ---- */

static void put_content(struct writer *w, const struct ic_value *v, const struct ic_type *declared)
{
    switch ((int)v->type->kind) {
    case IC_TYPE_NULL:
    case IC_TYPE_RESERVED:
        put(w, "null");
        break;
    case IC_TYPE_BOOL:
        put(w, v->as.boolean ? "true" : "false");
        break;
    case IC_TYPE_TEXT:
        put_string(w, v->as.text);
        break;
    case IC_TYPE_PRINCIPAL:
    case IC_TYPE_SERVICE:
        put_principal(w, v->as.bytes);
        break;
    case IC_TYPE_FUNC:
        put_func(w, v->as.func);
        break;
    case IC_TYPE_OPT:
        put_opt(w, v, declared);
        break;
    case IC_TYPE_VEC:
        put_vec(w, v, declared);
        break;
    case IC_TYPE_RECORD:
        put_record(w, v, declared);
        break;
    case IC_TYPE_VARIANT:
        put_variant(w, v, declared);
        break;
    case IC_TYPE_FUTURE:
        put_future(w, v);
        break;
    case IC_TYPE_EMPTY:
        fail(w, -EINVAL);
        break;
    default:
        put_number(w, v);
    }
}

static void put_value(struct writer *w, const struct ic_value *v, const struct ic_type *declared)
{
    if (w->depth == CANDID_MAX_DEPTH)
        fail(w, -EINVAL);
    if (w->out.ret < 0)
        return;
    w->depth++;
    put_content(w, v, declared);
    w->depth--;
}

int ic_candid_json(const struct ic_value *args, size_t n, const struct ic_candid_naming *naming,
                   unsigned flags, size_t max, struct ic_buf *out, struct ic_error *err)
{
    struct writer w = {
        .out = candid_out_to(out, max), .all = naming ? naming->all : NULL, .flags = flags};
    put(&w, "[");
    for (size_t i = 0; i < n && w.out.ret == 0; i++) {
        if (i > 0)
            put(&w, ",");
        put_value(&w, &args[i], candid_declared_arg(naming, i));
    }
    put(&w, "]");
    return candid_out_status(&w.out, err);
}

int ic_candid_json_value(const struct ic_value *value, const struct ic_type *declared,
                         const struct ic_candid_names *all, unsigned flags, size_t max,
                         struct ic_buf *out, struct ic_error *err)
{
    struct writer w = {.out = candid_out_to(out, max), .all = all, .flags = flags};
    put_value(&w, value, declared);
    return candid_out_status(&w.out, err);
}
