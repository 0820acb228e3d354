/* Which canisters a subnet may speak for, as the state tree lists them.
 *
 * Two forms: one list at /subnet/<subnet>/canister_ranges, or lists in shards at
 * /canister_ranges/<subnet>/<first canister of the shard>.
 *
 * Source: IC interface spec, The system state tree (Canister ranges), Certification (Delegation).
 */
#ifndef CANISTERFS_IC_CANISTER_RANGES_H
#define CANISTERFS_IC_CANISTER_RANGES_H

#include "ic/attr.h"
#include "ic/error.h"
#include "ic/hash_tree.h"
#include "ic/principal.h"

/* Does the tree say that the subnet hosts the canister?
 *
 * The tree must have been verified. The sharded form is used where it is revealed: the shard with
 * the greatest first id that is not above the canister's; else the flat one.
 *
 * Returns 0, -EBADMSG (it does not, or no ranges are revealed), -EPROTO (the lists are malformed).
 */
int ic_canister_ranges_check(const struct ic_hash_tree *tree, const struct ic_principal *subnet,
                             const struct ic_principal *canister, struct ic_error *err)
    IC_NONNULL(1, 2, 3) IC_MUST_CHECK;

#endif
