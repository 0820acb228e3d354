/* Whose clock is wrong: words for a time that was refused.
 *
 * Two sources besides the local clock: the time that was certified or signed, and the Date header
 * of the HTTP answer. The header proves nothing and decides nothing; it only tells a lagging node
 * (certified time differs from ours, the server's does not) from a wrong local clock (both differ
 * from ours, in the same direction).
 */
#ifndef CANISTERFS_IC_CLOCK_SKEW_H
#define CANISTERFS_IC_CLOCK_SKEW_H

#include "ic/attr.h"
#include "ic/error.h"

#include <stdint.h>

#define IC_CLOCK_SKEW_NOTABLE_NS (30LL * 1000000000) /* less is no news */

/* Append to a message that a time was refused whose fault it seems to be, with direction and
 * amount. Does nothing when err->skew_ns is 0.
 *
 * now_ns   the local clock, ns since 1970
 * date_ns  the Date header; 0 = there was none
 */
void ic_clock_skew_explain(struct ic_error *err, int64_t now_ns, int64_t date_ns) IC_NONNULL(1);

/* The same for a request that was refused for its expiry, which our clock decided. */
void ic_clock_skew_explain_expiry(struct ic_error *err, int64_t now_ns, int64_t date_ns)
    IC_NONNULL(1);

#endif
