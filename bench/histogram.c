#include "bench/histogram.h"

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    into->count += from->count;
    into->sum += from->sum;
    if (from->max > into->max)
        into->max = from->max;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        into->buckets[i] += from->buckets[i];
}

/* The value in the middle of a bucket. */
static uint64_t middle(unsigned bucket)
{
    const unsigned per_octave = 1u << HISTOGRAM_SUB_BITS;

    if (bucket < 2 * per_octave)
        return bucket;
    unsigned shift = bucket / per_octave - 1;
    uint64_t first = (uint64_t)(bucket % per_octave + per_octave) << shift;
    return first + (((uint64_t)1 << shift) - 1) / 2;
}

uint64_t histogram_percentile(const struct histogram *histogram, uint32_t hundred_thousandths)
{
    /* The rank is rounded up in whole numbers: 99.9 % of 1,000 values is the 999th, not the 1,000th by a rounding. */
    uint64_t rank = (histogram->count * hundred_thousandths + 99999) / 100000;
    uint64_t seen = 0;

    if (histogram->count == 0)
        return 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen >= rank && seen > 0)
            return middle(i) < histogram->max ? middle(i) : histogram->max;
    }
    return histogram->max;
}

double histogram_mean(const struct histogram *histogram)
{
    return histogram->count ? (double)histogram->sum / (double)histogram->count : 0;
}
