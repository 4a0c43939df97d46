/*
 * The functions of session.h: what a service sends, sets and asks for. Upstreams and relays are in upstream.c.
 */
#include "worker/client.h"
#include "worker/core/session.h"
#include "worker/deadline.h"
#include "worker/more.h"
#include "worker/reply.h"
#include "worker/segment.h"
#include "worker/turn.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- what it asks ---- */

void *session_state(struct session *session)
{
    return session->state;
}

const void *session_config(const struct session *session)
{
    return section_of(session)->config->service_config;
}

struct section *session_section(const struct session *session)
{
    return section_of(session);
}

const void *section_config(const struct section *section)
{
    return section->config->service_config;
}

void *section_state(struct section *section)
{
    return section->state;
}

const char *section_name(const struct section *section)
{
    return section->config->name;
}

void *section_shared(struct section *section)
{
    return section->config->shared;
}

void section_count(struct section *section, unsigned counter, uint64_t amount)
{
    if (counter < STATS_OWN_COUNTERS)
        stats_count(&section->stats->own[counter], amount);
}

void section_beat(struct section *section)
{
    stats_count(&section->core->loop.reactor.stats->turns, 1);
}

void session_get_info(const struct session *session, struct session_info *info)
{
    int fd = session->client.handler.fd;
    struct ucred credentials;
    socklen_t size = sizeof(credentials);
    struct sockaddr_storage address = {0};
    socklen_t address_size = sizeof(address);
    struct peer_address local = {.family = AF_UNSPEC};

    *info = (struct session_info){.pid = -1, .uid = (uid_t)-1, .gid = (gid_t)-1};
    peer_format(&session->peer, info->peer, sizeof(info->peer));
    if (getsockname(fd, (struct sockaddr *)&address, &address_size) == 0)
        peer_set(&local, (struct sockaddr *)&address);
    peer_format(&local, info->local, sizeof(info->local));
    if (session->peer.family == AF_UNIX && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0) {
        info->pid = credentials.pid;
        info->uid = credentials.uid;
        info->gid = credentials.gid;
    }
}

void session_count_error(struct session *session)
{
    stats_count(&section_of(session)->stats->protocol_errors, 1);
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
    return section_of(session)->config->name;
}

void session_shutdown_server(struct session *session)
{
    core_of(session)->shutdown_asked = true;
}

/* ---- its state ---- */

/* False once the session closes or has ended: what a service then sends, sets or asks for is nobody's any more. */
static bool is_open(const struct session *session)
{
    return session->client.phase == CONN_OPEN;
}

static void note_message_out(struct session *session)
{
    stats_count(&section_of(session)->stats->messages_out, 1);
    if (section_of(session)->config->service->drained)
        session->client.flush_due = true;
}

/* ---- what it sends ---- */

/* True when output has to wait for answers that come first, or for constants and files. */
static bool output_waits(const struct session *session)
{
    return session_has_replies(session) || session_has_segments(session);
}

/* Where output goes that is not sent at once. NULL: memory is out, and the session has ended. */
static struct segment_list *queue_of(struct session *session)
{
    if (session_has_replies(session))
        return reply_behind(session);
    if (more_of(session))
        return &session->more->output;
    session_end(session, CLOSE_memory);
    return NULL;
}

static void send_behind(struct session *session, const void *bytes, size_t size)
{
    struct segment_list *queue;

    if (!output_waits(session))
        turn_send(session, bytes, size);
    else if (size > 0 && (queue = queue_of(session)))
        segment_append_bytes(session, queue, bytes, size);
}

void session_send(struct session *session, const void *bytes, size_t size)
{
    if (!is_open(session))
        return;
    note_message_out(session);
    if (session->more)
        send_behind(session, bytes, size);
    else
        conn_send(&session->client, bytes, size);
}

void session_send_static(struct session *session, const void *bytes, size_t size)
{
    struct segment_list *queue;

    if (size <= CORK_COPY_MAX) { /* a copy is the cheaper way */
        session_send(session, bytes, size);
    } else if (is_open(session)) {
        note_message_out(session);
        if ((queue = queue_of(session)))
            segment_append_constant(session, queue, bytes, size);
    }
}

void session_send_file(struct session *session, int fd, uint64_t offset, uint64_t size)
{
    struct segment_list *queue = is_open(session) && size > 0 ? queue_of(session) : NULL;

    if (!queue) {
        close(fd);
        return;
    }
    note_message_out(session);
    segment_append_file(session, queue, fd, offset, size);
}

size_t session_queued(const struct session *session)
{
    return buffer_size(&session->client.out) + (session->more ? session->more->kept : 0);
}

/* Replies are built in the cork, unless older ones are queued or the room is too small. */
static bool fits_cork(const struct session *session, size_t size)
{
    const struct conn *client = &session->client;

    return conn_loop_of(client)->corked == client && buffer_is_empty(&client->out) && size <= conn_cork_room(client);
}

