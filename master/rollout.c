#include "master/rollout.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/notify.h"
#include "master/limit.h"

enum {
    START_MS = 10 * 1000, /* what the next generation may take to be READY, at least */
    START_EACH_MS = 50,   /* and for each of its workers */
};

void rollout_refuse(struct fleet *fleet, struct generation *next, const char *error)
{
    atomic_fetch_add(&fleet->context.stats->service.reload_failures, 1);
    log_error("reload refused: %s", error);
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
    endpoints_forget_added(&fleet->endpoints);
    log_open(fleet->current->conf.log);
    rollout_refuse(fleet, next, error);
}

enum fleet_progress rollout_start_some(struct fleet *fleet)
{
    enum fleet_progress progress = fleet->next ? fleet_start_some(fleet, fleet->next) : FLEET_DONE;

    if (progress == FLEET_FAILED)
        rollout_give_up(fleet, "a worker of it could not be started");
    return progress;
}

void rollout_start(struct fleet *fleet, struct generation *next)
{
    next->number = fleet_next_number(fleet);
    conf_log_changes(&fleet->current->conf, &next->conf);
    limit_check(&next->conf, &fleet->current->conf);
    log_notice("reload: generation %u starts", next->number);
    fleet->next = next;
    fleet->next_due_ms = clock_now_ms() + START_MS + (uint64_t)START_EACH_MS * next->conf.workers;
    next->reason = RESPAWN_reload;
    next->wanted = next->conf.workers;
    rollout_start_some(fleet);
}

/* Addresses that the next configuration does not have are closed by those who accept from them, when they are done. */
static void refuse_removed(struct fleet *fleet)
{
    const struct generation *current = fleet->current;
    uint32_t index = 0;

    for (unsigned i = 0; i < current->conf.listener_count; i++)
        for (unsigned j = 0; j < current->conf.listeners[i].address_count; j++, index++) {
            const struct endpoint *endpoint = endpoints_find(&fleet->endpoints,
                                                             &current->conf.listeners[i].addresses[j]);
            if (endpoint->claimed)
                continue;
            for (unsigned k = 0; k < current->count; k++)
                slot_send_refuse(&fleet->context, current->slots[k], index);
        }
}

static void take_over(struct fleet *fleet)
{
    struct generation *old = fleet->current;

    endpoints_yield_covered(&fleet->endpoints);
    refuse_removed(fleet);
    fleet_retire_all(fleet, old);
    fleet->current = fleet->next;
    fleet->next = NULL;
    endpoints_keep_claimed(&fleet->endpoints, &fleet->current->conf);
    fleet_apply_patience(fleet);
    log_set_level((enum log_level)fleet->current->conf.log_level);
    atomic_fetch_add(&fleet->context.stats->service.reloads, 1);
    log_notice("reload: generation %u serves, generation %u drains", fleet->current->number, old->number);
    notify("READY=1\nSTATUS=%u workers, generation %u", fleet->current->count, fleet->current->number);
    generation_free(old);
}

void rollout_check(struct fleet *fleet)
{
    const struct generation *next = fleet->next;
    unsigned ready = 0;

    if (!next)
        return;
    for (unsigned i = 0; i < next->count; i++) {
        enum supervisor_state state = next->slots[i]->supervised.state;
        ready += state == SUPERVISOR_RUNNING || state == SUPERVISOR_SILENT;
    }
    if (ready == next->wanted)
        take_over(fleet);
    else if (clock_now_ms() >= fleet->next_due_ms)
        rollout_give_up(fleet, "its workers are not ready in time");
}
