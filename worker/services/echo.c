/*
 * Line echo for telnet. SHUTDOWN as the first line of a local client stops the whole server.
 */
#include "worker/session.h"
#include <string.h>

enum { SHUTDOWN_LOOPBACK, SHUTDOWN_OFF };

struct config {
    uint32_t shutdown_command;
};

static const struct option_row options[] = {
    {.name = "shutdown_command",
     .type = OPTION_ENUM,
     .offset = offsetof(struct config, shutdown_command),
     .choices = "loopback|off",
     .value = "loopback",
     .help = "who may stop the server by sending SHUTDOWN as the first line: local clients, or nobody"},
    {0},
};

struct state {
    bool spoken; /* the first line is over */
};

static bool is_shutdown(struct session *session, const char *line, size_t size)
{
    static const char command[] = "SHUTDOWN";
    static struct log_limit limit;
    const struct config *config = session_config(session);
    struct state *state = session_state(session);
    bool first = !state->spoken;

    state->spoken = true;
    if (size != strlen(command) || memcmp(line, command, size) != 0)
        return false;
    if (!first || config->shutdown_command != SHUTDOWN_LOOPBACK || !session_peer_is_local(session)) {
        log_limited(&limit, 1, LOG_LEVEL_WARN, "%s: SHUTDOWN from %s is refused", session_listener(session),
                    session_peer(session));
        return false;
    }
    return true;
}

static enum verdict message(struct session *session, const char *line, size_t size)
{
    static const char prefix[] = "ccserver echo:";
    const size_t total = strlen(prefix) + size + 2;
    char *reply = session_reserve(session, total);

    if (!reply)
        return SESSION_ABORT;
    memcpy(reply, prefix, strlen(prefix));
    memcpy(reply + strlen(prefix), line, size);
    memcpy(reply + total - 2, "\r\n", 2);
    session_commit(session, total);
    if (!is_shutdown(session, line, size))
        return SESSION_CONTINUE;
    log_notice("%s: SHUTDOWN from %s", session_listener(session), session_peer(session));
    session_shutdown_server(session);
    return SESSION_CLOSE;
}

static void oversize(struct session *session)
{
    static const char reply[] = "ccserver error: line too long\r\n";

    session_send(session, reply, strlen(reply));
}

const struct service echo_service = {
    .name = "echo",
    .framing = {.kind = FRAMING_LINE},
    .idle_timeout_ms = 120 * 1000,
    .state_size = sizeof(struct state),
    .options = options,
    .config_size = sizeof(struct config),
    .message = message,
    .oversize = oversize,
};
