/* Candid's text form into values: what is accepted and as what, what is refused and where. */
#include "tests/ic/candid_printed.h"
#include "tests/ic/vectors.h"

#include <errno.h>

TAP_STATE;

static int parse(const char *text, struct ic_candid **out, struct ic_error *err)
{
    return ic_candid_parse(text, strlen(text), NULL, 0, 0, out, err);
}

/* ---- without expected types ---- */

static void test_inferred_types(void)
{
    static const struct {
        const char *text, *types, *printed; /* printed is NULL when it is the text */
    } rows[] = {
        {"()", "()", NULL},
        {"(1, -1, 0x1F, 1_000,)", "(int, int, int, int)",
         "(1 : int, -1 : int, 31 : int, 1_000 : int)"},
        {"(1.5, 1e2, .5, -0.0)", "(float64, float64, float64, float64)",
         "(1.5 : float64, 100.0 : float64, 0.5 : float64, -0.0 : float64)"},
        {"(true, false, null, \"a\", blob \"a\")", "(bool, bool, null, text, blob)",
         "(true, false, null : null, \"a\", blob \"a\")"},
        {"(opt 5, vec {}, vec { true }, opt opt null)",
         "(opt int, vec empty, vec bool, opt opt null)",
         "(opt (5 : int), vec {}, vec { true }, opt opt (null : null))"},
        {"(record { 1; \"x\" }, record { b = 1; a = 2 : nat })",
         "(record { int; text }, record { 97 : nat; 98 : int })",
         "(record { 1 : int; \"x\" }, record { 97 = 2 : nat; 98 = 1 : int })"},
        {"(variant { a }, variant { 5 = 1.5 })", "(variant { 97 }, variant { 5 : float64 })",
         "(variant { 97 }, variant { 5 = 1.5 : float64 })"},
        {"(principal \"aaaaa-aa\", service \"aaaaa-aa\", func \"aaaaa-aa\".x)",
         "(principal, service {}, func () -> ())", NULL},
        {"(null : opt nat, vec {} : vec text, 5 : reserved, (opt 1 : opt nat8) : opt nat8)",
         "(opt nat, vec text, reserved, opt nat8)",
         "(null, vec {}, null : reserved, opt (1 : nat8))"},
        {"(vec { 1; 2 } : blob, blob \"ab\" : vec nat8)", "(blob, blob)",
         "(blob \"\\01\\02\", blob \"ab\")"},
        {"(record { null; record {} }, vec { null; null })",
         "(record { null; record {} }, vec null)",
         "(record { null : null; record {} }, vec { null : null; null : null })"},
        /* the elements of a vec are joined */
        {"(vec { null; opt 1; null })", "(vec opt int)", "(vec { null; opt (1 : int); null })"},
        {"(vec { 1 : nat; 2 })", "(vec int)", "(vec { 1 : int; 2 : int })"},
        {"(vec { vec {}; vec { 1 }; vec {} })", "(vec vec int)",
         "(vec { vec {}; vec { 1 : int }; vec {} })"},
        {"(vec { variant { b = 1 }; variant { a }; variant { b = 2 }; variant { c = \"x\" } })",
         "(vec variant { 97; 98 : int; 99 : text })",
         "(\n  vec {\n    variant { 98 = 1 : int };\n    variant { 97 };\n"
         "    variant { 98 = 2 : int };\n    variant { 99 = \"x\" };\n  },\n)"},
        {"(vec { record { null; 1 : nat }; record { opt \"x\"; 2 } })",
         "(vec record { opt text; int })",
         "(vec { record { null; 1 : int }; record { opt \"x\"; 2 : int } })"},
        {"(vec { 5 : reserved; true })", "(vec reserved)",
         "(vec { null : reserved; null : reserved })"},
        {"(vec { func \"aaaaa-aa\".a : func (nat) -> () query; func \"aaaaa-aa\".b : func (nat) -> "
         "() "
         "query })",
         "(vec func (nat) -> () query)", "(vec { func \"aaaaa-aa\".a; func \"aaaaa-aa\".b })"},
        {"(vec { blob \"\"; vec {}; blob \"a\" })", "(vec blob)",
         "(vec { blob \"\"; blob \"\"; blob \"a\" })"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct ic_type *types[8];
        struct ic_candid *msg = NULL;
        struct ic_error err = {0};
        struct ic_buf shown = {0};
        const char *expected = rows[i].printed ? rows[i].printed : rows[i].text;
        if (!TAP_INT(parse(rows[i].text, &msg, &err), 0, check_name(rows[i].text))) {
            printf("# %s\n", err.message);
            continue;
        }
        for (size_t k = 0; k < ic_candid_count(msg); k++)
            types[k] = ic_candid_arg(msg, k)->type;
        ic_type_format_list(types, ic_candid_count(msg), &shown);
        ic_buf_append(&shown, "", 1);
        if (!TAP_STR((const char *)shown.bytes, rows[i].types, "has these types"))
            printf("# %s\n", (const char *)shown.bytes);
        TAP_OK(prints_as(msg, NULL, expected), "and this value");
        TAP_OK(survives_text(msg), "that goes through text");
        ic_buf_fini(&shown);
        ic_candid_free(msg);
    }
}

/* ---- at expected types ---- */

static void test_expected_types(void)
{
    static const char definitions[] =
        "type List = opt record { head : int; tail : List };"
        "type R = record { a : nat; b : opt text; c : null; d : reserved };"
        "type V = variant { A; B : nat8; C : V };"
        "type byte = nat8;";
    static const struct {
        const char *tuple, *text;
        const char *result; /* what it prints as; or, if it has no parenthesis, the refusal */
    } rows[] = {
        {"(nat, int, nat8, int8)", "(1, -1, 255, -128)",
         "(1 : nat, -1 : int, 255 : nat8, -128 : int8)"},
        {"(nat64, int64)", "(18446744073709551615, -9223372036854775808)",
         "(18_446_744_073_709_551_615 : nat64, -9_223_372_036_854_775_808 : int64)"},
        {"(nat8)", "(256)", "line 1, column 2: 256 does not fit the type nat8"},
        {"(int8)", "(-129)", "line 1, column 2: -129 does not fit the type int8"},
        {"(int8)", "(128)", "line 1, column 2: 128 does not fit the type int8"},
        {"(int64)", "(9223372036854775808)",
         "line 1, column 2: 9223372036854775808 does not fit the type int64"},
        {"(nat)", "(-1)", "line 1, column 2: -1 does not fit the type nat"},
        {"(nat)", "(- 0)", "line 1, column 2: -0 does not fit the type nat"},
        {"(float64)", "(1)", "line 1, column 2: 1 does not fit the type float64"},
        {"(nat)", "(1.0)", "line 1, column 2: 1.0 does not fit the type nat"},
        {"(float32)", "(0.1)", "(0.1 : float32)"},
        {"(float32)", "(3.5e38)", "line 1, column 2: a number too large for its type"},
        {"(float64)", "(1e309)", "line 1, column 2: a number too large for its type"},
        {"(float64)", "(1e-400)", "(0.0 : float64)"},
        {"(nat16)", "((1 : nat8))",
         "line 1, column 3: 1, annotated with another type, does not fit the type nat16"},
        {"(int)", "(1 : nat)", "(1 : int)"},
        {"(float32)", "(1.5 : float64)",
         "line 1, column 2: 1.5, annotated with another type, does not fit the type float32"},
        {"(opt nat)", "(5)", "line 1, column 2: 5 does not fit the type opt nat"},
        {"(opt nat)", "(opt true)", "line 1, column 6: a bool does not fit the type nat"},
        {"(opt nat, opt opt nat)", "(null, opt null)", "(null, opt null)"},
        {"(opt text)", "(null : opt nat)", "(null)"},
        {"(null)", "(null : opt nat)", "line 1, column 2: none does not fit the type null"},
        {"(null, reserved)", "(null, variant { whatever = 5 })", "(null : null, null : reserved)"},
        {"(null)", "(5)", "line 1, column 2: 5 does not fit the type null"},
        {"(empty)", "(null)", "line 1, column 2: null does not fit the type empty"},
        {"(R)", "(record { x = 1; c = null; a = 5 })",
         "(record { a = 5 : nat; b = null; c = null : null; d = null : reserved })"},
        {"(R)", "(record { b = opt \"x\" })", "line 1, column 2: the record has no field 'a'"},
        {"(record { 1 : nat })", "(record { 5 })", "line 1, column 2: the record has no field 1"},
        {"(record { nat; text })", "(record { \"x\" })",
         "line 1, column 11: text does not fit the type nat"},
        {"(R)", "(5)", "line 1, column 2: 5 does not fit the type R"},
        {"(V, V)", "(variant { B = 5 }, variant { C = variant { A } })",
         "(variant { B = 5 : nat8 }, variant { C = variant { A } })"},
        {"(V)", "(variant { D })", "line 1, column 12: the variant has no case 68, as here"},
        {"(V)", "(variant { A = 5 })", "line 1, column 16: 5 does not fit the type null"},
        {"(V)", "(record { A })", "line 1, column 11: expected a value, found 'A'"},
        {"(List)", "(opt record { head = 1; tail = opt record { head = 2 } })",
         "(\n  opt record {\n    head = 1 : int;\n    tail = opt record { head = 2 : int; tail = "
         "null };\n  },\n)"},
        {"(vec byte, vec nat8)", "(blob \"\\ff\", vec { 1; 2 })",
         "(blob \"\\ff\", blob \"\\01\\02\")"},
        {"(vec int8)", "(blob \"a\")", "line 1, column 2: a blob does not fit the type vec int8"},
        {"(vec bool)", "(vec { true; 1 })", "line 1, column 14: 1 does not fit the type bool"},
        {"(vec record { nat16 })", "(vec {})", "(vec {})"},
        {"(vec opt record {})", "(vec { null; opt record {} })", "(vec { null; opt record {} })"},
        {"(vec record { null })", "(vec { record {}; record { null } })",
         "(vec { record { null : null }; record { null : null } })"},
        {"(principal)", "(service \"aaaaa-aa\")",
         "line 1, column 2: a service does not fit the type principal"},
        {"(service {})", "(principal \"aaaaa-aa\")",
         "line 1, column 2: a principal does not fit the type service {}"},
        {"(func (nat) -> ())", "(func \"aaaaa-aa\".\"a b\")", "(func \"aaaaa-aa\".\"a b\")"},
        {"(nat, opt nat, null, reserved)", "(1)", "(1 : nat, null, null : null, null : reserved)"},
        {"(nat, nat)", "(1)", "line 1, column 4: 2 arguments are expected, here are 1"},
        {"(nat)", "(1, 2)", "(1 : nat)"},
        {"()", "(1)", "()"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ic_did *did = NULL;
        const struct ic_type *func = did_func(definitions, rows[i].tuple, &did);
        struct ic_candid *msg = NULL;
        struct ic_error err = {0};
        int ret = ic_candid_parse(rows[i].text, strlen(rows[i].text), func->as.func.args,
                                  func->as.func.n_args, 0, &msg, &err);
        if (rows[i].result[0] != '(') {
            char message[256];
            snprintf(message, sizeof(message), "candid: %s", rows[i].result);
            TAP_INT(ret, -EPROTO, check_name(rows[i].text));
            if (!TAP_STR(err.message, message, "for this reason"))
                printf("# %s\n", err.message);
        } else if (TAP_INT(ret, 0, check_name(rows[i].text))) {
            TAP_OK(prints_as(msg, NULL, rows[i].result), "is this");
            TAP_OK(survives_text(msg), "and goes through text");
        } else {
            printf("# %s\n", err.message);
        }
        ic_candid_free(msg);
        ic_did_free(did);
    }
}

static void test_unknown(void)
{
    struct ic_did *did = NULL;
    const struct ic_type *func =
        did_func("", "(record { a : opt nat; c : opt record { d : opt nat } })", &did);
    static const struct {
        const char *text, *message; /* NULL: accepted */
    } rows[] = {
        {"(record { a = opt 1 })", NULL},
        {"(record {})", NULL},
        {"(record { A = opt 1 })",
         "candid: line 1, column 15: the expected record has no field 65, as this one"},
        {"(record { b = null })",
         "candid: line 1, column 15: the expected record has no field 98, as this one"},
        {"(record { a = null; e = 1 })",
         "candid: line 1, column 25: the expected record has no field 101, as this one"},
        {"(record { c = opt record { dd = 1 } })",
         "candid: line 1, column 33: the expected record has no field 22400, as this one"},
        {"(record {}, 5)", "candid: line 1, column 13: 1 arguments are expected, here are 2"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ic_candid *msg = NULL;
        struct ic_error err = {0};
        int ret = ic_candid_parse(rows[i].text, strlen(rows[i].text), func->as.func.args, 1,
                                  IC_TEXT_REFUSE_UNKNOWN, &msg, &err);
        TAP_INT(ret, rows[i].message ? -EPROTO : 0, check_name(rows[i].text));
        if (rows[i].message && !TAP_STR(err.message, rows[i].message, "for this reason"))
            printf("# %s\n", err.message);
        ic_candid_free(msg);
    }
    ic_did_free(did);
}

static void test_value(void)
{
    struct ic_candid *msg = NULL;
    struct ic_error err = {0};
    uint64_t n = 0;
    TAP_INT(ic_candid_parse_value("5", 1, &ic_type_nat16, 0, &msg, &err), 0, "a value at a type");
    TAP_OK(ic_candid_count(msg) == 1 && ic_candid_arg(msg, 0)->type == &ic_type_nat16 &&
               ic_value_nat64(ic_candid_arg(msg, 0), &n) == 0 && n == 5,
           "is the only argument");
    ic_candid_free(msg);
    msg = NULL;
    TAP_INT(ic_candid_parse_value("(5 : nat)", 9, NULL, 0, &msg, &err), 0, "in parentheses");
    TAP_OK(prints_as(msg, NULL, "(5 : nat)"), "the same");
    ic_candid_free(msg);
    msg = NULL;
    TAP_INT(ic_candid_parse_value("5, 6", 4, NULL, 0, &msg, &err), -EPROTO, "two values");
    TAP_STR(err.message, "candid: line 1, column 2: expected the end of the text, found ','",
            "why");
    TAP_INT(ic_candid_parse_value("", 0, NULL, 0, &msg, &err), -EPROTO, "none");
    TAP_STR(err.message, "candid: line 1, column 1: expected a value, found the end of the text",
            "why");
    TAP_OK(!msg, "nothing comes out");
}

/* ---- what is refused ---- */

static void test_refused(void)
{
    static const struct {
        const char *text, *message;
    } rows[] = {
        {"", "line 1, column 1: expected '(', found the end of the text"},
        {"5", "line 1, column 1: expected '(', found '5'"},
        {"(1", "line 1, column 3: expected ',' or ')', found the end of the text"},
        {"(1) 2", "line 1, column 5: expected the end of the text, found '2'"},
        {"(\n  \"\xc3\xa4\xc3\xb6\", x)", "line 2, column 9: expected a value, found 'x'"},
        {"(,)", "line 1, column 2: expected a value, found ','"},
        {"(1 : nat : nat)", "line 1, column 10: expected ',' or ')', found ':'"},
        {"(1 : List)", "line 1, column 6: no type is called 'List'"},
        {"(1 : vec)", "line 1, column 9: expected a type, found ')'"},
        {"(-)", "line 1, column 3: expected a number, found ')'"},
        {"(- - 5)", "line 1, column 4: expected a number, found '-'"},
        {"(-null)", "line 1, column 3: expected a number, found 'null'"},
        {"(.)", "line 1, column 2: expected a value, found '.'"},
        {"(1_000.5)", "line 1, column 7: expected ',' or ')', found '.5'"},
        {"(.5e1)", "line 1, column 4: expected ',' or ')', found 'e1'"},
        {"(0x)", "line 1, column 3: expected ',' or ')', found 'x'"},
        {"(opt)", "line 1, column 5: expected a value, found ')'"},
        {"(vec { 1, 2 })", "line 1, column 9: expected ';' or '}', found ','"},
        {"(record { 1;; 2 })", "line 1, column 13: expected a value, found ';'"},
        {"(record { a = 1; 97 = 2 })", "line 1, column 23: a second field with the id 97"},
        {"(record { 1; 0 = 2 })", "line 1, column 18: a second field with the id 0"},
        {"(record { 4294967296 = 1 })", "line 1, column 11: a field id over 4294967295"},
        {"(record { 4294967295 = 1; 2 })",
         "line 1, column 27: no id is left for a field without one"},
        {"(record { true = 1 })", "line 1, column 16: expected ';' or '}', found '='"},
        {"(variant {})", "line 1, column 11: expected a tag (a keyword needs quotes), found '}'"},
        {"(variant { opt })",
         "line 1, column 12: expected a tag (a keyword needs quotes), found 'opt'"},
        {"(variant { a; })", "line 1, column 13: expected '}', found ';'"},
        {"(principal \"aaaaa-a\")", "line 1, column 12: not a principal"},
        {"(principal \"aaaaa-aa\\00\")", "line 1, column 12: not a principal"},
        {"(principal \"\")", "line 1, column 12: not a principal"},
        {"(principal aaaaa)", "line 1, column 12: expected a string, found 'aaaaa'"},
        {"(func \"aaaaa-aa\")", "line 1, column 17: expected '.', found ')'"},
        {"(func \"aaaaa-aa\".query)",
         "line 1, column 18: expected a method (a keyword needs quotes), found 'query'"},
        {"(\"\\ff\")", "line 1, column 2: a string that is not UTF-8"},
        {"(\"\\0\")", "line 1, column 3: unknown escape in a string"},
        {"(\"\\u{d800}\")", "line 1, column 3: unknown escape in a string"},
        {"(\"abc)", "line 1, column 2: a string without an end"},
        {"(/* /* */ 1)", "line 1, column 2: a comment without an end"},
        {"(\xff)", "line 1, column 2: the text is not UTF-8"},
        {"(1 \xc2\xa0)", "line 1, column 4: a character of no meaning here: '\xc2\xa0'"},
        {"(vec { 1; true })",
         "line 1, column 11: the elements of a vec are not alike: int and bool"},
        {"(vec { 1 : nat8; 2 })",
         "line 1, column 18: the elements of a vec are not alike: nat8 and int"},
        {"(vec { record { 1 }; record { 1; 2 } })",
         "line 1, column 22: the elements of a vec are not alike: record { int } and record { int; "
         "int "
         "}"},
        {"(vec { variant { a }; variant { a = 1 } })",
         "line 1, column 23: the elements of a vec are not alike: null and int"},
        {"(vec { func \"aaaaa-aa\".a : func () -> () query; func \"aaaaa-aa\".b })",
         "line 1, column 49: the elements of a vec are not alike: func () -> () query and func () "
         "-> ()"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ic_candid *msg = NULL;
        struct ic_error err = {0};
        char message[256];
        snprintf(message, sizeof(message), "candid: %s", rows[i].message);
        TAP_INT(parse(rows[i].text, &msg, &err), -EPROTO, check_name(rows[i].text));
        TAP_INT(err.code, IC_E_MALFORMED, "as malformed");
        if (!TAP_STR(err.message, message, "for this reason"))
            printf("# %s\n", err.message);
        TAP_OK(!msg, "nothing comes out");
        ic_candid_free(msg);
    }
    TAP_INT(parse("(x)", &(struct ic_candid *){NULL}, NULL), -EPROTO, "without an error struct");
}

/* ---- limits ---- */

/* before, n times open, middle, n times close, after */
static struct ic_buf nest(size_t n, const char *open, const char *middle, const char *close)
{
    struct ic_buf b = {0};
    ic_buf_append(&b, "(", 1);
    for (size_t i = 0; i < n; i++)
        ic_buf_append(&b, open, strlen(open));
    ic_buf_append(&b, middle, strlen(middle));
    for (size_t i = 0; i < n; i++)
        ic_buf_append(&b, close, strlen(close));
    ic_buf_append(&b, ")", 1);
    return b;
}

static int try_nested(size_t n, const char *open, const char *middle, const char *close)
{
    struct ic_buf text = nest(n, open, middle, close);
    struct ic_candid *msg = NULL;
    int ret = ic_candid_parse((const char *)text.bytes, text.len, NULL, 0, 0, &msg, NULL);
    if (ret == 0 && !survives_text(msg))
        ret = -EBADMSG;
    ic_candid_free(msg);
    ic_buf_fini(&text);
    return ret;
}

static void test_depth(void)
{
    TAP_INT(try_nested(255, "opt ", "true", ""), 0, "256 values in each other");
    TAP_INT(try_nested(256, "opt ", "true", ""), -EPROTO, "but not 257");
    TAP_INT(try_nested(255, "vec { ", "5", " }"), 0, "vecs");
    TAP_INT(try_nested(256, "vec { ", "5", " }"), -EPROTO, "but not 257");
    TAP_INT(try_nested(255, "record { a = ", "5", " }"), 0, "records");
    TAP_INT(try_nested(255, "variant { a = ", "null", " }"), 0, "variants");
    TAP_INT(try_nested(511, "(", "5", ")"), 0, "parentheses");
    TAP_INT(try_nested(512, "(", "5", ")"), -EPROTO, "have their limit, too");
    TAP_INT(try_nested(100000, "opt ", "true", ""), -EPROTO, "100000 opts");
    TAP_INT(try_nested(100000, "(", "", ""), -EPROTO, "100000 open parentheses");
    TAP_INT(try_nested(100000, "record { a = vec { ", "", ""), -EPROTO, "100000 records");
}

static void append(struct ic_buf *b, const char *text)
{
    ic_buf_append(b, text, strlen(text));
}

static void test_size(void)
{
    struct ic_did *did = NULL;
    struct ic_buf b = {0}, tuple = {0};
    struct ic_candid *msg = NULL;
    struct ic_error err = {0};
    const struct ic_type *func;

    append(&b, "(vec {");
    for (int i = 0; i < 300000; i++)
        append(&b, "1;");
    append(&b, "})");
    TAP_INT(ic_candid_parse((const char *)b.bytes, b.len, NULL, 0, 0, &msg, &err), 0,
            "300000 elements of two characters");
    TAP_INT((int64_t)ic_value_count(ic_candid_arg(msg, 0)), 300000, "are all there");
    ic_candid_free(msg);
    msg = NULL;
    b.len = 0;
    append(&b, "(vec {");
    for (int i = 0; i < 100000; i++)
        append(&b, "variant{a=record{}};");
    append(&b, "})");
    TAP_INT(ic_candid_parse((const char *)b.bytes, b.len, NULL, 0, 0, &msg, &err), 0,
            "100000 variants");
    ic_candid_free(msg);
    msg = NULL;

    /* Types of many fields, none of which the text has. */
    append(&tuple, "(vec record { ");
    for (int i = 0; i < 20000; i++)
        append(&tuple, "opt nat;");
    append(&tuple, "})");
    ic_buf_append(&tuple, "", 1);
    func = did_func("", (const char *)tuple.bytes, &did);
    b.len = 0;
    append(&b, "(vec {");
    for (int i = 0; i < 20000; i++)
        append(&b, "record{};");
    append(&b, "})");
    TAP_INT(ic_candid_parse((const char *)b.bytes, b.len, func->as.func.args, 1, 0, &msg, &err),
            -EPROTO, "400000000 fields that are left out");
    TAP_OK(strstr(err.message, "needs more memory than its length justifies") != NULL, err.message);
    ic_did_free(did);
    ic_buf_fini(&tuple);

    b.len = 0;
    append(&b, "(");
    for (int i = 0; i < 17262; i++)
        append(&b, "9");
    append(&b, " : nat)");
    TAP_INT(ic_candid_parse((const char *)b.bytes, b.len, NULL, 0, 0, &msg, &err), 0,
            "a number of 17262 digits");
    TAP_OK(survives_text(msg), "goes through text");
    ic_candid_free(msg);
    msg = NULL;
    b.len -= strlen(" : nat)");
    append(&b, "9999 : nat)");
    TAP_INT(ic_candid_parse((const char *)b.bytes, b.len, NULL, 0, 0, &msg, &err), -EPROTO,
            "one of some more does not");
    TAP_STR(err.message, "candid: line 1, column 2: a number of too many digits", "why");
    b.len = 0;
    append(&b, "(0.");
    for (int i = 0; i < 5000; i++)
        append(&b, "1");
    append(&b, ")");
    TAP_INT(ic_candid_parse((const char *)b.bytes, b.len, NULL, 0, 0, &msg, &err), -EPROTO,
            "5000 digits behind the point");
    TAP_OK(!msg, "nothing comes out");

    b.len = 0;
    for (int i = 0; i < 400; i++)
        append(&b, "(");
    append(&b, "vec {");
    for (int i = 0; i < 100000; i++)
        append(&b, "1;");
    append(&b, "}");
    for (int i = 0; i < 400; i++)
        append(&b, ": vec int)");
    TAP_INT(ic_candid_parse((const char *)b.bytes, b.len, NULL, 0, 0, &msg, &err), -EPROTO,
            "400 annotations around 100000 elements");
    TAP_OK(strstr(err.message, "too many annotations around values") != NULL, err.message);
    TAP_OK(!msg, "nothing comes out");
    ic_buf_fini(&b);
}

/* ---- what didc says of texts ---- */

static void check_probe(json_t *probe)
{
    json_t *text = json_object_get(probe, "text");
    const char *source = json_string_value(text);
    struct ic_candid *msg = NULL, *theirs = NULL;
    struct ic_error err = {0};
    struct ic_buf ours, hex;
    int ret = ic_candid_parse(source, json_string_length(text), NULL, 0, 0, &msg, &err);
    bool accept = json_is_true(json_object_get(probe, "accept"));

    TAP_INT(ret, accept ? 0 : -EPROTO, check_name(source));
    if (ret == 0 && accept) {
        TAP_OK(prints_as(msg, NULL, vector_text(probe, "printed")), "printed as didc does");
        ours = encoded(msg);
        hex = vector_unhex(vector_text(probe, "hex"));
        /* didc forgets the type of an annotated null. */
        TAP_OK(strcmp(source, "(null : opt nat)") == 0 ||
                   ic_view_equal(ic_view(ours.bytes, ours.len), ic_view(hex.bytes, hex.len)),
               "encoded as didc does");
        TAP_INT(ic_candid_decode(hex.bytes, hex.len, NULL, &theirs, NULL), 0, "didc's message");
        TAP_OK(prints_as(theirs, NULL, vector_text(probe, "printed")), "says the same");
        ic_buf_fini(&ours);
        ic_buf_fini(&hex);
    }
    ic_candid_free(msg);
    ic_candid_free(theirs);
}

static void test_probes(const char *data_dir)
{
    struct ic_buf lines = vector_file(data_dir, "../did/syntax/value-probes.jsonl");
    char *save = NULL;
    int n = 0;
    ic_buf_append(&lines, "", 1);
    for (char *line = strtok_r((char *)lines.bytes, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        json_t *probe = json_loads(line, 0, NULL);
        check_probe(probe);
        json_decref(probe);
        n++;
    }
    TAP_INT(n, 69, "probes");
    ic_buf_fini(&lines);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 1;
    test_inferred_types();
    test_expected_types();
    test_unknown();
    test_value();
    test_refused();
    test_depth();
    test_size();
    test_probes(argv[1]);
    return tap_done();
}
