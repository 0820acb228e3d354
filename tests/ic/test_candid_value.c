/* Equality of Candid values. */
#include "tests/ic/candid_hex.h"
#include "tests/tap.h"

TAP_STATE;

/* The first argument of a message. */
static const struct ic_value *first(const struct ic_buf *message, struct ic_candid **msg)
{
    struct ic_error err = {0};
    if (ic_candid_decode(message->bytes, message->len, NULL, msg, &err) < 0)
        candid_die("not a message", err.message);
    return ic_candid_arg(*msg, 0);
}

static void test_equality(void)
{
    static const struct {
        const char *a, *b;
        bool equal;
        const char *what;
    } rows[] = {
        {"00 01 7f", "00 01 7f", true, "null"},
        {"00 01 7f", "01 6e7d 01 00 00", true, "null and none"},
        {"01 6e7d 01 00 00", "01 6e7e 01 00 00", true, "none of this and none of that"},
        {"01 6e7f 01 00 01", "01 6e7f 01 00 00", false, "some null and none"},
        {"02 6e01 6e7d 01 00 01 00", "02 6e01 6e7d 01 00 00", false, "some none and none"},
        {"01 6e7d 01 00 01 05", "01 6e7d 01 00 01 8500", true, "some 5"},
        {"01 6e7d 01 00 01 05", "00 01 7d 05", false, "some 5 and 5"},
        {"00 01 70", "00 01 70", true, "reserved"},
        {"00 01 70", "00 01 7f", false, "reserved and null"},
        {"00 01 7e 01", "00 01 7e 00", false, "true and false"},
        {"00 01 7d ff00", "00 01 7d ff8000", true, "127 with padding"},
        {"00 01 7d 7f", "00 01 7d ff7f", false, "127 and 16383"},
        {"00 01 7c 7f", "00 01 7c ffff7f", true, "-1 with padding"},
        {"00 01 7c ff00", "00 01 7c ff8000", true, "127 as int with padding"},
        {"00 01 7c 7f", "00 01 7c ff00", false, "-1 and 127"},
        {"00 01 7c bf7f", "00 01 7c bf00", false, "-65 and 63"},
        {"00 01 7c 8000", "00 01 7c 00", true, "0"},
        {"00 01 7d 05", "00 01 7c 05", false, "nat and int"},
        {"00 01 7b 05", "00 01 7a 0500", false, "nat8 and nat16"},
        {"00 01 77 ff", "00 01 77 ff", true, "int8"},
        {"00 01 74 0000000000000080", "00 01 74 0000000000000000", false, "int64 that differ"},
        {"00 01 73 0000c07f", "00 01 73 0000c07f", true, "NaN equals itself"},
        {"00 01 73 0000c07f", "00 01 73 0100c07f", false, "but no other NaN"},
        {"00 01 72 0000000000000080", "00 01 72 0000000000000000", false, "-0 and 0"},
        {"00 01 71 0161", "00 01 71 0161", true, "text"},
        {"00 01 71 0161", "00 01 71 0162", false, "text that differs"},
        {"00 01 68 0101ca", "00 01 68 0101ca", true, "principals"},
        {"00 01 68 0101ca", "00 01 68 0100", false, "principals that differ"},
        {"00 01 68 0101ca", "01 6900 01 00 0101ca", false, "a principal and a service"},
        {"01 6a000000 01 00 01 0101ca 0161", "01 6a017e0000 01 00 01 0101ca 0161", true,
         "functions of one name, whatever their type"},
        {"01 6a000000 01 00 01 0101ca 0161", "01 6a000000 01 00 01 0101ca 0162", false,
         "functions of two names"},
        {"01 6a000000 01 00 01 0101ca 0161", "01 6a000000 01 00 01 0101cb 0161", false,
         "of two canisters"},
        {"01 6700 01 00 0100aa", "01 6700 01 00 0100aa", true, "values of unknown type"},
        {"01 6700 01 00 0100aa", "01 6600 01 00 0100aa", false, "of two unknown types"},
        {"01 6d7b 01 00 02 0102", "01 6d7b 01 00 02 0102", true, "blobs"},
        {"01 6d7b 01 00 02 0102", "01 6d7b 01 00 02 0103", false, "blobs that differ"},
        {"01 6d7b 01 00 02 0102", "01 6d7b 01 00 01 01", false, "blobs of two lengths"},
        {"01 6d7b 01 00 02 0102", "01 6d77 01 00 02 0102", false, "nat8 and int8"},
        {"01 6d7b 01 00 00", "01 6d71 01 00 00", true, "empty vecs"},
        {"01 6d71 01 00 02 0161 0162", "01 6d71 01 00 02 0161 0162", true, "a vec of text"},
        {"01 6d71 01 00 02 0161 0162", "01 6d71 01 00 02 0161 0163", false, "that differs"},
        {"01 6d7f 01 00 ff7f", "01 6d7f 01 00 ff7f", true, "16383 nulls"},
        {"01 6d7f 01 00 ff7f", "01 6d7f 01 00 fe7f", false, "one fewer"},
        {"01 6d7f 01 00 05", "01 6d70 01 00 05", false, "nulls and reserveds"},
        {"02 6d01 6e7d 01 00 02 0000", "01 6d7f 01 00 02", true, "nones and nulls"},
        {"02 6d01 6e7d 01 00 02 000105", "01 6d7f 01 00 02", false, "but not a some"},
        {"01 6c02007e017e 01 00 0001", "01 6c02007e017e 01 00 0001", true, "records"},
        {"01 6c02007e017e 01 00 0001", "01 6c02007e017e 01 00 0000", false, "that differ"},
        {"01 6c02007e017e 01 00 0001", "01 6c02007e027e 01 00 0001", false, "of other fields"},
        {"01 6c02007e017e 01 00 0001", "01 6c01007e 01 00 00", false, "of fewer fields"},
        {"01 6c00 01 00", "01 6c00 01 00", true, "of no fields"},
        {"01 6b01017e 01 00 0001", "01 6b02007f017e 01 00 0101", true, "variants by tag"},
        {"01 6b02007e017e 01 00 0001", "01 6b02007e017e 01 00 0101", false, "of two tags"},
        {"01 6b01017e 01 00 0001", "01 6b01017e 01 00 0000", false, "of two payloads"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ic_buf message_a = message_hex(rows[i].a), message_b = message_hex(rows[i].b);
        struct ic_candid *msg_a = NULL, *msg_b = NULL;
        const struct ic_value *a = first(&message_a, &msg_a), *b = first(&message_b, &msg_b);
        TAP_OK(ic_value_equal(a, b) == rows[i].equal, rows[i].what);
        TAP_OK(ic_value_equal(b, a) == rows[i].equal, "the other way round");
        TAP_OK(ic_value_equal(a, a) && ic_value_equal(b, b), "and each to itself");
        ic_candid_free(msg_a);
        ic_candid_free(msg_b);
        ic_buf_fini(&message_a);
        ic_buf_fini(&message_b);
    }
}

/* Made by hand, deeper than any message may be. */
static void test_depth(void)
{
    static struct ic_type types[300];
    static struct ic_value values[300];
    for (int i = 0; i < 300; i++) {
        types[i] =
            (struct ic_type){.kind = IC_TYPE_OPT, .as.elem = i ? &types[i - 1] : &ic_type_nat8};
        values[i] = (struct ic_value){.type = &types[i], .as.opt = i ? &values[i - 1] : NULL};
    }
    TAP_OK(ic_value_equal(&values[200], &values[200]), "200 opts");
    TAP_OK(!ic_value_equal(&values[299], &values[299]), "300 are no value");
}

int main(void)
{
    test_equality();
    test_depth();
    return tap_done();
}
