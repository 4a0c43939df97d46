/*
 * Single pools during an upgrade: their workers in the predecessor leave when all other workers of the candidate are
 * READY, and only then those of the candidate start. A candidate that fails has changed nothing: see fleet_release().
 */
#ifndef MASTER_UPGRADE_SINGLE_H
#define MASTER_UPGRADE_SINGLE_H

#include "master/master.h"

/* In the candidate: its single pools have to wait, unless the predecessor is too old to know any. */
void upgrade_begin_singles(struct master *master);

/* In the candidate: all others are READY; asks the predecessor, once. And its answer. */
void upgrade_ask_for_singles(struct master *master);
void upgrade_yielded(struct master *master);

/* In the predecessor: the candidate asks. */
void upgrade_yield(struct master *master);

/* In both, at each tick. True when the predecessor waits for workers of its own: no silence is the candidate's fault.
 */
bool upgrade_tick_singles(struct master *master);

#endif
