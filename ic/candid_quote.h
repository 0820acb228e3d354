/* Strings of Candid's text form: what of them is escaped, as didc does. Private to ic/. */
#ifndef CANISTERFS_IC_CANDID_QUOTE_H
#define CANISTERFS_IC_CANDID_QUOTE_H

#include "ic/attr.h"
#include "ic/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum candid_quote {
    CANDID_QUOTE_PLAIN,   /* a combining character is escaped at the start only */
    CANDID_QUOTE_COMPACT, /* everywhere; but the apostrophe is not */
};

/* How one character of a string is written. */
struct candid_quoted {
    size_t len;       /* bytes of the character */
    char escape[16];  /* what is written instead; "" when the character itself is */
    unsigned columns; /* that it takes on a terminal; of rare characters an estimate */
};

/* The character at an offset of UTF-8 text. (A byte that is none is written as it is.) */
struct candid_quoted candid_quote_at(struct ic_view text, size_t at, enum candid_quote style);

/* Characters that show nothing or change how others show: controls, line separators, format
 * characters (writing direction, joiners, tags), private use. */
bool candid_is_hidden(uint32_t c);

/* The character of len bytes of valid UTF-8. */
uint32_t candid_scalar(const uint8_t *bytes, size_t len) IC_NONNULL(1);

#endif
