/* Candid messages at expected types: every rule, what recovers and what does not, and that the work
 * is counted. The official suite is in candid_suite.c. */
#include "ic/candid_coerce.h"
#include "tests/ic/candid_hex.h"
#include "tests/tap.h"

#include <errno.h>

TAP_STATE;

static const char definitions[] = "type O = opt O;"
                                  "type E = record { E };"
                                  "type List = opt record { head : int; tail : List };"
                                  "type Nest = opt record { Nest; nat };"
                                  "type byte = nat8;"
                                  "type B = func () -> (nat);";

static int decode_at(const struct ic_buf *message, const char *tuple,
                     const struct ic_candid_limits *limits, struct ic_error *err)
{
    struct ic_did *did = NULL;
    struct ic_candid *msg = NULL;
    const struct ic_type *func = did_func(definitions, tuple, &did);
    int ret = ic_candid_decode_as(message->bytes, message->len, func->as.func.args,
                                  func->as.func.n_args, limits, &msg, err);
    ic_candid_free(msg);
    ic_did_free(did);
    return ret;
}

/* Does a message (in hexadecimal) become, at these types, what another one says at its own? Every
 * value has its expected type then. */
static bool becomes(const char *hex, const char *tuple, const char *expected)
{
    struct ic_buf message = message_hex(hex), wanted = message_hex(expected);
    struct ic_did *did = NULL;
    struct ic_candid *got = NULL, *want = NULL;
    struct ic_error err = {0};
    const struct ic_type *func = did_func(definitions, tuple, &did);
    size_t n = func->as.func.n_args;
    bool ok;

    if (ic_candid_decode(wanted.bytes, wanted.len, NULL, &want, &err) < 0)
        candid_die(expected, err.message);
    ok = ic_candid_decode_as(message.bytes, message.len, func->as.func.args, n, NULL, &got, &err) ==
             0 &&
         ic_candid_count(got) == n && ic_candid_count(want) == n;
    if (!ok)
        printf("# %s\n", err.message);
    for (size_t i = 0; ok && i < n; i++)
        ok = ic_value_equal(ic_candid_arg(got, i), ic_candid_arg(want, i)) &&
             ic_candid_arg(got, i)->type == func->as.func.args[i];
    ic_candid_free(got);
    ic_candid_free(want);
    ic_did_free(did);
    ic_buf_fini(&message);
    ic_buf_fini(&wanted);
    return ok;
}

