/*
 * What the master knows, for reports and for whoever reads the shared memory (common/state.h).
 */
#ifndef MASTER_STATE_H
#define MASTER_STATE_H

#include "common/state.h"
#include "master/master.h"

/* The state as it is now. */
void state_take(const struct master *master, struct master_state *state);

/* At each turn, in the master that is in charge: write it to the shared memory. */
void state_publish(struct master *master);

#endif
