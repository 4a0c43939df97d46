#include "master/upgrade_single.h"
#include "common/clock.h"
#include "common/log.h"
#include "master/single.h"
#include "master/upgrade_words.h"

enum { ALIVE_EACH_MS = 1000 };

/* ---- the candidate ---- */

void upgrade_begin_singles(struct master *master)
{
    const struct conf *conf = &master->fleet.current->conf;

    for (unsigned i = 0; i < conf->pool_count && handover_is_candidate(master->upgrade.state); i++)
        master->fleet.singles_wait |= conf->pools[i].single && master->upgrade.yields;
}

void upgrade_ask_for_singles(struct master *master)
{
    if (!master->fleet.singles_wait || master->upgrade.yielding)
        return;
    master->upgrade.yielding = true;
    upgrade_words_send(&master->upgrade, WORD_YIELD);
}

void upgrade_yielded(struct master *master)
{
    master->fleet.singles_wait = false;
}

/* A start may take long, as long as it beats. */
static void report_beats(struct master *master)
{
    static uint64_t next_ms;

    if (!handover_is_candidate(master->upgrade.state) || clock_now_ms() < next_ms ||
        !fleet_is_starting(&master->fleet, master->fleet.current))
        return;
    next_ms = clock_now_ms() + ALIVE_EACH_MS;
    upgrade_words_send(&master->upgrade, WORD_ALIVE);
}

/* ---- the predecessor ---- */

void upgrade_yield(struct master *master)
{
    struct generation *current = master->fleet.current;

    if (master->upgrade.state != HANDOVER_STARTING)
        return;
    for (unsigned i = 0; i < current->pool_count; i++)
        if (current->pools[i].config->single && !current->pools[i].held) {
            log_notice("upgrade: the pool %s makes room for its next worker", current->pools[i].config->name);
            fleet_hold(&master->fleet, &current->pools[i]);
        }
    master->upgrade.yielding = true;
}

static bool any_is_left(const struct master *master)
{
    const struct generation *current = master->fleet.current;

    for (unsigned i = 0; i < current->pool_count; i++)
        if (current->pools[i].held && single_has_leftovers(&master->fleet, current->pools[i].config->name))
            return true;
    return false;
}

bool upgrade_tick_singles(struct master *master)
{
    struct upgrade *upgrade = &master->upgrade;

    report_beats(master);
    if (upgrade->state != HANDOVER_STARTING || !upgrade->yielding)
        return false;
    if (any_is_left(master))
        return true;
    upgrade->yielding = false;
    upgrade_words_send(upgrade, WORD_YIELDED);
    return true;
}
