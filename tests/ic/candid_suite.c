/* The conformance suite of Candid, and what the real didc makes of messages: candid_suite DIR,
 * where DIR is laid out as tests/data/candid (its README tells the forms). Prints each failure, and
 * last "N passed, N failed".
 *
 * The suite holds messages of 20 bytes that claim to be of gigabytes, so all runs with little
 * memory and time (but for a program with sanitizers, which need much of both).
 */
#include "ic/candid_coerce.h"
#include "ic/candid_print.h"
#include "ic/candid_text.h"
#include "tests/ic/candid_hex.h"
#include "tests/ic/vectors.h"

#include <dirent.h>
#include <errno.h>
#include <sys/resource.h>

#define PATH_MAX_LEN 1024
#define MAX_TEXT     65536
#define MAX_MEMORY   ((rlim_t)128 << 20)
#define MAX_SECONDS  60

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SANITIZER true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAS_SANITIZER true
#endif
#endif
#ifndef HAS_SANITIZER
#define HAS_SANITIZER false
#endif

static int n_passed, n_failed;
static int n_assertions; /* of the official suite */

static bool check(bool ok, const char *where, const char *what, const char *detail)
{
    if (ok) {
        n_passed++;
    } else {
        n_failed++;
        printf("FAIL %s: %s%s%s\n", where, what, *detail ? ": " : "", detail);
    }
    return ok;
}

static void die(const char *what, const char *name)
{
    printf("FAIL %s: %s\n", name, what);
    exit(2);
}

/* A whole file with a NUL behind it. */
static struct ic_buf read_file(const char *path)
{
    struct ic_buf buf = {0};
    char block[4096];
    size_t n;
    FILE *f = fopen(path, "rb");
    if (!f)
        die("cannot open", path);
    while ((n = fread(block, 1, sizeof(block), f)) > 0)
        ic_buf_append(&buf, block, n);
    fclose(f);
    ic_buf_append(&buf, "", 1);
    if (ic_buf_status(&buf) < 0)
        die("out of memory", path);
    buf.len--;
    return buf;
}

/* ---- the suite's files ---- */

struct scanner {
    const char *pos;
    const char *end;
    const char *path;
};

static bool looking_at(const struct scanner *s, const char *token)
{
    size_t len = strlen(token);
    return (size_t)(s->end - s->pos) >= len && memcmp(s->pos, token, len) == 0;
}

