/* Service descriptions: names, printing, places in errors, limits. Whole files are the business of
 * test_did_samples.c, imports that of test_did_import.c. */
#include "ic/did.h"
#include "tests/tap.h"

#include <errno.h>
#include <stdlib.h>

TAP_STATE;

static struct ic_did *parse(const char *text)
{
    struct ic_did *did = NULL;
    struct ic_error err = {0};
    if (ic_did_parse(text, strlen(text), NULL, &did, &err) < 0) {
        printf("Bail out! %s: %s\n", text, err.message);
        exit(1);
    }
    return did;
}

/* ---- what comes out ---- */

static void test_types(void)
{
    struct ic_did *did = parse("type Time = nat64;\n"
                               "type List = opt record { head : Time; tail : List };\n"
                               "type Same = List;\n"
                               "type Bytes = vec nat8;\n"
                               "service : (opt Time) -> {\n"
                               "  read : (offset : nat64, nat64) -> (blob) query;\n"
                               "  list : () -> (List) composite_query;\n"
                               "  note : (text) -> () oneway;\n"
                               "  write : (nat64, blob) -> ();\n"
                               "}");
    const struct ic_type_method *read = ic_did_find_method(did, "read");
    const struct ic_type *list = ic_did_find_type(did, "List"), *record, *same;

    TAP_INT((int64_t)did->n_types, 4, "four definitions");
    TAP_INT((int64_t)did->service->as.service.n, 4, "four methods");
    TAP_OK(read && read->type->kind == IC_TYPE_FUNC, "a method by name");
    TAP_OK(!ic_did_find_method(did, "rea") && !ic_did_find_method(did, "zzz") &&
               !ic_did_find_method(did, ""),
           "none of another name");
    if (!read || !list)
        return;
    TAP_INT(read->type->as.func.mode, IC_FUNC_QUERY, "its mode");
    TAP_INT(read->type->as.func.n_args, 2, "its arguments");
    TAP_INT(read->type->as.func.args[0]->kind, IC_TYPE_NAT64, "a nat64");
    TAP_OK(ic_view_is_text(read->type->names->labels[0].name, "offset"), "an argument's name");
    TAP_OK(!read->type->names->labels[1].name.bytes, "an argument without one");
    TAP_OK(read->type->as.func.results[0] == &ic_type_blob, "blob");
    TAP_INT(ic_did_find_method(did, "list")->type->as.func.mode, IC_FUNC_COMPOSITE_QUERY,
            "composite_query");
    TAP_INT(ic_did_find_method(did, "note")->type->as.func.mode, IC_FUNC_ONEWAY, "oneway");
    TAP_INT(ic_did_find_method(did, "write")->type->as.func.mode, IC_FUNC_UPDATE, "update");
    TAP_INT(did->init->as.func.n_args, 1, "init arguments");

    record = list->as.elem;
    TAP_INT(record->kind, IC_TYPE_RECORD, "an opt record");
    TAP_INT(record->as.fields.fields[0].id, ic_candid_hash("head", 4), "fields by id");
    TAP_INT(record->as.fields.fields[0].type->kind, IC_TYPE_NAT64,
            "an alias is what it stands for");
    TAP_OK(record->as.fields.fields[1].type == list, "recursion is a cycle");
    TAP_OK(ic_view_is_text(record->names->labels[1].name, "tail"), "a field's name");
    same = ic_did_find_type(did, "Same");
    TAP_OK(same && same->kind == IC_TYPE_OPT && same->as.elem == record, "an alias of a compound");
    TAP_OK(!ic_did_find_type(did, "Lis"), "no such definition");
    ic_did_free(did);
}

static void test_fields(void)
{
    struct ic_did *did = parse("type t = record { test : nat16; nat8; 5 : text; int; 0x2A : bool; "
                               "\"\" : null }");
    const struct ic_type *t = did->types[0];
    static const uint32_t ids[] = {0, 5, 6, 42, 1291438162, 1291438163};
    TAP_INT((int64_t)t->as.fields.n, 6, "six fields");
    for (size_t i = 0; i < 6; i++)
        TAP_INT(t->as.fields.fields[i].id, ids[i], "an id");
    TAP_OK(t->names->labels[0].name.bytes && t->names->labels[0].name.len == 0,
           "the empty name is a name");
    TAP_OK(!t->names->labels[1].name.bytes, "a number is none");
    ic_did_free(did);
}

