/*
 * Lines of a report: formatted, and handed to whoever prints them.
 */
#ifndef COMMON_REPORT_LINE_H
#define COMMON_REPORT_LINE_H

/* Where the lines of the present table go; there is one thread. */
void report_line_to(void (*print)(const char *line));

void report_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
