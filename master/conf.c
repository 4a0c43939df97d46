#include "master/conf.h"
#include "common/log.h"
#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bsd/string.h>

const struct option_row conf_server_options[] = {
    {.name = "workers",
     .type = OPTION_INT,
     .offset = offsetof(struct conf, workers),
     .min = 1,
     .max = CONF_WORKERS_MAX,
     .zero = "auto",
     .value = "auto",
     .help = "worker processes; auto: one per online CPU"},
    {.name = "max_sessions",
     .type = OPTION_INT,
     .offset = offsetof(struct conf, max_sessions),
     .min = 1,
     .max = 1000000,
     .value = "100000",
     .help = "sessions open at the same time in one worker; accepting pauses there"},
    {.name = "drain_timeout",
     .type = OPTION_TIME,
     .offset = offsetof(struct conf, drain_timeout_ms),
     .min = 0,
     .max = 3600 * 1000,
     .value = "30s",
     .help = "how long sessions may finish what they are doing when the server stops"},
    {.name = "linger_timeout",
     .type = OPTION_TIME,
     .offset = offsetof(struct conf, linger_timeout_ms),
     .min = 0,
     .max = 60 * 1000,
     .value = "2s",
     .help = "how long a client that we closed may take to read our last words and close too"},
    {.name = "log",
     .type = OPTION_STRING,
     .offset = offsetof(struct conf, log),
     .value = "stderr",
     .help = "where the log goes: stderr, syslog, or the path of a file"},
    {.name = "log_level",
     .type = OPTION_ENUM,
     .offset = offsetof(struct conf, log_level),
     .choices = LOG_LEVEL_CHOICES,
     .value = "info",
     .help = "the least important lines that are logged"},
    {.name = "stats_file",
     .type = OPTION_STRING,
     .offset = offsetof(struct conf, stats_file),
     .help = "a file that SIGUSR1 replaces with the statistics as JSON; empty: none"},
    {.name = "pidfile",
     .type = OPTION_STRING,
     .offset = offsetof(struct conf, pidfile),
     .help = "a file with the master's pid, locked while it runs; empty: none"},
    {0},
};

const struct option_row conf_listen_options[] = {
    {.name = "backlog",
     .type = OPTION_INT,
     .offset = offsetof(struct listener_config, backlog),
     .min = 1,
     .max = 65535,
     .value = "4096",
     .help = "connections that may wait to be accepted, per address and worker; the kernel's somaxconn caps it"},
    {.name = "idle_timeout",
     .type = OPTION_TIME,
     .offset = offsetof(struct listener_config, idle_timeout_ms),
     .min = 10,
     .max = 24 * 3600 * 1000,
     .zero = "off",
     .value = "off",
     .help = "a session without a byte moved for so long is closed"},
    {.name = "max_frame",
     .type = OPTION_SIZE,
     .offset = offsetof(struct listener_config, max_frame),
     .min = 16,
     .max = 64 << 20,
     .value = "64k",
     .help = "the largest message: a line without its end, a frame with its length field"},
    {.name = "high_water",
     .type = OPTION_SIZE,
     .offset = offsetof(struct listener_config, high_water),
     .min = 1 << 10,
     .max = 256 << 20,
     .value = "256k",
     .help = "unsent bytes of a connection at which reading from whoever causes them stops"},
    {.name = "low_water",
     .type = OPTION_SIZE,
     .offset = offsetof(struct listener_config, low_water),
     .min = 0,
     .max = 256 << 20,
     .value = "64k",
     .help = "unsent bytes at which it resumes"},
    {.name = "max_output",
     .type = OPTION_SIZE,
     .offset = offsetof(struct listener_config, max_output),
     .min = 4 << 10,
     .max = 1 << 30,
     .value = "16m",
     .help = "unsent bytes at which a session is closed"},
    {0},
};

/* ---- reading ---- */

enum { ROWS_MAX = 64, NAME_SIZE = 64, VALUE_SIZE = OPTION_STRING_SIZE };

/* One `name = value` of the section that is being read. */
struct row {
    int line;
    char name[NAME_SIZE];
    char value[VALUE_SIZE];
};

struct reader {
    struct conf *conf;
    const char *path;
    FILE *file;
    int line;
    bool failed;     /* `why` holds the first error */
    int failed_line; /* where it is; 0: the file as a whole */
    char *why;
    size_t why_size;
    /* The section that is being read; applied when it ends. */
    char section[NAME_SIZE];
    int section_line;
    bool server_seen;
    unsigned row_count;
    struct row rows[ROWS_MAX];
};

