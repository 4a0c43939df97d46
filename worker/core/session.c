#include "worker/core/session.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

static void timer_expired(struct timer_wheel *wheel, struct timer *timer);

/* ---- life ---- */

int session_open(struct section *section, int fd, const struct peer_address *peer)
{
    const struct service *service = section->config->service;
    struct core *core = section->core;
    struct session *session = calloc(1, sizeof(*session) + service->state_size);

    if (!session)
        return -1;
    session->peer = *peer;
    session->active_ms = core->loop.reactor.now_ms;
    session->timer.expired = timer_expired;
    conn_init(&session->client, &section->client, section->client_owner, fd, CONN_OPEN);
    if (section->ready)
        session->client.handler.ready = section->ready;
    if (reactor_want(&core->loop.reactor, &session->client.handler, EPOLLIN) < 0) {
        free(session);
        return -1;
    }
    LIST_INSERT_HEAD(&core->live, session, link);
    core->session_count++;
    stats_count(&section->stats->accepted, 1);
    conn_keep_alive(&session->client);
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
    session->client.phase = CONN_CLOSED;
    for (struct session_conn *each = session->upstreams; each; each = each->next)
        conn_close(&each->conn);
    timer_clear(&session->timer);
    LIST_REMOVE(session, link);
    LIST_INSERT_HEAD(&core->dead, session, link);
    stats_count(&session_section(session)->stats->closed[session->reason], 1);
}

void session_finish(struct session *session, enum close_reason reason)
{
    if (session->client.phase != CONN_OPEN)
        return;
    session->reason = (uint8_t)reason;
    session->client.phase = CONN_FLUSHING;
    session->client.owner = session_section(session)->client_owner;
    session->client.handler.ready = conn_ready;
    session->timer_ms = 0;
    session->active_ms = session_now(session);
    for (struct session_conn *each = session->upstreams; each; each = each->next)
        conn_close(&each->conn);
    session_arm(session);
}

void session_apply_end(struct session *session, enum verdict verdict)
{
    switch (verdict) {
    case SESSION_CONTINUE: break;
    case SESSION_CLOSE: session_finish(session, CLOSE_done); break;
    case SESSION_REJECT:
        stats_count(&session_section(session)->stats->protocol_errors, 1);
        session_finish(session, CLOSE_protocol);
        break;
    case SESSION_ABORT: session_end(session, CLOSE_done); break;
    }
}

bool session_free_dead(struct core *core)
{
    bool freed = !LIST_EMPTY(&core->dead) || core->loop.closed;
    struct session *session, *next;

    conn_free_closed(&core->loop);
    LIST_FOREACH_SAFE(session, &core->dead, link, next)
    {
        const struct service *service = session_service(session);
        if (service->close)
            service->close(session, (enum close_reason)session->reason);
        for (struct session_conn *each; (each = session->upstreams); free(each))
            session->upstreams = each->next;
        conn_fini(&session->client);
        free(session);
        core->session_count--;
    }
    LIST_INIT(&core->dead);
    return freed;
}

/* ---- an event ---- */

void session_enter(struct session *session)
{
    conn_loop_of(&session->client)->corked = &session->client;
}

/* The last bytes are out. A client that has not closed gets our FIN and time to read, see CONN_LINGERING. */
static void close_flushed(struct session *session)
{
    struct conn *client = &session->client;

    if (client->input == INPUT_ENDED) {
        session_end(session, CLOSE_done);
        return;
    }
    client->settings->transport->shutdown(client->handler.fd);
    client->phase = CONN_LINGERING;
    conn_expire(client, core_of(session)->linger_timeout_ms);
}

void session_settle(struct session *session)
{
    struct core *core = core_of(session);
    struct conn *client = &session->client;

    conn_uncork(&core->loop);
    core->loop.corked = NULL;
    if (core->draining)
        core->leaving.settled(session);
    if (client->phase == CONN_FLUSHING && buffer_is_empty(&client->out))
        close_flushed(session);
    conn_update_events(client);
    for (struct session_conn *each = session->upstreams; each; each = each->next)
        conn_update_events(&each->conn);
}

void session_leave(struct session *session)
{
    session->client.owner->leave(&session->client);
}

/* ---- back-pressure ---- */

/* A full client stops whoever produces for it; a full upstream stops the client, whose requests it is full of. */
void session_update_flow(struct session *session)
{
    struct conn *client = &session->client;
    bool client_paused = client->above_high_water && !session_is_relay(session);

    for (struct session_conn *each = session->upstreams; each; each = each->next)
        client_paused |= each->conn.above_high_water;
    conn_pause(client, client_paused);
    for (struct session_conn *each = session->upstreams; each; each = each->next)
        conn_pause(&each->conn, client->above_high_water);
}

/* ---- time ---- */

static uint64_t idle_deadline(const struct session *session)
{
    uint32_t idle_ms = session_section(session)->config->idle_timeout_ms;

    if (idle_ms == 0 && (session->client.phase == CONN_FLUSHING || session->client.error))
        idle_ms = FLUSH_IDLE_MS;
    return idle_ms ? session->active_ms + idle_ms + 1 : UINT64_MAX; /* the stamp was rounded down: never early */
}

static uint64_t earlier(uint64_t due_ms, uint64_t other_ms)
{
    return other_ms && other_ms < due_ms ? other_ms : due_ms;
}

void session_arm(struct session *session)
{
    struct core *core = core_of(session);
    uint64_t due_ms = idle_deadline(session);

    if (session->client.phase == CONN_CLOSED)
        return;
    due_ms = earlier(due_ms, session->timer_ms);
    if (core->draining && session->client.phase == CONN_OPEN)
        due_ms = earlier(due_ms, core->leaving.look_ms(session));
    due_ms = earlier(due_ms, session->client.deadline_ms);
    for (const struct session_conn *each = session->upstreams; each; each = each->next)
        if (each->conn.phase != CONN_CLOSED)
            due_ms = earlier(due_ms, each->conn.deadline_ms);
    if (due_ms != UINT64_MAX && (session->timer.due_ms == 0 || due_ms < session->timer.due_ms))
        timer_set(&core->loop.reactor.wheel, &session->timer, due_ms);
}

static void check_deadline(struct conn *conn, uint64_t now_ms)
{
    if (conn->phase != CONN_CLOSED && conn->deadline_ms && conn->deadline_ms <= now_ms)
        conn_expired(conn);
}

static void check_deadlines(struct session *session, uint64_t now_ms)
{
    check_deadline(&session->client, now_ms);
    for (struct session_conn *each = session->upstreams; each; each = each->next)
        check_deadline(&each->conn, now_ms);
    if (session->client.phase == CONN_OPEN && session->timer_ms && session->timer_ms <= now_ms) {
        session->timer_ms = 0;
        if (session_service(session)->timeout)
            session_apply(session, session_service(session)->timeout(session));
    }
    if (idle_deadline(session) > now_ms)
        return;
    bool progresses = conn_progresses(&session->client);
    for (struct session_conn *each = session->upstreams; each; each = each->next)
        progresses |= conn_progresses(&each->conn);
    if (progresses)
        session->active_ms = now_ms;
    else
        session_end(session, CLOSE_idle);
}

static void timer_expired(struct timer_wheel *wheel, struct timer *timer)
{
    struct session *session = container_of(timer, struct session, timer);

    (void)wheel;
    session_enter(session);
    check_deadlines(session, session_now(session));
    session_leave(session);
    session_arm(session);
}
