#include "common/report_sums.h"
#include "common/clock.h"
#include "common/stats_count.h"
#include "common/stats_number.h"
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* What stands before the listeners. */
static void take_process(const struct stats_block *block, struct report_row *row)
{
    *row = (struct report_row){.turns = stats_read(&block->turns),
                               .longest_turn_us = stats_read(&block->longest_turn_us),
                               .accept_pauses = stats_read(&block->accept_pauses),
                               .log_dropped = stats_read(&block->log_dropped)};
    for (unsigned i = 0; i < DURATION_BUCKETS; i++)
        row->turn_times[i] = stats_read(&block->turn_times[i]);
}

void report_sums_process(const struct stats_block *block, struct report_row *row)
{
    take_process(block, row);
    for (unsigned i = 0; i < STATS_LISTENERS_MAX; i++)
        stats_add(&row->traffic, &block->listeners[i]);
}

static void take(const struct stats_block *copy, const struct stats_totals *totals, struct report_sums *sums,
                 struct report_row *row)
{
    take_process(copy, row);
    for (unsigned i = 0; i < sums->listeners_used; i++) {
        stats_add(&row->traffic, &copy->listeners[i]);
        stats_add(&sums->listeners[i], &copy->listeners[i]);
    }
    stats_add(&row->traffic, &totals->forgotten);
    stats_add(&sums->forgotten, &totals->forgotten);
    for (unsigned i = 0; i < RESPAWNS; i++)
        sums->respawns[i] += stats_read(&totals->respawns[i]);
}

/* The counters are copied before they are summed: the workers go on counting. */
static void take_number(const struct stats_area *area, unsigned number, struct report_sums *sums)
{
    static struct stats_block copy;

    stats_sum(area, number, sums->listeners_used, &copy);
    take(&copy, &area->totals[number], sums, &sums->rows[number]);
}

static void take_renumbered(const struct stats_area *area, struct report_sums *sums)
{
    static struct stats_block copy;

    memset(&copy, 0, sizeof(copy));
    stats_add_totals(&copy, &area->renumbered, sums->listeners_used);
    take(&copy, &area->renumbered, sums, &sums->renumbered);
}

static void take_minute(const struct stats_area *area, struct report_sums *sums)
{
    struct minute_counts *minute = &sums->minute;

    memcpy(minute->names, sums->names, sizeof(minute->names));
    report_turn_times(sums, minute->turn_times);
    for (unsigned i = 0; i < STATS_LISTENERS_MAX; i++)
        for (unsigned j = 0; minute->names[i][0] && j < DURATIONS; j++)
            report_counts(sums->listeners[i].durations[j], minute->listeners[i][j]);
    sums->minute_ms = minute_subtract(&area->minute, sums->at_ms, minute);
}

void report_sums_take(const struct stats_area *area, struct report_sums *sums)
{
    memset(sums, 0, offsetof(struct report_sums, rows));
    sums->at_ms = clock_now_ms();
    for (unsigned i = 0; i < STATS_LISTENERS_MAX; i++)
        if (area->names[i][0] != '\0')
            sums->listeners_used = i + 1;
    sums->numbers = area->numbers_used < STATS_NUMBERS_MAX ? area->numbers_used : STATS_NUMBERS_MAX;
    for (unsigned i = 0; i < sums->numbers; i++)
        take_number(area, i, sums);
    take_renumbered(area, sums);
    memcpy(sums->names, area->names, sizeof(sums->names));
    for (unsigned i = 0; i < STATS_LISTENERS_MAX; i++)
        sums->names[i][STATS_NAME_SIZE - 1] = '\0';
    take_minute(area, sums);
}

void report_sums_copy(struct report_sums *to, const struct report_sums *from)
{
    memcpy(to, from, offsetof(struct report_sums, rows) + from->numbers * sizeof(from->rows[0]));
}

static void add_row(struct report_row *total, const struct report_row *row)
{
    stats_add(&total->traffic, &row->traffic);
    total->turns += row->turns;
    total->accept_pauses += row->accept_pauses;
    total->log_dropped += row->log_dropped;
    for (unsigned i = 0; i < DURATION_BUCKETS; i++)
        total->turn_times[i] += row->turn_times[i];
    if (row->longest_turn_us > total->longest_turn_us)
        total->longest_turn_us = row->longest_turn_us;
}

static int number_of(const struct stats_area *area, const struct state_worker *worker)
{
    return stats_find(area, worker->pool, worker->id);
}

const struct report_row *report_sums_worker(const struct report *report, const struct state_worker *worker)
{
    static const struct report_row nothing;
    int number = number_of(report->area, worker);

    return number >= 0 ? &report->sums->rows[number] : &nothing;
}

