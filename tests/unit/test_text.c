/*
 * What ccserverctl makes of text that could steer a terminal, or break a line.
 */
#include "common/text.h"
#include "tests/unit/unit.h"
#include <string.h>

#include <bsd/string.h>

static void check_safe(const char *text, const char *wanted)
{
    char copy[64];

    strlcpy(copy, text, sizeof(copy));
    text_make_safe(copy);
    CU_ASSERT_STRING_EQUAL(copy, wanted);
}

static void test_safe(void)
{
    check_safe("plain ~", "plain ~");
    check_safe("\033[2J\n\r\t\x7f", "?[2J????");
    check_safe("\xc3\xa9 \xe4\xb8\xad \xf0\x9f\x98\x80", "\xc3\xa9 \xe4\xb8\xad \xf0\x9f\x98\x80");
    check_safe("\x9b"
               "1m \xc2\x9b"
               "1m \xc2\xa0",
               "?1m ??1m \xc2\xa0");
    check_safe("\xe4\xb8", "??"); /* it ends in the middle */
    check_safe("\xe4\033[m", "??[m");
    check_safe("\xc0\x9b \xff \xf5\x80\x80\x80", "?? ? ????");
}

static void test_ascii(void)
{
    char text[] = "a\xc3\xa9\033[m~";

    text_make_ascii(text);
    CU_ASSERT_STRING_EQUAL(text, "a???[m~");
}

static void test_times(void)
{
    char text[TEXT_TIME_SIZE];

    setenv("TZ", "UTC", 1);
    text_time(text, UINT64_C(1795901186123));
    CU_ASSERT_STRING_EQUAL(text, "2026-11-28 21:26:26");
    text_time(text, UINT64_MAX); /* a year that no calendar has */
    CU_ASSERT(strlen(text) > 0);
}

static void test_change(void)
{
    struct state_change change = {.failed = true, .at_ms = 1000};
    char line[2 * STATE_TEXT_SIZE];

    setenv("TZ", "UTC", 1);
    text_change(line, sizeof(line), "last reload", &change);
    CU_ASSERT_STRING_EQUAL(line, "last reload      none yet");
    memset(change.text, '\n', sizeof(change.text)); /* no end */
    change.count = 1;
    text_change(line, sizeof(line), "last reload", &change);
    CU_ASSERT_PTR_NOT_NULL(strstr(line, " 1970-01-01 00:00:01, refused: ????"));
    CU_ASSERT_PTR_NULL(strchr(line, '\n'));
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"safe", test_safe}, {"ASCII", test_ascii}, {"times", test_times}, {"change", test_change}, {NULL, NULL},
    };
    return unit_main("text", tests);
}
