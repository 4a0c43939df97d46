/*
 * A session: one client, its state, and the further connections that live and die with it.
 *
 *   section 1 --- * session ------ 1 conn           the client's, embedded
 *                      |---------- * session_conn   upstreams
 *
 * A session is on exactly one list of the core: `live`, or `dead` once it has ended. The dead keep their memory and
 * their descriptors until the event batch is over; then session_free_dead() closes, tells the service and frees, in one
 * pass.
 */
#ifndef WORKER_CORE_SESSION_H
#define WORKER_CORE_SESSION_H

#include "common/container_of.h"
#include "worker/core/conn.h"
#include "worker/core/wall.h"
#include "worker/peer.h"
#include "worker/session.h"
#include "worker/worker.h"

enum { FLUSH_IDLE_MS = 60 * 1000 }; /* without any progress in sending the last bytes, where no idle_timeout is set */

LIST_HEAD(session_list, session);

/* What a worker that leaves asks of its sessions, see drain.c. */
struct session_leaving {
    /* The event of a session is over. */
    void (*settled)(struct session *session);
    /* When to look at a session again that is not quiet now; UINT64_MAX: when something happens to it. */
    uint64_t (*look_ms)(const struct session *session);
    uint64_t begin_ms;  /* from then on quiet sessions are closed ... */
    uint32_t spread_ms; /* ... each after its own part of this time */
    uint64_t seed;
    enum close_reason reason;
};

/* All sessions of a worker. */
struct core {
    struct conn_loop loop;
    struct session_list live, dead;
    unsigned session_count; /* live and not yet freed; and a parked connection, see admission.c */
    uint32_t linger_timeout_ms;
    bool draining; /* `leaving` is valid */
    struct session_leaving leaving;
    bool shutdown_asked; /* a service wants the whole server to stop: told at the end of the turn */
};

/* What the sessions of one address have in common: their section of the configuration, counters and limits. */
struct section {
    struct core *core;
    const struct listener_config *config;
    struct stats_listener *stats;
    struct conn_settings client, upstream;
    const struct conn_owner *client_owner; /* of a session that is no relay */
    void (*ready)(struct reactor_handler *handler,
                  uint32_t events); /* instead of it, where the service reads; or NULL */
};

struct session {
    LIST_ENTRY(session) link;
    struct timer timer;
    uint64_t active_ms;             /* when a byte was last moved */
    uint64_t timer_ms;              /* the service's; 0: none */
    struct session_conn *upstreams; /* the newest first; also those that have ended in this batch */
    struct peer_address peer;
    uint8_t reason; /* enum close_reason, once it is closing */
    bool got_input;
    bool reply_due; /* the last bytes went to an upstream */
    struct conn client;
    _Alignas(max_align_t) char state[]; /* the service's */
};

/* A further connection. It is allocated by its owner, as the first member of something, and freed with free(). */
struct session_conn {
    struct conn conn;
    struct session *session;
    struct session_conn *next;
};

static inline struct section *session_section(const struct session *session)
{
    return container_of(session->client.settings, struct section, client);
}

static inline struct core *core_of(const struct session *session)
{
    return session_section(session)->core;
}

static inline const struct service *session_service(const struct session *session)
{
    return session_section(session)->config->service;
}

static inline uint64_t session_now(const struct session *session)
{
    return conn_loop_of(&session->client)->reactor.now_ms;
}

/* True when the client's bytes go to an upstream untouched, see relay.c. */
static inline bool session_is_relay(const struct session *session)
{
    return session->client.owner != session_section(session)->client_owner;
}

static inline struct session *session_of_client(const struct conn *conn)
{
    return container_of(conn, struct session, client);
}

/*
 * A session for the accepted descriptor `fd`, which it owns from now on; `peer` is its client's address. -1 with errno:
 * not created, `fd` is still yours.
 */
int session_open(struct section *section, int fd, const struct peer_address *peer);

/* Mark it dead; the first reason stays. It is told, closed and freed by session_free_dead(). */
void session_end(struct session *session, enum close_reason reason);

/* Nothing more is read; when the output is flushed it ends, for this reason. */
void session_finish(struct session *session, enum close_reason reason);

/* Do what a callback has asked for other than SESSION_CONTINUE. */
void session_apply_end(struct session *session, enum verdict verdict);

/* Do what a callback has asked for. */
static inline void session_apply(struct session *session, enum verdict verdict)
{
    if (verdict != SESSION_CONTINUE)
        session_apply_end(session, verdict);
}

/* Around everything that happens on a session's behalf: replies are collected, then sent; interest in events is
 * renewed. */
void session_enter(struct session *session);
void session_leave(struct session *session);

/* The last part of session_leave(): send, close what is finished, tell epoll. For owners of the client's connection. */
void session_settle(struct session *session);

/* Pause and resume the inputs of a session after a change of above_high_water. */
void session_update_flow(struct session *session);

/* File the timer for the earliest deadline, if it is earlier than what it is filed for. */
void session_arm(struct session *session);

/* Close, tell and free the dead. Returns whether something has been freed. */
bool session_free_dead(struct core *core);

#endif
