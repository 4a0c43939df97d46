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

/* What is measured for each listener: in the statistics, by this name; in the metrics; what is counted. */
#define DURATIONS_OF_LISTENERS(X)                                                                                      \
    X(answered, message_duration,                                                                                      \
      "messages by the time from the turn that has read them to the turn that has answered")                           \
    X(upstream_connected, upstream_connect, "connections to upstreams by the time until they stood")                   \
    X(upstream_answered, upstream_response, "questions to upstreams by the time until the answer came")

enum duration {
#define X(name, metric, help) DURATION_##name,
    DURATIONS_OF_LISTENERS(X)
#undef X
        DURATIONS
};

static inline unsigned duration_bucket(uint64_t ns)
{
    unsigned highest_bit = 63 - (unsigned)__builtin_clzll(ns | 1);

    return (highest_bit < DURATION_BUCKETS - 2 ? highest_bit : DURATION_BUCKETS - 2) + 1;
}

/* Upper limit of a bucket: what is in it is shorter. The last one has none. */
static inline uint64_t duration_limit_ns(unsigned bucket)
{
    return UINT64_C(1) << bucket;
}

#endif
