/*
 * Leaving in good order: who has nothing to finish goes at once, the others when they have finished.
 */
#include "common/clock.h"
#include "worker/core/core.h"
#include <sys/ioctl.h>

enum {
    /* A relay cannot tell the end of a reply from a pause in it; a pause of this length is taken for the end. */
    RELAY_PAUSE_MS = 500,
    /* Who has just connected is about to say why. */
    NEWCOMER_MS = 1000,
    /* Who is still busy when silence would say something. */
    AGAIN_MS = 100,
};

static bool has_unread(const struct conn *conn)
{
    int size = 0;

    return conn->input == INPUT_ON && ioctl(conn->handler.fd, FIONREAD, &size) == 0 && size > 0;
}

static bool is_relay(const struct session *session)
{
    return session->client.peer;
}

/* Until when silence says nothing. */
static uint64_t patience_ms(const struct session *session)
{
    if (!session->heard)
        return session->active_ms + NEWCOMER_MS;
    return is_relay(session) ? session->active_ms + RELAY_PAUSE_MS : UINT64_MAX;
}

/*
 * From this time on the session is closed once it is quiet. It is made of the session's address instead of being kept:
 * a session has no room for it. The mixing is splitmix64's, for addresses are far from random.
 */
static uint64_t leave_ms(const struct session *session)
{
    const struct core *core = core_of(session);
    uint64_t mixed = (uintptr_t)session ^ core->leave_seed;

    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebu;
    return core->leave_ms + (mixed ^ mixed >> 31) % (core->leave_spread_ms + UINT64_C(1));
}

uint64_t drain_look_ms(const struct session *session)
{
    uint64_t now_ms = core_of(session)->reactor.now_ms, look_ms = patience_ms(session);

    if (look_ms == UINT64_MAX || look_ms < leave_ms(session))
        look_ms = leave_ms(session);
    return look_ms > now_ms ? look_ms : now_ms + AGAIN_MS;
}

bool drain_is_quiet(const struct session *session)
{
    if (session->awaiting || session->drain_due)
        return false;
    uint64_t look_ms = patience_ms(session);
    if (look_ms != UINT64_MAX && core_of(session)->reactor.now_ms < look_ms)
        return false;
    for (const struct conn *conn = &session->client; conn; conn = conn->next) {
        if (conn->phase == CONN_CLOSED && conn->upstream)
            continue;
        if (conn->phase != CONN_OPEN || !buffer_is_empty(&conn->in) || !buffer_is_empty(&conn->out) || has_unread(conn))
            return false;
    }
    return true;
}

void drain_leave(struct session *session)
{
    struct core *core = core_of(session);

    if (core->reactor.now_ms >= leave_ms(session) && drain_is_quiet(session))
        session_finish(session, core->leave_reason);
}

void drain_begin(struct core *core, bool quickly, uint32_t spread_ms)
{
    struct session *session, *next;

    core->draining = true;
    core->leave_ms = core->reactor.now_ms;
    core->leave_spread_ms = spread_ms;
    core->leave_seed = clock_now_us() * 0x9e3779b97f4a7c15u;
    core->leave_reason = quickly ? CLOSE_done : CLOSE_leaving;
    LIST_FOREACH_SAFE(session, &core->live, link, next)
    {
        session_enter(session);
        if (quickly && drain_is_quiet(session))
            session_end(session, CLOSE_done);
        session_leave(session);
        session_arm(session);
    }
}

void drain_close(struct core *core)
{
    struct session *session, *next;

    LIST_FOREACH_SAFE(session, &core->live, link, next)
    {
        session_enter(session);
        session_finish(session, drain_is_quiet(session) ? core->leave_reason : CLOSE_drain);
        session_leave(session);
    }
}

void drain_end(struct core *core)
{
    for (struct session *session; (session = LIST_FIRST(&core->live));) {
        if (session->client.phase == CONN_FLUSHING)
            session->client.phase = CONN_OPEN; /* it did not finish: this is what ends it */
        session_end(session, CLOSE_drain);
    }
}
