#include "ic/histogram.h"

/* Values below 8 have a bucket each; above, the top bit and the three bits after it choose. */
static unsigned bucket_of(uint64_t value)
{
    if (value < IC_HISTOGRAM_STEPS)
        return (unsigned)value;
    unsigned top = 63U - (unsigned)__builtin_clzll(value);
    unsigned step = (unsigned)(value >> (top - 3)) & (IC_HISTOGRAM_STEPS - 1);
    unsigned bucket = (top - 2) * IC_HISTOGRAM_STEPS + step;
    return bucket < IC_HISTOGRAM_BUCKETS ? bucket : IC_HISTOGRAM_BUCKETS - 1;
}

/* The largest value of a bucket. */
static uint64_t end_of(unsigned bucket)
{
    if (bucket < IC_HISTOGRAM_STEPS)
        return bucket;
    unsigned top = bucket / IC_HISTOGRAM_STEPS + 2;
    uint64_t step = bucket % IC_HISTOGRAM_STEPS;
    return ((IC_HISTOGRAM_STEPS + step + 1) << (top - 3)) - 1;
}

void ic_histogram_add(struct ic_histogram *h, uint64_t value)
{
    h->n++;
    h->count[bucket_of(value)]++;
}

uint64_t ic_histogram_percentile(const struct ic_histogram *h, unsigned percent)
{
    uint64_t rank = (h->n * percent + 99) / 100;
    uint64_t seen = 0;
    for (unsigned i = 0; i < IC_HISTOGRAM_BUCKETS; i++) {
        seen += h->count[i];
        if (rank > 0 && seen >= rank)
            return end_of(i);
    }
    return 0;
}
