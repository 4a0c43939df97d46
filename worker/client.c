#include "worker/client.h"
#include "worker/messages.h"

void client_enter(struct conn *conn)
{
    session_enter(session_of_client(conn));
}

void client_leave(struct conn *conn)
{
    session_settle(session_of_client(conn));
}

static void deliver(struct conn *conn, const char *bytes, size_t size)
{
    struct session *session = session_of_client(conn);

    stats_count(&session_section(session)->stats->messages_in, 1);
    session_apply(session, session_service(session)->message(session, bytes, size));
}

static void reject_oversize(struct conn *conn)
{
    struct session *session = session_of_client(conn);

    if (session_service(session)->oversize)
        session_service(session)->oversize(session);
    stats_count(&session_section(session)->stats->protocol_errors, 1);
    session_finish(session, CLOSE_oversize);
}

static void client_input(struct conn *conn, const char *bytes, size_t size)
{
    struct session *session = session_of_client(conn);
    struct message_sink sink = {&session_service(session)->framing, session_section(session)->config->max_frame,
                                deliver, reject_oversize};

    session->got_input |= size > 0;
    messages_input(conn, &sink, bytes, size);
}

static void client_ended(struct conn *conn, int error)
{
    struct session *session = session_of_client(conn);

    if (conn->phase == CONN_LINGERING)
        session_end(session, CLOSE_done); /* the reason is known since it began to close */
    else if (error)
        session_end(session, CLOSE_reset);
    else
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

    session_apply(session, session_service(session)->drained(session));
}

uint64_t *client_active_ms(struct conn *conn)
{
    return &session_of_client(conn)->active_ms;
}

void client_arm(struct conn *conn)
{
    session_arm(session_of_client(conn));
}

void client_exhausted(struct conn *conn, enum conn_shortage what)
{
    session_end(session_of_client(conn), what == CONN_OVERFLOW ? CLOSE_overflow : CLOSE_memory);
}

static const struct conn_owner client_owner = {
    CLIENT_OWNER, .leave = client_leave, .input = client_input, .ended = client_ended, .broken = client_broken,
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
    section->client_owner = &client_owner;
    section->ready = config->service->ready ? service_ready : NULL;
    section->config = config;
    section->stats = stats;
    section->upstream = (struct conn_settings){.loop = &core->loop,
                                               .transport = &transport_tcp,
                                               .high_water = config->high_water,
                                               .low_water = config->low_water,
                                               .max_output = config->max_output,
                                               .cork_size = config->high_water < CORK_SIZE ? config->high_water
                                                                                           : CORK_SIZE,
                                               .keepalive_ms = config->keepalive_ms};
    section->client = section->upstream;
    section->client.bytes_in = &stats->bytes_in;
    section->client.bytes_out = &stats->bytes_out;
}
