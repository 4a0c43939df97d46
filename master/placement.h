/*
 * Where a worker runs, and how readily it leaves the CPU to others.
 */
#ifndef MASTER_PLACEMENT_H
#define MASTER_PLACEMENT_H

#include "master/conf/conf.h"

/* In the child: `cpus` and `nice` of its pool. What cannot be had is a warning: the worker serves all the same. */
void placement_apply(const struct pool_config *pool, unsigned id);

#endif
