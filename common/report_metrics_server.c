#include "common/report_metrics_server.h"
#include "common/stats_count.h"
#include <inttypes.h>

struct document {
    FILE *out;
    enum metrics_format format;
    const struct report *report;
};

static void family(const struct document *document, const char *type, const char *name, const char *unit,
                   const char *help)
{
    metrics_family(document->out, document->format, type, name, unit, help);
}

/* ---- the server ---- */

static void result(FILE *out, const char *name, uint64_t done, uint64_t failed)
{
    fprintf(out, "ccserver_%s_total{result=\"done\"} %" PRIu64 "\n", name, done);
    fprintf(out, "ccserver_%s_total{result=\"failed\"} %" PRIu64 "\n", name, failed);
}

static void build_metrics(const struct document *document)
{
    bool is_old = document->format == METRICS_PROMETHEUS;
    FILE *out = document->out;

    fprintf(out, "# TYPE ccserver_build%s\n", is_old ? "_info gauge" : " info");
    fprintf(out, "# HELP ccserver_build%s the version of the master in charge\n", is_old ? "_info" : "");
    metrics_label(out, "ccserver_build_info{", "version", document->report->state->version);
    fprintf(out, "} 1\n");
}

static void server_metrics(const struct document *document)
{
    const struct report *report = document->report;
    const struct master_state *state = report->state;
    const struct stats_service *service = &report->area->service;
    FILE *out = document->out;

    family(document, "gauge", "uptime_seconds", "seconds", "since the first master started");
    fprintf(out, "ccserver_uptime_seconds %.3f\n", (double)report_ms_since(stats_read(&service->started_ms)) / 1000);
    family(document, "gauge", "ready", NULL, "1: in charge, does not stop, and each pool has a worker that is ready");
    fprintf(out, "ccserver_ready %d\n", state_unready(state) == NULL);
    family(document, "gauge", "generation", NULL, "of the configuration that serves");
    fprintf(out, "ccserver_generation %" PRIu32 "\n", state->generation);
    family(document, "counter", "reloads", NULL, "configurations that serve, or were refused");
    result(out, "reloads", stats_read(&service->reloads), stats_read(&service->reload_failures));
    family(document, "counter", "upgrades", NULL, "binaries that have taken over, or have failed");
    result(out, "upgrades", stats_read(&report->area->upgrades), stats_read(&service->upgrade_failures));
    family(document, "counter", "log_lines_dropped", NULL,
           "lines that the master in charge could not write to the log");
    fprintf(out, "ccserver_log_lines_dropped_total %" PRIu64 "\n", state->log_dropped);
    family(document, "counter", "worker_starts", NULL, "processes that were started for this reason");
    for (unsigned i = 0; i < RESPAWNS; i++)
        fprintf(out, "ccserver_worker_starts_total{reason=\"%s\"} %" PRIu64 "\n", report_respawn_name(i),
                report->sums->respawns[i]);
}

/* The last one: of a kind of which there was none yet, nothing. */
static void last_change(const struct document *document, const char *what, const struct state_change *change)
{
    FILE *out = document->out;
    char name[64], help[96];

    if (atomic_load(&change->count) == 0)
        return;
    snprintf(name, sizeof(name), "last_%s_successful", what);
    snprintf(help, sizeof(help), "1: the last %s has done what was asked for", what);
    family(document, "gauge", name, NULL, help);
    fprintf(out, "ccserver_%s %d\n", name, !change->failed);
    snprintf(name, sizeof(name), "last_%s_timestamp_seconds", what);
    snprintf(help, sizeof(help), "when the last %s has ended, since 1970", what);
    family(document, "gauge", name, "seconds", help);
    fprintf(out, "ccserver_%s %.3f\n", name, (double)change->at_ms / 1000);
}

/* How far a drain is: processes that leave, and what they still have. */
static void leaving_metrics(const struct document *document)
{
    const struct report *report = document->report;
    uint64_t workers = 0, sessions = 0;

    for (unsigned i = 0; i < report->state->worker_count; i++) {
        const struct state_worker *worker = &report->state->workers[i];
        const struct stats_block *block = stats_block_of(report->area, worker->serial);
        struct report_row row;
        if (worker->part != STATE_LEAVES || !block)
            continue;
        report_sums_process(block, &row);
        sessions += stats_open(&row.traffic);
        workers++;
    }
    family(document, "gauge", "workers_leaving", NULL, "processes that finish their sessions, and then end");
    fprintf(document->out, "ccserver_workers_leaving %" PRIu64 "\n", workers);
    family(document, "gauge", "workers_leaving_sessions_open", NULL, "sessions that they still have");
    fprintf(document->out, "ccserver_workers_leaving_sessions_open %" PRIu64 "\n", sessions);
}

static void pool_metrics(const struct document *document)
{
    const struct master_state *state = document->report->state;
    FILE *out = document->out;

    family(document, "gauge", "pool_workers_wanted", NULL, "workers that the pool is to have");
    for (unsigned i = 0; i < state->pool_count; i++) {
        metrics_label(out, "ccserver_pool_workers_wanted{", "pool", state->pools[i].name);
        fprintf(out, "} %" PRIu32 "\n", state->pools[i].wanted);
    }
    family(document, "gauge", "pool_workers_ready", NULL, "workers of the pool that are ready and beat");
    for (unsigned i = 0; i < state->pool_count; i++) {
        metrics_label(out, "ccserver_pool_workers_ready{", "pool", state->pools[i].name);
        fprintf(out, "} %" PRIu32 "\n", state->pools[i].running);
    }
}

static void disabled_metrics(const struct document *document)
{
    const struct master_state *state = document->report->state;

    family(document, "gauge", "listener_disabled", NULL, "1: an operator has disabled the listener");
    for (unsigned i = 0; i < state->listener_count; i++) {
        metrics_label(document->out, "ccserver_listener_disabled{", "listener", state->listeners[i].name);
        fprintf(document->out, "} %d\n", state->listeners[i].is_disabled);
    }
}

void report_metrics_server(FILE *out, const struct report *report, enum metrics_format format)
{
    const struct document document = {.out = out, .format = format, .report = report};

    build_metrics(&document);
    server_metrics(&document);
    last_change(&document, "reload", &report->area->service.last_reload);
    last_change(&document, "upgrade", &report->area->service.last_upgrade);
    leaving_metrics(&document);
    pool_metrics(&document);
    disabled_metrics(&document);
}
