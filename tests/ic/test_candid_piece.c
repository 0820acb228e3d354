/* Arguments of a restore, made of what a backup gave: laws over random messages, the forms, and
 * what is refused. */
#include "ic/candid_coerce.h"
#include "ic/candid_piece.h"
#include "ic/candid_relation.h"
#include "ic/did.h"
#include "tests/ic/candid_printed.h"
#include "tests/support/random_candid.h"
#include "tests/tap.h"

#include <errno.h>

TAP_STATE;

#define N_RANDOM 2000

static uint32_t hash(const char *name)
{
    return ic_candid_hash(name, strlen(name));
}

static struct ic_view view(const struct ic_buf *buf)
{
    return ic_view(buf->bytes, buf->len);
}

/* ---- laws ---- */

static const struct ic_piece_form list = {.has_items = true};

/* A vec, or a record with one in it. */
static const struct ic_type *chunk_type(struct random_candid *r)
{
    const struct ic_type *types[7];
    size_t n = 1 + random_candid_below(r, 6);
    for (size_t i = 0; i <= n; i++) {
        struct ic_type *vec = random_candid_alloc(r, 1, sizeof(*vec));
        types[i] = random_candid_type(r, 6);
        if (i == 0 && types[i]->kind == IC_TYPE_NAT8)
            types[i] = &ic_type_text;
        *vec = (struct ic_type){.kind = IC_TYPE_VEC, .as.elem = types[i]};
        if (i == 0 || random_candid_below(r, 3) == 0)
            types[i] = vec;
    }
    return random_candid_below(r, 5) == 0 ? types[0] : random_candid_record(r, types, n + 1);
}

/* The pieces one after the other, merged; whether each is as long as it may be and no longer. */
static const char *check_pieces(struct ic_pieces *pieces, struct random_candid *r, size_t max_len,
                                struct ic_buf *merged)
{
    uint64_t count = ic_pieces_count(pieces), at = 0, n = 0;
    const char *wrong = NULL;
    do {
        struct ic_buf piece = {0}, again = {0}, one_more = {0}, next = {0};
        uint64_t max_n = 1 + random_candid_below(r, 9), n_again = 0, n_more = 0, ignored;
        n = 0;
        if (ic_pieces_write(pieces, at, max_n, max_len, &piece, &n, NULL) < 0)
            wrong = "it is written";
        else if (n > max_n || (n == 0 && count > 0) || at + n > count)
            wrong = "it has so many items";
        else if (n > 1 && piece.len > max_len)
            wrong = "it is not longer than allowed";
        else if (ic_pieces_write(pieces, at, n + 1, SIZE_MAX, &one_more, &n_more, NULL) < 0)
            wrong = "one with an item more is written";
        else if (n < max_n && at + n < count && one_more.len + 70 < max_len)
            wrong = "it has as many items as fit";
        if (!wrong && random_candid_below(r, 4) == 0 && count > 0 &&
            ic_pieces_write(pieces, random_candid_below(r, count), 3, SIZE_MAX, &next, &ignored,
                            NULL) < 0)
            wrong = "any other is written in between";
        if (!wrong &&
            (ic_pieces_write(pieces, at, n ? n : 1, SIZE_MAX, &again, &n_again, NULL) < 0 ||
             !ic_view_equal(view(&piece), view(&again))))
            wrong = "it is the same again";
        ic_buf_fini(&next);
        const struct ic_view two[] = {view(merged), view(&piece)};
        if (!wrong && merged->len == 0) {
            ic_buf_append(merged, piece.bytes, piece.len);
        } else if (!wrong) {
            if (ic_candid_merge(two, 2, NULL, NULL, &next, NULL) < 0)
                wrong = "pieces merge";
            ic_buf_fini(merged);
            *merged = next;
        }
        at += n;
        ic_buf_fini(&piece);
        ic_buf_fini(&again);
        ic_buf_fini(&one_more);
    } while (!wrong && at < count && n > 0);
    return wrong;
}

