#include "master/conf/apply.h"
#include "common/account.h"
#include "common/host.h"
#include "common/log.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bsd/string.h>

/* Line of `key` if it stands in the section, else of `other`, else of the section's header. */
static int line_of(const struct conf_reader *reader, const char *key, const char *other)
{
    const struct conf_row *row = key ? reader_find_row(reader, key) : NULL;

    if (!row && other)
        row = reader_find_row(reader, other);
    return row ? row->line : reader->section_line;
}

int apply_row(struct conf_reader *reader, const struct option_row *option, const struct conf_row *row, void *base)
{
    char error[256];

    if (option_set(option, row->value, base, error, sizeof(error)) == 0)
        return 0;
    return reader_fail_at(reader, row->line, "%s = %s: %s", row->name, row->value, error);
}

/* Note where it stands; without memory nobody will know. */
static void keep_place(struct conf_reader *reader, unsigned number, int line)
{
    const struct conf_place place = reader_place(reader, line);
    size_t size = strlen(place.path) + 16;

    free(reader->conf->places[number]);
    reader->conf->places[number] = malloc(size);
    if (reader->conf->places[number])
        snprintf(reader->conf->places[number], size, "%s:%d", place.path, place.line);
}

/* ---- unknown keys ---- */

/* How many characters have to be inserted, dropped or replaced to turn one name into the other (Levenshtein). */
static size_t distance(const char *a, const char *b)
{
    size_t row[CONF_NAME_SIZE], size = strlen(b);

    for (size_t j = 0; j <= size; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= size; j++) {
            size_t replace = diagonal + (a[i - 1] != b[j - 1]);
            size_t shift = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = replace < shift ? replace : shift;
        }
    }
    return row[size];
}

/* The name in `table` that `name` was probably meant to be, if it is nearer than `*nearest` edits. */
static void suggest(const struct option_row *table, const char *name, const char **best, size_t *nearest)
{
    for (const struct option_row *row = table; row && row->name; row++) {
        size_t edits = strlen(row->name) < CONF_NAME_SIZE ? distance(name, row->name) : *nearest;
        if (edits < *nearest && edits < strlen(row->name)) {
            *nearest = edits;
            *best = row->name;
        }
    }
}

int apply_unknown_key(struct conf_reader *reader, const struct conf_row *row, const char *where,
                      const struct option_row *table, const struct option_row *more)
{
    const char *best = NULL;
    size_t nearest = 3;

    suggest(table, row->name, &best, &nearest);
    suggest(more, row->name, &best, &nearest);
    if (best)
        return reader_fail_at(reader, row->line, "unknown key '%s' in %s; did you mean '%s'?", row->name, where, best);
    return reader_fail_at(reader, row->line, "unknown key '%s' in %s", row->name, where);
}

/* ---- [server] ---- */

/* A file that two of them write would lose what one has written: the statistics and the pid replace what is there. */
static int check_files(struct conf_reader *reader)
{
    const struct conf *conf = reader->conf;
    const struct {
        const char *key, *path, *other_key, *other_path;
    } pairs[] = {
        {"stats_file", conf->stats_file, "log", conf->log},
        {"pidfile", conf->pidfile, "log", conf->log},
        {"pidfile", conf->pidfile, "stats_file", conf->stats_file},
    };

    for (unsigned i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        const struct conf_row *row = reader_find_row(reader, pairs[i].key);
        const struct conf_row *other = reader_find_row(reader, pairs[i].other_key);
        if (row && other && conf_is_same_file(pairs[i].path, pairs[i].other_path))
            return reader_fail_at(reader, row->line > other->line ? row->line : other->line,
                                  "%s = %s: that is the file of %s, too", pairs[i].key, pairs[i].path,
                                  pairs[i].other_key);
    }
    return 0;
}

int apply_server(struct conf_reader *reader)
{
    reader->pool_lines[0] = line_of(reader, "cpus", NULL);
    keep_place(reader, CONF_LISTENERS_MAX, line_of(reader, "log", NULL));
    for (unsigned i = 0; i < reader->row_count; i++) {
        const struct conf_row *row = &reader->rows[i];
        const struct option_row *option = option_find(conf_server_options, row->name);
        if (!option)
            return apply_unknown_key(reader, row, "[server]", conf_server_options, NULL);
        if (apply_row(reader, option, row, reader->conf) < 0)
            return -1;
    }
    const struct pool_config *pool = &reader->conf->pools[0];
    if (pool->adopt_after_ms >= pool->watchdog_timeout_ms)
        return reader_fail_at(reader, line_of(reader, "adopt_after", "watchdog_timeout"),
                              "adopt_after is not below watchdog_timeout");
    return check_files(reader);
}

/* ---- [listen NAME] ---- */

