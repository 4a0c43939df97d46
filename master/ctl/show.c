#include "master/ctl/show.h"
#include "common/report_json.h"
#include "common/report_metrics.h"
#include "common/report_table.h"
#include "common/text.h"
#include <fnmatch.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Pages that nobody touches cost nothing. */
static struct report_sums sums, before;
static struct report_process processes[STATE_WORKERS_MAX];

/* What is there now. The rates of its tables are those since the server has started. */
static struct report take(struct server *server)
{
    report_sums_take(server->area, &sums);
    report_processes_take(&server->state, processes);
    before.at_ms = stats_read(&server->area->service.started_ms);
    memcpy(before.names, sums.names, sizeof(before.names));
    return (struct report){.area = server->area, .state = &server->state, .sums = &sums, .processes = processes};
}

static void print_line(const char *line)
{
    char safe[1024];

    snprintf(safe, sizeof(safe), "%s", line);
    text_make_safe(safe);
    puts(safe);
}

static void print(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void print(const char *format, ...)
{
    char line[1024];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    print_line(line);
}

static void print_change(const char *what, const struct state_change *change)
{
    char line[2 * STATE_TEXT_SIZE];

    text_change(line, sizeof(line), what, change);
    puts(line);
}

static void print_pools(const struct master_state *state)
{
    char line[STATE_POOLS_MAX * 80] = "";
    size_t used = 0;

    for (unsigned i = 0; i < state->pool_count; i++)
        used += (size_t)snprintf(line + used, sizeof(line) - used, "%s%s %" PRIu32 "/%" PRIu32 "%s", i ? ", " : "",
                                 state->pools[i].name, state->pools[i].running, state->pools[i].wanted,
                                 state->pools[i].cannot_run ? " (cannot run)" : "");
    print("%-16s %s", "pools", line);
}

enum ctl_exit show_status(struct server *server, bool json)
{
    const struct report report = take(server);
    const struct master_state *state = &server->state;
    char up[REPORT_CELL_SIZE];

    if (json) {
        report_json(stdout, &report);
        return CTL_DONE;
    }
    report_time(up, report_ms_since(stats_read(&server->area->service.started_ms)) * 1000);
    print("%-16s %s, %s for %s", "ccserver", state->version, state->phase, up);
    print("%-16s %d", "master", (int)state->pid);
    print("%-16s %s, generation %" PRIu32, "configuration", state->conf_path, state->generation);
    print_pools(state);
    print_change("last reload", &server->area->service.last_reload);
    print_change("last upgrade", &server->area->service.last_upgrade);
    return CTL_DONE;
}

enum ctl_exit show_workers(struct server *server)
{
    const struct report report = take(server);

    report_table_workers(&report, print_line);
    return CTL_DONE;
}

enum ctl_exit show_listeners(struct server *server)
{
    const struct report report = take(server);

    report_table_listeners(&report, &before, print_line);
    return CTL_DONE;
}

enum ctl_exit show_pools(struct server *server)
{
    print("  %-32s %6s %6s %s", "pool", "wanted", "ready", "");
    for (unsigned i = 0; i < server->state.pool_count; i++) {
        const struct state_pool *pool = &server->state.pools[i];
        print("  %-32s %6" PRIu32 " %6" PRIu32 " %s", pool->name, pool->wanted, pool->running,
              pool->cannot_run ? "cannot run" : "");
    }
    return CTL_DONE;
}

enum ctl_exit show_metrics(struct server *server)
{
    const struct report report = take(server);

    report_metrics(stdout, &report, METRICS_OPENMETRICS);
    return CTL_DONE;
}

static bool matches(const char *line, const char *pattern)
{
    return !pattern || strstr(line, pattern) || fnmatch(pattern, line, 0) == 0;
}

enum ctl_exit show_stat(struct server *server, const char *pattern)
{
    const struct report report = take(server);
    char *text = NULL, *rest;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if (!out)
        return CTL_REFUSED;
    report_metrics(out, &report, METRICS_OPENMETRICS);
    fclose(out);
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        if (line[0] != '#' && matches(line, pattern))
            puts(line);
    free(text);
    return CTL_DONE;
}

enum ctl_exit show_health(struct server *server)
{
    const char *why = state_unready(&server->state);

    print("%s", why ? why : "ok");
    return why ? CTL_REFUSED : CTL_DONE;
}
