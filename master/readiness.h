/*
 * Whether the pools of a generation run, or cannot.
 */
#ifndef MASTER_READINESS_H
#define MASTER_READINESS_H

#include "master/fleet.h"

struct readiness {
    unsigned ready;            /* workers */
    bool all;                  /* every worker is READY or stays down, in all pools that can run */
    bool others;               /* the same, but for those that single_must_wait() holds back */
    const struct pool *cannot; /* a pool that cannot run; NULL: all can */
};

/* All workers of a pool have given up, or crash again and again: that is what cannot run. */
struct readiness readiness_of(const struct generation *generation);

/* Log which pools of the current generation cannot run any more, and which can again. */
void readiness_watch(struct fleet *fleet);

#endif
