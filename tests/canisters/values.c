/* See values.h. Type codes and layout: Candid specification, "Type definition table" and "Memory".
 */
#include "values.h"

#include "ic0.h"

#define DEPTH_MAX 16 /* of values that are read over */

/* Primitive type codes and constructors, as signed LEB128 numbers. */
enum {
    CODE_NULL = -1,
    CODE_BOOL = -2,
    CODE_NAT = -3,
    CODE_INT = -4,
    CODE_NAT8 = -5,
    CODE_NAT32 = -7,
    CODE_NAT64 = -8,
    CODE_FLOAT64 = -14,
    CODE_TEXT = -15,
    CODE_RESERVED = -16,
    CODE_EMPTY = -17,
    CODE_OPT = -18,
    CODE_VEC = -19,
    CODE_RECORD = -20,
    CODE_VARIANT = -21,
    CODE_PRINCIPAL = -24,
};

_Noreturn static void malformed(void)
{
    IC_TRAP("argument: not valid Candid, or its types are too many");
}

_Noreturn static void mismatch(void)
{
    IC_TRAP("argument: not of the type in the candid:service description");
}

/* --- bytes --- */

static uint8_t get_byte(struct values *values)
{
    if (values->at >= values->total)
        malformed();
    if (values->at - values->window_at >= values->window_len) {
        size_t left = values->total - values->at;

        values->window_at = values->at;
        values->window_len = left < CANDID_WINDOW ? left : CANDID_WINDOW;
        ic0_msg_arg_data_copy(values->window, values->window_at, values->window_len);
    }
    return values->window[values->at++ - values->window_at];
}

static void skip(struct values *values, uint64_t len)
{
    if (len > values->total - values->at)
        malformed();
    values->at += (size_t)len;
}

/* LEB128 of at most 64 bits; signed if the sign of the last group is to be extended. */
static uint64_t get_leb(struct values *values, bool is_signed)
{
    uint64_t n = 0;

    for (unsigned shift = 0; shift <= 63; shift += 7) {
        uint64_t group = get_byte(values);

        if (shift == 63 && (group & 0x7f) > 1)
            malformed();
        n |= (group & 0x7f) << shift;
        if (group < 0x80) {
            if (is_signed && (group & 0x40) != 0 && shift + 7 < 64)
                n |= ~(uint64_t)0 << (shift + 7);
            return n;
        }
    }
    malformed();
}

static uint64_t get_number(struct values *values, unsigned len)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < len; i++)
        n |= (uint64_t)get_byte(values) << (8 * i);
    return n;
}

/* --- the type table --- */

static int32_t get_ref(struct values *values)
{
    int64_t ref = (int64_t)get_leb(values, true);

    if (ref >= 0 ? (uint64_t)ref >= values->n_types : ref < CODE_EMPTY && ref != CODE_PRINCIPAL)
        malformed();
    return (int32_t)ref;
}

static void get_fields(struct values *values, struct value_type *type)
{
    uint64_t n = get_leb(values, false);
    uint64_t least = 0;

    if (n > VALUES_MAX_FIELDS - values->n_fields)
        malformed();
    type->first = values->n_fields;
    type->n = (size_t)n;
    for (; n > 0; n--) {
        struct value_field *field = &values->fields[values->n_fields++];
        uint64_t hash = get_leb(values, false);

        if (hash < least || hash > UINT32_MAX)
            malformed();
        least = hash + 1;
        *field = (struct value_field){.hash = (uint32_t)hash, .type = get_ref(values)};
    }
}

int32_t values_open(struct values *values)
{
    values->total = ic0_msg_arg_data_size();
    values->at = 0;
    values->window_len = 0;
    values->window_at = 0;
    values->n_fields = 0;
    for (const char *magic = "DIDL"; *magic != '\0'; magic++)
        if (get_byte(values) != (uint8_t)*magic)
            malformed();

    uint64_t n_types = get_leb(values, false);

    if (n_types > VALUES_MAX_TYPES)
        malformed();
    values->n_types = (size_t)n_types;
    for (size_t i = 0; i < values->n_types; i++) {
        struct value_type *type = &values->types[i];
        int64_t code = (int64_t)get_leb(values, true);

        if (code > CODE_OPT || code < CODE_VARIANT)
            malformed(); /* functions, services: nobody stores any here */
        *type = (struct value_type){.code = (int32_t)code};
        if (code == CODE_OPT || code == CODE_VEC)
            type->inner = get_ref(values);
        else
            get_fields(values, type);
    }

    uint64_t n_args = get_leb(values, false);

    if (n_args == 0)
        IC_TRAP("argument: too few arguments");
    int32_t first = get_ref(values);

    while (--n_args > 0)
        (void)get_ref(values);
    return first;
}

/* --- values --- */

