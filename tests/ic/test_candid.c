/* Candid: bytes of the specification's kind, hostile claims, round trips. The official suite is in
 * test_candid_suite.c. */
#include "ic/candid.h"
#include "tests/support/random_candid.h"
#include "tests/tap.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

TAP_STATE;

static size_t from_hex(const char *hex, uint8_t *out)
{
    size_t n = 0;
    for (; hex[0] && hex[1]; hex += 2) {
        unsigned byte;
        if (hex[0] == ' ') {
            hex--;
            continue;
        }
        sscanf(hex, "%2x", &byte);
        out[n++] = (uint8_t)byte;
    }
    return n;
}

/* Decode hex; NULL when refused. The bytes must outlive the message. */
static struct ic_candid *decode(const char *hex, uint8_t *bytes, int *result)
{
    struct ic_candid *msg = NULL;
    struct ic_error err = {0};
    size_t len = from_hex(hex, bytes);
    *result = ic_candid_decode(bytes, len, NULL, &msg, &err);
    return *result == 0 ? msg : NULL;
}

static void test_hash(void)
{
    TAP_INT(ic_candid_hash("", 0), 0, "hash of the empty name");
    TAP_INT(ic_candid_hash("id", 2), 23515, "of id");
    TAP_INT(ic_candid_hash("owner", 5), 947296307, "of owner");
    TAP_INT(ic_candid_hash("\xe2\x98\x83", 3), 11272781, "of a snowman: bytes are unsigned");
}

static void test_accepted(void)
{
    static const struct {
        const char *hex;
        const char *what;
    } rows[] = {
        {"4449444c 00 00", "no arguments"},
        {"4449444c 00 01 7e 01", "bool"},
        {"4449444c 00 01 7d 8000", "an overlong nat"},
        {"4449444c 00 01 7c ff00", "an int of two bytes"},
        {"4449444c 00 01 7d ffffffffffffffffffffffffffffffff7f", "a nat of 119 bits"},
        {"4449444c 00 01 71 03 e29883", "text"},
        {"4449444c 00 01 68 01 00", "the empty principal"},
        {"4449444c 01 6d 7b 01 00 03 010203", "blob"},
        {"4449444c 01 6d 7f 01 00 e807", "a thousand nulls"},
        {"4449444c 02 6c 02 00 01 01 7e 6e 00 01 01 00", "a recursive type, not taken"},
        {"4449444c 01 6b 02 00 7f 01 7d 01 00 01 05", "a variant"},
        {"4449444c 01 6a 00 00 01 01 01 00 01 01 00 01 61", "a query function"},
        {"4449444c 02 69 01 01 61 01 6a 00 00 00 01 00 01 01 aa", "a service"},
        {"4449444c 01 67 00 01 00 02 00 aabb", "a value of an unknown type"},
        {"4449444c 02 6e 7d 6e 7d 00", "unused and duplicate entries"},
        {"4449444c 00 01 fe7f 01", "an overlong reference to bool"},
    };
    uint8_t bytes[64];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int result;
        struct ic_candid *msg = decode(rows[i].hex, bytes, &result);
        TAP_INT(result, 0, rows[i].what);
        ic_candid_free(msg);
    }
}

