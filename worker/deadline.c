#include "worker/deadline.h"

enum { FLUSH_IDLE_MS = 60 * 1000 }; /* without any progress in sending the last bytes, where no idle_timeout is set */

static uint64_t idle_deadline(const struct session *session)
{
    const struct listener_config *config = section_of(session)->config;
    uint32_t idle_ms = session_owes(session) ? config->answer_timeout_ms : config->idle_timeout_ms;

    if (idle_ms == 0 && (session->client.phase == CONN_FLUSHING || session->client.error))
        idle_ms = FLUSH_IDLE_MS;
    return idle_ms ? session->active_ms + idle_ms + 1 : UINT64_MAX; /* the stamp was rounded down: never early */
}

/*
 * Nobody files the timer anew when an answer becomes due, or is no longer: so it is never filed for later than either
 * of the two timeouts allows from now on. 0: there is no other.
 */
static uint64_t other_deadline(const struct session *session)
{
    const struct listener_config *config = section_of(session)->config;
    uint32_t other_ms = session_owes(session) ? config->idle_timeout_ms : config->answer_timeout_ms;

    return other_ms ? session_now(session) + other_ms + 1 : 0;
}

static uint64_t earlier(uint64_t due_ms, uint64_t other_ms)
{
    return other_ms && other_ms < due_ms ? other_ms : due_ms;
}

void deadline_arm(struct session *session)
{
    struct core *core = core_of(session);
    uint64_t due_ms = idle_deadline(session);

    if (session->client.phase == CONN_CLOSED)
        return;
    due_ms = earlier(due_ms, other_deadline(session));
    for (unsigned i = 0; session->more && i < SESSION_TIMERS; i++)
        due_ms = earlier(due_ms, session->more->timer_ms[i]);
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

static void check_timer(struct session *session, unsigned number, uint64_t now_ms)
{
    const struct service *service = session_service(session);
    uint64_t *timer_ms = session->more ? &session->more->timer_ms[number] : NULL;

    if (!timer_ms || *timer_ms == 0 || *timer_ms > now_ms)
        return;
    *timer_ms = 0;
    if (!session_has_timers(session))
        return;
    if (number == 0 && service->timeout)
        session_apply(session, service->timeout(session));
    else if (number > 0 && service->timer)
        session_apply(session, service->timer(session, number));
}

/* Its answer has come after the last turn, and nobody has tried to send it yet. */
static bool has_unsent(const struct session *session)
{
    return session->touched && (!buffer_is_empty(&session->client.out) || session_has_segments(session));
}

static void check_deadlines(struct session *session, uint64_t now_ms)
{
    check_deadline(&session->client, now_ms);
    for (struct session_conn *each = session->upstreams; each; each = each->next)
        check_deadline(&each->conn, now_ms);
    for (unsigned i = 0; i < SESSION_TIMERS; i++)
        check_timer(session, i, now_ms);
    if (idle_deadline(session) > now_ms || has_unsent(session))
        return;
    bool progresses = conn_progresses(&session->client);
    for (struct session_conn *each = session->upstreams; each; each = each->next)
        progresses |= conn_progresses(&each->conn);
    if (progresses)
        session->active_ms = now_ms;
    else
        session_end(session, CLOSE_idle);
}

void deadline_expired(struct timer_wheel *wheel, struct timer *timer)
{
    struct session *session = container_of(timer, struct session, timer);

    (void)wheel;
    session_enter(session);
    check_deadlines(session, session_now(session));
    session_leave(session);
    deadline_arm(session);
}
