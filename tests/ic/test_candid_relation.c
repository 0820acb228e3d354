/* Relations of types: the rules one by one, recursive types, types of messages, and the assertions
 * of the official Candid suite about subtypes. */
#include "ic/candid_relation.h"
#include "ic/did.h"
#include "tests/tap.h"

#include <errno.h>
#include <stdlib.h>

TAP_STATE;

static const char *const definitions =
    "type Vec = vec Vec; type Opt = opt Opt; type Rec = record { Rec };"
    "type List = opt record { head : nat; tail : List };"
    "type List2 = opt record { head : nat; tail : opt record { head : nat; tail : List2 } };"
    "type ListInt = opt record { head : int; tail : ListInt };"
    "type Stream = opt record { head : nat; next : func () -> (Stream) query };"
    "type StreamInt = opt record { head : int; next : func () -> (StreamInt) query };"
    "type Obj = service { f : (Obj) -> (Obj) };"
    "type Obj2 = service { f : (Obj2) -> (Obj2); g : () -> () };"
    "type byte = nat8;";

/* Bits of an expectation. */
enum { NONE = 0, SUB = 1, LOSSLESS = 3, EQUAL = 7 };

static const struct {
    const char *a, *b;
    int holds, back; /* a in place of b, b in place of a */
} cases[] = {
    {"nat", "nat", EQUAL, EQUAL},
    {"nat", "int", LOSSLESS, NONE},
    {"nat8", "nat16", NONE, NONE},
    {"nat8", "nat", NONE, NONE},
    {"float32", "float64", NONE, NONE},
    {"byte", "nat8", EQUAL, EQUAL},
    {"vec byte", "blob", EQUAL, EQUAL},
    {"vec nat8", "vec int8", NONE, NONE},
    {"vec nat", "vec int", LOSSLESS, NONE},
    {"text", "blob", NONE, NONE},
    {"empty", "nat", LOSSLESS, NONE},
    {"empty", "reserved", LOSSLESS, NONE},
    {"nat", "reserved", SUB, NONE},
    {"reserved", "reserved", EQUAL, EQUAL},
    {"null", "reserved", SUB, NONE},

    {"nat", "opt nat", LOSSLESS, NONE},
    {"nat", "opt opt nat", LOSSLESS, NONE},
    {"opt nat", "opt opt nat", LOSSLESS, SUB},
    {"null", "opt nat", LOSSLESS, NONE},
    {"null", "opt opt nat", LOSSLESS, NONE},
    {"opt null", "opt nat", SUB, SUB},
    {"nat", "opt text", SUB, NONE},
    {"opt nat", "opt text", SUB, SUB},
    {"opt nat", "opt int", LOSSLESS, SUB},
    {"bool", "Opt", SUB, NONE},
    {"opt bool", "Opt", SUB, SUB},
    {"null", "Opt", LOSSLESS, NONE},
    {"Opt", "opt Opt", EQUAL, EQUAL},
    {"opt empty", "null", NONE, LOSSLESS},

    {"record {}", "record { a : opt nat }", LOSSLESS, SUB},
    {"record {}", "record { a : null; b : reserved }", LOSSLESS, SUB},
    {"record {}", "record { a : nat }", NONE, SUB},
    {"record { a : nat; b : text }", "record { a : int; b : text }", LOSSLESS, NONE},
    {"record { a : nat; b : text }", "record { b : text }", SUB, NONE},
    {"record { a : nat }", "record { a : opt text }", SUB, NONE},
    {"record { a : nat }", "record { a : opt nat; b : opt text }", LOSSLESS, NONE},
    {"record { nat; text }", "record { 0 : nat; 1 : text }", EQUAL, EQUAL},
    {"record { a : nat }", "record { 97 : nat }", EQUAL, EQUAL},
    {"record { nat }", "record { text }", NONE, NONE},
    {"record { a : record { b : nat } }", "record { a : opt record { c : nat } }", SUB, NONE},
    {"record { 4294967295 : nat }", "record { 0 : nat }", NONE, NONE},

    {"variant {}", "variant { a }", LOSSLESS, NONE},
    {"variant { a; b : nat }", "variant { a; b : int; c }", LOSSLESS, NONE},
    {"variant { a : nat }", "variant { a : text }", NONE, NONE},
    {"variant { a }", "variant { b }", NONE, NONE},
    {"variant { a }", "variant { a : null }", EQUAL, EQUAL},
    {"variant { a : record { x : nat } }", "variant { a : record {} }", SUB, NONE},
    {"variant { a }", "record { a : null }", NONE, NONE},

    {"func () -> ()", "func () -> () query", NONE, NONE},
    {"func () -> () query", "func () -> () composite_query", NONE, NONE},
    {"func () -> ()", "func () -> () oneway", NONE, NONE},
    {"func (int) -> (nat)", "func (nat) -> (int)", LOSSLESS, NONE},
    {"func (opt nat) -> ()", "func () -> ()", LOSSLESS, LOSSLESS},
    {"func (nat) -> ()", "func () -> ()", NONE, LOSSLESS},
    {"func () -> (opt nat)", "func () -> ()", LOSSLESS, LOSSLESS},
    {"func () -> (nat)", "func () -> ()", LOSSLESS, NONE},
    {"func (a : nat) -> (b : nat)", "func (nat) -> (c : nat)", EQUAL, EQUAL},
    {"func (record { a : opt nat }) -> ()", "func (record {}) -> ()", LOSSLESS, LOSSLESS},

    {"service {}", "principal", LOSSLESS, NONE},
    {"service { a : () -> (); b : () -> () }", "service { a : () -> () }", LOSSLESS, NONE},
    {"service { b : () -> (); a : () -> () }", "service { a : () -> (); b : () -> () }", EQUAL,
     EQUAL},
    {"service { a : () -> () }", "service { b : () -> () }", NONE, NONE},
    {"service { a : () -> (); c : () -> () }", "service { b : () -> () }", NONE, NONE},
    {"service { a : () -> () }", "service { a : () -> () query }", NONE, NONE},
    {"func () -> ()", "principal", NONE, NONE},
    {"func () -> ()", "service {}", NONE, NONE},

    {"Vec", "vec Vec", EQUAL, EQUAL},
    {"Vec", "vec nat", NONE, NONE},
    {"Rec", "record { Rec }", EQUAL, EQUAL},
    {"Rec", "empty", NONE, LOSSLESS},
    {"List", "List2", EQUAL, EQUAL},
    {"List", "ListInt", LOSSLESS, SUB},
    {"vec List", "vec ListInt", LOSSLESS, SUB},
    {"record { List }", "record { ListInt }", LOSSLESS, SUB},
    {"Stream", "StreamInt", LOSSLESS, SUB},
    {"Obj", "Obj2", NONE, NONE}, /* its arguments go the other way */
    {"service { g : (Obj) -> () }", "service { g : (Obj2) -> () }", NONE, NONE},
    {"service { g : () -> (Vec) }", "service { g : () -> (vec nat) }", NONE, NONE},
};

