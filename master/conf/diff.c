/*
 * The configuration once it is read: what the command line changes, and what differs from the one before.
 */
#include "common/log.h"
#include "master/conf/conf.h"
#include <stdlib.h>
#include <string.h>

#include <bsd/string.h>

static int check_pidfile(const struct conf *conf, char *error, size_t error_size)
{
    bool log = conf_is_same_file(conf->pidfile, conf->log);

    if (!log && !conf_is_same_file(conf->pidfile, conf->stats_file))
        return 0;
    snprintf(error, error_size, "-p %s: that is the file of %s, too", conf->pidfile, log ? "log" : "stats_file");
    return -1;
}

int conf_override(struct conf *conf, const struct conf_overrides *overrides, char *error, size_t error_size)
{
    if (overrides->workers)
        conf->pools[0].workers = overrides->workers;
    if (overrides->log_level >= 0)
        conf->log_level = (uint32_t)overrides->log_level;
    if (conf_workers(conf) > CONF_WORKERS_MAX) {
        snprintf(error, error_size, "more than %d workers in all pools together", CONF_WORKERS_MAX);
        return -1;
    }
    if (conf->busy_poll_us && !conf->busy_poll_force && conf_workers(conf) >= conf_online_cpus()) {
        log_warn("busy_poll is off: %u workers on %u CPUs would poll at each other's expense", conf_workers(conf),
                 conf_online_cpus());
        conf->busy_poll_us = 0;
    }
    if (overrides->pidfile && strlcpy(conf->pidfile, overrides->pidfile, OPTION_STRING_SIZE) >= OPTION_STRING_SIZE) {
        snprintf(error, error_size, "-p: the path is longer than %d characters", OPTION_STRING_SIZE - 1);
        return -1;
    }
    if (overrides->pidfile && check_pidfile(conf, error, error_size) < 0)
        return -1;
    if (overrides->daemonise && strcmp(conf->log, "stderr") == 0) {
        snprintf(error, error_size, "-d: there is no standard error in the background; set `log` to syslog or a file");
        return -1;
    }
    return 0;
}

/* ---- differences ---- */

/* Does `text` have this line in this section? */
static bool has(const char *text, const char *section, const char *line)
{
    size_t length = strlen(line);
    char header[LISTENER_NAME_SIZE + 16];
    bool inside = false;

    snprintf(header, sizeof(header), "%s", section);
    for (const char *end; (end = strchr(text, '\n')); text = end + 1) {
        size_t size = (size_t)(end - text);
        if (*text == '[')
            inside = size == strlen(header) && memcmp(text, header, size) == 0;
        else if (inside && size == length && memcmp(text, line, size) == 0)
            return true;
    }
    return false;
}

/* The lines of `text` that `other` does not have. */
static void log_missing(char *text, const char *other, char sign)
{
    const char *section = "";

    for (char *line; (line = strsep(&text, "\n"));) {
        if (*line == '[')
            section = line;
        else if (*line && !has(other, section, line))
            log_notice("reload: %s %c %s", section, sign, line);
    }
}

void conf_log_changes(const struct conf *old, const struct conf *new)
{
    char *before = conf_text(old), *after = conf_text(new);
    char *lines = before ? strdup(before) : NULL;

    if (before && after && lines) {
        log_missing(lines, after, '-');
        free(lines);
        lines = strdup(after);
        if (lines)
            log_missing(lines, before, '+');
    }
    free(lines);
    free(before);
    free(after);
    conf_warn(new);
}
