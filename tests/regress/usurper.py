"""A control service that has been taken over: it asks the master for anything, as often as it likes."""

SERVICE = r"""
#include "common/channel.h"
#include "worker/core.h"
#include "worker/session.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* False when the master does not read now. */
static int ask(int channel, const struct request *request)
{
    struct channel_message message = {.type = CHANNEL_REQUEST, .request = *request};

    return send(channel, &message, sizeof(message), MSG_NOSIGNAL) == sizeof(message);
}

/* KIND NUMBER TIMES NAME: ask so often. Answers are read by the worker itself, which has asked for none of them. */
static enum verdict message(struct session *session, const char *bytes, size_t size)
{
    int channel = core_of(session)->env->channel;
    struct request request = {.id = 4711};
    unsigned times = 0;
    char text[256];

    snprintf(text, sizeof(text), "%.*s", (int)size, bytes);
    memset(request.name, 'x', sizeof(request.name)); /* without an end */
    sscanf(text, "%u %u %u %47s", &request.kind, &request.number, &times, request.name);
    for (unsigned i = 0; i < times; i++)
        while (!ask(channel, &request))
            poll(&(struct pollfd){.fd = channel, .events = POLLOUT}, 1, 1);
    session_send(session, "asked\n", 6);
    return SESSION_CONTINUE;
}

const struct service usurper_service = {
    .name = "usurper",
    .framing = {.kind = FRAMING_LINE},
    .max_frame = 256,
    .operates = true,
    .message = message,
};
"""
