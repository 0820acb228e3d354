/* Principals against the vectors of the interface spec and the JavaScript agent; errors; buffers.
 */
#include "ic/error.h"
#include "ic/principal.h"
#include "tests/ic/vectors.h"
#include "tests/tap.h"

#include <errno.h>

TAP_STATE;

static void test_valid(json_t *vectors)
{
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(vectors, "valid"), i, v)
    {
        struct ic_buf bytes = vector_unhex(vector_text(v, "hex"));
        const char *text = vector_text(v, "text");
        char formatted[IC_PRINCIPAL_TEXT], upper[IC_PRINCIPAL_TEXT] = {0};
        struct ic_principal p, q;

        TAP_INT(ic_principal_from_bytes(bytes.bytes, bytes.len, &p), 0, "bytes are taken");
        ic_principal_format(&p, formatted);
        TAP_STR(formatted, text, text);
        TAP_INT(ic_principal_parse(text, &q), 0, "text parses");
        TAP_OK(ic_principal_is_equal(&p, &q), "to the same principal");
        for (size_t k = 0; text[k]; k++)
            upper[k] = (char)(text[k] >= 'a' && text[k] <= 'z' ? text[k] - 32 : text[k]);
        memset(&q, 0xff, sizeof(q));
        TAP_INT(ic_principal_parse(upper, &q), 0, "upper case parses");
        TAP_MEM(&q, &p, sizeof(p), "to the same principal, unused bytes zero");
        ic_buf_fini(&bytes);
    }
}

static void test_invalid(json_t *vectors)
{
    static const char *const more[] = {
        "",
        "-",
        "2vxsx",
        "2vxsxfae",   /* no dash */
        "2vxs-xfae",  /* a dash in the wrong place */
        "2vxsx-fae-", /* and one too many */
        "2vxsx-fa",   /* cut */
        "2vxsx-faf",  /* stray bits in the last character */
        "2vxsx-fae ",
        "3vxsx-fae", /* check sum */
        "aaaaa-aa\x80",
        "ryjl3-tyaaa-aaaaa-aaaba-caI-",
        "tdb26-jop6k-aogll-7ltgs-eruif-6kk7m-qpktf-gdiqx-mxtrf-vb5e6-eqeaa", /* 30 bytes */
        "aaaaa-aaaaa-aaaaa-aaaaa-aaaaa-aaaaa-aaaaa-aaaaa-aaaaa-aaaaa-aaaaa-aaaaa-aaaaa-aa",
    };
    size_t i;
    json_t *v;
    struct ic_principal p;

    json_array_foreach(json_object_get(vectors, "invalid_text"), i, v)
        TAP_INT(ic_principal_parse(json_string_value(v), &p), -EINVAL, json_string_value(v));
    for (i = 0; i < sizeof(more) / sizeof(more[0]); i++)
        TAP_INT(ic_principal_parse(more[i], &p), -EINVAL, "bad text is refused");
}

static void test_every_length(void)
{
    uint8_t bytes[IC_PRINCIPAL_MAX + 1];
    char text[IC_PRINCIPAL_TEXT];
    struct ic_principal p, q;
    bool all = true;

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(0xff - 7 * i);
    for (size_t len = 0; len <= IC_PRINCIPAL_MAX; len++) {
        all = all && ic_principal_from_bytes(bytes, len, &p) == 0;
        ic_principal_format(&p, text);
        all = all && strlen(text) < IC_PRINCIPAL_TEXT && ic_principal_parse(text, &q) == 0 &&
              ic_principal_is_equal(&p, &q);
    }
    TAP_OK(all, "0 to 29 bytes come back from their text");
    TAP_INT(ic_principal_from_bytes(bytes, 30, &p), -EINVAL, "30 bytes are refused");
}

static void test_derived(void)
{
    struct ic_buf der = vector_unhex(
        "308182301d060d2b0601040182dc7c0503010201060c2b0601040182dc7c05030201036100814c0e6ec71fab58"
        "3b08bd81373c255c3c371b2e84863c98a4f1e08b74235d14fb5d9c0cd546d9685f913a0c0b2cc5341583bf4b43"
        "92e467db96d65b9bb4cb717112f8472e0d5a4d14505ffd7484b01291091c5f87b98883463f98091a0baaae");
    char text[IC_PRINCIPAL_TEXT];
    struct ic_principal p;

    TAP_INT(ic_principal_self_authenticating(der.bytes, der.len, &p), 0, "derive from a key");
    ic_principal_format(&p, text);
    TAP_STR(text, "tdb26-jop6k-aogll-7ltgs-eruif-6kk7m-qpktf-gdiqx-mxtrf-vb5e6-eqe",
            "the root key gives the root subnet's id");
    p = ic_principal_anonymous();
    ic_principal_format(&p, text);
    TAP_STR(text, "2vxsx-fae", "anonymous");
    p = ic_principal_management();
    ic_principal_format(&p, text);
    TAP_STR(text, "aaaaa-aa", "management canister");
    ic_buf_fini(&der);
}

