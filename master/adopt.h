/*
 * Whose accept queues are served by whom while their own worker cannot.
 */
#ifndef MASTER_ADOPT_H
#define MASTER_ADOPT_H

#include "master/fleet.h"

/* Send every worker that serves what has changed in the set of queues that it adopts. */
void adopt_sync(struct fleet *fleet);

/* The worker of `slot` has had no room for all the queues of slot `id`: they will be sent again. */
void adopt_missed(struct slot *slot, unsigned id);

/* How many foreign slots `slot` serves now. */
unsigned adopt_count(const struct slot *slot);

#endif
