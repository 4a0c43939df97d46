/*
 * Siblings: workers of one pool, of whichever generation, that can publish to each other.
 */
#ifndef MASTER_SIBLINGS_H
#define MASTER_SIBLINGS_H

#include "master/fleet.h"

/* Send each worker the inboxes of its siblings that it has not been sent yet. That one is gone it sees itself. */
void siblings_sync(struct fleet *fleet);

#endif
