/* Numbers of Candid in decimal: of any size, and floats in the fewest digits. Private to
 * ic/. Nothing here depends on the locale. */
#ifndef CANISTERFS_IC_CANDID_NUMBER_H
#define CANISTERFS_IC_CANDID_NUMBER_H

#include "ic/arena.h"
#include "ic/attr.h"
#include "ic/buf.h"
#include "ic/candid.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- text into numbers ---- */

/* Does a whole number fit a type?
 *
 * digits  decimal, or hexadecimal behind 0x; with underscores; without a sign
 * kind    nat, int, or of a fixed width
 */
bool candid_integer_fits(struct ic_view digits, bool is_negative, enum ic_type_kind kind);

/* Make a value of a whole number that fits the value's type.
 *
 * Returns 0, -E2BIG (over CANDID_LEB_MAX bytes of LEB128, or no room in the arena), -ENOMEM.
 */
int candid_integer_parse(struct ic_view digits, bool is_negative, struct ic_arena *arena,
                         struct ic_value *out) IC_NONNULL(3, 4) IC_MUST_CHECK;

/* The nearest float of the value's type, float32 or float64, to decimal digits with a point, an
 * exponent or both. Returns 0, -ERANGE (too large to be finite), -E2BIG (too many characters). */
int candid_float_parse(struct ic_view digits, bool is_negative, struct ic_value *out)
    IC_NONNULL(3) IC_MUST_CHECK;

/* ---- numbers into text ---- */

/* A number of any kind as text: its sign, its digits. */
struct candid_digits {
    bool is_negative;
    const char *digits; /* without groups; for floats with a point, never an exponent; or "NaN",
                           "inf". Ends in NUL */
    size_t len;
    bool is_integer;
    char small[400];
    char *large; /* owned; NULL when digits are in small */
};

/* Fill *out, to be finished with candid_digits_fini. Returns 0, -EINVAL (LEB128 of no bytes or too
 * many), -ENOMEM. */
int candid_digits(const struct ic_value *v, struct candid_digits *out)
    IC_NONNULL(1, 2) IC_MUST_CHECK;
void candid_digits_fini(struct candid_digits *d) IC_NONNULL(1);

#endif
