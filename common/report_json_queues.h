/*
 * Accept queues in JSON.
 */
#ifndef COMMON_REPORT_JSON_QUEUES_H
#define COMMON_REPORT_JSON_QUEUES_H

#include "common/report_queues.h"
#include "common/report_sums.h"
#include <stdio.h>

/* Print the members `queue_length` and `queue_drops`, a comma behind each; nothing where no figure is known. */
void report_json_queue_sum(FILE *out, const struct report_queue_sum *sum);

/* Print the members that tell of the queues of a listener, by its index, a comma behind each; nothing where none are known. */
void report_json_queues_of(FILE *out, const struct report *report, unsigned listener);

/* Print an array of the queues of all listeners. */
void report_json_queues(FILE *out, const struct report *report);

#endif
