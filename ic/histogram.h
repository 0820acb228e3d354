/* How long calls take: counts in buckets whose width grows with the value, for percentiles. */
#ifndef CANISTERFS_IC_HISTOGRAM_H
#define CANISTERFS_IC_HISTOGRAM_H

#include "ic/attr.h"

#include <stdint.h>

#define IC_HISTOGRAM_STEPS   8 /* buckets per doubling: a percentile is right within 12 % */
#define IC_HISTOGRAM_BUCKETS (40 * IC_HISTOGRAM_STEPS)

/* Zero-initialise. Not locked: the owner does that. */
struct ic_histogram {
    uint64_t n;
    uint64_t count[IC_HISTOGRAM_BUCKETS];
};

void ic_histogram_add(struct ic_histogram *h, uint64_t value) IC_NONNULL(1);

/* The value that `percent` of the added ones do not exceed, rounded up to the end of its bucket; 0
 * when nothing was added. percent: 1..100 */
uint64_t ic_histogram_percentile(const struct ic_histogram *h, unsigned percent) IC_NONNULL(1);

#endif
