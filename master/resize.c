#include "master/resize.h"
#include "common/log.h"
#include "common/notify.h"

/* Whether anybody is left when the last worker has been retired. */
static bool others_live(const struct pool *pool)
{
    for (unsigned i = 0; i + 1 < pool->count; i++)
        if (pool->slots[i]->supervised.state != SUPERVISOR_DOWN)
            return true;
    return false;
}

/* Have accept queues for so many workers of `pool`, and for those of the others that are wanted already. */
static int claim(struct fleet *fleet, const struct pool *pool, unsigned count, char *error, size_t error_size)
{
    struct generation *current = fleet->current;
    unsigned slots[CONF_POOLS_MAX];

    for (unsigned i = 0; i < current->pool_count; i++)
        slots[i] = current->pools[i].wanted;
    slots[pool->index] = count;
    return endpoints_claim(&fleet->endpoints, &current->conf, slots, error, error_size);
}

/* A worker that cannot be started is given up: its queues stay, and are served by the others. */
static int grow(struct fleet *fleet, struct pool *pool, char *error, size_t error_size)
{
    if (claim(fleet, pool, pool->wanted + 1, error, error_size) < 0)
        return -1;
    return fleet_add(fleet, pool, RESPAWN_resize, error, error_size);
}

static void shrink(struct fleet *fleet, struct pool *pool)
{
    pool->wanted--;
    fleet_retire_last(fleet, pool);
}

static unsigned wanted_in_all(const struct generation *generation)
{
    unsigned wanted = 0;

    for (unsigned i = 0; i < generation->pool_count; i++)
        wanted += generation->pools[i].wanted;
    return wanted;
}

void resize_by(struct fleet *fleet, int change, bool is_busy)
{
    struct generation *current = fleet->current;
    struct pool *pool = &current->pools[0];
    unsigned count = pool->wanted;
    char error[512];

    if (pool->config->listener_count == 0) {
        log_warn("resize refused: the pool main has no listener");
        return;
    }
    if ((change < 0 && count == 1) || (change > 0 && wanted_in_all(current) == CONF_WORKERS_MAX)) {
        log_warn("resize refused: %u workers is the limit", count);
        return;
    }
    if (is_busy || !generation_is_complete(current)) {
        log_warn("resize refused: a start, a reload, an upgrade or a stop is under way");
        return;
    }
    if (change < 0 && !others_live(pool)) {
        log_warn("resize refused: all other workers stay down");
        return;
    }
    if (change < 0) {
        shrink(fleet, pool);
    } else if (grow(fleet, pool, error, sizeof(error)) < 0) {
        log_error("resize refused: %s", error);
        return;
    }
    log_notice("resize: %u workers", pool->count);
    notify("STATUS=%u workers, generation %u", generation_count(current), current->number);
}

static void resize_pool(struct fleet *fleet, struct pool *pool)
{
    unsigned workers = conf_pool_workers(pool->config);
    char error[512];

    if (pool->wanted >= workers)
        return;
    if (claim(fleet, pool, workers, error, sizeof(error)) < 0) {
        log_error("no more than %u workers in the pool %s: %s", pool->wanted, pool->config->name, error);
        return;
    }
    if (pool->index == 0)
        log_notice("resize: %u workers", workers);
    else
        log_notice("resize: %u workers in the pool %s", workers, pool->config->name);
    pool->wanted = workers;
}

void resize_to_configured(struct fleet *fleet)
{
    for (unsigned i = 0; i < fleet->current->pool_count; i++)
        resize_pool(fleet, &fleet->current->pools[i]);
}
