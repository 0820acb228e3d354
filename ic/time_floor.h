/* How far certified time has come, per subnet: whoever answers may not take us back.
 *
 * A certificate that is fresh enough for the local clock may still be older than one seen before: a
 * replay, or a node that lags. Nodes of a healthy subnet lag by seconds, and boundary nodes leave
 * out those that lag by more, so IC_TIME_FLOOR_LAG_NS is generous; what is older than the newest
 * certificate of the same subnet by more is refused, however wrong the local clock is. A subnet
 * whose canister moved has its own time; a network that was set up anew wants a new agent.
 *
 * This is our own rule, stricter than the specification's. It concerns certificates: the time on a
 * query's signature is one node's clock, which certifies nothing.
 */
#ifndef CANISTERFS_IC_TIME_FLOOR_H
#define CANISTERFS_IC_TIME_FLOOR_H

#include "ic/attr.h"
#include "ic/error.h"
#include "ic/principal.h"

#include <stdint.h>

#define IC_TIME_FLOOR_LAG_NS  (120LL * 1000000000)
#define IC_TIME_FLOOR_SUBNETS 16 /* an agent meets one or two; the oldest entry goes first */

/* Owned by whoever owns the connection; any number of threads may use it at once. */
struct ic_time_floor;

int ic_time_floor_new(struct ic_time_floor **out) IC_NONNULL(1) IC_MUST_CHECK;
void ic_time_floor_free(struct ic_time_floor *floor);

/* Check the time of a certificate that is verified in every other way, and remember it.
 *
 * Returns 0, -EBADMSG (too far behind what the same subnet certified before). */
int ic_time_floor_pass(struct ic_time_floor *floor, const struct ic_principal *subnet,
                       int64_t time_ns, struct ic_error *err) IC_NONNULL(1, 2) IC_MUST_CHECK;

#endif
