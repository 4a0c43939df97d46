/*
 * What ccserverctl shows of a server, by its word: the same text whether it has mapped the memory of the server itself
 * or has asked a control service.
 */
#ifndef COMMON_REPORT_SHOW_H
#define COMMON_REPORT_SHOW_H

#include "common/report_sums.h"
#include <stdio.h>

enum report_shown {
    REPORT_SHOWN,
    REPORT_NOTHING,  /* of `stat`: no figure matches */
    REPORT_NOT_WELL, /* shown, but of `health`: it is not */
    REPORT_UNKNOWN,  /* there is no such word */
};

/*
 * Print what `word` stands for: status, workers, listeners, queues, pools, stat, metrics, health, json. `pattern`, of json: one of
 * pools, workers, listeners, health; NULL: all. Of stat: a
 * shell pattern, or a part, of the lines that are wanted; NULL: all. The rates are those since the server has started.
 * Names are printed as the configuration has them; see text_make_safe().
 */
enum report_shown report_show(FILE *out, const struct report *report, const char *word, const char *pattern);

/* Print an event of the log as a line. */
void report_show_event(FILE *out, struct event *event);

#endif
