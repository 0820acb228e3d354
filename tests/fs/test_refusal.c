/* What the canister's {ok; err} says: each case of Err, of the types that the convention has. */
#include "fs/memory_write.h"
#include "fs/refusal.h"
#include "ic/did.h"
#include "tests/tap.h"

#include <errno.h>
#include <string.h>

TAP_STATE;

static const struct ic_value null = {.type = &ic_type_null};

/* The field of a variant or record. */
static uint32_t index_of(const struct ic_type *type, const char *name)
{
    uint32_t id = ic_candid_hash(name, strlen(name));
    uint32_t i = 0;
    while (i < type->as.fields.n - 1 && type->as.fields.fields[i].id != id)
        i++;
    return i;
}

/* An answer { err : CASE } of this result. */
static int judge(const struct ic_type *result, const char *tag, const struct ic_value *payload,
                 enum fs_refusal *ret_refusal, struct ic_error *err)
{
    uint32_t i = index_of(result, "err");
    const struct ic_type *type = result->as.fields.fields[i].type;
    const struct ic_value failure = {.type = type, .as.variant = {payload, index_of(type, tag)}};
    const struct ic_value reply = {.type = result, .as.variant = {&failure, i}};
    const struct ic_value *out;
    return fs_refusal_judge("m", &reply, ret_refusal, &out, err);
}

static void test_cases(const struct ic_type *result)
{
    static const struct {
        const char *tag;
        const char *text; /* NULL: none */
        int result;
        enum fs_refusal refusal;
        const char *words;
    } rows[] = {
        {"busy", "session 7 is open", -EBUSY, FS_REFUSAL_BUSY,
         "m: the canister answers: session 7 is open"},
        {"busy", "out of memory", -EBUSY, FS_REFUSAL_BUSY,
         "m: the canister answers: out of memory"},
        {"denied", NULL, -EACCES, FS_REFUSAL_DENIED,
         "m: the canister does not allow it to this identity"},
        {"range", NULL, -EINVAL, FS_REFUSAL_RANGE,
         "m: the canister says that this is out of range"},
        {"corrupt", "3 bytes are missing", -EIO, FS_REFUSAL_CORRUPT,
         "m: the canister answers: 3 bytes are missing"},
        {"other", "no such session", -EIO, FS_REFUSAL_OTHER,
         "m: the canister answers: no such session"},
        {"other", "it is out of memory", -ENOSPC, FS_REFUSAL_OTHER,
         "m: the canister answers: it is out of memory"},
        {"other", "its memory is full", -ENOSPC, FS_REFUSAL_OTHER,
         "m: the canister answers: its memory is full"},
        {"other", "not enough cycles", -ENOSPC, FS_REFUSAL_OTHER,
         "m: the canister answers: not enough cycles"},
        {"stale", NULL, -ESTALE, FS_REFUSAL_STALE, "m: the canister has changed"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct ic_value text = ic_text(rows[i].text ? rows[i].text : "");
        enum fs_refusal refusal = FS_REFUSAL_NONE;
        struct ic_error err = {0};
        TAP_INT(judge(result, rows[i].tag, rows[i].text ? &text : &null, &refusal, &err),
                rows[i].result, rows[i].tag);
        TAP_INT((int)refusal, (int)rows[i].refusal, "its kind");
        TAP_STR(err.message, rows[i].words, "its words");
    }
}

static void test_stale_version(const struct ic_type *result)
{
    uint32_t i = index_of(result, "err");
    const struct ic_type *failure = result->as.fields.fields[i].type;
    const struct ic_type *record = failure->as.fields.fields[index_of(failure, "stale")].type;
    const struct ic_value numbers[] = {ic_nat64(42), ic_nat64(42), ic_nat64(42)};
    const struct ic_value version = {.type = record, .as.seq = {numbers, 3}};
    enum fs_refusal refusal;
    struct ic_error err = {0};
    TAP_INT(judge(result, "stale", &version, &refusal, &err), -ESTALE, "stale, with its version");
    TAP_STR(err.message, "m: the canister has changed, it is at version 42 now", "which is told");
}

/* { err } of a type that is not the convention's. */
static void test_unknown(void)
{
    const struct ic_type_field tags[] = {{ic_candid_hash("tired", 5), &ic_type_null}};
    const struct ic_type why = {.kind = IC_TYPE_VARIANT, .as.fields = {tags, 1}};
    const struct ic_type_field busy[] = {{ic_candid_hash("busy", 4), &ic_type_null}};
    const struct ic_type mute = {.kind = IC_TYPE_VARIANT, .as.fields = {busy, 1}};
    const struct ic_type *types[] = {&why, &mute, &ic_type_text};
    const struct ic_value values[] = {{.type = &why, .as.variant = {&null, 0}},
                                      {.type = &mute, .as.variant = {&null, 0}},
                                      ic_text("no")};
    for (size_t i = 0; i < 3; i++) {
        const struct ic_type_field err_field[] = {{ic_candid_hash("err", 3), types[i]}};
        const struct ic_type result = {.kind = IC_TYPE_VARIANT, .as.fields = {err_field, 1}};
        const struct ic_value reply = {.type = &result, .as.variant = {&values[i], 0}};
        enum fs_refusal refusal = FS_REFUSAL_NONE;
        struct ic_error err = {0};
        const struct ic_value *out;
        TAP_INT(fs_refusal_judge("m", &reply, &refusal, &out, &err), -EIO, "an unknown refusal");
        TAP_INT((int)refusal, FS_REFUSAL_OTHER, "is one all the same");
        TAP_STR(err.message, "m: the canister refuses, and says not why", "in words");
    }
}

static void test_no_variant(void)
{
    const struct ic_value number = ic_nat64(1);
    const struct ic_value *out;
    enum fs_refusal refusal = FS_REFUSAL_BUSY;
    struct ic_error err = {0};
    TAP_INT(fs_refusal_judge("m", &number, &refusal, &out, &err), -EPROTO, "no variant");
    TAP_INT((int)refusal, FS_REFUSAL_NONE, "is no refusal");
    TAP_INT(fs_refusal_judge("m", NULL, &refusal, &out, &err), -EPROTO, "no value");
}

static void test_ok(const struct ic_type *result)
{
    const struct ic_value reply = {.type = result, .as.variant = {&null, index_of(result, "ok")}};
    const struct ic_value *out = NULL;
    enum fs_refusal refusal = FS_REFUSAL_BUSY;
    struct ic_error err = {0};
    TAP_INT(fs_refusal_judge("m", &reply, &refusal, &out, &err), 0, "ok");
    TAP_OK(out == &null && refusal == FS_REFUSAL_NONE, "with its payload");
}

int main(void)
{
    struct ic_did *convention = NULL;
    TAP_INT(fs_memory_write_convention(&convention), 0, "the convention");
    const struct ic_type *result =
        ic_did_find_method(convention, "chunk")->type->as.func.results[0];
    test_cases(result);
    test_stale_version(result);
    test_unknown();
    test_no_variant();
    test_ok(result);
    ic_did_free(convention);
    return tap_done();
}
