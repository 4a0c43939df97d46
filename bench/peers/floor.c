/*
 * The floor: what one thread of epoll, recv and send costs, and nothing else. Level-triggered, one buffer for all
 * connections; only what a socket does not take at once is kept, and until it is gone that connection is not read.
 *
 * --expand IN:OUT is the floor of services whose reply has another size than the request: for every IN bytes received
 * go OUT bytes out.
 */
#include "bench/peers/peer.h"
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER_SIZE = 64 * 1024, EVENTS = 512 };

struct conn {
    int fd;
    bool waits_out;
    char *rest; /* echo: what was not taken; NULL: nothing */
    size_t rest_at, rest_end;
    uint64_t taken, owed; /* --expand: bytes received towards the next reply; bytes to send */
};

static int epoll_fd, listen_fd;
static unsigned expand_in, expand_out;
static char buffer[BUFFER_SIZE], canned[BUFFER_SIZE];

static void conn_close(struct conn *conn)
{
    close(conn->fd);
    free(conn->rest);
    free(conn);
}

static void watch(struct conn *conn, bool waits_out)
{
    struct epoll_event event = {.events = waits_out ? EPOLLOUT : EPOLLIN, .data.ptr = conn};

    if (waits_out != conn->waits_out && epoll_ctl(epoll_fd, EPOLL_CTL_MOD, conn->fd, &event) == -1)
        err(EXIT_FAILURE, "epoll_ctl");
    conn->waits_out = waits_out;
}

static void accept_all(void)
{
    int fd;

    while ((fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) != -1) {
        struct conn *conn = calloc(1, sizeof(*conn));
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
        if (!conn)
            err(EXIT_FAILURE, "connection");
        conn->fd = fd;
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == -1)
            err(EXIT_FAILURE, "epoll_ctl");
    }
}

/* Bytes that the socket took, or -1 when the connection is lost. */
static ssize_t put(struct conn *conn, const char *bytes, size_t size)
{
    ssize_t sent = send(conn->fd, bytes, size, MSG_NOSIGNAL);

    return sent == -1 && errno == EAGAIN ? 0 : sent;
}

static int send_owed(struct conn *conn)
{
    while (conn->owed > 0) {
        size_t size = conn->owed < sizeof(canned) ? (size_t)conn->owed : sizeof(canned);
        ssize_t sent = put(conn, canned, size);
        if (sent == -1)
            return -1;
        conn->owed -= (uint64_t)sent;
        if ((size_t)sent < size)
            break;
    }
    watch(conn, conn->owed > 0);
    return 0;
}

static int send_rest(struct conn *conn)
{
    ssize_t sent = put(conn, conn->rest + conn->rest_at, conn->rest_end - conn->rest_at);

    if (sent == -1)
        return -1;
    conn->rest_at += (size_t)sent;
    if (conn->rest_at == conn->rest_end) {
        free(conn->rest);
        conn->rest = NULL;
        watch(conn, false);
    }
    return 0;
}

static int send_back(struct conn *conn, size_t size)
{
    ssize_t sent = put(conn, buffer, size);

    if (sent == -1 || (size_t)sent == size)
        return sent == -1 ? -1 : 0;
    conn->rest_at = 0;
    conn->rest_end = size - (size_t)sent;
    conn->rest = malloc(conn->rest_end);
    if (!conn->rest)
        err(EXIT_FAILURE, "connection");
    memcpy(conn->rest, buffer + sent, conn->rest_end);
    watch(conn, true);
    return 0;
}

/* Returns -1 when the connection has ended. */
static int conn_event(struct conn *conn)
{
    if (conn->waits_out)
        return expand_in ? send_owed(conn) : send_rest(conn);
    ssize_t size = recv(conn->fd, buffer, sizeof(buffer), 0);
    if (size == -1 && errno == EAGAIN)
        return 0;
    if (size <= 0)
        return -1;
    if (!expand_in)
        return send_back(conn, (size_t)size);
    conn->taken += (uint64_t)size;
    conn->owed += conn->taken / expand_in * expand_out;
    conn->taken %= expand_in;
    return send_owed(conn);
}

static void loop(int timeout_ms)
{
    struct epoll_event events[EVENTS];

    for (;;) {
        int count = epoll_wait(epoll_fd, events, EVENTS, timeout_ms);
        for (int i = 0; i < count; i++) {
            struct conn *conn = events[i].data.ptr;
            if (!conn)
                accept_all();
            else if (conn_event(conn) == -1)
                conn_close(conn);
        }
    }
}

int main(int argc, char **argv)
{
    static const char usage[] = "[--spin] [--expand IN:OUT] HOST PORT";
    static const struct option options[] = {
        {"spin", no_argument, NULL, 's'},
        {"expand", required_argument, NULL, 'e'},
        {0},
    };
    int option, timeout_ms = -1;
    char end;

    while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
        if (option == 's')
            timeout_ms = 0;
        else if (option != 'e' || sscanf(optarg, "%u:%u%c", &expand_in, &expand_out, &end) != 2 || expand_in == 0)
            peer_usage(usage);
    }
    if (argc - optind != 2)
        peer_usage(usage);
    struct sockaddr_in address = peer_address(argv[optind], argv[optind + 1]);
    struct epoll_event event = {.events = EPOLLIN};
    memset(canned, 'x', sizeof(canned));
    listen_fd = peer_listen(&address);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd == -1 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &event) == -1)
        err(EXIT_FAILURE, "epoll");
    peer_ready();
    loop(timeout_ms);
}
