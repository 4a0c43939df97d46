#include "master/ctl/top_rows.h"
#include "common/report_table.h"
#include "common/stats_count.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bsd/string.h>

/* ---- readings ---- */

void top_read(const struct stats_area *area, const struct master_state *state, struct top_reading *reading)
{
    static struct report_process kernel[STATE_WORKERS_MAX];

    report_sums_take(area, &reading->sums);
    report_processes_take(state, kernel);
    reading->count = state->worker_count;
    for (unsigned i = 0; i < state->worker_count; i++) {
        const struct stats_block *block = stats_block_of(area, state->workers[i].serial);
        struct report_row row = {0};
        if (block)
            report_sums_process(block, &row);
        reading->processes[i] = (struct top_process){
            .serial = block ? state->workers[i].serial : 0,
            .messages = stats_read(&row.traffic.messages_in),
            .sessions = stats_open(&row.traffic),
            .longest_turn_us = row.longest_turn_us,
            .kernel = kernel[i],
        };
    }
}

/* The same process in another reading, most often in the same place; NULL: it was not there, or is not known. */
static const struct top_process *find_process(const struct top_reading *reading, unsigned hint, uint64_t serial)
{
    if (serial == 0)
        return NULL;
    if (hint < reading->count && reading->processes[hint].serial == serial)
        return &reading->processes[hint];
    for (unsigned i = 0; i < reading->count; i++)
        if (reading->processes[i].serial == serial)
            return &reading->processes[i];
    return NULL;
}

/* ---- rows ---- */

static void make_worker(const struct state_worker *worker, const struct top_process *now,
                        const struct top_process *then, uint64_t ms, struct top_worker *row)
{
    *row = (struct top_worker){.worker = worker, .now = *now, .has_rates = then && ms > 0};
    if (!row->has_rates)
        return;
    row->messages = report_per_second(now->messages, then->messages, ms);
    if (now->kernel.is_known && then->kernel.is_known)
        row->cpu = report_per_second(now->kernel.cpu_ms, then->kernel.cpu_ms, ms) / 10; /* ms a second to percent */
}

static struct top_traffic make_traffic(const struct stats_listener *now, const struct stats_listener *then, uint64_t ms)
{
#define RATE(counter) report_per_second(stats_read(&now->counter), stats_read(&then->counter), ms)
    return (struct top_traffic){
        .sessions = stats_open(now),
        .failures = {stats_read(&now->refused), stats_read(&now->lost),
                     stats_read(&now->protocol_errors) + stats_read(&now->upstream_failures)},
        .accepted = RATE(accepted),
        .messages = RATE(messages_in),
        .bytes_in = RATE(bytes_in),
        .bytes_out = RATE(bytes_out),
    };
#undef RATE
}

static void sum_all(const struct report_sums *sums, struct stats_listener *total)
{
    *total = sums->forgotten;
    for (unsigned i = 0; i < STATS_LISTENERS_MAX; i++)
        stats_add(total, &sums->listeners[i]);
}

static bool is_wanted(const struct top_view *view, const char *name)
{
    return view->filter[0] == '\0' || strcasestr(name, view->filter);
}

static bool is_worker_wanted(const struct top_view *view, const struct state_worker *worker)
{
    char name[STATE_POOL_SIZE + 16];

    snprintf(name, sizeof(name), "%s/%u", worker->pool, worker->id);
    return is_wanted(view, name);
}

/* ---- the order ---- */

static int largest_first(double a, double b)
{
    return a > b ? -1 : a < b;
}

/* As the configuration has them: main, then the other pools; a generation that starts or leaves behind the one that
 * serves. */
static int compare_names(const struct state_worker *a, const struct state_worker *b)
{
    bool a_is_main = strcmp(a->pool, "main") == 0, b_is_main = strcmp(b->pool, "main") == 0;
    int order = a_is_main != b_is_main ? (a_is_main ? -1 : 1) : strcmp(a->pool, b->pool);

    if (order == 0)
        order = a->id < b->id ? -1 : a->id > b->id;
    if (order == 0)
        order = a->part < b->part ? -1 : a->part > b->part;
    return order ? order : a->pid < b->pid ? -1 : a->pid > b->pid;
}

