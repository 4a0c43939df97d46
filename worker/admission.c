/*
 * Whom a worker lets in when something is short: accepting pauses on all its queues, and who waits in them is served
 * later, by this worker or by a sibling. Nobody is accepted only to be closed.
 *
 *   accept4() fails, max_sessions are open          pause; it is tried again after PAUSE_MS, or when a session has
 * ended no memory or no epoll watch for the session     the same, and the connection, which has been accepted, is
 * parked
 */
#include "worker/core/core.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { PAUSE_MS = 100 };

void admission_pause(struct core *core, const char *reason)
{
    static struct log_limit limit;

    log_limited(&limit, 1, LOG_LEVEL_WARN, "accepting is paused: %s", reason);
    if (!core->accept_again_ms)
        stats_count(&core->env->stats->accept_pauses, 1);
    core->accept_again_ms = core->reactor.now_ms + PAUSE_MS;
    listener_want_all(core, 0);
}

bool admission_failed(struct core *core, int error)
{
    switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO: /* and what accept(2) says may be pending on the new connection */
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case ENETUNREACH: return true;
    default: admission_pause(core, strerror(error)); return false;
    }
}

void admission_park(struct listener *listener, int fd, const struct peer_address *peer, int error)
{
    struct core *core = listener->core;

    core->parked = (struct parked){.listener = listener, .fd = fd, .peer = *peer};
    core->session_count++; /* it is waited for, like a session */
    admission_pause(core, strerror(error));
}

/* Open the session of the parked connection. 0 also when there is none; -1 with errno: it stays. */
static int unpark(struct core *core)
{
    struct parked parked = core->parked;

    if (!parked.listener)
        return 0;
    core->parked.listener = NULL;
    core->session_count--;
    if (session_open(parked.listener, parked.fd, &parked.peer) == 0)
        return 0;
    core->parked = parked;
    core->session_count++;
    return -1;
}

void admission_resume(struct core *core, bool room)
{
    if (!room && core->reactor.now_ms < core->accept_again_ms)
        return;
    if (unpark(core) < 0 || listener_want_all(core, EPOLLIN) < 0)
        admission_pause(core, strerror(errno));
    else
        core->accept_again_ms = 0;
}

void admission_end(struct core *core)
{
    if (!core->parked.listener)
        return;
    stats_count(&core->parked.listener->stats->refused, 1);
    close(core->parked.fd);
    core->parked.listener = NULL;
    core->session_count--;
}
