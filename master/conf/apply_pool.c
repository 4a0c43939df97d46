/*
 * Pools. What a pool or a listener does not say itself is what [server] says, which may stand behind it: so that is
 * filled in, and pools and listeners are brought together, when all sections have been read.
 */
#include "master/conf/apply.h"
#include <stdlib.h>
#include <string.h>

#include <bsd/string.h>

enum { SINGLE_DRAIN_MS = 2000 };

/* ---- a list of CPUs ---- */

/* A number below CPU_SETSIZE at the start of `*text`, which is moved behind it. -1: there is none. */
static int next_cpu(const char **text)
{
    char *end;

    if (**text < '0' || **text > '9')
        return -1;
    unsigned long cpu = strtoul(*text, &end, 10);
    *text = end;
    return cpu < CPU_SETSIZE ? (int)cpu : -1;
}

static bool parse_cpus(const char *text, cpu_set_t *set)
{
    CPU_ZERO(set);
    for (;;) {
        int first = next_cpu(&text), last = first;
        if (*text == '-') {
            text++;
            last = next_cpu(&text);
        }
        if (first < 0 || last < first)
            return false;
        for (int cpu = first; cpu <= last; cpu++)
            CPU_SET((unsigned)cpu, set);
        if (*text == '\0')
            return true;
        if (*text++ != ',')
            return false;
    }
}

static int check_cpus(struct conf_reader *reader, int line, struct pool_config *pool)
{
    cpu_set_t allowed, both;

    if (strcmp(pool->cpus, "off") == 0 || strcmp(pool->cpus, "auto") == 0)
        return 0;
    if (!parse_cpus(pool->cpus, &pool->cpu_set))
        return reader_fail_at(reader, line, "cpus = %s: must be a list of numbers and ranges like 0-3,6, auto or off",
                              pool->cpus);
    if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
        return 0;
    CPU_AND(&both, &allowed, &pool->cpu_set);
    if (CPU_COUNT(&both) > 0)
        return 0;
    return reader_fail_at(reader, line, "cpus = %s: the server may run on none of them", pool->cpus);
}

/* ---- [pool NAME] ---- */

