/*
 * The statistics as lines, for people. No line is longer than REPORT_TABLE_WIDTH.
 */
#ifndef COMMON_REPORT_TABLE_H
#define COMMON_REPORT_TABLE_H

#include "common/report_sums.h"

enum { REPORT_TABLE_WIDTH = 100, REPORT_CELL_SIZE = 24 };

/* Hand each line of the tables to `line`. Rates are those since `before`. */
void report_table(const struct report *report, const struct report_sums *before, void (*line)(const char *line));

/* Parts of it: the workers; the traffic of the listeners. */
void report_table_workers(const struct report *report, void (*line)(const char *line));
void report_table_listeners(const struct report *report, const struct report_sums *before,
                            void (*line)(const char *line));

/* A count in at most 5 characters: 9999, 12.3k, 18.4E. Bytes in at most 7: 512B, 12.3KiB. */
void report_count(char cell[REPORT_CELL_SIZE], uint64_t count);
void report_bytes(char cell[REPORT_CELL_SIZE], uint64_t bytes);

/* A time in at most 7 characters: 838us, 12.3ms, 59.9s, 59m59s, 23h59m, 999d23h. */
void report_time(char cell[REPORT_CELL_SIZE], uint64_t us);

/* What has been counted in `ms` milliseconds, per second; 0 when it has not grown. A rate in at most 5 characters, with
 * one decimal where a whole number would say too little. */
double report_per_second(uint64_t now, uint64_t before, uint64_t ms);
void report_rate(char cell[REPORT_CELL_SIZE], double rate);

#endif
