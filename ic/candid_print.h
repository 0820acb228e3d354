/* Candid values as text: what DFINITY's didc prints, layout included.
 *
 *     (
 *       record { owner = principal "2vxsx-fae"; amount = 1_000_000 : nat },
 *       opt (5 : nat8),
 *     )
 *
 * The text can be parsed again (candid_text.h) at the types of the values, and then says the same.
 * Not so NaN and infinities, which have no literal, as in didc; only the payload of a NaN and what
 * a reserved value hid are not shown at all. Without types the text parses, too; what it does not
 * tell then (the type of none, of an empty vec, the other cases of a variant) becomes the least
 * that it can be.
 *
 * Numbers carry their type, fields stand in the order of their ids, records with the fields 0, 1,
 * ... are written without them, a variant's payload null is not written. Characters that do not
 * show, or would change how others do, are escaped. A line has 80 columns where it can be broken;
 * vecs of more than 10 elements and what nests more than 10 deep stand on one line.
 *
 * Source: Candid specification, Textual format; the layout is didc's.
 */
#ifndef CANISTERFS_IC_CANDID_PRINT_H
#define CANISTERFS_IC_CANDID_PRINT_H

#include "ic/attr.h"
#include "ic/buf.h"
#include "ic/candid.h"
#include "ic/candid_names.h"
#include "ic/error.h"

#include <stddef.h>

enum {
    /* The elements of a vec of more than 10 that stands in no other vec have a line each. didc
     * writes them on one. */
    IC_PRINT_LINES = 1,
};

/* Print an argument list.
 *
 * args,n  the values; args may be NULL when n is 0
 * naming  names for fields and tags, which are numbers otherwise; NULL: only those that the values'
 *         own types have
 * flags   0 or IC_PRINT_LINES
 * max     bytes at most. (A short message may hold very many values that take no bytes.)
 * out     appended to
 *
 * Returns 0, -EFBIG (over max), -EPROTO (a value of a type that this Candid does not know has no
 * text form), -EINVAL (a value that is none of its type: text that is not UTF-8, a number without
 * bytes, nesting over 256), -ENOMEM. On failure out holds an incomplete text.
 *
 * Thread safety: any number of concurrent calls.
 */
int ic_candid_print(const struct ic_value *args, size_t n, const struct ic_candid_naming *naming,
                    unsigned flags, size_t max, struct ic_buf *out, struct ic_error *err)
    IC_NONNULL(6) IC_MUST_CHECK;

/* Print one value, without parentheses around it: `declared` is the type a description has for it,
 * or NULL, and `all` the names of that description, or NULL. Otherwise as ic_candid_print. */
int ic_candid_print_value(const struct ic_value *value, const struct ic_type *declared,
                          const struct ic_candid_names *all, size_t max, struct ic_buf *out,
                          struct ic_error *err) IC_NONNULL(1, 5) IC_MUST_CHECK;

#endif
