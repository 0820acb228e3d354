/* See candid.h. Type codes and layout: Candid specification, "Type definition table" and "Memory".
 */
#include "candid.h"

#include "ic0.h"

/* Primitive type codes and constructors, as signed LEB128 numbers. */
enum {
    CODE_NULL = -1,
    CODE_BOOL = -2,
    CODE_NAT = -3,
    CODE_INT = -4,
    CODE_NAT8 = -5,
    CODE_NAT32 = -7,
    CODE_NAT64 = -8,
    CODE_INT8 = -9,
    CODE_INT64 = -12,
    CODE_FLOAT32 = -13,
    CODE_FLOAT64 = -14,
    CODE_TEXT = -15,
    CODE_RESERVED = -16,
    CODE_EMPTY = -17,
    CODE_OPT = -18,
    CODE_VEC = -19,
    CODE_RECORD = -20,
    CODE_VARIANT = -21,
    CODE_FUNC = -22,
    CODE_SERVICE = -23,
    CODE_PRINCIPAL = -24,
};

#define SKIP_DEPTH  16   /* of values in values */
#define SKIP_VALUES 4096 /* of one argument */

_Noreturn static void malformed(void)
{
    IC_TRAP("argument: not valid Candid, or its header is too long");
}

/* Moves the window to the next byte to read. */
static void slide(struct candid_args *args)
{
    size_t left = args->total - args->at;

    args->base = args->at;
    args->len = left < CANDID_WINDOW ? left : CANDID_WINDOW;
    ic0_msg_arg_data_copy(args->window, args->base, args->len);
}

static uint8_t get_byte(struct candid_args *args)
{
    if (args->at >= args->total)
        malformed();
    if (args->at - args->base >= args->len)
        slide(args);
    return args->window[args->at++ - args->base];
}

static void skip(struct candid_args *args, uint64_t len)
{
    if (len > args->total - args->at)
        malformed();
    args->at += (size_t)len;
}

/* LEB128. Redundant padding is legal; more than ten bytes or 64 bits are not. */
static uint64_t get_uleb(struct candid_args *args)
{
    uint64_t n = 0;

    for (unsigned shift = 0; shift <= 63; shift += 7) {
        uint64_t group = get_byte(args);

        if (shift == 63 && (group & 0x7f) > 1)
            malformed();
        n |= (group & 0x7f) << shift;
        if (group < 0x80)
            return n;
    }
    malformed();
}

/* Signed LEB128, of at most ten bytes; only small numbers are ever meant. */
static int64_t get_sleb(struct candid_args *args)
{
    uint64_t n = 0;

    for (unsigned shift = 0; shift <= 63; shift += 7) {
        uint64_t group = get_byte(args);

        n |= (group & 0x7f) << shift;
        if (group < 0x80) {
            if ((group & 0x40) != 0 && shift + 7 < 64)
                n |= ~(uint64_t)0 << (shift + 7);
            return (int64_t)n;
        }
    }
    malformed();
}

/* A type reference: an index into the table, or a primitive code. */
static int16_t get_ref(struct candid_args *args)
{
    int64_t ref = get_sleb(args);

    if (ref >= 0 ? (uint64_t)ref >= args->n_types : ref < CODE_EMPTY && ref != CODE_PRINCIPAL)
        malformed();
    return (int16_t)ref;
}

static void get_fields(struct candid_args *args, struct candid_entry *entry)
{
    uint64_t n = get_uleb(args);
    uint64_t least = 0;

    if (n > CANDID_MAX_FIELDS - args->n_fields)
        malformed();
    entry->first = (int16_t)args->n_fields;
    entry->n = (uint16_t)n;
    for (; n > 0; n--) {
        uint64_t id = get_uleb(args);

        if (id < least || id > UINT32_MAX)
            malformed();
        least = id + 1;
        args->fields[args->n_fields++] =
            (struct candid_field){.id = (uint32_t)id, .ref = get_ref(args)};
    }
}

static void skip_refs(struct candid_args *args)
{
    for (uint64_t n = get_uleb(args); n > 0; n--)
        (void)get_ref(args);
}

static void skip_methods(struct candid_args *args)
{
    for (uint64_t n = get_uleb(args); n > 0; n--) {
        skip(args, get_uleb(args));
        (void)get_ref(args);
    }
}

static void get_entry(struct candid_args *args, struct candid_entry *entry)
{
    int64_t code = get_sleb(args);

    switch (code) {
    case CODE_OPT:
    case CODE_VEC:
        entry->first = get_ref(args);
        break;
    case CODE_RECORD:
    case CODE_VARIANT:
        get_fields(args, entry);
        break;
    case CODE_FUNC:
        skip_refs(args);
        skip_refs(args);
        skip(args, get_uleb(args)); /* modes, a byte each */
        break;
    case CODE_SERVICE:
        skip_methods(args);
        break;
    default: /* a type of the future: its length, then its body */
        if (code >= CODE_PRINCIPAL)
            malformed();
        skip(args, get_uleb(args));
        code = CODE_EMPTY; /* nothing here can read a value of it */
    }
    entry->code = (int16_t)code;
}

