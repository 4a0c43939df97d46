/*
 * The room behind session.h: what the core's own files share. Services never include this.
 *
 *   core 1 --- * listener --- 1 queue     one per address; the queue is the one of this worker's slot
 *     |             ^  \------ * queue     adopted from slots that nobody serves
 *     +--- * session ------ 1 conn       the client's, embedded
 *              |              | peer     (coupled: bytes of one go to the other)
 *              +------- * conn           upstreams
 *
 * A session is on exactly one list of the core: `live`, or `dead` once it has ended. The dead keep their memory and
 * their descriptors until the event batch is over; then bury() closes, tells the service and frees, in one pass.
 */
#ifndef WORKER_CORE_H
#define WORKER_CORE_H

#include "common/buffer.h"
#include "worker/peer.h"
#include "worker/core/reactor.h"
#include "worker/session.h"
#include "worker/worker.h"

enum {
    SCRATCH_SIZE = 65536,     /* bytes per read, and so per connection and turn */
    CORK_SIZE = 65536,        /* replies collected while one read is being dispatched */
    CORK_COPY_MAX = 4096,     /* larger messages are sent from where they are */
    FLUSH_IDLE_MS = 60 * 1000 /* without any progress in sending the last bytes, where no idle_timeout is set */
};

enum conn_phase {
    CONN_CONNECTING,
    CONN_OPEN,
    CONN_FLUSHING,  /* nothing is read any more; closes when `out` is empty */
    CONN_LINGERING, /* we have sent our FIN and read the rest away, so that no RST overtakes the last reply */
    CONN_CLOSED,
};

enum conn_input { INPUT_ON, INPUT_PAUSED, INPUT_ENDED };
enum conn_output { OUTPUT_ON, OUTPUT_ENDING, OUTPUT_ENDED }; /* ENDING: FIN as soon as `out` is empty */

struct conn {
    struct reactor_handler handler;
    struct session *session;
    struct conn *next;               /* further connections of the session */
    struct conn *peer;               /* coupled; of a dead upstream: the next one to be buried */
    const struct upstream *upstream; /* NULL: the client's */
    struct buffer in;                /* an unfinished message; with paused input also whole ones */
    struct buffer out;               /* what the kernel did not take yet */
    uint64_t deadline_ms;            /* of what it is doing, see conn_expired(); 0: none */
    int error;                       /* it is broken: errno of a failed connect or write, until the end is reported */
    uint32_t unacknowledged;         /* bytes in the kernel's send queue when it last took no more */
    uint8_t phase, input, output;
    uint8_t silence; /* enum silence of keepalive.c */
    bool full;       /* `out` went over high_water and is not yet down to low_water */
};

struct session {
    LIST_ENTRY(session) link;
    struct listener *listener;
    struct timer timer;
    uint64_t active_ms; /* when a byte was last moved */
    uint64_t timer_ms;  /* the service's; 0: none */
    uint8_t reason;     /* enum close_reason, once it is closing */
    bool heard;         /* the client has sent something */
    bool awaiting;      /* the last bytes went to an upstream: an answer is due */
    bool drain_due;     /* `drained` is to be called when the client can take more */
    struct peer_address peer;
    struct conn client;
    _Alignas(max_align_t) char state[]; /* the service's */
};

LIST_HEAD(session_list, session);

/* Accepts from one queue on behalf of a listener: the queue of this worker's own slot, or one that it has adopted. */
struct queue {
    struct reactor_handler handler;
    struct listener *listener;
    LIST_ENTRY(queue) link; /* adopted ones */
    unsigned slot;          /* whose it is */
};

LIST_HEAD(queue_list, queue);

struct listener {
    struct queue queue;
    struct core *core;
    const struct listener_config *config;
    struct stats_listener *stats;
    bool refused; /* its address leaves the configuration: nobody may connect when this worker has stopped accepting */
};

/* A connection that has been accepted when there was no memory, or no epoll watch, for its session. */
struct parked {
    struct listener *listener; /* NULL: none */
    int fd;
    struct peer_address peer;
};

