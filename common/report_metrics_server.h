/*
 * The server and its pools as OpenMetrics: a part of report_metrics.h.
 */
#ifndef COMMON_REPORT_METRICS_SERVER_H
#define COMMON_REPORT_METRICS_SERVER_H

#include "common/metrics_text.h"
#include "common/report_sums.h"

void report_metrics_server(FILE *out, const struct report *report, enum metrics_format format);

#endif
