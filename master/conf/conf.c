/*
 * Reading the configuration.
 *
 *   file -> read_line() -> inih -> add_row()     rows of one section: name, value, line
 *               |                     |
 *        begin_section()         end_section() -> apply.c -> struct conf
 *
 * The rows of a section wait for its end, because `service` decides which keys there are. The whole file is read even
 * when something is wrong, and reader_fail_at() keeps the error that comes first in it.
 */
#include "master/conf/apply.h"
#include "master/conf/include.h"
#include "master/conf/runtime.h"
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bsd/string.h>

enum { FILE_MAX = 1 << 20, LINE_LENGTH_MAX = INI_MAX_LINE - 2 /* for the LF and the NUL */ };

static const char not_a_line[] = "this is neither [section] nor name = value";

/* Nothing that follows an error can come before it, so later sections are not looked at any more. */
static void end_section(struct conf_reader *reader)
{
    if (reader->failed_line == 0 || reader->failed_line > reader->section_line) {
        if (reader->section == SECTION_SERVER)
            apply_server(reader);
        else if (reader->section == SECTION_POOL)
            apply_pool(reader);
        else if (reader->section == SECTION_LISTEN)
            apply_listen(reader);
    }
    reader->row_count = 0;
}

/*
 * `text` follows the '['. The library tells of a section only when a key follows, cuts its name short and ignores what
 * stands behind it: so headers are noted here.
 */
static void begin_section(struct conf_reader *reader, char *text)
{
    char *end = strchr(text, ']'), *rest = end ? end + 1 : text;

    end_section(reader);
    reader->section = SECTION_UNKNOWN;
    reader->section_line = reader->line;
    reader->section_damaged = false;
    size_t blanks = strspn(rest, " \t");
    if (!end || (rest[blanks] != '\0' && !(blanks && rest[blanks] == ';'))) {
        reader_fail_at(reader, reader->line, "a section is [NAME], alone on its line");
        return;
    }
    size_t size = (size_t)(end - text), keyword = strcspn(text, " \t]");
    if (size == 6 && memcmp(text, "server", 6) == 0) {
        if (reader->server_seen)
            reader_fail_at(reader, reader->line, "repeated section [server]");
        reader->server_seen = true;
        reader->section = SECTION_SERVER;
    } else if ((keyword == 6 && memcmp(text, "listen", 6) == 0) || (keyword == 4 && memcmp(text, "pool", 4) == 0)) {
        reader->section = keyword == 6 ? SECTION_LISTEN : SECTION_POOL;
        text += keyword + strspn(text + keyword, " \t");
        snprintf(reader->name, sizeof(reader->name), "%.*s", (int)(end - text), text);
    } else {
        reader_fail_at(reader, reader->line,
                       "unknown section [%.*s]; there are [server], [pool NAME] and [listen NAME]", (int)size, text);
    }
}

/* A line of the section is lost, and nobody can tell which key it held: none is said to be missing. */
#define lose_line(reader, ...)                                                                                         \
    (reader_fail_at(reader, (reader)->line, __VA_ARGS__), (void)((reader)->section_damaged = true))

/* The library ends a value at a ';' that follows a blank. Here only whole lines are comments: the value is noted. */
static void give_line(struct conf_reader *reader, char *line, size_t size, const char *text)
{
    reader->value = text + strcspn(text, "=:");
    reader->value += *reader->value ? 1 + strspn(reader->value + 1, " \t\r\f\v") : 0;
    snprintf(line, size, "%s\n", text);
}

/*
 * fgets() for the INI library: counts lines, and strips indentation, which the library would take for a continuation.
 * What is wrong with a line is kept, and the library is given an empty one.
 */
static char *read_line(char *line, int size, void *user)
{
    struct conf_reader *reader = user;
    char *begin = reader->text + reader->taken;

    if (reader->taken == reader->size)
        return NULL;
    char *end = memchr(begin, '\n', reader->size - reader->taken);
    reader->taken = end ? (size_t)(end + 1 - reader->text) : reader->size;
    end = end ? end : reader->text + reader->size;
    reader->line++;
    strlcpy(line, "\n", (size_t)size);
    if (memchr(begin, '\0', (size_t)(end - begin))) {
        lose_line(reader, "the line contains a NUL byte");
        return line;
    }
    *end = '\0'; /* there is room for it behind the last line, too */
    if (reader->line == 1 && strncmp(begin, "\xEF\xBB\xBF", 3) == 0)
        begin += 3;
    begin += strspn(begin, " \t\r\f\v");
    while (end > begin && strchr(" \t\r\f\v", end[-1]))
        *--end = '\0';
    if (*begin == '#' || *begin == ';')
        return line;
    if (*begin == '[')
        begin_section(reader, begin + 1);
    else if (end - begin > LINE_LENGTH_MAX)
        lose_line(reader, "line longer than %d characters", LINE_LENGTH_MAX);
    else if (*begin && !strpbrk(begin, "=:"))
        lose_line(reader, "%s", not_a_line);
    else
        give_line(reader, line, (size_t)size, begin);
    return line;
}