/*
 * The reservation of a session whose output has to wait, or whose event is not being handled, is kept with the session:
 * others may have one at the same time. What is not committed is taken back at the end of the turn.
 */
static bool has_kept(const struct session *session)
{
    return session->more && !buffer_is_empty(&session->more->reserved);
}

static char *reserve_kept(struct session *session, size_t size)
{
    struct session_more *more = more_of(session);

    if (more)
        turn_touch(session);
    return more && is_open(session) ? buffer_reserve(&more->reserved, size) : NULL;
}

static void commit_kept(struct session *session, size_t size)
{
    struct buffer buffer = session->more->reserved;

    session->more->reserved.chunk = NULL;
    buffer_commit(&buffer, size);
    if (!buffer_is_empty(&buffer))
        send_behind(session, buffer_bytes(&buffer), buffer_size(&buffer));
    buffer_clear(&buffer);
}

static char *reserve_elsewhere(struct session *session, size_t size)
{
    struct conn_loop *loop = conn_loop_of(&session->client);
    char *room;

    if (session->more)
        buffer_clear(&session->more->reserved);
    if (!is_open(session))
        return NULL;
    if (output_waits(session) || loop->corked != &session->client) {
        room = reserve_kept(session, size);
    } else {
        if (!fits_cork(session, size))
            conn_uncork(loop); /* which may end it */
        if (!is_open(session))
            return NULL;
        room = fits_cork(session, size) ? loop->cork + loop->cork_used : buffer_reserve(&session->client.out, size);
    }
    if (!room)
        session_end(session, CLOSE_memory);
    return room;
}

char *session_reserve(struct session *session, size_t size)
{
    const struct conn *client = &session->client;
    struct conn_loop *loop = conn_loop_of(client);

    if (is_open(session) && !session->more && fits_cork(session, size))
        return loop->cork + loop->cork_used;
    return reserve_elsewhere(session, size);
}

static void commit_elsewhere(struct session *session, size_t size)
{
    if (size > 0)
        note_message_out(session);
    if (has_kept(session)) {
        commit_kept(session, size);
    } else if (fits_cork(session, size)) {
        conn_loop_of(&session->client)->cork_used += size;
    } else if (session->client.out.chunk) {
        buffer_commit(&session->client.out, size);
        conn_queued(&session->client);
    }
}

void session_commit(struct session *session, size_t size)
{
    if (!is_open(session))
        return;
    if (size == 0 || session->more || !fits_cork(session, size)) {
        commit_elsewhere(session, size);
        return;
    }
    conn_loop_of(&session->client)->cork_used += size;
    note_message_out(session);
}

/* ---- what it sets ---- */

void session_set_timer_of(struct session *session, unsigned number, uint32_t ms)
{
    struct session_more *more;

    if (!session_has_timers(session) || number >= SESSION_TIMERS || (ms == 0 && !session->more))
        return;
    if (!(more = more_of(session))) {
        session_end(session, CLOSE_memory);
        return;
    }
    more->timer_ms[number] = ms ? session_now(session) + ms : 0;
    deadline_arm(session);
}

void session_set_timer(struct session *session, uint32_t ms)
{
    session_set_timer_of(session, 0, ms);
}

uint64_t session_now_ms(const struct session *session)
{
    return session_now(session);
}

void session_engage(struct session *session, bool engaged)
{
    session->engaged = engaged;
}

void session_pause(struct session *session)
{
    if (!is_open(session))
        return;
    session->paused = true;
    conn_pause(&session->client, true);
}

void session_resume(struct session *session)
{
    if (!is_open(session) || !session->paused)
        return;
    session->paused = false;
    turn_touch(session);
}

void session_wake(struct session *session)
{
    if (!is_open(session))
        return;
    session->woken = true;
    turn_touch(session);
}

/*
 * The bytes that come next are cut otherwise than was thought. While they are being handed over, that is so from the
 * next one on. What has been kept is cut anew when the input goes on, at the end of the turn.
 */
static void cut_anew(struct session *session)
{
    struct conn *client = &session->client;

    if (client_update_sink(session) || buffer_is_empty(&client->in))
        return;
    buffer_set_note(&client->in, 0, 0);
    conn_pause(client, true);
    turn_touch(session);
}

void session_set_framing(struct session *session, const struct framing *framing)
{
    if (!is_open(session))
        return;
    if (!more_of(session)) {
        session_end(session, CLOSE_memory);
        return;
    }
    session->more->framing = framing;
    cut_anew(session);
}

void session_skip(struct session *session, uint64_t size)
{
    if (!is_open(session))
        return;
    if (!more_of(session)) {
        session_end(session, CLOSE_memory);
        return;
    }
    uint64_t most = UINT64_MAX - session->more->skip;
    session->more->skip += size < most ? size : most;
    cut_anew(session);
}

void session_want(struct session *session, uint32_t epoll_events)
{
    if (is_open(session) &&
        reactor_want(&conn_loop_of(&session->client)->reactor, &session->client.handler, epoll_events) < 0)
        session_end(session, CLOSE_memory);
}
