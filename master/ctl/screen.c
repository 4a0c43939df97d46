#include "master/ctl/screen.h"
#include "common/text.h"
#include <limits.h>
#include <stdarg.h>

static void print(struct screen *screen, char *line, bool is_heading)
{
    bool is_shown_reverse = is_heading && screen->is_terminal;

    text_make_ascii(line);
    if (screen_room(screen) == 0)
        return;
    if (screen->is_terminal) /* first, for behind a line of full width it would clear the last column */
        fputs(screen->used > 0 ? "\r\n\033[K" : "\033[K", screen->out);
    fprintf(screen->out, "%s%-*.*s%s", is_shown_reverse ? "\033[7m" : "", is_shown_reverse ? (int)screen->columns : 0,
            (int)screen->columns, line, is_shown_reverse ? "\033[0m" : "");
    if (!screen->is_terminal)
        fputc('\n', screen->out);
    screen->used++;
}

static void print_format(struct screen *screen, bool is_heading, const char *format, va_list arguments)
{
    char line[1024];

    vsnprintf(line, sizeof(line), format, arguments);
    print(screen, line, is_heading);
}

void screen_line(struct screen *screen, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    print_format(screen, false, format, arguments);
    va_end(arguments);
}

void screen_heading(struct screen *screen, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    print_format(screen, true, format, arguments);
    va_end(arguments);
}

void screen_begin(struct screen *screen)
{
    screen->used = 0;
    if (screen->is_terminal)
        fputs("\033[H", screen->out);
}

void screen_end(struct screen *screen, const char *line)
{
    char last[SCREEN_WIDTH];

    if (!screen->is_terminal)
        return;
    snprintf(last, sizeof(last), "%.*s", (int)screen->columns - 1, line);
    text_make_ascii(last);
    fprintf(screen->out, "%s\033[J\033[%u;1H%s", screen->used > 0 ? "\r\n" : "", screen->rows, last);
}

unsigned screen_room(const struct screen *screen)
{
    return !screen->is_terminal ? UINT_MAX : screen->used + 1 < screen->rows ? screen->rows - 1 - screen->used : 0;
}