struct core {
    struct reactor reactor;
    const struct worker_env *env;
    struct listener *listeners; /* env->socket_count of them */
    struct queue_list adopted, released;
    struct session_list live, dead;
    struct conn *dead_conns; /* upstreams that ended, linked by `peer`; they leave their session's list when buried */
    struct parked parked;
    unsigned session_count;   /* live and not yet buried; and the parked one */
    uint64_t accept_again_ms; /* accepting is paused until then; 0: it is not */
    bool draining;
    uint64_t leave_ms;        /* draining: from then on quiet sessions are closed ... */
    uint32_t leave_spread_ms; /* ... each after its own part of this time */
    uint64_t leave_seed;
    enum close_reason leave_reason;
    bool shutdown_asked; /* a service wants the whole server to stop: the worker tells the master at the end of the turn
                          */
    struct session *corked; /* the one whose event is being handled */
    size_t cork_used;
    char scratch[SCRATCH_SIZE];
    char cork[CORK_SIZE];
};

static inline struct core *core_of(const struct session *session)
{
    return session->listener->core;
}

/* Replies collected for a session count for its back-pressure: no more than may be queued without a pause. */
static inline size_t core_cork_room(const struct core *core, const struct session *session)
{
    size_t limit = session->listener->config->high_water;

    limit = limit < CORK_SIZE ? limit : CORK_SIZE;
    return limit > core->cork_used ? limit - core->cork_used : 0;
}

/* ---- listener.c ---- */

/* Register the sockets of `core->env`. Returns 0, or -1 with errno. */
int listener_start(struct core *core);

/* Why a worker stops accepting, and what becomes of its queues. */
enum stop {
    STOP_LEAVE,  /* others go on accepting from them */
    STOP_REFUSE, /* the whole server stops: who waits is accepted, nobody else may connect */
    STOP_ORPHAN, /* there is no master: who waits is accepted, since the queues end with us */
};

/* Accept no more, and close our descriptors of the queues. */
void listener_stop(struct core *core, enum stop why);

/* Accept from one queue more, and wait for `events` on all queues. -1 with errno. */
int listener_add_queue(struct listener *listener, struct queue *queue, int fd, unsigned slot);

/* Wait for `events` on all queues, the adopted ones too. -1 with errno when epoll could not be told so for one of them.
 */
int listener_want_all(struct core *core, uint32_t events);

/* ---- admission.c ---- */

/* Accepting stops for a while on all listeners. */
void admission_pause(struct core *core, const char *reason);

/* The same, since there could be no session for the accepted descriptor `fd`, which is tried again first. */
void admission_park(struct listener *listener, int fd, const struct peer_address *peer, int error);

/* accept4() has failed. True when that was the fault of one connection: the next may do better. Else accepting pauses.
 */
bool admission_failed(struct core *core, int error);

/* It is paused. Accept again if the pause is over, or if `room` says that something has been freed. */
void admission_resume(struct core *core, bool room);

/* The worker ends: close what is parked. */
void admission_end(struct core *core);

/* ---- session.c ---- */

/*
 * A session for the accepted descriptor `fd`, which it owns from now on; `peer` is its client's address. -1 with errno:
 * not created, `fd` is still yours.
 */
int session_open(struct listener *listener, int fd, const struct peer_address *peer);

/* Mark it dead; the first reason stays. It is told, closed and freed by session_bury(). */
void session_end(struct session *session, enum close_reason reason);

/* Nothing more is read; when the output is flushed it ends, for this reason. */
void session_finish(struct session *session, enum close_reason reason);

/* Do what a callback has asked for. */
void session_apply(struct session *session, enum verdict verdict);

/* Around everything that happens on a session's behalf: replies are collected, then sent; interest in events is
 * renewed. */
void session_enter(struct session *session);
void session_leave(struct session *session);

/* Hand over the messages in `bytes`, keep the unfinished rest. `conn` is open. */
void session_input(struct conn *conn, const char *bytes, size_t size);

/* File the timer for the earliest deadline, if it is earlier than what it is filed for. */
void session_arm(struct session *session);

/* Close, tell and free the dead. */
void session_bury(struct core *core);

/* ---- adoption.c ---- */

/* Accept from `fd`, a queue of `slot` at address `index`, too. Owns `fd` from now on; -1 with errno when it cannot. */
int adoption_take(struct core *core, unsigned slot, unsigned index, int fd);

/* No longer from the queues of `slot`. */
void adoption_release(struct core *core, unsigned slot);

/* Free what has been released: when no event of a batch can point to it any more. */
void adoption_bury(struct core *core);

/* ---- drain.c ---- */