static void test_order(void)
{
    struct ic_principal a, b, c;
    if (ic_principal_from_bytes((const uint8_t *)"\x01", 1, &a) < 0 ||
        ic_principal_from_bytes((const uint8_t *)"\x01\x00", 2, &b) < 0 ||
        ic_principal_from_bytes((const uint8_t *)"\x80", 1, &c) < 0)
        vector_die("principal", "order");
    TAP_OK(ic_principal_compare(&a, &b) < 0, "a prefix comes first");
    TAP_OK(ic_principal_compare(&b, &c) < 0, "bytes are unsigned");
    TAP_OK(ic_principal_compare(&c, &a) > 0, "and the other way round");
}

static void test_errors(void)
{
    static const struct {
        enum ic_errc code;
        int ret;
    } table[] = {
        {IC_E_TIMEOUT, -ETIMEDOUT},
        {IC_E_CANCELLED, -EINTR},
        {IC_E_UNREACHABLE, -EHOSTUNREACH},
        {IC_E_TLS, -EPROTO},
        {IC_E_MALFORMED, -EPROTO},
        {IC_E_UNVERIFIED, -EBADMSG},
        {IC_E_DENIED, -EACCES},
        {IC_E_NOT_FOUND, -ENOENT},
        {IC_E_NO_SPACE, -ENOSPC},
        {IC_E_TOO_LARGE, -EFBIG},
        {IC_E_OVERLOADED, -EIO},
        {IC_E_REJECTED, -EIO},
        {IC_E_HTTP, -EIO},
        {IC_E_NO_MEMORY, -ENOMEM},
        {IC_E_CONFIG, -EINVAL},
        {IC_E_UNKNOWN_OUTCOME, -EIO},
    };
    struct ic_error err = {0};

    TAP_INT(ic_error_errno(&err), 0, "no error");
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        TAP_INT(ic_fail(&err, table[i].code, "x %d", 7), table[i].ret, "errno of the code");
        TAP_INT(ic_error_errno(&err), table[i].ret, "the same from the struct");
        TAP_INT(ic_fail(NULL, table[i].code, "x"), table[i].ret, "and without a struct");
    }
    TAP_STR(err.message, "x 7", "message");
    ic_fail(&err, IC_E_HTTP, "a\nb\x1b[31m \xc3\xa9 \xc2\x85 \xff \xed\xa0\x80 \x7f");
    TAP_STR(err.message, "a?b?[31m \xc3\xa9 ?? ? ??? ?", "nothing a terminal would obey is left");
}

static void test_rejections(void)
{
    static const struct {
        uint32_t reject_code;
        const char *error_code;
        int ret;
        bool limit;
    } table[] = {
        {5, "IC0512", -EACCES, false}, {4, "IC0406", -EACCES, false}, {3, "IC0301", -ENOENT, false},
        {5, "IC0536", -ENOENT, false}, {5, "IC0537", -ENOENT, false}, {3, NULL, -ENOENT, false},
        {2, "IC0207", -ENOSPC, false}, {2, "IC0209", -EIO, false},    {2, "", -EIO, false},
        {5, "IC0503", -EIO, false},    {5, "IC0504", -EFBIG, true},   {5, "IC0522", -EFBIG, true},
        {5, "IC0524", -EFBIG, true},   {5, "IC0528", -EFBIG, true},   {5, "IC0508", -EIO, false},
        {1, NULL, -EIO, false},        {5, "IC05040", -EIO, false},   {5, "garbage!!", -EIO, false},
        {77, "IC9999", -EIO, false},
    };
    struct ic_error err;
    char longer[2000];

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        int ret = ic_fail_reject(&err, table[i].reject_code, table[i].error_code, "no\0pe", 2);
        TAP_INT(ret, table[i].ret, table[i].error_code ? table[i].error_code : "no error code");
        TAP_INT(err.reject_code, table[i].reject_code, "reject code is kept");
        TAP_INT(ic_error_is_limit(&err), table[i].limit, "a limit or not");
    }
    TAP_INT(ic_fail_reject(NULL, 5, "IC0504", NULL, 0), -EFBIG, "without a struct");
    memset(longer, 'x', sizeof(longer));
    ic_fail_reject(&err, 5, "IC0503", longer, sizeof(longer));
    TAP_INT((int64_t)strlen(err.message), sizeof(err.message) - 1, "a long message is cut");
    TAP_STR(err.error_code, "IC0503", "error code is kept");
}

