#include "worker/upstream.h"
#include "common/sock.h"
#include "worker/deadline.h"
#include "worker/keepalive.h"
#include "worker/messages.h"
#include "worker/turn.h"
#include <errno.h>
#include <stdlib.h>

enum { PAUSE_MAX_MS = 50 };

struct upstream_conn *upstream_of(const struct conn *conn)
{
    return container_of(conn, struct upstream_conn, base.conn);
}

static struct session *session_of(const struct conn *conn)
{
    return container_of(conn, struct session_conn, conn)->session;
}

/* ---- connecting ---- */

/*
 * A unix socket takes nobody while its queue is full, and nobody says when that has changed: it is asked again, soon
 * at first, until the time to connect is over. Returns false when it is.
 */
static bool pause_before_retry(struct upstream_conn *attempt, uint64_t end_ms)
{
    uint64_t now_ms = session_now(attempt->base.session);

    if (attempt->address->any.sa_family != AF_UNIX || now_ms >= end_ms)
        return false;
    unsigned pause_ms = attempt->pause_ms ? 2u * attempt->pause_ms : 1;
    attempt->pause_ms = (uint8_t)(pause_ms < PAUSE_MAX_MS ? pause_ms : PAUSE_MAX_MS);
    attempt->base.conn.deadline_ms = now_ms + attempt->pause_ms < end_ms ? now_ms + attempt->pause_ms : end_ms;
    attempt->rest_ms = (uint32_t)(end_ms - attempt->base.conn.deadline_ms);
    attempt->next = 0;
    return true;
}

/*
 * Try the next address, and the ones after it as long as they fail on the spot. Returns 0 when there is something to
 * wait for, else the error of the last one. `error` is that of the address before.
 */
static int try_next(struct upstream_conn *attempt, int error)
{
    struct conn *conn = &attempt->base.conn;
    uint64_t now_ms = session_now(attempt->base.session), end_ms = conn->deadline_ms + attempt->rest_ms;
    unsigned count = sock_count(attempt->address);

    while (attempt->next < count) {
        unsigned left = count - attempt->next;
        uint32_t left_ms = end_ms > now_ms ? (uint32_t)(end_ms - now_ms) : 0;
        struct sock_address address = sock_nth(attempt->address, attempt->next++);
        int fd = sock_connect(&address);
        if (fd >= 0) {
            conn->handler.fd = fd;
            conn->deadline_ms = now_ms + left_ms / left;
            attempt->rest_ms = left_ms - left_ms / left;
            return 0;
        }
        error = errno;
        if (error == EAGAIN && pause_before_retry(attempt, end_ms))
            return 0;
    }
    return error == EAGAIN ? ETIMEDOUT : error;
}

/* The descriptor of the attempt that has failed; epoll forgets it with the close. */
static void close_attempt(struct conn *conn)
{
    if (conn->handler.fd >= 0)
        conn->settings->transport->release(conn->handler.fd);
    conn->handler.fd = -1;
    conn->handler.events = REACTOR_OFF;
}

struct conn *session_connect(struct session *session, const struct sock_address *address, uint32_t connect_timeout_ms,
                             const struct upstream *upstream)
{
    struct upstream_conn *attempt = session->client.phase == CONN_OPEN ? calloc(1, sizeof(*attempt)) : NULL;

    if (!attempt)
        return NULL;
    struct conn *conn = &attempt->base.conn;
    conn_init(conn, &section_of(session)->upstream, &upstream_owner, -1, CONN_CONNECTING);
    attempt->base.session = session;
    attempt->callbacks = upstream;
    attempt->address = address;
    conn->deadline_ms = session_now(session) + connect_timeout_ms;
    conn->error = (uint16_t)try_next(attempt, EHOSTUNREACH);
    if (conn->error) /* the service hears of it when it knows the connection */
        conn->deadline_ms = session_now(session);
    attempt->base.next = session->upstreams;
    session->upstreams = &attempt->base;
    deadline_arm(session);
    if (conn_loop_of(conn)->corked != &session->client)
        conn_update_events(conn);
    return conn;
}

static void attempt_failed(struct conn *conn, int error)
{
    close_attempt(conn);
    error = try_next(upstream_of(conn), error);
    if (error)
        conn->owner->ended(conn, error);
    else
        deadline_arm(session_of(conn));
}

