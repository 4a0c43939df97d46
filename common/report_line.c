#include "common/report_line.h"
#include "common/report_table.h"
#include <stdarg.h>
#include <stdio.h>

static void (*print_line)(const char *line);

void report_line_to(void (*print)(const char *line))
{
    print_line = print;
}

void report_line(const char *format, ...)
{
    char line[2 * REPORT_TABLE_WIDTH];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    print_line(line);
}
