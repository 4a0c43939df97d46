#include "common/report_table.h"
#include "common/report_line.h"
#include "common/report_table_queues.h"
#include "common/stats_count.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- numbers in narrow cells ---- */

/* Three significant digits of `value`, which is less than 1000. */
static void print_scaled(char *cell, double value, const char *unit)
{
    int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;

    snprintf(cell, REPORT_CELL_SIZE, "%.*f%s", decimals, value, unit);
}

void report_count(char cell[REPORT_CELL_SIZE], uint64_t count)
{
    static const char *const units[] = {"", "k", "M", "G", "T", "P", "E"};
    double value = (double)count;
    unsigned unit = 0;

    if (count < 10000) {
        snprintf(cell, REPORT_CELL_SIZE, "%" PRIu64, count);
        return;
    }
    for (; value >= 999.5; unit++)
        value /= 1000;
    print_scaled(cell, value, units[unit]);
}

void report_bytes(char cell[REPORT_CELL_SIZE], uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    unsigned unit = 0;

    if (bytes < 1024) {
        snprintf(cell, REPORT_CELL_SIZE, "%" PRIu64 "B", bytes);
        return;
    }
    for (; value >= 999.5; unit++)
        value /= 1024;
    print_scaled(cell, value, units[unit]);
}

void report_time(char cell[REPORT_CELL_SIZE], uint64_t us)
{
    uint64_t seconds = us / 1000000, minutes = seconds / 60, hours = minutes / 60, days = hours / 24;

    if (us < 1000)
        snprintf(cell, REPORT_CELL_SIZE, "%" PRIu64 "us", us);
    else if (seconds < 1)
        snprintf(cell, REPORT_CELL_SIZE, "%" PRIu64 ".%" PRIu64 "ms", us / 1000, us / 100 % 10);
    else if (minutes < 1)
        snprintf(cell, REPORT_CELL_SIZE, "%" PRIu64 ".%" PRIu64 "s", seconds, us / 100000 % 10);
    else if (hours < 1)
        snprintf(cell, REPORT_CELL_SIZE, "%" PRIu64 "m%02" PRIu64 "s", minutes, seconds % 60);
    else if (days < 1)
        snprintf(cell, REPORT_CELL_SIZE, "%" PRIu64 "h%02" PRIu64 "m", hours, minutes % 60);
    else if (days < 1000)
        snprintf(cell, REPORT_CELL_SIZE, "%" PRIu64 "d%02" PRIu64 "h", days, hours % 24);
    else
        snprintf(cell, REPORT_CELL_SIZE, "%" PRIu64 "d", days < 999999 ? days : 999999);
}

double report_per_second(uint64_t now, uint64_t before, uint64_t ms)
{
    return now > before && ms > 0 ? (double)(now - before) * 1000 / (double)ms : 0;
}

void report_rate(char cell[REPORT_CELL_SIZE], double rate)
{
    if (rate > 0 && rate < 99.95)
        snprintf(cell, REPORT_CELL_SIZE, "%.1f", rate);
    else
        report_count(cell, (uint64_t)(rate + 0.5));
}

/* ---- lists that go on in the next line ---- */

/* Items after a prefix, separated by commas; "" when nothing has been added since the last line. */
struct list {
    const char *indent;
    char line[REPORT_TABLE_WIDTH + 1];
    bool has_items; /* `line` is more than a prefix */
};

static void list_begin(struct list *list, const char *prefix, const char *indent)
{
    list->indent = indent;
    list->has_items = false;
    snprintf(list->line, sizeof(list->line), "%s", prefix);
}

