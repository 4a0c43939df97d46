#include "worker/core/core.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

/*
 * What a connection to an upstream needs until it stands. The addresses of a name are tried one after the other, each
 * for its share of the time that is left: conn.deadline_ms is the end of the attempt, `rest_ms` what is left after it.
 */
struct attempt {
    struct conn conn; /* first: it is freed through it */
    const struct sock_address *address;
    uint32_t rest_ms;
    uint8_t next; /* address to try */
    uint8_t pause_ms;
};

enum { PAUSE_MAX_MS = 50 };

static struct attempt *attempt_of(struct conn *conn)
{
    return (struct attempt *)conn;
}

/* ---- connecting ---- */

/*
 * A unix socket takes nobody while its queue is full, and nobody says when that has changed: it is asked again, soon
 * at first, until the time to connect is over. Returns false when it is.
 */
static bool pause_before_retry(struct attempt *attempt, uint64_t end_ms)
{
    uint64_t now_ms = core_of(attempt->conn.session)->reactor.now_ms;

    if (attempt->address->any.sa_family != AF_UNIX || now_ms >= end_ms)
        return false;
    unsigned pause_ms = attempt->pause_ms ? 2u * attempt->pause_ms : 1;
    attempt->pause_ms = (uint8_t)(pause_ms < PAUSE_MAX_MS ? pause_ms : PAUSE_MAX_MS);
    attempt->conn.deadline_ms = now_ms + attempt->pause_ms < end_ms ? now_ms + attempt->pause_ms : end_ms;
    attempt->rest_ms = (uint32_t)(end_ms - attempt->conn.deadline_ms);
    attempt->next = 0;
    return true;
}

/*
 * Try the next address, and the ones after it as long as they fail on the spot. Returns 0 when there is something to
 * wait for, else the error of the last one. `error` is that of the address before.
 */
static int try_next(struct attempt *attempt, int error)
{
    struct conn *conn = &attempt->conn;
    uint64_t now_ms = core_of(conn->session)->reactor.now_ms, end_ms = conn->deadline_ms + attempt->rest_ms;
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
        close(conn->handler.fd);
    conn->handler.fd = -1;
    conn->handler.events = REACTOR_OFF;
}

struct conn *session_connect(struct session *session, const struct sock_address *address, uint32_t connect_timeout_ms,
                             const struct upstream *upstream)
{
    struct core *core = core_of(session);
    struct attempt *attempt = session->client.phase == CONN_OPEN ? calloc(1, sizeof(*attempt)) : NULL;

    if (!attempt)
        return NULL;
    struct conn *conn = &attempt->conn;
    conn_init(conn, session, -1, CONN_CONNECTING);
    conn->upstream = upstream;
    attempt->address = address;
    conn->deadline_ms = core->reactor.now_ms + connect_timeout_ms;
    conn->error = try_next(attempt, EHOSTUNREACH);
    if (conn->error) /* the service hears of it when it knows the connection */
        conn->deadline_ms = core->reactor.now_ms;
    conn->next = session->client.next;
    session->client.next = conn;
    session_arm(session);
    if (core->corked != session)
        conn_update_events(conn);
    return conn;
}

static void attempt_failed(struct conn *conn, int error)
{
    close_attempt(conn);
    error = try_next(attempt_of(conn), error);
    if (error)
        upstream_ended(conn, error);
    else
        session_arm(conn->session);
}

void upstream_connected(struct conn *conn, uint32_t events)
{
    const struct sock_address *address = attempt_of(conn)->address;
    int error = events & (EPOLLERR | EPOLLHUP) ? sock_error(conn->handler.fd) : 0;

    if (!error && address->any.sa_family != AF_UNIX && sock_is_self_connected(conn->handler.fd, sock_port(address)))
        error = ECONNREFUSED;
    if (error) {
        attempt_failed(conn, error);
        return;
    }
    sock_set_nodelay(conn->handler.fd);
    keepalive_set(conn->handler.fd, conn->session->listener->config->keepalive_ms);
    conn->phase = CONN_OPEN;
    conn->deadline_ms = 0;
    keepalive_start(conn);
    if (conn->upstream->connected)
        session_apply(conn->session, conn->upstream->connected(conn->session, conn));
}

void upstream_expired(struct conn *conn)
{
    if (conn->phase != CONN_CONNECTING || conn->error)
        upstream_ended(conn, conn->error);
    else
        attempt_failed(conn, ETIMEDOUT);
}