static void test_refused(void)
{
    static const struct {
        const char *hex;
        const char *what;
    } rows[] = {
        {"", "nothing"},
        {"4449", "half a magic"},
        {"4449444d 00 00", "another magic"},
        {"4449444c", "no table"},
        {"4449444c 00", "no arguments"},
        {"4449444c 00 00 00", "a byte too many"},
        {"4449444c 00 01 7e", "a bool cut off"},
        {"4449444c 00 01 7e 02", "a bool of 2"},
        {"4449444c 00 01 7d 80", "a nat cut off"},
        {"4449444c 00 01 71 02 c328", "text that is not UTF-8"},
        {"4449444c 00 01 71 ffffffff0f 61", "text longer than the message"},
        {"4449444c 00 01 68 00", "an opaque principal"},
        {"4449444c 00 01 68 01 1e 000000000000000000000000000000000000000000000000000000000000",
         "a principal of 30 bytes"},
        {"4449444c 00 01 6f", "a value of the type empty"},
        {"4449444c 00 01 00", "an index beyond the table"},
        {"4449444c 00 01 6e", "a constructor in place of a reference"},
        {"4449444c 00 01 67", "an unknown code in place of a reference"},
        {"4449444c 01 7e 00", "a primitive as an entry"},
        {"4449444c 01 68 00", "principal as an entry"},
        {"4449444c 01 00 00", "an index as an entry"},
        {"4449444c 01 6c 02 01 7e 00 7e 00", "fields out of order"},
        {"4449444c 01 6c 02 01 7e 01 7e 00", "a field twice"},
        {"4449444c 01 6c 01 8080808010 7e 00", "a field id above 32 bits"},
        {"4449444c 01 69 01 01 61 7d 00", "a method that is a nat"},
        {"4449444c 02 69 02 01 62 01 01 61 01 6a 00 00 00 00", "methods out of order"},
        {"4449444c 01 6a 00 00 01 04 00", "an unknown mode"},
        {"4449444c 01 6a 00 00 02 01 02 00", "two modes"},
        {"4449444c 01 6b 01 00 7f 01 00 01", "a case that the variant lacks"},
        {"4449444c 01 6e 7d 01 00 02", "an opt of 2"},
        {"4449444c ffffffff0f", "a table of 2^32 entries"},
        {"4449444c 01 6c ffffffff0f", "a record of 2^32 fields"},
        {"4449444c 01 6d 7b 01 00 ffffffff0f", "a blob of 2^32 bytes"},
        {"4449444c 01 6d 7f 01 00 8094ebdc03", "a thousand million nulls"},
        {"4449444c 02 6c 00 6d 00 01 01 8094ebdc03", "a thousand million empty records"},
        {"4449444c 01 6c 01 00 00 01 00", "a record that holds itself"},
        {"4449444c 00 ffffffff0f", "2^32 arguments"},
        {"4449444c 01 67 00 01 00 00 01", "a reference in an unknown type"},
        {"4449444c 00 01 7e 808080808080808080808000", "a length that never ends"},
    };
    uint8_t bytes[96];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int result;
        struct ic_candid *msg = decode(rows[i].hex, bytes, &result);
        TAP_INT(result, -EPROTO, rows[i].what);
        ic_candid_free(msg);
    }
}

/* Twenty records, each twice the next: 2^20 values in some hundred bytes. */
static void test_doubling(void)
{
    uint8_t bytes[256] = "DIDL";
    size_t n = 4;
    bytes[n++] = 21;
    for (uint8_t i = 0; i < 20; i++) {
        const uint8_t entry[] = {0x6c, 2, 0, (uint8_t)(i + 1), 1, (uint8_t)(i + 1)};
        memcpy(bytes + n, entry, sizeof(entry));
        n += sizeof(entry);
    }
    const uint8_t end[] = {0x6c, 0, 1, 0};
    memcpy(bytes + n, end, sizeof(end));
    n += sizeof(end);
    struct ic_candid *msg = NULL;
    TAP_INT(ic_candid_decode(bytes, n, NULL, &msg, NULL), -EPROTO, "values are charged, not bytes");
    ic_candid_free(msg);
}

