#include "worker/session_log.h"
#include "common/clock.h"
#include "common/report_json.h"
#include <inttypes.h>
#include <time.h>
#include <unistd.h>

enum { OWNERS_MAX = 4, LINE_SIZE = 1000, DATE_SIZE = 32 };

/* What is known of a session, behind its tail. */
struct figures {
    uint64_t opened_ms; /* monotonic */
    uint64_t messages, bytes_in, bytes_out;
};

static bool is_logged(const struct section *section)
{
    return section->config->session_log != SESSION_LOG_OFF;
}

/* Bytes from the beginning of a service's state to the figures. */
static size_t figures_offset(const struct service *service)
{
    const size_t alignment = _Alignof(struct figures);

    return (session_tail_offset(service) + sizeof(struct session_tail) + alignment - 1) / alignment * alignment;
}

static struct figures *figures_of(struct session *session)
{
    return (void *)(session->state + figures_offset(session_service(session)));
}

size_t session_log_size(const struct listener_config *config)
{
    if (config->session_log == SESSION_LOG_OFF)
        return sizeof(struct session) + session_tail_offset(config->service) + sizeof(struct session_tail);
    return sizeof(struct session) + figures_offset(config->service) + sizeof(struct figures);
}

/* ---- whose the counts are ---- */

/*
 * The session that has moved bytes last. What its listener has counted since then is its own: as soon as another one
 * moves any, or at its end, they are handed to it.
 */
static struct {
    struct session *session;      /* NULL: nobody's */
    uint64_t bytes_in, bytes_out; /* of its listener, before that */
} moving;

/* The session whose input is being handed over, the same for messages. Input can go on within that of another one. */
static struct {
    struct session *session;
    uint64_t messages;
} reading;

static void settle_moving(void)
{
    if (!moving.session)
        return;
    const struct stats_listener *stats = section_of(moving.session)->stats;
    struct figures *figures = figures_of(moving.session);
    figures->bytes_in += stats_read(&stats->bytes_in) - moving.bytes_in;
    figures->bytes_out += stats_read(&stats->bytes_out) - moving.bytes_out;
    moving.session = NULL;
}

static void begin_moving(struct session *session)
{
    const struct stats_listener *stats = section_of(session)->stats;

    if (moving.session == session)
        return;
    settle_moving();
    moving.session = session;
    moving.bytes_in = stats_read(&stats->bytes_in);
    moving.bytes_out = stats_read(&stats->bytes_out);
}

static void switch_reading(struct session *session)
{
    if (reading.session)
        figures_of(reading.session)->messages += stats_read(&section_of(reading.session)->stats->messages_in) -
                                                 reading.messages;
    reading.session = session;
    reading.messages = session ? stats_read(&section_of(session)->stats->messages_in) : 0;
}

/* ---- as the owner of a connection ---- */

struct logged_owner {
    struct conn_owner owner; /* first */
    const struct conn_owner *plain;
};

static const struct conn_owner *plain_of(const struct conn *conn)
{
    return container_of(conn->owner, const struct logged_owner, owner)->plain;
}

static void logged_input(struct conn *conn, const char *bytes, size_t size)
{
    struct session *outer = reading.session;

    switch_reading(session_of_client(conn));
    plain_of(conn)->input(conn, bytes, size);
    switch_reading(outer);
}

/* Called for whatever has been moved, before it is counted. */
static uint64_t *logged_active_ms(struct conn *conn)
{
    begin_moving(session_of_client(conn));
    return plain_of(conn)->active_ms(conn);
}

const struct conn_owner *session_log_owner(const struct section *section, const struct conn_owner *plain)
{
    static struct logged_owner owners[OWNERS_MAX];
    unsigned i = 0;

    if (!is_logged(section))
        return plain;
    while (i < OWNERS_MAX && owners[i].plain && owners[i].plain != plain)
        i++;
    if (i == OWNERS_MAX)
        log_fatal("the session log has no room for another kind of client");
    if (!owners[i].plain) {
        owners[i] = (struct logged_owner){.owner = *plain, .plain = plain};
        owners[i].owner.input = logged_input;
        owners[i].owner.active_ms = logged_active_ms;
    }
    return &owners[i].owner;
}

/* ---- the line ---- */

static void log_text(struct session *session, const struct figures *figures, uint64_t ms)
{
    char peer[SOCK_TEXT_SIZE];

    log_record("session %s of %s: %" PRIu64 ".%03u s, %" PRIu64 " messages, %" PRIu64 " bytes in, %" PRIu64
               " bytes out, %s",
               peer_format(&session->peer, peer, sizeof(peer)), section_of(session)->config->name, ms / 1000,
               (unsigned)(ms % 1000), figures->messages, figures->bytes_in, figures->bytes_out,
               close_reason_name((enum close_reason)session->reason));
}

static void write_string(FILE *out, const char *name, const char *text)
{
    fprintf(out, "\"%s\":", name);
    report_json_string(out, text);
    fputc(',', out);
}

/* As RFC 3339 has it. */
static void write_date(FILE *out, const char *name, uint64_t date_ms)
{
    const time_t seconds = (time_t)(date_ms / 1000);
    char text[DATE_SIZE] = "";
    struct tm date;

    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", gmtime_r(&seconds, &date));
    fprintf(out, "\"%s\":\"%s.%03uZ\",", name, text, (unsigned)(date_ms % 1000));
}

static void write_json(FILE *out, const struct session *session, const struct figures *figures, uint64_t ms)
{
    const struct listener_config *config = section_of(session)->config;
    const uint64_t now_ms = clock_date_ms();
    char peer[SOCK_TEXT_SIZE];

    fputs("{\"type\":\"session\",", out);
    write_date(out, "time", now_ms);
    write_date(out, "opened", now_ms > ms ? now_ms - ms : 0);
    write_string(out, "worker", log_role());
    fprintf(out, "\"pid\":%d,", (int)getpid());
    write_string(out, "pool", config->pool_name);
    write_string(out, "listener", config->name);
    write_string(out, "service", config->service->name);
    write_string(out, "peer", peer_format(&session->peer, peer, sizeof(peer)));
    write_string(out, "reason", close_reason_name((enum close_reason)session->reason));
    fprintf(out,
            "\"duration_ms\":%" PRIu64 ",\"messages\":%" PRIu64 ",\"bytes_in\":%" PRIu64 ",\"bytes_out\":%" PRIu64 "}",
            ms, figures->messages, figures->bytes_in, figures->bytes_out);
}

/* One line is one object, whole or not at all. */
static void log_json(struct session *session, const struct figures *figures, uint64_t ms)
{
    char line[LINE_SIZE] = "";
    FILE *out = fmemopen(line, sizeof(line) - 1, "w");

    if (out)
        write_json(out, session, figures, ms);
    if (out && fclose(out) == 0)
        log_record_bare(line);
    else
        log_drop();
}

/* ---- a session ---- */

void session_log_begin(struct session *session)
{
    if (is_logged(section_of(session)))
        figures_of(session)->opened_ms = session_now(session);
}

void session_log_end(struct session *session)
{
    const struct listener_config *config = section_of(session)->config;

    if (!is_logged(section_of(session)))
        return;
    if (moving.session == session)
        settle_moving();
    if (config->session_log == SESSION_LOG_ERRORS && close_is_orderly((enum close_reason)session->reason))
        return;
    const struct figures *figures = figures_of(session);
    const uint64_t ms = session_now(session) - figures->opened_ms;
    if (config->session_log_format == SESSION_LOG_JSON)
        log_json(session, figures, ms);
    else
        log_text(session, figures, ms);
}
