/* The shape that icml downloads from: a database file, from an offset on. The canister picks the
 * length, and an empty blob is the end. Everybody may read.
 */
#include "shape.h"

#define CHUNK 1000000 /* no multiple of a page */

static uint64_t file_size; /* the file lies in stable memory, from its beginning */

void shape_fill(void)
{
    file_size = shape.size;
    shape_write_stream(0, file_size, shape.seed);
}

IC_QUERY(db_download)
{
    if (shape_rejected())
        return;
    candid_open(&args);
    uint64_t off = shape_smaller(candid_nat64(&args), file_size);

    shape_reply_slice(0, file_size, off, shape_smaller(CHUNK, file_size - off));
}

/* (offset, bytes). What lies between the old end and offset keeps what the memory held. */
IC_UPDATE(db_upload)
{
    if (shape_refused())
        return;
    candid_open(&args);
    uint64_t off = candid_nat64(&args);
    struct candid_blob blob = candid_blob(&args);

    shape_write_blob(off, blob);
    if (blob.len > 0 && off + blob.len > file_size)
        file_size = off + blob.len;
    shape_reply_nothing();
}
