#include "worker/core.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ACCEPTS_PER_TURN = 64,
    PAUSE_MS = 100,
};

/* Not the fault of the connection that waits: the next one would fare no better. */
static bool is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static void accept_batch(struct queue *queue, unsigned limit)
{
    struct listener *listener = queue->listener;
    struct core *core = listener->core;
    struct peer_address peer;

    while (queue->handler.fd >= 0 && limit-- > 0) {
        if (core->session_count >= core->env->max_sessions) {
            listener_pause(core);
            return;
        }
        struct sockaddr_storage address = {0};
        socklen_t size = sizeof(address);
        int fd = accept4(queue->handler.fd, (struct sockaddr *)&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && is_shortage(errno))
            listener_pause(core);
        if (fd < 0 && errno == EINVAL) { /* somebody has shut it down: it would report that for ever */
            reactor_want(&core->reactor, &queue->handler, REACTOR_OFF);
            close(queue->handler.fd);
            queue->handler.fd = -1;
            return;
        }
        if (fd < 0 && (errno == EAGAIN || core->accept_again_ms))
            return;
        peer_set(&peer, (struct sockaddr *)&address);
        if (fd >= 0 && session_open(listener, fd, &peer) < 0) {
            stats_count(&listener->stats->refused, 1);
            close(fd);
        }
    }
}

static void queue_ready(struct reactor_handler *handler, uint32_t events)
{
    (void)events;
    if (handler->events == EPOLLIN)
        accept_batch((struct queue *)handler, ACCEPTS_PER_TURN);
}

static int want(struct queue *queue, uint32_t events)
{
    return queue->handler.fd < 0 ? 0 : reactor_want(&queue->listener->core->reactor, &queue->handler, events);
}

static int want_all(struct core *core, uint32_t events)
{
    struct queue *queue;

    for (unsigned i = 0; i < core->env->socket_count; i++)
        if (want(&core->listeners[i].queue, events) < 0)
            return -1;
    LIST_FOREACH(queue, &core->adopted, link)
    if (want(queue, events) < 0)
        return -1;
    return 0;
}

int listener_add_queue(struct listener *listener, struct queue *queue, int fd, unsigned slot)
{
    *queue = (struct queue){
        .handler = {.fd = fd, .events = REACTOR_OFF, .ready = queue_ready}, .listener = listener, .slot = slot};
    sock_set_nodelay(fd); /* accepted sockets inherit both */
    keepalive_set(fd, listener->config->keepalive_ms);
    return reactor_want(&listener->core->reactor, &queue->handler, listener->core->accept_again_ms ? 0 : EPOLLIN);
}

int listener_start(struct core *core)
{
    for (unsigned i = 0; i < core->env->socket_count; i++) {
        const struct worker_socket *socket = &core->env->sockets[i];
        struct listener *listener = &core->listeners[i];
        listener->core = core;
        listener->config = socket->listener;
        listener->stats = &core->env->stats->listeners[socket->listener->index];
        if (listener_add_queue(listener, &listener->queue, socket->fd, core->env->slot) < 0)
            return -1;
    }
    return 0;
}

static void stop_queue(struct queue *queue, enum stop why)
{
    if (why != STOP_LEAVE || queue->listener->refused)
        accept_batch(queue, queue->listener->config->backlog);
    if (queue->handler.fd >= 0 && (why == STOP_REFUSE || queue->listener->refused))
        shutdown(queue->handler.fd, SHUT_RDWR); /* whoever else holds it: the port refuses now */
}

void listener_stop(struct core *core, enum stop why)
{
    struct queue *queue;

    for (unsigned i = 0; i < core->env->socket_count; i++)
        stop_queue(&core->listeners[i].queue, why);
    LIST_FOREACH(queue, &core->adopted, link)
    stop_queue(queue, why);
    core->accept_again_ms = 0;
    want_all(core, REACTOR_OFF);
    /* Ours are not the last, as long as there is a master. When it is gone, the port is free. */
    for (unsigned i = 0; i < core->env->socket_count; i++)
        if (core->listeners[i].queue.handler.fd >= 0)
            close(core->listeners[i].queue.handler.fd);
    while ((queue = LIST_FIRST(&core->adopted)))
        adoption_release(core, queue->slot);
}

void listener_pause(struct core *core)
{
    static struct log_limit limit;

    log_limited(&limit, 1, LOG_LEVEL_WARN, "accepting is paused: %s",
                core->session_count >= core->env->max_sessions ? "max_sessions are open" : strerror(errno));
    if (!core->accept_again_ms)
        stats_count(&core->env->stats->accept_pauses, 1);
    core->accept_again_ms = core->reactor.now_ms + PAUSE_MS;
    want_all(core, 0);
}

void listener_resume(struct core *core, bool room)
{
    if (!core->accept_again_ms || (!room && core->reactor.now_ms < core->accept_again_ms))
        return;
    core->accept_again_ms = 0;
    want_all(core, EPOLLIN);
}