static int relations(const struct ic_type *a, const struct ic_type *b)
{
    static const enum ic_type_relation all[] = {IC_TYPE_SUBTYPE, IC_TYPE_LOSSLESS, IC_TYPE_EQUAL};
    int found = 0;
    for (int i = 0; i < 3; i++) {
        bool holds = false;
        struct ic_error err = {0};
        if (ic_type_relates(a, b, all[i], &holds, &err) < 0) {
            printf("# %s\n", err.message);
            return -1;
        }
        found |= holds << i;
    }
    return found;
}

static struct ic_did *parse_pair(const char *before, const char *a, const char *b)
{
    struct ic_did *did = NULL;
    struct ic_error err = {0};
    struct ic_buf text = {0};
    const char *const parts[] = {before, "type a_ = record {", a, "}; type b_ = record {", b, "}"};

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        ic_buf_append(&text, parts[i], strlen(parts[i]));
    if (ic_did_parse((const char *)text.bytes, text.len, NULL, &did, &err) < 0) {
        printf("Bail out! %s: %s\n", (const char *)text.bytes, err.message);
        exit(1);
    }
    ic_buf_fini(&text);
    return did;
}

/* The only field of a definition. */
static const struct ic_type *inner(const struct ic_did *did, const char *name)
{
    return ic_did_find_type(did, name)->as.fields.fields[0].type;
}

