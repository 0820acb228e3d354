/* Snapshots: what is asked, what is made of the answers, and metadata.json as icp writes it. */
#include "ic/candid_text.h"
#include "ic/snapshot.h"
#include "ic/snapshot_json.h"
#include "tests/ic/agent_net.h"
#include "tests/ic/vectors.h"
#include "tests/tap.h"

#include <errno.h>
#include <stdlib.h>

TAP_STATE;

static const struct ic_snapshot_id id = {.len = 3, .bytes = {1, 2, 3}};

/* A message by its text, at the types that the text has. */
static struct ic_buf message(const char *text)
{
    struct ic_candid *values = NULL;
    struct ic_buf out = {0};
    struct ic_error err = {0};
    if (ic_candid_parse(text, strlen(text), NULL, 0, 0, &values, &err) < 0 ||
        ic_candid_encode(ic_candid_arg(values, 0), 1, &out, &err) < 0) {
        printf("Bail out! %s: %s\n", text, err.message);
        exit(1);
    }
    ic_candid_free(values);
    return out;
}

static bool says(const struct sent_call *call, const char *text)
{
    struct ic_buf expected = message(text);
    struct ic_candid *a = NULL;
    struct ic_candid *b = NULL;
    bool result = ic_candid_decode(call->arg, call->arg_len, NULL, &a, NULL) == 0 &&
                  ic_candid_decode(expected.bytes, expected.len, NULL, &b, NULL) == 0 &&
                  ic_value_equal(ic_candid_arg(a, 0), ic_candid_arg(b, 0));
    ic_candid_free(a);
    ic_candid_free(b);
    ic_buf_fini(&expected);
    return result;
}

/* The network answers every call with this message. */
static void answer(const struct ic_buf *reply)
{
    plan_calls(all_good);
    set_nature((struct nature){.call_reply = reply->bytes, .call_reply_len = reply->len});
}

#define CANISTER_ARG "canister_id = principal \"" CANISTER "\""

/* --- the list --- */

static void test_list(void)
{
    struct ic_buf reply = message(
        "(vec { record { id = blob \"\\01\\02\\03\"; taken_at_timestamp = 7 : nat64; total_size = "
        "9 "
        ": nat64; new = true }; record { id = blob \"\\ff\"; taken_at_timestamp = 8 : nat64; "
        "total_size = 10 : nat64; new = false } })");
    struct ic_agent *agent = open_agent();
    struct ic_io io = within_ms(20000);
    struct ic_snapshot_list list = {0};
    answer(&reply);
    TAP_INT(ic_snapshot_list(agent, &canister, &io, &list, NULL), 0, "the list");
    TAP_INT((int64_t)list.n, 2, "has both");
    TAP_OK(ic_snapshot_id_is_equal(&list.items[0].id, &id), "the id of the first");
    TAP_INT((int64_t)list.items[0].taken_at_ns, 7, "when it was taken");
    TAP_INT((int64_t)list.items[1].total_size, 10, "the size of the second");
    ic_snapshot_list_fini(&list);
    struct sent_call call = last_call();
    TAP_STR(call.method, "list_canister_snapshots", "the method");
    TAP_OK(says(&call, "(record { " CANISTER_ARG " })"), "its argument");
    ic_buf_fini(&reply);

    reply = message("(vec {} : vec record {})");
    answer(&reply);
    TAP_INT(ic_snapshot_list(agent, &canister, &io, &list, NULL), 0, "an empty list");
    TAP_INT((int64_t)list.n, 0, "is one");
    ic_snapshot_list_fini(&list);
    ic_buf_fini(&reply);
    ic_agent_close(agent);
}

