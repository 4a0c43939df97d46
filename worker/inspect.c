#include "worker/inspect.h"
#include "worker/client.h"
#include "worker/reply.h"
#include <errno.h>
#include <inttypes.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bsd/string.h>

enum { LOOKS_PER_TURN = 256, CONNECTIONS_MAX = 128, GO_ON = 1 };

/* What is looked for. There is one walk at a time; the others wait for its end. */
struct search {
    bool is_wanted, walks;
    bool kills; /* else it lists */
    int fd;
    uint64_t opened_ms;
    char listener[LISTENER_NAME_SIZE], peer[SOCK_TEXT_SIZE]; /* "": any */
};

static unsigned connections;
static bool is_walking; /* somebody's walk is under way */

/* ---- a session as a line ---- */

static const char *state_of(const struct session *session)
{
    static char text[32];

    if (session->client.phase == CONN_FLUSHING)
        return "flushing";
    if (session->client.phase == CONN_LINGERING)
        return "lingering";
    if (session->client.above_high_water)
        return "blocked";
    if (session_has_replies(session)) {
        snprintf(text, sizeof(text), "owes-%u", session->more->reply_count);
        return text;
    }
    return session_owes(session) ? "owes" : session_is_relay(session) ? "relay" : "open";
}

/* The address of the newest further connection; "-": there is none. */
static const char *upstream_text(const struct session *session)
{
    static char text[SOCK_TEXT_SIZE];
    const struct session_conn *upstream = session->upstreams;
    struct sockaddr_storage address;
    socklen_t size = sizeof(address);

    while (upstream && upstream->conn.phase == CONN_CLOSED)
        upstream = upstream->next;
    if (!upstream)
        return "-";
    if (getpeername(upstream->conn.handler.fd, (struct sockaddr *)&address, &size) < 0)
        return "connecting";
    return sock_format((struct sockaddr *)&address, size, text, sizeof(text));
}

/* The kernel counts the bytes of a TCP connection; nobody else has to. */
static void format_bytes(const struct session *session, char *text, size_t text_size)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof(info);

    if (getsockopt(session->client.handler.fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0 ||
        size < offsetof(struct tcp_info, tcpi_bytes_retrans) + sizeof(info.tcpi_bytes_retrans))
        snprintf(text, text_size, "-\t-");
    else
        snprintf(text, text_size, "%" PRIu64 "\t%" PRIu64, (uint64_t)info.tcpi_bytes_received,
                 (uint64_t)(info.tcpi_bytes_sent - info.tcpi_bytes_retrans));
}

static void send_line(struct session *asker, const struct session *session)
{
    uint64_t now_ms = session_now(session), opened_ms = session_opened_ms(session);
    char peer[SOCK_TEXT_SIZE], bytes[64], line[512];

    peer_format(&session->peer, peer, sizeof(peer));
    format_bytes(session, bytes, sizeof(bytes));
    int size = snprintf(line, sizeof(line), "%d-%d-%" PRIx64 "\t%s\t%s\t%" PRIu64 "\t%" PRIu64 "\t%s\t%zu\t%s\t%s\n",
                        (int)getpid(), session->client.handler.fd, opened_ms, section_of(session)->config->name, peer,
                        now_ms - opened_ms, now_ms - session->active_ms, bytes, session_queued(session),
                        state_of(session), upstream_text(session));
    session_send(asker, line, (size_t)size);
}

/* ---- looking through all of them ---- */

static bool is_ours(const struct session *session);

static bool matches(const struct search *search, const struct session *session)
{
    char peer[SOCK_TEXT_SIZE];

    if (search->listener[0] && strcmp(search->listener, section_of(session)->config->name) != 0)
        return false;
    if (!search->peer[0])
        return true;
    peer_format(&session->peer, peer, sizeof(peer));
    return strncmp(peer, search->peer, strlen(search->peer)) == 0;
}

static void finish(struct session *asker, const char *word)
{
    struct search *search = session_state(asker);

    search->is_wanted = search->walks = is_walking = false;
    core_of(asker)->walked = NULL;
    session_send(asker, word, strlen(word));
    session_resume(asker);
}

