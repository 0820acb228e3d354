/* Taggr's shape: pages of 1 MiB out of a dump of the heap, which an update renews.
 *
 * The memory begins with the dump's place and length, big endian; what can be read ends with the
 * dump. The page that holds the end is short, a page that begins exactly there is one entry with an
 * empty blob, and only beyond it the reply is an empty vec. Without any stable memory, where the
 * canister cannot even read the dump's place, it traps. Reads are for everybody, all else is not.
 *
 * A dump is restored page by page with stable_mem_write, which their builds for development have,
 * and becomes the heap with stable_to_heap.
 */
#include "../values.h"
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

static void dump_heap(void)
{
    const uint64_t header[2] = {__builtin_bswap64(DUMP_START),
                                __builtin_bswap64(shape_state_size())};

    shape_state_store(DUMP_START);
    ic_stable_write(0, header, sizeof(header));
}

/* Size is where the dump ends. New data are in the heap alone until the next dump; a canister just
 * installed has made one. */
void shape_fill(void)
{
    if (shape.size > 0 && shape.size < DUMP_START)
        IC_TRAP("a dump ends after its place and length");
    shape_state_make(shape.size == 0 ? 0 : shape.size - DUMP_START, shape.seed + DUMP_START / 8);
    if (ic0_stable64_size() == 0 && shape.size > 0)
        dump_heap();
}

IC_QUERY(read_state)
{
    shape_reply_state();
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

/* (page, bytes) as stable_mem_read gives them; as theirs, it looks at the first entry alone, does
 * nothing for an empty blob, and grows the memory by a page too many where a page ends with it. */
IC_UPDATE(stable_mem_write)
{
    static struct values values;
    int32_t entry;

    if (shape_refused())
        return;
    int32_t type = values_open(&values);

    if (values_vec(&values, type, &entry) > 0) {
        struct value_fields fields = values_record(&values, entry);

        if (fields.n < 2 || fields.at[0].hash != 0 || fields.at[1].hash != 1)
            IC_TRAP("argument: no page and bytes");
        uint64_t page = values_nat64(&values, fields.at[0].type);
        struct candid_blob blob = values_blob(&values, fields.at[1].type);

        if (page > UINT64_MAX / DUMP_PAGE - 1)
            IC_TRAP("the range overflows");
        if (blob.len > 0) {
            shape_reserve(((page * DUMP_PAGE + blob.len) / PAGE + 1) * PAGE);
            shape_overwrite_blob(page * DUMP_PAGE, blob);
        }
    }
    shape_reply_nothing();
}

IC_UPDATE(stable_to_heap)
{
    if (shape_refused())
        return;
    uint64_t place = read_word(0);
    uint64_t len = read_word(8);

    if (place > shape_memory_size() || len > shape_memory_size() - place)
        IC_TRAP("stable memory holds no dump");
    shape_state_load(place, len);
    shape_reply_nothing();
}