/* Add to what stands in `value`; an error when it has no room. */
static void append(struct conf_reader *reader, char *value, const char *text, size_t size)
{
    size_t used = strlen(value);

    if (used + size >= CONF_VALUE_SIZE) {
        reader_fail_at(reader, reader->line, "value longer than %d characters", CONF_VALUE_SIZE - 1);
        return;
    }
    memcpy(value + used, text, size);
    value[used + size] = '\0';
}

/* "${NAME}" is what the environment says; "$${" is "${". */
static void substitute(struct conf_reader *reader, char *value, const char *text)
{
    value[0] = '\0';
    for (const char *at = text; *at;) {
        const char *open = strstr(at, "${"), *close = open ? strchr(open, '}') : NULL;
        bool escaped = open && open > at && open[-1] == '$';
        if (!open) {
            append(reader, value, at, strlen(at));
            return;
        }
        append(reader, value, at, (size_t)(open - at) - escaped);
        if (escaped) {
            append(reader, value, "${", 2);
            at = open + 2;
            continue;
        }
        char name[CONF_VALUE_SIZE];
        snprintf(name, sizeof(name), "%.*s", close ? (int)(close - open - 2) : 0, open + 2);
        const char *set = getenv(name);
        if (!close)
            reader_fail_at(reader, reader->line, "'${' without '}'");
        else if (!set)
            reader_fail_at(reader, reader->line, "${%s} is not set in the environment", name);
        else if (strpbrk(set, "\n\r"))
            reader_fail_at(reader, reader->line, "${%s} has more than one line", name);
        else
            append(reader, value, set, strlen(set));
        at = close ? close + 1 : open + 2;
    }
}

/* Always returns 1, "go on": the library's own count of errors is for lines that make no sense to it. */
static int add_row(void *user, const char *section, const char *name, const char *cut_value)
{
    struct conf_reader *reader = user;
    const struct conf_row *same = reader_find_row(reader, name);
    const char *value = reader->value;

    (void)section; /* headers are not handed to the library */
    (void)cut_value;
    if (*name == '\0')
        reader_fail_at(reader, reader->line, "there is no name before the '='");
    else if (reader->section == SECTION_NONE)
        reader_fail_at(reader, reader->line, "key '%s' stands outside any section", name);
    else if (same)
        reader_fail_at(reader, reader->line, "repeated key '%s', see line %d", name, same->line);
    else if (reader->row_count == CONF_ROWS_MAX)
        reader_fail_at(reader, reader->line, "too many keys in one section");
    else if (strlen(name) + strlen(" = ") + strlen(value) > LINE_LENGTH_MAX) /* what is printed must be readable */
        reader_fail_at(reader, reader->line, "line longer than %d characters, with blanks around the '='",
                       LINE_LENGTH_MAX);
    else {
        struct conf_row *row = &reader->rows[reader->row_count++];
        row->line = reader->line;
        strlcpy(row->name, name, sizeof(row->name));
        substitute(reader, row->value, value);
    }
    return 1;
}

static int copy_builtin(struct conf_reader *reader)
{
    reader->size = strlcpy(reader->text, conf_builtin_text, FILE_MAX);
    return 0;
}

/* A pipe without a writer, or a terminal, would keep whoever reads it waiting. -1 with a sentence. */
static int open_file(struct conf_reader *reader)
{
    const struct conf_source *source = reader->source;
    int fd = open(source->path, O_RDONLY | O_NOCTTY | O_CLOEXEC | (source->any_file ? 0 : O_NONBLOCK));
    struct stat status;

    if (fd >= 0 && (source->any_file || (fstat(fd, &status) == 0 && S_ISREG(status.st_mode))))
        return fd;
    snprintf(reader->error, reader->error_size, "%s: %s", source->path,
             fd < 0 ? strerror(errno) : "is not a regular file");
    if (fd >= 0)
        close(fd);
    return -1;
}

