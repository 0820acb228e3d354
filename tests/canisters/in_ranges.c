/* A restore that is made in ranges of items, in the order of arguments that the seed has: (to,
 * from). More than LIMIT at once is more than a message may do: here its reply is too large, which
 * undoes it like any other limit. Item POISON traps.
 */
#include "candid.h"
#include "ic0.h"

IC_CANDID_SERVICE("in_ranges.did");

#define N_ITEMS   2000
#define LIMIT     100
#define POISON    1999
#define REPLY_MAX ((size_t)2 << 20)

static uint64_t n_given[N_ITEMS];
static uint8_t block[64 << 10];
static struct candid_args args;

static void restore(uint64_t from, uint64_t to)
{
    if (from >= to || to > N_ITEMS)
        IC_TRAP("not a range");
    for (uint64_t i = from; i < to; i++) {
        if (i == POISON)
            IC_TRAP("an item that cannot be restored");
        n_given[i]++;
    }
    for (size_t len = 0; to - from > LIMIT && len <= REPLY_MAX; len += sizeof(block))
        ic0_msg_reply_data_append(block, sizeof(block));
    CANDID_PUT("DIDL\x00\x00");
    ic0_msg_reply();
}

IC_UPDATE(restore_content_stable)
{
    candid_open(&args);
    uint64_t to = candid_nat64(&args);
    restore(candid_nat64(&args), to);
}

/* The same with numbers of other types. */

IC_UPDATE(restore_int)
{
    candid_open(&args);
    uint64_t from = (uint64_t)candid_int(&args);
    restore(from, (uint64_t)candid_int(&args));
}

IC_UPDATE(restore_int64)
{
    candid_open(&args);
    uint64_t from = (uint64_t)candid_int64(&args);
    restore(from, (uint64_t)candid_int64(&args));
}

IC_UPDATE(restore_nat)
{
    candid_open(&args);
    uint64_t to = candid_nat(&args);
    restore(candid_nat(&args), to);
}

IC_UPDATE(restore_nat32)
{
    candid_open(&args);
    uint64_t from = candid_nat32(&args);
    restore(from, candid_nat32(&args));
}

IC_QUERY(given)
{
    candid_open(&args);
    uint64_t item = candid_nat64(&args);
    if (item >= N_ITEMS)
        IC_TRAP("no such item");
    CANDID_PUT("DIDL\x00\x01\x78");
    candid_put_nat64(n_given[item]);
    ic0_msg_reply();
}
