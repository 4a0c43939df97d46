#include "worker/core.h"
#include <errno.h>
#include <stdlib.h>

struct conn *session_connect(struct session *session, const struct sock_address *address, uint32_t connect_timeout_ms,
                             const struct upstream *upstream)
{
    struct core *core = core_of(session);
    struct conn *conn = session->client.phase == CONN_OPEN ? calloc(1, sizeof(*conn)) : NULL;

    if (!conn)
        return NULL;
    int fd = sock_connect(address);
    conn_init(conn, session, fd, CONN_CONNECTING);
    conn->upstream = upstream;
    conn->error = fd < 0 ? errno : 0;
    conn->deadline_ms = core->reactor.now_ms + (fd < 0 ? 0 : connect_timeout_ms);
    conn->next = session->client.next;
    session->client.next = conn;
    session_arm(session);
    if (core->corked != session)
        conn_update_events(conn);
    return conn;
}

void upstream_connected(struct conn *conn)
{
    int error = sock_error(conn->handler.fd);

    if (error) {
        upstream_ended(conn, error);
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
    free(conn);
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
