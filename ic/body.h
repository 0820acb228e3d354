/* Buffers for reply bodies. A few large ones are kept for the next reply: fresh memory for every
 * reply of 3 MiB would cost more time (page faults) than verifying it. At most 8 are kept, of 3 MiB
 * each (24.5 MiB), and only while replies come in.
 *
 * A body is handed from the network thread to the caller and given back by whoever ends up with it.
 *
 * Thread safety: any thread.
 */
#ifndef CANISTERFS_IC_BODY_H
#define CANISTERFS_IC_BODY_H

#include "ic/attr.h"

#include <stddef.h>
#include <stdint.h>

struct ic_bodies;

int ic_bodies_new(struct ic_bodies **out) IC_NONNULL(1) IC_MUST_CHECK;

/* Every body must have been given back before. NULL is fine. */
void ic_bodies_free(struct ic_bodies *bodies);

/* A buffer of at least `capacity` bytes; *ret_capacity says how many. NULL when out of memory. */
uint8_t *ic_body_new(struct ic_bodies *bodies, size_t capacity, size_t *ret_capacity)
    IC_NONNULL(1, 3) IC_MUST_CHECK;

/* The same content in a larger buffer; NULL when out of memory, then `body` is as it was. */
uint8_t *ic_body_grow(uint8_t *body, size_t capacity) IC_NONNULL(1) IC_MUST_CHECK;

/* Free what is kept for the next reply. */
void ic_bodies_trim(struct ic_bodies *bodies) IC_NONNULL(1);

/* Give it back. NULL is fine. */
void ic_body_free(uint8_t *body);

#endif
