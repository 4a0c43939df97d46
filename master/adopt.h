/*
 * Whose accept queues are served by whom while their own worker cannot.
 */
#ifndef MASTER_ADOPT_H
#define MASTER_ADOPT_H

#include "master/fleet.h"

/* Tell every worker that serves what has changed about whose queues it is to serve. */
void adopt_sync(struct fleet *fleet);

/* `slot` could not take all the queues of slot `id`: it will be told again. */
void adopt_missed(struct slot *slot, unsigned id);

/* How many foreign slots `slot` serves now. */
unsigned adopt_count(const struct slot *slot);

#endif
