/*
 * The statistics, as people read them (log) and as programs do (JSON). Taken from shared memory and the master's own
 * totals: no worker is asked.
 *
 *   report.c ------> report_sums     reads every counter once
 *      |-----------> report_table    lines of the log, and so report_durations
 *      `-----------> report_json     the file
 */
#ifndef MASTER_REPORT_H
#define MASTER_REPORT_H

#include "master/master.h"

/* This master starts: what is counted from now on makes the rates of the first report_log(). */
void report_start(struct master *master);

/* Write the tables to the log, whatever its level, with the rates since the last time. */
void report_log(struct master *master);

/*
 * Replace `path` by a JSON document, atomically; a regular file or nothing, anything else is refused. Returns 0, or -1
 * with a sentence in `error` and the old file as it was.
 */
int report_file(struct master *master, const char *path, char *error, size_t error_size);

#endif
