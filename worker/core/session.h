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

enum { SESSION_SEGMENTS_MAX = 64 }; /* constants and files that wait; then the client's input pauses */

LIST_HEAD(session_list, session);
LIST_HEAD(link_list, link);

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

/* Sessions for which something is to be done at the end of the turn. */
struct session_set {
    struct session **array;
    unsigned count, capacity;
};

/* All sessions of a worker. */
struct core {
    struct conn_loop loop;
    struct session_list live, dead;
    struct session *walked; /* the next one of whoever looks at all that live, some in each turn; NULL: nobody does */
    unsigned session_count; /* live and not yet freed; and a parked connection, see admission.c */
    const struct worker_env *env;
    const struct session *reading; /* whose input is being handed over; NULL: nobody's */
    bool draining;                 /* `leaving` is valid */
    struct session_leaving leaving;
    struct session_set touched;
    struct link_list links, due; /* all; and those for which something is to be done at the end of the turn: link.c */
    struct publisher *publisher; /* NULL: nobody publishes, see publish.c */
    bool shutdown_asked;         /* a service wants the whole server to stop: told at the end of the turn */
};

/* What the sessions of one address have in common: their section of the configuration, counters and limits. */
struct section {
    struct core *core;
    const struct listener_config *config;
    struct stats_listener *stats;
    struct turn_account account;
    struct conn_settings client, upstream;
    struct conn_settings passed;           /* of upstreams that another process has connected */
    const struct conn_owner *client_owner; /* of a session that is no relay */
    /* Instead of it, where the service reads; or NULL. */
    void (*ready)(struct reactor_handler *handler, uint32_t events);
    void (*expired)(struct timer_wheel *wheel, struct timer *timer); /* of a session */
    void (*opened)(struct session *session);                         /* before the service's `open` */
    void (*freed)(struct session *session);                          /* after the service's `close` */
    void *state;                                                     /* the service's, see life.c */
    size_t session_size; /* bytes of a session, with its state and its tail */
    struct timer tick;
};

/* Output that is read when the client can take it, see segment.c. */
struct segment_list {
    struct segment *first, *last;
};

/* What few sessions need. It is allocated when it is needed first. */
struct session_more {
    uint64_t timer_ms[SESSION_TIMERS]; /* the service's; 0: none */
    const struct framing *framing;     /* instead of the service's; or NULL */
    uint64_t skip;                     /* bytes of the client that are still to be dropped */
    uint64_t id;                       /* see identity.c; 0: nobody has asked for it */
    LIST_ENTRY(session_more) same_hash;
    struct session *session;
    struct reply *first_reply, *last_reply; /* see reply.c */
    unsigned reply_count;
    bool takes_places;          /* what is owed is what is reserved, whatever upstreams have been sent */
    unsigned held;              /* questions of it that found a link full, see link.c */
    struct buffer reserved;     /* by session_reserve(), where it cannot be built in place */
    size_t kept;                /* bytes in the memory of all segments ... */
    unsigned segment_count;     /* ... and how many there are: in `output`, and in the places of answers */
    struct segment_list output; /* behind the client's buffer, see segment.c */
};

struct session {
    LIST_ENTRY(session) link;
    struct timer timer;
    uint64_t active_ms;             /* when a byte was last moved */
    struct session_more *more;      /* NULL: nothing of it is needed yet */
    struct session_conn *upstreams; /* the newest first; also those that have ended in this batch */
    struct peer_address peer;
    uint8_t reason; /* enum close_reason, once it is closing */
    bool got_input;
    bool reply_due : 1; /* the last bytes went to an upstream */
    bool touched : 1;   /* something is to be done at the end of the turn, see turn.c */
    bool woken : 1;     /* `woken` is to be called then */
    bool paused : 1;    /* by the service */
    bool told_draining : 1;
    bool engaged : 1; /* in something that a drain waits for */
    struct conn client;
    _Alignas(max_align_t) char state[]; /* the service's; then struct session_tail */
};

/*
 * What stands behind the state of a session; behind it its figures, where it is logged (session_log.c). The allocator
 * rounds sizes up, so that with a state of up to 4 bytes this takes no memory at all.
 */
struct session_tail {
    uint32_t opened; /* monotonic, in units of SESSION_OPENED_MS: enough for 13 years after the machine's start */
};

enum { SESSION_OPENED_MS = 100 };

/* A further connection. It is allocated by its owner, as the first member of something, and freed with free(). */
struct session_conn {
    struct conn conn;
    struct session *session;
    struct session_conn *next;
};

static inline struct section *section_of(const struct session *session)
{
    return container_of(session->client.settings, struct section, client);
}

static inline struct core *core_of(const struct session *session)
{
    return section_of(session)->core;
}

static inline const struct service *session_service(const struct session *session)
{
    return section_of(session)->config->service;
}

static inline uint64_t session_now(const struct session *session)
{
    return conn_loop_of(&session->client)->reactor.now_ms;
}

/* Bytes from the beginning of a service's state to the tail of the session. */
static inline size_t session_tail_offset(const struct service *service)
{
    const size_t alignment = _Alignof(struct session_tail);

    return (service->state_size + alignment - 1) / alignment * alignment;
}

static inline struct session_tail *session_tail(const struct session *session)
{
    return (void *)((uintptr_t)session->state + session_tail_offset(session_service(session)));
}

/* When the session was opened: monotonic, rounded down to SESSION_OPENED_MS. */
static inline uint64_t session_opened_ms(const struct session *session)
{
    return (uint64_t)session_tail(session)->opened * SESSION_OPENED_MS;
}

static inline bool session_has_replies(const struct session *session)
{
    return session->more && session->more->reply_count > 0;
}

/* True when the service reserves places for its answers. */
static inline bool session_takes_places(const struct session *session)
{
    return session->more && session->more->takes_places;
}

/* True when an answer is still to come: of an upstream, or in a place that is reserved. */
static inline bool session_owes(const struct session *session)
{
    return session->reply_due || session_has_replies(session);
}

/* False when its timers are taken back, and none can be set. One that closes and owes answers needs them. */
static inline bool session_has_timers(const struct session *session)
{
    return session->client.phase == CONN_OPEN ||
           (session->client.phase == CONN_FLUSHING && session_has_replies(session));
}

/* True when output waits that is not in the client's buffer: constants, files. */
static inline bool session_has_segments(const struct session *session)
{
    return session->more && session->more->output.first;
}

/* True when as much is owed to the client, and waits for it, as a session may have: it is not asked for more. */
static inline bool session_is_full(const struct session *session)
{
    const struct session_more *more = session->more;

    return more && (more->reply_count >= SESSION_REPLIES_MAX || more->segment_count >= SESSION_SEGMENTS_MAX ||
                    more->kept > session->client.settings->high_water);
}

/* True when the client's bytes go to an upstream untouched, see relay.c. */
static inline bool session_is_relay(const struct session *session)
{
    return session->client.owner != section_of(session)->client_owner;
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

/* An answer has come. A client that has ended its stream is served when it was the last one. */
static inline void session_finish_answered(struct session *session)
{
    if (session->client.input == INPUT_ENDED && !session_owes(session) && !session_is_relay(session))
        session_finish(session, CLOSE_peer);
}

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
void session_settle(struct conn *client);

/* Pause and resume the inputs of a session after a change of above_high_water. */
void session_update_flow(struct session *session);

/* Close, tell and free the dead. Returns whether something has been freed. */
void session_bury(struct core *core);

static inline bool session_free_dead(struct core *core)
{
    if (LIST_EMPTY(&core->dead) && !core->loop.closed)
        return false;
    session_bury(core);
    return true;
}

#endif
