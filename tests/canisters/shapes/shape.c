/* See shape.h.
 */
#include "shape.h"

#include "../heap.h"

#define BUFFER (4 * PAGE)

struct shape shape;
struct candid_args args;

static _Alignas(8) uint8_t buffer[BUFFER];

/* --- installing and filling --- */

IC_INIT(init)
{
    candid_open(&args);
    shape.size = candid_nat64(&args);
    shape.seed = candid_nat64(&args);
    shape.controllers_only = candid_bool(&args);
    shape_fill();
}

IC_UPDATE(fill)
{
    if (shape_refused())
        return;
    candid_open(&args);
    shape.size = candid_nat64(&args);
    shape.seed = candid_nat64(&args);
    shape_fill();
    shape_reply_nothing();
}

/* --- who may call --- */

static bool is_stranger(void)
{
    return shape.controllers_only && !ic_caller_is_controller();
}

bool shape_rejected(void)
{
    if (!is_stranger())
        return false;
    IC_REJECT("not authorized to read");
    return true;
}

void shape_admit(void)
{
    if (is_stranger())
        IC_TRAP("the caller is not a controller of this canister");
}

void shape_admit_controller(void)
{
    if (!ic_caller_is_controller())
        IC_TRAP("the caller is not a controller of this canister");
}

bool shape_refused(void)
{
    if (ic_caller_is_controller())
        return false;
    IC_REJECT("denied: only a controller of this canister may change its data");
    return true;
}

/* --- stable memory --- */

uint64_t shape_memory_size(void)
{
    return ic0_stable64_size() * PAGE;
}

void shape_reserve(uint64_t size)
{
    uint64_t pages = size / PAGE + (size % PAGE != 0);
    uint64_t have = ic0_stable64_size();

    if (pages > have && ic0_stable64_grow(pages - have) < 0)
        IC_TRAP("stable memory cannot grow that far");
}

void shape_write_stream(uint64_t off, uint64_t size, uint64_t seed)
{
    if (size > UINT64_MAX - off)
        IC_TRAP("the range overflows");
    shape_reserve(off + size);
    for (uint64_t done = 0; done < size;) {
        size_t part = (size_t)shape_smaller(size - done, BUFFER);

        for (size_t at = 0; at < part; at += 8) {
            uint64_t word = stream_word(seed++);

            __builtin_memcpy(buffer + at, &word, sizeof(word));
        }
        ic_stable_write(off + done, buffer, part);
        done += part;
    }
}

void shape_fill_pages(void)
{
    shape_reserve(shape.size);
    shape_write_stream(0, shape_memory_size(), shape.seed);
}

void shape_write_blob(uint64_t off, struct candid_blob blob)
{
    if (blob.len > UINT64_MAX - off)
        IC_TRAP("the range overflows");
    shape_reserve(off + blob.len);
    shape_overwrite_blob(off, blob);
}

void shape_overwrite_blob(uint64_t off, struct candid_blob blob)
{
    for (size_t done = 0; done < blob.len;) {
        size_t part = (size_t)shape_smaller(blob.len - done, BUFFER);

        ic0_msg_arg_data_copy(buffer, blob.off + done, part);
        ic_stable_write(off + done, buffer, part);
        done += part;
    }
}

void shape_write_zeros(uint64_t off, uint64_t size)
{
    if (size > UINT64_MAX - off)
        IC_TRAP("the range overflows");
    shape_reserve(off + size);
    __builtin_memset(buffer, 0, BUFFER);
    for (uint64_t part; size > 0; off += part, size -= part) {
        part = shape_smaller(size, BUFFER);
        ic_stable_write(off, buffer, (size_t)part);
    }
}

/* --- an application's state --- */

static struct {
    uint64_t size;
    uint64_t seed;
    bool is_loaded; /* the bytes count, not the seed */
    uint8_t *bytes;
    size_t room; /* for bytes */
} state;

void shape_state_make(uint64_t size, uint64_t seed)
{
    state.size = size;
    state.seed = seed;
    state.is_loaded = false;
}

void shape_state_load(uint64_t off, uint64_t size)
{
    if (size > SIZE_MAX)
        IC_TRAP("the heap is full");
    if (size > state.room) {
        state.room = (size_t)size;
        state.bytes = heap_allocate(state.room);
    }
    ic_stable_read(state.bytes, off, (size_t)size);
    state.size = size;
    state.is_loaded = true;
}

void shape_state_store(uint64_t off)
{
    if (!state.is_loaded) {
        shape_write_stream(off, state.size, state.seed);
    } else {
        shape_reserve(off + state.size);
        ic_stable_write(off, state.bytes, (size_t)state.size);
    }
}

uint64_t shape_state_size(void)
{
    return state.size;
}

void shape_reply_state(void)
{
    if (shape_rejected())
        return;
    candid_open(&args);
    uint64_t off = candid_nat64(&args);
    uint64_t len = candid_nat64(&args);

    if (off > state.size || len > state.size - off)
        IC_TRAP("read_state: the range is not within the state");
    CANDID_PUT("DIDL\x01\x6d\x7b\x01\x00");
    candid_put_length(len);
    if (state.is_loaded) {
        candid_put(state.bytes + off, (size_t)len);
    } else {
        for (uint64_t end = off + len; off < end; off++) {
            uint8_t byte = (uint8_t)(stream_word(state.seed + off / 8) >> (8 * (off % 8)));

            candid_put(&byte, 1);
        }
    }
    ic0_msg_reply();
}

/* --- replies --- */

void shape_reply_nothing(void)
{
    CANDID_PUT("DIDL\x00\x00");
    ic0_msg_reply();
}

void shape_reply_nat64(uint64_t n)
{
    CANDID_PUT("DIDL\x00\x01\x78");
    candid_put_nat64(n);
    ic0_msg_reply();
}

void shape_reply_nat32(uint32_t n)
{
    CANDID_PUT("DIDL\x00\x01\x79");
    candid_put_nat32(n);
    ic0_msg_reply();
}

/* The System API checks the bounds of every read, also of one of 0 bytes: hence at least one. */
void shape_put_memory(uint64_t off, uint64_t len)
{
    candid_put_length(len);
    shape_put_bytes(off, len);
}

void shape_put_bytes(uint64_t off, uint64_t len)
{
    do {
        size_t part = (size_t)shape_smaller(len, BUFFER);

        ic_stable_read(buffer, off, part);
        candid_put(buffer, part);
        off += part;
        len -= part;
    } while (len > 0);
}

void shape_reply_memory(uint64_t off, uint64_t len)
{
    CANDID_PUT("DIDL\x01\x6d\x7b\x01\x00");
    shape_put_memory(off, len);
    ic0_msg_reply();
}

void shape_reply_slice(uint64_t base, uint64_t size, uint64_t off, uint64_t len)
{
    if (off > size || len > size - off)
        IC_TRAP("range end out of bounds of the slice");
    shape_reply_memory(base + off, len);
}

void shape_put_name(const char *word, size_t len, uint64_t n)
{
    char digits[20];
    size_t n_digits = 0;

    do {
        digits[sizeof(digits) - ++n_digits] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    candid_put_length(len + n_digits);
    candid_put(word, len);
    candid_put(digits + sizeof(digits) - n_digits, n_digits);
}
