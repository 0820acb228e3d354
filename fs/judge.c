#include "fs/judge.h"

#include "ic/candid.h"
#include "ic/candid_print.h"

/* Of what a canister says, bytes. */
#define WORDS_MAX 300

static int fail(const char *method, struct ic_view words, struct ic_error *err)
{
    return ic_fail(err, IC_E_REJECTED, "%s replied that it failed: %.*s", method,
                   (int)(words.len < WORDS_MAX ? words.len : WORDS_MAX), (const char *)words.bytes);
}

/* What the case of a failure holds. */
static int fail_with(const char *method, const struct ic_value *failure, struct ic_error *err)
{
    struct ic_view words;
    struct ic_buf printed = {0};
    if (ic_value_text(failure, &words) < 0)
        words = ic_candid_print_value(failure, NULL, NULL, 2 * WORDS_MAX, &printed, NULL) == 0
                    ? ic_view(printed.bytes, printed.len)
                    : ic_view("without words", 13);
    int result = fail(method, words, err);
    ic_buf_fini(&printed);
    return result;
}

int fs_judge_reply(const char *method, const uint8_t *reply, size_t len, struct ic_error *err)
{
    const struct ic_candid_limits limits = {.max_memory = 1 << 20, .max_values = 4 << 20};
    struct ic_candid *values;
    if (ic_candid_decode(reply, len, &limits, &values, NULL) < 0)
        return 0;
    const struct ic_value *value = ic_candid_arg(values, 0);
    const struct ic_value *failure = ic_value_case(value, "Err");
    bool is_true = true;
    int result = 0;
    if (!failure)
        failure = ic_value_case(value, "err");
    if (failure)
        result = fail_with(method, failure, err);
    else if (ic_value_bool(value, &is_true) == 0 && !is_true)
        result = fail(method, ic_view("false", 5), err);
    ic_candid_free(values);
    return result;
}
