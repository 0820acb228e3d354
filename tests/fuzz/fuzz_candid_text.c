/* Any text: what parses prints, and the print is read again at its types and says the same; the
 * same for what a message says. A text with a line break is read at types: those of the method m of
 * the description in front of the first one. */
#include "ic/candid_json.h"
#include "ic/candid_print.h"
#include "ic/candid_text.h"
#include "tests/fuzz/target.h"

#include <errno.h>
#include <string.h>

#define ARGS_MAX  32
#define PRINT_MAX (1 << 20)

/* NaN and infinities have no literal. */
static bool has_no_literal(const struct ic_buf *text)
{
    return memmem(text->bytes, text->len, "NaN : float", 11) ||
           memmem(text->bytes, text->len, "inf : float", 11);
}

static void check_same(const struct ic_candid *msg, const struct ic_candid *again,
                       const struct ic_buf *text)
{
    struct ic_buf second = {0};
    size_t n = ic_candid_count(msg);
    CLAIM(n == ic_candid_count(again));
    for (size_t i = 0; i < n; i++)
        CLAIM(ic_value_equal(ic_candid_arg(msg, i), ic_candid_arg(again, i)));
    CLAIM(ic_candid_print(ic_candid_arg(again, 0), n, NULL, 0, PRINT_MAX, &second, NULL) == 0);
    CLAIM(text->len == second.len && memcmp(text->bytes, second.bytes, second.len) == 0);
    ic_buf_fini(&second);
}

static void check(const struct ic_candid *msg)
{
    const struct ic_type *types[ARGS_MAX];
    struct ic_buf text = {0}, json = {0}, bytes = {0};
    struct ic_candid *again = NULL;
    size_t n = ic_candid_count(msg);

    if (n > ARGS_MAX)
        return;
    for (size_t i = 0; i < n; i++)
        types[i] = ic_candid_arg(msg, i)->type;
    CLAIM(ic_candid_json(ic_candid_arg(msg, 0), n, NULL, 0, PRINT_MAX, &json, NULL) != -EINVAL);
    if (ic_candid_print(ic_candid_arg(msg, 0), n, NULL, 0, PRINT_MAX, &text, NULL) == 0 &&
        !has_no_literal(&text)) {
        CLAIM(ic_candid_parse((const char *)text.bytes, text.len, types, n, IC_TEXT_REFUSE_UNKNOWN,
                              &again, NULL) == 0);
        check_same(msg, again, &text);
        ic_candid_free(again);
        again = NULL;
        CLAIM(ic_candid_parse((const char *)text.bytes, text.len, NULL, 0, 0, &again, NULL) == 0);
        /* Types may nest over the limit where values do not. */
        CLAIM(ic_candid_encode(ic_candid_arg(again, 0), n, &bytes, NULL) != -EPROTO);
    }
    ic_candid_free(again);
    ic_buf_fini(&text);
    ic_buf_fini(&json);
    ic_buf_fini(&bytes);
}

static void try_text(const char *text, size_t len, const struct ic_type *method)
{
    struct ic_candid *msg = NULL;
    struct ic_error err = {0};
    int ret = ic_candid_parse(text, len, method ? method->as.func.args : NULL,
                              method ? method->as.func.n_args : 0, 0, &msg, &err);
    if (ret == 0)
        check(msg);
    else
        CLAIM(!msg && err.message[0] && !strchr(err.message, '\n'));
    ic_candid_free(msg);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    const char *end = size ? memchr(text, '\n', size) : NULL;
    struct ic_candid *msg = NULL;
    struct ic_did *did = NULL;

    try_text(text, size, NULL);
    if (end && ic_did_parse(text, (size_t)(end - text), NULL, &did, NULL) == 0) {
        const struct ic_type_method *method = ic_did_find_method(did, "m");
        if (method)
            try_text(end + 1, size - (size_t)(end + 1 - text), method->type);
        ic_did_free(did);
    }
    if (ic_candid_decode(data, size, NULL, &msg, NULL) == 0)
        check(msg);
    ic_candid_free(msg);
    return 0;
}
