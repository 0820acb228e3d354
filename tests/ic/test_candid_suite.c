/* The official Candid suite, as far as a decoder without expected types goes, and messages the real
 * didc made.
 *
 * An input that the suite accepts at some types is a good message and must decode at its own. An
 * input it refuses is either malformed, and must be refused here too, or good but of other types
 * than expected: those are listed below, so that a decoder that grows lax shows.
 */
#include "ic/candid.h"
#include "tests/ic/vectors.h"
#include "tests/tap.h"

#include <errno.h>

TAP_STATE;

/* Assertions `!:` whose message is good in itself: the description in the suite. */
static const char *const only_mismatch[] = {
    "variant: missing field",
    "new record field",
    "parsing (reserved, reserved) as (null, null)",
    "parsing (reserved, 5) as (null, nat)",
    "parsing record with reserved field as record with null field",
    "parsing variant with reserved field as variant with null field",
    "parsing 5 as null",
    "service: not principal",
    "principal: reject record wire type",
    "func: invalid annotation",
    "service { foo : (text) -> (nat) } !<: service { foo : (text) -> (nat) query }",
    "func () -> () !<: func (text) -> (nat) }",
};

/* ---- the suite's files ---- */

struct scanner {
    const char *pos;
    const char *end;
};

/* Pass over white space and comments; block comments nest. */
static void skip_space(struct scanner *s)
{
    int depth = 0;
    while (s->pos < s->end) {
        if (s->end - s->pos >= 2 && s->pos[0] == '/' && s->pos[1] == '*') {
            depth++;
            s->pos += 2;
        } else if (depth && s->end - s->pos >= 2 && s->pos[0] == '*' && s->pos[1] == '/') {
            depth--;
            s->pos += 2;
        } else if (!depth && s->end - s->pos >= 2 && s->pos[0] == '/' && s->pos[1] == '/') {
            while (s->pos < s->end && *s->pos != '\n')
                s->pos++;
        } else if (depth || strchr(" \t\r\n", *s->pos)) {
            s->pos++;
        } else {
            return;
        }
    }
}

static bool accept(struct scanner *s, const char *token)
{
    size_t len = strlen(token);
    skip_space(s);
    if ((size_t)(s->end - s->pos) < len || memcmp(s->pos, token, len) != 0)
        return false;
    s->pos += len;
    return true;
}

/* A string literal into bytes. Escapes other than \hh stand for a byte that no blob here holds. */
static bool scan_string(struct scanner *s, struct ic_buf *out)
{
    if (!accept(s, "\""))
        return false;
    while (s->pos < s->end && *s->pos != '"') {
        uint8_t byte = (uint8_t)*s->pos++;
        if (byte == '\\') {
            int high = vector_nibble((char)(s->pos[0] | 0x20)), low;
            low = high < 0 ? -1 : vector_nibble((char)(s->pos[1] | 0x20));
            byte = low < 0 ? (uint8_t)s->pos[0] : (uint8_t)(high << 4 | low);
            s->pos += low < 0 ? 1 : 2;
        }
        ic_buf_append(out, &byte, 1);
    }
    return accept(s, "\"");
}

/* One side of an assertion: is_blob tells whether it is a message; text is passed over. */
static bool scan_input(struct scanner *s, struct ic_buf *out, bool *is_blob)
{
    *is_blob = accept(s, "blob");
    return scan_string(s, out);
}

/* To the end of the assertion; the last string before it is the description. */
static void scan_rest(struct scanner *s, struct ic_buf *description)
{
    while (s->pos < s->end && !accept(s, ";")) {
        skip_space(s);
        if (s->pos < s->end && *s->pos == '"') {
            description->len = 0;
            scan_string(s, description);
        } else if (accept(s, "{")) {
            while (s->pos < s->end && !accept(s, "}")) /* types hold semicolons */
                s->pos++;
        } else if (s->pos < s->end) {
            s->pos++;
        }
    }
    ic_buf_append(description, "", 1);
}

static int decode(const struct ic_buf *b)
{
    struct ic_candid *msg = NULL;
    uint8_t *exact = malloc(b->len + 1); /* so that a sanitizer sees a read past the end */
    int ret;
    if (!exact)
        vector_die("out of memory", "suite");
    if (b->len)
        memcpy(exact, b->bytes, b->len);
    ret = ic_candid_decode(exact, b->len, NULL, &msg, NULL);
    ic_candid_free(msg);
    free(exact);
    return ret;
}

static bool is_listed(const char *description)
{
    for (size_t i = 0; i < sizeof(only_mismatch) / sizeof(only_mismatch[0]); i++)
        if (strcmp(only_mismatch[i], description) == 0)
            return true;
    return false;
}

struct counts {
    int good, bad, mismatch;
};

