/*
 * A pool that owns something that no two processes may have (`single = on`): its next worker starts when the last one
 * is gone, of whichever generation and binary that is.
 *
 *   reload     all other pools of the next generation are READY: the worker leaves, and when it is gone the next starts
 *   upgrade    the same, but the candidate asks for it (YIELD), and is told when it is gone (YIELDED)
 *   failure    fleet_release(): the worker is started again
 */
#ifndef MASTER_SINGLE_H
#define MASTER_SINGLE_H

#include "master/fleet.h"

/* The workers of all pools that make room are gone. */
bool single_has_yielded(const struct fleet *fleet);

/* True while a worker of `pool`, which is one of `generation`, must not be started. */
bool single_must_wait(const struct fleet *fleet, const struct generation *generation, const struct pool *pool);

/* The pool of the same name in `generation`; NULL when it has none, or there is no generation. */
struct pool *single_counterpart(struct generation *generation, const struct pool *pool);

/* A worker of this name that leaves, or that another master which has died has left behind, is still there. */
bool single_has_leftovers(const struct fleet *fleet, const char *pool_name);

#endif
