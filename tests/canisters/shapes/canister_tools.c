/* The shape of canisters built with canister-tools: several memories in one, each with an id.
 *
 * Sizes are in pages. An id that is not in use is a memory of no pages. Its guard traps.
 */
#include "shape.h"

/* Where the memories lie: those of fixed size first, then 0 up to the end. */
#define PAGES_252 1
#define PAGES_1   2
#define FIRST_252 0
#define FIRST_1   (FIRST_252 + PAGES_252)
#define FIRST_0   (FIRST_1 + PAGES_1)

struct memory {
    uint64_t first; /* page */
    uint64_t pages;
};

static struct memory find_memory(uint8_t id)
{
    switch (id) {
    case 0:
        return (struct memory){FIRST_0, ic0_stable64_size() - FIRST_0};
    case 1:
        return (struct memory){FIRST_1, PAGES_1};
    case 252:
        return (struct memory){FIRST_252, PAGES_252};
    default:
        return (struct memory){0, 0};
    }
}

/* Every memory has a stream of its own: that of seed + id * 2^32. */
static void fill_memory(uint8_t id)
{
    struct memory memory = find_memory(id);

    shape_write_stream(memory.first * PAGE, memory.pages * PAGE, shape.seed + ((uint64_t)id << 32));
}

void shape_fill(void)
{
    if (shape.size > UINT64_MAX - FIRST_0 * PAGE)
        IC_TRAP("the size overflows");
    shape_reserve(FIRST_0 * PAGE + shape.size);
    fill_memory(0);
    fill_memory(1);
    fill_memory(252);
}

IC_QUERY(controller_stable_memory_size)
{
    shape_admit();
    candid_open(&args);
    shape_reply_nat64(find_memory(candid_nat8(&args)).pages);
}

IC_QUERY(controller_stable_memory_read)
{
    shape_admit();
    candid_open(&args);
    struct memory memory = find_memory(candid_nat8(&args));
    uint64_t off = candid_nat64(&args);
    uint64_t len = candid_nat64(&args);

    shape_reply_slice(memory.first * PAGE, memory.pages * PAGE, off, len);
}
