/*
 * What a service author sees: the one header to include.
 *
 *    client ==== session ---- your service        struct service: what you declare
 *                   |                             message(): what you must write
 *                upstream, upstream ...           further connections that live and die with the session
 *    session, session ... -- link                 connections of the worker, shared by its sessions
 *
 * A service is one file, worker/services/NAME.c, that defines `const struct service NAME_service`. The build finds it,
 * and a section `[listen ANY]` with `service = NAME` serves it. Everything runs in one thread of one process: no locks,
 * and no call that blocks.
 *
 * Callbacks return a verdict: what is to happen to the session now. No callback comes after `close`. Within a callback
 * every function below may be called on this session, at any time: also when it has just ended because the client has
 * reset the connection, a limit was passed or memory is out, and in `close`. A session that is closing or has ended
 * takes nothing more: what is sent is dropped, session_reserve() and session_connect() return NULL, timers are not set.
 * But answers whose places were reserved before are still taken, and timers serve them.
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
struct section; /* one section `[listen ANY]` as a worker has it: its configuration, counters, state */
struct conn;    /* one connection of a session: the client's, or an upstream's */
struct reply;   /* the place of an answer that is still to come */
struct link;    /* one connection of the worker, shared by its sessions */

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
    FRAMING_BLOCK,    /* `block_size` bytes: what the last message has announced, see session_set_framing() */
};

/* How far an unfinished message has been looked through. Zero where a message begins; the rest is yours. */
struct scan {
    uint32_t at;    /* bytes, for example */
    uint64_t state; /* parts that are still to come, for example */
};

struct framing {
    enum framing_kind kind;
    /*
     * FRAMING_FUNCTION: the size of the message that `bytes` begins with, 0 when its end has not arrived yet, -1 when
     * the stream makes no sense. `size` is at least 1.
     */
    ssize_t (*measure)(const char *bytes, size_t size);
    /*
     * The same for messages of many parts, instead of `measure`: when more bytes of the message have arrived, `scan` is
     * as the last call has left it, so that nothing is looked at twice.
     */
    ssize_t (*measure_on)(const char *bytes, size_t size, struct scan *scan);
    size_t block_size; /* FRAMING_BLOCK; at least 1 */
};

/* A number that only grows: what it counts. */
struct counter_row {
    const char *name; /* a-z, 0-9 and _ */
    const char *help; /* in the metrics */
};

struct service {
    const char *name;
    struct framing framing;

    /* Defaults for the section's keys; 0: the general default. A section can override each. */
    uint32_t max_frame;       /* bytes; the largest message, a length field included, a line's end not */
    uint32_t idle_timeout_ms; /* without a byte moved in either direction */

    size_t state_size;   /* zeroed bytes per session, see session_state() */
    size_t section_size; /* zeroed bytes per section and worker, see section_state() */

    /* Your own configuration keys; they fill a struct of `config_size` bytes, see session_config(). */
    const struct option_row *options; /* ends with a row without name; NULL: none */
    size_t config_size;
    /* Check what one row cannot; fix up derived fields. Runs in the master. 0, or option_fail(error, key, ...). */
    int (*configure)(void *config, struct option_error *error);
    /* Release what `configure` has allocated in it, if anything: the configuration is replaced, or was refused, perhaps
     * before `configure` was called. In the master. */
    void (*unconfigure)(void *config);

    /*
     * Zeroed bytes for each section that all workers of its pool share, see section_shared(). What is not used takes no
     * memory.
     */
    size_t shared_size;

    /* `variant_key` = on of a section means that its service is `variant` instead, which has this key, too. */
    const char *variant_key, *variant;

    /* It asks the master for changes, see admin.h: its clients come through unix sockets, where the kernel tells who they
     * are. A listener without `bind` has one in runtime_dir. */
    bool operates;

    /* Your own counters, which appear in the statistics of each section, see section_count(). */
    const struct counter_row *counters; /* at most 16; ends with a row without name; NULL: none */

