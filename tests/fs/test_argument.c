/* Numbers as arguments: of every kind up to its largest one, as a canister reads them. */
#include "fs/argument.h"
#include "tests/tap.h"

TAP_STATE;

/* A number on the wire, of `size` bytes; 0: as LEB128, which may be signed (Candid specification,
 * "Memory"). */
static __int128 number_of(const uint8_t *bytes, size_t len, size_t size, bool is_signed)
{
    unsigned width = size > 0 ? 8 : 7;
    __int128 n = 0;
    for (size_t i = 0; i < len; i++)
        n += (__int128)(bytes[i] & ((1u << width) - 1)) << (width * i);
    bool is_negative = is_signed && bytes[len - 1] >> (width - 1) & 1;
    return is_negative ? n - ((__int128)1 << (width * len)) : n;
}

/* Is the message what the number makes? */
static bool is_written(enum ic_type_kind kind, uint8_t code, size_t size, uint64_t number)
{
    const uint8_t head[] = {'D', 'I', 'D', 'L', 0, 1, code};
    const uint8_t *body;
    struct fs_arguments args = {0};
    struct ic_buf bytes = {0};
    if (!fs_arguments_add(&args, kind, number) ||
        ic_candid_encode(args.values, args.n, &bytes, NULL) < 0)
        return false;
    size_t len = bytes.len - sizeof(head);
    body = bytes.bytes + sizeof(head);
    bool ok = memcmp(bytes.bytes, head, sizeof(head)) == 0 && (size == 0 || len == size);
    for (size_t i = 0; size == 0 && i < len; i++)
        ok = ok && body[i] >> 7 == (i + 1 < len);
    bool is_signed = code == 0x7c || (code >= 0x74 && code <= 0x77);
    ok = ok && number_of(body, len, size, is_signed) == (__int128)number;
    ic_buf_fini(&bytes);
    return ok;
}

int main(void)
{
    static const struct {
        const char *name;
        enum ic_type_kind kind;
        uint8_t code; /* Candid specification, "Types" */
        size_t size;
        uint64_t max;
    } kinds[] = {
        {"nat", IC_TYPE_NAT, 0x7d, 0, UINT64_MAX},
        {"nat8", IC_TYPE_NAT8, 0x7b, 1, UINT8_MAX},
        {"nat16", IC_TYPE_NAT16, 0x7a, 2, UINT16_MAX},
        {"nat32", IC_TYPE_NAT32, 0x79, 4, UINT32_MAX},
        {"nat64", IC_TYPE_NAT64, 0x78, 8, UINT64_MAX},
        {"int", IC_TYPE_INT, 0x7c, 0, UINT64_MAX},
        {"int8", IC_TYPE_INT8, 0x77, 1, INT8_MAX},
        {"int16", IC_TYPE_INT16, 0x76, 2, INT16_MAX},
        {"int32", IC_TYPE_INT32, 0x75, 4, INT32_MAX},
        {"int64", IC_TYPE_INT64, 0x74, 8, INT64_MAX},
    };
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct fs_arguments args = {0};
        uint64_t max = kinds[i].max;
        bool ok = is_written(kinds[i].kind, kinds[i].code, kinds[i].size, max);
        for (unsigned bit = 0; bit < 64 && max >> bit != 0; bit++)
            for (uint64_t less = 0; less < 2; less++)
                ok = ok && is_written(kinds[i].kind, kinds[i].code, kinds[i].size,
                                      (UINT64_C(1) << bit) - less);
        TAP_OK(ok, kinds[i].name);
        TAP_OK(fs_argument_is_number(kinds[i].kind), "is a kind of number");
        if (max < UINT64_MAX)
            TAP_OK(!fs_arguments_add(&args, kinds[i].kind, max + 1) && args.n == 0,
                   "one more is too many");
    }
    TAP_OK(!fs_argument_is_number(IC_TYPE_FLOAT64) && !fs_argument_is_number(IC_TYPE_TEXT) &&
               !fs_argument_is_number(IC_TYPE_OPT),
           "others are none");
    return tap_done();
}