/* Pass over white space and comments; block comments nest. */
static void skip_space(struct scanner *s)
{
    int depth = 0;
    while (s->pos < s->end) {
        if (looking_at(s, "/*")) {
            depth++;
            s->pos += 2;
        } else if (depth && looking_at(s, "*/")) {
            depth--;
            s->pos += 2;
        } else if (!depth && looking_at(s, "//")) {
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
    skip_space(s);
    if (!looking_at(s, token))
        return false;
    s->pos += strlen(token);
    return true;
}

static void append_scalar(struct ic_buf *out, unsigned long scalar)
{
    uint8_t utf8[4];
    size_t n = scalar < 0x80 ? 1 : scalar < 0x800 ? 2 : scalar < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, scalar >>= 6)
        utf8[i] = (uint8_t)(0x80 | (scalar & 0x3f));
    utf8[0] = (uint8_t)(n == 1 ? scalar : (0xf00 >> n & 0xff) | scalar);
    ic_buf_append(out, utf8, n);
}

/* The bytes for what follows a backslash. */
static void scan_escape(struct scanner *s, struct ic_buf *out)
{
    static const char letters[] = "nrt\\\"'", meanings[] = "\n\r\t\\\"'";
    const char *letter = strchr(letters, *s->pos);
    char hex[3] = {0}, *end = hex;

    if (letter) {
        ic_buf_append(out, &meanings[letter - letters], 1);
        s->pos++;
        return;
    }
    if (looking_at(s, "u{")) {
        append_scalar(out, strtoul(s->pos + 2, &end, 16));
        if (*end != '}')
            die("bad escape", s->path);
        s->pos = end + 1;
        return;
    }
    memcpy(hex, s->pos, 2);
    uint8_t byte = (uint8_t)strtoul(hex, &end, 16);
    if (end != hex + 2)
        die("bad escape", s->path);
    ic_buf_append(out, &byte, 1);
    s->pos += 2;
}

static void scan_string(struct scanner *s, struct ic_buf *out)
{
    if (!accept(s, "\""))
        die("a string is expected", s->path);
    while (s->pos < s->end && *s->pos != '"') {
        if (*s->pos++ == '\\')
            scan_escape(s, out);
        else
            ic_buf_append(out, s->pos - 1, 1);
    }
    if (!accept(s, "\"") || ic_buf_status(out) < 0)
        die("a string does not end", s->path);
}

/* Append text up to and with a character outside of brackets (or that closes them), and a NUL
 * behind it. */
static void scan_types(struct scanner *s, char last, struct ic_buf *out)
{
    const char *start;
    int depth = 0;

    skip_space(s);
    start = s->pos;
    for (; s->pos < s->end; skip_space(s)) {
        struct ic_buf ignored = {0};
        if (*s->pos == '"') {
            scan_string(s, &ignored);
            ic_buf_fini(&ignored);
            continue;
        }
        char c = *s->pos++;
        depth += (c == '(' || c == '{') - (c == ')' || c == '}');
        if (depth == 0 && c == last) {
            ic_buf_append(out, start, (size_t)(s->pos - start));
            ic_buf_append(out, "", 1);
            if (ic_buf_status(out) < 0)
                die("out of memory", s->path);
            return;
        }
    }
    die("brackets do not close", s->path);
}

/* ---- assertions ---- */

struct input {
    bool is_message;
    struct ic_buf bytes;
    uint8_t *exact; /* the same in memory of just that size, for a sanitizer to see the end */
    struct ic_candid *values;
};

static void scan_input(struct scanner *s, struct input *in)
{
    in->is_message = accept(s, "blob");
    scan_string(s, &in->bytes);
    in->exact = malloc(in->bytes.len ? in->bytes.len : 1);
    if (!in->exact)
        die("out of memory", s->path);
    if (in->bytes.len)
        memcpy(in->exact, in->bytes.bytes, in->bytes.len);
}

static void input_fini(struct input *in)
{
    ic_candid_free(in->values);
    free(in->exact);
    ic_buf_fini(&in->bytes);
}

/* Is it accepted at these types (of the arguments of a func)? */
static bool accepts(struct input *in, const struct ic_type *func)
{
    const struct ic_type *const *types = func->as.func.args;
    size_t n = func->as.func.n_args;
    struct ic_error err = {0};
    int ret = in->is_message
                  ? ic_candid_decode_as(in->exact, in->bytes.len, types, n, NULL, &in->values, &err)
                  : ic_candid_parse((const char *)in->exact, in->bytes.len, types, n, 0,
                                    &in->values, &err);
    if (ret < 0 && (err.code == IC_OK || !err.message[0]))
        die("an error without a message", "assertion");
    return ret == 0;
}

static bool equal_lists(const struct ic_candid *a, const struct ic_candid *b)
{
    size_t n = ic_candid_count(a);
    bool equal = n == ic_candid_count(b);
    for (size_t i = 0; equal && i < n; i++)
        equal = ic_value_equal(ic_candid_arg(a, i), ic_candid_arg(b, i));
    return equal;
}

static void check_assertion(struct scanner *s, const char *definitions)
{
    static const char *const ops[] = {"!:", "==", "!=", ":"};
    struct input a = {0}, b = {0};
    struct ic_buf tuple = {0}, description = {0};
    const struct ic_type *func;
    struct ic_did *did = NULL;
    size_t op = 0;
    bool holds;

    scan_input(s, &a);
    while (op < 4 && !accept(s, ops[op]))
        op++;
    if (op == 1 || op == 2) {
        scan_input(s, &b);
        if (!accept(s, ":"))
            op = 4;
    }
    if (op == 4)
        die("no assertion", s->path);
    scan_types(s, ')', &tuple);
    func = did_func(definitions, (const char *)tuple.bytes, &did);
    if (!accept(s, ";")) {
        scan_string(s, &description);
        if (!accept(s, ";"))
            die("an assertion does not end", s->path);
    }
    ic_buf_append(&description, "", 1);
    holds = accepts(&a, func) == (op != 0);
    if (op == 1 || op == 2)
        holds = holds && accepts(&b, func) && equal_lists(a.values, b.values) == (op == 1);
    check(holds, s->path, (const char *)description.bytes, "");
    n_assertions++;
    input_fini(&a);
    input_fini(&b);
    ic_buf_fini(&tuple);
    ic_buf_fini(&description);
    ic_did_free(did);
}

/* NAME.test.did */
static void check_assertions(const char *path)
{
    struct ic_buf text = read_file(path), definitions = {0};
    struct scanner s = {(const char *)text.bytes, (const char *)text.bytes + text.len, path};

    while (skip_space(&s), s.pos < s.end) {
        if (accept(&s, "assert")) {
            check_assertion(&s, definitions.len ? (const char *)definitions.bytes : "");
        } else {
            scan_types(&s, ';', &definitions);
            definitions.len--; /* the next one goes where its NUL is */
        }
    }
    ic_buf_fini(&definitions);
    ic_buf_fini(&text);
}

/* ---- messages of didc ---- */

/* The text of values is to be what didc prints. */
static bool prints_as(const struct ic_candid *msg, const char *expected)
{
    struct ic_buf text = {0};
    size_t n = ic_candid_count(msg);
    bool same =
        ic_candid_print(n ? ic_candid_arg(msg, 0) : NULL, n, NULL, 0, MAX_TEXT, &text, NULL) == 0 &&
        ic_view_is_text(ic_view(text.bytes, text.len), expected);
    if (!same)
        printf("# got %.*s\n# not %s\n", (int)text.len, (const char *)text.bytes, expected);
    ic_buf_fini(&text);
    return same;
}

/* {"hex", "types", "text"}: what comes out at these types; null when it is refused. */
static void check_coerce(json_t *row, const char *hex, const struct ic_buf *message)
{
    const char *tuple = json_string_value(json_object_get(row, "types"));
    const char *text = json_string_value(json_object_get(row, "text"));
    struct ic_did *did = NULL;
    struct ic_candid *msg = NULL;
    const struct ic_type *func = did_func("", tuple, &did);
    int ret = ic_candid_decode_as(message->bytes, message->len, func->as.func.args,
                                  func->as.func.n_args, NULL, &msg, NULL);

    check(text ? ret == 0 && prints_as(msg, text) : ret == -EPROTO, hex, "coerces to", tuple);
    ic_candid_free(msg);
    ic_did_free(did);
}

/* Encode all arguments again. */
static bool encode(const struct ic_candid *msg, struct ic_buf *out)
{
    size_t n = ic_candid_count(msg);
    return ic_candid_encode(n ? ic_candid_arg(msg, 0) : NULL, n, out, NULL) == 0;
}

/* What is encoded decodes to the same, and encodes to the same bytes. */
static bool survives(const struct ic_candid *msg)
{
    struct ic_buf first = {0}, second = {0};
    struct ic_candid *again = NULL;
    bool same = encode(msg, &first) &&
                ic_candid_decode(first.bytes, first.len, NULL, &again, NULL) == 0 &&
                equal_lists(msg, again) && encode(again, &second) &&
                ic_view_equal(ic_view(first.bytes, first.len), ic_view(second.bytes, second.len));
    ic_candid_free(again);
    ic_buf_fini(&first);
    ic_buf_fini(&second);
    return same;
}

/* Does what is cut off make a message no message? */
static bool needs_every_byte(const struct ic_buf *message)
{
    struct ic_candid *msg = NULL;
    bool needs = true;
    for (size_t len = 0; needs && len < message->len; len++) {
        needs = ic_candid_decode(message->bytes, len, NULL, &msg, NULL) == -EPROTO;
        ic_candid_free(msg);
        msg = NULL;
    }
    return needs;
}

/* {"hex", "text"} */
static void check_render(json_t *row, const char *hex, const struct ic_buf *message)
{
    const char *text = json_string_value(json_object_get(row, "text"));
    struct ic_candid *msg = NULL;
    int ret = ic_candid_decode(message->bytes, message->len, NULL, &msg, NULL);

    check(ret == 0 && survives(msg) && needs_every_byte(message) && prints_as(msg, text), hex,
          "decodes, survives and prints", "");
    ic_candid_free(msg);
}

static void check_rows(const char *path,
                       void (*check_row)(json_t *, const char *, const struct ic_buf *))
{
    struct ic_buf lines = read_file(path);
    char *save = NULL;
    for (char *line = strtok_r((char *)lines.bytes, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        json_t *row = json_loads(line, 0, NULL);
        const char *hex = json_string_value(json_object_get(row, "hex"));
        struct ic_buf message = vector_unhex(hex);
        check_row(row, hex, &message);
        ic_buf_fini(&message);
        json_decref(row);
    }
    ic_buf_fini(&lines);
}

/* ---- all ---- */

/* Let what takes more fail: an allocation, or the program. A limit that is lower already stays. */
static void set_limit(unsigned resource, rlim_t max)
{
    struct rlimit limit;
    if (getrlimit(resource, &limit) < 0)
        die("cannot be read", "limits");
    if (limit.rlim_cur <= max)
        return;
    limit.rlim_cur = max;
    if (setrlimit(resource, &limit) < 0)
        die("cannot be set", "limits");
}

static void join(char path[PATH_MAX_LEN], const char *dir, const char *name)
{
    if (snprintf(path, PATH_MAX_LEN, "%s/%s", dir, name) >= PATH_MAX_LEN)
        die("path too long", name);
}

static bool has_suffix(const char *name, const char *suffix)
{
    size_t len = strlen(name), len_suffix = strlen(suffix);
    return len >= len_suffix && strcmp(name + len - len_suffix, suffix) == 0;
}

int main(int argc, char **argv)
{
    char path[PATH_MAX_LEN];
    struct dirent *e;
    DIR *d;

    if (argc != 2) {
        fprintf(stderr, "usage: candid_suite DIR\n");
        return 2;
    }
    if (!HAS_SANITIZER) {
        set_limit(RLIMIT_AS, MAX_MEMORY);
        set_limit(RLIMIT_CPU, MAX_SECONDS);
    }
    d = opendir(argv[1]);
    if (!d)
        die("cannot open", argv[1]);
    while ((e = readdir(d))) {
        join(path, argv[1], e->d_name);
        if (has_suffix(path, ".test.did"))
            check_assertions(path);
    }
    closedir(d);
    if (n_assertions == 0)
        die("no assertions", argv[1]);
    join(path, argv[1], "didc-coerce.jsonl");
    check_rows(path, check_coerce);
    join(path, argv[1], "didc-render.jsonl");
    check_rows(path, check_render);
    printf("%d passed, %d failed\n", n_passed, n_failed);
    return n_failed > 0 || n_passed == 0;
}
