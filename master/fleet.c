#include "master/fleet.h"
#include "common/log.h"
#include "master/single.h"
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
    for (unsigned i = 0; i < generation->pool_count; i++)
        for (unsigned j = 0; j < generation->pools[i].count; j++)
            slot_free(generation->pools[i].slots[j]);
    conf_free(&generation->conf);
    names_fini(&generation->names);
    free(generation);
}

unsigned generation_count(const struct generation *generation)
{
    unsigned count = 0;

    for (unsigned i = 0; i < generation->pool_count; i++)
        count += generation->pools[i].count;
    return count;
}

bool generation_is_complete(const struct generation *generation)
{
    for (unsigned i = 0; i < generation->pool_count; i++)
        if (generation->pools[i].count != generation->pools[i].wanted)
            return false;
    return true;
}

void generation_note_running(struct generation *generation)
{
    for (unsigned i = 0; i < generation->pool_count; i++) {
        struct pool *pool = &generation->pools[i];
        pool->running = 0;
        for (unsigned j = 0; j < pool->count; j++)
            pool->running += pool->slots[j]->supervised.state == SUPERVISOR_RUNNING;
    }
}

static bool is_down(const struct pool *pool)
{
    for (unsigned i = 0; i < pool->count; i++)
        if (pool->slots[i]->supervised.state != SUPERVISOR_DOWN)
            return false;
    return pool->count == pool->wanted && !pool->held;
}

bool generation_is_down(const struct generation *generation)
{
    for (unsigned i = 0; i < generation->pool_count; i++)
        if (!is_down(&generation->pools[i]))
            return false;
    return true;
}

unsigned fleet_next_number(struct fleet *fleet)
{
    return (unsigned)atomic_fetch_add(&fleet->context.stats->service.generations, 1) + 1;
}

/* Which counters of its own a service has: those of one are not to be taken for those of another. 0: none. */
static uint32_t kind_of(const struct service *service)
{
    uint32_t hash = 0;

    for (const struct counter_row *row = service->counters; row && row->name; row++)
        for (const char *at = row->name; at == row->name || at[-1]; at++)
            hash = (hash ^ (uint8_t)*at) * 16777619 + 1;
    return hash;
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
        int index = stats_index(fleet->context.stats, conf->listeners[i].name, kind_of(conf->listeners[i].service),
                                keep);
        if (index < 0) {
            snprintf(error, error_size, "more than %d names of listeners", STATS_LISTENERS_MAX);
            return -1;
        }
        conf->listeners[i].index = (unsigned)index;
        keep[index] = true;
    }
    return 0;
}

/* ---- all slots ---- */

void fleet_handle(struct fleet *fleet, struct slot *slot, enum supervisor_event event)
{
    slot_handle(&fleet->context, slot, event);
}

void generation_each_slot(struct fleet *fleet, struct generation *generation,
                          void (*visit)(struct fleet *fleet, struct slot *slot))
{
    for (unsigned i = 0; generation && i < generation->pool_count; i++)
        for (unsigned j = 0; j < generation->pools[i].count; j++)
            visit(fleet, generation->pools[i].slots[j]);
}

void fleet_each_slot(struct fleet *fleet, void (*visit)(struct fleet *fleet, struct slot *slot))
{
    struct slot *slot, *next;

    generation_each_slot(fleet, fleet->current, visit);
    generation_each_slot(fleet, fleet->next, visit);
    LIST_FOREACH_SAFE(slot, &fleet->leaving, link, next)
        visit(fleet, slot);
}

static struct slot *find_in(const struct generation *generation, pid_t pid)
{
    for (unsigned i = 0; generation && i < generation->pool_count; i++)
        for (unsigned j = 0; j < generation->pools[i].count; j++)
            if (generation->pools[i].slots[j]->pid == pid)
                return generation->pools[i].slots[j];
    return NULL;
}

struct slot *fleet_find(const struct fleet *fleet, pid_t pid)
{
    struct slot *slot = find_in(fleet->current, pid);

    if (!slot)
        slot = find_in(fleet->next, pid);
    if (slot)
        return slot;
    LIST_FOREACH(slot, &fleet->leaving, link)
        if (slot->pid == pid)
            return slot;
    return NULL;
}

/* ---- more workers ---- */

/* NULL when out of memory. The slot may have no process: one that cannot be forked now is tried again later. */
static struct slot *add_slot(struct fleet *fleet, const struct generation *generation, struct pool *pool)
{
    struct slot *slot = slot_new(pool->count, generation->number, pool, pool->reason);

    if (!slot)
        return NULL;
    pool->slots[pool->count++] = slot;
    fleet_handle(fleet, slot, SUPERVISOR_EVENT_START);
    return slot;
}

static bool has_process(const struct slot *slot)
{
    return slot && supervisor_is_alive(slot->supervised.state);
}

void generation_set_pools(struct generation *generation)
{
    const struct conf *conf = &generation->conf;

    generation->pool_count = conf->pool_count;
    for (unsigned i = 0; i < conf->pool_count; i++) {
        struct pool *pool = &generation->pools[i];
        pool->config = &conf->pools[i];
        pool->conf = conf;
        pool->index = i;
        pool->alone = pool->config->single;
    }
}

enum fleet_progress fleet_start(struct fleet *fleet, struct generation *generation, const unsigned *wanted,
                                enum stats_respawn reason)
{
    if (generation->pool_count == 0)
        generation_set_pools(generation);
    for (unsigned i = 0; i < generation->pool_count; i++) {
        generation->pools[i].wanted = wanted[i];
        generation->pools[i].reason = reason;
    }
    return fleet_start_some(fleet, generation);
}