/* True when it was the one. */
static bool look_at(struct session *asker, const struct search *search, struct session *session)
{
    if (!search->kills) {
        if (matches(search, session))
            send_line(asker, session);
        return false;
    }
    if (session->client.handler.fd != search->fd || session_opened_ms(session) != search->opened_ms)
        return false;
    session_end(session, CLOSE_killed);
    return true;
}

static void walk(struct session *asker)
{
    struct search *search = session_state(asker);
    struct core *core = core_of(asker);

    for (unsigned i = 0; i < LOOKS_PER_TURN && core->walked; i++) {
        struct session *session = core->walked;
        core->walked = LIST_NEXT(session, link);
        if (is_ours(session) || !look_at(asker, search, session))
            continue;
        finish(asker, "killed\n");
        return;
    }
    if (!core->walked)
        finish(asker, search->kills ? "none\n" : "end\n");
    else
        session_set_timer_of(asker, GO_ON, 1);
}

/* ---- the service ---- */

static enum verdict go_on(struct session *asker, unsigned number)
{
    struct search *search = session_state(asker);

    (void)number;
    if (!search->is_wanted)
        return SESSION_CONTINUE;
    if (!search->walks && !is_walking) {
        search->walks = is_walking = true;
        core_of(asker)->walked = LIST_FIRST(&core_of(asker)->live);
    }
    if (search->walks && session_queued(asker) < section_of(asker)->config->high_water)
        walk(asker);
    else
        session_set_timer_of(asker, GO_ON, 1); /* another walk is under way, or the asker has to read first */
    return SESSION_CONTINUE;
}

static enum verdict message(struct session *asker, const char *bytes, size_t size)
{
    struct search *search = session_state(asker);
    char line[256], listener[LISTENER_NAME_SIZE], peer[SOCK_TEXT_SIZE];

    snprintf(line, sizeof(line), "%.*s", (int)size, bytes);
    *search = (struct search){.is_wanted = true};
    if (sscanf(line, "list %47s %107s", listener, peer) == 2) {
        strlcpy(search->listener, strcmp(listener, "-") == 0 ? "" : listener, sizeof(search->listener));
        strlcpy(search->peer, strcmp(peer, "-") == 0 ? "" : peer, sizeof(search->peer));
    } else if (sscanf(line, "kill %d %" SCNx64, &search->fd, &search->opened_ms) == 2) {
        search->kills = true;
    } else {
        return SESSION_REJECT;
    }
    session_pause(asker); /* one after the other */
    return go_on(asker, GO_ON);
}

static void closed(struct session *asker, enum close_reason reason)
{
    const struct search *search = session_state(asker);

    (void)reason;
    connections--;
    if (!search->walks)
        return;
    is_walking = false;
    core_of(asker)->walked = NULL;
}

static const struct service service = {
    .name = "inspect",
    .framing = {.kind = FRAMING_LINE},
    .state_size = sizeof(struct search),
    .message = message,
    .timer = go_on,
    .close = closed,
};

static const struct listener_config config = {
    .name = "inspect",
    .service = &service,
    .idle_timeout_ms = 10 * 1000,
    .max_frame = 256,
    .high_water = 64 << 10,
    .low_water = 16 << 10,
    .max_output = 1 << 20,
};

static struct section section;
static struct stats_listener uncounted;

/* Sessions of this service are not listed. */
static bool is_ours(const struct session *session)
{
    return section_of(session) == &section;
}

void inspect_open(struct core *core, int fd)
{
    static const char busy[] = "busy\n";
    const struct peer_address nobody = {.family = AF_UNIX};

    if (!section.core)
        client_section_init(&section, core, &config, &uncounted);
    section.client.is_passed = true; /* the master closes its own copy when it comes to it */
    if (connections < CONNECTIONS_MAX && session_open(&section, fd, &nobody) == 0) {
        connections++;
        return;
    }
    send(fd, busy, strlen(busy), MSG_NOSIGNAL | MSG_DONTWAIT);
    close(fd);
}