static int fail_at(struct reader *reader, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Keep the first error. Returns -1. */
static int fail_at(struct reader *reader, int line, const char *format, ...)
{
    char sentence[384];
    va_list arguments;

    if (reader->failed)
        return -1;
    reader->failed = true;
    reader->failed_line = line;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof(sentence), format, arguments);
    va_end(arguments);
    snprintf(reader->why, reader->why_size, "%s:%d: %s", reader->path, line, sentence);
    return -1;
}

static const struct row *find_row(const struct reader *reader, const char *name)
{
    for (unsigned i = 0; i < reader->row_count; i++)
        if (strcmp(reader->rows[i].name, name) == 0)
            return &reader->rows[i];
    return NULL;
}

static int line_of(const struct reader *reader, const char *key)
{
    const struct row *row = key ? find_row(reader, key) : NULL;

    return row ? row->line : reader->section_line;
}

static int apply_row(struct reader *reader, const struct option_row *option, const struct row *row, void *base)
{
    char why[256];

    if (option_set(option, row->value, base, why, sizeof(why)) == 0)
        return 0;
    return fail_at(reader, row->line, "%s = %s: %s", row->name, row->value, why);
}

/* ---- [server] ---- */

static int apply_server(struct reader *reader)
{
    for (unsigned i = 0; i < reader->row_count; i++) {
        const struct row *row = &reader->rows[i];
        const struct option_row *option = option_find(conf_server_options, row->name);
        if (!option)
            return fail_at(reader, row->line, "unknown key '%s' in [server]", row->name);
        if (apply_row(reader, option, row, reader->conf) < 0)
            return -1;
    }
    return 0;
}

/* ---- [listen NAME] ---- */

static const struct service *find_service(const char *name)
{
    for (const struct service *const *service = services; *service; service++)
        if (strcmp((*service)->name, name) == 0)
            return *service;
    return NULL;
}

static int choose_service(struct reader *reader, struct listener_config *listener)
{
    const struct row *row = find_row(reader, "service");
    char known[256] = "";

    if (!row)
        return fail_at(reader, reader->section_line, "[%s] needs a service", reader->section);
    listener->service = find_service(row->value);
    if (listener->service)
        return 0;
    for (const struct service *const *service = services; *service; service++) {
        strlcat(known, *known ? ", " : "", sizeof(known));
        strlcat(known, (*service)->name, sizeof(known));
    }
    return fail_at(reader, row->line, "unknown service '%s'; there are: %s", row->value, known);
}

/* Another listener, or another address of the same one. */
static bool is_taken(const struct conf *conf, const struct sock_address *address)
{
    for (unsigned i = 0; i < conf->listener_count; i++)
        for (unsigned j = 0; j < conf->listeners[i].address_count; j++)
            if (sock_same(&conf->listeners[i].addresses[j], address))
                return true;
    return false;
}

static int add_addresses(struct reader *reader, struct listener_config *listener)
{
    const struct row *row = find_row(reader, "bind");
    char text[VALUE_SIZE], *rest = text, why[256];

    if (!row)
        return fail_at(reader, reader->section_line, "[%s] needs an address: bind = ADDR:PORT", reader->section);
    strlcpy(text, row->value, sizeof(text));
    for (char *word; (word = strsep(&rest, ", \t"));) {
        struct sock_address *address = &listener->addresses[listener->address_count];
        if (*word == '\0')
            continue;
        if (listener->address_count == LISTENER_ADDRESSES_MAX)
            return fail_at(reader, row->line, "more than %d addresses", LISTENER_ADDRESSES_MAX);
        if (sock_parse(address, word, why, sizeof(why)) < 0)
            return fail_at(reader, row->line, "bind = %s: %s", word, why);
        if (is_taken(reader->conf, address))
            return fail_at(reader, row->line, "duplicate address %s", word);
        listener->address_count++;
    }
    if (listener->address_count == 0)
        return fail_at(reader, row->line, "bind needs an address");
    return 0;
}

static void set_defaults(struct listener_config *listener)
{
    option_defaults(conf_listen_options, listener);
    option_defaults(listener->service->options, listener->service_config);
    if (listener->service->max_frame)
        listener->max_frame = listener->service->max_frame;
    if (listener->service->idle_timeout_ms)
        listener->idle_timeout_ms = listener->service->idle_timeout_ms;
}

