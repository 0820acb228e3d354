#include "cache/pool.h"

#include "cache/cache.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>

/* 4 MiB at a time: few mappings, and little address space for small caches. */
#define SLAB_BLOCKS 64
#define SLAB_SIZE   (SLAB_BLOCKS * CACHE_BLOCK_SIZE)

struct pool_slab {
    struct pool_slab *next;
    unsigned char *base;
    struct pool_buf bufs[SLAB_BLOCKS];
};

void pool_init(struct pool *pool)
{
    *pool = (struct pool){0};
}

void pool_fini(struct pool *pool)
{
    assert(pool->n_used == 0);
    while (pool->slabs) {
        struct pool_slab *slab = pool->slabs;
        pool->slabs = slab->next;
        munmap(slab->base, SLAB_SIZE);
        free(slab);
    }
    *pool = (struct pool){0};
}

/* Add a slab's worth of cold buffers. Returns false when there is no memory. */
static bool grow(struct pool *pool)
{
    struct pool_slab *slab = malloc(sizeof(*slab));
    if (!slab)
        return false;
    void *base = mmap(NULL, SLAB_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) {
        free(slab);
        return false;
    }
    /* A huge page would make 32 buffers resident for one and undo what trim returned. Advice only:
     * a kernel without huge pages refuses it. */
    (void)madvise(base, SLAB_SIZE, MADV_NOHUGEPAGE);

    slab->base = base;
    slab->next = pool->slabs;
    pool->slabs = slab;
    for (size_t i = SLAB_BLOCKS; i-- > 0;) {
        slab->bufs[i].data = slab->base + i * CACHE_BLOCK_SIZE;
        slab->bufs[i].next = pool->cold;
        pool->cold = &slab->bufs[i];
    }
    return true;
}

struct pool_buf *pool_get(struct pool *pool)
{
    struct pool_buf *buf = pool->warm;
    if (buf) {
        pool->warm = buf->next;
    } else {
        if (!pool->cold && !grow(pool))
            return NULL;
        buf = pool->cold;
        pool->cold = buf->next;
        pool->n_resident++;
    }
    buf->next = NULL;
    pool->n_used++;
    return buf;
}

void pool_put(struct pool *pool, struct pool_buf *buf)
{
    assert(pool->n_used > 0);
    pool->n_used--;
    buf->next = pool->warm;
    pool->warm = buf;
}

void pool_trim(struct pool *pool, size_t max_resident)
{
    while (pool->warm && pool->n_resident * CACHE_BLOCK_SIZE > max_resident) {
        struct pool_buf *buf = pool->warm;
        pool->warm = buf->next;
        /* Cannot fail on a mapping of ours; if it did, the count would be off by one block. */
        (void)madvise(buf->data, CACHE_BLOCK_SIZE, MADV_DONTNEED);
        buf->next = pool->cold;
        pool->cold = buf;
        pool->n_resident--;
    }
}
