#include "worker/upstream.h"
#include "worker/deadline.h"
#include "worker/messages.h"
#include "worker/turn.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static struct session *session_of(const struct conn *conn)
{
    return container_of(conn, struct session_conn, conn)->session;
}

/* ---- connecting ---- */

/* A connection of the session, which does not know of it yet; NULL when out of memory, or when the session closes. */
static struct upstream_conn *make(struct session *session, int fd, enum conn_phase phase,
                                  const struct upstream *upstream)
{
    struct upstream_conn *made = session->client.phase == CONN_OPEN ? calloc(1, sizeof(*made)) : NULL;

    if (!made)
        return NULL;
    conn_init(&made->base.conn, fd < 0 ? &section_of(session)->upstream : &section_of(session)->passed, &upstream_owner,
              fd, phase);
    made->base.session = session;
    made->callbacks = upstream;
    return made;
}

static struct conn *add(struct session *session, struct upstream_conn *made)
{
    struct conn *conn = &made->base.conn;

    made->base.next = session->upstreams;
    session->upstreams = &made->base;
    if (session_has_segments(session))
        conn_pause(conn, true); /* session_update_flow() lets it go on */
    deadline_arm(session);
    if (conn_loop_of(conn)->corked != &session->client)
        conn_update_events(conn);
    return conn;
}

struct conn *session_connect(struct session *session, const struct sock_address *address, uint32_t connect_timeout_ms,
                             const struct upstream *upstream)
{
    struct upstream_conn *made = make(session, -1, CONN_CONNECTING, upstream);

    if (!made)
        return NULL;
    struct conn *conn = &made->base.conn;
    conn->error = (uint16_t)attempt_begin(&made->attempt, conn, address, connect_timeout_ms);
    if (conn->error) /* the service hears of it when it knows the connection */
        conn->deadline_ms = session_now(session);
    return add(session, made);
}

struct conn *upstream_adopt(struct session *session, int fd, const struct upstream *upstream)
{
    struct upstream_conn *made = make(session, fd, CONN_OPEN, upstream);

    if (!made)
        close(fd);
    return made ? add(session, made) : NULL;
}

void upstream_connected(struct conn *conn, int error)
{
    struct upstream_conn *upstream = upstream_of(conn);
    struct session *session = session_of(conn);

    error = attempt_ended(&upstream->attempt, conn, error);
    if (error == EINPROGRESS) {
        deadline_arm(session);
        return;
    }
    if (error) {
        conn->owner->ended(conn, error);
        return;
    }
    upstream->asked_ns = buffer_is_empty(&conn->out) ? 0 : conn_loop_of(conn)->reactor.now_ns;
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
        upstream_connected(conn, ETIMEDOUT);
    return true;
}

/* ---- the end ---- */

void upstream_ended(struct conn *conn, int error)
{
    const struct upstream *callbacks = upstream_of(conn)->callbacks;
    struct session *session = session_of(conn);
    enum verdict verdict = SESSION_CLOSE;

    if (conn->phase == CONN_CLOSED)
        return;
    if (conn->phase == CONN_CONNECTING)
        stats_count(&section_of(session)->stats->upstream_failures, 1);
    conn_close(conn);
    upstream_of(conn)->callbacks = NULL;
    session->reply_due = false;
    if (callbacks->closed)
        verdict = callbacks->closed(session, conn, error);
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

    if (upstream_of(conn)->callbacks)
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
    upstream_note_answered(conn, section_of(session)->stats);
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

void upstream_uncoupled(struct session *session)
{
    if (session->client.error)
        session_end(session, CLOSE_reset);
    else if (session->client.output != OUTPUT_ON)
        session_finish(session, CLOSE_done);
}

void upstream_close(struct conn *conn)
{
    struct session *session = session_of(conn);
    bool is_coupled = conn->owner != &upstream_owner;

    if (conn->phase == CONN_CLOSED)
        return;
    if (is_coupled)
        session->client.owner = section_of(session)->client_owner;
    conn_close(conn);
    upstream_of(conn)->callbacks = NULL;
    conn->above_high_water = false;
    session->reply_due = false;
    turn_touch(session); /* its client may go on */
    if (is_coupled)
        upstream_uncoupled(session);
}

void upstream_send(struct conn *conn, const void *bytes, size_t size)
{
    if (conn->phase > CONN_OPEN || size == 0)
        return;
    session_of(conn)->reply_due = !session_takes_places(session_of(conn));
    upstream_note_asked(conn);
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
