/* Candid values as text: as didc prints them, and so that they can be read again. */
#include "tests/ic/candid_printed.h"
#include "tests/ic/vectors.h"

#include <errno.h>
#include <math.h>
#include <time.h>

TAP_STATE;

static struct ic_candid *decode(const struct ic_buf *message)
{
    struct ic_candid *msg = NULL;
    struct ic_error err = {0};
    if (ic_candid_decode(message->bytes, message->len, NULL, &msg, &err) < 0)
        candid_die("does not decode", err.message);
    return msg;
}

/* ---- messages of didc ---- */

/* What has no literal. */
static bool has_no_literal(const char *text)
{
    return strstr(text, "NaN : float") || strstr(text, "inf : float");
}

static void test_didc(const char *data_dir)
{
    struct ic_buf lines = vector_file(data_dir, "../candid/didc-render.jsonl");
    char *save = NULL;
    int n = 0, n_survived = 0;
    ic_buf_append(&lines, "", 1);
    for (char *line = strtok_r((char *)lines.bytes, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save), n++) {
        json_t *row = json_loads(line, 0, NULL);
        struct ic_buf message = vector_unhex(vector_text(row, "hex"));
        struct ic_candid *msg = decode(&message);
        TAP_OK(prints_as(msg, NULL, vector_text(row, "text")), vector_text(row, "hex"));
        if (!has_no_literal(vector_text(row, "text"))) {
            TAP_OK(survives_text(msg), "goes through text");
            n_survived++;
        }
        ic_candid_free(msg);
        ic_buf_fini(&message);
        json_decref(row);
    }
    TAP_INT(n, 120, "messages");
    TAP_OK(n_survived > 80, "most of them without NaN");
    ic_buf_fini(&lines);
}

/* ---- a line for each element ---- */

static void test_lines(void)
{
    static const char text[] = "(opt record { 1 = vec { vec { 1; 2 }; vec {}; vec {}; vec {}; "
                               "vec {}; vec {}; vec {}; vec {}; vec {}; vec {}; vec { 11 } } })";
    static const char wanted[] = "(\n"
                                 "  opt record {\n"
                                 "    1 = vec {\n"
                                 "      vec { 1 : int; 2 : int;};\n"
                                 "      vec {};\n      vec {};\n      vec {};\n"
                                 "      vec {};\n      vec {};\n      vec {};\n"
                                 "      vec {};\n      vec {};\n      vec {};\n"
                                 "      vec { 11 : int;};\n"
                                 "    };\n"
                                 "  },\n"
                                 ")";
    struct ic_candid *msg = NULL;
    struct ic_buf out = {0};
    if (ic_candid_parse(text, strlen(text), NULL, 0, 0, &msg, NULL) < 0 ||
        ic_candid_print(ic_candid_arg(msg, 0), 1, NULL, IC_PRINT_LINES, SIZE_MAX, &out, NULL) < 0)
        candid_die("no text", text);
    ic_buf_append(&out, "", 1);
    if (!TAP_STR((const char *)out.bytes, wanted, "a line for each element of an outer vec"))
        printf("%s\n", (const char *)out.bytes);
    ic_buf_fini(&out);
    ic_candid_free(msg);
}

/* ---- random messages ---- */

#define MAX_TYPES 24

/* A type table being made: entries refer to later ones only. */
struct maker {
    uint64_t state;
    struct ic_buf table;
    size_t n_types; /* of the table so far */
    struct made {
        int code; /* of the opcode: -18 ... -23 */
        int refs[4];
        uint32_t ids[4];
        size_t n;
    } types[MAX_TYPES];
};

static uint64_t rand_u64(struct maker *m)
{
    m->state ^= m->state << 13;
    m->state ^= m->state >> 7;
    m->state ^= m->state << 17;
    return m->state;
}

static size_t rand_below(struct maker *m, size_t n)
{
    return (size_t)(rand_u64(m) >> 20) % n;
}

