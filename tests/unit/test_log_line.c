/*
 * Lines of the log, to the letter, and what of them is cut.
 */
#include "common/log_line.h"
#include "tests/unit/unit.h"
#include <string.h>

static const char *text_of(const struct log_line *line)
{
    static char text[LOG_LINE_SIZE + 1];

    CU_ASSERT_FATAL(line->size <= LOG_LINE_SIZE);
    memcpy(text, line->text, line->size);
    text[line->size] = '\0';
    return text;
}

static const char *begun_bare(enum log_style style, const struct log_stamp *stamp)
{
    static struct log_line line;

    memset(&line, '#', sizeof(line));
    log_line_begin_bare(&line, style, stamp);
    return text_of(&line);
}

static const char *begun(enum log_style style, const struct log_stamp *stamp)
{
    static struct log_line line;

    memset(&line, '#', sizeof(line));
    log_line_begin(&line, style, stamp);
    return text_of(&line);
}

/* ---- the beginning ---- */

static struct log_stamp stamp_of(enum log_level level)
{
    return (struct log_stamp){
        .level = level,
        .role = "worker 3",
        .pid = 4711,
        .milliseconds = 7,
        .date = {.tm_year = 126, .tm_mon = 10, .tm_mday = 23, .tm_hour = 10, .tm_min = 20, .tm_sec = 59}};
}

static void test_beginnings(void)
{
    struct log_stamp stamp = stamp_of(LOG_LEVEL_NOTICE);

    CU_ASSERT_STRING_EQUAL(begun(LOG_STYLE_PLAIN, &stamp), "2026-11-23 10:20:59.007 notice worker 3[4711]: ");
    CU_ASSERT_STRING_EQUAL(begun(LOG_STYLE_JOURNAL, &stamp), "<5>2026-11-23 10:20:59.007 notice worker 3[4711]: ");
    CU_ASSERT_STRING_EQUAL(begun(LOG_STYLE_SYSLOG, &stamp), "<29>Nov 23 10:20:59 ccserver[4711]: worker 3: ");
    stamp.milliseconds = 123; /* every number at its narrowest, and the other way round */
    stamp.date = (struct tm){.tm_year = 126, .tm_mon = 0, .tm_mday = 2, .tm_hour = 3, .tm_min = 4, .tm_sec = 5};
    CU_ASSERT_STRING_EQUAL(begun(LOG_STYLE_PLAIN, &stamp), "2026-01-02 03:04:05.123 notice worker 3[4711]: ");
    CU_ASSERT_STRING_EQUAL(begun(LOG_STYLE_SYSLOG, &stamp), "<29>Jan  2 03:04:05 ccserver[4711]: worker 3: ");
}

/* journald and syslogd take this away; from a file nobody would. */
static void test_bare(void)
{
    struct log_stamp stamp = stamp_of(LOG_LEVEL_INFO);

    CU_ASSERT_STRING_EQUAL(begun_bare(LOG_STYLE_PLAIN, &stamp), "");
    CU_ASSERT_STRING_EQUAL(begun_bare(LOG_STYLE_JOURNAL, &stamp), "<6>");
    CU_ASSERT_STRING_EQUAL(begun_bare(LOG_STYLE_SYSLOG, &stamp), "<30>Nov 23 10:20:59 ccserver[4711]: ");
}

static void test_levels(void)
{
    static const char *const names[] = {"debug", "info", "notice", "warn", "error", "fatal"};
    static const unsigned priorities[] = {7, 6, 5, 4, 3, 2};
    char expected[128];

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct log_stamp stamp = stamp_of((enum log_level)i);
        struct log_line line = {.size = 0};
        snprintf(expected, sizeof(expected), "<%u>2026-11-23 10:20:59.007 %s worker 3[4711]: ", priorities[i],
                 names[i]);
        CU_ASSERT_STRING_EQUAL(begun(LOG_STYLE_JOURNAL, &stamp), expected);
        snprintf(expected, sizeof(expected), "<%u>Nov 23 10:20:59 ccserver[4711]: worker 3: ", 3 * 8 + priorities[i]);
        CU_ASSERT_STRING_EQUAL(begun(LOG_STYLE_SYSLOG, &stamp), expected);
        log_line_priority(&line, (enum log_level)i);
        snprintf(expected, sizeof(expected), "<%u>", priorities[i]);
        CU_ASSERT_STRING_EQUAL(text_of(&line), expected);
    }
}

