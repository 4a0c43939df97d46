#include "master/report_sums.h"
#include "common/clock.h"
#include "common/stats_number.h"
#include <stddef.h>
#include <string.h>

void report_sums_process(const struct stats_block *block, struct report_row *row)
{
    *row = (struct report_row){.turns = stats_read(&block->turns),
                               .longest_turn_us = stats_read(&block->longest_turn_us),
                               .accept_pauses = stats_read(&block->accept_pauses),
                               .log_dropped = stats_read(&block->log_dropped)};
    for (unsigned i = 0; i < STATS_LISTENERS_MAX; i++)
        stats_add(&row->traffic, &block->listeners[i]);
}

static void take(const struct stats_block *copy, const struct stats_totals *totals, struct report_sums *sums,
                 struct report_row *row)
{
    report_sums_process(copy, row);
    for (unsigned i = 0; i < STATS_LISTENERS_MAX; i++)
        stats_add(&sums->listeners[i], &copy->listeners[i]);
    stats_add(&row->traffic, &totals->forgotten);
    stats_add(&sums->forgotten, &totals->forgotten);
    for (unsigned i = 0; i < RESPAWNS; i++)
        sums->respawns[i] += stats_read(&totals->respawns[i]);
}

/* The counters are copied before they are summed: the workers go on counting. */
static void take_number(const struct stats_area *area, unsigned number, struct report_sums *sums)
{
    static struct stats_block copy;

    stats_sum(area, number, &copy);
    take(&copy, &area->totals[number], sums, &sums->rows[number]);
}

static void take_renumbered(const struct stats_area *area, struct report_sums *sums)
{
    static struct stats_block copy;

    memset(&copy, 0, sizeof(copy));
    stats_add_totals(&copy, &area->renumbered);
    take(&copy, &area->renumbered, sums, &sums->renumbered);
}

void report_sums_take(const struct master *master, struct report_sums *sums)
{
    const struct stats_area *area = master->fleet.context.stats;

    memset(sums, 0, offsetof(struct report_sums, rows));
    sums->at_ms = clock_now_ms();
    sums->numbers = area->numbers_used < STATS_NUMBERS_MAX ? area->numbers_used : STATS_NUMBERS_MAX;
    for (unsigned i = 0; i < sums->numbers; i++)
        take_number(area, i, sums);
    take_renumbered(area, sums);
    memcpy(sums->names, area->names, sizeof(sums->names));
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
    if (row->longest_turn_us > total->longest_turn_us)
        total->longest_turn_us = row->longest_turn_us;
}

static int number_of(const struct master *master, const struct slot *slot)
{
    return stats_find(master->fleet.context.stats, slot->pool_name, slot->id);
}

const struct report_row *report_sums_slot(const struct master *master, const struct report_sums *sums,
                                          const struct slot *slot)
{
    static const struct report_row nothing;
    int number = number_of(master, slot);

    return number >= 0 ? &sums->rows[number] : &nothing;
}

void report_slot_respawns(const struct master *master, const struct slot *slot, uint64_t respawns[RESPAWNS])
{
    int number = number_of(master, slot);

    for (unsigned i = 0; i < RESPAWNS; i++)
        respawns[i] = number < 0 ? 0 : stats_read(&master->fleet.context.stats->totals[number].respawns[i]);
}

void report_sums_gone_workers(const struct master *master, const struct report_sums *sums, struct report_row *gone)
{
    const struct generation *current = master->fleet.current;
    bool present[STATS_NUMBERS_MAX] = {false};

    for (unsigned i = 0; i < current->pool_count; i++)
        for (unsigned j = 0; j < current->pools[i].count; j++) {
            int number = number_of(master, current->pools[i].slots[j]);
            if (number >= 0)
                present[number] = true;
        }
    memset(gone, 0, sizeof(*gone));
    add_row(gone, &sums->renumbered);
    for (unsigned i = 0; i < sums->numbers; i++)
        if (!present[i])
            add_row(gone, &sums->rows[i]);
}

void report_sums_gone_listeners(const struct master *master, const struct report_sums *sums,
                                struct stats_listener *gone)
{
    const struct conf *conf = &master->fleet.current->conf;
    bool configured[STATS_LISTENERS_MAX] = {false};

    for (unsigned i = 0; i < conf->listener_count; i++)
        configured[conf->listeners[i].index] = true;
    *gone = sums->forgotten;
    for (unsigned i = 0; i < STATS_LISTENERS_MAX; i++)
        if (!configured[i])
            stats_add(gone, &sums->listeners[i]);
}

const struct stats_listener *report_sums_listener(const struct report_sums *sums,
                                                  const struct listener_config *listener)
{
    static const struct stats_listener nothing;

    return strcmp(sums->names[listener->index], listener->name) == 0 ? &sums->listeners[listener->index] : &nothing;
}

/* ---- words and times ---- */

const char *report_master_state(const struct master *master)
{
    static const char *const states[] = {
        [MASTER_SERVING] = "serving",
        [MASTER_STOPPING] = "stopping",
        [MASTER_KILLING] = "killing",
    };
    if (handover_has_handed_over(master->upgrade.state))
        return "handed over";
    return master->phase == MASTER_SERVING && !master->was_ready ? "starting" : states[master->phase];
}

const char *report_respawn_name(enum stats_respawn reason)
{
    static const char *const names[] = {
#define X(name, help) #name,
        STATS_RESPAWNS(X)
#undef X
            "none",
    };
    return names[reason];
}

uint64_t report_ms_since(uint64_t then_ms)
{
    uint64_t now_ms = clock_now_ms();

    return then_ms && now_ms > then_ms ? now_ms - then_ms : 0;
}

/* The supervisor's clock is not the real one, but it is the one that `started_ms` is of. */
uint64_t report_slot_up_ms(const struct master *master, const struct slot *slot)
{
    uint64_t now_ms = master->fleet.context.now_ms, started_ms = slot->supervised.started_ms;

    return slot->pid && now_ms > started_ms ? now_ms - started_ms : 0;
}

uint64_t report_slot_ready_ms(const struct slot *slot)
{
    return report_ms_since(slot->ready_ms);
}

bool report_is_adopted(const struct master *master, const struct slot *slot)
{
    return slot->conf == &master->fleet.current->conf && slot->pool->adopted[slot->id];
}
