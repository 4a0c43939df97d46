/*
 * What a service that shows the server, or changes it, may know beyond session.h: the state of the master and the
 * counters of all workers, read from the memory that they share. Nobody is asked, so it is there also while others hang.
 */
#ifndef WORKER_ADMIN_H
#define WORKER_ADMIN_H

#include "common/report_sums.h"

enum { ADMIN_FRESH_MS = 20 };

/*
 * The server as it is now, or was at most ADMIN_FRESH_MS ago; valid until the next call. While sums->at_ms is the same,
 * so is all of it. NULL with errno when its memory cannot be mapped, or is being written at this moment.
 */
const struct report *admin_report(void);

#endif
