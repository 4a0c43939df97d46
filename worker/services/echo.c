/*
 * Line echo for telnet. With `shutdown_command = loopback`, SHUTDOWN as the first line of a local client stops the
 * whole server. It is off by default: behind a proxy on this machine everybody is a local client.
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
     .value = "off",
     .help = "who may stop the server by sending SHUTDOWN as the first line: local clients, or nobody"},
    {0},
};

struct state {
    bool spoken; /* the first line is over */
};

static bool is_shutdown(const char *line, size_t size)
{
    static const char command[] = "SHUTDOWN";

    return size == strlen(command) && memcmp(line, command, size) == 0;
}

/* Local clients are told why: they may be the script that should have stopped the server. Others get the echo only. */
static void refuse_shutdown(struct session *session, bool off)
{
    static const char is_off[] = "ccserver error: SHUTDOWN is off here (shutdown_command)\r\n";
    static const char is_late[] = "ccserver error: SHUTDOWN is taken as the first line only\r\n";
    static struct log_limit limit;

    log_limited(&limit, 1, LOG_LEVEL_WARN, "%s: SHUTDOWN from %s is refused", session_listener(session),
                session_peer(session));
    if (!session_peer_is_local(session))
        return;
    if (off)
        session_send(session, is_off, strlen(is_off));
    else
        session_send(session, is_late, strlen(is_late));
}

static enum verdict handle_shutdown(struct session *session, bool first)
{
    const struct config *config = session_config(session);
    const bool off = config->shutdown_command == SHUTDOWN_OFF;

    if (!first || off || !session_peer_is_local(session)) {
        refuse_shutdown(session, off);
        return SESSION_CONTINUE;
    }
    log_notice("%s: SHUTDOWN from %s", session_listener(session), session_peer(session));
    session_shutdown_server(session);
    return SESSION_CLOSE;
}

static enum verdict message(struct session *session, const char *line, size_t size)
{
    static const char prefix[] = "ccserver echo:";
    const size_t total = strlen(prefix) + size + 2;
    const bool shutdown = is_shutdown(line, size);
    struct state *state = session_state(session);
    const bool first = !state->spoken;
    char *reply = session_reserve(session, total);

    if (!reply)
        return SESSION_ABORT;
    memcpy(reply, prefix, strlen(prefix));
    memcpy(reply + strlen(prefix), line, size);
    memcpy(reply + total - 2, "\r\n", 2);
    session_commit(session, total);
    state->spoken = true;
    return shutdown ? handle_shutdown(session, first) : SESSION_CONTINUE;
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
