/*
 * Workers that have served long enough, or have grown too large, make room for fresh ones: `recycle_sessions` and
 * `recycle_memory`.
 */
#ifndef MASTER_RECYCLE_H
#define MASTER_RECYCLE_H

#include "master/fleet.h"

/* Once a second: replace one worker of each pool that is due. The next one has to wait until that one has drained. */
void recycle_check(struct fleet *fleet);

#endif
