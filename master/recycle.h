/*
 * Workers that have served long enough, or have grown too large, make room for fresh ones: `recycle_sessions` and
 * `recycle_memory`. So do all workers of a pool that an operator restarts.
 */
#ifndef MASTER_RECYCLE_H
#define MASTER_RECYCLE_H

#include "master/fleet.h"

/* Replace the workers that a pool has now, one after the other. */
void recycle_restart(struct fleet *fleet, struct pool *pool);

/* Once a second, oftener during a restart: replace one worker of each pool that is due. The next one has to wait until that one has drained. */
void recycle_check(struct fleet *fleet);

#endif