    /*
     * The life of a worker, once for each section with this service. `start` comes before the first session: open
     * files, connect to databases, build tables; it may block. 0, or -1 with a sentence in `error`: the worker stays
     * down. `tick` comes every `tick_ms` milliseconds (at least 8), `turn_end` after each batch of events in which the
     * worker has done anything, `stop` after the last session.
     */
    int (*start)(struct section *section, char *error, size_t error_size);
    void (*tick)(struct section *section);
    uint32_t tick_ms;
    void (*turn_end)(struct section *section);
    void (*stop)(struct section *section);

    /* What another worker of the pool has published for this section, see section_publish(). */
    void (*published)(struct section *section, const char *bytes, size_t size);

    enum verdict (*open)(struct session *session);
    enum verdict (*message)(struct session *session, const char *bytes, size_t size); /* mandatory, but for relays */
    /* A message over max_frame: the last word before the session is rejected. */
    void (*oversize)(struct session *session);
    /* measure() said -1: the last word before the session is rejected. NULL: as `oversize`. */
    void (*nonsense)(struct session *session);
    /* Everything that was queued for the client has been handed to the kernel. */
    enum verdict (*drained)(struct session *session);
    /* The timer set with session_set_timer() went off. */
    enum verdict (*timeout)(struct session *session);
    /* One of the others, set with session_set_timer_of(), went off. */
    enum verdict (*timer)(struct session *session, unsigned number);
    /* Somebody has called session_wake(). */
    enum verdict (*woken)(struct session *session);
    /* The worker leaves, and would close this session as soon as it is quiet: say goodbye. Once. */
    enum verdict (*draining)(struct session *session);
    /* Instead of `message`: readiness of the client's descriptor, untouched. You read and write, the core does not. */
    enum verdict (*ready)(struct session *session, int fd, uint32_t epoll_events);
    /* The end, for a reason of common/close_reason.h (CLOSE_done, CLOSE_peer, ...). Release what `state` refers to; the
     * state itself is the core's. After SESSION_CLOSE it comes when the client has closed its side, too, or has had time
     * to. */
    void (*close)(struct session *session, enum close_reason reason);
};

/* The session's `state_size` bytes. */
void *session_state(struct session *session);

/* The section's configuration, filled in by `options`. Shared by all its sessions, read-only. */
const void *session_config(const struct session *session);

/* The section, and what it has: its configuration, its `section_size` bytes, its name for the log. */
struct section *session_section(const struct session *session);
const void *section_config(const struct section *section);
void *section_state(struct section *section);
const char *section_name(const struct section *section);

/*
 * The section's `shared_size` bytes, which it has in common with all other workers of its pool, also with those of the
 * last and the next configuration, and which outlive them: a worker may die in the middle of a change. Atomic members
 * are what works here; locks that a dead process has taken do not. They begin anew when the section goes to another
 * pool or service, and with another binary.
 */
void *section_shared(struct section *section);

/*
 * Have `published` called in each other worker of the pool, also in those that drain, with these bytes for the section
 * of this name: at most once, in the order in which this worker publishes. It never blocks: what a worker that is busy
 * cannot take any more (some hundred datagrams or some thousand, one for each turn of this worker, by the kernel's
 * net.core.wmem_max) is lost for it, and counted as
 * publications_lost. What waits for a worker that dies is given to the one that replaces it. Workers of another binary
 * do not hear of it. `bytes` is the caller's again on return. -1 with errno: EMSGSIZE for more than SECTION_PUBLISH_MAX
 * bytes, ENOTSUP without `published`.
 */
enum { SECTION_PUBLISH_MAX = 32 << 10 };
int section_publish(struct section *section, const void *bytes, size_t size);

/* Add to one of the service's counters, by its place in `counters`. A place that the table does not have is not shown. */
void section_count(struct section *section, unsigned counter, uint64_t amount);