static void test_law(void)
{
    unsigned n_checked = 0, n_cut = 0, n_wrong = 0;
    for (uint64_t seed = 0; seed < N_RANDOM; seed++) {
        struct random_candid r;
        struct ic_value content, opt;
        struct ic_buf msg = {0}, want = {0}, merged = {0};
        struct ic_pieces *pieces = NULL;
        const char *wrong = NULL;
        random_candid_init(&r, seed);
        r.with_futures = true;
        const struct ic_type *type = chunk_type(&r);
        const struct ic_type opt_type = {.kind = IC_TYPE_OPT, .as.elem = type};
        if (random_candid_value(&r, type, seed % 10 ? 12 : 300, &content) &&
            ic_candid_encode(&content, 1, &want, NULL) == 0) {
            opt = (struct ic_value){.type = &opt_type, .as.opt = &content};
            bool ok = ic_candid_encode(seed % 2 ? &opt : &content, 1, &msg, NULL) == 0;
            if (!ok || ic_pieces_open(&pieces, msg.bytes, msg.len, &list, NULL, NULL, NULL) < 0)
                wrong = "it opens";
            else
                wrong = check_pieces(pieces, &r, 1 + random_candid_below(&r, 2 * msg.len), &merged);
            if (!wrong && !ic_view_equal(view(&merged), view(&want)))
                wrong = "merged they are what is in the opt";
            n_checked++;
            n_cut += !wrong && ic_pieces_count(pieces) > 10;
        }
        if (wrong)
            printf("# seed %" PRIu64 ": not so: %s\n", seed, wrong);
        n_wrong += wrong != NULL;
        ic_pieces_close(pieces);
        ic_buf_fini(&msg);
        ic_buf_fini(&want);
        ic_buf_fini(&merged);
        random_candid_fini(&r);
    }
    TAP_INT(n_wrong, 0, "pieces are messages that merge to the whole, for random ones");
    TAP_OK(n_checked > N_RANDOM / 2 && n_cut > 50, "messages of many kinds");
}

/* What cannot be cut, too: any value is its own argument, wrapped as often as asked for. */
static void test_whole_law(void)
{
    unsigned n_wrong = 0, n_checked = 0;
    for (uint64_t seed = 0; seed < N_RANDOM; seed++) {
        struct random_candid r;
        struct ic_value content, opts[3];
        struct ic_buf msg = {0}, out = {0}, want = {0};
        struct ic_pieces *pieces = NULL;
        const struct ic_piece_form form = {.n_opts = (unsigned)(seed % 3)};
        uint64_t n = 0;
        random_candid_init(&r, seed);
        r.with_futures = true;
        const struct ic_type *type = random_candid_type(&r, 10);
        const struct ic_type opt = {.kind = IC_TYPE_OPT, .as.elem = type};
        const struct ic_type opt_opt = {.kind = IC_TYPE_OPT, .as.elem = &opt};
        if (type->kind != IC_TYPE_OPT && random_candid_value(&r, type, 20, &content)) {
            opts[0] = content;
            opts[1] = (struct ic_value){.type = &opt, .as.opt = &opts[0]};
            opts[2] = (struct ic_value){.type = &opt_opt, .as.opt = &opts[1]};
            bool ok = ic_candid_encode(&opts[seed / 3 % 3], 1, &msg, NULL) == 0 &&
                      ic_candid_encode(&opts[form.n_opts], 1, &want, NULL) == 0 &&
                      ic_pieces_open(&pieces, msg.bytes, msg.len, &form, NULL, NULL, NULL) == 0 &&
                      ic_pieces_count(pieces) == 1 &&
                      ic_pieces_write(pieces, 0, 1, 0, &out, &n, NULL) == 0 && n == 1;
            n_wrong += !ok || !ic_view_equal(view(&out), view(&want));
            n_checked++;
        }
        ic_pieces_close(pieces);
        ic_buf_fini(&msg);
        ic_buf_fini(&out);
        ic_buf_fini(&want);
        random_candid_fini(&r);
    }
    TAP_INT(n_wrong, 0, "any value as an argument, in as many opts");
    TAP_OK(n_checked > N_RANDOM / 4, "values of many types");
}

/* ---- forms ---- */

static const char did_text[] =
    "type Content = record { id : nat64; body : text };\n"
    "type Poll = record { id : nat64; options : vec text };\n"
    "type Chunk = record { chunk : vec Content; chunk_polls : vec Poll; total_length : nat64 };\n"
    "type Backup = record { content : opt vec Content; polls : opt vec Poll; users : opt vec text; "
    "limits : opt record { posts : nat32 } };\n"
    "service : {\n"
    "  chunk : (opt Chunk) -> ();\n"
    "  backup : (Backup) -> ();\n"
    "  list : (vec Content) -> ();\n"
    "  deep : (opt record { all : opt opt Chunk }) -> ();\n"
    "  choice : (opt variant { v1 : record { m : vec nat } }) -> ();\n"
    "}";

