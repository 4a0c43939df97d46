/*
 * Forwarding proxy: one upstream connection for each client, bytes pass both ways untouched.
 */
#include "worker/session.h"
#include <string.h>

enum { PROTOCOL_RAW, PROTOCOL_REDIS };
enum { FAILURES_LOGGED_PER_SECOND = 5 };

struct config {
    struct sock_address upstream;
    uint32_t protocol;
    uint32_t connect_timeout_ms;
    uint32_t multiplex;
};

static const struct option_row options[] = {
    {.name = "upstream",
     .type = OPTION_ADDRESS,
     .offset = offsetof(struct config, upstream),
     .value = "127.0.0.1:6379",
     .help = "where clients are forwarded to; a name is resolved at start and reload, its addresses are tried in turn"},
    {.name = "protocol",
     .type = OPTION_ENUM,
     .offset = offsetof(struct config, protocol),
     .choices = "raw|redis",
     .value = "raw",
     .help = "how a client is told that the upstream failed: not at all, or with a Redis error"},
    {.name = "connect_timeout",
     .type = OPTION_TIME,
     .offset = offsetof(struct config, connect_timeout_ms),
     .min = 1,
     .max = 60 * 1000,
     .value = "5s",
     .help = "how long the connection to the upstream may take"},
    {.name = "multiplex",
     .type = OPTION_BOOL,
     .offset = offsetof(struct config, multiplex),
     .value = "off",
     .help = "on: it is service = redis, whose clients share connections to the upstream"},
    {0},
};

struct state {
    bool connected;
};

static enum verdict upstream_connected(struct session *session, struct conn *upstream)
{
    struct state *state = session_state(session);

    (void)upstream;
    state->connected = true;
    return SESSION_CONTINUE;
}

static enum verdict upstream_failed(struct session *session, struct conn *upstream, int error)
{
    static struct log_limit limit;
    const struct config *config = session_config(session);
    const struct state *state = session_state(session);
    char text[256];

    (void)upstream;
    snprintf(text, sizeof(text), "upstream %s: %s", config->upstream.text,
             sock_is_unresolved(&config->upstream) ? "cannot resolve its name" : strerror(error));
    log_limited(&limit, FAILURES_LOGGED_PER_SECOND, LOG_LEVEL_WARN, "%s: %s", session_listener(session), text);
    /* Once connected, our words could be taken for the rest of a reply that was cut short. */
    if (config->protocol == PROTOCOL_REDIS && !state->connected) {
        char reply[sizeof(text) + 32];
        int size = snprintf(reply, sizeof(reply), "-LOADING ccserver: %s\r\n", text);
        session_send(session, reply, (size_t)size);
    }
    return SESSION_CLOSE;
}

static const struct upstream target = {
    .framing = {.kind = FRAMING_RAW},
    .connected = upstream_connected,
    .closed = upstream_failed,
};

static enum verdict open(struct session *session)
{
    const struct config *config = session_config(session);
    struct conn *upstream = session_connect(session, &config->upstream, config->connect_timeout_ms, &target);

    if (!upstream)
        return SESSION_ABORT;
    session_couple(session, upstream);
    return SESSION_CONTINUE;
}

const struct service proxy_service = {
    .name = "proxy",
    .variant_key = "multiplex",
    .variant = "redis",
    .framing = {.kind = FRAMING_RAW},
    .idle_timeout_ms = 120 * 1000,
    .state_size = sizeof(struct state),
    .options = options,
    .config_size = sizeof(struct config),
    .open = open,
};
