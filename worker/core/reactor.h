/*
 * The event loop: level-triggered epoll, one thread.
 *
 *   while running:  epoll_wait -> handler->ready(events) ... -> timers -> after_batch (the dead are buried) -> beat
 *
 * A handler is embedded in what it serves. It may take itself or any other handler out at any time, but its memory and
 * its descriptor must stay until after_batch: events of this batch may still point to it.
 */
#ifndef WORKER_CORE_REACTOR_H
#define WORKER_CORE_REACTOR_H

#include "common/stats.h"
#include "worker/busy_poll.h"
#include "worker/core/timer.h"
#include "worker/core/wall.h"
#include <stdbool.h>
#include <stdint.h>

/* The longest sleep, and so the longest silence of a healthy worker. */
enum { REACTOR_PATIENCE_MS = 100 };

/* In `reactor_handler.events`: the descriptor is not registered. */
#define REACTOR_OFF UINT32_MAX

struct reactor_handler {
    int fd;
    uint32_t events; /* what epoll was told; REACTOR_OFF at first */
    void (*ready)(struct reactor_handler *handler, uint32_t events);
};

/* The messages of a listener that the present turn has read: how long they took is known at its end. */
struct turn_account {
    struct turn_account *next;
    struct stats_listener *stats;
    uint32_t read;    /* messages; it is listed once there is one */
    uint32_t delayed; /* of these, those whose answers come in a later turn */
};

struct reactor {
    int epoll_fd;
    bool running;
    bool hurry;                    /* the next turn is not to sleep: something is left to be done */
    uint64_t now_ms;               /* monotonic; read once a turn */
    uint64_t now_ns;               /* the same time */
    struct turn_account *accounts; /* of this turn */
    struct timer_wheel wheel;
    struct busy_poll busy_poll;
    struct stats_block *stats; /* turns (the heartbeat) and the longest turn are counted there */
    void (*after_batch)(struct reactor *reactor);
};

/* 0, or -1 with errno. */
int reactor_open(struct reactor *reactor, struct stats_block *stats);
void reactor_close(struct reactor *reactor);

/*
 * Wait for `events` from now on (EPOLLIN, EPOLLOUT, 0; errors are always reported), with no system call when that is
 * what it waits for already. REACTOR_OFF takes the descriptor out altogether. Returns 0, or -1 with errno (ENOMEM,
 * ENOSPC).
 */
int reactor_want(struct reactor *reactor, struct reactor_handler *handler, uint32_t events);

/* A message has been read. */
static inline void reactor_account(struct reactor *reactor, struct turn_account *account)
{
    if (account->read++ > 0)
        return;
    account->next = reactor->accounts;
    reactor->accounts = account;
}

/* Run until `running` is false. */
void reactor_run(struct reactor *reactor);

#endif
