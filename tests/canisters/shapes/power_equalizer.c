/* power-equalizer's shape: chunks of a number of items that the caller chooses, and how many there
 * are of that size. At least one; the first tells the number of items; one beyond the last is null;
 * a chunk size of 0 divides by zero and traps. Everybody may read.
 */
#include "shape.h"

void shape_fill(void)
{
}

static uint64_t chunk_count(uint64_t chunk_size)
{
    uint64_t n = shape.size / chunk_size + (shape.size % chunk_size != 0);

    return n > 0 ? n : 1;
}

IC_QUERY(getChunkCount)
{
    if (shape_rejected())
        return;
    candid_open(&args);
    uint64_t chunk_size = candid_nat(&args);

    if (chunk_size == 0)
        IC_TRAP("arithmetic division by zero");
    CANDID_PUT("DIDL\x00\x01\x7d");
    candid_put_length(chunk_count(chunk_size));
    ic0_msg_reply();
}

/* vec record { token : nat32; buyer : text; price : nat64 } */
static void put_transactions(uint64_t first, uint64_t n)
{
    candid_put_length(n);
    for (uint64_t i = first; i < first + n; i++) {
        candid_put_nat32((uint32_t)i);
        SHAPE_PUT_NAME("buyer-", i);
        candid_put_nat64(stream_word(shape.seed + i));
    }
}

/* Table: 0 StableChunk = variant { v2 : 1 }, 1 record { marketplace : 2 }, 2 opt 3,
 * 3 variant { v2 : 4; v2_chunk : 5 }, 4 record { transactionChunk : 6; transactionCount : nat },
 * 5 record { transactionChunk : 6 }, 6 vec 7, 7 the transaction. */
#define HEADER                                                                                     \
    "DIDL\x08\x6b\x01\xfc\xcd\x01\x01\x6c\x01\x8b\xeb\xb4\x83\x02\x02\x6e\x03"                     \
    "\x6b\x02\xfc\xcd\x01\x04\xaa\xb3\xef\xf0\x0b\x05"                                             \
    "\x6c\x02\xaf\x9f\xa1\xbb\x0f\x06\x91\x9c\xa3\xe0\x0f\x7d"                                     \
    "\x6c\x01\xaf\x9f\xa1\xbb\x0f\x06\x6d\x07"                                                     \
    "\x6c\x03\xf9\x85\xae\xa1\x01\x79\xb3\xf2\xdb\xd7\x0b\x71\x89\x9d\xad\xc4\x0c\x78\x01\x00\x00"

IC_QUERY(backupChunk)
{
    if (shape_rejected())
        return;
    candid_open(&args);
    uint64_t chunk_size = candid_nat(&args);
    uint64_t index = candid_nat(&args);

    if (chunk_size == 0)
        IC_TRAP("arithmetic division by zero");
    CANDID_PUT(HEADER);
    if (index >= chunk_count(chunk_size)) {
        CANDID_PUT("\x00");
    } else {
        uint64_t first = index * chunk_size;
        uint64_t n = shape_smaller(chunk_size, shape.size - first);

        candid_put(index == 0 ? "\x01\x00" : "\x01\x01", 2);
        put_transactions(first, n);
        if (index == 0)
            candid_put_length(shape.size);
    }
    ic0_msg_reply();
}
