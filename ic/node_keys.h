/* The public keys of a canister's subnet's nodes: what query signatures are verified with.
 *
 * A cache per canister, of 16 at most. A set of keys is taken from a verified certificate; it is
 * used for 300 s, and up to 600 s while a refresh is under way or failing (tried again every 10 s).
 * So a node that left the subnet is believed for that long at most. One thread fetches, the others
 * wait for its result and share its error, except when that thread itself gave up (its own deadline
 * or cancel flag): then the next one takes over. A signature by an unknown node is a reason to
 * fetch again, at most once in 2 s, so that forged identities cannot cause a flood.
 *
 * Source: IC interface spec, Query call; agent-rs caches as long.
 */
#ifndef CANISTERFS_IC_NODE_KEYS_H
#define CANISTERFS_IC_NODE_KEYS_H

#include "ic/attr.h"
#include "ic/error.h"
#include "ic/io.h"
#include "ic/node_set.h"
#include "ic/principal.h"

/* How the cache gets a set: asks the network, verifies. Called with no lock held. */
typedef int ic_node_fetch_fn(void *arg, const struct ic_principal *canister, const struct ic_io *io,
                             struct ic_node_set **out, struct ic_error *err);

struct ic_node_keys;

/* now_ns  the clock that ages are told by; NULL = ic_wait_boot_ns, which goes on during a suspend
 * arg     passed to both functions */
int ic_node_keys_new(struct ic_node_keys **out, ic_node_fetch_fn *fetch,
                     int64_t (*now_ns)(void *arg), void *arg) IC_NONNULL(1, 2) IC_MUST_CHECK;

/* Nobody may be inside ic_node_keys_get. */
void ic_node_keys_free(struct ic_node_keys *keys);

/* Get the keys of a canister's subnet, from the cache or the network.
 *
 * lacking  NULL; or a set, as got before, that has not the wanted node: a newer one is tried for.
 *          When none is to be had yet the same set comes back.
 * out      fills; to be unref'ed
 *
 * Returns 0, or what the fetch failed with. Blocks until io->deadline_ns at most.
 */
int ic_node_keys_get(struct ic_node_keys *keys, const struct ic_principal *canister,
                     const struct ic_node_set *lacking, const struct ic_io *io,
                     struct ic_node_set **out, struct ic_error *err)
    IC_NONNULL(1, 2, 4, 5) IC_MUST_CHECK;

/* Waiting callers look at their cancel flags at once. */
void ic_node_keys_wake(struct ic_node_keys *keys) IC_NONNULL(1);

#endif
