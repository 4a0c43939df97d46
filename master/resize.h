/*
 * The number of workers of the current generation: one more or one fewer in the pool main at a signal, and in all pools
 * the rest of them in a master that has just taken charge.
 */
#ifndef MASTER_RESIZE_H
#define MASTER_RESIZE_H

#include "master/fleet.h"

/* Have `change` workers of the pool main more, 1 or -1. `is_busy`: something else is under way, so that it is refused.
 */
void resize_by(struct fleet *fleet, int change, bool is_busy);

/* Have as many workers as are configured: a candidate has opened no accept queues that its predecessor did not have. */
void resize_to_configured(struct fleet *fleet);

#endif
