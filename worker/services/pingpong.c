/*
 * Ping-pong: every byte comes back.
 */
#include "worker/session.h"

static enum verdict message(struct session *session, const char *bytes, size_t size)
{
    session_send(session, bytes, size);
    return SESSION_CONTINUE;
}

const struct service pingpong_service = {
    .name = "pingpong",
    .framing = {.kind = FRAMING_RAW},
    .message = message,
};
