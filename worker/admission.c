#include "worker/admission.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { PAUSE_MS = 100 };

void admission_pause(struct listeners *listeners, const char *reason)
{
    static struct log_limit limit;

    log_limited(&limit, 1, LOG_LEVEL_WARN, "accepting is paused: %s", reason);
    if (!listeners->paused_until_ms)
        stats_count(&listeners->env->stats->accept_pauses, 1);
    listeners->paused_until_ms = listeners->core->loop.reactor.now_ms + PAUSE_MS;
}

bool admission_failed(struct listeners *listeners, int error)
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
    default: admission_pause(listeners, strerror(error)); return false;
    }
}

void admission_park(struct listener *listener, int fd, const struct peer_address *peer, int error)
{
    struct listeners *listeners = listener->all;

    listeners->parked = (struct parked){.listener = listener, .fd = fd, .peer = *peer};
    listeners->core->session_count++; /* it is waited for, like a session */
    admission_pause(listeners, strerror(error));
}

void admission_turn_away(struct listener *listener, int fd)
{
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
    stats_count(&listener->section.stats->refused, 1);
    close(fd);
}

int admission_unpark(struct listeners *listeners)
{
    struct parked parked = listeners->parked;

    if (!parked.listener)
        return 0;
    listeners->parked.listener = NULL;
    listeners->core->session_count--;
    if (session_open(&parked.listener->section, parked.fd, &parked.peer) == 0)
        return 0;
    listeners->parked = parked;
    listeners->core->session_count++;
    return -1;
}

void admission_end(struct listeners *listeners)
{
    struct parked *parked = &listeners->parked;

    if (!parked->listener)
        return;
    stats_count(&parked->listener->section.stats->refused, 1);
    close(parked->fd);
    parked->listener = NULL;
    listeners->core->session_count--;
}