/* (record { version = 7; mtime_ns = 9; size = 65536 : nat64 }) with ids in the order of hashes. */
static void test_record(void)
{
    static struct ic_type_field fields[3];
    const char *names[] = {"version", "mtime_ns", "size"};
    const uint64_t numbers[] = {7, 9, 65536};
    struct ic_value items[3];
    size_t order[] = {0, 1, 2};
    for (size_t i = 0; i < 3; i++)
        for (size_t j = i + 1; j < 3; j++)
            if (ic_candid_hash(names[order[j]], strlen(names[order[j]])) <
                ic_candid_hash(names[order[i]], strlen(names[order[i]]))) {
                size_t swap = order[i];
                order[i] = order[j];
                order[j] = swap;
            }
    for (size_t i = 0; i < 3; i++) {
        fields[i].id = ic_candid_hash(names[order[i]], strlen(names[order[i]]));
        fields[i].type = &ic_type_nat64;
        items[i] = ic_nat64(numbers[order[i]]);
    }
    static struct ic_type record = {.kind = IC_TYPE_RECORD};
    record.as.fields.fields = fields;
    record.as.fields.n = 3;
    const struct ic_value value = {.type = &record, .as.seq = {items, 3}};
    struct ic_buf buf = {0};
    struct ic_candid *msg = NULL;
    TAP_INT(ic_candid_encode(&value, 1, &buf, NULL), 0, "a record is encoded");
    TAP_INT(ic_candid_decode(buf.bytes, buf.len, NULL, &msg, NULL), 0, "and decoded");
    const struct ic_value *v = ic_candid_arg(msg, 0);
    uint64_t n = 0;
    for (size_t i = 0; i < 3; i++)
        TAP_OK(ic_value_nat64(ic_value_field(v, names[i]), &n) == 0 && n == numbers[i], names[i]);
    TAP_OK(!ic_value_field(v, "nothing"), "no other field");
    TAP_INT(ic_value_nat64(ic_value_field(ic_value_field(v, "x"), "y"), &n), -EPROTO,
            "accessors chain through what is not there");
    ic_candid_free(msg);
    fields[1].id = fields[0].id;
    buf.len = 0;
    TAP_INT(ic_candid_encode(&value, 1, &buf, NULL), -EINVAL, "fields out of order are refused");
    ic_buf_fini(&buf);
}

static void test_blob(void)
{
    size_t len = 3000000;
    uint8_t *content = malloc(len);
    for (size_t i = 0; i < len; i++)
        content[i] = (uint8_t)(i * 7);
    const struct ic_value args[] = {ic_blob(content, len), ic_nat64(UINT64_MAX), ic_text("ok")};
    struct ic_buf buf = {0};
    struct ic_candid *msg = NULL;
    TAP_INT(ic_candid_encode(args, 3, &buf, NULL), 0, "a large blob is encoded");
    TAP_INT(ic_candid_decode(buf.bytes, buf.len, NULL, &msg, NULL), 0, "and decoded");
    struct ic_view blob = {0};
    TAP_INT(ic_value_blob(ic_candid_arg(msg, 0), &blob), 0, "as a blob");
    TAP_OK(blob.len == len && blob.bytes > buf.bytes && blob.bytes + len <= buf.bytes + buf.len,
           "that is a view into the message");
    TAP_OK(memcmp(blob.bytes, content, len) == 0, "of the same bytes");
    uint64_t n;
    TAP_OK(ic_value_nat64(ic_candid_arg(msg, 1), &n) == 0 && n == UINT64_MAX, "nat64");
    TAP_INT(ic_value_blob(ic_candid_arg(msg, 1), &blob), -EPROTO, "a nat64 is no blob");
    TAP_OK(!ic_candid_arg(msg, 3), "three arguments");
    struct ic_value byte;
    TAP_OK(ic_value_at(ic_candid_arg(msg, 0), 5, &byte) == 0 && byte.as.nat == 35, "an element");
    TAP_INT(ic_value_at(ic_candid_arg(msg, 0), len, &byte), -EPROTO, "not beyond the end");
    ic_candid_free(msg);
    ic_buf_fini(&buf);
    free(content);
}

