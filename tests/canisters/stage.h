/* The bytes that the session in the record has staged, and what commit does with them.
 *
 * The stage lies behind the session's size, which is at least that of the live bytes: first a table
 * with 4 bytes for each piece of 1 MiB of the content (0, or a slot's number plus 1), filled up to
 * whole pages; then the slots of 1 MiB, in the order in which the pieces were first sent. So what
 * is not sent takes no place.
 *
 * Content is what the live bytes will be: what was sent; of what was not, the live bytes; zeros
 * beyond these.
 */
#ifndef CANISTERS_STAGE_H
#define CANISTERS_STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STAGE_PIECE ((uint64_t)1 << 20)

/* The hashes of so many pieces, from the first on, are made when the piece is there, so that the
 * commit need not read it: they are kept on the heap, 33 bytes each, and an upgrade forgets them.
 */
#ifndef STAGE_HASHES
#define STAGE_HASHES 8192
#endif

/* What one message of a commit does at most: the platform allows it 40e9 instructions, and 2 GiB of
 * stable memory to read and to write. */
#ifndef STAGE_STEP_BYTES
#define STAGE_STEP_BYTES ((uint64_t)1 << 30)
#endif
#ifndef STAGE_STEP_INSTRUCTIONS
#define STAGE_STEP_INSTRUCTIONS ((uint64_t)10000000000)
#endif

/* What a message has done so far. */
struct stage_step {
    uint64_t bytes; /* read or written */
    bool has_hashed;
};

/* An empty stage for a session of that size; the memory grows now when all of it is to come. These
 * two return false when the memory cannot grow; a record_save must follow in any case. */
bool stage_open(uint64_t size, bool is_whole);

/* Makes places for a range. */
bool stage_reserve(uint64_t off, uint64_t len);

/* Copies bytes of the message's argument to places that were made for them. */
void stage_write(uint64_t off, size_t arg_off, size_t len);

/* After a range was written, and is among those received: hashes the pieces of it that are whole
 * now. */
void stage_hash(uint64_t off, uint64_t len);

/* Goes on hashing the content. True: all of it is in session.hash. */
bool stage_verify(struct stage_step *step);

/* Whether stage_apply should begin in this message: all fits into it, or it has done nothing yet.
 */
bool stage_may_apply(const struct stage_step *step);

/* Goes on making the content live. True: all of it is, but for the size. */
bool stage_apply(struct stage_step *step);

#endif
