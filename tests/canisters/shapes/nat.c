/* Numbers as Motoko programs have them, of any width: a size in bytes that is no whole page.
 */
#include "shape.h"

void shape_fill(void)
{
    shape_write_stream(0, shape.size, shape.seed);
}

IC_QUERY(stable_size)
{
    if (shape_rejected())
        return;
    CANDID_PUT("DIDL\x00\x01\x7d");
    candid_put_length(shape.size);
    ic0_msg_reply();
}

IC_QUERY(stable_read)
{
    if (shape_rejected())
        return;
    candid_open(&args);
    uint64_t off = candid_nat(&args);
    uint64_t len = candid_nat(&args);

    shape_reply_slice(0, shape.size, off, len);
}
