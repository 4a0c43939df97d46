#include "master/fleet.h"
#include "common/log.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STARTS_PER_TURN = 16 }; /* between two looks at signals and heartbeats */

/* ---- generations ---- */

struct generation *generation_new(unsigned number)
{
    struct generation *generation = calloc(1, sizeof(*generation));

    if (generation) {
        generation->number = number;
        names_init(&generation->names);
    }
    return generation;
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

unsigned generation_running(const struct generation *generation)
{
    unsigned running = 0;

    for (unsigned i = 0; i < generation->count; i++)
        running += generation->slots[i]->supervised.state == SUPERVISOR_RUNNING;
    return running;
}

bool generation_is_down(const struct generation *generation)
{
    for (unsigned i = 0; i < generation->count; i++)
        if (generation->slots[i]->supervised.state != SUPERVISOR_DOWN)
            return false;
    return generation->count == generation->wanted;
}

unsigned fleet_next_number(struct fleet *fleet)
{
    return (unsigned)atomic_fetch_add(&fleet->context.stats->service.generations, 1) + 1;
}

int fleet_index_listeners(const struct fleet *fleet, struct conf *conf, char *error, size_t error_size)
{
    bool keep[STATS_LISTENERS_MAX] = {false};
    const struct conf *both[] = {fleet->current ? &fleet->current->conf : NULL, conf};

    for (unsigned i = 0; i < STATS_LISTENERS_MAX; i++)
        for (unsigned j = 0; j < fleet->endpoints.count; j++) /* also those that another master's workers serve */
            keep[i] |= strcmp(fleet->context.stats->names[i], fleet->endpoints.all[j]->listener) == 0;
    for (unsigned i = 0; i < STATS_LISTENERS_MAX; i++)
        for (unsigned j = 0; j < 2; j++)
            for (unsigned k = 0; both[j] && k < both[j]->listener_count; k++)
                keep[i] |= strcmp(fleet->context.stats->names[i], both[j]->listeners[k].name) == 0;
    for (unsigned i = 0; i < conf->listener_count; i++) {
        int index = stats_index(fleet->context.stats, conf->listeners[i].name, keep);
        if (index < 0) {
            snprintf(error, error_size, "more than %d names of listeners", STATS_LISTENERS_MAX);
            return -1;
        }
        conf->listeners[i].index = (unsigned)index;
        keep[index] = true;
    }
    return 0;
}

void fleet_apply_patience(struct fleet *fleet)
{
    const struct conf *conf = &fleet->current->conf;

    fleet->context.patience = (struct supervisor_patience){.adopt_after_ms = conf->adopt_after_ms,
                                                           .watchdog_ms = conf->watchdog_timeout_ms,
                                                           .drain_ms = conf->drain_timeout_ms};
}

/* ---- all slots ---- */

void fleet_handle(struct fleet *fleet, struct slot *slot, enum supervisor_event event)
{
    slot_handle(&fleet->context, slot, event);
}

void fleet_each_slot(struct fleet *fleet, void (*visit)(struct fleet *fleet, struct slot *slot))
{
    struct generation *const generations[] = {fleet->current, fleet->next};
    struct slot *slot, *next;

    for (unsigned i = 0; i < 2; i++)
        for (unsigned j = 0; generations[i] && j < generations[i]->count; j++)
            visit(fleet, generations[i]->slots[j]);
    LIST_FOREACH_SAFE(slot, &fleet->leaving, link, next)
        visit(fleet, slot);
}

struct slot *fleet_find(const struct fleet *fleet, pid_t pid)
{
    const struct generation *const generations[] = {fleet->current, fleet->next};
    struct slot *slot;

    for (unsigned i = 0; i < 2; i++)
        for (unsigned j = 0; generations[i] && j < generations[i]->count; j++)
            if (generations[i]->slots[j]->pid == pid)
                return generations[i]->slots[j];
    LIST_FOREACH(slot, &fleet->leaving, link)
        if (slot->pid == pid)
            return slot;
    return NULL;
}

/* ---- more workers ---- */

/* NULL when out of memory. The slot may have no process: one that cannot be forked now is tried again later. */
static struct slot *add_slot(struct fleet *fleet, struct generation *generation)
{
    struct slot *slot = slot_new(generation->count, generation->number, &generation->conf, generation->reason);