void report_respawns(const struct report *report, const struct state_worker *worker, uint64_t respawns[RESPAWNS])
{
    int number = number_of(report->area, worker);

    for (unsigned i = 0; i < RESPAWNS; i++)
        respawns[i] = number < 0 ? 0 : stats_read(&report->area->totals[number].respawns[i]);
}

void report_sums_gone_workers(const struct report *report, struct report_row *gone)
{
    const struct report_sums *sums = report->sums;
    const struct master_state *state = report->state;
    bool present[STATS_NUMBERS_MAX] = {false};

    for (unsigned i = 0; i < state->worker_count; i++) {
        int number = state->workers[i].part == STATE_SERVES ? number_of(report->area, &state->workers[i]) : -1;
        if (number >= 0)
            present[number] = true;
    }
    memset(gone, 0, sizeof(*gone));
    add_row(gone, &sums->renumbered);
    for (unsigned i = 0; i < sums->numbers; i++)
        if (!present[i])
            add_row(gone, &sums->rows[i]);
}

void report_sums_gone_listeners(const struct report *report, struct stats_listener *gone)
{
    const struct report_sums *sums = report->sums;
    const struct master_state *state = report->state;
    bool configured[STATS_LISTENERS_MAX] = {false};

    for (unsigned i = 0; i < state->listener_count; i++)
        configured[state->listeners[i].index % STATS_LISTENERS_MAX] = true;
    *gone = sums->forgotten;
    for (unsigned i = 0; i < STATS_LISTENERS_MAX; i++)
        if (!configured[i])
            stats_add(gone, &sums->listeners[i]);
}

const struct stats_listener *report_sums_listener(const struct report_sums *sums, const struct state_listener *listener)
{
    static const struct stats_listener nothing;
    uint32_t index = listener->index % STATS_LISTENERS_MAX;

    return strcmp(sums->names[index], listener->name) == 0 ? &sums->listeners[index] : &nothing;
}

/* ---- durations ---- */

void report_counts(const stats_counter from[DURATION_BUCKETS], uint64_t to[DURATION_BUCKETS])
{
    for (unsigned i = 0; i < DURATION_BUCKETS; i++)
        to[i] = stats_read(&from[i]);
}

void report_turn_times(const struct report_sums *sums, uint64_t to[DURATION_BUCKETS])
{
    memcpy(to, sums->renumbered.turn_times, sizeof(sums->renumbered.turn_times));
    for (unsigned i = 0; i < sums->numbers; i++)
        for (unsigned j = 0; j < DURATION_BUCKETS; j++)
            to[j] += sums->rows[i].turn_times[j];
}

const uint64_t *report_minute(const struct report_sums *sums, const struct state_listener *listener,
                              enum duration duration)
{
    static const uint64_t nothing[DURATION_BUCKETS];
    uint32_t index = listener->index % STATS_LISTENERS_MAX;

    return strcmp(sums->names[index], listener->name) == 0 ? sums->minute.listeners[index][duration] : nothing;
}

uint64_t report_duration_count(const uint64_t counts[DURATION_BUCKETS])
{
    uint64_t count = 0;

    for (unsigned i = 0; i < DURATION_BUCKETS; i++)
        count += counts[i];
    return count;
}

/* ---- words and times ---- */

void report_worker_name(char name[REPORT_WORKER_SIZE], const char *pool, unsigned id)
{
    bool is_main = strcmp(pool, "main") == 0;

    snprintf(name, REPORT_WORKER_SIZE, "%s%s%u", is_main ? "" : pool, is_main ? "" : "/", id);
}

const char *report_respawn_name(uint32_t reason)
{
    static const char *const names[] = {
#define X(name, help) #name,
        STATS_RESPAWNS(X)
#undef X
            "none",
    };
    return names[reason <= RESPAWNS ? reason : RESPAWNS];
}

double report_quantile_us(const uint64_t counts[DURATION_BUCKETS], double share)
{
    double total = 0, before = 0;
    unsigned bucket = 0;

    for (unsigned i = 0; i < DURATION_BUCKETS; i++)
        total += (double)counts[i];
    if (total == 0)
        return 0;
    double wanted = share * total;
    while (bucket < DURATION_BUCKETS - 1 && (counts[bucket] == 0 || before + (double)counts[bucket] < wanted))
        before += (double)counts[bucket++];
    /* Within a bucket the durations are taken to be spread evenly. */
    double limit = (double)duration_limit_ns(bucket),
           part = counts[bucket] ? (wanted - before) / (double)counts[bucket] : 1;
    return limit / 2 * (1 + part) / 1000;
}

uint64_t report_ms_since(uint64_t then_ms)
{
    uint64_t now_ms = clock_now_ms();

    return then_ms && now_ms > then_ms ? now_ms - then_ms : 0;
}