static int check_name(struct conf_reader *reader)
{
    struct conf *conf = reader->conf;

    if (*reader->name == '\0' || strlen(reader->name) >= POOL_NAME_SIZE ||
        reader->name[strspn(reader->name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")] != '\0')
        return reader_fail_at(reader, reader->section_line, "a pool's name is 1 to %d letters, digits, '-' or '_'",
                              POOL_NAME_SIZE - 1);
    if (strcmp(reader->name, conf->pools[0].name) == 0)
        return reader_fail_at(reader, reader->section_line, "the pool '%s' is what [server] describes", reader->name);
    for (unsigned i = 1; i < conf->pool_count; i++)
        if (strcmp(conf->pools[i].name, reader->name) == 0)
            return reader_fail_at(reader, reader->section_line, "repeated section [pool %s]", reader->name);
    if (conf->pool_count == CONF_POOLS_MAX)
        return reader_fail_at(reader, reader->section_line, "more than %d pools", CONF_POOLS_MAX - 1);
    return 0;
}

int apply_pool(struct conf_reader *reader)
{
    struct conf *conf = reader->conf;
    char where[CONF_NAME_SIZE + 16];

    if (check_name(reader) < 0)
        return -1;
    unsigned index = conf->pool_count++;
    struct pool_config *pool = &conf->pools[index];
    strlcpy(pool->name, reader->name, sizeof(pool->name));
    pool->workers = 1;
    reader->pool_lines[index] = reader->section_line;
    snprintf(where, sizeof(where), "[pool %s]", pool->name);
    for (unsigned i = 0; i < reader->row_count; i++) {
        const struct conf_row *row = &reader->rows[i];
        const struct option_row *option = option_find(conf_pool_options, row->name);
        if (!option)
            return apply_unknown_key(reader, row, where, conf_pool_options, NULL);
        if (apply_row(reader, option, row, pool) < 0)
            return -1;
        reader->pool_keys[index] |= 1U << (option - conf_pool_options);
        if (strcmp(row->name, "cpus") == 0 && check_cpus(reader, row->line, pool) < 0)
            return -1;
    }
    return 0;
}

/* ---- all of them ---- */

static void inherit(struct pool_config *pool, const struct pool_config *server, unsigned keys)
{
    for (const struct option_row *row = conf_pool_options; row->name; row++) {
        if (row->value || keys & 1U << (row - conf_pool_options))
            continue;
        memcpy((char *)pool + row->offset, (const char *)server + row->offset, option_value_size(row->type));
        if (row->offset == offsetof(struct pool_config, cpus))
            pool->cpu_set = server->cpu_set;
        if (row->offset == offsetof(struct pool_config, drain_timeout_ms) && pool->single)
            pool->drain_timeout_ms = SINGLE_DRAIN_MS;
    }
}

static void inherit_of_listener(struct listener_config *listener, const struct conf *conf, unsigned keys)
{
    for (const struct option_row *row = conf_listen_options; row->name; row++) {
        const struct option_row *server = option_find(conf_server_options, row->name);
        if (server && !(keys & 1U << (row - conf_listen_options)))
            memcpy((char *)listener + row->offset, (const char *)conf + server->offset, option_value_size(row->type));
    }
}

static void find_pool(struct conf_reader *reader, unsigned index)
{
    struct listener_config *listener = &reader->conf->listeners[index];
    struct conf *conf = reader->conf;

    if (reader->failed_line) /* its keys, or the sections behind that line, have not been read */
        return;
    for (listener->pool = 0; listener->pool < conf->pool_count; listener->pool++)
        if (strcmp(conf->pools[listener->pool].name, listener->pool_name) == 0) {
            conf->pools[listener->pool].listener_count++;
            conf->pools[listener->pool].publishes |= listener->service && listener->service->published;
            conf->pools[listener->pool].operates |= listener->service && listener->service->operates;
            return;
        }
    listener->pool = 0;
    reader_fail_at(reader, reader->listener_pool_lines[index], "pool = %s: there is no [pool %s]", listener->pool_name,
                   listener->pool_name);
}

static void check_pool(struct conf_reader *reader, unsigned index)
{
    struct pool_config *pool = &reader->conf->pools[index];
    int line = reader->pool_lines[index];

    inherit(pool, &reader->conf->pools[0], reader->pool_keys[index]);
    if (pool->workers == 0)
        pool->workers = pool->single ? 1 : conf_online_cpus();
    if (pool->single && pool->workers > 1)
        reader_fail_at(reader, line, "[pool %s]: single = on with %u workers", pool->name, pool->workers);
    if (reader->failed_line == 0 && pool->adopt_after_ms >= pool->watchdog_timeout_ms)
        reader_fail_at(reader, line, "[pool %s]: adopt_after is not below watchdog_timeout", pool->name);
}

void apply_pools(struct conf_reader *reader)
{
    struct conf *conf = reader->conf;

    if (conf->pools[0].workers == 0)
        conf->pools[0].workers = conf_online_cpus();
    check_cpus(reader, reader->pool_lines[0], &conf->pools[0]);
    for (unsigned i = 0; i < conf->listener_count; i++) {
        inherit_of_listener(&conf->listeners[i], conf, reader->listener_keys[i]);
        find_pool(reader, i);
    }
    for (unsigned i = 1; i < conf->pool_count; i++)
        check_pool(reader, i);
    if (reader->failed_line == 0 && conf_workers(conf) > CONF_WORKERS_MAX)
        reader_fail_at(reader, reader->pool_lines[conf->pool_count - 1], "more than %d workers in all pools together",
                       CONF_WORKERS_MAX);
}
