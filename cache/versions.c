#include "cache/versions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Changes of size, not versions: a handle would have to outlive this many growths of its file to
 * lose its size (and then reads ESTALE). */
#define RANGES_MAX 1024

void versions_init(struct versions *versions)
{
    *versions = (struct versions){0};
}

void versions_fini(struct versions *versions)
{
    free(versions->ranges);
    *versions = (struct versions){0};
}

/* Index of the first range that ends at or after version; n_ranges when there is none. */
static size_t lower_bound(const struct versions *versions, uint64_t version)
{
    size_t low = 0;
    size_t high = versions->n_ranges;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (versions->ranges[mid].last < version)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

bool versions_find(const struct versions *versions, uint64_t version, uint64_t *out)
{
    size_t i = lower_bound(versions, version);
    if (i == versions->n_ranges || versions->ranges[i].first > version)
        return false;
    *out = versions->ranges[i].size;
    return true;
}

/* Open a gap of one range at i, forgetting the oldest range when there are too many. */
static int insert(struct versions *versions, size_t i, struct versions_range range)
{
    if (versions->n_ranges == RANGES_MAX) {
        if (i == 0)
            return 0; /* older than everything that is remembered */
        versions->n_ranges--;
        i--;
        memmove(versions->ranges, versions->ranges + 1,
                versions->n_ranges * sizeof(*versions->ranges));
    }
    if (versions->n_ranges == versions->n_allocated) {
        size_t n = versions->n_allocated ? 2 * versions->n_allocated : 4;
        struct versions_range *ranges = realloc(versions->ranges, n * sizeof(*ranges));
        if (!ranges)
            return -ENOMEM;
        versions->ranges = ranges;
        versions->n_allocated = n;
    }
    memmove(versions->ranges + i + 1, versions->ranges + i,
            (versions->n_ranges - i) * sizeof(*versions->ranges));
    versions->ranges[i] = range;
    versions->n_ranges++;
    return 0;
}

int versions_add(struct versions *versions, uint64_t version, uint64_t size)
{
    size_t i = lower_bound(versions, version);
    if (i < versions->n_ranges && versions->ranges[i].first <= version)
        return versions->ranges[i].size == size ? 0 : -EIO;

    /* Only over the very next serial: one in between may yet come, late, with another size. */
    if (i > 0 && versions->ranges[i - 1].size == size &&
        versions->ranges[i - 1].last == version - 1) {
        versions->ranges[i - 1].last = version;
        return 0;
    }
    return insert(versions, i, (struct versions_range){version, version, size});
}
