/*
 * Answers that come later: "delay MS TEXT" is answered with TEXT after MS milliseconds. A client may ask on meanwhile;
 * answers come in the order of the questions, however long each takes. "quit" ends when all of them have been given.
 *
 *    session -- pending (due 20) -- pending (due 300) ...     in the order in which they are due
 *                  |                   |
 *                reply               reply                    places, in the order of the questions
 */
#include "worker/session.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_SIZE = 1024 };

struct config {
    uint32_t max_delay_ms;
};

static const struct option_row options[] = {
    {.name = "max_delay",
     .type = OPTION_TIME,
     .offset = offsetof(struct config, max_delay_ms),
     .min = 1,
     .max = 60 * 60 * 1000,
     .value = "1m",
     .help = "the longest delay that a client may ask for"},
    {0},
};

struct pending {
    struct pending *next;
    uint64_t due_ms;
    struct reply *reply;
    size_t size;
    char text[];
};

struct state {
    struct pending *first;
};

static void set_timer(struct session *session)
{
    const struct state *state = session_state(session);
    uint64_t now_ms = session_now_ms(session);

    if (state->first)
        session_set_timer(session, state->first->due_ms > now_ms ? (uint32_t)(state->first->due_ms - now_ms) : 1);
}

static void insert(struct state *state, struct pending *pending)
{
    struct pending **link = &state->first;

    while (*link && (*link)->due_ms <= pending->due_ms)
        link = &(*link)->next;
    pending->next = *link;
    *link = pending;
}

/* Every place that was reserved is ended once, also when the session has gone. */
static void finish_first(struct state *state)
{
    struct pending *first = state->first;

    reply_send(first->reply, first->text, first->size);
    reply_end(first->reply);
    state->first = first->next;
    free(first);
}

static enum verdict answer_later(struct session *session, uint32_t ms, const char *text, size_t size)
{
    struct state *state = session_state(session);
    struct pending *pending = malloc(sizeof(*pending) + size + 1);
    struct reply *reply = pending ? session_reply(session) : NULL;

    if (!reply) {
        free(pending);
        return SESSION_ABORT;
    }
    *pending = (struct pending){.due_ms = session_now_ms(session) + ms, .reply = reply, .size = size + 1};
    memcpy(pending->text, text, size);
    pending->text[size] = '\n';
    insert(state, pending);
    set_timer(session);
    return SESSION_CONTINUE;
}

/* What is sent at once stands behind the answers that are still to come, too. */
static void answer_now(struct session *session, const char *text)
{
    session_send(session, text, strlen(text));
}

static enum verdict message(struct session *session, const char *bytes, size_t size)
{
    const struct config *config = session_config(session);
    char line[LINE_MAX_SIZE + 1];
    unsigned long ms;
    int text = 0; /* where it begins */

    memcpy(line, bytes, size);
    line[size] = '\0';
    if (strcmp(line, "quit") == 0)
        return SESSION_CLOSE;
    if (sscanf(line, "delay %9lu %n", &ms, &text) == 1 && text > 0 && ms <= config->max_delay_ms)
        return answer_later(session, (uint32_t)ms, line + text, size - (size_t)text);
    session_count_error(session);
    answer_now(session, "error: delay MS TEXT\n");
    return SESSION_CONTINUE;
}

static void oversize(struct session *session)
{
    answer_now(session, "error: line too long\n");
}

static enum verdict timeout(struct session *session)
{
    struct state *state = session_state(session);

    while (state->first && state->first->due_ms <= session_now_ms(session))
        finish_first(state);
    set_timer(session);
    return SESSION_CONTINUE;
}

static void closed(struct session *session, enum close_reason reason)
{
    struct state *state = session_state(session);

    (void)reason;
    while (state->first)
        finish_first(state);
}

const struct service delay_service = {
    .name = "delay",
    .framing = {.kind = FRAMING_LINE},
    .max_frame = LINE_MAX_SIZE,
    .state_size = sizeof(struct state),
    .options = options,
    .config_size = sizeof(struct config),
    .message = message,
    .oversize = oversize,
    .timeout = timeout,
    .close = closed,
};
