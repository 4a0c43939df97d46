/*
 * The last minute: what the durations were a while ago is kept, so that whoever has summed them now can subtract. It
 * lies in the area of the statistics (stats.h): who sees the counters sees it, too, and asks nobody; a master that takes
 * over goes on with it.
 *
 *     -66 s      -56 s     ...     -16 s      -6 s       now
 *    reading    reading           reading    reading    sums
 *                  `------------- the window -------------'       from the oldest that is no older than 65 s
 *
 * The master in charge takes a reading every ten seconds (master/reading.h) and writes it where the oldest one is, under
 * a sequence number that is odd meanwhile. Times are monotonic, and passed in.
 *
 * Of a listener whose name a reading does not have everything is new. Counts that have become less, since a worker has
 * been found to count nonsense, are taken for nothing.
 */
#ifndef COMMON_MINUTE_H
#define COMMON_MINUTE_H

#include "common/duration.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    MINUTE_LISTENERS_MAX = 128,
    MINUTE_NAME_SIZE = 48,
    MINUTE_READINGS = 8,
    MINUTE_PERIOD_MS = 10 * 1000,
    MINUTE_AGE_MAX_MS = 60 * 1000 + MINUTE_PERIOD_MS / 2,
};

/* Of all workers together. */
struct minute_counts {
    char names[MINUTE_LISTENERS_MAX][MINUTE_NAME_SIZE]; /* of listeners; "": there is none, its counts mean nothing */
    uint64_t turn_times[DURATION_BUCKETS];
    uint64_t listeners[MINUTE_LISTENERS_MAX][DURATIONS][DURATION_BUCKETS];
};

struct minute_reading {
    _Atomic uint32_t sequence; /* odd: it is being written; 0: it never was */
    _Atomic uint64_t at_ms;
    struct minute_counts counts;
};

struct minute_ring {
    struct minute_reading readings[MINUTE_READINGS];
};

/* Whether the next reading is due. */
bool minute_is_due(const struct minute_ring *ring, uint64_t now_ms);

/* For the one writer: keep a reading of that time. */
void minute_write(struct minute_ring *ring, uint64_t at_ms, const struct minute_counts *counts);

/*
 * Subtract from `counts`, which are those of now, what they were a minute ago. Returns how long ago that was, in
 * milliseconds: less in a server that is younger. 0: there is no reading, and nothing is left in `counts`.
 */
uint64_t minute_subtract(const struct minute_ring *ring, uint64_t now_ms, struct minute_counts *counts);

#endif
