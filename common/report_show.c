#include "common/report_show.h"
#include "common/log.h"
#include "common/report_durations.h"
#include "common/report_json.h"
#include "common/report_metrics.h"
#include "common/report_table.h"
#include "common/report_table_queues.h"
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

/* Since the start, and below it in the last minute, which is shorter in a young server. */
static void show_durations(FILE *out, const struct report *report, const char *what,
                           const uint64_t counts[DURATION_BUCKETS], const uint64_t minute[DURATION_BUCKETS])
{
    char text[REPORT_QUANTILES_SIZE], time[REPORT_CELL_SIZE] = "minute", last[2 * REPORT_CELL_SIZE];

    report_quantiles(text, counts);
    fprintf(out, "%-16s %s\n", what, text);
    if (report->sums->minute_ms > 0)
        report_time(time, report->sums->minute_ms * 1000);
    snprintf(last, sizeof(last), "  last %s", time);
    report_quantiles(text, minute);
    fprintf(out, "%-16s %s\n", last, text);
}

/* How long things take, in all workers and listeners together. */
static void show_all_durations(FILE *out, const struct report *report)
{
    uint64_t counts[DURATION_BUCKETS], minute[DURATION_BUCKETS];

    report_turn_times(report->sums, counts);
    show_durations(out, report, "turns", counts, report->sums->minute.turn_times);
    report_durations_of_all(report, DURATION_answered, counts, minute);
    show_durations(out, report, "answered", counts, minute);
    report_durations_of_all(report, DURATION_upstream_answered, counts, minute);
    if (report_duration_count(counts) > 0)
        show_durations(out, report, "upstreams", counts, minute);
}

static void show_status(FILE *out, const struct report *report)
{
    const struct master_state *state = report->state;
    const struct stats_service *service = &report->area->service;
    char up[REPORT_CELL_SIZE];

    report_time(up, report_ms_since(stats_read(&service->started_ms)) * 1000);
    fprintf(out, "%-16s %s, %s%s %s\n", "ccserver", state->version, state->phase, state_phase_joint(state), up);
    fprintf(out, "%-16s %d\n", "master", (int)state->pid);
    fprintf(out, "%-16s %s, generation %" PRIu32 "\n", "configuration", state->conf_path, state->generation);
    show_pools_in_a_line(out, state);
    show_disabled(out, state);
    show_change(out, "last reload", &service->last_reload);
    show_change(out, "last upgrade", &service->last_upgrade);
    show_all_durations(out, report);
}

static void show_listeners(const struct report *report)
{
    report_table_listeners(report, at_start(report), print_line);
    report_durations_table(report, print_line);
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

static enum report_shown show_figures(FILE *out, const struct report *report, const char *pattern)
{
    enum report_shown shown = REPORT_NOTHING;
    char *text = NULL, *rest;
    size_t size;
    FILE *all = open_memstream(&text, &size);

    if (!all)
        return REPORT_NOTHING;
    report_metrics(all, report, METRICS_OPENMETRICS);
    fclose(all);
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        if (line[0] != '#' && matches(line, pattern)) {
            fprintf(out, "%s\n", line);
            shown = REPORT_SHOWN;
        }
    free(text);
    return shown;
}

static enum report_shown show_health(FILE *out, const struct master_state *state)
{
    const char *why = state_unready(state);

    fprintf(out, "%s\n", why ? why : "ok");
    return why ? REPORT_NOT_WELL : REPORT_SHOWN;
}

static enum report_shown show_json(FILE *out, const struct report *report, const char *part)
{
    const char *why = state_unready(report->state);

    if (part && strcmp(part, "health") == 0) {
        fprintf(out, "{\"healthy\": %s, \"why\": ", why ? "false" : "true");
        report_json_string(out, why ? why : "");
        fprintf(out, "}\n");
        return why ? REPORT_NOT_WELL : REPORT_SHOWN;
    }
    if (!part)
        report_json(out, report);
    return !part || report_json_part(out, report, part) ? REPORT_SHOWN : REPORT_UNKNOWN;
}

enum report_shown report_show(FILE *out, const struct report *report, const char *word, const char *pattern)
{
    table_out = out;
    if (strcmp(word, "status") == 0)
        show_status(out, report);
    else if (strcmp(word, "workers") == 0)
        report_table_workers(report, print_line);
    else if (strcmp(word, "listeners") == 0)
        show_listeners(report);
    else if (strcmp(word, "queues") == 0)
        report_table_queues(report, QUEUES_ALL, print_line);
    else if (strcmp(word, "pools") == 0)
        show_pools(out, report->state);
    else if (strcmp(word, "stat") == 0)
        return show_figures(out, report, pattern);
    else if (strcmp(word, "metrics") == 0)
        report_metrics(out, report, METRICS_OPENMETRICS);
    else if (strcmp(word, "json") == 0)
        return show_json(out, report, pattern);
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