static void expect(int32_t type, int32_t code)
{
    if (type != code)
        mismatch();
}

/* The entry of a type, NULL of a primitive one. */
static const struct value_type *find_entry(const struct values *values, int32_t type)
{
    return type < 0 ? NULL : &values->types[type];
}

static const struct value_type *get_entry(const struct values *values, int32_t type, int32_t code)
{
    const struct value_type *entry = find_entry(values, type);

    if (entry == NULL || entry->code != code)
        mismatch();
    return entry;
}

uint64_t values_nat(struct values *values, int32_t type)
{
    expect(type, CODE_NAT);
    return get_leb(values, false);
}

uint64_t values_nat64(struct values *values, int32_t type)
{
    expect(type, CODE_NAT64);
    return get_number(values, 8);
}

uint32_t values_nat32(struct values *values, int32_t type)
{
    expect(type, CODE_NAT32);
    return (uint32_t)get_number(values, 4);
}

static struct candid_blob get_bytes(struct values *values)
{
    uint64_t len = get_leb(values, false);
    size_t off = values->at;

    skip(values, len);
    return (struct candid_blob){.off = off, .len = (size_t)len};
}

struct candid_blob values_blob(struct values *values, int32_t type)
{
    if (get_entry(values, type, CODE_VEC)->inner != CODE_NAT8)
        mismatch();
    return get_bytes(values);
}

struct candid_blob values_text(struct values *values, int32_t type)
{
    expect(type, CODE_TEXT);
    return get_bytes(values);
}

uint64_t values_vec(struct values *values, int32_t type, int32_t *item)
{
    *item = get_entry(values, type, CODE_VEC)->inner;
    return get_leb(values, false);
}

struct value_fields values_record(const struct values *values, int32_t type)
{
    const struct value_type *entry = get_entry(values, type, CODE_RECORD);

    return (struct value_fields){.at = &values->fields[entry->first], .n = entry->n};
}

uint32_t values_variant(struct values *values, int32_t type, int32_t *inner)
{
    const struct value_type *entry = get_entry(values, type, CODE_VARIANT);
    uint64_t tag = get_leb(values, false);

    if (tag >= entry->n)
        malformed();
    *inner = values->fields[entry->first + tag].type;
    return values->fields[entry->first + tag].hash;
}

bool values_opt(struct values *values, int32_t type, int32_t *inner)
{
    const struct value_type *entry = find_entry(values, type);

    if (type == CODE_NULL || type == CODE_RESERVED)
        return false;
    if (entry == NULL || entry->code != CODE_OPT) {
        *inner = type;
        return true;
    }
    *inner = entry->inner;

    uint8_t tag = get_byte(values);

    if (tag > 1)
        malformed();
    return tag == 1;
}

/* --- reading over --- */

static void skip_primitive(struct values *values, int32_t code)
{
    /* Of nat8, nat16, nat32, nat64, int8 to int64, float32 and float64, by CODE_NAT8 - code. */
    static const uint8_t lens[] = {1, 2, 4, 8, 1, 2, 4, 8, 4, 8};

    if (code <= CODE_NAT8 && code >= CODE_FLOAT64) {
        skip(values, lens[CODE_NAT8 - code]);
    } else if (code == CODE_BOOL) {
        skip(values, 1);
    } else if (code == CODE_NAT || code == CODE_INT) {
        while (get_byte(values) >= 0x80)
            ;
    } else if (code == CODE_TEXT) {
        (void)get_bytes(values);
    } else if (code == CODE_PRINCIPAL) {
        if (get_byte(values) != 1)
            malformed();
        (void)get_bytes(values);
    } else if (code != CODE_NULL && code != CODE_RESERVED) {
        malformed();
    }
}

static void skip_value(struct values *values, int32_t type, unsigned depth)
{
    const struct value_type *entry = find_entry(values, type);
    int32_t inner;

    if (depth == 0)
        IC_TRAP("argument: too deep");
    if (entry == NULL) {
        skip_primitive(values, type);
    } else if (entry->code == CODE_OPT) {
        if (values_opt(values, type, &inner))
            skip_value(values, inner, depth - 1);
    } else if (entry->code == CODE_VEC) {
        uint64_t n = values_vec(values, type, &inner);

        if (n > values->total - values->at) /* no values of no bytes */
            malformed();
        for (; n > 0; n--)
            skip_value(values, inner, depth - 1);
    } else if (entry->code == CODE_VARIANT) {
        (void)values_variant(values, type, &inner);
        skip_value(values, inner, depth - 1);
    } else {
        for (size_t i = 0; i < entry->n; i++)
            skip_value(values, values->fields[entry->first + i].type, depth - 1);
    }
}

void values_skip(struct values *values, int32_t type)
{
    skip_value(values, type, DEPTH_MAX);
}
