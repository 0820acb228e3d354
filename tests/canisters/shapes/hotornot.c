/* Hot or Not's shape: an update freezes the state into a snapshot and tells its length, queries
 * read slices of it, an update drops it. There is no query for the length.
 *
 * Its guards reject whom the project has not named; here these are the controllers.
 */
#include "shape.h"

static uint64_t snapshot_size; /* the snapshot lies in stable memory, from its beginning */

/* New data do not touch the snapshot; a canister just installed has none. */
void shape_fill(void)
{
    if (shape.size > UINT32_MAX)
        IC_TRAP("the length of a snapshot is a nat32");
}

IC_UPDATE(save_snapshot_json)
{
    if (shape_refused())
        return;
    shape_write_stream(0, shape.size, shape.seed);
    snapshot_size = shape.size;
    shape_reply_nat32((uint32_t)snapshot_size);
}

IC_UPDATE(clear_snapshot)
{
    if (shape_refused())
        return;
    snapshot_size = 0;
    shape_reply_nothing();
}

IC_QUERY(download_snapshot)
{
    if (shape_rejected())
        return;
    candid_open(&args);
    uint64_t off = candid_nat64(&args);
    uint64_t len = candid_nat64(&args);

    shape_reply_slice(0, snapshot_size, off, len);
}
