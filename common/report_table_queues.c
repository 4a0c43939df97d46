#include "common/report_table_queues.h"
#include "common/report_table.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { NAME_WIDTH = 13, ADDRESS_WIDTH = 46 };
#define ROW "  %-13s %-13s %7s %7s %7s %s"

/* Print a row. Names that are wider than their columns have a line of their own. */
static void print_row(const char *listener, const char *worker, const char *length, const char *limit,
                      const char *drops, const char *address, void (*print)(const char *line))
{
    char line[REPORT_TABLE_WIDTH + 1];

    if (strlen(listener) > NAME_WIDTH || strlen(worker) > NAME_WIDTH) {
        snprintf(line, sizeof(line), "  %-13s %s", listener, worker);
        print(line);
        listener = worker = "";
    }
    snprintf(line, sizeof(line), ROW, listener, worker, length, limit, drops, address);
    print(line);
}

static void print_queue(const struct report *report, const struct report_queue *queue, void (*print)(const char *line))
{
    const struct state_listener *listener = &report->state->listeners[queue->place.listener];
    const char *address = listener->addresses[queue->place.address];
    bool is_shared = queue->place.slot == QUEUE_SHARED, is_long = strlen(address) > ADDRESS_WIDTH;
    char worker[REPORT_WORKER_SIZE], length[REPORT_CELL_SIZE], limit[REPORT_CELL_SIZE], drops[REPORT_CELL_SIZE],
        cut[ADDRESS_WIDTH + sizeof("+")];

    report_worker_name(worker, listener->pool, queue->place.slot);
    report_count(length, queue->figures.length);
    report_count(limit, queue->figures.limit);
    report_count(drops, queue->figures.drops);
    snprintf(cut, sizeof(cut), "%.*s%s", ADDRESS_WIDTH - is_long, address, is_long ? "+" : "");
    print_row(listener->name, is_shared ? "all" : worker, queue->is_known ? length : "-", queue->is_known ? limit : "-",
              queue->is_known && queue->figures.has_drops ? drops : "-", cut, print);
}

static bool is_in_use(const struct report_queue *queue)
{
    return queue->is_known && (queue->figures.length > 0 || queue->figures.drops > 0);
}

static void print_heading(void (*print)(const char *line))
{
    print_row("accept queue", "worker", "length", "limit", "drops", "address", print);
}

void report_table_queues(const struct report *report, enum report_queues_shown shown, void (*line)(const char *line))
{
    const struct report_queues *queues = report->queues;
    bool has_heading = shown == QUEUES_ALL;
    char rest[REPORT_TABLE_WIDTH + 1];

    if (!queues)
        return;
    if (has_heading)
        print_heading(line);
    for (unsigned i = 0; i < queues->count; i++) {
        if (shown == QUEUES_IN_USE && !is_in_use(&queues->all[i]))
            continue;
        if (!has_heading)
            print_heading(line);
        has_heading = true;
        print_queue(report, &queues->all[i], line);
    }
    if (has_heading && queues->total > queues->count) {
        snprintf(rest, sizeof(rest), "  (%" PRIu32 " more are not looked at)", queues->total - queues->count);
        line(rest);
    }
}
