/* Names for fields and tags of values, which do not travel with them: from a description (.did).
 *
 * A value of a message knows the ids of its fields only. The type that a description declares for
 * it is walked alongside: where both have a field of an id, its name is the declared one. Where
 * the two do not agree, and for values of unknown type, any name in the description that has the
 * id is taken, unless two different ones do. A type that has names itself (of a value that was
 * made or read at a type of a description) comes first.
 */
#ifndef CANISTERFS_IC_CANDID_NAMES_H
#define CANISTERFS_IC_CANDID_NAMES_H

#include "ic/attr.h"
#include "ic/candid.h"
#include "ic/did.h"
#include "ic/error.h"

#include <stddef.h>

/* All names of fields and tags in a description. Immutable; any number of threads may read it. */
struct ic_candid_names;

/* Collect the names of a description, which must outlive *out. Returns 0, -ENOMEM. */
int ic_candid_names_new(const struct ic_did *did, struct ic_candid_names **out,
                        struct ic_error *err) IC_NONNULL(1, 2) IC_MUST_CHECK;

void ic_candid_names_free(struct ic_candid_names *names);

/* The name that belongs to an id, when there is exactly one: bytes are NULL otherwise, and when
 * names is NULL. */
struct ic_view ic_candid_names_find(const struct ic_candid_names *names, uint32_t id);

/* What is known of the names in an argument list. Borrowed by the functions that take it. */
struct ic_candid_naming {
    const struct ic_type *const *types; /* declared, of the arguments; may be NULL */
    size_t n;                           /* of types; there may be fewer than arguments */
    const struct ic_candid_names *all;  /* may be NULL */
};

#endif
