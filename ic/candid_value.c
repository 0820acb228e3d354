/* Taking values apart and making them. Every accessor takes NULL as "not there". */
#include "ic/candid.h"

#include <errno.h>
#include <string.h>

static bool is_kind(const struct ic_value *v, enum ic_type_kind kind)
{
    return v && v->type->kind == kind;
}

const struct ic_value *ic_value_field_id(const struct ic_value *v, uint32_t id)
{
    if (!is_kind(v, IC_TYPE_RECORD))
        return NULL;
    size_t low = 0;
    size_t high = v->type->as.fields.n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        uint32_t found = v->type->as.fields.fields[middle].id;
        if (found == id)
            return &v->as.seq.items[middle];
        if (found < id)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const struct ic_value *ic_value_field(const struct ic_value *v, const char *name)
{
    return ic_value_field_id(v, ic_candid_hash(name, strlen(name)));
}

int ic_value_bool(const struct ic_value *v, bool *out)
{
    if (!is_kind(v, IC_TYPE_BOOL))
        return -EPROTO;
    *out = v->as.boolean;
    return 0;
}

int ic_value_nat64(const struct ic_value *v, uint64_t *out)
{
    if (!v)
        return -EPROTO;
    switch ((int)v->type->kind) {
    case IC_TYPE_NAT8:
    case IC_TYPE_NAT16:
    case IC_TYPE_NAT32:
    case IC_TYPE_NAT64:
        *out = v->as.nat;
        return 0;
    case IC_TYPE_NAT: {
        struct ic_cursor c = ic_cursor(v->as.leb.bytes, v->as.leb.len);
        return ic_cursor_leb64(&c, out) ? 0 : -EPROTO;
    }
    default:
        return -EPROTO;
    }
}

int ic_value_int64(const struct ic_value *v, int64_t *out)
{
    if (!v)
        return -EPROTO;
    switch ((int)v->type->kind) {
    case IC_TYPE_INT8:
    case IC_TYPE_INT16:
    case IC_TYPE_INT32:
    case IC_TYPE_INT64:
        *out = v->as.integer;
        return 0;
    case IC_TYPE_INT: {
        struct ic_cursor c = ic_cursor(v->as.leb.bytes, v->as.leb.len);
        return ic_cursor_sleb64(&c, out) ? 0 : -EPROTO;
    }
    default:
        return -EPROTO;
    }
}

int ic_value_blob(const struct ic_value *v, struct ic_view *out)
{
    if (!is_kind(v, IC_TYPE_VEC) || v->type->as.elem->kind != IC_TYPE_NAT8)
        return -EPROTO;
    *out = v->as.bytes;
    return 0;
}

int ic_value_text(const struct ic_value *v, struct ic_view *out)
{
    if (!is_kind(v, IC_TYPE_TEXT))
        return -EPROTO;
    *out = v->as.text;
    return 0;
}

int ic_value_principal(const struct ic_value *v, struct ic_principal *out)
{
    if (!is_kind(v, IC_TYPE_PRINCIPAL) && !is_kind(v, IC_TYPE_SERVICE))
        return -EPROTO;
    return ic_principal_from_bytes(v->as.bytes.bytes, v->as.bytes.len, out) < 0 ? -EPROTO : 0;
}

int ic_value_opt(const struct ic_value *v, const struct ic_value **out)
{
    if (is_kind(v, IC_TYPE_NULL) || is_kind(v, IC_TYPE_RESERVED)) {
        *out = NULL;
        return 0;
    }
    if (!is_kind(v, IC_TYPE_OPT))
        return -EPROTO;
    *out = v->as.opt;
    return 0;
}

int ic_value_variant(const struct ic_value *v, uint32_t *tag, const struct ic_value **payload)
{
    if (!is_kind(v, IC_TYPE_VARIANT))
        return -EPROTO;
    *tag = v->type->as.fields.fields[v->as.variant.position].id;
    *payload = v->as.variant.payload;
    return 0;
}

const struct ic_value *ic_value_case(const struct ic_value *v, const char *tag)
{
    uint32_t found;
    const struct ic_value *payload;
    if (ic_value_variant(v, &found, &payload) < 0 || found != ic_candid_hash(tag, strlen(tag)))
        return NULL;
    return payload;
}

struct ic_value ic_bool(bool b)
{
    return (struct ic_value){.type = &ic_type_bool, .as.boolean = b};
}

struct ic_value ic_nat8(uint8_t n)
{
    return (struct ic_value){.type = &ic_type_nat8, .as.nat = n};
}

struct ic_value ic_nat16(uint16_t n)
{
    return (struct ic_value){.type = &ic_type_nat16, .as.nat = n};
}

struct ic_value ic_nat32(uint32_t n)
{
    return (struct ic_value){.type = &ic_type_nat32, .as.nat = n};
}

struct ic_value ic_nat64(uint64_t n)
{
    return (struct ic_value){.type = &ic_type_nat64, .as.nat = n};
}

struct ic_value ic_blob(const void *bytes, size_t len)
{
    return (struct ic_value){.type = &ic_type_blob, .as.bytes = ic_view(bytes, len)};
}

struct ic_value ic_text(const char *text)
{
    return (struct ic_value){.type = &ic_type_text, .as.text = ic_view(text, strlen(text))};
}

struct ic_value ic_principal_value(const struct ic_principal *p)
{
    return (struct ic_value){.type = &ic_type_principal, .as.bytes = ic_principal_view(p)};
}
