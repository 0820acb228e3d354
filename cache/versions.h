/* Sizes of the versions of one source, for as long as anybody may have pinned them.
 *
 * A live source moves its version at every open while its size hardly ever changes, so sizes are
 * kept per range of serials, the oldest ranges being forgotten.
 *
 * Thread safety: none; the cache lock guards it.
 */
#ifndef CANISTERFS_CACHE_VERSIONS_H
#define CANISTERFS_CACHE_VERSIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct versions_range {
    uint64_t first; /* serial */
    uint64_t last;  /* serial, >= first */
    uint64_t size;  /* bytes */
};

struct versions {
    struct versions_range *ranges; /* sorted, disjoint; owned */
    size_t n_ranges;
    size_t n_allocated;
};

void versions_init(struct versions *versions) __attribute__((nonnull));
void versions_fini(struct versions *versions) __attribute__((nonnull));

/* Remember the size of a version.
 *
 * Returns 0, -ENOMEM, or -EIO when the version was added before with another size: such a source
 * does not move its version with its content.
 */
int versions_add(struct versions *versions, uint64_t version, uint64_t size)
    __attribute__((nonnull, warn_unused_result));

/* Fill the size of a version. Returns false when it is not known (any more). */
bool versions_find(const struct versions *versions, uint64_t version, uint64_t *out)
    __attribute__((nonnull));

#endif