/* What is no list. */
static void test_bad_lists(void)
{
    static const char *const texts[] = {
        "(5 : nat64)",
        "(record {})",
        "(vec { 5 : nat64 })",
        "(vec { record { id = blob \"\"; taken_at_timestamp = 7 : nat64; total_size = 9 : nat64 } "
        "})",
        "(vec { record { id = \"text\"; taken_at_timestamp = 7 : nat64; total_size = 9 : nat64 } "
        "})",
        "(vec { record { id = blob \"a\"; total_size = 9 : nat64 } })",
        "(vec { record { id = blob \"a\"; taken_at_timestamp = -1; total_size = 9 : nat64 } })",
        "(vec { record { id = blob "
        "\"01234567890123456789012345678901234567890123456789012345678901234\"; "
        "taken_at_timestamp = 7 : nat64; total_size = 9 : nat64 } })",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct ic_buf bytes = message(texts[i]);
        struct ic_candid *values = NULL;
        struct ic_snapshot_list list = {0};
        struct ic_error err = {0};
        int result = ic_candid_decode(bytes.bytes, bytes.len, NULL, &values, &err);
        if (result == 0)
            result = ic_snapshot_list_decode(ic_candid_arg(values, 0), &list, &err);
        TAP_OK(result == -EPROTO && err.code == IC_E_WRONG_TYPE && !list.items, texts[i]);
        ic_candid_free(values);
        ic_buf_fini(&bytes);
    }
    struct ic_snapshot_list list = {0};
    TAP_INT(ic_snapshot_list_decode(NULL, &list, NULL), -EPROTO, "no value at all");
}

/* --- metadata --- */

/* What the vector says, which icp saved of such a reply. */
static const char reply_of_vector[] =
    "(record { source = variant { taken_from_canister }; taken_at_timestamp = 1700000000000000001 "
    ": "
    "nat64; wasm_module_size = 1000 : nat64; globals = vec { variant { i32 = -5 : int32 }; variant "
    "{ i64 = -6000000000 : int64 }; variant { f32 = 1.5 : float32 }; variant { f64 = 0.1 : float64 "
    "}; variant { v128 = 340282366920938463463374607431768211455 : nat } }; wasm_memory_size = "
    "4500000 : nat64; stable_memory_size = 65536 : nat64; wasm_chunk_store = vec { record { hash = "
    "blob \"\\67\\8c\\ee\\05\\a3\\a5\\f5\\1e\\32\\5b\\3c\\41\\c8\\19\\73\\d5\\08\\86\\96\\ff\\95"
    "\\40\\12\\4f\\d4\\82\\9c\\45\\59\\93\\00\\5e\" } }; canister_version = 7 : nat64; "
    "certified_data = blob \"\\01\\02\\ff\"; global_timer = opt variant { active = "
    "1800000000000000000 : nat64 }; on_low_wasm_memory_hook_status = opt variant { "
    "condition_not_satisfied } })";

static void test_metadata(const char *data_dir)
{
    struct ic_buf reply = message(reply_of_vector);
    struct ic_agent *agent = open_agent();
    struct ic_io io = within_ms(20000);
    struct ic_snapshot_metadata metadata = {0};
    struct ic_buf json = {0};
    answer(&reply);
    TAP_INT(ic_snapshot_metadata(agent, &canister, &id, &io, &metadata, NULL), 0, "metadata");
    struct sent_call call = last_call();
    TAP_STR(call.method, "read_canister_snapshot_metadata", "the method");
    TAP_OK(says(&call, "(record { " CANISTER_ARG "; snapshot_id = blob \"\\01\\02\\03\" })"),
           "its argument");
    TAP_INT((int64_t)metadata.wasm_memory_size, 4500000, "a size");
    TAP_INT(ic_snapshot_json(&metadata, &json), 0, "as JSON");
    struct ic_buf expected = vector_file(data_dir, "snapshot_dir/metadata.json");
    TAP_INT((int64_t)json.len, (int64_t)expected.len, "as long as what icp writes");
    TAP_MEM(json.bytes, expected.bytes, json.len < expected.len ? json.len : expected.len,
            "byte for byte");
    ic_buf_fini(&expected);
    ic_buf_fini(&json);
    ic_snapshot_metadata_fini(&metadata);
    ic_buf_fini(&reply);
    ic_agent_close(agent);
}