/* Start the next one of a pool that lacks some. */
static enum fleet_progress start_one(struct fleet *fleet, const struct generation *generation, struct pool *pool)
{
    static struct log_limit limit;
    const struct slot *slot = add_slot(fleet, generation, pool);

    if (generation == fleet->next && !has_process(slot))
        return FLEET_FAILED;
    if (slot)
        return FLEET_MORE;
    log_limited(&limit, 1, LOG_LEVEL_ERROR, "cannot start worker %u of pool %s: %s", pool->count, pool->config->name,
                strerror(errno));
    return FLEET_FAILED;
}

enum fleet_progress fleet_start_some(struct fleet *fleet, struct generation *generation)
{
    unsigned started = 0;

    for (unsigned i = 0; i < generation->pool_count; i++) {
        struct pool *pool = &generation->pools[i];
        while (pool->count < pool->wanted && !single_must_wait(fleet, generation, pool)) {
            if (started++ == STARTS_PER_TURN)
                return FLEET_MORE;
            if (start_one(fleet, generation, pool) == FLEET_FAILED)
                return FLEET_FAILED;
        }
    }
    return FLEET_DONE;
}

static bool beats(const struct fleet *fleet, const struct slot *slot)
{
    const struct supervisor_slot *supervised = &slot->supervised;

    return (supervised->state == SUPERVISOR_STARTING || supervised->state == SUPERVISOR_SLOW) &&
           supervised->beat_ms > supervised->started_ms &&
           fleet->context.now_ms < supervised->beat_ms + slot->patience.watchdog_ms;
}

bool fleet_is_starting(const struct fleet *fleet, const struct generation *generation)
{
    for (unsigned i = 0; i < generation->pool_count; i++)
        for (unsigned j = 0; j < generation->pools[i].count; j++)
            if (beats(fleet, generation->pools[i].slots[j]))
                return true;
    return false;
}

int fleet_add(struct fleet *fleet, struct pool *pool, enum stats_respawn reason, char *error, size_t error_size)
{
    pool->reason = reason;
    pool->wanted++;
    struct slot *slot = add_slot(fleet, fleet->current, pool);
    if (has_process(slot))
        return 0;
    snprintf(error, error_size, "%s", slot ? "the worker cannot be started" : strerror(errno));
    pool->wanted--;
    if (slot)
        fleet_retire_last(fleet, pool);
    return -1;
}

/* ---- fewer ---- */

/* Its configuration may go. */
static void retire(struct fleet *fleet, struct slot *slot)
{
    LIST_INSERT_HEAD(&fleet->leaving, slot, link);
    fleet_handle(fleet, slot, SUPERVISOR_EVENT_STOP);
    slot->conf = NULL;
    slot->pool = NULL;
}

void fleet_retire_last(struct fleet *fleet, struct pool *pool)
{
    retire(fleet, pool->slots[--pool->count]);
}

static void retire_pool(struct fleet *fleet, struct pool *pool)
{
    pool->wanted = 0;
    pool->held = false;
    while (pool->count > 0)
        fleet_retire_last(fleet, pool);
}

void fleet_retire_all(struct fleet *fleet, struct generation *generation)
{
    for (unsigned i = 0; i < generation->pool_count; i++)
        retire_pool(fleet, &generation->pools[i]);
}

void fleet_hold(struct fleet *fleet, struct pool *pool)
{
    retire_pool(fleet, pool);
    pool->held = true;
}

void fleet_release(struct fleet *fleet, enum stats_respawn reason)
{
    for (unsigned i = 0; !fleet->context.for_good && i < fleet->current->pool_count; i++) {
        struct pool *pool = &fleet->current->pools[i];
        if (!pool->held)
            continue;
        log_notice("the worker of the pool %s is started again", pool->config->name);
        pool->held = false;
        pool->reason = reason;
        pool->wanted = conf_pool_workers(pool->config);
    }
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

/* False when there is no memory. Where there may be only one worker, the next one is started when this one is gone. */
static bool replace(struct fleet *fleet, struct slot *slot, enum stats_respawn reason, const char *why)
{
    struct generation *current = fleet->current;
    struct pool *pool = &current->pools[slot->pool->index];
    struct slot *replacement = pool->alone ? NULL : slot_new(slot->id, current->number, pool, reason);

    if (!replacement && !pool->alone)
        return false;
    log_notice("%s (pid %d) %s: it is replaced", slot->name, (int)slot->pid, why);
    retire(fleet, slot);
    pool->reason = reason;
    if (pool->alone) {
        pool->count = 0;
        return true;
    }
    pool->slots[slot->id] = replacement;
    fleet_handle(fleet, replacement, SUPERVISOR_EVENT_START);
    return true;
}

void fleet_replace(struct fleet *fleet, struct slot *slot)
{
    if (slot->conf != &fleet->current->conf) /* it leaves already */
        return;
    slot->replace_due = slot->operator_asks ? !replace(fleet, slot, RESPAWN_operator, "is drained by an operator")
                                            : !replace(fleet, slot, RESPAWN_exit, "drains at a signal, or by itself");
}

void fleet_recycle(struct fleet *fleet, struct slot *slot, enum stats_respawn reason, const char *why)
{
    replace(fleet, slot, reason, why);
}

static void retry_replacement(struct fleet *fleet, struct slot *slot)
{
    if (slot->replace_due)
        fleet_replace(fleet, slot);
}

void fleet_retry_replacements(struct fleet *fleet)
{
    generation_each_slot(fleet, fleet->current, retry_replacement);
}
