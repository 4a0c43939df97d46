/*
 * Pieces of OpenMetrics: heads of families, labels.
 */
#ifndef COMMON_METRICS_TEXT_H
#define COMMON_METRICS_TEXT_H

#include <stddef.h>
#include <stdio.h>

/* Formats. The older one is that of Prometheus, version 0.0.4: it has no units and no type `info`. */
enum metrics_format { METRICS_OPENMETRICS, METRICS_PROMETHEUS };

/* What is longer than an address (SOCK_TEXT_SIZE) is cut. */
enum { METRICS_TEXT_SIZE = 256 };

/* A text with what is not allowed as it is, within quotes or in a help; valid until the next call. */
const char *metrics_escaped(const char *text);

/*
 * Print what stands before the samples of a family; `type` is "counter", "gauge" or "histogram". A counter's samples are
 * called NAME_total, and in the older format so is the family.
 */
void metrics_family(FILE *out, enum metrics_format format, const char *type, const char *name, const char *unit,
                    const char *help);

/* Print a label; `before` is what stands before its name. */
void metrics_label(FILE *out, const char *before, const char *name, const char *value);

/* Append a label behind `before`, which is "{" or ",". */
void metrics_add_label(char *labels, size_t labels_size, const char *before, const char *name, const char *value);

#endif