#define REST                                                                                       \
    "; wasm_module_size = 0 : nat64; wasm_memory_size = 0 : nat64; stable_memory_size = 0 : "      \
    "nat64; "                                                                                      \
    "canister_version = 0 : nat64; taken_at_timestamp = 0 : nat64"
#define SOURCE "source = variant { metadata_upload }"
#define HASH   "01234567890123456789012345678901" /* 32 bytes */
#define EMPTY_VECS                                                                                 \
    "globals = vec {} : vec empty; wasm_chunk_store = vec {} : vec empty; certified_data = blob "  \
    "\"\""

static int decode(const char *text, struct ic_snapshot_metadata *out, struct ic_error *err)
{
    struct ic_buf bytes = message(text);
    struct ic_candid *values = NULL;
    int result = ic_candid_decode(bytes.bytes, bytes.len, NULL, &values, err);
    if (result == 0)
        result = ic_snapshot_metadata_decode(ic_candid_arg(values, 0), out, err);
    ic_candid_free(values);
    ic_buf_fini(&bytes);
    return result;
}

static void test_bare_metadata(void)
{
    static const char expected[] =
        "{\n  \"source\": {\n    \"metadata_upload\": null\n  },\n  \"taken_at_timestamp\": 0,\n"
        "  \"wasm_module_size\": 0,\n  \"globals\": [],\n  \"wasm_memory_size\": 0,\n"
        "  \"stable_memory_size\": 0,\n  \"wasm_chunk_store\": [],\n  \"canister_version\": 0,\n"
        "  \"certified_data\": [],\n  \"global_timer\": null,\n"
        "  \"on_low_wasm_memory_hook_status\": null\n}";
    struct ic_snapshot_metadata metadata = {0};
    struct ic_buf json = {0};
    TAP_INT(decode("(record { " SOURCE "; " EMPTY_VECS REST " })", &metadata, NULL), 0,
            "without what is optional");
    TAP_INT(ic_snapshot_json(&metadata, &json), 0, "as JSON");
    ic_buf_append(&json, "", 1);
    TAP_STR((const char *)json.bytes, expected, "empty lists, and null");
    ic_buf_fini(&json);
    ic_snapshot_metadata_fini(&metadata);

    TAP_INT(decode("(record { " SOURCE "; " EMPTY_VECS REST "; global_timer = opt variant { "
                   "inactive }; on_low_wasm_memory_hook_status = null })",
                   &metadata, NULL),
            0, "a timer that is not set");
    TAP_INT(metadata.timer, IC_TIMER_INACTIVE, "is inactive");
    TAP_INT(metadata.hook, IC_HOOK_UNKNOWN, "no hook status");
    ic_snapshot_metadata_fini(&metadata);
}

static void test_bad_metadata(void)
{
    static const char *const texts[] = {
        "(5 : nat64)",
        "(record { " EMPTY_VECS REST " })",
        "(record { source = variant { elsewhere }; " EMPTY_VECS REST " })",
        "(record { " SOURCE "; " EMPTY_VECS " })",
        "(record { " SOURCE REST " })",
        "(record { " SOURCE "; " EMPTY_VECS REST "; global_timer = opt variant { later } })",
        "(record { " SOURCE "; " EMPTY_VECS REST "; global_timer = 5 : nat8 })",
        "(record { " SOURCE "; " EMPTY_VECS REST
        "; on_low_wasm_memory_hook_status = opt variant { tired } })",
        "(record { " SOURCE
        "; globals = vec { variant { i64 = 5.0 : float64 } }; wasm_chunk_store = "
        "vec {} : vec empty; certified_data = blob \"\"" REST " })",
        "(record { " SOURCE
        "; globals = vec { variant { i16 = 1 : int16 } }; wasm_chunk_store = vec "
        "{} : vec empty; certified_data = blob \"\"" REST " })",
        "(record { " SOURCE "; globals = vec { variant { v128 = "
        "340282366920938463463374607431768211456 : nat } }; wasm_chunk_store = vec {} : vec empty; "
        "certified_data = blob \"\"" REST " })",
        "(record { " SOURCE
        "; globals = vec {} : vec empty; wasm_chunk_store = vec { record { hash "
        "= blob \"short\" } }; certified_data = blob \"\"" REST " })",
        "(record { " SOURCE
        "; globals = vec {} : vec empty; wasm_chunk_store = vec { record { hash "
        "= blob \"" HASH "\" }; record { hash = blob \"" HASH
        "\" } }; certified_data = blob \"\"" REST " })",
        "(record { " SOURCE "; " EMPTY_VECS
        "; wasm_module_size = 0 : nat64; wasm_memory_size = 0 : nat64; stable_memory_size = "
        "9223372036854775808 : nat64; canister_version = 0 : nat64; taken_at_timestamp = 0 : nat64 "
        "})",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct ic_snapshot_metadata metadata = {0};
        struct ic_error err = {0};
        int result = decode(texts[i], &metadata, &err);
        TAP_OK(result == -EPROTO && err.code == IC_E_WRONG_TYPE, texts[i]);
    }
}

