/* Candid in tests: messages in hexadecimal, types as in .did files. What is wrong with a test
 * itself ends the program. */
#ifndef CANISTERFS_TESTS_IC_CANDID_HEX_H
#define CANISTERFS_TESTS_IC_CANDID_HEX_H

#include "ic/candid.h"
#include "ic/did.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline void candid_die(const char *what, const char *detail)
{
    printf("Bail out! %s: %s\n", what, detail);
    exit(1);
}

/* Append bytes: hexadecimal digits in pairs, with blanks between pairs where one likes. */
static inline void append_hex(struct ic_buf *out, const char *hex)
{
    for (; *hex; hex += *hex == ' ' ? 1 : 2) {
        unsigned value;
        if (*hex == ' ')
            continue;
        if (sscanf(hex, "%2x", &value) != 1)
            candid_die("not hexadecimal", hex);
        uint8_t byte = (uint8_t)value;
        ic_buf_append(out, &byte, 1);
    }
}

/* A message without its magic, which is put in front. */
static inline struct ic_buf message_hex(const char *hex)
{
    struct ic_buf out = {0};
    ic_buf_append(&out, "DIDL", 4);
    append_hex(&out, hex);
    if (ic_buf_status(&out) < 0)
        candid_die("out of memory", hex);
    return out;
}

/* Types of arguments, as of a method: definitions may be empty. The func lives in *did. */
static inline const struct ic_type *did_func(const char *definitions, const char *tuple,
                                             struct ic_did **did)
{
    struct ic_buf text = {0};
    struct ic_error err = {0};
    ic_buf_append(&text, definitions, strlen(definitions));
    ic_buf_append(&text, "service : { f : ", 16);
    ic_buf_append(&text, tuple, strlen(tuple));
    ic_buf_append(&text, " -> () }", 8);
    if (ic_buf_status(&text) < 0 ||
        ic_did_parse((const char *)text.bytes, text.len, NULL, did, &err) < 0)
        candid_die(tuple, err.message);
    ic_buf_fini(&text);
    return ic_did_find_method(*did, "f")->type;
}

#endif