/* (variant { ok : blob; err : nat8 }) with ok = 01 02. Tags sort as ok 24860 < err 5048165. */
static void test_variant(void)
{
    uint8_t bytes[64];
    int result;
    struct ic_candid *msg =
        decode("4449444c 02 6d7b 6b02 9cc201 00 e58eb402 7b 01 01 00 02 0102", bytes, &result);
    TAP_INT(result, 0, "a variant of the convention");
    struct ic_view blob = {0};
    const struct ic_value *v = ic_candid_arg(msg, 0);
    TAP_OK(ic_value_blob(ic_value_case(v, "ok"), &blob) == 0 && blob.len == 2, "its case");
    TAP_OK(!ic_value_case(v, "err"), "and no other");
    ic_candid_free(msg);
}

/* Whatever was decoded encodes again to something that decodes to the same bytes. */
static void test_round_trips(void)
{
    static const char *const rows[] = {
        "4449444c 02 6c 02 00 01 01 7e 6e 00 01 00 01 00 01 01",
        "4449444c 01 6a 01 7d 01 7c 01 01 01 00 01 01 00 01 61",
        "4449444c 02 69 01 01 61 01 6a 00 00 00 01 00 01 01 aa",
        "4449444c 01 6d 7c 01 00 03 7f 00 ff00",
        "4449444c 01 6d 78 01 00 02 0100000000000000 ffffffffffffffff",
        ("4449444c 00 06 73 72 77 76 75 74 0000803f 000000000000f03f 80 0080 00000080 "
         "0000000000000080"),
    };
    uint8_t bytes[128];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int result;
        struct ic_candid *msg = decode(rows[i], bytes, &result);
        struct ic_buf buf = {0};
        size_t n = msg ? ic_candid_count(msg) : 0;
        struct ic_value *args = calloc(n + 1, sizeof(*args));
        for (size_t j = 0; j < n; j++)
            args[j] = *ic_candid_arg(msg, j);
        result = ic_candid_encode(args, n, &buf, NULL);
        size_t len = from_hex(rows[i], bytes);
        TAP_OK(result == 0 && buf.len == len && memcmp(buf.bytes, bytes, len) == 0, rows[i]);
        free(args);
        ic_buf_fini(&buf);
        ic_candid_free(msg);
    }
}

/* The same of random messages; and those are in their shortest form already. */
static void test_random(void)
{
    unsigned n_same = 0, n_args = 0;
    for (uint64_t seed = 0; seed < 3000; seed++) {
        struct random_candid random;
        struct ic_value args[6];
        struct ic_buf first = {0}, second = {0};
        struct ic_candid *msg = NULL;
        struct ic_error err = {0};
        size_t n;
        random_candid_init(&random, seed);
        random.with_futures = true;
        n = random_candid_args(&random, args, 6);
        n_args += n > 2;
        if (ic_candid_encode(args, n, &first, &err) == 0 &&
            ic_candid_decode(first.bytes, first.len, NULL, &msg, &err) == 0) {
            for (size_t i = 0; i < n; i++)
                args[i] = *ic_candid_arg(msg, i);
            if (ic_candid_encode(args, n, &second, &err) == 0 && first.len == second.len &&
                memcmp(first.bytes, second.bytes, first.len) == 0)
                n_same++;
        }
        if (n_same <= seed) {
            printf("# seed %u: %s\n", (unsigned)seed, err.message);
            n_same++;
            TAP_OK(false, "a random message encodes again to the same bytes");
        }
        ic_candid_free(msg);
        ic_buf_fini(&first);
        ic_buf_fini(&second);
        random_candid_fini(&random);
    }
    TAP_INT(n_same, 3000, "random messages encode again to the same bytes");
    TAP_OK(n_args > 500, "many of them are of several values");
}

/* Every prefix and every single changed byte of a message: no crash, no leak, and the error is one
 * of ours (the sanitizer builds watch). */
