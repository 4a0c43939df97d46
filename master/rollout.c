#include "master/rollout.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/notify.h"
#include "master/limit.h"
#include "master/shared.h"
#include "master/single.h"
#include "master/slot_words.h"

enum {
    START_MS = 10 * 1000, /* what the next generation may take to be READY, at least */
    START_EACH_MS = 50,   /* and for each of its workers */
};

void rollout_note_refused(struct fleet *fleet, const char *error)
{
    atomic_fetch_add(&fleet->context.stats->service.reload_failures, 1);
    state_note_change(&fleet->context.stats->service.last_reload, true, error);
    log_error("reload refused: %s", error);
}

void rollout_refuse(struct fleet *fleet, struct generation *next, const char *error)
{
    rollout_note_refused(fleet, error);
    notify("READY=1\nSTATUS=reload refused: %s", error);
    generation_free(next);
}

void rollout_give_up(struct fleet *fleet, const char *error)
{
    struct generation *next = fleet->next;

    if (!next)
        return;
    fleet->next = NULL;
    fleet_retire_all(fleet, next); /* some may serve already: they drain */
    fleet_release(fleet, RESPAWN_reload);
    endpoints_forget_added(&fleet->endpoints);
    shared_keep(&fleet->current->conf);
    log_open(fleet->current->conf.log);
    rollout_refuse(fleet, next, error);
}

static enum fleet_progress check_progress(struct fleet *fleet, enum fleet_progress progress)
{
    if (progress == FLEET_FAILED)
        rollout_give_up(fleet, "a worker of it could not be started");
    return progress;
}

enum fleet_progress rollout_start_some(struct fleet *fleet)
{
    return check_progress(fleet, fleet->next ? fleet_start_some(fleet, fleet->next) : FLEET_DONE);
}

/* A worker that is the only one so far must be gone, too, before the first ones of a pool that is not single start. */
static void note_singles(struct fleet *fleet, struct generation *next)
{
    for (unsigned i = 0; i < next->pool_count; i++) {
        const struct pool *old = single_counterpart(fleet->current, &next->pools[i]);
        next->pools[i].alone |= old && old->config->single;
    }
}

/* What an operator has disabled stays so until it is enabled, by its name. */
static void keep_disabled(const struct conf *old, struct conf *next)
{
    for (unsigned i = 0; i < old->listener_count; i++)
        if (old->disabled & UINT64_C(1) << i)
            conf_disable(next, old->listeners[i].name, true);
}

void rollout_start(struct fleet *fleet, struct generation *next)
{
    unsigned workers[CONF_POOLS_MAX];

    next->number = fleet_next_number(fleet);
    generation_set_pools(next);
    conf_log_changes(&fleet->current->conf, &next->conf);
    limit_check(&next->conf, &fleet->current->conf);
    conf_warn(&next->conf);
    log_notice("reload: generation %u starts", next->number);
    fleet->next = next;
    fleet->next_due_ms = clock_now_ms() + START_MS + (uint64_t)START_EACH_MS * conf_workers(&next->conf);
    conf_each_pool_workers(&next->conf, workers);
    note_singles(fleet, next);
    keep_disabled(&fleet->current->conf, &next->conf);
    check_progress(fleet, fleet_start(fleet, next, workers, RESPAWN_reload));
}

/* Addresses that the next configuration does not have are closed by those who accept from them, when they are done. */
static void refuse_removed(struct fleet *fleet, const struct pool *pool)
{
    const struct conf *conf = pool->conf;
    uint32_t index = 0;

    for (unsigned i = 0; i < conf->listener_count; i++)
        for (unsigned j = 0; conf->listeners[i].pool == pool->index && j < conf->listeners[i].address_count;
             j++, index++) {
            const struct endpoint *endpoint = endpoints_find(&fleet->endpoints, &conf->listeners[i].addresses[j]);
            if (endpoint->claimed)
                continue;
            for (unsigned k = 0; k < pool->count; k++)
                slot_send_refuse(&fleet->context, pool->slots[k], index);
        }
}

static void take_over(struct fleet *fleet)
{
    struct generation *old = fleet->current;

    endpoints_yield_covered(&fleet->endpoints);
    for (unsigned i = 0; i < old->pool_count; i++)
        refuse_removed(fleet, &old->pools[i]);
    fleet_retire_all(fleet, old);
    fleet->current = fleet->next;
    fleet->next = NULL;
    generation_note_running(fleet->current); /* the state is published before anybody looks again */
    for (unsigned i = 0; i < fleet->current->pool_count; i++)
        fleet->current->pools[i].alone = fleet->current->pools[i].config->single;
    endpoints_keep_claimed(&fleet->endpoints, &fleet->current->conf);
    shared_keep(&fleet->current->conf);
    log_set_level((enum log_level)fleet->current->conf.log_level);
    atomic_fetch_add(&fleet->context.stats->service.reloads, 1);
    state_note_change(&fleet->context.stats->service.last_reload, false,
                      fleet->current->pidfile_stays ? "a new generation serves, but pidfile changes by a restart only"
                                                    : "a new generation serves");
    log_notice("reload: generation %u serves, generation %u drains", fleet->current->number, old->number);
    notify("READY=1\nSTATUS=%u workers, generation %u", generation_count(fleet->current), fleet->current->number);
    generation_free(old);
}

static bool is_ready(const struct pool *pool)
{
    for (unsigned i = 0; i < pool->count; i++) {
        enum supervisor_state state = pool->slots[i]->supervised.state;
        if (state != SUPERVISOR_RUNNING && state != SUPERVISOR_SILENT)
            return false;
    }
    return pool->count == pool->wanted;
}

/* `all`: those, too, that have to wait for the current generation. */
static bool are_ready(const struct fleet *fleet, bool all)
{
    for (unsigned i = 0; i < fleet->next->pool_count; i++) {
        const struct pool *pool = &fleet->next->pools[i];
        bool waits = pool->alone && single_counterpart(fleet->current, pool);
        if ((all || !waits) && !is_ready(pool))
            return false;
    }
    return true;
}

/* All others are READY: now the workers that there may be only one of leave. */
static void yield_singles(struct fleet *fleet)
{
    for (unsigned i = 0; i < fleet->next->pool_count; i++) {
        const struct pool *pool = &fleet->next->pools[i];
        struct pool *old = pool->alone ? single_counterpart(fleet->current, pool) : NULL;
        if (!old || old->held)
            continue;
        log_notice("reload: the pool %s makes room for its next worker", pool->config->name);
        fleet_hold(fleet, old);
        uint64_t due_ms = clock_now_ms() + old->config->drain_timeout_ms + SUPERVISOR_GRACE_MS + START_MS;
        if (due_ms > fleet->next_due_ms)
            fleet->next_due_ms = due_ms;
    }
}

void rollout_check(struct fleet *fleet)
{
    if (!fleet->next)
        return;
    if (are_ready(fleet, true))
        take_over(fleet);
    else if (are_ready(fleet, false))
        yield_singles(fleet);
    if (fleet->next && clock_now_ms() >= fleet->next_due_ms && !fleet_is_starting(fleet, fleet->next))
        rollout_give_up(fleet, "its workers are not ready in time");
}