/* The whole file, into memory. */
static int slurp(struct conf_reader *reader)
{
    const char *path = reader->source->path;
    int fd = open_file(reader);
    ssize_t size = 1;

    if (fd < 0)
        return -1;
    while (size > 0 && reader->size <= FILE_MAX) {
        size = read(fd, reader->text + reader->size, FILE_MAX + 1 - reader->size);
        if (size > 0)
            reader->size += (size_t)size;
    }
    if (size < 0)
        snprintf(reader->error, reader->error_size, "%s: %s", path, strerror(errno));
    else if (reader->size > FILE_MAX)
        snprintf(reader->error, reader->error_size, "%s: larger than %d bytes", path, FILE_MAX);
    close(fd);
    return size < 0 || reader->size > FILE_MAX ? -1 : 0;
}

static int take_text(struct conf_reader *reader)
{
    struct conf *conf = reader->conf;

    if (!reader->source->text) {
        bool is_builtin = reader->source->path == conf_builtin_name;
        if ((is_builtin ? copy_builtin(reader) : slurp(reader)) < 0 ||
            (!is_builtin && include_expand(reader, FILE_MAX) < 0))
            return -1;
    } else {
        reader->size = reader->source->text_size < FILE_MAX ? reader->source->text_size : FILE_MAX;
        memcpy(reader->text, reader->source->text, reader->size);
    }
    conf->text = malloc(reader->size + 1);
    if (!conf->text) {
        snprintf(reader->error, reader->error_size, "%s: out of memory", reader->source->path);
        return -1;
    }
    memcpy(conf->text, reader->text, reader->size); /* reading cuts it into lines */
    conf->text_size = reader->size;
    return 0;
}

static int read_file(struct conf_reader *reader)
{
    if (take_text(reader) < 0)
        return -1;
    int syntax_line = ini_parse_stream(read_line, reader, add_row, reader);
    end_section(reader);
    if (syntax_line < 0) {
        snprintf(reader->error, reader->error_size, "%s: out of memory", reader->source->path);
        return -1;
    }
    if (syntax_line > 0)
        reader_fail_at(reader, syntax_line, "%s", not_a_line);
    apply_pools(reader);
    runtime_bind(reader);
    if (reader->failed_line == 0 && reader->conf->listener_count == 0)
        reader_fail_at(reader, reader->line ? reader->line : 1, "there is no [listen NAME] section: nothing to serve");
    return reader->failed_line ? -1 : 0;
}

int conf_load_from(struct conf *conf, const struct conf_source *source, char *error, size_t error_size)
{
    struct conf_reader reader = {.conf = conf, .source = source, .error = error, .error_size = error_size};
    int result = -1;

    memset(conf, 0, sizeof(*conf));
    conf->pool_count = 1;
    strlcpy(conf->pools[0].name, "main", sizeof(conf->pools[0].name));
    conf->listeners = calloc(CONF_LISTENERS_MAX, sizeof(*conf->listeners));
    reader.text = malloc(FILE_MAX + 2);
    if (!conf->listeners || !reader.text)
        snprintf(error, error_size, "%s: %s", source->path, strerror(errno));
    else if (option_defaults(conf_server_options, conf, error, error_size) == 0)
        result = read_file(&reader);
    free(reader.text);
    include_free(&reader);
    if (result < 0)
        conf_free(conf);
    return result;
}

int conf_load(struct conf *conf, const char *path, char *error, size_t error_size)
{
    const struct conf_source source = {.path = path, .resolver = &resolve_system, .any_file = true};

    return conf_load_from(conf, &source, error, error_size);
}

void conf_disable(struct conf *conf, const char *name, bool disabled)
{
    for (unsigned i = 0; i < conf->listener_count; i++) {
        uint64_t bit = UINT64_C(1) << i;
        if (strcmp(conf->listeners[i].name, name) == 0 && !conf->listeners[i].service->operates)
            conf->disabled = disabled ? conf->disabled | bit : conf->disabled & ~bit;
    }
}

const char *conf_place(const struct conf *conf, const struct listener_config *listener, char place[CONF_PLACE_SIZE])
{
    const char *known = conf->places[listener ? listener - conf->listeners : CONF_LISTENERS_MAX];

    snprintf(place, CONF_PLACE_SIZE, "%s%s", known ? known : "", known ? ": " : "");
    return place;
}

void conf_free(struct conf *conf)
{
    for (unsigned i = 0; i <= CONF_LISTENERS_MAX; i++)
        free(conf->places[i]);
    for (unsigned i = 0; conf->listeners && i < conf->listener_count; i++) {
        const struct listener_config *listener = &conf->listeners[i];
        if (listener->service && listener->service->unconfigure && listener->service_config)
            listener->service->unconfigure(listener->service_config);
        free(listener->service_config);
    }
    free(conf->listeners);
    free(conf->text);
    memset(conf, 0, sizeof(*conf));
}
