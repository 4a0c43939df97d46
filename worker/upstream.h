/*
 * Upstreams: further connections of a session, made to one of the addresses of a name, and spoken to in messages.
 *
 *   CONNECTING: an attempt per address --> OPEN: messages --> CLOSED: the service is told once
 */
#ifndef WORKER_UPSTREAM_H
#define WORKER_UPSTREAM_H

#include "worker/attempt.h"
#include "worker/core/session.h"

_Static_assert(offsetof(struct attempt, address) == 0, "it stands in place of asked_ns");

struct upstream_conn {
    struct session_conn base;         /* first: it is freed through it */
    const struct upstream *callbacks; /* NULL: the service knows that it has ended */
    union {
        struct attempt attempt; /* in phase CONNECTING */
        uint64_t asked_ns;      /* then: when the turn began whose question it has not answered yet; 0: there is none */
    };
};

extern const struct conn_owner upstream_owner;

/* What other owners of it have in common with that one. */
#define UPSTREAM_OWNER                                                                                                 \
    .enter = upstream_enter, .leave = upstream_leave, .pressure = upstream_pressure, .arm = upstream_arm,              \
    .active_ms = upstream_active_ms, .exhausted = upstream_exhausted, .connected = upstream_connected,                 \
    .closed = upstream_closed

void upstream_enter(struct conn *conn);
void upstream_leave(struct conn *conn);
void upstream_pressure(struct conn *conn);
void upstream_arm(struct conn *conn);
uint64_t *upstream_active_ms(struct conn *conn);
void upstream_exhausted(struct conn *conn, enum conn_shortage what);
void upstream_connected(struct conn *conn, int error);
void upstream_closed(struct conn *conn);

/* session_connect() with a descriptor that is connected already, and owned by it; on failure it is closed. */
struct conn *upstream_adopt(struct session *session, int fd, const struct upstream *upstream);

static inline struct upstream_conn *upstream_of(const struct conn *conn)
{
    return container_of(conn, struct upstream_conn, base.conn);
}

/* Something goes to it: the time of its answer begins, unless that of an earlier one goes on. What is sent while it is
 * being connected counts from when it is: until then the address stands in place of 0. */
static inline void upstream_note_asked(struct conn *conn)
{
    struct upstream_conn *upstream = upstream_of(conn);

    if (upstream->asked_ns == 0)
        upstream->asked_ns = conn_loop_of(conn)->reactor.now_ns;
}

/* Something has come from it; `counted` is where the answer counts. */
static inline void upstream_note_answered(struct conn *conn, struct stats_listener *counted)
{
    struct upstream_conn *upstream = upstream_of(conn);

    if (upstream->asked_ns == 0)
        return;
    stats_count_duration(counted->durations[DURATION_upstream_answered],
                         conn_loop_of(conn)->reactor.now_ns - upstream->asked_ns);
    upstream->asked_ns = 0;
}

/* It has failed, or (error 0) its stream has ended: take it out and tell the service. */
void upstream_ended(struct conn *conn, int error);

/* The session is no relay any more: a client that takes nothing more, for its side was ended, has no use of it. */
void upstream_uncoupled(struct session *session);

/* conn_owner.expired of an attempt to connect. */
bool upstream_expired(struct conn *conn);

#endif
