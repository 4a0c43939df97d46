/*
 * Misbehaves on request: what the chaos test adds to a copy of the tree. Never part of the server.
 *
 *    pid          who serves this connection
 *    loop [MS]    turn in an endless loop, or for so long; the worker does not beat
 *    block [MS]   the same in a blocking call
 *    exit CODE    leave without a word
 *    segv, abort  die of a bug
 *
 * Every command is answered first, with the pid, so that the test knows its victim.
 */
#include "common/clock.h"
#include "worker/session.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct state {
    unsigned number;
    char command[16];
};

static void loop(unsigned ms)
{
    uint64_t end_ms = clock_now_ms() + ms;

    while (ms == 0 || clock_now_ms() < end_ms)
        ;
}

static void block(unsigned ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    if (ms > 0)
        nanosleep(&time, NULL);
    while (ms == 0)
        pause();
}

/* The answer has been written by the time the timer goes off. */
static enum verdict timeout(struct session *session)
{
    struct state *state = session_state(session);

    if (!strcmp(state->command, "loop"))
        loop(state->number);
    else if (!strcmp(state->command, "block"))
        block(state->number);
    else if (!strcmp(state->command, "exit"))
        _exit((int)state->number);
    else if (!strcmp(state->command, "segv"))
        raise(SIGSEGV);
    else if (!strcmp(state->command, "abort"))
        abort();
    return SESSION_CONTINUE;
}

static enum verdict message(struct session *session, const char *bytes, size_t size)
{
    struct state *state = session_state(session);
    char line[64], reply[64];

    snprintf(line, sizeof(line), "%.*s", (int)size, bytes);
    state->number = 0;
    if (sscanf(line, "%15s %u", state->command, &state->number) < 1)
        return SESSION_REJECT;
    snprintf(reply, sizeof(reply), "%d\n", (int)getpid());
    session_send(session, reply, strlen(reply));
    if (strcmp(state->command, "pid") != 0)
        session_set_timer(session, 1);
    return SESSION_CONTINUE;
}

const struct service nemesis_service = {
    .name = "nemesis",
    .framing = {.kind = FRAMING_LINE},
    .state_size = sizeof(struct state),
    .message = message,
    .timeout = timeout,
};
