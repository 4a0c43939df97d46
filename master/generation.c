/*
 * Generations: all the workers of one configuration. A reload starts the next one beside the current one, on the same
 * sockets, and lets it take over when all its workers are READY; a resize changes how many there are of the current
 * one. At no time is nobody accepting, and no queue is closed whose address is still served.
 */
#include "common/clock.h"
#include "common/file.h"
#include "common/log.h"
#include "common/notify.h"
#include "master/conf.h"
#include "master/limit.h"
#include "master/master.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    START_MS = 10 * 1000, /* what the next generation may take to be READY, at least */
    START_EACH_MS = 50,   /* and for each of its workers */
    STARTS_PER_TURN = 16, /* between two looks at signals and heartbeats */
};

struct generation *generation_new(unsigned number)
{
    struct generation *generation = calloc(1, sizeof(*generation));

    if (generation) {
        generation->number = number;
        names_init(&generation->names);
    }
    return generation;
}

unsigned generation_next_number(struct master *master)
{
    return (unsigned)atomic_fetch_add(&master->world.stats->service.generations, 1) + 1;
}

void generation_free(struct generation *generation)
{
    if (!generation)
        return;
    for (unsigned i = 0; i < generation->count; i++)
        slot_free(generation->slots[i]);
    conf_free(&generation->conf);
    names_fini(&generation->names);
    free(generation);
}

int generation_index_listeners(struct master *master, struct conf *conf, char *why, size_t why_size)
{
    bool keep[STATS_LISTENERS_MAX] = {false};
    const struct conf *both[] = {master->current ? &master->current->conf : NULL, conf};

    for (unsigned i = 0; i < STATS_LISTENERS_MAX; i++)
        for (unsigned j = 0; j < master->endpoints.count; j++) /* also those that another master's workers serve */
            keep[i] |= strcmp(master->world.stats->names[i], master->endpoints.all[j]->listener) == 0;
    for (unsigned i = 0; i < STATS_LISTENERS_MAX; i++)
        for (unsigned j = 0; j < 2; j++)
            for (unsigned k = 0; both[j] && k < both[j]->listener_count; k++)
                keep[i] |= strcmp(master->world.stats->names[i], both[j]->listeners[k].name) == 0;
    for (unsigned i = 0; i < conf->listener_count; i++) {
        int index = stats_index(master->world.stats, conf->listeners[i].name, keep);
        if (index < 0) {
            snprintf(why, why_size, "more than %d names of listeners", STATS_LISTENERS_MAX);
            return -1;
        }
        conf->listeners[i].index = (unsigned)index;
        keep[index] = true;
    }
    return 0;
}

/* NULL when out of memory. The slot may have no process: one that cannot be forked now is tried again later. */
static struct slot *add_slot(struct master *master, struct generation *generation)
{
    struct slot *slot = slot_new(generation->count, generation->number, &generation->conf, generation->why);

    if (!slot)
        return NULL;
    generation->slots[generation->count++] = slot;
    master_handle(master, slot, SUPERVISOR_EVENT_START);
    return slot;
}

static bool has_process(const struct slot *slot)
{
    return slot && supervisor_is_alive(slot->supervised.state);
}

void generation_start(struct master *master, struct generation *generation, enum stats_respawn why)
{
    generation->why = why;
    generation->wanted = generation == master->next ? generation->conf.workers : generation_first_count(master);
    generation_start_some(master, generation);
}

unsigned generation_first_count(const struct master *master)
{
    unsigned wanted = master->current->conf.workers, numbers = endpoints_fewest(&master->endpoints);

    return handover_is_candidate(master->upgrade.state) && numbers < wanted ? numbers : wanted;
}

void generation_start_rest(struct master *master)
{
    struct generation *current = master->current;
    char why[512];

    if (current->wanted >= current->conf.workers)
        return;
    if (endpoints_claim(&master->endpoints, &current->conf, current->conf.workers, why, sizeof(why)) < 0) {
        log_error("no more than %u workers: %s", current->wanted, why);
        return;
    }
    log_notice("resize: %u workers", current->conf.workers);
    current->wanted = current->conf.workers;
}

bool generation_start_some(struct master *master, struct generation *generation)
{
    static struct log_limit limit;

    for (unsigned i = 0; generation && i < STARTS_PER_TURN && generation->count < generation->wanted; i++) {
        const struct slot *slot = add_slot(master, generation);
        if (!has_process(slot) && generation == master->next) {
            generation_give_up_next(master, "a worker of it could not be started");
            return false;
        }
        if (!slot) { /* not in a hurry: at the next tick */
            log_limited(&limit, 1, LOG_LEVEL_ERROR, "cannot start worker %u: %s", generation->count, strerror(errno));
            return false;
        }
    }
    return generation && generation->count < generation->wanted;
}

/* ---- leaving ---- */

/* To those that leave; its configuration may go. */
static void retire(struct master *master, struct slot *slot)
{
    LIST_INSERT_HEAD(&master->leaving, slot, link);
    master_handle(master, slot, SUPERVISOR_EVENT_STOP);
    slot->conf = NULL;
}

static void retire_all(struct master *master, struct generation *generation)
{
    generation->wanted = 0;
    while (generation->count > 0)
        retire(master, generation->slots[--generation->count]);
}

void generation_retire_all(struct master *master)
{
    retire_all(master, master->current);
}

/* ---- the next one ---- */

void generation_refuse(struct master *master, struct generation *next, const char *why)
{
    atomic_fetch_add(&master->world.stats->service.reload_failures, 1);
    log_error("reload refused: %s", why);
    notify("READY=1\nSTATUS=reload refused: %s", why);
    generation_free(next);
}

