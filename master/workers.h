/*
 * Messages, counters and deaths of workers, as the master learns of them.
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
 * True while workers of a candidate that failed live: they have become our children. They drain by themselves, and are
 * killed after a while or `at_once`; one that may just have been forked has a moment to show up. Other children, which
 * we may have been born with, do not count. `stop_ms`: real time when this master was told to stop.
 */
bool workers_have_orphans(const struct stats_area *stats, uint64_t stop_ms, bool at_once);

#endif