static int apply_listen_rows(struct reader *reader, struct listener_config *listener)
{
    for (unsigned i = 0; i < reader->row_count; i++) {
        const struct row *row = &reader->rows[i];
        const struct option_row *general = option_find(conf_listen_options, row->name);
        const struct option_row *own = option_find(listener->service->options, row->name);
        if (strcmp(row->name, "bind") == 0 || strcmp(row->name, "service") == 0)
            continue;
        if (!general && !own)
            return fail_at(reader, row->line, "unknown key '%s' for a listener with service %s", row->name,
                           listener->service->name);
        if (apply_row(reader, own ? own : general, row, own ? listener->service_config : listener) < 0)
            return -1;
    }
    return 0;
}

static int check_listener(struct reader *reader, struct listener_config *listener)
{
    struct option_error error = {0};

    if (listener->low_water > listener->high_water)
        return fail_at(reader, line_of(reader, find_row(reader, "low_water") ? "low_water" : "high_water"),
                       "low_water is above high_water");
    if (listener->high_water > listener->max_output)
        return fail_at(reader, line_of(reader, find_row(reader, "high_water") ? "high_water" : "max_output"),
                       "high_water is above max_output");
    if (listener->service->configure && listener->service->configure(listener->service_config, &error) < 0)
        return fail_at(reader, line_of(reader, error.key), "%s", error.why);
    return 0;
}

static int check_name(struct reader *reader, const char *name)
{
    if (*name == '\0' || strlen(name) >= LISTENER_NAME_SIZE ||
        name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")] != '\0')
        return fail_at(reader, reader->section_line, "a listener's name is 1 to %d letters, digits, '-' or '_'",
                       LISTENER_NAME_SIZE - 1);
    for (unsigned i = 0; i < reader->conf->listener_count; i++)
        if (strcmp(reader->conf->listeners[i].name, name) == 0)
            return fail_at(reader, reader->section_line, "repeated section [listen %s]", name);
    if (reader->conf->listener_count == STATS_LISTENERS_MAX)
        return fail_at(reader, reader->section_line, "more than %d listeners", STATS_LISTENERS_MAX);
    return 0;
}

static int apply_listen(struct reader *reader, const char *name)
{
    struct conf *conf = reader->conf;
    struct listener_config *listener = &conf->listeners[conf->listener_count];

    if (check_name(reader, name) < 0)
        return -1;
    *listener = (struct listener_config){.index = conf->listener_count};
    strlcpy(listener->name, name, sizeof(listener->name));
    if (choose_service(reader, listener) < 0)
        return -1;
    listener->service_config = calloc(1, listener->service->config_size ? listener->service->config_size : 1);
    conf->listener_count++; /* conf_free() takes care of it from here on */
    if (!listener->service_config)
        return fail_at(reader, reader->section_line, "out of memory");
    set_defaults(listener);
    if (add_addresses(reader, listener) < 0 || apply_listen_rows(reader, listener) < 0)
        return -1;
    return check_listener(reader, listener);
}

/* ---- the file ---- */

static void end_section(struct reader *reader)
{
    if (reader->failed || reader->section_line == 0)
        return;
    if (strcmp(reader->section, "server") == 0)
        apply_server(reader);
    else if (strncmp(reader->section, "listen ", 7) == 0)
        apply_listen(reader, reader->section + 7 + strspn(reader->section + 7, " \t"));
    reader->row_count = 0;
}

/* The INI library tells of a section only when a key follows, and cuts long names short: so headers are noted here. */
static void begin_section(struct reader *reader, const char *text)
{
    size_t size = strcspn(text, "]");

    end_section(reader);
    reader->section_line = reader->line;
    if (text[size] != ']') {
        fail_at(reader, reader->line, "a section ends with ']'");
    } else if (size >= 50) {
        fail_at(reader, reader->line, "the section's name is too long");
    } else {
        memcpy(reader->section, text, size);
        reader->section[size] = '\0';
        if (strcmp(reader->section, "server") == 0 && reader->server_seen)
            fail_at(reader, reader->line, "repeated section [server]");
        else if (strcmp(reader->section, "server") != 0 && strncmp(reader->section, "listen ", 7) != 0)
            fail_at(reader, reader->line, "unknown section [%s]; there are [server] and [listen NAME]",
                    reader->section);
        reader->server_seen |= strcmp(reader->section, "server") == 0;
    }
}

/* fgets() for the INI library: counts lines, and strips indentation, which the library would take for a continuation.
 */
static char *read_line(char *line, int size, void *user)
{
    struct reader *reader = user;

    if (reader->failed || !fgets(line, size, reader->file))
        return NULL;
    reader->line++;
    size_t length = strlen(line);
    int next = EOF;
    if (length == 0 || (line[length - 1] != '\n' && (next = getc(reader->file)) != EOF)) {
        if (length + 1 < (size_t)size && next != '\n')
            fail_at(reader, reader->line, "the line contains a NUL byte");
        else
            fail_at(reader, reader->line, "the line is longer than %d characters", size - 2);
        return NULL;
    }
    size_t indent = strspn(line, " \t\r\f\v");
    memmove(line, line + indent, length - indent + 1);
    const char *text = reader->line == 1 && strncmp(line, "\xEF\xBB\xBF", 3) == 0 ? line + 3 : line;
    if (*text == '[')
        begin_section(reader, text + 1);
    return reader->failed ? NULL : line;
}

static int add_row(void *user, const char *section, const char *name, const char *value)
{
    struct reader *reader = user;

    (void)section;
    if (reader->failed)
        return 1;
    if (reader->section_line == 0)
        return fail_at(reader, reader->line, "'%s' stands outside any section", name) == 0;
    const struct row *same = find_row(reader, name);
    if (same)
        return fail_at(reader, reader->line, "repeated key '%s', see line %d", name, same->line) == 0;
    if (reader->row_count == ROWS_MAX)
        return fail_at(reader, reader->line, "too many keys in one section") == 0;
    struct row *row = &reader->rows[reader->row_count++];
    row->line = reader->line;
    strlcpy(row->name, name, sizeof(row->name));
    strlcpy(row->value, value, sizeof(row->value));
    return 1;
}

static uint32_t online_cpus(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) < 0)
        return 1;
    return CPU_COUNT(&set) < CONF_WORKERS_MAX ? (uint32_t)CPU_COUNT(&set) : CONF_WORKERS_MAX;
}