static void test_docs(void)
{
    struct ic_did *did = parse("// not this\n"
                               "\n"
                               "// A profile,\r\n"
                               "//of a person.\n"
                               "type P = record {\n"
                               "  // years\n"
                               "  age : nat8; // of the line, not of the next\n"
                               "  name : text;\n"
                               "  /* no */ // no\n"
                               "  x : nat;\n"
                               "};\n"
                               "// The service\n"
                               "service : {\n"
                               "  // reads\n"
                               "  get : () -> (P) query;\n"
                               "}");
    const struct ic_type_names *p = did->types[0]->names, *s = did->service->names;
    TAP_OK(ic_view_is_text(p->self.doc, "A profile,\nof a person."), "of a definition");
    for (size_t i = 0; i < 3; i++)
        TAP_OK(ic_view_is_text(p->labels[i].doc,
                               ic_view_is_text(p->labels[i].name, "age") ? "years" : ""),
               "of a field");
    TAP_OK(ic_view_is_text(did->doc, "The service"), "of the service");
    TAP_OK(ic_view_is_text(s->labels[0].doc, "reads"), "of a method");
    ic_did_free(did);
}

static void test_zero_width(void)
{
    struct ic_did *did = parse("type a = record { b; c; null };\n"
                               "type b = record {};\n"
                               "type c = d;\n"
                               "type d = record { reserved; b };\n"
                               "type e = record { e };\n"
                               "type f = record { a; opt null };\n");
    TAP_OK(did->types[0]->is_zero_width && did->types[1]->is_zero_width &&
               did->types[2]->is_zero_width && did->types[3]->is_zero_width,
           "records of nothing have no width");
    TAP_OK(!did->types[4]->is_zero_width, "a record in itself has");
    TAP_OK(!did->types[5]->is_zero_width, "a record of an opt has");
    ic_did_free(did);
}

/* A type of a description serves to encode. */
static void test_encode(void)
{
    static const uint8_t expected[] = "DIDL\x02\x6c\x02\x05\x01\x61\x71\x6d\x7b\x01\x00\x02hi\x01!";
    struct ic_did *did = parse("type T = record { 5 : blob; a : text }");
    struct ic_value items[] = {ic_blob("hi", 2), ic_text("!")};
    struct ic_value v = {.type = did->types[0], .as.seq = {items, 2}};
    struct ic_buf out = {0};

    /* The blob's type is the field's, which is our constant. */
    TAP_INT(ic_candid_encode(&v, 1, &out, NULL), 0, "a value of a parsed type");
    TAP_INT((int64_t)out.len, sizeof(expected) - 1, "its length");
    if (out.len == sizeof(expected) - 1)
        TAP_MEM(out.bytes, expected, out.len, "its bytes");
    ic_buf_fini(&out);
    ic_did_free(did);
}

/* ---- printing ---- */