/*
 * Close whoever has nothing to finish; drain_leave() does so with the others, when they have. `quickly`: without the
 * courtesy of lingering, in which a request that crosses our end is read away instead of being answered by a reset.
 * With `spread_ms` every session goes on as before for a random part of that time, so that not all clients come back in
 * one moment. May be called again, to be quicker.
 */
void drain_begin(struct core *core, bool quickly, uint32_t spread_ms);

/* The event of a session is over: close it if it is to leave and has nothing to finish. */
void drain_leave(struct session *session);

/* The time is up: nothing more is answered. Who has taken the last byte gets a FIN, and what it sends is read away. */
void drain_close(struct core *core);

/* End all sessions that are left. */
void drain_end(struct core *core);

/* True when closing loses nothing: no newcomer, no partial or unread input, no unsent output, no answer that is due. */
bool drain_is_quiet(const struct session *session);

/* When to look at a session again that is not quiet now; UINT64_MAX: when something happens to it. */
uint64_t drain_look_ms(const struct session *session);

/* ---- conn.c ---- */

void conn_init(struct conn *conn, struct session *session, int fd, enum conn_phase phase);

/* reactor_handler.ready */
void conn_ready(struct reactor_handler *handler, uint32_t events);

/* Read once and handle it. Returns what recv() did. */
ssize_t conn_read(struct conn *conn);

/* Send, cork or queue. */
void conn_send(struct conn *conn, const void *bytes, size_t size);

/* `out` has grown: stop whoever fills it, or end the session. */
void conn_queued(struct conn *conn);

/* Send what has been corked for `session`. */
void conn_uncork(struct session *session);

/* The peer has acknowledged bytes since a write was cut short: it reads, if slowly. Asked only when a session looks
 * idle. */
bool conn_progresses(struct conn *conn);

/*
 * Nothing can be sent any more, because of `error`. What our kernel has acknowledged is read first, as far as
 * back-pressure allows; then the connection ends. A client's session ends at once, unless it is a relay: there is
 * nobody to be answered.
 */
void conn_broken(struct conn *conn, int error);

/* conn_expired() is to be called this many milliseconds from now. */
void conn_expire(struct conn *conn, uint32_t ms);

/*
 * The deadline has passed: of connecting, of lingering, of the upstream of a client that is lost, of looking
 * whether the peer still acknowledges; or a broken connection has something left to read.
 */
void conn_expired(struct conn *conn);

/* No more output after what is queued: FIN when that is gone. */
void conn_end_output(struct conn *conn);

/* Pause and resume the inputs of a session after a change of `full`. */
void conn_update_flow(struct session *session);

/* Tell epoll what `conn` waits for now. */
void conn_update_events(struct conn *conn);

/* Release descriptor and buffers. */
void conn_fini(struct conn *conn);

/* ---- keepalive.c ---- */

/* Have the kernel probe the connections that `fd` listens for, or `fd` itself; they end when nobody answers. */
void keepalive_set(int fd, uint32_t keepalive_ms);

/* Look whether the peer of a new connection still acknowledges what it is sent, from time to time. */
void keepalive_start(struct conn *conn);

/* It is time to look, since `due_ms`. */
void keepalive_expired(struct conn *conn, uint64_t due_ms);

/* ---- upstream.c ---- */

/* The attempt to connect has ended one way or the other: so epoll says with `events`. */
void upstream_connected(struct conn *conn, uint32_t events);

/* Its deadline has come: of an attempt to connect, or of an error that waits to be reported. */
void upstream_expired(struct conn *conn);

/* It has failed, or (error 0) its stream has ended: take it out and tell the service. */
void upstream_ended(struct conn *conn, int error);

/* Close all of them without a word: the session is closing. */
void upstream_drop_all(struct session *session);

/* Bytes of one side of a relay go to the other. */
void relay_input(struct conn *conn, const char *bytes, size_t size);

/* What had arrived as (part of) messages before the connection was coupled goes there too. */
void relay_forward_rest(struct conn *conn);

/* The end of one side's stream is passed on; when both have ended, so does the session. */
void relay_input_ended(struct conn *conn);
void relay_check_end(struct conn *conn);

/*
 * The client of a relay has reset its connection, and what it had sent has been read: that still goes to the upstream.
 * Then the session ends, when the upstream has closed too or linger_timeout has passed.
 */
void relay_client_lost(struct conn *client, int error);

/* Close and free: the dead ones of all sessions; all those of a dead session. */
void upstream_bury(struct core *core);
void upstream_free_all(struct session *session);

#endif