static struct ic_did *did;

static const struct ic_type *arg_type(const char *method)
{
    return ic_did_find_method(did, method)->type->as.func.args[0];
}

/* A message of the type that a method takes. */
static struct ic_buf message(const char *method, const char *text)
{
    struct ic_candid *values = NULL;
    struct ic_error err = {0};
    const struct ic_type *type = arg_type(method);
    if (ic_candid_parse(text, strlen(text), &type, 1, IC_TEXT_REFUSE_UNKNOWN, &values, &err) < 0)
        candid_die(text, err.message);
    struct ic_buf out = encoded(values);
    ic_candid_free(values);
    return out;
}

static const char chunk_text[] =
    "(opt record { chunk = vec { record { id = 7; body = \"a\" }; record { id = 8; body = \"b\" };"
    " record { id = 9; body = \"c\" } }; chunk_polls = vec { record { id = 8; options = vec { "
    "\"y\"; \"n\" } } }; total_length = 12 })";

/* The piece of n items from start on is taken by the method without loss, and reads as the text
 * does, at the method's type. */
static void expect_piece(const struct ic_piece_form *form, const struct ic_chunk_rule *rule,
                         const char *method, uint64_t start, uint64_t n, const char *text)
{
    struct ic_buf msg = message("chunk", chunk_text), out = {0}, want = message(method, text);
    struct ic_pieces *pieces = NULL;
    struct ic_error err = {0};
    struct ic_candid *got = NULL, *expected = NULL;
    const struct ic_type *type = arg_type(method);
    bool is_taken = false;
    uint64_t n_written = 0;
    int ret = ic_pieces_open(&pieces, msg.bytes, msg.len, form, rule, NULL, &err);
    TAP_INT(ret, 0, ret < 0 ? err.message : text);
    if (ret == 0) {
        TAP_OK(ic_type_relates(ic_pieces_type(pieces), type, IC_TYPE_LOSSLESS, &is_taken, NULL) ==
                       0 &&
                   is_taken,
               "nothing is lost");
        TAP_INT(ic_pieces_write(pieces, start, n, SIZE_MAX, &out, &n_written, &err), 0, "written");
        TAP_INT((int64_t)n_written, (int64_t)n, "so many items");
        ret = ic_candid_decode_as(out.bytes, out.len, &type, 1, NULL, &got, &err);
        TAP_INT(ret, 0, ret < 0 ? err.message : "it decodes");
        TAP_INT(ic_candid_decode_as(want.bytes, want.len, &type, 1, NULL, &expected, NULL), 0,
                "what it should be");
        TAP_OK(got && expected && ic_value_equal(ic_candid_arg(got, 0), ic_candid_arg(expected, 0)),
               "with these values");
    }
    ic_candid_free(got);
    ic_candid_free(expected);
    ic_pieces_close(pieces);
    ic_buf_fini(&msg);
    ic_buf_fini(&out);
    ic_buf_fini(&want);
}

static void sort_two(struct ic_piece_field *fields)
{
    if (fields[0].id > fields[1].id) {
        struct ic_piece_field first = fields[0];
        fields[0] = fields[1];
        fields[1] = first;
    }
}

static void test_forms(void)
{
    struct ic_piece_field wrap[] = {{hash("content"), false, hash("chunk"), 1},
                                    {hash("polls"), false, hash("chunk_polls"), 1}};
    const struct ic_piece_field all[] = {{hash("all"), true, 0, 2}};
    const struct ic_piece_field missing[] = {{hash("limits"), false, hash("nothing"), 1}};
    sort_two(wrap);
    const struct ic_piece_form backup = {.has_items = true, .fields = wrap, .n_fields = 2};
    const struct ic_piece_form part = {.has_items = true, .is_part = true, .part = hash("chunk")};
    const struct ic_piece_form deep = {
        .has_items = true, .n_opts = 1, .fields = all, .n_fields = 1};
    const struct ic_piece_form none = {.fields = missing, .n_fields = 1};

    expect_piece(&list, NULL, "chunk", 0, 3, chunk_text);
    expect_piece(&list, NULL, "chunk", 1, 2,
                 "(opt record { chunk = vec { record { id = 8; body = \"b\" }; record { id = 9; "
                 "body = \"c\" } }; chunk_polls = vec {}; total_length = 12 })");
    expect_piece(&backup, NULL, "backup", 0, 2,
                 "(record { content = opt vec { record { id = 7; body = \"a\" }; record { id = 8; "
                 "body = \"b\" } }; polls = opt vec { record { id = 8; options = vec { \"y\"; "
                 "\"n\" } } } })");
    expect_piece(&backup, NULL, "backup", 2, 1,
                 "(record { content = opt vec { record { id = 9; body = \"c\" } }; polls = opt vec "
                 "{} })");
    expect_piece(&part, NULL, "list", 1, 1, "(vec { record { id = 8; body = \"b\" } })");
    expect_piece(&deep, NULL, "deep", 2, 1,
                 "(opt record { all = opt opt record { chunk = vec { record { id = 9; body = "
                 "\"c\" } }; chunk_polls = vec {}; total_length = 12 } })");
    expect_piece(&none, NULL, "backup", 0, 1, "(record {})");
}

