#include "common/text.h"
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static bool is_printable(unsigned char byte)
{
    return byte >= ' ' && byte < 0x7f;
}

/* How many bytes the character at `at` has, 0: it is none of UTF-8, or one that is not to be printed. */
static size_t size_of_character(const unsigned char *at)
{
    size_t size = at[0] < 0x80 ? is_printable(at[0]) : at[0] < 0xc2 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;

    if (at[0] > 0xf4 || (at[0] == 0xc2 && at[1] < 0xa0)) /* C1 */
        return 0;
    for (size_t i = 1; i < size; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return size;
}

void text_make_safe(char *text)
{
    for (size_t size; *text; text += size ? size : 1) {
        size = size_of_character((const unsigned char *)text);
        if (size == 0)
            *text = '?';
    }
}

void text_make_ascii(char *text)
{
    for (; *text; text++)
        if (!is_printable((unsigned char)*text))
            *text = '?';
}

void text_time(char text[TEXT_TIME_SIZE], uint64_t ms_since_1970)
{
    time_t seconds = (time_t)(ms_since_1970 / 1000);
    struct tm date;

    if (!localtime_r(&seconds, &date) || strftime(text, TEXT_TIME_SIZE, "%Y-%m-%d %H:%M:%S", &date) == 0)
        snprintf(text, TEXT_TIME_SIZE, "-");
}

void text_change(char *line, size_t size, const char *what, const struct state_change *change)
{
    char time[TEXT_TIME_SIZE];

    text_time(time, change->at_ms);
    if (change->count == 0)
        snprintf(line, size, "%-16s none yet", what);
    else
        snprintf(line, size, "%-16s %s, %s: %.*s", what, time, change->failed ? "refused" : "done", STATE_TEXT_SIZE,
                 change->text);
    text_make_safe(line);
}
