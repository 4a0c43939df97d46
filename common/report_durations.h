/*
 * How long things take, for people: quantiles since the start, and beside them those of the last minute.
 */
#ifndef COMMON_REPORT_DURATIONS_H
#define COMMON_REPORT_DURATIONS_H

#include "common/report_sums.h"
#include "common/report_table.h"

enum { REPORT_QUANTILES_SIZE = 4 * REPORT_CELL_SIZE + 32 };

/* Hand each line of the table to `line`: the turns of all workers, then what each listener has any durations of. */
void report_durations_table(const struct report *report, void (*line)(const char *line));

/* Those of all listeners together: since the start, in the last minute. */
void report_durations_of_all(const struct report *report, enum duration duration, uint64_t counts[DURATION_BUCKETS],
                             uint64_t minute[DURATION_BUCKETS]);

/* Write "p50 1.2ms, p90 3.0ms, p99 8.1ms, max 16.7ms", or "-" when there is none. */
void report_quantiles(char text[REPORT_QUANTILES_SIZE], const uint64_t counts[DURATION_BUCKETS]);

#endif
