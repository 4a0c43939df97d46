/*
 * The statistics as lines of the log, for people. No line is longer than REPORT_TABLE_WIDTH, the log's prefix aside.
 */
#ifndef MASTER_REPORT_TABLE_H
#define MASTER_REPORT_TABLE_H

#include "master/report_sums.h"

enum { REPORT_TABLE_WIDTH = 100, REPORT_CELL_SIZE = 24 };

/* Write the tables, whatever the log's level. Rates are those since `before`. */
void report_table(const struct master *master, const struct report_sums *sums, const struct report_sums *before);

/* A count in at most 5 characters: 9999, 12.3k, 18.4E. Bytes in at most 7: 512B, 12.3KiB. */
void report_count(char cell[REPORT_CELL_SIZE], uint64_t count);
void report_bytes(char cell[REPORT_CELL_SIZE], uint64_t bytes);

/* A time in at most 7 characters: 838us, 12.3ms, 59.9s, 59m59s, 23h59m, 999d23h. */
void report_time(char cell[REPORT_CELL_SIZE], uint64_t us);

#endif
