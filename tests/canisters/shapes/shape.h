/* What the canisters of this directory share. Each of them offers its data with the methods that
 * one kind of real canister has, so that a reader's recognition of them can be tried.
 *
 * Every one is installed with (size, seed, controllers_only) and has `fill : (size, seed) -> ()`,
 * an update for controllers that replaces the data. What size counts and how the data follow from
 * the seed, README.md says.
 *
 * State lives on the heap and an upgrade drops it: these canisters are reinstalled, not upgraded,
 * but for metamagic.
 */
#ifndef CANISTERS_SHAPE_H
#define CANISTERS_SHAPE_H

#include "../candid.h"
#include "../ic0.h"
#include "../stream.h"

#define PAGE 65536

/* What the heap keeps from message to message. */
struct shape {
    uint64_t size;
    uint64_t seed;
    bool controllers_only; /* who may read */
};
extern struct shape shape;

/* Scratch space of the running message. */
extern struct candid_args args;

/* Each canister's own: makes shape.size and shape.seed the data that it serves. */
void shape_fill(void);

/* --- who may call --- */

/* For reads: whether the caller was rejected. Rust canisters with a guard function do this. */
bool shape_rejected(void);

/* For reads: traps instead, as canisters do that assert. */
void shape_admit(void);

/* For updates, which are always for controllers: whether the caller was rejected, or a trap. */
bool shape_refused(void);
void shape_admit_controller(void);

/* --- stable memory --- */

uint64_t shape_memory_size(void); /* bytes */
void shape_reserve(uint64_t size);

/* Writes the stream of a seed over [off, off + size), growing the memory as needed. */
void shape_write_stream(uint64_t off, uint64_t size, uint64_t seed);

/* Grows the memory to shape.size and writes the stream of shape.seed over all of it. */
void shape_fill_pages(void);

/* The blob argument read from the message, written to the memory at off, which grows as needed. */
void shape_write_blob(uint64_t off, struct candid_blob blob);

/* The same where the memory must be long enough: else it traps, as the System API does. */
void shape_overwrite_blob(uint64_t off, struct candid_blob blob);

void shape_write_zeros(uint64_t off, uint64_t size);

/* --- an application's state, on the heap: what its dumps are made of --- */

/* The stream of a seed. */
void shape_state_make(uint64_t size, uint64_t seed);

/* What lies at off in stable memory. */
void shape_state_load(uint64_t off, uint64_t size);

/* Writes it to stable memory at off, growing that as needed. */
void shape_state_store(uint64_t off);

uint64_t shape_state_size(void);

/* The method read_state (offset, length), by which the application is asked for it. */
void shape_reply_state(void);

/* --- replies --- */

void shape_reply_nothing(void);
void shape_reply_nat64(uint64_t n);
void shape_reply_nat32(uint32_t n);

/* Bytes of the stable memory. */
void shape_put_bytes(uint64_t off, uint64_t len);

/* A blob's value, from the stable memory: a range beyond its end traps, even an empty one. */
void shape_put_memory(uint64_t off, uint64_t len);
void shape_reply_memory(uint64_t off, uint64_t len);

/* A blob out of data of `size` bytes that begin at `base`: a range beyond their end traps, as the
 * slice of an array does. */
void shape_reply_slice(uint64_t base, uint64_t size, uint64_t off, uint64_t len);

/* A text's value: a word, then a number. */
void shape_put_name(const char *word, size_t len, uint64_t n);
#define SHAPE_PUT_NAME(literal, n) shape_put_name("" literal, sizeof(literal) - 1, n)

static inline uint64_t shape_smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

#endif
