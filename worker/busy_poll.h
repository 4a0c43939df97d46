/*
 * Polling instead of sleeping: a process that is about to be woken up again need not go to sleep. Costs a CPU while it
 * lasts, so it lasts for a budget of microseconds after the last event, and gives up for a while when nothing comes of
 * it.
 */
#ifndef WORKER_BUSY_POLL_H
#define WORKER_BUSY_POLL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct busy_poll {
    uint32_t budget_us; /* 0: never poll */
    uint8_t misses;     /* budgets in a row that were spent in vain */
    uint16_t asleep;    /* sleeps until it is tried again */
};

/* epoll_wait(), but polling first when that has paid lately. `timeout_ms` is the longest it may take in all. */
int busy_poll_wait(struct busy_poll *poll, int epoll_fd, struct epoll_event *events, int count, int timeout_ms);

#endif