/* While something takes long, such as `start`: the worker lives. */
void section_beat(struct section *section);

/*
 * Send to the client. Never blocks, never loses: what the kernel does not take now is queued, and while more than
 * `high_water` bytes are queued the session's input is not read or handed over. A session that queues more than
 * `max_output` is closed. `bytes` is the caller's again on return.
 */
void session_send(struct session *session, const void *bytes, size_t size);

/*
 * Build a message in place: reserve room for up to `size` bytes, write them, then commit how many were used. Nothing
 * may be sent to this session in between. Committing 0, or nothing before the callback returns, takes the reservation
 * back. NULL when the session is closing, has ended, or ends now because memory is out.
 */
char *session_reserve(struct session *session, size_t size);
void session_commit(struct session *session, size_t size);

/*
 * The same for bytes that stay where they are until the session has ended, such as constants, and for a part of a file:
 * they are read when the client can take them, 64 KiB at a time, however large they are. session_send_file() owns
 * `fd`, a regular file, from now on; a file that is shorter than `size`, or could not be opened, ends the session. While
 * 64 of them wait, the session's input is not read or handed over; while one does, its upstreams' neither.
 */
void session_send_static(struct session *session, const void *bytes, size_t size);
void session_send_file(struct session *session, int fd, uint64_t offset, uint64_t size);

/* Bytes that are queued for the client, also behind answers that are still to come; without those of files and
 * constants. */
size_t session_queued(const struct session *session);

/*
 * Answers that come later, in the order of their questions. session_reply() reserves the next place: what is sent to
 * the session afterwards waits until the place has been filled with reply_send() and ended with reply_end(). A session
 * with open places is not idle, and neither its client's half-close nor a drain closes it before it has answered
 * (answer_timeout and drain_timeout bound that). With SESSION_REPLIES_MAX open places its input is not read. Once a
 * session has reserved a place, what it has asked of upstreams is no reason to wait: its places are.
 *
 * A reply must be ended exactly once, also when its session has ended by then: what is sent to it is dropped, and
 * reply_session() is NULL. A session that its service or its client has closed still takes it. NULL when the session is
 * closing, has ended, or when memory is out.
 */
enum { SESSION_REPLIES_MAX = 1024 };
struct reply *session_reply(struct session *session);
void reply_send(struct reply *reply, const void *bytes, size_t size);
void reply_send_static(struct reply *reply, const void *bytes, size_t size);
void reply_send_file(struct reply *reply, int fd, uint64_t offset, uint64_t size);
void reply_end(struct reply *reply);
struct session *reply_session(const struct reply *reply);

/* Stop and go on handing over the client's messages; meanwhile its bytes wait in the kernel. */
void session_pause(struct session *session);
void session_resume(struct session *session);

/*
 * Say that the client is in the middle of something that takes several messages, such as a transaction, or no longer: then a
 * drain does not close the session before drain_timeout, although neither side owes the other anything.
 */
void session_engage(struct session *session, bool engaged);

/*
 * Cut the client's bytes otherwise from the next message on. `framing` stays where it is until the session has ended:
 * a constant, or a part of the session's state. NULL: the service's. max_frame holds for whatever framing.
 */
void session_set_framing(struct session *session, const struct framing *framing);

/* Drop the next `size` bytes of the client, such as a body that nobody wants. */
void session_skip(struct session *session, uint64_t size);

/*
 * Call `timeout` once, this many milliseconds from now or up to 8 ms later; 0 takes it back. It is taken back when the
 * session begins to close, unless answers are still to come: then when the last of them has.
 */
void session_set_timer(struct session *session, uint32_t ms);

/* The same for further timers, `number` 1 to SESSION_TIMERS - 1, which call `timer`. */
enum { SESSION_TIMERS = 4 };
void session_set_timer_of(struct session *session, unsigned number, uint32_t ms);