void candid_open(struct candid_args *args)
{
    static const uint8_t magic[4] = {'D', 'I', 'D', 'L'};

    args->total = ic0_msg_arg_data_size();
    args->at = 0;
    args->budget = SKIP_VALUES;
    args->n_fields = 0;
    args->next_arg = 0;
    args->next_field = 0;
    args->end_field = 0;
    args->has_ref = false;
    slide(args);
    for (size_t i = 0; i < sizeof(magic); i++)
        if (get_byte(args) != magic[i])
            malformed();

    uint64_t n_types = get_uleb(args);
    if (n_types > CANDID_MAX_TYPES)
        malformed();
    args->n_types = (size_t)n_types;
    for (size_t i = 0; i < args->n_types; i++)
        get_entry(args, &args->types[i]);

    uint64_t n_args = get_uleb(args);
    for (uint64_t i = 0; i < n_args; i++) {
        int16_t ref = get_ref(args);

        if (i < CANDID_MAX_ARGS)
            args->arg_refs[i] = ref;
    }
    args->n_args = n_args < CANDID_MAX_ARGS ? (size_t)n_args : CANDID_MAX_ARGS;
}

_Noreturn static void other_type(void)
{
    IC_TRAP("argument: not of the type in the candid:service description");
}

/* The type of the value that comes next. */
static int16_t next_ref(struct candid_args *args)
{
    if (args->has_ref) {
        args->has_ref = false;
        return args->ref;
    }
    if (args->next_arg >= args->n_args)
        IC_TRAP("argument: too few arguments");
    return args->arg_refs[args->next_arg++];
}

static void announce(struct candid_args *args, int16_t ref)
{
    args->ref = ref;
    args->has_ref = true;
}

/* The table's entry for a type, or NULL for a primitive one. */
static const struct candid_entry *entry_of(const struct candid_args *args, int16_t ref)
{
    return ref < 0 ? NULL : &args->types[ref];
}

static void expect(struct candid_args *args, int16_t code)
{
    if (next_ref(args) != code)
        other_type();
}

/* A number of a fixed width, little endian. */
static uint64_t get_number(struct candid_args *args, int16_t code, unsigned bits)
{
    uint64_t n = 0;

    expect(args, code);
    for (unsigned shift = 0; shift < bits; shift += 8)
        n |= (uint64_t)get_byte(args) << shift;
    return n;
}

uint64_t candid_nat64(struct candid_args *args)
{
    return get_number(args, CODE_NAT64, 64);
}

uint32_t candid_nat32(struct candid_args *args)
{
    return (uint32_t)get_number(args, CODE_NAT32, 32);
}

uint8_t candid_nat8(struct candid_args *args)
{
    return (uint8_t)get_number(args, CODE_NAT8, 8);
}

uint64_t candid_nat(struct candid_args *args)
{
    expect(args, CODE_NAT);
    return get_uleb(args);
}

int64_t candid_int64(struct candid_args *args)
{
    return (int64_t)get_number(args, CODE_INT64, 64);
}

int64_t candid_int(struct candid_args *args)
{
    expect(args, CODE_INT);
    return get_sleb(args);
}

bool candid_bool(struct candid_args *args)
{
    uint64_t n = get_number(args, CODE_BOOL, 8);

    if (n > 1)
        malformed();
    return n != 0;
}

struct candid_blob candid_blob(struct candid_args *args)
{
    const struct candid_entry *type = entry_of(args, next_ref(args));

    if (type == NULL || type->code != CODE_VEC || type->first != CODE_NAT8)
        other_type();
    uint64_t len = get_uleb(args);

    if (len > args->total - args->at)
        malformed();
    args->at += (size_t)len;
    return (struct candid_blob){.off = args->at - (size_t)len, .len = (size_t)len};
}

/* No surrogates, nothing over-long (Unicode standard, table 3-7). */
bool candid_is_utf8(const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len;) {
        uint8_t lead = bytes[i++];
        size_t more = lead < 0x80 ? 0 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
        uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
        uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;

        if ((lead >= 0x80 && lead < 0xc2) || lead > 0xf4 || more > len - i)
            return false;
        for (; more > 0; more--, i++) {
            if (bytes[i] < low || bytes[i] > high)
                return false;
            low = 0x80;
            high = 0xbf;
        }
    }
    return true;
}

struct candid_text candid_text(struct candid_args *args)
{
    expect(args, CODE_TEXT);
    uint64_t len = get_uleb(args);

