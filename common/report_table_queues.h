/*
 * The table of accept queues, for people; as wide as the others.
 */
#ifndef COMMON_REPORT_TABLE_QUEUES_H
#define COMMON_REPORT_TABLE_QUEUES_H

#include "common/report_sums.h"

/* Which of them: all; those in which somebody waits, or that have dropped somebody: without any there is no heading. */
enum report_queues_shown { QUEUES_ALL, QUEUES_IN_USE };

/* Hand each line of the table to `line`. */
void report_table_queues(const struct report *report, enum report_queues_shown shown, void (*line)(const char *line));

#endif
