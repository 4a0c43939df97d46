/*
 * Who is let in when something is short: accepting pauses on all queues, and who waits in them is served later, by this
 * worker or by a sibling. Nobody is accepted only to be closed.
 *
 *   accept4() fails, max_sessions are open              pause; accepting is tried again later, or when a session ends
 *   no memory or no epoll watch for the session         the same, and the connection, which is accepted, is parked
 *
 * The listener sees `paused_until_ms` and stops watching its queues.
 */
#ifndef WORKER_ADMISSION_H
#define WORKER_ADMISSION_H

#include "worker/core/listener.h"

/* Accepting stops for a while on all listeners; `reason` is for the log. */
void admission_pause(struct listeners *listeners, const char *reason);

/* The same, because there could be no session for the accepted descriptor `fd`, which is kept. `error`: errno. */
void admission_park(struct listener *listener, int fd, const struct peer_address *peer, int error);

/* Nobody is accepted at this listener: the client gets a reset at once, so that it goes elsewhere. */
void admission_turn_away(struct listener *listener, int fd);

/* accept4() has failed. True when that was the fault of one connection: the next may do better. Else it pauses. */
bool admission_failed(struct listeners *listeners, int error);

/* Open the session of the parked connection. 0 also when there is none; -1 with errno: it stays parked. */
int admission_unpark(struct listeners *listeners);

/* The worker ends: close what is parked. */
void admission_end(struct listeners *listeners);

#endif