    if (!slot)
        return NULL;
    generation->slots[generation->count++] = slot;
    fleet_handle(fleet, slot, SUPERVISOR_EVENT_START);
    return slot;
}

static bool has_process(const struct slot *slot)
{
    return slot && supervisor_is_alive(slot->supervised.state);
}

void fleet_start(struct fleet *fleet, struct generation *generation, unsigned wanted, enum stats_respawn reason)
{
    generation->reason = reason;
    generation->wanted = wanted;
    fleet_start_some(fleet, generation);
}

enum fleet_progress fleet_start_some(struct fleet *fleet, struct generation *generation)
{
    static struct log_limit limit;

    for (unsigned i = 0; i < STARTS_PER_TURN && generation->count < generation->wanted; i++) {
        const struct slot *slot = add_slot(fleet, generation);
        if (generation == fleet->next && !has_process(slot))
            return FLEET_FAILED;
        if (!slot) {
            log_limited(&limit, 1, LOG_LEVEL_ERROR, "cannot start worker %u: %s", generation->count, strerror(errno));
            return FLEET_FAILED;
        }
    }
    return generation->count < generation->wanted ? FLEET_MORE : FLEET_DONE;
}

int fleet_add(struct fleet *fleet, enum stats_respawn reason, char *error, size_t error_size)
{
    struct generation *current = fleet->current;

    current->reason = reason;
    current->wanted++;
    struct slot *slot = add_slot(fleet, current);
    if (has_process(slot))
        return 0;
    snprintf(error, error_size, "%s", slot ? "the worker cannot be started" : strerror(errno));
    current->wanted--;
    if (slot)
        fleet_retire_last(fleet);
    return -1;
}

/* ---- fewer ---- */

/* Its configuration may go. */
static void retire(struct fleet *fleet, struct slot *slot)
{
    LIST_INSERT_HEAD(&fleet->leaving, slot, link);
    fleet_handle(fleet, slot, SUPERVISOR_EVENT_STOP);
    slot->conf = NULL;
}

void fleet_retire_last(struct fleet *fleet)
{
    retire(fleet, fleet->current->slots[--fleet->current->count]);
}

void fleet_retire_all(struct fleet *fleet, struct generation *generation)
{
    generation->wanted = 0;
    while (generation->count > 0)
        retire(fleet, generation->slots[--generation->count]);
}

static void hurry_slot(struct fleet *fleet, struct slot *slot)
{
    slot_hurry(&fleet->context, slot);
}

void fleet_hurry(struct fleet *fleet)
{
    fleet_each_slot(fleet, hurry_slot);
}

static void kill_slot(struct fleet *fleet, struct slot *slot)
{
    fleet_handle(fleet, slot, SUPERVISOR_EVENT_KILL);
}

void fleet_kill(struct fleet *fleet)
{
    fleet_each_slot(fleet, kill_slot);
}

void fleet_free_gone_slots(struct fleet *fleet)
{
    struct slot *slot, *next, *other;

    LIST_FOREACH_SAFE(slot, &fleet->leaving, link, next) {
        unsigned generation = slot->generation;
        bool last = generation < fleet->current->number;
        if (slot->supervised.state != SUPERVISOR_EMPTY)
            continue;
        LIST_REMOVE(slot, link);
        slot_free(slot);
        LIST_FOREACH(other, &fleet->leaving, link)
            last &= other->generation != generation;
        if (last)
            log_notice("generation %u is gone", generation);
    }
}

/* ---- replacing ---- */

void fleet_replace(struct fleet *fleet, struct slot *slot)
{
    struct generation *current = fleet->current;
    unsigned id = slot->id;

    if (slot->conf != &current->conf) /* it leaves already */
        return;
    struct slot *replacement = slot_new(id, current->number, &current->conf, RESPAWN_exit);
    slot->replace_due = !replacement;
    if (!replacement)
        return;
    log_notice("worker %u (pid %d) drains, but not at our word: it is replaced", id, (int)slot->pid);
    retire(fleet, slot);
    current->slots[id] = replacement;
    fleet_handle(fleet, replacement, SUPERVISOR_EVENT_START);
}

void fleet_retry_replacements(struct fleet *fleet)
{
    const struct generation *current = fleet->current;

    for (unsigned i = 0; i < current->count; i++)
        if (current->slots[i]->replace_due)
            fleet_replace(fleet, current->slots[i]);
}
