#include "common/container_of.h"
#include "worker/core/core.h"
#include "worker/framing.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

/* ---- life ---- */

static void session_expired(struct timer_wheel *wheel, struct timer *timer);

int session_open(struct listener *listener, int fd, const struct peer_address *peer)
{
    const struct service *service = listener->config->service;
    struct core *core = listener->core;
    struct session *session = calloc(1, sizeof(*session) + service->state_size);

    if (!session)
        return -1;
    session->listener = listener;
    session->peer = *peer;
    session->active_ms = core->reactor.now_ms;
    session->timer.expired = session_expired;
    conn_init(&session->client, session, fd, CONN_OPEN);
    if (reactor_want(&core->reactor, &session->client.handler, EPOLLIN) < 0) {
        free(session);
        return -1;
    }
    LIST_INSERT_HEAD(&core->live, session, link);
    core->session_count++;
    stats_count(&listener->stats->accepted, 1);
    keepalive_start(&session->client);
    session_arm(session);
    if (service->open) {
        session_enter(session);
        session_apply(session, service->open(session));
        session_leave(session);
    }
    return 0;
}

void session_end(struct session *session, enum close_reason reason)
{
    struct core *core = core_of(session);

    if (session->client.phase == CONN_CLOSED)
        return;
    if (session->client.phase == CONN_OPEN)
        session->reason = (uint8_t)reason;
    for (struct conn *conn = &session->client; conn; conn = conn->next)
        conn->phase = CONN_CLOSED;
    timer_clear(&session->timer);
    LIST_REMOVE(session, link);
    LIST_INSERT_HEAD(&core->dead, session, link);
    stats_count(&session->listener->stats->closed[session->reason], 1);
}

void session_finish(struct session *session, enum close_reason reason)
{
    if (session->client.phase != CONN_OPEN)
        return;
    session->reason = (uint8_t)reason;
    session->client.phase = CONN_FLUSHING;
    session->timer_ms = 0;
    session->active_ms = core_of(session)->reactor.now_ms;
    upstream_drop_all(session);
    session_arm(session);
}

void session_apply(struct session *session, enum verdict verdict)
{
    switch (verdict) {
    case SESSION_CONTINUE: break;
    case SESSION_CLOSE: session_finish(session, CLOSE_done); break;
    case SESSION_REJECT:
        session_count_error(session);
        session_finish(session, CLOSE_protocol);
        break;
    case SESSION_ABORT: session_end(session, CLOSE_done); break;
    }
}

void session_bury(struct core *core)
{
    bool room = !LIST_EMPTY(&core->dead) || core->dead_conns;
    struct session *session, *next;

    upstream_bury(core);
    LIST_FOREACH_SAFE(session, &core->dead, link, next)
    {
        const struct service *service = session->listener->config->service;
        if (service->close)
            service->close(session, (enum close_reason)session->reason);
        upstream_free_all(session);
        conn_fini(&session->client);
        free(session);
        core->session_count--;
    }
    LIST_INIT(&core->dead);
    if (core->accept_again_ms)
        admission_resume(core, room);
}

/* ---- an event ---- */

void session_enter(struct session *session)
{
    core_of(session)->corked = session;
}

/* The last bytes are out. A client that has not closed gets our FIN and time to read, see CONN_LINGERING. */
static void close_flushed(struct session *session)
{
    struct conn *client = &session->client;

    if (client->input == INPUT_ENDED) {
        session_end(session, CLOSE_done);
        return;
    }
    shutdown(client->handler.fd, SHUT_WR);
    client->phase = CONN_LINGERING;
    conn_expire(client, core_of(session)->env->linger_timeout_ms);
}

void session_leave(struct session *session)
{
    struct core *core = core_of(session);
    struct conn *client = &session->client;

    for (struct conn *conn = client; conn; conn = conn->next)
        relay_forward_rest(conn);
    conn_uncork(session);
    core->corked = NULL;
    if (core->draining)
        drain_leave(session);
    if (client->phase == CONN_FLUSHING && buffer_is_empty(&client->out))
        close_flushed(session);
    for (struct conn *conn = client; conn; conn = conn->next)
        conn_update_events(conn);
}

/* ---- messages ---- */

static const struct framing *framing_of(const struct conn *conn)
{
    return conn->upstream ? &conn->upstream->framing : &conn->session->listener->config->service->framing;
}

static size_t max_frame_of(const struct conn *conn)
{
    if (!conn->upstream)
        return conn->session->listener->config->max_frame;
    return conn->upstream->max_frame ? conn->upstream->max_frame : SIZE_MAX / 2;
}

static bool may_dispatch(const struct conn *conn)
{
    return conn->phase == CONN_OPEN && conn->input != INPUT_PAUSED && !conn->peer;
}

