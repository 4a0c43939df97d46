/*
 * A section is never cut by a file: what an included file says begins with a section, and so does what follows the line
 * that includes it. Otherwise the order of files would decide what a key means.
 */
#include "master/conf/include.h"
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bsd/string.h>

enum { DEPTH_MAX = 8 };

/* The text that is being put together. */
struct whole {
    struct conf_reader *reader;
    char *text;
    size_t size, max;
    int line; /* lines of it */
};

/* One file of it. */
struct part {
    const char *path;
    const char *text;
    size_t size;
    int line;
    unsigned depth;
    bool needs_section; /* the next line that says something must begin one */
};

static int fail(const struct whole *whole, const struct part *part, const char *what, const char *error)
{
    snprintf(whole->reader->error, whole->reader->error_size, "%s:%d: %s%s", part->path, part->line, what, error);
    return -1;
}

/* From here on the lines are those of `part`. */
static int begin_piece(struct whole *whole, const struct part *part)
{
    struct conf_reader *reader = whole->reader;

    if (reader->piece_count == CONF_PIECES_MAX)
        return fail(whole, part, "too many files are included", "");
    struct conf_piece *piece = &reader->pieces[reader->piece_count];
    *piece = (struct conf_piece){.first = whole->line + 1, .line = part->line + 1, .path = strdup(part->path)};
    if (!piece->path)
        return fail(whole, part, "out of memory", "");
    reader->piece_count++;
    return 0;
}

static int add_line(struct whole *whole, const struct part *part, const char *line, size_t size)
{
    if (whole->size + size + 1 > whole->max)
        return fail(whole, part, "all files together are too large", "");
    memcpy(whole->text + whole->size, line, size);
    whole->size += size;
    whole->text[whole->size++] = '\n';
    whole->line++;
    return 0;
}

/* The pattern of a line "include = PATTERN", within `line`; NULL: it is another line. */
static const char *pattern_of(const char *line, size_t *size)
{
    static const char word[] = "include";
    const char *end = line + *size, *at = line + strlen(word);

    if (*size < strlen(word) || memcmp(line, word, strlen(word)) != 0)
        return NULL;
    while (at < end && strchr(" \t", *at))
        at++;
    if (at == end || (*at != '=' && *at != ':'))
        return NULL;
    for (at++; at < end && strchr(" \t", *at);)
        at++;
    *size = (size_t)(end - at);
    return at;
}

static int add_part(struct whole *whole, struct part *part);

/* The whole file, terminated; NULL with errno. */
static char *read_whole(const char *path, size_t max, size_t *size)
{
    int fd = open(path, O_RDONLY | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    char *text = NULL;

    *size = 0;
    if (fd >= 0 && (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)))
        errno = EINVAL;
    else if (fd >= 0 && status.st_size > (off_t)max)
        errno = EFBIG;
    else if (fd >= 0)
        text = malloc((size_t)status.st_size + 1);
    ssize_t got = 1;
    while (text && got > 0 && *size < (size_t)status.st_size) {
        got = read(fd, text + *size, (size_t)status.st_size - *size);
        *size += got > 0 ? (size_t)got : 0;
    }
    int error = errno;
    if (fd >= 0)
        close(fd);
    if (got < 0) {
        free(text);
        text = NULL;
    }
    errno = error;
    return text;
}

static int add_file(struct whole *whole, const struct part *by, const char *path)
{
    struct part part = {.path = path, .depth = by->depth + 1, .needs_section = true};
    char what[PATH_MAX + 32];

    snprintf(what, sizeof(what), "include = %s: ", path);
    if (part.depth > DEPTH_MAX)
        return fail(whole, by, what, "files include each other without end");
    char *text = read_whole(path, whole->max, &part.size);
    if (!text)
        return fail(whole, by, what, errno == EINVAL ? "is not a regular file" : strerror(errno));
    part.text = text;
    int result = begin_piece(whole, &part);
    if (result == 0)
        result = add_part(whole, &part);
    free(text);
    return result;
}

