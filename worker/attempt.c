#include "worker/attempt.h"
#include "common/sock.h"
#include "worker/keepalive.h"
#include <errno.h>

enum {
    PAUSE_MAX_MS = 50,
    UNIT_BITS = 10, /* a unit of conn.began is 1.024 us: it begins again after more than an hour */
};

static uint64_t now_of(const struct conn *conn)
{
    return conn_loop_of(conn)->reactor.now_ms;
}

static uint32_t units_now(const struct conn *conn)
{
    return (uint32_t)(conn_loop_of(conn)->reactor.now_ns >> UNIT_BITS);
}

/*
 * A unix socket takes nobody while its queue is full, and nobody says when that has changed: it is asked again, soon
 * at first, until the time to connect is over. Returns false when it is.
 */
static bool pause_before_retry(struct attempt *attempt, struct conn *conn, uint64_t end_ms)
{
    uint64_t now_ms = now_of(conn);

    if (attempt->address->any.sa_family != AF_UNIX || now_ms >= end_ms)
        return false;
    unsigned pause_ms = attempt->pause_ms ? 2u * attempt->pause_ms : 1;
    attempt->pause_ms = (uint8_t)(pause_ms < PAUSE_MAX_MS ? pause_ms : PAUSE_MAX_MS);
    conn->deadline_ms = now_ms + attempt->pause_ms < end_ms ? now_ms + attempt->pause_ms : end_ms;
    attempt->rest_ms = (uint32_t)(end_ms - conn->deadline_ms);
    attempt->next = 0;
    return true;
}

/*
 * Try the next address, and the ones after it as long as they fail on the spot. Returns 0 when there is something to
 * wait for, else the error of the last one. `error` is that of the address before.
 */
static int try_next(struct attempt *attempt, struct conn *conn, int error)
{
    uint64_t now_ms = now_of(conn), end_ms = conn->deadline_ms + attempt->rest_ms;
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
        if (error == EAGAIN && pause_before_retry(attempt, conn, end_ms))
            return 0;
    }
    return error == EAGAIN ? ETIMEDOUT : error;
}

int attempt_begin(struct attempt *attempt, struct conn *conn, const struct sock_address *address, uint32_t timeout_ms)
{
    *attempt = (struct attempt){.address = address};
    conn->deadline_ms = now_of(conn) + timeout_ms;
    conn->began = units_now(conn);
    return try_next(attempt, conn, EHOSTUNREACH);
}

/* The descriptor of the attempt that has failed; epoll forgets it with the close. */
static void release(struct conn *conn)
{
    if (conn->handler.fd >= 0)
        conn->settings->transport->release(conn->handler.fd);
    conn->handler.fd = -1;
    conn->handler.events = REACTOR_OFF;
}

int attempt_ended(struct attempt *attempt, struct conn *conn, int error)
{
    const struct sock_address *address = attempt->address;

    if (!error && address->any.sa_family != AF_UNIX && sock_is_self_connected(conn->handler.fd, sock_port(address)))
        error = ECONNREFUSED;
    if (error) {
        release(conn);
        error = try_next(attempt, conn, error);
        return error ? error : EINPROGRESS;
    }
    if (conn->settings->connected)
        stats_count_duration(conn->settings->connected, (uint64_t)(units_now(conn) - conn->began) << UNIT_BITS);
    conn->unacknowledged = 0;
    sock_set_nodelay(conn->handler.fd);
    keepalive_set(conn->handler.fd, conn->settings->keepalive_ms);
    conn->phase = CONN_OPEN;
    conn->error = 0; /* of epoll, which had no room for it and has now */
    conn->deadline_ms = 0;
    conn_keep_alive(conn);
    return 0;
}
