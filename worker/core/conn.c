#include "worker/core/core.h"
#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

void conn_init(struct conn *conn, struct session *session, int fd, enum conn_phase phase)
{
    conn->handler = (struct reactor_handler){.fd = fd, .events = REACTOR_OFF, .ready = conn_ready};
    conn->session = session;
    conn->phase = (uint8_t)phase;
}

void conn_fini(struct conn *conn)
{
    if (conn->handler.fd >= 0)
        close(conn->handler.fd);
    buffer_clear(&conn->in);
    buffer_clear(&conn->out);
}

/* ---- what epoll is told ---- */

static bool service_reads(const struct conn *conn)
{
    return !conn->upstream && conn->session->listener->config->service->ready && conn->phase == CONN_OPEN;
}

/* epoll refuses: a client's session has to end; of an upstream the timer tells the service. */
static void not_watched(struct conn *conn)
{
    conn->error = errno;
    if (conn->upstream)
        conn_expire(conn, 0);
    else
        session_end(conn->session, CLOSE_memory);
}

void conn_update_events(struct conn *conn)
{
    uint32_t events = 0;

    if (conn->phase == CONN_CLOSED || conn->handler.fd < 0 || service_reads(conn))
        return;
    if ((conn->phase == CONN_OPEN && conn->input == INPUT_ON) || conn->phase == CONN_LINGERING)
        events |= EPOLLIN;
    if (conn->phase == CONN_CONNECTING || !buffer_is_empty(&conn->out) ||
        (!conn->upstream && conn->session->drain_due && conn->phase == CONN_OPEN))
        events |= EPOLLOUT;
    if (events == 0 && conn->handler.events == REACTOR_OFF)
        return;
    if (reactor_want(&core_of(conn->session)->reactor, &conn->handler, events) < 0)
        not_watched(conn);
}

/* ---- back-pressure ---- */

/* A full client stops whoever produces for it; a full upstream stops the client, whose requests it is full of. */
static bool input_blocked(const struct conn *conn)
{
    const struct conn *client = &conn->session->client;

    if (conn->upstream)
        return client->full;
    if (client->full && !client->peer)
        return true;
    for (const struct conn *upstream = client->next; upstream; upstream = upstream->next)
        if (upstream->full)
            return true;
    return false;
}

void conn_update_flow(struct session *session)
{
    for (struct conn *conn = &session->client; conn; conn = conn->next) {
        bool blocked = input_blocked(conn);
        if (conn->phase == CONN_CLOSED)
            continue;
        if (blocked && conn->input == INPUT_ON) {
            conn->input = INPUT_PAUSED;
        } else if (!blocked && conn->input == INPUT_PAUSED) {
            conn->input = INPUT_ON;
            session_input(conn, "", 0);
            if (conn->error)
                conn_expire(conn, 0);
        }
    }
}

/* ---- output ---- */

static bool is_passing(int error)
{
    return error == EAGAIN || error == EINTR || error == ENOBUFS;
}

static void note_sent(struct conn *conn, size_t size)
{
    if (size > 0)
        conn->session->active_ms = core_of(conn->session)->reactor.now_ms;
    if (!conn->upstream)
        stats_count(&conn->session->listener->stats->bytes_out, size);
}

static uint32_t send_queue(const struct conn *conn)
{
    int size = 0;

    return ioctl(conn->handler.fd, SIOCOUTQ, &size) < 0 ? 0 : (uint32_t)size;
}

bool conn_progresses(struct conn *conn)
{
    uint32_t before = conn->unacknowledged;

    if (buffer_is_empty(&conn->out) || conn->phase == CONN_CONNECTING || conn->phase == CONN_CLOSED)
        return false;
    conn->unacknowledged = send_queue(conn);
    return conn->unacknowledged < before;
}

void conn_expire(struct conn *conn, uint32_t ms)
{
    conn->deadline_ms = core_of(conn->session)->reactor.now_ms + ms;
    session_arm(conn->session);
}

void conn_broken(struct conn *conn, int error)
{
    if (!conn->upstream && !conn->peer) {
        session_end(conn->session, CLOSE_reset);
        return;
    }
    buffer_clear(&conn->out);
    conn->error = error ? error : EPIPE;
    conn->output = OUTPUT_ENDED;
    conn_expire(conn, 0);
    if (conn->upstream || !conn->full)
        return;
    conn->full = false; /* what the upstream sends is read away */
    conn_update_flow(conn->session);
}

