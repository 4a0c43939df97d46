#include "master/single.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

struct pool *single_counterpart(struct generation *generation, const struct pool *pool)
{
    for (unsigned i = 0; generation && i < generation->pool_count; i++)
        if (strcmp(generation->pools[i].config->name, pool->config->name) == 0)
            return &generation->pools[i];
    return NULL;
}

/* A worker of a master that has died: of a candidate that has failed, for example. It ends by itself, soon. */
static bool has_orphans(const struct stats_area *stats, const char *pool_name)
{
    uint32_t at = 0;

    for (const struct stats_entry *worker; (worker = stats_orphan(stats, getpid(), &at));) {
        uint32_t taken = worker->taken;
        pid_t pid = worker->pid;
        if (taken > 0 && strcmp(stats->slots[taken - 1].pool, pool_name) == 0 &&
            (pid == 0 || kill(pid, 0) == 0 || errno != ESRCH))
            return true;
    }
    return false;
}

bool single_has_leftovers(const struct fleet *fleet, const char *pool_name)
{
    const struct slot *slot;

    LIST_FOREACH(slot, &fleet->leaving, link)
        if (slot->supervised.state != SUPERVISOR_EMPTY && strcmp(slot->pool_name, pool_name) == 0)
            return true;
    return has_orphans(fleet->context.stats, pool_name);
}

bool single_has_yielded(const struct fleet *fleet)
{
    for (unsigned i = 0; i < fleet->current->pool_count; i++) {
        const struct pool *pool = &fleet->current->pools[i];
        if (pool->held && single_has_leftovers(fleet, pool->config->name))
            return false;
    }
    return true;
}

bool single_must_wait(const struct fleet *fleet, const struct generation *generation, const struct pool *pool)
{
    struct generation *other = generation == fleet->next ? fleet->current : fleet->next;
    const struct pool *counterpart = pool->alone ? single_counterpart(other, pool) : NULL;

    if (!pool->alone)
        return false;
    if (fleet->singles_wait || (counterpart && counterpart->count > 0))
        return true;
    return single_has_leftovers(fleet, pool->config->name);
}
