/*
 * The text of one line of the log: what stands before it, and its end. Nothing here allocates, locks or reads the time
 * zone, so that a crash handler may use all of it but log_line_format().
 */
#ifndef COMMON_LOG_LINE_H
#define COMMON_LOG_LINE_H

#include "common/log.h"
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

enum { LOG_LINE_SIZE = 1024 }; /* with its newline; two of them fit a pipe's atomic write */

struct log_line {
    size_t size;
    char text[LOG_LINE_SIZE];
};

/* How a line begins depends on who reads it. */
enum log_style {
    LOG_STYLE_PLAIN,   /* 2026-11-23 10:20:01.123 notice master[4711]: */
    LOG_STYLE_JOURNAL, /* the same after <5>, which journald takes as the priority */
    LOG_STYLE_SYSLOG,  /* <29>Nov 23 10:20:01 ccserver[4711]: master: */
};

struct log_stamp {
    enum log_level level;
    const char *role;
    pid_t pid;
    struct tm date; /* local */
    unsigned milliseconds;
};

/* The calendar date of a time that includes the offset of its zone; what localtime_r() may not do in a handler. */
void log_line_date(time_t seconds, struct tm *date);

/* Begin the line anew. */
void log_line_begin(struct log_line *line, enum log_style style, const struct log_stamp *stamp);

/* The same for a line that speaks for itself: only what journald or syslogd takes away again stands before it. */
void log_line_begin_bare(struct log_line *line, enum log_style style, const struct log_stamp *stamp);

/* "<3>" and its like alone, for lines without a stamp. */
void log_line_priority(struct log_line *line, enum log_level level);

/* Append. What does not fit is cut; room for the newline is kept. */
void log_line_text(struct log_line *line, const char *text);
void log_line_number(struct log_line *line, uint64_t number); /* decimal */
void log_line_hex(struct log_line *line, uint64_t number);    /* with 0x */

/* Append formatted text in which control characters are blanked: peers' bytes must not forge a line, nor steer a
 * terminal. */
void log_line_format(struct log_line *line, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

/* Remove trailing blanks and append the newline. */
void log_line_end(struct log_line *line);

#endif
