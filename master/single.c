#include "master/single.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct pool *single_counterpart(struct generation *generation, const struct pool *pool)
{
    for (unsigned i = 0; generation && i < generation->pool_count; i++)
        if (strcmp(generation->pools[i].config->name, pool->config->name) == 0)
            return &generation->pools[i];
    return NULL;
}

/* Whether this is a process of ours, as its title says; with `pool_name` NULL also one that has no title yet. */
static bool is_worker(pid_t pid, const char *pool_name)
{
    char path[64], wanted[POOL_NAME_SIZE + 32], title[sizeof(wanted)] = "";

    snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
    snprintf(wanted, sizeof(wanted), pool_name ? "ccserver: %s worker " : "ccserver: ", pool_name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && read(fd, title, sizeof(title) - 1) < 0)
        title[0] = '\0';
    if (fd >= 0)
        close(fd);
    return strncmp(title, wanted, strlen(wanted)) == 0;
}

/*
 * A worker of another master, which has died, or is about to: a candidate that has failed, a predecessor that was killed.
 * It ends by itself, soon.
 */
static bool has_others(const struct stats_area *stats, const char *pool_name)
{
    uint32_t at = 0;

    for (const struct stats_entry *worker; (worker = stats_other(stats, getpid(), &at));) {
        uint32_t taken = worker->taken;
        if (taken > 0 && strcmp(stats->slots[taken - 1].pool, pool_name) == 0 && worker->pid > 0 &&
            is_worker(worker->pid, NULL))
            return true;
    }
    return false;
}

/* The same of a binary that has had statistics of its own: it has become a child of this master, which has none now. */
static bool has_strangers(const char *pool_name)
{
    bool found = false;
    int pid;
    FILE *children = fopen("/proc/thread-self/children", "re");

    while (children && !found && fscanf(children, "%d", &pid) == 1)
        found = is_worker(pid, pool_name);
    if (children)
        fclose(children);
    return found;
}

bool single_has_leftovers(const struct fleet *fleet, const char *pool_name)
{
    const struct slot *slot;

    LIST_FOREACH(slot, &fleet->leaving, link)
        if (slot->supervised.state != SUPERVISOR_EMPTY && strcmp(slot->pool_name, pool_name) == 0)
            return true;
    return has_others(fleet->context.stats, pool_name) || has_strangers(pool_name);
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
    if (counterpart && generation == fleet->next && counterpart->wanted > 0)
        return true; /* it is between two processes, and has not been told to make room yet */
    return single_has_leftovers(fleet, pool->config->name);
}