void conn_queued(struct conn *conn)
{
    const struct listener_config *config = conn->session->listener->config;
    size_t size = buffer_size(&conn->out);

    if (size > config->max_output) {
        session_end(conn->session, CLOSE_overflow);
    } else if (!conn->full && size > config->high_water) {
        conn->full = true;
        conn_update_flow(conn->session);
    }
}

static void queue(struct conn *conn, const void *bytes, size_t size)
{
    if (buffer_append(&conn->out, bytes, size) < 0)
        session_end(conn->session, CLOSE_memory);
    else
        conn_queued(conn);
}

/* Send two pieces, the first of which may be empty, and queue what the kernel does not take. `out` is empty. */
static void write_pieces(struct conn *conn, const char *first, size_t first_size, const char *second,
                         size_t second_size)
{
    struct iovec pieces[2] = {{(void *)first, first_size}, {(void *)second, second_size}};
    struct msghdr packet = {.msg_iov = pieces, .msg_iovlen = 2};
    ssize_t sent = first_size > 0 ? sendmsg(conn->handler.fd, &packet, MSG_NOSIGNAL)
                                  : send(conn->handler.fd, second, second_size, MSG_NOSIGNAL);

    if (sent < 0 && !is_passing(errno)) {
        conn_broken(conn, errno);
        return;
    }
    size_t done = sent < 0 ? 0 : (size_t)sent;
    note_sent(conn, done);
    if (done < first_size) {
        queue(conn, first + done, first_size - done);
        done = first_size;
    }
    done -= first_size;
    if (done < second_size && conn->phase != CONN_CLOSED)
        queue(conn, second + done, second_size - done);
    if (!buffer_is_empty(&conn->out))
        conn->unacknowledged = send_queue(conn);
}

void conn_uncork(struct session *session)
{
    struct core *core = core_of(session);
    size_t size = core->cork_used;

    core->cork_used = 0;
    if (size > 0 && session->client.phase != CONN_CLOSED)
        write_pieces(&session->client, NULL, 0, core->cork, size);
}

static void cork(struct conn *conn, const void *bytes, size_t size)
{
    struct core *core = core_of(conn->session);

    if (size > CORK_COPY_MAX || size > core_cork_room(core, conn->session)) {
        size_t corked = core->cork_used;
        core->cork_used = 0;
        write_pieces(conn, core->cork, corked, bytes, size);
        return;
    }
    memcpy(core->cork + core->cork_used, bytes, size);
    core->cork_used += size;
}

void conn_send(struct conn *conn, const void *bytes, size_t size)
{
    if (size == 0 || conn->phase > CONN_OPEN || conn->output != OUTPUT_ON)
        return;
    if (!buffer_is_empty(&conn->out) || conn->phase == CONN_CONNECTING)
        queue(conn, bytes, size);
    else if (!conn->upstream && core_of(conn->session)->corked == conn->session)
        cork(conn, bytes, size);
    else
        write_pieces(conn, NULL, 0, bytes, size);
}

static void finish_output(struct conn *conn)
{
    if (conn->output != OUTPUT_ENDING || !buffer_is_empty(&conn->out) || conn->phase == CONN_CONNECTING)
        return;
    conn->output = OUTPUT_ENDED;
    shutdown(conn->handler.fd, SHUT_WR); /* ENOTCONN after a reset, which the read side will see */
    relay_check_end(conn);
}

void conn_end_output(struct conn *conn)
{
    if (conn->output == OUTPUT_ON)
        conn->output = OUTPUT_ENDING;
    if (!conn->upstream)
        conn_uncork(conn->session);
    finish_output(conn);
}

static void flush(struct conn *conn)
{
    struct session *session = conn->session;

    buffer_cancel(&conn->out); /* a reservation that was not committed: there is nothing to wait for */
    if (!buffer_is_empty(&conn->out)) {
        ssize_t sent = send(conn->handler.fd, buffer_bytes(&conn->out), buffer_size(&conn->out), MSG_NOSIGNAL);
        if (sent < 0) {
            if (!is_passing(errno))
                conn_broken(conn, errno);
            return;
        }
        note_sent(conn, (size_t)sent);
        buffer_consume(&conn->out, (size_t)sent);
    }
    if (!buffer_is_empty(&conn->out))
        conn->unacknowledged = send_queue(conn);
    if (conn->full && buffer_size(&conn->out) <= session->listener->config->low_water) {
        conn->full = false;
        conn_update_flow(session);
    }
    if (!buffer_is_empty(&conn->out))
        return;
    finish_output(conn);
    if (!conn->upstream && session->drain_due && conn->phase == CONN_OPEN) {
        session->drain_due = false;
        session_apply(session, session->listener->config->service->drained(session));
    }
}

