#include "worker/core/listener.h"
#include "worker/admission.h"
#include "worker/client.h"
#include "worker/keepalive.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ACCEPTS_PER_TURN = 64,
    NAP_US = 10 * 1000,
};

static struct reactor *reactor_of(const struct queue *queue)
{
    return &queue->listener->section.core->loop.reactor;
}

/* Our descriptor of the queue, which stays the master's. */
static void close_queue(struct queue *queue)
{
    if (queue->handler.fd < 0)
        return;
    reactor_want(reactor_of(queue), &queue->handler, REACTOR_OFF);
    close(queue->handler.fd);
    queue->handler.fd = -1;
}

/* True when the next connection may fare better. */
static bool accept_goes_on(struct queue *queue, int error)
{
    if (error == EAGAIN)
        return false;
    if (error != EINVAL || !sock_is_shut(queue->handler.fd))
        return admission_failed(queue->listener->all, error);
    /* An adopted queue that nobody will serve again is shut by the first sibling that stops for good. */
    log_write(queue->slot == queue->listener->all->env->slot ? LOG_LEVEL_WARN : LOG_LEVEL_DEBUG,
              "%s: its accept queue has been shut down by somebody", queue->listener->section.config->name);
    close_queue(queue); /* it would report that for ever; the master opens it again for our replacement */
    return false;
}

static int want(struct queue *queue, uint32_t events)
{
    return queue->handler.fd < 0 ? 0 : reactor_want(reactor_of(queue), &queue->handler, events);
}

/* Wait for `events` on all queues. -1 with errno when epoll could not be told so for one of them. */
static int want_all(struct listeners *listeners, uint32_t events)
{
    struct queue *queue;
    int result = 0;

    for (unsigned i = 0; i < listeners->env->socket_count; i++)
        result |= want(&listeners->array[i].queue, events);
    LIST_FOREACH(queue, &listeners->adopted, link)
        result |= want(queue, events);
    return result;
}

static void accept_batch(struct queue *queue, unsigned limit)
{
    struct listener *listener = queue->listener;
    struct listeners *all = listener->all;
    struct peer_address peer;

    for (unsigned i = 0, failed = 0; queue->handler.fd >= 0 && !all->parked.listener && i < limit; i++) {
        if (all->core->session_count >= all->env->max_sessions) {
            admission_pause(all, "max_sessions are open");
            break;
        }
        struct sockaddr_storage address = {0};
        socklen_t size = sizeof(address);
        int fd = accept4(queue->handler.fd, (struct sockaddr *)&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && !accept_goes_on(queue, errno))
            break;
        if (fd < 0 && ++failed == limit) /* an error that looks like one connection's but does not pass */
            admission_pause(all, strerror(errno));
        peer_set(&peer, (struct sockaddr *)&address);
        if (fd >= 0 && listener->disabled)
            admission_turn_away(listener, fd);
        else if (fd >= 0 && session_open(&listener->section, fd, &peer) < 0)
            admission_park(listener, fd, &peer, errno);
    }
    if (all->paused_until_ms)
        want_all(all, 0);
}

static void queue_ready(struct reactor_handler *handler, uint32_t events)
{
    struct queue *queue = container_of(handler, struct queue, handler);

    (void)events;
    if (handler->events != EPOLLIN)
        return;
    if (queue->listener->all->paused_until_ms)
        usleep(NAP_US); /* epoll could not be told to leave it alone, and reports it in every turn */
    else
        accept_batch(queue, ACCEPTS_PER_TURN);
}

int listener_add_queue(struct listener *listener, struct queue *queue, int fd, unsigned slot)
{
    *queue = (struct queue){
        .handler = {.fd = fd, .events = REACTOR_OFF, .ready = queue_ready}, .listener = listener, .slot = slot};
    sock_set_nodelay(fd); /* accepted sockets inherit both */
    keepalive_set(fd, listener->section.config->keepalive_ms);
    return reactor_want(reactor_of(queue), &queue->handler, listener->all->paused_until_ms ? 0 : EPOLLIN);
}

void listener_end_pause(struct listeners *listeners)
{
    if (admission_unpark(listeners) < 0 || want_all(listeners, EPOLLIN) < 0) {
        admission_pause(listeners, strerror(errno));
        want_all(listeners, 0);
    } else {
        listeners->paused_until_ms = 0;
    }
}

int listener_start(struct listeners *listeners)
{
    const struct worker_env *env = listeners->env;

    for (unsigned i = 0; i < env->socket_count; i++) {
        const struct worker_socket *socket = &env->sockets[i];
        struct listener *listener = &listeners->array[i];
        listener->all = listeners;
        listener->disabled = env->disabled >> socket->listener->position & 1;
        client_section_init(&listener->section, listeners->core, socket->listener,
                            &env->stats->listeners[socket->listener->index]);
        if (listener_add_queue(listener, &listener->queue, socket->fd, env->slot) < 0)
            return -1;
    }
    return 0;
}

void listener_disable(struct listeners *listeners, uint32_t position, bool disabled)
{
    for (unsigned i = 0; i < listeners->env->socket_count; i++)
        if (listeners->array[i].section.config->position == position)
            listeners->array[i].disabled = disabled;
}

static void stop_queue(struct queue *queue, enum stop reason)
{
    if (reason != STOP_LEAVE || queue->listener->closing)
        accept_batch(queue, queue->listener->section.config->backlog);
    if (queue->handler.fd >= 0 && (reason == STOP_REFUSE || queue->listener->closing))
        shutdown(queue->handler.fd, SHUT_RDWR); /* whoever else holds it: the port refuses now */
}

void listener_stop(struct listeners *listeners, enum stop reason)
{
    struct queue *queue;

    for (unsigned i = 0; i < listeners->env->socket_count; i++)
        stop_queue(&listeners->array[i].queue, reason);
    LIST_FOREACH(queue, &listeners->adopted, link)
        stop_queue(queue, reason);
    if (!listeners->parked.listener)
        listeners->paused_until_ms = 0;
    /* Ours are not the last, as long as there is a master. When it is gone, the port is free. */
    for (unsigned i = 0; i < listeners->env->socket_count; i++)
        close_queue(&listeners->array[i].queue);
}
