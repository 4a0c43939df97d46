#include "common/report_metrics.h"
#include "common/digits.h"
#include "common/report_metrics_queues.h"
#include "common/report_metrics_server.h"
#include "common/stats_count.h"
#include <inttypes.h>
#include <string.h>

enum type { COUNTER, GAUGE, HISTOGRAM };

enum { FIRST_LIMIT = 10 /* 1.024 us: below that nobody wants to know it */ };

struct document {
    FILE *out;
    enum metrics_format format;
    const struct report *report;
};

static void family(const struct document *document, enum type type, const char *name, const char *unit,
                   const char *help)
{
    static const char *const types[] = {[COUNTER] = "counter", [GAUGE] = "gauge", [HISTOGRAM] = "histogram"};

    metrics_family(document->out, document->format, types[type], name, unit, help);
}

/* Labels of the listeners of the present document: they stand in it again and again. */
enum { LABELS_SIZE = 64 + 2 * (STATE_NAME_SIZE + STATE_NAME_SIZE + STATE_POOL_SIZE) };
static char listener_texts[STATE_LISTENERS_MAX][LABELS_SIZE];
static const struct state_listener *first_listener;

static void prepare_labels(const struct master_state *state)
{
    first_listener = state->listeners;
    for (unsigned i = 0; i < state->listener_count; i++) {
        const struct state_listener *listener = &state->listeners[i];
        listener_texts[i][0] = '\0';
        metrics_add_label(listener_texts[i], LABELS_SIZE, "{", "listener", listener->name);
        metrics_add_label(listener_texts[i], LABELS_SIZE, ",", "service", listener->service);
        metrics_add_label(listener_texts[i], LABELS_SIZE, ",", "pool", listener->pool);
    }
}

static void listener_labels(FILE *out, const struct state_listener *listener)
{
    fputs(listener_texts[listener - first_listener], out);
}

static void worker_labels(FILE *out, const struct state_worker *worker)
{
    metrics_label(out, "{", "pool", worker->pool);
    fprintf(out, ",worker=\"%" PRIu32 "\"", worker->id);
}

/* Print the end of a sample: a document has a thousand of them, most of which are whole numbers. */
static void print_whole(FILE *out, uint64_t value)
{
    fputs("} ", out);
    digits_print(out, value);
    fputc('\n', out);
}

static void print_value(FILE *out, double value)
{
    if (value >= 0 && value < 1e15 && value == (double)(uint64_t)value)
        print_whole(out, (uint64_t)value);
    else
        fprintf(out, "} %.15g\n", value); /* 17 digits would print 0.1 as 0.10000000000000001 */
}

static double seconds(uint64_t ms)
{
    return (double)ms / 1000;
}

/* ---- histograms ---- */

/* The limit of a bucket in seconds: it stands in a document once for each listener. */
static const char *limit_text(unsigned bucket)
{
    static char texts[DURATION_BUCKETS][24];

    if (texts[bucket][0] == '\0')
        snprintf(texts[bucket], sizeof(texts[bucket]), "%.9g", (double)duration_limit_ns(bucket) / 1e9);
    return texts[bucket];
}

/* `sample` is its name, and the labels before its limit. */
static void print_bucket(FILE *out, const char *sample, const char *limit, uint64_t count)
{
    fputs(sample, out);
    fputs("le=\"", out);
    fputs(limit, out);
    fputc('"', out);
    print_whole(out, count);
}

/*
 * `labels` and `comma` are what stands before the label that is the limit. How long all of them took together is
 * not known, so there is neither a _sum nor the _count that asks for one.
 */
static void histogram(FILE *out, const char *name, const char *labels, const char *comma,
                      const uint64_t counts[DURATION_BUCKETS])
{
    char sample[METRICS_TEXT_SIZE + LABELS_SIZE];
    uint64_t count = 0;

    snprintf(sample, sizeof(sample), "ccserver_%s_seconds_bucket%s%s", name, labels, comma);
    for (unsigned i = 0; i < DURATION_BUCKETS; i++) {
        count += counts[i];
        if (i >= FIRST_LIMIT && i < DURATION_BUCKETS - 1)
            print_bucket(out, sample, limit_text(i), count);
    }
    print_bucket(out, sample, "+Inf", count);
}

/* ---- workers ---- */

/* The samples of one family, for each slot that serves. */
static void each_worker(FILE *out, const struct report *report, const char *name,
                        double (*value)(const struct state_worker *worker, const struct report_row *row))
{
    for (unsigned i = 0; i < report->state->worker_count; i++) {
        const struct state_worker *worker = &report->state->workers[i];
        if (worker->part != STATE_SERVES)
            continue;
        fprintf(out, "ccserver_%s", name);
        worker_labels(out, worker);
        print_value(out, value(worker, report_sums_worker(report, worker)));
    }
}

