/* metadata.json of a snapshot: what it says, and what is refused. */
#include "fs/snapshot_metadata.h"
#include "ic/snapshot_json.h"
#include "tests/tap.h"

#include <errno.h>
#include <stdlib.h>

TAP_STATE;

static char *read_file(const char *dir, size_t *ret_len)
{
    char path[4096];
    char *text = calloc(1, FS_SNAPSHOT_METADATA_MAX);
    snprintf(path, sizeof(path), "%s/vectors/snapshot_dir/metadata.json", dir);
    FILE *file = fopen(path, "rb");
    if (!file || !text) {
        printf("Bail out! %s cannot be read\n", path);
        exit(1);
    }
    *ret_len = fread(text, 1, FS_SNAPSHOT_METADATA_MAX, file);
    fclose(file);
    return text;
}

/* What icp wrote is understood: it comes out again byte for byte. */
static void test_round(const char *dir)
{
    size_t len;
    char *text = read_file(dir, &len);
    struct ic_snapshot_metadata m = {0};
    struct ic_error err = {0};
    struct ic_buf json = {0};
    TAP_INT(fs_snapshot_metadata_parse(text, len, &m, &err), 0, "metadata.json of icp");
    TAP_INT((int64_t)m.wasm_module_size, 1000, "size of the module");
    TAP_INT((int64_t)m.globals[0].low, -5, "a negative global");
    TAP_INT((int64_t)m.globals[4].high, -1, "the upper half of a v128");
    TAP_INT(ic_snapshot_json(&m, &json), 0, "written again");
    TAP_INT((int64_t)json.len, (int64_t)len, "the same length");
    TAP_MEM(json.bytes, text, len < json.len ? len : json.len, "the same bytes");
    for (size_t n = 0; n < len; n++) {
        struct ic_snapshot_metadata none = {0};
        if (fs_snapshot_metadata_parse(text, n, &none, &err) != -EINVAL) {
            TAP_OK(false, "a text that is cut off is refused");
            printf("# at %zu\n", n);
            break;
        }
    }
    ic_buf_fini(&json);
    ic_snapshot_metadata_fini(&m);
    free(text);
}

#define SOURCE  "\"source\":{\"taken_from_canister\":null},"
#define SIZES   "\"wasm_module_size\":8,\"wasm_memory_size\":0,\"stable_memory_size\":65536,"
#define TIMES   "\"taken_at_timestamp\":1,\"canister_version\":2,"
#define GLOBALS "\"globals\":[],"
#define CHUNKS  "\"wasm_chunk_store\":[],"
#define DATA    "\"certified_data\":[],"
#define REST    "\"global_timer\":null,\"on_low_wasm_memory_hook_status\":null"
#define WITH_GLOBAL(global)                                                                        \
    "{" SOURCE SIZES TIMES CHUNKS DATA "\"globals\":[{" global "}]," REST "}"
#define WITH_DATA(data)                                                                            \
    "{" SOURCE SIZES TIMES CHUNKS GLOBALS "\"certified_data\":" data "," REST "}"
#define WITH_CHUNKS(chunks)                                                                        \
    "{" SOURCE SIZES TIMES DATA GLOBALS "\"wasm_chunk_store\":" chunks "," REST "}"
#define WITH(more) "{" SOURCE SIZES TIMES GLOBALS CHUNKS DATA more "}"

static int parse(const char *text, struct ic_error *err)
{
    struct ic_snapshot_metadata m = {0};
    int result = fs_snapshot_metadata_parse(text, strlen(text), &m, err);
    if (result == 0)
        ic_snapshot_metadata_fini(&m);
    return result;
}

