/*
 * The functions of session.h: what a service sends, sets and asks for. Upstreams and relays are in upstream.c.
 */
#include "worker/core/core.h"
#include <errno.h>
#include <string.h>

/* ---- what it asks ---- */

void *session_state(struct session *session)
{
    return session->state;
}

const void *session_config(const struct session *session)
{
    return session->listener->config->service_config;
}

void session_count_error(struct session *session)
{
    stats_count(&session->listener->stats->protocol_errors, 1);
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
    return session->listener->config->name;
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
    stats_count(&session->listener->stats->messages_out, 1);
    if (session->listener->config->service->drained)
        session->drain_due = true;
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
    const struct core *core = core_of(session);

    return core->corked == session && buffer_is_empty(&session->client.out) && size <= core_cork_room(core, session);
}

char *session_reserve(struct session *session, size_t size)
{
    struct core *core = core_of(session);

    if (!is_open(session))
        return NULL;
    if (fits_cork(session, size))
        return core->cork + core->cork_used;
    if (core->corked == session) {
        conn_uncork(session); /* which may end it */
        if (!is_open(session))
            return NULL;
        if (fits_cork(session, size))
            return core->cork + core->cork_used;
    }
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
        core_of(session)->cork_used += size;
    } else {
        buffer_commit(&session->client.out, size);
        conn_queued(&session->client);
    }
}

void session_set_timer(struct session *session, uint32_t ms)
{
    if (!is_open(session))
        return;
    session->timer_ms = ms ? core_of(session)->reactor.now_ms + ms : 0;
    session_arm(session);
}

void session_want(struct session *session, uint32_t epoll_events)
{
    if (is_open(session) && reactor_want(&core_of(session)->reactor, &session->client.handler, epoll_events) < 0)
        session_end(session, CLOSE_memory);
}
