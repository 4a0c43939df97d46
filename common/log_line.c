#include "common/log_line.h"
#include <stdio.h>
#include <string.h>
#include <syslog.h>

static const struct {
    const char *name;
    unsigned priority; /* syslog's */
} levels[] = {
    {"debug", LOG_DEBUG},  {"info", LOG_INFO}, {"notice", LOG_NOTICE},
    {"warn", LOG_WARNING}, {"error", LOG_ERR}, {"fatal", LOG_CRIT},
};

const char *log_level_name(uint32_t level)
{
    return levels[level % (sizeof(levels) / sizeof(levels[0]))].name;
}

/* ---- appending ---- */

static void add(struct log_line *line, const char *bytes, size_t size)
{
    size_t room = LOG_LINE_SIZE - 1 - line->size;

    size = size < room ? size : room;
    memcpy(line->text + line->size, bytes, size);
    line->size += size;
}

void log_line_text(struct log_line *line, const char *text)
{
    add(line, text, strlen(text));
}

static void add_digits(struct log_line *line, uint64_t number, unsigned base, unsigned width, char padding)
{
    char digits[24];
    size_t at = sizeof(digits);

    do {
        digits[--at] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number > 0);
    while (sizeof(digits) - at < width)
        digits[--at] = padding;
    add(line, digits + at, sizeof(digits) - at);
}

void log_line_number(struct log_line *line, uint64_t number)
{
    add_digits(line, number, 10, 1, '0');
}

void log_line_hex(struct log_line *line, uint64_t number)
{
    add(line, "0x", 2);
    add_digits(line, number, 16, 1, '0');
}

void log_line_format(struct log_line *line, const char *format, va_list arguments)
{
    size_t room = LOG_LINE_SIZE - line->size; /* vsnprintf's NUL takes the place of the newline */
    char *text = line->text + line->size;
    int n = vsnprintf(text, room, format, arguments);
    size_t size = n < 0 ? 0 : (size_t)n < room ? (size_t)n : room - 1;

    for (size_t i = 0; i < size; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            text[i] = '?';
    line->size += size;
}

void log_line_end(struct log_line *line)
{
    while (line->size > 0 && line->text[line->size - 1] == ' ')
        line->size--;
    line->text[line->size++] = '\n';
}

/* ---- the beginning ---- */

/*
 * Years are counted from March, so that the leap day is the last day of its year, and in eras of 400 years, after which
 * the calendar repeats itself.
 */
void log_line_date(time_t seconds, struct tm *date)
{
    enum { DAY_S = 24 * 60 * 60, ERA_DAYS = 146097, DAYS_TO_1970 = 719468 /* from March 1st of the year 0 */ };
    long days = (long)(seconds / DAY_S) + DAYS_TO_1970;
    long second = (long)(seconds % DAY_S);
    long era = days / ERA_DAYS, day = days % ERA_DAYS;
    long year = (day - day / 1460 + day / 36524 - day / (ERA_DAYS - 1)) / 365;
    long day_of_year = day - (365 * year + year / 4 - year / 100);
    long month = (5 * day_of_year + 2) / 153; /* 0: March */

    *date = (struct tm){
        .tm_year = (int)(era * 400 + year + (month >= 10) - 1900),
        .tm_mon = (int)(month < 10 ? month + 2 : month - 10),
        .tm_mday = (int)(day_of_year - (153 * month + 2) / 5 + 1),
        .tm_hour = (int)(second / 3600),
        .tm_min = (int)(second / 60 % 60),
        .tm_sec = (int)(second % 60),
    };
}

void log_line_priority(struct log_line *line, enum log_level level)
{
    add(line, "<", 1);
    add_digits(line, levels[level].priority, 10, 1, '0');
    add(line, ">", 1);
}

static void add_clock(struct log_line *line, const struct tm *date)
{
    add_digits(line, (unsigned)date->tm_hour, 10, 2, '0');
    add(line, ":", 1);
    add_digits(line, (unsigned)date->tm_min, 10, 2, '0');
    add(line, ":", 1);
    add_digits(line, (unsigned)date->tm_sec, 10, 2, '0');
}

static void add_pid(struct log_line *line, pid_t pid)
{
    add(line, "[", 1);
    add_digits(line, (unsigned)pid, 10, 1, '0');
    add(line, "]: ", 3);
}

/* The format of RFC 3164, as the C library's syslog() writes it. */
static void begin_syslog(struct log_line *line, const struct log_stamp *stamp)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

    add(line, "<", 1);
    add_digits(line, LOG_DAEMON | levels[stamp->level].priority, 10, 1, '0');
    add(line, ">", 1);
    add(line, months + (size_t)3 * (size_t)stamp->date.tm_mon, 3);
    add(line, " ", 1);
    add_digits(line, (unsigned)stamp->date.tm_mday, 10, 2, ' ');
    add(line, " ", 1);
    add_clock(line, &stamp->date);
    log_line_text(line, " ccserver");
    add_pid(line, stamp->pid);
}

static void begin_plain(struct log_line *line, const struct log_stamp *stamp)
{
    add_digits(line, (unsigned)(stamp->date.tm_year + 1900), 10, 4, '0');
    add(line, "-", 1);
    add_digits(line, (unsigned)(stamp->date.tm_mon + 1), 10, 2, '0');
    add(line, "-", 1);
    add_digits(line, (unsigned)stamp->date.tm_mday, 10, 2, '0');
    add(line, " ", 1);
    add_clock(line, &stamp->date);
    add(line, ".", 1);
    add_digits(line, stamp->milliseconds, 10, 3, '0');
    add(line, " ", 1);
    log_line_text(line, levels[stamp->level].name);
    add(line, " ", 1);
    log_line_text(line, stamp->role);
    add_pid(line, stamp->pid);
}

void log_line_begin(struct log_line *line, enum log_style style, const struct log_stamp *stamp)
{
    line->size = 0;
    if (style == LOG_STYLE_SYSLOG) {
        begin_syslog(line, stamp);
        log_line_text(line, stamp->role);
        add(line, ": ", 2);
        return;
    }
    if (style == LOG_STYLE_JOURNAL)
        log_line_priority(line, stamp->level);
    begin_plain(line, stamp);
}

void log_line_begin_bare(struct log_line *line, enum log_style style, const struct log_stamp *stamp)
{
    line->size = 0;
    if (style == LOG_STYLE_SYSLOG)
        begin_syslog(line, stamp);
    else if (style == LOG_STYLE_JOURNAL)
        log_line_priority(line, stamp->level);
}