static void test_rules(void)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ic_did *did = parse_pair(definitions, cases[i].a, cases[i].b);
        const struct ic_type *a = inner(did, "a_"), *b = inner(did, "b_");
        char what[256];
        snprintf(what, sizeof(what), "%s in place of %s", cases[i].a, cases[i].b);
        TAP_INT(relations(a, b), cases[i].holds, what);
        snprintf(what, sizeof(what), "%s in place of %s", cases[i].b, cases[i].a);
        TAP_INT(relations(b, a), cases[i].back, what);
        TAP_INT(relations(a, a), EQUAL, "equal to itself");
        ic_did_free(did);
    }
}

static bool lists(const struct ic_did *did, const char *a, const char *b,
                  enum ic_type_relation relation)
{
    const struct ic_type *x = ic_did_find_method(did, a)->type;
    const struct ic_type *y = ic_did_find_method(did, b)->type;
    bool holds = false;
    return ic_type_lists_relate(x->as.func.results, x->as.func.n_results, y->as.func.args,
                                y->as.func.n_args, relation, &holds, NULL) == 0 &&
           holds;
}

/* What a restore method has to take of a backup method. */
static void test_lists(void)
{
    static const char *const text =
        "type P = record { name : text; age : nat8 };"
        "service : {"
        "  backup : () -> (vec P, nat) query;"
        "  same : (vec P, nat) -> ();"
        "  more : (vec record { name : text; age : nat8; mail : opt text }, int, opt bool) -> ();"
        "  less : (vec record { name : text }, nat) -> ();"
        "  swallows : (vec record { n : opt nat }, nat) -> ();"
        "  first : (vec P) -> ();"
        "  needs : (vec P, nat, nat) -> ();"
        "}";
    struct ic_did *did = NULL;
    bool holds = true;

    if (!TAP_INT(ic_did_parse(text, strlen(text), NULL, &did, NULL), 0, "a service"))
        return;
    TAP_OK(lists(did, "backup", "same", IC_TYPE_EQUAL), "the same");
    TAP_OK(lists(did, "backup", "more", IC_TYPE_LOSSLESS), "optional fields and arguments more");
    TAP_OK(!lists(did, "backup", "more", IC_TYPE_EQUAL), "are not the same");
    TAP_OK(lists(did, "backup", "less", IC_TYPE_SUBTYPE), "a field less is a subtype");
    TAP_OK(!lists(did, "backup", "less", IC_TYPE_LOSSLESS), "but something is lost");
    TAP_OK(lists(did, "backup", "swallows", IC_TYPE_SUBTYPE), "all optional takes anything");
    TAP_OK(!lists(did, "backup", "swallows", IC_TYPE_LOSSLESS), "and keeps nothing");
    TAP_OK(lists(did, "backup", "first", IC_TYPE_SUBTYPE), "an argument less is a subtype");
    TAP_OK(!lists(did, "backup", "first", IC_TYPE_LOSSLESS), "but lost");
    TAP_OK(!lists(did, "backup", "needs", IC_TYPE_SUBTYPE), "an argument is missing");
    TAP_INT(ic_type_lists_relate(NULL, 0, NULL, 0, IC_TYPE_EQUAL, &holds, NULL), 0, "none");
    TAP_OK(holds, "and none");
    ic_did_free(did);
}

/* ---- limits ---- */

/* Two rings of record { next; next } of coprime lengths: every pair comes up. */
static struct ic_did *rings(int m, int n)
{
    struct ic_buf text = {0};
    struct ic_did *did = NULL;
    char line[64];

    for (int i = 0; i < m + n; i++) {
        char ring = i < m ? 'a' : 'b';
        int next = i < m ? (i + 1) % m : (i - m + 1) % n;
        snprintf(line, sizeof(line), "type %c%d = record { %c%d; %c%d };", ring, i < m ? i : i - m,
                 ring, next, ring, next);
        ic_buf_append(&text, line, strlen(line));
    }
    if (ic_did_parse((const char *)text.bytes, text.len, NULL, &did, NULL) < 0)
        exit(1);
    ic_buf_fini(&text);
    return did;
}

