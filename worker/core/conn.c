#include "worker/core/conn.h"
#include "common/container_of.h"
#include "worker/keepalive.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

void conn_init(struct conn *conn, const struct conn_settings *settings, const struct conn_owner *owner, int fd,
               enum conn_phase phase)
{
    conn->handler = (struct reactor_handler){.fd = fd, .events = REACTOR_OFF, .ready = conn_ready};
    conn->settings = settings;
    conn->owner = owner;
    conn->phase = (uint8_t)phase;
}

void conn_fini(struct conn *conn)
{
    if (conn->handler.fd >= 0 && conn->settings->is_passed) /* epoll goes on with it when we close our copy alone */
        reactor_want(&conn_loop_of(conn)->reactor, &conn->handler, REACTOR_OFF);
    if (conn->handler.fd >= 0)
        conn->settings->transport->release(conn->handler.fd);
    conn->handler.fd = -1;
    buffer_clear(&conn->in);
    buffer_clear(&conn->out);
}

void conn_close(struct conn *conn)
{
    struct conn_loop *loop = conn_loop_of(conn);

    if (conn->phase == CONN_CLOSED)
        return;
    conn->phase = CONN_CLOSED;
    conn->next_closed = loop->closed;
    loop->closed = conn;
}

void conn_free_closed(struct conn_loop *loop)
{
    for (struct conn *conn; (conn = loop->closed);) {
        loop->closed = conn->next_closed;
        conn_fini(conn);
        conn->owner->closed(conn);
    }
}

/* ---- what epoll is told ---- */

/* The owner reads and writes itself, with a handler of its own. */
static bool is_untouched(const struct conn *conn)
{
    return conn->handler.ready != conn_ready;
}

void conn_update_events(struct conn *conn)
{
    uint32_t events = 0;

    if (conn->phase == CONN_CLOSED || conn->handler.fd < 0 || is_untouched(conn))
        return;
    if ((conn->phase == CONN_OPEN && conn->input == INPUT_ON) || conn->phase == CONN_LINGERING)
        events |= EPOLLIN;
    if (conn->phase == CONN_CONNECTING || !buffer_is_empty(&conn->out) ||
        (conn->flush_due && conn->phase <= CONN_FLUSHING))
        events |= EPOLLOUT;
    if (events == conn->handler.events || (events == 0 && conn->handler.events == REACTOR_OFF))
        return;
    if (reactor_want(&conn_loop_of(conn)->reactor, &conn->handler, events) < 0) {
        conn->error = (uint16_t)errno;
        conn->owner->exhausted(conn, CONN_UNWATCHED);
    }
}

/* ---- output ---- */

static void note_moved(struct conn *conn, size_t size, stats_counter *counter)
{
    if (size > 0)
        *conn->owner->active_ms(conn) = conn_loop_of(conn)->reactor.now_ms;
    if (counter)
        stats_count(counter, size);
}

static void note_unacknowledged(struct conn *conn)
{
    if (!buffer_is_empty(&conn->out))
        conn->unacknowledged = conn->settings->transport->unacknowledged(conn->handler.fd);
}

bool conn_progresses(struct conn *conn)
{
    uint32_t before = conn->unacknowledged;

    if (buffer_is_empty(&conn->out) || conn->phase == CONN_CONNECTING || conn->phase == CONN_CLOSED)
        return false;
    note_unacknowledged(conn);
    return conn->unacknowledged < before;
}

void conn_expire(struct conn *conn, uint32_t ms)
{
    if (conn->phase == CONN_CLOSED) /* by what has just been read, for example */
        return;
    conn->deadline_ms = conn_loop_of(conn)->reactor.now_ms + ms;
    conn->owner->arm(conn);
}

void conn_keep_alive(struct conn *conn)
{
    if (conn->settings->keepalive_ms)
        conn_expire(conn, conn->settings->keepalive_ms);
}

void conn_broken(struct conn *conn, int error)
{
    conn->error = (uint16_t)(error ? error : EPIPE);
    conn->output = OUTPUT_ENDED;
    if (conn->owner->broken)
        conn->owner->broken(conn);
    buffer_clear(&conn->out);
    conn_expire(conn, 0);
}

void conn_queued(struct conn *conn)
{
    size_t size = buffer_size(&conn->out);

    if (size > conn->settings->max_output) {
        conn->owner->exhausted(conn, CONN_OVERFLOW);
    } else if (!conn->above_high_water && size > conn->settings->high_water) {
        conn->above_high_water = true;
        conn->owner->pressure(conn);
    }
}

