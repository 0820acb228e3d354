/* Which methods may write a memory: exactly those of the right mode and types. */
#include "fs/memory_write.h"
#include "ic/did.h"
#include "tests/tap.h"

#include <stdio.h>
#include <string.h>

TAP_STATE;

#define ERR                                                                                        \
    "variant { busy : text; stale : record { version : nat64; mtime_ns : nat64; size : nat64 };"   \
    " denied; range; corrupt : text; other : text }"

/* The method m of "service : { m : TYPE }". */
static struct ic_did *did;
static const struct ic_type_method *method(const char *type)
{
    char text[1000];
    struct ic_error err;
    int len = snprintf(text, sizeof(text), "service : { m : %s }", type);
    ic_did_free(did);
    did = NULL;
    if (ic_did_parse(text, (size_t)len, NULL, &did, &err) < 0)
        printf("# %s: %s\n", text, err.message);
    return ic_did_find_method(did, "m");
}

static void staged(enum fs_staged_method wanted, const char *type, const char *want)
{
    char reason[FS_WRITE_WORDS] = "";
    bool fits = fs_memory_write_fits_staged(method(type), wanted, reason);
    TAP_OK(fits == (want == NULL), type);
    TAP_STR(reason, want ? want : "", "in these words");
}

static void test_staged(void)
{
    static const char args[] = "the Candid interface gives it other arguments";
    static const char results[] = "the Candid interface gives it other results";
    staged(FS_STAGED_BEGIN,
           "(record { target : text; size : nat64; sha256 : blob; base_version : opt nat64 }) -> "
           "(variant { ok : record { session : nat64; chunk_max : nat64; expires_ns : nat64 }; "
           "err : " ERR " })",
           NULL);
    staged(FS_STAGED_BEGIN,
           "(record { target : text; size : nat64; sha256 : blob }) -> "
           "(variant { ok : record { session : nat64; chunk_max : nat64; expires_ns : nat64 }; "
           "err : " ERR " })",
           args);
    staged(FS_STAGED_BEGIN,
           "(record { target : text; size : nat32; sha256 : blob; base_version : opt nat64 }) -> "
           "(variant { ok : record { session : nat64; chunk_max : nat64; expires_ns : nat64 }; "
           "err : " ERR " })",
           args);
    staged(FS_STAGED_BEGIN,
           "(record { target : text; size : nat64; sha256 : blob; base_version : opt nat64 }) -> "
           "(variant { ok : record { session : nat64; chunk_max : nat64 }; err : " ERR " })",
           results);
    staged(FS_STAGED_CHUNK,
           "(record { session : nat64; offset : nat64; bytes : blob }) -> "
           "(variant { ok; err : " ERR " })",
           NULL);
    staged(FS_STAGED_CHUNK,
           "(record { session : nat64; offset : nat64; bytes : blob }) -> "
           "(variant { ok; err : variant { busy : text; other : text } })",
           NULL);
    staged(FS_STAGED_CHUNK,
           "(record { session : nat64; offset : nat64; bytes : blob }) -> "
           "(variant { ok; err : variant { busy : text; odd } })",
           results);
    staged(FS_STAGED_CHUNK,
           "(record { session : nat64; offset : nat64; bytes : blob }) -> "
           "(variant { ok; err : " ERR " }) query",
           "it is not an update");
    staged(FS_STAGED_CHUNK, "(record { session : nat64; offset : nat64; bytes : blob }) -> ()",
           results);
    staged(FS_STAGED_CHUNK,
           "(record { session : nat64; offset : nat64; bytes : blob }) -> () oneway",
           "it is not an update");
    staged(FS_STAGED_STATUS,
           "(nat64) -> (opt record { received : vec record { nat64; nat64 }; size : nat64; "
           "state : variant { open; committed; aborted } }) query",
           NULL);
    staged(FS_STAGED_STATUS,
           "(nat64) -> (opt record { received : vec record { nat64; nat64 }; size : nat64; "
           "state : variant { open; closed } }) query",
           results);
    staged(FS_STAGED_STATUS, "(nat64) -> (opt record { size : nat64 }) query", results);
    staged(FS_STAGED_STATUS,
           "(nat64) -> (opt record { received : vec record { nat64; nat64 }; size : nat64; "
           "state : variant { open; committed; aborted } })",
           "it is not a query");
    staged(FS_STAGED_COMMIT,
           "(nat64) -> (variant { ok; more : record { done : nat64; total : nat64 }; err : " ERR
           " })",
           NULL);
    staged(FS_STAGED_COMMIT, "(nat64) -> (variant { ok; err : " ERR " })", NULL);
    staged(FS_STAGED_COMMIT, "(nat64) -> (variant { ok; more : nat64; err : " ERR " })", results);
    staged(FS_STAGED_ABORT, "(nat64) -> (variant { ok; err : " ERR " })", NULL);
    staged(FS_STAGED_ABORT, "(nat64, nat64) -> (variant { ok; err : " ERR " })", args);
}

