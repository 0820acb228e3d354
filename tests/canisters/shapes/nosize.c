/* Reads that trap beyond the end, and no method that tells where it is.
 */
#include "shape.h"

void shape_fill(void)
{
    shape_write_stream(0, shape.size, shape.seed);
}

IC_QUERY(stable_read)
{
    if (shape_rejected())
        return;
    candid_open(&args);
    uint64_t off = candid_nat64(&args);
    uint64_t len = candid_nat64(&args);

    shape_reply_slice(0, shape.size, off, len);
}