/* Floats are what they were before they were written. */
static void test_floats(void)
{
    static const uint32_t singles[] = {
        0,          1,          0x80000000, 0x007fffff, 0x00800000, 0x15ae43fc, 0x15ae43fd,
        0x15ae43fe, 0x95ae43fd, 0x3dcccccd, 0x3f800001, 0x7f7fffff, 0xff7fffff,
    };
    for (size_t i = 0; i < sizeof(singles) / sizeof(singles[0]); i++) {
        const struct ic_global global = {.kind = IC_GLOBAL_F32, .low = singles[i]};
        const struct ic_snapshot_metadata sent = {.globals = &global, .n_globals = 1};
        struct ic_snapshot_metadata m = {0};
        struct ic_error err = {0};
        struct ic_buf json = {0};
        TAP_INT(ic_snapshot_json(&sent, &json), 0, "written");
        TAP_INT(fs_snapshot_metadata_parse((const char *)json.bytes, json.len, &m, &err), 0,
                "and read");
        TAP_INT((int64_t)m.globals[0].low, singles[i], "the same single");
        ic_buf_fini(&json);
        ic_snapshot_metadata_fini(&m);
    }
}

static void test_taken(void)
{
    static const char *const texts[] = {
        WITH(REST),
        WITH("\"global_timer\":\"inactive\""),
        WITH("\"global_timer\":{\"active\":1}"),
        WITH("\"on_low_wasm_memory_hook_status\":\"ready\""),
        WITH_GLOBAL("\"i32\":-2147483648"),
        WITH_GLOBAL("\"i64\":-9223372036854775808"),
        WITH_GLOBAL("\"f32\":-0.0"),
        WITH_GLOBAL("\"f64\":5e-324"),
        WITH_GLOBAL("\"v128\":[]"),
        WITH_DATA("[0,255]"),
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct ic_error err = {0};
        if (!TAP_INT(parse(texts[i], &err), 0, "taken"))
            printf("# %s: %s\n", texts[i], err.message);
    }
}

static void test_refused(void)
{
    static const char *const texts[] = {
        "",
        "null",
        "[]",
        "{}",
        WITH(REST) "x",
        WITH(REST ",\"other\":1"),
        WITH(REST ",\"globals\":[]"),
        "{" SOURCE SIZES TIMES GLOBALS DATA REST "}",
        "{" SOURCE TIMES GLOBALS CHUNKS DATA REST "}",
        "{" SIZES TIMES GLOBALS CHUNKS DATA REST "}",
        WITH("\"global_timer\":\"active\""),
        WITH("\"global_timer\":{\"active\":-1}"),
        WITH("\"global_timer\":{\"active\":1,\"x\":2}"),
        WITH("\"on_low_wasm_memory_hook_status\":\"other\""),
        WITH_GLOBAL(""),
        WITH_GLOBAL("\"i32\":2147483648"),
        WITH_GLOBAL("\"i32\":1.0"),
        WITH_GLOBAL("\"i64\":9223372036854775808"),
        WITH_GLOBAL("\"i32\":1,\"i64\":1"),
        WITH_GLOBAL("\"i128\":1"),
        WITH_GLOBAL("\"f32\":null"),
        WITH_GLOBAL("\"f64\":null"),
        WITH_GLOBAL("\"f32\":1e39"),
        WITH_GLOBAL("\"v128\":[1,2,3,4,5]"),
        WITH_GLOBAL("\"v128\":[4294967296]"),
        WITH_GLOBAL("\"v128\":[-1]"),
        WITH_DATA("[256]"),
        WITH_DATA("[-1]"),
        WITH_DATA("\"text\""),
        WITH_DATA("[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]"),
        WITH_CHUNKS("[{\"hash\":[1,2]}]"),
        WITH_CHUNKS("[{}]"),
        WITH_CHUNKS("[[]]"),
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct ic_error err = {0};
        if (!TAP_INT(parse(texts[i], &err), -EINVAL, "refused") ||
            !TAP_OK(strstr(err.message, "metadata.json: ") != NULL, "with words"))
            printf("# %s\n", texts[i]);
    }
}

static void test_bounds(void)
{
    struct ic_error err = {0};
    struct ic_snapshot_metadata m = {0};
    size_t len = FS_SNAPSHOT_METADATA_MAX + 1;
    char *text = malloc(len);
    if (!text)
        exit(1);
    memset(text, '[', len);
    TAP_INT(fs_snapshot_metadata_parse(text, len, &m, &err), -EINVAL, "too long");
    TAP_INT(fs_snapshot_metadata_parse(text, len - 1, &m, &err), -EINVAL, "too deep");
    free(text);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    test_round(argv[1]);
    test_floats();
    test_taken();
    test_refused();
    test_bounds();
    return tap_done();
}