static double is_ready(const struct state_worker *worker, const struct report_row *row)
{
    (void)row;
    return strcmp(worker->state, "ready") == 0;
}

static double is_adopted(const struct state_worker *worker, const struct report_row *row)
{
    (void)row;
    return worker->is_adopted;
}

static double sessions_open(const struct state_worker *worker, const struct report_row *row)
{
    (void)worker;
    return (double)stats_open(&row->traffic);
}

static double turns(const struct state_worker *worker, const struct report_row *row)
{
    (void)worker;
    return (double)row->turns;
}

static double longest_turn(const struct state_worker *worker, const struct report_row *row)
{
    (void)worker;
    return (double)row->longest_turn_us / 1000000;
}

static double adopted_queues(const struct state_worker *worker, const struct report_row *row)
{
    (void)row;
    return worker->adopts;
}

static double log_lines_dropped(const struct state_worker *worker, const struct report_row *row)
{
    (void)worker;
    return (double)row->log_dropped;
}

static double accept_pauses(const struct state_worker *worker, const struct report_row *row)
{
    (void)worker;
    return (double)row->accept_pauses;
}

static void each_process(const struct document *document, const char *name,
                         double (*value)(const struct report_process *process))
{
    const struct report *report = document->report;

    for (unsigned i = 0; i < report->state->worker_count; i++) {
        const struct state_worker *worker = &report->state->workers[i];
        if (worker->part != STATE_SERVES || !report->processes[i].is_known || value(&report->processes[i]) < 0)
            continue;
        fprintf(document->out, "ccserver_%s", name);
        worker_labels(document->out, worker);
        print_value(document->out, value(&report->processes[i]));
    }
}

static double cpu_seconds(const struct report_process *process)
{
    return seconds(process->cpu_ms);
}

static double memory_bytes(const struct report_process *process)
{
    return (double)process->memory_bytes;
}

static double descriptors(const struct report_process *process)
{
    return (double)process->descriptors;
}

static void process_metrics(const struct document *document)
{
    if (!document->report->processes)
        return;
    family(document, COUNTER, "worker_cpu_seconds", "seconds",
           "CPU time that the present process of the slot has used");
    each_process(document, "worker_cpu_seconds_total", cpu_seconds);
    family(document, GAUGE, "worker_resident_memory_bytes", "bytes", "memory of the process, with what it shares");
    each_process(document, "worker_resident_memory_bytes", memory_bytes);
    family(document, GAUGE, "worker_open_descriptors", NULL, "descriptors that the process has open");
    each_process(document, "worker_open_descriptors", descriptors);
}

/* Of all workers together: of each they would be a third of the document. */
static void turn_metrics(const struct document *document)
{
    uint64_t counts[DURATION_BUCKETS];

    report_turn_times(document->report->sums, counts);
    family(document, HISTOGRAM, "turn_duration_seconds", "seconds", "turns of the workers' event loops");
    histogram(document->out, "turn_duration", "{", "", counts);
}

static void worker_metrics(const struct document *document)
{
    const struct report *report = document->report;
    FILE *out = document->out;

    family(document, GAUGE, "worker_ready", NULL, "1: the worker is ready and beats");
    each_worker(out, report, "worker_ready", is_ready);
    family(document, GAUGE, "worker_adopted", NULL, "1: its accept queues are served by its siblings");
    each_worker(out, report, "worker_adopted", is_adopted);
    family(document, GAUGE, "worker_sessions_open", NULL, "sessions of this slot");
    each_worker(out, report, "worker_sessions_open", sessions_open);
    family(document, COUNTER, "worker_turns", NULL, "turns of the event loop");
    each_worker(out, report, "worker_turns_total", turns);
    family(document, GAUGE, "worker_longest_turn_seconds", "seconds", "the longest turn of the event loop");
    each_worker(out, report, "worker_longest_turn_seconds", longest_turn);
    family(document, COUNTER, "worker_accept_pauses", NULL, "times that accepting has stopped for a while");
    each_worker(out, report, "worker_accept_pauses_total", accept_pauses);
    family(document, GAUGE, "worker_adopted_queues", NULL, "siblings whose accept queues it serves");
    each_worker(out, report, "worker_adopted_queues", adopted_queues);
    family(document, COUNTER, "worker_log_lines_dropped", NULL, "lines that it could not write to the log");
    each_worker(out, report, "worker_log_lines_dropped_total", log_lines_dropped);
    turn_metrics(document);
}

/* ---- listeners ---- */

/* Where a counter stands in struct stats_listener. */
#define COUNTER_AT(traffic, offset) ((const stats_counter *)((const char *)(traffic) + (offset)))

