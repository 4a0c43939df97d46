#include "master/placement.h"
#include "common/log.h"
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>

/* The n-th CPU of those that are allowed, and from the first one on again where there are fewer. */
static void choose_nth(cpu_set_t *allowed, unsigned n)
{
    unsigned skip = n % (unsigned)CPU_COUNT(allowed);

    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, allowed))
            continue;
        if (skip-- > 0)
            continue;
        CPU_ZERO(allowed);
        CPU_SET(cpu, allowed);
        return;
    }
}

/* -1 with errno. */
static int choose_cpus(const struct pool_config *pool, unsigned id)
{
    cpu_set_t set = pool->cpu_set;

    if (strcmp(pool->cpus, "auto") == 0) {
        if (sched_getaffinity(0, sizeof(set), &set) < 0)
            return -1;
        choose_nth(&set, id);
    }
    return sched_setaffinity(0, sizeof(set), &set);
}

void placement_apply(const struct pool_config *pool, unsigned id)
{
    bool is_chosen = pool->cpus[0] != '\0' && strcmp(pool->cpus, "off") != 0;

    if (is_chosen && choose_cpus(pool, id) < 0)
        log_warn("cpus = %s: %s", pool->cpus, strerror(errno));
    errno = 0;
    int present = getpriority(PRIO_PROCESS, 0);
    if (pool->nice > 0 && (errno || setpriority(PRIO_PROCESS, 0, present + (int)pool->nice) < 0))
        log_warn("nice = %u: %s", pool->nice, strerror(errno));
}
