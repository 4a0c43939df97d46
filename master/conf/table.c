/*
 * The keys of the configuration, and what can be said and printed from them alone.
 */
#include "common/file.h"
#include "common/log.h"
#include "master/conf/conf.h"
#include <stdlib.h>
#include <string.h>

#define SERVER(member) offsetof(struct conf, member)
#define MAIN(member) offsetof(struct conf, pools[0].member)
#define POOL(member) offsetof(struct pool_config, member)
#define LISTEN(member) offsetof(struct listener_config, member)

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, KIB = 1 << 10, MIB = 1 << 20, GIB = 1 << 30 };

/* name, type, where it goes, min, max, word for 0, choices, default, help */
const struct option_row conf_server_options[] = {
    {"workers", OPTION_INT, MAIN(workers), 1, CONF_WORKERS_MAX, "auto", NULL, "auto",
     "worker processes; auto: one per online CPU"},
    {"max_sessions", OPTION_INT, MAIN(max_sessions), 1, 1000000, NULL, NULL, "100000",
     "sessions open at the same time in one worker; accepting pauses there"},
    {"drain_timeout", OPTION_TIME, MAIN(drain_timeout_ms), 0, HOUR, NULL, NULL, "30s",
     "how long sessions may finish what they are doing when the server stops"},
    {"drain_spread", OPTION_TIME, SERVER(drain_spread_ms), 0, HOUR, NULL, NULL, "5s",
     "over how long the idle sessions of a worker that leaves are closed, at most 3/4 of drain_timeout"},
    {"stop_delay", OPTION_TIME, SERVER(stop_delay_ms), 0, HOUR, NULL, NULL, "0s",
     "for so long before it stops the server is not ready, but serves as before, so that load balancers notice first"},
    {"adopt_after", OPTION_TIME, MAIN(adopt_after_ms), 150, 10 * MINUTE, NULL, NULL, "250ms",
     "after so long without a sign of life from a worker its siblings accept its connections"},
    {"watchdog_timeout", OPTION_TIME, MAIN(watchdog_timeout_ms), 500, HOUR, NULL, NULL, "5s",
     "and after so long it is killed and replaced"},
    {"cpus", OPTION_STRING, MAIN(cpus), 0, 0, NULL, NULL, "off",
     "CPUs that the workers run on: off (all), a list like 0-3,6, or auto: worker i on the i-th that is allowed"},
    {"nice", OPTION_INT, MAIN(nice), 0, 19, NULL, NULL, "0",
     "added to the niceness of the workers: how readily they leave the CPU to others"},
    {"recycle_sessions", OPTION_INT, MAIN(recycle_sessions), 1, 1000000000, "off", NULL, "off",
     "a worker that has accepted so many sessions is replaced and drains; one at a time"},
    {"recycle_memory", OPTION_SIZE, MAIN(recycle_memory), MIB, 3U * GIB, "off", NULL, "off",
     "the same for one whose own resident memory, without what it shares, is beyond this"},
    {"linger_timeout", OPTION_TIME, SERVER(linger_timeout_ms), 0, MINUTE, NULL, NULL, "2s",
     "how long a client that we closed may take to read our last words and close too"},
    {"busy_poll", OPTION_TIME_US, SERVER(busy_poll_us), 1, 10000, "off", NULL, "off",
     "after activity a worker polls for so long before it sleeps; not where workers >= CPUs"},
    {"busy_poll_force", OPTION_BOOL, SERVER(busy_poll_force), 0, 0, NULL, NULL, "off", "poll there, too"},
    {"log", OPTION_STRING, SERVER(log), 0, 0, NULL, NULL, "stderr",
     "where the log goes: stderr, syslog, or the path of a file"},
    {"log_level", OPTION_ENUM, SERVER(log_level), 0, 0, NULL, LOG_LEVEL_CHOICES, "info",
     "the least important lines that are logged"},
    {"session_log", OPTION_ENUM, SERVER(session_log), 0, 0, NULL, SESSION_LOG_CHOICES, "off",
     "log a line for each session when it has ended, whatever log_level is; errors: where neither service nor client "
     "ended it, nor its worker left while it was quiet"},
    {"session_log_format", OPTION_ENUM, SERVER(session_log_format), 0, 0, NULL, SESSION_LOG_FORMAT_CHOICES, "text",
     "text: a line like any other; json: a line that is one JSON object and nothing else"},
    {"stats_file", OPTION_STRING, SERVER(stats_file), 0, 0, NULL, NULL, NULL,
     "a file that SIGUSR1 replaces with the statistics as JSON; empty: none"},
    {"pidfile", OPTION_STRING, SERVER(pidfile), 0, 0, NULL, NULL, NULL,
     "a file with the master's pid, locked while it runs; empty: none"},
    {"runtime_dir", OPTION_STRING, SERVER(runtime_dir), 0, 0, NULL, NULL, NULL,
     "the directory of control sockets that name none; empty: RUNTIME_DIRECTORY, else a private one of the user"},
    {0},
};

