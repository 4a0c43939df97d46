/*
 * The start of a candidate, and what it inherits across exec(): descriptors, by number in the environment, and
 * memory files that say which socket listens where, and what names stand for.
 */
#ifndef MASTER_UPGRADE_FORK_H
#define MASTER_UPGRADE_FORK_H

#include "master/master.h"

/* Start the program at `path` as a candidate, and know it as `master->upgrade`. 0, or -1 with errno, and then all
 * is as it was. */
int upgrade_fork(struct master *master, const char *path);

/*
 * In the candidate: take what the predecessor hands over. Returns 0 when there is none, 1 when there is, or -1 with
 * errno. To be called before anything else is opened; candidate_fail() tells the predecessor why we cannot go on.
 */
int upgrade_inherit(struct master *master);

#endif
