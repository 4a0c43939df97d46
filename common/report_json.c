#include "common/report_json.h"
#include "common/clock.h"
#include "common/digits.h"
#include "common/log.h"
#include "common/report_json_queues.h"
#include "common/stats_count.h"
#include <inttypes.h>
#include <string.h>
#include <time.h>

/* ---- strings ---- */

/* The length of the character that `text` begins with, as UTF-8; 0 when it is none (RFC 3629). */
static unsigned utf8_length(const unsigned char *text)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000}; /* what needs so many bytes, and no fewer */
    unsigned length = text[0] < 0x80             ? 1
                      : (text[0] & 0xe0) == 0xc0 ? 2
                      : (text[0] & 0xf0) == 0xe0 ? 3
                      : (text[0] & 0xf8) == 0xf0 ? 4
                                                 : 0;
    if (length < 2)
        return length;
    uint32_t code = text[0] & (0xffU >> (length + 1));
    for (unsigned i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80) /* also at the end of the text */
            return 0;
        code = code << 6 | (text[i] & 0x3f);
    }
    bool surrogate = code >= 0xd800 && code <= 0xdfff;
    return code < least[length] || code > 0x10ffff || surrogate ? 0 : length;
}

/* How many characters stand for themselves. */
static size_t plain_length(const unsigned char *text)
{
    size_t length = 0;

    while (text[length] >= ' ' && text[length] < 0x7f && text[length] != '"' && text[length] != '\\')
        length++;
    return length;
}

void report_json_string(FILE *out, const char *text)
{
    const unsigned char *at = (const unsigned char *)text;

    fputc('"', out);
    while (*at) {
        size_t plain = plain_length(at);
        fwrite(at, 1, plain, out);
        at += plain;
        if (*at == '\0')
            break;
        unsigned length = utf8_length(at);
        if (length == 0)
            fprintf(out, "\\ufffd");
        else if (*at == '"' || *at == '\\')
            fprintf(out, "\\%c", *at);
        else if (*at < ' ' || *at == 0x7f)
            fprintf(out, "\\u%04x", *at);
        else
            fwrite(at, 1, length, out);
        at += length ? length : 1;
    }
    fputc('"', out);
}

/* ---- pieces ---- */

/* Of no durations all are zero, as most histograms of a report are. */
static void json_quantiles(FILE *out, const char *name, const uint64_t counts[DURATION_BUCKETS])
{
    if (report_duration_count(counts) == 0) {
        fprintf(out, "\"%s\": {\"p50_us\": 0.000, \"p90_us\": 0.000, \"p99_us\": 0.000, \"max_us\": 0.000", name);
        return;
    }
    fprintf(out, "\"%s\": {\"p50_us\": %.3f, \"p90_us\": %.3f, \"p99_us\": %.3f, \"max_us\": %.3f", name,
            report_quantile_us(counts, 0.5), report_quantile_us(counts, 0.9), report_quantile_us(counts, 0.99),
            report_quantile_us(counts, 1));
}

/* Quantiles, and what they are taken from. */
static void json_durations(FILE *out, const char *name, const uint64_t counts[DURATION_BUCKETS])
{
    fprintf(out, ", ");
    json_quantiles(out, name, counts);
    fprintf(out, ", \"counts\": [");
    digits_print_list(out, counts, DURATION_BUCKETS);
    fprintf(out, "]}");
}

/* Quantiles of the last minute, and how many durations they are of. */
static void json_minute(FILE *out, const char *name, const uint64_t counts[DURATION_BUCKETS])
{
    json_quantiles(out, name, counts);
    fprintf(out, ", \"count\": %" PRIu64 "}", report_duration_count(counts));
}