static int make_type(struct maker *m, unsigned depth)
{
    static const int holders[] = {-18, -18, -19, -19, -20, -20, -21, -21, -22, -23};
    struct made type = {0};
    size_t slot;

    if (depth == 0 || m->n_types == MAX_TYPES || rand_below(m, 3) == 0) {
        int code = -1 - (int)rand_below(m, 17); /* all but empty, which has no values */
        return code == -17 ? -24 : code;
    }
    slot = m->n_types++;
    type.code = holders[rand_below(m, sizeof(holders) / sizeof(holders[0]))];
    type.n = type.code >= -19 ? 1 : type.code <= -22 ? 0 : rand_below(m, 4) + (type.code == -21);
    for (size_t i = 0; i < type.n; i++) {
        uint32_t gap = rand_below(m, 2) ? 1 : (uint32_t)rand_below(m, 500000000);
        type.ids[i] = i == 0 ? (gap == 1 ? 0 : gap) : type.ids[i - 1] + gap;
        type.refs[i] = make_type(m, depth - 1);
    }
    m->types[slot] = type;
    return (int)slot;
}

static void put_table(const struct maker *m, struct ic_buf *out)
{
    ic_buf_append_leb64(out, m->n_types);
    for (size_t i = 0; i < m->n_types; i++) {
        const struct made *t = &m->types[i];
        ic_buf_append_sleb64(out, t->code);
        if (t->code == -20 || t->code == -21)
            ic_buf_append_leb64(out, t->n);
        else if (t->code == -22)
            ic_buf_append(out, "\0\0\0", 3);
        else if (t->code == -23)
            ic_buf_append(out, "", 1);
        for (size_t k = 0; k < t->n; k++) {
            if (t->code == -20 || t->code == -21)
                ic_buf_append_leb64(out, t->ids[k]);
            ic_buf_append_sleb64(out, t->refs[k]);
        }
    }
}

static void put_text_value(struct maker *m, struct ic_buf *out)
{
    static const char *const pieces[] = {
        "a",        "\"",           "\\", "'", "\n", "\xc3\xa9", "\xe2\x98\x83", "\xf0\x9f\x92\xa9",
        "\xcc\x81", "\xe2\x80\xae", "",   " "};
    struct ic_buf text = {0};
    for (size_t n = rand_below(m, 12); n > 0; n--) {
        const char *piece = pieces[rand_below(m, sizeof(pieces) / sizeof(pieces[0]))];
        ic_buf_append(&text, piece, *piece ? strlen(piece) : 1); /* or a NUL */
    }
    ic_buf_append_leb64(out, text.len);
    ic_buf_append(out, text.bytes, text.len);
    ic_buf_fini(&text);
}

static void put_principal_value(struct maker *m, struct ic_buf *out)
{
    size_t len = rand_below(m, 30);
    ic_buf_append(out, "\1", 1);
    ic_buf_append_leb64(out, len);
    for (; len > 0; len--)
        ic_buf_append(out, &(uint8_t){(uint8_t)rand_u64(m)}, 1);
}

/* Bits of a finite float, of a fixed-width number, or a nat or int of some length. */
static void put_number_value(struct maker *m, int code, struct ic_buf *out)
{
    static const size_t widths[] = {[5] = 1,  [6] = 2,  [7] = 4,  [8] = 8,  [9] = 1,
                                    [10] = 2, [11] = 4, [12] = 8, [13] = 4, [14] = 8};
    uint64_t bits = rand_below(m, 4) ? rand_u64(m) >> rand_below(m, 64) : rand_u64(m);
    size_t len = rand_below(m, 20) + 1;
    if (code == -13 && (bits & 0x7f800000) == 0x7f800000)
        bits ^= 0x00800000;
    if (code == -14 && (bits >> 52 & 0x7ff) == 0x7ff)
        bits ^= (uint64_t)1 << 52;
    if (code >= -4) {
        for (size_t i = 0; i < len; i++) {
            uint8_t group = (uint8_t)(rand_u64(m) >> 9 & 0x7f);
            ic_buf_append(out, &(uint8_t){i + 1 < len ? group | 0x80 : group}, 1);
        }
        return;
    }
    for (size_t i = 0; i < widths[-code]; i++)
        ic_buf_append(out, &(uint8_t){(uint8_t)(bits >> (8 * i))}, 1);
}

static void put_made_value(struct maker *m, int ref, struct ic_buf *out);