static void test_damage(void)
{
    uint8_t bytes[64];
    const char *hex = "4449444c 02 6d7b 6b02 9cc201 00 e58eb402 7b 02 01 71 00 02 0102 03 616263";
    size_t len = from_hex(hex, bytes);
    unsigned n_other = 0;
    for (size_t i = 0; i < len; i++) {
        for (unsigned x = 0; x < 256; x++) {
            struct ic_candid *msg = NULL;
            uint8_t before = bytes[i];
            bytes[i] = (uint8_t)x;
            int result = ic_candid_decode(bytes, x == 0 ? i : len, NULL, &msg, NULL);
            bytes[i] = before;
            if (result != 0 && result != -EPROTO)
                n_other++;
            ic_candid_free(msg);
        }
    }
    TAP_INT(n_other, 0, "damaged messages are refused or decoded, nothing else");
}

/* Vectors of nothing: one element is kept, all are counted. */
static void test_zero_width(void)
{
    /* (vec record { null; reserved }) with 1000 elements, then 21000 and 22000 */
    static const struct {
        const char *hex;
        int want;
        const char *what;
    } rows[] = {
        {"4449444c 02 6d01 6c02 00 7f 01 70 01 00 e807", 0, "a thousand records of nothing"},
        {"4449444c 02 6d01 6c02 00 7f 01 70 01 00 88a401", 0, "three charged for each: 21000 fit"},
        {"4449444c 02 6d01 6c02 00 7f 01 70 01 00 d8b301", -EPROTO, "23000 do not"},
        {"4449444c 02 6d01 6c01 00 01 01 00 01", -EPROTO, "a record of itself has no values"},
        {"4449444c 01 6d 6f 01 00 00", 0, "an empty vector of the type empty"},
        {"4449444c 01 6d 6f 01 00 01", -EPROTO, "a value of it"},
    };
    uint8_t bytes[64];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int result;
        struct ic_candid *msg = decode(rows[i].hex, bytes, &result);
        TAP_INT(result, rows[i].want, rows[i].what);
        if (i == 0) {
            struct ic_value item;
            TAP_INT((int64_t)ic_value_count(ic_candid_arg(msg, 0)), 1000, "counts its elements");
            TAP_INT(ic_value_at(ic_candid_arg(msg, 0), 999, &item), 0, "has a last one");
            TAP_INT((int64_t)ic_value_count(&item), 2, "which is a record");
            TAP_INT(ic_value_at(ic_candid_arg(msg, 0), 1000, &item), -EPROTO, "and none after");
        }
        ic_candid_free(msg);
    }
}

/* Numbers of any length, and which of them fit 64 bits. */
static void test_unbounded(void)
{
    static const struct {
        const char *hex;
        int want;
        uint64_t nat;
        const char *what;
    } nats[] = {
        {"4449444c 00 01 7d ffffffffffffffffff01", 0, UINT64_MAX, "2^64 - 1"},
        {"4449444c 00 01 7d 80808080808080808002", -EPROTO, 0, "2^64"},
        {"4449444c 00 01 7d ffffffffffffffffff818000", 0, UINT64_MAX, "2^64 - 1, padded"},
        {"4449444c 00 01 78 ffffffffffffffff", 0, UINT64_MAX, "a nat64"},
        {"4449444c 00 01 7b 07", 0, 7, "a nat8"},
        {"4449444c 00 01 77 07", -EPROTO, 0, "an int8 is no nat"},
        {"4449444c 00 01 7c 07", -EPROTO, 0, "an int is no nat"},
    };
    static const struct {
        const char *hex;
        int want;
        int64_t integer;
        const char *what;
    } ints[] = {
        {"4449444c 00 01 7c 7f", 0, -1, "-1"},
        {"4449444c 00 01 7c ff00", 0, 127, "127 in two bytes"},
        {"4449444c 00 01 7c 8080808080808080807f", 0, INT64_MIN, "-2^63"},
        {"4449444c 00 01 7c ffffffffffffffffff00", 0, INT64_MAX, "2^63 - 1"},
        {"4449444c 00 01 7c 80808080808080808001", -EPROTO, 0, "2^63"},
        {"4449444c 00 01 7c ffffffffffffffffff7e", -EPROTO, 0, "-2^63 - 1"},
        {"4449444c 00 01 7c ffffffffffffffffffffffff7f", 0, -1, "-1, padded"},
        {"4449444c 00 01 77 80", 0, -128, "an int8"},
        {"4449444c 00 01 75 00000080", 0, INT32_MIN, "an int32"},
        {"4449444c 00 01 7d 07", -EPROTO, 0, "a nat is no int"},
    };
    uint8_t bytes[64];
    int result;
    for (size_t i = 0; i < sizeof(nats) / sizeof(nats[0]); i++) {
        struct ic_candid *msg = decode(nats[i].hex, bytes, &result);
        uint64_t n = 0;
        TAP_INT(ic_value_nat64(ic_candid_arg(msg, 0), &n), nats[i].want, nats[i].what);
        TAP_OK(n == nats[i].nat, "its value");
        ic_candid_free(msg);
    }
    for (size_t i = 0; i < sizeof(ints) / sizeof(ints[0]); i++) {
        struct ic_candid *msg = decode(ints[i].hex, bytes, &result);
        int64_t n = 0;
        TAP_INT(ic_value_int64(ic_candid_arg(msg, 0), &n), ints[i].want, ints[i].what);
        TAP_INT(n, ints[i].integer, "its value");
        ic_candid_free(msg);
    }
    const struct ic_value no_nat = {.type = &ic_type_nat}, no_int = {.type = &ic_type_int};
    uint64_t n;
    int64_t integer;
    TAP_INT(ic_value_nat64(&no_nat, &n), -EPROTO, "a nat without bytes");
    TAP_INT(ic_value_int64(&no_int, &integer), -EPROTO, "an int without bytes");
}

