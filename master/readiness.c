#include "master/readiness.h"
#include "common/log.h"

enum {
    CRASHES = 8,    /* in a row: more than a second has been given to what may pass */
    RUNS_MS = 1500, /* so long a worker must have lived: longer than the longest pause between two crashes */
};

static bool is_serving(const struct slot *slot)
{
    return slot->supervised.state == SUPERVISOR_RUNNING || slot->supervised.state == SUPERVISOR_SILENT;
}

static bool cannot_run(const struct pool *pool)
{
    for (unsigned i = 0; i < pool->count; i++) {
        const struct slot *slot = pool->slots[i];
        if (slot->supervised.state != SUPERVISOR_DOWN && (is_serving(slot) || slot->supervised.crashes < CRASHES))
            return false;
    }
    return pool->count > 0 && pool->count == pool->wanted;
}

static unsigned count_in(const struct pool *pool, enum supervisor_state state)
{
    unsigned count = 0;

    for (unsigned i = 0; i < pool->count; i++)
        count += pool->slots[i]->supervised.state == state;
    return count;
}

struct readiness readiness_of(const struct generation *generation)
{
    struct readiness readiness = {.all = true, .others = true};

    for (unsigned i = 0; i < generation->pool_count; i++) {
        const struct pool *pool = &generation->pools[i];
        unsigned running = count_in(pool, SUPERVISOR_RUNNING);
        bool settled = pool->count == pool->wanted && running + count_in(pool, SUPERVISOR_DOWN) == pool->count;
        readiness.ready += running;
        if (cannot_run(pool)) {
            readiness.cannot = pool;
        } else if (!settled) {
            readiness.all = false;
            readiness.others &= pool->alone && pool->count == 0;
        }
    }
    return readiness;
}

/* One that crashes again and again may seem to run for a moment. */
static bool runs(const struct fleet *fleet, const struct pool *pool)
{
    for (unsigned i = 0; i < pool->count; i++) {
        const struct supervisor_slot *supervised = &pool->slots[i]->supervised;
        if (supervised->state == SUPERVISOR_RUNNING && fleet->context.now_ms - supervised->started_ms >= RUNS_MS)
            return true;
    }
    return false;
}

static void watch(const struct fleet *fleet, struct pool *pool)
{
    if (!pool->failed && cannot_run(pool)) {
        pool->failed = true;
        log_error("the pool %s cannot run: its clients wait, the others are served", pool->config->name);
    } else if (pool->failed && runs(fleet, pool)) {
        pool->failed = false;
        log_notice("the pool %s runs again", pool->config->name);
    }
}

void readiness_watch(struct fleet *fleet)
{
    for (unsigned i = 0; fleet->current->pool_count > 1 && i < fleet->current->pool_count; i++)
        if (fleet->current->pools[i].count > 0)
            watch(fleet, &fleet->current->pools[i]);
}
