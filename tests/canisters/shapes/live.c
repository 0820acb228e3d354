/* The convention's two oldest methods alone: nothing tells that the data have changed.
 */
#include "shape.h"

void shape_fill(void)
{
    shape_fill_pages();
}

IC_QUERY(stable_size)
{
    if (!shape_rejected())
        shape_reply_nat64(shape_memory_size());
}

IC_QUERY(stable_read)
{
    if (shape_rejected())
        return;
    candid_open(&args);
    uint64_t off = candid_nat64(&args);
    uint64_t len = candid_nat64(&args);

    shape_reply_memory(off, len);
}