static const struct {
    const char *type, *printed;
} printed[] = {
    {"nat", "nat"},
    {"record {0:nat; 1:text}", "record { nat; text }"},
    {"record {1:nat; 0:text}", "record { text; nat }"},
    {"record {nat; 2:text}", "record { 0 : nat; 2 : text }"},
    {"record {}", "record {}"},
    {"record {1158359328:nat}", "record { 1_158_359_328 : nat }"},
    {"record {1000:nat; 999:nat}", "record { 999 : nat; 1_000 : nat }"},
    {"record {\"\":nat}", "record { \"\" : nat }"},
    {"record {\"query\":nat; \"nat\":nat; x:nat}",
     "record { x : nat; \"nat\" : nat; \"query\" : nat }"},
    {"record {\"a b\":nat}", "record { \"a b\" : nat }"},
    {"record {\"\\n\\r\\t\\\"\\'\\\\\":nat}", "record { \"\\n\\r\\t\\\"\\'\\\\\" : nat }"},
    {"record {\"\\u{0}\":nat}", "record { \"\\u{0}\" : nat }"},
    {"record {\"\\e2\\98\\83\":nat}", "record { \"☃\" : nat }"},
    {"record {\"\\u{20_2e}\":nat}", "record { \"\\u{202e}\" : nat }"},
    {"record {\"\\u{10ffff}\":nat}", "record { \"\\u{10ffff}\" : nat }"},
    {"variant {Err:text; Ok}", "variant { Ok; Err : text }"},
    {"variant {}", "variant {}"},
    {"variant {5; 0x10:null}", "variant { 5; 16 }"},
    {"vec nat8", "blob"},
    {"vec U", "vec U"},
    {"opt opt vec opt blob", "opt opt vec opt blob"},
    {"func (a : nat, \"b c\" : N,) -> (r : text) query", "func (nat, N) -> (text) query"},
    {"func () -> () oneway", "func () -> () oneway"},
    {"func (nat, \"\" : nat, nat, \"2\" : nat, \"2\" : nat) -> ()",
     "func (nat, nat, nat, nat, nat) -> ()"},
    {"service { b : (nat) -> (); a : F }", "service { a : F; b : (nat) -> () }"},
    {"service {}", "service {}"},
    {"principal", "principal"},
};

static void test_printing(void)
{
    for (size_t i = 0; i < sizeof(printed) / sizeof(printed[0]); i++) {
        char text[512];
        struct ic_did *did;
        struct ic_buf out = {0};
        snprintf(text, sizeof(text),
                 "type N = nat; type U = nat8; type F = func () -> (); type T = opt %s",
                 printed[i].type);
        did = parse(text);
        ic_type_format(did->types[3]->as.elem, &out);
        if (!TAP_OK(ic_view_is_text(ic_view(out.bytes, out.len), printed[i].printed),
                    printed[i].printed))
            printf("# got %.*s\n", (int)out.len, (const char *)out.bytes);
        ic_buf_fini(&out);
        ic_did_free(did);
    }
}

static void test_print_all(void)
{
    static const char *const text = "type T = record { b : nat; A };\n"
                                    "type A = T;\n"
                                    "service x : (A) -> { m : f; \"vec\" : (T) -> (A) query };\n";
    static const char *const missing = "import service \"a\\\\b.did\"; type f = func () -> (Gone); "
                                       "type G = Gone; service : { m : f }";
    struct ic_buf out = {0};
    struct ic_did *did;
    char with_f[256];

    snprintf(with_f, sizeof(with_f), "type f = func () -> ();\n%s", text);
    did = parse(with_f);
    ic_did_format(did, &out);
    ic_buf_append(&out, "", 1);
    TAP_STR((const char *)out.bytes,
            "type f = func () -> ();\n"
            "type T = record { b : nat; 99 : A };\n"
            "type A = T;\n"
            "service : (A) -> {\n"
            "  m : f;\n"
            "  \"vec\" : (T) -> (A) query;\n"
            "}\n",
            "a whole description");
    out.len = 0;
    ic_type_format_method(ic_did_find_method(did, "m"), &out);
    TAP_OK(ic_view_is_text(ic_view(out.bytes, out.len), "m : () -> ()"),
           "a method alone shows its func");
    ic_did_free(did);

    did = parse(missing);
    out.len = 0;
    ic_did_format(did, &out);
    ic_buf_append(&out, "", 1);
    TAP_STR((const char *)out.bytes,
            "import service \"a\\\\b.did\";\n"
            "type f = func () -> (Gone);\n"
            "type G = Gone;\n"
            "service : {\n"
            "  m : f;\n"
            "}\n",
            "names from elsewhere stay");
    TAP_INT(did->types[1]->kind, IC_TYPE_FUTURE, "and stand for nothing known");
    TAP_OK(did->n_imports == 1 && did->imports[0].is_service &&
               ic_view_is_text(did->imports[0].path, "a\\b.did"),
           "the import is listed");
    ic_did_free(did);
    ic_buf_fini(&out);
}

static void append(struct ic_buf *out, const char *text)
{
    ic_buf_append(out, text, strlen(text));
}