static const struct service *find_service(const char *name)
{
    for (const struct service *const *service = services; *service; service++)
        if (strcmp((*service)->name, name) == 0)
            return *service;
    return NULL;
}

/* The service of the section that is being read; NULL: there is none of its name. */
static const struct service *service_of_section(const struct conf_reader *reader)
{
    const struct service *service = find_service(reader_find_row(reader, "service")->value);
    const struct conf_row *row = service && service->variant ? reader_find_row(reader, service->variant_key) : NULL;

    return row && strcmp(row->value, "on") == 0 ? find_service(service->variant) : service;
}

static int unknown_service(struct conf_reader *reader, const struct conf_row *row)
{
    char known[256] = "";

    for (const struct service *const *service = services; *service; service++) {
        strlcat(known, *known ? ", " : "", sizeof(known));
        strlcat(known, (*service)->name, sizeof(known));
    }
    return reader_fail_at(reader, row->line, "unknown service '%s'; there are: %s", row->value, known);
}

/* The listener that has `address` or one that collides with it: another one, or the one that is being read. */
static const struct listener_config *owner_of(const struct conf *conf, const struct sock_address *address)
{
    for (unsigned i = 0; i < conf->listener_count; i++)
        for (unsigned j = 0; j < conf->listeners[i].address_count; j++)
            if (sock_same(&conf->listeners[i].addresses[j], address))
                return &conf->listeners[i];
    return NULL;
}

/* Two words may mean the same address as long as one of them is a name: nobody knows what a name stands for. */
static bool has_already(const struct conf_reader *reader, const struct listener_config *listener,
                        const struct sock_address *address, bool named)
{
    for (unsigned i = 0; i < listener->address_count; i++)
        if ((named || reader->named[i]) && sock_equal(&listener->addresses[i], address))
            return true;
    return false;
}

static int add_address(struct conf_reader *reader, const struct conf_row *row, struct listener_config *listener,
                       const struct sock_address *address, bool named)
{
    if (has_already(reader, listener, address, named))
        return 0;
    if (listener->address_count == LISTENER_ADDRESSES_MAX)
        return reader_fail_at(reader, row->line, "more than %d addresses", LISTENER_ADDRESSES_MAX);
    const struct listener_config *owner = owner_of(reader->conf, address);
    if (owner)
        return reader_fail_at(reader, row->line, "duplicate address %s: [listen %s] has it", address->text,
                              owner->name);
    reader->named[listener->address_count] = named;
    listener->addresses[listener->address_count++] = *address;
    return 0;
}

/* A name often stands for an IPv6 address, too, where the machine has none: no reason not to serve the others. */
static bool can_bind(const struct conf_reader *reader, const struct conf_row *row, const char *word,
                     const struct sock_address *address)
{
    if (host_probe(address) == 0 || (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL))
        return true;
    const struct conf_place place = reader_place(reader, row->line);
    log_warn("%s:%d: bind = %s: not on %s: %s", place.path, place.line, word, address->text, strerror(errno));
    return false;
}

/* All addresses of a name, each as an address of its own. */
static int add_name(struct conf_reader *reader, const struct conf_row *row, struct listener_config *listener,
                    struct sock_address *address)
{
    char host[RESOLVE_HOST_SIZE], word[SOCK_TEXT_SIZE];
    struct resolve_answer answer;
    bool any = false;

    strlcpy(word, address->text, sizeof(word));
    if (!reader->source->resolver->ask(reader->source->resolver, sock_host(address, host, sizeof(host)), &answer))
        return 0;
    if (answer.count == 0)
        return reader_fail_at(reader, row->line, "bind = %s: cannot resolve '%s': %s", word, host, answer.error);
    resolve_apply(address, &answer);
    for (unsigned i = 0; i < sock_count(address); i++) {
        struct sock_address one = sock_nth(address, i);
        sock_format(&one.any, one.size, one.text, sizeof(one.text));
        if (!can_bind(reader, row, word, &one))
            continue;
        any = true;
        if (add_address(reader, row, listener, &one, true) < 0)
            return -1;
    }
    return any ? 0 : reader_fail_at(reader, row->line, "bind = %s: this machine has none of its addresses", word);
}

int apply_bind(struct conf_reader *reader, const struct conf_row *row, struct listener_config *listener)
{
    char text[CONF_VALUE_SIZE], *rest = text, error[256];

    keep_place(reader, (unsigned)(listener - reader->conf->listeners), row->line);
    strlcpy(text, row->value, sizeof(text));
    for (char *word; (word = strsep(&rest, ", \t"));) {
        struct sock_address address;
        if (*word == '\0')
            continue;
        strlcat(listener->bind, *listener->bind ? " " : "", sizeof(listener->bind));
        strlcat(listener->bind, word, sizeof(listener->bind));
        if (sock_parse(&address, word, error, sizeof(error)) < 0)
            return reader_fail_at(reader, row->line, "bind = %s: %s", word, error);
        if (listener->service && listener->service->operates && address.any.sa_family != AF_UNIX)
            return reader_fail_at(reader, row->line, "bind = %s: service = %s is served on unix sockets alone", word,
                                  listener->service->name);
        int result = sock_is_unresolved(&address) ? add_name(reader, row, listener, &address)
                                                  : add_address(reader, row, listener, &address, false);
        if (result < 0)
            return -1;
    }
    return *listener->bind ? 0 : reader_fail_at(reader, row->line, "bind needs an address");
}