static void reject_oversize(struct conn *conn)
{
    struct session *session = conn->session;
    const struct service *service = session->listener->config->service;

    if (conn->upstream) {
        upstream_ended(conn, EMSGSIZE);
        return;
    }
    if (service->oversize)
        service->oversize(session);
    session_count_error(session);
    session_finish(session, CLOSE_oversize);
}

static void deliver(struct conn *conn, const char *bytes, size_t size)
{
    struct session *session = conn->session;

    if (conn->upstream) {
        session->awaiting = false;
        session_apply(session, conn->upstream->message(session, conn, bytes, size));
    } else {
        stats_count(&session->listener->stats->messages_in, 1);
        session_apply(session, session->listener->config->service->message(session, bytes, size));
    }
}

/* Hand over whole messages while the session wants them. Returns the bytes used. */
static size_t dispatch(struct conn *conn, const char *bytes, size_t size, size_t scanned)
{
    const struct framing *framing = framing_of(conn);
    size_t max = max_frame_of(conn);
    size_t used = 0;

    while (used < size && may_dispatch(conn)) {
        struct cut cut = framing_cut(framing, bytes + used, size - used, scanned, max);
        if (cut.total < 0) {
            reject_oversize(conn);
            return size;
        }
        if (cut.total == 0)
            break;
        scanned = 0;
        deliver(conn, bytes + used, cut.size);
        used += (size_t)cut.total;
    }
    return used;
}

static int keep(struct conn *conn, const char *bytes, size_t size)
{
    if (buffer_append(&conn->in, bytes, size) == 0)
        return 0;
    session_end(conn->session, CLOSE_memory);
    return -1;
}

void session_input(struct conn *conn, const char *bytes, size_t size)
{
    /* What was kept comes first. It takes from the new bytes only what completes its message. */
    while (!buffer_is_empty(&conn->in) && may_dispatch(conn)) {
        size_t had = buffer_size(&conn->in);
        size_t taken = size > 0 ? framing_missing(framing_of(conn), buffer_bytes(&conn->in), had, bytes, size) : 0;
        if (keep(conn, bytes, taken) < 0)
            return;
        bytes += taken;
        size -= taken;
        size_t used = dispatch(conn, buffer_bytes(&conn->in), buffer_size(&conn->in), taken > 0 ? had : 0);
        buffer_consume(&conn->in, used);
        if (size == 0)
            break;
    }
    if (size > 0 && buffer_is_empty(&conn->in)) {
        size_t used = dispatch(conn, bytes, size, 0);
        bytes += used;
        size -= used;
    }
    if (size > 0 && conn->phase == CONN_OPEN)
        keep(conn, bytes, size);
}

/* ---- time ---- */

static uint64_t idle_deadline(const struct session *session)
{
    uint32_t idle_ms = session->listener->config->idle_timeout_ms;

    if (idle_ms == 0 && (session->client.phase == CONN_FLUSHING || session->client.error))
        idle_ms = FLUSH_IDLE_MS;
    return idle_ms ? session->active_ms + idle_ms + 1 : UINT64_MAX; /* the stamp was rounded down: never early */
}

void session_arm(struct session *session)
{
    uint64_t due_ms = idle_deadline(session);

    if (session->client.phase == CONN_CLOSED)
        return;
    if (session->timer_ms && session->timer_ms < due_ms)
        due_ms = session->timer_ms;
    if (core_of(session)->draining && session->client.phase == CONN_OPEN && drain_look_ms(session) < due_ms)
        due_ms = drain_look_ms(session);
    for (const struct conn *conn = &session->client; conn; conn = conn->next)
        if (conn->phase != CONN_CLOSED && conn->deadline_ms && conn->deadline_ms < due_ms)
            due_ms = conn->deadline_ms;
    if (due_ms != UINT64_MAX && (session->timer.due_ms == 0 || due_ms < session->timer.due_ms))
        timer_set(&core_of(session)->reactor.wheel, &session->timer, due_ms);
}

static void check_deadlines(struct session *session, uint64_t now_ms)
{
    for (struct conn *conn = &session->client; conn; conn = conn->next)
        if (conn->phase != CONN_CLOSED && conn->deadline_ms && conn->deadline_ms <= now_ms)
            conn_expired(conn);
    if (session->client.phase == CONN_OPEN && session->timer_ms && session->timer_ms <= now_ms) {
        session->timer_ms = 0;
        if (session->listener->config->service->timeout)
            session_apply(session, session->listener->config->service->timeout(session));
    }
    if (idle_deadline(session) > now_ms)
        return;
    for (struct conn *conn = &session->client; conn; conn = conn->next)
        if (conn_progresses(conn))
            session->active_ms = now_ms;
    if (session->active_ms != now_ms)
        session_end(session, CLOSE_idle);
}

static void session_expired(struct timer_wheel *wheel, struct timer *timer)
{
    struct session *session = container_of(timer, struct session, timer);

    (void)wheel;
    session_enter(session);
    check_deadlines(session, core_of(session)->reactor.now_ms);
    session_leave(session);
    session_arm(session);
}