static void each_listener(FILE *out, const struct report *report, const char *name, size_t offset)
{
    for (unsigned i = 0; i < report->state->listener_count; i++) {
        const struct state_listener *listener = &report->state->listeners[i];
        const struct stats_listener *traffic = report_sums_listener(report->sums, listener);
        fprintf(out, "ccserver_%s_total", name);
        listener_labels(out, listener);
        print_whole(out, stats_read(COUNTER_AT(traffic, offset)));
    }
}

static void closed_metrics(const struct document *document)
{
    const struct report *report = document->report;
    FILE *out = document->out;

    family(document, COUNTER, "sessions_closed", NULL, "sessions that have ended for this reason");
    for (unsigned i = 0; i < report->state->listener_count; i++) {
        const struct state_listener *listener = &report->state->listeners[i];
        const struct stats_listener *traffic = report_sums_listener(report->sums, listener);
#define X(name, help)                                                                                                  \
    fputs("ccserver_sessions_closed_total", out);                                                                      \
    listener_labels(out, listener);                                                                                    \
    fputs(",reason=\"" #name "\"", out);                                                                               \
    print_whole(out, stats_read(&traffic->closed[CLOSE_##name]));
        STATS_CLOSE_REASONS(X)
#undef X
    }
}

/* A listener that has never had an upstream has none of its times: most have none. */
static void each_duration(const struct document *document, enum duration duration, const char *name)
{
    const struct report *report = document->report;
    uint64_t counts[DURATION_BUCKETS];

    for (unsigned i = 0; i < report->state->listener_count; i++) {
        const struct state_listener *listener = &report->state->listeners[i];
        report_counts(report_sums_listener(report->sums, listener)->durations[duration], counts);
        if (duration == DURATION_answered || report_duration_count(counts) > 0)
            histogram(document->out, name, listener_texts[i], ",", counts);
    }
}

static void duration_metrics(const struct document *document)
{
#define X(name, metric, help)                                                                                          \
    family(document, HISTOGRAM, #metric "_seconds", "seconds", help);                                                  \
    each_duration(document, DURATION_##name, #metric);
    DURATIONS_OF_LISTENERS(X)
#undef X
}

/* Own counters of several services may have the same name: one family, with the help of the first. */
static bool is_first_of_name(const struct master_state *state, unsigned listener, const char *name)
{
    for (unsigned i = 0; i < listener; i++)
        for (unsigned j = 0; j < state->listeners[i].counter_count; j++)
            if (strcmp(state->listeners[i].counters[j].name, name) == 0)
                return false;
    return true;
}

static void own_family(const struct document *document, const struct state_counter *counter)
{
    const struct report *report = document->report;
    FILE *out = document->out;
    char name[STATE_NAME_SIZE + 16];

    snprintf(name, sizeof(name), "service_%s", counter->name);
    family(document, COUNTER, name, NULL, counter->help);
    for (unsigned i = 0; i < report->state->listener_count; i++) {
        const struct state_listener *listener = &report->state->listeners[i];
        const struct stats_listener *traffic = report_sums_listener(report->sums, listener);
        for (unsigned j = 0; j < listener->counter_count; j++) {
            if (strcmp(listener->counters[j].name, counter->name) != 0)
                continue;
            fprintf(out, "ccserver_%s_total", name);
            listener_labels(out, listener);
            print_whole(out, stats_read(&traffic->own[j]));
        }
    }
}

static void listener_metrics(const struct document *document)
{
    const struct report *report = document->report;
    const struct master_state *state = report->state;
    FILE *out = document->out;

    family(document, GAUGE, "sessions_open", NULL, "sessions of this listener");
    for (unsigned i = 0; i < state->listener_count; i++) {
        fprintf(out, "ccserver_sessions_open");
        listener_labels(out, &state->listeners[i]);
        print_whole(out, stats_open(report_sums_listener(report->sums, &state->listeners[i])));
    }
#define X(name, metric, help)                                                                                          \
    family(document, COUNTER, #metric, strstr(#metric, "_bytes") ? "bytes" : NULL, help);                              \
    each_listener(out, report, #metric, offsetof(struct stats_listener, name));
    STATS_COUNTERS(X)
#undef X
    closed_metrics(document);
    duration_metrics(document);
    for (unsigned i = 0; i < state->listener_count; i++)
        for (unsigned j = 0; j < state->listeners[i].counter_count; j++)
            if (is_first_of_name(state, i, state->listeners[i].counters[j].name))
                own_family(document, &state->listeners[i].counters[j]);
}

void report_metrics(FILE *out, const struct report *report, enum metrics_format format)
{
    const struct document document = {.out = out, .format = format, .report = report};

    prepare_labels(report->state);
    report_metrics_server(out, report, format);
    worker_metrics(&document);
    process_metrics(&document);
    report_metrics_queues(out, report, format);
    listener_metrics(&document);
    if (format == METRICS_OPENMETRICS)
        fprintf(out, "# EOF\n");
}
