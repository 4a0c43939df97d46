/*
 * A candidate: what it says to the predecessor, and what it waits for, before it is in charge. In any other master those
 * that say something do nothing.
 */
#ifndef MASTER_CANDIDATE_H
#define MASTER_CANDIDATE_H

#include "master/master.h"

/* Send FAILED with the error. */
void candidate_fail(const struct upgrade *upgrade, const char *error);

/* While something takes its time: its silence must not be taken for a hang. */
void candidate_report_alive(struct upgrade *upgrade);

/* The same at each tick, for as long as workers that start beat. */
void candidate_report_beats(struct master *master);

/* `workers` of them are READY, or `all` that can be. */
void candidate_report_ready(struct upgrade *upgrade, unsigned workers, bool all);

/* Its single pools wait for those of the predecessor, unless that is too old to know any. */
void candidate_hold_singles(struct master *master);

/*
 * The pool that is single and was not, or the other way round; NULL: there is none. Neither side could see to it that
 * there are no two workers: that takes a reload.
 */
const char *candidate_changed_single(const struct master *master);

/*
 * How many workers of each pool this master starts with: as many as are configured, but in a candidate no more than
 * there are queues. It must not open others, where clients would wait in vain if it failed. In charge it starts the
 * rest.
 */
void candidate_first_workers(const struct master *master, unsigned workers[CONF_POOLS_MAX]);

#endif