static void test_months(void)
{
    static const char *const names[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

    for (int i = 0; i < 12; i++) {
        struct log_stamp stamp = stamp_of(LOG_LEVEL_ERROR);
        stamp.date.tm_mon = i;
        CU_ASSERT_EQUAL(strncmp(begun(LOG_STYLE_SYSLOG, &stamp) + strlen("<27>"), names[i], 3), 0);
    }
}

/* ---- what follows ---- */

static void test_numbers(void)
{
    struct log_line line = {.size = 0};

    log_line_number(&line, 0);
    log_line_text(&line, " ");
    log_line_number(&line, UINT64_MAX);
    log_line_text(&line, " ");
    log_line_hex(&line, 0);
    log_line_text(&line, " ");
    log_line_hex(&line, 0xabcdef0123456789);
    log_line_text(&line, " ");
    log_line_hex(&line, UINT64_MAX);
    CU_ASSERT_STRING_EQUAL(text_of(&line), "0 18446744073709551615 0x0 0xabcdef0123456789 0xffffffffffffffff");
}

static void format(struct log_line *line, const char *text, ...) __attribute__((format(printf, 2, 3)));

static void format(struct log_line *line, const char *text, ...)
{
    va_list arguments;

    va_start(arguments, text);
    log_line_format(line, text, arguments);
    va_end(arguments);
}

static void test_format(void)
{
    struct log_line line = {.size = 0};

    log_line_text(&line, "a\n"); /* it is only what is formatted that may come from a peer */
    format(&line, "%d %s", 12, "\x1f \x7e\x7f\x80\xff\n");
    CU_ASSERT_STRING_EQUAL(text_of(&line), "a\n12 ? ~?\x80\xff?");
    format(&line, "%s", "");
    CU_ASSERT_STRING_EQUAL(text_of(&line), "a\n12 ? ~?\x80\xff?");
    format(&line, "%ls", L"\xd800"); /* cannot be written */
    CU_ASSERT_STRING_EQUAL(text_of(&line), "a\n12 ? ~?\x80\xff?");
}

static void test_end(void)
{
    struct log_line line = {.size = 0};

    log_line_end(&line);
    CU_ASSERT_STRING_EQUAL(text_of(&line), "\n");
    line.size = 0;
    log_line_text(&line, "   ");
    log_line_end(&line);
    CU_ASSERT_STRING_EQUAL(text_of(&line), "\n");
    line.size = 0;
    log_line_text(&line, " a b  ");
    log_line_end(&line);
    CU_ASSERT_STRING_EQUAL(text_of(&line), " a b\n");
}

/* What fits is whole, what does not is cut, and there is always room for the newline. */
static void test_cut(void)
{
    char text[LOG_LINE_SIZE + 16];

    for (size_t size = LOG_LINE_SIZE - 4; size < LOG_LINE_SIZE + 4; size++)
        for (unsigned formatted = 0; formatted < 2; formatted++) {
            struct log_line line = {.size = 0};
            size_t kept = size < LOG_LINE_SIZE - 1 ? size : LOG_LINE_SIZE - 1;
            memset(text, 'x', size);
            text[size] = '\0';
            text[kept - 1] = 'e'; /* the last one that is to be seen */
            log_line_text(&line, "xx");
            if (formatted)
                format(&line, "%s", text + 2);
            else
                log_line_text(&line, text + 2);
            CU_ASSERT_EQUAL(line.size, kept);
            log_line_end(&line);
            CU_ASSERT_EQUAL(line.size, kept + 1);
            text[kept] = '\n';
            CU_ASSERT_EQUAL(memcmp(line.text, text, kept + 1), 0);
        }
}

/* Nothing is appended to a line that is full. */
static void test_full(void)
{
    struct log_line line = {.size = LOG_LINE_SIZE - 1};

    memset(line.text, 'x', sizeof(line.text));
    log_line_text(&line, "more");
    log_line_number(&line, 12);
    log_line_hex(&line, 12);
    log_line_priority(&line, LOG_LEVEL_INFO);
    format(&line, "%s", "more");
    CU_ASSERT_EQUAL(line.size, LOG_LINE_SIZE - 1);
    log_line_end(&line);
    CU_ASSERT_EQUAL(line.size, LOG_LINE_SIZE);
    CU_ASSERT_EQUAL(strspn(text_of(&line), "x"), LOG_LINE_SIZE - 1);
}

/* ---- the calendar ---- */

static void check_date(time_t seconds)
{
    struct tm wanted, date;

    gmtime_r(&seconds, &wanted);
    log_line_date(seconds, &date);
    CU_ASSERT_FATAL(date.tm_year == wanted.tm_year && date.tm_mon == wanted.tm_mon && date.tm_mday == wanted.tm_mday &&
                    date.tm_hour == wanted.tm_hour && date.tm_min == wanted.tm_min && date.tm_sec == wanted.tm_sec);
}

/* The first and last second of every day for as long as the calendar takes to repeat itself, and some days more. */
static void test_every_day(void)
{
    for (time_t day = 0; day < 146097 + 366; day++) {
        check_date(day * 86400);
        check_date(day * 86400 + 86399);
    }
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"beginnings", test_beginnings},
        {"bare", test_bare},
        {"levels", test_levels},
        {"months", test_months},
        {"numbers", test_numbers},
        {"format", test_format},
        {"end", test_end},
        {"cut", test_cut},
        {"full", test_full},
        {"every day", test_every_day},
        {0},
    };
    return unit_main("log line", tests);
}
