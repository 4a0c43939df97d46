/*
 * Connecting to one of the addresses of a name: each is tried for its share of the time that is left.
 *
 *   attempt_begin --> conn.deadline_ms, or epoll, tells that an attempt is over --> attempt_ended --> connected
 *                             ^                                                         |  `----> failed
 *                             `---------------- the next address ----------------------'
 */
#ifndef WORKER_ATTEMPT_H
#define WORKER_ATTEMPT_H

#include "worker/core/conn.h"

struct attempt {
    const struct sock_address *address;
    uint32_t rest_ms; /* what is left after conn.deadline_ms, the end of the present attempt */
    uint8_t next;     /* address to try */
    uint8_t pause_ms; /* before a unix socket is asked again, whose queue was full; 0: it was not */
};

/*
 * Connect `conn`, which is in phase CONNECTING and has no descriptor, within `timeout_ms`. Returns 0 when there is
 * something to wait for: the caller tells epoll and files a timer. Else the error (an errno value) of the last address,
 * EHOSTUNREACH when there is none. `address` must outlive the attempt.
 */
int attempt_begin(struct attempt *attempt, struct conn *conn, const struct sock_address *address, uint32_t timeout_ms);

/*
 * The present attempt is over: connected (error 0), or failed. Returns 0 when `conn` is connected, and OPEN now;
 * EINPROGRESS when the next address is being tried, as after attempt_begin(); else the error of the last address.
 */
int attempt_ended(struct attempt *attempt, struct conn *conn, int error);

#endif