static void list_add(struct list *list, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void list_add(struct list *list, const char *format, ...)
{
    char item[REPORT_TABLE_WIDTH];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(item, sizeof(item), format, arguments);
    va_end(arguments);
    size_t used = strlen(list->line), size = strlen(item) + strlen(", ,"); /* a comma may follow */
    if (used + size > REPORT_TABLE_WIDTH) {
        report_line("%s,", list->line);
        list_begin(list, list->indent, list->indent);
        used = strlen(list->line);
    }
    snprintf(list->line + used, sizeof(list->line) - used, "%s%s", list->has_items ? ", " : "", item);
    list->has_items = true;
}

/* Things that are counted, of which those that have never happened are left out. */
static void list_add_count(struct list *list, const char *name, uint64_t count)
{
    if (count > 0)
        list_add(list, "%s %" PRIu64, name, count);
}

static void list_end(struct list *list)
{
    if (list->has_items)
        report_line("%s", list->line);
}

/* ---- the summary ---- */

static void print_summary(const struct report *report, const struct report_sums *before)
{
    const struct stats_area *area = report->area;
    const struct master_state *state = report->state;
    const struct stats_service *service = &area->service;
    char up[REPORT_CELL_SIZE], own[REPORT_CELL_SIZE], since[REPORT_CELL_SIZE];
    struct list list;

    report_time(up, report_ms_since(stats_read(&service->started_ms)) * 1000);
    report_time(own, report_ms_since(state->master_started_ms) * 1000);
    report_time(since, (report->sums->at_ms - before->at_ms) * 1000);
    list_begin(&list, "statistics: ", "  ");
    list_add(&list, "up %s", up);
    list_add(&list, "master %d", (int)state->pid);
    list_add(&list, "%s", state->phase);
    list_add(&list, "up %s", own);
    list_add(&list, "generation %u", state->generation);
    list_add(&list, "%u workers", state_serving(state));
    list_end(&list);
    list_begin(&list, "  ", "  ");
    list_add(&list, "rates over %s", since);
    list_add(&list, "reloads %" PRIu64, stats_read(&service->reloads));
    list_add(&list, "refused %" PRIu64, stats_read(&service->reload_failures));
    list_add(&list, "upgrades %" PRIu64, stats_read(&area->upgrades));
    list_add(&list, "failed %" PRIu64, stats_read(&service->upgrade_failures));
    list_add_count(&list, "log lines dropped", state->log_dropped);
    list_end(&list);
    list_begin(&list, "  workers started again by: ", "    ");
    for (unsigned i = 0; i < RESPAWNS; i++)
        list_add_count(&list, report_respawn_name(i), report->sums->respawns[i]);
    list_end(&list);
}

/* ---- the table of workers ---- */

/* The name of a worker. What the column has no room for has a line of its own. */
struct label {
    char text[REPORT_WORKER_SIZE];
};

static struct label label_of(const struct state_worker *worker, unsigned width)
{
    struct label label;

    report_worker_name(label.text, worker->pool, worker->id);
    if (strlen(label.text) > width) {
        report_line("  %s", label.text);
        label.text[0] = '\0';
    }
    return label;
}

enum { WORKER_WIDTH = 6 };
#define WORKER_ROW "  %-6s %5s %7s %-8s %7s %7s %5s %5s %7s %6s %6s %7s"

/* What has happened to a slot, and who serves its queues; only what is out of the ordinary. */
static void print_history(const struct report *report, const struct state_worker *worker)
{
    uint64_t respawns[RESPAWNS];
    struct list list;

    report_respawns(report, worker, respawns);
    list_begin(&list, "         started again by: ", "           ");
    for (unsigned i = 0; i < RESPAWNS; i++)
        list_add_count(&list, report_respawn_name(i), respawns[i]);
    if (list.has_items)
        list_add(&list, "the last time: %s", report_respawn_name(worker->reason));
    list_end(&list);
    if (worker->is_adopted)
        report_line("         its accept queues are adopted by its siblings");
}

static void print_worker(const struct state_worker *worker, const struct report_row *row)
{
    const struct label label = label_of(worker, WORKER_WIDTH);
    char generation[REPORT_CELL_SIZE], pid[REPORT_CELL_SIZE], up[REPORT_CELL_SIZE], ready[REPORT_CELL_SIZE],
        open[REPORT_CELL_SIZE], turns[REPORT_CELL_SIZE], longest[REPORT_CELL_SIZE], pauses[REPORT_CELL_SIZE],
        adopted[REPORT_CELL_SIZE], dropped[REPORT_CELL_SIZE];

    report_count(generation, worker->generation);
    snprintf(pid, sizeof(pid), "%d", (int)worker->pid);
    report_time(up, report_ms_since(worker->started_ms) * 1000);
    report_time(ready, report_ms_since(worker->ready_ms) * 1000);
    report_count(open, stats_open(&row->traffic));
    report_count(turns, row->turns);
    report_time(longest, row->longest_turn_us);
    report_count(pauses, row->accept_pauses);
    report_count(adopted, worker->adopts);
    report_count(dropped, row->log_dropped);
    report_line(WORKER_ROW, label.text, generation, worker->pid ? pid : "-", worker->state, worker->pid ? up : "-",
                worker->ready_ms ? ready : "-", open, turns, longest, pauses, adopted, dropped);
}

static void print_process(const struct report *report, const struct state_worker *worker)
{
    const struct stats_block *block = stats_block_of(report->area, worker->serial);
    struct report_row row;

    if (!block)
        return;
    report_sums_process(block, &row);
    print_worker(worker, &row);
}

static void print_workers(const struct report *report)
{
    report_line(WORKER_ROW, "worker", "gen", "pid", "state", "up", "ready", "open", "turns", "longest", "pauses",
                "adopts", "dropped");
    for (unsigned i = 0; i < report->state->worker_count; i++) {
        const struct state_worker *worker = &report->state->workers[i];
        if (worker->part == STATE_SERVES) {
            print_worker(worker, report_sums_worker(report, worker));
            print_history(report, worker);
        } else {
            print_process(report, worker);
        }
    }
}

/* ---- the table of traffic ---- */

enum { NAME_WIDTH = 13 };
#define TRAFFIC_ROW "  %-13s %5s %8s %5s %5s %5s %5s %5s %8s %7s %7s %7s %6s"

static void print_traffic_heading(const char *what)
{
    report_line(TRAFFIC_ROW, what, "open", "accepted", "acc/s", "in", "in/s", "out", "out/s", "received", "recv/s",
                "sent", "sent/s", "errors");
}

/* How sessions have ended and what went wrong, by kind; only what has happened. */
static void print_kinds(const struct stats_listener *traffic)
{
    struct list list;

    list_begin(&list, "    ", "    ");
#define X(name, help) list_add_count(&list, "closed/" #name, stats_read(&traffic->closed[CLOSE_##name]));
    STATS_CLOSE_REASONS(X)
#undef X
    list_add_count(&list, "lost with their worker", stats_read(&traffic->lost));
    list_add_count(&list, "refused", stats_read(&traffic->refused));
    list_add_count(&list, "protocol errors", stats_read(&traffic->protocol_errors));
    list_add_count(&list, "upstream failures", stats_read(&traffic->upstream_failures));
    list_add_count(&list, "publications lost", stats_read(&traffic->publications_lost));
    list_end(&list);
}

/* What the listener's service counts itself. */
static void print_own(const struct state_listener *listener, const struct stats_listener *traffic)
{
    struct list list;

    list_begin(&list, "    ", "    ");
    for (unsigned i = 0; i < listener->counter_count; i++)
        list_add_count(&list, listener->counters[i].name, stats_read(&traffic->own[i]));
    list_end(&list);
}

/* The cells of a counter and its rate. */
struct pair {
    char total[REPORT_CELL_SIZE], rate[REPORT_CELL_SIZE];
};

static struct pair counts(const stats_counter *now, const stats_counter *before, uint64_t ms)
{
    struct pair pair;

    report_count(pair.total, stats_read(now));
    report_rate(pair.rate, report_per_second(stats_read(now), stats_read(before), ms));
    return pair;
}

static struct pair bytes(const stats_counter *now, const stats_counter *before, uint64_t ms)
{
    struct pair pair;

    report_bytes(pair.total, stats_read(now));
    report_bytes(pair.rate, (uint64_t)(report_per_second(stats_read(now), stats_read(before), ms) + 0.5));
    return pair;
}

static void print_traffic(const char *name, const struct stats_listener *now, const struct stats_listener *before,
                          uint64_t ms)
{
    const struct pair accepted = counts(&now->accepted, &before->accepted, ms),
                      in = counts(&now->messages_in, &before->messages_in, ms),
                      out = counts(&now->messages_out, &before->messages_out, ms),
                      received = bytes(&now->bytes_in, &before->bytes_in, ms),
                      sent = bytes(&now->bytes_out, &before->bytes_out, ms);
    char open[REPORT_CELL_SIZE], errors[REPORT_CELL_SIZE];

    report_count(open, stats_open(now));
    report_count(errors, stats_read(&now->protocol_errors) + stats_read(&now->upstream_failures));
    if (strlen(name) > NAME_WIDTH) { /* a line of its own, so that the columns stay where they are */
        report_line("  %s", name);
        name = "";
    }
    report_line(TRAFFIC_ROW, name, open, accepted.total, accepted.rate, in.total, in.rate, out.total, out.rate,
                received.total, received.rate, sent.total, sent.rate, errors);
    print_kinds(now);
}

static bool has_traffic(const struct stats_listener *traffic)
{
    return stats_read(&traffic->accepted) > 0 || stats_read(&traffic->refused) > 0;
}

static void print_workers_traffic(const struct report *report, const struct report_sums *before, uint64_t ms)
{
    const struct report then = {.area = report->area, .state = report->state, .sums = before};
    struct report_row gone, gone_before;

    print_traffic_heading("worker");
    for (unsigned i = 0; i < report->state->worker_count; i++) {
        const struct state_worker *worker = &report->state->workers[i];
        if (worker->part == STATE_SERVES)
            print_traffic(label_of(worker, NAME_WIDTH).text, &report_sums_worker(report, worker)->traffic,
                          &report_sums_worker(&then, worker)->traffic, ms);
    }
    report_sums_gone_workers(report, &gone);
    report_sums_gone_workers(&then, &gone_before);
    if (has_traffic(&gone.traffic))
        print_traffic("gone", &gone.traffic, &gone_before.traffic, ms);
}

static void print_listeners_traffic(const struct report *report, const struct report_sums *before, uint64_t ms)
{
    const struct report then = {.area = report->area, .state = report->state, .sums = before};
    struct stats_listener gone, gone_before;

    print_traffic_heading("listener");
    for (unsigned i = 0; i < report->state->listener_count; i++) {
        const struct state_listener *listener = &report->state->listeners[i];
        const struct stats_listener *traffic = report_sums_listener(report->sums, listener);
        print_traffic(listener->name, traffic, report_sums_listener(before, listener), ms);
        print_own(listener, traffic);
    }
    report_sums_gone_listeners(report, &gone);
    report_sums_gone_listeners(&then, &gone_before);
    if (has_traffic(&gone))
        print_traffic("gone", &gone, &gone_before, ms);
}

void report_table(const struct report *report, const struct report_sums *before, void (*line)(const char *line))
{
    uint64_t ms = report->sums->at_ms - before->at_ms;

    report_line_to(line);
    print_summary(report, before);
    print_workers(report);
    print_workers_traffic(report, before, ms);
    print_listeners_traffic(report, before, ms);
    report_table_queues(report, QUEUES_IN_USE, line);
}

void report_table_workers(const struct report *report, void (*line)(const char *line))
{
    report_line_to(line);
    print_workers(report);
}

void report_table_listeners(const struct report *report, const struct report_sums *before,
                            void (*line)(const char *line))
{
    report_line_to(line);
    print_listeners_traffic(report, before, report->sums->at_ms - before->at_ms);
    report_table_queues(report, QUEUES_IN_USE, line);
}
