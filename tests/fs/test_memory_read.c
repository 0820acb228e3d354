/* What a read makes of the answers of stable_read_at: the bytes, or why there are none. */
#include "fs/memory.h"
#include "fs/query.h"
#include "ic/candid_text.h"
#include "tests/tap.h"

#include <errno.h>
#include <stdlib.h>

TAP_STATE;

static const char *answer; /* of the canister, as text */

int __wrap_fs_query(const struct fs_target *target, const char *method, const struct ic_value *args,
                    size_t n_args, const struct ic_io *io, struct fs_answer *out,
                    struct ic_error *err);
int __wrap_fs_query(const struct fs_target *target, const char *method, const struct ic_value *args,
                    size_t n_args, const struct ic_io *io, struct fs_answer *out,
                    struct ic_error *err)
{
    (void)target, (void)args, (void)io;
    TAP_STR(method, "stable_read_at", "the method that proves the version");
    TAP_INT((int64_t)n_args, 3, "version, offset, length");
    *out = (struct fs_answer){0};
    if (ic_candid_parse(answer, strlen(answer), NULL, 0, 0, &out->values, err) < 0) {
        printf("Bail out! %s: %s\n", answer, err->message);
        exit(1);
    }
    return 0;
}

static int read_four(const char *text, char bytes[4], struct ic_error *err)
{
    static const struct fs_memory memory = {
        .style = FS_MEMORY_RANGE, .number = IC_TYPE_NAT64, .read_at = "stable_read_at"};
    static const struct fs_target target = {0};
    static const struct ic_io io = {0};
    const struct iovec iov = {bytes, 4};
    const struct fs_memory_dest dest = {&iov, 1, 0};
    struct fs_memory_got got = {0};
    answer = text;
    return fs_memory_read(&memory, &target, 7, 100, 4, &dest, &io, &got, err);
}

static void test_bytes(void)
{
    char bytes[4] = "";
    struct ic_error err = {0};
    TAP_INT(read_four("(variant { ok = blob \"abcd\" })", bytes, &err), 0, "bytes");
    TAP_MEM(bytes, "abcd", 4, "as they are");
}

static void test_refusals(void)
{
    static const struct {
        const char *failure;
        int result;
        enum ic_errc code;
        const char *words; /* of the message */
    } rows[] = {
        {"busy = \"session 7\"", -EBUSY, IC_E_BUSY, "the canister answers: session 7"},
        {"stale = record { version = 9 : nat64; mtime_ns = 0 : nat64; size = 1 : nat64 }", -ESTALE,
         IC_OK, ""},
        {"denied", -EACCES, IC_E_DENIED, "the canister does not allow it to this identity"},
        {"range", -EIO, IC_E_REJECTED, "the canister says that this is out of range"},
        {"corrupt = \"half of it\"", -EIO, IC_E_REJECTED, "the canister answers: half of it"},
        {"other = \"why not\"", -EIO, IC_E_REJECTED, "the canister answers: why not"},
        {"other = \"out of memory\"", -EIO, IC_E_REJECTED, "the canister answers: out of memory"},
        {"other", -EIO, IC_E_REJECTED, "the canister refuses, and says not why"},
        {"unheard_of", -EIO, IC_E_REJECTED, "the canister refuses, and says not why"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[200], bytes[4] = "";
        struct ic_error err = {0};
        snprintf(text, sizeof(text), "(variant { err = variant { %s } })", rows[i].failure);
        TAP_INT(read_four(text, bytes, &err), rows[i].result, rows[i].failure);
        TAP_INT(err.code, rows[i].code, "of this kind");
        TAP_OK(strstr(err.message, rows[i].words) != NULL, err.message);
    }
}

static void test_other_types(void)
{
    static const char *const texts[] = {"(variant { neither })", "(blob \"abcd\")", "()",
                                        "(variant { ok = \"abcd\" })"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char bytes[4] = "";
        struct ic_error err = {0};
        TAP_INT(read_four(texts[i], bytes, &err), -EPROTO, texts[i]);
        TAP_INT(err.code, IC_E_WRONG_TYPE, err.message);
    }
}

static void test_lengths(void)
{
    char bytes[4] = "";
    struct ic_error err = {0};
    TAP_INT(read_four("(variant { ok = blob \"abc\" })", bytes, &err), -EPROTO, "too few bytes");
    TAP_INT(read_four("(variant { ok = blob \"abcde\" })", bytes, &err), -EPROTO, "too many");
}

int main(void)
{
    test_bytes();
    test_refusals();
    test_other_types();
    test_lengths();
    return tap_done();
}
