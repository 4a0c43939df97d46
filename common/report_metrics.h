/*
 * The statistics as OpenMetrics, for Prometheus and whoever reads the same. Names and help are those of the lists that
 * the counters are made from.
 */
#ifndef COMMON_REPORT_METRICS_H
#define COMMON_REPORT_METRICS_H

#include "common/report_sums.h"
#include <stdio.h>

/* Formats. The older one is that of Prometheus, version 0.0.4: it has no units and no type `info`. */
enum metrics_format { METRICS_OPENMETRICS, METRICS_PROMETHEUS };

/* Write the document, with the "# EOF" of OpenMetrics. Errors are those of `out`. */
void report_metrics(FILE *out, const struct report *report, enum metrics_format format);

#endif
