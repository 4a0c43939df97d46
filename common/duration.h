/*
 * Durations as counts in buckets, one for each power of two of nanoseconds: where a duration goes is one instruction.
 *
 *   bucket     1     2     3 ...   10 ...       20 ...     34     35
 *   below      2 ns  4 ns  8 ns    1,024 ns     1.05 ms    17 s   all that is longer
 */
#ifndef COMMON_DURATION_H
#define COMMON_DURATION_H

#include <stdint.h>

enum { DURATION_BUCKETS = 36 };

static inline unsigned duration_bucket(uint64_t ns)
{
    unsigned bucket = 63 - (unsigned)__builtin_clzll(ns | 1) + 1;

    return bucket < DURATION_BUCKETS ? bucket : DURATION_BUCKETS - 1;
}

/* Upper limit of a bucket: what is in it is shorter. The last one has none. */
static inline uint64_t duration_limit_ns(unsigned bucket)
{
    return UINT64_C(1) << bucket;
}

#endif
