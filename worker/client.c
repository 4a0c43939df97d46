#include "worker/client.h"
#include "worker/deadline.h"
#include "worker/identity.h"
#include "worker/messages.h"
#include "worker/more.h"
#include "worker/reply.h"
#include "worker/segment.h"
#include "worker/session_log.h"
#include "worker/turn.h"

void client_enter(struct conn *conn)
{
    conn_loop_of(conn)->corked = conn;
}

static const struct framing *framing_of(const struct session *session)
{
    return session->more && session->more->framing ? session->more->framing : &session_service(session)->framing;
}

/* Of the client whose input is being handled, for a service that changes its mind about what comes next. */
static struct message_sink sink;

bool client_update_sink(const struct session *session)
{
    if (core_of(session)->reading != session)
        return false;
    sink.framing = framing_of(session);
    sink.scan = (struct scan){.at = 0};
    sink.skip = &session->more->skip;
    return true;
}

static void deliver(struct conn *conn, const char *bytes, size_t size)
{
    struct session *session = session_of_client(conn);
    struct section *section = section_of(session);

    stats_count(&section->stats->messages_in, 1);
    reactor_account(&section->core->loop.reactor, &section->account);
    session_apply(session, session_service(session)->message(session, bytes, size));
}

static void reject(struct conn *conn, bool nonsense)
{
    struct session *session = session_of_client(conn);
    const struct service *service = session_service(session);

    if (nonsense && service->nonsense)
        service->nonsense(session);
    else if (service->oversize)
        service->oversize(session);
    stats_count(&section_of(session)->stats->protocol_errors, 1);
    session_finish(session, nonsense && service->nonsense ? CLOSE_protocol : CLOSE_oversize);
}

static void client_input(struct conn *conn, const char *bytes, size_t size)
{
    struct session *session = session_of_client(conn);

    session->got_input |= size > 0;
    core_of(session)->reading = session;
    sink.framing = framing_of(session);
    sink.max = section_of(session)->config->max_frame;
    sink.message = deliver;
    sink.reject = reject;
    sink.skip = session->more ? &session->more->skip : NULL;
    messages_input(conn, &sink, bytes, size);
    core_of(session)->reading = NULL;
}

static void client_ended(struct conn *conn, int error)
{
    struct session *session = session_of_client(conn);

    if (conn->phase == CONN_LINGERING)
        session_end(session, CLOSE_done); /* the reason is known since it began to close */
    else if (error)
        session_end(session, CLOSE_reset);
    else if (!session_owes(session)) /* else session_finish_answered() will */
        session_finish(session, CLOSE_peer);
}

static void client_broken(struct conn *conn)
{
    session_end(session_of_client(conn), CLOSE_reset);
}

void client_pressure(struct conn *conn)
{
    session_update_flow(session_of_client(conn));
}

void client_flushed(struct conn *conn)
{
    struct session *session = session_of_client(conn);
    const struct service *service = session_service(session);

    if (session_has_segments(session)) {
        segment_pump(session);
        session_update_flow(session);
        conn->flush_due = session_has_segments(session) || (service->drained && conn->phase == CONN_OPEN);
    } else if (service->drained && conn->phase == CONN_OPEN) {
        session_apply(session, service->drained(session));
    }
}

static void client_opened(struct session *session)
{
    session_tail(session)->opened = (uint32_t)(session_now(session) / SESSION_OPENED_MS);
    session_log_begin(session);
}

/* The session has ended: nobody names it any more. */
static void client_freed(struct session *session)
{
    session_log_end(session);
    turn_forget(session);
    if (!session->more)
        return;
    identity_forget(session->more);
    reply_forget_all(session);
    segment_clear(session, &session->more->output);
    buffer_clear(&session->more->reserved);
    more_free(session);
}

void client_queued(struct conn *conn)
{
    turn_touch(session_of_client(conn));
}

uint64_t *client_active_ms(struct conn *conn)
{
    return &session_of_client(conn)->active_ms;
}

void client_arm(struct conn *conn)
{
    deadline_arm(session_of_client(conn));
}

void client_exhausted(struct conn *conn, enum conn_shortage what)
{
    session_end(session_of_client(conn), what == CONN_OVERFLOW ? CLOSE_overflow : CLOSE_memory);
}

static const struct conn_owner client_owner = {
    CLIENT_OWNER, .leave = session_settle, .input = client_input, .ended = client_ended, .broken = client_broken,
};

/* Instead of all that where the service reads and writes itself. */
static void service_ready(struct reactor_handler *handler, uint32_t events)
{
    struct session *session = container_of(handler, struct session, client.handler);

    if (session->client.phase == CONN_CLOSED)
        return;
    session_enter(session);
    session->active_ms = session_now(session);
    session_apply(session, session_service(session)->ready(session, handler->fd, events));
    session_leave(session);
}

void client_section_init(struct section *section, struct core *core, const struct listener_config *config,
                         struct stats_listener *stats)
{
    section->core = core;
    section->config = config;
    section->client_owner = session_log_owner(section, &client_owner);
    section->session_size = session_log_size(config);
    section->expired = deadline_expired;
    section->opened = client_opened;
    section->freed = client_freed;
    section->ready = config->service->ready ? service_ready : NULL;
    section->stats = section->account.stats = stats;
    section->upstream = (struct conn_settings){.loop = &core->loop,
                                               .transport = &transport_tcp,
                                               .high_water = config->high_water,
                                               .low_water = config->low_water,
                                               .max_output = config->max_output,
                                               .cork_size = config->high_water < CORK_SIZE ? config->high_water
                                                                                           : CORK_SIZE,
                                               .keepalive_ms = config->keepalive_ms};
    section->client = section->passed = section->upstream;
    section->passed.is_passed = true;
    section->upstream.connected = stats->durations[DURATION_upstream_connected];
    section->client.bytes_in = &stats->bytes_in;
    section->client.bytes_out = &stats->bytes_out;
}
