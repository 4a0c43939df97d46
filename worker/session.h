/*
 * What a service author sees: the one header to include.
 *
 *    client ==== session ---- your service        struct service: what you declare
 *                   |                             message(): what you must write
 *                upstream, upstream ...           further connections that live and die with the session
 *
 * A service is one file, worker/services/NAME.c, that defines `const struct service NAME_service`. The build finds it,
 * and a section `[listen ANY]` with `service = NAME` serves it. Everything runs in one thread of one process: no locks,
 * and no call that blocks.
 *
 * Callbacks return a verdict: what is to happen to the session now. No callback comes after `close`. Within a callback
 * every function below may be called on this session, at any time: also when it has just ended because the client has
 * reset the connection, a limit was passed or memory is out, and in `close`. A session that is closing or has ended
 * takes nothing more: what is sent is dropped, session_reserve() and session_connect() return NULL, timers are not set.
 * What is known of it (session_state, session_config, session_peer, session_listener) stays known until `close`
 * returns.
 */
#ifndef WORKER_SESSION_H
#define WORKER_SESSION_H

#include "common/close_reason.h"
#include "common/log.h"
#include "common/option.h"
#include "common/sock.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct session; /* one client and all that belongs to it */
struct conn;    /* one connection of a session: the client's, or an upstream's */

enum verdict {
    SESSION_CONTINUE, /* go on */
    SESSION_CLOSE,    /* send what is queued, then close; nothing more is read */
    SESSION_REJECT,   /* the same, because the peer violated the protocol (counted as such) */
    SESSION_ABORT,    /* close at once, queued output is dropped */
};

/* How the byte stream of a connection is cut into messages. `message` always sees a whole one, in one piece. */
enum framing_kind {
    FRAMING_RAW,      /* whatever has arrived */
    FRAMING_LINE,     /* up to LF or CRLF; the line is handed over without its end */
    FRAMING_LENGTH32, /* be32 n, then n bytes; handed over with the length field in front */
    FRAMING_FUNCTION, /* `measure` tells */
};

struct framing {
    enum framing_kind kind;
    /*
     * FRAMING_FUNCTION: the size of the message that `bytes` begins with, 0 when its end has not arrived yet, -1 when
     * the stream makes no sense. `size` is at least 1.
     */
    ssize_t (*measure)(const char *bytes, size_t size);
};

struct service {
    const char *name;
    struct framing framing;

    /* Defaults for the section's keys; 0: the general default. A section can override each. */
    uint32_t max_frame;       /* bytes; the largest message, a length field included, a line's end not */
    uint32_t idle_timeout_ms; /* without a byte moved in either direction */

    size_t state_size; /* zeroed bytes per session, see session_state() */

    /* Your own configuration keys; they fill a struct of `config_size` bytes, see session_config(). */
    const struct option_row *options; /* ends with a row without name; NULL: none */
    size_t config_size;
    /* Check what one row cannot; fix up derived fields. Runs in the master. 0, or option_fail(error, key, ...). */
    int (*configure)(void *config, struct option_error *error);

    enum verdict (*open)(struct session *session);
    enum verdict (*message)(struct session *session, const char *bytes, size_t size); /* mandatory */
    /* A message over max_frame, or measure() said -1: the last word before the session is rejected. */
    void (*oversize)(struct session *session);
    /* Everything that was queued for the client has been handed to the kernel. */
    enum verdict (*drained)(struct session *session);
    /* The timer set with session_set_timer() went off. */
    enum verdict (*timeout)(struct session *session);
    /* Instead of `message`: readiness of the client's descriptor, untouched. You read and write, the core does not. */
    enum verdict (*ready)(struct session *session, int fd, uint32_t epoll_events);
    /* The end, for a reason of common/close_reason.h (CLOSE_done, CLOSE_peer, ...). Release what `state` refers to; the
     * state itself is the core's. */
    void (*close)(struct session *session, enum close_reason reason);
};