static int set_defaults(struct conf_reader *reader, struct listener_config *listener)
{
    const struct option_row *own = listener->service ? listener->service->options : NULL;
    char error[256];

    if (option_defaults(conf_listen_options, listener, error, sizeof(error)) < 0 ||
        option_defaults(own, listener->service_config, error, sizeof(error)) < 0)
        return reader_fail_at(reader, reader->section_line, "%s", error);
    if (!listener->service)
        return 0;
    if (listener->service->max_frame)
        listener->max_frame = listener->service->max_frame;
    if (listener->service->idle_timeout_ms)
        listener->idle_timeout_ms = listener->service->idle_timeout_ms;
    return 0;
}

static int apply_listen_row(struct conf_reader *reader, const struct conf_row *row, struct listener_config *listener)
{
    const struct option_row *own_options = listener->service ? listener->service->options : NULL;
    const struct option_row *own = option_find(own_options, row->name);
    const struct option_row *general = option_find(conf_listen_options, row->name);
    char where[CONF_NAME_SIZE + 16];

    if (strcmp(row->name, "bind") == 0)
        return apply_bind(reader, row, listener);
    if (strcmp(row->name, "service") == 0)
        return listener->service ? 0 : unknown_service(reader, row);
    if (own)
        return apply_row(reader, own, row, listener->service_config);
    if (general) {
        reader->listener_keys[listener->index] |= 1U << (general - conf_listen_options);
        return apply_row(reader, general, row, listener);
    }
    if (!listener->service)
        return 0; /* nobody can tell whether it is one of the service's */
    snprintf(where, sizeof(where), "[listen %s]", listener->name);
    return apply_unknown_key(reader, row, where, conf_listen_options, own_options);
}

/* ---- addresses to connect to ---- */

static void warn_of_families(const struct conf_reader *reader, int line, const char *key,
                             const struct sock_address *address)
{
    const struct conf_place place = reader_place(reader, line);

    for (unsigned i = 0; i < sock_count(address); i++) {
        struct sock_address one = sock_nth(address, i);
        char text[SOCK_TEXT_SIZE];
        if (host_probe(&one) < 0 && errno == EAFNOSUPPORT)
            log_warn("%s:%d: %s = %s: %s cannot be reached from here: %s", place.path, place.line, key, address->text,
                     sock_format(&one.any, one.size, text, sizeof(text)), strerror(EAFNOSUPPORT));
    }
}

static int resolve_target(struct conf_reader *reader, int line, const char *key, struct sock_address *address)
{
    char host[RESOLVE_HOST_SIZE];
    struct resolve_answer answer;

    if (!reader->source->resolver->ask(reader->source->resolver, sock_host(address, host, sizeof(host)), &answer))
        return 0;
    if (answer.count > 0) {
        resolve_apply(address, &answer);
        warn_of_families(reader, line, key, address);
        return 0;
    }
    if (!reader->source->lenient)
        return reader_fail_at(reader, line, "%s = %s: cannot resolve '%s': %s", key, address->text, host, answer.error);
    const struct conf_place place = reader_place(reader, line);
    log_warn("%s:%d: %s = %s: cannot resolve '%s': %s; it is tried again", place.path, place.line, key, address->text,
             host, answer.error);
    return 0;
}

/* A listener whose upstream is itself would breed connections until nothing is left of the machine. */
static int check_target(struct conf_reader *reader, int line, const char *key, const struct sock_address *address,
                        const struct listener_config *listener)
{
    for (unsigned i = 0; i < sock_count(address); i++)
        for (unsigned j = 0; j < listener->address_count; j++) {
            struct sock_address one = sock_nth(address, i);
            if (host_leads_to(&one, &listener->addresses[j]))
                return reader_fail_at(reader, line, "%s = %s: that is [listen %s] itself, which listens on %s", key,
                                      address->text, listener->name, listener->addresses[j].text);
        }
    return 0;
}

