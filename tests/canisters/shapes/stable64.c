/* The 64-bit stable memory calls of the canister kit, passed through: the size is in pages.
 */
#include "shape.h"

void shape_fill(void)
{
    shape_fill_pages();
}

IC_QUERY(stable64_size)
{
    if (!shape_rejected())
        shape_reply_nat64(ic0_stable64_size());
}

IC_QUERY(stable64_read)
{
    if (shape_rejected())
        return;
    candid_open(&args);
    uint64_t off = candid_nat64(&args);
    uint64_t len = candid_nat64(&args);

    shape_reply_memory(off, len);
}
