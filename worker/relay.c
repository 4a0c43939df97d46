/*
 * A relay: client and upstream coupled into one pipe. Bytes of one side go to the other, a slow side slows the other
 * one down, and the end of one side's stream is passed on after the bytes before it.
 *
 *   session_couple():   client.owner   client.c's -> relay_client_owner
 *                       upstream.owner upstream.c's -> relay_upstream_owner
 */
#include "worker/client.h"
#include "worker/segment.h"
#include "worker/session_log.h"
#include "worker/turn.h"
#include "worker/upstream.h"

static const struct conn_owner relay_client_owner, relay_upstream_owner;

/* The upstream of a relay; NULL when the session is none. */
static struct conn *upstream_side(const struct session *session)
{
    for (struct session_conn *each = session->upstreams; each; each = each->next)
        if (each->conn.owner == &relay_upstream_owner && each->conn.phase != CONN_CLOSED)
            return &each->conn;
    return NULL;
}

static struct session *session_of_upstream(const struct conn *conn)
{
    return upstream_of(conn)->base.session;
}

void session_couple(struct session *session, struct conn *upstream)
{
    if (session->client.phase != CONN_OPEN || upstream->phase > CONN_OPEN || session_is_relay(session))
        return;
    session->client.owner = session_log_owner(section_of(session), &relay_client_owner);
    upstream->owner = &relay_upstream_owner;
    conn_pause(&session->client, true); /* what has been kept of either side comes first: at the end of the turn */
    conn_pause(upstream, true);
    turn_touch(session);
}

static void uncouple(struct session *session)
{
    session->client.owner = section_of(session)->client_owner;
}

/* ---- bytes ---- */

/* What had arrived as (part of) messages before the two were coupled goes to the other side, too. Rare, and so kept out
 * of the functions through which every byte goes. */
static __attribute__((noinline)) void forward_kept(struct conn *from, struct conn *to)
{
    if (from->phase == CONN_CLOSED || buffer_is_empty(&from->in))
        return;
    if (to->owner == &relay_upstream_owner)
        upstream_note_asked(to);
    else
        upstream_note_answered(from, section_of(session_of_client(to))->stats);
    conn_send(to, buffer_bytes(&from->in), buffer_size(&from->in));
    buffer_clear(&from->in);
}

static void client_input(struct conn *client, const char *bytes, size_t size)
{
    struct session *session = session_of_client(client);
    struct conn *upstream = upstream_side(session);

    if (size == 0) { /* it goes on */
        forward_kept(client, upstream);
        return;
    }
    session->got_input = true;
    session->reply_due = upstream->input != INPUT_ENDED; /* else none can come */
    stats_count(&section_of(session)->stats->messages_in, 1);
    upstream_note_asked(upstream);
    conn_send(upstream, bytes, size);
}

static void upstream_input(struct conn *upstream, const char *bytes, size_t size)
{
    struct session *session = session_of_upstream(upstream);

    if (size == 0) { /* it goes on */
        forward_kept(upstream, &session->client);
        return;
    }
    struct stats_listener *stats = section_of(session)->stats;
    session->reply_due = false;
    stats_count(&stats->messages_out, 1);
    upstream_note_answered(upstream, stats);
    conn_send(&session->client, bytes, size);
}

static void relay_leave(struct conn *client)
{
    struct session *session = session_of_client(client);
    struct conn *upstream = upstream_side(session);

    if (upstream && !buffer_is_empty(&client->in))
        forward_kept(client, upstream);
    if (upstream && !buffer_is_empty(&upstream->in) && upstream->input != INPUT_PAUSED) /* else something comes first */
        forward_kept(upstream, client);
    session_settle(client);
}

/* ---- ends ---- */

static void check_end(struct session *session)
{
    const struct conn *client = &session->client;
    struct conn *upstream = upstream_side(session);

    if (!upstream || client->input != INPUT_ENDED || upstream->output != OUTPUT_ENDED)
        return;
    if (client->output == OUTPUT_ENDED && upstream->input == INPUT_ENDED)
        session_end(session, client->error ? CLOSE_reset : CLOSE_peer);
    else if (client->error) /* closing at once could be a reset, which overtakes what the upstream has not read yet */
        conn_expire(upstream, core_of(session)->env->linger_timeout_ms);
}

/* Files and constants that its client does not take any more. */
static void drop_segments(struct session *session)
{
    if (!session_has_segments(session))
        return;
    segment_clear(session, &session->more->output);
    turn_touch(session); /* its upstream goes on */
}

/*
 * The client has reset its connection, and what it had sent has been read: that still goes to the upstream. Then the
 * session ends, when the upstream has closed too or linger_timeout has passed.
 */
static void client_lost(struct conn *client, int error)
{
    struct session *session = session_of_client(client);
    struct conn *upstream = upstream_side(session);

    client->error = (uint16_t)error;
    client->input = INPUT_ENDED;
    client->output = OUTPUT_ENDED;
    buffer_clear(&client->out);
    drop_segments(session);
    client->above_high_water = false;
    if (upstream->phase == CONN_CONNECTING && buffer_is_empty(&upstream->out)) {
        session_end(session, CLOSE_reset);
        return;
    }
    session_update_flow(session);
    conn_end_output(upstream);
    check_end(session);
}

static void client_ended(struct conn *client, int error)
{
    struct session *session = session_of_client(client);

    if (error) {
        client_lost(client, error);
        return;
    }
    conn_end_output(upstream_side(session));
    check_end(session);
}

static void upstream_side_ended(struct conn *upstream, int error)
{
    struct session *session = session_of_upstream(upstream);

    if (error) {
        uncouple(session);
        upstream_ended(upstream, error);
        upstream_uncoupled(session);
        return;
    }
    session->reply_due = false;
    conn_end_output(&session->client);
    check_end(session);
}

static void client_output_ended(struct conn *client)
{
    check_end(session_of_client(client));
}

static void upstream_output_ended(struct conn *upstream)
{
    check_end(session_of_upstream(upstream));
}

/* The client takes nothing more: what the upstream sends is read away. */
static void client_broken(struct conn *client)
{
    struct session *session = session_of_client(client);

    drop_segments(session);
    if (!client->above_high_water)
        return;
    client->above_high_water = false;
    session_update_flow(session);
}

static bool upstream_side_expired(struct conn *upstream)
{
    struct session *session = session_of_upstream(upstream);

    if (upstream_expired(upstream))
        return true;
    if (upstream->error || !session->client.error || upstream->output != OUTPUT_ENDED)
        return false;
    session_end(session, CLOSE_reset);
    return true;
}

static const struct conn_owner relay_client_owner = {
    CLIENT_OWNER,
    .leave = relay_leave,
    .input = client_input,
    .ended = client_ended,
    .output_ended = client_output_ended,
    .broken = client_broken,
};

static const struct conn_owner relay_upstream_owner = {
    UPSTREAM_OWNER,
    .input = upstream_input,
    .ended = upstream_side_ended,
    .output_ended = upstream_output_ended,
    .expired = upstream_side_expired,
};
