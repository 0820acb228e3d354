/* A storage canister: short names, the size in pages.
 */
#include "shape.h"

void shape_fill(void)
{
    shape_fill_pages();
}

IC_QUERY(stablesize)
{
    if (!shape_rejected())
        shape_reply_nat64(ic0_stable64_size());
}

IC_QUERY(read)
{
    if (shape_rejected())
        return;
    candid_open(&args);
    uint64_t off = candid_nat64(&args);
    uint64_t len = candid_nat64(&args);

    shape_reply_memory(off, len);
}

/* It does not grow. */
IC_UPDATE(write)
{
    if (shape_refused())
        return;
    candid_open(&args);
    uint64_t off = candid_nat64(&args);

    shape_overwrite_blob(off, candid_blob(&args));
    shape_reply_nothing();
}

IC_UPDATE(stablegrow)
{
    if (shape_refused())
        return;
    candid_open(&args);
    shape_reply_nat64((uint64_t)ic0_stable64_grow(candid_nat64(&args)));
}
