/* A set of bytes as extents: sorted, apart from each other (those that touch are one).
 *
 * Extents lie in leaves of a few hundred, leaves in one array: a change moves one leaf's extents
 * at most, and the array only when a leaf comes or goes. All zero is the empty set.
 *
 * Thread safety: none.
 */
#ifndef CANISTERFS_CACHE_STAGE_EXTENTS_H
#define CANISTERFS_CACHE_STAGE_EXTENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Most extents of a set: about 100 MiB of memory, 16 GiB of single 4 KiB pages. */
#define STAGE_EXTENTS_MAX ((size_t)1 << 22)

struct stage_extent {
    uint64_t off;
    uint64_t end; /* > off: the first byte that is not in it */
};

struct stage_leaf;

struct stage_extents {
    struct stage_leaf **leaves; /* owned; each has an extent at least */
    size_t n_leaves;
    size_t capacity; /* of leaves */
    size_t n;        /* extents */
    uint64_t bytes;  /* in all extents */
};

/* Empty it. */
void stage_extents_fini(struct stage_extents *set) __attribute__((nonnull));

/* Add the bytes [off, end), off < end. Returns 0, -ENOMEM, or -EFBIG (STAGE_EXTENTS_MAX); then the
 * set is as it was. */
int stage_extents_add(struct stage_extents *set, uint64_t off, uint64_t end)
    __attribute__((nonnull, warn_unused_result));

/* Take out every byte from `from` on. */
void stage_extents_cut(struct stage_extents *set, uint64_t from) __attribute__((nonnull));

/* The first extent that ends beyond off: it holds the byte at off, or lies behind it. */
bool stage_extents_find(const struct stage_extents *set, uint64_t off, struct stage_extent *out)
    __attribute__((nonnull));

/* Are all of [off, end), off < end, in it? */
bool stage_extents_has(const struct stage_extents *set, uint64_t off, uint64_t end)
    __attribute__((nonnull));

/* The end of the last extent; 0: there is none. */
uint64_t stage_extents_end(const struct stage_extents *set) __attribute__((nonnull));

#endif