static void put_compound_value(struct maker *m, const struct made *t, struct ic_buf *out)
{
    size_t n = 1;
    switch (t->code) {
    case -18:
        n = rand_below(m, 3) > 0;
        ic_buf_append_leb64(out, n);
        break;
    case -19:
        n = rand_below(m, rand_below(m, 4) ? 5 : 14);
        ic_buf_append_leb64(out, n);
        break;
    case -20:
        for (size_t i = 0; i < t->n; i++)
            put_made_value(m, t->refs[i], out);
        return;
    case -21:
        n = rand_below(m, t->n);
        ic_buf_append_leb64(out, n);
        put_made_value(m, t->refs[n], out);
        return;
    case -22:
        ic_buf_append(out, "\1", 1);
        put_principal_value(m, out);
        put_text_value(m, out);
        return;
    default:
        put_principal_value(m, out);
        return;
    }
    for (; n > 0; n--)
        put_made_value(m, t->refs[0], out);
}

static void put_made_value(struct maker *m, int ref, struct ic_buf *out)
{
    if (ref >= 0)
        put_compound_value(m, &m->types[ref], out);
    else if (ref == -2)
        ic_buf_append(out, &(uint8_t){(uint8_t)rand_below(m, 2)}, 1);
    else if (ref == -15)
        put_text_value(m, out);
    else if (ref == -24)
        put_principal_value(m, out);
    else if (ref != -1 && ref != -16)
        put_number_value(m, ref, out);
}