/* Names for one another's content: the text that comes out is no longer than what went in. */
static void test_print_aliases(void)
{
    enum { N = 500 };
    struct ic_buf text = {0}, out = {0};
    char line[64];

    append(&text, "type B = record { ");
    for (int i = 0; i < N; i++) {
        snprintf(line, sizeof(line), "f%04d : nat64; ", i);
        append(&text, line);
    }
    append(&text, "};\ntype n = nat;\ntype s = service { m : () -> () };\n");
    append(&text, "type a0 = n;\n");
    for (int i = 1; i < N; i++) {
        snprintf(line, sizeof(line), "type a%d = a%d;\ntype b%d = B;\n", i, i - 1, i);
        append(&text, line);
    }
    append(&text, "service : s");
    ic_buf_append(&text, "", 1);
    struct ic_did *did = parse((const char *)text.bytes);
    ic_did_format(did, &out);
    ic_buf_append(&out, "", 1);
    TAP_OK(out.len < text.len + 100, "aliases are printed as aliases");
    TAP_OK(strstr((const char *)out.bytes, "\ntype a499 = a498;\ntype b499 = B;\n"),
           "by the name they were given");
    struct ic_did *again = parse((const char *)out.bytes);
    TAP_INT((int64_t)again->n_types, (int64_t)did->n_types, "and read again");
    text.len = 0;
    ic_did_format(again, &text);
    ic_buf_append(&text, "", 1);
    TAP_OK(text.len == out.len && memcmp(text.bytes, out.bytes, out.len) == 0, "to the same");
    ic_did_free(again);
    ic_did_free(did);
    ic_buf_fini(&out);
    ic_buf_fini(&text);
}

/* Types of a message have no names to stop at. */
static void test_print_cut(void)
{
    static const uint8_t cycle[] = {'D', 'I', 'D', 'L', 1, 0x6e, 0, 1, 0, 0};
    uint8_t doubling[4 + 1 + 40 * 6 + 2 + 3] = "DIDL\x29";
    struct ic_candid *msg = NULL;
    struct ic_buf out = {0};
    size_t n = 5;

    TAP_INT(ic_candid_decode(cycle, sizeof(cycle), NULL, &msg, NULL), 0, "type O = opt O");
    ic_type_format(ic_candid_arg(msg, 0)->type, &out);
    TAP_INT((int64_t)out.len, 257 * 4 + 3, "is printed to the limit of depth");
    TAP_OK(out.len > 3 && memcmp(out.bytes + out.len - 3, "...", 3) == 0, "and cut");
    ic_candid_free(msg);

    for (uint8_t i = 0; i < 40; i++) { /* record { i - 1; i - 1 } */
        uint8_t inner = i > 0 ? (uint8_t)(i - 1) : 0x7d;
        const uint8_t entry[] = {0x6c, 2, 0, inner, 1, inner};
        memcpy(doubling + n, entry, sizeof(entry));
        n += sizeof(entry);
    }
    memcpy(doubling + n, "\x6e\x27\x01\x28\x00", 5); /* opt of the last, none */
    TAP_INT(ic_candid_decode(doubling, n + 5, NULL, &msg, NULL), 0, "a type of 2^40 parts");
    out.len = 0;
    ic_type_format(ic_candid_arg(msg, 0)->type, &out);
    TAP_OK(out.len > IC_TYPE_MAX_TEXT - 64 && out.len <= IC_TYPE_MAX_TEXT + 3, "is cut, too");
    ic_candid_free(msg);
    ic_buf_fini(&out);
}

/* ---- errors ---- */

