/*
 * The statistics as JSON, for programs. docs/statistics.md describes every member.
 */
#ifndef COMMON_REPORT_JSON_H
#define COMMON_REPORT_JSON_H

#include "common/report_sums.h"
#include <stdio.h>

/*
 * The number of the layout, in the document and in docs/statistics.md. It grows when a member goes, or changes its
 * place, its type or its unit; not when one is added.
 */
enum { REPORT_JSON_LAYOUT = 1 };

/* Write the document. Errors are those of `out`. */
void report_json(FILE *out, const struct report *report);

/* One array of it: pools, workers or listeners; or the queues of all listeners. False: there is no such part. */
bool report_json_part(FILE *out, const struct report *report, const char *name);

/* Write `text` as a JSON string: valid UTF-8, whatever bytes it has. U+FFFD stands for each byte that is not UTF-8. */
void report_json_string(FILE *out, const char *text);

#endif
