#include "master/readiness.h"
#include "common/log.h"

enum { CRASHES = 8 }; /* in a row: more than a second has been given to what may pass */

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

void readiness_watch(struct fleet *fleet)
{
    for (unsigned i = 0; i < fleet->current->pool_count; i++) {
        struct pool *pool = &fleet->current->pools[i];
        bool failed = cannot_run(pool);
        if (failed == pool->failed || fleet->current->pool_count == 1)
            continue;
        pool->failed = failed;
        if (failed)
            log_error("the pool %s cannot run: its clients wait, the others are served", pool->config->name);
        else
            log_notice("the pool %s runs again", pool->config->name);
    }
}
