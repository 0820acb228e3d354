/* How two Candid types relate: equal, a subtype, or one that keeps everything.
 *
 * Types may be of different origin (a message, a .did, constants) and recursive.
 *
 * Source: Candid specification, Subtyping.
 */
#ifndef CANISTERFS_IC_CANDID_RELATION_H
#define CANISTERFS_IC_CANDID_RELATION_H

#include "ic/attr.h"
#include "ic/candid.h"
#include "ic/error.h"

#include <stdbool.h>
#include <stddef.h>

enum ic_type_relation {
    IC_TYPE_EQUAL,    /* the same values: names of fields and arguments do not matter, ids do */
    IC_TYPE_SUBTYPE,  /* a value of a is accepted where b is expected; what b does not know is lost,
                         also all that an opt in b does not fit */
    IC_TYPE_LOSSLESS, /* a subtype whose every value arrives whole: no field dropped, no opt emptied
                       */
};

/* Pairs of types that one question may come to, each of which is looked at once. */
#define IC_TYPE_MAX_PAIRS 65536

/* Is a related to b?
 *
 * Returns 0 and fills *out; -EPROTO (the types are so large that it is over IC_TYPE_MAX_PAIRS, or
 * 64 times as many fields), -ENOMEM.
 *
 * Thread safety: any number of concurrent calls. Uses no more stack for nested types.
 */
int ic_type_relates(const struct ic_type *a, const struct ic_type *b,
                    enum ic_type_relation relation, bool *out, struct ic_error *err)
    IC_NONNULL(1, 2, 4) IC_MUST_CHECK;

/* The same for argument lists, which relate as records of their positions do: arguments of type a
 * where b is expected. */
int ic_type_lists_relate(const struct ic_type *const *a, size_t n_a, const struct ic_type *const *b,
                         size_t n_b, enum ic_type_relation relation, bool *out,
                         struct ic_error *err) IC_NONNULL(6) IC_MUST_CHECK;

#endif