/* Only what is sent counts: a longer list that is not makes no empty pieces. */
static void test_count_of_sent(void)
{
    struct ic_buf msg = message("chunk", chunk_text);
    const struct ic_piece_form polls = {
        .has_items = true, .is_part = true, .part = hash("chunk_polls")};
    struct ic_pieces *pieces = NULL;
    TAP_INT(ic_pieces_open(&pieces, msg.bytes, msg.len, &polls, NULL, NULL, NULL), 0, "polls");
    TAP_INT((int64_t)ic_pieces_count(pieces), 1, "there is one, of three contents");
    ic_pieces_close(pieces);
    ic_buf_fini(&msg);
}

/* ---- refusals ---- */

static void refuse(const void *bytes, size_t len, const struct ic_piece_form *form, int ret,
                   enum ic_errc code, const char *words)
{
    struct ic_pieces *pieces = NULL;
    struct ic_error err = {0};
    TAP_INT(ic_pieces_open(&pieces, bytes, len, form, NULL, NULL, &err), ret, words);
    TAP_INT(err.code, code, err.message);
    TAP_OK(pieces == NULL, "there are none");
}

static void test_refusals(void)
{
    static const struct ic_piece_form whole = {.has_items = false};
    const struct ic_piece_form no_part = {.is_part = true, .part = hash("nothing")};
    struct ic_buf none = message("chunk", "(null)"), msg = message("chunk", chunk_text);
    struct ic_buf variant = message("choice", "(opt variant { v1 = record { m = vec { 1 } } })");
    refuse(none.bytes, none.len, &list, -ENOENT, IC_E_NOT_FOUND, "null");
    refuse(none.bytes, none.len, &whole, -ENOENT, IC_E_NOT_FOUND, "null that is not cut");
    refuse(variant.bytes, variant.len, &list, -EPROTO, IC_E_WRONG_TYPE, "no list");
    refuse(msg.bytes, msg.len, &no_part, -EPROTO, IC_E_WRONG_TYPE, "no such field");
    refuse("", 0, &list, -EPROTO, IC_E_MALFORMED, "nothing");
    refuse("DIDL\0\2\x7d\x7d\1\2", 10, &whole, -EPROTO, IC_E_WRONG_TYPE, "two values");
    refuse("DIDL\0\0", 6, &whole, -EPROTO, IC_E_WRONG_TYPE, "no value");
    unsigned n_wrong = 0;
    for (size_t len = 0; len < msg.len; len++) {
        struct ic_pieces *pieces = NULL;
        n_wrong += ic_pieces_open(&pieces, msg.bytes, len, &list, NULL, NULL, NULL) != -EPROTO;
    }
    TAP_INT(n_wrong, 0, "a message cut short anywhere");
    ic_buf_append(&msg, "", 1);
    refuse(msg.bytes, msg.len, &list, -EPROTO, IC_E_MALFORMED, "a byte too many");
    ic_buf_fini(&none);
    ic_buf_fini(&msg);
    ic_buf_fini(&variant);
}

int main(void)
{
    struct ic_error err = {0};
    if (ic_did_parse(did_text, strlen(did_text), NULL, &did, &err) < 0)
        candid_die("no description", err.message);
    test_law();
    test_whole_law();
    test_forms();
    test_count_of_sent();
    test_refusals();
    ic_did_free(did);
    return tap_done();
}