static void test_fits(void)
{
    static const struct {
        const char *hex, *tuple, *expected, *what;
    } rows[] = {
        /* none and some */
        {"01 6e7e 01 00 01 01", "(opt nat)", "00 01 7f", "opt true at opt nat is none"},
        {"00 01 7e 01", "(opt nat)", "00 01 7f", "so is true"},
        {"00 01 7e 01", "(opt bool)", "01 6e7e 01 00 01 01", "true fits opt bool"},
        {"00 01 7e 01", "(opt opt bool)", "02 6e01 6e7e 01 00 01 01 01", "and opt opt bool"},
        {"01 6e7f 01 00 00", "(opt opt null)", "00 01 7f", "none of opt null at opt opt null"},
        {"01 6e7f 01 00 01", "(opt opt bool)", "02 6e01 6e7e 01 00 01 00", "some null there"},
        {"01 6e7f 01 00 01", "(opt null)", "01 6e7f 01 00 01", "some null stays"},
        {"00 01 7f", "(opt opt null)", "00 01 7f", "null at opt opt null is none"},
        {"00 01 70", "(opt nat)", "00 01 7f", "reserved at opt is none"},
        {"01 6e70 01 00 01", "(opt null)", "00 01 7f", "some reserved at opt null is none"},
        {"02 6e01 6e7e 01 00 01 01 01", "(opt opt nat)", "02 6e01 6e7d 01 00 01 00",
         "the nearest opt is emptied"},
        {"02 6e01 6c02 007e 017e 01 00 01 01 00", "(opt record { 0 : bool; 1 : nat })", "00 01 7f",
         "a field that does not fit empties the opt around the record"},
        {"02 6c02 007e 0101 6e7e 01 00 01 01 01", "(record { 0 : bool; 1 : opt nat })",
         "02 6c02 007e 0101 6e7d 01 00 01 00", "but not more than the opt around itself"},
        {"01 6b02 007f 017f 01 00 01", "(opt variant { 0 })", "00 01 7f",
         "an unknown case empties the opt"},
        {"02 6e01 6b02 007f 017f 01 00 01 01", "(opt variant { 0 })", "00 01 7f", "of an opt, too"},
        {"01 6e00 01 00 01 01 00", "(O)", "01 6e00 01 00 01 01 00", "a recursive opt"},
        /* reserved */
        {"00 01 71 0161", "(reserved)", "00 01 70", "text at reserved"},
        {"01 6c01 007d 01 00 05", "(reserved)", "00 01 70", "a record at reserved"},
        {"00 01 70", "(reserved)", "00 01 70", "reserved at reserved"},
        {"00 01 7f", "(reserved)", "00 01 70", "null at reserved"},
        /* numbers */
        {"00 01 7d 05", "(int)", "00 01 7c 05", "nat 5 at int"},
        {"00 01 7d 3f", "(int)", "00 01 7c 3f", "63"},
        {"00 01 7d 40", "(int)", "00 01 7c c000", "64, which has the bit of a sign"},
        {"00 01 7d 7f", "(int)", "00 01 7c ff00", "127, which would be -1"},
        {"00 01 7d ff00", "(int)", "00 01 7c ff00", "127 with padding"},
        {"00 01 7d ffffffffffffffffff01", "(int)", "00 01 7c ffffffffffffffffff01", "2^64 - 1"},
        {"00 01 7d ffffffffffffffffff7f", "(int)", "00 01 7c ffffffffffffffffffff00", "2^70 - 1"},
        {"01 6d7d 01 00 02 7f01", "(vec int)", "01 6d7c 01 00 02 ff00 01", "in a vec"},
        {"00 01 7d 05", "(opt int)", "01 6e7c 01 00 01 05", "in an opt"},
        {"00 01 7d 05", "(nat)", "00 01 7d 05", "nat at nat"},
        {"00 01 73 0000c07f", "(float32)", "00 01 73 0000c07f", "NaN keeps its bits"},
        /* vecs */
        {"01 6d7b 01 00 02 6869", "(blob)", "01 6d7b 01 00 02 6869", "a blob"},
        {"01 6d7b 01 00 02 6869", "(vec byte)", "01 6d7b 01 00 02 6869", "of a type with a name"},
        {"01 6d7b 01 00 00", "(vec text)", "01 6d71 01 00 00", "no bytes at vec text"},
        {"01 6d71 01 00 00", "(blob)", "01 6d7b 01 00 00", "no texts at blob"},
        {"01 6d71 01 00 00", "(vec empty)", "01 6d71 01 00 00", "at vec empty"},
        {"01 6d6f 01 00 00", "(vec null)", "01 6d7f 01 00 00", "no empties at vec null"},
        {"01 6d7f 01 00 e807", "(vec null)", "01 6d7f 01 00 e807", "1000 nulls"},
        {"01 6d7f 01 00 e807", "(vec opt nat)", "01 6d7f 01 00 e807", "as 1000 nones"},
        {"01 6d7f 01 00 e807", "(vec reserved)", "01 6d70 01 00 e807", "as 1000 reserved"},
        {"01 6d7d 01 00 03 010203", "(vec reserved)", "01 6d70 01 00 03", "as 3 reserved"},
        {"02 6d01 6c00 01 00 03", "(vec record { a : opt nat })",
         "03 6d01 6c01 6102 6e7d 01 00 03 000000", "records of nothing get a field"},
        {"02 6d01 6c02 007d 017f 01 00 02 0506", "(vec record { 1 : null })",
         "02 6d01 6c01 017f 01 00 02", "records of something become records without width"},
        {"01 6d7b 01 00 02 0102", "(vec opt nat8)", "02 6d01 6e7b 01 00 02 0101 0102",
         "bytes as somes"},
        {"01 6d7b 01 00 02 0102", "(vec opt nat16)", "02 6d01 6e7b 01 00 02 00 00",
         "bytes as nones"},
        {"01 6d7e 01 00 02 0001", "(vec bool)", "01 6d7e 01 00 02 0001", "bools"},
        {"02 6d01 6d7b 01 00 02 0101 00", "(vec blob)", "02 6d01 6d7b 01 00 02 0101 00", "blobs"},
        /* records */
        {"01 6c03 007d 017e 0271 01 00 05 01 0161", "(record { 1 : bool })",
         "01 6c01 017e 01 00 01", "fields before and after are skipped"},
        {"01 6c03 007d 017e 0271 01 00 05 01 0161", "(record { 0 : nat; 2 : text })",
         "01 6c02 007d 0271 01 00 05 0161", "fields between"},
        {"01 6c00 01 00", "(record { a : opt nat; b : null; c : reserved })",
         "02 6c03 6101 627f 6370 6e7d 01 00 00", "missing fields"},
        {"01 6c01 627e 01 00 01", "(record { a : opt nat; b : bool; c : null })",
         "01 6c03 617f 627e 637f 01 00 01", "missing before and after"},
        {"01 6c01 007e 01 00 01", "(record {})", "01 6c00 01 00", "all fields dropped"},
        /* variants */
        {"01 6b02 007f 017f 01 00 00", "(variant { 0 })", "01 6b01 007f 01 00 00",
         "by the case that is there"},
        {"01 6b01 017e 01 00 00 01", "(variant { 0 : nat; 1 : bool; 2 })",
         "01 6b01 017e 01 00 00 01", "by tag, not by position"},
        {"01 6b01 007d 01 00 00 05", "(variant { 0 : opt int })",
         "02 6b01 0001 6e7c 01 00 00 01 05", "its content is coerced"},
        /* references */
        {"01 6900 01 00 0101ca", "(principal)", "00 01 68 0101ca", "a service is a principal"},
        {"02 6901 016101 6a000000 01 00 0101ca", "(service {})", "01 6900 01 00 0101ca",
         "of fewer methods"},
        {"01 6a000000 01 00 01 0101ca 0161", "(func () -> (opt nat))",
         "01 6a000000 01 00 01 0101ca 0161", "a function of fewer results that need not be"},
        {"01 6a00017d00 01 00 01 0101ca 0161", "(func (text) -> (int))",
         "01 6a000000 01 00 01 0101ca 0161", "of a narrower result, and taking less"},
        {"01 6a00017d00 01 00 01 0101ca 0161", "(opt func () -> (text))", "00 01 7f",
         "of another result"},
        {"01 6a0000 0101 01 00 01 0101ca 0161", "(opt func () -> ())", "00 01 7f",
         "of another mode"},
        {"02 6a00020171 00 6a00017100 02 00 01 01 0101ca 0161 01 0101ca 0161",
         "(opt func () -> (B, nat), opt B)", "00 02 7f 7f",
         "what a comparison assumed that failed is forgotten"},
        {"02 6a00020171 00 6a00017d00 02 00 01 01 0101ca 0161 01 0101ca 0161",
         "(opt func () -> (B, nat), opt B)", "02 6e01 6a000000 02 7f 00 01 01 0101ca 0161",
         "and looked at anew"},
        {"02 6a00017100 6a00020071 00 02 00 01 01 0101ca 0161 01 0101ca 0161",
         "(opt B, opt func () -> (B, text))", "00 02 7f 7f", "what failed is remembered"},
        /* types that are not known here */
        {"01 6701aa 01 00 02 00 aabb", "(opt nat)", "00 01 7f", "an unknown type at opt"},
        {"01 6701aa 01 00 02 00 aabb", "(reserved)", "00 01 70", "at reserved"},
        {"02 6700 6c02 0000 017e 01 01 0100aa 01", "(record { 1 : bool })", "01 6c01 017e 01 00 01",
         "in a field that is not wanted"},
        /* argument lists */
        {"00 00", "(null, opt nat, reserved)", "00 03 7f 7f 70", "missing arguments"},
        {"00 02 7d 7e 05 01", "(nat)", "00 01 7d 05", "one too many"},
        {"00 02 7d 7e 05 01", "()", "00 00", "none wanted"},
        {"00 00", "()", "00 00", "nothing at all"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        TAP_OK(becomes(rows[i].hex, rows[i].tuple, rows[i].expected), rows[i].what);
}

/* What is refused, and of which kind it is: only a wrong type recovers in an opt around it. */
static void test_refused(void)
{
    static const struct {
        const char *hex, *tuple;
        enum ic_errc code;
        const char *what;
    } rows[] = {
        {"01 6e7e 01 00 01 02", "(opt nat)", IC_E_MALFORMED, "a bool of 2, though it is dropped"},
        {"01 6e7e 01 00 02 01", "(opt bool)", IC_E_MALFORMED, "an opt of 2"},
        {"01 6e7e 01 00 01", "(opt nat)", IC_E_MALFORMED, "nothing in an opt"},
        {"00 01 7e 02", "(reserved)", IC_E_MALFORMED, "a bool of 2 at reserved"},
        {"00 01 71 01ff", "(reserved)", IC_E_MALFORMED, "no UTF-8 at reserved"},
        {"00 01 71 01ff", "(opt nat)", IC_E_MALFORMED, "nor at opt"},
        {"00 01 71 01ff", "()", IC_E_MALFORMED, "nor in an argument that is dropped"},
        {"00 01 68 00", "(reserved)", IC_E_MALFORMED, "an opaque reference"},
        {"01 6a000000 01 00 00", "(func () -> ())", IC_E_MALFORMED, "an opaque function"},
        {"01 6a000000 01 00 0100 0161", "(opt nat)", IC_E_MALFORMED, "of an opaque service"},
        {"01 6e6f 01 00 01", "(opt nat)", IC_E_MALFORMED, "some empty"},
        {"01 6e6f 01 00 01", "(opt empty)", IC_E_MALFORMED, "also at opt empty"},
        {"00 01 6f", "(empty)", IC_E_MALFORMED, "empty at empty"},
        {"00 01 6f", "(opt nat)", IC_E_MALFORMED, "empty at opt"},
        {"00 01 6f", "(reserved)", IC_E_MALFORMED, "empty at reserved"},
        {"00 01 6f", "(principal)", IC_E_WRONG_TYPE, "empty at principal"},
        {"01 6c01 006f 01 00", "(record {})", IC_E_MALFORMED, "empty in a field that is dropped"},
        {"01 6b02 007f 017f 01 00 02", "(opt variant { 0 })", IC_E_MALFORMED,
         "a position that is none"},
        {"01 6b02 007f 017f 01 00 02", "(variant { 0 })", IC_E_MALFORMED, "without an opt"},
        {"01 6b00 01 00 00", "(opt variant { 0 })", IC_E_MALFORMED, "a case of no cases"},
        {"00 01 7e 01", "(O)", IC_E_MALFORMED, "true in opts without end"},
        {"01 6c01 0000 01 00", "(E)", IC_E_MALFORMED, "records in records without end"},
        {"01 6c01 0000 01 00", "(opt nat)", IC_E_MALFORMED, "and where they do not fit"},
        {"01 6701aa 01 00 02 01 aabb", "(opt nat)", IC_E_MALFORMED,
         "an unknown type with references"},
        {"00 01 7d 05 00", "(nat)", IC_E_MALFORMED, "a byte too many"},
        {"00 02 7d 7e 05 02", "(nat)", IC_E_MALFORMED, "an argument too many that is malformed"},
        {"01 6d7f 01 00 8094ebdc03", "(vec null)", IC_E_MALFORMED, "10^9 nulls"},
        {"01 6d7f 01 00 8094ebdc03", "(vec opt nat)", IC_E_MALFORMED, "as nones"},
        {"01 6d7f 01 00 8094ebdc03", "(vec reserved)", IC_E_MALFORMED, "as reserved"},
        {"01 6d7f 01 00 8094ebdc03", "(reserved)", IC_E_MALFORMED, "as one reserved"},
        {"01 6d7f 01 00 8094ebdc03", "(opt nat)", IC_E_MALFORMED, "as none"},
        {"01 6d7f 01 00 8094ebdc03", "()", IC_E_MALFORMED, "as nothing"},
        {"01 6d7f 01 00 8094ebdc03", "(vec nat8)", IC_E_WRONG_TYPE, "as bytes"},
        {"02 6d01 6c00 01 00 8094ebdc03", "(vec record { opt nat })", IC_E_MALFORMED,
         "10^9 records to be filled"},
        {"01 6d7b 01 00 8094ebdc03 00", "(vec opt nat8)", IC_E_MALFORMED, "10^9 bytes of 1"},
        {"00 01 7e 01", "(nat)", IC_E_WRONG_TYPE, "true at nat"},
        {"01 6e7d 01 00 01 05", "(nat)", IC_E_WRONG_TYPE, "opt nat at nat, though it is there"},
        {"00 01 7b 05", "(nat16)", IC_E_WRONG_TYPE, "nat8 at nat16"},
        {"00 01 7b 05", "(nat)", IC_E_WRONG_TYPE, "nat8 at nat"},
        {"00 01 7c 05", "(nat)", IC_E_WRONG_TYPE, "int at nat"},
        {"00 01 73 00000000", "(float64)", IC_E_WRONG_TYPE, "float32 at float64"},
        {"01 6d77 01 00 01 05", "(blob)", IC_E_WRONG_TYPE, "vec int8 at blob"},
        {"00 01 70", "(null)", IC_E_WRONG_TYPE, "reserved at null"},
        {"01 6c01 6170 01 00", "(record { a : null })", IC_E_WRONG_TYPE, "in a field"},
        {"01 6b01 6170 01 00 00", "(variant { a })", IC_E_WRONG_TYPE, "in a case"},
        {"01 6d70 01 00 01", "(vec null)", IC_E_WRONG_TYPE, "in an element"},
        {"00 01 68 0101ca", "(service {})", IC_E_WRONG_TYPE, "a principal at service"},
        {"01 6a00017d00 01 00 01 0101ca 0161", "(func () -> (text))", IC_E_WRONG_TYPE,
         "a function of another type"},
        {"01 6701aa 01 00 02 00 aabb", "(nat)", IC_E_WRONG_TYPE, "an unknown type"},
        {"01 6b02 007f 017f 01 00 01", "(variant { 0 })", IC_E_WRONG_TYPE, "an unknown case"},
        {"01 6c00 01 00", "(record { a : nat })", IC_E_WRONG_TYPE, "a missing field"},
        {"00 00", "(nat)", IC_E_WRONG_TYPE, "a missing argument"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ic_buf message = message_hex(rows[i].hex);
        struct ic_error err = {0};
        TAP_INT(decode_at(&message, rows[i].tuple, NULL, &err), -EPROTO, rows[i].what);
        if (!TAP_INT(err.code, rows[i].code, err.message))
            printf("# %s\n", rows[i].what);
        ic_buf_fini(&message);
    }
}

/* Where it does not fit. */
static void test_places(void)
{
    static const struct {
        const char *hex, *tuple, *message;
    } rows[] = {
        {"00 02 7d 7e 05 01", "(nat, nat)",
         "candid: argument 2: bool where nat is expected (at byte 9)"},
        {"03 6c01 6101 6d02 6c01 627e 01 00 02 0101", "(record { a : vec record { b : nat } })",
         "candid: argument 1.a[0].b: bool where nat is expected (at byte 18)"},
        {"01 6c01 617e 01 00 01", "(record { a : bool; \"long name\" : nat })",
         "candid: argument 1.long name: nothing where nat is expected (at byte 12)"},
        {"01 6c01 007e 01 00 01", "(record { 0 : text })",
         "candid: argument 1.0: bool where text is expected (at byte 11)"},
        {"01 6b01 617e 01 00 00 01", "(variant { a : opt nat; b })", NULL},
        {"01 6b01 617e 01 00 00 01", "(variant { a : nat })",
         "candid: argument 1.a: bool where nat is expected (at byte 12)"},
        {"01 6b01 637f 01 00 00", "(variant { a : nat })",
         "candid: argument 1: variant where variant is expected, but of an unknown case (at byte "
         "12)"},
        {"01 6a00017d00 01 00 01 0101ca 0161", "(func () -> (text))",
         "candid: argument 1: func where func is expected, but of another type (at byte 12)"},
        {"00 00", "(nat)", "candid: argument 1: nothing where nat is expected (at byte 6)"},
        /* a mismatch that was recovered from is forgotten */
        {"01 6c02 617e 627e 01 00 01 01", "(record { a : opt nat; b : nat })",
         "candid: argument 1.b: bool where nat is expected (at byte 14)"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ic_buf message = message_hex(rows[i].hex);
        struct ic_error err = {0};
        if (decode_at(&message, rows[i].tuple, NULL, &err) == 0)
            TAP_OK(!rows[i].message, rows[i].tuple);
        else if (!TAP_STR(err.message, rows[i].message ? rows[i].message : "", rows[i].tuple))
            printf("# got %s\n", err.message);
        ic_buf_fini(&message);
    }
}

/* ---- how much is charged ---- */

/* The least max_values at which a message is accepted; 0 when it is not, whatever the limit. */
static size_t cost(const struct ic_buf *message, const char *tuple)
{
    size_t low = 1, high = (size_t)1 << 26;
    struct ic_candid_limits limits = {.max_values = high, .max_memory = (size_t)1 << 30};

    if (decode_at(message, tuple, &limits, NULL) < 0)
        return 0;
    while (low < high) {
        limits.max_values = low + (high - low) / 2;
        if (decode_at(message, tuple, &limits, NULL) == 0)
            high = limits.max_values;
        else
            low = limits.max_values + 1;
    }
    return low;
}

static void test_costs(void)
{
    static const struct {
        const char *hex, *tuple;
        size_t cost;
        const char *what;
    } rows[] = {
        {"00 01 7d 05", "(nat)", 1, "a number"},
        {"00 01 7d 05", "(reserved)", 1, "dropped"},
        {"00 01 7d 05", "(opt nat)", 2, "as some"},
        {"00 01 7d 05", "(opt text)", 2, "as none"},
        {"01 6e7e 01 00 01 01", "(opt nat)", 2, "of an opt"},
        {"01 6d7b 01 00 05 0000000000", "(blob)", 6, "bytes"},
        {"01 6d7b 01 00 05 0000000000", "(opt text)", 7, "as none"},
        {"01 6d7b 01 00 05 0000000000", "(vec opt text)", 11, "as nones"},
        {"01 6d7f 01 00 e807", "(vec null)", 1001, "a thousand nulls"},
        {"01 6d7f 01 00 e807", "()", 1001, "dropped"},
        {"01 6d7f 01 00 e807", "(vec opt nat)", 1001, "as nones"},
        {"02 6d01 6c02 007f 017f 01 00 64", "(vec record { null; null })", 301, "pairs of nulls"},
        {"02 6d01 6c02 007f 017f 01 00 64", "(vec record { null })", 301, "one of each dropped"},
        {"02 6d01 6c00 01 00 64", "(vec record { null; reserved; opt nat })", 401, "filled"},
        {"02 6e01 6c02 007e 017e 01 00 01 0100", "(opt record { bool; nat })", 6,
         "one field read twice"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ic_buf message = message_hex(rows[i].hex);
        TAP_INT((int64_t)cost(&message, rows[i].tuple), (int64_t)rows[i].cost, rows[i].what);
        ic_buf_fini(&message);
    }
}

/* Every opt around fails only after all in it was read, once for each of 100 levels: what is in the
 * innermost is skipped a hundred times, and charged each time. */
static void test_backtracking(void)
{
    struct ic_buf message = message_hex("03 6e01 6c03 0000 017e 0202 6d7f 01 00");
    struct ic_buf large = {0};
    size_t once, got;

    for (int i = 0; i < 100; i++)
        append_hex(&message, "01");
    append_hex(&message, "00 01 00"); /* innermost: none, a bool, no nulls */
    for (int i = 1; i < 100; i++)
        append_hex(&message, "01 00");
    once = cost(&message, "()");
    got = cost(&message, "(Nest)");
    TAP_INT((int64_t)once, 401, "a nest of 100 opts");
    TAP_OK(got > 100 * once / 3 && got < 100 * once, "is read a hundred times at most");
    TAP_INT(decode_at(&message, "(Nest)", NULL, NULL), 0, "which is allowed: it is short");

    ic_buf_append(&large, message.bytes, message.len - 199);
    append_hex(&large, "90 4e"); /* 10000 nulls */
    for (int i = 1; i < 100; i++)
        append_hex(&large, "01 00");
    TAP_INT(decode_at(&large, "()", NULL, NULL), 0, "a large one can be skipped");
    TAP_INT(decode_at(&large, "(Nest)", NULL, NULL), -EPROTO, "but not a hundred times");
    ic_buf_fini(&message);
    ic_buf_fini(&large);
}

/* Records doubling 20 times: 200 bytes for a million fields without width. */
static void test_doubling(void)
{
    static const char *const tuples[] = {"()",
                                         "(reserved)",
                                         "(opt nat)",
                                         "(record {})",
                                         "(record { opt nat })",
                                         "(vec reserved)",
                                         "(vec record { reserved; null })"};
    for (int in_vec = 0; in_vec < 2; in_vec++) {
        struct ic_buf message = message_hex(in_vec ? "16" : "15");
        for (int i = 0; i < 20; i++) {
            char entry[32];
            snprintf(entry, sizeof(entry), "6c02 00%02x 01%02x", i + 1, i + 1);
            append_hex(&message, entry);
        }
        append_hex(&message, in_vec ? "6c00 6d00 01 15 64" : "6c00 01 00");
        for (size_t i = 0; i < sizeof(tuples) / sizeof(tuples[0]); i++)
            TAP_INT(decode_at(&message, tuples[i], NULL, NULL), -EPROTO, tuples[i]);
        ic_buf_fini(&message);
    }
}

/* ---- references ---- */

static void append_leb(struct ic_buf *out, uint64_t n)
{
    ic_buf_append_leb64(out, n);
}

/* Functions that take the next one of them, in a circle of n. */
static struct ic_buf func_circle(size_t n, bool in_opts, size_t n_values)
{
    struct ic_buf out = message_hex("");
    append_leb(&out, n + 2);
    for (size_t i = 0; i < n; i++) {
        append_hex(&out, "6a 01");
        append_leb(&out, (i + 1) % n);
        append_hex(&out, "00 00");
    }
    append_hex(&out, "6e 00 6d");
    append_leb(&out, in_opts ? n : 0);
    append_hex(&out, "01");
    append_leb(&out, n + 1);
    append_leb(&out, n_values);
    for (size_t i = 0; i < n_values; i++)
        append_hex(&out, in_opts ? "01 01 0101ca 0161" : "01 0101ca 0161");
    if (ic_buf_status(&out) < 0)
        candid_die("out of memory", "func_circle");
    return out;
}

/* A description with a circle of its own, and the last one in it with this result. */
static char *circle_text(size_t n, const char *result)
{
    char *text = malloc(64 * n + 64), *end = text;
    if (!text)
        candid_die("out of memory", "circle_text");
    for (size_t i = 0; i < n; i++)
        end += sprintf(end, "type F%zu = func (F%zu) -> (%s);", i, (i + 1) % n,
                       i + 1 == n ? result : "");
    return text;
}

static int decode_circle(const struct ic_buf *message, const char *text, const char *tuple,
                         size_t max_values, struct ic_error *err)
{
    struct ic_candid_limits limits = {.max_values = max_values, .max_memory = (size_t)1 << 28};
    struct ic_did *did = NULL;
    struct ic_candid *msg = NULL;
    const struct ic_type *func = did_func(text, tuple, &did);
    int ret = ic_candid_decode_as(message->bytes, message->len, func->as.func.args, 1, &limits,
                                  &msg, err);
    ic_candid_free(msg);
    ic_did_free(did);
    return ret;
}

static void test_subtypes(void)
{
    char *fits = circle_text(13, ""), *differs = circle_text(13, "nat");
    struct ic_buf message = func_circle(11, false, 1000), opts = func_circle(11, true, 1000);
    struct ic_error err = {0};

    /* Each pair comes up in both directions, as arguments of arguments do. Then each value costs a
     * look at what is known of its types, and itself. */
    TAP_INT(decode_circle(&message, fits, "(vec F0)", 1 + 286 + 2000, &err), 0,
            "11 by 13 types are compared once for a thousand values");
    TAP_INT(decode_circle(&message, fits, "(vec F0)", 1 + 286 + 1999, NULL), -EPROTO,
            "and are charged");
    TAP_INT(decode_circle(&message, differs, "(vec F0)", 0, &err), -EPROTO, "types that differ");
    TAP_INT(err.code, IC_E_WRONG_TYPE, "deep inside");
    TAP_INT(decode_circle(&opts, differs, "(vec opt F0)", 1 + 286 + 3000, NULL), 0,
            "are compared once, too, where they become none");
    ic_buf_fini(&message);
    ic_buf_fini(&opts);
    free(fits);
    free(differs);

    /* 301 by 302 types are more pairs than are allowed, whatever the budget. */
    fits = circle_text(302, "");
    message = func_circle(301, false, 1);
    TAP_INT(decode_circle(&message, fits, "(vec F0)", 0, &err), -EPROTO, "too many pairs");
    TAP_INT(err.code, IC_E_MALFORMED, "are too many for the message's size");
    TAP_INT(decode_circle(&message, fits, "(vec F0)", (size_t)1 << 30, &err), -EPROTO,
            "and for anybody");
    TAP_INT(decode_circle(&message, fits, "(vec opt F0)", (size_t)1 << 30, &err), -EPROTO,
            "also in an opt");
    ic_buf_fini(&message);
    free(fits);
}

/* ---- depth and memory ---- */

/* n opts around true; at a type without end, and at as many opts of nat. */
static void test_opt_chains(void)
{
    struct ic_buf message = message_hex("01 6e00 01 00");
    for (int i = 0; i < 255; i++)
        append_hex(&message, "01");
    append_hex(&message, "00");
    TAP_INT(decode_at(&message, "(O)", NULL, NULL), 0, "255 opts and a none");
    TAP_INT(decode_at(&message, "(opt opt nat)", NULL, NULL), 0, "of which two are wanted");
    ic_buf_fini(&message);

    message = message_hex("01 6e00 01 00");
    for (int i = 0; i < 256; i++)
        append_hex(&message, "01");
    append_hex(&message, "00");
    TAP_INT(decode_at(&message, "(O)", NULL, NULL), -EPROTO, "256 are too deep");
    TAP_INT(decode_at(&message, "()", NULL, NULL), -EPROTO, "also to be skipped");
    ic_buf_fini(&message);

    message = message_hex("8a4e"); /* a table of 9994 opts, each of the next */
    for (unsigned i = 1; i < 9994; i++) {
        append_hex(&message, "6e");
        append_leb(&message, i);
    }
    append_hex(&message, "6e7e 01 00");
    for (int i = 0; i < 9994; i++)
        append_hex(&message, "01");
    append_hex(&message, "01");
    TAP_INT(decode_at(&message, "(opt nat)", NULL, NULL), -EPROTO, "9994 opts");
    TAP_INT(decode_at(&message, "(O)", NULL, NULL), -EPROTO, "at opts without end");
    ic_buf_fini(&message);
}

/* What an opt gives up does not fill the memory: 5000 records of 60 fields, of which the last does
 * not fit. */
static void test_memory(void)
{
    struct ic_buf message = message_hex("02 6d01 6c01 007e 01 00 8827");
    char tuple[1024] = "(vec opt record { 0 : bool", *end = tuple + strlen(tuple);
    for (int i = 1; i < 60; i++)
        end += sprintf(end, "; opt nat");
    strcpy(end, "; nat })");
    for (int i = 0; i < 5000; i++)
        append_hex(&message, "01");
    TAP_INT(decode_at(&message, tuple, NULL, NULL), 0, "memory is given back");
    strcpy(end, "; opt nat })");
    TAP_INT(decode_at(&message, tuple, NULL, NULL), -EPROTO, "what is kept counts");
    ic_buf_fini(&message);
}

/* What takes no bytes takes no memory either, and none is asked for that the budget has no values
 * for: 2^40 times whatever would be a failed allocation. */
static void test_counts(void)
{
    const struct ic_candid_limits limits = {.max_memory = SIZE_MAX / 2};
    struct ic_buf message = message_hex("02 6d01 6c01 007f 01 00 e88102"); /* 33000 records */
    TAP_INT(decode_at(&message, "(vec record { null })", NULL, NULL), 0, "records of nothing");
    ic_buf_fini(&message);
    message = message_hex("01 6d7f 01 00 808080808020");
    TAP_INT(decode_at(&message, "(vec opt nat)", &limits, NULL), -EPROTO, "2^40 nones");
    ic_buf_fini(&message);
}

/* A type whose definition is in a file that is not there. */
static void test_unresolved(void)
{
    struct ic_buf message = message_hex("01 6701aa 01 00 02 00 aabb");
    struct ic_did *did = NULL;
    struct ic_candid *msg = NULL;
    const struct ic_type *func = did_func("import \"x.did\"; ", "(opt Missing, Missing)", &did);
    struct ic_error err = {0};

    TAP_INT(
        ic_candid_decode_as(message.bytes, message.len, func->as.func.args, 1, NULL, &msg, &err), 0,
        "a type that is not known at another one, in an opt");
    TAP_OK(msg && !ic_candid_arg(msg, 0)->as.opt, "is none");
    ic_candid_free(msg);
    TAP_INT(ic_candid_decode_as(message.bytes, message.len, func->as.func.args + 1, 1, NULL, &msg,
                                &err),
            -EPROTO, "and fits nothing else");
    TAP_INT(err.code, IC_E_WRONG_TYPE, err.message);
    ic_did_free(did);
    ic_buf_fini(&message);
}

/* 300 fields that nobody asked for, of every width. */
static void test_extra_fields(void)
{
    struct ic_buf message = message_hex("01 6c ad02");
    for (unsigned i = 0; i < 301; i++) {
        append_leb(&message, i);
        append_hex(&message, i == 299 ? "7d" : i % 2 ? "78" : "71");
    }
    append_hex(&message, "01 00");
    for (unsigned i = 0; i < 301; i++)
        append_hex(&message, i == 299 ? "05" : i % 2 ? "0102030405060708" : "03616263");
    TAP_INT((int64_t)cost(&message, "(record { 299 : nat })"), 302, "300 fields are skipped");
    TAP_INT(decode_at(&message, "(record { 299 : text })", NULL, NULL), -EPROTO,
            "and the other is found");
    ic_buf_fini(&message);
}

int main(void)
{
    test_fits();
    test_refused();
    test_places();
    test_costs();
    test_backtracking();
    test_doubling();
    test_subtypes();
    test_opt_chains();
    test_memory();
    test_counts();
    test_unresolved();
    test_extra_fields();
    return tap_done();
}