void conn_queue(struct conn *conn, const void *bytes, size_t size)
{
    if (buffer_append(&conn->out, bytes, size) < 0)
        conn->owner->exhausted(conn, CONN_NO_MEMORY);
    else
        conn_queued(conn);
}

/* Send two pieces, the first of which may be empty, and queue what the kernel does not take. `out` is empty. */
static void write_pieces(struct conn *conn, const char *first, size_t first_size, const char *second,
                         size_t second_size)
{
    struct iovec pieces[2] = {{(void *)first, first_size}, {(void *)second, second_size}};
    ssize_t sent = conn->settings->transport->send(conn->handler.fd, pieces);

    if (sent < 0 && !transport_error_passes(errno)) {
        conn_broken(conn, errno);
        return;
    }
    size_t done = sent < 0 ? 0 : (size_t)sent;
    note_moved(conn, done, conn->settings->bytes_out);
    if (done < first_size) {
        conn_queue(conn, first + done, first_size - done);
        done = first_size;
    }
    done -= first_size;
    if (done < second_size && conn->phase != CONN_CLOSED)
        conn_queue(conn, second + done, second_size - done);
    note_unacknowledged(conn);
}

void conn_uncork(struct conn_loop *loop)
{
    size_t size = loop->cork_used;

    loop->cork_used = 0;
    if (size > 0 && loop->corked->phase != CONN_CLOSED)
        write_pieces(loop->corked, NULL, 0, loop->cork, size);
}

static void cork(struct conn *conn, const void *bytes, size_t size)
{
    struct conn_loop *loop = conn_loop_of(conn);

    if (size > CORK_COPY_MAX || size > conn_cork_room(conn)) {
        size_t corked = loop->cork_used;
        loop->cork_used = 0;
        write_pieces(conn, loop->cork, corked, bytes, size);
        return;
    }
    memcpy(loop->cork + loop->cork_used, bytes, size);
    loop->cork_used += size;
}

static void queue_for_later(struct conn *conn, const void *bytes, size_t size)
{
    conn_queue(conn, bytes, size);
    conn->owner->queued(conn);
}

void conn_send(struct conn *conn, const void *bytes, size_t size)
{
    if (size == 0 || conn->phase > CONN_OPEN || conn->output != OUTPUT_ON)
        return;
    if (!buffer_is_empty(&conn->out) || conn->phase == CONN_CONNECTING)
        conn_queue(conn, bytes, size);
    else if (conn_loop_of(conn)->corked == conn)
        cork(conn, bytes, size);
    else if (!conn->owner->queued)
        write_pieces(conn, NULL, 0, bytes, size);
    else
        queue_for_later(conn, bytes, size);
}

static void finish_output(struct conn *conn)
{
    if (conn->output != OUTPUT_ENDING || !buffer_is_empty(&conn->out) || conn->phase == CONN_CONNECTING)
        return;
    conn->output = OUTPUT_ENDED;
    conn->settings->transport->shutdown(conn->handler.fd);
    if (conn->owner->output_ended)
        conn->owner->output_ended(conn);
}

void conn_end_output(struct conn *conn)
{
    if (conn->output == OUTPUT_ON)
        conn->output = OUTPUT_ENDING;
    if (conn_loop_of(conn)->corked == conn)
        conn_uncork(conn_loop_of(conn));
    finish_output(conn);
}

/* Send what is queued, as far as the kernel takes it. False: it takes no more, or the connection is broken. */
static bool send_queued(struct conn *conn)
{
    struct iovec pieces[2] = {{NULL, 0}, {buffer_bytes(&conn->out), buffer_size(&conn->out)}};
    ssize_t sent = conn->settings->transport->send(conn->handler.fd, pieces);

    if (sent < 0) {
        if (!transport_error_passes(errno))
            conn_broken(conn, errno);
        return false;
    }
    note_moved(conn, (size_t)sent, conn->settings->bytes_out);
    buffer_consume(&conn->out, (size_t)sent);
    note_unacknowledged(conn);
    return true;
}

