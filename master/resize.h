/*
 * The number of workers of the current generation: one more or one fewer in the pool main at a signal, any number in any
 * pool at a request, and in all pools the rest of them in a master that has just taken charge.
 */
#ifndef MASTER_RESIZE_H
#define MASTER_RESIZE_H

#include "master/fleet.h"

/* Why nothing is changed now. */
extern const char resize_busy[];

/* Have `count` workers in a pool. 0, or -1 with the end of a sentence in `error`, and all as it was. */
int resize_to(struct fleet *fleet, struct pool *pool, unsigned count, char *error, size_t error_size);

/* Have `change` workers of the pool main more, 1 or -1. `is_busy`: something else is under way, so that it is refused.
 */
void resize_by(struct fleet *fleet, int change, bool is_busy);

/* Have as many workers as are configured: a candidate has opened no accept queues that its predecessor did not have. */
void resize_to_configured(struct fleet *fleet);

#endif
