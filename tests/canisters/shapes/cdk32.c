/* The 32-bit stable memory calls of the canister kit, passed through: the size is in pages. Writing
 * does not grow the memory.
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

/* Result as Rust's derive names it: the size before, in pages.
 *
 * Table: 0 variant { Ok : nat32; Err : 1 }, 1 variant { OutOfBounds; OutOfMemory }. */
IC_UPDATE(stable_grow)
{
    if (shape_refused())
        return;
    candid_open(&args);
    uint32_t more = candid_nat32(&args);
    uint64_t have = ic0_stable64_size();
    bool is_grown = more <= UINT16_MAX + 1 - have && ic0_stable64_grow(more) >= 0;

    CANDID_PUT("DIDL\x02\x6b\x02\xbc\x8a\x01\x79\xc5\xfe\xd2\x01\x01"
               "\x6b\x02\xfa\xf2\xff\x76\x7f\x86\xfc\x88\xec\x0a\x7f\x01\x00");
    if (is_grown) {
        CANDID_PUT("\x00");
        candid_put_nat32((uint32_t)have);
    } else {
        CANDID_PUT("\x01\x01");
    }
    ic0_msg_reply();
}

IC_UPDATE(stable_write)
{
    if (shape_refused())
        return;
    candid_open(&args);
    uint32_t off = candid_nat32(&args);

    shape_overwrite_blob(off, candid_blob(&args));
    shape_reply_nothing();
}
