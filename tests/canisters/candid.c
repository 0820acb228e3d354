/* See candid.h. Type codes and layout: Candid specification, "Type definition table" and "Memory".
 */
#include "candid.h"

#include "ic0.h"

/* Primitive type codes and constructors, as signed LEB128 numbers. */
enum {
    CODE_BOOL = -2,
    CODE_NAT = -3,
    CODE_NAT8 = -5,
    CODE_NAT32 = -7,
    CODE_NAT64 = -8,
    CODE_TEXT = -15,
    CODE_EMPTY = -17,
    CODE_OPT = -18,
    CODE_VEC = -19,
    CODE_RECORD = -20,
    CODE_VARIANT = -21,
    CODE_FUNC = -22,
    CODE_SERVICE = -23,
    CODE_PRINCIPAL = -24,
};

/* What the canisters can tell apart. */
enum candid_type {
    TYPE_OTHER,
    TYPE_BOOL,
    TYPE_NAT,
    TYPE_NAT8,
    TYPE_NAT32,
    TYPE_NAT64,
    TYPE_TEXT,
    TYPE_BLOB,
};

_Noreturn static void malformed(void)
{
    IC_TRAP("argument: not valid Candid, or its header is too long");
}

static uint8_t get_byte(struct candid_args *args)
{
    if (args->at >= args->len)
        malformed();
    return args->window[args->at++];
}

static void skip(struct candid_args *args, uint64_t len)
{
    if (len > args->len - args->at)
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
static int64_t get_ref(struct candid_args *args, uint64_t n_types)
{
    int64_t ref = get_sleb(args);

    if (ref >= 0 ? (uint64_t)ref >= n_types : ref < CODE_EMPTY && ref != CODE_PRINCIPAL)
        malformed();
    return ref;
}

static void skip_fields(struct candid_args *args, uint64_t n_types)
{
    uint64_t n = get_uleb(args);
    uint64_t least = 0;

    for (uint64_t i = 0; i < n; i++) {
        uint64_t id = get_uleb(args);

        if (id < least || id > UINT32_MAX)
            malformed();
        least = id + 1;
        (void)get_ref(args, n_types);
    }
}

static void skip_refs(struct candid_args *args, uint64_t n_types)
{
    uint64_t n = get_uleb(args);

    for (uint64_t i = 0; i < n; i++)
        (void)get_ref(args, n_types);
}

static void skip_methods(struct candid_args *args, uint64_t n_types)
{
    uint64_t n = get_uleb(args);

    for (uint64_t i = 0; i < n; i++) {
        skip(args, get_uleb(args));
        (void)get_ref(args, n_types);
    }
}

/* Reads one entry of the type table; of all of them only blob matters here. */
static enum candid_type get_entry(struct candid_args *args, uint64_t n_types)
{
    int64_t code = get_sleb(args);

    switch (code) {
    case CODE_VEC:
        return get_ref(args, n_types) == CODE_NAT8 ? TYPE_BLOB : TYPE_OTHER;
    case CODE_OPT:
        (void)get_ref(args, n_types);
        break;
    case CODE_RECORD:
    case CODE_VARIANT:
        skip_fields(args, n_types);
        break;
    case CODE_FUNC:
        skip_refs(args, n_types);
        skip_refs(args, n_types);
        skip(args, get_uleb(args)); /* modes, a byte each */
        break;
    case CODE_SERVICE:
        skip_methods(args, n_types);
        break;
    default: /* a type of the future: its length, then its body */
        if (code >= CODE_PRINCIPAL)
            malformed();
        skip(args, get_uleb(args));
    }
    return TYPE_OTHER;
}

static enum candid_type type_of(int64_t ref, const enum candid_type *table)
{
    if (ref >= 0)
        return table[ref];
    switch (ref) {
    case CODE_BOOL:
        return TYPE_BOOL;
    case CODE_NAT:
        return TYPE_NAT;
    case CODE_NAT8:
        return TYPE_NAT8;
    case CODE_NAT32:
        return TYPE_NAT32;
    case CODE_NAT64:
        return TYPE_NAT64;
    case CODE_TEXT:
        return TYPE_TEXT;
    default:
        return TYPE_OTHER;
    }
}

void candid_open(struct candid_args *args)
{
    static const uint8_t magic[4] = {'D', 'I', 'D', 'L'};
    enum candid_type table[CANDID_MAX_TYPES];

    args->total = ic0_msg_arg_data_size();
    args->len = args->total < CANDID_WINDOW ? args->total : CANDID_WINDOW;
    args->at = 0;
    ic0_msg_arg_data_copy(args->window, 0, args->len);
    for (size_t i = 0; i < sizeof(magic); i++)
        if (get_byte(args) != magic[i])
            malformed();

    uint64_t n_types = get_uleb(args);
    if (n_types > CANDID_MAX_TYPES)
        malformed();
    for (uint64_t i = 0; i < n_types; i++)
        table[i] = get_entry(args, n_types);

    uint64_t n_args = get_uleb(args);
    for (uint64_t i = 0; i < n_args; i++) {
        int64_t ref = get_ref(args, n_types);

        if (i < CANDID_MAX_ARGS)
            args->types[i] = (uint8_t)type_of(ref, table);
    }
    args->n_args = n_args < CANDID_MAX_ARGS ? (size_t)n_args : CANDID_MAX_ARGS;
    args->next_arg = 0;
}

static void expect(struct candid_args *args, enum candid_type type)
{
    if (args->next_arg >= args->n_args)
        IC_TRAP("argument: too few arguments");
    if (args->types[args->next_arg++] != type)
        IC_TRAP("argument: not of the type in the candid:service description");
}

/* A number of a fixed width, little endian. */
static uint64_t get_number(struct candid_args *args, enum candid_type type, unsigned bits)
{
    uint64_t n = 0;

    expect(args, type);
    for (unsigned shift = 0; shift < bits; shift += 8)
        n |= (uint64_t)get_byte(args) << shift;
    return n;
}

uint64_t candid_nat64(struct candid_args *args)
{
    return get_number(args, TYPE_NAT64, 64);
}

uint32_t candid_nat32(struct candid_args *args)
{
    return (uint32_t)get_number(args, TYPE_NAT32, 32);
}

uint8_t candid_nat8(struct candid_args *args)
{
    return (uint8_t)get_number(args, TYPE_NAT8, 8);
}

uint64_t candid_nat(struct candid_args *args)
{
    expect(args, TYPE_NAT);
    return get_uleb(args);
}

bool candid_bool(struct candid_args *args)
{
    uint64_t n = get_number(args, TYPE_BOOL, 8);

    if (n > 1)
        malformed();
    return n != 0;
}

struct candid_blob candid_blob(struct candid_args *args)
{
    expect(args, TYPE_BLOB);
    uint64_t len = get_uleb(args);

    if (len > args->total - args->at)
        malformed();
    return (struct candid_blob){.off = args->at, .len = (size_t)len};
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
    expect(args, TYPE_TEXT);
    uint64_t len = get_uleb(args);
    const uint8_t *bytes = args->window + args->at;

    skip(args, len);
    if (!candid_is_utf8(bytes, (size_t)len))
        malformed();
    return (struct candid_text){.bytes = bytes, .len = (size_t)len};
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
