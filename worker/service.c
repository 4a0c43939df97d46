/*
 * What a service may know of its session: the small questions of session.h, answered.
 */
#include "common/channel.h"
#include "worker/core.h"
#include <errno.h>
#include <string.h>

void *session_state(struct session *session)
{
    return session->state;
}

const void *session_config(const struct session *session)
{
    return session->listener->config->service_config;
}

void session_count_error(struct session *session)
{
    stats_count(&session->listener->stats->protocol_errors, 1);
}

bool session_peer_is_local(const struct session *session)
{
    return sock_peer_is_local(session->client.handler.fd);
}

const char *session_peer(const struct session *session)
{
    static char text[SOCK_TEXT_SIZE];
    struct sock_address address = {.size = sizeof(address.storage)};

    if (getpeername(session->client.handler.fd, &address.any, &address.size) < 0)
        return "unknown";
    return sock_format(&address.any, address.size, text, sizeof(text));
}

const char *session_listener(const struct session *session)
{
    return session->listener->config->name;
}

void session_shutdown_server(struct session *session)
{
    if (channel_send(core_of(session)->env->channel, CHANNEL_SHUTDOWN, 0) != CHANNEL_OK)
        log_error("cannot ask the master to shut down: %s", strerror(errno));
}