/* A row without a default: what [server] says. */
const struct option_row conf_pool_options[] = {
    {"workers", OPTION_INT, POOL(workers), 1, CONF_WORKERS_MAX, "auto", NULL, "1",
     "worker processes; auto: one per online CPU"},
    {"single", OPTION_BOOL, POOL(single), 0, 0, NULL, NULL, "off",
     "its one worker owns something that no two may: at a reload or upgrade the next one starts when it is gone"},
    {"max_sessions", OPTION_INT, POOL(max_sessions), 1, 1000000, NULL, NULL, NULL, "as in [server]"},
    {"drain_timeout", OPTION_TIME, POOL(drain_timeout_ms), 0, HOUR, NULL, NULL, NULL,
     "as in [server]; where single = on: 2s"},
    {"adopt_after", OPTION_TIME, POOL(adopt_after_ms), 150, 10 * MINUTE, NULL, NULL, NULL, "as in [server]"},
    {"watchdog_timeout", OPTION_TIME, POOL(watchdog_timeout_ms), 500, HOUR, NULL, NULL, NULL, "as in [server]"},
    {"cpus", OPTION_STRING, POOL(cpus), 0, 0, NULL, NULL, NULL, "as in [server]"},
    {"nice", OPTION_INT, POOL(nice), 0, 19, NULL, NULL, NULL, "as in [server]"},
    {"recycle_sessions", OPTION_INT, POOL(recycle_sessions), 1, 1000000000, "off", NULL, NULL, "as in [server]"},
    {"recycle_memory", OPTION_SIZE, POOL(recycle_memory), MIB, 3U * GIB, "off", NULL, NULL, "as in [server]"},
    {0},
};

/* A key that [server] has, too: without it, what [server] says. */
const struct option_row conf_listen_options[] = {
    {"pool", OPTION_STRING, LISTEN(pool_name), 0, 0, NULL, NULL, "main", "whose workers serve it: a [pool NAME]"},
    {"backlog", OPTION_INT, LISTEN(backlog), 1, 65535, NULL, NULL, "4096",
     "connections that may wait to be accepted, per address and worker; the kernel's somaxconn caps it"},
    {"idle_timeout", OPTION_TIME, LISTEN(idle_timeout_ms), 10, 24 * HOUR, "off", NULL, "off",
     "a session without a byte moved for so long is closed"},
    {"answer_timeout", OPTION_TIME, LISTEN(answer_timeout_ms), 10, 24 * HOUR, "off", NULL, "10m",
     "the same while an answer is due: of an upstream, or in a place that the service has reserved"},
    {"keepalive", OPTION_TIME, LISTEN(keepalive_ms), SECOND, 24 * HOUR, "off", NULL, "60s",
     "a peer that has vanished is noticed within about three times as long"},
    {"max_frame", OPTION_SIZE, LISTEN(max_frame), 16, 64 * MIB, NULL, NULL, "64k",
     "the largest message: a line without its end, a frame with its length field"},
    {"high_water", OPTION_SIZE, LISTEN(high_water), 1 * KIB, 256 * MIB, NULL, NULL, "256k",
     "unsent bytes of a connection at which reading from whoever causes them stops"},
    {"low_water", OPTION_SIZE, LISTEN(low_water), 0, 256 * MIB, NULL, NULL, "64k", "unsent bytes at which it resumes"},
    {"max_output", OPTION_SIZE, LISTEN(max_output), 4 * KIB, GIB, NULL, NULL, "16m",
     "unsent bytes at which a session is closed"},
    {"unix_mode", OPTION_MODE, LISTEN(unix_mode), 1, 0777, "umask", NULL, "umask",
     "permissions of its unix sockets: who may write may connect; umask: what that leaves of 0777"},
    {"unix_user", OPTION_STRING, LISTEN(unix_user), 0, 0, NULL, NULL, NULL,
     "owner of its unix sockets: a name from /etc/passwd or a number; empty: the server's user"},
    {"unix_group", OPTION_STRING, LISTEN(unix_group), 0, 0, NULL, NULL, NULL,
     "group of its unix sockets: a name from /etc/group or a number; empty: the server's group"},
    {"session_log", OPTION_ENUM, LISTEN(session_log), 0, 0, NULL, SESSION_LOG_CHOICES, NULL, "as in [server]"},
    {"session_log_format", OPTION_ENUM, LISTEN(session_log_format), 0, 0, NULL, SESSION_LOG_FORMAT_CHOICES, NULL,
     "as in [server]"},
    {0},
};

bool conf_is_same_file(const char *path, const char *other)
{
    bool words = strcmp(other, "stderr") == 0 || strcmp(other, "syslog") == 0;

    return *path && *other && !words && file_is_same(path, other);
}

/* ---- the effective configuration ---- */