void upstream_connected(struct conn *conn, int error)
{
    const struct upstream_conn *upstream = upstream_of(conn);
    const struct sock_address *address = upstream->address;
    struct session *session = session_of(conn);

    if (!error && address->any.sa_family != AF_UNIX && sock_is_self_connected(conn->handler.fd, sock_port(address)))
        error = ECONNREFUSED;
    if (error) {
        attempt_failed(conn, error);
        return;
    }
    sock_set_nodelay(conn->handler.fd);
    keepalive_set(conn->handler.fd, conn->settings->keepalive_ms);
    conn->phase = CONN_OPEN;
    conn->deadline_ms = 0;
    conn_keep_alive(conn);
    if (upstream->callbacks->connected)
        session_apply(session, upstream->callbacks->connected(session, conn));
}

bool upstream_expired(struct conn *conn)
{
    if (conn->phase != CONN_CONNECTING)
        return false;
    if (conn->error)
        conn->owner->ended(conn, conn->error);
    else
        attempt_failed(conn, ETIMEDOUT);
    return true;
}

/* ---- the end ---- */

void upstream_ended(struct conn *conn, int error)
{
    struct upstream_conn *upstream = upstream_of(conn);
    struct session *session = session_of(conn);
    enum verdict verdict = SESSION_CLOSE;

    if (conn->phase == CONN_CLOSED)
        return;
    if (conn->phase == CONN_CONNECTING)
        stats_count(&section_of(session)->stats->upstream_failures, 1);
    conn_close(conn);
    upstream->reported = true;
    session->reply_due = false;
    if (upstream->callbacks->closed)
        verdict = upstream->callbacks->closed(session, conn, error);
    conn->above_high_water = false;
    if (verdict == SESSION_CLOSE && error)
        session_finish(session, CLOSE_upstream);
    else
        session_apply(session, verdict);
    session_update_flow(session); /* a client whose requests it was full of goes on, now that the service knows */
}

void upstream_closed(struct conn *conn)
{
    struct session_conn **link = &session_of(conn)->upstreams;

    if (!upstream_of(conn)->reported)
        return; /* the service may still name it until the session ends, and frees it */
    while (&(*link)->conn != conn)
        link = &(*link)->next;
    *link = (*link)->next;
    free(upstream_of(conn));
}

/* ---- messages ---- */

static void deliver(struct conn *conn, const char *bytes, size_t size)
{
    struct session *session = session_of(conn);

    session->reply_due = false;
    session_apply(session, upstream_of(conn)->callbacks->message(session, conn, bytes, size));
}

static void reject(struct conn *conn, bool nonsense)
{
    conn->owner->ended(conn, nonsense ? EPROTO : EMSGSIZE);
}

static void upstream_input(struct conn *conn, const char *bytes, size_t size)
{
    const struct upstream *callbacks = upstream_of(conn)->callbacks;
    struct message_sink sink = {.framing = &callbacks->framing,
                                .max = callbacks->max_frame ? callbacks->max_frame : SIZE_MAX / 2,
                                .message = deliver,
                                .reject = reject};

    messages_input(conn, &sink, bytes, size);
}

size_t upstream_queued(const struct conn *conn)
{
    return buffer_size(&conn->out);
}

void upstream_close(struct conn *conn)
{
    struct session *session = session_of(conn);

    if (conn->phase == CONN_CLOSED)
        return;
    conn_close(conn);
    upstream_of(conn)->reported = true;
    conn->above_high_water = false;
    session->reply_due = false;
    (void)turn_touch(session); /* its client may go on */
}

void upstream_send(struct conn *conn, const void *bytes, size_t size)
{
    if (conn->phase > CONN_OPEN)
        return;
    session_of(conn)->reply_due = true;
    conn_send(conn, bytes, size);
}

/* ---- as the owner of a connection: what happens to it happens to its session ---- */

void upstream_enter(struct conn *conn)
{
    session_enter(session_of(conn));
}

void upstream_leave(struct conn *conn)
{
    session_finish_answered(session_of(conn));
    session_leave(session_of(conn));
}

void upstream_pressure(struct conn *conn)
{
    session_update_flow(session_of(conn));
}

void upstream_arm(struct conn *conn)
{
    deadline_arm(session_of(conn));
}

uint64_t *upstream_active_ms(struct conn *conn)
{
    return &session_of(conn)->active_ms;
}

void upstream_exhausted(struct conn *conn, enum conn_shortage what)
{
    if (what == CONN_UNWATCHED)
        conn_expire(conn, 0); /* the timer tells the service */
    else
        session_end(session_of(conn), what == CONN_OVERFLOW ? CLOSE_overflow : CLOSE_memory);
}

const struct conn_owner upstream_owner = {
    UPSTREAM_OWNER,
    .input = upstream_input,
    .ended = upstream_ended,
    .expired = upstream_expired,
};
