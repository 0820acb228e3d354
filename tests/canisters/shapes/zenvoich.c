/* The shape of a backup canister of the Motoko package `backup`: chunks by number, each with
 * whether it is the last. Older backups are removed, so the first one kept need not be 0; a number
 * that is not there traps, and so does a chunk beyond the last. Its guard asserts, so it traps as
 * well.
 */
#include "shape.h"

#define CHUNK        300000
#define FIRST_BACKUP 3

/* Two backups, one behind the other: size bytes of the seed's stream, then size / 2 + 1
 * of that of seed + 2^32. */
static uint64_t backup_size(uint64_t id)
{
    return id == FIRST_BACKUP ? shape.size : shape.size / 2 + 1;
}

void shape_fill(void)
{
    shape_write_stream(0, backup_size(FIRST_BACKUP), shape.seed);
    shape_write_stream(backup_size(FIRST_BACKUP), backup_size(FIRST_BACKUP + 1),
                       shape.seed + ((uint64_t)1 << 32));
}

IC_QUERY(getChunk)
{
    shape_admit();
    candid_open(&args);
    uint64_t id = candid_nat(&args);
    uint64_t index = candid_nat(&args);

    if (id < FIRST_BACKUP || id > FIRST_BACKUP + 1)
        IC_TRAP("getChunk: no such backup");
    uint64_t size = backup_size(id);
    uint64_t n_chunks = size / CHUNK + (size % CHUNK != 0);
    uint64_t base = id == FIRST_BACKUP ? 0 : backup_size(FIRST_BACKUP);

    if (index >= n_chunks)
        IC_TRAP("getChunk: index out of bounds");
    CANDID_PUT("DIDL\x01\x6d\x7b\x02\x00\x7e");
    shape_put_memory(base + index * CHUNK, shape_smaller(CHUNK, size - index * CHUNK));
    candid_put(index + 1 == n_chunks ? "\x01" : "\x00", 1);
    ic0_msg_reply();
}