/* The session's `state_size` bytes. */
void *session_state(struct session *session);

/* The section's configuration, filled in by `options`. Shared by all its sessions, read-only. */
const void *session_config(const struct session *session);

/*
 * Send to the client. Never blocks, never loses: what the kernel does not take now is queued, and while more than
 * `high_water` bytes are queued the session's input is not read or handed over. A session that queues more than
 * `max_output` is closed. `bytes` is the caller's again on return.
 */
void session_send(struct session *session, const void *bytes, size_t size);

/*
 * Build a message in place: reserve room for up to `size` bytes, write them, then commit how many were used. Nothing
 * may be sent in between. Committing 0, or nothing before the callback returns, takes the reservation back. NULL when
 * the session is closing, has ended, or ends now because memory is out.
 */
char *session_reserve(struct session *session, size_t size);
void session_commit(struct session *session, size_t size);

/*
 * Call `timeout` once, this many milliseconds from now or up to 8 ms later; 0 takes it back. One timer per session. It
 * is taken back when the session begins to close.
 */
void session_set_timer(struct session *session, uint32_t ms);

/* Count a message that was answered with an error while the session goes on. */
void session_count_error(struct session *session);

/* True when the client is on this machine: its address is a loopback address, or it came through a unix socket. */
bool session_peer_is_local(const struct session *session);

/* The client's address, "127.0.0.1:34567" or "unix:", for the log. Valid until the next call. */
const char *session_peer(const struct session *session);

/* Name of the section, for the log. */
const char *session_listener(const struct session *session);

/* Ask the master to shut the whole server down gracefully. */
void session_shutdown_server(struct session *session);

/* With `ready`: the epoll events to wait for from now on. */
void session_want(struct session *session, uint32_t epoll_events);

/* ---- more connections of the same session ---- */

struct upstream {
    struct framing framing;
    uint32_t max_frame; /* bytes; 0: no limit but memory's, for FRAMING_RAW */
    /* The connection stands. What was sent before has been queued and goes out now. */
    enum verdict (*connected)(struct session *session, struct conn *upstream);
    /* Not called for a coupled connection. */
    enum verdict (*message)(struct session *session, struct conn *upstream, const char *bytes, size_t size);
    /*
     * It has ended: `error` is 0 after an orderly end of its stream, else an errno value (ECONNREFUSED, ETIMEDOUT when
     * `connect_timeout_ms` passed, EMSGSIZE over max_frame). `upstream` is gone after this call. Without this callback
     * the session is closed.
     */
    enum verdict (*closed)(struct session *session, struct conn *upstream, int error);
};

/*
 * Open a further connection, which lives until it ends or the session does. Does not block; failure is reported through
 * `closed`, also immediate failure, but never before this function has returned. NULL when out of memory, or when
 * the session is closing or has ended.
 * Where a name stands for several addresses they are tried one after the other within `connect_timeout_ms`, each for
 * its share of the time that is left; the error is that of the last one, EHOSTUNREACH when the name has none. A unix
 * socket whose queue is full is tried until then. `address` and `upstream` must outlive the session (configuration and
 * constants do).
 */
struct conn *session_connect(struct session *session, const struct sock_address *address, uint32_t connect_timeout_ms,
                             const struct upstream *upstream);

/* session_send for a further connection. Before it is connected everything is queued; when it has ended, dropped. */
void upstream_send(struct conn *upstream, const void *bytes, size_t size);

/*
 * Make the client and `upstream` one pipe: from now on bytes go across untouched, in both directions, a slow side slows
 * the other one down, and a half-close is passed on after the bytes before it. No `message` comes any more. `closed`
 * comes only for a failure; when both directions have ended the session closes. Nothing happens when the session is
 * closing, has ended or is coupled already, or when `upstream` has ended: then `closed` tells, or has told, why.
 */
void session_couple(struct session *session, struct conn *upstream);

#endif