static int check_targets(struct conf_reader *reader, const struct listener_config *listener)
{
    for (const struct option_row *row = listener->service->options; row && row->name; row++) {
        struct sock_address *address = (struct sock_address *)((char *)listener->service_config + row->offset);
        int line = line_of(reader, row->name, NULL);
        if (row->type != OPTION_ADDRESS || address->text[0] == '\0')
            continue;
        if (sock_is_unresolved(address) && resolve_target(reader, line, row->name, address) < 0)
            return -1;
        if (check_target(reader, line, row->name, address, listener) < 0)
            return -1;
    }
    return 0;
}

/* ---- what one row cannot see ---- */

/*
 * The default of max_output grows with max_frame: a reply as long as the largest message must fit behind what may be
 * queued before reading stops, or an accepted message could end its session. A written max_output stays, and a
 * high_water above the default remains an error.
 */
static void derive_max_output(const struct conf_reader *reader, struct listener_config *listener)
{
    const uint64_t needed = (uint64_t)listener->max_frame + listener->high_water + 4096;

    if (reader_find_row(reader, "max_output") || listener->high_water > listener->max_output)
        return;
    if (needed > listener->max_output)
        listener->max_output = (uint32_t)needed;
}

static int check_listener(struct conf_reader *reader, struct listener_config *listener)
{
    struct option_error service_error = {0};
    char error[128];

    if (listener->low_water > listener->high_water)
        reader_fail_at(reader, line_of(reader, "low_water", "high_water"), "low_water is above high_water");
    if (listener->high_water > listener->max_output)
        reader_fail_at(reader, line_of(reader, "high_water", "max_output"), "high_water is above max_output");
    if (account_user(listener->unix_user, &listener->unix_uid, error, sizeof(error)) < 0)
        reader_fail_at(reader, line_of(reader, "unix_user", NULL), "unix_user = %s: %s", listener->unix_user, error);
    if (account_group(listener->unix_group, &listener->unix_gid, error, sizeof(error)) < 0)
        reader_fail_at(reader, line_of(reader, "unix_group", NULL), "unix_group = %s: %s", listener->unix_group, error);
    check_targets(reader, listener);
    if (listener->service->configure && listener->service->configure(listener->service_config, &service_error) < 0)
        reader_fail_at(reader, line_of(reader, service_error.key, NULL), "%s", service_error.why);
    return reader->failed_line ? -1 : 0;
}

static int check_name(struct conf_reader *reader)
{
    if (*reader->name == '\0' || strlen(reader->name) >= LISTENER_NAME_SIZE ||
        reader->name[strspn(reader->name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")] != '\0')
        return reader_fail_at(reader, reader->section_line, "a listener's name is 1 to %d letters, digits, '-' or '_'",
                              LISTENER_NAME_SIZE - 1);
    for (unsigned i = 0; i < reader->conf->listener_count; i++)
        if (strcmp(reader->conf->listeners[i].name, reader->name) == 0)
            return reader_fail_at(reader, reader->section_line, "repeated section [listen %s]", reader->name);
    if (reader->conf->listener_count == CONF_LISTENERS_MAX)
        return reader_fail_at(reader, reader->section_line, "more than %d listeners", CONF_LISTENERS_MAX);
    return 0;
}

static int check_mandatory(struct conf_reader *reader)
{
    const struct conf_row *service = reader_find_row(reader, "service");
    const struct service *known = service ? find_service(service->value) : NULL;
    bool bind = reader_find_row(reader, "bind");

    if (reader->section_damaged)
        return bind && service ? 0 : -1;
    if (!bind && !(known && known->operates)) /* that has a socket in runtime_dir */
        return reader_fail_at(reader, reader->section_line, "[listen %s] needs an address: bind = ADDR:PORT",
                              reader->name);
    if (!service)
        return reader_fail_at(reader, reader->section_line, "[listen %s] needs a service: service = NAME",
                              reader->name);
    return 0;
}

int apply_listen(struct conf_reader *reader)
{
    struct conf *conf = reader->conf;

    if (check_name(reader) < 0 || check_mandatory(reader) < 0)
        return -1;
    struct listener_config *listener = &conf->listeners[conf->listener_count];
    reader->listener_lines[conf->listener_count] = reader->section_line;
    reader->listener_pool_lines[conf->listener_count] = line_of(reader, "pool", NULL);
    listener->index = listener->position = conf->listener_count++; /* conf_free() takes care of it from here on */
    strlcpy(listener->name, reader->name, sizeof(listener->name));
    listener->service = service_of_section(reader);
    listener->service_config = calloc(1, listener->service ? listener->service->config_size + 1 : 1);
    if (!listener->service_config)
        return reader_fail_at(reader, reader->section_line, "out of memory");
    if (set_defaults(reader, listener) < 0)
        return -1;
    for (unsigned i = 0; i < reader->row_count; i++)
        if (apply_listen_row(reader, &reader->rows[i], listener) < 0)
            return -1;
    derive_max_output(reader, listener);
    return check_listener(reader, listener);
}
