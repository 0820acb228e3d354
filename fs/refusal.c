#include "fs/refusal.h"

#include <string.h>

#define WORDS_MAX 300 /* of what the canister says, bytes */

/* One case of Err. */
struct row {
    const char *tag;
    enum fs_refusal refusal;
    enum ic_errc code;
    const char *words; /* NULL: the canister's own */
};

static const struct row rows[] = {
    {"busy", FS_REFUSAL_BUSY, IC_E_BUSY, NULL},
    {"stale", FS_REFUSAL_STALE, IC_E_CHANGED, "has changed"},
    {"denied", FS_REFUSAL_DENIED, IC_E_DENIED, "does not allow it to this identity"},
    {"range", FS_REFUSAL_RANGE, IC_E_CONFIG, "says that this is out of range"},
    {"corrupt", FS_REFUSAL_CORRUPT, IC_E_REJECTED, NULL},
    {"other", FS_REFUSAL_OTHER, IC_E_REJECTED, NULL},
};
static const struct row unknown = {"", FS_REFUSAL_OTHER, IC_E_REJECTED,
                                   "refuses, and says not why"};

static bool speaks_of(struct ic_view text, const char *word)
{
    return memmem(text.bytes, text.len, word, strlen(word)) != NULL;
}

static bool has_no_room(struct ic_view text)
{
    return speaks_of(text, "out of memory") || speaks_of(text, "memory is full") ||
           speaks_of(text, "cycles");
}

static int fail_in_its_words(const char *method, const struct row *row, struct ic_view text,
                             struct ic_error *err)
{
    enum ic_errc code =
        row->refusal == FS_REFUSAL_OTHER && has_no_room(text) ? IC_E_NO_SPACE : row->code;
    return ic_fail(err, code, "%s: the canister answers: %.*s", method,
                   (int)(text.len < WORDS_MAX ? text.len : WORDS_MAX), (const char *)text.bytes);
}

static int refuse(const char *method, const struct ic_value *failure, enum fs_refusal *ret_refusal,
                  struct ic_error *err)
{
    const struct row *row = &unknown;
    struct ic_view text = {0};
    uint64_t version;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (ic_value_case(failure, rows[i].tag))
            row = &rows[i];
    const struct ic_value *payload = ic_value_case(failure, row->tag);
    if (!row->words && ic_value_text(payload, &text) < 0)
        row = &unknown;
    *ret_refusal = row->refusal;
    if (!row->words)
        return fail_in_its_words(method, row, text, err);
    if (row->refusal == FS_REFUSAL_STALE &&
        ic_value_nat64(ic_value_field(payload, "version"), &version) == 0)
        return ic_fail(err, row->code, "%s: the canister has changed, it is at version %llu now",
                       method, (unsigned long long)version);
    return ic_fail(err, row->code, "%s: the canister %s", method, row->words);
}

int fs_refusal_judge(const char *method, const struct ic_value *reply, enum fs_refusal *ret_refusal,
                     const struct ic_value **out, struct ic_error *err)
{
    const struct ic_value *failure = ic_value_case(reply, "err");
    const struct ic_value *ok = ic_value_case(reply, "ok");
    *ret_refusal = FS_REFUSAL_NONE;
    if (failure)
        return refuse(method, failure, ret_refusal, err);
    if (!ok)
        return ic_fail(err, IC_E_WRONG_TYPE, "%s: the reply has another type than expected",
                       method);
    *out = ok;
    return 0;
}
