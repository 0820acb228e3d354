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
bool candid_find_field(const struct ic_type *type, uint32_t id, size_t *out)
{
    const struct ic_type_field *fields = type->as.fields.fields;
    size_t low = 0, high = type->as.fields.n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (fields[middle].id == id) {
            *out = middle;
            return true;
        }
        if (fields[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

bool candid_is_tuple(const struct ic_type *type)
{
    for (size_t i = 0; i < type->as.fields.n; i++)
        if (type->as.fields.fields[i].id != i)
            return false;
    return true;
}

const struct ic_value *ic_value_field_id(const struct ic_value *v, uint32_t id)
{
    size_t position;
    if (!is_kind(v, IC_TYPE_RECORD) || !candid_find_field(v->type, id, &position))
        return NULL;
    return position < v->as.seq.n ? &v->as.seq.items[position] : NULL;
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

size_t candid_leb_len(struct ic_view leb, bool is_signed)
{
    size_t n = leb.len;
    while (n > 1) {
        bool is_negative = is_signed && (leb.bytes[n - 2] & 0x40);
        if ((leb.bytes[n - 1] & 0x7f) != (is_negative ? 0x7f : 0))
            break;
        n--;
    }
    return n;
}

static int leb_to_nat64(struct ic_view leb, uint64_t *out)
{
    uint64_t value = 0;
    size_t n = candid_leb_len(leb, false);

    if (n == 0 || n > 10 || (n == 10 && (leb.bytes[9] & 0x7f) > 1))
        return -EPROTO;
    for (size_t i = n; i > 0; i--)
        value = value << 7 | (leb.bytes[i - 1] & 0x7f);
    *out = value;
    return 0;
}

static int leb_to_int64(struct ic_view leb, int64_t *out)
{
    size_t n = candid_leb_len(leb, true);
    bool is_negative = n > 0 && (leb.bytes[n - 1] & 0x40);
    uint64_t value = is_negative ? UINT64_MAX : 0;

    /* Of the tenth group only the lowest bit is left, and it must agree with the sign. */
    if (n == 0 || n > 10 || (n == 10 && (leb.bytes[9] & 0x7f) != (is_negative ? 0x7f : 0)))
        return -EPROTO;
    for (size_t i = n; i > 0; i--)
        value = value << 7 | (leb.bytes[i - 1] & 0x7f);
    *out = (int64_t)value;
    return 0;
}

int candid_nat_as_int(struct ic_arena *arena, struct ic_view nat, struct ic_view *out)
{
    uint8_t *bytes;
    void *memory;
    int ret;

    *out = nat;
    if (!(nat.bytes[nat.len - 1] & 0x40))
        return 0;
    ret = ic_arena_alloc(arena, nat.len + 1, 1, &memory);
    if (ret < 0)
        return ret;
    bytes = memory;
    for (size_t i = 0; i < nat.len; i++)
        bytes[i] = nat.bytes[i] | 0x80;
    bytes[nat.len] = 0;
    *out = ic_view(bytes, nat.len + 1);
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

/* ---- equality ---- */

static bool equal_values(const struct ic_value *a, const struct ic_value *b, unsigned depth);

static bool is_none(const struct ic_value *v)
{
    return is_kind(v, IC_TYPE_NULL) || (is_kind(v, IC_TYPE_OPT) && !v->as.opt);
}

/* Numbers that may be padded. */
static bool equal_leb(struct ic_view a, struct ic_view b, bool is_signed)
{
    size_t n = candid_leb_len(a, is_signed);
    if (n != candid_leb_len(b, is_signed))
        return false;
    for (size_t i = 0; i < n; i++)
        if ((a.bytes[i] & 0x7f) != (b.bytes[i] & 0x7f))
            return false;
    return true;
}

static bool equal_vecs(const struct ic_value *a, const struct ic_value *b, unsigned depth)
{
    const struct ic_type *x = a->type->as.elem, *y = b->type->as.elem;
    size_t n = ic_value_count(a);

    if (n != ic_value_count(b))
        return false;
    if (x->kind == y->kind && candid_fixed_width(x->kind))
        return ic_view_equal(a->as.bytes, b->as.bytes);
    if (x->is_zero_width && y->is_zero_width && n > 1)
        n = 1; /* stands for all */
    for (size_t i = 0; i < n; i++) {
        struct ic_value item_a, item_b;
        if (ic_value_at(a, i, &item_a) < 0 || ic_value_at(b, i, &item_b) < 0 ||
            !equal_values(&item_a, &item_b, depth))
            return false;
    }
    return true;
}

static bool equal_records(const struct ic_value *a, const struct ic_value *b, unsigned depth)
{
    if (a->as.seq.n != b->as.seq.n)
        return false;
    for (size_t i = 0; i < a->as.seq.n; i++)
        if (a->type->as.fields.fields[i].id != b->type->as.fields.fields[i].id ||
            !equal_values(&a->as.seq.items[i], &b->as.seq.items[i], depth))
            return false;
    return true;
}

static bool equal_variants(const struct ic_value *a, const struct ic_value *b, unsigned depth)
{
    return a->type->as.fields.fields[a->as.variant.position].id ==
               b->type->as.fields.fields[b->as.variant.position].id &&
           equal_values(a->as.variant.payload, b->as.variant.payload, depth);
}

static bool equal_values(const struct ic_value *a, const struct ic_value *b, unsigned depth)
{
    if (is_none(a) || is_none(b))
        return is_none(a) && is_none(b);
    if (a->type->kind != b->type->kind || depth == 0)
        return false;
    depth--;
    switch ((int)a->type->kind) {
    case IC_TYPE_RESERVED:
        return true;
    case IC_TYPE_BOOL:
        return a->as.boolean == b->as.boolean;
    case IC_TYPE_NAT:
    case IC_TYPE_INT:
        return equal_leb(a->as.leb, b->as.leb, a->type->kind == IC_TYPE_INT);
    case IC_TYPE_INT8:
    case IC_TYPE_INT16:
    case IC_TYPE_INT32:
    case IC_TYPE_INT64:
        return a->as.integer == b->as.integer;
    case IC_TYPE_FLOAT32:
        return a->as.float32 == b->as.float32;
    case IC_TYPE_FLOAT64:
        return a->as.float64 == b->as.float64;
    case IC_TYPE_TEXT:
        return ic_view_equal(a->as.text, b->as.text);
    case IC_TYPE_PRINCIPAL:
    case IC_TYPE_SERVICE:
        return ic_view_equal(a->as.bytes, b->as.bytes);
    case IC_TYPE_FUTURE:
        return a->type->as.future.opcode == b->type->as.future.opcode &&
               ic_view_equal(a->as.bytes, b->as.bytes);
    case IC_TYPE_FUNC:
        return ic_view_equal(a->as.func->canister, b->as.func->canister) &&
               ic_view_equal(a->as.func->method, b->as.func->method);
    case IC_TYPE_OPT:
        return equal_values(a->as.opt, b->as.opt, depth);
    case IC_TYPE_VEC:
        return equal_vecs(a, b, depth);
    case IC_TYPE_RECORD:
        return equal_records(a, b, depth);
    case IC_TYPE_VARIANT:
        return equal_variants(a, b, depth);
    default: /* nat8 ... nat64; empty has no values */
        return a->as.nat == b->as.nat;
    }
}

bool ic_value_equal(const struct ic_value *a, const struct ic_value *b)
{
    return equal_values(a, b, CANDID_MAX_DEPTH);
}

/* ---- making values ---- */

bool candid_is_optional(const struct ic_type *type)
{
    return type->kind == IC_TYPE_NULL || type->kind == IC_TYPE_OPT ||
           type->kind == IC_TYPE_RESERVED;
}

bool candid_default_value(const struct ic_type *type, struct ic_value *out)
{
    *out = (struct ic_value){.type = type};
    return candid_is_optional(type);
}

struct ic_value ic_bool(bool b)
{
    return (struct ic_value){.type = &ic_type_bool, .as.boolean = b};
}

struct ic_value ic_nat8(uint8_t n)
{
    return (struct ic_value){.type = &ic_type_nat8, .as.nat = n};
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