void conf_print(const struct conf *conf, FILE *out)
{
    fprintf(out, "[server]\n");
    option_print(out, conf_server_options, conf);
    for (unsigned i = 1; i < conf->pool_count; i++) {
        fprintf(out, "\n[pool %s]\n", conf->pools[i].name);
        option_print(out, conf_pool_options, &conf->pools[i]);
    }
    for (unsigned i = 0; i < conf->listener_count; i++) {
        const struct listener_config *listener = &conf->listeners[i];
        fprintf(out, "\n[listen %s]\nbind = %s\nservice = %s\n", listener->name, listener->bind,
                listener->service->name);
        option_print(out, conf_listen_options, listener);
        option_print(out, listener->service->options, listener->service_config);
    }
}

char *conf_text(const struct conf *conf)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if (!out)
        return NULL;
    conf_print(conf, out);
    bool failed = ferror(out);
    if (fclose(out) == 0 && !failed)
        return text;
    free(text);
    return NULL;
}

/* ---- the reference ---- */

/* A limit, or a service's default, in the spelling of `row`. */
static const char *spell(const struct option_row *row, uint32_t value, char *text, size_t text_size)
{
    struct option_row alone = *row;

    alone.offset = 0;
    option_format(&alone, &value, text, text_size);
    return text;
}

static void print_range(const struct option_row *row, const char *type, FILE *out)
{
    char min[32], max[32];

    fprintf(out, "%s, %s to %s%s%s", type, spell(row, row->min, min, sizeof(min)),
            spell(row, row->max, max, sizeof(max)), row->zero ? " or " : "", row->zero ? row->zero : "");
}

static void print_type(const struct option_row *row, FILE *out)
{
    switch (row->type) {
    case OPTION_BOOL: fprintf(out, "on or off"); break;
    case OPTION_INT: print_range(row, "a number", out); break;
    case OPTION_SIZE: print_range(row, "a size", out); break;
    case OPTION_TIME:
    case OPTION_TIME_US: print_range(row, "a time", out); break;
    case OPTION_MODE: print_range(row, "permissions in octal", out); break;
    case OPTION_ENUM: fprintf(out, "one of %s", row->choices); break;
    case OPTION_STRING: fprintf(out, "text, at most %d characters", OPTION_STRING_SIZE - 1); break;
    case OPTION_ADDRESS: fprintf(out, "ADDR:PORT, [ADDR6]:PORT, NAME:PORT or unix:/PATH"); break;
    }
}

/* `inherits`: a key without a default has the value of [server], if that has such a key. */
static void print_table(const struct option_row *table, bool inherits, FILE *out)
{
    for (const struct option_row *row = table; row && row->name; row++) {
        const bool inherited = inherits && option_find(conf_server_options, row->name);
        fprintf(out, "#\n# %s (", row->name);
        print_type(row, out);
        fprintf(out, "; default: %s)\n#     %s\n",
                row->value  ? row->value
                : inherited ? "that of [server]"
                            : "empty",
                row->help);
    }
}

static void print_service(const struct service *service, FILE *out)
{
    char text[32];

    fprintf(out, "\n# [listen NAME] with service = %s\n", service->name);
    if (service->max_frame)
        fprintf(out, "#\n# max_frame (default: %s)\n",
                spell(option_find(conf_listen_options, "max_frame"), service->max_frame, text, sizeof(text)));
    if (service->idle_timeout_ms)
        fprintf(out, "#\n# idle_timeout (default: %s)\n",
                spell(option_find(conf_listen_options, "idle_timeout"), service->idle_timeout_ms, text, sizeof(text)));
    print_table(service->options, false, out);
}

void conf_print_reference(FILE *out)
{
    fprintf(out,
            "# Sizes take the units k, m and g (powers of 1024) or none, times ms, s, m and h.\n\n# [server], once\n");
    print_table(conf_server_options, false, out);
    fprintf(out, "\n# [pool NAME], at most %d times; NAME: up to %d letters, digits, '-' and '_'\n", CONF_POOLS_MAX - 1,
            POOL_NAME_SIZE - 1);
    print_table(conf_pool_options, true, out);
    fprintf(out, "\n# [listen NAME], 1 to %d times; NAME: up to %d letters, digits, '-' and '_'\n", CONF_LISTENERS_MAX,
            LISTENER_NAME_SIZE - 1);
    fprintf(out,
            "#\n# bind (1 to %d addresses, separated by blanks or commas; mandatory)\n#     where it listens; a name: "
            "at all its addresses\n",
            LISTENER_ADDRESSES_MAX);
    fprintf(out, "#\n# service (one of ");
    for (unsigned i = 0; services[i]; i++)
        fprintf(out, "%s%s", i ? "|" : "", services[i]->name);
    fprintf(out, "; mandatory)\n#     what its clients are served with\n");
    print_table(conf_listen_options, true, out);
    for (unsigned i = 0; services[i]; i++)
        print_service(services[i], out);
}