static void check(struct scanner *s, struct counts *counts)
{
    struct ic_buf first = {0}, second = {0}, description = {0};
    bool is_blob = false, second_is_blob = false, refused = false;
    const char *text;

    if (!scan_input(s, &first, &is_blob))
        vector_die("cannot read", "an assertion");
    if (accept(s, "!:"))
        refused = true;
    else if ((accept(s, "==") || accept(s, "!=")) && !scan_input(s, &second, &second_is_blob))
        vector_die("cannot read", "the other side");
    scan_rest(s, &description);
    text = (const char *)description.bytes;
    if (is_blob && refused && is_listed(text)) {
        TAP_INT(decode(&first), 0, text);
        counts->mismatch++;
    } else if (is_blob && refused) {
        TAP_INT(decode(&first), -EPROTO, text);
        counts->bad++;
    } else if (is_blob) {
        TAP_INT(decode(&first), 0, text);
        counts->good++;
    }
    if (second_is_blob)
        TAP_INT(decode(&second), 0, text);
    ic_buf_fini(&first);
    ic_buf_fini(&second);
    ic_buf_fini(&description);
}

static struct ic_buf data_file(const char *data_dir, const char *name)
{
    char path[VECTOR_PATH];
    snprintf(path, sizeof(path), "../candid/%s", name);
    return vector_file(data_dir, path);
}

static void test_suite(const char *data_dir)
{
    static const char *const files[] = {"prim.test.did",      "construct.test.did",
                                        "reference.test.did", "subtypes.test.did",
                                        "overshoot.test.did", "spacebomb.test.did"};
    struct counts counts = {0};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        struct ic_buf b = data_file(data_dir, files[i]);
        struct scanner s = {(const char *)b.bytes, (const char *)b.bytes + b.len};
        while (skip_space(&s), s.pos < s.end) {
            struct ic_buf ignored = {0};
            if (accept(&s, "assert"))
                check(&s, &counts);
            else
                scan_rest(&s, &ignored);
            ic_buf_fini(&ignored);
        }
        ic_buf_fini(&b);
    }
    TAP_INT(counts.mismatch, sizeof(only_mismatch) / sizeof(only_mismatch[0]),
            "messages of other types than expected");
    TAP_OK(counts.good > 150 && counts.bad > 90, "the whole suite was read");
}

/* ---- messages of didc ---- */

/* What comes out goes in again and comes out the same. */
static void test_round_trip(const struct ic_buf *message, const char *hex)
{
    struct ic_candid *msg = NULL, *again = NULL;
    struct ic_buf first = {0}, second = {0};
    struct ic_value args[16];
    size_t n;

    TAP_INT(ic_candid_decode(message->bytes, message->len, NULL, &msg, NULL), 0, hex);
    n = ic_candid_count(msg);
    for (size_t i = 0; i < n && i < 16; i++)
        args[i] = *ic_candid_arg(msg, i);
    TAP_INT(ic_candid_encode(args, n, &first, NULL), 0, "encodes");
    TAP_INT(ic_candid_decode(first.bytes, first.len, NULL, &again, NULL), 0, "decodes again");
    TAP_INT((int64_t)ic_candid_count(again), (int64_t)n, "to as many arguments");
    for (size_t i = 0; i < n && i < 16; i++)
        args[i] = *ic_candid_arg(again, i);
    TAP_INT(ic_candid_encode(args, n, &second, NULL), 0, "encodes again");
    TAP_OK(ic_view_equal(ic_view(first.bytes, first.len), ic_view(second.bytes, second.len)),
           "to the same bytes");
    ic_candid_free(msg);
    ic_candid_free(again);
    ic_buf_fini(&first);
    ic_buf_fini(&second);
}

/* No prefix of a message is a message. */
static size_t count_prefixes(const struct ic_buf *message)
{
    size_t n = 0;
    for (size_t len = 0; len < message->len; len++) {
        struct ic_buf prefix = {.bytes = message->bytes, .len = len};
        n += decode(&prefix) != -EPROTO;
    }
    return n;
}

static void test_didc(const char *data_dir)
{
    char path[VECTOR_PATH], line[16384];
    int n = 0;
    FILE *f;

    vector_path(data_dir, "../candid/didc-render.jsonl", path);
    f = fopen(path, "r");
    if (!f)
        vector_die("cannot open", path);
    while (fgets(line, sizeof(line), f)) {
        json_t *row = json_loads(line, 0, NULL);
        struct ic_buf message = vector_unhex(vector_text(row, "hex"));
        test_round_trip(&message, vector_text(row, "hex"));
        TAP_INT((int64_t)count_prefixes(&message), 0, "no prefix is a message");
        ic_buf_fini(&message);
        json_decref(row);
        n++;
    }
    fclose(f);
    TAP_INT(n, 120, "messages of didc");
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 1;
    test_suite(argv[1]);
    test_didc(argv[1]);
    return tap_done();
}