/* Monotonic milliseconds, read once per turn of the event loop. */
uint64_t session_now_ms(const struct session *session);

/*
 * A number for the session that no other session of this worker has or will have; the session of a number, or NULL when
 * it has begun to close. Keep numbers, not pointers, of sessions other than the one that is called back.
 */
uint64_t session_id(struct session *session);
struct session *session_find(uint64_t id);

/* Call `woken` at the end of this turn. Any session of this worker. */
void session_wake(struct session *session);

/* Count a message that was answered with an error while the session goes on. */
void session_count_error(struct session *session);

/* True when the client is on this machine: its address is a loopback address, or it came through a unix socket. */
bool session_peer_is_local(const struct session *session);

/* The client's address, "127.0.0.1:34567" or "unix:", for the log. Valid until the next call. */
const char *session_peer(const struct session *session);

/* Name of the section, for the log. */
const char *session_listener(const struct session *session);

/* Who is connected to what. Texts are as session_peer() returns them. */
struct session_info {
    char peer[SOCK_TEXT_SIZE], local[SOCK_TEXT_SIZE];
    pid_t pid; /* of the client of a unix socket, as it was when it connected; -1: not known */
    uid_t uid;
    gid_t gid;
};

void session_get_info(const struct session *session, struct session_info *info);

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

/* Bytes that are queued for it. */
size_t upstream_queued(const struct conn *upstream);

/* Close it without a word, whatever is queued; `closed` is not called. Nothing happens when it has ended. A session
 * that was coupled with it is not any more; it ends when its client has got the end of its stream, or is broken. */
void upstream_close(struct conn *upstream);

/*
 * Make the client and `upstream` one pipe: from now on bytes go across untouched, in both directions, a slow side slows
 * the other one down, and a half-close is passed on after the bytes before it. No `message` comes any more. `closed`
 * comes only for a failure; when both directions have ended the session closes. Nothing happens when the session is
 * closing, has ended or is coupled already, or when `upstream` has ended: then `closed` tells, or has told, why.
 */
void session_couple(struct session *session, struct conn *upstream);

/* ---- connections of the worker, shared by its sessions ---- */

/*
 * A link leads to a server that answers questions in their order, such as redis or memcached. Any session asks, and is
 * given the answer to what it has asked:
 *
 *    session, session ... -- link_ask(link, reply, ...) --> link ==== server
 *                    ^------ answer(link, reply, ...) -------'
 *
 * It connects when something is asked. What is asked in one turn of the event loop goes out with one system call at its
 * end. Where a number is 0 the one in parentheses holds.
 */
struct link_target {
    const struct sock_address *address; /* of a name all are tried, as by session_connect(); must outlive the link */
    uint32_t connect_timeout_ms;        /* (5 s) */
    /* Without a message of the server while answers are due; then the connection is closed (answer_timeout). */
    uint32_t answer_timeout_ms;
    /* How long the connection stays without questions; UINT32_MAX: until its server ends it (60 s). */
    uint32_t linger_ms;
    /*
     * With so many unanswered questions (1,024), or more than `high_water` bytes that the server has not taken (the
     * section's), the link is full. A session whose question fills it, or comes then, is held: its input is not handed
     * over until that question has been answered, or half of the room is free. session_pause() is apart from that.
     */
    unsigned unanswered_max;
    uint32_t high_water;
    unsigned taken_max; /* links that link_take() makes of this one, at a time (64) */

    /* How the server's messages are cut: any but FRAMING_RAW, which does not tell where an answer ends. */
    struct framing framing;
    uint32_t max_frame; /* bytes of a message (the section's) */

