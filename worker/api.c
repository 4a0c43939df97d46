/*
 * The functions of session.h: what a service sends, sets and asks for. Upstreams and relays are in upstream.c.
 */
#include "worker/core/session.h"
#include <errno.h>
#include <string.h>

/* ---- what it asks ---- */

void *session_state(struct session *session)
{
    return session->state;
}

const void *session_config(const struct session *session)
{
    return session_section(session)->config->service_config;
}

void session_count_error(struct session *session)
{
    stats_count(&session_section(session)->stats->protocol_errors, 1);
}

bool session_peer_is_local(const struct session *session)
{
    return peer_is_local(&session->peer);
}

const char *session_peer(const struct session *session)
{
    static char text[SOCK_TEXT_SIZE];

    return peer_format(&session->peer, text, sizeof(text));
}

const char *session_listener(const struct session *session)
{
    return session_section(session)->config->name;
}

void session_shutdown_server(struct session *session)
{
    core_of(session)->shutdown_asked = true;
}

/* ---- what it sends and sets ---- */

/* False once the session closes or has ended: what a service then sends, sets or asks for is nobody's any more. */
static bool is_open(const struct session *session)
{
    return session->client.phase == CONN_OPEN;
}

static void note_message_out(struct session *session)
{
    stats_count(&session_section(session)->stats->messages_out, 1);
    if (session_section(session)->config->service->drained)
        session->client.flush_due = true;
}

void session_send(struct session *session, const void *bytes, size_t size)
{
    if (!is_open(session))
        return;
    note_message_out(session);
    conn_send(&session->client, bytes, size);
}

/* Replies are built in the cork, unless older ones are queued or the room is too small. */
static bool fits_cork(const struct session *session, size_t size)
{
    const struct conn *client = &session->client;

    return conn_loop_of(client)->corked == client && buffer_is_empty(&client->out) && size <= conn_cork_room(client);
}

char *session_reserve(struct session *session, size_t size)
{
    struct conn_loop *loop = conn_loop_of(&session->client);

    if (!is_open(session))
        return NULL;
    if (!fits_cork(session, size) && loop->corked == &session->client) {
        conn_uncork(loop); /* which may end it */
        if (!is_open(session))
            return NULL;
    }
    if (fits_cork(session, size))
        return loop->cork + loop->cork_used;
    char *room = buffer_reserve(&session->client.out, size);
    if (!room)
        session_end(session, CLOSE_memory);
    return room;
}

void session_commit(struct session *session, size_t size)
{
    if (!is_open(session))
        return;
    if (size > 0)
        note_message_out(session);
    if (fits_cork(session, size)) {
        conn_loop_of(&session->client)->cork_used += size;
    } else {
        buffer_commit(&session->client.out, size);
        conn_queued(&session->client);
    }
}

void session_set_timer(struct session *session, uint32_t ms)
{
    if (!is_open(session))
        return;
    session->timer_ms = ms ? session_now(session) + ms : 0;
    session_arm(session);
}

void session_want(struct session *session, uint32_t epoll_events)
{
    if (is_open(session) &&
        reactor_want(&conn_loop_of(&session->client)->reactor, &session->client.handler, epoll_events) < 0)
        session_end(session, CLOSE_memory);
}
