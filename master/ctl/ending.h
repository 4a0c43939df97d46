/*
 * The end of a server: that of its master in charge, and of the one before it, which may still drain after an upgrade.
 */
#ifndef MASTER_CTL_ENDING_H
#define MASTER_CTL_ENDING_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { ENDING_MASTERS = 2 };

struct ending {
    struct pollfd ends[ENDING_MASTERS]; /* by pidfd; -1: there is none, or it has ended */
};

/* Remember who must end: `master` and its predecessor. Before either is told to; ending_close() gives it back. */
void ending_open(struct ending *ending, pid_t master);
void ending_close(struct ending *ending);

/* Wait until all have ended, reaped or not. False when they have not within `timeout_ms`. */
bool ending_wait(struct ending *ending, uint64_t timeout_ms);

/* The parent of a process; 0: nobody knows. */
pid_t ending_parent(pid_t pid);

#endif
