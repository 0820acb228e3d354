/* The convention without its proof: a version, but no read that names it.
 */
#include "shape.h"

static uint64_t version; /* a time in ns, made strictly increasing */
static uint64_t mtime_ns;

void shape_fill(void)
{
    mtime_ns = ic0_time();
    version = mtime_ns > version ? mtime_ns : version + 1;
    shape_fill_pages();
}

IC_QUERY(stable_size)
{
    if (!shape_rejected())
        shape_reply_nat64(shape_memory_size());
}

/* record { mtime_ns; size; version : nat64 }, in the order of the fields' hashes. */
IC_QUERY(stable_version)
{
    if (shape_rejected())
        return;
    CANDID_PUT("DIDL\x01\x6c\x03\xaa\x8f\x96\x9b\x03\x78\xc1\xc1\xce\xe2\x04\x78"
               "\x98\xce\xc7\xe7\x07\x78\x01\x00");
    candid_put_nat64(mtime_ns);
    candid_put_nat64(shape_memory_size());
    candid_put_nat64(version);
    ic0_msg_reply();
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