static void test_reworded(void)
{
    struct ic_error err;
    char umlauts[500];

    for (size_t i = 0; i < sizeof(umlauts); i++)
        umlauts[i] = (char)(i % 2 ? 0xbc : 0xc3);
    ic_fail_reject(&err, 4, "IC0406", umlauts, sizeof(umlauts));
    for (int i = 0; i < 3; i++)
        ic_error_reword(&err, "not %s", err.message);
    TAP_OK(strncmp(err.message, "not not not rejected (code 4, IC0406): \xc3\xbc", 41) == 0,
           "an error in other words");
    TAP_OK(ic_view_is_utf8(ic_view(err.message, strlen(err.message))), "cut between characters");
    TAP_INT((int64_t)strlen(err.message), sizeof(err.message) - 1, "at the end of the room");
    TAP_OK(err.code == IC_E_DENIED && err.reject_code == 4 && !strcmp(err.error_code, "IC0406"),
           "everything else stays");
}

static void test_leb(void)
{
    static const uint64_t naturals[] = {0, 1, 127, 128, 624485, UINT64_MAX >> 1, UINT64_MAX};
    static const int64_t integers[] = {0, 63, 64, -1, -64, -65, 127, INT64_MAX, INT64_MIN, -123456};
    static const struct {
        const char *hex;
        bool leb, sleb;
        uint64_t nat;
        int64_t integer;
    } table[] = {
        {"8000", true, true, 0, 0},
        {"ff00", true, true, 127, 127},
        {"7f", true, true, 127, -1},
        {"ff7f", true, true, 16383, -1},
        {"", false, false, 0, 0},
        {"80", false, false, 0, 0},
        {"80808080808080808001", true, false, 1ULL << 63, 0},
        {"80808080808080808002", false, false, 0, 0},
        {"8080808080808080807f", false, true, 0, INT64_MIN},
        {"808080808080808080808000", false, false, 0, 0},
    };
    struct ic_buf b = {0};
    struct ic_cursor c;
    uint64_t nat;
    int64_t integer;

    for (size_t i = 0; i < sizeof(naturals) / sizeof(naturals[0]); i++) {
        b.len = 0;
        ic_buf_append_leb64(&b, naturals[i]);
        c = ic_cursor(b.bytes, b.len);
        TAP_OK(ic_cursor_leb64(&c, &nat) && nat == naturals[i] && ic_cursor_left(&c) == 0,
               "a nat comes back from LEB128");
    }
    for (size_t i = 0; i < sizeof(integers) / sizeof(integers[0]); i++) {
        b.len = 0;
        ic_buf_append_sleb64(&b, integers[i]);
        c = ic_cursor(b.bytes, b.len);
        TAP_OK(ic_cursor_sleb64(&c, &integer) && integer == integers[i] && ic_cursor_left(&c) == 0,
               "an int comes back from SLEB128");
    }
    ic_buf_fini(&b);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        b = vector_unhex(table[i].hex);
        c = ic_cursor(b.bytes, b.len);
        TAP_OK(ic_cursor_leb64(&c, &nat) == table[i].leb && (!table[i].leb || nat == table[i].nat),
               table[i].hex);
        c = ic_cursor(b.bytes, b.len);
        TAP_OK(ic_cursor_sleb64(&c, &integer) == table[i].sleb &&
                   (!table[i].sleb || integer == table[i].integer),
               "the same bytes, signed");
        ic_buf_fini(&b);
    }
}

static void test_utf8(void)
{
    static const struct {
        const char *text;
        bool valid;
    } table[] = {
        {"", true},
        {"plain", true},
        {"\xe2\x98\x83", true},
        {"\xf0\x9f\x92\xa9", true},
        {"\xf4\x8f\xbf\xbf", true},
        {"\xf4\x90\x80\x80", false},
        {"\xc0\x80", false},
        {"\xe0\x80\x80", false},
        {"\xed\xa0\x80", false},
        {"\xf0\x80\x80\x80", false},
        {"\xe2\x98", false},
        {"\x80", false},
        {"\xff", false},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        TAP_INT(ic_view_is_utf8(ic_view(table[i].text, strlen(table[i].text))), table[i].valid,
                "UTF-8 or not");
}

int main(int argc, char **argv)
{
    json_t *vectors;
    if (argc != 2)
        return 1;
    vectors = vector_json(argv[1], "principals.json");
    test_valid(vectors);
    test_invalid(vectors);
    test_every_length();
    test_derived();
    test_order();
    test_errors();
    test_rejections();
    test_reworded();
    test_leb();
    test_utf8();
    json_decref(vectors);
    return tap_done();
}
