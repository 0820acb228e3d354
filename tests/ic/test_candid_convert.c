/* Candid values brought to declared types and encoded at them: what fits and becomes what, what is
 * refused and where, and the bytes. */
#include "ic/candid_coerce.h"
#include "ic/candid_convert.h"
#include "ic/candid_relation.h"
#include "tests/ic/candid_hex.h"
#include "tests/tap.h"

#include <errno.h>

TAP_STATE;

static const char definitions[] = "type O = opt O;"
                                  "type List = opt record { head : int; tail : List };";

static bool equal_types(const struct ic_type *a, const struct ic_type *b)
{
    bool equal = false;
    return ic_type_relates(a, b, IC_TYPE_EQUAL, &equal, NULL) == 0 && equal;
}

/* Decode hexadecimal at its own types, encode at these. */
static int encode_hex_as(const char *hex, const char *tuple, struct ic_did **did,
                         const struct ic_type **func, struct ic_buf *out, struct ic_error *err)
{
    struct ic_buf message = message_hex(hex);
    struct ic_candid *msg = NULL;
    size_t n;
    int ret;

    if (ic_candid_decode(message.bytes, message.len, NULL, &msg, err) < 0)
        candid_die(hex, err->message);
    *func = did_func(definitions, tuple, did);
    n = ic_candid_count(msg);
    ret = ic_candid_encode_as(n ? ic_candid_arg(msg, 0) : NULL, n, (*func)->as.func.args,
                              (*func)->as.func.n_args, out, err);
    ic_candid_free(msg);
    ic_buf_fini(&message);
    return ret;
}

/* Does it say, at the declared types, what another message says at its own? */
static bool becomes(const char *hex, const char *tuple, const char *expected)
{
    struct ic_buf wanted = message_hex(expected), encoded = {0};
    struct ic_candid *want = NULL, *got = NULL;
    const struct ic_type *func = NULL;
    struct ic_did *did = NULL;
    struct ic_error err = {0};
    bool ok = encode_hex_as(hex, tuple, &did, &func, &encoded, &err) == 0;

    if (ic_candid_decode(wanted.bytes, wanted.len, NULL, &want, &err) < 0)
        candid_die(expected, err.message);
    if (!ok)
        printf("# %s\n", err.message);
    ok = ok && ic_candid_decode(encoded.bytes, encoded.len, NULL, &got, &err) == 0 &&
         ic_candid_count(got) == func->as.func.n_args &&
         ic_candid_count(want) == func->as.func.n_args;
    for (size_t i = 0; ok && i < ic_candid_count(got); i++)
        ok = ic_value_equal(ic_candid_arg(got, i), ic_candid_arg(want, i)) &&
             equal_types(ic_candid_arg(got, i)->type, func->as.func.args[i]);
    ic_candid_free(got);
    ic_candid_free(want);
    ic_did_free(did);
    ic_buf_fini(&wanted);
    ic_buf_fini(&encoded);
    return ok;
}

