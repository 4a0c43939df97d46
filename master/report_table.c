#include "master/report_table.h"
#include "common/log.h"
#include "master/adopt.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

/* Per second; one decimal where a whole number would say too little. */
static double rate_of(uint64_t now, uint64_t before, uint64_t ms)
{
    return now > before && ms > 0 ? (double)(now - before) * 1000 / (double)ms : 0;
}

static void print_rate(char *cell, double rate)
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
    unsigned items; /* in `line` */
};

static void list_begin(struct list *list, const char *prefix, const char *indent)
{
    list->indent = indent;
    list->items = 0;
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
    if (list->items > 0 && used + size > REPORT_TABLE_WIDTH) {
        log_always("%s,", list->line);
        list_begin(list, list->indent, list->indent);
        used = strlen(list->line);
    }
    snprintf(list->line + used, sizeof(list->line) - used, "%s%s", list->items ? ", " : "", item);
    list->items++;
}

/* Things that are counted, of which those that have never happened are left out. */
static void list_add_count(struct list *list, const char *name, uint64_t count)
{
    if (count > 0)
        list_add(list, "%s %" PRIu64, name, count);
}

static void list_end(struct list *list)
{
    if (list->items > 0)
        log_always("%s", list->line);
}

/* ---- the summary ---- */

static void log_summary(const struct master *master, const struct report_sums *sums, const struct report_sums *before)
{
    const struct stats_area *area = master->fleet.context.stats;
    const struct stats_service *service = &area->service;
    char up[REPORT_CELL_SIZE], own[REPORT_CELL_SIZE], since[REPORT_CELL_SIZE];
    struct list list;

    report_time(up, report_ms_since(stats_read(&service->started_ms)) * 1000);
    report_time(own, report_ms_since(master->started_ms) * 1000);
    report_time(since, (sums->at_ms - before->at_ms) * 1000);
    list_begin(&list, "statistics: ", "  ");
    list_add(&list, "up %s", up);
    list_add(&list, "master %d", (int)getpid());
    list_add(&list, "%s", report_master_state(master));
    list_add(&list, "up %s", own);
    list_add(&list, "generation %u", master->fleet.current->number);
    list_add(&list, "%u workers", generation_count(master->fleet.current));
    list_end(&list);
    list_begin(&list, "  ", "  ");
    list_add(&list, "rates over %s", since);
    list_add(&list, "reloads %" PRIu64, stats_read(&service->reloads));
    list_add(&list, "refused %" PRIu64, stats_read(&service->reload_failures));
    list_add(&list, "upgrades %" PRIu64, stats_read(&area->upgrades));
    list_add(&list, "failed %" PRIu64, stats_read(&service->upgrade_failures));
    list_add_count(&list, "log lines dropped", log_dropped());
    list_end(&list);
    list_begin(&list, "  workers started again by: ", "    ");
    for (unsigned i = 0; i < RESPAWNS; i++)
        list_add_count(&list, report_respawn_name(i), sums->respawns[i]);
    list_end(&list);
}

/* ---- the table of workers ---- */

/* "1" in the pool main, "bank/1" elsewhere. What the column has no room for has a line of its own. */
struct label {
    char text[POOL_NAME_SIZE + 16];
};

static struct label label_of(const struct slot *slot, unsigned width)
{
    bool is_main = slot->pool_name[0] == '\0' || strcmp(slot->pool_name, "main") == 0;
    struct label label;

    snprintf(label.text, sizeof(label.text), "%s%s%u", is_main ? "" : slot->pool_name, is_main ? "" : "/", slot->id);
    if (strlen(label.text) > width) {
        log_always("  %s", label.text);
        label.text[0] = '\0';
    }
    return label;
}

enum { WORKER_WIDTH = 6 };
#define WORKER_ROW "  %-6s %5s %7s %-8s %7s %7s %5s %5s %7s %6s %6s %7s"

/* What has happened to a number, and who serves its queues; only what is out of the ordinary. */
static void log_history(const struct master *master, const struct slot *slot)
{
    uint64_t respawns[RESPAWNS];
    struct list list;

    report_slot_respawns(master, slot, respawns);
    list_begin(&list, "         started again by: ", "           ");
    for (unsigned i = 0; i < RESPAWNS; i++)
        list_add_count(&list, report_respawn_name(i), respawns[i]);
    if (list.items > 0)
        list_add(&list, "the last time: %s", report_respawn_name(slot->reason));
    list_end(&list);
    if (report_is_adopted(master, slot))
        log_always("         its accept queues are adopted by its siblings");
}

static void log_worker(const struct master *master, const struct slot *slot, const struct report_row *row)
{
    const struct label label = label_of(slot, WORKER_WIDTH);
    char generation[REPORT_CELL_SIZE], pid[REPORT_CELL_SIZE], up[REPORT_CELL_SIZE], ready[REPORT_CELL_SIZE],
        open[REPORT_CELL_SIZE], turns[REPORT_CELL_SIZE], longest[REPORT_CELL_SIZE], pauses[REPORT_CELL_SIZE],
        adopted[REPORT_CELL_SIZE], dropped[REPORT_CELL_SIZE];

    report_count(generation, slot->generation);
    snprintf(pid, sizeof(pid), "%d", (int)slot->pid);
    report_time(up, report_slot_up_ms(master, slot) * 1000);
    report_time(ready, report_slot_ready_ms(slot) * 1000);
    report_count(open, stats_open(&row->traffic));
    report_count(turns, row->turns);
    report_time(longest, row->longest_turn_us);
    report_count(pauses, row->accept_pauses);
    report_count(adopted, adopt_count(slot));
    report_count(dropped, row->log_dropped);
    log_always(WORKER_ROW, label.text, generation, slot->pid ? pid : "-", supervisor_state_name(slot->supervised.state),
               slot->pid ? up : "-", slot->ready_ms ? ready : "-", open, turns, longest, pauses, adopted, dropped);
}