void generation_start_next(struct master *master, struct generation *next)
{
    next->number = generation_next_number(master);
    conf_log_changes(&master->current->conf, &next->conf);
    limit_check(&next->conf, &master->current->conf);
    log_notice("reload: generation %u starts", next->number);
    master->next = next;
    master->next_due_ms = clock_now_ms() + START_MS + (uint64_t)START_EACH_MS * next->conf.workers;
    generation_start(master, next, RESPAWN_reload);
}

void generation_give_up_next(struct master *master, const char *why)
{
    struct generation *next = master->next;

    master->next = NULL;
    retire_all(master, next); /* some may serve already: they drain */
    endpoints_forget_added(&master->endpoints);
    log_open(master->current->conf.log);
    generation_refuse(master, next, why);
}

/* Addresses that the next configuration does not have are closed by those who accept from them, when they are done. */
static void refuse_removed(struct master *master)
{
    const struct generation *current = master->current;
    uint32_t index = 0;

    for (unsigned i = 0; i < current->conf.listener_count; i++)
        for (unsigned j = 0; j < current->conf.listeners[i].address_count; j++, index++) {
            const struct endpoint *endpoint = endpoints_find(&master->endpoints,
                                                             &current->conf.listeners[i].addresses[j]);
            if (endpoint->claimed)
                continue;
            for (unsigned k = 0; k < current->count; k++)
                slot_tell_refuse(&master->world, current->slots[k], index);
        }
}

void generation_apply_patience(struct master *master)
{
    const struct conf *conf = &master->current->conf;

    master->world.patience = (struct supervisor_patience){.adopt_after_ms = conf->adopt_after_ms,
                                                          .watchdog_ms = conf->watchdog_timeout_ms,
                                                          .drain_ms = conf->drain_timeout_ms};
}

static void take_over(struct master *master)
{
    struct generation *old = master->current;

    endpoints_yield_covered(&master->endpoints);
    refuse_removed(master);
    retire_all(master, old);
    master->current = master->next;
    master->next = NULL;
    endpoints_keep_claimed(&master->endpoints, &master->current->conf);
    generation_apply_patience(master);
    log_set_level((enum log_level)master->current->conf.log_level);
    atomic_fetch_add(&master->world.stats->service.reloads, 1);
    log_notice("reload: generation %u serves, generation %u drains", master->current->number, old->number);
    notify("READY=1\nSTATUS=%u workers, generation %u", master->current->count, master->current->number);
    generation_free(old);
}

void generation_check_next(struct master *master)
{
    struct generation *next = master->next;
    unsigned ready = 0;

    if (!next)
        return;
    for (unsigned i = 0; i < next->count; i++) {
        enum supervisor_state state = next->slots[i]->supervised.state;
        ready += state == SUPERVISOR_RUNNING || state == SUPERVISOR_SILENT;
    }
    if (ready == next->wanted)
        take_over(master);
    else if (clock_now_ms() >= master->next_due_ms)
        generation_give_up_next(master, "its workers are not ready in time");
}

void generation_replace(struct master *master, struct slot *slot)
{
    struct generation *current = master->current;
    unsigned number = slot->number;

    if (slot->conf != &current->conf || !master_is_serving(master))
        return;
    struct slot *replacement = slot_new(number, current->number, &current->conf, RESPAWN_exit);
    slot->replace_due = !replacement;
    if (!replacement)
        return;
    log_notice("worker %u (pid %d) drains, but not at our word: it is replaced", number, (int)slot->pid);
    retire(master, slot);
    current->slots[number] = replacement;
    master_handle(master, replacement, SUPERVISOR_EVENT_START);
}

void generation_retry_replacements(struct master *master)
{
    const struct generation *current = master->current;

    for (unsigned i = 0; i < current->count; i++)
        if (current->slots[i]->replace_due)
            generation_replace(master, current->slots[i]);
}

/* ---- resize ---- */

/* Whether anybody is left when the last worker has been retired. */
static bool others_live(const struct generation *current)
{
    for (unsigned i = 0; i + 1 < current->count; i++)
        if (current->slots[i]->supervised.state != SUPERVISOR_DOWN)
            return true;
    return false;
}

/* A worker that cannot be started is given up: its queues stay, and are served by the others. */
static int add_one(struct master *master, struct generation *current)
{
    current->why = RESPAWN_resize;
    current->wanted++;
    struct slot *slot = add_slot(master, current);
    if (has_process(slot))
        return 0;
    log_error("resize refused: %s", slot ? "the worker cannot be started" : strerror(errno));
    current->wanted--;
    if (slot) {
        current->count--;
        retire(master, slot);
    }
    return -1;
}

void generation_resize(struct master *master, int change)
{
    struct generation *current = master->current;
    unsigned count = current->wanted;
    char why[512];

    if ((change < 0 && count == 1) || (change > 0 && count == CONF_WORKERS_MAX)) {
        log_warn("resize refused: %u workers is the limit", count);
        return;
    }
    if (!master_is_serving(master) || master->next || !handover_may_reload(master->upgrade.state) ||
        master->reload.state == RELOAD_RESOLVING || current->count != current->wanted) {
        log_warn("resize refused: a start, a reload, an upgrade or a stop is under way");
        return;
    }
    if (change < 0 && !others_live(current)) {
        log_warn("resize refused: all other workers stay down");
        return;
    }
    if (change < 0) {
        current->wanted--;
        retire(master, current->slots[--current->count]);
    } else if (endpoints_claim(&master->endpoints, &current->conf, count + 1, why, sizeof(why)) < 0) {
        log_error("resize refused: %s", why);
        return;
    } else if (add_one(master, current) < 0) {
        return;
    }
    log_notice("resize: %u workers", current->count);
    notify("STATUS=%u workers, generation %u", current->count, current->number);
}