/* 8192 bytes of one number are the most; opts may nest 255 deep around a value. */
static void test_lengths(void)
{
    static uint8_t bytes[20000];
    struct ic_candid *msg = NULL;
    for (int over = 0; over <= 1; over++) {
        size_t n = 7;
        memcpy(bytes, "DIDL\0\1\x7d", n);
        memset(bytes + n, 0x80, 8191 + (size_t)over);
        n += 8191 + (size_t)over;
        bytes[n++] = 0;
        TAP_INT(ic_candid_decode(bytes, n, NULL, &msg, NULL), over ? -EPROTO : 0,
                over ? "a number of 8193 bytes" : "a number of 8192 bytes");
        if (!over)
            ic_candid_free(msg);
    }
    for (int over = 0; over <= 1; over++) {
        size_t n = 9;
        memcpy(bytes, "DIDL\1\x6e\0\1\0", n); /* type O = opt O */
        memset(bytes + n, 1, 255 + (size_t)over);
        n += 255 + (size_t)over;
        bytes[n++] = 0;
        TAP_INT(ic_candid_decode(bytes, n, NULL, &msg, NULL), over ? -EPROTO : 0,
                over ? "257 opts in each other" : "256 opts in each other");
        if (!over)
            ic_candid_free(msg);
    }
}

/* The limits a caller may set. */
static void test_limits(void)
{
    const struct ic_candid_limits values = {.max_values = 3}, depth = {.max_depth = 1},
                                  types = {.max_types = 1}, memory = {.max_memory = 100};
    uint8_t bytes[64];
    size_t len = from_hex("4449444c 02 6e7d 6d00 01 01 02 01 05 00", bytes); /* vec opt nat */
    struct ic_candid *msg = NULL;
    struct ic_error err = {0};
    TAP_INT(ic_candid_decode(bytes, len, &values, &msg, &err), -EPROTO, "too many values");
    TAP_INT(ic_candid_decode(bytes, len, &depth, &msg, &err), -EPROTO, "too deep");
    TAP_INT(ic_candid_decode(bytes, len, &types, &msg, &err), -EPROTO, "too many types");
    TAP_INT(ic_candid_decode(bytes, len, &memory, &msg, &err), -EPROTO, "too much memory");
    TAP_INT(err.code, IC_E_MALFORMED, "is the message's fault");
    TAP_OK(msg == NULL, "nothing came out");
    TAP_INT(ic_candid_decode(NULL, 0, NULL, &msg, &err), -EPROTO, "no bytes at all");
}

