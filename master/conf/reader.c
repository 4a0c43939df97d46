#include "master/conf/reader.h"
#include <stdarg.h>
#include <string.h>

struct conf_place reader_place(const struct conf_reader *reader, int line)
{
    const struct conf_piece *found = NULL;

    for (unsigned i = 0; i < reader->piece_count && reader->pieces[i].first <= line; i++)
        found = &reader->pieces[i];
    if (!found)
        return (struct conf_place){reader->source->path, line};
    return (struct conf_place){found->path, found->line + line - found->first};
}

int reader_fail_at(struct conf_reader *reader, int line, const char *format, ...)
{
    char sentence[384];
    va_list arguments;

    if (reader->failed_line && reader->failed_line <= line)
        return -1;
    reader->failed_line = line;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof(sentence), format, arguments);
    va_end(arguments);
    const struct conf_place place = reader_place(reader, line);
    snprintf(reader->error, reader->error_size, "%s:%d: %s", place.path, place.line, sentence);
    return -1;
}

const struct conf_row *reader_find_row(const struct conf_reader *reader, const char *name)
{
    for (unsigned i = 0; i < reader->row_count; i++)
        if (strcmp(reader->rows[i].name, name) == 0)
            return &reader->rows[i];
    return NULL;
}