static void test_random(void)
{
    const char *given = getenv("CANDID_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    struct maker m = {.state = seed * 0x9e3779b97f4a7c15u | 1};
    size_t n_failed = 0;

    printf("# CANDID_SEED=%" PRIu64 "\n", seed);
    for (int round = 0; round < 3000; round++) {
        struct ic_buf message = {0};
        struct ic_candid *msg;
        int args[4];
        size_t n = rand_below(&m, 4);
        m.n_types = 0;
        for (size_t i = 0; i < n; i++)
            args[i] = make_type(&m, (unsigned)rand_below(&m, 14));
        ic_buf_append(&message, "DIDL", 4);
        put_table(&m, &message);
        ic_buf_append_leb64(&message, n);
        for (size_t i = 0; i < n; i++)
            ic_buf_append_sleb64(&message, args[i]);
        for (size_t i = 0; i < n; i++)
            put_made_value(&m, args[i], &message);
        msg = decode(&message);
        if (!survives_text(msg)) {
            printf("# round %d\n", round);
            n_failed++;
        }
        ic_candid_free(msg);
        ic_buf_fini(&message);
    }
    TAP_INT((int64_t)n_failed, 0, "3000 random messages go through text");
}

/* ---- numbers ---- */

static void test_floats(void)
{
    static const struct {
        double value;
        const char *text;
    } doubles[] = {
        {0, "0.0"},
        {-0.0, "-0.0"},
        {0.1, "0.1"},
        {1.0 / 3, "0.3333333333333333"},
        {2.0 / 3, "0.6666666666666666"},
        {123456.789, "123456.789"},
        {1e21, "1000000000000000000000.0"},
        {9007199254740993.0, "9007199254740992.0"},
        {5e-324, NULL},
        {0x1p-44, "0.00000000000005684341886080802"}, /* has more room above than below */
        {0x1p-1022, NULL},
        {0x1.fffffffffffffp1023, NULL},
        {9.5367431640625e-07, "0.00000095367431640625"},
        {(double)NAN, "NaN"},
        {(double)INFINITY, "inf"},
        {-(double)INFINITY, "-inf"},
    };
    static const struct {
        float value;
        const char *text;
    } floats[] = {
        {0.1f, "0.1"},
        {16777216.0f, "16777216.0"},
        {38420.3125f, "38420.313"}, /* of two as near the larger */
        {3.4028235e38f, "340282350000000000000000000000000000000.0"},
        {1e-45f, "0.000000000000000000000000000000000000000000001"},
        {1.1754944e-38f, "0.000000000000000000000000000000000000011754944"},
        {8388609.0f, "8388609.0"},
        {0.3f, "0.3"},
    };
    for (size_t i = 0; i < sizeof(doubles) / sizeof(doubles[0]); i++) {
        struct ic_value v = {.type = &ic_type_float64};
        struct ic_buf out = {0};
        char *end = NULL;
        memcpy(&v.as.float64, &doubles[i].value, 8);
        TAP_INT(ic_candid_print_value(&v, NULL, NULL, 1000, &out, NULL), 0, "a float64");
        ic_buf_append(&out, "", 1);
        if (doubles[i].value == 5e-324)
            TAP_OK(out.len == strlen("0.5 : float64") + 323 + 1 &&
                       strcmp((const char *)out.bytes + 324, "05 : float64") == 0,
                   "the smallest");
        if (doubles[i].text)
            TAP_OK(strncmp((const char *)out.bytes, doubles[i].text, strlen(doubles[i].text)) ==
                           0 &&
                       strcmp((const char *)out.bytes + strlen(doubles[i].text), " : float64") == 0,
                   doubles[i].text);
        if (!isnan(doubles[i].value))
            TAP_OK(strtod((const char *)out.bytes, &end) == doubles[i].value, "is read the same");
        ic_buf_fini(&out);
    }
    for (size_t i = 0; i < sizeof(floats) / sizeof(floats[0]); i++) {
        struct ic_value v = {.type = &ic_type_float32};
        struct ic_buf out = {0};
        char expected[64];
        memcpy(&v.as.float32, &floats[i].value, 4);
        TAP_INT(ic_candid_print_value(&v, NULL, NULL, 1000, &out, NULL), 0, "a float32");
        ic_buf_append(&out, "", 1);
        snprintf(expected, sizeof(expected), "%s : float32", floats[i].text);
        if (!TAP_STR((const char *)out.bytes, expected, check_name(floats[i].text)))
            printf("# %s\n", (const char *)out.bytes);
        ic_buf_fini(&out);
    }
}

static void check_message(const char *hex, const char *text)
{
    struct ic_buf message = message_hex(hex);
    struct ic_candid *msg = decode(&message);
    TAP_OK(prints_as(msg, NULL, text), check_name(text));
    ic_candid_free(msg);
    ic_buf_fini(&message);
}

static void test_integers(void)
{
    struct ic_buf padded = {0};
    check_message("00 01 7d 00", "(0 : nat)");
    check_message("00 01 7d 808000", "(0 : nat)");
    check_message("00 01 7d e807", "(1_000 : nat)");
    check_message("00 01 7d ffffffffffffffffff01", "(18_446_744_073_709_551_615 : nat)");
    check_message("00 01 7d 80808080808080808002", "(18_446_744_073_709_551_616 : nat)");
    check_message("00 01 7d 80808080a4bdbbbac6a0f3e4f29303",
                  "(1_000_000_000_000_000_000_000_000_000_000 : nat)");
    check_message("00 01 7c 7f", "(-1 : int)");
    check_message("00 01 7c ffffffffffffffffffffffff7f", "(-1 : int)");
    check_message("00 01 7c 8080808080808080807f", "(-9_223_372_036_854_775_808 : int)");
    check_message("00 01 7c 80808080808080808001", "(9_223_372_036_854_775_808 : int)");
    check_message("00 01 7c ffffffffffffffffff7e", "(-9_223_372_036_854_775_809 : int)");
    check_message("00 01 7c 808080b0fbd6fff5e9d5e9bd7f",
                  "(-10_000_000_000_000_000_000_000_000 : int)");
    check_message("00 02 77 74 80 0000000000000080",
                  "(-128 : int8, -9_223_372_036_854_775_808 : int64)");

    /* Bytes that only pad a number make no line longer. */
    ic_buf_append(&padded, "00 02 7d 7c ff", 14);
    for (int i = 0; i < 100; i++)
        ic_buf_append(&padded, "80", 2);
    ic_buf_append(&padded, "00 ", 3);
    for (int i = 0; i < 100; i++)
        ic_buf_append(&padded, "ff", 2);
    ic_buf_append(&padded, "7f", 3);
    check_message((const char *)padded.bytes, "(127 : nat, -1 : int)");
    ic_buf_fini(&padded);
}

/* ---- what is not as didc has it ---- */

static void test_text(void)
{
    check_message("00 01 71 03 610062", "(\"a\\u{0}b\")"); /* didc reads its own \0 not */
    check_message("01 6a 00 00 00 01 00 01 01 00 03 610062", "(func \"aaaaa-aa\".\"a\\u{0}b\")");
    check_message("01 6d7b 01 00 04 0a6160ff", "(blob \"\\0a\\61\\60\\ff\")");
    check_message("01 6d7b 01 00 04 0a616027", "(blob \"\\0aa\\60\\27\")");
    check_message("02 6d01 6c00 01 00 02", "(vec { record {}; record {} })");
}

/* ---- names ---- */

static void check_names(const char *definitions, const char *tuple, const char *hex,
                        const char *expected)
{
    struct ic_did *did = NULL;
    const struct ic_type *func = did_func(definitions, tuple, &did);
    struct ic_buf message = message_hex(hex);
    struct ic_candid *msg = decode(&message);
    struct ic_candid_names *names = NULL;
    struct ic_candid_naming naming = {func->as.func.args, func->as.func.n_args, NULL};
    TAP_INT(ic_candid_names_new(did, &names, NULL), 0, "names of a description");
    naming.all = names;
    TAP_OK(prints_as(msg, &naming, expected), check_name(expected));
    ic_candid_names_free(names);
    ic_candid_free(msg);
    ic_did_free(did);
    ic_buf_fini(&message);
}

static void test_names(void)
{
    /* record { 97 : nat8; 98 : opt record { 99 : nat8 } } */
    static const char hex[] = "03 6c02617b6201 6e02 6c01637b 01 00 05 01 06";
    struct ic_buf message;
    struct ic_candid *msg;

    check_names("", "(record { a : nat8; b : opt record { c : nat8 } })", hex,
                "(record { a = 5 : nat8; b = opt record { c = 6 : nat8 } })");
    check_names("", "(opt record { a : nat; b : record { c : text } })", hex,
                "(record { a = 5 : nat8; b = opt record { c = 6 : nat8 } })");
    check_names("", "(vec record { a : nat; d : nat })", hex,
                "(record { a = 5 : nat8; 98 = opt record { 99 = 6 : nat8 } })");
    check_names("type Elsewhere = variant { c; b : func (record { a : nat }) -> () };", "(nat)",
                hex, "(record { a = 5 : nat8; b = opt record { c = 6 : nat8 } })");
    check_names("type O = opt O;", "(O)", hex,
                "(record { 97 = 5 : nat8; 98 = opt record { 99 = 6 : nat8 } })");
    check_names("", "()", hex, "(record { 97 = 5 : nat8; 98 = opt record { 99 = 6 : nat8 } })");
    check_names("type R = record { a : nat; b : R };", "(R, R)", "00 01 7d 05", "(5 : nat)");
    /* "qaskyvcl" and "bkzdivbp" have one id, 3894780206: where neither is declared, nobody knows
     * which is meant. */
    check_names("type A = record { qaskyvcl : nat }; type B = record { bkzdivbp : nat };", "(B)",
                "01 6c01 aec296c10e 7b 01 00 05", "(record { bkzdivbp = 5 : nat8 })");
    check_names("type A = record { qaskyvcl : nat }; type B = record { bkzdivbp : nat };", "(nat)",
                "01 6c01 aec296c10e 7b 01 00 05", "(record { 3_894_780_206 = 5 : nat8 })");
    check_names("type A = record { qaskyvcl : nat }; type B = record { qaskyvcl : text };", "()",
                "01 6c01 aec296c10e 7b 01 00 05", "(record { qaskyvcl = 5 : nat8 })");
    /* quotes where a name is no identifier, a keyword or a type */
    check_names("", "(variant { \"a b\"; \"opt\"; nat; ok })", "01 6b01 e199cf02 7f 01 00 00",
                "(variant { \"nat\" })");

    message = message_hex(hex);
    msg = decode(&message);
    TAP_OK(prints_as(msg, &(struct ic_candid_naming){0},
                     "(record { 97 = 5 : nat8; 98 = opt record { 99 = 6 : nat8 } })"),
           "no names");
    ic_candid_free(msg);
    ic_buf_fini(&message);
}

/* ---- limits, and values that are none ---- */

static int print_one(const struct ic_value *v, size_t max, size_t *len)
{
    struct ic_buf out = {0};
    struct ic_error err = {0};
    int ret;
    ic_buf_append(&out, "before", 6);
    ret = ic_candid_print(v, 1, NULL, 0, max, &out, &err);
    *len = out.len - 6;
    if (ret < 0)
        TAP_OK(err.code != IC_OK && err.message[0], err.message);
    TAP_MEM(out.bytes, "before", 6, "appends");
    ic_buf_fini(&out);
    return ret;
}

static void test_limits(void)
{
    /* vec null of 60000 */
    struct ic_buf message = message_hex("01 6d7f 01 00 e0d403");
    struct ic_candid *msg = decode(&message);
    const struct ic_value *v = ic_candid_arg(msg, 0);
    size_t len = 0, whole = strlen("(\n  vec {},\n)") + 60000 * strlen(" null : null;");

    TAP_INT(print_one(v, PRINT_MAX, &len), 0, "many values without bytes");
    TAP_INT((int64_t)len, (int64_t)whole, "are printed");
    TAP_INT(print_one(v, whole, &len), 0, "in exactly the room they take");
    TAP_INT(print_one(v, whole - 1, &len), -EFBIG, "not in less");
    TAP_OK(len < whole, "nothing is written beyond");
    TAP_INT(print_one(v, 0, &len), -EFBIG, "nor in none");
    TAP_INT((int64_t)len, 0, "nothing is written");
    ic_candid_free(msg);
    ic_buf_fini(&message);

    message = message_hex("01 67 00 01 00 02 00 6162"); /* a future type */
    msg = decode(&message);
    TAP_INT(print_one(ic_candid_arg(msg, 0), 1000, &len), -EPROTO, "a value of an unknown type");
    ic_candid_free(msg);
    ic_buf_fini(&message);
}

static void test_invalid(void)
{
    static const struct ic_type type = {.kind = IC_TYPE_OPT, .as.elem = &type};
    static const struct ic_type empty_variant = {.kind = IC_TYPE_VARIANT};
    struct ic_value v = {.type = &ic_type_text, .as.text = ic_view("\xff", 1)}, chain[300];
    size_t len;
    TAP_INT(print_one(&v, 100, &len), -EINVAL, "text that is not UTF-8");
    v = (struct ic_value){.type = &ic_type_nat};
    TAP_INT(print_one(&v, 100, &len), -EINVAL, "a nat without bytes");
    v = (struct ic_value){.type = &ic_type_empty};
    TAP_INT(print_one(&v, 100, &len), -EINVAL, "a value of empty");
    v = (struct ic_value){.type = &empty_variant};
    TAP_INT(print_one(&v, 100, &len), -EINVAL, "a variant without cases");
    v = (struct ic_value){.type = &ic_type_principal, .as.bytes = ic_view(chain, 30)};
    TAP_INT(print_one(&v, 100, &len), -EINVAL, "a principal of 30 bytes");
    for (size_t i = 0; i < 300; i++)
        chain[i] = (struct ic_value){.type = &type, .as.opt = i < 299 ? &chain[i + 1] : NULL};
    TAP_INT(print_one(&chain[300 - 256], 2000, &len), 0, "256 opts");
    TAP_INT(print_one(&chain[300 - 257], 2000, &len), -EINVAL, "257");
}

/* The largest numbers, and many floats: what takes longest for its size. */
static void test_heavy(void)
{
    struct ic_buf message = message_hex("01 6d7d 01 00 40"); /* 64 of 8192 bytes */
    struct ic_candid *msg;

    for (int n = 0; n < 64; n++) {
        for (int i = 0; i < 8191; i++)
            ic_buf_append(&message, "\xff", 1);
        ic_buf_append(&message, "\x7f", 1);
    }
    msg = decode(&message);
    TAP_OK(survives_text(msg), "numbers of 17262 digits go through text");
    ic_candid_free(msg);
    ic_buf_fini(&message);

    message = message_hex("01 6d72 01 00 b0ea01"); /* 30000 */
    for (uint64_t n = 0, bits = 1; n < 30000; n++, bits = bits * 6364136223846793005u + 1) {
        uint64_t finite = bits & ~((uint64_t)1 << 62);
        ic_buf_append(&message, &finite, 8);
    }
    msg = decode(&message);
    TAP_OK(survives_text(msg), "floats go through text");
    ic_candid_free(msg);
    ic_buf_fini(&message);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 1;
    test_didc(argv[1]);
    test_lines();
    test_random();
    test_floats();
    test_integers();
    test_text();
    test_names();
    test_limits();
    test_invalid();
    test_heavy();
    return tap_done();
}
