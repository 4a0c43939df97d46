#include "worker/services/redis/pipe.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- a pipe ---- */

static enum verdict pipe_connected(struct session *session, struct conn *upstream)
{
    struct state *state = session_state(session);

    (void)upstream;
    state->is_known = true;
    return SESSION_CONTINUE;
}

static enum verdict pipe_failed(struct session *session, struct conn *upstream, int error)
{
    const struct state *state = session_state(session);
    char text[CLIENT_FAILURE_SIZE];
    size_t size = client_failure(session_section(session), error, text);

    (void)upstream;
    if (!state->is_known) /* else our words could be taken for the rest of an answer that was cut short */
        session_send(session, text, size);
    return SESSION_CLOSE;
}

static const struct upstream target = {
    .framing = {.kind = FRAMING_RAW},
    .connected = pipe_connected,
    .closed = pipe_failed,
};

/* From this request on; `size` is 0 where there was none yet. */
enum verdict pipe_become(struct session *session, struct conn *upstream, const char *bytes, size_t size)
{
    struct state *state = session_state(session);

    if (!upstream)
        return SESSION_ABORT;
    client_count(session, COUNT_PIPES);
    state->mode = MODE_PIPE;
    upstream_send(upstream, bytes, size);
    session_couple(session, upstream);
    return SESSION_CONTINUE;
}

struct conn *pipe_connect(struct session *session)
{
    const struct config *config = session_config(session);

    return session_connect(session, &config->upstream, config->connect_timeout_ms, &target);
}

static struct conn *detach_own(struct session *session)
{
    struct state *state = session_state(session);
    struct link *own = state->own;

    state->own = NULL;
    state->is_known = true;
    struct conn *conn = link_detach(own, session, &target);
    if (!conn && errno == EBUSY) /* it has ended */
        link_close(own);
    return conn;
}

/* ---- leaving the others ---- */

/* A connection that does not begin as the others: what it needs is asked first. */
static enum verdict prepare_pipe(struct session *session, const char *bytes, size_t size)
{
    static const char ping[] = "*1\r\n$4\r\nPING\r\n";
    struct state *state = session_state(session);

    state->mode = MODE_LEAVES;
    if (client_ask(session, state->own, ping, strlen(ping)) < 0)
        return SESSION_CLOSE;
    return client_keep(session, bytes, size);
}

/* All that it has asked is answered. */
enum verdict pipe_leave(struct session *session, const char *bytes, size_t size)
{
    struct state *state = session_state(session);
    bool is_plain = state->variant->greeting_size == 0 && !state->name;

    if (state->own)
        return pipe_become(session, detach_own(session), bytes, size);
    if (client_take_own(session) && state->is_known && !state->name) /* one that somebody has given back */
        return pipe_become(session, detach_own(session), bytes, size);
    if (!is_plain)
        return prepare_pipe(session, bytes, size);
    client_close_own(state);
    return pipe_become(session, pipe_connect(session), bytes, size);
}