/* ---- the end ---- */

static void mark_dead(struct conn *conn)
{
    struct core *core = core_of(conn->session);

    if (conn->phase == CONN_CLOSED)
        return;
    conn->phase = CONN_CLOSED;
    if (conn->peer)
        conn->peer->peer = NULL;
    conn->peer = core->dead_conns;
    core->dead_conns = conn;
}

void upstream_ended(struct conn *conn, int error)
{
    struct session *session = conn->session;
    enum verdict verdict = SESSION_CLOSE;

    if (conn->phase == CONN_CLOSED)
        return;
    if (conn->phase == CONN_CONNECTING)
        stats_count(&session->listener->stats->upstream_failures, 1);
    mark_dead(conn);
    session->awaiting = false;
    if (conn->upstream->closed)
        verdict = conn->upstream->closed(session, conn, error);
    conn->full = false;
    if (verdict == SESSION_CLOSE && error)
        session_finish(session, CLOSE_upstream);
    else
        session_apply(session, verdict);
    conn_update_flow(session); /* a client whose requests it was full of goes on, now that the service knows */
}

void upstream_drop_all(struct session *session)
{
    for (struct conn *conn = session->client.next; conn; conn = conn->next)
        mark_dead(conn);
}

static void free_upstream(struct conn *conn)
{
    conn_fini(conn);
    free(attempt_of(conn));
}

void upstream_bury(struct core *core)
{
    for (struct conn *conn; (conn = core->dead_conns);) {
        struct conn **link = &conn->session->client.next;
        while (*link != conn)
            link = &(*link)->next;
        *link = conn->next;
        core->dead_conns = conn->peer;
        free_upstream(conn);
    }
}

void upstream_free_all(struct session *session)
{
    for (struct conn *conn; (conn = session->client.next); free_upstream(conn))
        session->client.next = conn->next;
}

void upstream_send(struct conn *upstream, const void *bytes, size_t size)
{
    if (upstream->phase > CONN_OPEN)
        return;
    upstream->session->awaiting = true;
    conn_send(upstream, bytes, size);
}

/* ---- a relay: client and upstream coupled into one pipe ---- */

void session_couple(struct session *session, struct conn *upstream)
{
    if (session->client.phase != CONN_OPEN || upstream->phase > CONN_OPEN || session->client.peer)
        return;
    session->client.peer = upstream;
    upstream->peer = &session->client;
    conn_update_flow(session);
}

void relay_input(struct conn *conn, const char *bytes, size_t size)
{
    struct session *session = conn->session;

    session->awaiting = !conn->upstream;
    stats_count(conn->upstream ? &session->listener->stats->messages_out : &session->listener->stats->messages_in, 1);
    conn_send(conn->peer, bytes, size);
}

void relay_forward_rest(struct conn *conn)
{
    if (conn->phase != CONN_CLOSED && conn->peer && !buffer_is_empty(&conn->in)) {
        conn_send(conn->peer, buffer_bytes(&conn->in), buffer_size(&conn->in));
        buffer_clear(&conn->in);
    }
}

void relay_input_ended(struct conn *conn)
{
    conn_end_output(conn->peer);
    relay_check_end(conn);
}

void relay_check_end(struct conn *conn)
{
    struct session *session = conn->session;
    const struct conn *client = &session->client;
    struct conn *upstream = client->peer;

    if (!upstream || client->input != INPUT_ENDED || upstream->output != OUTPUT_ENDED)
        return;
    if (client->output == OUTPUT_ENDED && upstream->input == INPUT_ENDED)
        session_end(session, client->error ? CLOSE_reset : CLOSE_peer);
    else if (client->error) /* closing at once could be a reset, which overtakes what the upstream has not read yet */
        conn_expire(upstream, core_of(session)->env->linger_timeout_ms);
}

void relay_client_lost(struct conn *client, int error)
{
    struct conn *upstream = client->peer;

    client->error = error;
    client->input = INPUT_ENDED;
    client->output = OUTPUT_ENDED;
    buffer_clear(&client->out);
    client->full = false;
    if (upstream->phase == CONN_CONNECTING && buffer_is_empty(&upstream->out)) {
        session_end(client->session, CLOSE_reset);
        return;
    }
    conn_update_flow(client->session);
    conn_end_output(upstream);
    relay_check_end(client);
}
