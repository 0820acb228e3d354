/* Memory that is given out in pieces, bounded in total, and freed at once. For decoded structures
 * whose size a hostile message decides. */
#ifndef CANISTERFS_IC_ARENA_H
#define CANISTERFS_IC_ARENA_H

#include "ic/attr.h"

#include <stddef.h>

struct ic_arena {
    struct ic_arena_chunk *chunks; /* owned; newest first */
    size_t left;                   /* bytes that may still be given out */
};

/* max: bytes to give out in all. */
void ic_arena_init(struct ic_arena *arena, size_t max) IC_NONNULL(1);
void ic_arena_fini(struct ic_arena *arena) IC_NONNULL(1);

/* n zeroed items of `size` bytes, aligned for any type; valid until fini. NULL when the bound is
 * reached (then left is below what was asked) or memory is out. n * size may be 0: never NULL then.
 */
void *ic_arena_alloc(struct ic_arena *arena, size_t n, size_t size) IC_NONNULL(1);

#endif