    if (len > CANDID_WINDOW || len > args->total - args->at)
        malformed();
    slide(args);
    const uint8_t *bytes = args->window;
    args->at += (size_t)len;
    if (!candid_is_utf8(bytes, (size_t)len))
        malformed();
    return (struct candid_text){.bytes = bytes, .len = (size_t)len};
}

bool candid_opt(struct candid_args *args)
{
    int16_t ref = next_ref(args);
    const struct candid_entry *type = entry_of(args, ref);

    if (ref == CODE_NULL || ref == CODE_RESERVED)
        return false;
    if (type != NULL && type->code == CODE_OPT) {
        uint8_t flag = get_byte(args);

        if (flag > 1)
            malformed();
        if (flag == 0)
            return false;
        ref = type->first;
    }
    announce(args, ref);
    return true;
}

void candid_record(struct candid_args *args)
{
    const struct candid_entry *type = entry_of(args, next_ref(args));

    if (type == NULL || type->code != CODE_RECORD)
        other_type();
    args->next_field = (size_t)type->first;
    args->end_field = args->next_field + type->n;
}

bool candid_field(struct candid_args *args, uint32_t *id)
{
    if (args->next_field == args->end_field)
        return false;
    const struct candid_field *field = &args->fields[args->next_field++];

    *id = field->id;
    announce(args, field->ref);
    return true;
}

uint32_t candid_hash(const char *name)
{
    uint32_t hash = 0;

    for (; *name != '\0'; name++)
        hash = hash * 223 + (uint8_t)*name;
    return hash;
}

static void skip_primitive(struct candid_args *args, int16_t code)
{
    /* nat8 .. nat64 and int8 .. int64 are four codes in a row each, of 1, 2, 4 and 8 bytes */
    if (code <= CODE_NAT8 && code >= CODE_NAT64)
        skip(args, (uint64_t)1 << (CODE_NAT8 - code));
    else if (code <= CODE_INT8 && code >= CODE_INT64)
        skip(args, (uint64_t)1 << (CODE_INT8 - code));
    else if (code == CODE_BOOL)
        skip(args, 1);
    else if (code == CODE_FLOAT32 || code == CODE_FLOAT64)
        skip(args, code == CODE_FLOAT32 ? 4 : 8);
    else if (code == CODE_TEXT)
        skip(args, get_uleb(args));
    else if (code == CODE_NAT || code == CODE_INT)
        while (get_byte(args) >= 0x80)
            ;
    else if (code == CODE_PRINCIPAL && get_byte(args) == 1)
        skip(args, get_uleb(args));
    else if (code != CODE_NULL && code != CODE_RESERVED)
        malformed();
}

/* Skips a value. References to functions and services are refused with what is malformed. */
static void skip_value(struct candid_args *args, int16_t ref, unsigned depth)
{
    const struct candid_entry *type = entry_of(args, ref);

    if (args->budget-- == 0 || depth == 0)
        IC_TRAP("argument: an unknown field holds too much");
    if (type == NULL) {
        skip_primitive(args, ref);
    } else if (type->code == CODE_OPT) {
        uint8_t flag = get_byte(args);

        if (flag > 1)
            malformed();
        if (flag == 1)
            skip_value(args, type->first, depth - 1);
    } else if (type->code == CODE_VEC) {
        uint64_t n = get_uleb(args);

        if (type->first == CODE_NAT8)
            skip(args, n);
        else
            for (; n > 0; n--)
                skip_value(args, type->first, depth - 1);
    } else if (type->code == CODE_RECORD) {
        for (uint16_t i = 0; i < type->n; i++)
            skip_value(args, args->fields[type->first + i].ref, depth - 1);
    } else if (type->code == CODE_VARIANT) {
        uint64_t tag = get_uleb(args);

        if (tag >= type->n)
            malformed();
        skip_value(args, args->fields[(uint64_t)type->first + tag].ref, depth - 1);
    } else {
        malformed();
    }
}

void candid_skip(struct candid_args *args)
{
    skip_value(args, next_ref(args), SKIP_DEPTH);
}

void candid_put(const void *bytes, size_t len)
{
    ic0_msg_reply_data_append(bytes, len);
}

void candid_put_length(uint64_t n)
{
    uint8_t leb[10];
    size_t len = 0;

    do {
        leb[len++] = (uint8_t)((n & 0x7f) | (n > 0x7f ? 0x80 : 0));
        n >>= 7;
    } while (n > 0);
    candid_put(leb, len);
}

static void put_number(uint64_t n, size_t len)
{
    uint8_t bytes[8];

    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(n >> (8 * i));
    candid_put(bytes, len);
}

void candid_put_nat64(uint64_t n)
{
    put_number(n, 8);
}

void candid_put_nat32(uint32_t n)
{
    put_number(n, 4);
}