static int read_file(struct reader *reader)
{
    int syntax_line = ini_parse_stream(read_line, reader, add_row, reader);

    if (!reader->failed && ferror(reader->file)) {
        reader->failed = true;
        snprintf(reader->why, reader->why_size, "%s: %s", reader->path, strerror(errno));
    }
    if (syntax_line > 0 && syntax_line < reader->failed_line)
        reader->failed = false; /* the library tells of its errors at the end; this one came first */
    if (!reader->failed && syntax_line > 0)
        fail_at(reader, syntax_line, "this is neither [section] nor name = value");
    end_section(reader);
    if (!reader->failed && reader->conf->listener_count == 0)
        fail_at(reader, reader->line ? reader->line : 1, "there is no [listen NAME] section: nothing to serve");
    return reader->failed ? -1 : 0;
}

static FILE *open_file(const char *path)
{
    FILE *file = fopen(path, "re");
    struct stat status;

    if (!file || fstat(fileno(file), &status) < 0 || !S_ISDIR(status.st_mode))
        return file;
    fclose(file);
    errno = EISDIR;
    return NULL;
}

int conf_load(struct conf *conf, const char *path, char *why, size_t why_size)
{
    struct reader reader = {.conf = conf, .path = path, .why = why, .why_size = why_size};

    memset(conf, 0, sizeof(*conf));
    conf->listeners = calloc(STATS_LISTENERS_MAX, sizeof(*conf->listeners));
    reader.file = conf->listeners ? open_file(path) : NULL;
    if (!reader.file) {
        snprintf(why, why_size, "%s: %s", path, strerror(errno));
        conf_free(conf);
        return -1;
    }
    option_defaults(conf_server_options, conf);
    int result = read_file(&reader);
    fclose(reader.file);
    if (result < 0)
        conf_free(conf);
    else if (conf->workers == 0)
        conf->workers = online_cpus();
    return result;
}

void conf_free(struct conf *conf)
{
    for (unsigned i = 0; conf->listeners && i < conf->listener_count; i++)
        free(conf->listeners[i].service_config);
    free(conf->listeners);
    memset(conf, 0, sizeof(*conf));
}

/* ---- printing ---- */

void conf_print(const struct conf *conf, FILE *out)
{
    fprintf(out, "[server]\n");
    option_print(out, conf_server_options, conf);
    for (unsigned i = 0; i < conf->listener_count; i++) {
        const struct listener_config *listener = &conf->listeners[i];
        fprintf(out, "\n[listen %s]\nbind =", listener->name);
        for (unsigned j = 0; j < listener->address_count; j++)
            fprintf(out, "%s %s", j ? "," : "", listener->addresses[j].text);
        fprintf(out, "\nservice = %s\n", listener->service->name);
        option_print(out, conf_listen_options, listener);
        option_print(out, listener->service->options, listener->service_config);
    }
}
