/* Candid values brought to a declared type, to be encoded as the receiver expects them.
 *
 *     ret = ic_candid_encode_as(args, n, method->type->as.func.args, method->type->as.func.n_args,
 *                               &message, err);
 *
 * This is stricter than what a receiver does with a message of other types (candid_coerce.h), since
 * nobody is there to notice what he lost: what does not fit is an error, also in an opt.
 *
 * - T becomes opt T; null and reserved become none; what is in an opt becomes what is in the other
 * - a whole number becomes one of any type that has it; a float stays of its width
 * - a record gets the fields it lacks where they can be null, none or reserved, and loses those
 *   that are not declared
 * - a variant keeps its tag, whatever its position becomes
 * - a vec has its elements brought to the type; one without elements is of any type
 * - a service becomes a principal; a function or service is left alone when its type is a subtype
 * - anything becomes reserved
 */
#ifndef CANISTERFS_IC_CANDID_CONVERT_H
#define CANISTERFS_IC_CANDID_CONVERT_H

#include "ic/arena.h"
#include "ic/attr.h"
#include "ic/candid.h"
#include "ic/error.h"

#include <stddef.h>

/* The value as one of this type.
 *
 * v      borrowed by *out, which shares parts of it
 * type   borrowed by *out
 * arena  what is new comes from here; on failure it may hold something, too
 *
 * Returns 0, -EINVAL (does not fit: the error tells where; or nests over 256, or is over the limit
 * of the arena), -ENOMEM.
 */
int ic_value_at_type(const struct ic_value *v, const struct ic_type *type, struct ic_arena *arena,
                     struct ic_value *out, struct ic_error *err)
    IC_NONNULL(1, 2, 3, 4) IC_MUST_CHECK;

/* Encode an argument list at declared types: each as by ic_value_at_type, missing ones as null,
 * none or reserved where they can be. The message's type table is of the declared types.
 *
 * args,n         may be NULL when n is 0
 * types,n_types  the declared types; may be NULL when n_types is 0
 * out            appended to; initialised by the caller
 *
 * Returns 0, -EINVAL (as ic_value_at_type; or more arguments than declared), -ENOMEM. On failure
 * out may hold an incomplete message.
 */
int ic_candid_encode_as(const struct ic_value *args, size_t n, const struct ic_type *const *types,
                        size_t n_types, struct ic_buf *out, struct ic_error *err)
    IC_NONNULL(5) IC_MUST_CHECK;

#endif
