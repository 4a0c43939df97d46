/*
 * A connection: buffers, water marks, corking and both ends of the stream, whoever it belongs to.
 *
 *   struct conn_owner     what its owner does about it: a session's client and upstream, each side of a relay
 *        ^
 *   struct conn ------> struct conn_settings     limits and counters, shared by the connections of a section
 *        |                      |
 *   struct transport            v
 *   (system calls)      struct conn_loop         the reactor, and what all connections of a worker share
 *
 *   phase:  CONNECTING -> OPEN -> FLUSHING -> LINGERING -> CLOSED      FLUSHING, LINGERING: only a session's client
 *
 * A closed connection keeps its descriptor until the batch of events is over (conn_free_closed), so that no event of
 * the batch can reach a newer connection by an old number.
 */
#ifndef WORKER_CORE_CONN_H
#define WORKER_CORE_CONN_H

#include "common/buffer.h"
#include "common/stats.h"
#include "worker/core/reactor.h"
#include "worker/core/transport.h"
#include "worker/core/wall.h"

enum {
    SCRATCH_SIZE = 65536, /* bytes per read, and so per connection and turn */
    CORK_SIZE = 65536,    /* replies collected while one read is being dispatched */
    CORK_COPY_MAX = 4096, /* larger messages are sent from where they are */
};

enum conn_phase {
    CONN_CONNECTING,
    CONN_OPEN,
    CONN_FLUSHING,  /* nothing is read any more; closes when `out` is empty */
    CONN_LINGERING, /* our FIN has been sent and the rest is read away, so that no RST overtakes the last reply */
    CONN_CLOSED,
};

enum conn_input { INPUT_ON, INPUT_PAUSED, INPUT_ENDED };
enum conn_output { OUTPUT_ON, OUTPUT_ENDING, OUTPUT_ENDED }; /* ENDING: FIN as soon as `out` is empty */

enum conn_shortage {
    CONN_OVERFLOW,  /* more than max_output is queued */
    CONN_NO_MEMORY, /* what the kernel did not take could not be queued */
    CONN_UNWATCHED, /* epoll has no room for the descriptor; conn->error says why */
};

struct conn;

/* What the owner of a connection does about it. */
struct conn_owner {
    /* Around everything that happens to the connection. */
    void (*enter)(struct conn *conn);
    void (*leave)(struct conn *conn);
    /* Bytes have arrived; also called with none when the input goes on after a pause. Takes all of them. */
    void (*input)(struct conn *conn, const char *bytes, size_t size);
    /* The peer has ended its stream (error 0), or the connection has failed: nothing more will be read. */
    void (*ended)(struct conn *conn, int error);
    /* above_high_water has changed. */
    void (*pressure)(struct conn *conn);
    /* deadline_ms has changed: conn_expired() is to be called then. */
    void (*arm)(struct conn *conn);
    /* Where the monotonic time is kept at which a byte was last moved. */
    uint64_t *(*active_ms)(struct conn *conn);
    /* Something is short, and what was to be sent or watched is not. */
    void (*exhausted)(struct conn *conn, enum conn_shortage what);
    /* ---- the rest may be NULL where it cannot happen, or where nothing is to be done ---- */

    /* An attempt to connect has ended: 0 or an errno. Only in phase CONNECTING. */
    void (*connected)(struct conn *conn, int error);
    /* flush_due was set, and all output has been handed to the kernel. */
    void (*flushed)(struct conn *conn);
    /* Output has been queued outside of an event of the connection: conn_flush() is to be called. NULL: it is sent at
     * once. */
    void (*queued)(struct conn *conn);
    /* Our side of the stream has been ended as conn_end_output() asked for. */
    void (*output_ended)(struct conn *conn);
    /* Nothing can be sent any more: what is queued will be dropped. What has arrived is still read, unless the owner
     * closes the connection. */
    void (*broken)(struct conn *conn);
    /* The deadline has passed. False: it is one of conn.c's own. */
    bool (*expired)(struct conn *conn);
    /* After conn_close(), when the batch of events is over: descriptor and buffers are gone, the memory may go. */
    void (*closed)(struct conn *conn);
};

/* What all connections of a worker share. */
struct conn_loop {
    struct reactor reactor;
    struct conn *corked; /* its event is being handled: what it sends is collected in `cork` */
    size_t cork_used;
    struct conn *closed; /* to be freed after the batch */
    char scratch[SCRATCH_SIZE];
    char cork[CORK_SIZE];
};

