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

/* Where output goes that has to wait for other output: answers that come first, constants and files. NULL: nowhere, it
 * is sent. False when memory is out. */
static bool find_queue(struct session *session, struct segment_list **queue)
{
    *queue = NULL;
    if (!session->more)
        return true;
    if (session_has_replies(session))
        return (*queue = reply_behind(session)) != NULL;
    if (session_has_segments(session))
        *queue = &session->more->output;
    return true;
}

static void check_queue(struct session *session, const struct segment_list *queue, bool success)
{
    if (!success)
        session_end(session, CLOSE_memory);
    else if (segment_last_size(queue) > session->client.settings->max_output)
        session_end(session, CLOSE_overflow);
}

static void send_behind(struct session *session, const void *bytes, size_t size)
{
    struct segment_list *queue;
    bool success = find_queue(session, &queue);

    if (success && !queue)
        turn_send(session, bytes, size);
    else if (size > 0)
        check_queue(session, queue, success && segment_append_bytes(queue, bytes, size));
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
    struct segment_list list = {.first = NULL}, *queue;

    if (!is_open(session) || size == 0)
        return;
    note_message_out(session);
    bool success = more_of(session) && find_queue(session, &queue);
    if (success && queue)
        success = segment_append_constant(queue, bytes, size);
    else if (success && (success = segment_append_constant(&list, bytes, size)))
        segment_send(session, &list);
    if (!success)
        session_end(session, CLOSE_memory);
}

void session_send_file(struct session *session, int fd, uint64_t offset, uint64_t size)
{
    struct segment_list list = {.first = NULL}, *queue;

    if (!is_open(session) || size == 0) {
        close(fd);
        return;
    }
    note_message_out(session);
    bool success = more_of(session) && find_queue(session, &queue);
    if (!success)
        close(fd);
    else if (queue)
        success = segment_append_file(queue, fd, offset, size);
    else if ((success = segment_append_file(&list, fd, offset, size)))
        segment_send(session, &list);
    if (!success)
        session_end(session, CLOSE_memory);
}

size_t session_queued(const struct session *session)
{
    return buffer_size(&session->client.out);
}

/* Replies are built in the cork, unless older ones are queued or the room is too small. */
static bool fits_cork(const struct session *session, size_t size)
{
    const struct conn *client = &session->client;

    return conn_loop_of(client)->corked == client && buffer_is_empty(&client->out) && size <= conn_cork_room(client);
}

/* The reservation of a session whose output has to wait, or whose event is not being handled. */
static struct {
    const struct session *session; /* NULL: there is none */
    struct buffer buffer;
} held;

static char *reserve_held(struct session *session, size_t size)
{
    buffer_clear(&held.buffer);
    held.session = session;
    return buffer_reserve(&held.buffer, size);
}

static void commit_held(struct session *session, size_t size)
{
    struct buffer buffer = held.buffer;

    held.session = NULL;
    held.buffer.chunk = NULL;
    if (buffer.chunk)
        buffer_commit(&buffer, size);
    if (!buffer_is_empty(&buffer))
        send_behind(session, buffer_bytes(&buffer), buffer_size(&buffer));
    buffer_clear(&buffer);
}

/* True when output has to wait for answers that come first, or for constants and files. */
static bool output_waits(const struct session *session)
{
    return session->more && (session_has_replies(session) || session_has_segments(session));
}

static char *reserve_elsewhere(struct session *session, size_t size)
{
    struct conn_loop *loop = conn_loop_of(&session->client);
    char *room;

    if (!is_open(session))
        return NULL;
    if (output_waits(session) || loop->corked != &session->client) {
        room = reserve_held(session, size);
    } else {
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

    held.session = NULL;
    if (is_open(session) && !output_waits(session) && fits_cork(session, size))
        return loop->cork + loop->cork_used;
    return reserve_elsewhere(session, size);
}

static void commit_elsewhere(struct session *session, size_t size)
{
    if (size > 0)
        note_message_out(session);
    if (held.session) {
        commit_held(session, size);
    } else if (!fits_cork(session, size)) {
        buffer_commit(&session->client.out, size);
        conn_queued(&session->client);
    }
}

void session_commit(struct session *session, size_t size)
{
    if (!is_open(session))
        return;
    if (size == 0 || held.session || !fits_cork(session, size)) {
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

    if (!is_open(session) || number >= SESSION_TIMERS || (ms == 0 && !session->more))
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

/* At the end of the turn the session is looked at anew. */
static void touch(struct session *session)
{
    if (turn_touch(session) < 0)
        session_end(session, CLOSE_memory);
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
    touch(session);
}

void session_wake(struct session *session)
{
    if (!is_open(session))
        return;
    session->woken = true;
    touch(session);
}

void session_set_framing(struct session *session, const struct framing *framing)
{
    struct session_more *more = is_open(session) ? more_of(session) : NULL;

    if (!more) {
        session_end(session, CLOSE_memory);
        return;
    }
    more->framing = framing;
    client_update_sink(session);
}

void session_skip(struct session *session, uint64_t size)
{
    struct session_more *more = is_open(session) ? more_of(session) : NULL;

    if (!more) {
        session_end(session, CLOSE_memory);
        return;
    }
    more->skip += size;
    client_update_sink(session);
}

void session_want(struct session *session, uint32_t epoll_events)
{
    if (is_open(session) &&
        reactor_want(&conn_loop_of(&session->client)->reactor, &session->client.handler, epoll_events) < 0)
        session_end(session, CLOSE_memory);
}
