/*
 * The log: one line per event, one write(2) per line, so that processes sharing a file never mix theirs.
 *
 *   2026-11-23 10:20:01.123 notice master[4711]: worker 0 (pid 4712) ready after 3 ms
 *
 * Goes to standard error, to a file (appended to; log_reopen follows a rotation) or to syslog. Writing never waits for
 * a reader, a terminal, a daemon or room on the disk: a line is written whole or dropped. What this process has dropped
 * is counted, and a line of its own says how many before the first that can be written again.
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_NOTICE, LOG_LEVEL_WARN, LOG_LEVEL_ERROR, LOG_LEVEL_FATAL };
#define LOG_LEVEL_CHOICES "debug|info|notice|warn|error"

/* "notice"; of a number that may have come from another process. */
const char *log_level_name(uint32_t level);

/*
 * Direct the log to `target`: "stderr", "syslog" or the path of a file. Until the first call lines go to standard
 * error. Returns 0, or -1 with errno when the file cannot be opened; the log then stays where it was. Opening does not
 * wait either. A path may be a link, a FIFO or a terminal; a socket (EOPNOTSUPP) only if it is our standard output or
 * error.
 */
int log_open(const char *target);

/* Open the file again, after it was renamed. The old one stays in use if that fails (-1, errno). */
int log_reopen(void);

/* Lines below `level` are dropped. The default is LOG_LEVEL_INFO. */
void log_set_level(enum log_level level);

/* What stands before the pid in each line: "master", "worker 2". Copied, at most 63 characters. */
void log_set_role(const char *role);

bool log_enabled(enum log_level level);

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_notice(...) log_write(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_warn(...) log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)

/* For start-up and for our own broken invariants only: logs the line, then abort(). */
_Noreturn void log_fatal(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* One line to standard error without time and role, for whoever has started the program and waits for its end. */
void log_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A line of level error from a signal handler: nothing is allocated, formatted or locked. */
void log_write_in_handler(const char *text);

/* What log_set_role() was told. */
const char *log_role(void);

/* Lines that this process has dropped; a child begins at 0. */
uint64_t log_dropped(void);

/*
 * Count the lines that this process drops from now on in `counter`, too, such as one in shared memory; NULL: no longer.
 * A child does not inherit it.
 */
void log_count_dropped_in(_Atomic uint64_t *counter);

/*
 * Show `observer` the text of each line that this process logs from now on, whether or not it can be written, but not of
 * those of log_always() and log_record(); NULL: no longer. It must not log. A child does not inherit it.
 */
void log_set_observer(void (*observer)(enum log_level level, const char *text));

/* At most `burst` lines a second from one place; what was held back is counted and told by the next line. */
struct log_limit {
    uint64_t second;
    unsigned written, held_back;
};
void log_limited(struct log_limit *limit, unsigned burst, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* A line of level notice that log_set_level() does not hold back: the answer to a question, such as SIGUSR1. */
void log_always(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * A record that a key of the configuration asks for, such as of a session at its end: a line of level info that
 * log_set_level() does not hold back. It is no event: log_set_observer() does not see it.
 */
void log_record(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same for programs: `text`, printable and below LOG_LINE_SIZE, is all of the line, but for what journald and syslogd
 * take away again. */
void log_record_bare(const char *text);

/* Count a line that could not be made, as one that could not be written. */
void log_drop(void);

#endif
