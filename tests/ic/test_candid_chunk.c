/* What replies of backup endpoints hold: shapes, numbers, nothing, and what is refused. */
#include "ic/candid_chunk.h"
#include "ic/candid_text.h"
#include "tests/tap.h"

#include <errno.h>
#include <string.h>

TAP_STATE;

static uint32_t id(const char *name)
{
    return ic_candid_hash(name, strlen(name));
}

static struct ic_buf encode(const char *text)
{
    struct ic_candid *parsed = NULL;
    struct ic_value args[4];
    struct ic_buf out = {0};
    struct ic_error err = {0};
    size_t n = 0;
    if (ic_candid_parse(text, strlen(text), NULL, 0, 0, &parsed, &err) < 0) {
        printf("# %s: %s\n", text, err.message);
        return out;
    }
    for (; n < 4 && n < ic_candid_count(parsed); n++)
        args[n] = *ic_candid_arg(parsed, n);
    if (ic_candid_encode(args, n, &out, &err) < 0)
        printf("# %s: %s\n", text, err.message);
    ic_candid_free(parsed);
    return out;
}

struct row {
    const char *text;
    bool is_record;
    const char *items;
    const char *total; /* NULL: none */
    int64_t n_items;   /* -1: none in the opt; -2: another shape */
    uint64_t n_total;
};

static const struct row rows[] = {
    {"(opt record { chunk = vec { 1 : nat; 2; 3 }; total_length = 7 : nat64 })", true, "chunk",
     "total_length", 3, 7},
    {"(record { chunk = vec { 1 : nat; 2; 3 }; total_length = 7 : nat })", true, "chunk",
     "total_length", 3, 7},
    {"(record { total_length = 9 : nat32; chunk = vec {} : vec text })", true, "chunk",
     "total_length", 0, 9},
    {"(record { chunk = vec { 1 : nat }; longer = vec { \"a\"; \"b\" }; n = 1 : nat8 })", true,
     "chunk", "n", 1, 1},
    {"(record { chunk = vec { 1 : nat } })", true, "chunk", NULL, 1, 0},
    {"(vec { \"a\"; \"b\" })", false, "", NULL, 2, 0},
    {"(opt opt vec { \"a\"; \"b\" }, 5 : nat)", false, "", NULL, 2, 0},
    {"(vec { record {}; record {} })", false, "", NULL, 2, 0},
    {"(null : opt vec text)", false, "", NULL, -1, 0},
    {"(opt (null : opt vec text))", false, "", NULL, -1, 0},
    {"(null)", true, "chunk", "total_length", -1, 0},
    {"(null, 5 : nat)", true, "chunk", "total_length", -1, 0},
    {"()", false, "", NULL, -2, 0},
    {"(5 : nat)", false, "", NULL, -2, 0},
    {"(vec { 1 : nat })", true, "chunk", NULL, -2, 0},
    {"(record { chunk = vec { 1 : nat } })", true, "chunk", "total_length", -2, 0},
    {"(record { total_length = 1 : nat })", true, "chunk", "total_length", -2, 0},
    {"(record { chunk = 5 : nat; total_length = 1 : nat })", true, "chunk", "total_length", -2, 0},
    {"(record { chunk = vec { 1 : nat }; total_length = -1 : int })", true, "chunk", "total_length",
     -2, 0},
    {"(record { chunk = vec { 1 : nat }; total_length = 18446744073709551616 : nat })", true,
     "chunk", "total_length", -2, 0},
    {"(record { chunk = vec { 1 : nat }; total_length = \"5\" })", true, "chunk", "total_length",
     -2, 0},
};