    /*
     * The connection stands. What is asked now goes before everything else, such as a password. It is nobody's
     * question, and its answer is given to `answer` with no reply. With `greets_first` nothing else is sent before that:
     * where the answer is a refusal, link_close() keeps the others from being asked.
     */
    void (*connected)(struct link *link);
    bool greets_first;
    /*
     * The answer to the oldest question. `reply` is yours again, to be ended now or later; it is NULL for a question of
     * nobody. Without this callback the message itself is the answer, with the end of its line.
     */
    void (*answer)(struct link *link, struct reply *reply, const char *bytes, size_t size);
    /*
     * There will be no answer, because the connection has ended (error 0), or with an errno value as in `closed` of
     * struct upstream, ETIMEDOUT also for answer_timeout, EPROTO for messages that make no sense, ECANCELED for
     * link_close(). `sent`: the server may have got the question, or a part of it, and may have done what it says. Such
     * a question is never sent again. One that was not sent waits for the next connection instead of being lost, if
     * the one that has ended had answered a question.
     * `reply` is as in `answer`. Without this callback it is ended.
     */
    void (*lost)(struct link *link, struct reply *reply, bool sent, int error);
    /* A message that answers nothing. Without this callback the connection is closed. */
    void (*push)(struct link *link, const char *bytes, size_t size);

    void *user; /* yours, see link_user() */
};

/*
 * Make a link, in `start` or later. `target` is copied. NULL with errno: ENOMEM, or EINVAL without an address or a
 * framing that cuts messages. It ends with link_close(), or when the worker does: after `stop`, without a callback.
 */
struct link *link_open(struct section *section, const struct link_target *target);

/*
 * Send what has been asked, as far as the server takes it at once, and close. What is unanswered is reported as lost
 * before this returns; within `lost`, after that has returned. Links that link_take() has made of this one and that are
 * in use stay. Nothing may be done with `link` after the present callback.
 */
void link_close(struct link *link);

/*
 * Ask. `bytes` is the caller's again on return. `reply` NULL: nobody waits for the answer. Returns 0: the reply is the
 * link's until `answer` or `lost` give it back (or end it, where there are none), exactly once, also when its session
 * has ended by then.
 *
 * Returns -1 with errno when the question is refused: the reply is still the caller's, who answers otherwise.
 *   EAGAIN    more than max_output bytes would be queued; or there are twice as many questions as fill it, and this
 *             one is nobody's, or of a session that is held already
 *   EMSGSIZE  the question alone is more than max_output
 *   EPIPE     the link is closed; or it is one of link_take(), and its connection has ended
 *   ENOMEM
 *   others    the server could not be reached, or answered nothing: this is the last error. The next attempt is made
 *             with the first question after a pause, which doubles from 50 ms to 5 s, less a random part of it.
 */
int link_ask(struct link *link, struct reply *reply, const void *bytes, size_t size);

/*
 * A link of one's own to the same target, for what nobody else may interfere with, such as a transaction or a command
 * that blocks. It has one connection, and ends with it: from then on link_ask() says EPIPE. Neither answer_timeout_ms
 * nor linger_ms holds. NULL with errno: EAGAIN when there are taken_max, ENOMEM, EPIPE after link_close().
 *
 * link_return() gives it back, at the latest in `close` of the session, and its connection is kept for the next
 * link_take() unless it has ended or owes answers. Where the server might be in a state that another user would not
 * expect, link_close() is right instead.
 */
struct link *link_take(struct link *link);
void link_return(struct link *link);

/*
 * Make the connection of a link from link_take() a further connection of the session: the link is gone. `upstream` is as
 * for session_connect(), but for `connected`, which does not come. NULL with errno: EBUSY, and the link is still there,
 * unless it is connected and owes no answer; else ENOMEM, as for session_connect().
 */
struct conn *link_detach(struct link *link, struct session *session, const struct upstream *upstream);

/* The section that it was opened with; and `user` of its target. */
struct section *link_section(const struct link *link);
void *link_user(const struct link *link);

/* Questions that are not answered yet. */
unsigned link_unanswered(const struct link *link);

/* True when it has a connection that stands. */
bool link_is_connected(const struct link *link);

#endif
