/* The type table of a Candid message: read, checked, linked into a graph of struct ic_type. */
#ifndef CANISTERFS_IC_CANDID_TABLE_H
#define CANISTERFS_IC_CANDID_TABLE_H

#include "ic/arena.h"
#include "ic/candid.h"

struct ic_candid_table {
    const struct ic_type *types; /* in the arena */
    size_t n;
};

/* Read the magic and the table; the cursor is left behind it.
 *
 * Returns 0, -EPROTO (malformed, or a claim that the input or a limit cannot hold), -ENOMEM. */
int ic_candid_table_read(struct ic_cursor *in, size_t max_types, struct ic_arena *arena,
                         struct ic_candid_table *out, struct ic_error *err)
    IC_NONNULL(1, 3, 4) IC_MUST_CHECK;

/* Read a type reference: an index into the table, or a primitive type. Returns 0 or -EPROTO. */
int ic_candid_table_ref(const struct ic_candid_table *table, struct ic_cursor *in,
                        const struct ic_type **out) IC_NONNULL(1, 2, 3) IC_MUST_CHECK;

/* The wire's code of a primitive or constructor (Candid spec, Binary format, T and I): -1 for null
 * to -24 for principal; 0 for IC_TYPE_FUTURE. */
int ic_candid_code(enum ic_type_kind kind);

/* Bytes of one value of a type of fixed width (bool, natN, intN, floats); 0 for every other type.
 */
size_t ic_candid_width(enum ic_type_kind kind);

#endif
