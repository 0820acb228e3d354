/* Factland's shape: stable memory in bytes, and the users' profiles as a collection without a
 * total.
 *
 * Its guards reject whom the canister has not authorised; here these are the controllers.
 */
#include "shape.h"

#define PROFILES 1500

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

IC_UPDATE(stable_write)
{
    if (shape_refused())
        return;
    candid_open(&args);
    uint64_t off = candid_nat64(&args);

    shape_write_blob(off, candid_blob(&args));
    shape_reply_nothing();
}

/* Profile's fields in the order of their hashes: username, password, email, updated_time_msecs. */
static void put_profile(uint64_t i)
{
    SHAPE_PUT_NAME("principal-", i);
    CANDID_PUT("\x01");
    SHAPE_PUT_NAME("user-", i);
    CANDID_PUT("\x00");
    if (i % 3 == 0) {
        CANDID_PUT("\x00");
    } else {
        CANDID_PUT("\x01");
        SHAPE_PUT_NAME("mail@", i);
    }
    CANDID_PUT("\x01");
    candid_put_nat64(1600000000000 + i);
}

/* (offset, count): beyond the last profile there are simply none. */
IC_QUERY(backup)
{
    if (shape_rejected())
        return;
    candid_open(&args);
    uint64_t first = shape_smaller(candid_nat32(&args), PROFILES);
    uint64_t n = shape_smaller(candid_nat32(&args), PROFILES - first);

    /* Table: 0 vec 1, 1 record { text; 2 }, 2 Profile, 3 opt text, 4 opt nat64. */
    CANDID_PUT("DIDL\x05\x6d\x01\x6c\x02\x00\x71\x01\x02"
               "\x6c\x04\x96\x8c\xae\x87\x02\x03\x9b\xc6\xc0\xc6\x04\x03"
               "\x9c\x9e\xbb\xfe\x06\x03\x81\xd1\x95\xab\x0a\x04"
               "\x6e\x71\x6e\x78\x01\x00");
    candid_put_length(n);
    for (uint64_t i = first; i < first + n; i++)
        put_profile(i);
    ic0_msg_reply();
}