static void test_row(const struct row *row)
{
    struct ic_buf msg = encode(row->text);
    const struct ic_chunk_fields fields = {
        .is_record = row->is_record,
        .items = id(row->items),
        .has_total = row->total != NULL,
        .total = row->total ? id(row->total) : 0,
    };
    struct ic_chunk_info info = {.n_items = 77};
    struct ic_error err = {0};
    int ret = ic_candid_chunk_info(msg.bytes, msg.len, &fields, NULL, &info, &err);
    if (row->n_items == -2)
        TAP_OK(ret == -EPROTO && err.code == IC_E_WRONG_TYPE && info.n_items == 77, row->text);
    else if (row->n_items == -1)
        TAP_OK(ret == 0 && info.is_none && info.n_items == 0, row->text);
    else
        TAP_OK(ret == 0 && !info.is_none && info.n_items == (uint64_t)row->n_items &&
                   info.total == row->n_total && !info.blob.bytes,
               row->text);
    /* Cut anywhere, or with a byte more, it is none. */
    bool refused = true;
    for (size_t len = 0; len < msg.len; len++)
        refused =
            refused && ic_candid_chunk_info(msg.bytes, len, &fields, NULL, &info, NULL) == -EPROTO;
    ic_buf_append(&msg, "", 1);
    refused =
        refused && ic_candid_chunk_info(msg.bytes, msg.len, &fields, NULL, &info, NULL) == -EPROTO;
    TAP_OK(refused, "cut or longer: refused");
    ic_buf_fini(&msg);
}

/* Whatever there is, nothing, or no message. */
static void test_any_shape(void)
{
    static const struct {
        const char *text;
        bool is_none;
    } all[] = {
        {"(5 : nat)", false},
        {"(\"\", null)", false},
        {"(opt record { a = 1 : nat })", false},
        {"(vec {})", false},
        {"(variant { ok = null })", false},
        {"(null)", true},
        {"(null : opt nat)", true},
        {"(opt (null : opt nat))", true},
        {"(null : reserved)", true},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct ic_buf msg = encode(all[i].text);
        struct ic_chunk_info info = {.n_items = 77};
        int ret = ic_candid_chunk_info(msg.bytes, msg.len, NULL, NULL, &info, NULL);
        TAP_OK(ret == 0 && info.is_none == all[i].is_none && info.n_items == 0, all[i].text);
        ret = ic_candid_chunk_info(msg.bytes, msg.len - 1, NULL, NULL, &info, NULL);
        ic_buf_append(&msg, "", 1);
        TAP_OK(ret == -EPROTO &&
                   ic_candid_chunk_info(msg.bytes, msg.len, NULL, NULL, &info, NULL) == -EPROTO,
               "cut or longer: refused");
        ic_buf_fini(&msg);
    }
    struct ic_chunk_info info;
    TAP_OK(ic_candid_chunk_info((const uint8_t *)"DIDX", 4, NULL, NULL, &info, NULL) == -EPROTO &&
               ic_candid_chunk_info((const uint8_t *)"DIDL\0", 6, NULL, NULL, &info, NULL) ==
                   -EPROTO,
           "no message, no argument");
}

static void test_blob(void)
{
    struct ic_buf msg = encode("(record { chunk = blob \"\\00abc\"; total_length = 40 : nat64 })");
    const struct ic_chunk_fields fields = {
        .is_record = true, .items = id("chunk"), .has_total = true, .total = id("total_length")};
    struct ic_chunk_info info;
    int ret = ic_candid_chunk_info(msg.bytes, msg.len, &fields, NULL, &info, NULL);
    TAP_OK(ret == 0 && info.n_items == 4 && info.total == 40 && info.blob.len == 4 &&
               memcmp(info.blob.bytes, "\0abc", 4) == 0,
           "a blob is given in place");
    ic_buf_fini(&msg);
}

/* Types that never end, a vec of nothing that claims very many elements. */
static void test_hostile(void)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *what;
    } all[] = {
        {"DIDL\x01\x6e\x00\x01\x00\x00", 10, "an opt of itself, none"},
        {"DIDL\x01\x6d\x7f\x01\x00\xff\xff\xff\xff\x0f", 14, "2^32 nulls"},
        {"DIDL\x01\x6d\x70\x01\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 19, "2^64 reserved"},
        {"DIDL\x01\x6d\x7b\x01\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 19, "2^64 bytes"},
    };
    const struct ic_chunk_fields fields = {0};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct ic_chunk_info info;
        int ret = ic_candid_chunk_info((const uint8_t *)all[i].bytes, all[i].len, &fields, NULL,
                                       &info, NULL);
        TAP_OK(ret == -EPROTO, all[i].what);
    }
}

int main(void)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        test_row(&rows[i]);
    test_any_shape();
    test_blob();
    test_hostile();
    return tap_done();
}
