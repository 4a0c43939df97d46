#include "worker/core/session.h"
#include <stdlib.h>
#include <sys/epoll.h>

/* ---- life ---- */

int session_open(struct section *section, int fd, const struct peer_address *peer)
{
    const struct service *service = section->config->service;
    struct core *core = section->core;
    struct session *session = calloc(1, section->session_size);

    if (!session)
        return -1;
    session->peer = *peer;
    session->active_ms = core->loop.reactor.now_ms;
    session->timer.expired = section->expired;
    conn_init(&session->client, &section->client, section->client_owner, fd, CONN_OPEN);
    if (section->ready)
        session->client.handler.ready = section->ready;
    section->opened(session);
    if (reactor_want(&core->loop.reactor, &session->client.handler, EPOLLIN) < 0) {
        free(session);
        return -1;
    }
    LIST_INSERT_HEAD(&core->live, session, link);
    core->session_count++;
    stats_count(&section->stats->accepted, 1);
    conn_keep_alive(&session->client);
    session->client.owner->arm(&session->client);
    if (service->open) {
        session_enter(session);
        session_apply(session, service->open(session));
        session_leave(session);
    }
    return 0;
}

static void close_upstreams(struct session *session)
{
    for (struct session_conn *each = session->upstreams; each; each = each->next)
        conn_close(&each->conn);
}

void session_end(struct session *session, enum close_reason reason)
{
    struct core *core = core_of(session);

    if (session->client.phase == CONN_CLOSED)
        return;
    if (session->client.phase == CONN_OPEN)
        session->reason = (uint8_t)reason;
    session->client.phase = CONN_CLOSED;
    close_upstreams(session);
    timer_clear(&session->timer);
    if (core->walked == session)
        core->walked = LIST_NEXT(session, link);
    LIST_REMOVE(session, link);
    LIST_INSERT_HEAD(&core->dead, session, link);
    stats_count(&section_of(session)->stats->closed[session->reason], 1);
}

void session_finish(struct session *session, enum close_reason reason)
{
    if (session->client.phase != CONN_OPEN)
        return;
    if (!session_has_replies(session) || session_is_relay(session))
        close_upstreams(session);
    session->reason = (uint8_t)reason;
    session->client.phase = CONN_FLUSHING;
    session->client.owner = section_of(session)->client_owner;
    session->client.handler.ready = conn_ready;
    session->client.flush_due = session_has_segments(session);
    session->active_ms = session_now(session);
    session->client.owner->arm(&session->client);
}

void session_apply_end(struct session *session, enum verdict verdict)
{
    switch (verdict) {
    case SESSION_CONTINUE: break;
    case SESSION_CLOSE: session_finish(session, CLOSE_done); break;
    case SESSION_REJECT:
        stats_count(&section_of(session)->stats->protocol_errors, 1);
        session_finish(session, CLOSE_protocol);
        break;
    case SESSION_ABORT: session_end(session, CLOSE_done); break;
    }
}

void session_bury(struct core *core)
{
    struct session *session;

    for (conn_free_closed(&core->loop); (session = LIST_FIRST(&core->dead)); conn_free_closed(&core->loop)) {
        const struct service *service = session_service(session);
        LIST_REMOVE(session, link); /* `close` may end others */
        if (service->close)
            service->close(session, (enum close_reason)session->reason);
        section_of(session)->freed(session);
        for (struct session_conn *each; (each = session->upstreams); free(each))
            session->upstreams = each->next;
        conn_fini(&session->client);
        free(session);
        core->session_count--;
    }
}

/* ---- an event ---- */

void session_enter(struct session *session)
{
    conn_loop_of(&session->client)->corked = &session->client;
}

/* The last bytes are out. A client that has not closed gets our FIN and time to read, see CONN_LINGERING. */
static void close_flushed(struct session *session)
{
    struct conn *client = &session->client;

    if (client->input == INPUT_ENDED) {
        session_end(session, CLOSE_done);
        return;
    }
    close_upstreams(session);
    client->settings->transport->shutdown(client->handler.fd);
    client->phase = CONN_LINGERING;
    conn_expire(client, core_of(session)->env->linger_timeout_ms);
}

void session_settle(struct conn *client)
{
    struct session *session = session_of_client(client);
    struct core *core = core_of(session);

    conn_uncork(&core->loop);
    core->loop.corked = NULL;
    if (core->draining)
        core->leaving.settled(session);
    if (client->phase == CONN_FLUSHING && buffer_is_empty(&client->out) && !session_has_segments(session) &&
        !session_has_replies(session))
        close_flushed(session);
    conn_update_events(client);
    for (struct session_conn *each = session->upstreams; each; each = each->next)
        conn_update_events(&each->conn);
}

void session_leave(struct session *session)
{
    session->client.owner->leave(&session->client);
}

/* ---- back-pressure ---- */

/* What the upstreams send would wait for something that comes first. */
static bool upstreams_wait(const struct session *session)
{
    return session->client.above_high_water || session_has_segments(session) ||
           (session_has_replies(session) && session_is_relay(session));
}

/* A full client stops whoever produces for it; a full upstream stops the client, whose requests it is full of. Whoever
 * goes on may be called back, and change all of that. */
void session_update_flow(struct session *session)
{
    struct conn *client = &session->client;
    bool client_paused = (client->above_high_water || session_is_full(session)) && !session_is_relay(session);
    client_paused |= session->more && session->more->held > 0;

    for (struct session_conn *each = session->upstreams; each; each = each->next)
        client_paused |= each->conn.above_high_water;
    conn_pause(client, client_paused || session->paused);
    for (struct session_conn *each = session->upstreams; each; each = each->next)
        conn_pause(&each->conn, upstreams_wait(session));
}