/* The members of an object, without its braces. */
static void json_traffic(FILE *out, const struct stats_listener *traffic)
{
    const char *comma = "";

    fprintf(out, "\"sessions_open\": %" PRIu64, stats_open(traffic));
#define X(name, metric, help)                                                                                          \
    fputs(", \"" #name "\": ", out);                                                                                   \
    digits_print(out, stats_read(&traffic->name));
    STATS_COUNTERS(X)
#undef X
    fprintf(out, ", \"closed\": {");
#define X(name, help)                                                                                                  \
    fputs(comma, out);                                                                                                 \
    fputs("\"" #name "\": ", out);                                                                                     \
    digits_print(out, stats_read(&traffic->closed[CLOSE_##name]));                                                     \
    comma = ", ";
    STATS_CLOSE_REASONS(X)
#undef X
    fprintf(out, "}");
    uint64_t counts[DURATION_BUCKETS];
#define X(name, metric, help)                                                                                          \
    report_counts(traffic->durations[DURATION_##name], counts);                                                        \
    json_durations(out, #name, counts);
    DURATIONS_OF_LISTENERS(X)
#undef X
}

static void json_row(FILE *out, const struct report_row *row)
{
    fprintf(out, "\"turns\": %" PRIu64 ", \"longest_turn_us\": %" PRIu64 ", \"accept_pauses\": %" PRIu64 ", ",
            row->turns, row->longest_turn_us, row->accept_pauses);
    fprintf(out, "\"log_dropped\": %" PRIu64 ", ", row->log_dropped);
    json_traffic(out, &row->traffic);
    json_durations(out, "turn_times", row->turn_times);
}

static void json_respawns(FILE *out, const uint64_t *respawns)
{
    fprintf(out, "\"respawns\": {");
    for (unsigned i = 0; i < RESPAWNS; i++)
        fprintf(out, "%s\"%s\": %" PRIu64, i ? ", " : "", report_respawn_name(i), respawns[i]);
    fprintf(out, "}");
}

/* ---- workers ---- */

static void json_process(FILE *out, const struct state_worker *worker)
{
    fprintf(out, "\"pool\": \"%s\", \"slot\": %u, \"pid\": %d, \"generation\": %u, ", worker->pool, worker->id,
            (int)worker->pid, worker->generation);
    fprintf(out, "\"state\": \"%s\", \"uptime_s\": %.3f, ", worker->state,
            (double)report_ms_since(worker->started_ms) / 1000);
    fprintf(out, "\"ready_s\": %.3f, \"adopted\": %s, \"adopted_queues\": %u, ",
            (double)report_ms_since(worker->ready_ms) / 1000, worker->is_adopted ? "true" : "false", worker->adopts);
}

/* What the kernel knows of it. */
static void json_usage(FILE *out, const struct report *report, const struct state_worker *worker)
{
    const struct report_process *process = report->processes ? &report->processes[worker - report->state->workers]
                                                             : NULL;

    if (!process || !process->is_known)
        return;
    fprintf(out, "\"cpu_ms\": %" PRIu64 ", \"memory_bytes\": %" PRIu64 ", ", process->cpu_ms, process->memory_bytes);
    if (process->descriptors >= 0)
        fprintf(out, "\"descriptors\": %" PRId64 ", ", process->descriptors);
}

/* A slot that serves: the process it has now, and what all that it has had have counted. */
static void json_worker(FILE *out, const struct report *report, const struct state_worker *worker)
{
    uint64_t respawns[RESPAWNS];

    report_respawns(report, worker, respawns);
    json_process(out, worker);
    const struct report_queue_sum queues = report_queues_of_worker(report->queues, report->state, worker);
    report_json_queue_sum(out, &queues);
    json_respawns(out, respawns);
    fprintf(out, ", \"last_reason\": \"%s\", ", report_respawn_name(worker->reason));
    json_row(out, report_sums_worker(report, worker));
}

/* A process beside the current one of its slot: it starts or drains. */
static void json_other(FILE *out, const struct state_worker *worker, const struct stats_block *block)
{
    struct report_row row;

    report_sums_process(block, &row);
    json_process(out, worker);
    json_row(out, &row);
}

static void json_part(FILE *out, const struct report *report, enum state_part part)
{
    const char *comma = "";

    fputc('[', out);
    for (unsigned i = 0; i < report->state->worker_count; i++) {
        const struct state_worker *worker = &report->state->workers[i];
        const struct stats_block *block = stats_block_of(report->area, worker->serial);
        if (worker->part != part || (part != STATE_SERVES && !block))
            continue;
        fprintf(out, "%s\n  {", comma);
        comma = ",";
        json_usage(out, report, worker);
        if (part == STATE_SERVES)
            json_worker(out, report, worker);
        else
            json_other(out, worker, block);
        fprintf(out, "}");
    }
    fputc(']', out);
}

static void json_workers(FILE *out, const struct report *report)
{
    json_part(out, report, STATE_SERVES);
}

static void json_starting(FILE *out, const struct report *report)
{
    json_part(out, report, STATE_STARTS);
}

static void json_leaving(FILE *out, const struct report *report)
{
    json_part(out, report, STATE_LEAVES);
}

/* ---- the document ---- */

/* What the listener's service counts itself. */
static void json_own(FILE *out, const struct state_listener *listener, const struct stats_listener *traffic)
{
    fprintf(out, ", \"own\": {");
    for (unsigned i = 0; i < listener->counter_count; i++)
        fprintf(out, "%s\"%s\": %" PRIu64, i ? ", " : "", listener->counters[i].name, stats_read(&traffic->own[i]));
    fprintf(out, "}");
}

static void json_last_minute(FILE *out, const struct report_sums *sums, const struct state_listener *listener)
{
    const char *comma = "";

    fprintf(out, ", \"last_minute\": {");
#define X(name, metric, help)                                                                                          \
    fprintf(out, "%s", comma);                                                                                         \
    json_minute(out, #name, report_minute(sums, listener, DURATION_##name));                                           \
    comma = ", ";
    DURATIONS_OF_LISTENERS(X)
#undef X
    fprintf(out, "}");
}

static void json_listener(FILE *out, const struct report *report, unsigned index)
{
    const struct state_listener *listener = &report->state->listeners[index];
    const struct stats_listener *traffic = report_sums_listener(report->sums, listener);

    fprintf(out, "{\"name\": ");
    report_json_string(out, listener->name);
    fprintf(out, ", \"service\": ");
    report_json_string(out, listener->service);
    fprintf(out, ", \"pool\": ");
    report_json_string(out, listener->pool);
    fprintf(out, ", \"disabled\": %s, \"addresses\": [", listener->is_disabled ? "true" : "false");
    for (unsigned i = 0; i < listener->address_count; i++) {
        fprintf(out, "%s", i ? ", " : "");
        report_json_string(out, listener->addresses[i]);
    }
    fprintf(out, "], ");
    report_json_queues_of(out, report, index);
    json_traffic(out, traffic);
    json_last_minute(out, report->sums, listener);
    json_own(out, listener, traffic);
    fprintf(out, "}");
}

static void json_listeners(FILE *out, const struct report *report)
{
    const struct master_state *state = report->state;

    fputc('[', out);
    for (unsigned i = 0; i < state->listener_count; i++) {
        fprintf(out, "%s\n  ", i ? "," : "");
        json_listener(out, report, i);
    }
    fputc(']', out);
}

static void json_gone(FILE *out, const struct report *report)
{
    struct stats_listener listeners;
    struct report_row workers;

    report_sums_gone_workers(report, &workers);
    report_sums_gone_listeners(report, &listeners);
    fprintf(out, " \"gone\": {\"workers\": {");
    json_row(out, &workers);
    fprintf(out, "},\n  \"listeners\": {");
    json_traffic(out, &listeners);
    fprintf(out, "}}");
}

static void json_master(FILE *out, const struct report *report)
{
    const struct master_state *state = report->state;
    const struct stats_area *area = report->area;
    const struct stats_service *service = &area->service;

    fprintf(
        out,
        " \"master\": {\"pid\": %d, \"state\": \"%s\", \"ready\": %s, \"uptime_s\": %.3f, \"master_uptime_s\": %.3f, ",
        (int)state->pid, state->phase, state_unready(state) ? "false" : "true",
        (double)report_ms_since(stats_read(&service->started_ms)) / 1000,
        (double)report_ms_since(state->master_started_ms) / 1000);
    fprintf(out, "\"workers\": %u, \"generation\": %u, ", state_serving(state), state->generation);
    fprintf(out, "\"reloads\": %" PRIu64 ", \"reload_failures\": %" PRIu64 ", ", stats_read(&service->reloads),
            stats_read(&service->reload_failures));
    fprintf(out, "\"upgrades\": %" PRIu64 ", \"upgrade_failures\": %" PRIu64 ", ", stats_read(&area->upgrades),
            stats_read(&service->upgrade_failures));
    fprintf(out, "\"log_dropped\": %" PRIu64 ", ", state->log_dropped);
    json_respawns(out, report->sums->respawns);
    fprintf(out, "},\n");
}

static void json_turns_of_last_minute(FILE *out, const struct report_sums *sums)
{
    fprintf(out, " \"last_minute\": {\"seconds\": %.3f, ", (double)sums->minute_ms / 1000);
    json_minute(out, "turn_times", sums->minute.turn_times);
    fprintf(out, "},\n");
}

static void json_pools(FILE *out, const struct report *report)
{
    const struct master_state *state = report->state;

    fputc('[', out);
    for (unsigned i = 0; i < state->pool_count; i++) {
        const struct state_pool *pool = &state->pools[i];
        fprintf(out, "%s{\"name\": ", i ? ", " : "");
        report_json_string(out, pool->name);
        fprintf(out, ", \"wanted\": %" PRIu32 ", \"ready\": %" PRIu32 ", \"cannot_run\": %s}", pool->wanted,
                pool->running, pool->cannot_run ? "true" : "false");
    }
    fputc(']', out);
}

static void json_change(FILE *out, const char *name, const struct state_change *change)
{
    char text[STATE_TEXT_SIZE];

    snprintf(text, sizeof(text), "%.*s", STATE_TEXT_SIZE - 1, change->text);
    fprintf(out, " \"%s\": {\"count\": %" PRIu32 ", \"failed\": %s, \"time_ms\": %" PRIu64 ", \"text\": ", name,
            atomic_load(&change->count), change->failed ? "true" : "false", change->at_ms);
    report_json_string(out, text);
    fprintf(out, "},\n");
}

static void json_events(FILE *out, const struct event_ring *ring)
{
    struct event events[EVENTS_MAX];
    unsigned count = event_read(ring, events);

    fprintf(out, " \"events\": [");
    for (unsigned i = 0; i < count; i++) {
        fprintf(out, "%s\n  {\"time_ms\": %" PRIu64 ", \"level\": \"%s\", \"text\": ", i ? "," : "", events[i].at_ms,
                log_level_name(events[i].level));
        report_json_string(out, events[i].text);
        fprintf(out, "}");
    }
    fprintf(out, "],\n");
}

static void json_member(FILE *out, const char *name, const struct report *report,
                        void (*print)(FILE *out, const struct report *report))
{
    fprintf(out, " \"%s\": ", name);
    print(out, report);
    fprintf(out, ",\n");
}

bool report_json_part(FILE *out, const struct report *report, const char *name)
{
    static const struct {
        const char *name;
        void (*print)(FILE *out, const struct report *report);
    } parts[] = {{"pools", json_pools},
                 {"workers", json_workers},
                 {"listeners", json_listeners},
                 {"queues", report_json_queues}};

    for (unsigned i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (strcmp(parts[i].name, name) != 0)
            continue;
        parts[i].print(out, report);
        fputc('\n', out);
        return true;
    }
    return false;
}

void report_json(FILE *out, const struct report *report)
{
    uint64_t now_ms = clock_date_ms();
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm date;
    char text[64];

    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &date));
    fprintf(out, "{\"layout\": %d, \"version\": \"%s\", ", REPORT_JSON_LAYOUT, report->state->version);
    fprintf(out, "\"time\": \"%s\", \"time_ms\": %" PRIu64 ",\n", text, now_ms);
    json_master(out, report);
    json_turns_of_last_minute(out, report->sums);
    json_member(out, "pools", report, json_pools);
    json_change(out, "last_reload", &report->area->service.last_reload);
    json_change(out, "last_upgrade", &report->area->service.last_upgrade);
    json_events(out, &report->area->service.events);
    json_member(out, "workers", report, json_workers);
    json_member(out, "starting", report, json_starting);
    json_member(out, "leaving", report, json_leaving);
    json_member(out, "listeners", report, json_listeners);
    json_gone(out, report);
    fprintf(out, "}\n");
}
