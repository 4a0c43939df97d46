/*
 * The accept queues as OpenMetrics: a part of report_metrics.h.
 */
#ifndef COMMON_REPORT_METRICS_QUEUES_H
#define COMMON_REPORT_METRICS_QUEUES_H

#include "common/metrics_text.h"
#include "common/report_sums.h"

/* Print the families of the queues; nothing where nobody has looked at them. */
void report_metrics_queues(FILE *out, const struct report *report, enum metrics_format format);

#endif