void conn_flush(struct conn *conn)
{
    buffer_cancel(&conn->out); /* a reservation that was not committed: there is nothing to wait for */
    if (!buffer_is_empty(&conn->out) && !send_queued(conn))
        return;
    if (conn->above_high_water && buffer_size(&conn->out) <= conn->settings->low_water) {
        conn->above_high_water = false;
        conn->owner->pressure(conn);
    }
    if (!buffer_is_empty(&conn->out))
        return;
    finish_output(conn);
    if (conn->flush_due && conn->phase <= CONN_FLUSHING) {
        conn->flush_due = false;
        conn->owner->flushed(conn);
    }
}

/* ---- input ---- */

bool conn_has_unread(const struct conn *conn)
{
    return conn->input != INPUT_ENDED && conn->settings->transport->pending(conn->handler.fd);
}

void conn_pause(struct conn *conn, bool paused)
{
    if (conn->phase == CONN_CLOSED || conn->input != (paused ? INPUT_ON : INPUT_PAUSED))
        return;
    conn->input = paused ? INPUT_PAUSED : INPUT_ON;
    if (paused)
        return;
    conn->owner->input(conn, "", 0);
    if (conn->error)
        conn_expire(conn, 0);
}

/* Read once, and hand over what has come. Returns how much that was, 0 at the end, or an errno value, negated. */
static ssize_t read_once(struct conn *conn)
{
    char *scratch = conn_loop_of(conn)->scratch;
    ssize_t size = conn->settings->transport->receive(conn->handler.fd, scratch, SCRATCH_SIZE);

    if (size < 0) {
        int error = errno;
        if (!transport_error_passes(error))
            conn->owner->ended(conn, error);
        return -error;
    }
    if (size == 0) {
        conn->input = INPUT_ENDED;
        conn->owner->ended(conn, conn->error);
        return 0;
    }
    if (conn->phase == CONN_LINGERING)
        return size;
    note_moved(conn, (size_t)size, conn->settings->bytes_in);
    conn->owner->input(conn, scratch, (size_t)size);
    return size;
}

/*
 * An error or a hang-up comes although nothing was asked for. Without EPOLLERR it is only the end of both directions.
 * epoll would report it in every turn: the descriptor is taken out until it is read again.
 */
static void handle_unasked(struct conn *conn, uint32_t events)
{
    if (!conn->error && (events & EPOLLERR))
        conn_broken(conn, conn->settings->transport->error(conn->handler.fd));
    if (conn->error || conn->handler.events == 0)
        reactor_want(&conn_loop_of(conn)->reactor, &conn->handler, REACTOR_OFF);
}

/* A broken connection: what has arrived, one read at a time, then the end. */
static void read_rest(struct conn *conn)
{
    if (conn->input == INPUT_PAUSED)
        return; /* conn_pause() comes back to it */
    ssize_t size = conn->input == INPUT_ON ? read_once(conn) : 0;
    if (size > 0 || (size < 0 && size != -EAGAIN && transport_error_passes((int)-size)))
        conn_expire(conn, 0);
    else if (conn->phase == CONN_OPEN)
        conn->owner->ended(conn, conn->error);
}

void conn_expired(struct conn *conn)
{
    uint64_t due_ms = conn->deadline_ms;

    if (conn->owner->expired && conn->owner->expired(conn))
        return;
    conn->deadline_ms = 0;
    if (conn->phase == CONN_LINGERING)
        conn->owner->ended(conn, 0);
    else if (conn->error)
        read_rest(conn);
    else if (keepalive_peer_is_gone(conn, due_ms))
        conn_broken(conn, ETIMEDOUT);
    else
        conn_keep_alive(conn);
}

void conn_ready(struct reactor_handler *handler, uint32_t events)
{
    struct conn *conn = container_of(handler, struct conn, handler);

    if (conn->phase == CONN_CLOSED)
        return;
    conn->owner->enter(conn);
    if (conn->phase == CONN_CONNECTING) {
        conn->owner->connected(conn,
                               events & (EPOLLERR | EPOLLHUP) ? conn->settings->transport->error(handler->fd) : 0);
        if (conn->phase == CONN_OPEN)
            conn_flush(conn);
    } else {
        if (events & EPOLLOUT)
            conn_flush(conn);
        if (conn->phase == CONN_LINGERING || (conn->phase == CONN_OPEN && conn->input == INPUT_ON)) {
            if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                read_once(conn);
        } else if (conn->phase <= CONN_FLUSHING && (events & (EPOLLHUP | EPOLLERR))) {
            handle_unasked(conn, events);
        }
    }
    conn->owner->leave(conn);
}
