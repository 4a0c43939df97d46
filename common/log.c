#include "common/log.h"
#include "common/clock.h"
#include "common/log_line.h"
#include "common/log_sink.h"
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bsd/string.h>

enum { ROLE_SIZE = 64 };

static struct {
    enum log_level level;
    char role[ROLE_SIZE];
    time_t utc_offset_s; /* of the last line; a handler must not ask for it */
    pid_t pid;           /* whose lines are counted below */
    uint64_t dropped;
    uint64_t unreported;                                      /* of these, since a line last said how many */
    _Atomic uint64_t *counter;                                /* another place to count them in, or NULL */
    void (*observer)(enum log_level level, const char *text); /* or NULL */
} logger = {.level = LOG_LEVEL_INFO, .role = "ccserver"};

int log_open(const char *target)
{
    return log_sink_open(target);
}

int log_reopen(void)
{
    return log_sink_reopen();
}

void log_set_level(enum log_level level)
{
    logger.level = level;
}

void log_set_role(const char *role)
{
    strlcpy(logger.role, role, sizeof(logger.role));
}

bool log_enabled(enum log_level level)
{
    return level >= logger.level;
}

/* ---- what is dropped ---- */

/* What the parent has dropped before the fork is the parent's to report. */
static pid_t count_as_this_process(void)
{
    pid_t pid = getpid();

    if (pid != logger.pid) {
        logger.pid = pid;
        logger.dropped = logger.unreported = 0;
        logger.counter = NULL;
        logger.observer = NULL;
    }
    return pid;
}

static void count_dropped(void)
{
    logger.dropped++;
    logger.unreported++;
    if (logger.counter)
        atomic_fetch_add_explicit(logger.counter, 1, memory_order_relaxed);
}

uint64_t log_dropped(void)
{
    count_as_this_process();
    return logger.dropped;
}

void log_set_observer(void (*observer)(enum log_level level, const char *text))
{
    count_as_this_process();
    logger.observer = observer;
}

void log_count_dropped_in(_Atomic uint64_t *counter)
{
    count_as_this_process();
    logger.counter = counter;
}

/* ---- a line ---- */

static struct log_stamp stamp_now(enum log_level level)
{
    struct log_stamp stamp = {.level = level, .role = logger.role, .pid = count_as_this_process()};
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &stamp.date);
    stamp.milliseconds = (unsigned)(now.tv_nsec / 1000000);
    logger.utc_offset_s = stamp.date.tm_gmtoff;
    return stamp;
}

static void begin_report(struct log_line *line, enum log_style style, struct log_stamp stamp)
{
    stamp.level = LOG_LEVEL_WARN;
    log_line_begin(line, style, &stamp);
    log_line_number(line, logger.unreported);
    log_line_text(line, logger.unreported == 1 ? " line" : " lines");
    log_line_text(line, " could not be written");
    log_line_end(line);
}

/*
 * The report of dropped lines stands before the first line that can be written again. Both go in one write, so that
 * room for a single line does not make a log of nothing but reports.
 */
static bool write_after_report(enum log_style style, const struct log_stamp *stamp, const struct log_line *line)
{
    char lines[2 * LOG_LINE_SIZE];
    struct log_line report;

    begin_report(&report, style, *stamp);
    if (style == LOG_STYLE_SYSLOG) { /* a message each */
        if (!log_sink_write(report.text, report.size))
            return false;
        logger.unreported = 0;
        return log_sink_write(line->text, line->size);
    }
    memcpy(lines, report.text, report.size);
    memcpy(lines + report.size, line->text, line->size);
    if (!log_sink_write(lines, report.size + line->size))
        return false;
    logger.unreported = 0;
    return true;
}

/* Show the observer the text of the line, which stands from `begin` on. */
static void show_observer(enum log_level level, const struct log_line *line, size_t begin)
{
    char text[LOG_LINE_SIZE];
    size_t size = line->size - begin - 1; /* without the newline */

    memcpy(text, line->text + begin, size);
    text[size] = '\0';
    logger.observer(level, text);
}

static void put(const struct log_line *line, enum log_style style, const struct log_stamp *stamp)
{
    bool written = logger.unreported == 0 ? log_sink_write(line->text, line->size)
                                          : write_after_report(style, stamp, line);
    if (!written)
        count_dropped();
}

static void write_line(enum log_level level, bool is_event, const char *format, va_list arguments)
{
    int saved = errno;
    enum log_style style = log_sink_style();
    struct log_stamp stamp = stamp_now(level);
    struct log_line line;

    log_line_begin(&line, style, &stamp);
    size_t begin = line.size;
    log_line_format(&line, format, arguments);
    log_line_end(&line);
    if (is_event && logger.observer && line.size > begin)
        show_observer(level, &line, begin);
    put(&line, style, &stamp);
    errno = saved;
}

void log_write(enum log_level level, const char *format, ...)
{
    if (!log_enabled(level))
        return;
    va_list arguments;
    va_start(arguments, format);
    write_line(level, true, format, arguments);
    va_end(arguments);
}

void log_fatal(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    write_line(LOG_LEVEL_FATAL, true, format, arguments);
    va_end(arguments);
    abort();
}

void log_complain(const char *format, ...)
{
    struct log_line line = {.size = 0};
    va_list arguments;

    if (log_sink_stderr_style() == LOG_STYLE_JOURNAL)
        log_line_priority(&line, LOG_LEVEL_ERROR);
    va_start(arguments, format);
    log_line_format(&line, format, arguments);
    va_end(arguments);
    log_line_end(&line);
    log_sink_write_stderr(line.text, line.size);
}

const char *log_role(void)
{
    return logger.role;
}

void log_write_in_handler(const char *text)
{
    struct log_stamp stamp = {.level = LOG_LEVEL_ERROR, .role = logger.role, .pid = count_as_this_process()};
    struct timespec now;
    struct log_line line;

    clock_gettime(CLOCK_REALTIME, &now);
    log_line_date(now.tv_sec + logger.utc_offset_s, &stamp.date);
    stamp.milliseconds = (unsigned)(now.tv_nsec / 1000000);
    log_line_begin(&line, log_sink_style(), &stamp);
    log_line_text(&line, text);
    log_line_end(&line);
    if (!log_sink_write_in_handler(line.text, line.size))
        count_dropped();
}

void log_limited(struct log_limit *limit, unsigned burst, enum log_level level, const char *format, ...)
{
    uint64_t second = clock_now_ms() / 1000;

    if (!log_enabled(level))
        return;
    if (second != limit->second) {
        if (limit->held_back > 0)
            log_write(level, "%u lines like the next one were held back", limit->held_back);
        *limit = (struct log_limit){.second = second};
    }
    if (limit->written == burst) {
        limit->held_back++;
        return;
    }
    limit->written++;
    va_list arguments;
    va_start(arguments, format);
    write_line(level, true, format, arguments);
    va_end(arguments);
}

void log_always(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    write_line(LOG_LEVEL_NOTICE, false, format, arguments);
    va_end(arguments);
}

void log_record(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    write_line(LOG_LEVEL_INFO, false, format, arguments);
    va_end(arguments);
}

void log_record_bare(const char *text)
{
    int saved = errno;
    enum log_style style = log_sink_style();
    struct log_stamp stamp = stamp_now(LOG_LEVEL_INFO);
    struct log_line line;

    log_line_begin_bare(&line, style, &stamp);
    log_line_text(&line, text);
    log_line_end(&line);
    put(&line, style, &stamp);
    errno = saved;
}

void log_drop(void)
{
    count_as_this_process();
    count_dropped();
}