/* More of something than the network allows by far. */
static void test_too_many(void)
{
    static const struct {
        const char *head;
        const char *before; /* of each item, before its number ... */
        const char *after;
        const char *tail;
    } of[] = {
        {"(vec {", "record { id = blob \"",
         "\"; taken_at_timestamp = 7 : nat64; total_size = 9 : nat64 };", "})"},
        {"(record { " SOURCE "; globals = vec {} : vec empty; wasm_chunk_store = vec {",
         "record { hash = blob \"", "678901234567890123456789012\" };",
         "}; certified_data = blob \"\"" REST " })"},
    };
    for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++) {
        const size_t most = i == 0 ? IC_SNAPSHOTS_MAX : IC_SNAPSHOT_CHUNKS_MAX;
        for (size_t n = most; n <= 10000; n += 10000 - most) {
            struct ic_buf text = {0};
            ic_buf_append(&text, of[i].head, strlen(of[i].head));
            for (unsigned k = 0; k < n; k++) {
                char item[160];
                int len = snprintf(item, sizeof(item), "%s%05u%s", of[i].before, k, of[i].after);
                ic_buf_append(&text, item, (size_t)len);
            }
            ic_buf_append(&text, of[i].tail, strlen(of[i].tail) + 1);
            struct ic_buf bytes = message((const char *)text.bytes);
            struct ic_candid *values = NULL;
            struct ic_snapshot_list list = {0};
            struct ic_snapshot_metadata metadata = {0};
            struct ic_error err = {0};
            int result = ic_candid_decode(bytes.bytes, bytes.len, NULL, &values, &err);
            if (result == 0)
                result =
                    i == 0 ? ic_snapshot_list_decode(ic_candid_arg(values, 0), &list, &err)
                           : ic_snapshot_metadata_decode(ic_candid_arg(values, 0), &metadata, &err);
            TAP_INT(result, n == most ? 0 : -EPROTO, i == 0 ? "many snapshots" : "many chunks");
            TAP_INT((int64_t)(list.n + metadata.n_chunks), n == most ? (int64_t)most : 0,
                    "all or none");
            ic_snapshot_list_fini(&list);
            ic_snapshot_metadata_fini(&metadata);
            ic_candid_free(values);
            ic_buf_fini(&bytes);
            ic_buf_fini(&text);
        }
    }
}

