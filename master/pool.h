/*
 * A pool: the workers of one generation that serve the same listeners. What concerns several workers is a matter of one
 * pool: siblings, adoption, the number of workers, patience. A slot's id is its place in its pool.
 */
#ifndef MASTER_POOL_H
#define MASTER_POOL_H

#include "master/conf/conf.h"
#include <stdbool.h>

struct slot;

struct pool {
    const struct pool_config *config;
    const struct conf *conf;
    unsigned index;            /* in the configuration: that of its listeners */
    unsigned wanted, count;    /* target and present number of slots; ids 0 .. count - 1 */
    unsigned running;          /* workers that could adopt the queues of another one */
    bool alone;                /* none of its workers is started while one of another generation, or binary, lives */
    bool held;                 /* none is wanted for now: a worker of the next generation, or binary, takes its place */
    uint64_t restart_serial;   /* workers up to this one are to be replaced */
    bool failed;               /* it has been logged that it cannot run */
    enum stats_respawn reason; /* why its slots are started */
    bool adopted[CONF_WORKERS_MAX]; /* by id: the queues of this slot are served by the others */
    struct slot *slots[CONF_WORKERS_MAX];
};

#endif