/* What cannot be encoded. */
static void test_unencodable(void)
{
    static const struct ic_type opt_text = {.kind = IC_TYPE_OPT, .as.elem = &ic_type_text};
    static const struct ic_type vec_text = {.kind = IC_TYPE_VEC, .as.elem = &ic_type_text};
    static const struct ic_type_field cases[] = {{1, &ic_type_null}, {2, &ic_type_text}};
    static const struct ic_type variant = {.kind = IC_TYPE_VARIANT, .as.fields = {cases, 2}};
    const uint8_t blob[30] = {0};
    const struct ic_value nat = ic_nat64(1), text = ic_text("x");
    const struct {
        struct ic_value value;
        int want;
        const char *what;
    } rows[] = {
        {{.type = &opt_text, .as.opt = &text}, 0, "opt text"},
        {{.type = &opt_text}, 0, "none"},
        {{.type = &opt_text, .as.opt = &nat}, -EINVAL, "opt text that holds a nat64"},
        {{.type = &vec_text, .as.seq = {&text, 1}}, 0, "vec text"},
        {{.type = &vec_text, .as.seq = {&nat, 1}}, -EINVAL, "vec text that holds a nat64"},
        {{.type = &variant, .as.variant = {&text, 1}}, 0, "a variant"},
        {{.type = &variant, .as.variant = {&text, 0}}, -EINVAL, "a case of another type"},
        {{.type = &variant, .as.variant = {&text, 2}}, -EINVAL, "a case it has not"},
        {{.type = &ic_type_text, .as.text = {(const uint8_t *)"\xff", 1}}, -EINVAL, "no UTF-8"},
        {{.type = &ic_type_principal, .as.bytes = {blob, 30}}, -EINVAL, "a principal of 30 bytes"},
        {{.type = &ic_type_nat, .as.leb = {(const uint8_t *)"\x80", 1}}, -EINVAL, "a nat cut off"},
        {{.type = &ic_type_nat, .as.leb = {(const uint8_t *)"\x80\x00", 2}}, 0, "a padded nat"},
        {{.type = &ic_type_empty}, -EINVAL, "a value of the type empty"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ic_buf out = {0};
        TAP_INT(ic_candid_encode(&rows[i].value, 1, &out, NULL), rows[i].want, rows[i].what);
        ic_buf_fini(&out);
    }
}

/* The worked example of the convention's write: (nat64, blob) and its bytes. */
static void test_bytes(void)
{
    const struct ic_value args[] = {ic_nat64(65536), ic_blob("hi", 2)};
    struct ic_buf out = {0};
    uint8_t want[64];
    size_t len = from_hex("4449444c 01 6d7b 02 78 00 0000010000000000 02 6869", want);
    TAP_INT(ic_candid_encode(args, 2, &out, NULL), 0, "(nat64, blob)");
    TAP_OK(out.len == len && memcmp(out.bytes, want, len) == 0, "in these bytes");
    ic_buf_fini(&out);
    len = from_hex("4449444c 00 00", want);
    TAP_INT(ic_candid_encode(NULL, 0, &out, NULL), 0, "()");
    TAP_OK(out.len == len && memcmp(out.bytes, want, len) == 0, "in these bytes");
    ic_buf_fini(&out);
}

/* The types with the most memory per byte: a legitimate reply of 2 MB always fits. */
static void test_memory_per_byte(void)
{
    static const struct {
        const char *header; /* up to the number of elements */
        const char *what;
    } rows[] = {
        {"4449444c 02 6d01 6b02 00 7f 01 7f 01 00", "a vec of a variant of two names"},
        {"4449444c 02 6d01 6c01 00 7b 01 00", "a vec of records of one nat8"},
        {"4449444c 03 6d01 6c01 00 02 6b02 00 7f 01 7f 01 00", "a vec of records of one name"},
        {"4449444c 04 6d01 6c01 00 02 6c01 00 03 6b02 00 7f 01 7f 01 00", "one level more"},
        {"4449444c 02 6d01 6e 7f 01 00", "a vec of opt null"},
        {"4449444c 02 6d01 6d 7b 01 00", "a vec of blobs"},
        {"4449444c 01 6d 7d 01 00", "a vec of nats"},
    };
    size_t n = 2000000;
    struct ic_buf buf = {0};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t header[32];
        struct ic_candid *msg = NULL;
        buf.len = 0;
        ic_buf_append(&buf, header, from_hex(rows[i].header, header));
        ic_buf_append_leb64(&buf, n);
        for (size_t k = 0; k < n; k++) /* every element is one byte; a blob of one would be two */
            ic_buf_append(&buf, i == 5 ? "\0" : "\1", 1);
        TAP_INT(ic_candid_decode(buf.bytes, buf.len, NULL, &msg, NULL), 0, rows[i].what);
        TAP_INT(msg ? (int64_t)ic_value_count(ic_candid_arg(msg, 0)) : 0, (int64_t)n, "all of it");
        ic_candid_free(msg);
    }
    ic_buf_fini(&buf);
}