static void test_limits(void)
{
    struct ic_did *small = rings(250, 251), *large = rings(256, 257);
    struct ic_error err = {0};
    bool holds = false;

    TAP_INT(ic_type_relates(ic_did_find_type(small, "a0"), ic_did_find_type(small, "b0"),
                            IC_TYPE_EQUAL, &holds, &err),
            0, "62,750 pairs");
    TAP_OK(holds, "are equal");
    holds = false;
    TAP_INT(ic_type_relates(ic_did_find_type(large, "a0"), ic_did_find_type(large, "b0"),
                            IC_TYPE_EQUAL, &holds, &err),
            -EPROTO, "65,792 are too many");
    TAP_OK(!holds && err.code == IC_E_MALFORMED, "which is no answer");
    ic_did_free(small);
    ic_did_free(large);
}

/* ---- the official suite ---- */

struct assertion {
    struct ic_buf message, expected; /* expected: a type, in the terms of the file's definitions */
    bool holds;
};

static int nibble(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* assert blob "BYTES" == "TEXT" : (opt TYPE) "..."; the text tells whether the func arrived. */
static const char *read_assertion(const char *at, struct assertion *a)
{
    int depth = 0;
    at = strstr(at, "\nassert blob \"");
    if (!at)
        return NULL;
    for (at += strlen("\nassert blob \""); *at != '"'; at++) {
        uint8_t byte = (uint8_t)*at;
        if (*at == '\\') {
            byte = (uint8_t)(nibble(at[1]) << 4 | nibble(at[2]));
            at += 2;
        }
        ic_buf_append(&a->message, &byte, 1);
    }
    at = strstr(at, "== \"(");
    if (!at)
        return NULL;
    a->holds = strncmp(at, "== \"(null)\"", 11) != 0;
    at = strstr(at, ": (opt ");
    if (!at)
        return NULL;
    for (at += strlen(": (opt "); depth > 0 || *at != ')'; at++) {
        depth += (*at == '(') - (*at == ')');
        ic_buf_append(&a->expected, at, 1);
    }
    ic_buf_append(&a->expected, "", 1);
    return at;
}

/* Up to the first assertion. */
static struct ic_buf definitions_of(const char *text)
{
    struct ic_buf out = {0};
    const char *end = strstr(text, "\nassert");
    ic_buf_append(&out, text, end ? (size_t)(end - text) : 0);
    ic_buf_append(&out, "\n", 2);
    return out;
}

static void test_assertion(const char *before, const struct assertion *a)
{
    struct ic_did *did = parse_pair(before, (const char *)a->expected.bytes, "nat");
    struct ic_candid *msg = NULL;
    bool holds = !a->holds;
    TAP_INT(ic_candid_decode(a->message.bytes, a->message.len, NULL, &msg, NULL), 0,
            "a message of the suite");
    if (msg && ic_type_relates(ic_candid_arg(msg, 0)->type, inner(did, "a_"), IC_TYPE_SUBTYPE,
                               &holds, NULL) == 0)
        TAP_INT(holds, a->holds, (const char *)a->expected.bytes);
    ic_candid_free(msg);
    ic_did_free(did);
}

static void test_suite(const char *data_dir)
{
    char path[512], *text = calloc(1, 65536);
    struct ic_buf before;
    const char *at = text;
    int n = 0;
    FILE *f;

    snprintf(path, sizeof(path), "%s/candid/subtypes.test.did", data_dir);
    f = fopen(path, "r");
    if (!f || !text || fread(text, 1, 65535, f) == 0) {
        printf("Bail out! cannot read %s\n", path);
        exit(1);
    }
    fclose(f);
    before = definitions_of(text);
    while (at) {
        struct assertion a = {0};
        at = read_assertion(at, &a);
        if (at) {
            test_assertion((const char *)before.bytes, &a);
            n++;
        }
        ic_buf_fini(&a.message);
        ic_buf_fini(&a.expected);
    }
    TAP_INT(n, 35, "assertions");
    ic_buf_fini(&before);
    free(text);
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    test_rules();
    test_lists();
    test_limits();
    test_suite(argv[1]);
    return tap_done();
}
