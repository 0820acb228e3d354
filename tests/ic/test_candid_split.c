/* Chunks of a backup, split and merged: the rules for fields, what is refused, limits, damage. */
#include "ic/candid_split.h"
#include "tests/ic/chunk_message.h"
#include "tests/tap.h"

#include <errno.h>
#include <stdlib.h>

TAP_STATE;

static void test_unwrap(void)
{
    static const struct {
        const char *hex, *want; /* NULL: refused */
        int ret;
        enum ic_errc code;
        const char *what;
    } rows[] = {
        {"4449444c 01 6e7d 02 00 71 01 05 0161", "4449444c 01 6e7d 02 7d 71 05 0161", 0, IC_OK,
         "an opt nat and a text"},
        {"4449444c 02 6e01 6d7b 01 00 01 020102", "4449444c 02 6e01 6d7b 01 01 020102", 0, IC_OK,
         "an opt blob"},
        {"4449444c 01 6e68 01 00 01 0100", "4449444c 01 6e68 01 68 0100", 0, IC_OK,
         "an opt principal"},
        {"4449444c 01 6e00 01 00 010100", "4449444c 01 6e00 01 00 0100", 0, IC_OK,
         "an opt of itself"},
        {"4449444c 01 6e7d 01 00 01 8500", "4449444c 01 6e7d 01 7d 8500", 0, IC_OK,
         "what is padded stays so"},
        {"4449444c 01 6e7d 82 00 80 00 71 01 05 0161", "4449444c 01 6e7d 82 00 7d 71 05 0161", 0,
         IC_OK, "also in the header"},
        {"4449444c 01 6e7d 01 00 00", NULL, -ENOENT, IC_E_NOT_FOUND, "none"},
        {"4449444c 00 01 7f", NULL, -ENOENT, IC_E_NOT_FOUND, "a null"},
        {"4449444c 00 01 70", NULL, -ENOENT, IC_E_NOT_FOUND, "a reserved"},
        {"4449444c 01 6e7d 02 00 71 00 0161", NULL, -ENOENT, IC_E_NOT_FOUND, "none and a text"},
        {"4449444c 00 01 7d 05", NULL, -EPROTO, IC_E_WRONG_TYPE, "a nat"},
        {"4449444c 00 00", NULL, -EPROTO, IC_E_WRONG_TYPE, "no argument"},
        {"4449444c 01 6e7d 01 00 02", NULL, -EPROTO, IC_E_MALFORMED, "a tag of 2"},
        {"4449444c 01 6e7d 01 00 01 05 00", NULL, -EPROTO, IC_E_MALFORMED, "a byte too many"},
        {"4449444c 01 6e7d 01 00 00 00", NULL, -EPROTO, IC_E_MALFORMED, "one after a none"},
        {"4449444c 01 6e7e 01 00 01 02", NULL, -EPROTO, IC_E_MALFORMED, "a bool of 2"},
        {"4449444c 01 6e7d 02 00 71 01 05 01ff", NULL, -EPROTO, IC_E_MALFORMED,
         "another argument that is not UTF-8"},
        {"4449444c 00 01 7f 00", NULL, -EPROTO, IC_E_MALFORMED, "a byte after a null"},
        {"", NULL, -EPROTO, IC_E_MALFORMED, "nothing"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ic_buf msg = from_hex(rows[i].hex), out = {0};
        struct ic_buf want = from_hex(rows[i].want ? rows[i].want : "");
        struct ic_error err = {0};
        TAP_INT(ic_candid_unwrap(msg.bytes, msg.len, NULL, &out, &err), rows[i].ret, rows[i].what);
        if (rows[i].want)
            TAP_OK(is_same(&out, &want), "without the opt");
        else
            TAP_INT(err.code, rows[i].code, "told by its code");
        ic_buf_fini(&msg);
        ic_buf_fini(&out);
        ic_buf_fini(&want);
    }
}

/* record { 1 : vec text; 2 : vec nat8; 3 : nat; 4 : vec nat } and a bool */
#define RECORD "4449444c 04 6c04 01 01 02 02 03 7d 04 03  6d71  6d7b  6d7d  02 00 7e "
#define TEXTS  "03 0161 0162 0163 "
#define BLOB   "04 01020304 "
#define NATS   "02 07 8001 "

static const uint32_t id_nat[] = {3}, id_texts[] = {1}, id_absent[] = {1, 9};
static const uint32_t id_texts_blob[] = {1, 2};
static const struct ic_chunk_rule texts_only = {.items = id_texts, .n_items = 1};
static const struct ic_chunk_rule blob_too = {.items = id_texts_blob, .n_items = 2};
static const struct ic_chunk_rule nat_latest = {.latest = id_nat, .n_latest = 1};

static void test_split(void)
{
    static const char record[] = RECORD TEXTS BLOB "09 " NATS "01";
    static const struct {
        const char *msg;
        const struct ic_chunk_rule *rule;
        uint64_t k;
        int64_t n;
        const char *first, *second;
        const char *what;
    } rows[] = {
        {record, NULL, 1, 3, RECORD "01 0161" BLOB "09 01 07 01",
         RECORD "02 0162 0163" BLOB "09 01 8001 01", "after the first row; the blob is shared"},
        {record, NULL, 2, 3, RECORD "02 0161 0162" BLOB "09" NATS "01",
         RECORD "01 0163" BLOB "09 00 01", "the shorter list goes with the first rows"},
        {record, NULL, 0, 3, RECORD "00" BLOB "09 00 01", record, "before all"},
        {record, NULL, 3, 3, record, RECORD "00" BLOB "09 00 01", "after all"},
        {record, &texts_only, 2, 3, RECORD "02 0161 0162" BLOB "09" NATS "01",
         RECORD "01 0163" BLOB "09" NATS "01", "one list only: the other is shared"},
        {record, &blob_too, 1, 4, RECORD "01 0161 01 01 09" NATS "01",
         RECORD "02 0162 0163 03 020304 09" NATS "01", "a blob that holds items"},
        {"4449444c 01 6d7b 01 00" BLOB, NULL, 3, 4, "4449444c 01 6d7b 01 00 03 010203",
         "4449444c 01 6d7b 01 00 01 04", "a blob by itself"},
        {"4449444c 01 6d7f 01 00 e807", NULL, 900, 1000, "4449444c 01 6d7f 01 00 8407",
         "4449444c 01 6d7f 01 00 64", "a thousand nulls"},
        {"4449444c 02 6e01 6d7d 01 00 01" NATS, NULL, 1, 2, "4449444c 02 6e01 6d7d 01 00 01 01 07",
         "4449444c 02 6e01 6d7d 01 00 01 01 8001", "a vec in an opt"},
        {"4449444c 02 6e01 6d7d 01 00 00", NULL, 1, 0, "4449444c 02 6e01 6d7d 01 00 00",
         "4449444c 02 6e01 6d7d 01 00 00", "none"},
        {"4449444c 01 6d00 01 00 02 00 0100", NULL, 1, 2, "4449444c 01 6d00 01 00 01 00",
         "4449444c 01 6d00 01 00 01 0100", "a vec of itself"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ic_buf msg = from_hex(rows[i].msg), first = {0}, second = {0}, merged = {0};
        struct ic_buf want_first = from_hex(rows[i].first), want_second = from_hex(rows[i].second);
        TAP_INT(items(&msg, rows[i].rule), rows[i].n, rows[i].what);
        TAP_INT(ic_candid_split(msg.bytes, msg.len, rows[i].k, rows[i].rule, NULL, &first, &second,
                                NULL),
                0, "it splits");
        TAP_OK(is_same(&first, &want_first), "the first part");
        TAP_OK(is_same(&second, &want_second), "the second part");
        const struct ic_view halves[] = {view(&first), view(&second)};
        TAP_INT(ic_candid_merge(halves, 2, rows[i].rule, NULL, &merged, NULL), 0, "they merge");
        TAP_OK(is_same(&merged, &msg), "to the message");
        ic_buf_fini(&msg);
        ic_buf_fini(&first);
        ic_buf_fini(&second);
        ic_buf_fini(&merged);
        ic_buf_fini(&want_first);
        ic_buf_fini(&want_second);
    }
}

/* Lengths that are padded come out shortest; the rest stays as it is. */
static void test_padding(void)
{
    struct ic_buf msg = from_hex("4449444c 01 6d7d 81 00 80 00 8200 8500 07");
    struct ic_buf want = from_hex("4449444c 01 6d7d 81 00 80 00 02 8500 07");
    struct ic_buf first = {0}, second = {0}, merged = {0};
    TAP_INT(ic_candid_split(msg.bytes, msg.len, 1, NULL, NULL, &first, &second, NULL), 0,
            "a padded message splits");
    const struct ic_view halves[] = {view(&first), view(&second)};
    TAP_INT(ic_candid_merge(halves, 2, NULL, NULL, &merged, NULL), 0, "and merges");
    TAP_OK(is_same(&merged, &want), "with the length of the vec in its shortest form");
    ic_buf_fini(&msg);
    ic_buf_fini(&want);
    ic_buf_fini(&first);
    ic_buf_fini(&second);
    ic_buf_fini(&merged);
}

static void test_wrong_shapes(void)
{
    static const struct ic_chunk_rule no_vec = {.items = id_nat, .n_items = 1};
    static const struct ic_chunk_rule absent = {.items = id_absent, .n_items = 2};
    static const uint32_t vecs[] = {1, 4};
    static const struct ic_chunk_rule all_latest = {.latest = vecs, .n_latest = 2};
    static const struct {
        const char *hex;
        const struct ic_chunk_rule *rule;
        enum ic_errc code;
        const char *what;
    } rows[] = {
        {"4449444c 00 00", NULL, IC_E_WRONG_TYPE, "no argument"},
        {"4449444c 00 01 7d 05", NULL, IC_E_WRONG_TYPE, "a nat"},
        {"4449444c 01 6e7d 01 00 00", NULL, IC_E_WRONG_TYPE, "no nat"},
        {"4449444c 01 6e00 01 00 00", NULL, IC_E_WRONG_TYPE, "opts that never end"},
        {"4449444c 01 6c00 01 00", NULL, IC_E_WRONG_TYPE, "an empty record"},
        {"4449444c 02 6c01 01 01 6d7b 01 00 01 05", NULL, IC_E_WRONG_TYPE, "a record of a blob"},
        {RECORD TEXTS BLOB "09" NATS "01", &no_vec, IC_E_WRONG_TYPE, "items in a nat"},
        {RECORD TEXTS BLOB "09" NATS "01", &absent, IC_E_WRONG_TYPE, "items in no field"},
        {RECORD TEXTS BLOB "09" NATS "01", &all_latest, IC_E_WRONG_TYPE, "all vecs are latest"},
        {RECORD TEXTS BLOB "09" NATS "02", NULL, IC_E_MALFORMED, "a bool of 2 in what is shared"},
        {RECORD TEXTS BLOB "09" NATS, NULL, IC_E_MALFORMED, "the bool is missing"},
        {RECORD TEXTS BLOB "09" NATS "01 00", NULL, IC_E_MALFORMED, "a byte too many"},
        {RECORD "03 0161 02c328" BLOB "09" NATS "01", NULL, IC_E_MALFORMED, "an item not UTF-8"},
        {RECORD "ffffffff0f", NULL, IC_E_MALFORMED, "2^32 items"},
        {"4449444c 01 6d7f 01 00 8094ebdc03", NULL, IC_E_MALFORMED, "a thousand million nulls"},
        {"4449444c 01 6d6f 01 00 01", NULL, IC_E_MALFORMED, "a value of type empty"},
        {"4449", NULL, IC_E_MALFORMED, "half a magic"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ic_buf msg = from_hex(rows[i].hex), first = {0}, second = {0}, merged = {0};
        struct ic_view one = view(&msg);
        struct ic_error err = {0};
        uint64_t n = 77;
        TAP_OK(ic_candid_items(msg.bytes, msg.len, rows[i].rule, NULL, &n, &err) == -EPROTO &&
                   err.code == rows[i].code && n == 77,
               rows[i].what);
        TAP_INT(ic_candid_split(msg.bytes, msg.len, 1, rows[i].rule, NULL, &first, &second, NULL),
                -EPROTO, "does not split");
        TAP_INT(ic_candid_merge(&one, 1, rows[i].rule, NULL, &merged, NULL), -EPROTO,
                "does not merge");
        ic_buf_fini(&msg);
        ic_buf_fini(&first);
        ic_buf_fini(&second);
        ic_buf_fini(&merged);
    }
}

/* What may be merged, and what it gives. */
static void test_merge(void)
{
    static const struct {
        const char *a, *b;
        const struct ic_chunk_rule *rule;
        const char *want; /* NULL: -ESTALE */
        const char *what;
    } rows[] = {
        {RECORD "01 0161 00 09 00 01", RECORD "01 0162 00 09 01 05 01", NULL,
         RECORD "02 0161 0162 00 09 01 05 01", "two records"},
        {RECORD "01 0161 00 09 00 01", RECORD "01 0162 00 0a 00 01", NULL, NULL,
         "a field that differs"},
        {RECORD "01 0161 00 09 00 01", RECORD "01 0162 00 0a 00 01", &nat_latest,
         RECORD "02 0161 0162 00 0a 00 01", "a field that may differ: the last one's is taken"},
        {RECORD "01 0161 00 09 00 01", RECORD "01 0162 01 55 09 00 01", NULL, NULL,
         "a blob that differs"},
        {RECORD "01 0161 00 09 00 01", RECORD "01 0162 00 09 00 00", NULL, NULL,
         "an argument that differs"},
        {RECORD "01 0161 00 09 00 01", RECORD "01 0162 00 09 01 07 01", &texts_only, NULL,
         "a vec that holds no items and differs"},
        {"4449444c 01 6d7d 01 00 01 05", "4449444c 01 6d7c 01 00 01 05", NULL, NULL,
         "a vec nat and a vec int"},
        {"4449444c 01 6d7d 01 00 01 05", "4449444c 01 6d7d 02 00 7f 01 05", NULL, NULL,
         "another number of arguments"},
        {"4449444c 01 6d7d 01 00 01 05", "4449444c 02 6e01 6d7d 01 00 01 01 05", NULL, NULL,
         "with and without opt"},
        {"4449444c 02 6e01 6d7d 01 00 01 01 05", "4449444c 02 6e01 6d7d 01 00 00", NULL, NULL,
         "some and none"},
        {"4449444c 01 6d7d 01 00 01 05", "4449444c 03 6d7d 6d7d 6d7c 01 01 02 06 8107", NULL,
         "4449444c 01 6d7d 01 00 03 05 06 8107", "tables that differ in what is not used"},
        {"4449444c 02 6d01 6700 01 00 01 0100aa", "4449444c 02 6d01 6700 01 00 01 0000", NULL,
         "4449444c 02 6d01 6700 01 00 02 0100aa 0000", "types of a newer Candid, the same table"},
        {"4449444c 02 6d01 6700 01 00 01 0100aa", "4449444c 02 6700 6d00 01 01 01 0000", NULL, NULL,
         "and another table: nothing is known of them"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ic_buf a = from_hex(rows[i].a), b = from_hex(rows[i].b), out = {0};
        struct ic_buf want = from_hex(rows[i].want ? rows[i].want : "");
        const struct ic_view both[] = {view(&a), view(&b)};
        struct ic_error err = {0};
        TAP_INT(ic_candid_merge(both, 2, rows[i].rule, NULL, &out, &err),
                rows[i].want ? 0 : -ESTALE, rows[i].what);
        TAP_OK(rows[i].want ? is_same(&out, &want) : err.code == IC_E_CHANGED, "as it should");
        ic_buf_fini(&a);
        ic_buf_fini(&b);
        ic_buf_fini(&out);
        ic_buf_fini(&want);
    }
    struct ic_buf nothing = {0};
    TAP_INT(ic_candid_merge(NULL, 0, NULL, NULL, &nothing, NULL), -EINVAL, "no chunks at all");
}

/* Equal types in another order, with an entry twice and one that nothing refers to. */
static void test_merge_of_tables(void)
{
#define OTHER "4449444c 06 6d7d 6d7b 6d71 6c04 01 02 02 01 03 7d 04 05 6e7e 6d7d 02 03 7e "
    struct ic_buf a = from_hex(RECORD "01 0161 00 09 00 01");
    struct ic_buf b = from_hex(OTHER "01 0162 00 09 01 05 01");
    struct ic_buf want_ab = from_hex(RECORD "02 0161 0162 00 09 01 05 01");
    struct ic_buf want_ba = from_hex(OTHER "02 0162 0161 00 09 01 05 01");
    struct ic_buf ab = {0}, ba = {0};
    const struct ic_view forth[] = {view(&a), view(&b)}, back[] = {view(&b), view(&a)};
    TAP_INT(ic_candid_merge(forth, 2, NULL, NULL, &ab, NULL), 0, "tables in another order merge");
    TAP_OK(is_same(&ab, &want_ab), "the first one's table is kept");
    TAP_INT(ic_candid_merge(back, 2, NULL, NULL, &ba, NULL), 0, "the other way round");
    TAP_OK(is_same(&ba, &want_ba), "as well");
    ic_buf_fini(&a);
    ic_buf_fini(&b);
    ic_buf_fini(&ab);
    ic_buf_fini(&ba);
    ic_buf_fini(&want_ab);
    ic_buf_fini(&want_ba);
}

/* Vecs of nothing: a half has fewer bytes, and may so be over the limit that follows the length. */
static void test_limits(void)
{
    /* record { 1 : vec null; 2 : vec text } with 100000 nulls and 1000 bytes of text */
    struct ic_buf msg = from_hex("4449444c 03 6c02 01 01 02 02 6d7f 6d71 01 00 a08d06 02 e707");
    struct ic_buf first = {0}, second = {0};
    struct ic_error err = {0};
    uint8_t text[1000];
    memset(text, 'x', sizeof(text));
    ic_buf_append(&msg, text, 999);
    ic_buf_append(&msg, (uint8_t[]){0}, 1);
    TAP_INT(items(&msg, NULL), 100000, "a hundred thousand nulls beside a text");
    TAP_INT(ic_candid_split(msg.bytes, msg.len, 1, NULL, NULL, &first, &second, &err), -EPROTO,
            "99999 nulls alone are refused: nobody could decode them");
    TAP_INT(err.code, IC_E_MALFORMED, "as too many values");
    first.len = second.len = 0;
    const struct ic_candid_limits wide = {.max_values = 200000};
    TAP_INT(ic_candid_split(msg.bytes, msg.len, 1, NULL, &wide, &first, &second, NULL), 0,
            "unless the limits say otherwise");
    ic_buf_fini(&msg);
    ic_buf_fini(&first);
    ic_buf_fini(&second);

    struct ic_buf nulls = from_hex("4449444c 01 6d7f 01 00 e0d403"), out = {0};
    const struct ic_view two[] = {view(&nulls), view(&nulls)};
    TAP_INT(items(&nulls, NULL), 60000, "sixty thousand nulls");
    TAP_INT(ic_candid_merge(two, 2, NULL, NULL, &out, NULL), -EPROTO, "twice that is too much");
    ic_buf_fini(&nulls);
    out.len = 0;
    struct ic_buf opt = from_hex("4449444c 02 6e01 6d7f 01 00 01 928704");
    TAP_INT(items(&opt, NULL), 66450, "as many nulls as fit, in an opt");
    TAP_INT(ic_candid_unwrap(opt.bytes, opt.len, NULL, &out, NULL), -EPROTO,
            "do not fit a message that is a byte shorter");
    ic_buf_fini(&opt);
    ic_buf_fini(&out);
}

/* 255 opts around a vec are as deep as decoding goes, and split; one more does neither. */
static void test_depth(void)
{
    for (size_t n_opts = 254; n_opts <= 256; n_opts++) {
        struct ic_buf msg = {0}, first = {0}, second = {0};
        struct ic_candid *decoded = NULL;
        ic_buf_append(&msg, "DIDL", 4);
        ic_buf_append_leb64(&msg, n_opts + 1);
        for (size_t i = 0; i < n_opts; i++) {
            ic_buf_append(&msg, "\x6e", 1);
            ic_buf_append_sleb64(&msg, (int64_t)i + 1);
        }
        ic_buf_append(&msg, "\x6d\x7d\x01\x00", 4);
        for (size_t i = 0; i < n_opts; i++)
            ic_buf_append(&msg, "\x01", 1);
        ic_buf_append(&msg, "\x02\x05\x06", 3);
        int want = ic_candid_decode(msg.bytes, msg.len, NULL, &decoded, NULL);
        int ret = ic_candid_split(msg.bytes, msg.len, 1, NULL, NULL, &first, &second, NULL);
        TAP_INT(want, n_opts == 254 ? 0 : -EPROTO, "opts around a vec of nats");
        TAP_INT(ret, want, "split goes as deep as decoding");
        ic_candid_free(decoded);
        ic_buf_fini(&msg);
        ic_buf_fini(&first);
        ic_buf_fini(&second);
    }
}

/* Damaged messages: refused exactly when they do not decode, or are no chunk. */
static void test_damage(void)
{
    unsigned n_wrong = 0, n_split = 0;
    struct ic_buf msg = from_hex("4449444c 05 6e01" /* opt */
                                 "6c03 01 02 02 03 03 78 6d04 6d7e 6c02 00 71 01 7d"
                                 "02 00 68 01 02 0161 05 0162 8001 03 010001 0900000000000000"
                                 "01 02 cafe");
    for (size_t i = 0; i < msg.len; i++) {
        for (unsigned x = 0; x < 256; x++) {
            struct ic_candid *decoded = NULL;
            struct ic_buf first = {0}, second = {0}, merged = {0};
            struct ic_error err = {0};
            uint8_t before = msg.bytes[i];
            msg.bytes[i] = (uint8_t)x;
            size_t len = x == before ? i : msg.len; /* also cut there */
            int want = ic_candid_decode(msg.bytes, len, NULL, &decoded, NULL);
            int ret = ic_candid_split(msg.bytes, len, 1, NULL, NULL, &first, &second, &err);
            n_wrong += ret < 0 && want == 0 && err.code != IC_E_WRONG_TYPE;
            n_wrong += ret == 0 && want < 0;
            if (ret == 0) {
                const struct ic_view halves[] = {view(&first), view(&second)};
                n_wrong += ic_candid_merge(halves, 2, NULL, NULL, &merged, NULL) < 0;
                struct ic_buf wanted = {0};
                ic_buf_append(&wanted, msg.bytes, len);
                struct ic_buf a = normal_form(&wanted), b = normal_form(&merged);
                n_wrong += !is_same(&a, &b) || a.len == 0;
                n_split++;
                ic_buf_fini(&wanted);
                ic_buf_fini(&a);
                ic_buf_fini(&b);
            }
            msg.bytes[i] = before;
            ic_candid_free(decoded);
            ic_buf_fini(&first);
            ic_buf_fini(&second);
            ic_buf_fini(&merged);
        }
    }
    ic_buf_fini(&msg);
    TAP_INT(n_wrong, 0, "damaged messages split exactly when they decode, and the law holds");
    TAP_OK(n_split > 500, "many still do");
}

int main(void)
{
    test_unwrap();
    test_split();
    test_padding();
    test_wrong_shapes();
    test_merge();
    test_merge_of_tables();
    test_limits();
    test_depth();
    test_damage();
    return tap_done();
}