static const struct {
    const char *text, *message;
} refused[] = {
    {"type a = nat\ntype b = nat", "line 2, column 1: expected ';', found 'type'"},
    {"type a = record {\n  x : nat,\n}", "line 2, column 10: expected ';' or '}', found ','"},
    {"type \xc3\xa4 = nat", "line 1, column 6: a character of no meaning here: '\xc3\xa4'"},
    {"type a = record { \"\xc3\xa4\xc3\xb6\" : }", "line 1, column 26: expected a type, found '}'"},
    {"type a = record { \"\\x41\" : nat }", "line 1, column 20: unknown escape in a string"},
    {"type a = record { \"\\0\" : nat }", "line 1, column 20: unknown escape in a string"},
    {"type a = record { \"\\u{110000}\" : nat }", "line 1, column 20: unknown escape in a string"},
    {"type a = record { \"\\u{dfff}\" : nat }", "line 1, column 20: unknown escape in a string"},
    {"type a = record { \"\\u{12\" : nat }", "line 1, column 20: unknown escape in a string"},
    {"type a = record { \"\\ff\" : nat }", "line 1, column 19: a string that is not UTF-8"},
    {"type a = record { \"x", "line 1, column 19: a string without an end"},
    {"type a = record { \"x\\", "line 1, column 19: a string without an end"},
    {"type a = record { \"x\\\"", "line 1, column 19: a string without an end"},
    {"/* a /* b */", "line 1, column 1: a comment without an end"},
    {"// \xff", "line 1, column 4: the text is not UTF-8"},
    {"type a = record { 4294967296 : nat }", "line 1, column 19: a field id over 4294967295"},
    {"type a = record { 99999999999999999999999 : nat }",
     "line 1, column 19: a field id over 4294967295"},
    {"type a = record { 4294967295 : nat; nat }",
     "line 1, column 37: no id is left for a field without one"},
    {"type a = record { a : nat; 97 : nat }", "line 1, column 28: a second field with the id 97"},
    {"type a = record { 0 : nat; nat; 1 : nat }",
     "line 1, column 33: a second field with the id 1"},
    {"type a = variant { a; b; a : nat }", "line 1, column 26: a second field with the id 97"},
    {"type a = variant { opt }", "line 1, column 20: expected a case (a keyword needs quotes), "
                                 "found 'opt'"},
    {"type a = func (x : nat, y : nat, x : nat) -> ()", "line 1, column 34: a second argument 'x'"},
    {"type a = func (\"\" : nat, nat, \"\" : nat) -> ()",
     "line 1, column 31: a second argument ''"},
    {"service : { b : () -> (); a : () -> (); \"b\" : () -> () }",
     "line 1, column 41: a second method 'b'"},
    {"service : { a : () -> (nat) oneway }", "line 1, column 29: a oneway function has no results"},
    {"service : { a : () -> () query query }", "line 1, column 32: a second mode"},
    {"service : { a : b }", "line 1, column 17: 'b' is not defined"},
    {"service : { a : b }; type b = nat", "line 1, column 22: expected the end of the text, found "
                                          "'type'"},
    {"type b = nat; service : { a : b }", "line 1, column 31: 'b' is not a func"},
    {"type b = func () -> (); service : b", "line 1, column 35: 'b' is not a service"},
    {"type a = opt c;\ntype b = opt d;", "line 1, column 14: 'c' is not defined"},
    {"type a = b; type b = c; type c = b", "line 1, column 18: 'b' is defined as itself"},
    {"type a = a", "line 1, column 6: 'a' is defined as itself"},
    {"type a = nat; type a = nat", "line 1, column 20: 'a' is already defined"},
    {"type a = ", "line 1, column 10: expected a type, found the end of the text"},
    {"service : () -> ",
     "line 1, column 17: expected '{' or the name of a service, found the end of "
     "the text"},
    {"nat", "line 1, column 1: expected 'type', 'import', 'service' or the end of the text, found "
            "'nat'"},
    {"import \"a\"; service : { m : gone }", "line 1, column 29: 'gone' is not defined"},
    {"import service \"a\"; service : gone", "line 1, column 31: 'gone' is not defined"},
    {"import a", "line 1, column 8: expected a string, found 'a'"},
    {"type t = abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz() ",
     "line 1, column 62: expected ';', found '('"},
    {"type \"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz\"",
     "line 1, column 6: expected a name that is no keyword, found "
     "'\"abcdefghijklmnopqrstuvwxyzabcdefghi..."},
};

static void test_errors(void)
{
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct ic_did *did = NULL;
        struct ic_error err = {0};
        TAP_INT(ic_did_parse(refused[i].text, strlen(refused[i].text), NULL, &did, &err), -EPROTO,
                "refused");
        if (!TAP_STR(err.message, refused[i].message, "in these words"))
            printf("# got %s\n", err.message);
        TAP_OK(!did && err.code == IC_E_MALFORMED, "nothing comes out");
    }
    TAP_INT(ic_did_parse("x", 1, NULL, &(struct ic_did *){NULL}, NULL), -EPROTO,
            "without a struct");
}

