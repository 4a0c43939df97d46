/*
 * Fan-out: each line goes to two upstreams, and the first of their two answers to the client, in the order of the
 * questions. Nobody who is slow, silent or gone holds up the other: after `timeout` a question is answered with an
 * error, and an upstream that does not read is given up until later.
 *
 *              .--> side 0     answers questions 5, 6, 7 ... in this order
 *    session --|
 *              '--> side 1     answers questions 2, 3 ...: those that have been answered are dropped
 */
#include "worker/session.h"
#include <stdlib.h>
#include <string.h>

enum { SIDES = 2, RETRY_MS = 1000, QUEUED_MAX = 64 << 10, LINE_MAX_SIZE = 4096 };

struct config {
    struct sock_address address[SIDES];
    uint32_t timeout_ms;
};

static const struct option_row options[] = {
    {.name = "first",
     .type = OPTION_ADDRESS,
     .offset = offsetof(struct config, address[0]),
     .help = "one upstream, which answers a line with a line"},
    {.name = "second", .type = OPTION_ADDRESS, .offset = offsetof(struct config, address[1]), .help = "the other one"},
    {.name = "timeout",
     .type = OPTION_TIME,
     .offset = offsetof(struct config, timeout_ms),
     .min = 1,
     .max = 60 * 1000,
     .value = "500ms",
     .help = "how long a question may wait for the first answer"},
    {0},
};

/* A question that has not been answered. */
struct question {
    struct question *next;
    struct reply *reply;
    uint64_t number, due_ms;
};

struct side {
    struct conn *conn; /* NULL: not connected, until `retry_ms` */
    uint64_t retry_ms;
    uint64_t next; /* the question that its next answer is for */
};

struct state {
    struct side side[SIDES];
    struct question *first, *last;
    uint64_t asked;
};

/* ---- questions ---- */

static void answer(struct state *state, struct question **link, const char *text, size_t size)
{
    struct question *question = *link;

    reply_send(question->reply, text, size);
    reply_send(question->reply, "\n", 1);
    reply_end(question->reply);
    *link = question->next;
    if (!state->first)
        state->last = NULL;
    else if (!question->next)
        for (state->last = state->first; state->last->next;)
            state->last = state->last->next;
    free(question);
}

static void fail(struct state *state, const char *text)
{
    answer(state, &state->first, text, strlen(text));
}

static void set_timer(struct session *session)
{
    const struct question *first = ((struct state *)session_state(session))->first;
    uint64_t now_ms = session_now_ms(session);

    if (first)
        session_set_timer(session, first->due_ms > now_ms ? (uint32_t)(first->due_ms - now_ms) : 1);
}

static enum verdict timeout(struct session *session)
{
    struct state *state = session_state(session);

    while (state->first && state->first->due_ms <= session_now_ms(session))
        fail(state, "error: timeout");
    set_timer(session);
    return SESSION_CONTINUE;
}

/* ---- upstreams ---- */

static struct side *side_of(struct state *state, const struct conn *conn)
{
    return &state->side[state->side[0].conn != conn];
}

/* With the last side goes the last hope of an answer. */
static void lose(struct session *session, struct side *side)
{
    struct state *state = session_state(session);

    side->conn = NULL;
    side->retry_ms = session_now_ms(session) + RETRY_MS;
    while (state->first && !state->side[0].conn && !state->side[1].conn)
        fail(state, "error: no upstream");
}

static enum verdict side_closed(struct session *session, struct conn *conn, int error)
{
    (void)error;
    lose(session, side_of(session_state(session), conn));
    return SESSION_CONTINUE;
}

static enum verdict side_answers(struct session *session, struct conn *conn, const char *bytes, size_t size)
{
    struct state *state = session_state(session);
    uint64_t number = side_of(state, conn)->next++;
    struct question **link = &state->first;

    while (*link && (*link)->number < number)
        link = &(*link)->next;
    if (*link && (*link)->number == number)
        answer(state, link, bytes, size);
    return SESSION_CONTINUE;
}

static const struct upstream upstream = {
    .framing = {.kind = FRAMING_LINE},
    .max_frame = LINE_MAX_SIZE,
    .message = side_answers,
    .closed = side_closed,
};

static void ask(struct session *session, unsigned number, const char *line, size_t size)
{
    const struct config *config = session_config(session);
    struct state *state = session_state(session);
    struct side *side = &state->side[number];

    if (side->conn && upstream_queued(side->conn) > QUEUED_MAX) {
        upstream_close(side->conn);
        lose(session, side);
    }
    if (!side->conn && session_now_ms(session) >= side->retry_ms) {
        side->conn = session_connect(session, &config->address[number], config->timeout_ms, &upstream);
        side->next = state->asked;
    }
    if (!side->conn)
        return;
    upstream_send(side->conn, line, size);
    upstream_send(side->conn, "\n", 1);
}

static enum verdict message(struct session *session, const char *line, size_t size)
{
    const struct config *config = session_config(session);
    struct state *state = session_state(session);
    struct question *question = malloc(sizeof(*question));
    struct reply *reply = question ? session_reply(session) : NULL;

    if (!reply) {
        free(question);
        return SESSION_ABORT;
    }
    *question = (struct question){
        .reply = reply, .number = state->asked, .due_ms = session_now_ms(session) + config->timeout_ms};
    if (state->last)
        state->last->next = question;
    else
        state->first = question;
    state->last = question;
    for (unsigned i = 0; i < SIDES; i++)
        ask(session, i, line, size);
    state->asked++;
    while (state->first && !state->side[0].conn && !state->side[1].conn)
        fail(state, "error: no upstream");
    set_timer(session);
    return SESSION_CONTINUE;
}

static void closed(struct session *session, enum close_reason reason)
{
    struct state *state = session_state(session);

    (void)reason;
    while (state->first)
        fail(state, "error: closed");
}

const struct service fanout_service = {
    .name = "fanout",
    .framing = {.kind = FRAMING_LINE},
    .max_frame = LINE_MAX_SIZE,
    .state_size = sizeof(struct state),
    .options = options,
    .config_size = sizeof(struct config),
    .message = message,
    .timeout = timeout,
    .close = closed,
};
