/* A bump allocator over a list of chunks: see arena.h. */
#include "ic/arena.h"

#include <errno.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>

#define CHUNK_MIN 1024
#define ALIGN     alignof(max_align_t)

struct ic_arena_chunk {
    struct ic_arena_chunk *next;
    size_t used;
    size_t size;
    alignas(max_align_t) unsigned char bytes[];
};

void ic_arena_init(struct ic_arena *a, size_t limit)
{
    a->chunks = NULL;
    a->left = limit;
}

/* Release the chunks in front of this one; NULL: all. */
static void release_down_to(struct ic_arena *a, const struct ic_arena_chunk *chunk)
{
    while (a->chunks != chunk) {
        struct ic_arena_chunk *next = a->chunks->next;
        free(a->chunks);
        a->chunks = next;
    }
}

void ic_arena_fini(struct ic_arena *a)
{
    release_down_to(a, NULL);
}

struct ic_arena_mark ic_arena_mark(const struct ic_arena *a)
{
    return (struct ic_arena_mark){a->chunks, a->chunks ? a->chunks->used : 0, a->left};
}

void ic_arena_rewind(struct ic_arena *a, struct ic_arena_mark mark)
{
    release_down_to(a, mark.chunk);
    if (a->chunks)
        a->chunks->used = mark.used;
    a->left = mark.left;
}

/* Put a chunk with room for need bytes in front; each is as large as all before it together. */
static int add_chunk(struct ic_arena *a, size_t need)
{
    size_t size = a->chunks ? 2 * a->chunks->size : CHUNK_MIN;
    struct ic_arena_chunk *chunk;

    if (size > a->left)
        size = a->left;
    if (size < need)
        size = need;
    chunk = malloc(sizeof(*chunk) + size);
    if (!chunk)
        return -ENOMEM;
    chunk->next = a->chunks;
    chunk->used = 0;
    chunk->size = size;
    a->chunks = chunk;
    return 0;
}

int ic_arena_alloc(struct ic_arena *a, size_t n, size_t size, void **out)
{
    size_t need;

    if (__builtin_mul_overflow(n, size, &need) || need > a->left)
        return -E2BIG;
    need = (need + ALIGN - 1) / ALIGN * ALIGN;
    if (need > a->left)
        return -E2BIG;
    if (!a->chunks || a->chunks->size - a->chunks->used < need) {
        int ret = add_chunk(a, need);
        if (ret < 0)
            return ret;
    }
    *out = a->chunks->bytes + a->chunks->used;
    a->chunks->used += need;
    a->left -= need;
    return 0;
}