/* ---- limits ---- */

/* A text of n times a part between others; refused or not, with this in the error. */
static void check_repeated(const char *before, const char *part, size_t n, const char *after,
                           const char *refusal, const char *what)
{
    struct ic_did *did = NULL;
    struct ic_error err = {0};
    struct ic_buf text = {0};
    int ret;

    ic_buf_append(&text, before, strlen(before));
    for (size_t i = 0; i < n; i++)
        ic_buf_append(&text, part, strlen(part));
    ic_buf_append(&text, after, strlen(after));
    ret = ic_did_parse((const char *)text.bytes, text.len, NULL, &did, &err);
    TAP_INT(ret, refusal ? -EPROTO : 0, what);
    if (!TAP_OK(strstr(err.message, refusal ? refusal : ""), refusal ? refusal : "fits"))
        printf("# got %s\n", err.message);
    ic_did_free(did);
    ic_buf_fini(&text);
}

static void test_limits(void)
{
    check_repeated("type a = ", "opt ", 256, "nat", NULL, "256 deep");
    check_repeated("type a = ", "opt ", 257, "nat", "column 1034: types nest deeper than 256",
                   "257 deep");
    check_repeated("type a = ", "record {", 100000, "", "types nest deeper than 256", "very deep");
    check_repeated("type a = ", "func (", 100000, "", "types nest deeper than 256",
                   "deep in funcs");
    check_repeated("service : { m : ", "(service { m : ", 60000, "", "types nest deeper than 256",
                   "deep in services");
    check_repeated("/*", "/*", 500000, "", "a comment without an end", "deep in comments");
    check_repeated("", " ", IC_DID_MAX_TEXT, "", NULL, "as long as may be");
    check_repeated(" ", " ", IC_DID_MAX_TEXT, "", "the text is over 1048576 bytes", "longer");
    check_repeated("type a = record {", "vec x;", 65533, "}; type x = nat", NULL, "65536 types");
    check_repeated("type a = record {", "vec x;", 65534, "}; type x = nat", "more than 65536 types",
                   "one more");
    check_repeated("type a = variant { \"", "\\41", 200000, "\" }", NULL, "a long name");
    check_repeated("type a = record { ", "nat;", 200000, "}", NULL, "many fields");
    check_repeated("type a = func (", "nat,", 200000, ") -> ()", NULL, "many arguments");
    check_repeated("type a = func (", "x:nat,", 150000, ") -> ()", "a second argument 'x'",
                   "many of one name");
    check_repeated("type a = record { ", "1", 500000, " : nat }", "a field id over",
                   "a long number");
}

/* Definitions that each use the one before, in an order that makes any single pass useless. */
static void test_long_chains(void)
{
    struct ic_buf text = {0};
    struct ic_did *did = NULL;
    enum { N = 30000 };
    char line[64];

    for (int i = 0; i < N; i++) {
        snprintf(line, sizeof(line), "type a%d = %s%d%s;\n", i, i < N / 2 ? "a" : "record { a",
                 i + 1, i < N / 2 ? "" : " }");
        ic_buf_append(&text, line, strlen(line));
    }
    snprintf(line, sizeof(line), "type a%d = record {}", N);
    ic_buf_append(&text, line, strlen(line));
    TAP_INT(ic_did_parse((const char *)text.bytes, text.len, NULL, &did, NULL), 0,
            "a chain of 15,000 aliases and 15,000 records");
    TAP_INT(did ? did->types[0]->kind : IC_TYPE_NULL, IC_TYPE_RECORD,
            "the first is what the last is");
    TAP_OK(did && did->types[0]->as.fields.fields == did->types[N / 2]->as.fields.fields,
           "the content is shared");
    ic_did_free(did);
    ic_buf_fini(&text);
}

int main(void)
{
    test_types();
    test_fields();
    test_docs();
    test_zero_width();
    test_encode();
    test_printing();
    test_print_all();
    test_print_aliases();
    test_print_cut();
    test_errors();
    test_limits();
    test_long_chains();
    return tap_done();
}
