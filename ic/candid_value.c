/* Candid values: taking them apart and making them. See candid.h. */
#include "ic/candid_impl.h"

#include <errno.h>
#include <string.h>

static bool is_kind(const struct ic_value *v, enum ic_type_kind kind)
{
    return v && v->type->kind == kind;
}

size_t ic_value_count(const struct ic_value *v)
{
    size_t width;
    if (is_kind(v, IC_TYPE_RECORD))
        return v->as.seq.n;
    if (!is_kind(v, IC_TYPE_VEC))
        return 0;
    width = candid_fixed_width(v->type->as.elem->kind);
    return width ? v->as.bytes.len / width : v->as.seq.n;
}

/* Fields are sorted by id. */
const struct ic_value *ic_value_field_id(const struct ic_value *v, uint32_t id)
{
    const struct ic_type_field *fields;
    size_t low = 0, high;

    if (!is_kind(v, IC_TYPE_RECORD))
        return NULL;
    fields = v->type->as.fields.fields;
    high = v->as.seq.n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (fields[middle].id == id)
            return &v->as.seq.items[middle];
        if (fields[middle].id < id)
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

/* Drop the groups of a nat that only pad it; what is left of n bytes is 10 or fewer if it fits. */
static size_t significant_leb(struct ic_view leb)
{
    size_t n = leb.len;
    while (n > 1 && (leb.bytes[n - 1] & 0x7f) == 0)
        n--;
    return n;
}

static int leb_to_nat64(struct ic_view leb, uint64_t *out)
{
    uint64_t value = 0;
    size_t n = significant_leb(leb);

    if (n > 10 || (n == 10 && (leb.bytes[9] & 0x7f) > 1))
        return -EPROTO;
    for (size_t i = n; i > 0; i--)
        value = value << 7 | (leb.bytes[i - 1] & 0x7f);
    *out = value;
    return 0;
}

static int leb_to_int64(struct ic_view leb, int64_t *out)
{
    bool is_negative = leb.bytes[leb.len - 1] & 0x40;
    uint8_t padding = is_negative ? 0x7f : 0;
    uint64_t value = is_negative ? UINT64_MAX : 0;
    size_t n = leb.len;

    while (n > 10 && (leb.bytes[n - 1] & 0x7f) == padding)
        n--;
    /* Of the tenth group only the lowest bit is left, and it must agree with the sign. */
    if (n > 10 || (n == 10 && (leb.bytes[9] & 0x7f) != padding))
        return -EPROTO;
    for (size_t i = n; i > 0; i--)
        value = value << 7 | (leb.bytes[i - 1] & 0x7f);
    *out = (int64_t)value;
    return 0;
}

int ic_value_nat64(const struct ic_value *v, uint64_t *out)
{
    if (is_kind(v, IC_TYPE_NAT))
        return leb_to_nat64(v->as.leb, out);
    if (!is_kind(v, IC_TYPE_NAT8) && !is_kind(v, IC_TYPE_NAT16) && !is_kind(v, IC_TYPE_NAT32) &&
        !is_kind(v, IC_TYPE_NAT64))
        return -EPROTO;
    *out = v->as.nat;
    return 0;
}

int ic_value_int64(const struct ic_value *v, int64_t *out)
{
    if (is_kind(v, IC_TYPE_INT))
        return leb_to_int64(v->as.leb, out);
    if (!is_kind(v, IC_TYPE_INT8) && !is_kind(v, IC_TYPE_INT16) && !is_kind(v, IC_TYPE_INT32) &&
        !is_kind(v, IC_TYPE_INT64))
        return -EPROTO;
    *out = v->as.integer;
    return 0;
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
    const struct ic_value *payload;
    uint32_t id;
    if (ic_value_variant(v, &id, &payload) < 0 || id != ic_candid_hash(tag, strlen(tag)))
        return NULL;
    return payload;
}

/* ---- making values ---- */

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
