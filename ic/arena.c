#include "ic/arena.h"

#include <stdalign.h>
#include <stdlib.h>

#define CHUNK_SIZE ((size_t)16384)
#define ALIGNMENT  alignof(max_align_t)

struct ic_arena_chunk {
    struct ic_arena_chunk *next;
    size_t used;
    size_t size;
    alignas(max_align_t) unsigned char bytes[];
};

void ic_arena_init(struct ic_arena *arena, size_t max)
{
    arena->chunks = NULL;
    arena->left = max;
}

void ic_arena_fini(struct ic_arena *arena)
{
    while (arena->chunks) {
        struct ic_arena_chunk *next = arena->chunks->next;
        free(arena->chunks);
        arena->chunks = next;
    }
    arena->left = 0;
}

static struct ic_arena_chunk *add_chunk(struct ic_arena *arena, size_t need)
{
    size_t size = need > CHUNK_SIZE ? need : CHUNK_SIZE;
    /* calloc, so that large claims cost address space and not time until they are used. */
    struct ic_arena_chunk *chunk = calloc(1, sizeof(*chunk) + size);
    if (!chunk)
        return NULL;
    chunk->size = size;
    chunk->next = arena->chunks;
    arena->chunks = chunk;
    return chunk;
}

void *ic_arena_alloc(struct ic_arena *arena, size_t n, size_t size)
{
    size_t need;
    if (__builtin_mul_overflow(n, size, &need) || need > arena->left)
        return NULL;
    size_t rounded = (need + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    struct ic_arena_chunk *chunk = arena->chunks;
    if (!chunk || chunk->size - chunk->used < rounded)
        chunk = add_chunk(arena, rounded);
    if (!chunk)
        return NULL;
    void *bytes = chunk->bytes + chunk->used;
    chunk->used += rounded;
    arena->left -= need;
    return bytes;
}
