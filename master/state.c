#include "master/state.h"
#include "build_info.h"
#include "common/clock.h"
#include "common/log.h"
#include "master/adopt.h"
#include "master/readiness.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bsd/string.h>

#define HAS_ROOM(room, needed) _Static_assert((int)(room) >= (int)(needed), #room " is less than " #needed)
HAS_ROOM(STATE_POOLS_MAX, CONF_POOLS_MAX);
HAS_ROOM(STATE_LISTENERS_MAX, CONF_LISTENERS_MAX);
HAS_ROOM(STATE_ADDRESSES_MAX, LISTENER_ADDRESSES_MAX);
HAS_ROOM(STATE_COUNTERS_MAX, STATS_OWN_COUNTERS);
HAS_ROOM(STATE_NAME_SIZE, LISTENER_NAME_SIZE);
HAS_ROOM(STATE_POOL_SIZE, POOL_NAME_SIZE);

static const char *phase_of(const struct master *master)
{
    static const char *const names[] = {
        [MASTER_SERVING] = "serving",
        [MASTER_STOPPING_SOON] = "stopping soon",
        [MASTER_STOPPING] = "stopping",
        [MASTER_KILLING] = "killing",
    };
    if (handover_has_handed_over(master->upgrade.state))
        return "handed over";
    return master->phase == MASTER_SERVING && !master->was_ready ? "starting" : names[master->phase];
}

/* The supervisor's clock is not the real one, but it is the one that `started_ms` is of. */
static uint64_t started_ms(const struct master *master, const struct slot *slot)
{
    uint64_t now_ms = master->fleet.context.now_ms, then_ms = slot->supervised.started_ms;

    return slot->pid ? clock_now_ms() - (now_ms > then_ms ? now_ms - then_ms : 0) : 0;
}

static void add_worker(const struct master *master, struct master_state *state, const struct slot *slot,
                       enum state_part part)
{
    if (state->worker_count == STATE_WORKERS_MAX || (part != STATE_SERVES && !slot->block))
        return;
    struct state_worker *worker = &state->workers[state->worker_count++];
    *worker = (struct state_worker){.id = slot->id,
                                    .generation = slot->generation,
                                    .part = part,
                                    .pid = slot->pid,
                                    .reason = slot->reason,
                                    .is_adopted = part == STATE_SERVES && slot->pool->adopted[slot->id],
                                    .adopts = adopt_count(slot),
                                    .started_ms = started_ms(master, slot),
                                    .ready_ms = slot->ready_ms,
                                    .serial = slot->block ? slot->serial : 0};
    strlcpy(worker->pool, slot->pool_name, sizeof(worker->pool));
    strlcpy(worker->state, supervisor_state_name(slot->supervised.state), sizeof(worker->state));
}

static void add_generation(const struct master *master, struct master_state *state, const struct generation *generation,
                           enum state_part part)
{
    for (unsigned i = 0; generation && i < generation->pool_count; i++)
        for (unsigned j = 0; j < generation->pools[i].count; j++)
            add_worker(master, state, generation->pools[i].slots[j], part);
}

static void add_pools(struct master_state *state, const struct generation *generation)
{
    state->pool_count = generation->pool_count;
    for (unsigned i = 0; i < generation->pool_count; i++) {
        const struct pool *pool = &generation->pools[i];
        state->pools[i] = (struct state_pool){
            .wanted = pool->wanted, .running = pool->running, .cannot_run = pool->failed};
        strlcpy(state->pools[i].name, pool->config->name, sizeof(state->pools[i].name));
    }
}

static void add_counters(struct state_listener *listener, const struct counter_row *rows)
{
    listener->counter_count = 0;
    for (; rows && rows->name && listener->counter_count < STATE_COUNTERS_MAX; rows++) {
        struct state_counter *counter = &listener->counters[listener->counter_count++];
        strlcpy(counter->name, rows->name, sizeof(counter->name));
        strlcpy(counter->help, rows->help, sizeof(counter->help));
    }
}

static void add_listener(struct master_state *state, const struct conf *conf, const struct listener_config *config)
{
    struct state_listener *listener = &state->listeners[state->listener_count++];

    strlcpy(listener->name, config->name, sizeof(listener->name));
    strlcpy(listener->service, config->service->name, sizeof(listener->service));
    strlcpy(listener->pool, config->pool_name, sizeof(listener->pool));
    listener->is_disabled = conf->disabled >> config->position & 1;
    listener->index = config->index;
    listener->address_count = config->address_count;
    for (unsigned i = 0; i < config->address_count; i++)
        strlcpy(listener->addresses[i], config->addresses[i].text, sizeof(listener->addresses[i]));
    add_counters(listener, config->service->counters);
}

static void add_listeners(struct master_state *state, const struct generation *generation)
{
    state->listener_count = 0;
    for (unsigned i = 0; i < generation->conf.listener_count; i++)
        add_listener(state, &generation->conf, &generation->conf.listeners[i]);
}

/* The absolute path of the configuration file: others are in other directories. */
static const char *conf_path(const struct master *master)
{
    static char path[PATH_MAX];

    if (path[0] == '\0' && master->overrides && !realpath(conf_file(master->overrides), path))
        strlcpy(path, conf_file(master->overrides), sizeof(path)); /* built-in, or gone by now */
    return path;
}

void state_take(const struct master *master, struct master_state *state)
{
    const struct generation *current = master->fleet.current;
    const struct slot *slot;

    state->pid = getpid();
    strlcpy(state->version, CCSERVER_VERSION, sizeof(state->version));
    strlcpy(state->phase, phase_of(master), sizeof(state->phase));
    strlcpy(state->conf_path, conf_path(master), sizeof(state->conf_path));
    state->is_ready = master->was_ready && master->phase == MASTER_SERVING &&
                      handover_is_in_charge(master->upgrade.state);
    state->is_busy = master_is_busy(master);
    state->is_reloading = master->fleet.next || master->reload.state == RELOAD_RESOLVING;
    state->reloads_ended = master->fleet.context.stats->service.last_reload.count;
    state->generation = current->number;
    state->master_started_ms = master->started_ms;
    state->log_dropped = log_dropped();
    add_pools(state, current);
    add_listeners(state, current);
    state->worker_count = 0;
    add_generation(master, state, current, STATE_SERVES);
    add_generation(master, state, master->fleet.next, STATE_STARTS);
    LIST_FOREACH(slot, &master->fleet.leaving, link)
        add_worker(master, state, slot, STATE_LEAVES);
}

void state_publish(struct master *master)
{
    static struct master_state state;

    if (!handover_is_in_charge(master->upgrade.state))
        return;
    state_take(master, &state);
    state_write(&master->fleet.context.stats->state, &state);
}
