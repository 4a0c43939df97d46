#include "common/metrics_text.h"
#include <stdbool.h>
#include <string.h>

const char *metrics_escaped(const char *text)
{
    static char result[METRICS_TEXT_SIZE];
    size_t size = 0;

    for (; *text && size < sizeof(result) - 2; text++) {
        if (*text == '\\' || *text == '"' || *text == '\n')
            result[size++] = '\\';
        if (*text == '\n')
            result[size++] = 'n';
        else
            result[size++] = *text;
    }
    result[size] = '\0';
    return result;
}

void metrics_family(FILE *out, enum metrics_format format, const char *type, const char *name, const char *unit,
                    const char *help)
{
    bool is_old = format == METRICS_PROMETHEUS;
    const char *total = is_old && strcmp(type, "counter") == 0 ? "_total" : "";

    fprintf(out, "# TYPE ccserver_%s%s %s\n", name, total, type);
    if (unit && !is_old)
        fprintf(out, "# UNIT ccserver_%s %s\n", name, unit);
    fprintf(out, "# HELP ccserver_%s%s %s\n", name, total, metrics_escaped(help));
}

void metrics_label(FILE *out, const char *before, const char *name, const char *value)
{
    fprintf(out, "%s%s=\"%s\"", before, name, metrics_escaped(value));
}

void metrics_add_label(char *labels, size_t labels_size, const char *before, const char *name, const char *value)
{
    size_t used = strlen(labels);

    snprintf(labels + used, labels_size - used, "%s%s=\"%s\"", before, name, metrics_escaped(value));
}
