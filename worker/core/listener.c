#include "worker/core/core.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ACCEPTS_PER_TURN = 64,
    NAP_US = 10 * 1000,
};

/* Our descriptor of the queue, which stays the master's. */
static void close_queue(struct queue *queue)
{
    reactor_want(&queue->listener->core->reactor, &queue->handler, REACTOR_OFF);
    close(queue->handler.fd);
    queue->handler.fd = -1;
}

/* True when the next connection may fare better. */
static bool accept_goes_on(struct queue *queue, int error)
{
    if (error == EAGAIN)
        return false;
    if (error != EINVAL)
        return admission_failed(queue->listener->core, error);
    close_queue(queue); /* somebody has shut it down: it would report that for ever */
    return false;
}

static void accept_batch(struct queue *queue, unsigned limit)
{
    struct listener *listener = queue->listener;
    struct core *core = listener->core;
    struct peer_address peer;

    for (unsigned i = 0, failed = 0; queue->handler.fd >= 0 && !core->parked.listener && i < limit; i++) {
        if (core->session_count >= core->env->max_sessions) {
            admission_pause(core, "max_sessions are open");
            return;
        }
        struct sockaddr_storage address = {0};
        socklen_t size = sizeof(address);
        int fd = accept4(queue->handler.fd, (struct sockaddr *)&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && !accept_goes_on(queue, errno))
            return;
        if (fd < 0 && ++failed == limit) /* an error that looks like one connection's but does not pass */
            admission_pause(core, strerror(errno));
        peer_set(&peer, (struct sockaddr *)&address);
        if (fd >= 0 && session_open(listener, fd, &peer) < 0)
            admission_park(listener, fd, &peer, errno);
    }
}

static void queue_ready(struct reactor_handler *handler, uint32_t events)
{
    const struct core *core = ((struct queue *)handler)->listener->core;

    (void)events;
    if (handler->events != EPOLLIN)
        return;
    if (core->accept_again_ms)
        usleep(NAP_US); /* epoll could not be told to leave it alone, and reports it in every turn */
    else
        accept_batch((struct queue *)handler, ACCEPTS_PER_TURN);
}

static int want(struct queue *queue, uint32_t events)
{
    return queue->handler.fd < 0 ? 0 : reactor_want(&queue->listener->core->reactor, &queue->handler, events);
}

int listener_want_all(struct core *core, uint32_t events)
{
    struct queue *queue;
    int result = 0;

    for (unsigned i = 0; i < core->env->socket_count; i++)
        result |= want(&core->listeners[i].queue, events);
    LIST_FOREACH(queue, &core->adopted, link)
    result |= want(queue, events);
    return result;
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
    core->accept_again_ms = core->parked.listener ? core->accept_again_ms : 0;
    /* Ours are not the last, as long as there is a master. When it is gone, the port is free. */
    for (unsigned i = 0; i < core->env->socket_count; i++)
        close_queue(&core->listeners[i].queue);
    while ((queue = LIST_FIRST(&core->adopted)))
        adoption_release(core, queue->slot);
}
