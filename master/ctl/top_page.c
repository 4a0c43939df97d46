#include "master/ctl/top_page.h"
#include "common/clock.h"
#include "common/report_table.h"
#include "common/text.h"
#include <inttypes.h>

#define WORKER_ROW "%-16s %7s %-8.8s %5s %7s %8s %6s %7s %7s"
#define LISTENER_ROW "%-16s %8s %6s %6s %8s %8s %7s %5s %6s"
#define DASH(is_there, cell) ((is_there) ? (cell) : "-")

/* ---- the head ---- */

static void print_change(struct screen *screen, const char *what, const struct state_change *change)
{
    char line[2 * STATE_TEXT_SIZE];

    text_change(line, sizeof(line), what, change);
    screen_line(screen, "%s", line);
}

static void print_head(struct screen *screen, const struct server *server, const struct top_traffic *total)
{
    const struct master_state *state = &server->state;
    const struct stats_service *service = &server->area->service;
    char up[REPORT_CELL_SIZE], open[REPORT_CELL_SIZE], accepted[REPORT_CELL_SIZE], messages[REPORT_CELL_SIZE],
        in[REPORT_CELL_SIZE], out[REPORT_CELL_SIZE], now[TEXT_TIME_SIZE];

    text_time(now, clock_date_ms());
    report_time(up, report_ms_since(stats_read(&service->started_ms)) * 1000);
    report_count(open, total->sessions);
    report_rate(accepted, total->accepted);
    report_rate(messages, total->messages);
    report_bytes(in, (uint64_t)(total->bytes_in + 0.5));
    report_bytes(out, (uint64_t)(total->bytes_out + 0.5));
    screen_line(screen, "ccserver %s, %s%s %s, pid %d, generation %" PRIu32 ", %s", state->version, state->phase,
                state_phase_joint(state), up, (int)state->pid, state->generation, now + sizeof("2026-11-27"));
    screen_line(screen, "sessions %s, new %s/s, messages %s/s, in %s/s, out %s/s", open, accepted, messages, in, out);
    print_change(screen, "last reload", &service->last_reload);
    print_change(screen, "last upgrade", &service->last_upgrade);
    for (unsigned i = 0; i < state->pool_count; i++)
        if (state->pools[i].cannot_run)
            screen_line(screen, "the pool %s cannot run", state->pools[i].name);
}

/* ---- the tables ---- */

/* Of `count` rows that have `room` lines: how many are printed. The last line says how many are not. */
static unsigned shown_of(unsigned count, unsigned room)
{
    return room >= count ? count : room > 0 ? room - 1 : 0;
}

static void print_hidden(struct screen *screen, unsigned count, unsigned shown)
{
    if (shown < count)
        screen_line(screen, "(%u more)", count - shown);
}

static void print_percent(char cell[REPORT_CELL_SIZE], double percent)
{
    snprintf(cell, REPORT_CELL_SIZE, "%.*f", percent < 999.95 ? 1 : 0, percent < 99999 ? percent : 99999);
}

static void print_worker(struct screen *screen, const struct top_worker *row)
{
    const struct state_worker *worker = row->worker;
    const struct top_process *now = &row->now;
    bool is_counted = now->serial != 0;
    char name[TOP_NAME_WIDTH + 1], pid[REPORT_CELL_SIZE], cpu[REPORT_CELL_SIZE], memory[REPORT_CELL_SIZE],
        sessions[REPORT_CELL_SIZE], messages[REPORT_CELL_SIZE], longest[REPORT_CELL_SIZE], adopts[REPORT_CELL_SIZE];

    top_worker_name(name, worker);
    snprintf(pid, sizeof(pid), "%d", (int)worker->pid);
    print_percent(cpu, row->cpu);
    report_bytes(memory, now->kernel.memory_bytes);
    report_count(sessions, now->sessions);
    report_rate(messages, row->messages);
    report_time(longest, now->longest_turn_us);
    report_count(adopts, worker->adopts);
    screen_line(screen, WORKER_ROW, name, DASH(worker->pid > 0, pid), worker->state,
                DASH(row->has_rates && now->kernel.is_known, cpu), DASH(now->kernel.is_known, memory),
                DASH(is_counted, sessions), DASH(row->has_rates, messages), DASH(is_counted, longest),
                worker->is_adopted ? "adopted" : adopts);
}

static void print_workers(struct screen *screen, const struct top_rows *rows, unsigned room)
{
    unsigned shown = shown_of(rows->worker_count, room);

    screen_heading(screen, WORKER_ROW, "worker", "pid", "state", "cpu%", "memory", "sessions", "msg/s", "longest",
                   "adopts");
    for (unsigned i = 0; i < shown; i++)
        print_worker(screen, &rows->workers[i]);
    print_hidden(screen, rows->worker_count, shown);
}

static void print_listener(struct screen *screen, const struct top_listener *row)
{
    const struct top_traffic *traffic = &row->traffic;
    char name[TOP_NAME_WIDTH + 1], sessions[REPORT_CELL_SIZE], accepted[REPORT_CELL_SIZE], messages[REPORT_CELL_SIZE],
        in[REPORT_CELL_SIZE], out[REPORT_CELL_SIZE], failures[3][REPORT_CELL_SIZE];

    top_listener_name(name, row->name);
    report_count(sessions, traffic->sessions);
    report_rate(accepted, traffic->accepted);
    report_rate(messages, traffic->messages);
    report_bytes(in, (uint64_t)(traffic->bytes_in + 0.5));
    report_bytes(out, (uint64_t)(traffic->bytes_out + 0.5));
    for (unsigned i = 0; i < 3; i++)
        report_count(failures[i], traffic->failures[i]);
    screen_line(screen, LISTENER_ROW, name, sessions, accepted, messages, in, out, failures[0], failures[1],
                failures[2]);
}

static void print_listeners(struct screen *screen, const struct top_rows *rows, unsigned room)
{
    unsigned shown = shown_of(rows->listener_count, room);

    screen_heading(screen, LISTENER_ROW, "listener", "sessions", "new/s", "msg/s", "in/s", "out/s", "refused", "lost",
                   "errors");
    for (unsigned i = 0; i < shown; i++)
        print_listener(screen, &rows->listeners[i]);
    print_hidden(screen, rows->listener_count, shown);
}

void top_page_print(struct screen *screen, const struct server *server, const struct top_rows *rows)
{
    enum { AROUND = 3 }; /* two headings and the line between the tables */
    unsigned workers = rows->worker_count, listeners = rows->listener_count;

    print_head(screen, server, &rows->total);
    unsigned room = screen_room(screen);
    top_share(room > AROUND ? room - AROUND : 0, &workers, &listeners);
    print_workers(screen, rows, workers);
    screen_line(screen, "%s", "");
    print_listeners(screen, rows, listeners);
}
