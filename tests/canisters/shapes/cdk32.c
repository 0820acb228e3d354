/* The 32-bit stable memory calls of the canister kit, passed through: the size is in pages.
 */
#include "shape.h"

void shape_fill(void)
{
    if (shape.size > UINT32_MAX)
        IC_TRAP("32-bit offsets do not reach that far");
    shape_fill_pages();
}

IC_QUERY(stable_size)
{
    if (!shape_rejected())
        shape_reply_nat32((uint32_t)ic0_stable64_size());
}

IC_QUERY(stable_read)
{
    if (shape_rejected())
        return;
    candid_open(&args);
    uint32_t off = candid_nat32(&args);
    uint32_t len = candid_nat32(&args);

    shape_reply_memory(off, len);
}
