/*
 * How many workers a configuration asks for.
 */
#include "master/conf/conf.h"
#include <sched.h>
#include <unistd.h>

uint32_t conf_online_cpus(void)
{
    cpu_set_t set;
    long count = sched_getaffinity(0, sizeof(set), &set) < 0 ? sysconf(_SC_NPROCESSORS_ONLN) : CPU_COUNT(&set);

    return count < 1 ? 1 : count > CONF_WORKERS_MAX ? CONF_WORKERS_MAX : (uint32_t)count;
}

unsigned conf_pool_workers(const struct pool_config *pool)
{
    return pool->listener_count > 0 ? pool->workers : 0;
}

unsigned conf_workers(const struct conf *conf)
{
    unsigned workers = 0;

    for (unsigned i = 0; i < conf->pool_count; i++)
        workers += conf_pool_workers(&conf->pools[i]);
    return workers;
}

void conf_each_pool_workers(const struct conf *conf, unsigned workers[CONF_POOLS_MAX])
{
    for (unsigned i = 0; i < conf->pool_count; i++)
        workers[i] = conf_pool_workers(&conf->pools[i]);
}