static int compare_workers(const void *left, const void *right, void *context)
{
    const struct top_worker *a = left, *b = right;
    const struct top_view *view = context;
    int order = 0;

    switch (view->order) {
    case TOP_BY_CPU: order = largest_first(a->cpu, b->cpu); break;
    case TOP_BY_MEMORY:
        order = largest_first((double)a->now.kernel.memory_bytes, (double)b->now.kernel.memory_bytes);
        break;
    case TOP_BY_SESSIONS: order = largest_first((double)a->now.sessions, (double)b->now.sessions); break;
    case TOP_BY_MESSAGES: order = largest_first(a->messages, b->messages); break;
    case TOP_BY_NAME: break;
    }
    if (order == 0)
        order = compare_names(a->worker, b->worker);
    return view->reverse ? -order : order;
}

/* CPU and memory are not a listener's: then the order is that of the configuration. */
static int compare_listeners(const void *left, const void *right, void *context)
{
    const struct top_listener *a = left, *b = right;
    const struct top_view *view = context;
    int order = 0;

    if (view->order == TOP_BY_SESSIONS)
        order = largest_first((double)a->traffic.sessions, (double)b->traffic.sessions);
    else if (view->order == TOP_BY_MESSAGES)
        order = largest_first(a->traffic.messages, b->traffic.messages);
    else if (view->order == TOP_BY_NAME)
        order = strcmp(a->name, b->name);
    if (order == 0)
        order = a->index < b->index ? -1 : a->index > b->index;
    return view->reverse ? -order : order;
}

void top_rows_make(const struct master_state *state, const struct top_reading *then, const struct top_reading *now,
                   const struct top_view *view, struct top_rows *rows)
{
    bool is_later = then->sums.at_ms > 0 && now->sums.at_ms > then->sums.at_ms;
    uint64_t ms = is_later ? now->sums.at_ms - then->sums.at_ms : 0;
    static struct stats_listener total, total_then;

    sum_all(&now->sums, &total);
    sum_all(&then->sums, &total_then);
    rows->total = make_traffic(&total, &total_then, ms);
    rows->worker_count = rows->listener_count = 0;
    for (unsigned i = 0; i < state->worker_count && i < now->count; i++) {
        const struct top_process *process = &now->processes[i];
        if (is_worker_wanted(view, &state->workers[i]))
            make_worker(&state->workers[i], process, find_process(then, i, process->serial), ms,
                        &rows->workers[rows->worker_count++]);
    }
    for (unsigned i = 0; i < state->listener_count; i++) {
        const struct state_listener *listener = &state->listeners[i];
        if (is_wanted(view, listener->name))
            rows->listeners[rows->listener_count++] = (struct top_listener){
                .name = listener->name,
                .index = i,
                .traffic = make_traffic(report_sums_listener(&now->sums, listener),
                                        report_sums_listener(&then->sums, listener), ms),
            };
    }
    qsort_r(rows->workers, rows->worker_count, sizeof(rows->workers[0]), compare_workers, (void *)view);
    qsort_r(rows->listeners, rows->listener_count, sizeof(rows->listeners[0]), compare_listeners, (void *)view);
}

/* ---- what fits ---- */

void top_share(unsigned room, unsigned *first, unsigned *second)
{
    unsigned half = room / 2;

    if (*first + *second <= room)
        return;
    if (*second <= half)
        *first = room - *second;
    else if (*first <= room - half)
        *second = room - *first;
    else {
        *first = room - half;
        *second = half;
    }
}

static void fit(char name[TOP_NAME_WIDTH + 1], const char *head, const char *tail)
{
    size_t room = TOP_NAME_WIDTH - strlen(tail);

    strlcpy(name, head, room + 1);
    if (strlen(head) > room)
        name[room - 1] = '+';
    strlcat(name, tail, TOP_NAME_WIDTH + 1);
}

void top_worker_name(char name[TOP_NAME_WIDTH + 1], const struct state_worker *worker)
{
    bool is_main = strcmp(worker->pool, "main") == 0;
    char tail[16];

    snprintf(tail, sizeof(tail), "%s%u", is_main ? "" : "/", worker->id);
    fit(name, is_main ? "" : worker->pool, tail);
}

void top_listener_name(char name[TOP_NAME_WIDTH + 1], const char *full)
{
    fit(name, full, "");
}
