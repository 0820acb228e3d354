/* The shape of canisters built with canister-tools: several memories in one, each with an id.
 *
 * Sizes are in pages. An id that is not in use is a memory of no pages. Its guard traps.
 */
#include "shape.h"

/* Where the memories lie: stretches of pages one after the other, each of the memory of an id. A
 * memory that grows gets another stretch, or a longer last one.
 */
#define EXTENTS_MAX 256
static struct extent {
    uint64_t pages;
    uint8_t id;
} extents[EXTENTS_MAX];
static size_t n_extents;

static uint64_t count_pages(uint8_t id)
{
    uint64_t pages = 0;

    for (size_t i = 0; i < n_extents; i++)
        if (extents[i].id == id)
            pages += extents[i].pages;
    return pages;
}

/* The size before, or -1. */
static int64_t grow_memory(uint8_t id, uint64_t pages)
{
    int64_t before = (int64_t)count_pages(id);
    bool is_last = n_extents > 0 && extents[n_extents - 1].id == id;

    if ((!is_last && n_extents == EXTENTS_MAX) || ic0_stable64_grow(pages) < 0)
        return -1;
    if (!is_last)
        extents[n_extents++] = (struct extent){.id = id};
    extents[n_extents - 1].pages += pages;
    return before;
}

/* Where a byte of a memory lies, and how many from there on lie in a row; it must be there. */
static uint64_t find_place(uint8_t id, uint64_t off, uint64_t *run)
{
    uint64_t first = 0;

    for (size_t i = 0; i < n_extents; first += extents[i++].pages * PAGE) {
        if (extents[i].id != id)
            continue;
        if (off < extents[i].pages * PAGE) {
            *run = extents[i].pages * PAGE - off;
            return first + off;
        }
        off -= extents[i].pages * PAGE;
    }
    IC_TRAP("no such place in this memory");
}

static void check_range(uint8_t id, uint64_t off, uint64_t len)
{
    uint64_t size = count_pages(id) * PAGE;

    if (off > size || len > size - off)
        IC_TRAP("range end out of bounds of the slice");
}

/* Every memory has a stream of its own: that of seed + id * 2^32. */
static void fill_memory(uint8_t id)
{
    uint64_t size = count_pages(id) * PAGE;
    uint64_t seed = shape.seed + ((uint64_t)id << 32);

    for (uint64_t off = 0, run; off < size; off += run) {
        uint64_t place = find_place(id, off, &run);

        shape_write_stream(place, run, seed + off / 8);
    }
}

static void reserve(uint8_t id, uint64_t pages)
{
    uint64_t have = count_pages(id);

    if (pages > have && grow_memory(id, pages - have) < 0)
        IC_TRAP("stable memory cannot grow that far");
}

/* One of size 0 has no memory at all, as one that was just installed. */
void shape_fill(void)
{
    if (shape.size > 0) {
        reserve(252, 1);
        reserve(1, 2);
        reserve(0, shape.size / PAGE + (shape.size % PAGE != 0));
    }
    fill_memory(0);
    fill_memory(1);
    fill_memory(252);
}

IC_QUERY(controller_stable_memory_size)
{
    shape_admit();
    candid_open(&args);
    shape_reply_nat64(count_pages(candid_nat8(&args)));
}

IC_QUERY(controller_stable_memory_read)
{
    shape_admit();
    candid_open(&args);
    uint8_t id = candid_nat8(&args);
    uint64_t off = candid_nat64(&args);
    uint64_t len = candid_nat64(&args);

    check_range(id, off, len);
    CANDID_PUT("DIDL\x01\x6d\x7b\x01\x00");
    candid_put_length(len);
    for (uint64_t run; len > 0; off += run, len -= run) {
        uint64_t place = find_place(id, off, &run);

        run = shape_smaller(run, len);
        shape_put_bytes(place, run);
    }
    ic0_msg_reply();
}

/* The size before, in pages, or -1. */
IC_UPDATE(controller_stable_memory_grow)
{
    shape_admit_controller();
    candid_open(&args);
    uint8_t id = candid_nat8(&args);

    CANDID_PUT("DIDL\x00\x01\x74");
    candid_put_nat64((uint64_t)grow_memory(id, candid_nat64(&args)));
    ic0_msg_reply();
}

/* It does not grow. */
IC_UPDATE(controller_stable_memory_write)
{
    shape_admit_controller();
    candid_open(&args);
    uint8_t id = candid_nat8(&args);
    uint64_t off = candid_nat64(&args);
    struct candid_blob blob = candid_blob(&args);

    check_range(id, off, blob.len);
    for (uint64_t run; blob.len > 0; off += run, blob.off += (size_t)run, blob.len -= (size_t)run) {
        uint64_t place = find_place(id, off, &run);

        run = shape_smaller(run, blob.len);
        shape_overwrite_blob(place, (struct candid_blob){.off = blob.off, .len = (size_t)run});
    }
    shape_reply_nothing();
}