/* As icp 1.5.0 wrote them. */
static void test_numbers(void)
{
    static const struct {
        const char *value;
        const char *json;
    } rows[] = {
        {"f32 = 1.5 : float32", "1.5"},
        {"f32 = 0.1 : float32", "0.1"},
        {"f32 = 1e13 : float32", "1e+13"},
        {"f32 = 1e12 : float32", "1000000000000.0"},
        {"f32 = 16777216.0 : float32", "16777216.0"},
        {"f32 = 30000000000.0 : float32", "30000000000.0"},
        {"f32 = 0.00001 : float32", "0.00001"},
        {"f32 = 0.000001 : float32", "0.000001"},
        {"f32 = 0.00000015 : float32", "1.5e-7"},
        {"f32 = 123456.789 : float32", "123456.79"},
        {"f32 = 3.4028234663852886e38 : float32", "3.4028235e+38"},
        {"f32 = 1.401298464324817e-45 : float32", "1e-45"},
        {"f64 = 1e15 : float64", "1000000000000000.0"},
        {"f64 = 1e16 : float64", "1e+16"},
        {"f64 = 123456789012345680.0 : float64", "1.2345678901234568e+17"},
        {"f64 = 1234567890123456.0 : float64", "1234567890123456.0"},
        {"f64 = 0.00001 : float64", "0.00001"},
        {"f64 = 0.0000125 : float64", "0.0000125"},
        {"f64 = 0.000001 : float64", "1e-6"},
        {"f64 = 0.000000125 : float64", "1.25e-7"},
        {"f64 = -0.0 : float64", "-0.0"},
        {"f64 = 5e-324 : float64", "5e-324"},
        {"f64 = 5.684341886080802e-14 : float64", "5.684341886080802e-14"},
        {"f64 = 1.7976931348623157e308 : float64", "1.7976931348623157e+308"},
        {"i32 = -1 : int32", "-1"},
        {"i64 = -9223372036854775808 : int64", "-9223372036854775808"},
        {"v128 = 0 : nat", "[]"},
        {"v128 = 1 : nat", "[\n        1\n      ]"},
        {"v128 = 18446744073709551616 : nat", "[\n        0,\n        0,\n        1\n      ]"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[512];
        char expected[160];
        struct ic_snapshot_metadata metadata = {0};
        struct ic_buf json = {0};
        snprintf(text, sizeof(text),
                 "(record { " SOURCE
                 "; globals = vec { variant { %s } }; wasm_chunk_store = vec {} "
                 ": vec empty; certified_data = blob \"\"" REST " })",
                 rows[i].value);
        snprintf(expected, sizeof(expected), "\"%.*s\": %s\n    }",
                 (int)strcspn(rows[i].value, " "), rows[i].value, rows[i].json);
        bool is_made =
            decode(text, &metadata, NULL) == 0 && ic_snapshot_json(&metadata, &json) == 0;
        TAP_OK(is_made && memmem(json.bytes, json.len, expected, strlen(expected)) != NULL,
               rows[i].value);
        ic_buf_fini(&json);
        ic_snapshot_metadata_fini(&metadata);
    }
    /* Candid text has no words for these. */
    static const struct ic_global nulls[] = {
        {.kind = IC_GLOBAL_F64, .low = UINT64_C(0x7ff8000000000000)},
        {.kind = IC_GLOBAL_F64, .low = UINT64_C(0xfff0000000000000)},
        {.kind = IC_GLOBAL_F32, .low = 0x7fc00000},
    };
    struct ic_snapshot_metadata metadata = {.globals = nulls, .n_globals = 3};
    struct ic_buf json = {0};
    TAP_INT(ic_snapshot_json(&metadata, &json), 0, "what JSON has no number for");
    ic_buf_append(&json, "", 1);
    TAP_OK(strstr((const char *)json.bytes, "\"f64\": null\n    },\n    {\n      \"f64\": null") &&
               strstr((const char *)json.bytes, "\"f32\": null"),
           "is null");
    ic_buf_fini(&json);
}

/* --- bytes --- */

static void test_read(void)
{
    static const struct {
        enum ic_snapshot_blob blob;
        const char *name;
    } kinds[] = {
        {IC_SNAPSHOT_WASM_MODULE, "wasm_module"},
        {IC_SNAPSHOT_WASM_MEMORY, "wasm_memory"},
        {IC_SNAPSHOT_STABLE_MEMORY, "stable_memory"},
    };
    struct ic_buf reply = message("(record { chunk = blob \"hello\"; new = 5 : nat8 })");
    struct ic_agent *agent = open_agent();
    struct ic_io io = within_ms(20000);
    struct ic_error err = {0};
    answer(&reply);
    for (size_t i = 0; i < 3; i++) {
        char text[400];
        struct ic_snapshot_data data = {0};
        snprintf(text, sizeof(text),
                 "(record { " CANISTER_ARG
                 "; snapshot_id = blob \"\\01\\02\\03\"; kind = variant { "
                 "%s = record { offset = 7 : nat64; size = 5 : nat64 } } })",
                 kinds[i].name);
        TAP_INT(ic_snapshot_read(agent, &canister, &id, kinds[i].blob, 7, 5, &io, &data, &err), 0,
                kinds[i].name);
        TAP_OK(data.bytes.len == 5 && memcmp(data.bytes.bytes, "hello", 5) == 0, "its bytes");
        struct sent_call call = last_call();
        TAP_STR(call.method, "read_canister_snapshot_data", "the method");
        TAP_OK(says(&call, text), "its argument");
        ic_snapshot_data_fini(&data);
    }
    struct ic_snapshot_data data = {0};
    static const size_t wrong[] = {4, 6};
    for (size_t i = 0; i < 2; i++) {
        err = (struct ic_error){0};
        TAP_INT(ic_snapshot_read(agent, &canister, &id, IC_SNAPSHOT_WASM_MODULE, 0, wrong[i], &io,
                                 &data, &err),
                -EPROTO, "another number of bytes than asked for");
        TAP_INT(err.code, IC_E_MALFORMED, "is malformed");
    }
    ic_buf_fini(&reply);
    reply = message("(record { piece = blob \"hello\" })");
    answer(&reply);
    TAP_INT(
        ic_snapshot_read(agent, &canister, &id, IC_SNAPSHOT_WASM_MODULE, 0, 5, &io, &data, &err),
        -EPROTO, "a reply without bytes");
    ic_buf_fini(&reply);
    ic_agent_close(agent);
}

static void test_read_chunk(void)
{
    struct ic_buf reply = message("(record { chunk = blob \"hello\" })");
    struct ic_agent *agent = open_agent();
    struct ic_io io = within_ms(20000);
    struct ic_snapshot_data data = {0};
    struct ic_error err = {0};
    uint8_t hash[IC_SHA256_LEN];
    (void)!ic_sha256("hello", 5, hash);
    answer(&reply);
    TAP_INT(ic_snapshot_read_chunk(agent, &canister, &id, hash, &io, &data, &err), 0, "a chunk");
    TAP_OK(data.bytes.len == 5 && memcmp(data.bytes.bytes, "hello", 5) == 0, "its bytes");
    ic_snapshot_data_fini(&data);
    struct sent_call call = last_call();
    TAP_OK(says(&call, "(record { " CANISTER_ARG "; snapshot_id = blob \"\\01\\02\\03\"; kind = "
                       "variant { wasm_chunk = record { hash = blob "
                       "\"\\2c\\f2\\4d\\ba\\5f\\b0\\a3\\0e\\26\\e8\\3b\\2a\\c5\\b9\\e2\\9e\\1b\\16"
                       "\\1e\\5c\\1f\\a7\\42\\5e\\73\\04\\33\\62\\93\\8b\\98\\24\" } } })"),
           "the argument");
    hash[0] ^= 1;
    TAP_INT(ic_snapshot_read_chunk(agent, &canister, &id, hash, &io, &data, &err), -EPROTO,
            "a chunk that has not its hash");
    ic_buf_fini(&reply);
    ic_agent_close(agent);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    net_open();
    test_list();
    test_bad_lists();
    test_too_many();
    test_metadata(argv[1]);
    test_bare_metadata();
    test_bad_metadata();
    test_numbers();
    test_read();
    test_read_chunk();
    net_close();
    return tap_done();
}
