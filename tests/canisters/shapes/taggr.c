/* Taggr's shape: pages of 1 MiB out of a dump of the heap, which an update renews.
 *
 * The memory begins with the dump's place and length, big endian; what can be read ends with the
 * dump. The page that holds the end is short, a page that begins exactly there is one entry with an
 * empty blob, and only beyond it the reply is an empty vec. Without any stable memory, where the
 * canister cannot even read the dump's place, it traps. Reads are for everybody, dumps are not.
 */
#include "shape.h"

#define DUMP_PAGE  (1 << 20)
#define DUMP_START 16

static uint64_t read_word(uint64_t off)
{
    uint64_t word;

    ic_stable_read(&word, off, sizeof(word));
    return __builtin_bswap64(word);
}

static uint64_t dump_end(void)
{
    return read_word(0) + read_word(8);
}

/* Size is where the dump ends. */
static void dump_heap(void)
{
    if (shape.size < DUMP_START)
        IC_TRAP("a dump ends after its place and length");
    const uint64_t header[2] = {__builtin_bswap64(DUMP_START),
                                __builtin_bswap64(shape.size - DUMP_START)};

    shape_write_stream(0, shape.size, shape.seed);
    ic_stable_write(0, header, sizeof(header));
}

/* New data are in the heap alone until the next dump; a canister just installed has made one. */
void shape_fill(void)
{
    if (ic0_stable64_size() == 0 && shape.size > 0)
        dump_heap();
}

IC_UPDATE(backup)
{
    if (shape_refused())
        return;
    dump_heap();
    shape_reply_nothing();
}

IC_QUERY(stable_mem_read)
{
    if (shape_rejected())
        return;
    candid_open(&args);
    uint64_t page = candid_nat64(&args);
    uint64_t end = dump_end();

    /* Table: 0 vec 1, 1 record { nat64; 2 }, 2 blob. */
    CANDID_PUT("DIDL\x03\x6d\x01\x6c\x02\x00\x78\x01\x02\x6d\x7b\x01\x00");
    if (page > end / DUMP_PAGE) {
        candid_put_length(0);
    } else {
        candid_put_length(1);
        candid_put_nat64(page);
        shape_put_memory(page * DUMP_PAGE, shape_smaller(DUMP_PAGE, end - page * DUMP_PAGE));
    }
    ic0_msg_reply();
}
