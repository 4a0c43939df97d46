#include "master/recycle.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_SIZE = 96, EACH_MS = 1000, RESTART_EACH_MS = 20, REST_MS = 60 * 1000 };

/* Bytes of resident memory that are the process's own, not shared with others; 0: nobody knows. */
static uint64_t resident(pid_t pid)
{
    char path[64];
    uint64_t pages = 0, shared = 0;

    snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
    FILE *in = fopen(path, "re");
    if (!in)
        return 0;
    if (fscanf(in, "%*u %" SCNu64 " %" SCNu64, &pages, &shared) != 2 || shared > pages)
        pages = shared = 0;
    fclose(in);
    return (pages - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t sessions(const struct stats_block *block)
{
    uint64_t accepted = 0;

    for (unsigned i = 0; i < STATS_LISTENERS_MAX; i++)
        accepted += stats_read(&block->listeners[i].accepted);
    return accepted;
}

/* With the end of a sentence in `text`. */
static bool is_due(const struct fleet *fleet, const struct pool *pool, const struct slot *slot,
                   enum stats_respawn *reason, char *text)
{
    const struct pool_config *config = pool->config;

    if (!slot->block || slot->supervised.state != SUPERVISOR_RUNNING)
        return false;
    if (slot->serial <= pool->restart_serial) {
        snprintf(text, TEXT_SIZE, "is restarted by an operator");
        *reason = RESPAWN_operator;
        return true;
    }
    *reason = RESPAWN_recycle;
    /* One that is too large again at once gains nothing by being replaced again and again. */
    bool rests = slot->reason == RESPAWN_recycle && fleet->context.now_ms - slot->supervised.started_ms < REST_MS;
    uint64_t served = config->recycle_sessions ? sessions(slot->block) : 0;
    uint64_t memory = config->recycle_memory && !rests ? resident(slot->pid) : 0;
    if (config->recycle_sessions && served >= config->recycle_sessions)
        snprintf(text, TEXT_SIZE, "has served %" PRIu64 " sessions", served);
    else if (config->recycle_memory && memory > config->recycle_memory)
        snprintf(text, TEXT_SIZE, "has grown to %" PRIu64 " KiB", memory / 1024);
    else
        return false;
    return true;
}

/* A worker of it that serves has been there before its restart was asked for. */
static bool is_restarting(const struct pool *pool)
{
    for (unsigned i = 0; pool->restart_serial > 0 && i < pool->count; i++)
        if (pool->slots[i]->supervised.state != SUPERVISOR_DOWN && pool->slots[i]->serial <= pool->restart_serial)
            return true;
    return false;
}

/* All its workers serve, or stay down, and none that has left still drains. */
static bool is_settled(const struct fleet *fleet, const struct pool *pool)
{
    const struct slot *slot;

    for (unsigned i = 0; i < pool->count; i++)
        if (pool->slots[i]->supervised.state != SUPERVISOR_RUNNING &&
            pool->slots[i]->supervised.state != SUPERVISOR_DOWN)
            return false;
    LIST_FOREACH(slot, &fleet->leaving, link)
        if (strcmp(slot->pool_name, pool->config->name) == 0)
            return false;
    return pool->count == pool->wanted;
}

/* Of several that are due the oldest one, so that everybody's turn comes. */
static void check_pool(struct fleet *fleet, const struct pool *pool)
{
    struct slot *oldest = NULL;
    enum stats_respawn reason, its_reason = RESPAWN_recycle;
    char text[TEXT_SIZE], why[TEXT_SIZE];

    if ((!pool->config->recycle_sessions && !pool->config->recycle_memory && !is_restarting(pool)) ||
        !is_settled(fleet, pool))
        return;
    for (unsigned i = 0; i < pool->count; i++)
        if ((!oldest || pool->slots[i]->supervised.started_ms < oldest->supervised.started_ms) &&
            is_due(fleet, pool, pool->slots[i], &reason, text)) {
            oldest = pool->slots[i];
            its_reason = reason;
            memcpy(why, text, sizeof(why));
        }
    if (oldest)
        fleet_recycle(fleet, oldest, its_reason, why);
}

void recycle_restart(struct fleet *fleet, struct pool *pool)
{
    pool->restart_serial = atomic_load(&fleet->context.stats->serials_used);
    fleet->recycle_due_ms = fleet->context.now_ms;
}

void recycle_check(struct fleet *fleet)
{
    if (fleet->context.now_ms < fleet->recycle_due_ms)
        return;
    fleet->recycle_due_ms = fleet->context.now_ms + EACH_MS;
    for (unsigned i = 0; i < fleet->current->pool_count; i++) {
        check_pool(fleet, &fleet->current->pools[i]);
        if (is_restarting(&fleet->current->pools[i]))
            fleet->recycle_due_ms = fleet->context.now_ms + RESTART_EACH_MS;
    }
}
