/*
 * What the master learns of its workers: what they say, what they count, and that they have died.
 */
#ifndef MASTER_WORKERS_H
#define MASTER_WORKERS_H

#include "master/slot.h"
#include <stdbool.h>

struct master;

/* Read from the control pipe of a worker, a few messages at a time. */
void workers_receive(struct master *master, struct slot *slot);

/* SIGCHLD: children have died. */
void workers_reap(struct master *master);

/* Look for the dead whose SIGCHLD went astray, and at what the living have counted. To be called at each tick. */
void workers_check(struct master *master);

/*
 * Workers of a candidate that failed have become our children. They drain by themselves, but not for ever; where one
 * may just have been started, it has a moment to say so. Other children, which we may have been born with, are none of
 * our business. `stop_ms`: real time when this master was told to stop; `at_once`: they are killed.
 */
bool workers_have_orphans(const struct stats_area *stats, uint64_t stop_ms, bool at_once);

#endif
