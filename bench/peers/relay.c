/*
 * A bare relay: for each client one connection to the upstream, recv on one side, send on the other, and nothing else.
 * What a socket does not take at once is kept, and until it is gone the other side is not read. The end of one
 * direction is passed on, and the pair goes when both have ended.
 */
#include "bench/peers/peer.h"
#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER_SIZE = 64 * 1024, EVENTS = 512 };

/* One connection of a pair. */
struct end {
    struct end *other;
    int fd; /* -1: closed, freed after the pass */
    uint32_t events;
    bool connecting; /* the upstream, before it stands */
    bool ended;      /* nothing more comes from here */
    char *rest;      /* what this socket did not take; NULL: nothing */
    size_t rest_at, rest_end;
    struct end *next_closed;
};

static int epoll_fd, listen_fd;
static struct sockaddr_in upstream;
static char buffer[BUFFER_SIZE];
static struct end *closed; /* one end of each pair whose events may still be in this pass */

static void pair_close(struct end *end)
{
    close(end->fd);
    close(end->other->fd);
    free(end->rest);
    free(end->other->rest);
    end->fd = end->other->fd = -1;
    end->next_closed = closed;
    closed = end;
}

static void free_closed(void)
{
    while (closed) {
        struct end *end = closed;
        closed = end->next_closed;
        free(end->other);
        free(end);
    }
}

/*
 * Wait for what can make progress: room where something is kept, bytes where the other side can take them. An end that
 * waits for nothing is not watched at all: epoll would go on reporting that it was hung up.
 */
static void watch(struct end *end)
{
    bool reads = !end->ended && !end->connecting && !end->other->connecting && !end->other->rest;
    uint32_t events = (reads ? EPOLLIN : 0) | (end->rest || end->connecting ? EPOLLOUT : 0);
    struct epoll_event event = {.events = events, .data.ptr = end};

    int operation = !end->events ? EPOLL_CTL_ADD : !events ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;

    if (events != end->events && epoll_ctl(epoll_fd, operation, end->fd, &event) == -1)
        err(EXIT_FAILURE, "epoll_ctl");
    end->events = events;
}

static void watch_pair(struct end *end)
{
    watch(end);
    watch(end->other);
}

static void join(struct end *end, int fd, struct end *other)
{
    end->fd = fd;
    end->other = other;
    peer_set_nodelay(fd);
}

static void pair_open(int client_fd)
{
    struct end *client = calloc(1, sizeof(*client)), *server = calloc(1, sizeof(*server));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (!client || !server || fd == -1)
        err(EXIT_FAILURE, "connection");
    server->connecting = true;
    int error = connect(fd, (struct sockaddr *)&upstream, sizeof(upstream)) == -1 ? errno : 0;
    join(client, client_fd, server);
    join(server, fd, client);
    if (error && error != EINPROGRESS)
        pair_close(client);
    else
        watch_pair(client);
}

static void accept_all(void)
{
    int fd;

    while ((fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) != -1)
        pair_open(fd);
}

static ssize_t put(struct end *end, const char *bytes, size_t size)
{
    ssize_t sent = send(end->fd, bytes, size, MSG_NOSIGNAL);

    return sent == -1 && errno == EAGAIN ? 0 : sent;
}

/* The following return -1 when the pair is to be closed. */

static int send_rest(struct end *end)
{
    ssize_t sent = put(end, end->rest + end->rest_at, end->rest_end - end->rest_at);

    if (sent == -1)
        return -1;
    end->rest_at += (size_t)sent;
    if (end->rest_at < end->rest_end)
        return 0;
    free(end->rest);
    end->rest = NULL;
    watch_pair(end);
    return 0;
}

static int keep(struct end *end, const char *bytes, size_t size)
{
    end->rest = malloc(size);
    if (!end->rest)
        err(EXIT_FAILURE, "connection");
    memcpy(end->rest, bytes, size);
    end->rest_at = 0;
    end->rest_end = size;
    watch_pair(end);
    return 0;
}

static int forward(struct end *from)
{
    struct end *to = from->other;
    ssize_t size = recv(from->fd, buffer, sizeof(buffer), 0);

    if (size == -1)
        return errno == EAGAIN ? 0 : -1;
    if (size == 0) {
        from->ended = true;
        if (to->ended || shutdown(to->fd, SHUT_WR) == -1)
            return -1;
        watch(from);
        return 0;
    }
    ssize_t sent = put(to, buffer, (size_t)size);
    if (sent == -1)
        return -1;
    return sent == size ? 0 : keep(to, buffer + sent, (size_t)(size - sent));
}

static int end_event(struct end *end, uint32_t events)
{
    int error = 0;
    socklen_t size = sizeof(error);

    if (end->connecting) {
        if (getsockopt(end->fd, SOL_SOCKET, SO_ERROR, &error, &size) == -1 || error)
            return -1;
        end->connecting = false;
        watch_pair(end);
        return 0;
    }
    if (end->rest && send_rest(end) == -1)
        return -1;
    return end->events & EPOLLIN && events & ~(uint32_t)EPOLLOUT ? forward(end) : 0;
}

int main(int argc, char **argv)
{
    struct epoll_event events[EVENTS] = {{.events = EPOLLIN}};

    if (argc != 5)
        peer_usage("HOST PORT UPSTREAM_HOST UPSTREAM_PORT");
    struct sockaddr_in address = peer_address(argv[1], argv[2]);
    upstream = peer_address(argv[3], argv[4]);
    listen_fd = peer_listen(&address);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd == -1 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, events) == -1)
        err(EXIT_FAILURE, "epoll");
    peer_ready();
    for (;;) {
        int count = epoll_wait(epoll_fd, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            struct end *end = events[i].data.ptr;
            if (!end)
                accept_all();
            else if (end->fd != -1 && end_event(end, events[i].events) == -1)
                pair_close(end);
        }
        free_closed();
    }
}
