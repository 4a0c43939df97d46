/*
 * What takes its time, over a control socket: a server is asked again and again, since an answer is about one moment.
 */
#ifndef MASTER_CTL_FOLLOW_H
#define MASTER_CTL_FOLLOW_H

#include "master/ctl/server.h"

/* Print the last `count` lines that the masters have logged, and those to come, until the server has ended. */
enum ctl_exit follow_log(const char *path, unsigned count, uint64_t timeout_ms);

/* Until the server answers, or is ready; at most so long. */
enum ctl_exit follow_wait(const char *path, bool ready, uint64_t timeout_ms);

#endif
