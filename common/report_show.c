#include "common/report_show.h"
#include "common/log.h"
#include "common/report_json.h"
#include "common/report_metrics.h"
#include "common/report_table.h"
#include "common/text.h"
#include <fnmatch.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Of the lines of a table; there is one thread. */
static FILE *table_out;

static void print_line(const char *line)
{
    fprintf(table_out, "%s\n", line);
}

/* What the rates are since: the start, when nothing had been counted. */
static const struct report_sums *at_start(const struct report *report)
{
    static struct report_sums before; /* pages that nobody touches cost nothing */

    before.at_ms = stats_read(&report->area->service.started_ms);
    memcpy(before.names, report->sums->names, sizeof(before.names));
    return &before;
}

static void show_pools_in_a_line(FILE *out, const struct master_state *state)
{
    fprintf(out, "%-16s ", "pools");
    for (unsigned i = 0; i < state->pool_count; i++)
        fprintf(out, "%s%s %" PRIu32 "/%" PRIu32 "%s", i ? ", " : "", state->pools[i].name, state->pools[i].running,
                state->pools[i].wanted, state->pools[i].cannot_run ? " (cannot run)" : "");
    fputc('\n', out);
}

static void show_disabled(FILE *out, const struct master_state *state)
{
    unsigned count = 0;

    for (unsigned i = 0; i < state->listener_count; i++) {
        if (!state->listeners[i].is_disabled)
            continue;
        if (count++ == 0)
            fprintf(out, "%-16s ", "disabled");
        fprintf(out, "%s%s", count > 1 ? ", " : "", state->listeners[i].name);
    }
    if (count > 0)
        fputc('\n', out);
}

static void show_change(FILE *out, const char *what, const struct state_change *change)
{
    char line[2 * STATE_TEXT_SIZE];

    text_change(line, sizeof(line), what, change);
    fprintf(out, "%s\n", line);
}

static void show_status(FILE *out, const struct report *report)
{
    const struct master_state *state = report->state;
    const struct stats_service *service = &report->area->service;
    char up[REPORT_CELL_SIZE];

    report_time(up, report_ms_since(stats_read(&service->started_ms)) * 1000);
    fprintf(out, "%-16s %s, %s for %s\n", "ccserver", state->version, state->phase, up);
    fprintf(out, "%-16s %d\n", "master", (int)state->pid);
    fprintf(out, "%-16s %s, generation %" PRIu32 "\n", "configuration", state->conf_path, state->generation);
    show_pools_in_a_line(out, state);
    show_disabled(out, state);
    show_change(out, "last reload", &service->last_reload);
    show_change(out, "last upgrade", &service->last_upgrade);
}

static void show_pools(FILE *out, const struct master_state *state)
{
    fprintf(out, "  %-32s %6s %6s \n", "pool", "wanted", "ready");
    for (unsigned i = 0; i < state->pool_count; i++) {
        const struct state_pool *pool = &state->pools[i];
        fprintf(out, "  %-32s %6" PRIu32 " %6" PRIu32 " %s\n", pool->name, pool->wanted, pool->running,
                pool->cannot_run ? "cannot run" : "");
    }
}

static bool matches(const char *line, const char *pattern)
{
    return !pattern || strstr(line, pattern) || fnmatch(pattern, line, 0) == 0;
}

static void show_figures(FILE *out, const struct report *report, const char *pattern)
{
    char *text = NULL, *rest;
    size_t size;
    FILE *all = open_memstream(&text, &size);

    if (!all)
        return;
    report_metrics(all, report, METRICS_OPENMETRICS);
    fclose(all);
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        if (line[0] != '#' && matches(line, pattern))
            fprintf(out, "%s\n", line);
    free(text);
}

static enum report_shown show_health(FILE *out, const struct master_state *state)
{
    const char *why = state_unready(state);

    fprintf(out, "%s\n", why ? why : "ok");
    return why ? REPORT_NOT_WELL : REPORT_SHOWN;
}

enum report_shown report_show(FILE *out, const struct report *report, const char *word, const char *pattern)
{
    table_out = out;
    if (strcmp(word, "status") == 0)
        show_status(out, report);
    else if (strcmp(word, "workers") == 0)
        report_table_workers(report, print_line);
    else if (strcmp(word, "listeners") == 0)
        report_table_listeners(report, at_start(report), print_line);
    else if (strcmp(word, "pools") == 0)
        show_pools(out, report->state);
    else if (strcmp(word, "stat") == 0)
        show_figures(out, report, pattern);
    else if (strcmp(word, "metrics") == 0)
        report_metrics(out, report, METRICS_OPENMETRICS);
    else if (strcmp(word, "json") == 0)
        report_json(out, report);
    else if (strcmp(word, "health") == 0)
        return show_health(out, report->state);
    else
        return REPORT_UNKNOWN;
    return REPORT_SHOWN;
}

void report_show_event(FILE *out, struct event *event)
{
    char time[TEXT_TIME_SIZE];

    text_time(time, event->at_ms);
    fprintf(out, "%s.%03u %s %s\n", time, (unsigned)(event->at_ms % 1000), log_level_name(event->level), event->text);
}
