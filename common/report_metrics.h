/*
 * The statistics as OpenMetrics, for Prometheus and whoever reads the same. Names and help are those of the lists that
 * the counters are made from.
 */
#ifndef COMMON_REPORT_METRICS_H
#define COMMON_REPORT_METRICS_H

#include "common/metrics_text.h"
#include "common/report_sums.h"
#include <stdio.h>

/* Write the document, with the "# EOF" of OpenMetrics. Errors are those of `out`. */
void report_metrics(FILE *out, const struct report *report, enum metrics_format format);

#endif
