/* Candid values as JSON: every row of the table in candid_json.h, and that it is JSON. */
#include "ic/candid_json.h"
#include "tests/ic/candid_printed.h"
#include "tests/ic/vectors.h"

#include <errno.h>

TAP_STATE;

static struct ic_candid *parse(const char *text, const struct ic_type *func)
{
    struct ic_candid *msg = NULL;
    struct ic_error err = {0};
    if (ic_candid_parse(text, strlen(text), func ? func->as.func.args : NULL,
                        func ? func->as.func.n_args : 0, 0, &msg, &err) < 0)
        candid_die(text, err.message);
    return msg;
}

/* The JSON of a message, ending in NUL. It must be what another reader takes for JSON, too. */
static struct ic_buf json_of(const struct ic_candid *msg, const struct ic_candid_naming *naming,
                             unsigned flags)
{
    struct ic_buf out = {0};
    struct ic_error err = {0};
    json_t *read;
    json_error_t why;
    if (ic_candid_json(ic_candid_arg(msg, 0), ic_candid_count(msg), naming, flags, PRINT_MAX, &out,
                       &err) < 0)
        candid_die("no JSON", err.message);
    read =
        json_loadb((const char *)out.bytes, out.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
    if (!TAP_OK(read != NULL, "is JSON"))
        printf("# %s: %.*s\n", why.text, (int)out.len, (const char *)out.bytes);
    json_decref(read);
    TAP_OK((flags & IC_JSON_LINES) || !out.len || !memchr(out.bytes, '\n', out.len), "on one line");
    ic_buf_append(&out, "", 1);
    return out;
}

static void check(const char *text, const char *expected, unsigned flags)
{
    struct ic_candid *msg = parse(text, NULL);
    struct ic_buf out = json_of(msg, NULL, flags);
    if (!TAP_STR((const char *)out.bytes, expected, check_name(text)))
        printf("# got %s\n# expected %s\n", (const char *)out.bytes, expected);
    ic_candid_free(msg);
    ic_buf_fini(&out);
}

static void test_table(void)
{
    check("()", "[]", 0);
    check("(1 : nat, -1, 18446744073709551615 : nat64, -9223372036854775808 : int64)",
          "[\"1\",\"-1\",\"18446744073709551615\",\"-9223372036854775808\"]", 0);
    check("(1000000000000000000000000000000 : nat, -0x10000000000000000)",
          "[\"1000000000000000000000000000000\",\"-18446744073709551616\"]", 0);
    check("(255 : nat8, 65535 : nat16, 4294967295 : nat32, -128 : int8, -1 : int16, 1000 : int32)",
          "[255,65535,4294967295,-128,-1,1000]", 0);
    check("(0.1 : float32, -0.0, 1e21, 123456.789)",
          "[0.1,-0.0,1000000000000000000000.0,123456.789]", 0);
    check("(true, false, null, 5 : reserved)", "[true,false,null,null]", 0);
    check("(\"a\\\"\\\\/\\u{1}\\u{0}\\n\\t\\u{7f}\xc3\xa9\xf0\x9f\x92\xa9\\u{202e}\\u{e0001}\")",
          "[\"a\\\"\\\\/"
          "\\u0001\\u0000\\u000a\\u0009\\u007f\xc3\xa9\xf0\x9f\x92\xa9\\u202e\\udb40\\udc01\"]",
          0);
    check("(principal \"aaaaa-aa\", service \"2vxsx-fae\", func \"aaaaa-aa\".\"a\\\"b\")",
          "[\"aaaaa-aa\",\"2vxsx-fae\",{\"principal\":\"aaaaa-aa\",\"method\":\"a\\\"b\"}]", 0);
    check("(null : opt nat8, opt (1 : nat8), opt (null : opt nat8), opt opt (1 : nat8))",
          "[[],[1],[[]],[[1]]]", 0);
    check("(opt null, opt (5 : reserved))", "[[null],[null]]", 0);
    check("(blob \"\", blob \"\\00\\ff\", vec { 1; 2 } : vec nat8, vec { 1; 2 } : vec int8)",
          "[\"\",\"00ff\",\"0102\",[1,2]]", 0);
    check("(vec {}, vec { \"a\"; \"b\" }, vec { null; null }, vec { vec {}; vec { true } })",
          "[[],[\"a\",\"b\"],[null,null],[[],[true]]]", 0);
    check("(record {}, record { 5 = true }, record { 1 : nat8; \"x\" })",
          "[{},{\"5\":true},{\"0\":1,\"1\":\"x\"}]", 0);
    check("(record {}, record { 5 = true }, record { 1 : nat8; \"x\" })",
          "[{},{\"5\":true},[1,\"x\"]]", IC_JSON_TUPLES);
    check("(record { 1 = vec { \"a\\n\"; \"b\" }; 2 = vec {}; 3 = true })",
          "[{\"1\":[\n\"a\\u000a\",\n\"b\"\n],\"2\":[],\"3\":true}]", IC_JSON_LINES);
    check("(opt vec { blob \"\\01\\02\"; blob \"\\03\" }, vec { vec { true; false } })",
          "[[[\n\"0102\",\n\"03\"\n]],[\n[true,false]\n]]", IC_JSON_LINES);
    check("(variant { 24860 }, variant { 1 = \"x\" })", "[{\"24860\":null},{\"1\":\"x\"}]", 0);
}

static void test_not_in_text(void)
{
    struct ic_buf message =
        message_hex("01 67 00 04 00 73 73 72 02 00 00ff 0000c07f 0000807f 000000000000f0ff");
    struct ic_candid *msg = NULL;
    struct ic_buf out;
    TAP_INT(ic_candid_decode(message.bytes, message.len, NULL, &msg, NULL), 0, "a message");
    out = json_of(msg, NULL, 0);
    TAP_STR((const char *)out.bytes,
            "[{\"opcode\":\"-25\",\"bytes\":\"00ff\"},\"NaN\",\"inf\",\"-inf\"]",
            "of an unknown type, and floats that are no numbers");
    ic_buf_fini(&out);
    ic_candid_free(msg);
    ic_buf_fini(&message);
}

static void test_names(void)
{
    struct ic_did *did = NULL;
    const struct ic_type *func = did_func(
        "type R = record { \"owner\" : principal; \"a\\\"b\" : nat8; \"12\" : bool; 34 : bool };"
        "type Result = variant { Ok : R; Err : text };",
        "(Result, vec Result, opt record { Elsewhere : nat8 })", &did);
    static const char text[] =
        "(variant { Ok = record { owner = principal \"aaaaa-aa\"; \"a\\\"b\" = "
        "1; \"12\" = true; 34 = false } }, vec { variant { Err = \"no\" } }, opt "
        "record { Elsewhere = 5 })";
    static const char expected[] = "[{\"Ok\":{\"34\":false,\"10977\":true,\"a\\\"b\":1,\"owner\":"
                                   "\"aaaaa-aa\"}},[{\"Err\":\"no\"}],[{"
                                   "\"Elsewhere\":5}]]";
    struct ic_candid_naming naming = {func->as.func.args, func->as.func.n_args, NULL};
    struct ic_candid_names *names = NULL;
    struct ic_candid *msg = parse(text, func), *received = NULL;
    struct ic_buf message = encoded(msg), out = json_of(msg, NULL, 0);

    if (!TAP_STR((const char *)out.bytes, expected, "names of the values' own types"))
        printf("# %s\n", (const char *)out.bytes);
    ic_buf_fini(&out);
    TAP_INT(ic_candid_decode(message.bytes, message.len, NULL, &received, NULL), 0, "received");
    out = json_of(received, &naming, 0);
    TAP_STR((const char *)out.bytes, expected, "names of what is declared");
    ic_buf_fini(&out);
    TAP_INT(ic_candid_names_new(did, &names, NULL), 0, "all names");
    naming = (struct ic_candid_naming){.all = names};
    out = json_of(received, &naming, 0);
    TAP_STR((const char *)out.bytes, expected, "names from elsewhere in the description");
    ic_candid_names_free(names);
    ic_buf_fini(&out);
    ic_buf_fini(&message);
    ic_candid_free(received);
    ic_candid_free(msg);
    ic_did_free(did);
}

static void test_limits(void)
{
    struct ic_candid *msg = parse("(vec { \"\xc3\xa9\"; \"b\" })", NULL);
    struct ic_value text = {.type = &ic_type_text, .as.text = ic_view("\xff", 1)};
    struct ic_buf out = {0};
    struct ic_error err = {0};
    const char *expected = "[[\"\xc3\xa9\",\"b\"]]";
    size_t len = strlen(expected);

    for (size_t max = 0; max <= len; max++) {
        out.len = 0;
        TAP_INT(ic_candid_json(ic_candid_arg(msg, 0), 1, NULL, 0, max, &out, &err),
                max < len ? -EFBIG : 0, "with a limit");
        TAP_OK(out.len <= max &&
                   memcmp(out.bytes ? (const char *)out.bytes : "", expected, out.len) == 0,
               "no byte is beyond it");
    }
    out.len = 0;
    TAP_INT(ic_candid_json_value(&text, NULL, NULL, 0, 100, &out, &err), -EINVAL,
            "text that is not UTF-8");
    out.len = 0;
    TAP_INT(ic_candid_json_value(ic_candid_arg(msg, 0), NULL, NULL, 0, 100, &out, &err), 0,
            "one value");
    TAP_OK(ic_view_is_text(ic_view(out.bytes, out.len), "[\"\xc3\xa9\",\"b\"]"), "alone");
    ic_buf_fini(&out);
    ic_candid_free(msg);
}

/* Messages of didc: json_of checks that another reader takes them. */
static void test_didc(const char *data_dir)
{
    struct ic_buf lines = vector_file(data_dir, "../candid/didc-render.jsonl");
    char *save = NULL;
    int n = 0;
    ic_buf_append(&lines, "", 1);
    for (char *line = strtok_r((char *)lines.bytes, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save), n++) {
        json_t *row = json_loads(line, 0, NULL);
        struct ic_buf message = vector_unhex(vector_text(row, "hex")), out;
        struct ic_candid *msg = NULL;
        TAP_INT(ic_candid_decode(message.bytes, message.len, NULL, &msg, NULL), 0, "a message");
        out = json_of(msg, NULL, n % 2 ? IC_JSON_TUPLES : 0);
        ic_buf_fini(&out);
        ic_candid_free(msg);
        ic_buf_fini(&message);
        json_decref(row);
    }
    TAP_INT(n, 120, "messages");
    ic_buf_fini(&lines);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 1;
    test_table();
    test_not_in_text();
    test_names();
    test_limits();
    test_didc(argv[1]);
    return tap_done();
}
