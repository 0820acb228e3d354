/* The 64-bit stable memory calls of the canister kit, passed through: the size is in pages. Writing
 * does not grow the memory.
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

/* The size before, in pages.
 *
 * Table: 0 variant { ok : nat64; err : 1 }, 1 variant { OutOfBounds; OutOfMemory }. */
IC_UPDATE(stable64_grow)
{
    if (shape_refused())
        return;
    candid_open(&args);
    int64_t before = ic0_stable64_grow(candid_nat64(&args));

    CANDID_PUT("DIDL\x02\x6b\x02\x9c\xc2\x01\x78\xe5\x8e\xb4\x02\x01"
               "\x6b\x02\xfa\xf2\xff\x76\x7f\x86\xfc\x88\xec\x0a\x7f\x01\x00");
    if (before >= 0) {
        CANDID_PUT("\x00");
        candid_put_nat64((uint64_t)before);
    } else {
        CANDID_PUT("\x01\x01");
    }
    ic0_msg_reply();
}

/* Whether it was written: as theirs, true or a trap. */
IC_UPDATE(stable64_write)
{
    if (shape_refused())
        return;
    candid_open(&args);
    uint64_t off = candid_nat64(&args);

    shape_overwrite_blob(off, candid_blob(&args));
    CANDID_PUT("DIDL\x00\x01\x7e\x01");
    ic0_msg_reply();
}
