#include "master/resize.h"
#include "common/log.h"
#include "common/notify.h"
#include <stdio.h>

#include <bsd/string.h>

const char resize_busy[] = "a start, a reload, an upgrade or a stop is under way";

/* Whether anybody of the first `count` workers is left when the others have been retired. */
static bool others_live(const struct pool *pool, unsigned count)
{
    for (unsigned i = 0; i < count && i < pool->count; i++)
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

/* The first one is started now, so that a failure is known; if it cannot be, its queues stay, and are served by the
 * others. The rest is started by the loop. */
static int grow(struct fleet *fleet, struct pool *pool, unsigned count, char *error, size_t error_size)
{
    if (claim(fleet, pool, count, error, error_size) < 0 ||
        fleet_add(fleet, pool, RESPAWN_resize, error, error_size) < 0)
        return -1;
    pool->reason = RESPAWN_resize;
    pool->wanted = count;
    return 0;
}

static void log_count(const struct pool *pool, unsigned count)
{
    if (pool->index == 0)
        log_notice("resize: %u workers", count);
    else
        log_notice("resize: %u workers in the pool %s", count, pool->config->name);
}

static unsigned wanted_in_all(const struct generation *generation)
{
    unsigned wanted = 0;

    for (unsigned i = 0; i < generation->pool_count; i++)
        wanted += generation->pools[i].wanted;
    return wanted;
}

/* Why a pool cannot have so many workers, as a sentence in `error`; else 0. The count may be any number. */
static int check(const struct fleet *fleet, const struct pool *pool, unsigned count, char *error, size_t error_size)
{
    const struct generation *current = fleet->current;
    unsigned most = CONF_WORKERS_MAX + pool->wanted - wanted_in_all(current);
    const char *why = NULL;

    if (pool->config->listener_count == 0)
        snprintf(error, error_size, "the pool %s has no listener", pool->config->name);
    else if (pool->config->single && count != 1)
        snprintf(error, error_size, "the pool %s is single", pool->config->name);
    else if (count == 0 || (count > pool->wanted && count > most))
        snprintf(error, error_size, "%u workers is the limit", count == 0 ? 1 : most);
    else if (!generation_is_complete(current))
        why = resize_busy;
    else if (count < pool->wanted && !others_live(pool, count))
        why = "all other workers stay down";
    else
        return 0;
    if (why)
        strlcpy(error, why, error_size);
    return -1;
}

int resize_to(struct fleet *fleet, struct pool *pool, unsigned count, char *error, size_t error_size)
{
    struct generation *current = fleet->current;

    if (check(fleet, pool, count, error, error_size) < 0)
        return -1;
    while (pool->wanted > count) {
        pool->wanted--;
        fleet_retire_last(fleet, pool);
    }
    if (pool->wanted < count && grow(fleet, pool, count, error, error_size) < 0)
        return -1;
    log_count(pool, count);
    notify("STATUS=%u workers, generation %u", generation_count(current), current->number);
    return 0;
}

void resize_by(struct fleet *fleet, int change, bool is_busy)
{
    struct pool *pool = &fleet->current->pools[0];
    char error[512];

    if (is_busy)
        log_warn("resize refused: %s", resize_busy);
    else if (resize_to(fleet, pool, pool->wanted + (unsigned)change, error, sizeof(error)) < 0)
        log_warn("resize refused: %s", error);
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
    log_count(pool, workers);
    pool->wanted = workers;
}

void resize_to_configured(struct fleet *fleet)
{
    for (unsigned i = 0; i < fleet->current->pool_count; i++)
        resize_pool(fleet, &fleet->current->pools[i]);
}