static void log_process(const struct master *master, const struct slot *slot)
{
    struct report_row row;

    if (!slot->block)
        return;
    report_sums_process(slot->block, &row);
    log_worker(master, slot, &row);
}

static void log_workers(const struct master *master, const struct report_sums *sums)
{
    const struct generation *current = master->fleet.current, *next = master->fleet.next;
    const struct slot *slot;

    log_always(WORKER_ROW, "worker", "gen", "pid", "state", "up", "ready", "open", "turns", "longest", "pauses",
               "adopts", "dropped");
    for (unsigned i = 0; i < current->pool_count; i++)
        for (unsigned j = 0; j < current->pools[i].count; j++) {
            slot = current->pools[i].slots[j];
            log_worker(master, slot, report_sums_slot(master, sums, slot));
            log_history(master, slot);
        }
    for (unsigned i = 0; next && i < next->pool_count; i++)
        for (unsigned j = 0; j < next->pools[i].count; j++)
            log_process(master, next->pools[i].slots[j]);
    LIST_FOREACH(slot, &master->fleet.leaving, link)
        log_process(master, slot);
}

/* ---- the table of traffic ---- */

enum { NAME_WIDTH = 13 };
#define TRAFFIC_ROW "  %-13s %5s %8s %5s %5s %5s %5s %5s %8s %7s %7s %7s %6s"

static void log_traffic_heading(const char *what)
{
    log_always(TRAFFIC_ROW, what, "open", "accepted", "acc/s", "in", "in/s", "out", "out/s", "received", "recv/s",
               "sent", "sent/s", "errors");
}

/* How sessions have ended and what went wrong, by kind; only what has happened. */
static void log_kinds(const struct stats_listener *traffic)
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
static void log_own(const struct service *service, const struct stats_listener *traffic)
{
    struct list list;

    list_begin(&list, "    ", "    ");
    for (unsigned i = 0; service->counters && service->counters[i].name; i++)
        list_add_count(&list, service->counters[i].name, stats_read(&traffic->own[i]));
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
    print_rate(pair.rate, rate_of(stats_read(now), stats_read(before), ms));
    return pair;
}

static struct pair bytes(const stats_counter *now, const stats_counter *before, uint64_t ms)
{
    struct pair pair;

    report_bytes(pair.total, stats_read(now));
    report_bytes(pair.rate, (uint64_t)(rate_of(stats_read(now), stats_read(before), ms) + 0.5));
    return pair;
}

static void log_traffic(const char *name, const struct stats_listener *now, const struct stats_listener *before,
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
        log_always("  %s", name);
        name = "";
    }
    log_always(TRAFFIC_ROW, name, open, accepted.total, accepted.rate, in.total, in.rate, out.total, out.rate,
               received.total, received.rate, sent.total, sent.rate, errors);
    log_kinds(now);
}

static bool has_traffic(const struct stats_listener *traffic)
{
    return stats_read(&traffic->accepted) > 0 || stats_read(&traffic->refused) > 0;
}

static void log_workers_traffic(const struct master *master, const struct report_sums *sums,
                                const struct report_sums *before, uint64_t ms)
{
    const struct generation *current = master->fleet.current;
    struct report_row gone, gone_before;

    log_traffic_heading("worker");
    for (unsigned i = 0; i < current->pool_count; i++)
        for (unsigned j = 0; j < current->pools[i].count; j++) {
            const struct slot *slot = current->pools[i].slots[j];
            log_traffic(label_of(slot, NAME_WIDTH).text, &report_sums_slot(master, sums, slot)->traffic,
                        &report_sums_slot(master, before, slot)->traffic, ms);
        }
    report_sums_gone_workers(master, sums, &gone);
    report_sums_gone_workers(master, before, &gone_before);
    if (has_traffic(&gone.traffic))
        log_traffic("gone", &gone.traffic, &gone_before.traffic, ms);
}

static void log_listeners_traffic(const struct master *master, const struct report_sums *sums,
                                  const struct report_sums *before, uint64_t ms)
{
    const struct conf *conf = &master->fleet.current->conf;
    struct stats_listener gone, gone_before;

    log_traffic_heading("listener");
    for (unsigned i = 0; i < conf->listener_count; i++) {
        const struct stats_listener *traffic = report_sums_listener(sums, &conf->listeners[i]);
        log_traffic(conf->listeners[i].name, traffic, report_sums_listener(before, &conf->listeners[i]), ms);
        log_own(conf->listeners[i].service, traffic);
    }
    report_sums_gone_listeners(master, sums, &gone);
    report_sums_gone_listeners(master, before, &gone_before);
    if (has_traffic(&gone))
        log_traffic("gone", &gone, &gone_before, ms);
}

void report_table(const struct master *master, const struct report_sums *sums, const struct report_sums *before)
{
    uint64_t ms = sums->at_ms - before->at_ms;

    log_summary(master, sums, before);
    log_workers(master, sums);
    log_workers_traffic(master, sums, before, ms);
    log_listeners_traffic(master, sums, before, ms);
}