static void test_becomes(void)
{
    static const struct {
        const char *hex, *tuple, *expected, *what;
    } rows[] = {
        /* opt */
        {"00 01 7d 05", "(opt nat)", "01 6e7d 01 00 01 05", "T becomes opt T"},
        {"00 01 7d 05", "(opt opt nat)", "02 6e01 6e7d 01 00 01 01 05", "and opt opt T"},
        {"00 01 7f", "(opt nat)", "01 6e7d 01 00 00", "null becomes none"},
        {"00 01 70", "(opt nat)", "01 6e7d 01 00 00", "reserved becomes none"},
        {"01 6e7d 01 00 01 05", "(opt int)", "01 6e7c 01 00 01 05", "the content is converted"},
        {"01 6e6f 01 00 00", "(opt text)", "01 6e71 01 00 00", "none of empty becomes any none"},
        {"01 6e7e 01 00 01 01", "(opt opt bool)", "02 6e01 6e7e 01 00 01 01 01",
         "an opt meets an opt"},
        {"00 01 7f", "(List)", "01 6e7d 01 00 00", "a recursive type"},
        {"01 6e00 01 00 01 01 00", "(O)", "01 6e00 01 00 01 01 00", "opts without end"},
        /* whole numbers */
        {"00 01 7d 05", "(nat8)", "00 01 7b 05", "nat becomes nat8"},
        {"00 01 7d ff01", "(nat8)", "00 01 7b ff", "255"},
        {"00 01 7d ff8100", "(nat8)", "00 01 7b ff", "with padding"},
        {"00 01 7c ff00", "(int8)", "00 01 77 7f", "int 127 becomes int8"},
        {"00 01 7c 807f", "(int8)", "00 01 77 80", "-128"},
        {"00 01 7c 8080808080808080807f", "(int64)", "00 01 74 0000000000000080", "-2^63"},
        {"00 01 7d ffffffffffffffffff01", "(nat64)", "00 01 78 ffffffffffffffff", "2^64 - 1"},
        {"00 01 7c ffffffffffffffffff01", "(nat64)", "00 01 78 ffffffffffffffff", "as int"},
        {"00 01 7c ff00", "(nat)", "00 01 7d 7f", "int 127 becomes nat"},
        {"00 01 7d 7f", "(int)", "00 01 7c ff00", "nat 127 becomes int"},
        {"00 01 7b ff", "(nat)", "00 01 7d ff01", "nat8 becomes nat"},
        {"00 01 7b ff", "(int)", "00 01 7c ff01", "int"},
        {"00 01 7b 7f", "(int8)", "00 01 77 7f", "int8"},
        {"00 01 7b ff", "(nat64)", "00 01 78 ff00000000000000", "nat64"},
        {"00 01 78 ffffffffffffffff", "(nat)", "00 01 7d ffffffffffffffffff01",
         "nat64 becomes nat"},
        {"00 01 78 ffffffffffffffff", "(int)", "00 01 7c ffffffffffffffffff01", "int"},
        {"00 01 77 ff", "(int)", "00 01 7c 7f", "int8 -1 becomes int"},
        {"00 01 77 ff", "(int64)", "00 01 74 ffffffffffffffff", "int64"},
        {"00 01 74 0000000000000080", "(int)", "00 01 7c 8080808080808080807f", "int64 -2^63"},
        {"00 01 74 bfffffffffffffff", "(int)", "00 01 7c bf7f", "-65 takes two groups"},
        {"00 01 74 c0ffffffffffffff", "(int)", "00 01 7c 40", "-64 takes one"},
        {"00 01 74 0500000000000000", "(nat)", "00 01 7d 05", "int64 5 becomes nat"},
        {"00 01 7c ffffffffffffffffffff00", "(nat)", "00 01 7d ffffffffffffffffff7f", "2^70 - 1"},
        /* vecs */
        {"01 6d7d 01 00 03 017fff01", "(blob)", "01 6d7b 01 00 03 017fff", "nats become bytes"},
        {"01 6d7b 01 00 02 01ff", "(vec nat)", "01 6d7d 01 00 02 01ff01", "bytes become nats"},
        {"01 6d7b 01 00 02 01ff", "(vec nat32)", "01 6d79 01 00 02 01000000ff000000", "numbers"},
        {"01 6d7b 01 00 02 01ff", "(blob)", "01 6d7b 01 00 02 01ff", "bytes stay"},
        {"01 6d6f 01 00 00", "(vec text)", "01 6d71 01 00 00", "an empty vec is of any type"},
        {"01 6d71 01 00 00", "(blob)", "01 6d7b 01 00 00", "also of bytes"},
        {"01 6d7f 01 00 03", "(vec opt nat)", "02 6d01 6e7d 01 00 03 000000", "nulls become nones"},
        {"01 6d7f 01 00 03", "(vec reserved)", "01 6d70 01 00 03", "reserveds"},
        {"01 6d7d 01 00 02 0102", "(vec reserved)", "01 6d70 01 00 02", "numbers become reserveds"},
        {"02 6d01 6d7d 01 00 02 0101 00", "(vec blob)", "02 6d01 6d7b 01 00 02 0101 00",
         "vecs of vecs"},
        /* records and variants */
        {"01 6c03 007d 017e 0271 01 00 05 01 0161", "(record { 2 : opt text; 1 : bool; 3 : null })",
         "02 6c03 017e 0201 037f 6e71 01 00 01 01 0161", "fields go, come, and are converted"},
        {"01 6c00 01 00", "(record { a : opt nat; b : reserved })",
         "02 6c02 6101 6270 6e7d 01 00 00", "all may be missing"},
        {"01 6b01 627d 01 00 00 05", "(variant { a; b : int; c })",
         "01 6b03 617f 627c 637f 01 00 01 05", "a variant by its tag"},
        /* references */
        {"01 6900 01 00 0101ca", "(principal)", "00 01 68 0101ca", "a service becomes a principal"},
        {"01 6a00017d00 01 00 01 0101ca 0161", "(func (text) -> (int))",
         "01 6a0171017c00 01 00 01 0101ca 0161", "a function of a subtype"},
        /* the rest */
        {"00 01 71 0161", "(reserved)", "00 01 70", "text becomes reserved"},
        {"00 01 72 0000000000000840", "(float64)", "00 01 72 0000000000000840", "a float"},
        {"00 00", "(null, opt nat, reserved)", "01 6e7d 03 7f 00 70 00", "missing arguments"},
        {"00 00", "()", "00 00", "nothing"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        TAP_OK(becomes(rows[i].hex, rows[i].tuple, rows[i].expected), rows[i].what);
}

static void test_refused(void)
{
    static const struct {
        const char *hex, *tuple, *message;
    } rows[] = {
        {"01 6e7d 01 00 01 05", "(nat)", "candid: argument 1: opt where nat is expected"},
        {"01 6e7e 01 00 01 01", "(opt nat)", "candid: argument 1: bool where nat is expected"},
        {"00 01 7d 8002", "(nat8)",
         "candid: argument 1: nat where nat8 is expected, out of its range"},
        {"00 01 7c 7f", "(nat)", "candid: argument 1: int where nat is expected, out of its range"},
        {"00 01 7c 8001", "(int8)",
         "candid: argument 1: int where int8 is expected, out of its range"},
        {"00 01 7c ff7e", "(int8)",
         "candid: argument 1: int where int8 is expected, out of its range"},
        {"00 01 7c 80808080808080808001", "(int64)",
         "candid: argument 1: int where int64 is expected, out of its range"},
        {"00 01 7c ffffffffffffffffff7e", "(int64)",
         "candid: argument 1: int where int64 is expected, out of its range"},
        {"00 01 7d 80808080808080808002", "(nat64)",
         "candid: argument 1: nat where nat64 is expected, out of its range"},
        {"00 01 7d 80808080808080808001", "(int64)",
         "candid: argument 1: nat where int64 is expected, out of its range"},
        {"00 01 77 ff", "(nat64)",
         "candid: argument 1: int8 where nat64 is expected, out of its range"},
        {"00 01 7b 80", "(int8)",
         "candid: argument 1: nat8 where int8 is expected, out of its range"},
        {"01 6d7d 01 00 03 010280 02", "(blob)",
         "candid: argument 1[2]: nat where nat8 is expected, out of its range"},
        {"01 6d71 01 00 01 0161", "(blob)", "candid: argument 1[0]: text where nat8 is expected"},
        {"00 01 7d 05", "(float64)", "candid: argument 1: nat where float64 is expected"},
        {"00 01 73 00000000", "(float64)", "candid: argument 1: float32 where float64 is expected"},
        {"00 01 70", "(null)", "candid: argument 1: reserved where null is expected"},
        {"00 01 7f", "(empty)", "candid: argument 1: null where empty is expected"},
        {"00 01 68 0101ca", "(service {})",
         "candid: argument 1: principal where service is expected"},
        {"01 6a00017d00 01 00 01 0101ca 0161", "(func () -> (text))",
         "candid: argument 1: func where func is expected, but of another type"},
        {"02 6d01 6c01 007e 01 00 02 0100", "(vec record { owner : principal })",
         "candid: argument 1[0].owner: nothing where principal is expected"},
        {"03 6c01 6101 6d02 6c01 627e 01 00 02 0101", "(record { a : opt vec record { b : nat } })",
         "candid: argument 1.a[0].b: bool where nat is expected"},
        {"01 6b01 637f 01 00 00", "(variant { a; b })",
         "candid: argument 1: variant where variant is expected, but of an unknown case"},
        {"01 6b01 617e 01 00 00 01", "(variant { a : nat })",
         "candid: argument 1.a: bool where nat is expected"},
        {"00 01 7e 01", "(bool, nat)", "candid: argument 2: nothing where nat is expected"},
        {"00 02 7e 7e 01 01", "(bool)", "candid: 2 arguments where 1 are expected"},
        {"01 6701aa 01 00 02 00 aabb", "(text)",
         "candid: argument 1: a type that is not known here where text is expected"},
        {"01 6d7f 01 00 808004", "(vec opt nat)", NULL}, /* 65536 nones are none too many */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *wanted = rows[i].message ? rows[i].message : "";
        const struct ic_type *func = NULL;
        struct ic_did *did = NULL;
        struct ic_buf out = {0};
        struct ic_error err = {0};
        TAP_INT(encode_hex_as(rows[i].hex, rows[i].tuple, &did, &func, &out, &err),
                rows[i].message ? -EINVAL : 0, rows[i].tuple);
        if (!TAP_STR(err.message, wanted, rows[i].tuple))
            printf("# got %s\n", err.message);
        ic_did_free(did);
        ic_buf_fini(&out);
    }
}

/* Just these bytes: the table is the declared type's, a type before what it consists of. */
static void test_bytes(void)
{
    static const struct {
        const char *hex, *tuple, *bytes;
    } rows[] = {
        {"01 6c01 b3b0dac303 68 01 00 010104",
         "(record { owner : principal; subaccount : opt blob })",
         "03 6c02 b3b0dac303 68 ad86ca8305 01 6e02 6d7b 01 00 010104 00"},
        {"01 6b01 bc8a01 71 01 00 00 04676f6f64", "(variant { Ok : text; Err : text })",
         "01 6b02 bc8a01 71 c5fed201 71 01 00 00 04676f6f64"},
        {"01 6c01 a0d2aca804 7d 01 00 01", "(List)",
         "02 6e01 6c02 a0d2aca804 7c 90eddae704 00 01 00 01 01 00"},
        {"00 01 7d 2a", "(opt int)", "01 6e7c 01 00 01 2a"},
        {"00 00", "()", "00 00"},
        /* equal types are one */
        {"00 00", "(opt blob, opt blob, opt vec nat8)", "02 6e01 6d7b 03 00 00 00 00 00 00"},
        {"00 00", "(opt record { opt nat; opt nat; opt text }, opt opt nat)",
         "05 6e01 6c03 0002 0102 0203 6e7d 6e71 6e02 02 00 04 00 00"},
        {"00 00", "(List, List)", "02 6e01 6c02 a0d2aca804 7c 90eddae704 00 02 00 00 00 00"},
        {"00 00", "(opt variant { a }, opt record { a : null }, opt variant { b })",
         "06 6e01 6b01 617f 6e03 6c01 617f 6e05 6b01 627f 03 00 02 04 00 00 00"},
        {"00 00", "(opt func () -> (), opt func () -> () query, opt func () -> ())",
         "04 6e01 6a000000 6e03 6a00000101 03 00 02 00 00 00 00"},
        {"00 00", "(opt func (nat) -> (), opt func () -> (nat))",
         "04 6e01 6a017d0000 6e03 6a00017d00 02 00 02 00 00"},
        {"00 00", "(opt service { a : () -> () }, opt service { b : () -> () })",
         "05 6e01 6901 016102 6a000000 6e04 6901 016202 02 00 03 00 00"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ic_buf wanted = message_hex(rows[i].bytes), out = {0};
        const struct ic_type *func = NULL;
        struct ic_did *did = NULL;
        struct ic_error err = {0};
        TAP_INT(encode_hex_as(rows[i].hex, rows[i].tuple, &did, &func, &out, &err), 0,
                rows[i].tuple);
        if (TAP_INT((int64_t)out.len, (int64_t)wanted.len, "bytes"))
            TAP_MEM(out.bytes, wanted.bytes, out.len, rows[i].tuple);
        ic_did_free(did);
        ic_buf_fini(&out);
        ic_buf_fini(&wanted);
    }
}

/* A value that is no argument, in memory of the caller's. */
static void test_at_type(void)
{
    struct ic_did *did = NULL;
    const struct ic_type *func = did_func(definitions, "(opt nat, record { a : nat8 }, O)", &did);
    const struct ic_value five = ic_nat64(5), large = ic_nat64(256), yes = ic_bool(true);
    const struct ic_type_field field = {97, &ic_type_nat64};
    const struct ic_type record = {.kind = IC_TYPE_RECORD, .as.fields = {&field, 1}};
    const struct ic_value wrong = {.type = &record, .as.seq = {&large, 1}};
    const struct ic_type nulls = {.kind = IC_TYPE_VEC, .as.elem = &ic_type_null};
    const struct ic_value null = {.type = &ic_type_null};
    const struct ic_value many = {.type = &nulls, .as.seq = {&null, (size_t)1 << 40}};
    struct ic_value out = yes;
    struct ic_arena arena;
    struct ic_error err = {0};
    uint64_t n = 0;

    ic_arena_init(&arena, 65536);
    TAP_INT(ic_value_at_type(&five, func->as.func.args[0], &arena, &out, &err), 0, "nat64 at opt");
    TAP_OK(out.type == func->as.func.args[0] && out.as.opt && ic_value_nat64(out.as.opt, &n) == 0 &&
               n == 5,
           "becomes some nat of that type");
    out = yes;
    TAP_INT(ic_value_at_type(&wrong, func->as.func.args[1], &arena, &out, &err), -EINVAL,
            "256 at nat8");
    TAP_STR(err.message, "candid: value.a: nat64 where nat8 is expected, out of its range",
            "in a field");
    TAP_OK(out.type == &ic_type_bool, "leaves the result alone");
    TAP_INT(ic_value_at_type(&yes, func->as.func.args[2], &arena, &out, &err), -EINVAL,
            "true in opts without end");
    TAP_STR(err.message, "candid: value: bool where opt is expected, nested too deeply", "ends");
    TAP_INT(ic_value_at_type(
                &many, &(struct ic_type){.kind = IC_TYPE_VEC, .as.elem = func->as.func.args[0]},
                &arena, &out, &err),
            -EINVAL, "2^40 nones");
    TAP_STR(err.message, "candid: values are too large", "are over the limit");
    TAP_INT(ic_value_at_type(&many,
                             &(struct ic_type){.kind = IC_TYPE_VEC, .as.elem = &ic_type_reserved},
                             &arena, &out, &err),
            0, "2^40 reserveds");
    TAP_OK(ic_value_count(&out) == (size_t)1 << 40, "are one and a number");
    ic_arena_fini(&arena);
    ic_did_free(did);
}

int main(void)
{
    test_becomes();
    test_refused();
    test_bytes();
    test_at_type();
    return tap_done();
}