static void test_hashes(void)
{
    char reason[FS_WRITE_WORDS] = "";
    TAP_OK(fs_memory_write_fits_hashes(method("(nat64, nat64, nat64) -> (blob) query"), reason),
           "hashes");
    TAP_OK(!fs_memory_write_fits_hashes(method("(nat64, nat64, nat64) -> (blob)"), reason),
           "not as an update");
    TAP_OK(!fs_memory_write_fits_hashes(method("(nat64, nat64) -> (blob) query"), reason),
           "nor with other arguments");
}

static void plain(const char *type, bool has_id, bool is_page, int want)
{
    char reason[FS_WRITE_WORDS] = "";
    enum ic_type_kind number = IC_TYPE_EMPTY;
    bool fits = fs_memory_write_fits_plain(method(type), has_id, is_page, &number, reason);
    TAP_INT(fits ? (int)number : -1, want, type);
    TAP_OK(fits == (reason[0] == '\0'), "with a reason where not");
}

static void test_plain(void)
{
    plain("(nat64, blob) -> ()", false, false, IC_TYPE_NAT64);
    plain("(nat64, vec nat8) -> (bool)", false, false, IC_TYPE_NAT64);
    plain("(nat32, blob) -> ()", false, false, IC_TYPE_NAT32);
    plain("(nat, blob) -> (variant { ok; err : text })", false, false, IC_TYPE_NAT);
    plain("(nat8, nat64, blob) -> ()", true, false, IC_TYPE_NAT64);
    plain("(vec record { nat64; blob }) -> ()", false, true, IC_TYPE_NAT64);
    plain("(nat8, nat64, blob) -> ()", false, false, -1);
    plain("(nat64, blob) -> ()", true, false, -1);
    plain("(nat64, blob) -> () query", false, false, -1);
    plain("(nat64, blob) -> () oneway", false, false, -1);
    plain("(nat64, text) -> ()", false, false, -1);
    plain("(int64, blob) -> ()", false, false, -1);
    plain("(nat64, blob, bool) -> ()", false, false, -1);
    plain("(nat64, blob) -> (blob)", false, false, -1);
    plain("(nat64, blob) -> ()", false, true, -1);
    plain("(vec record { nat64; blob; bool }) -> ()", false, true, -1);
    plain("(vec record { a : nat64; b : blob }) -> ()", false, true, -1);
    plain("() -> ()", true, false, -1);
}

static void test_numbers(void)
{
    char reason[FS_WRITE_WORDS] = "";
    enum ic_type_kind number;
    TAP_OK(fs_memory_write_fits_number(method("(nat64) -> (int64)"), false, &number, reason) &&
               number == IC_TYPE_NAT64,
           "grow");
    TAP_OK(fs_memory_write_fits_number(method("(nat32) -> (nat32)"), false, &number, reason) &&
               number == IC_TYPE_NAT32,
           "grow by nat32");
    TAP_OK(fs_memory_write_fits_number(method("(nat8, nat64) -> (int64)"), true, &number, reason),
           "grow of an id");
    TAP_OK(!fs_memory_write_fits_number(method("(text) -> ()"), false, &number, reason),
           "no number");
    TAP_OK(fs_memory_write_fits_flag(method("(bool) -> ()"), reason), "finish");
    TAP_OK(!fs_memory_write_fits_flag(method("() -> ()"), reason), "not without its flag");
    TAP_OK(!fs_memory_write_fits_flag(method("(bool) -> () query"), reason), "nor as a query");
}

static void test_names(void)
{
    struct fs_memory_write write = {.restore = "restore"};
    char name[FS_METHOD_NAME_MAX];
    fs_memory_write_method(&write, FS_STAGED_BEGIN, name);
    TAP_STR(name, "restore_begin", "the first");
    fs_memory_write_method(&write, FS_STAGED_ABORT, name);
    TAP_STR(name, "restore_abort", "the last");
}

int main(void)
{
    test_staged();
    test_hashes();
    test_plain();
    test_numbers();
    test_names();
    ic_did_free(did);
    return tap_done();
}