/* Many types that all refer to the last one. */
static void test_many_types(void)
{
    enum { N = 200000 };
    struct ic_type *types = calloc(N, sizeof(*types));
    struct ic_type_field *fields = calloc(N, sizeof(*fields));
    struct ic_value *items = calloc(N, sizeof(*items));
    struct ic_buf buf = {0};
    struct ic_candid *msg = NULL;
    clock_t start;

    if (!types || !fields || !items)
        abort();
    for (size_t i = 0; i < N; i++) {
        types[i] = (struct ic_type){.kind = IC_TYPE_OPT, .as.elem = &types[N - 1]};
        fields[i] = (struct ic_type_field){(uint32_t)i, &types[i]};
        items[i] = (struct ic_value){.type = &types[i]};
    }
    types[N - 1].as.elem = &ic_type_nat;
    const struct ic_type record = {.kind = IC_TYPE_RECORD, .as.fields = {fields, N}};
    const struct ic_value v = {.type = &record, .as.seq = {items, N}};
    const struct ic_candid_limits limits = {.max_types = N + 1};

    start = clock();
    TAP_INT(ic_candid_encode(&v, 1, &buf, NULL), 0, "two hundred thousand types are encoded");
    TAP_OK(clock() - start < CLOCKS_PER_SEC,
           "in time that grows with their number, not its square");
    TAP_INT(ic_candid_decode(buf.bytes, buf.len, &limits, &msg, NULL), 0, "and decoded");
    const struct ic_type *again = msg ? ic_candid_arg(msg, 0)->type : &ic_type_null;
    TAP_INT((int64_t)(again->kind == IC_TYPE_RECORD ? again->as.fields.n : 0), N, "all there");
    unsigned n_wrong = 0;
    for (size_t i = 0; i < N && again->kind == IC_TYPE_RECORD; i++) {
        const struct ic_type *opt = again->as.fields.fields[i].type;
        const struct ic_type *last = again->as.fields.fields[N - 1].type;
        n_wrong += opt->kind != IC_TYPE_OPT || opt->as.elem != (i < N - 1 ? last : &ic_type_nat);
    }
    TAP_INT(n_wrong, 0, "each refers to what it did");
    ic_candid_free(msg);
    ic_buf_fini(&buf);
    free(items);
    free(fields);
    free(types);
}

int main(void)
{
    test_hash();
    test_accepted();
    test_refused();
    test_doubling();
    test_record();
    test_blob();
    test_variant();
    test_round_trips();
    test_random();
    test_damage();
    test_zero_width();
    test_unbounded();
    test_lengths();
    test_limits();
    test_memory_per_byte();
    test_unencodable();
    test_many_types();
    test_bytes();
    return tap_done();
}