static int add_matches(struct whole *whole, const struct part *part, const char *pattern, size_t size)
{
    char path[PATH_MAX], folder[PATH_MAX];
    glob_t found = {0};
    int result = 0;

    strlcpy(folder, part->path, sizeof(folder));
    char *slash = strrchr(folder, '/');
    snprintf(path, sizeof(path), "%.*s%.*s", slash && pattern[0] != '/' ? (int)(slash + 1 - folder) : 0, folder,
             (int)size, pattern);
    int matched = size > 0 && size < sizeof(path) ? glob(path, GLOB_ERR, NULL, &found) : GLOB_NOMATCH;
    if (matched == GLOB_NOMATCH && (size == 0 || !strpbrk(path, "*?[")))
        result = fail(whole, part, "include: there is no file ", path);
    else if (matched != 0 && matched != GLOB_NOMATCH)
        result = fail(whole, part, "include: cannot be read: ", path);
    for (size_t i = 0; result == 0 && i < found.gl_pathc; i++)
        result = add_file(whole, part, found.gl_pathv[i]);
    globfree(&found);
    return result;
}

/* A line without the blanks around it; empty when it says nothing. */
static const char *trim(const char *line, size_t *size)
{
    const char *end = line + *size;

    while (line < end && strchr(" \t\r\f\v", *line))
        line++;
    while (end > line && strchr(" \t\r\f\v", end[-1]))
        end--;
    *size = line < end && *line != '#' && *line != ';' ? (size_t)(end - line) : 0;
    return line;
}

/* What a line includes stands in its place; the line itself stays, empty, so that lines can be counted. */
static int add_included(struct whole *whole, struct part *part, const char *pattern, size_t size)
{
    if (add_line(whole, part, "", 0) < 0 || add_matches(whole, part, pattern, size) < 0)
        return -1;
    part->needs_section = true;
    return begin_piece(whole, part);
}

static int add_one(struct whole *whole, struct part *part, const char *line, size_t size)
{
    size_t rest = size;
    const char *begin = trim(line, &rest);
    const char *pattern = pattern_of(begin, &rest);

    if (pattern)
        return add_included(whole, part, pattern, rest);
    if (part->needs_section && rest > 0 && *begin != '[')
        return fail(whole, part, "a section must begin here: an included file is not to change what this means", "");
    part->needs_section &= rest == 0;
    return add_line(whole, part, line, size);
}

static int add_part(struct whole *whole, struct part *part)
{
    static const char mark[] = "\xEF\xBB\xBF"; /* of the order of bytes, which some editors write */
    const char *line = part->text, *end = part->text + part->size;

    if (part->size >= strlen(mark) && memcmp(line, mark, strlen(mark)) == 0)
        line += strlen(mark);
    while (line < end) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        part->line++;
        if (add_one(whole, part, line, (size_t)((stop ? stop : end) - line)) < 0)
            return -1;
        line = stop ? stop + 1 : end;
    }
    return 0;
}

int include_expand(struct conf_reader *reader, size_t text_max)
{
    struct whole whole = {.reader = reader, .text = malloc(text_max + 2), .max = text_max};
    struct part part = {.path = reader->source->path, .text = reader->text, .size = reader->size};

    if (!whole.text) {
        snprintf(reader->error, reader->error_size, "%s: out of memory", reader->source->path);
        return -1;
    }
    if (begin_piece(&whole, &part) < 0 || add_part(&whole, &part) < 0) {
        free(whole.text);
        return -1;
    }
    if (reader->piece_count == 1) { /* the text is as it was, whether its last line has an end or not */
        free(whole.text);
        return 0;
    }
    free(reader->text);
    reader->text = whole.text;
    reader->size = whole.size;
    return 0;
}

void include_free(struct conf_reader *reader)
{
    for (unsigned i = 0; i < reader->piece_count; i++)
        free(reader->pieces[i].path);
}
