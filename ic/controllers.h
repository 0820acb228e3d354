/* The list of controllers in the state tree: a tagged CBOR array of principals.
 *
 * Source: IC interface spec, Canister information (/canister/<id>/controllers).
 */
#ifndef CANISTERFS_IC_CONTROLLERS_H
#define CANISTERFS_IC_CONTROLLERS_H

#include "ic/principal.h"

/* The network allows 10; room for a change of mind. */
#define IC_CONTROLLERS_MAX 32

/* Decode the leaf and sort the principals by their bytes (their order in the tree is free).
 *
 * out    fills with at most IC_CONTROLLERS_MAX principals
 * ret_n  fills with their number
 *
 * Returns 0, or -EPROTO: malformed, or more than fit. */
int ic_controllers_decode(const uint8_t *leaf, size_t len,
                          struct ic_principal out[IC_CONTROLLERS_MAX], size_t *ret_n)
    IC_NONNULL(3, 4) IC_MUST_CHECK;

#endif