/* ---- input ---- */

static void failed(struct conn *conn, int error)
{
    if (conn->upstream)
        upstream_ended(conn, error);
    else if (conn->peer)
        relay_client_lost(conn, error);
    else
        session_end(conn->session, CLOSE_reset);
}

static void input_ended(struct conn *conn)
{
    conn->input = INPUT_ENDED;
    if (conn->error) {
        failed(conn, conn->error);
    } else if (conn->peer) {
        relay_input_ended(conn);
    } else if (conn->upstream) {
        upstream_ended(conn, 0);
    } else {
        session_finish(conn->session, CLOSE_peer);
    }
}

ssize_t conn_read(struct conn *conn)
{
    struct core *core = core_of(conn->session);
    ssize_t size = recv(conn->handler.fd, core->scratch, SCRATCH_SIZE, 0);

    if (size < 0) {
        if (errno != EAGAIN && errno != EINTR)
            failed(conn, errno);
        return size;
    }
    if (conn->phase == CONN_LINGERING) {
        if (size == 0)
            session_end(conn->session, CLOSE_done); /* the reason is known since it began to close */
        return size;
    }
    if (size == 0) {
        input_ended(conn);
        return 0;
    }
    conn->session->active_ms = core->reactor.now_ms;
    if (!conn->upstream) {
        conn->session->heard = true;
        stats_count(&conn->session->listener->stats->bytes_in, (uint64_t)size);
    }
    if (conn->peer)
        relay_input(conn, core->scratch, (size_t)size);
    else
        session_input(conn, core->scratch, (size_t)size);
    return size;
}

/*
 * An error or a hang-up comes although nothing was asked for. Without EPOLLERR it is only the end of both directions.
 * epoll would report it in every turn: the descriptor is taken out until it is read again.
 */
static void unasked(struct conn *conn, uint32_t events)
{
    if (!conn->error && (events & EPOLLERR))
        conn_broken(conn, sock_error(conn->handler.fd));
    if (conn->error || conn->handler.events == 0)
        reactor_want(&core_of(conn->session)->reactor, &conn->handler, REACTOR_OFF);
}

/* A broken connection: what has arrived, one read at a time, then the end. */
static void read_rest(struct conn *conn)
{
    if (conn->input == INPUT_PAUSED)
        return; /* conn_update_flow() comes back to it */
    if (conn->input == INPUT_ON && conn_read(conn) > 0)
        conn_expire(conn, 0);
    else if (conn->phase == CONN_OPEN)
        failed(conn, conn->error);
}

void conn_expired(struct conn *conn)
{
    uint64_t due_ms = conn->deadline_ms;

    if (conn->phase == CONN_CONNECTING) {
        upstream_expired(conn);
        return;
    }
    conn->deadline_ms = 0;
    if (conn->phase == CONN_LINGERING)
        session_end(conn->session, CLOSE_done);
    else if (conn->error)
        read_rest(conn);
    else if (conn->session->client.error && conn->output == OUTPUT_ENDED)
        session_end(conn->session, CLOSE_reset);
    else if (conn->phase != CONN_CLOSED)
        keepalive_expired(conn, due_ms);
}

void conn_ready(struct reactor_handler *handler, uint32_t events)
{
    struct conn *conn = (struct conn *)handler;
    struct session *session = conn->session;

    if (conn->phase == CONN_CLOSED)
        return;
    session_enter(session);
    if (service_reads(conn)) {
        session->active_ms = core_of(session)->reactor.now_ms;
        session_apply(session, session->listener->config->service->ready(session, handler->fd, events));
    } else if (conn->phase == CONN_CONNECTING) {
        upstream_connected(conn, events);
        if (conn->phase == CONN_OPEN)
            flush(conn);
    } else {
        if (events & EPOLLOUT)
            flush(conn);
        if (conn->phase == CONN_LINGERING || (conn->phase == CONN_OPEN && conn->input == INPUT_ON)) {
            if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                conn_read(conn);
        } else if (conn->phase == CONN_OPEN && (events & (EPOLLHUP | EPOLLERR))) {
            unasked(conn, events);
        }
    }
    session_leave(session);
}
