#include "worker/drain.h"
#include "common/clock.h"
#include "worker/deadline.h"
#include "worker/reply.h"

enum {
    /* A relay cannot tell the end of a reply from a pause in it; a pause of this length is taken for the end. */
    RELAY_PAUSE_MS = 500,
    /* Who has just connected is about to say why. */
    NEWCOMER_MS = 1000,
    /* Who is still busy when silence would say something. */
    AGAIN_MS = 100,
};

/* Until this time an idle session may still be in the middle of a request. */
static uint64_t patience_ms(const struct session *session)
{
    if (!session->got_input)
        return session->active_ms + NEWCOMER_MS;
    return session_is_relay(session) ? session->active_ms + RELAY_PAUSE_MS : UINT64_MAX;
}

/*
 * From this time on the session is closed once it is quiet. It is made of the session's address instead of being kept:
 * a session has no room for it. The mixing is splitmix64's, for addresses are far from random.
 */
static uint64_t leave_ms(const struct session *session)
{
    const struct session_leaving *leaving = &core_of(session)->leaving;
    uint64_t mixed = (uintptr_t)session ^ leaving->seed;

    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebu;
    return leaving->begin_ms + (mixed ^ mixed >> 31) % (leaving->spread_ms + UINT64_C(1));
}

static uint64_t look_ms_of(const struct session *session)
{
    uint64_t now_ms = session_now(session), look_ms = patience_ms(session);

    if (look_ms == UINT64_MAX || look_ms < leave_ms(session))
        look_ms = leave_ms(session);
    return look_ms > now_ms ? look_ms : now_ms + AGAIN_MS;
}

static bool conn_is_quiet(const struct conn *conn)
{
    return conn->phase == CONN_OPEN && buffer_is_empty(&conn->in) && buffer_is_empty(&conn->out) &&
           !conn_has_unread(conn);
}

bool drain_is_quiet(const struct session *session)
{
    if (session->engaged || session_owes(session) || session->client.flush_due || session_has_segments(session))
        return false;
    if (session->more && session->more->skip > 0)
        return false;
    uint64_t look_ms = patience_ms(session);
    if (look_ms != UINT64_MAX && session_now(session) < look_ms)
        return false;
    for (const struct session_conn *each = session->upstreams; each; each = each->next)
        if (each->conn.phase != CONN_CLOSED && !conn_is_quiet(&each->conn))
            return false;
    return conn_is_quiet(&session->client);
}

/* The event of a session is over: close it if it is to leave and has nothing to finish. */
static void leave_if_quiet(struct session *session)
{
    const struct service *service = session_service(session);

    if (session_now(session) < leave_ms(session) || session->client.phase != CONN_OPEN)
        return;
    if (service->draining && !session->told_draining) {
        session->told_draining = true;
        session_apply(session, service->draining(session));
    }
    if (drain_is_quiet(session))
        session_finish(session, core_of(session)->leaving.reason);
}

/* A callback may have ended any other session: then `next` is on the list of the dead. */
static struct session *next_live(const struct core *core, struct session *next)
{
    return next && next->client.phase == CONN_CLOSED ? LIST_FIRST(&core->live) : next;
}

void drain_begin(struct core *core, bool quickly, uint32_t spread_ms)
{

    core->draining = true;
    core->leaving = (struct session_leaving){.settled = leave_if_quiet,
                                             .look_ms = look_ms_of,
                                             .begin_ms = core->loop.reactor.now_ms,
                                             .spread_ms = spread_ms,
                                             .seed = clock_now_us() * 0x9e3779b97f4a7c15u,
                                             .reason = quickly ? CLOSE_done : CLOSE_leaving};
    for (struct session *next, *session = LIST_FIRST(&core->live); session; session = next_live(core, next)) {
        next = LIST_NEXT(session, link);
        session_enter(session);
        if (quickly && !session_service(session)->draining && drain_is_quiet(session))
            session_end(session, CLOSE_done);
        session_leave(session);
        deadline_arm(session);
    }
}

void drain_close(struct core *core)
{
    struct session *session, *next;

    LIST_FOREACH_SAFE(session, &core->live, link, next) {
        enum close_reason reason = drain_is_quiet(session) ? core->leaving.reason : CLOSE_drain;
        session_enter(session);
        reply_forget_all(session);
        session_finish(session, reason);
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
