/* CBOR: what is taken, what is refused, and that writing comes back. */
#include "ic/cbor.h"
#include "tests/ic/vectors.h"
#include "tests/tap.h"

#include <errno.h>

TAP_STATE;

static int open_hex(const char *hex, struct ic_buf *bytes, struct ic_view *item)
{
    *bytes = vector_unhex(hex);
    return ic_cbor_open(bytes->bytes, bytes->len, item);
}

static void test_accepted(void)
{
    static const struct {
        const char *hex, *what;
    } table[] = {
        {"00", "zero"},
        {"1bffffffffffffffff", "the largest nat"},
        {"3903e7", "a negative number"},
        {"d9d9f7a0", "the self-described tag"},
        {"d9d9f7d9d9f7a0", "the tag twice: the second is just a tag"},
        {"a0", "an empty map without it"},
        {"a2616101616202", "a map"},
        {"bf616101616202ff", "an indefinite map"},
        {"9f01820203ff", "an indefinite array"},
        {"1800", "a number in a longer form than needed"},
        {"58020102", "bytes with a longer length than needed"},
        {"f4", "false"},
        {"f6", "null"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct ic_buf bytes;
        struct ic_view item;
        TAP_INT(open_hex(table[i].hex, &bytes, &item), 0, table[i].what);
        ic_buf_fini(&bytes);
    }
}

static void test_refused(void)
{
    static const struct {
        const char *hex, *what;
    } table[] = {
        {"", "nothing"},
        {"d9d9f7", "only a tag"},
        {"0000", "trailing bytes"},
        {"a0a0", "a second item"},
        {"18", "a cut head"},
        {"4301", "a cut byte string"},
        {"5bffffffffffffffff00", "a byte string of 2^64 - 1 bytes"},
        {"7b7fffffffffffffff00", "a text of 2^63 - 1 bytes"},
        {"9bffffffffffffffff", "an array of 2^64 - 1 items"},
        {"9a00ffffff00", "an array larger than what is left"},
        {"bbffffffffffffffff", "a map of 2^64 - 1 pairs"},
        {"a2616101", "a map one pair short"},
        {"8201", "an array one item short"},
        {"a2616101616102", "a key twice"},
        {"bf616101616102ff", "a key twice in an indefinite map"},
        {"81a2616101616102", "a key twice, deep inside"},
        {"a10102", "a key that is a number"},
        {"a1416102", "a key that is a byte string"},
        {"bf6161ff", "a key without a value"},
        {"9f01", "an indefinite array without an end"},
        {"ff", "a break"},
        {"81ff", "a break inside a definite array"},
        {"c0ff", "a tag on a break"},
        {"f90000", "a half float"},
        {"fa00000000", "a float"},
        {"fb0000000000000000", "a double"},
        {"81fb0000000000000000", "a double inside"},
        {"f7", "undefined"},
        {"e0", "an unassigned simple value"},
        {"1c", "a reserved head"},
        {"1f", "an indefinite number"},
        {"5f4101ff", "bytes in chunks"},
        {"7f6161ff", "text in chunks"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct ic_buf bytes;
        struct ic_view item;
        TAP_INT(open_hex(table[i].hex, &bytes, &item), -EPROTO, table[i].what);
        ic_buf_fini(&bytes);
    }
}

/* depth times head, then tail. */
static int open_nested(uint8_t head, size_t depth, const char *tail)
{
    struct ic_buf b = {0};
    struct ic_view item;
    int ret;
    for (size_t i = 0; i < depth; i++)
        ic_buf_append(&b, &head, 1);
    ic_buf_append(&b, tail, strlen(tail));
    ret = ic_cbor_open(b.bytes, b.len, &item);
    ic_buf_fini(&b);
    return ret;
}

static void test_depth(void)
{
    struct ic_buf b = {0};
    struct ic_view item;

    TAP_INT(open_nested(0x81, IC_CBOR_DEPTH - 1, "\x01"), 0, "the deepest array there may be");
    TAP_INT(open_nested(0x81, IC_CBOR_DEPTH, "\x01"), -EPROTO, "one deeper");
    TAP_INT(open_nested(0xc0, 1000000, "\x01"), -EPROTO, "a million tags");
    TAP_INT(open_nested(0x9f, 1000000, "\x01"), -EPROTO, "a million indefinite arrays");
    for (int i = 0; i <= IC_CBOR_MAP_DEPTH; i++)
        ic_buf_append(&b, "\xa1\x61\x61", 3);
    ic_buf_append(&b, "\x01", 1);
    TAP_INT(ic_cbor_open(b.bytes, b.len, &item), -EPROTO, "maps nest less deep");
    TAP_INT(ic_cbor_open(b.bytes + 3, b.len - 3, &item), 0, "one less is fine");
    ic_buf_fini(&b);
}

static void put_map_of(struct ic_buf *b, size_t n)
{
    ic_cbor_put_map(b, n);
    for (size_t i = 0; i < n; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%zu", i);
        ic_cbor_put_text(b, key);
        ic_cbor_put_uint(b, i);
    }
}

static void test_map_size(void)
{
    struct ic_buf b = {0};
    struct ic_view item;
    struct ic_cbor_map map;
    uint64_t value = 0;

    put_map_of(&b, IC_CBOR_MAP_KEYS);
    TAP_INT(ic_cbor_open(b.bytes, b.len, &item), 0, "as many keys as there may be");
    TAP_INT(ic_cbor_map(item, &map), 0, "taken apart");
    TAP_INT((int64_t)map.n, IC_CBOR_MAP_KEYS, "all of them");
    TAP_INT(ic_cbor_map_uint(&map, "k63", &value), 0, "the last is found");
    TAP_INT((int64_t)value, 63, "with its value");
    b.len = 0;
    put_map_of(&b, IC_CBOR_MAP_KEYS + 1);
    TAP_INT(ic_cbor_open(b.bytes, b.len, &item), -EPROTO, "one more is refused");
    TAP_INT(ic_cbor_map(ic_view(b.bytes, b.len), &map), -EPROTO, "also unchecked");
    ic_buf_fini(&b);
}

static void test_round_trip(void)
{
    static const uint64_t numbers[] = {0,     23,    24,         255,        256,
                                       65535, 65536, UINT32_MAX, 1ULL << 32, UINT64_MAX};
    struct ic_buf b = {0};
    struct ic_view root, item, view;
    struct ic_cbor_map map;
    struct ic_cbor_array array;
    uint64_t value;
    size_t n = sizeof(numbers) / sizeof(numbers[0]);
    bool same = true;

    ic_cbor_put_self_described(&b);
    ic_cbor_put_map(&b, 3);
    ic_cbor_put_text(&b, "numbers");
    ic_cbor_put_array(&b, n);
    for (size_t i = 0; i < n; i++)
        ic_cbor_put_uint(&b, numbers[i]);
    ic_cbor_put_text(&b, "bytes");
    ic_cbor_put_bytes(&b, ic_view("\0\xff", 2));
    ic_cbor_put_text(&b, "empty");
    ic_cbor_put_bytes(&b, ic_view(NULL, 0));
    TAP_INT(ic_buf_status(&b), 0, "written");
    TAP_MEM(b.bytes, "\xd9\xd9\xf7\xa3\x67", 5, "tag, map of three, text of seven");

    TAP_INT(ic_cbor_open(b.bytes, b.len, &root), 0, "opens");
    TAP_INT(ic_cbor_map(root, &map), 0, "is a map");
    TAP_INT(ic_cbor_map_bytes(&map, "bytes", &view), 0, "bytes are there");
    TAP_OK(ic_view_equal(view, ic_view("\0\xff", 2)), "and the same");
    TAP_OK(view.bytes > b.bytes && view.bytes < b.bytes + b.len, "a view, not a copy");
    TAP_INT(ic_cbor_map_bytes(&map, "empty", &view), 0, "empty bytes are there");
    TAP_INT((int64_t)view.len, 0, "and empty");
    TAP_INT(ic_cbor_map_bytes(&map, "other", &view), -ENOENT, "no such key");
    TAP_INT(ic_cbor_map_text(&map, "bytes", &view), -EPROTO, "bytes are not text");
    TAP_INT(ic_cbor_map_uint(&map, "bytes", &value), -EPROTO, "nor a number");

    TAP_INT(ic_cbor_map_find(&map, "numbers", &item), 0, "the array is there");
    TAP_INT(ic_cbor_array(item, &array), 0, "is an array");
    for (size_t i = 0; i < n; i++) {
        struct ic_cursor c;
        struct ic_cbor_item head;
        same = same && ic_cbor_array_next(&array, &item) == 0;
        c = ic_cursor(item.bytes, item.len);
        same = same && ic_cbor_next(&c, &head) == 0 && head.kind == IC_CBOR_UINT &&
               head.value == numbers[i];
    }
    TAP_OK(same, "all numbers come back");
    TAP_INT(ic_cbor_array_next(&array, &item), -ENOENT, "and then it ends");
    ic_buf_fini(&b);
}

static void test_text(void)
{
    struct ic_buf b;
    struct ic_view item, view;
    struct ic_cbor_map map;

    TAP_INT(open_hex("a2616162ff00616262c3a9", &b, &item), 0, "text is not checked by open");
    TAP_INT(ic_cbor_map(item, &map), 0, "nor by the map");
    TAP_INT(ic_cbor_map_text(&map, "a", &view), -EPROTO, "but when it is taken as text");
    TAP_INT(ic_cbor_map_text(&map, "b", &view), 0, "UTF-8 is fine");
    ic_buf_fini(&b);
}

/* Every prefix and every single-byte change of a real message: an answer, never a crash. */
static void test_mangled(const char *data_dir)
{
    struct ic_buf b = vector_file(data_dir, "client/root_003_query_greet.resp.bin");
    struct ic_view item;
    size_t n_cut = 0, n_changed = 0;

    for (size_t len = 0; len < b.len; len++) {
        uint8_t *exact = malloc(len + 1);
        if (!exact)
            vector_die("malloc", "prefix");
        memcpy(exact, b.bytes, len);
        n_cut += ic_cbor_open(exact, len, &item) == 0;
        free(exact);
    }
    TAP_INT((int64_t)n_cut, 0, "no prefix is taken for the whole");
    for (size_t i = 0; i < b.len; i++)
        for (unsigned v = 0; v < 256; v++) {
            uint8_t old = b.bytes[i];
            struct ic_cbor_map map;
            b.bytes[i] = (uint8_t)v;
            if (ic_cbor_open(b.bytes, b.len, &item) == 0 && ic_cbor_map(item, &map) == 0)
                n_changed++;
            b.bytes[i] = old;
        }
    TAP_OK(n_changed > b.len, "changed bytes inside strings still parse");
    ic_buf_fini(&b);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 1;
    test_accepted();
    test_refused();
    test_depth();
    test_map_size();
    test_round_trip();
    test_text();
    test_mangled(argv[1]);
    return tap_done();
}
