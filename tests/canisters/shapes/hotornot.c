/* Hot or Not's shape: an update freezes the state into a snapshot and tells its length, queries
 * read slices of it, an update drops it. There is no query for the length. Into another canister
 * the snapshot is put with receive_and_save_snaphot (their spelling), which makes it as long as it
 * takes, and load_snapshot makes it the state.
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
    shape_state_make(shape.size, shape.seed);
}

IC_QUERY(read_state)
{
    shape_reply_state();
}

IC_UPDATE(save_snapshot_json)
{
    if (shape_refused())
        return;
    shape_state_store(0);
    snapshot_size = shape_state_size();
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

/* What lies between the snapshot's end and offset is zeros then. */
IC_UPDATE(receive_and_save_snaphot)
{
    if (shape_refused())
        return;
    candid_open(&args);
    uint64_t off = candid_nat64(&args);
    struct candid_blob blob = candid_blob(&args);

    if (off > snapshot_size)
        shape_write_zeros(snapshot_size, off - snapshot_size);
    shape_write_blob(off, blob);
    if (off + blob.len > snapshot_size)
        snapshot_size = off + blob.len;
    shape_reply_nothing();
}

IC_UPDATE(load_snapshot)
{
    if (shape_refused())
        return;
    shape_state_load(0, snapshot_size);
    shape_reply_nothing();
}
