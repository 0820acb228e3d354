/* Memory that is released all at once, with a bound on how much there may be. */
#ifndef CANISTERFS_IC_ARENA_H
#define CANISTERFS_IC_ARENA_H

#include "ic/attr.h"

#include <stddef.h>

struct ic_arena_chunk;

/* Embedded in its owner; for one thread while it is filled. */
struct ic_arena {
    struct ic_arena_chunk *chunks;
    size_t left; /* bytes that may still be handed out */
};

void ic_arena_init(struct ic_arena *a, size_t limit) IC_NONNULL(1);
void ic_arena_fini(struct ic_arena *a) IC_NONNULL(1);

/* Room for n objects of size bytes, aligned for any of them, not initialised.
 *
 * Returns 0, -E2BIG (over the limit), -ENOMEM. n may be 0: *out is then not NULL but holds nothing.
 */
int ic_arena_alloc(struct ic_arena *a, size_t n, size_t size, void **out)
    IC_NONNULL(1, 4) IC_MUST_CHECK;

/* How much was handed out up to now. */
struct ic_arena_mark {
    struct ic_arena_chunk *chunk;
    size_t used;
    size_t left;
};

struct ic_arena_mark ic_arena_mark(const struct ic_arena *a) IC_NONNULL(1);

/* Take back all that was handed out since the mark was taken. */
void ic_arena_rewind(struct ic_arena *a, struct ic_arena_mark mark) IC_NONNULL(1);

#endif
