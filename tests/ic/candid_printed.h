/* Candid text in tests: from values and back, or the test ends. */
#ifndef CANISTERFS_TESTS_IC_CANDID_PRINTED_H
#define CANISTERFS_TESTS_IC_CANDID_PRINTED_H

#include "ic/candid_print.h"
#include "ic/candid_text.h"
#include "tests/ic/candid_hex.h"
#include "tests/tap.h"

#define PRINT_MAX ((size_t)64 * 1024 * 1024)

/* A text as the name of a check: the start of it, on one line. Good until the next call. */
static inline const char *check_name(const char *text)
{
    static char name[100];
    size_t n = 0;
    for (; text[n] && n + 1 < sizeof(name); n++)
        name[n] = text[n] == '\n' ? ' ' : text[n];
    name[n] = '\0';
    return name;
}

/* The text of an argument list, ending in NUL; the caller finis it. */
static inline struct ic_buf printed(const struct ic_candid *msg,
                                    const struct ic_candid_naming *naming)
{
    struct ic_buf out = {0};
    struct ic_error err = {0};
    if (ic_candid_print(ic_candid_arg(msg, 0), ic_candid_count(msg), naming, 0, PRINT_MAX, &out,
                        &err) < 0)
        candid_die("does not print", err.message);
    ic_buf_append(&out, "", 1);
    return out;
}

/* Does the message print as this? */
static inline bool prints_as(const struct ic_candid *msg, const struct ic_candid_naming *naming,
                             const char *expected)
{
    struct ic_buf text = printed(msg, naming);
    bool same = strcmp((const char *)text.bytes, expected) == 0;
    if (!same)
        fprintf(stderr, "prints as %s\nexpected %s\n", (const char *)text.bytes, expected);
    ic_buf_fini(&text);
    return same;
}

static inline struct ic_buf encoded(const struct ic_candid *msg)
{
    struct ic_buf out = {0};
    struct ic_error err = {0};
    if (ic_candid_encode(ic_candid_arg(msg, 0), ic_candid_count(msg), &out, &err) < 0)
        candid_die("does not encode", err.message);
    return out;
}

/* The law of printing: at the types of the values the text says the same, to the last byte. */
static inline bool survives_text(const struct ic_candid *msg)
{
    const struct ic_type *types[64];
    struct ic_buf text = printed(msg, NULL), before = encoded(msg), after = {0};
    struct ic_candid *again = NULL;
    struct ic_error err = {0};
    size_t n = ic_candid_count(msg);
    bool same;

    if (n > 64)
        candid_die("too many arguments", "");
    for (size_t i = 0; i < n; i++)
        types[i] = ic_candid_arg(msg, i)->type;
    same = ic_candid_parse((const char *)text.bytes, text.len - 1, types, n, IC_TEXT_REFUSE_UNKNOWN,
                           &again, &err) == 0;
    for (size_t i = 0; same && i < n; i++)
        same = ic_value_equal(ic_candid_arg(msg, i), ic_candid_arg(again, i));
    if (same) {
        after = encoded(again);
        same = ic_view_equal(ic_view(before.bytes, before.len), ic_view(after.bytes, after.len)) &&
               prints_as(again, NULL, (const char *)text.bytes);
    }
    if (!same)
        fprintf(stderr, "%s: %s\n", (const char *)text.bytes, err.message);
    ic_candid_free(again);
    ic_buf_fini(&text);
    ic_buf_fini(&before);
    ic_buf_fini(&after);
    return same;
}

#endif