struct conn_settings {
    struct conn_loop *loop;
    const struct transport *transport;
    uint32_t high_water, low_water, max_output; /* bytes in `out` */
    uint32_t cork_size;                         /* bytes that may be corked: high_water, at most CORK_SIZE */
    uint32_t keepalive_ms;                      /* 0: off */
    bool is_passed;                             /* other processes may have the descriptors, too */
    stats_counter *bytes_in, *bytes_out;        /* NULL: not counted */
    stats_counter *connected;                   /* how long connecting takes, DURATION_BUCKETS; NULL: not counted */
};

struct conn {
    struct reactor_handler handler;
    const struct conn_owner *owner;
    const struct conn_settings *settings;
    struct buffer in;  /* an unfinished message; with paused input also whole ones */
    struct buffer out; /* what the kernel did not take yet */
    union {
        uint64_t deadline_ms;     /* monotonic, see conn_expired(); 0: none */
        struct conn *next_closed; /* in phase CLOSED */
    };
    union {
        uint32_t unacknowledged; /* bytes in the kernel's send queue when it last took no more */
        uint32_t began;          /* in phase CONNECTING: when that did, see attempt.c */
    };
    uint16_t error;            /* errno of a failed connect or write, until the end is reported; 0: none */
    uint8_t phase;             /* enum conn_phase */
    uint8_t input : 2;         /* enum conn_input */
    uint8_t output : 2;        /* enum conn_output */
    uint8_t silence : 2;       /* enum silence of keepalive.c */
    bool above_high_water : 1; /* `out` went over high_water and is not yet down to low_water */
    bool flush_due : 1;        /* owner->flushed() is to be called when the kernel can take more */
};

static inline struct conn_loop *conn_loop_of(const struct conn *conn)
{
    return conn->settings->loop;
}

void conn_init(struct conn *conn, const struct conn_settings *settings, const struct conn_owner *owner, int fd,
               enum conn_phase phase);

/* Release descriptor and buffers, at once: no event of a batch may still point to `conn`. */
void conn_fini(struct conn *conn);

/* Nothing happens to it any more; descriptor and buffers go when the batch of events is over. */
void conn_close(struct conn *conn);

/* Release what conn_close() has left. */
void conn_free_closed(struct conn_loop *loop);

/* reactor_handler.ready */
void conn_ready(struct reactor_handler *handler, uint32_t events);

/* Tell epoll what `conn` waits for now. */
void conn_update_events(struct conn *conn);

/* Stop or go on reading; what has been kept is handed over first when it goes on. */
void conn_pause(struct conn *conn, bool paused);

/* True when bytes that have arrived have not been read yet. */
bool conn_has_unread(const struct conn *conn);

/* Send, cork or queue. Nothing happens in a phase after OPEN. */
void conn_send(struct conn *conn, const void *bytes, size_t size);

/* `out` has grown by other hands: apply the water marks. */
void conn_queued(struct conn *conn);

/* Put bytes behind what is queued, without trying to send. */
void conn_queue(struct conn *conn, const void *bytes, size_t size);

/* Send what is queued, as far as the kernel takes it; apply the water marks; tell the owner when all is gone. */
void conn_flush(struct conn *conn);

/* Send what has been corked. */
void conn_uncork(struct conn_loop *loop);

/* Bytes that can still be corked for `conn`: no more than may be queued without a pause. */
static inline size_t conn_cork_room(const struct conn *conn)
{
    const struct conn_loop *loop = conn_loop_of(conn);

    return conn->settings->cork_size > loop->cork_used ? conn->settings->cork_size - loop->cork_used : 0;
}

/* No more output after what is queued: FIN when that is gone. */
void conn_end_output(struct conn *conn);

/*
 * Nothing can be sent any more, because of `error`. What our kernel has acknowledged is read first, as far as
 * back-pressure allows; then owner->ended() is called.
 */
void conn_broken(struct conn *conn, int error);

/* The peer has acknowledged bytes since a write was cut short: it reads, if slowly. Asked only when a session looks
 * idle. */
bool conn_progresses(struct conn *conn);

/* conn_expired() is to be called this many milliseconds from now. */
void conn_expire(struct conn *conn, uint32_t ms);

/* Look from time to time whether the peer of a new connection still acknowledges what it is sent. */
void conn_keep_alive(struct conn *conn);

/* The deadline has passed: of connecting, of lingering, of keepalive; or a broken connection has more to be read. */
void conn_expired(struct conn *conn);

#endif
