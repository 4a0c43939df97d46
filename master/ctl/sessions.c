#include "master/ctl/sessions.h"
#include "common/report_table.h"
#include "common/text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIELDS_MAX = 16, NAME_SIZE = 32 };

static bool is_json, has_any;
static unsigned field_count; /* 0: no line has come yet */
static char names[FIELDS_MAX][NAME_SIZE];

static bool ends_with(const char *name, const char *end)
{
    size_t size = strlen(name), end_size = strlen(end);

    return size >= end_size && strcmp(name + size - end_size, end) == 0;
}

static bool is_number(const char *text)
{
    return text[0] != '\0' && text[strspn(text, "0123456789")] == '\0';
}

static bool is_figure(const char *name)
{
    return ends_with(name, "_ms") || ends_with(name, "_in") || ends_with(name, "_out") || strcmp(name, "queued") == 0;
}

/* The fields of a line, safe to print. */
static unsigned split(char *line, char *fields[FIELDS_MAX])
{
    unsigned count = 0;

    for (char *field; count < FIELDS_MAX && (field = strsep(&line, "\t"));) {
        text_make_safe(field);
        fields[count++] = field;
    }
    return count;
}

/* Columns as wide as what usually stands there. */
static int width_of(const char *name)
{
    if (strcmp(name, "id") == 0)
        return 20;
    if (strcmp(name, "peer") == 0 || strcmp(name, "upstream") == 0)
        return 21;
    if (strcmp(name, "listener") == 0 || strcmp(name, "pool") == 0)
        return 10;
    return is_figure(name) ? 9 : 10;
}

/* A figure as people read it; "": it is none. */
static void format(char cell[REPORT_CELL_SIZE], const char *name, const char *value)
{
    cell[0] = '\0';
    if (!is_figure(name) || !is_number(value))
        return;
    if (ends_with(name, "_ms"))
        report_time(cell, strtoull(value, NULL, 10) * 1000);
    else
        report_bytes(cell, strtoull(value, NULL, 10));
}

static void print_row(char *const *fields, unsigned count, bool is_heading)
{
    for (unsigned i = 0; i < count; i++) {
        const char *name = names[i];
        char cell[REPORT_CELL_SIZE] = "", heading[NAME_SIZE];
        snprintf(heading, sizeof(heading), "%.*s", (int)(ends_with(name, "_ms") ? strlen(name) - 3 : strlen(name)),
                 name);
        format(cell, name, is_heading ? "" : fields[i]);
        const char *text = is_heading ? heading : cell[0] ? cell : fields[i];
        bool is_last = i + 1 == count;
        printf("%*s%s", is_last ? 0 : is_figure(name) ? width_of(name) : -width_of(name), text, is_last ? "\n" : " ");
    }
}

static void print_string(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            putchar('\\');
        putchar(*text);
    }
    putchar('"');
}

static void print_object(char *const *fields, unsigned count)
{
    printf("%s\n{", has_any ? "," : "");
    for (unsigned i = 0; i < count; i++) {
        const char *name = names[i];
        printf("%s", i ? ", " : "");
        print_string(name);
        printf(": ");
        if (strcmp(fields[i], "-") == 0)
            printf("null");
        else if (is_figure(name) && is_number(fields[i]))
            printf("%s", fields[i]);
        else
            print_string(fields[i]);
    }
    putchar('}');
}

void sessions_begin(bool json)
{
    is_json = json;
    has_any = false;
    field_count = 0;
    if (json)
        putchar('[');
}

/* A worker that has not answered. */
static void print_remark(char *line)
{
    text_make_safe(line);
    fflush(stdout);
    fprintf(stderr, "ccserverctl:%s\n", line + 1);
}

void sessions_line(char *line)
{
    char *fields[FIELDS_MAX];

    if (line[0] == '#') {
        print_remark(line);
        return;
    }
    unsigned count = split(line, fields);
    if (field_count == 0) {
        for (unsigned i = 0; i < count; i++)
            snprintf(names[i], sizeof(names[i]), "%s", fields[i]);
        field_count = count;
        if (!is_json)
            print_row(fields, count, true);
        return;
    }
    if (count > field_count)
        count = field_count;
    if (is_json)
        print_object(fields, count);
    else
        print_row(fields, count, false);
    has_any = true;
}

void sessions_end(void)
{
    if (is_json)
        puts(has_any ? "\n]" : "]");
}
