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

static void accept_batch(struct listener *listener, unsigned limit)
{
    struct core *core = listener->core;

    while (limit-- > 0) {
        if (core->session_count >= core->env->max_sessions) {
            listener_pause(core);
            return;
        }
        int fd = accept4(listener->handler.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && is_shortage(errno))
            listener_pause(core);
        if (fd < 0 && (errno == EAGAIN || core->accept_again_ms))
            return;
        if (fd >= 0 && session_open(listener, fd) < 0) {
            stats_count(&listener->stats->refused, 1);
            close(fd);
        }
    }
}

static void listener_ready(struct reactor_handler *handler, uint32_t events)
{
    (void)events;
    if (handler->events == EPOLLIN)
        accept_batch((struct listener *)handler, ACCEPTS_PER_TURN);
}

static int want_all(struct core *core, uint32_t events)
{
    for (unsigned i = 0; i < core->env->socket_count; i++)
        if (reactor_want(&core->reactor, &core->listeners[i].handler, events) < 0)
            return -1;
    return 0;
}

int listener_start(struct core *core)
{
    for (unsigned i = 0; i < core->env->socket_count; i++) {
        const struct worker_socket *socket = &core->env->sockets[i];
        core->listeners[i] = (struct listener){
            .handler = {.fd = socket->fd, .events = REACTOR_OFF, .ready = listener_ready},
            .core = core,
            .config = socket->listener,
            .stats = &core->env->stats->listeners[socket->listener->index],
        };
        sock_set_nodelay(socket->fd); /* accepted sockets inherit it */
    }
    return want_all(core, EPOLLIN);
}

void listener_stop(struct core *core, bool for_good)
{
    for (unsigned i = 0; i < core->env->socket_count; i++) {
        accept_batch(&core->listeners[i], core->listeners[i].config->backlog);
        if (for_good)
            shutdown(core->listeners[i].handler.fd, SHUT_RDWR); /* whoever else holds it: the port refuses now */
    }
    core->accept_again_ms = 0;
    want_all(core, REACTOR_OFF);
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
